//! Which of ffmpeg's lines can name a cause.
//!
//! Separate from the table because most of what is said at the end of a failed run is not about its end: encoders print their
//! statistics, and a decoder's complaints were survived, however much they sound like the cause.

/// How lines begin that say nothing of an end.
const EMPTY: &[&str] = &[
    "Conversion failed!",
    "frame=",
    "size=",
    "video:",
    "Last message repeated",
    "Press [q]",
    "x265 [info]",
    "encoded ",
];

/// How lines begin, behind the name of an encoder, that are its statistics or its settings (x264, x265, aac).
const STATISTICS: &[&str] = &[
    "frame I:",
    "frame P:",
    "frame B:",
    "mb I",
    "mb P",
    "mb B",
    "coded y",
    "i16 v,",
    "i8 v,",
    "i4 v,",
    "i8c dc",
    "ref P",
    "ref B",
    "Weighted P",
    "8x8 transform",
    "direct mvs",
    "final ratefactor",
    "consecutive B",
    "kb/s:",
    "Qavg:",
    "using SAR",
    "using cpu",
    "profile ",
    "264 - core",
];

/// What is said of a frame or a packet that was left out, after which ffmpeg goes on: from 4.x to 6.0 (`ffmpeg.c`), and since
/// (`ffmpeg_dec.c`).
const SURVIVED: &[&str] = &[
    "Error while decoding stream",
    "Error submitting packet to decoder",
    "corrupt decoded frame",
    "Packet corrupt",
    "partial file",
    "Non-monoton",
    "Error marking filters as finished",
];

/// Decoders, parsers and readers whose complaints are of single frames. `NULL` is a parser.
const DECODERS: &[&str] = &[
    "NULL",
    "h264",
    "hevc",
    "av1",
    "libdav1d",
    "vp8",
    "vp9",
    "mpeg2video",
    "mpeg4",
    "mjpeg",
    "prores",
    "vc1",
    "aac",
    "ac3",
    "eac3",
    "mp3",
    "mp3float",
    "opus",
    "vorbis",
    "flac",
    "dca",
    "truehd",
];

/// The last `count` lines that can name a cause, newest first.
pub(super) fn telling<'a>(
    newest_first: impl Iterator<Item = &'a str>,
    count: usize,
) -> Vec<&'a str> {
    newest_first
        .map(str::trim)
        .filter(|line| is_telling(line))
        .take(count)
        .collect()
}

fn is_telling(line: &str) -> bool {
    let begins = |with: &[&str], text: &str| with.iter().any(|with| text.starts_with(with));
    if line.is_empty() || begins(EMPTY, line) || SURVIVED.iter().any(|said| line.contains(said)) {
        return false;
    }
    match context(line) {
        Some((name, said)) => !begins(STATISTICS, said) && !DECODERS.contains(&name),
        None => true,
    }
}

/// The part of ffmpeg a line comes from, and what it said: `[libx264 @ 0x55d5] kb/s:191`.
fn context(line: &str) -> Option<(&str, &str)> {
    let (head, said) = line.strip_prefix('[')?.split_once("] ")?;
    let (name, _) = head.split_once(" @ ")?;
    Some((name, said))
}

/// Whether a line is about a peer on the network, rather than about a file.
pub(super) fn is_of_network(line: &str) -> bool {
    const PARTS: &[&str] = &["tcp", "tls", "http", "https", "rtmp", "rtmps", "srt"];
    line.contains("://") || context(line).is_some_and(|(name, _)| PARTS.contains(&name))
}

/// A line without the name of the part of ffmpeg it comes from.
pub(super) fn without_context(line: &str) -> &str {
    context(line).map_or(line, |(_, said)| said)
}

/// A line at a length that people read.
pub(super) fn clip(line: &str) -> &str {
    let line = line.trim();
    let end = line
        .char_indices()
        .nth(500)
        .map_or(line.len(), |(at, _)| at);
    line.get(..end).unwrap_or(line)
}

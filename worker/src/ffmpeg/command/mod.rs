//! From [`Settings`] to ffmpeg's arguments.
//!
//! Pure, so that what will be run can be shown without running it. Nothing a user wrote is ever an argument of its own
//! that could be read as an option or a protocol: paths stand behind `file:`, numbers are printed from numbers, and
//! presets come from a closed list. The exception are raw arguments, where the operator takes some (`raw`). `input`, `pictures`,
//! `folder` and `sound` hold one part of the line each; `record` is what a live source is taken down with, and `trial` the encode that proves an encoder.

mod folder;
mod input;
mod pictures;
mod raw;
mod record;
mod sound;
mod trial;

use std::{ffi::OsString, path::Path};

use ffrtmp_api::settings::{
    AudioCodec, Codec, Container, Output, Pictures, Settings, Source, Subtitles,
};

use crate::trust::Trust;

use super::{
    loudness::Measured,
    probe::Media,
    reach::{file_url, told_name},
};

pub(crate) use folder::{first_segments, without_twins};
pub(crate) use record::{PARTS, list_of_parts, part_name};
pub(crate) use trial::trial_arguments;

/// The subtitles that are burned in, in the folder an encode works in.
pub(crate) const BURNED: &str = "burn.ass";
/// A link to the folder an encode fills, in the folder it works in: muxers read some characters of a path as their own.
pub(crate) const FOLDER: &str = "out";
/// What the first of two passes leaves for the second, in the folder they work in.
const PASS_LOG: &str = "pass";

/// One run of ffmpeg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Takes the subtitles out of the input, to be burned in.
    Subtitles,
    /// Measures how loud the input is.
    Loudness,
    /// The first of two passes over the pictures.
    First,
    /// Makes the output.
    Encode,
    /// Takes down one part of a live source, until it is gone.
    Record,
    /// Makes the output of those parts.
    Join,
}

/// What a command is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order<'a> {
    /// The job's.
    pub(crate) settings: &'a Settings,
    /// What ffprobe said of the input; `None` for a synthetic source, and where nobody has looked.
    pub(crate) input: Option<&'a Media>,
    /// The number ffmpeg knows the chosen GPU by.
    pub(crate) gpu: Option<u32>,
    /// How loud the input was found to be.
    pub(crate) loudness: Option<&'a Measured>,
    /// The temporary file; not looked at where the output is a folder or a stream.
    pub(crate) target: &'a Path,
    /// Which part of a live source is taken down, from 1.
    pub(crate) part: u32,
    /// Whom the servers it names are taken for.
    pub(crate) trust: &'a Trust,
}

/// The runs that a job takes, in order. The last makes the output.
pub(crate) fn passes(settings: &Settings) -> Vec<Pass> {
    let mut passes = Vec::new();
    if settings.subtitles == Subtitles::Burn {
        passes.push(Pass::Subtitles);
    }
    // A stream is heard once; what comes from a file can be measured first, and changed by one factor throughout.
    let is_file = matches!(settings.source, Source::File(_) | Source::Upload(_));
    if is_file
        && settings
            .audio
            .as_ref()
            .is_some_and(|a| a.loudness.is_some())
    {
        passes.push(Pass::Loudness);
    }
    if settings.video().is_some_and(|video| video.two_pass) {
        passes.push(Pass::First);
    }
    match (settings.live, &settings.output) {
        (Some(_), Some(Output::Push(_))) | (None, _) => passes.push(Pass::Encode),
        (Some(live), _) if live.watchable => passes.push(Pass::Encode),
        (Some(_), _) => passes.extend([Pass::Record, Pass::Join]),
    }
    passes
}

/// Whether a job needs a folder to work in.
pub(crate) fn needs_folder(settings: &Settings) -> bool {
    passes(settings).len() > 1 || matches!(settings.output, Some(Output::Folder { .. }))
}

/// The arguments of one run.
pub(crate) fn arguments(pass: Pass, order: Order<'_>) -> Vec<OsString> {
    let Order { settings, .. } = order;
    let mut args = Args::default();
    args.all([
        "-nostdin",
        "-hide_banner",
        "-nostats",
        "-progress",
        "pipe:1",
        "-stats_period",
        "0.5",
        "-y",
    ]);
    if pass == Pass::Join {
        let streams = record::add_parts(&mut args, order);
        add_output(&mut args, order, &streams);
        return args.0;
    }
    let streams = input::add(&mut args, order);
    if let Some(seconds) = settings.duration_seconds {
        args.pair("-t", format!("{seconds:.6}"));
    }
    match pass {
        Pass::Subtitles => {
            args.pair("-map", streams.subtitles);
            args.all(["-c:s", "ass", "-f", "ass", BURNED]);
        }
        Pass::Loudness => {
            args.pair("-map", streams.sound.unwrap_or_default());
            sound::add_measuring(&mut args, order);
            args.all(["-f", "null", "-"]);
        }
        Pass::First => {
            args.pair("-map", streams.pictures.clone());
            pictures::add(&mut args, order, Some(1));
            raw::add_output(&mut args, settings);
            args.all(["-an", "-sn", "-dn"]);
            // Into the container of the second pass: whether frames are repeated to a constant rate depends on it, and both passes must
            // see the same frames.
            let container = match settings.output {
                Some(Output::Folder { .. }) => Container::Mp4,
                _ => settings.container,
            };
            args.pair("-f", container.ffmpeg_name());
            args.one("file:/dev/null");
        }
        Pass::Encode => {
            add_streams(&mut args, order, &streams);
            add_output(&mut args, order, &streams);
        }
        Pass::Record => {
            add_streams(&mut args, order, &streams);
            record::add_part(&mut args, order);
        }
        // It reads no input of the job, and was made above.
        Pass::Join => {}
    }
    args.0
}

/// Adds what becomes of each stream.
fn add_streams(args: &mut Args, order: Order<'_>, streams: &input::Streams) {
    let Order { settings, .. } = order;
    let ladder = settings.video().map_or(0, |video| video.ladder.len());
    if ladder > 1 {
        folder::add_ladder(args, order, streams);
    } else if settings.pictures == Pictures::None {
        args.one("-vn");
    } else {
        args.pair("-map", streams.pictures.clone());
        let two = settings.video().is_some_and(|video| video.two_pass);
        pictures::add(args, order, two.then_some(2));
    }
    match (&streams.sound, &settings.audio) {
        (Some(sound), Some(audio)) => {
            args.pair("-map", sound.clone());
            if keeps_all_sound(settings) {
                let more = order.input.map_or(&[][..], |media| &media.more_audio);
                more.iter()
                    .for_each(|index| args.pair("-map", format!("0:{index}")));
            }
            sound::add(args, order, audio);
        }
        _ => args.one("-an"),
    }
    input::add_subtitles(args, order);
    args.one("-dn");
}

/// Whether every track of sound is kept: where it is kept as it is, in a container that holds any. Elsewhere it is the first.
pub(crate) fn keeps_all_sound(settings: &Settings) -> bool {
    copies_sound(settings) && settings.container == Container::Matroska
}

/// Whether sound is kept as it is.
pub(crate) fn copies_sound(settings: &Settings) -> bool {
    let audio = settings.audio.as_ref();
    audio.is_some_and(|audio| audio.codec == AudioCodec::Copy)
}

/// Adds the container, and where it goes.
fn add_output(args: &mut Args, order: Order<'_>, streams: &input::Streams) {
    let Order { settings, .. } = order;
    if settings
        .video()
        .is_some_and(|video| video.codec == Codec::H265)
        && matches!(
            settings.container,
            Container::Mp4 | Container::Mov | Container::Hls
        )
    {
        // The tag Apple's players want.
        args.pair("-tag:v", "hvc1");
    }
    for (key, value) in &settings.metadata {
        args.pair("-metadata", format!("{key}={value}"));
    }
    if settings.faststart {
        args.pair("-movflags", "+faststart");
    }
    raw::add_output(args, settings);
    match &settings.output {
        Some(Output::Folder { index, .. }) => folder::add_muxer(args, order, streams, index),
        Some(Output::Push(address)) => {
            if settings.container == Container::Flv {
                // The length is not known before the end, and a stream cannot be gone back in to write it.
                args.pair("-flvflags", "no_duration_filesize");
            }
            args.pair("-f", settings.container.ffmpeg_name());
            args.0.extend(order.trust.options(address));
            args.0.extend(told_name(address));
            args.one(address.secret());
        }
        _ => {
            if let Pictures::Still(_) = settings.pictures {
                // One file, whatever its name looks like.
                args.all(["-update", "1"]);
            }
            args.pair("-f", settings.container.ffmpeg_name());
            args.0.push(file_url(order.target));
        }
    }
}

#[derive(Default)]
struct Args(Vec<OsString>);

impl Args {
    fn one(&mut self, arg: &str) {
        self.0.push(arg.into());
    }
    fn all<const N: usize>(&mut self, args: [&str; N]) {
        self.0.extend(args.into_iter().map(OsString::from));
    }
    fn pair(&mut self, option: &str, value: impl Into<OsString>) {
        self.0.push(option.into());
        self.0.push(value.into());
    }
}

#[cfg(test)]
mod tests;

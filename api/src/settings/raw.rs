//! Raw ffmpeg arguments of a job, for what no field says.
//!
//! Separate because it is the one place where a user's words reach ffmpeg as options. What is refused here would break what the
//! worker relies on: which files and addresses are opened, what is told of progress, how many outputs there are, how long they
//! are. That does not make the rest harmless: filters and many options read and write files. An operator allows them or not.

use serde::{Deserialize, Serialize};

use super::{
    Audio, AudioCodec, BadField, Output, Pictures, Source,
    check::{bad, clip},
    container::{Container, Holds},
};
use crate::{job::JobSpec, limits, text};

/// Raw arguments, checked: options, each with its value where it takes one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawArgs {
    /// In front of the input.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub input: Vec<String>,
    /// In front of the output.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub output: Vec<String>,
}

impl RawArgs {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.input.is_empty() && self.output.is_empty()
    }
}

/// Options of ffmpeg that take no value (`ffmpeg_opt.c` and `opt_common.c` of 4.4 to 7.1: those without `HAS_ARG`); each may also be said
/// with `no` in front. Every option of a codec, a format or a filter takes one.
const WITHOUT_VALUE: &[&str] = &[
    "accurate_seek",
    "an",
    "autorotate",
    "autoscale",
    "auto_conversion_filters",
    "benchmark",
    "benchmark_all",
    "bitexact",
    "copyinkf",
    "copyts",
    "deinterlace",
    "debug_ts",
    "display_hflip",
    "display_vflip",
    "dn",
    "find_stream_info",
    "fix_sub_duration",
    "fix_sub_duration_heartbeat",
    "ignore_unknown",
    "copy_unknown",
    "intra",
    "psnr",
    "re",
    "recast_media",
    "same_quant",
    "seek_timestamp",
    "shortest",
    "sn",
    "start_at_zero",
    "vn",
    "xerror",
];

/// Why an option is refused.
type Why = &'static str;

const SUPERVISED: Why = "the worker uses it to follow the encode";
const NO_TERMINAL: Why = "ffmpeg has no terminal here";
const NO_OTHER_INPUT: Why = "a job has one input; name it with input";
const REACH: Why = "the worker decides what an input may lead to";
const CONTAINER: Why = "the container follows from the output's name";
const LENGTH: Why = "say start_seconds and duration_seconds";
const PASSES: Why = "say two_pass";
const ENCODER: Why = "a worker is chosen by the encoder; say codec";
const PRINTS: Why = "it prints and encodes nothing";
const GRAPH: Why =
    "streams are mapped by the worker; use -vf and -af, which are joined with its own filters";
const OTHER_FILE: Why = "it reads or writes another file";

/// Options that are refused wherever they stand.
const REFUSED: &[(&[&str], Why)] = &[
    (
        &[
            "progress",
            "stats",
            "stats_period",
            "loglevel",
            "v",
            "report",
            "hide_banner",
            "y",
            "n",
            "abort_on",
            "max_error_rate",
        ],
        SUPERVISED,
    ),
    (&["stdin"], NO_TERMINAL),
    (&["i"], NO_OTHER_INPUT),
    (
        &[
            "protocol_whitelist",
            "protocol_blacklist",
            "format_whitelist",
            "codec_whitelist",
            "http_proxy",
            "safe",
            "rtmp_tcurl",
            "allowed_extensions",
            "allowed_segment_extensions",
            "extension_picky",
        ],
        REACH,
    ),
    (&["f", "target"], CONTAINER),
    (
        &[
            "stream_loop",
            "loop",
            "t",
            "to",
            "ss",
            "sseof",
            "fs",
            "frames",
            "vframes",
            "aframes",
            "dframes",
        ],
        LENGTH,
    ),
    (&["pass", "passlogfile"], PASSES),
    (&["c", "codec", "vcodec"], ENCODER),
    (
        &[
            "h",
            "help",
            "?",
            "L",
            "version",
            "buildconf",
            "formats",
            "muxers",
            "demuxers",
            "devices",
            "codecs",
            "decoders",
            "encoders",
            "bsfs",
            "protocols",
            "filters",
            "pix_fmts",
            "layouts",
            "sample_fmts",
            "dispositions",
            "colors",
            "sources",
            "sinks",
            "hwaccels",
        ],
        PRINTS,
    ),
    (
        &["filter_complex", "lavfi", "filter_complex_threads"],
        GRAPH,
    ),
    (
        &[
            "filter_script",
            "filter_complex_script",
            "attach",
            "dump_attachment",
            "vstats",
            "vstats_file",
            "stats_enc_pre",
            "stats_enc_post",
            "stats_mux_pre",
            "sdp_file",
            "vpre",
            "apre",
            "spre",
            "fpre",
            "pre",
            "print_graphs",
            "print_graphs_file",
            "dump",
            "hex",
            "qphist",
            "map_channel",
        ],
        OTHER_FILE,
    ),
];

/// One option, and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawOption<'a> {
    /// With its dash and its stream, as in `-filter:v`.
    pub word: &'a str,
    /// What follows it, where something does.
    pub value: Option<&'a str>,
}

impl RawOption<'_> {
    /// Whether it gives filters for pictures.
    pub fn is_video_filter(&self) -> bool {
        matches!(self.word, "-vf" | "-filter:v" | "-filter:v:0")
    }

    /// Whether it gives filters for sound.
    pub fn is_audio_filter(&self) -> bool {
        matches!(self.word, "-af" | "-filter:a" | "-filter:a:0")
    }
}

/// The options among checked words, in order.
pub fn options(words: &[String]) -> Vec<RawOption<'_>> {
    let mut options = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let value = match takes_value(word) {
            true => words.next().map(String::as_str),
            false => None,
        };
        options.push(RawOption { word, value });
    }
    options
}

/// An option's name: without dash and stream.
fn name(word: &str) -> &str {
    let name = word.strip_prefix('-').unwrap_or(word);
    name.split_once(':').map_or(name, |(name, _)| name)
}

fn takes_value(word: &str) -> bool {
    let name = name(word);
    let is_switch = |name: &str| WITHOUT_VALUE.contains(&name);
    !(is_switch(name) || name.strip_prefix("no").is_some_and(is_switch))
}

/// A job's raw arguments, where it has some.
pub(super) fn resolve(
    spec: &JobSpec,
    source: &Source,
    output: Option<&Output>,
    container: Container,
    pictures: &Pictures,
    audio: Option<&Audio>,
    is_live: bool,
) -> Result<RawArgs, BadField> {
    if !spec.has_raw_args() {
        return Ok(RawArgs::default());
    }
    check("input_args", &spec.input_args)?;
    check("output_args", &spec.output_args)?;
    if !spec.input_args.is_empty() && *source == Source::Synthetic {
        return bad(
            "input_args",
            "a synthetic source has no input to say something of; name an input",
        );
    }
    if let Some(option) = options(&spec.input_args).iter().find(|option| {
        option.is_video_filter() || option.is_audio_filter() || option.word == "-filter"
    }) {
        return bad(
            "input_args",
            format!("{}: filters belong in output_args", option.word),
        );
    }
    if !spec.output_args.is_empty() && is_live && !matches!(output, Some(Output::Push(_))) {
        return bad(
            "output_args",
            "a live source is recorded in parts that are joined by copying; leave them out, or encode the recording with another job",
        );
    }
    for option in options(&spec.output_args) {
        let encodes = matches!(pictures, Pictures::Video(_) | Pictures::Still(_));
        if option.is_video_filter() && !encodes {
            return bad(
                "output_args",
                format!(
                    "{}: only pictures that are encoded can be filtered",
                    option.word
                ),
            );
        }
        let hears = audio.is_some_and(|audio| audio.codec != AudioCodec::Copy);
        if option.is_audio_filter() && !hears {
            return bad(
                "output_args",
                format!(
                    "{}: only sound that is encoded can be filtered",
                    option.word
                ),
            );
        }
        if name(option.word) == "filter" && !(option.is_video_filter() || option.is_audio_filter())
        {
            return bad(
                "output_args",
                format!(
                    "{}: use -vf or -af, which are joined with the worker's own filters",
                    option.word
                ),
            );
        }
        if option.word == "-vn" && container.holds() != Holds::Sound {
            return bad("output_args", "-vn: say codec none");
        }
    }
    Ok(RawArgs {
        input: spec.input_args.clone(),
        output: spec.output_args.clone(),
    })
}

/// Whether these words are options with their values, none of them one that is refused.
fn check(field: &'static str, words: &[String]) -> Result<(), BadField> {
    if words.len() > limits::RAW_ARGS_MAX {
        return bad(
            field,
            format!(
                "{} words; at most {} are accepted",
                words.len(),
                limits::RAW_ARGS_MAX
            ),
        );
    }
    for word in words {
        if word.len() > limits::RAW_ARG_BYTES_MAX {
            return bad(
                field,
                format!(
                    "a word of {} bytes; at most {} are accepted",
                    word.len(),
                    limits::RAW_ARG_BYTES_MAX
                ),
            );
        }
        if let Some(what) = text::unfit(word) {
            return bad(
                field,
                format!("{:?} holds {what}; leave it out", clip(word)),
            );
        }
    }
    for RawOption { word, value } in options(words) {
        let shown = clip(word);
        // `-` alone is standard output, and a word without it a file.
        if !word.starts_with('-') || word.len() < 2 {
            return bad(
                field,
                format!(
                    "{shown:?} is no option, and would be one more output; a job has one, which output names"
                ),
            );
        }
        if word == "--" {
            return bad(
                field,
                "\"--\" makes the word behind it one more output; a job has one, which output names",
            );
        }
        if word.starts_with("-/") {
            return bad(field, format!("{shown}: {OTHER_FILE}"));
        }
        let plain = name(word);
        let without_no = plain.strip_prefix("no").unwrap_or(plain);
        let refused = REFUSED
            .iter()
            .find(|(names, _)| names.contains(&plain) || names.contains(&without_no));
        if let Some((_, why)) = refused
            && !is_other_codec(word)
        {
            return bad(field, format!("{shown}: {why}"));
        }
        if takes_value(word) && value.is_none() {
            return bad(field, format!("{shown}: its value is missing"));
        }
    }
    Ok(())
}

/// Whether this chooses a codec for sound, subtitles or data: which encoders of those a worker has is not known, nor asked.
fn is_other_codec(word: &str) -> bool {
    ["-c:", "-codec:"]
        .iter()
        .filter_map(|start| word.strip_prefix(start))
        .any(|stream| stream.starts_with(['a', 's', 'd', 't']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn with(edit: impl FnOnce(&mut JobSpec)) -> Result<RawArgs, BadField> {
        let mut spec = JobSpec {
            input: Some("/a.mkv".into()),
            output: Some("/b.mp4".into()),
            ..JobSpec::default()
        };
        edit(&mut spec);
        Settings::resolve(&spec).map(|settings| settings.raw)
    }

    fn output_args(words: &str) -> Result<RawArgs, BadField> {
        with(|s| s.output_args = words.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn what_ffmpeg_takes_beyond_our_fields_is_taken() {
        for words in [
            "-x264-params keyint=30:scenecut=0",
            "-vf hue=s=0 -map_chapters -1",
            "-map 0:t? -c:s copy -c:a ac3",
            "-shortest -metadata:s:a:0 language=deu",
            "-noautorotate -threads 2",
            "-af volume=0.5 -ar 44100",
            "-movflags +frag_keyframe -copyts",
        ] {
            let raw = output_args(words).unwrap_or_else(|bad| panic!("{words}: {bad}"));
            assert_eq!(raw.output.join(" "), words);
        }
        let words = "-map_chapters -1 -shortest -vf hue=s=0";
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let shown: Vec<_> = options(&words).iter().map(|o| (o.word, o.value)).collect();
        assert_eq!(
            shown,
            [
                ("-map_chapters", Some("-1")),
                ("-shortest", None),
                ("-vf", Some("hue=s=0"))
            ]
        );
    }

    #[test]
    fn what_would_break_the_worker_s_hold_is_refused_by_name_with_the_reason() {
        for (words, says) in [
            ("-progress /tmp/x", "-progress: the worker uses it"),
            ("-y", "-y: the worker uses it"),
            ("-n", "-n: "),
            ("-i /etc/passwd", "-i: a job has one input"),
            (
                "-protocol_whitelist all",
                "-protocol_whitelist: the worker decides",
            ),
            ("-report", "-report: "),
            ("-nostdin", "-nostdin: ffmpeg has no terminal"),
            ("-stdin", "-stdin: "),
            ("-nostats", "-nostats: "),
            ("-f null", "-f: the container follows"),
            ("-c:v mpeg4", "-c:v: a worker is chosen by the encoder"),
            ("-c copy", "-c: "),
            ("-vcodec copy", "-vcodec: "),
            ("-t 1", "-t: say start_seconds"),
            ("-ss 1", "-ss: "),
            ("-frames:v 1", "-frames:v: "),
            ("-pass 1", "-pass: say two_pass"),
            (
                "-filter_complex [0]null",
                "-filter_complex: streams are mapped",
            ),
            ("-filter:v:1 null", "-filter:v:1: use -vf"),
            ("-/filter:v /tmp/x", "-/filter:v: it reads"),
            ("-attach /etc/passwd", "-attach: it reads"),
            ("-version", "-version: it prints"),
            // One more output, however it comes.
            ("/tmp/x.mp4", "one more output"),
            ("-- /tmp/x.mp4", "one more output"),
            ("-shortest -- /tmp/x.mp4", "one more output"),
            ("-", "one more output"),
            ("-shortest /tmp/x.mp4", "\"/tmp/x.mp4\" is no option"),
            ("-noautorotate /tmp/x.mp4", "one more output"),
            ("-copyinkf:v:0 /tmp/x.mp4", "one more output"),
            ("-crf 20 /tmp/x.mp4", "one more output"),
            ("-map_chapters", "its value is missing"),
            ("-vn", "say codec none"),
        ] {
            let bad = output_args(words).unwrap_err();
            assert!(
                bad.field == "output_args" && bad.message.contains(says),
                "{words}: {bad}"
            );
        }
        let long = with(|s| s.output_args = vec!["-x".into(); 65]).unwrap_err();
        assert!(long.message.contains("at most 64"), "{long}");
        let long = with(|s| s.output_args = vec!["-x".into(), "y".repeat(2049)]).unwrap_err();
        assert!(long.message.contains("at most 2048"), "{long}");
        let line = with(|s| s.output_args = vec!["-x".into(), "a\nb".into()]).unwrap_err();
        assert!(line.message.contains("a line break"), "{line}");
    }

    #[test]
    fn they_stand_where_they_can_work() {
        let words = |words: &str| words.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let says = |result: Result<RawArgs, BadField>| result.unwrap_err().to_string();
        assert!(
            says(with(|s| (s.input, s.input_args) = (None, words("-re"))))
                .contains("input_args: a synthetic source")
        );
        assert!(says(with(|s| s.input_args = words("-vf null"))).contains("belong in output_args"));
        assert!(
            says(with(|s| {
                (s.codec, s.output_args) = (Some("copy".into()), words("-vf null"));
            }))
            .contains("only pictures that are encoded")
        );
        let recorded = with(|s| {
            (s.input, s.output_args) = (Some("rtmp://h/a/k".into()), words("-threads 1"));
        });
        assert!(says(recorded).contains("recorded in parts"));
        assert!(with(|s| s.input_args = words("-fflags +genpts")).is_ok());
    }
}

//! From what a user wrote ([`JobSpec`]) to what an encode needs ([`Settings`]): every field parsed, every default filled in.
//!
//! Pure, so that the master (at submit), the command line (before it) and tests agree. A field that cannot be honoured is
//! refused here, by name; nothing behind this point sees unchecked text.

mod scenario;
mod spooled;

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use scenario::parse_scenario;
pub use spooled::Output;

use crate::{
    encoder::{Encoder, EncoderSet},
    job::JobSpec,
    limits, text,
};

/// A field of a [`JobSpec`] that cannot be honoured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct BadField {
    /// The field's name in JSON.
    pub field: &'static str,
    /// What was given, what is accepted, what to do.
    pub message: String,
}

fn bad<T>(field: &'static str, message: impl Into<String>) -> Result<T, BadField> {
    Err(BadField {
        field,
        message: message.into(),
    })
}

/// A video codec, as users name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// H.264 / AVC.
    H264,
    /// H.265 / HEVC.
    H265,
    /// VP9.
    Vp9,
    /// AV1.
    Av1,
}

impl Codec {
    /// The words accepted, for messages.
    pub const ACCEPTED: &'static str = "h264, h265 (or hevc), vp9, av1";

    /// From the word a user wrote.
    pub fn parse(word: &str) -> Option<Codec> {
        Some(match word.to_ascii_lowercase().as_str() {
            "h264" | "avc" => Codec::H264,
            "h265" | "hevc" => Codec::H265,
            "vp9" => Codec::Vp9,
            "av1" => Codec::Av1,
            _ => return None,
        })
    }

    /// The codec's name as ffprobe prints it.
    pub fn ffprobe_name(self) -> &'static str {
        match self {
            Codec::H264 => "h264",
            Codec::H265 => "hevc",
            Codec::Vp9 => "vp9",
            Codec::Av1 => "av1",
        }
    }

    /// The software encoder for it.
    pub fn software_encoder(self) -> Encoder {
        match self {
            Codec::H264 => Encoder::Libx264,
            Codec::H265 => Encoder::Libx265,
            Codec::Vp9 => Encoder::LibvpxVp9,
            Codec::Av1 => Encoder::Libsvtav1,
        }
    }

    /// The GPU encoder for it; NVENC has none for VP9.
    pub fn gpu_encoder(self) -> Option<Encoder> {
        match self {
            Codec::H264 => Some(Encoder::H264Nvenc),
            Codec::H265 => Some(Encoder::HevcNvenc),
            Codec::Av1 => Some(Encoder::Av1Nvenc),
            Codec::Vp9 => None,
        }
    }
}

/// How large the output picture is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Size {
    /// Exactly this.
    Exact {
        /// Pixels, even.
        width: u32,
        /// Pixels, even.
        height: u32,
    },
    /// This height, and the even width that keeps the input's aspect.
    Height(u32),
}

/// How the encoder spends bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateControl {
    /// Constant quality.
    Crf(u32),
    /// Average bitrate, in bits per second.
    Bitrate(u64),
}

/// What becomes of sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Audio {
    /// Encoded as AAC, if the input has sound.
    Aac,
    /// Encoded as Opus, if the input has sound.
    Opus,
    /// Copied as it is.
    Copy,
    /// Left out.
    None,
}

/// Where the pictures come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A file at this absolute path on the worker.
    File(String),
    /// A complete upload in the master's spool, to be fetched first.
    Upload(Uuid),
    /// ffmpeg's `testsrc2` and `sine`, generated inside the encoding process itself.
    Synthetic,
}

/// A file format for the output, chosen by its extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Container {
    /// `.mp4`, `.m4v`
    Mp4,
    /// `.mov`
    Mov,
    /// `.mkv`
    Matroska,
    /// `.webm`
    Webm,
    /// `.ts`
    Mpegts,
}

impl Container {
    /// The name ffmpeg's `-f` takes.
    pub fn ffmpeg_name(self) -> &'static str {
        match self {
            Container::Mp4 => "mp4",
            Container::Mov => "mov",
            Container::Matroska => "matroska",
            Container::Webm => "webm",
            Container::Mpegts => "mpegts",
        }
    }

    fn of_path(path: &str) -> Result<Container, BadField> {
        let extension = Path::new(path)
            .extension()
            .and_then(|e| e.to_str())
            .unwrap_or("")
            .to_ascii_lowercase();
        match extension.as_str() {
            "mp4" | "m4v" => Ok(Container::Mp4),
            "mov" => Ok(Container::Mov),
            "mkv" => Ok(Container::Matroska),
            "webm" => Ok(Container::Webm),
            "ts" => Ok(Container::Mpegts),
            _ => bad(
                "output",
                format!(
                    "the extension {extension:?} names no container known here; end it in .mp4, .m4v, .mov, .mkv, .webm or .ts"
                ),
            ),
        }
    }
}

/// Everything a worker needs to know to run one encode. Complete: no field is left for the worker to guess.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Input.
    pub source: Source,
    /// Where the output goes; `None` encodes into scratch, verifies, measures and deletes.
    pub output: Option<Output>,
    /// Whether `output` may already exist.
    pub overwrite: bool,
    /// File format of the output.
    pub container: Container,
    /// Seconds of input to skip; `None` begins at its beginning. Never set for a synthetic source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_seconds: Option<f64>,
    /// Seconds of input to encode; `None` is all of it. Always set for a synthetic source.
    pub duration_seconds: Option<f64>,
    /// Codec of the output.
    pub codec: Codec,
    /// The encoder that makes it.
    pub encoder: Encoder,
    /// Picture size; `None` keeps the input's.
    pub size: Option<Size>,
    /// Frame rate; `None` keeps the input's.
    pub fps: Option<f64>,
    /// Bits.
    pub rate: RateControl,
    /// The encoder's preset, checked against the encoder's own list.
    pub preset: String,
    /// Sound.
    pub audio: Audio,
    /// Seconds one attempt may run.
    pub timeout_seconds: Option<f64>,
}

/// Most pixels of a picture: 8192 x 8192. ffmpeg refuses much larger ones (`av_image_check_size`).
const PIXELS_MAX: u32 = 8192 * 8192;

/// Default length of a synthetic source, in seconds (upstream's, so that its load tests weigh the same).
pub const SYNTHETIC_SECONDS_DEFAULT: f64 = 10.0;

const X26X_PRESETS: [&str; 9] = [
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
];
const NVENC_PRESETS: [&str; 7] = ["p1", "p2", "p3", "p4", "p5", "p6", "p7"];

impl Settings {
    /// Checks `spec` and fills in every default.
    ///
    /// # Errors
    /// The first field that cannot be honoured, with what is accepted there.
    pub fn resolve(spec: &JobSpec) -> Result<Settings, BadField> {
        let scenario = match &spec.scenario {
            Some(name) => {
                short("scenario", name)?;
                parse_scenario(name)?
            }
            None => None,
        };
        for (field, map) in [("labels", &spec.labels), ("require", &spec.require)] {
            if map.len() > limits::LABELS_MAX {
                return bad(
                    field,
                    format!(
                        "{} entries; at most {} are accepted",
                        map.len(),
                        limits::LABELS_MAX
                    ),
                );
            }
            for (key, value) in map {
                short(field, key)?;
                short_or_empty(field, value)?;
            }
        }
        if let Some(key) = &spec.idempotency_key {
            short("idempotency_key", key)?;
        }

        let source = match &spec.input {
            Some(text) => match spooled::upload(text)? {
                Some(id) => Source::Upload(id),
                None => Source::File(absolute("input", text)?),
            },
            None => Source::Synthetic,
        };
        let (output, container) = match &spec.output {
            Some(text) if text.starts_with(spooled::OUTPUT_PREFIX) => {
                let name = spooled::output_name(text)?;
                let container = Container::of_path(&name)?;
                (Some(Output::Spool(name)), container)
            }
            Some(path) => {
                let path = absolute("output", path)?;
                if Path::new(&path).file_name().is_none() || path.ends_with('/') {
                    return bad(
                        "output",
                        format!("{path:?} names a directory; name the file to write"),
                    );
                }
                if source == Source::File(path.clone()) {
                    return bad("output", "is the input itself; name another file");
                }
                let container = Container::of_path(&path)?;
                (Some(Output::File(path)), container)
            }
            None => (None, Container::Matroska),
        };

        let codec = match &spec.codec {
            Some(word) => match Codec::parse(word) {
                Some(codec) => codec,
                None => {
                    return bad(
                        "codec",
                        format!("{:?} is not one of {}", clip(word), Codec::ACCEPTED),
                    );
                }
            },
            None => scenario
                .map(|s| s.codec)
                .unwrap_or(if container == Container::Webm {
                    Codec::Vp9
                } else {
                    Codec::H264
                }),
        };
        if container == Container::Webm && !matches!(codec, Codec::Vp9 | Codec::Av1) {
            return bad(
                "codec",
                "a .webm file holds vp9 or av1; choose one of them or another extension",
            );
        }
        if container == Container::Mpegts && !matches!(codec, Codec::H264 | Codec::H265) {
            return bad(
                "codec",
                "a .ts file holds h264 or h265; choose one of them or another extension",
            );
        }
        let encoder = if spec.gpu {
            match codec.gpu_encoder() {
                Some(encoder) => encoder,
                None => {
                    return bad(
                        "gpu",
                        "no GPU encoder exists for vp9; use h264, h265 or av1, or leave gpu out",
                    );
                }
            }
        } else {
            codec.software_encoder()
        };

        let size = match &spec.size {
            Some(text) => Some(parse_size(text)?),
            None => scenario.map(|s| Size::Height(s.height)),
        };
        let fps = match spec.fps {
            Some(fps) if !(fps.is_finite() && (1.0..=240.0).contains(&fps)) => {
                return bad(
                    "fps",
                    format!("{fps} is not a frame rate between 1 and 240"),
                );
            }
            Some(fps) => Some(fps),
            None => scenario.and_then(|s| s.fps),
        };
        let rate = match (&spec.bitrate, spec.crf) {
            (Some(_), Some(_)) => {
                return bad("crf", "cannot be given together with bitrate; choose one");
            }
            (Some(text), None) => RateControl::Bitrate(parse_bitrate(text)?),
            (None, crf) => {
                let (default, max) = match codec {
                    Codec::H264 => (23, 51),
                    Codec::H265 => (28, 51),
                    Codec::Vp9 => (32, 63),
                    Codec::Av1 => (35, 63),
                };
                let crf = crf.unwrap_or(default);
                if crf > max {
                    return bad(
                        "crf",
                        format!(
                            "{crf} is out of range; {} takes 0 (best) to {max}",
                            encoder.name()
                        ),
                    );
                }
                RateControl::Crf(crf)
            }
        };
        let preset = resolve_preset(encoder, spec.preset.as_deref(), source == Source::Synthetic)?;
        let audio = match spec.audio.as_deref() {
            None if container == Container::Webm => Audio::Opus,
            None | Some("aac") => Audio::Aac,
            Some("opus") => Audio::Opus,
            Some("copy") => Audio::Copy,
            Some("none") => Audio::None,
            Some(word) => {
                return bad(
                    "audio",
                    format!("{:?} is not one of aac, opus, copy, none", clip(word)),
                );
            }
        };
        if container == Container::Webm && audio == Audio::Aac {
            return bad(
                "audio",
                "a .webm file holds opus; choose opus or none, or another extension",
            );
        }
        let start_seconds = match start(spec.start_seconds)? {
            Some(_) if source == Source::Synthetic => {
                return bad(
                    "start_seconds",
                    "a synthetic source has nothing to skip; name an input, or leave it out",
                );
            }
            given => given,
        };
        let duration_seconds = match seconds("duration_seconds", spec.duration_seconds)? {
            None if source == Source::Synthetic => Some(SYNTHETIC_SECONDS_DEFAULT),
            given => given,
        };
        let timeout_seconds = seconds("timeout_seconds", spec.timeout_seconds)?;
        if spec.retries.is_some_and(|n| n > limits::RETRIES_MAX) {
            return bad(
                "retries",
                format!("at most {} are accepted", limits::RETRIES_MAX),
            );
        }
        for (field, given, max) in [
            (
                "cpu_millicores",
                spec.cpu_millicores,
                limits::CPU_MILLICORES_MAX,
            ),
            ("memory_mib", spec.memory_mib, limits::MEMORY_MIB_MAX),
        ] {
            if given.is_some_and(|n| n == 0 || n > max) {
                return bad(field, format!("must be between 1 and {max}"));
            }
        }
        Ok(Settings {
            source,
            output,
            overwrite: spec.overwrite,
            container,
            start_seconds,
            duration_seconds,
            codec,
            encoder,
            size,
            fps,
            rate,
            preset,
            audio,
            timeout_seconds,
        })
    }

    /// The encoders a worker must have proven by a trial encode before this can run there.
    pub fn encoders_needed(&self) -> EncoderSet {
        EncoderSet::of(self.encoder)
    }
}

fn parse_size(text: &str) -> Result<Size, BadField> {
    let wrong = || BadField {
        field: "size",
        message: format!(
            "{:?} is not WIDTHxHEIGHT with even numbers between 16 and 16384, as in 1280x720",
            clip(text)
        ),
    };
    let (width, height) = text.split_once('x').ok_or_else(wrong)?;
    let pixels = |s: &str| {
        s.parse::<u32>()
            .ok()
            .filter(|n| (16..=16_384).contains(n) && n.is_multiple_of(2))
    };
    match (pixels(width), pixels(height)) {
        (Some(width), Some(height)) if width * height <= PIXELS_MAX => {
            Ok(Size::Exact { width, height })
        }
        (Some(_), Some(_)) => bad(
            "size",
            format!("{text:?} is more than {PIXELS_MAX} pixels, and ffmpeg's encoders refuse it"),
        ),
        _ => Err(wrong()),
    }
}

fn parse_bitrate(text: &str) -> Result<u64, BadField> {
    let (number, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1e3),
        Some(b'M' | b'm') => (&text[..text.len() - 1], 1e6),
        _ => (text, 1.0),
    };
    let plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    match number.parse::<f64>() {
        Ok(n) if plain && (1e3..=1e9).contains(&(n * unit)) => Ok((n * unit) as u64),
        _ => bad(
            "bitrate",
            format!(
                "{:?} is not a bitrate between 1k and 1000M, as in 2500k, 2.5M or 2500000",
                clip(text)
            ),
        ),
    }
}

fn resolve_preset(
    encoder: Encoder,
    given: Option<&str>,
    synthetic: bool,
) -> Result<String, BadField> {
    let numbers = |max: u32| (0..=max).map(|n| n.to_string()).collect::<Vec<_>>();
    let words = |list: &[&str]| list.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    // A synthetic source is there to exercise the farm, so it defaults to the cheapest preset.
    let (accepted, default, cheap) = match encoder {
        Encoder::Libx264 | Encoder::Libx265 => (words(&X26X_PRESETS), "medium", "ultrafast"),
        Encoder::LibvpxVp9 => (numbers(8), "2", "8"),
        Encoder::Libsvtav1 => (numbers(13), "8", "12"),
        Encoder::H264Nvenc | Encoder::HevcNvenc | Encoder::Av1Nvenc => {
            (words(&NVENC_PRESETS), "p4", "p1")
        }
        _ => (numbers(7), "4", "7"),
    };
    match given {
        None => Ok(if synthetic { cheap } else { default }.to_owned()),
        Some(word) if accepted.iter().any(|a| a == word) => Ok(word.to_owned()),
        Some(word) => bad(
            "preset",
            format!(
                "{:?} is not one of {}'s: {}",
                clip(word),
                encoder.name(),
                accepted.join(", ")
            ),
        ),
    }
}

fn seconds(field: &'static str, given: Option<f64>) -> Result<Option<f64>, BadField> {
    match given {
        Some(s)
            if !(s.is_finite()
                && (limits::DURATION_SECONDS_MIN..=limits::DURATION_SECONDS_MAX).contains(&s)) =>
        {
            bad(
                field,
                format!(
                    "{s} is not a number of seconds from {} to {}",
                    limits::DURATION_SECONDS_MIN,
                    limits::DURATION_SECONDS_MAX
                ),
            )
        }
        given => Ok(given),
    }
}

/// Where to begin; from the beginning is the same as not saying so.
fn start(given: Option<f64>) -> Result<Option<f64>, BadField> {
    match given {
        Some(s) if !(s.is_finite() && (0.0..=limits::DURATION_SECONDS_MAX).contains(&s)) => bad(
            "start_seconds",
            format!(
                "{s} is not a number of seconds from 0 to {}",
                limits::DURATION_SECONDS_MAX
            ),
        ),
        Some(s) if s < limits::DURATION_SECONDS_MIN => Ok(None),
        given => Ok(given),
    }
}

fn short(field: &'static str, text: &str) -> Result<(), BadField> {
    if text.is_empty() {
        return bad(field, "is empty");
    }
    short_or_empty(field, text)
}

fn short_or_empty(field: &'static str, text: &str) -> Result<(), BadField> {
    if text.len() > limits::NAME_BYTES_MAX {
        return bad(
            field,
            format!(
                "{} bytes; at most {} are accepted",
                text.len(),
                limits::NAME_BYTES_MAX
            ),
        );
    }
    if let Some(what) = text::unfit(text) {
        return bad(field, format!("holds {what}; leave it out"));
    }
    Ok(())
}

/// A path on the worker: absolute, without `..`, without control characters. Never an option, never a protocol: it
/// starts with `/`, and the worker gives it to ffmpeg behind `file:`.
fn absolute(field: &'static str, path: &str) -> Result<String, BadField> {
    if path.len() > limits::PATH_BYTES_MAX {
        return bad(
            field,
            format!(
                "{} bytes; at most {} are accepted",
                path.len(),
                limits::PATH_BYTES_MAX
            ),
        );
    }
    if let Some(what) = text::unfit(path) {
        return bad(field, format!("holds {what}; rename the file"));
    }
    if !path.starts_with('/') {
        return bad(
            field,
            format!(
                "{:?} is not an absolute path; name the file as the worker sees it, from /",
                clip(path)
            ),
        );
    }
    if Path::new(path)
        .components()
        .any(|c| c == Component::ParentDir)
    {
        return bad(
            field,
            format!("{:?} holds `..`; name the file without it", clip(path)),
        );
    }
    if Path::new(path)
        .components()
        .any(|c| c.as_os_str().len() > limits::FILE_NAME_BYTES_MAX)
    {
        return bad(
            field,
            format!(
                "holds a name of more than {} bytes; shorten it",
                limits::FILE_NAME_BYTES_MAX
            ),
        );
    }
    // `/a/./b` and `/a//b` are `/a/b`: one name for one file. A slash at the end says that a directory is meant.
    let normal: PathBuf = Path::new(path).components().collect();
    if normal.file_name().is_none() {
        return bad(
            field,
            format!(
                "{:?} is the root of all files; name a file in it",
                clip(path)
            ),
        );
    }
    let slash = if path.ends_with('/') && path.len() > 1 {
        "/"
    } else {
        ""
    };
    Ok(format!("{}{slash}", normal.display()))
}

fn clip(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(edit: impl FnOnce(&mut JobSpec)) -> JobSpec {
        let mut spec = JobSpec::default();
        edit(&mut spec);
        spec
    }

    #[test]
    fn a_scenario_of_the_known_form_sets_size_rate_and_codec() {
        for (name, height, fps, codec) in [
            ("1080p60-h265", 1080, Some(60.0), Codec::H265),
            ("4K30-h264", 2160, Some(30.0), Codec::H264),
            ("720p-vp9", 720, None, Codec::Vp9),
            ("480p30-av1", 480, Some(30.0), Codec::Av1),
        ] {
            let settings = Settings::resolve(&spec(|s| s.scenario = Some(name.into()))).unwrap();
            assert_eq!(
                (settings.size, settings.fps, settings.codec),
                (Some(Size::Height(height)), fps, codec),
                "{name}"
            );
        }
        for label in [
            "load-test-1",
            "live-stream",
            "1080p",
            "p-h264",
            "news",
            "1080px-h265",
        ] {
            let settings = Settings::resolve(&spec(|s| s.scenario = Some(label.into()))).unwrap();
            assert_eq!(
                (settings.size, settings.codec),
                (None, Codec::H264),
                "{label} is only a label"
            );
        }
    }

    #[test]
    fn a_scenario_with_an_unknown_codec_is_refused_with_the_list() {
        let error =
            Settings::resolve(&spec(|s| s.scenario = Some("1080p60-h256".into()))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "scenario: \"1080p60-h256\" names the codec \"h256\"; known codecs are h264, h265 (or hevc), vp9, av1"
        );
    }

    #[test]
    fn each_bad_field_is_named() {
        type Edit = fn(&mut JobSpec);
        let cases: [(&str, Edit); 14] = [
            ("bitrate", |s| s.bitrate = Some("10X".into())),
            ("bitrate", |s| s.bitrate = Some("-5M".into())),
            ("size", |s| s.size = Some("1281x720".into())),
            ("size", |s| s.size = Some("0x0".into())),
            ("crf", |s| s.crf = Some(64)),
            ("preset", |s| s.preset = Some("warp".into())),
            ("fps", |s| s.fps = Some(f64::NAN)),
            ("duration_seconds", |s| s.duration_seconds = Some(-1.0)),
            ("input", |s| s.input = Some("concat:a|b".into())),
            ("input", |s| s.input = Some("/a\nb".into())),
            ("output", |s| s.output = Some("/tmp/../etc/x.mp4".into())),
            ("output", |s| s.output = Some("/tmp/x.exe".into())),
            ("audio", |s| s.audio = Some("mp7".into())),
            ("codec", |s| {
                (s.output, s.codec) = (Some("/a.webm".into()), Some("h264".into()))
            }),
        ];
        for (field, edit) in cases {
            let error = Settings::resolve(&spec(edit)).unwrap_err();
            assert_eq!(error.field, field, "{error}");
        }
    }

    #[test]
    fn a_start_is_a_place_in_a_file_and_zero_is_its_beginning() {
        let of = |seconds: f64, input: Option<&str>| {
            Settings::resolve(&spec(|s| {
                s.start_seconds = Some(seconds);
                s.input = input.map(Into::into);
            }))
            .map(|settings| settings.start_seconds)
        };
        assert_eq!(of(2.5, Some("/a.mp4")).unwrap(), Some(2.5));
        assert_eq!(of(0.0, Some("/a.mp4")).unwrap(), None);
        for wrong in [-1.0, f64::NAN, f64::INFINITY, 1e12] {
            assert_eq!(
                of(wrong, Some("/a.mp4")).unwrap_err().field,
                "start_seconds"
            );
        }
        let error = of(1.0, None).unwrap_err();
        assert!(error.message.contains("nothing to skip"), "{error}");
    }

    #[test]
    fn a_job_that_says_nothing_encodes_ten_cheap_synthetic_seconds() {
        let settings = Settings::resolve(&JobSpec::default()).unwrap();
        assert_eq!(settings.source, Source::Synthetic);
        assert_eq!(settings.duration_seconds, Some(10.0));
        assert_eq!(
            (settings.preset.as_str(), settings.output),
            ("ultrafast", None)
        );
    }
}

//! From what a user wrote ([`JobSpec`]) to what an encode needs ([`Settings`]): every field parsed, every default filled in.
//!
//! Pure, so that the master (at submit), the command line (before it) and tests agree. A field that cannot be honoured is
//! refused here, by name; nothing behind this point sees unchecked text. One file for each thing a job says: `place`
//! (from where, to where; `address` and `spooled` for what is not a path), `container`, `codec`, `video`, `ladder`,
//! `still`, `audio`, `subtitles`, `live`, `raw` (arguments for ffmpeg), `scenario` (names that set something); `check` holds what texts and numbers may be.

mod address;
mod audio;
mod check;
mod codec;
mod container;
mod ladder;
mod live;
mod place;
pub mod raw;
mod scenario;
mod spooled;
mod still;
mod subtitles;
mod video;
mod webhook;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use address::{Address, Scheme};
pub use audio::{Audio, AudioCodec};
use check::{bad, clip, seconds, short, short_or_empty, start};
pub use codec::Codec;
pub use container::Container;
use container::Holds;
pub use ladder::{RENDITIONS_MAX, Rendition};
pub use live::Live;
pub use place::{Output, Source};
pub use raw::RawArgs;
pub use scenario::Scenario;
use scenario::parse_scenario;
pub use still::Still;
pub use subtitles::Subtitles;
pub use video::{Gop, PixelFormat, RateControl, Size, Video, encoders_with_preset};
pub use webhook::{WEBHOOK_EVENTS_DEFAULT, WEBHOOK_URL_BYTES_MAX, Webhook};

use crate::{encoder::EncoderSet, job::JobSpec, limits};

/// A field of a [`JobSpec`] that cannot be honoured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct BadField {
    /// The field's name in JSON.
    pub field: &'static str,
    /// What was given, what is accepted, what to do.
    pub message: String,
}

/// What becomes of pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pictures {
    /// Left out: sound alone.
    None,
    /// Copied as they are.
    Copy,
    /// Encoded.
    Video(Video),
    /// One picture of them.
    Still(Still),
}

/// Least likeness of the output to the input, below which a job fails. `None` is not measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Structural similarity, 0 to 1.
    pub ssim: Option<f64>,
    /// Peak signal-to-noise ratio, in dB.
    pub psnr: Option<f64>,
    /// VMAF, 0 to 100.
    pub vmaf: Option<f64>,
}

impl Quality {
    /// Whether anything is to be measured.
    pub fn is_asked(&self) -> bool {
        self.ssim.or(self.psnr).or(self.vmaf).is_some()
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
    /// Set for a source that is happening now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<Live>,
    /// Seconds of input to skip; `None` begins at its beginning. Never set for a synthetic source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_seconds: Option<f64>,
    /// Seconds of input to encode; `None` is all of it. Always set for a synthetic source.
    pub duration_seconds: Option<f64>,
    /// Pictures.
    pub pictures: Pictures,
    /// Sound; `None` is left out. What the input has not is not made.
    pub audio: Option<Audio>,
    /// Subtitles.
    pub subtitles: Subtitles,
    /// Title, artist and the like, written into the output.
    pub metadata: BTreeMap<String, String>,
    /// Whether the output's index is moved to its front, so that it plays while it is still being downloaded.
    pub faststart: bool,
    /// Seconds of a segment; set for outputs that are folders of segments.
    pub segment_seconds: Option<f64>,
    /// What the output must come up to.
    pub quality: Quality,
    /// Seconds one attempt may run.
    pub timeout_seconds: Option<f64>,
    /// Raw arguments for ffmpeg.
    #[serde(default, skip_serializing_if = "RawArgs::is_empty")]
    pub raw: RawArgs,
}

/// Default length of a synthetic source, in seconds (upstream's, so that its load tests weigh the same).
pub const SYNTHETIC_SECONDS_DEFAULT: f64 = 10.0;

impl Settings {
    /// Checks `spec` and fills in every default.
    ///
    /// # Errors
    /// The first field that cannot be honoured, with what is accepted there.
    pub fn resolve(spec: &JobSpec) -> Result<Settings, BadField> {
        Settings::resolve_as_it_is(spec).map_err(|bad| of_preset(spec, bad))
    }

    fn resolve_as_it_is(spec: &JobSpec) -> Result<Settings, BadField> {
        let scenario = scenario_of(spec)?;
        names(spec)?;
        let source = place::source(spec)?;
        let (output, container) = place::output(spec, &source)?;
        let pictures = pictures(spec, scenario, container, &source)?;
        let audio = audio::resolve(spec, container)?;
        if pictures == Pictures::None && audio.is_none() {
            return bad(
                "audio",
                "there are no pictures either; a job needs something to encode",
            );
        }
        let subtitles = subtitles::resolve(spec, &source, &pictures, container)?;
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
        let faststart = match spec.faststart {
            Some(_) if !container.has_movable_index() => {
                return bad(
                    "faststart",
                    format!(
                        "{} has no index to move; it is for .mp4, .mov and .m4a",
                        container.shown()
                    ),
                );
            }
            given => given.unwrap_or(container.has_movable_index()),
        };
        let live = live::resolve(spec, &source, &pictures, subtitles, container)?;
        let timeout_seconds = seconds("timeout_seconds", spec.timeout_seconds)?;
        amounts(spec)?;
        Webhook::of(spec)?;
        let raw = raw::resolve(
            spec,
            &source,
            output.as_ref(),
            container,
            &pictures,
            audio.as_ref(),
            live.is_some(),
        )?;
        Ok(Settings {
            raw,
            quality: quality(spec, &source, &pictures, output.as_ref())?,
            segment_seconds: ladder::segment_seconds(spec, container)?,
            metadata: metadata(spec)?,
            source,
            output,
            overwrite: spec.overwrite,
            container,
            live,
            start_seconds,
            duration_seconds,
            pictures,
            audio,
            subtitles,
            faststart,
            timeout_seconds,
        })
    }

    /// How moving pictures are encoded, if they are.
    pub fn video(&self) -> Option<&Video> {
        match &self.pictures {
            Pictures::Video(video) => Some(video),
            _ => None,
        }
    }

    /// The encoders a worker must have proven by a trial encode before this can run there.
    pub fn encoders_needed(&self) -> EncoderSet {
        self.video()
            .map_or(EncoderSet::EMPTY, |video| EncoderSet::of(video.encoder))
    }

    /// Whether it needs a GPU.
    pub fn needs_gpu(&self) -> bool {
        self.video()
            .is_some_and(|video| video.encoder.is_hardware())
    }

    /// The codec as a job that is looked at for scheduling alone names it: `none` where no pictures are encoded.
    pub fn codec_name(&self) -> &'static str {
        self.video()
            .map_or("none", |video| video.codec.ffprobe_name())
    }

    /// What makes the output, for people and metrics: the video encoder, or what else is done.
    pub fn encoder_name(&self) -> &'static str {
        match (&self.pictures, &self.audio) {
            (Pictures::Video(video), _) => video.encoder.name(),
            (Pictures::Copy, _) => "copy",
            (Pictures::Still(_), _) if self.container == Container::Png => "png",
            (Pictures::Still(_), _) => "mjpeg",
            (Pictures::None, Some(audio)) => audio.codec.encoder(),
            (Pictures::None, None) => "none",
        }
    }
}

/// What the scenario's name sets. Beside a preset it sets nothing.
fn scenario_of(spec: &JobSpec) -> Result<Option<Scenario>, BadField> {
    let Some(name) = &spec.scenario else {
        return Ok(None);
    };
    short("scenario", name)?;
    match spec.preset {
        Some(_) => Ok(None),
        None => parse_scenario(name),
    }
}

/// The fields that the scenario's name sets, where the job does not say them itself.
pub fn fields_of_scenario(spec: &JobSpec) -> Vec<&'static str> {
    let Ok(Some(scenario)) = scenario_of(spec) else {
        return Vec::new();
    };
    [
        ("codec", spec.codec.is_none()),
        ("size", spec.size.is_none()),
        ("fps", spec.fps.is_none() && scenario.fps.is_some()),
    ]
    .into_iter()
    .filter_map(|(field, sets)| sets.then_some(field))
    .collect()
}

/// The same error, told where the field came from if the job did not say it itself.
fn of_preset(spec: &JobSpec, bad: BadField) -> BadField {
    let Some(preset) = spec.preset.as_deref() else {
        return bad;
    };
    if !spec.preset_fields.iter().any(|field| field == bad.field) {
        return bad;
    }
    let BadField { field, message } = bad;
    BadField {
        message: format!(
            "{message} (the preset {:?} says it; what the job says of {field} goes before that, and null takes it away)",
            clip(preset)
        ),
        field,
    }
}

/// The names a job carries.
fn names(spec: &JobSpec) -> Result<(), BadField> {
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
    if let Some(name) = &spec.preset {
        short("preset", name)?;
    }
    if let Some(key) = &spec.idempotency_key {
        short("idempotency_key", key)?;
    }
    Ok(())
}

/// What becomes of a job's pictures: said by the codec, or by what kind of file the output is.
fn pictures(
    spec: &JobSpec,
    scenario: Option<Scenario>,
    container: Container,
    source: &Source,
) -> Result<Pictures, BadField> {
    let word = spec.codec.as_deref();
    if spec.sprites.is_some() && container.holds() != Holds::Still {
        return bad(
            "sprites",
            "a sheet of pictures is a picture; end the output in .jpg or .png",
        );
    }
    if container.holds() == Holds::Still {
        no_video_fields(spec, "the output is one picture")?;
        if word.is_some() {
            return bad(
                "codec",
                "the output is one picture, by its extension; leave it out",
            );
        }
        return still::resolve(spec).map(Pictures::Still);
    }
    let none = word == Some("none") || (word.is_none() && container.holds() == Holds::Sound);
    if none {
        no_video_fields(spec, "the job has no pictures to encode")?;
        if spec.size.is_some() {
            return bad("size", "the job has no pictures to encode; leave it out");
        }
        return Ok(Pictures::None);
    }
    if container.holds() == Holds::Sound {
        return bad(
            "codec",
            format!(
                "{} holds sound alone; leave it out, or name another extension",
                container.shown()
            ),
        );
    }
    if word == Some("copy") {
        no_video_fields(spec, "pictures that are copied are not changed")?;
        if spec.size.is_some() {
            return bad(
                "size",
                "pictures that are copied are not changed; leave it out",
            );
        }
        if *source == Source::Synthetic {
            return bad(
                "codec",
                "a synthetic source is raw pictures; name a codec to encode them to",
            );
        }
        return Ok(Pictures::Copy);
    }
    let holds = container.video_codecs();
    let codec = match word {
        Some(word) => match Codec::parse(word) {
            Some(codec) => codec,
            None => {
                return bad(
                    "codec",
                    format!(
                        "{:?} is not one of {}, copy, none",
                        clip(word),
                        Codec::ACCEPTED
                    ),
                );
            }
        },
        None => scenario
            .map(|s| s.codec)
            .or(holds.first().copied())
            .unwrap_or(Codec::H264),
    };
    if !holds.contains(&codec) {
        let words: Vec<&str> = holds.iter().map(|codec| codec.word()).collect();
        return bad(
            "codec",
            format!(
                "{} holds {}; choose {} or another extension",
                container.shown(),
                words.join(" or "),
                if words.len() == 1 {
                    "that"
                } else {
                    "one of them"
                }
            ),
        );
    }
    let synthetic = *source == Source::Synthetic;
    video::resolve(spec, codec, scenario, container, synthetic).map(Pictures::Video)
}

/// Refuses what is said of an encode of moving pictures where there is none.
fn no_video_fields(spec: &JobSpec, why: &str) -> Result<(), BadField> {
    let given = [
        ("fps", spec.fps.is_some()),
        ("bitrate", spec.bitrate.is_some()),
        ("crf", spec.crf.is_some()),
        ("encoder_preset", spec.encoder_preset.is_some()),
        ("pixel_format", spec.pixel_format.is_some()),
        ("gop", spec.gop.is_some()),
        ("two_pass", spec.two_pass),
        ("renditions", !spec.renditions.is_empty()),
        ("gpu", spec.gpu),
        ("hardware", spec.hardware.is_some()),
    ];
    match given.into_iter().find_map(|(f, given)| given.then_some(f)) {
        Some(field) => bad(field, format!("{why}; leave it out")),
        None => Ok(()),
    }
}

fn metadata(spec: &JobSpec) -> Result<BTreeMap<String, String>, BadField> {
    if spec.metadata.len() > limits::LABELS_MAX {
        return bad(
            "metadata",
            format!(
                "{} entries; at most {} are accepted",
                spec.metadata.len(),
                limits::LABELS_MAX
            ),
        );
    }
    for (key, value) in &spec.metadata {
        short("metadata", key)?;
        short_or_empty("metadata", value)?;
        if key.contains('=') {
            return bad(
                "metadata",
                format!(
                    "the name {:?} holds an equals sign; leave it out",
                    clip(key)
                ),
            );
        }
    }
    Ok(spec.metadata.clone())
}

fn quality(
    spec: &JobSpec,
    source: &Source,
    pictures: &Pictures,
    output: Option<&Output>,
) -> Result<Quality, BadField> {
    let measures = [
        ("ssim_min", spec.ssim_min, 1.0),
        ("psnr_min", spec.psnr_min, 100.0),
        ("vmaf_min", spec.vmaf_min, 100.0),
    ];
    for (field, given, most) in measures {
        let Some(least) = given else { continue };
        if !(least.is_finite() && (0.0..=most).contains(&least)) {
            return bad(field, format!("{least} is not between 0 and {most}"));
        }
        let why = match (source, pictures, output) {
            (Source::File(_) | Source::Upload(_), Pictures::Video(video), output)
                if video.ladder.is_empty()
                    && !matches!(output, Some(Output::Folder { .. } | Output::Push(_))) =>
            {
                continue;
            }
            (Source::Synthetic | Source::Url(_), ..) => {
                "the input must be a file or an upload, which can be read twice"
            }
            (_, Pictures::Video(_), _) => "the output must be one file",
            _ => "only pictures that are encoded are measured",
        };
        return bad(field, format!("{why}; leave it out"));
    }
    Ok(Quality {
        ssim: spec.ssim_min,
        psnr: spec.psnr_min,
        vmaf: spec.vmaf_min,
    })
}

/// Counts within their bounds.
fn amounts(spec: &JobSpec) -> Result<(), BadField> {
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
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(edit: impl FnOnce(&mut JobSpec)) -> JobSpec {
        let mut spec = JobSpec::default();
        edit(&mut spec);
        spec
    }

    fn video_of(settings: &Settings) -> &Video {
        settings.video().unwrap()
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
                (
                    video_of(&settings).size,
                    video_of(&settings).fps,
                    video_of(&settings).codec
                ),
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
                (video_of(&settings).size, video_of(&settings).codec),
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
            ("encoder_preset", |s| s.encoder_preset = Some("warp".into())),
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
            (
                video_of(&settings).encoder_preset.as_str(),
                &settings.output
            ),
            ("ultrafast", &None)
        );
    }

    #[test]
    fn a_size_keeps_the_aspect_where_it_says_so() {
        for (text, size) in [
            (
                "1280x720",
                Size::Exact {
                    width: 1280,
                    height: 720,
                },
            ),
            ("1280x-2", Size::Width(1280)),
            ("1280x", Size::Width(1280)),
            ("-1x720", Size::Height(720)),
            ("x720", Size::Height(720)),
            (
                "fit:640x640",
                Size::Fit {
                    width: 640,
                    height: 640,
                },
            ),
        ] {
            let settings = Settings::resolve(&spec(|s| s.size = Some(text.into()))).unwrap();
            assert_eq!(video_of(&settings).size, Some(size), "{text}");
        }
    }

    #[test]
    fn the_extension_says_what_a_job_makes() {
        let of = |output: &str| {
            Settings::resolve(&spec(|s| {
                s.input = Some("/a.mkv".into());
                s.output = Some(output.into());
            }))
            .unwrap()
        };
        for (output, codec) in [
            ("/x.mp3", AudioCodec::Mp3),
            ("/x.m4a", AudioCodec::Aac),
            ("/x.flac", AudioCodec::Flac),
            ("/x.opus", AudioCodec::Opus),
            ("/x.wav", AudioCodec::Pcm),
        ] {
            let settings = of(output);
            assert_eq!(settings.pictures, Pictures::None, "{output}");
            assert_eq!(settings.audio.unwrap().codec, codec, "{output}");
        }
        assert!(matches!(of("/x.jpg").pictures, Pictures::Still(_)));
        let hls = of("/show/index.m3u8");
        assert_eq!(
            (hls.output, hls.segment_seconds),
            (
                Some(Output::Folder {
                    path: "/show".into(),
                    index: "index.m3u8".into()
                }),
                Some(6.0)
            )
        );
        assert_eq!(of("rtmp://h/live/key").container, Container::Flv);
        assert_eq!(of("srt://h:9000").container, Container::Mpegts);
        assert!(matches!(of("https://h/a.mp4").output, Some(Output::Put(_))));
    }

    #[test]
    fn what_does_not_go_together_is_refused_by_the_field_to_change() {
        type Edit = fn(&mut JobSpec);
        let input = |s: &mut JobSpec| s.input = Some("/a.mkv".into());
        let cases: [(&str, &str, Edit); 26] = [
            ("codec", "holds sound alone", |s| {
                (s.output, s.codec) = (Some("/a.mp3".into()), Some("h264".into()))
            }),
            ("crf", "no pictures", |s| {
                (s.output, s.crf) = (Some("/a.mp3".into()), Some(20))
            }),
            ("size", "no pictures", |s| {
                (s.codec, s.size) = (Some("none".into()), Some("64x64".into()))
            }),
            ("audio", "something to encode", |s| {
                (s.codec, s.audio) = (Some("none".into()), Some("none".into()))
            }),
            ("audio", "holds opus", |s| {
                (s.output, s.audio) = (Some("/a.webm".into()), Some("aac".into()))
            }),
            ("audio", "holds no sound", |s| {
                (s.output, s.audio) = (Some("/a.jpg".into()), Some("aac".into()))
            }),
            ("audio_bitrate", "no bitrate to choose", |s| {
                (s.output, s.audio_bitrate) = (Some("/a.wav".into()), Some("128k".into()))
            }),
            ("audio_bitrate", "between 8k", |s| {
                s.audio_bitrate = Some("1k".into())
            }),
            ("audio_channels", "not between 1 and 8", |s| {
                s.audio_channels = Some(9)
            }),
            ("audio_channels", "between 1 and 2", |s| {
                (s.audio, s.audio_channels) = (Some("mp3".into()), Some(6))
            }),
            ("loudness", "LUFS", |s| s.loudness = Some(3.0)),
            ("loudness", "copied", |s| {
                (s.audio, s.loudness) = (Some("copy".into()), Some(-16.0))
            }),
            ("codec", "raw pictures", |s| {
                (s.input, s.codec) = (None, Some("copy".into()))
            }),
            ("encoder_preset", "copied", |s| {
                (s.codec, s.encoder_preset) = (Some("copy".into()), Some("fast".into()))
            }),
            ("two_pass", "hitting a bitrate", |s| s.two_pass = true),
            ("two_pass", "not driven in two passes", |s| {
                (s.two_pass, s.codec, s.bitrate) = (true, Some("av1".into()), Some("1M".into()));
            }),
            ("gop", "2s", |s| s.gop = Some("2 seconds".into())),
            ("pixel_format", "does not take", |s| {
                (s.gpu, s.pixel_format) = (true, Some("yuv420p10le".into()));
            }),
            ("pixel_format", "is not one of", |s| {
                s.pixel_format = Some("rgb".into())
            }),
            ("hardware", "leave one of the two out", |s| {
                (s.gpu, s.hardware) = (true, Some(crate::job::Hardware::Never))
            }),
            ("subtitles", "burn", |s| {
                (s.output, s.subtitles) = (Some("/a.ts".into()), Some("copy".into()))
            }),
            ("metadata", "equals sign", |s| {
                s.metadata.insert("a=b".into(), "c".into());
            }),
            ("faststart", "no index", |s| {
                (s.output, s.faststart) = (Some("/b.mkv".into()), Some(true))
            }),
            ("sprites", "ACROSSxDOWN", |s| {
                (s.output, s.sprites) = (Some("/a.jpg".into()), Some("0x5".into()))
            }),
            ("renditions", "several renditions need", |s| {
                s.renditions = vec!["1280x720@2M".into()]
            }),
            ("bitrate", "its own", |s| {
                (s.output, s.bitrate) = (Some("/s/i.m3u8".into()), Some("1M".into()));
                s.renditions = vec!["1280x720@2M".into()];
            }),
        ];
        for (field, says, edit) in cases {
            let error = Settings::resolve(&spec(|s| {
                input(s);
                edit(s);
            }))
            .unwrap_err();
            assert!(
                error.field == field && error.message.contains(says),
                "{field}, {says}: {error}"
            );
        }
    }

    #[test]
    fn hardware_that_is_only_preferred_is_not_needed() {
        let of = |word: &str| {
            let hardware = word.parse().unwrap();
            Settings::resolve(&spec(|s| s.hardware = Some(hardware))).unwrap()
        };
        assert!(of("require").needs_gpu());
        let prefers = of("prefer");
        assert!(!prefers.needs_gpu() && video_of(&prefers).prefers_hardware);
        assert_eq!(
            video_of(&prefers)
                .by(crate::encoder::Encoder::H264Nvenc)
                .encoder_preset,
            "p4"
        );
        assert!(!video_of(&of("never")).prefers_hardware);
    }
}

//! From [`Settings`] to ffmpeg's arguments.
//!
//! Pure, so that what will be run can be shown without running it. Nothing a user wrote is ever an argument of its own
//! that could be read as an option or a protocol: paths stand behind `file:`, numbers are printed from numbers, and
//! presets come from a closed list.

use std::{ffi::OsString, path::Path};

use ffrtmp_api::{
    encoder::Encoder,
    settings::{Audio, Container, RateControl, Settings, Size, Source},
};

use super::probe::{FORMATS, Media, file_url};

/// Picture of a synthetic source for which the job names no size.
const SYNTHETIC_SIZE: (u32, u32) = (1280, 720);
/// Frame rate of a synthetic source for which the job names none.
const SYNTHETIC_FPS: f64 = 30.0;

/// The arguments of one encode, writing to `target`. `input` is what ffprobe said of the file, `None` for a synthetic
/// source; `gpu` is the number ffmpeg knows the chosen GPU by.
pub(crate) fn arguments(
    settings: &Settings,
    input: Option<&Media>,
    gpu: Option<u32>,
    target: &Path,
) -> Vec<OsString> {
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
    add_device(&mut args, settings.encoder, gpu);
    let sound = add_input(&mut args, settings, input);
    if let Some(seconds) = settings.duration_seconds {
        args.pair("-t", format!("{seconds:.6}"));
    }
    add_video(&mut args, settings, input, gpu);
    match sound {
        true => add_audio(&mut args, settings, input.is_none()),
        false => args.one("-an"),
    }
    args.all(["-sn", "-dn"]);
    if matches!(settings.container, Container::Mp4 | Container::Mov) {
        args.pair("-movflags", "+faststart");
    }
    args.pair("-f", settings.container.ffmpeg_name());
    args.0.push(file_url(target));
    args.0
}

/// Adds the inputs and which of their streams are used; answers whether there is sound among them.
fn add_input(args: &mut Args, settings: &Settings, input: Option<&Media>) -> bool {
    match &settings.source {
        Source::File(path) => {
            args.pair("-protocol_whitelist", "file");
            args.pair("-format_whitelist", FORMATS);
            if let Some(seconds) = settings.start_seconds {
                // Before `-i`: ffmpeg seeks to the key frame before it and decodes from there without keeping what comes
                // before the place asked for, so this is exact and needs no reading from the beginning.
                args.pair("-ss", format!("{seconds:.6}"));
            }
            args.one("-i");
            args.0.push(file_url(Path::new(path)));
            let video = input
                .and_then(|media| media.video.as_ref())
                .map_or(0, |video| video.index);
            args.pair("-map", format!("0:{video}"));
            let sound = input
                .and_then(|media| media.audio.as_ref())
                .filter(|_| settings.audio != Audio::None);
            if let Some(sound) = sound {
                args.pair("-map", format!("0:{}", sound.index));
            }
            sound.is_some()
        }
        // It was fetched and is a file by now. Were it not, ffmpeg would say that it has no input.
        Source::Upload(_) => false,
        Source::Synthetic => {
            let (width, height) = match settings.size {
                Some(Size::Exact { width, height }) => (width, height),
                // 16:9, rounded to even.
                Some(Size::Height(height)) => ((height * 16 / 9).next_multiple_of(2), height),
                None => SYNTHETIC_SIZE,
            };
            let fps = settings.fps.unwrap_or(SYNTHETIC_FPS);
            args.pair("-f", "lavfi");
            args.pair("-i", format!("testsrc2=size={width}x{height}:rate={fps}"));
            let sound = settings.audio != Audio::None;
            if sound {
                args.pair("-f", "lavfi");
                args.pair("-i", "sine=frequency=440:sample_rate=48000");
            }
            sound
        }
    }
}

fn add_video(args: &mut Args, settings: &Settings, input: Option<&Media>, gpu: Option<u32>) {
    let mut filters: Vec<String> = Vec::new();
    match (settings.size, input) {
        // A synthetic source has the right size already.
        (_, None) => {}
        (Some(Size::Exact { width, height }), _) => filters.push(format!("scale={width}:{height}")),
        (Some(Size::Height(height)), _) => filters.push(format!("scale=-2:{height}")),
        // Every encoder here wants even numbers in 4:2:0.
        (None, _) => filters.push("scale=trunc(iw/2)*2:trunc(ih/2)*2".into()),
    }
    if let Some(fps) = settings.fps {
        filters.push(format!("fps={fps}"));
    }
    match settings.encoder {
        Encoder::H264Vaapi | Encoder::HevcVaapi | Encoder::Av1Vaapi => {
            filters.push("format=nv12,hwupload".into())
        }
        Encoder::H264Qsv | Encoder::HevcQsv | Encoder::Av1Qsv => filters.push("format=nv12".into()),
        // 8-bit 4:2:0 is what every player plays.
        _ => filters.push("format=yuv420p".into()),
    }
    args.pair("-vf", filters.join(","));
    args.pair("-c:v", settings.encoder.name());
    add_rate(args, settings.encoder, settings.rate);
    match settings.encoder {
        Encoder::LibvpxVp9 => {
            args.all(["-deadline", "good", "-row-mt", "1"]);
            args.pair("-cpu-used", settings.preset.clone());
        }
        Encoder::H264Vaapi | Encoder::HevcVaapi | Encoder::Av1Vaapi => {
            args.pair("-compression_level", settings.preset.clone());
        }
        _ => args.pair("-preset", settings.preset.clone()),
    }
    if let (Encoder::H264Nvenc | Encoder::HevcNvenc | Encoder::Av1Nvenc, Some(gpu)) =
        (settings.encoder, gpu)
    {
        args.pair("-gpu", gpu.to_string());
    }
}

fn add_rate(args: &mut Args, encoder: Encoder, rate: RateControl) {
    match rate {
        RateControl::Bitrate(bits) => args.pair("-b:v", bits.to_string()),
        RateControl::Crf(quality) => match encoder {
            Encoder::Libx264 | Encoder::Libx265 | Encoder::Libsvtav1 => {
                args.pair("-crf", quality.to_string())
            }
            // Without a bitrate of 0 libvpx treats the quality as a floor under its default 200 kbit/s.
            Encoder::LibvpxVp9 => {
                args.pair("-crf", quality.to_string());
                args.pair("-b:v", "0");
            }
            Encoder::H264Nvenc | Encoder::HevcNvenc | Encoder::Av1Nvenc => {
                args.all(["-rc", "vbr", "-b:v", "0"]);
                args.pair("-cq", quality.to_string());
            }
            Encoder::H264Vaapi | Encoder::HevcVaapi | Encoder::Av1Vaapi => {
                args.pair("-qp", quality.to_string())
            }
            Encoder::H264Qsv | Encoder::HevcQsv | Encoder::Av1Qsv => {
                args.pair("-global_quality", quality.to_string())
            }
        },
    }
}

fn add_audio(args: &mut Args, settings: &Settings, synthetic: bool) {
    let audio = match settings.audio {
        // A synthetic tone is raw samples, which few containers hold: there is nothing to copy, so encode.
        Audio::Copy if synthetic && settings.container == Container::Webm => Audio::Opus,
        Audio::Copy if synthetic => Audio::Aac,
        asked => asked,
    };
    match audio {
        Audio::Aac => args.all(["-c:a", "aac", "-b:a", "128k"]),
        // libopus refuses layouts such as 5.1(side), common in broadcasts, unless they are mapped to those it knows.
        Audio::Opus => {
            args.all([
                "-c:a",
                "libopus",
                "-b:a",
                "96k",
                "-af",
                "aformat=channel_layouts=7.1|5.1|stereo|mono",
            ]);
        }
        Audio::Copy => args.all(["-c:a", "copy"]),
        Audio::None => args.one("-an"),
    }
}

/// A trial encode: five frames of 256x256 (NVENC refuses much smaller ones) thrown away.
pub(crate) fn trial_arguments(encoder: Encoder, gpu: Option<u32>) -> Vec<OsString> {
    let mut args = Args::default();
    args.all(["-nostdin", "-hide_banner", "-loglevel", "error"]);
    add_device(&mut args, encoder, gpu);
    args.all([
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=256x256:rate=30",
        "-frames:v",
        "5",
    ]);
    args.pair(
        "-vf",
        match encoder {
            Encoder::H264Vaapi | Encoder::HevcVaapi | Encoder::Av1Vaapi => "format=nv12,hwupload",
            Encoder::H264Qsv | Encoder::HevcQsv | Encoder::Av1Qsv => "format=nv12",
            _ => "format=yuv420p",
        },
    );
    args.pair("-c:v", encoder.name());
    args.all(["-f", "null", "-"]);
    args.0
}

/// Names the render node an encoder runs on.
fn add_device(args: &mut Args, encoder: Encoder, gpu: Option<u32>) {
    // Render nodes are numbered from 128 (Linux drm_drv.c: minor = 64 * type + index, render is type 2).
    let node = format!("/dev/dri/renderD{}", 128 + gpu.unwrap_or(0).min(63));
    match encoder {
        Encoder::H264Vaapi | Encoder::HevcVaapi | Encoder::Av1Vaapi => {
            args.pair("-vaapi_device", node)
        }
        Encoder::H264Qsv | Encoder::HevcQsv | Encoder::Av1Qsv => args.pair("-qsv_device", node),
        _ => {}
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
mod tests {
    use ffrtmp_api::job::JobSpec;

    use super::super::probe::{Sound, Video};
    use super::*;

    fn line(edit: impl FnOnce(&mut JobSpec), input: Option<&Media>) -> String {
        let mut spec = JobSpec::default();
        edit(&mut spec);
        let settings = Settings::resolve(&spec).unwrap();
        let args = arguments(&settings, input, None, Path::new("/out/.x.part"));
        args.iter()
            .map(|a| a.to_string_lossy().into_owned())
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn clip() -> Media {
        Media {
            format: "mov".into(),
            duration_seconds: Some(5.0),
            video: Some(Video {
                index: 2,
                ..Video::default()
            }),
            audio: Some(Sound {
                index: 0,
                codec: "aac".into(),
            }),
        }
    }

    #[test]
    fn a_file_is_read_behind_its_protocol_and_a_whitelist() {
        let line = line(|s| s.input = Some("/-y.mp4".into()), Some(&clip()));
        assert!(
            line.contains("-protocol_whitelist file -format_whitelist mov,"),
            "{line}"
        );
        assert!(
            line.contains(" -i file:/-y.mp4 -map 0:2 -map 0:0 "),
            "{line}"
        );
        assert!(line.ends_with(" -f matroska file:/out/.x.part"), "{line}");
    }

    #[test]
    fn a_start_is_sought_in_the_input_and_the_length_counts_from_there() {
        let line = line(
            |s| {
                s.input = Some("/a.mp4".into());
                s.start_seconds = Some(2.5);
                s.duration_seconds = Some(1.0);
            },
            Some(&clip()),
        );
        assert!(
            line.contains(" -ss 2.500000 -i file:/a.mp4 ") && line.contains(" -t 1.000000 "),
            "{line}"
        );
    }

    #[test]
    fn a_synthetic_source_is_made_inside_the_encoding_process() {
        let line = line(|s| s.scenario = Some("1080p60-h265".into()), None);
        assert!(
            line.contains("-i testsrc2=size=1920x1080:rate=60"),
            "{line}"
        );
        assert!(
            line.contains("sine=") && line.contains("-t 10.000000"),
            "{line}"
        );
        assert!(
            line.contains("-c:v libx265 -crf 28 -preset ultrafast"),
            "{line}"
        );
    }

    #[test]
    fn odd_synthetic_widths_are_rounded_to_even() {
        assert!(line(|s| s.scenario = Some("480p-h264".into()), None).contains("size=854x480"));
    }

    #[test]
    fn an_input_without_sound_gets_none() {
        let silent = Media {
            audio: None,
            ..clip()
        };
        let line = line(|s| s.input = Some("/a.mp4".into()), Some(&silent));
        assert!(line.contains(" -an ") && !line.contains("-c:a"), "{line}");
    }

    #[test]
    fn a_trial_is_large_enough_for_a_gpu() {
        let args = trial_arguments(Encoder::H264Vaapi, None);
        assert!(args.contains(&"testsrc2=size=256x256:rate=30".into()));
        assert!(args.contains(&"/dev/dri/renderD128".into()));
    }
}

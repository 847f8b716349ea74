//! Whether an output is what was asked for. ffmpeg's exit code 0 is not believed on its own.
//!
//! Pure: what ffprobe said of the output against the settings, the input and ffmpeg's own last report.

use ffrtmp_api::{
    job::FailureReason,
    settings::{Container, Pictures, Settings, Size, Subtitles},
};

use super::{
    command::keeps_all_sound,
    diagnosis::Failure,
    probe::{Media, Video},
    progress::Report,
};

/// Containers that state their length exactly; others estimate it from the bitrate, and may be far off.
const EXACT: [&str; 3] = ["mov", "matroska", "webm"];

/// Checks `output`. `expected_seconds` is the input's length, cut to what was asked.
pub(crate) fn verify(
    settings: &Settings,
    output: &Media,
    input: Option<&Media>,
    expected_seconds: Option<f64>,
    last: &Report,
) -> Result<(), Failure> {
    let fail = |what: String| -> Result<(), Failure> {
        Err(Failure::new(
            FailureReason::RuntimeError,
            format!("the output is not what was asked: {what}"),
        ))
    };
    match &settings.pictures {
        Pictures::None => {
            if output.video.is_some() {
                return fail("it holds pictures".into());
            }
        }
        Pictures::Copy => {
            let was = input.and_then(|media| media.video.as_ref());
            verify_stream(output.video.as_ref(), was.map(|v| v.codec.as_str()), None)
                .or_else(fail)?;
        }
        Pictures::Still(still) => {
            let codec = match settings.container {
                Container::Png => "png",
                _ => "mjpeg",
            };
            let size = still.size.filter(|_| still.sheet.is_none());
            return verify_stream(output.video.as_ref(), Some(codec), size).or_else(fail);
        }
        Pictures::Video(video) => {
            let codec = Some(video.codec.ffprobe_name());
            let sizes: Vec<_> = match video.ladder.is_empty() {
                true => vec![video.size],
                false => video.ladder.iter().map(|r| Some(r.size)).collect(),
            };
            let mut streams = output.video.iter().chain(&output.more_video);
            for size in sizes {
                verify_stream(streams.next(), codec, size).or_else(fail)?;
            }
        }
    }
    // A frame may be held in two packets, or hidden (VP9's alternate references); far fewer than reported is a loss.
    if let Some(video) = output
        .video
        .as_ref()
        .filter(|_| output.more_video.is_empty())
    {
        let frames = video.packets.unwrap_or(0);
        if last.ended && frames * 10 < last.frames * 9 {
            return fail(format!(
                "it holds {frames} frames, while ffmpeg reported {}",
                last.frames
            ));
        }
    }
    verify_sound(settings, output, input).or_else(fail)?;
    let kept = settings.subtitles == Subtitles::Copy;
    if let Some(had) = input.map(|media| media.captions.len()).filter(|_| kept)
        && output.captions.len() != had
    {
        return fail(format!(
            "it holds {} subtitles, where the input holds {had}",
            output.captions.len()
        ));
    }
    let Some(seconds) = output.duration_seconds else {
        return Ok(());
    };
    if let Some(expected) = expected_seconds {
        let exact =
            input.is_none_or(|media| media.format.split(',').any(|name| EXACT.contains(&name)));
        // Exact containers: a tenth and two seconds cover edit lists and trailing silence. Estimates: half.
        let least = if exact {
            expected * 0.9 - 2.0
        } else {
            expected * 0.5 - 2.0
        };
        if seconds < least {
            return fail(format!(
                "it is {seconds:.2} s long, where {expected:.2} s were expected"
            ));
        }
        // What is copied begins at the key frame before the place asked for.
        if settings.pictures != Pictures::Copy
            && settings
                .duration_seconds
                .is_some_and(|limit| seconds > limit * 1.05 + 2.0)
        {
            return fail(format!(
                "it is {seconds:.2} s long, more than the {expected:.2} s asked for"
            ));
        }
    }
    Ok(())
}

/// Whether there is a stream of pictures like that. The error says what is wrong.
fn verify_stream(
    video: Option<&Video>,
    codec: Option<&str>,
    size: Option<Size>,
) -> Result<(), String> {
    let Some(video) = video else {
        return Err("it holds no video, or too few".into());
    };
    if let Some(codec) = codec
        && video.codec != codec
    {
        return Err(format!("its video codec is {}, not {codec}", video.codec));
    }
    let wrong = match size {
        Some(Size::Exact { width, height }) => (video.width, video.height) != (width, height),
        Some(Size::Height(height)) => video.height != height,
        Some(Size::Width(width)) => video.width != width,
        Some(Size::Fit { width, height }) => video.width > width || video.height > height,
        None => false,
    };
    if wrong {
        let asked = size.map(|size| size.to_string()).unwrap_or_default();
        return Err(format!(
            "its size is {}x{}, not {asked}",
            video.width, video.height
        ));
    }
    match video.packets {
        Some(0) | None => Err("it holds no frames".into()),
        Some(_) => Ok(()),
    }
}

fn verify_sound(settings: &Settings, output: &Media, input: Option<&Media>) -> Result<(), String> {
    let (Some(audio), true) = (&settings.audio, input.is_some_and(|m| m.audio.is_some())) else {
        return Ok(());
    };
    let Some(sound) = &output.audio else {
        return Err("it holds no sound, and the input does".into());
    };
    if let Some(codec) = audio.codec.ffprobe_name()
        && sound.codec != codec
    {
        return Err(format!("its audio codec is {}, not {codec}", sound.codec));
    }
    match audio.channels {
        Some(channels) if sound.channels != channels => Err(format!(
            "it has {} channels of sound, not {channels}",
            sound.channels
        )),
        _ if keeps_all_sound(settings) => {
            let had = 1 + input.map_or(0, |media| media.more_audio.len());
            let has = 1 + output.more_audio.len();
            match has == had {
                true => Ok(()),
                false => Err(format!(
                    "it holds {has} tracks of sound, where the input holds {had}"
                )),
            }
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use ffrtmp_api::job::JobSpec;

    use super::*;

    fn good() -> Media {
        let video = Video {
            index: 0,
            codec: "h264".into(),
            width: 640,
            height: 360,
            packets: Some(250),
            fps: Some(25.0),
            ..Video::default()
        };
        Media {
            format: "matroska,webm".into(),
            duration_seconds: Some(10.0),
            video: Some(video),
            ..Media::default()
        }
    }

    fn check(output: &Media) -> Result<(), Failure> {
        let spec = JobSpec {
            size: Some("640x360".into()),
            ..JobSpec::default()
        };
        let settings = Settings::resolve(&spec).unwrap();
        let last = Report {
            frames: 250,
            ended: true,
            ..Report::default()
        };
        verify(
            &settings,
            output,
            Some(&Media {
                format: "mov,mp4,m4a,3gp,3g2,mj2".into(),
                ..Media::default()
            }),
            Some(10.0),
            &last,
        )
    }

    fn changed(edit: impl FnOnce(&mut Media, &mut Video)) -> Media {
        let mut media = good();
        let mut video = media.video.take().unwrap();
        edit(&mut media, &mut video);
        media.video = Some(video);
        media
    }

    #[test]
    fn a_good_output_passes() {
        check(&good()).unwrap();
    }

    #[test]
    fn each_flaw_is_named() {
        let cases = [
            (
                Media {
                    video: None,
                    ..good()
                },
                "no video",
            ),
            (changed(|_, v| v.codec = "mpeg4".into()), "mpeg4"),
            (changed(|_, v| v.width = 642), "642x360"),
            (changed(|_, v| v.packets = Some(0)), "no frames"),
            (changed(|_, v| v.packets = Some(100)), "100 frames"),
            (changed(|m, _| m.duration_seconds = Some(5.0)), "5.00 s"),
            (changed(|m, _| m.duration_seconds = Some(15.0)), "15.00 s"),
        ];
        for (output, says) in cases {
            let failure = check(&output).unwrap_err();
            assert!(failure.message.contains(says), "{}", failure.message);
        }
    }
}

//! Whether an output is what was asked for. ffmpeg's exit code 0 is not believed on its own.
//!
//! Pure: what ffprobe said of the output against the settings, the input and ffmpeg's own last report.

use ffrtmp_api::{
    job::FailureReason,
    settings::{Settings, Size},
};

use super::{diagnosis::Failure, probe::Media, progress::Report};

/// Containers that state their length exactly; others estimate it from the bitrate, and may be far off.
const EXACT: [&str; 3] = ["mov", "matroska", "webm"];

/// Checks `output`. `expected_seconds` is the input's length, cut to what was asked.
pub(crate) fn verify(
    settings: &Settings,
    output: &Media,
    input_format: Option<&str>,
    expected_seconds: Option<f64>,
    last: &Report,
) -> Result<(), Failure> {
    let fail = |what: String| {
        Err(Failure::new(
            FailureReason::RuntimeError,
            format!("the output is not what was asked: {what}"),
        ))
    };
    let Some(video) = &output.video else {
        return fail("it holds no video".into());
    };
    let codec = settings.codec.ffprobe_name();
    if video.codec != codec {
        return fail(format!("its video codec is {}, not {codec}", video.codec));
    }
    match settings.size {
        Some(Size::Exact { width, height }) if (video.width, video.height) != (width, height) => {
            return fail(format!(
                "its size is {}x{}, not {width}x{height}",
                video.width, video.height
            ));
        }
        Some(Size::Height(height)) if video.height != height => {
            return fail(format!("its height is {}, not {height}", video.height));
        }
        _ => {}
    }
    let frames = video.packets.unwrap_or(0);
    if frames == 0 {
        return fail("it holds no frames".into());
    }
    // A frame may be held in two packets, or hidden (VP9's alternate references); far fewer than reported is a loss.
    if last.ended && frames * 10 < last.frames * 9 {
        return fail(format!(
            "it holds {frames} frames, while ffmpeg reported {}",
            last.frames
        ));
    }
    let Some(seconds) = output.duration_seconds else {
        return Ok(());
    };
    if let Some(expected) = expected_seconds {
        let exact =
            input_format.is_none_or(|format| format.split(',').any(|name| EXACT.contains(&name)));
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
        if settings
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

#[cfg(test)]
mod tests {
    use ffrtmp_api::job::JobSpec;

    use super::super::probe::Video;
    use super::*;

    fn good() -> Media {
        let video = Video {
            index: 0,
            codec: "h264".into(),
            width: 640,
            height: 360,
            packets: Some(250),
        };
        Media {
            format: "matroska,webm".into(),
            duration_seconds: Some(10.0),
            video: Some(video),
            audio: None,
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
            Some("mov,mp4,m4a,3gp,3g2,mj2"),
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

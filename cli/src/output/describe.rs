//! One line about what a job encodes, from the same resolution of settings that the master does.
//!
//! Separate because submitting and showing a job both say it. It describes; it never decides a setting.

use ffrtmp_api::settings::{Audio, RateControl, Settings, Size, Source};

use super::units::seconds_short;

/// `h264 by libx264, 854x480, 25 fps, crf 23, preset medium, aac`.
pub fn settings_line(settings: &Settings) -> String {
    let mut parts = vec![format!(
        "{} by {}",
        settings.codec.ffprobe_name(),
        settings.encoder.name()
    )];
    match settings.size {
        Some(Size::Exact { width, height }) => parts.push(format!("{width}x{height}")),
        Some(Size::Height(height)) => parts.push(format!("{height} lines high")),
        None => {}
    }
    if let Some(fps) = settings.fps {
        parts.push(format!("{fps} fps"));
    }
    parts.push(match settings.rate {
        RateControl::Crf(crf) => format!("crf {crf}"),
        RateControl::Bitrate(bits) => format!("{} kbit/s", bits / 1000),
    });
    parts.push(format!("preset {}", settings.preset));
    parts.push(
        match settings.audio {
            Audio::Aac => "aac",
            Audio::Opus => "opus",
            Audio::Copy => "sound copied",
            Audio::None => "no sound",
        }
        .to_owned(),
    );
    parts.join(", ")
}

/// `/media/in.mp4 (from 10s, first 30s)` or `synthetic, 10s`.
pub fn source_line(settings: &Settings) -> String {
    let short = |seconds: f64| seconds_short(seconds).replace(".0s", "s");
    let length = settings.duration_seconds.map(short);
    match &settings.source {
        Source::File(_) | Source::Upload(_) => {
            let name = match &settings.source {
                Source::Upload(id) => format!("upload {id}"),
                Source::File(path) => path.clone(),
                Source::Synthetic => String::new(),
            };
            let start = settings
                .start_seconds
                .map(|seconds| format!("from {}", short(seconds)));
            let length = length.map(|length| format!("first {length}"));
            let part: Vec<String> = start.into_iter().chain(length).collect();
            if part.is_empty() {
                name
            } else {
                format!("{name} ({})", part.join(", "))
            }
        }
        Source::Synthetic => format!("synthetic, {}", length.as_deref().unwrap_or("endless")),
    }
}

#[cfg(test)]
mod tests {
    use ffrtmp_api::job::JobSpec;

    use super::*;

    #[test]
    fn a_job_is_described_by_what_will_be_done() {
        let settings = Settings::resolve(&JobSpec {
            input: Some("/a.mp4".into()),
            size: Some("854x480".into()),
            bitrate: Some("2.5M".into()),
            duration_seconds: Some(30.0),
            ..JobSpec::default()
        })
        .unwrap();
        assert_eq!(
            settings_line(&settings),
            "h264 by libx264, 854x480, 2500 kbit/s, preset medium, aac"
        );
        assert_eq!(source_line(&settings), "/a.mp4 (first 30s)");
        let part = Settings {
            start_seconds: Some(90.0),
            ..settings
        };
        assert_eq!(source_line(&part), "/a.mp4 (from 1m30s, first 30s)");
        assert_eq!(
            source_line(&Settings::resolve(&JobSpec::default()).unwrap()),
            "synthetic, 10s"
        );
    }
}

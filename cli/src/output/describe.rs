//! One line about what a job encodes, from the same resolution of settings that the master does.
//!
//! Separate because submitting and showing a job both say it. It describes; it never decides a setting.

use ffrtmp_api::settings::{
    Audio, AudioCodec, Gop, Live, Pictures, RateControl, Settings, Size, Source, Still, Subtitles,
    Video,
};

use super::units::seconds_short;

/// `h264 by libx264, 854x480, 25 fps, crf 23, encoder preset medium, aac 128k`.
pub fn settings_line(settings: &Settings) -> String {
    let mut parts = match &settings.pictures {
        Pictures::None => vec!["no pictures".to_owned()],
        Pictures::Copy => vec!["pictures copied".to_owned()],
        Pictures::Still(still) => vec![still_line(still)],
        Pictures::Video(video) => video_parts(video),
    };
    parts.push(match &settings.audio {
        Some(audio) => audio_line(audio),
        None => "no sound".to_owned(),
    });
    match settings.subtitles {
        Subtitles::None => {}
        Subtitles::Copy => parts.push("subtitles kept".to_owned()),
        Subtitles::Burn => parts.push("subtitles burned in".to_owned()),
    }
    parts.join(", ")
}

fn video_parts(video: &Video) -> Vec<String> {
    let encoder = match video.prefers_hardware {
        true => format!("hardware or {}", video.encoder.name()),
        false => video.encoder.name().to_owned(),
    };
    let mut parts = vec![format!("{} by {encoder}", video.codec.ffprobe_name())];
    if video.ladder.is_empty() {
        parts.extend(video.size.map(size_line));
    }
    parts.extend(video.fps.map(|fps| format!("{fps} fps")));
    if video.ladder.is_empty() {
        parts.push(rate_line(video.rate));
    }
    for rendition in &video.ladder {
        parts.push(format!(
            "{} at {}",
            size_line(rendition.size),
            bits(rendition.bitrate)
        ));
    }
    if video.two_pass {
        parts.push("two passes".to_owned());
    }
    parts.push(format!("encoder preset {}", video.encoder_preset));
    parts
}

/// `1280x720`, `720 lines high`.
pub fn size_line(size: Size) -> String {
    match size {
        Size::Exact { width, height } => format!("{width}x{height}"),
        Size::Height(height) => format!("{height} lines high"),
        Size::Width(width) => format!("{width} pixels wide"),
        Size::Fit { width, height } => format!("within {width}x{height}"),
    }
}

/// `crf 23` or `2500 kbit/s`.
pub fn rate_line(rate: RateControl) -> String {
    match rate {
        RateControl::Crf(crf) => format!("crf {crf}"),
        RateControl::Bitrate(rate) => bits(rate),
    }
}

/// `every 48 frames` or `every 2 s`.
pub fn gop_line(gop: Gop) -> String {
    match gop {
        Gop::Frames(frames) => format!("every {frames} frames"),
        Gop::Seconds(seconds) => format!("every {seconds} s"),
    }
}

/// `aac 128k, stereo, -16 LUFS`.
pub fn audio_line(audio: &Audio) -> String {
    let mut line = match audio.codec {
        AudioCodec::Copy => "sound copied".to_owned(),
        codec => codec.word().to_owned(),
    };
    if let Some(rate) = audio.bitrate {
        line.push_str(&format!(" {}k", rate / 1000));
    }
    match audio.channels {
        None => {}
        Some(1) => line.push_str(" mono"),
        Some(2) => line.push_str(" stereo"),
        Some(n) => line.push_str(&format!(" {n} channels")),
    }
    if let Some(lufs) = audio.loudness {
        line.push_str(&format!(" at {lufs} LUFS"));
    }
    line
}

fn still_line(still: &Still) -> String {
    let size = still.size.map(|size| format!(" {}", size_line(size)));
    match still.sheet {
        None => format!("one picture{}", size.unwrap_or_default()),
        Some((across, down)) => format!(
            "a sheet of {across}x{down} pictures{}",
            size.map(|size| format!(", each{size}")).unwrap_or_default()
        ),
    }
}

fn bits(rate: u64) -> String {
    format!("{} kbit/s", rate / 1000)
}

/// `waits 1m00s for its source; can be watched while it runs`.
pub fn live_line(live: &Live) -> String {
    let mut line = match live.input_wait_seconds {
        0.0 => "ends with its source".to_owned(),
        seconds => format!("waits {} for its source", seconds_short(seconds)),
    };
    if live.watchable {
        line.push_str("; can be watched while it runs");
    }
    line
}

/// `/media/in.mp4 (from 10s, first 30s)` or `synthetic, 10s`.
pub fn source_line(settings: &Settings) -> String {
    let short = |seconds: f64| seconds_short(seconds).replace(".0s", "s");
    let length = settings.duration_seconds.map(short);
    match &settings.source {
        Source::File(_) | Source::Upload(_) | Source::Url(_) => {
            let name = match &settings.source {
                Source::Upload(id) => format!("upload {id}"),
                Source::File(path) => path.clone(),
                Source::Url(address) => address.to_string(),
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
            "h264 by libx264, 854x480, 2500 kbit/s, encoder preset medium, aac 128k"
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

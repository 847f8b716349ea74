//! Sources that are happening now, and how long one is waited for.
//!
//! Separate because it is not the queue, nor the output, that makes a job live: it is its source alone.

use serde::{Deserialize, Serialize};

use super::{
    BadField, Container, Pictures, Source, Subtitles,
    check::{bad, clip},
};
use crate::{
    job::{JobSpec, Mode},
    limits,
};

/// How long a source is waited for when a job does not say: longer than an encoder or a server takes to start again.
const WAIT_SECONDS_DEFAULT: f64 = 60.0;

/// How a source that is happening now is read.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Live {
    /// Seconds the source is waited for, at first and whenever it has gone. 0: its first end is the end.
    pub input_wait_seconds: f64,
    /// Whether the folder of an HLS output can be watched while it grows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub watchable: bool,
}

/// Whether a job is live, and how.
pub(super) fn resolve(
    spec: &JobSpec,
    source: &Source,
    pictures: &Pictures,
    subtitles: Subtitles,
    container: Container,
) -> Result<Option<Live>, BadField> {
    let can_be = matches!(source, Source::Url(address) if address.scheme().is_live());
    let is_still = matches!(pictures, Pictures::Still(_));
    let mode = match spec.mode {
        Some(Mode::Live) if !can_be => {
            return bad(
                "mode",
                "live is for rtmp, rtmps and srt inputs: only they are happening now. Leave it out, or use the queue live to go first",
            );
        }
        Some(Mode::Live) if is_still => {
            return bad("mode", "one picture is not live; leave it out");
        }
        Some(mode) => mode,
        None if can_be && !is_still => Mode::Live,
        None => Mode::File,
    };
    if spec.watchable && mode == Mode::File {
        return bad(
            "watchable",
            "only what is made of a live source (rtmp, rtmps or srt) can be watched while it is made; leave it out",
        );
    }
    if spec.watchable && container != Container::Hls {
        return bad(
            "watchable",
            "only HLS can be watched while it is made: name an output that ends in .m3u8, or leave it out",
        );
    }
    if mode == Mode::File {
        return match spec.input_wait_seconds {
            Some(_) => bad(
                "input_wait_seconds",
                "only a live job waits for its input (an rtmp, rtmps or srt one); leave it out",
            ),
            None => Ok(None),
        };
    }
    if spec.start_seconds.is_some_and(|start| start > 0.0) {
        return bad(
            "start_seconds",
            "a live source has no beginning to count from; leave it out, or say mode file",
        );
    }
    if let Pictures::Video(video) = pictures
        && video.two_pass
    {
        return bad(
            "two_pass",
            "a live source is seen once; leave it out, or say mode file",
        );
    }
    if subtitles != Subtitles::None {
        let word = clip(spec.subtitles.as_deref().unwrap_or_default());
        return bad(
            "subtitles",
            format!(
                "{word:?}: those of a live source are not taken; leave it out, or say mode file"
            ),
        );
    }
    let input_wait_seconds = spec.input_wait_seconds.unwrap_or(WAIT_SECONDS_DEFAULT);
    if !(0.0..=limits::INPUT_WAIT_SECONDS_MAX).contains(&input_wait_seconds) {
        return bad(
            "input_wait_seconds",
            format!(
                "{input_wait_seconds} is not between 0 and {} (a day)",
                limits::INPUT_WAIT_SECONDS_MAX
            ),
        );
    }
    Ok(Some(Live {
        input_wait_seconds,
        watchable: spec.watchable,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn of(input: Option<&str>, edit: impl FnOnce(&mut JobSpec)) -> Result<Option<Live>, BadField> {
        let mut spec = JobSpec {
            input: input.map(Into::into),
            ..JobSpec::default()
        };
        edit(&mut spec);
        Settings::resolve(&spec).map(|settings| settings.live)
    }

    #[test]
    fn the_source_makes_a_job_live_and_the_queue_does_not() {
        for (input, live) in [
            (Some("rtmp://h/live/k"), true),
            (Some("rtmps://h/live/k"), true),
            (Some("srt://h:9000"), true),
            (Some("https://h/a.mp4"), false),
            (Some("https://h/a.m3u8"), false),
            (Some("/a.mp4"), false),
            (None, false),
        ] {
            let first = of(input, |s| s.queue = crate::job::Queue::Live).unwrap();
            assert_eq!(first.is_some(), live, "{input:?}");
            let asked = of(input, |s| s.mode = Some(Mode::Live));
            assert_eq!(asked.is_ok(), live, "{input:?}");
            assert_eq!(of(input, |s| s.mode = Some(Mode::File)), Ok(None));
        }
        let picture = of(Some("rtmp://h/live/k"), |s| {
            s.output = Some("/a.jpg".into())
        });
        assert_eq!(picture, Ok(None));
    }

    #[test]
    fn only_hls_of_a_live_source_can_be_watched_while_it_is_made() {
        let hls = |s: &mut JobSpec| (s.output, s.watchable) = (Some("/a/b.m3u8".into()), true);
        let live = of(Some("srt://h:9000"), hls).unwrap().unwrap();
        assert!(live.watchable);
        for input in ["/film.mkv", "https://h/film.m3u8"] {
            assert_eq!(of(Some(input), hls).unwrap_err().field, "watchable");
        }
    }

    #[test]
    fn what_a_live_source_cannot_give_is_refused_by_name() {
        type Edit = fn(&mut JobSpec);
        let cases: [(&str, Edit); 7] = [
            ("watchable", |s| s.watchable = true),
            ("watchable", |s| {
                (s.output, s.watchable) = (Some("/a/b.mpd".into()), true)
            }),
            ("start_seconds", |s| s.start_seconds = Some(1.0)),
            ("two_pass", |s| {
                (s.two_pass, s.bitrate) = (true, Some("1M".into()))
            }),
            ("subtitles", |s| {
                (s.output, s.subtitles) = (Some("/a.mkv".into()), Some("copy".into()))
            }),
            ("input_wait_seconds", |s| s.input_wait_seconds = Some(-1.0)),
            ("input_wait_seconds", |s| {
                (s.mode, s.input_wait_seconds) = (Some(Mode::File), Some(1.0))
            }),
        ];
        for (field, edit) in cases {
            let error = of(Some("srt://h:9000"), edit).unwrap_err();
            assert_eq!(error.field, field, "{error}");
        }
    }
}

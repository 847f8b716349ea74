//! What a file is: first by the operating system, then by ffprobe.
//!
//! Separate from encoding so that bad media fails at once, with a message that names the path, before anything is
//! spawned for long. It never opens a device, a FIFO or a playlist.

use std::{io, os::unix::fs::OpenOptionsExt, path::Path, process::Command, time::Duration};

use ffrtmp_api::job::FailureReason;
use serde::Deserialize;

use super::{
    capture::capture,
    diagnosis::{Failure, recognise},
    hidden::Hidden,
    program::Programs,
    reach::Reach,
    spawner::Spawner,
};

/// A media file, as ffprobe sees it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Media {
    /// Container.
    pub(crate) format: String,
    /// Length, where the container tells: of the streams that would be used, or else of the whole.
    pub(crate) duration_seconds: Option<f64>,
    /// The first stream of moving pictures.
    pub(crate) video: Option<Video>,
    /// The first stream of sound.
    pub(crate) audio: Option<Sound>,
    /// The other streams of moving pictures: more renditions.
    pub(crate) more_video: Vec<Video>,
    /// The streams of subtitles.
    pub(crate) captions: Vec<Caption>,
}

/// A stream of pictures.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Video {
    /// Its number in the file.
    pub(crate) index: u32,
    /// Codec.
    pub(crate) codec: String,
    /// Pixels.
    pub(crate) width: u32,
    /// Pixels.
    pub(crate) height: u32,
    /// Frames per second, where the file tells.
    pub(crate) fps: Option<f64>,
    /// Packets, if they were counted.
    pub(crate) packets: Option<u64>,
}

/// A stream of sound.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Sound {
    /// Its number in the file.
    pub(crate) index: u32,
    /// Codec.
    pub(crate) codec: String,
    /// Channels.
    pub(crate) channels: u32,
}

/// A stream of subtitles.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Caption {
    /// Its number in the file.
    pub(crate) index: u32,
    /// Codec.
    pub(crate) codec: String,
}

impl Caption {
    /// Whether it is text, rather than pictures of text.
    pub(crate) fn is_text(&self) -> bool {
        !matches!(
            self.codec.as_str(),
            "hdmv_pgs_subtitle" | "dvd_subtitle" | "dvb_subtitle" | "xsub"
        )
    }
}

/// Whether `path` is a file that can be read at all. Answers with its size in bytes.
pub(crate) fn check_input(path: &Path) -> Result<u64, Failure> {
    let fail = |what: String| {
        Failure::new(
            FailureReason::InputError,
            format!("input {}: {what}", path.display()),
        )
    };
    // O_NONBLOCK: opening a FIFO must not wait for a writer.
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(|error| {
            fail(match error.kind() {
                io::ErrorKind::NotFound => "no such file on this worker".into(),
                io::ErrorKind::PermissionDenied => "the worker may not read it".into(),
                _ => error.to_string(),
            })
        })?;
    let metadata = file.metadata().map_err(|error| fail(error.to_string()))?;
    if metadata.is_dir() {
        return Err(fail("is a directory; name a file".into()));
    }
    if !metadata.is_file() {
        return Err(fail(
            "is a device, FIFO or socket; name a regular file".into(),
        ));
    }
    if metadata.len() == 0 {
        return Err(fail("is empty".into()));
    }
    Ok(metadata.len())
}

/// Asks ffprobe about a file or an address. The error is ffprobe's own last line.
pub(crate) async fn probe(
    spawner: &Spawner,
    programs: &Programs,
    reach: Reach<'_>,
    count_packets: bool,
    timeout: Duration,
) -> Result<Media, ProbeError> {
    let mut command = Command::new(&programs.ffprobe);
    command.args(["-hide_banner", "-v", "error"]);
    command.args(reach.options());
    if count_packets {
        command.arg("-count_packets");
    }
    command
        .args(["-show_format", "-show_streams", "-of", "json", "-i"])
        .arg(reach.url());
    let answer = capture(spawner, command, timeout)
        .await
        .map_err(ProbeError::Run)?;
    if !answer.exit.status.success() {
        let known = recognise(&answer.stderr);
        // Of what happened on the way to a server, the last line tells least: most often it is "Input/output error".
        let said = match known {
            Some((FailureReason::NetworkError, line)) => line,
            _ => answer.last_words(),
        };
        let url = format!("{}: ", reach.url().to_string_lossy());
        let said = said.trim_start_matches(&url).to_owned();
        let said = match reach {
            Reach::Url(address, _) => Hidden::of([address]).clean(&said).into_owned(),
            _ => said,
        };
        let known = known.map(|(reason, _)| reason);
        return Err(ProbeError::NotMedia { said, known });
    }
    parse(&answer.stdout).map_err(|error| ProbeError::NotMedia {
        said: format!("ffprobe's answer is not understood: {error}"),
        known: None,
    })
}

/// Why ffprobe has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    /// It could not be run, or not to its end.
    #[error("ffprobe cannot be run: {0}")]
    Run(io::Error),
    /// It ran and refused the file.
    #[error("{said}")]
    NotMedia {
        /// Its last line.
        said: String,
        /// What that means, if it is certain.
        known: Option<FailureReason>,
    },
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    streams: Vec<Stream>,
    format: Format,
}

#[derive(Deserialize)]
struct Format {
    format_name: String,
    duration: Option<String>,
}

#[derive(Deserialize)]
struct Stream {
    index: u32,
    codec_type: Option<String>,
    codec_name: Option<String>,
    #[serde(default)]
    width: u32,
    #[serde(default)]
    height: u32,
    duration: Option<String>,
    nb_read_packets: Option<String>,
    avg_frame_rate: Option<String>,
    #[serde(default)]
    channels: u32,
    #[serde(default)]
    disposition: Disposition,
}

#[derive(Deserialize, Default)]
struct Disposition {
    #[serde(default)]
    attached_pic: u32,
}

fn parse(json: &str) -> serde_json::Result<Media> {
    let answer: Answer = serde_json::from_str(json)?;
    let seconds = |text: &Option<String>| {
        text.as_ref()
            .and_then(|t| t.parse::<f64>().ok())
            .filter(|s| *s > 0.0)
    };
    let of_kind = |kind: &'static str| {
        // A cover picture inside a music file is a video stream to ffprobe, but not to people.
        answer.streams.iter().filter(move |s| {
            s.codec_type.as_deref() == Some(kind) && s.disposition.attached_pic == 0
        })
    };
    let (video, audio) = (of_kind("video").next(), of_kind("audio").next());
    let of_streams = [video, audio]
        .into_iter()
        .flatten()
        .filter_map(|s| seconds(&s.duration))
        .reduce(f64::max);
    let codec = |s: &Stream| s.codec_name.clone().unwrap_or_default();
    let mut videos = of_kind("video").map(|s| Video {
        index: s.index,
        codec: codec(s),
        width: s.width,
        height: s.height,
        fps: s.avg_frame_rate.as_deref().and_then(rate),
        packets: s.nb_read_packets.as_ref().and_then(|n| n.parse().ok()),
    });
    Ok(Media {
        duration_seconds: of_streams.or(seconds(&answer.format.duration)),
        video: videos.next(),
        more_video: videos.collect(),
        audio: audio.map(|s| Sound {
            index: s.index,
            codec: codec(s),
            channels: s.channels,
        }),
        captions: of_kind("subtitle")
            .map(|s| Caption {
                index: s.index,
                codec: codec(s),
            })
            .collect(),
        format: answer.format.format_name,
    })
}

/// `30000/1001` as a number; `0/0`, ffprobe's word for not knowing, as none.
fn rate(text: &str) -> Option<f64> {
    let (frames, seconds) = text.split_once('/')?;
    let rate = frames.parse::<f64>().ok()? / seconds.parse::<f64>().ok()?;
    (rate.is_finite() && rate > 0.0).then_some(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cover_picture_is_not_video() {
        let json = r#"{"streams": [
            {"index": 0, "codec_type": "audio", "codec_name": "mp3", "duration": "3.5"},
            {"index": 1, "codec_type": "video", "codec_name": "png", "width": 8, "height": 8, "disposition": {"attached_pic": 1}}
        ], "format": {"format_name": "mp3", "duration": "3.6"}}"#;
        let media = parse(json).unwrap();
        assert_eq!(media.video, None);
        assert_eq!(media.duration_seconds, Some(3.5));
    }

    #[test]
    fn a_directory_a_fifo_and_a_missing_file_are_refused_at_once_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            0o600.into(),
            0,
        )
        .unwrap();
        for (path, says) in [
            (dir.path().to_owned(), "directory"),
            (fifo, "FIFO"),
            (dir.path().join("none"), "no such file"),
        ] {
            let failure = check_input(&path).unwrap_err();
            assert_eq!(failure.reason, FailureReason::InputError);
            assert!(failure.message.contains(says), "{}", failure.message);
            assert!(
                failure.message.contains(&*path.to_string_lossy()),
                "{}",
                failure.message
            );
        }
    }
}

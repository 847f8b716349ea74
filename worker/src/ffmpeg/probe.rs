//! What a file is: first by the operating system, then by ffprobe.
//!
//! Separate from encoding so that bad media fails at once, with a message that names the path, before anything is
//! spawned for long. It never opens a device, a FIFO or a playlist.

use std::{io, os::unix::fs::OpenOptionsExt, path::Path, process::Command, time::Duration};

use ffrtmp_api::{
    job::FailureReason,
    settings::{Pictures, Settings},
};
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
    /// Length, where the container tells: of the longer of the first pictures and the first sound, or else of the whole. How long it is
    /// to a job, which may use only one of them, says [`Media::ends`].
    pub(crate) duration_seconds: Option<f64>,
    /// The first stream of moving pictures.
    pub(crate) video: Option<Video>,
    /// The first stream of sound.
    pub(crate) audio: Option<Sound>,
    /// The other streams of moving pictures: more renditions.
    pub(crate) more_video: Vec<Video>,
    /// The numbers of the other streams of sound: languages, comments.
    pub(crate) more_audio: Vec<u32>,
    /// The streams of subtitles.
    pub(crate) captions: Vec<Caption>,
}

impl Media {
    /// Where what the job uses of it ends, in seconds from its beginning.
    pub(crate) fn ends(&self, settings: &Settings) -> Option<f64> {
        let pictures = match settings.pictures {
            Pictures::None => None,
            _ => self.video.as_ref().map(|video| video.span),
        };
        let sound = match settings.audio {
            None => None,
            Some(_) => self.audio.as_ref().map(|sound| sound.span),
        };
        let ends = [pictures, sound]
            .into_iter()
            .flatten()
            .map(|span| span.ends)
            .reduce(|one, other| Some(one?.max(other?)));
        ends.flatten().or(self.duration_seconds)
    }
}

/// How long an output should become, of an input of which what is used ends at `ends` seconds, where both can be told.
pub(crate) fn expected_seconds(ends: Option<f64>, settings: &Settings) -> Option<f64> {
    let left = ends.map(|ends| (ends - settings.start_seconds.unwrap_or(0.0)).max(0.0));
    match (left, settings.duration_seconds) {
        (Some(left), Some(asked)) => Some(left.min(asked)),
        (left, asked) => left.or(asked),
    }
}

/// When a stream begins and ends, in seconds from the beginning of its file.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Span {
    /// Later than the file, if its first packet is.
    pub(crate) begins: f64,
    /// Where the container tells.
    pub(crate) ends: Option<f64>,
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
    /// Frames per second on average, where the file tells.
    pub(crate) fps: Option<f64>,
    /// Frames per second where they follow each other fastest; the same as `fps` where the rate is constant. It is what ffmpeg brings
    /// them to in containers of a constant rate.
    pub(crate) fps_top: Option<f64>,
    /// When they are there.
    pub(crate) span: Span,
    /// Packets, if they were counted.
    pub(crate) packets: Option<u64>,
    /// How wide its pixels are for their height, where the file tells.
    pub(crate) pixel_aspect: Option<f64>,
    /// By how many quarters of a circle players turn it.
    pub(crate) quarter_turns: i64,
}

impl Video {
    /// Whether its pixels are square, as far as is known.
    pub(crate) fn is_square(&self) -> bool {
        self.pixel_aspect
            .is_none_or(|aspect| (aspect - 1.0).abs() < 0.001)
    }

    /// How wide and high it is as it is shown, and as ffmpeg hands it to filters.
    pub(crate) fn shown(&self) -> (u32, u32) {
        match self.quarter_turns % 2 {
            0 => (self.width, self.height),
            _ => (self.height, self.width),
        }
    }
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
    /// When it is there.
    pub(crate) span: Span,
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
    start_time: Option<String>,
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
    start_time: Option<String>,
    duration: Option<String>,
    #[serde(default)]
    tags: Tags,
    nb_read_packets: Option<String>,
    avg_frame_rate: Option<String>,
    r_frame_rate: Option<String>,
    sample_aspect_ratio: Option<String>,
    #[serde(default)]
    side_data_list: Vec<SideData>,
    field_order: Option<String>,
    #[serde(default)]
    channels: u32,
    #[serde(default)]
    disposition: Disposition,
}

#[derive(Deserialize)]
struct SideData {
    /// Of a display matrix: degrees.
    rotation: Option<f64>,
}

#[derive(Deserialize, Default)]
struct Tags {
    /// Where a stream of a Matroska file ends: `00:00:05.312000000`. Its header has no such field.
    #[serde(rename = "DURATION")]
    duration: Option<String>,
}

#[derive(Deserialize, Default)]
struct Disposition {
    #[serde(default)]
    attached_pic: u32,
}

fn parse(json: &str) -> serde_json::Result<Media> {
    let answer: Answer = serde_json::from_str(json)?;
    let time = |text: &Option<String>| text.as_ref()?.parse::<f64>().ok();
    let seconds = |text: &Option<String>| time(text).filter(|s| *s > 0.0);
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
    let file_begins = time(&answer.format.start_time);
    let span = |s: &Stream| {
        let begins = match (time(&s.start_time), file_begins) {
            (Some(stream), Some(file)) => (stream - file).max(0.0),
            _ => 0.0,
        };
        let by_tag = s.tags.duration.as_deref().and_then(clock);
        Span {
            begins,
            ends: seconds(&s.duration)
                .map(|long| begins + long)
                .or(by_tag.map(|end| end - file_begins.unwrap_or(0.0).max(0.0)))
                .filter(|end| *end > 0.0),
        }
    };
    let mut videos = of_kind("video").map(|s| Video {
        index: s.index,
        codec: codec(s),
        width: s.width,
        height: s.height,
        fps: s.avg_frame_rate.as_deref().and_then(rate),
        fps_top: fps_top(s),
        pixel_aspect: s
            .sample_aspect_ratio
            .as_deref()
            .and_then(|text| rate(&text.replace(':', "/"))),
        quarter_turns: s
            .side_data_list
            .iter()
            .find_map(|data| data.rotation)
            .map_or(0, |degrees| (degrees / 90.0).round() as i64),
        span: span(s),
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
            span: span(s),
        }),
        more_audio: of_kind("audio").skip(1).map(|s| s.index).collect(),
        captions: of_kind("subtitle")
            .map(|s| Caption {
                index: s.index,
                codec: codec(s),
            })
            .collect(),
        format: answer.format.format_name,
    })
}

/// The highest rate that can be meant. What is beyond it, as in recordings of phones and screens, is the clock of the file rather than
/// a rate of pictures.
const FPS_MEANT_MAX: f64 = 120.0;

/// See [`Video::fps_top`].
fn fps_top(stream: &Stream) -> Option<f64> {
    let rate_of = |text: &Option<String>| text.as_deref().and_then(rate);
    let average = rate_of(&stream.avg_frame_rate);
    let interlaced = stream
        .field_order
        .as_deref()
        .is_some_and(|order| !matches!(order, "progressive" | "unknown"));
    let top = rate_of(&stream.r_frame_rate).filter(|top| {
        // Of interlaced pictures it is the rate of the fields.
        let fields =
            interlaced && average.is_some_and(|average| (top / average - 2.0).abs() < 0.02);
        *top <= FPS_MEANT_MAX && !fields
    });
    match (top, average) {
        (Some(top), Some(average)) => Some(top.max(average)),
        (top, average) => top.or(average),
    }
}

/// `00:01:02.500000000` in seconds.
fn clock(text: &str) -> Option<f64> {
    let mut parts = text.trim().split(':').map(|part| part.parse::<f64>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    parts
        .next()
        .is_none()
        .then_some(hours * 3600.0 + minutes * 60.0 + seconds)
}

/// `30000/1001` as a number; `0/0`, ffprobe's word for not knowing, as none.
fn rate(text: &str) -> Option<f64> {
    let (frames, seconds) = text.split_once('/')?;
    let rate = frames.parse::<f64>().ok()? / seconds.parse::<f64>().ok()?;
    (rate.is_finite() && rate > 0.0).then_some(rate)
}

#[cfg(test)]
mod tests {
    use ffrtmp_api::job::JobSpec;

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
    fn how_long_a_file_is_depends_on_what_is_used_of_it() {
        let json = r#"{"streams": [
            {"index": 0, "codec_type": "video", "codec_name": "h264", "width": 8, "height": 8, "start_time": "2.9", "duration": "4.0",
                "avg_frame_rate": "25/8", "r_frame_rate": "60/1"},
            {"index": 1, "codec_type": "audio", "codec_name": "aac", "start_time": "1.4", "duration": "20.0"},
            {"index": 2, "codec_type": "audio", "codec_name": "aac", "start_time": "1.4", "tags": {"DURATION": "00:00:21.400000000"}}
        ], "format": {"format_name": "mpegts", "start_time": "1.4", "duration": "20.1"}}"#;
        let media = parse(json).unwrap();
        let video = media.video.clone().unwrap();
        assert_eq!((video.fps, video.fps_top), (Some(3.125), Some(60.0)));
        assert!((video.span.begins - 1.5).abs() < 1e-9);
        assert_eq!(media.more_audio, [2]);
        let ends = |edit: fn(&mut JobSpec)| {
            let mut spec = JobSpec::default();
            edit(&mut spec);
            media.ends(&Settings::resolve(&spec).unwrap()).unwrap()
        };
        assert!((ends(|_| {}) - 20.0).abs() < 1e-9);
        assert!((ends(|s| s.audio = Some("none".into())) - 5.5).abs() < 1e-9);
        assert_eq!(clock("01:02:03.5"), Some(3723.5));
        assert_eq!(clock("3.5"), None);
    }

    #[test]
    fn fields_are_no_frames_and_the_clock_of_a_file_is_no_rate() {
        let top = |average: &str, top: &str, order: &str| {
            fps_top(
                &serde_json::from_value(serde_json::json!({
                    "index": 0, "avg_frame_rate": average, "r_frame_rate": top, "field_order": order
                }))
                .unwrap(),
            )
        };
        assert_eq!(top("25/1", "50/1", "tt"), Some(25.0));
        assert_eq!(top("25/1", "50/1", "progressive"), Some(50.0));
        assert_eq!(top("29/1", "90000/1", "unknown"), Some(29.0));
        assert_eq!(top("0/0", "30/1", "progressive"), Some(30.0));
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

//! File formats an output may have: chosen by the extension of its name, with what each can hold.
//!
//! What a format cannot hold is refused at submit, with what it can, rather than by ffmpeg half a minute later.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{
    BadField,
    audio::AudioCodec,
    check::{bad, clip},
    codec::Codec,
};

/// A file format for the output.
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
    /// What `rtmp://` carries.
    Flv,
    /// `.mp3`
    Mp3,
    /// `.m4a`
    M4a,
    /// `.flac`
    Flac,
    /// `.ogg`, `.oga`, `.opus`
    Ogg,
    /// `.wav`
    Wav,
    /// `.jpg`, `.jpeg`: one picture.
    Jpeg,
    /// `.png`: one picture.
    Png,
    /// `.m3u8`: a folder of segments and playlists.
    Hls,
    /// `.mpd`: a folder of segments and a manifest.
    Dash,
}

/// What a container is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    /// Moving pictures and sound.
    Video,
    /// Sound alone.
    Sound,
    /// One picture.
    Still,
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
            Container::Flv => "flv",
            Container::Mp3 => "mp3",
            // ffmpeg's name for an mp4 that music players know.
            Container::M4a => "ipod",
            Container::Flac => "flac",
            Container::Ogg => "ogg",
            Container::Wav => "wav",
            Container::Jpeg | Container::Png => "image2",
            Container::Hls => "hls",
            Container::Dash => "dash",
        }
    }

    /// Whether it is a folder of many files.
    pub fn is_folder(self) -> bool {
        matches!(self, Container::Hls | Container::Dash)
    }

    /// Whether its index can stand in front of its media (`faststart`).
    pub fn has_movable_index(self) -> bool {
        matches!(self, Container::Mp4 | Container::Mov | Container::M4a)
    }

    pub(super) fn holds(self) -> Holds {
        match self {
            Container::Mp3 | Container::M4a | Container::Flac | Container::Ogg | Container::Wav => {
                Holds::Sound
            }
            Container::Jpeg | Container::Png => Holds::Still,
            _ => Holds::Video,
        }
    }

    /// The video codecs it holds; the first is what a job that names none gets.
    pub(super) fn video_codecs(self) -> &'static [Codec] {
        match self {
            Container::Matroska | Container::Mp4 | Container::Dash => {
                &[Codec::H264, Codec::H265, Codec::Vp9, Codec::Av1]
            }
            Container::Webm => &[Codec::Vp9, Codec::Av1],
            Container::Mov | Container::Mpegts | Container::Hls => &[Codec::H264, Codec::H265],
            Container::Flv => &[Codec::H264],
            _ => &[],
        }
    }

    /// The audio codecs it holds; the first is what a job that names none gets.
    pub(super) fn audio_codecs(self) -> &'static [AudioCodec] {
        use AudioCodec::{Aac, Flac, Mp3, Opus, Pcm};
        match self {
            Container::Matroska => &[Aac, Opus, Mp3, Flac, Pcm],
            Container::Mp4 => &[Aac, Opus, Mp3],
            Container::Mov => &[Aac, Mp3, Pcm],
            Container::Webm => &[Opus],
            Container::Mpegts => &[Aac, Opus, Mp3],
            Container::Flv => &[Aac, Mp3],
            Container::Hls | Container::Dash | Container::M4a => &[Aac],
            Container::Mp3 => &[Mp3],
            Container::Flac => &[Flac],
            Container::Ogg => &[Opus, Flac],
            Container::Wav => &[Pcm],
            Container::Jpeg | Container::Png => &[],
        }
    }

    /// How a message names it.
    pub(super) fn shown(self) -> &'static str {
        match self {
            Container::Mp4 => "a .mp4 file",
            Container::Mov => "a .mov file",
            Container::Matroska => "a .mkv file",
            Container::Webm => "a .webm file",
            Container::Mpegts => "a .ts file or an srt stream",
            Container::Flv => "an rtmp stream",
            Container::Mp3 => "a .mp3 file",
            Container::M4a => "a .m4a file",
            Container::Flac => "a .flac file",
            Container::Ogg => "a .ogg file",
            Container::Wav => "a .wav file",
            Container::Jpeg => "a .jpg picture",
            Container::Png => "a .png picture",
            Container::Hls => "an HLS folder",
            Container::Dash => "a DASH folder",
        }
    }

    pub(super) fn of_path(path: &str) -> Result<Container, BadField> {
        let extension = Path::new(path)
            .extension()
            .and_then(|e| e.to_str())
            .unwrap_or("")
            .to_ascii_lowercase();
        Ok(match extension.as_str() {
            "mp4" | "m4v" => Container::Mp4,
            "mov" => Container::Mov,
            "mkv" => Container::Matroska,
            "webm" => Container::Webm,
            "ts" => Container::Mpegts,
            "mp3" => Container::Mp3,
            "m4a" => Container::M4a,
            "flac" => Container::Flac,
            "ogg" | "oga" | "opus" => Container::Ogg,
            "wav" => Container::Wav,
            "jpg" | "jpeg" => Container::Jpeg,
            "png" => Container::Png,
            "m3u8" => Container::Hls,
            "mpd" => Container::Dash,
            _ => {
                return bad(
                    "output",
                    format!(
                        "the extension {:?} names no container known here; end it in .mp4, .m4v, .mov, .mkv, .webm or .ts, \
                         .mp3, .m4a, .flac, .ogg, .opus or .wav for sound, .jpg or .png for a picture, .m3u8 or .mpd for a \
                         folder of segments",
                        clip(&extension)
                    ),
                );
            }
        })
    }
}

//! What becomes of sound.

use serde::{Deserialize, Serialize};

use super::{
    BadField,
    check::{bad, clip},
    container::{Container, Holds},
    video::parse_bitrate,
};
use crate::job::JobSpec;

/// Loudest and quietest aim of loudness normalisation, in LUFS: what ffmpeg's `loudnorm` takes.
const LOUDNESS_LUFS: std::ops::RangeInclusive<f64> = -70.0..=-5.0;
/// Most channels: 7.1.
const CHANNELS_MAX: u32 = 8;

/// How sound is encoded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Audio {
    /// To what.
    pub codec: AudioCodec,
    /// Bits per second; `None` where the codec has no choice (flac, pcm, copy).
    pub bitrate: Option<u64>,
    /// Channels; `None` keeps the input's.
    pub channels: Option<u32>,
    /// Integrated loudness to aim for, in LUFS (EBU R 128); `None` leaves it as it is.
    pub loudness: Option<f64>,
}

/// An audio codec, as users name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AudioCodec {
    /// AAC.
    Aac,
    /// Opus.
    Opus,
    /// MP3.
    Mp3,
    /// FLAC: lossless.
    Flac,
    /// 16-bit samples, uncompressed.
    Pcm,
    /// As it is in the input.
    Copy,
}

impl AudioCodec {
    /// The words accepted besides `none`, with what they mean.
    const WORDS: [(&'static str, AudioCodec); 6] = [
        ("aac", AudioCodec::Aac),
        ("opus", AudioCodec::Opus),
        ("mp3", AudioCodec::Mp3),
        ("flac", AudioCodec::Flac),
        ("pcm", AudioCodec::Pcm),
        ("copy", AudioCodec::Copy),
    ];

    /// The word users write.
    pub fn word(self) -> &'static str {
        Self::WORDS
            .into_iter()
            .find_map(|(word, codec)| (codec == self).then_some(word))
            .unwrap_or("copy")
    }

    /// The name ffmpeg's `-c:a` takes.
    pub fn encoder(self) -> &'static str {
        match self {
            AudioCodec::Aac => "aac",
            AudioCodec::Opus => "libopus",
            AudioCodec::Mp3 => "libmp3lame",
            AudioCodec::Flac => "flac",
            AudioCodec::Pcm => "pcm_s16le",
            AudioCodec::Copy => "copy",
        }
    }

    /// The codec's name as ffprobe prints it; `None` for what is copied, which the input decides.
    pub fn ffprobe_name(self) -> Option<&'static str> {
        match self {
            AudioCodec::Aac => Some("aac"),
            AudioCodec::Opus => Some("opus"),
            AudioCodec::Mp3 => Some("mp3"),
            AudioCodec::Flac => Some("flac"),
            AudioCodec::Pcm => Some("pcm_s16le"),
            AudioCodec::Copy => None,
        }
    }

    /// Bits per second a job that does not say gets, where there is a choice: transparent to most ears in stereo.
    fn bitrate_default(self) -> Option<u64> {
        match self {
            AudioCodec::Aac => Some(128_000),
            AudioCodec::Opus => Some(96_000),
            AudioCodec::Mp3 => Some(192_000),
            AudioCodec::Flac | AudioCodec::Pcm | AudioCodec::Copy => None,
        }
    }
}

/// How the sound of a job is encoded; `None` if it has none.
pub(super) fn resolve(spec: &JobSpec, container: Container) -> Result<Option<Audio>, BadField> {
    let holds = container.audio_codecs();
    let codec = match spec.audio.as_deref() {
        None if container.holds() == Holds::Still => None,
        None => holds.first().copied(),
        Some("none") => None,
        Some(word) => match AudioCodec::WORDS.into_iter().find(|(w, _)| *w == word) {
            Some((_, codec)) => Some(codec),
            None => {
                return bad(
                    "audio",
                    format!(
                        "{:?} is not one of aac, opus, mp3, flac, pcm, copy, none",
                        clip(word)
                    ),
                );
            }
        },
    };
    let given = [
        ("audio_bitrate", spec.audio_bitrate.is_some()),
        ("audio_channels", spec.audio_channels.is_some()),
        ("loudness", spec.loudness.is_some()),
    ];
    let refuse = |why: &str| match given.into_iter().find_map(|(f, given)| given.then_some(f)) {
        Some(field) => bad(field, why),
        None => Ok(()),
    };
    let Some(codec) = codec else {
        refuse("the job has no sound to encode; leave it out")?;
        return Ok(None);
    };
    if codec == AudioCodec::Copy && container.holds() != Holds::Still {
        refuse("sound that is copied is not changed; name an audio codec, or leave it out")?;
    } else if !holds.contains(&codec) {
        let words: Vec<&str> = holds.iter().map(|codec| codec.word()).collect();
        let holds = match words.as_slice() {
            [] => "no sound; leave audio out".to_owned(),
            words => format!(
                "{}; choose that or none, or another extension",
                words.join(", ")
            ),
        };
        return bad("audio", format!("{} holds {holds}", container.shown()));
    }
    let bitrate = match (&spec.audio_bitrate, codec.bitrate_default()) {
        (Some(_), None) => {
            return bad(
                "audio_bitrate",
                format!("{} has no bitrate to choose; leave it out", codec.word()),
            );
        }
        (Some(text), Some(_)) => Some(match parse_bitrate("audio_bitrate", text)? {
            bits if (8_000..=1_000_000).contains(&bits) => bits,
            _ => {
                return bad(
                    "audio_bitrate",
                    format!("{:?} is not between 8k and 1000k, as in 128k", clip(text)),
                );
            }
        }),
        (None, default) => default,
    };
    let most = if codec == AudioCodec::Mp3 {
        2
    } else {
        CHANNELS_MAX
    };
    if let Some(channels) = spec.audio_channels
        && !(1..=most).contains(&channels)
    {
        return bad(
            "audio_channels",
            format!(
                "{channels} is not between 1 and {most}, as {} has",
                codec.word()
            ),
        );
    }
    if let Some(lufs) = spec.loudness
        && !(lufs.is_finite() && LOUDNESS_LUFS.contains(&lufs))
    {
        return bad(
            "loudness",
            format!(
                "{lufs} is not a loudness between {} and {} LUFS, as in -16 (streaming) or -23 (broadcast)",
                LOUDNESS_LUFS.start(),
                LOUDNESS_LUFS.end()
            ),
        );
    }
    Ok(Some(Audio {
        codec,
        bitrate,
        channels: spec.audio_channels,
        loudness: spec.loudness,
    }))
}

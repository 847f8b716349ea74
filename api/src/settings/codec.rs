//! Video codecs as users name them, and the encoder for each on each kind of hardware.

use serde::{Deserialize, Serialize};

use crate::encoder::Encoder;

/// A video codec, as users name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// H.264 / AVC.
    H264,
    /// H.265 / HEVC.
    H265,
    /// VP9.
    Vp9,
    /// AV1.
    Av1,
}

impl Codec {
    /// The words accepted, for messages.
    pub const ACCEPTED: &'static str = "h264, h265 (or hevc), vp9, av1";

    /// From the word a user wrote.
    pub fn parse(word: &str) -> Option<Codec> {
        Some(match word.to_ascii_lowercase().as_str() {
            "h264" | "avc" => Codec::H264,
            "h265" | "hevc" => Codec::H265,
            "vp9" => Codec::Vp9,
            "av1" => Codec::Av1,
            _ => return None,
        })
    }

    /// The word users write.
    pub fn word(self) -> &'static str {
        match self {
            Codec::H264 => "h264",
            Codec::H265 => "h265",
            Codec::Vp9 => "vp9",
            Codec::Av1 => "av1",
        }
    }

    /// The codec's name as ffprobe prints it.
    pub fn ffprobe_name(self) -> &'static str {
        match self {
            Codec::H264 => "h264",
            Codec::H265 => "hevc",
            Codec::Vp9 => "vp9",
            Codec::Av1 => "av1",
        }
    }

    /// The software encoder for it.
    pub fn software_encoder(self) -> Encoder {
        match self {
            Codec::H264 => Encoder::Libx264,
            Codec::H265 => Encoder::Libx265,
            Codec::Vp9 => Encoder::LibvpxVp9,
            Codec::Av1 => Encoder::Libsvtav1,
        }
    }

    /// The GPU encoder for it; NVENC has none for VP9.
    pub fn gpu_encoder(self) -> Option<Encoder> {
        match self {
            Codec::H264 => Some(Encoder::H264Nvenc),
            Codec::H265 => Some(Encoder::HevcNvenc),
            Codec::Av1 => Some(Encoder::Av1Nvenc),
            Codec::Vp9 => None,
        }
    }

    /// Every hardware encoder for it, the best first: what a worker that may use hardware tries in turn.
    pub fn hardware_encoders(self) -> &'static [Encoder] {
        match self {
            Codec::H264 => &[Encoder::H264Nvenc, Encoder::H264Qsv, Encoder::H264Vaapi],
            Codec::H265 => &[Encoder::HevcNvenc, Encoder::HevcQsv, Encoder::HevcVaapi],
            Codec::Av1 => &[Encoder::Av1Nvenc, Encoder::Av1Qsv, Encoder::Av1Vaapi],
            Codec::Vp9 => &[],
        }
    }
}

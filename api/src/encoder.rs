//! The encoders ffrtmp knows how to drive, as a set that fits in a word.
//!
//! A bit is a promise that a *trial encode* passed on the worker that reports it; a name in `ffmpeg -encoders` proves
//! nothing (Debian's build lists NVENC on machines without a GPU).

use serde::{Deserialize, Serialize};

/// An ffmpeg encoder, by the name ffmpeg gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[allow(missing_docs)] // each variant is the ffmpeg encoder of that name
pub enum Encoder {
    Libx264,
    Libx265,
    #[serde(rename = "libvpx-vp9")]
    LibvpxVp9,
    Libsvtav1,
    H264Nvenc,
    HevcNvenc,
    Av1Nvenc,
    H264Vaapi,
    HevcVaapi,
    Av1Vaapi,
    H264Qsv,
    HevcQsv,
    Av1Qsv,
}

impl Encoder {
    /// Every encoder, in bit order. The order is part of the policy contract: append only.
    pub const ALL: [Encoder; 13] = [
        Encoder::Libx264,
        Encoder::Libx265,
        Encoder::LibvpxVp9,
        Encoder::Libsvtav1,
        Encoder::H264Nvenc,
        Encoder::HevcNvenc,
        Encoder::Av1Nvenc,
        Encoder::H264Vaapi,
        Encoder::HevcVaapi,
        Encoder::Av1Vaapi,
        Encoder::H264Qsv,
        Encoder::HevcQsv,
        Encoder::Av1Qsv,
    ];

    /// The name ffmpeg knows it by, as in `-c:v NAME`.
    pub fn name(self) -> &'static str {
        match self {
            Encoder::Libx264 => "libx264",
            Encoder::Libx265 => "libx265",
            Encoder::LibvpxVp9 => "libvpx-vp9",
            Encoder::Libsvtav1 => "libsvtav1",
            Encoder::H264Nvenc => "h264_nvenc",
            Encoder::HevcNvenc => "hevc_nvenc",
            Encoder::Av1Nvenc => "av1_nvenc",
            Encoder::H264Vaapi => "h264_vaapi",
            Encoder::HevcVaapi => "hevc_vaapi",
            Encoder::Av1Vaapi => "av1_vaapi",
            Encoder::H264Qsv => "h264_qsv",
            Encoder::HevcQsv => "hevc_qsv",
            Encoder::Av1Qsv => "av1_qsv",
        }
    }

    /// Whether it runs on a GPU.
    pub fn is_hardware(self) -> bool {
        self as u32 >= Encoder::H264Nvenc as u32
    }
}

/// A set of encoders.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(from = "Vec<Encoder>", into = "Vec<Encoder>")]
#[cfg_attr(feature = "openapi", schema(value_type = Vec<Encoder>))]
pub struct EncoderSet(u32);

impl EncoderSet {
    /// No encoder.
    pub const EMPTY: EncoderSet = EncoderSet(0);

    /// The set of one.
    pub fn of(encoder: Encoder) -> Self {
        EncoderSet(1 << encoder as u32)
    }
    /// With `encoder` added.
    pub fn insert(&mut self, encoder: Encoder) {
        self.0 |= 1 << encoder as u32;
    }
    /// Whether every encoder of `needed` is here.
    pub fn contains_all(self, needed: EncoderSet) -> bool {
        self.0 & needed.0 == needed.0
    }
    /// Bit `i` is `Encoder::ALL[i]`.
    pub fn bits(self) -> u32 {
        self.0
    }
    /// The encoders, in bit order.
    pub fn iter(self) -> impl Iterator<Item = Encoder> {
        Encoder::ALL
            .into_iter()
            .filter(move |e| self.0 & (1 << *e as u32) != 0)
    }
}

impl From<Vec<Encoder>> for EncoderSet {
    fn from(encoders: Vec<Encoder>) -> Self {
        encoders.into_iter().collect()
    }
}

impl From<EncoderSet> for Vec<Encoder> {
    fn from(set: EncoderSet) -> Self {
        set.iter().collect()
    }
}

impl FromIterator<Encoder> for EncoderSet {
    fn from_iter<I: IntoIterator<Item = Encoder>>(encoders: I) -> Self {
        let mut set = EncoderSet::EMPTY;
        encoders.into_iter().for_each(|e| set.insert(e));
        set
    }
}

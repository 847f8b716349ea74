//! What becomes of moving pictures: codec, encoder, size, rate, bits, key frames.

use serde::{Deserialize, Serialize};

use super::{
    BadField, Codec, Container,
    check::{bad, clip},
    ladder::{self, Rendition},
    scenario::Scenario,
};
use crate::{
    encoder::Encoder,
    job::{Hardware, JobSpec},
};

/// Most pixels of a picture: 8192 x 8192. ffmpeg refuses much larger ones (`av_image_check_size`).
const PIXELS_MAX: u32 = 8192 * 8192;
/// Longest distance of key frames, in frames.
const GOP_FRAMES_MAX: u32 = 100_000;
/// Longest distance of key frames, in seconds.
const GOP_SECONDS_MAX: f64 = 600.0;

/// How moving pictures are encoded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Video {
    /// To what.
    pub codec: Codec,
    /// By what. Every worker that is given the job has proven it.
    pub encoder: Encoder,
    /// Whether a worker that has proven a hardware encoder for the codec takes that instead.
    pub prefers_hardware: bool,
    /// Picture size; `None` keeps the input's.
    pub size: Option<Size>,
    /// Frame rate; `None` keeps the input's.
    pub fps: Option<f64>,
    /// Bits.
    pub rate: RateControl,
    /// The encoder's preset, checked against the encoder's own list.
    pub encoder_preset: String,
    /// How a pixel is stored.
    pub pixel_format: PixelFormat,
    /// Longest distance of key frames; `None` leaves it to the encoder.
    pub gop: Option<Gop>,
    /// Whether the input is encoded twice, the first time to learn where the bits are needed.
    pub two_pass: bool,
    /// The renditions of an HLS or DASH output, largest first as given; empty elsewhere, and where there is only one.
    pub ladder: Vec<Rendition>,
}

impl Video {
    /// The same by another encoder for the same codec: quality and rate stay, the preset becomes that encoder's usual one.
    pub fn by(&self, encoder: Encoder) -> Video {
        Video {
            encoder,
            encoder_preset: presets_of(encoder).usual.to_owned(),
            prefers_hardware: false,
            two_pass: false,
            ..self.clone()
        }
    }
}

/// How large the output picture is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Size {
    /// Exactly this.
    Exact {
        /// Pixels, even.
        width: u32,
        /// Pixels, even.
        height: u32,
    },
    /// This height, and the even width that keeps the input's aspect.
    Height(u32),
    /// This width, and the even height that keeps the input's aspect.
    Width(u32),
    /// As large as fits into this, keeping the aspect, and never larger than the input.
    Fit {
        /// Pixels, even.
        width: u32,
        /// Pixels, even.
        height: u32,
    },
}

impl std::fmt::Display for Size {
    /// As a job writes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Size::Exact { width, height } => write!(f, "{width}x{height}"),
            Size::Height(height) => write!(f, "-2x{height}"),
            Size::Width(width) => write!(f, "{width}x-2"),
            Size::Fit { width, height } => write!(f, "fit:{width}x{height}"),
        }
    }
}

/// How the encoder spends bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateControl {
    /// Constant quality.
    Crf(u32),
    /// Average bitrate, in bits per second.
    Bitrate(u64),
}

/// Longest distance of key frames.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gop {
    /// In frames.
    Frames(u32),
    /// In seconds: a key frame stands at every multiple of it.
    Seconds(f64),
}

words! {
    /// How a pixel is stored, by ffmpeg's name.
    #[derive(Default)]
    PixelFormat {
        /// 8 bits, 4:2:0: what every player plays.
        #[default]
        Yuv420p = "yuv420p",
        /// 8 bits, 4:2:2.
        Yuv422p = "yuv422p",
        /// 8 bits, 4:4:4.
        Yuv444p = "yuv444p",
        /// 10 bits, 4:2:0.
        Yuv420p10 = "yuv420p10le",
        /// 10 bits, 4:2:2.
        Yuv422p10 = "yuv422p10le",
        /// 10 bits, 4:4:4.
        Yuv444p10 = "yuv444p10le",
    }
}

impl PixelFormat {
    /// Whether `encoder` takes it.
    fn fits(self, encoder: Encoder) -> bool {
        match encoder {
            Encoder::Libx264 | Encoder::Libx265 | Encoder::LibvpxVp9 => true,
            Encoder::Libsvtav1 => matches!(self, PixelFormat::Yuv420p | PixelFormat::Yuv420p10),
            // H.264 on a GPU is 8-bit.
            Encoder::H264Nvenc => matches!(self, PixelFormat::Yuv420p | PixelFormat::Yuv444p),
            Encoder::H264Qsv | Encoder::H264Vaapi => self == PixelFormat::Yuv420p,
            _ => matches!(self, PixelFormat::Yuv420p | PixelFormat::Yuv420p10),
        }
    }
}

/// An encoder's presets.
struct Presets {
    accepted: Vec<String>,
    /// What a job that names none gets.
    usual: &'static str,
    /// What a synthetic source gets: it is there to exercise the farm.
    cheap: &'static str,
}

const X26X_PRESETS: [&str; 9] = [
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
];
const NVENC_PRESETS: [&str; 7] = ["p1", "p2", "p3", "p4", "p5", "p6", "p7"];

fn presets_of(encoder: Encoder) -> Presets {
    let numbers = |max: u32| (0..=max).map(|n| n.to_string()).collect::<Vec<_>>();
    let words = |list: &[&str]| list.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    let (accepted, usual, cheap) = match encoder {
        Encoder::Libx264 | Encoder::Libx265 => (words(&X26X_PRESETS), "medium", "ultrafast"),
        Encoder::LibvpxVp9 => (numbers(8), "2", "8"),
        Encoder::Libsvtav1 => (numbers(13), "8", "12"),
        Encoder::H264Nvenc | Encoder::HevcNvenc | Encoder::Av1Nvenc => {
            (words(&NVENC_PRESETS), "p4", "p1")
        }
        Encoder::H264Qsv | Encoder::HevcQsv | Encoder::Av1Qsv => {
            (words(&X26X_PRESETS[2..]), "medium", "veryfast")
        }
        _ => (numbers(7), "4", "7"),
    };
    Presets {
        accepted,
        usual,
        cheap,
    }
}

/// The encoders that have a preset of this name of their own.
pub fn encoders_with_preset(word: &str) -> Vec<Encoder> {
    let has = |encoder: &Encoder| presets_of(*encoder).accepted.iter().any(|own| own == word);
    Encoder::ALL.iter().copied().filter(has).collect()
}

/// How the pictures of a job that has some are encoded.
pub(super) fn resolve(
    spec: &JobSpec,
    codec: Codec,
    scenario: Option<Scenario>,
    container: Container,
    synthetic: bool,
) -> Result<Video, BadField> {
    let hardware = spec.hardware_wanted();
    if spec.gpu
        && spec
            .hardware
            .is_some_and(|asked| asked != Hardware::Require)
    {
        return bad(
            "hardware",
            "gpu says that hardware is required; leave one of the two out",
        );
    }
    let encoder = match (hardware, codec.gpu_encoder()) {
        (Hardware::Require, Some(encoder)) => encoder,
        (Hardware::Require, None) => {
            return bad(
                if spec.gpu { "gpu" } else { "hardware" },
                "no GPU encoder exists for vp9; use h264, h265 or av1, or leave it out",
            );
        }
        _ => codec.software_encoder(),
    };
    let size = match &spec.size {
        Some(text) => Some(parse_size("size", text)?),
        None => scenario.map(|s| Size::Height(s.height)),
    };
    let fps = match spec.fps {
        Some(fps) if !(fps.is_finite() && (1.0..=240.0).contains(&fps)) => {
            return bad(
                "fps",
                format!("{fps} is not a frame rate between 1 and 240"),
            );
        }
        Some(fps) => Some(fps),
        None => scenario.and_then(|s| s.fps),
    };
    let rate = rate(spec, codec, encoder)?;
    let presets = presets_of(encoder);
    let encoder_preset = match spec.encoder_preset.as_deref() {
        None if synthetic => presets.cheap.to_owned(),
        None => presets.usual.to_owned(),
        Some(word) if presets.accepted.iter().any(|a| a == word) => word.to_owned(),
        Some(word) => {
            return bad(
                "encoder_preset",
                format!(
                    "{:?} is not one of {}'s: {}",
                    clip(word),
                    encoder.name(),
                    presets.accepted.join(", ")
                ),
            );
        }
    };
    let pixel_format = match &spec.pixel_format {
        None => PixelFormat::default(),
        Some(word) => match word.parse::<PixelFormat>() {
            Ok(format) if format.fits(encoder) => format,
            Ok(format) => {
                return bad(
                    "pixel_format",
                    format!("{} does not take {format}; use yuv420p", encoder.name()),
                );
            }
            Err(why) => return bad("pixel_format", why),
        },
    };
    let ladder = ladder::resolve(spec, container)?;
    if spec.two_pass {
        two_pass_holds(encoder, rate, container)?;
    }
    Ok(Video {
        codec,
        encoder,
        prefers_hardware: hardware == Hardware::Prefer,
        size,
        fps,
        rate,
        encoder_preset,
        pixel_format,
        gop: spec.gop.as_deref().map(parse_gop).transpose()?,
        two_pass: spec.two_pass,
        ladder,
    })
}

fn rate(spec: &JobSpec, codec: Codec, encoder: Encoder) -> Result<RateControl, BadField> {
    match (&spec.bitrate, spec.crf) {
        (Some(_), Some(_)) => bad("crf", "cannot be given together with bitrate; choose one"),
        (Some(text), None) => Ok(RateControl::Bitrate(parse_bitrate("bitrate", text)?)),
        (None, crf) => {
            let (default, max) = match codec {
                Codec::H264 => (23, 51),
                Codec::H265 => (28, 51),
                Codec::Vp9 => (32, 63),
                Codec::Av1 => (35, 63),
            };
            match crf.unwrap_or(default) {
                crf if crf <= max => Ok(RateControl::Crf(crf)),
                crf => bad(
                    "crf",
                    format!(
                        "{crf} is out of range; {} takes 0 (best) to {max}",
                        encoder.name()
                    ),
                ),
            }
        }
    }
}

fn two_pass_holds(
    encoder: Encoder,
    rate: RateControl,
    container: Container,
) -> Result<(), BadField> {
    if !matches!(rate, RateControl::Bitrate(_)) {
        return bad(
            "two_pass",
            "two passes are for hitting a bitrate; name one with bitrate, or leave two_pass out",
        );
    }
    if !matches!(
        encoder,
        Encoder::Libx264 | Encoder::Libx265 | Encoder::LibvpxVp9
    ) {
        return bad(
            "two_pass",
            format!(
                "{} is not driven in two passes here; use h264, h265 or vp9 in software, or leave it out",
                encoder.name()
            ),
        );
    }
    if container.is_folder() || container == Container::Flv {
        return bad(
            "two_pass",
            format!("{} is made in one pass; leave it out", container.shown()),
        );
    }
    Ok(())
}

/// `1280x720`, `1280x-2`, `-2x720` (also `1280x` and `x720`), `fit:1280x720`.
pub(super) fn parse_size(field: &'static str, text: &str) -> Result<Size, BadField> {
    let wrong = || BadField {
        field,
        message: format!(
            "{:?} is not WIDTHxHEIGHT with even numbers between 16 and 16384, as in 1280x720; or 1280x-2 or -2x720 to keep \
             the aspect, or fit:1280x720 for what fits into that",
            clip(text)
        ),
    };
    let pixels = |s: &str| {
        s.parse::<u32>()
            .ok()
            .filter(|n| (16..=16_384).contains(n) && n.is_multiple_of(2))
    };
    let kept = |s: &str| matches!(s, "" | "-1" | "-2");
    let (fit, numbers) = match text.strip_prefix("fit:") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (w, h) = numbers.split_once('x').ok_or_else(wrong)?;
    match (pixels(w), pixels(h)) {
        (Some(width), Some(height)) if width * height > PIXELS_MAX => bad(
            field,
            format!("{text:?} is more than {PIXELS_MAX} pixels, and ffmpeg's encoders refuse it"),
        ),
        (Some(width), Some(height)) if fit => Ok(Size::Fit { width, height }),
        (Some(width), Some(height)) => Ok(Size::Exact { width, height }),
        (Some(width), None) if !fit && kept(h) && width <= 8192 => Ok(Size::Width(width)),
        (None, Some(height)) if !fit && kept(w) && height <= 8192 => Ok(Size::Height(height)),
        _ => Err(wrong()),
    }
}

pub(super) fn parse_bitrate(field: &'static str, text: &str) -> Result<u64, BadField> {
    let (number, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1e3),
        Some(b'M' | b'm') => (&text[..text.len() - 1], 1e6),
        _ => (text, 1.0),
    };
    let plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    match number.parse::<f64>() {
        Ok(n) if plain && (1e3..=1e9).contains(&(n * unit)) => Ok((n * unit) as u64),
        _ => bad(
            field,
            format!(
                "{:?} is not a bitrate between 1k and 1000M, as in 2500k, 2.5M or 2500000",
                clip(text)
            ),
        ),
    }
}

/// `48`, in frames, or `2s`, in seconds.
fn parse_gop(text: &str) -> Result<Gop, BadField> {
    let plain = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let gop = match text.strip_suffix('s') {
        Some(seconds) if plain(seconds) => seconds
            .parse()
            .ok()
            .filter(|s| (0.1..=GOP_SECONDS_MAX).contains(s))
            .map(Gop::Seconds),
        Some(_) => None,
        None => text
            .parse()
            .ok()
            .filter(|n| (1..=GOP_FRAMES_MAX).contains(n))
            .map(Gop::Frames),
    };
    gop.ok_or_else(|| BadField {
        field: "gop",
        message: format!(
            "{:?} is not a distance of key frames: 1 to {GOP_FRAMES_MAX} frames, as in 48, or 0.1s to {GOP_SECONDS_MAX}s, as \
             in 2s",
            clip(text)
        ),
    })
}

//! Scenario names that set something: `1080p60-h265` and its like. Every other name is a label.

use super::{
    BadField, Codec,
    check::{bad, clip},
};

/// What a scenario name of the known form sets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scenario {
    /// Pixels.
    pub height: u32,
    /// Frames per second.
    pub fps: Option<f64>,
    /// Codec.
    pub codec: Codec,
}

impl Scenario {
    /// What this name sets; none for a name that is only a label.
    pub fn of(name: &str) -> Option<Scenario> {
        parse_scenario(name).ok()?
    }
}

/// `<height>p[fps]-<codec>` and `4K[fps]-<codec>`; `None` for any other name. Of that form with an unknown codec: refused.
pub(super) fn parse_scenario(name: &str) -> Result<Option<Scenario>, BadField> {
    let Some((picture, codec_word)) = name.split_once('-') else {
        return Ok(None);
    };
    let (height, fps) = if let Some(fps) = picture
        .strip_prefix("4K")
        .or_else(|| picture.strip_prefix("4k"))
    {
        ("2160", fps)
    } else if let Some(split) = picture.split_once('p') {
        split
    } else {
        return Ok(None);
    };
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !digits(height) || !(fps.is_empty() || digits(fps)) {
        return Ok(None);
    }
    let Some(codec) = Codec::parse(codec_word) else {
        return bad(
            "scenario",
            format!(
                "{:?} names the codec {:?}; known codecs are {}",
                clip(name),
                clip(codec_word),
                Codec::ACCEPTED
            ),
        );
    };
    let height = match height.parse::<u32>() {
        Ok(height) if (16..=8192).contains(&height) && height.is_multiple_of(2) => height,
        _ => {
            return bad(
                "scenario",
                format!(
                    "{:?}: the height must be even and between 16 and 8192",
                    clip(name)
                ),
            );
        }
    };
    let fps = match fps {
        "" => None,
        fps => match fps.parse::<f64>() {
            Ok(fps) if (1.0..=240.0).contains(&fps) => Some(fps),
            _ => {
                return bad(
                    "scenario",
                    format!("{:?}: the frame rate must be between 1 and 240", clip(name)),
                );
            }
        },
    };
    Ok(Some(Scenario { height, fps, codec }))
}

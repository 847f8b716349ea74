//! One picture out of a video: a thumbnail, or a sheet of many small ones for a player's preview.

use serde::{Deserialize, Serialize};

use super::{
    BadField, Size,
    check::{bad, clip},
    video::parse_size,
};
use crate::job::JobSpec;

/// Width of a small picture of a sheet, for a job that does not say, in pixels.
const TILE_WIDTH_DEFAULT: u32 = 160;
/// Most small pictures across, and down.
const TILES_MAX: u32 = 20;

/// One picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Still {
    /// Size of it, or of each small picture of a sheet; `None` keeps the input's.
    pub size: Option<Size>,
    /// A sheet of so many small pictures across and down, evenly spread over the input; `None` for the one picture at the
    /// job's start.
    pub sheet: Option<(u32, u32)>,
}

/// The picture a job asks for.
pub(super) fn resolve(spec: &JobSpec) -> Result<Still, BadField> {
    let sheet = spec.sprites.as_deref().map(parse).transpose()?;
    let size = match &spec.size {
        Some(text) => Some(parse_size("size", text)?),
        None => sheet.map(|_| Size::Width(TILE_WIDTH_DEFAULT)),
    };
    Ok(Still { size, sheet })
}

fn parse(text: &str) -> Result<(u32, u32), BadField> {
    let number = |s: &str| {
        s.parse::<u32>()
            .ok()
            .filter(|n| (1..=TILES_MAX).contains(n))
    };
    match text.split_once('x').map(|(a, d)| (number(a), number(d))) {
        Some((Some(across), Some(down))) => Ok((across, down)),
        _ => bad(
            "sprites",
            format!(
                "{:?} is not ACROSSxDOWN with numbers from 1 to {TILES_MAX}, as in 5x5",
                clip(text)
            ),
        ),
    }
}

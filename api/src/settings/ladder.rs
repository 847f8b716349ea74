//! The renditions of an HLS or DASH output: one picture in several sizes, all from one decode.

use serde::{Deserialize, Serialize};

use super::{
    BadField, Container, Size,
    check::{bad, clip},
    video::{parse_bitrate, parse_size},
};
use crate::job::JobSpec;

/// Most renditions of one output: every one is an encoder of its own in the same process.
pub const RENDITIONS_MAX: usize = 8;
/// Seconds of a segment, for a job that does not say: what Apple's HLS authoring guide recommends.
const SEGMENT_SECONDS_DEFAULT: f64 = 6.0;

/// One rendition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendition {
    /// Its picture size.
    pub size: Size,
    /// Its average bitrate, in bits per second.
    pub bitrate: u64,
}

/// The renditions a job names, as in `1280x720@2.8M` and `-2x480@1.2M`.
pub(super) fn resolve(spec: &JobSpec, container: Container) -> Result<Vec<Rendition>, BadField> {
    if spec.renditions.is_empty() {
        return Ok(Vec::new());
    }
    if !container.is_folder() {
        return bad(
            "renditions",
            "several renditions need an output that ends in .m3u8 or .mpd; name one, or use size and bitrate",
        );
    }
    if spec.renditions.len() > RENDITIONS_MAX {
        return bad(
            "renditions",
            format!(
                "{} of them; at most {RENDITIONS_MAX} are accepted",
                spec.renditions.len()
            ),
        );
    }
    for (field, given) in [
        ("size", spec.size.is_some()),
        ("bitrate", spec.bitrate.is_some()),
        ("crf", spec.crf.is_some()),
    ] {
        if given {
            return bad(field, "each of the renditions has its own; leave it out");
        }
    }
    let ladder: Vec<Rendition> = spec
        .renditions
        .iter()
        .map(|text| parse(text))
        .collect::<Result<_, _>>()?;
    for (n, rendition) in ladder.iter().enumerate() {
        if ladder.iter().take(n).any(|other| other == rendition) {
            return bad(
                "renditions",
                format!(
                    "{:?} is given twice",
                    clip(spec.renditions.get(n).map_or("", |t| t))
                ),
            );
        }
    }
    Ok(ladder)
}

fn parse(text: &str) -> Result<Rendition, BadField> {
    let Some((size, bitrate)) = text.split_once('@') else {
        return bad(
            "renditions",
            format!(
                "{:?} is not SIZE@BITRATE, as in 1280x720@2.8M or -2x720@2.8M",
                clip(text)
            ),
        );
    };
    Ok(Rendition {
        size: parse_size("renditions", size)?,
        bitrate: parse_bitrate("renditions", bitrate)?,
    })
}

/// Seconds of a segment; `None` where the output has none.
pub(super) fn segment_seconds(
    spec: &JobSpec,
    container: Container,
) -> Result<Option<f64>, BadField> {
    match spec.segment_seconds {
        Some(_) if !container.is_folder() => bad(
            "segment_seconds",
            "only an output that ends in .m3u8 or .mpd is cut into segments; leave it out",
        ),
        Some(s) if !(s.is_finite() && (0.5..=60.0).contains(&s)) => bad(
            "segment_seconds",
            format!("{s} is not a number of seconds from 0.5 to 60"),
        ),
        Some(s) => Ok(Some(s)),
        None => Ok(container.is_folder().then_some(SEGMENT_SECONDS_DEFAULT)),
    }
}

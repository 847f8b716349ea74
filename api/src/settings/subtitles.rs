//! What becomes of subtitles.

use super::{BadField, Container, Pictures, Source, check::bad};
use crate::job::JobSpec;

words! {
    /// What becomes of subtitles.
    #[derive(Default)]
    Subtitles {
        /// Left out.
        #[default]
        None = "none",
        /// All of the input's, as streams that a player can show; text is converted to what the container holds.
        Copy = "copy",
        /// The first of the input's, drawn into the picture. Text only.
        Burn = "burn",
    }
}

/// What becomes of a job's subtitles.
pub(super) fn resolve(
    spec: &JobSpec,
    source: &Source,
    pictures: &Pictures,
    container: Container,
) -> Result<Subtitles, BadField> {
    let asked = match spec.subtitles.as_deref() {
        None => return Ok(Subtitles::None),
        Some(word) => match word.parse::<Subtitles>() {
            Ok(asked) => asked,
            Err(why) => return bad("subtitles", why),
        },
    };
    let holds = matches!(
        container,
        Container::Mp4 | Container::Mov | Container::Matroska | Container::Webm
    );
    match asked {
        Subtitles::None => {}
        _ if *source == Source::Synthetic => {
            return bad("subtitles", "a synthetic source has none; leave it out");
        }
        Subtitles::Copy if !holds => {
            return bad(
                "subtitles",
                format!(
                    "{} is given no subtitles here; use .mp4, .mov, .mkv or .webm, or burn them",
                    container.shown()
                ),
            );
        }
        Subtitles::Burn if !matches!(pictures, Pictures::Video(_)) => {
            return bad(
                "subtitles",
                "they can be burned only into pictures that are encoded; name a codec, or leave it out",
            );
        }
        Subtitles::Burn | Subtitles::Copy => {}
    }
    Ok(asked)
}

//! The two schemes that name files of the master's spool: `upload:<uuid>` as an input, `spool:<file name>` as an output.
//!
//! They are ours alone: nothing that begins with them reaches ffmpeg. A path begins with `/`, so neither can be one.

use uuid::Uuid;

use super::{
    BadField,
    check::{bad, clip},
};
use crate::{limits, text};

/// What an input in the spool begins with.
const INPUT_PREFIX: &str = "upload:";
/// What an output that goes to the spool begins with.
pub(super) const OUTPUT_PREFIX: &str = "spool:";

/// The upload an input names, if it names one.
pub(super) fn upload(input: &str) -> Result<Option<Uuid>, BadField> {
    let Some(id) = input.strip_prefix(INPUT_PREFIX) else {
        return Ok(None);
    };
    match Uuid::try_parse(id) {
        // One way to write it: the form with hyphens and small letters.
        Ok(uuid) if uuid.to_string() == id => Ok(Some(uuid)),
        _ => bad(
            "input",
            format!(
                "{:?} names no upload; write upload: and the id that POST /v1/uploads gave (36 characters)",
                clip(input)
            ),
        ),
    }
}

/// The file name of an output that goes to the spool. It is never part of a path on the master; it is checked because it
/// becomes one where it is downloaded.
pub(super) fn output_name(output: &str) -> Result<String, BadField> {
    let name = output.strip_prefix(OUTPUT_PREFIX).unwrap_or(output);
    let wrong = |why: &str| {
        bad(
            "output",
            format!(
                "{:?} {why}; write spool: and a file name, as in spool:small.mp4",
                clip(output)
            ),
        )
    };
    if name.is_empty() || name.len() > limits::FILE_NAME_BYTES_MAX {
        return wrong(&format!(
            "holds a name that is not 1 to {} bytes long",
            limits::FILE_NAME_BYTES_MAX
        ));
    }
    if name.contains('/') || text::unfit(name).is_some() || name.starts_with('.') {
        return wrong("holds a name with a slash, a control character or a dot in front");
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use uuid::Uuid;

    use crate::job::JobSpec;

    const ID: &str = "0192f0c1-0000-4000-8000-00000000abcd";

    fn resolve(input: Option<&str>, output: Option<&str>) -> Result<Settings, BadField> {
        Settings::resolve(&JobSpec {
            input: input.map(Into::into),
            output: output.map(Into::into),
            ..JobSpec::default()
        })
    }

    #[test]
    fn an_upload_and_a_spooled_output_are_told_from_paths() {
        let settings = resolve(Some(&format!("upload:{ID}")), Some("spool:-y a:b.webm")).unwrap();
        assert_eq!(
            settings.source,
            Source::Upload(Uuid::try_parse(ID).unwrap())
        );
        assert_eq!(settings.output, Some(Output::Spool("-y a:b.webm".into())));
        assert_eq!(settings.container, Container::Webm);
        let settings = resolve(Some("/upload:x"), Some("/spool:x.mp4")).unwrap();
        assert_eq!(settings.source, Source::File("/upload:x".into()));
        assert_eq!(settings.output, Some(Output::File("/spool:x.mp4".into())));
    }

    #[test]
    fn nothing_else_gets_through_the_two_schemes() {
        for input in [
            "upload:",
            "upload:../../etc/passwd",
            "upload:0192f0c1000040008000000000000000",
            "upload:0192F0C1-0000-4000-8000-00000000ABCD",
            "UPLOAD:0192f0c1-0000-4000-8000-00000000abcd",
            "spool:a.mp4",
        ] {
            assert_eq!(
                resolve(Some(input), None).unwrap_err().field,
                "input",
                "{input}"
            );
        }
        let long = format!("spool:{}.mp4", "x".repeat(300));
        for output in [
            "spool:",
            "spool:a/b.mp4",
            "spool:..",
            "spool:.mp4",
            "spool:a\n.mp4",
            "spool:a",
            long.as_str(),
            "upload:0192f0c1-0000-4000-8000-00000000abcd",
        ] {
            assert_eq!(
                resolve(None, Some(output)).unwrap_err().field,
                "output",
                "{output}"
            );
        }
    }
}

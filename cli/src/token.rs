//! The cluster's token: where it is read from and how a new one is made.
//!
//! It comes from the environment or a file, never from the command line (which every user of the machine can read), and
//! no message here repeats it.

use std::{fs, io::Read, os::unix::fs::MetadataExt, path::Path};

use ffrtmp_api::text::{hex, token_fault};

use crate::exit::{Failure, Result};

/// Environment variables that may hold it, first wins; the second is upstream's name.
pub const TOKEN_VARIABLES: [&str; 2] = ["FFRTMP_TOKEN", "MASTER_API_KEY"];
/// Environment variable that may hold a join token.
const JOIN_TOKEN_VARIABLE: &str = "FFRTMP_JOIN_TOKEN";
/// Where container engines and orchestrators put secrets. Who may read them is decided by who may enter the container; their
/// modes are the engine's and cannot be changed from inside.
const CONTAINER_SECRETS: &str = "/run/secrets";
/// Most bytes read of a token file: a device named by mistake must not be read for ever.
const TOKEN_FILE_BYTES_MAX: u64 = 4_096;
/// Random bytes in a new token.
const TOKEN_RANDOM_BYTES: usize = 32;

/// The token of `file`, or of the environment; `None` when neither has one.
pub fn find(file: Option<&Path>, env: impl Fn(&str) -> Option<String>) -> Result<Option<String>> {
    if let Some(file) = file {
        return read(file).map(Some);
    }
    for name in TOKEN_VARIABLES {
        if let Some(value) = env(name).filter(|value| !value.is_empty()) {
            return check(value, name).map(Some);
        }
    }
    Ok(None)
}

/// The join token of `file`, or of the environment.
pub fn find_join(
    file: Option<&Path>,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Option<String>> {
    match (
        file,
        env(JOIN_TOKEN_VARIABLE).filter(|value| !value.is_empty()),
    ) {
        (Some(file), _) => read(file).map(Some),
        (None, Some(value)) => check(value, JOIN_TOKEN_VARIABLE).map(Some),
        (None, None) => Ok(None),
    }
}

fn read(file: &Path) -> Result<String> {
    let shown = file.display();
    let mut text = String::new();
    fs::File::open(file)
        .and_then(|source| source.take(TOKEN_FILE_BYTES_MAX).read_to_string(&mut text))
        .map_err(|error| Failure::failed(format!("cannot read the token file {shown}: {error}")))?;
    let others_may = |meta: fs::Metadata| meta.mode() & 0o077 != 0 && meta.is_file();
    if !file.starts_with(CONTAINER_SECRETS) && fs::metadata(file).is_ok_and(others_may) {
        eprintln!(
            "ffrtmp: warning: other users can read the token file {shown}; run: chmod 600 {shown}"
        );
    }
    check(text.trim().to_owned(), &format!("the token file {shown}"))
}

/// Refuses what could not be sent as a header, or could be guessed.
fn check(token: String, whence: &str) -> Result<String> {
    match token_fault(&token) {
        Some(fault) => Err(Failure::failed(format!("{whence}: {fault}"))),
        None => Ok(token),
    }
}

/// A new token: 64 hexadecimal digits from the kernel's random source.
pub fn generate() -> Result<String> {
    let mut bytes = [0; TOKEN_RANDOM_BYTES];
    fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(|error| Failure::failed(format!("cannot read /dev/urandom: {error}")))?;
    Ok(hex(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_goes_before_the_environment_and_ours_before_upstream_s() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        fs::write(&file, "from-the-file-0123456789\n").unwrap();
        let env = |name: &str| Some(format!("{name}-0123456789"));
        assert_eq!(
            find(Some(&file), env).unwrap().unwrap(),
            "from-the-file-0123456789"
        );
        assert_eq!(find(None, env).unwrap().unwrap(), "FFRTMP_TOKEN-0123456789");
        let upstream =
            |name: &str| (name == "MASTER_API_KEY").then(|| "upstream-0123456789".to_owned());
        assert_eq!(
            find(None, upstream).unwrap().unwrap(),
            "upstream-0123456789"
        );
        assert!(find(None, |_| None).unwrap().is_none());
    }

    #[test]
    fn a_token_that_is_short_or_unsendable_is_refused_without_being_repeated() {
        for bad in [
            "hunter2",
            "white space 0123456789",
            "gr\u{fc}n-0123456789012345",
            "a\nb-0123456789012345",
        ] {
            let error = find(None, |name| {
                (name == "FFRTMP_TOKEN").then(|| bad.to_owned())
            })
            .unwrap_err();
            let Failure::Failed(message) = error else {
                panic!("no message")
            };
            assert!(
                message.contains("ffrtmp token") && !message.contains(bad),
                "{message}"
            );
        }
    }

    #[test]
    fn new_tokens_are_long_and_differ() {
        let (a, b) = (generate().unwrap(), generate().unwrap());
        assert!(a.len() == 64 && a != b);
        assert!(check(a, "here").is_ok());
    }
}

//! Parsing what people write on a command line: durations, `key=value`, paths, port numbers' addresses.
//!
//! Separate because every command shares them and each has its own message. Nothing here looks at the file system: a
//! path in a job means the path as the worker sees it, which may not exist on this machine.

use std::{
    path::{Component, Path, PathBuf},
    time::Duration,
};

/// `30`, `0.2`, `250ms`, `10s`, `1m30s`, `2h`, `1d`: seconds unless a unit says otherwise.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("{text:?} is not a length of time, as in 90, 0.5, 250ms, 10s, 1m30s or 2h");
    let mut rest = text;
    let mut seconds = 0.0;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !(c.is_ascii_digit() || c == '.'))
            .unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        let after = &rest[digits..];
        let letters = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let unit = match &after[..letters] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            // A number without a unit stands alone, so that `1m30` is not guessed at.
            "" if digits == text.len() => 1.0,
            _ => return Err(wrong()),
        };
        seconds += number * unit;
        rest = &after[letters..];
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

/// [`duration`], in seconds.
pub fn seconds(text: &str) -> Result<f64, String> {
    duration(text).map(|duration| duration.as_secs_f64())
}

/// `4096`, `500M`, `50G`, `2T`: bytes unless a unit says otherwise; units are powers of 1024 (`KiB` and the like are taken too).
pub fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a size in bytes, as in 4096, 500M, 50G or 2T");
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
    let unit = text[digits..].trim_start().to_ascii_uppercase();
    let shift = match unit.trim_end_matches("IB").trim_end_matches('B') {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err(wrong()),
    };
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

/// `key=value`; the value may be empty and may hold `=`.
pub fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is not KEY=VALUE, as in zone=eu")),
    }
}

/// A media path as a job carries it: absolute, made so against `cwd`, with `.` and `..` resolved by their letters.
/// Symbolic links are not looked at: they are the worker's.
pub fn media_path(path: &Path, cwd: &Path) -> Result<String, String> {
    let text = path
        .to_str()
        .ok_or_else(|| format!("{path:?} is not UTF-8; rename the file"))?;
    if text.is_empty() {
        return Err("the path is empty; name a file".to_owned());
    }
    if let Some((scheme, _)) = text.split_once("://")
        && !scheme.is_empty()
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    {
        return Err(format!(
            "{text:?} is a URL; only files are taken as yet (a file of that name: ./{text})"
        ));
    }
    let mut absolute = PathBuf::new();
    for component in cwd.join(path).components() {
        match component {
            Component::ParentDir => {
                absolute.pop();
            }
            Component::CurDir => {}
            other => absolute.push(other),
        }
    }
    // What ends in a slash names a directory; the master says so better than we could by hiding it.
    let slash = if text.ends_with('/') && absolute.parent().is_some() {
        "/"
    } else {
        ""
    };
    match absolute.to_str() {
        Some(absolute) => Ok(format!("{absolute}{slash}")),
        None => Err(format!(
            "{cwd:?}, the current directory, is not UTF-8; name the file from /"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_seconds_unless_a_unit_says_otherwise() {
        for (text, ms) in [
            ("30", 30_000),
            ("0.2", 200),
            ("250ms", 250),
            ("10s", 10_000),
            ("1m30s", 90_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
        ] {
            assert_eq!(duration(text).unwrap(), Duration::from_millis(ms), "{text}");
        }
        for text in [
            "",
            "s",
            "-1",
            "1x",
            "1m30",
            "1.2.3",
            "nan",
            "inf",
            "1e400d",
            "99999999999999999999h",
            "1 s",
        ] {
            assert!(duration(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn sizes_are_bytes_unless_a_unit_says_otherwise() {
        for (text, size) in [
            ("0", 0),
            ("4096", 4096),
            ("1k", 1 << 10),
            ("500M", 500 << 20),
            ("50G", 50 << 30),
            ("2 TiB", 2 << 40),
            ("3GB", 3 << 30),
        ] {
            assert_eq!(bytes(text).unwrap(), size, "{text}");
        }
        for text in ["", "G", "-1", "1.5G", "1X", "99999999999T", "1GG"] {
            assert!(bytes(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_label_is_a_key_and_a_value() {
        assert_eq!(key_value("a=b=c").unwrap(), ("a".into(), "b=c".into()));
        assert_eq!(key_value("a=").unwrap(), ("a".into(), String::new()));
        assert!(key_value("a").is_err() && key_value("=b").is_err() && key_value("").is_err());
    }

    #[test]
    fn media_paths_become_absolute_without_touching_the_disk() {
        let cwd = Path::new("/no/such/dir");
        for (given, absolute) in [
            ("a.mp4", "/no/such/dir/a.mp4"),
            ("./a.mp4", "/no/such/dir/a.mp4"),
            ("../a.mp4", "/no/such/a.mp4"),
            ("/x/./y/../z.mp4", "/x/z.mp4"),
            ("../../../../../etc/a", "/etc/a"),
            ("-y", "/no/such/dir/-y"),
            ("concat:x", "/no/such/dir/concat:x"),
            ("dir/", "/no/such/dir/dir/"),
            ("/", "/"),
            ("./http://x", "/no/such/dir/http:/x"),
        ] {
            assert_eq!(
                media_path(Path::new(given), cwd).unwrap(),
                absolute,
                "{given}"
            );
        }
    }

    #[test]
    fn a_url_is_not_taken_for_a_file() {
        let error = media_path(Path::new("rtmp://host/app"), Path::new("/")).unwrap_err();
        assert!(error.contains("is a URL"), "{error}");
    }
}

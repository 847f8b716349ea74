//! Parsing what people write on a command line: durations, `key=value`, paths, port numbers' addresses.
//!
//! Separate because every command shares them and each has its own message. Nothing here looks at the file system: a
//! path in a job means the path as the worker sees it, which may not exist on this machine.

use std::{
    path::{Component, Path, PathBuf},
    time::Duration,
};

use ffrtmp_api::{clock::wall_ms, settings::Address};

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

/// A finite number: `29.97`, `-1`. (`nan` and `inf` have no JSON, and nobody means them.)
pub fn number(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(format!("{text:?} is not a number, as in 25 or 29.97")),
    }
}

/// A moment in the past, in milliseconds since 1970: `2h` is two hours ago; `2026-11-23T08:00:00Z` is what it says.
pub fn past(text: &str) -> Result<i64, String> {
    if let Ok(ago) = duration(text) {
        let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
        return Ok(wall_ms().saturating_sub(ago).max(0));
    }
    rfc3339(text).ok_or_else(|| {
        format!(
            "{text:?} is not a moment: give how long ago, as in 30m or 2h, or RFC 3339, as in 2026-11-23T08:00:00Z"
        )
    })
}

/// A moment to come, in milliseconds since 1970: `+2h` is in two hours; `2026-11-23T18:00:00Z` is what it says.
pub fn future(text: &str) -> Result<i64, String> {
    let at = match text.strip_prefix('+') {
        Some(length) => {
            let ms = i64::try_from(duration(length)?.as_millis()).unwrap_or(i64::MAX);
            wall_ms().saturating_add(ms)
        }
        None => rfc3339(text).ok_or_else(|| {
            format!(
                "{text:?} is not a moment to come: give +TIME, as in +90m or +2h, or RFC 3339, as in 2026-11-23T18:00:00Z"
            )
        })?,
    };
    // JSON carries it; years beyond 9999 are a slip of the keyboard.
    if at > MS_MAX {
        return Err(format!("{text:?} is later than the year 9999"));
    }
    Ok(at)
}

/// The end of the year 9999, in milliseconds since 1970.
const MS_MAX: i64 = 253_402_300_799_999;

fn rfc3339(text: &str) -> Option<i64> {
    let at: jiff::Timestamp = text.parse().ok()?;
    Some(at.as_millisecond())
}

/// Something a job is expected to use of its worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Thousandths of a core.
    CpuMillicores(u32),
    /// MiB.
    MemoryMib(u32),
}

/// `cpu=2`, `cpu=0.5`, `cpu=500m` (thousandths of a core); `memory=512M`, `memory=1.5G` (1024 to the step).
pub fn resource(text: &str) -> Result<Resource, String> {
    let (name, amount) = key_value(text)
        .map_err(|_| format!("{text:?} is not NAME=AMOUNT, as in cpu=2 or memory=1G"))?;
    let number = |text: &str| {
        let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        text.parse::<f64>().ok().filter(|_| plain)
    };
    let whole = |amount: Option<f64>| {
        amount
            .map(f64::round)
            .filter(|amount| (1.0..=f64::from(u32::MAX)).contains(amount))
            .map(|amount| amount as u32)
    };
    match name.as_str() {
        "cpu" => whole(match amount.strip_suffix('m') {
            Some(thousandths) => number(thousandths),
            None => number(&amount).map(|cores| cores * 1000.0),
        })
        .map(Resource::CpuMillicores)
        .ok_or_else(|| {
            format!("{amount:?} is not an amount of CPU: give cores, as in 2 or 0.5, or thousandths, as in 500m")
        }),
        "memory" => {
            let letters = amount
                .find(|c: char| c.is_ascii_alphabetic())
                .unwrap_or(amount.len());
            let mib = match &amount[letters..] {
                "M" | "Mi" | "MiB" => Some(1.0),
                "G" | "Gi" | "GiB" => Some(1024.0),
                "T" | "Ti" | "TiB" => Some(1024.0 * 1024.0),
                _ => None,
            };
            whole(mib.and_then(|mib| Some(number(&amount[..letters])? * mib)))
                .map(Resource::MemoryMib)
                .ok_or_else(|| {
                    format!("{amount:?} is not an amount of memory: give it with its unit, as in 512M, 1.5G or 1GiB")
                })
        }
        _ => Err(format!(
            "{name:?} is not a resource; known are cpu and memory (a GPU is asked for with --gpu)"
        )),
    }
}

/// A URL as it is, or a media path as a job carries it: absolute, made so against `cwd`, with `.` and `..` resolved by their letters.
/// Symbolic links are not looked at: they are the worker's.
pub fn media_path(path: &Path, cwd: &Path) -> Result<String, String> {
    let text = path
        .to_str()
        .ok_or_else(|| format!("{path:?} is not UTF-8; rename the file"))?;
    if text.is_empty() {
        return Err("the path is empty; name a file".to_owned());
    }
    if Address::looks_like_one(text) {
        return Ok(text.to_owned());
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
    fn moments_are_lengths_of_time_from_now_or_rfc_3339() {
        let hour = 3_600_000;
        let near = |at: i64, expected: i64| (at - expected).abs() < 10_000;
        assert!(near(past("2h").unwrap(), wall_ms() - 2 * hour));
        assert!(near(future("+2h").unwrap(), wall_ms() + 2 * hour));
        for text in ["2025-11-23T10:48:11Z", "2025-11-23T12:48:11+02:00"] {
            assert_eq!(past(text).unwrap(), 1_763_894_891_000, "{text}");
            assert_eq!(future(text).unwrap(), 1_763_894_891_000, "{text}");
        }
        for text in ["", "yesterday", "2025-11-23", "-2h", "+2h"] {
            assert!(past(text).is_err(), "{text:?} was accepted");
        }
        for text in ["", "2h", "+", "+x", "tomorrow", "+9999999d"] {
            assert!(future(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn resources_are_amounts_with_units() {
        use Resource::{CpuMillicores, MemoryMib};
        for (text, amount) in [
            ("cpu=2", CpuMillicores(2000)),
            ("cpu=0.5", CpuMillicores(500)),
            ("cpu=250m", CpuMillicores(250)),
            ("memory=512M", MemoryMib(512)),
            ("memory=1.5G", MemoryMib(1536)),
            ("memory=1GiB", MemoryMib(1024)),
        ] {
            assert_eq!(resource(text), Ok(amount), "{text}");
        }
        for (text, says) in [
            ("cpu", "NAME=AMOUNT"),
            ("cpu=", "as in 2 or 0.5"),
            ("cpu=-1", "as in 2 or 0.5"),
            ("cpu=0", "as in 2 or 0.5"),
            ("cpu=two", "as in 2 or 0.5"),
            ("cpu=inf", "as in 2 or 0.5"),
            ("memory=1024", "with its unit"),
            ("memory=1X", "with its unit"),
            ("gpu=1", "known are cpu and memory"),
        ] {
            let error = resource(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn only_finite_numbers_are_numbers() {
        assert_eq!(number("29.97"), Ok(29.97));
        for text in ["", "nan", "inf", "-inf", "1e999", "x"] {
            assert!(number(text).is_err(), "{text:?} was accepted");
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
    fn a_url_is_left_as_it_is() {
        let url = "rtmp://host/app/../key";
        assert_eq!(media_path(Path::new(url), Path::new("/")).unwrap(), url);
    }
}

//! What texts and numbers may hold, whichever field they stand in.
//!
//! Separate because every field's file asks here. It knows no field by name, and decides no default.

use std::path::{Component, Path, PathBuf};

use super::BadField;
use crate::{limits, text};

/// Refuses `field`.
pub(super) fn bad<T>(field: &'static str, message: impl Into<String>) -> Result<T, BadField> {
    Err(BadField {
        field,
        message: message.into(),
    })
}

/// As much of a text as a message shows.
pub(super) fn clip(text: &str) -> String {
    text.chars().take(64).collect()
}

/// A name: not empty, not long, nothing unprintable.
pub(super) fn short(field: &'static str, text: &str) -> Result<(), BadField> {
    if text.is_empty() {
        return bad(field, "is empty");
    }
    short_or_empty(field, text)
}

/// Like [`short`], or nothing.
pub(super) fn short_or_empty(field: &'static str, text: &str) -> Result<(), BadField> {
    if text.len() > limits::NAME_BYTES_MAX {
        return bad(
            field,
            format!(
                "{} bytes; at most {} are accepted",
                text.len(),
                limits::NAME_BYTES_MAX
            ),
        );
    }
    if let Some(what) = text::unfit(text) {
        return bad(field, format!("holds {what}; leave it out"));
    }
    Ok(())
}

/// A length of time, if one was given.
pub(super) fn seconds(field: &'static str, given: Option<f64>) -> Result<Option<f64>, BadField> {
    match given {
        Some(s)
            if !(s.is_finite()
                && (limits::DURATION_SECONDS_MIN..=limits::DURATION_SECONDS_MAX).contains(&s)) =>
        {
            bad(
                field,
                format!(
                    "{s} is not a number of seconds from {} to {}",
                    limits::DURATION_SECONDS_MIN,
                    limits::DURATION_SECONDS_MAX
                ),
            )
        }
        given => Ok(given),
    }
}

/// Where to begin; from the beginning is the same as not saying so.
pub(super) fn start(given: Option<f64>) -> Result<Option<f64>, BadField> {
    match given {
        Some(s) if !(s.is_finite() && (0.0..=limits::DURATION_SECONDS_MAX).contains(&s)) => bad(
            "start_seconds",
            format!(
                "{s} is not a number of seconds from 0 to {}",
                limits::DURATION_SECONDS_MAX
            ),
        ),
        Some(s) if s < limits::DURATION_SECONDS_MIN => Ok(None),
        given => Ok(given),
    }
}

/// A path on the worker: absolute, without `..`, without control characters. Never an option, never a protocol: it
/// starts with `/`, and the worker gives it to ffmpeg behind `file:`.
pub(super) fn absolute(field: &'static str, path: &str) -> Result<String, BadField> {
    if path.len() > limits::PATH_BYTES_MAX {
        return bad(
            field,
            format!(
                "{} bytes; at most {} are accepted",
                path.len(),
                limits::PATH_BYTES_MAX
            ),
        );
    }
    if let Some(what) = text::unfit(path) {
        return bad(field, format!("holds {what}; rename the file"));
    }
    if !path.starts_with('/') {
        return bad(
            field,
            format!(
                "{:?} is not an absolute path; name the file as the worker sees it, from /",
                clip(path)
            ),
        );
    }
    if Path::new(path)
        .components()
        .any(|c| c == Component::ParentDir)
    {
        return bad(
            field,
            format!("{:?} holds `..`; name the file without it", clip(path)),
        );
    }
    if Path::new(path)
        .components()
        .any(|c| c.as_os_str().len() > limits::FILE_NAME_BYTES_MAX)
    {
        return bad(
            field,
            format!(
                "holds a name of more than {} bytes; shorten it",
                limits::FILE_NAME_BYTES_MAX
            ),
        );
    }
    // `/a/./b` and `/a//b` are `/a/b`: one name for one file. A slash at the end says that a directory is meant.
    let normal: PathBuf = Path::new(path).components().collect();
    if normal.file_name().is_none() {
        return bad(
            field,
            format!(
                "{:?} is the root of all files; name a file in it",
                clip(path)
            ),
        );
    }
    let slash = if path.ends_with('/') && path.len() > 1 {
        "/"
    } else {
        ""
    };
    Ok(format!("{}{slash}", normal.display()))
}

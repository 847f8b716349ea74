//! A file of the spool as an answer: whole or from an offset, so that a download that broke is gone on with.

use std::{fs::File, io::SeekFrom};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use super::error::ApiError;
use crate::spool::Stored;

/// Bytes read at once.
const READ_BYTES: usize = 256 * 1024;

/// Which bytes are asked for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    All,
    /// From the first to before the second.
    Part(u64, u64),
    Nothing,
}

/// Answers with the file, or the part of it that `headers` ask for.
pub async fn serve(stored: Stored, file: File, headers: &HeaderMap) -> Result<Response, ApiError> {
    let etag = format!("\"{}\"", stored.sha256);
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    // A part of another file than the caller has the beginning of would make neither.
    let same = text(header::IF_RANGE).is_none_or(|given| given == etag);
    let range = text(header::RANGE).filter(|_| same);
    let bytes = stored.bytes;
    let (status, start, end) = match range.map_or(Wanted::All, |range| wanted(range, bytes)) {
        Wanted::All => (StatusCode::OK, 0, bytes),
        Wanted::Part(start, end) => (StatusCode::PARTIAL_CONTENT, start, end),
        Wanted::Nothing => {
            let header = [(header::CONTENT_RANGE, format!("bytes */{bytes}"))];
            let error = ApiError::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "bad_range",
                format!("the file has {bytes} bytes, and the range asked for is beyond them"),
            );
            return Ok((header, error).into_response());
        }
    };
    let mut file = tokio::fs::File::from_std(file);
    file.seek(SeekFrom::Start(start))
        .await
        .map_err(ApiError::internal)?;
    let body = Body::from_stream(ReaderStream::with_capacity(
        file.take(end - start),
        READ_BYTES,
    ));
    let mut response = (
        status,
        [
            (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
            (header::CONTENT_LENGTH, (end - start).to_string()),
            (header::ACCEPT_RANGES, "bytes".to_owned()),
            (header::ETAG, etag),
            (
                header::CONTENT_DISPOSITION,
                disposition(stored.name.as_deref().unwrap_or("file")),
            ),
        ],
        body,
    )
        .into_response();
    if status == StatusCode::PARTIAL_CONTENT
        && let Ok(range) = format!("bytes {start}-{}/{bytes}", end - 1).parse()
    {
        response.headers_mut().insert(header::CONTENT_RANGE, range);
    }
    Ok(response)
}

/// Reads a `Range`. One this does not know (another unit, several parts) asks for everything, as the standard has it.
fn wanted(range: &str, bytes: u64) -> Wanted {
    let Some((first, last)) = range
        .strip_prefix("bytes=")
        .and_then(|spec| spec.split_once('-'))
    else {
        return Wanted::All;
    };
    let part = |start: u64, end: u64| {
        if start < end.min(bytes) {
            Wanted::Part(start, end.min(bytes))
        } else {
            Wanted::Nothing
        }
    };
    match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => part(first, last.saturating_add(1)),
        (Ok(first), Err(_)) if last.trim().is_empty() => part(first, bytes),
        (Err(_), Ok(last)) if first.trim().is_empty() => part(bytes.saturating_sub(last), bytes),
        _ => Wanted::All,
    }
}

/// A file name as `content-disposition` writes it: plain for old readers, and in full.
fn disposition(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| match c {
            ' '..='~' if !matches!(c, '"' | '\\' | '%') => c,
            _ => '_',
        })
        .collect();
    let full: String = name
        .bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                char::from(b).to_string()
            }
            _ => format!("%{b:02X}"),
        })
        .collect();
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{full}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_the_standard_has_it() {
        for (range, expected) in [
            ("bytes=0-", Wanted::Part(0, 10)),
            ("bytes=4-", Wanted::Part(4, 10)),
            ("bytes=4-5", Wanted::Part(4, 6)),
            ("bytes=4-99999999999999999999", Wanted::All),
            ("bytes=4-18446744073709551615", Wanted::Part(4, 10)),
            ("bytes=-3", Wanted::Part(7, 10)),
            ("bytes=-99", Wanted::Part(0, 10)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=6-5", Wanted::All),
            ("bytes=0-1,4-5", Wanted::All),
            ("lines=1-2", Wanted::All),
            ("bytes=-", Wanted::All),
        ] {
            assert_eq!(wanted(range, 10), expected, "{range}");
        }
    }

    #[test]
    fn a_file_name_cannot_end_its_header() {
        assert_eq!(
            disposition("a\"\r\nx: y ü.mp4"),
            "attachment; filename=\"a___x: y _.mp4\"; filename*=UTF-8''a%22%0D%0Ax%3A%20y%20%C3%BC.mp4"
        );
    }
}

//! What is around every exchange: the request's id, bounds on the request's head, and errors that are always JSON.
//!
//! A caller may send `x-request-id`; one that is not fit for a log is replaced. The id is on every answer, in every error's
//! body and in the span of every log line written for the request, so that the two ends can be laid side by side.

use std::{
    fmt,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    Json,
    body::to_bytes,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use ffrtmp_api::{
    limits,
    rest::{ErrorBody, ErrorDetail},
};
use tracing::Instrument;
use uuid::Uuid;

use super::error::{ApiError, Refusal};

/// The header that carries a request's id, both ways.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id taken from a caller, in bytes: a UUID with a prefix fits.
const REQUEST_ID_BYTES_MAX: usize = 64;
/// Bytes of a foreign error's text that are passed on.
const FOREIGN_BYTES_MAX: usize = 2_048;
/// Bytes of a path shown in the log.
const PATH_SHOWN_MAX: usize = 200;

/// Puts the envelope around an exchange. The outermost layer of all.
pub async fn envelope(request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let path = request.uri().path();
    let path = path.get(..PATH_SHOWN_MAX).unwrap_or(path);
    let span = tracing::info_span!("request", request_id = %id, method = %request.method(), path);
    let exchange = async {
        let answer = match check_head(&request) {
            Ok(()) => next.run(request).await,
            Err(error) => error.into_response(),
        };
        let mut answer = if answer.status().as_u16() < 400 {
            answer
        } else {
            as_json(answer, &id).await
        };
        tracing::debug!(status = answer.status().as_u16(), "answered");
        // What `request_id` accepts or makes is a header value.
        if let Ok(id) = HeaderValue::try_from(id.0) {
            answer.headers_mut().insert(REQUEST_ID, id);
        }
        answer
    };
    exchange.instrument(span).await
}

/// A request's id: the caller's, or a number behind a word that differs from run to run.
#[derive(Debug, Clone, PartialEq, Eq)]
struct RequestId(String);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn request_id(headers: &HeaderMap) -> RequestId {
    static RUN: LazyLock<u32> = LazyLock::new(|| Uuid::new_v4().as_fields().0);
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let given = headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|text| is_fit(text));
    RequestId(match given {
        Some(text) => text.to_owned(),
        None => format!("{:08x}-{}", *RUN, NEXT.fetch_add(1, Ordering::Relaxed)),
    })
}

/// Whether a caller's id may go into a log as it is.
fn is_fit(text: &str) -> bool {
    (1..=REQUEST_ID_BYTES_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=".contains(&b))
}

/// hyper has bounds too, behind which it answers without a body; these are narrower, so that the answer says what was wrong.
fn check_head(request: &Request) -> Result<(), ApiError> {
    let url = request
        .uri()
        .path_and_query()
        .map_or(0, |url| url.as_str().len());
    if url > limits::URL_BYTES_MAX {
        return Err(ApiError::new(
            StatusCode::URI_TOO_LONG,
            "too_large",
            format!(
                "the URL has {url} bytes; at most {} are accepted",
                limits::URL_BYTES_MAX
            ),
        ));
    }
    let headers: usize = request
        .headers()
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if headers > limits::HEADERS_BYTES_MAX {
        return Err(ApiError::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "too_large",
            format!(
                "the headers have {headers} bytes; at most {} are accepted",
                limits::HEADERS_BYTES_MAX
            ),
        ));
    }
    Ok(())
}

/// An error answer, whoever made it, as our JSON with the request's id.
async fn as_json(answer: Response, id: &RequestId) -> Response {
    let (mut parts, body) = answer.into_parts();
    let mut error = match parts.extensions.remove::<Refusal>() {
        Some(Refusal(error)) => error,
        // Made by axum: a path or an upgrade it could not make sense of.
        None => {
            let text = to_bytes(body, FOREIGN_BYTES_MAX).await.unwrap_or_default();
            foreign(parts.status, &String::from_utf8_lossy(&text))
        }
    };
    error.request_id = Some(id.0.clone());
    parts.headers.remove(header::CONTENT_LENGTH);
    let mut answer = Json(ErrorBody { error }).into_response();
    *answer.status_mut() = parts.status;
    parts.headers.remove(header::CONTENT_TYPE);
    answer.headers_mut().extend(parts.headers);
    answer
}

fn foreign(status: StatusCode, text: &str) -> ErrorDetail {
    let code = match status.as_u16() {
        404 => "not_found",
        405 => "bad_method",
        413 | 414 | 431 => "too_large",
        500.. => "internal",
        _ => "bad_request",
    };
    let reason = status.canonical_reason().unwrap_or("refused");
    ErrorDetail::new(
        code,
        if text.trim().is_empty() {
            reason
        } else {
            text.trim()
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_for(given: &'static str) -> String {
        let headers = [(REQUEST_ID, HeaderValue::from_static(given))];
        request_id(&headers.into_iter().collect()).0
    }

    #[test]
    fn a_caller_s_id_is_kept_if_it_may_go_into_a_log_and_replaced_if_not() {
        for fit in [
            "a",
            "0192f0c1-7b1e-4a55-9b43-000000000001",
            "trace:1/2+x=_.",
        ] {
            assert_eq!(id_for(fit), fit);
        }
        for unfit in ["", " ", "a b", "a\"b", "{}", "<script>", "x\u{7f}"] {
            let Ok(value) = HeaderValue::from_str(unfit) else {
                continue;
            };
            let id = request_id(&[(REQUEST_ID, value)].into_iter().collect()).0;
            assert!(id != unfit && is_fit(&id), "{unfit:?} became {id:?}");
        }
        let long = "x".repeat(REQUEST_ID_BYTES_MAX + 1);
        let value = HeaderValue::from_str(&long).unwrap();
        assert_ne!(
            request_id(&[(REQUEST_ID, value)].into_iter().collect()).0,
            long
        );
    }

    #[test]
    fn no_two_requests_get_the_same_id() {
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }
}

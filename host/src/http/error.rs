//! Every error a caller can get: status, stable code, a message that says what was wrong and what would be right.
//!
//! What went wrong inside is logged here and not sent: the caller is told that it was our side, and that is all.

use std::{fmt::Display, time::Duration};

use axum::{
    Json,
    body::Bytes,
    extract::{FromRequest, Request, rejection::BytesRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use ffrtmp_api::{
    ids::{BadJobRef, JobRef},
    limits,
    rest::{ErrorBody, ErrorDetail},
    settings::BadField,
};
use serde::de::DeserializeOwned;

use crate::{
    core::{ControlError, NodeError},
    shell::ReadOnly,
};

/// An error answer.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    detail: ErrorDetail,
}

impl ApiError {
    fn new(status: StatusCode, code: &str, message: impl Into<String>) -> ApiError {
        ApiError {
            status,
            detail: ErrorDetail::new(code, message),
        }
    }

    /// No such job.
    pub fn no_job(job: JobRef) -> ApiError {
        ApiError::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("there is no job {job}; `ffrtmp jobs list` shows those there are"),
        )
    }

    /// No such token.
    pub fn no_token(id: uuid::Uuid) -> ApiError {
        ApiError::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!(
                "there is no token {id}, or it is revoked; `ffrtmp tokens list` shows those there are"
            ),
        )
    }

    /// No such policy.
    pub fn no_policy(message: String) -> ApiError {
        ApiError::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// The master is about to end.
    pub fn stopping() -> ApiError {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "the master is stopping; try again when it is back",
        )
    }

    /// No such route.
    pub fn no_route() -> ApiError {
        ApiError::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "there is nothing here; the API is under /v1",
        )
    }

    /// The route does not take that method.
    pub fn no_method() -> ApiError {
        ApiError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "bad_method",
            "this route does not take that method",
        )
    }

    /// The token is missing or wrong.
    pub fn unauthorized(message: &str) -> ApiError {
        ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    /// Serving, but not able to make anything durable.
    pub fn not_ready() -> ApiError {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "read_only",
            ReadOnly.to_string(),
        )
    }

    /// What only the core knows, while there is none. 503: it passes.
    pub fn not_now(what: &str) -> ApiError {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            format!(
                "{what} not known while the store cannot be written (disk full, or failing); try again when it is back"
            ),
        )
    }

    /// A query parameter or field is wrong.
    pub fn bad_field(field: &str, message: impl Into<String>) -> ApiError {
        let mut error = ApiError::new(StatusCode::BAD_REQUEST, "bad_field", message);
        error.detail.field = Some(field.into());
        error
    }

    /// The request comes from somewhere it must not come from.
    pub fn forbidden(message: &str) -> ApiError {
        ApiError::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// Our side failed.
    pub fn internal(cause: impl Display) -> ApiError {
        tracing::error!(%cause, "a request failed on our side; the caller is told 500");
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the master failed to answer; its log says why",
        )
    }

    /// A job cannot be told that now.
    pub fn wrong_state(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::CONFLICT, "wrong_state", message)
    }

    /// From what the core said of one job.
    pub fn refused(detail: ErrorDetail) -> ApiError {
        let status = if detail.code == "idempotency_conflict" {
            StatusCode::CONFLICT
        } else {
            StatusCode::BAD_REQUEST
        };
        ApiError { status, detail }
    }
}

impl From<ReadOnly> for ApiError {
    fn from(error: ReadOnly) -> Self {
        ApiError::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "read_only",
            error.to_string(),
        )
    }
}

impl From<BadField> for ApiError {
    fn from(error: BadField) -> Self {
        ApiError::refused(detail_of(error))
    }
}

impl From<BadJobRef> for ApiError {
    fn from(error: BadJobRef) -> Self {
        ApiError::bad_field("job", error.to_string())
    }
}

impl From<ControlError> for ApiError {
    fn from(error: ControlError) -> Self {
        ApiError::wrong_state(error.to_string())
    }
}

impl From<NodeError> for ApiError {
    fn from(error: NodeError) -> Self {
        match error {
            NodeError::Unknown { .. } => {
                ApiError::new(StatusCode::NOT_FOUND, "not_found", error.to_string())
            }
            NodeError::Connected { .. } | NodeError::Publishing { .. } => {
                ApiError::wrong_state(error.to_string())
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(ErrorBody { error: self.detail })).into_response()
    }
}

/// A bad field, as a batch item carries it.
pub fn detail_of(error: BadField) -> ErrorDetail {
    ErrorDetail {
        code: "bad_field".into(),
        message: error.to_string(),
        field: Some(error.field.into()),
        request_id: None,
    }
}

/// How long a body may take to arrive: 8 MiB at 280 kB/s.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// A JSON body, with errors in our own words. The content type is not insisted on.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let body = Bytes::from_request(request, state);
        let Ok(body) = tokio::time::timeout(BODY_TIME_MAX, body).await else {
            return Err(ApiError::new(
                StatusCode::REQUEST_TIMEOUT,
                "too_slow",
                format!("the body did not arrive within {BODY_TIME_MAX:?}"),
            ));
        };
        let bytes = body.map_err(|rejection| match rejection {
            BytesRejection::FailedToBufferBody(e)
                if e.status() == StatusCode::PAYLOAD_TOO_LARGE =>
            {
                ApiError::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "too_large",
                    format!(
                        "the body is larger than {} bytes; split the batch",
                        limits::BODY_BYTES_MAX
                    ),
                )
            }
            other => ApiError::new(StatusCode::BAD_REQUEST, "bad_body", other.body_text()),
        })?;
        // serde would also take a list for a struct, field by field; nobody means that.
        if bytes.iter().find(|b| !b.is_ascii_whitespace()) != Some(&b'{') {
            return Err(ApiError::new(
                StatusCode::BAD_REQUEST,
                "bad_json",
                "the body must be a JSON object, as in {\"input\": \"/media/in.mp4\"}",
            ));
        }
        serde_json::from_slice(&bytes).map(Body).map_err(|e| {
            ApiError::new(
                StatusCode::BAD_REQUEST,
                "bad_json",
                format!("the body is not what this route takes: {e}"),
            )
        })
    }
}

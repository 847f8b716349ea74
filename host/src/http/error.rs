//! Every error a caller can get: status, stable code, a message that says what was wrong and what would be right.
//!
//! What went wrong inside is logged here and not sent: the caller is told that it was our side, and that is all.

use std::{
    fmt::{self, Display},
    time::Duration,
};

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use ffrtmp_api::{
    ids::{BadJobRef, JobRef},
    rest::{ErrorBody, ErrorDetail},
    settings::BadField,
};

use crate::{
    core::{ControlError, NodeError},
    shell::ReadOnly,
};

/// An error answer.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    detail: ErrorDetail,
    retry_after: Option<Duration>,
}

/// What an error answer says, as an extension of the answer, so that [`super::envelope`] can add the request's id.
#[derive(Debug, Clone)]
pub struct Refusal(pub ErrorDetail);

/// Seconds after which to try again what fails while the store cannot be written.
const STORE_RETRY: Duration = Duration::from_secs(2);

impl ApiError {
    /// With a status, a stable word and a message.
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>) -> ApiError {
        ApiError {
            status,
            detail: ErrorDetail::new(code, message),
            retry_after: None,
        }
    }

    /// It is about this field.
    pub fn about(mut self, field: &str) -> ApiError {
        self.detail.field = Some(field.into());
        self
    }

    /// It passes by itself: in about so long.
    fn passing(mut self, after: Duration) -> ApiError {
        self.retry_after = Some(after);
        self
    }

    /// This caller asks too often.
    pub fn too_many_requests(wait: Duration) -> ApiError {
        let message = format!(
            "too many requests; try again in {} s (many jobs go in one request to /v1/jobs/batch)",
            whole_seconds(wait)
        );
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", message).passing(wait)
    }

    /// The route speaks WebSocket, and this was no WebSocket request.
    pub fn no_upgrade() -> ApiError {
        let message = "this is where workers connect, by WebSocket; it answers nothing else";
        ApiError::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", message)
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
        .passing(STORE_RETRY)
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

    /// As much as can be done at once is being done. 503: it passes.
    pub fn busy(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
    }

    /// A query parameter or field is wrong.
    pub fn bad_field(field: &str, message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, "bad_field", message).about(field)
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
        ApiError {
            status,
            detail,
            retry_after: None,
        }
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

impl Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail.message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let refusal = Refusal(self.detail.clone());
        let mut answer = (self.status, Json(ErrorBody { error: self.detail })).into_response();
        answer.extensions_mut().insert(refusal);
        let headers = answer.headers_mut();
        if let Some(after) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(after)));
        }
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::UPGRADE_REQUIRED => {
                headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            }
            _ => {}
        }
        answer
    }
}

/// Rounded up, and at least one: what `Retry-After` can say.
fn whole_seconds(time: Duration) -> u64 {
    (time.as_millis() as u64).div_ceil(1_000).max(1)
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

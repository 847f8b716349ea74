//! The body of every error answer.

use serde::{Deserialize, Serialize};

/// The body of every error answer: `{"error": {…}}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// What went wrong, for the caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorDetail {
    /// A stable word: `bad_field`, `bad_json`, `bad_request`, `unauthorized`, `forbidden`, `not_found`, `bad_method`,
    /// `too_slow`, `wrong_state`, `too_large`, `too_many_requests`, `read_only`, `unavailable`, `internal`.
    pub code: String,
    /// What was wrong and what would be right.
    pub message: String,
    /// The field it is about, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The request it answers, as the header `x-request-id` and the master's log name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl ErrorDetail {
    /// With nothing but a code and a message.
    pub fn new(code: &str, message: impl Into<String>) -> ErrorDetail {
        ErrorDetail {
            code: code.into(),
            message: message.into(),
            field: None,
            request_id: None,
        }
    }
}

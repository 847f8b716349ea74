//! The body of every error answer.

use serde::{Deserialize, Serialize};

/// The body of every error answer: `{"error": {…}}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// What went wrong, for the caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// A stable word: `bad_field`, `bad_json`, `not_found`, `wrong_state`, `unauthorized`, `too_large`, `read_only`, `internal`.
    pub code: String,
    /// What was wrong and what would be right.
    pub message: String,
    /// The field it is about, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

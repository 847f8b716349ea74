//! Tokens: who may do what.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

words! {
    /// What the bearer of a token may do. Each role may do what `read` may, except `worker`, `join` and `metrics`.
    Role {
        /// Everything, tokens included.
        Admin = "admin",
        /// Submit jobs, and control those it may see.
        Submit = "submit",
        /// Look, and nothing else.
        Read = "read",
        /// Hold a worker's session, fetch inputs and hand outputs back; nothing else.
        Worker = "worker",
        /// Become a worker, once or a few times, within a time: exchanged for a `worker` token of the worker's own.
        Join = "join",
    }
}

/// `POST /v1/tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What it is called, to find it again.
    pub name: String,
    /// What its bearer may do.
    pub role: Role,
    /// Seconds until it expires; for ever without. A join token has a day unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_seconds: Option<u64>,
    /// Limits `submit` and `read` tokens to jobs with the label `tenant` of this value: it is set on what they submit, and
    /// they see nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// How many workers a join token admits; 1 without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
}

/// A token, as it is listed: everything but the secret, of which only a hash is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Token {
    /// Which; not secret.
    pub id: Uuid,
    /// What it is called.
    pub name: String,
    /// What its bearer may do.
    pub role: Role,
    /// The tenant it is limited to.
    pub tenant: Option<String>,
    /// When it was made, milliseconds since 1970.
    pub created_at_ms: i64,
    /// When it expires.
    pub expires_at_ms: Option<i64>,
    /// Workers a join token can still admit.
    pub uses_left: Option<u32>,
}

/// Answer to `POST /v1/tokens`. The only time the secret is shown.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreatedToken {
    /// What it is.
    pub token: Token,
    /// What its bearer shows: `Authorization: Bearer …`.
    pub secret: String,
}

/// `GET /v1/tokens`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenList {
    /// The newest first.
    pub tokens: Vec<Token>,
}

/// `POST /v1/join`, with a join token: who wants to become a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// The worker's name.
    pub name: String,
    /// Its identity, kept in its state directory.
    pub install_id: Uuid,
}

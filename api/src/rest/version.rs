//! What speaks.

use serde::{Deserialize, Serialize};

/// `GET /v1/version` and `GET /healthz`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Version {
    /// Software version.
    pub version: String,
    /// Worker protocol spoken.
    pub protocol: u32,
}

/// `GET /readyz`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Readiness {
    /// True; when it is not, the answer is a 503 that says why.
    pub ready: bool,
}

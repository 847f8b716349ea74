//! What speaks.

use serde::{Deserialize, Serialize};

/// `GET /v1/version` and `GET /healthz`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Version {
    /// Software version.
    pub version: String,
    /// Worker protocol spoken.
    pub protocol: u32,
}

//! Policies, as users see them.

use serde::{Deserialize, Serialize};

use super::PolicyShadow;

/// A policy the master knows, as `GET /v1/policies` shows it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PolicyStatus {
    /// Its name: the file's name without `.wasm`.
    pub name: String,
    /// Version it states.
    pub version: String,
    /// First 12 hex digits of its SHA-256, or `native`.
    pub digest: String,
    /// `active`, `ready`, `shadow`, `refused`, `fallback`, `faulted` or `disabled`.
    pub state: String,
    /// When it came into that state, milliseconds since 1970.
    pub since_ms: i64,
    /// Rounds it decided.
    pub rounds: u64,
    /// Jobs it placed.
    pub placements: u64,
    /// Rounds in which it failed and the built-in policy decided instead.
    pub faults: u64,
    /// Median guest time of its last rounds, microseconds.
    pub guest_p50_us: u64,
    /// 99th percentile.
    pub guest_p99_us: u64,
    /// The last thing that went wrong, and what to do.
    pub last_error: Option<String>,
    /// The language it was written in, where its toolchain says.
    #[serde(default)]
    pub language: Option<String>,
}

/// `GET /v1/policies`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PolicyList {
    /// The active one first.
    pub policies: Vec<PolicyStatus>,
    /// The rule by which the active one is chosen, in one sentence.
    pub rule: String,
    /// What chooses among files that arrive: `automatic` (a new file becomes the choice) or `manual` (only commands choose).
    #[serde(default)]
    pub mode: String,
    /// What a command pinned, as `NAME@DIGEST`: files choose nothing meanwhile.
    #[serde(default)]
    pub pinned: Option<String>,
    /// The candidate that is asked the same questions, and how it compares, if there is one.
    #[serde(default)]
    pub shadow: Option<PolicyShadow>,
}

/// `GET /v1/policies/{name}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PolicyDetail {
    /// What is known under that name: the one that rules or could, and others that once did.
    pub policies: Vec<PolicyStatus>,
    /// What a policy may use.
    pub limits: Vec<PolicyLimit>,
    /// Its own configuration, from `[config]` in `NAME.toml`; none without one.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub config: Option<serde_json::Value>,
}

/// A limit on a policy.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PolicyLimit {
    /// Its name, with its unit.
    pub name: String,
    /// What it is.
    pub value: u64,
    /// What it is where nobody changed it.
    pub default: u64,
    /// Why it is that much.
    pub reason: String,
    /// The file that sets it; none where it is the default.
    #[serde(default)]
    pub set_by: Option<String>,
}

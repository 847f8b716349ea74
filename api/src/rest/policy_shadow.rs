//! A candidate in the shadow of the policy that rules: it is asked the same questions, and nothing it says is carried out.

use serde::{Deserialize, Serialize};

/// How a candidate compares with the policy that rules.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PolicyShadow {
    /// The candidate's name.
    pub policy: String,
    /// Version it states.
    pub version: String,
    /// First 12 hex digits of its SHA-256, or `native`.
    pub digest: String,
    /// Since when, milliseconds since 1970.
    pub since_ms: i64,
    /// Questions it answered.
    pub rounds: u64,
    /// Questions it was not asked, because it was still busy with an earlier one.
    pub rounds_dropped: u64,
    /// Of all jobs that either placed, the share that both placed on the same worker; none while neither placed any.
    pub agreement: Option<f64>,
    /// Jobs that both placed on the same worker.
    pub same_node: u64,
    /// Jobs that both placed, on different workers.
    pub other_node: u64,
    /// Jobs that were placed and that it would have let wait.
    pub would_wait: u64,
    /// Of those, the ones that it would have held on purpose.
    pub would_hold: u64,
    /// Jobs that waited and that it would have placed.
    pub would_place: u64,
    /// Placements of its that could not have been carried out.
    pub refused: u64,
    /// Questions in which it failed.
    pub faults: u64,
    /// Median guest time of its last rounds, microseconds.
    pub guest_p50_us: u64,
    /// 99th percentile.
    pub guest_p99_us: u64,
    /// The last thing that went wrong.
    pub last_error: Option<String>,
    /// Whether it is asked no more, because it failed too often.
    pub over: bool,
}

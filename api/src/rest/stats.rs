//! The cluster in numbers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::NodeStatus;
use crate::job::{FailureReason, JobState, Priority, Queue};

/// `GET /v1/stats`: the cluster now, and how it did since the master started.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Stats {
    /// Jobs the store holds, by state. Every state is there.
    pub jobs: BTreeMap<JobState, u64>,
    /// Jobs that wait, by lane.
    pub waiting_by_queue: BTreeMap<Queue, u64>,
    /// Jobs that wait, by urgency.
    pub waiting_by_priority: BTreeMap<Priority, u64>,
    /// Seconds the job that waits longest has been waiting; none when nothing waits.
    pub oldest_waiting_seconds: Option<f64>,
    /// Workers, by status. Every status is there.
    pub nodes: BTreeMap<NodeStatus, u64>,
    /// Slots of the workers that take work.
    pub slots: u64,
    /// Attempts on them.
    pub slots_used: u64,
    /// Since the master started: jobs accepted.
    pub submitted: u64,
    /// Since the master started: jobs completed.
    pub completed: u64,
    /// Since the master started: jobs canceled.
    pub canceled: u64,
    /// Since the master started: jobs failed, by reason.
    pub failed: BTreeMap<FailureReason, u64>,
    /// Seconds from accepted to ffmpeg spawned, of the jobs started since the master started: mean.
    pub wait_seconds_mean: Option<f64>,
    /// Seconds an attempt ran, of the jobs ended since the master started: mean.
    pub run_seconds_mean: Option<f64>,
    /// Seconds since the master started.
    pub uptime_seconds: f64,
    /// The policy that decides now, and the first digits of its digest.
    pub policy: String,
    /// Whether the store refuses writes.
    pub read_only: bool,
}

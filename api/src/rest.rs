//! The JSON that the HTTP API speaks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    encoder::EncoderSet,
    ids::{AttemptNo, JobSeq},
    job::{FailureReason, JobSpec, JobState, Priority, Queue},
    protocol::{Gpu, GpuLoad, MediaResult},
};

/// `POST /v1/jobs/batch`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubmitBatch {
    /// At most [`crate::limits::BATCH_JOBS_MAX`].
    pub jobs: Vec<JobSpec>,
}

/// Answer to a batch: one item for each job, in order. Durable when it arrives.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SubmitBatchAnswer {
    /// One for each job submitted.
    pub items: Vec<SubmitItem>,
}

/// What became of one job of a batch.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubmitItem {
    /// Accepted.
    Accepted(Submitted),
    /// Refused; the others are not affected.
    Refused(ErrorDetail),
}

/// A job was accepted and is durable.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Submitted {
    /// Its number.
    pub id: JobSeq,
    /// Its UUID.
    pub uuid: Uuid,
    /// Whether an earlier submit with the same idempotency key had already made it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
}

/// A job, as `GET /v1/jobs/{id}` shows it. Times are milliseconds since 1970, by the master's clock.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// Number.
    pub id: JobSeq,
    /// UUID.
    pub uuid: Uuid,
    /// Where it stands.
    pub state: JobState,
    /// What was asked.
    pub spec: JobSpec,
    /// Lane.
    pub queue: Queue,
    /// Urgency.
    pub priority: Priority,
    /// Attempts so far.
    pub attempt: AttemptNo,
    /// Attempts that failed.
    pub failures: u32,
    /// When it was accepted.
    pub submitted_at_ms: i64,
    /// When its latest attempt's ffmpeg was spawned.
    pub started_at_ms: Option<i64>,
    /// When it ended.
    pub finished_at_ms: Option<i64>,
    /// The worker of its latest attempt.
    pub node: Option<String>,
    /// Who placed the latest attempt, and why there.
    pub placement: Option<Placement>,
    /// Why it waits, while it is pending and the reason is known.
    pub waiting: Option<String>,
    /// Whether a cancel has been asked for.
    pub cancel_requested: bool,
    /// Why the latest attempt failed.
    pub failure: Option<Failure>,
    /// What was measured.
    pub result: Option<MediaResult>,
    /// How far it is, while it runs.
    pub progress: Option<JobProgress>,
}

/// Why a job was placed where it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Placement {
    /// Name of the policy.
    pub policy: String,
    /// First 12 hex digits of the SHA-256 of its wasm, or `native` for the built-in fallback.
    pub digest: String,
    /// The policy's own reason.
    pub reason: String,
    /// The policy's score for the worker; larger is better.
    pub score: i64,
    /// The GPU it chose, if any.
    pub gpu: Option<u32>,
    /// The scheduling round.
    pub round: u64,
}

/// A failed attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Class.
    pub reason: FailureReason,
    /// What happened.
    pub message: String,
}

/// How far a running job is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobProgress {
    /// 0 to 100, where the length is known.
    pub percent: Option<f32>,
    /// Frames encoded.
    pub frames: u64,
    /// Frames per second now.
    pub fps: f32,
    /// Seconds of media per second of wall time.
    pub speed: f32,
    /// Seconds of media encoded.
    pub media_seconds: f64,
    /// Bytes written so far.
    pub bytes: u64,
    /// Seconds to go, where the length is known.
    pub eta_seconds: Option<f64>,
}

/// `GET /v1/jobs?state=&queue=&limit=&before=`: newest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobList {
    /// One page.
    pub jobs: Vec<Job>,
    /// Give this as `before` for the next page; none on the last.
    pub next_before: Option<JobSeq>,
}

/// `GET /v1/jobs/{id}/logs`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobLogs {
    /// Number.
    pub id: JobSeq,
    /// The attempt the log is of.
    pub attempt: AttemptNo,
    /// The end of ffmpeg's stderr. Live while the attempt runs.
    pub text: String,
    /// Whether more may come.
    pub live: bool,
}

/// How a worker stands; the label values of `ffrtmp_nodes_by_status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeStatus {
    /// Connected, with a free slot.
    Available,
    /// Connected, every slot taken.
    Busy,
    /// Not connected, or silent past its lease.
    Offline,
    /// Finishing what it has, taking nothing new.
    Draining,
    /// Connected, given nothing because too much fails there.
    Quarantined,
}

impl NodeStatus {
    /// Every status, in order.
    pub const ALL: [NodeStatus; 5] = [
        NodeStatus::Available,
        NodeStatus::Busy,
        NodeStatus::Offline,
        NodeStatus::Draining,
        NodeStatus::Quarantined,
    ];

    /// The word on the wire and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            NodeStatus::Available => "available",
            NodeStatus::Busy => "busy",
            NodeStatus::Offline => "offline",
            NodeStatus::Draining => "draining",
            NodeStatus::Quarantined => "quarantined",
        }
    }
}

/// A worker, as `GET /v1/nodes` shows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Node {
    /// Its name; `node_id` in metrics.
    pub name: String,
    /// How it stands.
    pub status: NodeStatus,
    /// Software version.
    pub software: String,
    /// First line of its `ffmpeg -version`.
    pub ffmpeg: String,
    /// Most attempts at once.
    pub slots: u32,
    /// Attempts it holds now.
    pub slots_used: u32,
    /// Cores, in thousandths.
    pub cpu_millicores: u32,
    /// Memory, in MiB.
    pub memory_mib: u32,
    /// Host CPU in use, percent.
    pub cpu_percent: f32,
    /// Host memory in use, in MiB.
    pub memory_used_mib: u32,
    /// Encoders proven by trial.
    pub encoders: EncoderSet,
    /// GPUs.
    pub gpus: Vec<Gpu>,
    /// Load of each.
    pub gpu_loads: Vec<GpuLoad>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Where its metrics are.
    pub metrics_address: Option<String>,
    /// Milliseconds since the last frame from it; none if it has not been heard since the master started.
    pub silent_ms: Option<u64>,
    /// The jobs it holds.
    pub jobs: Vec<JobSeq>,
}

/// `GET /v1/nodes`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NodeList {
    /// By name.
    pub nodes: Vec<Node>,
}

/// A policy the master knows, as `GET /v1/policies` shows it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PolicyStatus {
    /// Its name: the file's name without `.wasm`.
    pub name: String,
    /// Version it states.
    pub version: String,
    /// First 12 hex digits of its SHA-256, or `native`.
    pub digest: String,
    /// `active`, `ready`, `refused`, `fallback` or `faulted`.
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
}

/// `GET /v1/policies`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PolicyList {
    /// The active one first.
    pub policies: Vec<PolicyStatus>,
    /// The rule by which the active one is chosen, in one sentence.
    pub rule: String,
}

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

/// `GET /v1/version` and `GET /healthz`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Version {
    /// Software version.
    pub version: String,
    /// Worker protocol spoken.
    pub protocol: u32,
}

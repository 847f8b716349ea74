//! Jobs: submitting them, what is shown of them, what can be changed, why they are where they are.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{ErrorDetail, WebhookState};
use crate::{
    ids::{AttemptNo, JobSeq},
    job::{FailureReason, JobSpec, JobState, Priority, Queue},
    preset::Asked,
    protocol::MediaResult,
};

/// `POST /v1/jobs/batch`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SubmitBatch {
    /// At most [`crate::limits::BATCH_JOBS_MAX`].
    #[cfg_attr(feature = "openapi", schema(value_type = crate::schema::Batch))]
    pub jobs: Vec<JobSpec>,
}

/// The same, with jobs as they were asked for: what the master takes, and the command line sends.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskedBatch {
    /// At most [`crate::limits::BATCH_JOBS_MAX`].
    pub jobs: Vec<Asked>,
}

impl From<&SubmitBatch> for AskedBatch {
    fn from(batch: &SubmitBatch) -> AskedBatch {
        AskedBatch {
            jobs: batch.jobs.iter().cloned().map(Asked::from).collect(),
        }
    }
}

/// Answer to a batch: one item for each job, in order. Durable when it arrives.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SubmitBatchAnswer {
    /// One for each job submitted.
    pub items: Vec<SubmitItem>,
}

/// What became of one job of a batch.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SubmitItem {
    /// Accepted.
    Accepted(Submitted),
    /// Refused; the others are not affected.
    Refused(ErrorDetail),
}

/// A job was accepted and is durable.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
    /// Whether it is kept from being placed until it is resumed. Only pending jobs are held; those that run are paused.
    #[serde(default)]
    pub held: bool,
    /// Whether a cancel has been asked for.
    pub cancel_requested: bool,
    /// Why the latest attempt failed.
    pub failure: Option<Failure>,
    /// What was measured.
    pub result: Option<MediaResult>,
    /// How far it is, while it runs.
    pub progress: Option<JobProgress>,
    /// What of its webhooks is not delivered. Only where one job is asked for, and only if something is told of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhooks: Option<WebhookState>,
}

/// Why a job was placed where it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Failure {
    /// Class.
    pub reason: FailureReason,
    /// What happened.
    pub message: String,
}

/// How far a running job is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
    /// Of a live job: how often its source was taken up again.
    #[serde(default)]
    pub restarts: u32,
}

/// `GET /v1/jobs`: one page of those that match, in the order asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobList {
    /// One page.
    pub jobs: Vec<Job>,
    /// Give this as `cursor`, with the same filters and order, for the next page; none on the last. Opaque.
    pub next_cursor: Option<String>,
}

/// `GET /v1/jobs/{id}/logs`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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

/// One event of `GET /v1/jobs/{id}/logs?follow=true`. The SSE event name is its `type`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum LogEvent {
    /// What follows is of this attempt.
    Attempt {
        /// Its number.
        attempt: AttemptNo,
        /// Its worker.
        node: Option<String>,
    },
    /// More of the log.
    Text {
        /// Whole lines.
        text: String,
    },
    /// Some of the log is missing here: it grew faster than it could be sent, or the master was restarted.
    Gap {
        /// How much, in bytes; 0 if that is not known.
        bytes: u64,
    },
    /// The job ended. Nothing follows.
    End {
        /// How.
        state: JobState,
    },
}

words! {
    /// The orders `GET /v1/jobs?sort=` knows. Ties go by number.
    #[derive(Default)]
    JobSort {
        /// By number, the newest first.
        #[default]
        Newest = "newest",
        /// By number, the oldest first.
        Oldest = "oldest",
        /// By when they ended, the latest first; those that have not ended are left out.
        Finished = "finished",
        /// By when ffmpeg was started, the latest first; those that never started are left out.
        Started = "started",
        /// By lane, then priority, then age: about the order in which a queue is worked off.
        Urgency = "urgency",
    }
}

/// `PATCH /v1/jobs/{id}`: what can be changed of a job that waits. At least one must be given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ChangeJob {
    /// The new lane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Queue>,
    /// The new urgency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
}

/// `GET /v1/jobs/{id}/history`: everything that happened to a job, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobHistory {
    /// Number.
    pub id: JobSeq,
    /// Its lines.
    pub entries: Vec<HistoryEntry>,
}

/// One line of a job's history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HistoryEntry {
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// Which attempt; 0 before the first.
    pub attempt: AttemptNo,
    /// From which state; the same as `to` where only something else changed.
    pub from: JobState,
    /// To which state.
    pub to: JobState,
    /// On which worker.
    pub node: Option<String>,
    /// What happened, for people.
    pub detail: String,
}

/// `GET /v1/jobs/{id}/explain`: why a job is where it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Explanation {
    /// Number.
    pub id: JobSeq,
    /// Where it stands.
    pub state: JobState,
    /// The answer in one sentence.
    pub summary: String,
    /// While it waits: for what.
    pub waiting: Option<Waiting>,
    /// Who placed its latest attempt, and why there.
    pub placement: Option<Placement>,
    /// What there was to choose from when it was placed; known of the last 10,000 placements since the master started.
    #[serde(default)]
    pub choice: Option<PlacementChoice>,
    /// While it waits: each connected worker, and whether it could take the job now. At most
    /// [`crate::limits::EXPLAIN_NODES_MAX`]; those that could come first.
    pub nodes: Vec<NodeVerdict>,
    /// Workers left out of `nodes`.
    pub nodes_left_out: usize,
    /// What happened to it so far.
    pub history: Vec<HistoryEntry>,
}

/// What there was to choose from when a job was placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlacementChoice {
    /// As which of its attempts it was placed.
    pub attempt: AttemptNo,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// Jobs that were offered to the policy together with it, itself included.
    pub candidates: usize,
    /// The first 16 of them, by rank.
    pub jobs: Vec<JobSeq>,
    /// Workers that could have taken it; none where the answer placed so many kinds of jobs that not all were looked at.
    pub nodes_with_room: Option<usize>,
    /// The 8 of them with most free CPU, as they stood before the answer was carried out.
    pub nodes: Vec<NodeRoom>,
}

/// A worker that could have taken a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeRoom {
    /// Its name.
    pub node: String,
    /// Whether the job went there.
    pub chosen: bool,
    /// Free slots.
    pub slots: u32,
    /// CPU not reserved, thousandths of a core.
    pub cpu_millicores: u32,
    /// Memory not reserved, MiB.
    pub memory_mib: u32,
}

/// Why a job waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Waiting {
    /// The kind of reason, for programs.
    pub reason: WaitReason,
    /// The same for people, with names and numbers.
    pub message: String,
    /// When it ends by itself, milliseconds since 1970, where that is known.
    pub until_ms: Option<i64>,
}

words! {
    /// The kinds of reasons for which a job waits. Bounded, so that it can be a metric label.
    WaitReason {
        /// A user holds it.
        HeldByUser = "held_by_user",
        /// The policy holds it until a time.
        HeldByPolicy = "held_by_policy",
        /// It failed and will be tried again after a pause.
        BackingOff = "backing_off",
        /// No worker is connected and taking work.
        NoWorker = "no_worker",
        /// No worker has the encoder it needs.
        NoEncoder = "no_encoder",
        /// No worker has a GPU.
        NoGpu = "no_gpu",
        /// No worker carries the labels it requires.
        NoLabel = "no_label",
        /// It is larger than any worker.
        TooLarge = "too_large",
        /// Those that could run it are full.
        WorkersFull = "workers_full",
        /// The GPUs of those that could run it are taken; the rest of them is not.
        GpusFull = "gpus_full",
        /// Others are before it.
        InQueue = "in_queue",
    }
}

/// Whether one worker could take a job now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeVerdict {
    /// The worker's name.
    pub node: String,
    /// Whether it could.
    pub fits: bool,
    /// If not, why; if so, how much room it has.
    pub why: String,
}

//! What the core asks the store to keep. The store applies records in order, in groups; a restart reads the rows back.
//!
//! Heartbeats, progress and lease deadlines are not here: they are worth nothing after a restart.

use std::sync::Arc;

use ffrtmp_api::{
    ids::{AttemptNo, JobSeq},
    job::{JobState, Priority, Queue},
    protocol::MediaResult,
    rest::{Failure, Placement, Quarantine},
};
use uuid::Uuid;

/// How long an idempotency key is remembered, in milliseconds: a day, far beyond any client's retries. The core forgets
/// keys of this age and the store reads back none that is older.
pub const IDEMPOTENCY_MS: u64 = 24 * 3_600_000;

/// What an idempotency key stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownKey {
    /// The job it made.
    pub seq: JobSeq,
    /// Its UUID.
    pub uuid: Uuid,
    /// [`spec_digest`] of what was submitted with it.
    pub spec: u64,
}

/// A short digest of what was asked for with a spec, given as JSON, to tell a repeated submit from another one with the same key. Made anew at each start and
/// never stored, so it may change with the software.
///
/// What a preset filled in is not part of it: a submit that is repeated after the preset's file changed is the same submit.
pub fn spec_digest(spec_json: &str) -> u64 {
    let asked = without_preset(spec_json);
    let spec_json = asked.as_deref().unwrap_or(spec_json);
    // Not randomly seeded, unlike the hasher of a `HashMap`.
    let mut hasher = std::hash::DefaultHasher::new();
    std::hash::Hash::hash(spec_json, &mut hasher);
    std::hash::Hasher::finish(&hasher)
}

/// A spec without what its preset filled in; none if nothing was.
fn without_preset(spec_json: &str) -> Option<String> {
    // Most have none, and a scan for it costs less than parsing.
    if !spec_json.contains("\"preset_fields\"") {
        return None;
    }
    let mut spec: serde_json::Value = serde_json::from_str(spec_json).ok()?;
    let fields = spec.as_object_mut()?;
    if let Some(filled) = fields.remove("preset_fields") {
        for field in filled.as_array()?.iter().filter_map(|field| field.as_str()) {
            match field {
                // Never left out of a spec: as it is where nobody says it.
                "queue" => fields.insert(field.to_owned(), Queue::default().as_str().into()),
                "priority" => fields.insert(field.to_owned(), Priority::default().as_str().into()),
                field => fields.remove(field),
            };
        }
    }
    Some(spec.to_string())
}

/// One change to the durable state.
#[derive(Debug, Clone)]
pub enum Record {
    /// A job was accepted.
    JobAccepted(Box<JobRow>),
    /// A job's changeable half is now this.
    JobChanged {
        /// Which.
        seq: JobSeq,
        /// All of it; the row is overwritten.
        status: Box<JobStatus>,
    },
    /// A pending job was given another lane or urgency.
    JobMoved {
        /// Which.
        seq: JobSeq,
        /// The lane now in force.
        queue: Queue,
        /// The urgency now in force.
        priority: Priority,
    },
    /// A line of a job's history; append-only.
    JobEvent(JobEvent),
    /// A webhook is to be told of a job's new state. In the same commit as the state, so that neither is without the other.
    Notice(Box<Notice>),
    /// The end of an attempt's ffmpeg log.
    JobLog {
        /// Which job.
        seq: JobSeq,
        /// Which attempt.
        attempt: AttemptNo,
        /// The text.
        text: String,
    },
    /// A worker is known by this identity.
    WorkerKnown(WorkerRow),
    /// An operator took a worker out of service, or put it back.
    WorkerDrained {
        /// Its name.
        name: String,
        /// Whether it is out of service.
        drained: bool,
    },
    /// A worker was quarantined, or its quarantine changed or is over.
    WorkerQuarantined {
        /// Its name.
        name: String,
        /// What holds now.
        quarantine: Option<Quarantine>,
    },
    /// A worker has not been heard for so long that it is forgotten, or an operator removed it.
    WorkerForgotten(String),
    /// A policy was chosen.
    PolicyChosen {
        /// Its name.
        name: String,
        /// SHA-256 of its wasm, in hex.
        digest: String,
        /// When, milliseconds since 1970.
        at_ms: i64,
    },
}

/// A job, as the store keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct JobRow {
    /// Number.
    pub seq: JobSeq,
    /// UUID.
    pub uuid: Uuid,
    /// The spec as JSON. Kept as text in memory too: a queued job costs what its text costs.
    pub spec: Arc<str>,
    /// The lane in force. The spec keeps the one asked for.
    pub queue: Queue,
    /// The urgency in force, likewise.
    pub priority: Priority,
    /// When it was accepted, milliseconds since 1970.
    pub submitted_ms: i64,
    /// For a submit that may be repeated.
    pub idempotency_key: Option<String>,
    /// The half that changes.
    pub status: JobStatus,
}

/// The changeable half of a job. What most jobs in the queue do not have is boxed: a million of them are kept in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct JobStatus {
    /// Where it stands.
    pub state: JobState,
    /// Attempts so far; 0 before the first.
    pub attempt: AttemptNo,
    /// Attempts that failed.
    pub failures: u32,
    /// When the latest attempt's ffmpeg was spawned, milliseconds since 1970.
    pub started_ms: Option<i64>,
    /// When the job ended.
    pub finished_ms: Option<i64>,
    /// The worker of the latest attempt.
    pub worker: Option<String>,
    /// Who placed the latest attempt and why.
    pub placement: Option<Box<Placement>>,
    /// The file that is being moved into place.
    pub publishing: Option<Box<Publishing>>,
    /// Why the latest attempt failed.
    pub failure: Option<Failure>,
    /// What was measured.
    pub result: Option<Box<MediaResult>>,
    /// Whether a cancel was asked for.
    pub cancel_requested: bool,
    /// Whether a live job was asked to finish with what there is.
    pub stop_requested: bool,
    /// Whether it is to be paused, as the user last said.
    pub pause_requested: bool,
    /// Whether the latest attempt was given up with its worker, and so may be taken back if that worker returns in time.
    pub lost: bool,
    /// Whether a user keeps it, pending, from being placed.
    pub held: bool,
    /// How often a user had it tried again after it had ended.
    pub retried: u32,
    /// What a next attempt must keep to, once one has failed.
    pub retry: Option<Box<Retry>>,
}

/// What a next attempt of a job must keep to, also after a start of the master.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Retry {
    /// Names of the workers on which it failed, latest last.
    pub failed_on: Vec<String>,
    /// Not before this, milliseconds since 1970. Only read at a start; while the master runs, its monotonic clock decides.
    pub not_before_ms: Option<i64>,
}

impl Default for JobStatus {
    fn default() -> Self {
        JobStatus {
            state: JobState::Pending,
            attempt: AttemptNo(0),
            failures: 0,
            started_ms: None,
            finished_ms: None,
            worker: None,
            placement: None,
            publishing: None,
            failure: None,
            result: None,
            cancel_requested: false,
            stop_requested: false,
            pause_requested: false,
            lost: false,
            held: false,
            retried: 0,
            retry: None,
        }
    }
}

/// The file chosen to become a job's output. Once this is durable, only this rename may be completed.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Publishing {
    /// The finished temporary file.
    pub temp: String,
    /// Where it goes.
    pub output: String,
    /// Whether an existing output may be replaced.
    pub overwrite: bool,
    /// Its size.
    pub bytes: u64,
    /// Workers other than its own that were ordered to move it and have not answered. While there is one, the file may be
    /// moved at any time.
    #[serde(default)]
    pub asked: Vec<String>,
    /// What was measured of it.
    pub result: MediaResult,
}

/// A line of a job's history.
#[derive(Debug, Clone, PartialEq)]
pub struct JobEvent {
    /// Which job.
    pub seq: JobSeq,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// Which attempt.
    pub attempt: AttemptNo,
    /// From where; equal to `to` for the first line.
    pub from: JobState,
    /// To where.
    pub to: JobState,
    /// On which worker.
    pub worker: Option<String>,
    /// Why, for people.
    pub detail: String,
}

/// What a webhook is to be told, as it was when it happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// Where to.
    pub url: String,
    /// Scheme, host and port of that.
    pub origin: String,
    /// About which job.
    pub seq: JobSeq,
    /// Which attempt.
    pub attempt: AttemptNo,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// From where; equal to `to` for a job that was submitted.
    pub from: JobState,
    /// To where.
    pub to: JobState,
    /// On which worker.
    pub worker: Option<String>,
    /// Why, for people.
    pub detail: String,
    /// Why the latest attempt failed.
    pub failure: Option<Failure>,
    /// What was measured.
    pub result: Option<Box<MediaResult>>,
}

/// A worker's identity, as the store keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerRow {
    /// Name.
    pub name: String,
    /// Kept in the worker's state directory.
    pub install_id: Uuid,
    /// When it last introduced itself, milliseconds since 1970.
    pub seen_ms: i64,
    /// Whether an operator took it out of service.
    pub drained: bool,
    /// Its quarantine.
    pub quarantine: Option<Quarantine>,
}

/// Everything a start needs: what is not terminal, the counts of what is, and who was known.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Jobs not in a terminal state, by number.
    pub jobs: Vec<JobRow>,
    /// Jobs held by the store, by state.
    pub counts: Vec<(JobState, u64)>,
    /// The highest number ever given.
    pub last_seq: u64,
    /// Idempotency keys of all jobs held, with the job each made.
    pub idempotency: Vec<(String, KnownKey)>,
    /// Known workers.
    pub workers: Vec<WorkerRow>,
}

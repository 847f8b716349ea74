//! `GET /v1/policies/{name}/dump`: what a policy was last asked and answered, and what became of it. Numbers of jobs, workers,
//! classes and groups are those that the policy sees.

use serde::{Deserialize, Serialize};

/// `GET /v1/policies/{name}/dump`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PolicyDump {
    /// The policy's name.
    pub policy: String,
    /// First 12 hex digits of its SHA-256, or `native`.
    pub digest: String,
    /// The last question it answered.
    pub last: Option<PolicyQuestion>,
    /// The last question in which it failed.
    pub last_fault: Option<PolicyQuestion>,
}

/// A question, its answer and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PolicyQuestion {
    /// Number of the question. A round in which jobs are skipped takes several.
    pub question: u64,
    /// When it was decided, milliseconds since 1970.
    pub at_ms: i64,
    /// Time inside the guest, microseconds of CPU time.
    pub guest_us: u64,
    /// The stage in which the policy failed and what happened: what is answered here is the built-in policy's then.
    pub fault: Option<PolicyFault>,
    /// Whether `changes` was everything there is.
    pub reset: bool,
    /// What it was told before; the first 1,000.
    pub changes: Vec<DumpChange>,
    /// Changes left out of `changes`.
    pub changes_left_out: usize,
    /// The round it was asked to decide; none if it was asked to rank.
    pub round: Option<DumpRound>,
    /// The jobs it was asked to rank; told only where it failed in that.
    pub ranking: Vec<u64>,
}

/// How a policy failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PolicyFault {
    /// `init`, `sync`, `rank`, `plan`, `answer` or `stuck`.
    pub stage: String,
    /// What happened.
    pub message: String,
}

/// A round: what was asked, and the answer with what became of each entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DumpRound {
    /// Its number.
    pub round: u64,
    /// The time it was given, milliseconds since 1970.
    pub now_ms: i64,
    /// The randomness it was given.
    pub seed: u64,
    /// The classes the candidates are of.
    pub classes: Vec<DumpClass>,
    /// The candidates, by rank.
    pub candidates: Vec<DumpCandidate>,
    /// What it placed.
    pub placements: Vec<DumpPlacement>,
    /// Jobs it passed over.
    pub skips: Vec<u32>,
    /// Jobs it held.
    pub holds: Vec<DumpHold>,
}

/// A class of hard requirements, as a policy sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DumpClass {
    /// Its number.
    pub id: u32,
    /// Encoders needed, as bits.
    pub encoders: u32,
    /// Requirements on labels, as bits.
    pub tags: u64,
    /// Whether it needs a GPU.
    pub gpu: bool,
}

/// An amount of each thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DumpResources {
    /// CPU, thousandths of a core.
    pub cpu_millicores: u32,
    /// Memory, MiB.
    pub memory_mib: u32,
    /// Encode sessions on one GPU.
    pub gpu_sessions: u32,
    /// Memory of one GPU, MiB.
    pub gpu_memory_mib: u32,
}

/// A job that could be placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DumpCandidate {
    /// Its number.
    pub job: u32,
    /// Index into `classes`.
    pub class: u32,
    /// Its group.
    pub group: u32,
    /// Its rank.
    pub rank: i64,
    /// What it will hold.
    pub cost: DumpResources,
    /// Lane: 0 live, 1 default, 2 batch.
    pub queue: u8,
    /// Urgency: 0 high, 1 medium, 2 low.
    pub priority: u8,
    /// How long it has waited.
    pub waited_ms: u64,
    /// Workers where it failed.
    pub excluded: Vec<u32>,
}

/// A placement, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DumpPlacement {
    /// The job.
    pub job: u32,
    /// The worker.
    pub worker: u32,
    /// Its name, where the policy was told of it.
    pub node: Option<String>,
    /// The GPU.
    pub gpu: Option<u32>,
    /// How good the policy found it.
    pub score: i64,
    /// Why, in the policy's words.
    pub reason: String,
    /// Why it was refused, as in `ffrtmp_placements_refused_total`; none: it was carried out.
    pub refused: Option<String>,
}

/// A hold, and whether it was carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DumpHold {
    /// The job.
    pub job: u32,
    /// Until when, milliseconds since 1970.
    pub until_ms: i64,
    /// Why, in the policy's words.
    pub reason: String,
    /// Whether it was carried out.
    pub carried_out: bool,
}

/// Something a policy was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DumpChange {
    /// The word of the contract: `worker-up`, `job-started` and so on.
    pub change: String,
    /// The worker it is about.
    pub worker: u32,
    /// The job it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<u32>,
    /// The rest of it, for people.
    pub detail: String,
}

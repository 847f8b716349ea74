//! A live job in memory. Terminal jobs are not here: the store has them.

use std::sync::Arc;

use ffrtmp_api::{
    ids::{Attempt, JobSeq},
    job::{
        CPU_MILLICORES_DEFAULT, Hardware, JobSpec, MEMORY_MIB_DEFAULT, Priority, Queue,
        TENANT_LABEL,
    },
    rest::JobChange,
    settings::{Settings, Webhook},
};
use ffrtmp_policy_sdk::{ClassId, GroupId, JobInfo, JobOn, Resources, WorkerId};
use uuid::Uuid;

use super::{kind::Kind, queue::Place, record::JobStatus};

pub use ffrtmp_api::job::RETRIES_DEFAULT;

/// A job that has not ended.
#[derive(Debug)]
pub struct Job {
    /// Number.
    pub seq: JobSeq,
    /// UUID.
    pub uuid: Uuid,
    /// The spec as JSON; parsed again when the job is placed, which costs less than keeping a million parsed specs.
    pub spec: Arc<str>,
    /// Its label [`TENANT_LABEL`]: those limited to a tenant are told of its jobs only.
    pub tenant: Option<Box<str>>,
    /// Lane.
    pub queue: Queue,
    /// Urgency.
    pub priority: Priority,
    /// When it was accepted, milliseconds since 1970.
    pub submitted_ms: i64,
    /// When its state last changed, milliseconds since 1970.
    pub changed_ms: i64,
    /// Since when it is pending this time, monotonic milliseconds.
    pub pending_since_ms: u64,
    /// Since when it waits with nobody holding it on purpose, milliseconds since 1970; none if it does not.
    pub waits_since_ms: Option<i64>,
    /// What metrics count it as.
    pub kind: Kind,
    /// Which workers could run it.
    pub class: ClassId,
    /// What it will hold there.
    pub cost: Resources,
    /// Retries allowed.
    pub retries: u32,
    /// The durable half; every change goes to the store.
    pub status: JobStatus,
    /// Where it waits, while pending.
    pub place: Place,
    /// What it holds on a worker, while active.
    pub on: Option<JobOn>,
    /// Workers where it failed.
    pub excluded: Vec<WorkerId>,
    /// While publishing: workers that were asked to do the rename and could not.
    pub publish_tried: Vec<WorkerId>,
    /// Whether it has an output to publish.
    pub has_output: bool,
    /// Whether any attempt's ffmpeg was ever spawned.
    pub has_started: bool,
    /// How long policies have held it in all, milliseconds.
    pub held_ms: u64,
    /// By which policy's rank it is queued; see `Rounds::epoch`.
    pub rank_epoch: u32,
    /// The group it was ranked into then.
    pub group: GroupId,
    /// Whom it tells of its changes.
    pub webhook: Option<Box<Webhook>>,
    /// Why it waits, as far as somebody said so: the policy that holds it, or the back-off after a failure.
    pub wait_reason: Option<Arc<str>>,
}

impl Job {
    /// Its current attempt.
    pub fn attempt(&self) -> Attempt {
        Attempt {
            job: self.seq,
            no: self.status.attempt,
        }
    }

    /// Itself, as those who listen to the cluster are told.
    pub fn change(&self) -> JobChange {
        let status = &self.status;
        JobChange {
            id: self.seq,
            uuid: self.uuid,
            state: status.state,
            queue: self.queue,
            priority: self.priority,
            attempt: status.attempt,
            node: status.worker.clone(),
            failure: status.failure.as_ref().map(|failure| failure.reason),
            tenant: self.tenant.as_deref().map(str::to_owned),
            at_ms: self.changed_ms,
        }
    }

    /// The name policies know it by.
    pub fn policy_id(&self) -> u32 {
        self.seq.0 as u32
    }

    /// What a policy is told to rank it by.
    pub fn info(&self) -> JobInfo {
        let spec: JobSpec = serde_json::from_str(&self.spec).unwrap_or_default();
        JobInfo {
            id: self.policy_id(),
            queue: self.queue as u8,
            priority: self.priority as u8,
            submitted_ms: self.submitted_ms,
            deadline_ms: spec.deadline_ms,
            cost: self.cost,
            labels: spec.labels.into_iter().collect(),
        }
    }
}

/// Whose a job of this spec is.
pub fn tenant_of(spec: &JobSpec) -> Option<Box<str>> {
    spec.labels
        .get(TENANT_LABEL)
        .map(|tenant| tenant.as_str().into())
}

/// Whom a job of this spec tells of its changes.
pub fn webhook_of(spec: &JobSpec) -> Option<Box<Webhook>> {
    // It was checked when the job was accepted.
    Webhook::of(spec).ok().flatten().map(Box::new)
}

/// What a job of this spec will hold on its worker.
pub fn cost_of(spec: &JobSpec) -> Resources {
    Resources {
        cpu_millicores: spec.cpu_millicores.unwrap_or(CPU_MILLICORES_DEFAULT),
        memory_mib: spec.memory_mib.unwrap_or(MEMORY_MIB_DEFAULT),
        gpu_sessions: u32::from(spec.hardware_wanted() == Hardware::Require),
        gpu_memory_mib: 0,
    }
}

/// The needs that make a job's class: encoder bits and whether a GPU is needed.
pub fn needs_of(settings: &Settings) -> (u32, bool) {
    (settings.encoders_needed().bits(), settings.needs_gpu())
}

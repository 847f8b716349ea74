//! Jobs and workers as upstream's clients know them.

use std::collections::BTreeMap;

use ffrtmp_api::{
    job::{FailureReason, JobState, Priority, Queue},
    rest::{self, NodeStatus},
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::request::{CLASSIFICATION, CONFIDENCE};

/// A job, as upstream's clients know it. Times are RFC 3339.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UpstreamJob)]
pub struct Job {
    id: Uuid,
    sequence_number: u64,
    scenario: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<String>,
    /// Always `ffmpeg`.
    engine: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    classification: Option<String>,
    parameters: Parameters,
    status: Status,
    queue: Queue,
    priority: Priority,
    /// Percent, where the length is known.
    progress: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_name: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    #[schema(format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_at: Option<String>,
    retry_count: u32,
    max_retries: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_reason: Option<FailureReason>,
}

/// What a job was asked to do, where that was said.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UpstreamJobParameters)]
struct Parameters {
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bitrate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    codec: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preset: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolution: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fps: Option<f64>,
}

/// Where a job stands, in upstream's words. Ours that map to them: `pending` is `pending`; `assigned`, `running` and `publishing`
/// are `processing`; `paused`, `completed`, `failed` and `canceled` are themselves; a job that is held is `paused`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = UpstreamStatus)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Waiting.
    Pending,
    /// On a worker.
    Processing,
    /// Stopped, or kept from starting.
    Paused,
    /// Done.
    Completed,
    /// Ended without success.
    Failed,
    /// Ended because somebody asked for it.
    Canceled,
}

impl Status {
    fn of(state: JobState, held: bool) -> Status {
        match state {
            JobState::Pending if held => Status::Paused,
            JobState::Pending => Status::Pending,
            JobState::Assigned | JobState::Running | JobState::Publishing => Status::Processing,
            JobState::Paused => Status::Paused,
            JobState::Completed => Status::Completed,
            JobState::Failed => Status::Failed,
            JobState::Canceled => Status::Canceled,
        }
    }
}

/// Retries of a job that does not say.
const RETRIES_DEFAULT: u32 = crate::core::RETRIES_DEFAULT;

impl From<rest::Job> for Job {
    fn from(job: rest::Job) -> Job {
        let spec = job.spec;
        let percent = job.progress.as_ref().and_then(|progress| progress.percent);
        let done = job.state == JobState::Completed;
        let mut labels = spec.labels;
        Job {
            id: job.uuid,
            sequence_number: job.id.0,
            scenario: spec.scenario.unwrap_or_default(),
            confidence: labels.remove(CONFIDENCE),
            engine: "ffmpeg",
            classification: labels.remove(CLASSIFICATION),
            parameters: Parameters {
                duration: spec.duration_seconds,
                bitrate: spec.bitrate,
                codec: spec.codec,
                preset: spec.encoder_preset,
                input: spec.input,
                output: spec.output,
                resolution: spec.size,
                fps: spec.fps,
            },
            status: Status::of(job.state, job.held),
            queue: job.queue,
            priority: job.priority,
            progress: if done {
                100
            } else {
                percent.unwrap_or_default().clamp(0.0, 100.0) as u32
            },
            node_id: job.node.clone(),
            node_name: job.node,
            created_at: time(job.submitted_at_ms),
            started_at: job.started_at_ms.map(time),
            completed_at: job.finished_at_ms.map(time),
            retry_count: job.failures,
            max_retries: spec.retries.unwrap_or(RETRIES_DEFAULT),
            error: job.failure.as_ref().map(|failure| failure.message.clone()),
            failure_reason: job.failure.map(|failure| failure.reason),
        }
    }
}

/// Jobs.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UpstreamJobs)]
pub struct Jobs {
    jobs: Vec<Job>,
    /// How many are in this answer.
    count: usize,
}

impl From<Vec<rest::Job>> for Jobs {
    fn from(jobs: Vec<rest::Job>) -> Jobs {
        Jobs {
            count: jobs.len(),
            jobs: jobs.into_iter().map(Job::from).collect(),
        }
    }
}

/// A job was told to end.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UpstreamCanceled)]
pub struct Canceled {
    /// Always `canceled`.
    status: &'static str,
    job_id: Uuid,
}

impl Canceled {
    /// This one.
    pub fn new(job: Uuid) -> Canceled {
        Canceled {
            status: "canceled",
            job_id: job,
        }
    }
}

/// A worker, as upstream's clients know it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UpstreamNode)]
pub struct Node {
    /// Its name.
    id: String,
    /// Its name.
    name: String,
    /// Its name.
    address: String,
    status: NodeWord,
    cpu_threads: u32,
    cpu_load_percent: f32,
    has_gpu: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    gpu_type: Option<String>,
    /// Encoders proven by trial.
    gpu_capabilities: Vec<&'static str>,
    ram_total_bytes: u64,
    ram_free_bytes: u64,
    labels: BTreeMap<String, String>,
    #[schema(format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    last_heartbeat: Option<String>,
    /// The number of the first of its jobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    current_job_id: Option<String>,
}

/// How a worker stands, in upstream's words. One that is draining or in quarantine takes nothing new and is `busy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = UpstreamNodeStatus)]
#[serde(rename_all = "lowercase")]
enum NodeWord {
    /// Takes work.
    Available,
    /// Takes none now.
    Busy,
    /// Not connected.
    Offline,
}

impl Node {
    /// From ours, at this time.
    fn new(node: rest::Node, now_ms: i64) -> Node {
        const MIB: u64 = 1024 * 1024;
        Node {
            id: node.name.clone(),
            address: node.name.clone(),
            name: node.name,
            status: match node.status {
                NodeStatus::Available => NodeWord::Available,
                NodeStatus::Busy | NodeStatus::Draining | NodeStatus::Quarantined => NodeWord::Busy,
                NodeStatus::Offline => NodeWord::Offline,
            },
            cpu_threads: node.cpu_millicores / 1_000,
            cpu_load_percent: node.cpu_percent,
            has_gpu: !node.gpus.is_empty(),
            gpu_type: node.gpus.first().map(|gpu| gpu.model.clone()),
            gpu_capabilities: node
                .encoders
                .iter()
                .filter(|e| e.is_hardware())
                .map(|e| e.name())
                .collect(),
            ram_total_bytes: u64::from(node.memory_mib) * MIB,
            ram_free_bytes: u64::from(node.memory_mib.saturating_sub(node.memory_used_mib)) * MIB,
            labels: node.labels,
            last_heartbeat: node
                .silent_ms
                .map(|ms| time(now_ms.saturating_sub_unsigned(ms))),
            current_job_id: node.jobs.first().map(ToString::to_string),
        }
    }
}

/// Workers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UpstreamNodes)]
pub struct Nodes {
    nodes: Vec<Node>,
    /// How many they are.
    count: usize,
}

impl Nodes {
    /// From ours, at this time.
    pub fn new(nodes: Vec<rest::Node>, now_ms: i64) -> Nodes {
        Nodes {
            count: nodes.len(),
            nodes: nodes
                .into_iter()
                .map(|node| Node::new(node, now_ms))
                .collect(),
        }
    }
}

/// Milliseconds since 1970 as RFC 3339, by UTC.
fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms)
        .unwrap_or_default()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_our_states_has_one_of_upstream_s_words() {
        let words: Vec<Status> = JobState::ALL
            .iter()
            .map(|state| Status::of(*state, false))
            .collect();
        use Status::*;
        assert_eq!(
            words,
            [
                Pending, Processing, Processing, Paused, Processing, Completed, Failed, Canceled
            ]
        );
        assert_eq!(Status::of(JobState::Pending, true), Paused);
    }

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(time(1_767_225_600_123), "2026-01-01T00:00:00.123Z");
    }
}

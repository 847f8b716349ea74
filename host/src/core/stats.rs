//! What the core counts while it works, for metrics: cheap to keep, copied out by the shell after each batch of events.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ffrtmp_api::{
    job::{FailureReason, JobState, Priority, Queue},
    rest::{NodeStatus, WaitReason},
};

use super::{
    kind::{Kind, ScenarioWord},
    round::FaultStage,
};

/// Jobs over which the two mean-time gauges are taken.
pub const MEAN_WINDOW: usize = 100;

/// How a round went, for `ffrtmp_schedule_attempts_total{result}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RoundResult {
    /// Placed at least one job.
    Success,
    /// Nothing could be placed.
    NoJobs,
    /// The policy failed; the built-in one decided.
    Error,
}

impl RoundResult {
    /// Every result.
    pub const ALL: [RoundResult; 3] = [
        RoundResult::Success,
        RoundResult::NoJobs,
        RoundResult::Error,
    ];

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            RoundResult::Success => "success",
            RoundResult::NoJobs => "no_jobs",
            RoundResult::Error => "error",
        }
    }
}

/// Why the host refused a placement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// Not among the candidates.
    UnknownJob,
    /// It left the queue while the policy thought (canceled, say), or was placed twice in one answer.
    NotPending,
    /// No worker of that number.
    UnknownWorker,
    /// The worker is away, draining or quarantined.
    WorkerUnavailable,
    /// The job failed there and others could take it.
    Excluded,
    /// The worker lacks a proven encoder, a required label or a GPU.
    RequirementNotMet,
    /// Every slot is taken, or CPU or memory is reserved.
    NoCapacity,
    /// The GPU named does not exist, or none was named for a job that needs one.
    GpuInvalid,
    /// The GPU's encode sessions or memory are taken.
    GpuFull,
}

impl Refusal {
    /// Every reason.
    pub const ALL: [Refusal; 9] = [
        Refusal::UnknownJob,
        Refusal::NotPending,
        Refusal::UnknownWorker,
        Refusal::WorkerUnavailable,
        Refusal::Excluded,
        Refusal::RequirementNotMet,
        Refusal::NoCapacity,
        Refusal::GpuInvalid,
        Refusal::GpuFull,
    ];

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Refusal::UnknownJob => "unknown_job",
            Refusal::NotPending => "not_pending",
            Refusal::UnknownWorker => "unknown_worker",
            Refusal::WorkerUnavailable => "worker_unavailable",
            Refusal::Excluded => "excluded",
            Refusal::RequirementNotMet => "requirement_not_met",
            Refusal::NoCapacity => "no_capacity",
            Refusal::GpuInvalid => "gpu_invalid",
            Refusal::GpuFull => "gpu_full",
        }
    }
}

/// What became of an attempt, and of the seconds it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AttemptEnd {
    /// Its output is the job's.
    Completed,
    /// It failed.
    Failed,
    /// Its worker was gone.
    Lost,
    /// Somebody wanted the job no more.
    Canceled,
    /// Its worker shut down before it was done.
    HandedBack,
}

impl AttemptEnd {
    /// Every end.
    pub const ALL: [AttemptEnd; 5] = [
        AttemptEnd::Completed,
        AttemptEnd::Failed,
        AttemptEnd::Lost,
        AttemptEnd::Canceled,
        AttemptEnd::HandedBack,
    ];

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            AttemptEnd::Completed => "completed",
            AttemptEnd::Failed => "failed",
            AttemptEnd::Lost => "lost",
            AttemptEnd::Canceled => "canceled",
            AttemptEnd::HandedBack => "handed_back",
        }
    }
}

/// Why a job is to run once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryCause {
    /// An attempt failed.
    Failed(FailureReason),
    /// An attempt was lost with its worker.
    WorkerLost,
    /// A worker that shuts down gave it back.
    HandedBack,
    /// It had ended, and a user wants it tried again.
    Asked,
}

impl RetryCause {
    /// Every cause.
    pub fn all() -> impl Iterator<Item = RetryCause> {
        FailureReason::ALL
            .iter()
            .map(|reason| RetryCause::Failed(*reason))
            .chain([
                RetryCause::WorkerLost,
                RetryCause::HandedBack,
                RetryCause::Asked,
            ])
    }

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            RetryCause::Failed(reason) => reason.as_str(),
            RetryCause::WorkerLost => "worker_lost",
            RetryCause::HandedBack => "handed_back",
            RetryCause::Asked => "asked",
        }
    }
}

/// A job that ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JobEnd {
    /// How.
    pub state: JobState,
    /// Why, if it failed.
    pub reason: Option<FailureReason>,
    /// In which lane.
    pub queue: Queue,
    /// What kind of work it was.
    pub kind: Kind,
}

/// What happened since whoever exports it last looked: each is counted once, then forgotten here.
#[derive(Debug, Clone, Default)]
pub struct Fresh {
    /// Jobs that ended.
    pub jobs: Vec<JobEnd>,
    /// Seconds that jobs ran which ended, and their lanes.
    pub run_seconds: Vec<(Queue, f64)>,
    /// Seconds from submit to the first start of ffmpeg, and the jobs' lanes.
    pub wait_seconds: Vec<(Queue, f64)>,
    /// Attempts that ended, and the seconds since their ffmpeg was spawned.
    pub attempts: Vec<(AttemptEnd, f64)>,
    /// Jobs that are to run once more.
    pub retries: Vec<RetryCause>,
    /// Scenarios of jobs that came.
    pub scenarios: BTreeSet<ScenarioWord>,
}

/// The counts. Gauges describe now; totals count since the master started.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// Gauge: jobs the store holds, by state.
    pub jobs: BTreeMap<JobState, u64>,
    /// Gauge: pending jobs by priority.
    pub pending_by_priority: BTreeMap<Priority, u64>,
    /// Gauge: pending jobs by lane.
    pub pending_by_queue: BTreeMap<Queue, u64>,
    /// Gauge: workers by status.
    pub nodes: BTreeMap<NodeStatus, u64>,
    /// Gauge: connected workers whose wall clock is known to be off.
    pub nodes_clock_off: u64,
    /// Total: jobs that ended, by state and, for failed ones, reason.
    pub finished: BTreeMap<(JobState, Option<FailureReason>), u64>,
    /// Total: attempts that failed, by reason; a job may have several.
    pub attempts_failed: BTreeMap<FailureReason, u64>,
    /// Total: jobs accepted.
    pub submitted: u64,
    /// Total: rounds by result.
    pub rounds: BTreeMap<RoundResult, u64>,
    /// Total: placements made.
    pub placements: u64,
    /// Total: placements refused, by reason.
    pub refusals: BTreeMap<Refusal, u64>,
    /// Total: policy faults by stage.
    pub faults: BTreeMap<FaultStage, u64>,
    /// Gauge: jobs the policy is asked about in one round at most; 0 before its first.
    pub candidates_max: u64,
    /// Total: jobs held by a policy.
    pub holds: u64,
    /// Total: attempts lost with their worker.
    pub leases_lost: u64,
    /// Total: times a worker was quarantined.
    pub quarantines: u64,
    /// Run times of the last jobs that finished, seconds.
    pub run_seconds: VecDeque<f64>,
    /// Submit-to-start times of the last jobs that started, seconds.
    pub wait_seconds: VecDeque<f64>,
    /// Gauge: pending jobs that a user holds.
    pub held_by_user: u64,
    /// Gauge: pending jobs by why they wait, as last looked at.
    pub waiting: BTreeMap<WaitReason, u64>,
    /// Gauge: how long the job has waited that waits longest, by lane, milliseconds, as last looked at; none where nothing waits.
    pub oldest_ms: BTreeMap<Queue, u64>,
    /// Gauge: slots of the workers that take work, and how many are taken, as last looked at.
    pub slots: (u64, u64),
    /// Gauge: whether the built-in policy decided last because the one that rules failed.
    pub on_fallback: bool,
    /// Total: workers that went silent for longer than their lease without having said that they go.
    pub nodes_lost: u64,
    /// What nobody has taken note of yet.
    pub fresh: Fresh,
}

impl Stats {
    /// A job enters a state (`from` is none for a new one).
    pub fn moved(
        &mut self,
        from: Option<JobState>,
        to: JobState,
        queue: Queue,
        priority: Priority,
    ) {
        if let Some(from) = from {
            decrement(&mut self.jobs, from);
        }
        *self.jobs.entry(to).or_default() += 1;
        if from == Some(JobState::Pending) {
            decrement(&mut self.pending_by_priority, priority);
            decrement(&mut self.pending_by_queue, queue);
        }
        if to == JobState::Pending {
            *self.pending_by_priority.entry(priority).or_default() += 1;
            *self.pending_by_queue.entry(queue).or_default() += 1;
        }
    }

    /// A job's ffmpeg was spawned so long after it was submitted.
    pub fn started(&mut self, queue: Queue, wait_seconds: f64) {
        push_window(&mut self.wait_seconds, wait_seconds);
        self.fresh.wait_seconds.push((queue, wait_seconds));
    }

    /// A job ended after its last attempt ran for so long.
    pub fn ran(&mut self, queue: Queue, run_seconds: f64) {
        push_window(&mut self.run_seconds, run_seconds);
        self.fresh.run_seconds.push((queue, run_seconds));
    }

    /// A job ended.
    pub fn ended(&mut self, end: JobEnd) {
        let key = (end.state, end.reason);
        *self.finished.entry(key).or_default() += 1;
        self.fresh.jobs.push(end);
    }
}

fn push_window(window: &mut VecDeque<f64>, value: f64) {
    if window.len() == MEAN_WINDOW {
        window.pop_front();
    }
    window.push_back(value);
}

/// Takes one from a count. The count cannot be 0: every decrement undoes an increment made when the thing came in.
pub fn decrement<K: Ord>(counts: &mut BTreeMap<K, u64>, key: K) {
    let count = counts.entry(key).or_default();
    assert!(
        *count > 0,
        "a count would fall below zero: a state change was counted twice"
    );
    *count -= 1;
}

//! What the host tells a policy and what a policy answers. Mirrors `wit/scheduler.wit`.

/// A worker, numbered by the master when it first appears; never reused while the master runs.
pub type WorkerId = u32;
/// A job: its sequence number's low 32 bits.
pub type JobId = u32;
/// A policy's own grouping of jobs (a tenant, say). The host keeps at most 1,024; further ones share the last.
pub type GroupId = u32;
/// A class of hard requirements: which workers could ever run the job.
pub type ClassId = u32;

/// What a policy says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Info {
    /// Its name, `balanced` say.
    pub name: String,
    /// Its version, for people.
    pub version: String,
    /// The reasons that placements and holds refer to by index: at most 256, each at most 200 bytes. `{}` is replaced
    /// by the placement's or hold's `arg`.
    pub reasons: Vec<String>,
}

/// An amount of each thing a worker has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resources {
    /// CPU, in thousandths of a core.
    pub cpu_millicores: u32,
    /// Memory, in MiB.
    pub memory_mib: u32,
    /// Encode sessions on one GPU.
    pub gpu_sessions: u32,
    /// Memory of one GPU, in MiB.
    pub gpu_memory_mib: u32,
}

/// A worker as the policy sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Worker {
    /// Its number.
    pub id: WorkerId,
    /// Its name.
    pub name: String,
    /// Whether it takes new work (connected, not draining, not quarantined).
    pub accepting: bool,
    /// Most jobs at once.
    pub slots: u32,
    /// Jobs it holds.
    pub slots_used: u32,
    /// What it has. The two GPU fields are 0 here; they are per GPU.
    pub capacity: Resources,
    /// What its jobs have reserved.
    pub reserved: Resources,
    /// Host CPU in use, thousandths of all cores, average of 10 s. Measured, and apart from `reserved` on purpose.
    pub cpu_load_permille: u32,
    /// Host memory in use, MiB. Measured.
    pub memory_used_mib: u32,
    /// Encoders proven by a trial encode: bit `i` is encoder `i` of the list in `wit/scheduler.wit`.
    pub encoders: u32,
    /// Requirements it meets: bit `i` is the host's requirement `i`.
    pub tags: u64,
    /// Its labels, as its operator wrote them.
    pub labels: Vec<(String, String)>,
    /// Its GPUs.
    pub gpus: Vec<Gpu>,
}

/// A GPU of a worker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gpu {
    /// Memory, MiB.
    pub memory_mib: u32,
    /// Most encode sessions.
    pub sessions_max: u32,
    /// Encode sessions reserved by jobs.
    pub sessions_used: u32,
    /// Memory reserved by jobs, MiB.
    pub memory_reserved_mib: u32,
    /// Utilisation, thousandths. Measured.
    pub load_permille: u32,
}

/// Something that happened since the last round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A worker appeared, or anything about it changed that is not said by a narrower change below. It comes with nothing
    /// reserved; a [`Change::JobStarted`] for each job it holds follows.
    WorkerUp(Worker),
    /// A worker is gone for good.
    WorkerGone(WorkerId),
    /// A worker takes, or no longer takes, new work.
    WorkerAccepting {
        /// Which.
        worker: WorkerId,
        /// Whether it does.
        accepting: bool,
    },
    /// Its measured load.
    WorkerLoad {
        /// Which.
        worker: WorkerId,
        /// See [`Worker::cpu_load_permille`].
        cpu_load_permille: u32,
        /// See [`Worker::memory_used_mib`].
        memory_used_mib: u32,
    },
    /// The requirements it meets changed, because the host numbered a new one.
    WorkerTags {
        /// Which.
        worker: WorkerId,
        /// See [`Worker::tags`].
        tags: u64,
    },
    /// A GPU's measured load.
    GpuLoad {
        /// Of which worker.
        worker: WorkerId,
        /// Index in [`Worker::gpus`].
        gpu: u32,
        /// See [`Gpu::load_permille`].
        load_permille: u32,
    },
    /// A job took its place on a worker.
    JobStarted(JobOn),
    /// A job left its worker, however it ended.
    JobEnded(JobOn),
    /// A running job's group is another than was told; nothing changes on its worker.
    JobRegrouped(JobOn),
}

/// A job on a worker, and what it holds there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JobOn {
    /// The job.
    pub job: JobId,
    /// The worker.
    pub worker: WorkerId,
    /// The GPU, if it uses one.
    pub gpu: Option<u32>,
    /// The group it was ranked into by this policy; 0 until it was.
    pub group: GroupId,
    /// What it holds.
    pub cost: Resources,
}

/// A job to be ranked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobInfo {
    /// Its number.
    pub id: JobId,
    /// Lane: 0 live, 1 default, 2 batch.
    pub queue: u8,
    /// Priority: 0 high, 1 medium, 2 low.
    pub priority: u8,
    /// When it was accepted, milliseconds since 1970.
    pub submitted_ms: i64,
    /// When it should be finished, milliseconds since 1970.
    pub deadline_ms: Option<i64>,
    /// What it will hold.
    pub cost: Resources,
    /// Its labels.
    pub labels: Vec<(String, String)>,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// Smaller first; ties go to the job submitted first.
    pub rank: i64,
    /// Its group. 0 for policies that have none.
    pub group: GroupId,
}

/// A round's question.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ask {
    /// The round's number.
    pub round: u64,
    /// The time, milliseconds since 1970. The only clock a policy has.
    pub now_ms: i64,
    /// Randomness, for policies that want it.
    pub seed: u64,
    /// The classes the candidates are of.
    pub classes: Vec<Class>,
    /// The heads of the queues, by rank. At most one window of each (class, group).
    pub candidates: Vec<Candidate>,
}

/// Hard requirements.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Class {
    /// Its number.
    pub id: ClassId,
    /// Encoders needed, all of them.
    pub encoders: u32,
    /// Requirements, all of them.
    pub tags: u64,
    /// Whether it needs a GPU.
    pub gpu: bool,
}

/// A job that could be placed now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Candidate {
    /// The job.
    pub job: JobId,
    /// Index into [`Ask::classes`] (not a [`ClassId`]).
    pub class: u32,
    /// Its group.
    pub group: GroupId,
    /// Its rank.
    pub rank: i64,
    /// What it will hold.
    pub cost: Resources,
    /// Lane: 0 live, 1 default, 2 batch.
    pub queue: u8,
    /// Priority: 0 high, 1 medium, 2 low.
    pub priority: u8,
    /// Milliseconds it has waited.
    pub waited_ms: u64,
    /// Workers it should not go to now, because it failed there.
    pub excluded: Vec<WorkerId>,
}

/// A round's answer. What does not hold against the truth is refused by the host and counted; the rest stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Which job goes where.
    pub placements: Vec<Placement>,
    /// Jobs passed over: the host slides their window on and asks again in the same round, up to 4 times.
    pub skips: Vec<JobId>,
    /// Jobs kept waiting on purpose.
    pub holds: Vec<Hold>,
}

/// A job goes to a worker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Placement {
    /// The job.
    pub job: JobId,
    /// The worker.
    pub worker: WorkerId,
    /// The GPU, for a class that needs one.
    pub gpu: Option<u32>,
    /// How good the policy finds it; larger is better. Shown to users, not used.
    pub score: i64,
    /// Why: an index into [`Info::reasons`].
    pub reason: u32,
    /// Replaces `{}` in the reason.
    pub arg: i64,
}

/// A job waits on purpose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hold {
    /// The job.
    pub job: JobId,
    /// Until when, milliseconds since 1970. The host caps it: 24 h, live jobs 10 s.
    pub until_ms: i64,
    /// Why: an index into [`Info::reasons`].
    pub reason: u32,
    /// Replaces `{}` in the reason.
    pub arg: i64,
}

//! The pure core: queue, cluster, leases and job states in one synchronous state machine, `handle(events, now) -> effects`.
//!
//! **Invariant: nothing here does I/O, reads a clock, draws a random number or iterates over a randomly seeded hash map.**
//! The same events at the same times give the same effects, which is what makes replay and the simulator (`sim`) possible.
//! Around it stands a thin shell (`crate::shell`): HTTP turns requests into events, the store makes effects durable, sessions
//! carry frames, the policy thread answers rounds.
//!
//! Where things are: [`transition`] the table of job states; [`queue`] where pending jobs wait; `rounds` asking the policy
//! and checking its answer; `submit`, `control` and `nodes` what users and operators do; `attempts` and `publishing` what workers
//! report; `sessions` workers coming and going; `leases` time running out; `webhooks` who is told of it.

mod attempts;
mod choices;
mod classes;
mod clock;
mod control;
mod event;
mod explain;
mod job;
pub mod kind;
mod leases;
mod load;
mod nodes;
mod publishing;
mod quarantine;
mod queue;
pub mod record;
pub mod round;
mod rounds;
mod sessions;
#[cfg(test)]
mod sim;
mod skew;
pub mod stats;
mod submit;
pub mod transition;
mod waiting;
mod webhooks;
mod workers;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ffrtmp_api::{
    ids::JobSeq, job::JobState, protocol::ToWorker, rest::ClusterEvent, settings::Webhook,
};
use ffrtmp_policy_sdk::{Change, Cluster, WorkerId};

pub use clock::Now;
pub use event::{
    Control, ControlError, Effect, Event, NewJob, NodeControl, NodeError, Reply, ReplyTo, Room,
    SessionId,
};
pub use explain::Explained;
pub use job::{RETRIES_DEFAULT, cost_of};

use choices::Choices;
use classes::Classes;
use job::Job;
use queue::{Place, WaitingRoom};
use record::{JobEvent, KnownKey, Record};
use rounds::Rounds;
use stats::{AttemptEnd, JobEnd, Stats};
use waiting::Waits;
use webhooks::is_told;
use workers::Worker;

/// The core's settings. All in milliseconds where not said otherwise.
#[derive(Debug, Clone)]
pub struct Config {
    /// How often workers are asked for a heartbeat.
    pub heartbeat_ms: u64,
    /// How long a silent worker keeps what it holds. Six missed heartbeats by default.
    pub lease_ms: u64,
    /// How long a silent worker is remembered, so that counts and label sets stay bounded.
    pub forget_ms: u64,
    /// Delay before the first retry; doubles with each failure.
    pub backoff_first_ms: u64,
    /// Longest delay before a retry.
    pub backoff_max_ms: u64,
    /// How long a worker's first quarantine lasts; doubles each time.
    pub quarantine_first_ms: u64,
    /// Longest quarantine.
    pub quarantine_max_ms: u64,
    /// Most candidates in one round.
    pub candidates_max: usize,
    /// Most jobs ranked in one call: a slice of about 2 ms of guest time.
    pub rank_batch_max: usize,
    /// How long the policy thread may take before the core decides without it. Far beyond every budget inside the policy
    /// thread: this is the guard for that thread itself.
    pub stuck_ms: u64,
    /// How long a policy may leave a job waiting that a worker has room for, without holding it. A round takes milliseconds
    /// and every change starts one, so 10 s are a thousand chances.
    pub stall_ms: u64,
    /// Who is told of the changes of every job.
    pub webhooks: Vec<Webhook>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            heartbeat_ms: 5_000,
            lease_ms: 30_000,
            forget_ms: 24 * 3_600_000,
            backoff_first_ms: 1_000,
            backoff_max_ms: 60_000,
            quarantine_first_ms: 60_000,
            quarantine_max_ms: 3_600_000,
            candidates_max: 1_000,
            rank_batch_max: 1_000,
            stuck_ms: 5_000,
            stall_ms: 10_000,
            webhooks: Vec::new(),
        }
    }
}

impl Config {
    /// How long a worker may go unheard before it must consider itself cut off: five sixths of the lease, so that the
    /// worker always stops first.
    pub fn cutoff_ms(&self) -> u64 {
        self.lease_ms / 6 * 5
    }
}

/// The state machine.
#[derive(Debug)]
pub struct Core {
    config: Config,
    jobs: BTreeMap<JobSeq, Job>,
    room: WaitingRoom,
    waits: Waits,
    classes: Classes,
    workers: BTreeMap<WorkerId, Worker>,
    names: BTreeMap<String, WorkerId>,
    sessions: BTreeMap<SessionId, WorkerId>,
    /// What is free where. See [`workers`].
    cluster: Cluster,
    rounds: Rounds,
    choices: Choices,
    stats: Stats,
    last_seq: u64,
    last_worker: WorkerId,
    /// Jobs that are publishing and whose worker is away past its lease: any other that sees the path may finish them.
    stranded: BTreeSet<JobSeq>,
    idempotency: BTreeMap<String, KnownKey>,
    /// The keys above by the monotonic time they came, so that they can be forgotten.
    idempotency_ages: VecDeque<(u64, String)>,
    /// How often jobs were retried, and when last (monotonic), of those retried lately: a retry that read its row before the
    /// last one is refused.
    retried: BTreeMap<JobSeq, (u32, u64)>,
    /// The jobs above by the monotonic time of that, so that they can be forgotten.
    retried_ages: VecDeque<(u64, JobSeq)>,
    next_lease_check_ms: u64,
    next_compaction_ms: u64,
    /// Whether somebody listens to the cluster.
    telling: bool,
    /// Whether a candidate wants to know the jobs in question.
    shadowing: bool,
    /// Workers whose status changed since the last batch, while somebody listens.
    nodes_changed: BTreeSet<WorkerId>,
}

impl Core {
    /// Handles a batch of events that arrived by `now`, in order, and says what to do about them.
    pub fn handle(&mut self, events: impl IntoIterator<Item = Event>, now: Now) -> Vec<Effect> {
        let mut out = Vec::new();
        for event in events {
            self.handle_one(event, now, &mut out);
        }
        self.check_time(now, &mut out);
        self.start_round_if_due(now, &mut out);
        self.tell_nodes(now, &mut out);
        out
    }

    /// Whether changes of jobs and workers are to be told as [`Effect::Tell`]. Decides nothing else.
    pub fn tell_changes(&mut self, telling: bool) {
        self.telling = telling;
    }

    /// When to call again with [`Event::Timer`], if nothing happens before; monotonic milliseconds.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        [self.next_work_ms(), self.lease_deadline_ms()]
            .into_iter()
            .flatten()
            .min()
    }

    /// The same without the regular look at leases, for whoever knows that no worker falls silent.
    pub fn next_work_ms(&self) -> Option<u64> {
        [
            self.room.next_due_ms(),
            self.rounds.deadline_ms(&self.config),
            self.stall_deadline_ms(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// What was counted.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What was counted, for the shell to take what has accumulated for histograms.
    pub fn stats_mut(&mut self) -> &mut Stats {
        &mut self.stats
    }

    fn handle_one(&mut self, event: Event, now: Now, out: &mut Vec<Effect>) {
        match event {
            Event::Submit { jobs, reply } => self.submit(jobs, reply, now, out),
            Event::Control {
                job,
                control,
                reply,
            } => self.control(job, control, reply, now, out),
            Event::Retry { row, reply } => self.retry(*row, reply, now, out),
            Event::Node {
                name,
                control,
                reply,
            } => self.node(name, control, reply, now, out),
            Event::Frame { session, frame } => self.frame(session, frame, now, out),
            Event::SessionClosed { session } => self.session_closed(session),
            Event::RoundEnded(ended) => self.round_ended(ended, now, out),
            Event::PolicySeated => self.policy_seated(now),
            Event::Timer => {}
            Event::Shadow { on } => self.shadow(on),
            Event::ListNodes { reply } => {
                out.push(Effect::Reply(reply, Reply::Nodes(self.list_nodes(now))))
            }
            Event::Explain { job, reply } => {
                let waits = self.explain(job, now).map(Box::new);
                let choice = self.choice_of(job).map(Box::new);
                out.push(Effect::Reply(reply, Reply::Explained { waits, choice }));
            }
            Event::Room { reply } => out.push(Effect::Reply(reply, Reply::Room(self.room(now)))),
            Event::ExplainWaiting { jobs, reply } => {
                let waiting = jobs
                    .into_iter()
                    .filter_map(|seq| Some((seq, self.explain_waiting(seq, now)?.message)))
                    .collect();
                out.push(Effect::Reply(reply, Reply::Waiting(waiting)));
            }
        }
    }

    /// Moves a job to `to`, counts it, and records it with its history line.
    fn transition(
        &mut self,
        seq: JobSeq,
        to: JobState,
        detail: String,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let Some(job) = self.jobs.get_mut(&seq) else {
            return;
        };
        let from = job.status.state;
        assert!(
            transition::why(from, to).is_some(),
            "job {seq} may not go from {from} to {to} ({detail}): the core's own state is wrong"
        );
        job.status.state = to;
        if to.is_terminal() {
            job.status.finished_ms = Some(now.wall_ms);
            let failure = job.status.failure.as_ref();
            self.stats.ended(JobEnd {
                state: to,
                reason: failure
                    .filter(|_| to == JobState::Failed)
                    .map(|failure| failure.reason),
                queue: job.queue,
                kind: job.kind,
            });
            if let Some(started_ms) = job.status.started_ms.filter(|_| from.is_active()) {
                let ran_ms = (now.wall_ms - started_ms).max(0);
                self.stats.ran(job.queue, ran_ms as f64 / 1e3);
            }
        }
        // A pause outlives the attempt it was asked for: the job waits on until it is resumed.
        let paused = !to.is_active() && std::mem::take(&mut job.status.pause_requested);
        let held = to == JobState::Pending && paused;
        if to == JobState::Pending {
            job.pending_since_ms = now.mono_ms;
        }
        if from == JobState::Publishing {
            self.stranded.remove(&seq);
        }
        job.changed_ms = now.wall_ms;
        self.stats.moved(Some(from), to, job.queue, job.priority);
        self.set_held(seq, held);
        let waits = to == JobState::Pending && !held;
        self.waits(seq, waits.then_some(now.wall_ms));
        let Some(job) = self.jobs.get(&seq) else {
            return;
        };
        let told = is_told(&self.config, job, to).then(|| detail.clone());
        out.push(Effect::Persist(Record::JobEvent(JobEvent {
            seq,
            at_ms: now.wall_ms,
            attempt: job.status.attempt,
            from,
            to,
            worker: job.status.worker.clone(),
            detail,
        })));
        self.persist_status(seq, out);
        if let Some(detail) = told {
            self.notify(seq, from, &detail, now, out);
        }
        if to.is_terminal() {
            self.jobs.remove(&seq);
        }
    }

    /// Counts the end of a job's attempt, and the time since its ffmpeg was spawned.
    fn attempt_ended(&mut self, seq: JobSeq, end: AttemptEnd, now: Now) {
        let started_ms = self.jobs.get(&seq).and_then(|job| job.status.started_ms);
        let took_ms = started_ms.map_or(0, |at| (now.wall_ms - at).max(0));
        self.stats.fresh.attempts.push((end, took_ms as f64 / 1e3));
    }

    /// Records a line of a job's history that is not a change of state.
    fn note(&self, seq: JobSeq, detail: impl Into<String>, now: Now, out: &mut Vec<Effect>) {
        let Some(job) = self.jobs.get(&seq) else {
            return;
        };
        out.push(Effect::Persist(Record::JobEvent(JobEvent {
            seq,
            at_ms: now.wall_ms,
            attempt: job.status.attempt,
            from: job.status.state,
            to: job.status.state,
            worker: job.status.worker.clone(),
            detail: detail.into(),
        })));
    }

    /// Records a job's changeable half as it is now, and wakes whoever watches it.
    fn persist_status(&self, seq: JobSeq, out: &mut Vec<Effect>) {
        let Some(job) = self.jobs.get(&seq) else {
            return;
        };
        out.push(Effect::Persist(Record::JobChanged {
            seq,
            status: Box::new(job.status.clone()),
        }));
        out.push(Effect::Changed(job.attempt(), job.status.state));
        self.tell_job(job, out);
    }

    fn tell_job(&self, job: &Job, out: &mut Vec<Effect>) {
        if self.telling {
            out.push(Effect::Tell(Box::new(ClusterEvent::Job(job.change()))));
        }
    }

    /// Takes a pending job out of wherever it waits.
    fn leave_room(&mut self, seq: JobSeq) {
        if let Some(job) = self.jobs.get_mut(&seq) {
            self.room.remove(seq, job.class, job.place);
            job.place = Place::Elsewhere;
            job.wait_reason = None;
            self.rounds.not_held(seq);
        }
    }

    /// Applies a change to what is free where, and keeps it for the policy.
    fn change(&mut self, change: Change) {
        self.cluster.apply(&change);
        self.rounds.feed(change);
    }

    /// Takes a job's capacity on a worker.
    fn take_capacity(&mut self, seq: JobSeq, worker: WorkerId, gpu: Option<u32>) {
        let Some(job) = self.jobs.get_mut(&seq) else {
            return;
        };
        let on = ffrtmp_policy_sdk::JobOn {
            job: job.policy_id(),
            worker,
            gpu,
            group: self.rounds.group_of(job),
            cost: job.cost,
        };
        job.on = Some(on);
        if self.rounds.owes_rank(job) {
            // In line for its group alone: it keeps its place on the worker.
            self.room.push_unranked(seq);
        }
        if let Some(worker) = self.workers.get_mut(&worker) {
            worker.jobs.insert(seq);
        }
        self.change(Change::JobStarted(on));
        self.recount(worker);
    }

    /// Gives a job's capacity back.
    fn release_capacity(&mut self, seq: JobSeq) {
        let Some(on) = self.jobs.get_mut(&seq).and_then(|job| job.on.take()) else {
            return;
        };
        if let Some(worker) = self.workers.get_mut(&on.worker) {
            worker.jobs.remove(&seq);
        }
        self.change(Change::JobEnded(on));
        self.recount(on.worker);
        self.rounds.wake();
    }

    /// Counts a worker under its present status.
    fn recount(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        let now = worker.status_now();
        if now != worker.status {
            stats::decrement(&mut self.stats.nodes, worker.status);
            *self.stats.nodes.entry(now).or_default() += 1;
            worker.status = now;
            if self.telling {
                self.nodes_changed.insert(id);
            }
        }
    }

    /// Sends a frame to a worker, if it is connected. What matters is repeated when it says hello again.
    fn send(&self, worker: WorkerId, frame: ToWorker, out: &mut Vec<Effect>) {
        if let Some(session) = self.workers.get(&worker).and_then(|w| w.session) {
            out.push(Effect::Send(session, frame));
        }
    }
}

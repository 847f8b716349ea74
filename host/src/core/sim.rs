//! A deterministic simulator: the real core, with a model of everything around it (store, network, workers, a shared disk,
//! the policy thread), driven by random events from a seed. After every step the invariants are checked; a failure prints
//! the seed, and the same seed fails the same way.
//!
//! What goes wrong here: the master crashes and loses what was not committed, a commit fails, sessions break with frames in
//! flight, frames arrive twice or late, workers crash, freeze past their lease and wake up, come back under another
//! installation, lose their files, policies trap, answer nonsense, are swapped, or never answer. Meanwhile users cancel, pause,
//! hold, resume, change and retry jobs, and operators drain, undrain and remove workers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ffrtmp_api::{
    encoder::Encoder,
    ids::{Attempt, AttemptNo},
    job::JobSpec,
    protocol::{Assignment, Capabilities, Hello, MediaResult, Outcome as AttemptOutcome, ToMaster},
    rest::SubmitItem,
    settings::Settings,
};
use ffrtmp_policy_balanced::Balanced;
use ffrtmp_policy_sdk::{Answer, GroupId, Hold, JobInfo, Placement, Policy, Rank};
use uuid::Uuid;

use super::{
    record::{self, JobRow, Snapshot, WorkerRow},
    round::{FaultStage, Outcome, PolicyTag, Round, RoundEnded, Work},
    *,
};

/// What is on disk in the store: what every commit so far left.
#[derive(Default)]
struct ModelStore {
    jobs: BTreeMap<JobSeq, JobRow>,
    workers: BTreeMap<String, WorkerRow>,
    events: Vec<JobEvent>,
    /// A change that a webhook which wants to know everything was not yet told.
    untold: Option<(JobSeq, AttemptNo, JobState, JobState)>,
}

impl ModelStore {
    fn apply(&mut self, record: Record) {
        match record {
            Record::JobAccepted(row) => assert!(
                self.jobs.insert(row.seq, *row).is_none(),
                "a number was given twice"
            ),
            Record::JobChanged { seq, status } => {
                let row = self
                    .jobs
                    .get_mut(&seq)
                    .expect("a job changes after it was accepted");
                let retried = status.retried == row.status.retried + 1
                    && status.state == JobState::Pending
                    && row.status.state != JobState::Completed;
                assert!(
                    !row.status.state.is_terminal() || retried,
                    "job {seq} ended and then changed to {:?}",
                    status.state
                );
                assert!(
                    row.status.attempt <= status.attempt,
                    "attempt numbers only rise"
                );
                row.status = *status;
            }
            Record::JobMoved {
                seq,
                queue,
                priority,
            } => {
                let row = self.jobs.get_mut(&seq).expect("a job moves once accepted");
                (row.queue, row.priority) = (queue, priority);
            }
            Record::JobEvent(event) => {
                if event.from != event.to || event.detail == "submitted" {
                    let change = (event.seq, event.attempt, event.from, event.to);
                    assert_eq!(self.untold.replace(change), None, "each change is told");
                }
                self.events.push(event);
            }
            Record::Notice(notice) => {
                let told = (notice.seq, notice.attempt, notice.from, notice.to);
                assert_eq!(self.untold.take(), Some(told), "once, behind it");
                assert_eq!(self.jobs[&notice.seq].status.state, notice.to);
            }
            Record::WorkerDrained { name, drained } => {
                self.workers
                    .get_mut(&name)
                    .expect("a worker is drained once known")
                    .drained = drained;
            }
            Record::WorkerQuarantined { name, quarantine } => {
                self.workers
                    .get_mut(&name)
                    .expect("a worker is quarantined once known")
                    .quarantine = quarantine;
            }
            Record::WorkerKnown(row) => drop(self.workers.insert(row.name.clone(), row)),
            Record::WorkerForgotten(name) => drop(self.workers.remove(&name)),
            Record::JobLog { .. } | Record::PolicyChosen { .. } => {}
        }
    }

    fn snapshot(&self) -> Snapshot {
        let mut counts = BTreeMap::new();
        self.jobs
            .values()
            .for_each(|row| *counts.entry(row.status.state).or_insert(0) += 1);
        Snapshot {
            jobs: self
                .jobs
                .values()
                .filter(|row| !row.status.state.is_terminal())
                .cloned()
                .collect(),
            counts: counts.into_iter().collect(),
            last_seq: self.jobs.keys().last().map_or(0, |seq| seq.0),
            idempotency: self
                .jobs
                .values()
                .filter_map(|row| {
                    let known = KnownKey {
                        seq: row.seq,
                        uuid: row.uuid,
                        spec: record::spec_digest(&row.spec),
                    };
                    Some((row.idempotency_key.clone()?, known))
                })
                .collect(),
            workers: self.workers.values().cloned().collect(),
        }
    }
}

/// How far a simulated attempt is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Received,
    Running,
    Encoded,
    /// Over; the outcome is said until it is acknowledged.
    Over,
}

struct SimAttempt {
    stage: Stage,
    output: Option<String>,
    outcome: Option<AttemptOutcome>,
}

struct SimWorker {
    name: String,
    install_id: Uuid,
    attempts: BTreeMap<Attempt, SimAttempt>,
    session: Option<SessionId>,
    frozen: bool,
    welcomed: bool,
    slots: u32,
    gpu: bool,
    to_master: VecDeque<ToMaster>,
    to_worker: VecDeque<ToWorker>,
}

/// The policy thread: `balanced` with its own view, built from what it is told.
struct SimPolicy {
    balanced: Balanced,
    view: Cluster,
    /// What each running job is counted under, as policies that keep books do.
    books: BTreeMap<u32, GroupId>,
    fresh: bool,
    version: u32,
    manner: Manner,
    /// Whether it ever gave groups at random: then nobody can say which is right.
    wild: bool,
    /// Times it was told that it stalled.
    stalls: u32,
}

/// How the policy answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// As `balanced` does, with nonsense now and then.
    Sane,
    /// In time, and nothing.
    PlacesNothing,
    /// Whatever can be said at all; sanely once everything works again.
    Arbitrary,
}

impl SimPolicy {
    /// Each version has groups of its own, none of them 0.
    fn group_of(&self, job: u32) -> GroupId {
        (self.version + 1) * 10 + job % 3
    }

    fn hear(&mut self, change: &Change) {
        self.view.apply(change);
        match change {
            Change::JobStarted(on) | Change::JobRegrouped(on) => {
                self.books.insert(on.job, on.group);
            }
            Change::JobEnded(on) => {
                assert_eq!(
                    self.books.remove(&on.job),
                    Some(on.group),
                    "a job ends in the group it was counted under"
                );
            }
            _ => {}
        }
    }
}

struct Sim {
    rng: fastrand::Rng,
    now: Now,
    core: Core,
    store: ModelStore,
    /// Commits on their way, each with what waits for it.
    commits: VecDeque<(Vec<Record>, Vec<Effect>)>,
    workers: Vec<SimWorker>,
    policy: SimPolicy,
    question: Option<Round>,
    /// Questions never answered: the thread was stuck. They may come back late.
    late: Vec<Round>,
    sessions: u64,
    generation: u32,
    /// Files on the storage all workers share: temporary ones, and outputs with the attempts that were renamed to them.
    temps: BTreeMap<String, Attempt>,
    outputs: BTreeMap<String, BTreeSet<Attempt>>,
    acknowledged: BTreeSet<JobSeq>,
    /// Jobs whose cancel was acknowledged, with the attempt they had then and how often they had been retried: no later
    /// attempt may start unless they are retried again.
    canceled: BTreeMap<JobSeq, (ffrtmp_api::ids::AttemptNo, u32)>,
    /// Rows read for a retry that is slow to be asked for, with the time of reading.
    slow_retries: VecDeque<(u64, JobRow)>,
}

fn config() -> Config {
    Config {
        rank_batch_max: 7,
        candidates_max: 16,
        webhooks: vec![Webhook::new("http://hook.test/", JobState::ALL).unwrap()],
        ..Config::default()
    }
}

impl Sim {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let now = Now {
            mono_ms: 0,
            wall_ms: 1_000_000,
        };
        let workers = (0..rng.u32(1..5))
            .map(|i| SimWorker {
                name: format!("w{i}"),
                install_id: Uuid::from_u128(rng.u128(..)),
                attempts: BTreeMap::new(),
                session: None,
                frozen: false,
                welcomed: false,
                slots: rng.u32(1..4),
                gpu: rng.u32(..3) == 0,
                to_master: VecDeque::new(),
                to_worker: VecDeque::new(),
            })
            .collect();
        Sim {
            rng,
            now,
            core: Core::load(config(), Snapshot::default(), now, 1),
            store: ModelStore::default(),
            commits: VecDeque::new(),
            workers,
            policy: SimPolicy {
                balanced: Balanced::init("").unwrap(),
                view: Cluster::default(),
                fresh: true,
                books: BTreeMap::new(),
                version: 1,
                manner: Manner::Sane,
                wild: false,
                stalls: 0,
            },
            question: None,
            late: Vec::new(),
            sessions: 0,
            generation: 1,
            temps: BTreeMap::new(),
            outputs: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
            canceled: BTreeMap::new(),
            slow_retries: VecDeque::new(),
        }
    }

    fn handle(&mut self, events: Vec<Event>) {
        self.core.tell_changes(true);
        let effects = self.core.handle(events, self.now);
        let mut records = Vec::new();
        let mut outward = Vec::new();
        for effect in effects {
            match effect {
                Effect::Persist(record) => records.push(record),
                Effect::Ask(Round {
                    work: Work::Stalled(_),
                    ..
                }) => {
                    self.policy.stalls += 1;
                    self.policy.fresh = true;
                }
                Effect::Ask(round) => {
                    assert!(self.question.is_none(), "one question at a time");
                    self.question = Some(round);
                }
                Effect::Decided(told) => {
                    assert_eq!(told.refused.len(), told.answer.placements.len());
                    assert_eq!(told.held.len(), told.answer.holds.len());
                }
                outward_effect => {
                    if let Effect::Send(session, ToWorker::Assign { .. }) = &outward_effect {
                        let worker = &self.core.workers[&self.core.sessions[session]];
                        assert!(!worker.drained, "{} is drained and given work", worker.name);
                    }
                    outward.push(outward_effect);
                }
            }
        }
        self.commits.push_back((records, outward));
    }

    fn commit_one(&mut self) {
        let Some((records, outward)) = self.commits.pop_front() else {
            return;
        };
        records
            .into_iter()
            .for_each(|record| self.store.apply(record));
        for effect in outward {
            match effect {
                Effect::Reply(_, Reply::Submitted(items)) => {
                    for item in items {
                        if let SubmitItem::Accepted(submitted) = item {
                            self.acknowledged.insert(submitted.id);
                        }
                    }
                }
                Effect::Reply(to, Reply::Controlled(Ok(()))) => {
                    if let Some(row) = self.store.jobs.get(&JobSeq(to.0)) {
                        self.canceled
                            .insert(row.seq, (row.status.attempt, row.status.retried));
                    }
                }
                Effect::Tell(event) => {
                    if let ClusterEvent::Job(change) = *event {
                        let row = &self.store.jobs[&change.id];
                        assert!(
                            change.attempt <= row.status.attempt,
                            "what is told of job {} is not durable",
                            change.id
                        );
                    }
                }
                Effect::Send(session, frame) => {
                    if let Some(worker) =
                        self.workers.iter_mut().find(|w| w.session == Some(session))
                    {
                        worker.to_worker.push_back(frame);
                    }
                }
                Effect::Close(session) => {
                    for worker in self
                        .workers
                        .iter_mut()
                        .filter(|w| w.session == Some(session))
                    {
                        worker.session = None;
                        worker.welcomed = false;
                    }
                }
                _ => {}
            }
        }
    }

    /// The master loses its memory: a crash, or a commit that failed.
    fn lose_memory(&mut self, crash: bool) {
        self.commits.clear();
        if let Some(question) = self.question.take() {
            self.late.push(question);
        }
        self.policy.fresh = true;
        self.slow_retries.clear(); // whoever asked saw its request fail
        self.generation += 1;
        self.core = Core::load(config(), self.store.snapshot(), self.now, self.generation);
        for worker in &mut self.workers {
            if crash {
                worker.session = None;
                worker.welcomed = false;
                worker.to_master.clear();
                worker.to_worker.clear();
            } else if worker.session.is_some() {
                worker.to_worker.push_back(ToWorker::Resync);
            }
        }
    }

    fn submit(&mut self) {
        let jobs = (0..self.rng.u32(1..4))
            .map(|_| {
                let n = self.rng.u64(..);
                let spec = JobSpec {
                    output: self.rng.bool().then(|| format!("/out/{n:x}.mp4")),
                    gpu: self.rng.u32(..4) == 0,
                    retries: Some(self.rng.u32(..4)),
                    // Some fit only the first worker, and only when it is nearly empty.
                    cpu_millicores: self
                        .rng
                        .choice([None, None, Some(4_000), Some(8_000)])
                        .flatten(),
                    idempotency_key: self.rng.bool().then(|| format!("k{}", self.rng.u32(..200))),
                    priority: self
                        .rng
                        .choice(ffrtmp_api::job::Priority::ALL)
                        .copied()
                        .unwrap(),
                    queue: self
                        .rng
                        .choice(ffrtmp_api::job::Queue::ALL)
                        .copied()
                        .unwrap(),
                    ..JobSpec::default()
                };
                // A key comes again with the same description, or with another.
                let spec = match self.store.jobs.values().find(|row| {
                    spec.idempotency_key.is_some() && row.idempotency_key == spec.idempotency_key
                }) {
                    Some(row) if self.rng.bool() => serde_json::from_str(&row.spec).unwrap(),
                    _ => spec,
                };
                NewJob {
                    uuid: Uuid::from_u128(self.rng.u128(..)),
                    spec_json: serde_json::to_string(&spec).unwrap().into(),
                    settings: Settings::resolve(&spec).unwrap(),
                    spec,
                }
            })
            .collect();
        self.handle(vec![Event::Submit {
            jobs,
            reply: ReplyTo(0),
        }]);
    }

    fn hello(&mut self, w: usize) {
        self.sessions += 1;
        let worker = &mut self.workers[w];
        worker.session = Some(SessionId(self.sessions));
        worker.to_master.clear();
        worker.to_worker.clear();
        self.say_hello(w);
    }

    fn say_hello(&mut self, w: usize) {
        let worker = &mut self.workers[w];
        let mut encoders: ffrtmp_api::encoder::EncoderSet =
            [Encoder::Libx264].into_iter().collect();
        let mut gpus = Vec::new();
        if worker.gpu {
            encoders.insert(Encoder::H264Nvenc);
            gpus.push(ffrtmp_api::protocol::Gpu {
                model: "T4".into(),
                memory_mib: 16_000,
                sessions_max: 2,
                ..Default::default()
            });
        }
        worker.welcomed = false;
        worker.to_master.push_back(ToMaster::Hello(Box::new(Hello {
            version: 1,
            version_min: 1,
            name: worker.name.clone(),
            install_id: worker.install_id,
            software: "sim".into(),
            capabilities: Capabilities {
                slots: worker.slots,
                cpu_millicores: if worker.name == "w0" {
                    8_000
                } else {
                    2_000 + 1_000 * worker.slots
                },
                memory_mib: 8_000,
                encoders,
                gpus,
                ..Capabilities::default()
            },
            attempts: worker
                .attempts
                .iter()
                .map(|(attempt, a)| ffrtmp_api::protocol::LiveAttempt {
                    attempt: *attempt,
                    started: a.stage != Stage::Received,
                    paused: false,
                })
                .collect(),
            labels: BTreeMap::new(),
            metrics_address: None,
            wall_ms: None,
        })));
    }

    fn temp(attempt: Attempt) -> String {
        format!("/out/.{attempt}.part")
    }

    /// One frame from the master arrives at a worker.
    fn worker_receives(&mut self, w: usize) {
        let Some(frame) = self.workers[w].to_worker.pop_front() else {
            return;
        };
        match frame {
            ToWorker::Welcome { .. } => {
                let worker = &mut self.workers[w];
                worker.welcomed = true;
                let again: Vec<ToMaster> = worker
                    .attempts
                    .iter()
                    .filter_map(|(attempt, a)| repeat(*attempt, a))
                    .collect();
                worker.to_master.extend(again);
            }
            ToWorker::Resync => self.say_hello(w),
            ToWorker::Refused { .. } => {}
            ToWorker::Assign { assignments } => {
                for Assignment {
                    attempt, settings, ..
                } in assignments
                {
                    let output = settings.output.map(|output| output.to_string());
                    self.workers[w]
                        .attempts
                        .entry(attempt)
                        .or_insert(SimAttempt {
                            stage: Stage::Received,
                            output,
                            outcome: None,
                        });
                }
            }
            ToWorker::Publish {
                attempt,
                temp,
                output,
                ..
            } => {
                let outcome = if let Some(made_by) = self.temps.remove(&temp) {
                    self.outputs.entry(output).or_default().insert(made_by);
                    AttemptOutcome::Published
                } else if self
                    .outputs
                    .get(&output)
                    .is_some_and(|by| by.contains(&attempt))
                {
                    AttemptOutcome::Published
                } else {
                    AttemptOutcome::PublishFailed {
                        reason: ffrtmp_api::job::FailureReason::PlatformError,
                        message: "gone".into(),
                    }
                };
                // Also one it did not run: it holds the answer until that is acknowledged.
                let done = SimAttempt {
                    stage: Stage::Over,
                    output: None,
                    outcome: Some(outcome.clone()),
                };
                self.workers[w].attempts.insert(attempt, done);
                self.workers[w].to_master.push_back(ToMaster::Outcome {
                    attempt,
                    outcome,
                    log: String::new(),
                });
            }
            ToWorker::OutcomeRecorded { attempt } => {
                drop(self.workers[w].attempts.remove(&attempt))
            }
            ToWorker::Cancel { attempt } => {
                if let Some(own) = self.workers[w].attempts.get_mut(&attempt)
                    && own.stage != Stage::Over
                {
                    own.stage = Stage::Over;
                    own.outcome = Some(AttemptOutcome::Canceled);
                    self.temps.remove(&Self::temp(attempt));
                    self.workers[w].to_master.push_back(ToMaster::Outcome {
                        attempt,
                        outcome: AttemptOutcome::Canceled,
                        log: String::new(),
                    });
                }
            }
            // A live attempt that finishes is one that ends well.
            ToWorker::Finish { .. } => {}
            ToWorker::Pause { attempt, paused } => self.workers[w]
                .to_master
                .push_back(ToMaster::Paused { attempt, paused }),
            ToWorker::Revoke { attempt } => {
                self.temps.remove(&Self::temp(attempt));
                self.workers[w].attempts.remove(&attempt);
            }
        }
    }

    /// A worker's ffmpeg gets on.
    fn worker_works(&mut self, w: usize, kindly: bool) {
        let keys: Vec<Attempt> = self.workers[w].attempts.keys().copied().collect();
        let Some(attempt) = self.rng.choice(&keys).copied() else {
            return;
        };
        let dice = if kindly { 9 } else { self.rng.u32(..10) };
        let worker = &mut self.workers[w];
        let Some(own) = worker.attempts.get_mut(&attempt) else {
            return;
        };
        let frame = match (own.stage, dice) {
            (Stage::Over | Stage::Encoded, _) => return,
            (_, 0..=1) => {
                let reason = if dice == 0 {
                    ffrtmp_api::job::FailureReason::InputError
                } else {
                    ffrtmp_api::job::FailureReason::RuntimeError
                };
                own.stage = Stage::Over;
                own.outcome = Some(AttemptOutcome::Failed {
                    reason,
                    message: "sim".into(),
                });
                repeat(attempt, own)
            }
            (_, 2) => {
                own.stage = Stage::Over;
                own.outcome = Some(AttemptOutcome::HandedBack);
                repeat(attempt, own)
            }
            (Stage::Received, _) => {
                own.stage = Stage::Running;
                Some(ToMaster::Started { attempt, at_ms: 0 })
            }
            (Stage::Running, _) if own.output.is_some() => {
                own.stage = Stage::Encoded;
                self.temps.insert(Self::temp(attempt), attempt);
                repeat(attempt, own)
            }
            (Stage::Running, _) => {
                own.stage = Stage::Over;
                own.outcome = Some(AttemptOutcome::Completed {
                    result: MediaResult::default(),
                });
                repeat(attempt, own)
            }
        };
        worker
            .to_master
            .extend(frame.filter(|_| worker.session.is_some()));
    }

    /// One frame from a worker arrives at the master; sometimes it arrives twice.
    fn master_receives(&mut self, w: usize) {
        let twice = self.rng.u32(..20) == 0;
        let worker = &mut self.workers[w];
        let (Some(session), Some(frame)) = (worker.session, worker.to_master.pop_front()) else {
            return;
        };
        if twice {
            worker.to_master.push_back(frame.clone());
        }
        self.handle(vec![Event::Frame { session, frame }]);
    }

    fn policy_answers(&mut self, kindly: bool) {
        let Some(round) = self.question.take() else {
            return;
        };
        let dice = if kindly { 99 } else { self.rng.u32(..100) };
        if dice == 0 {
            return self.late.push(round); // the thread is stuck
        }
        let outcome = match dice {
            1..=4 => {
                self.policy.fresh = true;
                Outcome::Fault {
                    stage: FaultStage::Plan,
                    message: "sim: trap".into(),
                }
            }
            5..=6 => {
                self.policy.fresh = true;
                self.policy.version += 1; // swapped
                self.handle(vec![Event::PolicySeated]);
                Outcome::NeedsReset
            }
            _ if self.policy.fresh && !round.reset => Outcome::NeedsReset,
            _ => self.policy_decides(&round, dice < 15),
        };
        let tag = PolicyTag {
            name: "sim".into(),
            digest: self.policy.version.to_string(),
            config: String::new(),
            budget_us: 0,
            stall_ms: 0,
            reasons: vec![],
        };
        self.handle(vec![Event::RoundEnded(RoundEnded {
            id: round.id,
            policy: tag.into(),
            outcome,
            guest_us: 1,
        })]);
    }

    fn policy_decides(&mut self, round: &Round, nonsense: bool) -> Outcome {
        let policy = &mut self.policy;
        policy.fresh = false;
        if round.reset {
            policy.view.clear();
            policy.books.clear();
        }
        round.changes.iter().for_each(|change| policy.hear(change));
        if self.core.rounds.told_all() {
            assert_eq!(
                policy.view.workers(),
                self.core.cluster.workers(),
                "the policy's view drifted"
            );
            let ranked = self.core.rounds.settled()
                && !self.core.room.has_unranked()
                && matches!(round.work, Work::Plan(_));
            let running = self.core.jobs.values().filter_map(|job| job.on);
            assert_eq!(running.clone().count(), policy.books.len());
            // A snapshot made before a swap was noticed has the earlier policy's groups; what follows takes them back.
            for on in running.filter(|_| !round.reset && !policy.wild) {
                let booked = policy.books[&on.job];
                assert!(
                    booked == policy.group_of(on.job) || (booked == 0 && !ranked),
                    "job {} is booked under {booked}",
                    on.job
                );
            }
        }
        match &round.work {
            Work::Stalled(_) => unreachable!("it is no question"),
            _ if policy.manner == Manner::Arbitrary => arbitrary(&mut self.rng, &round.work),
            Work::Plan(ask) if policy.manner == Manner::PlacesNothing => {
                let skips = ask.candidates.iter().map(|c| c.job).collect();
                Outcome::Answer(Answer {
                    skips,
                    ..Answer::default()
                })
            }
            Work::Rank(jobs) => {
                let rank = |job: &JobInfo| Rank {
                    group: policy.group_of(job.id),
                    ..Balanced::init("").unwrap().rank(job)
                };
                Outcome::Ranks(jobs.iter().map(rank).collect())
            }
            Work::Plan(ask) => {
                let mut answer = Answer::default();
                policy.balanced.plan(&mut policy.view, ask, &mut answer);
                policy.view.undo();
                if nonsense {
                    let placement = Placement {
                        job: self.rng.u32(..50),
                        worker: self.rng.u32(..6),
                        gpu: Some(9),
                        reason: 999,
                        ..Default::default()
                    };
                    answer.placements.insert(0, placement);
                    answer.placements.extend(answer.placements.clone());
                    answer.skips.extend(
                        ask.candidates
                            .iter()
                            .map(|c| c.job)
                            .filter(|_| self.rng.bool()),
                    );
                    answer.holds.push(Hold {
                        job: self.rng.u32(..50),
                        until_ms: i64::MAX,
                        reason: 999,
                        arg: i64::MIN,
                    });
                }
                Outcome::Answer(answer)
            }
        }
    }

    fn step(&mut self) {
        let w = self.rng.usize(..self.workers.len());
        match self.rng.u32(..200) {
            0..=9 => self.submit(),
            10..=12 => self.user_acts(),
            13..=60 if !self.workers[w].frozen => self.worker_receives(w),
            61..=100 => self.master_receives(w),
            101..=120 if !self.workers[w].frozen => self.worker_works(w, false),
            121..=122 => {
                // The session breaks; what was in flight is lost. The master may notice late.
                let worker = &mut self.workers[w];
                worker.to_master.clear();
                worker.to_worker.clear();
                worker.welcomed = false;
                if let Some(session) = worker.session.take() {
                    self.handle(vec![Event::SessionClosed { session }]);
                }
            }
            123 => {
                let worker = &mut self.workers[w];
                worker.attempts.clear(); // crash: its processes die with it
                worker.welcomed = false;
                worker.frozen = false;
                worker.to_master.clear();
                worker.to_worker.clear();
                if self.rng.u32(..4) == 0 {
                    worker.install_id = Uuid::from_u128(self.rng.u128(..));
                }
                if self.rng.bool() {
                    self.temps.clear();
                }
                if let Some(session) = self.workers[w].session.take() {
                    self.handle(vec![Event::SessionClosed { session }]);
                }
            }
            124 => self.workers[w].frozen ^= true,
            125..=130 if !self.workers[w].frozen && self.workers[w].session.is_none() => {
                self.hello(w)
            }
            131..=165 => self.commit_one(),
            166 if self.rng.u32(..5) == 0 => {
                let crash = self.rng.bool();
                self.lose_memory(crash);
            }
            167..=180 => self.policy_answers(false),
            181 if !self.late.is_empty() => {
                let round = self.late.swap_remove(0);
                let tag = PolicyTag {
                    name: "sim".into(),
                    digest: "late".into(),
                    config: String::new(),
                    budget_us: 0,
                    stall_ms: 0,
                    reasons: vec![],
                };
                self.policy.fresh = true;
                self.handle(vec![Event::RoundEnded(RoundEnded {
                    id: round.id,
                    policy: tag.into(),
                    outcome: Outcome::NeedsReset,
                    guest_us: 1,
                })]);
            }
            182..=190 => self.pass(self.rng.clone().u64(..2_000)),
            191 if self.rng.u32(..4) == 0 => self.pass(40_000), // past every lease
            192 => self.operator_acts(w),
            _ if self.workers[w].session.is_some() && !self.workers[w].frozen => {
                let session = self.workers[w].session.unwrap();
                self.handle(vec![Event::Frame {
                    session,
                    frame: ToMaster::Heartbeat(Default::default()),
                }]);
            }
            _ => {}
        }
    }

    fn user_acts(&mut self) {
        let Some(job) = self
            .store
            .jobs
            .keys()
            .last()
            .map(|last| JobSeq(self.rng.u64(..=last.0)))
        else {
            return;
        };
        let control = match self.rng.u32(..6) {
            0 => Control::Cancel,
            1 => Control::Pause,
            2 => Control::Resume,
            3 => Control::Change {
                queue: self.rng.choice(ffrtmp_api::job::Queue::ALL).copied(),
                priority: self.rng.choice(ffrtmp_api::job::Priority::ALL).copied(),
            },
            _ => return self.retry(job),
        };
        let reply = if control == Control::Cancel {
            ReplyTo(job.0)
        } else {
            ReplyTo(u64::MAX)
        };
        self.handle(vec![Event::Control {
            job,
            control,
            reply,
        }]);
    }

    /// Someone reads a job's row and asks for a retry, at once or later; and whoever read one earlier asks now.
    fn retry(&mut self, job: JobSeq) {
        let mut rows: Vec<JobRow> = Vec::new();
        if let Some(row) = self.store.jobs.get(&job).cloned() {
            if self.rng.bool() {
                self.slow_retries.push_back((self.now.mono_ms, row));
            } else {
                rows.push(row);
            }
        }
        if self.rng.bool()
            && let Some((at_ms, row)) = self.slow_retries.pop_front()
            && self.now.mono_ms < at_ms + 500_000
        {
            rows.push(row);
        }
        for row in rows {
            self.handle(vec![Event::Retry {
                row: row.into(),
                reply: ReplyTo(u64::MAX),
            }]);
        }
    }

    fn operator_acts(&mut self, w: usize) {
        let control = *self
            .rng
            .choice(&[
                NodeControl::Drain,
                NodeControl::Undrain,
                NodeControl::Undrain,
                NodeControl::Remove,
            ])
            .unwrap();
        let name = self.workers[w].name.clone();
        self.handle(vec![Event::Node {
            name,
            control,
            reply: ReplyTo(u64::MAX),
        }]);
    }

    fn pass(&mut self, ms: u64) {
        self.rng.u64(..); // keep the stream moving whoever asked for the time
        self.now.mono_ms += ms;
        self.now.wall_ms += ms as i64;
        self.handle(vec![Event::Timer]);
    }

    fn check(&self) {
        assert_eq!(
            self.store.untold, None,
            "each change is told with its commit"
        );
        for seq in &self.acknowledged {
            assert!(
                self.store.jobs.contains_key(seq),
                "job {seq} was acknowledged and is not in the store"
            );
        }
        for (output, attempts) in &self.outputs {
            assert!(
                attempts.len() <= 1,
                "{output} was published by more than one attempt: {attempts:?}"
            );
        }
        for row in self
            .store
            .jobs
            .values()
            .filter(|row| row.status.state == JobState::Completed)
        {
            let spec: JobSpec = serde_json::from_str(&row.spec).unwrap();
            if let Some(output) = spec.output {
                let attempt = Attempt {
                    job: row.seq,
                    no: row.status.attempt,
                };
                assert!(
                    self.outputs
                        .get(&output)
                        .is_some_and(|by| by.contains(&attempt)),
                    "job {} completed without its output",
                    row.seq
                );
            }
        }
        for (seq, (attempt, retried)) in &self.canceled {
            let status = &self.store.jobs[seq].status;
            assert!(
                status.attempt <= *attempt || status.retried > *retried,
                "job {seq} was canceled and then started again"
            );
        }
        self.core.check_invariants();
    }

    /// Everything works again: does every job come to an end?
    fn heal(&mut self) {
        if self.policy.manner == Manner::Arbitrary {
            self.policy.manner = Manner::Sane;
        }
        for worker in &mut self.workers {
            worker.frozen = false;
        }
        if let Some(round) = self.late.pop() {
            self.policy.fresh = true;
            let tag = PolicyTag {
                name: "sim".into(),
                digest: "late".into(),
                config: String::new(),
                budget_us: 0,
                stall_ms: 0,
                reasons: vec![],
            };
            self.handle(vec![Event::RoundEnded(RoundEnded {
                id: round.id,
                policy: tag.into(),
                outcome: Outcome::NeedsReset,
                guest_us: 1,
            })]);
        }
        // GPU jobs need a GPU worker to end.
        self.workers[0].gpu = true;
        if let Some(session) = self.workers[0].session.take() {
            self.handle(vec![Event::SessionClosed { session }]);
        }
        // A policy that places nothing costs each job the stall limit, so what is bounded is the time without progress.
        let (mut turn, mut left, mut progress) = (0, usize::MAX, 0);
        while turn < progress + 4_000 {
            turn += 1;
            if self.core.jobs.len() < left {
                (left, progress) = (self.core.jobs.len(), turn);
            }
            for w in 0..self.workers.len() {
                if self.workers[w].session.is_none() {
                    self.hello(w);
                }
                while self.workers[w].session.is_some() && !self.workers[w].to_master.is_empty() {
                    self.master_receives(w);
                }
                while !self.workers[w].to_worker.is_empty() {
                    self.worker_receives(w);
                }
                self.worker_works(w, true);
            }
            while !self.commits.is_empty() {
                self.commit_one();
            }
            self.policy_answers(true);
            self.pass(if turn % 100 == 99 { 90_000_000 } else { 500 });
            for w in 0..self.workers.len() {
                if let Some(session) = self.workers[w].session {
                    self.handle(vec![Event::Frame {
                        session,
                        frame: ToMaster::Heartbeat(Default::default()),
                    }]);
                }
                // A drained worker takes nothing, and a paused or held job would wait for ever.
                let name = self.workers[w].name.clone();
                self.handle(vec![Event::Node {
                    name,
                    control: NodeControl::Undrain,
                    reply: ReplyTo(u64::MAX),
                }]);
                let paused: Vec<JobSeq> = self
                    .core
                    .jobs
                    .values()
                    .map(|j| (j.seq, &j.status))
                    .filter(|(_, status)| {
                        status.held || status.pause_requested || status.state == JobState::Paused
                    })
                    .map(|(seq, _)| seq)
                    .collect();
                for job in paused {
                    self.handle(vec![Event::Control {
                        job,
                        control: Control::Resume,
                        reply: ReplyTo(u64::MAX),
                    }]);
                }
            }
            self.check();
            if self.core.jobs.is_empty()
                && self.commits.iter().all(|(records, _)| records.is_empty())
            {
                return;
            }
        }
        let stuck: Vec<_> = self
            .core
            .jobs
            .values()
            .map(|j| {
                (
                    j.seq,
                    j.status.state,
                    j.place,
                    self.core.explain_waiting(j.seq, self.now),
                )
            })
            .collect();
        panic!("jobs never ended: {stuck:?}");
    }
}

fn repeat(attempt: Attempt, own: &SimAttempt) -> Option<ToMaster> {
    match (own.stage, &own.outcome) {
        (Stage::Encoded, _) => Some(ToMaster::Encoded {
            attempt,
            temp: Sim::temp(attempt),
            bytes: 7,
            result: MediaResult::default(),
        }),
        (Stage::Over, Some(outcome)) => Some(ToMaster::Outcome {
            attempt,
            outcome: outcome.clone(),
            log: String::new(),
        }),
        _ => None,
    }
}

impl Core {
    /// What must hold after every batch of events.
    pub(super) fn check_invariants(&self) {
        let mut by_state: BTreeMap<JobState, u64> = BTreeMap::new();
        let mut pending_by_priority: BTreeMap<_, u64> = BTreeMap::new();
        let mut pending_by_queue: BTreeMap<_, u64> = BTreeMap::new();
        let (mut waiting, mut held) = (0, 0);
        for job in self.jobs.values() {
            let state = job.status.state;
            *by_state.entry(state).or_default() += 1;
            assert!(!state.is_terminal(), "an ended job is still live");
            assert_eq!(
                state.is_active(),
                job.on.is_some(),
                "job {} is {state} and holds {:?}",
                job.seq,
                job.on
            );
            assert_eq!(
                state == JobState::Pending,
                job.place != Place::Elsewhere,
                "job {} is {state} at {:?}",
                job.seq,
                job.place
            );
            if state == JobState::Pending {
                *pending_by_priority.entry(job.priority).or_default() += 1;
                *pending_by_queue.entry(job.queue).or_default() += 1;
            }
            assert_eq!(
                job.status.held,
                matches!(job.place, Place::Held { .. }),
                "job {} is held or not, and waits at {:?}",
                job.seq,
                job.place
            );
            if let Some(on) = job.on {
                assert!(self.workers[&on.worker].jobs.contains(&job.seq));
            }
            let waits =
                state == JobState::Pending && !job.status.held && !self.rounds.holds(job.seq);
            assert_eq!(
                job.waits_since_ms.is_some(),
                waits,
                "job {} is {state} at {:?}: whether it waits",
                job.seq,
                job.place
            );
            waiting += usize::from(waits);
            held += u64::from(job.status.held);
        }
        assert_eq!(self.waits.count(), waiting, "the jobs that wait, in order");
        assert_eq!(self.stats.held_by_user, held, "the gauge of held jobs");
        for state in JobState::ALL.iter().filter(|s| !s.is_terminal()) {
            assert_eq!(
                self.stats.jobs[state],
                by_state.get(state).copied().unwrap_or(0),
                "the gauge of {state} jobs"
            );
        }
        for (priority, count) in &self.stats.pending_by_priority {
            assert_eq!(
                *count,
                pending_by_priority.get(priority).copied().unwrap_or(0),
                "the gauge of pending {priority} jobs"
            );
        }
        for (queue, count) in &self.stats.pending_by_queue {
            let waiting = pending_by_queue.get(queue).copied().unwrap_or(0);
            assert_eq!(*count, waiting, "the gauge of jobs pending in {queue}");
        }
        for worker in self.workers.values() {
            let view = self
                .cluster
                .worker(worker.id)
                .expect("every worker is in the view");
            let held: Vec<_> = worker
                .jobs
                .iter()
                .map(|seq| self.jobs[seq].on.expect("held"))
                .collect();
            assert_eq!(
                view.slots_used as usize,
                held.len(),
                "slots of {}",
                worker.name
            );
            let cpu: u32 = held.iter().map(|on| on.cost.cpu_millicores).sum();
            assert_eq!(view.reserved.cpu_millicores, cpu, "CPU of {}", worker.name);
            assert!(
                worker.heard_ms.is_none() || held.len() <= worker.capabilities.slots as usize,
                "{} is over its slots",
                worker.name
            );
            for (i, gpu) in view.gpus.iter().enumerate() {
                let sessions: u32 = held
                    .iter()
                    .filter(|on| on.gpu == Some(i as u32))
                    .map(|on| on.cost.gpu_sessions)
                    .sum();
                assert_eq!(gpu.sessions_used, sessions, "GPU {i} of {}", worker.name);
                assert!(sessions <= gpu.sessions_max);
            }
            assert_eq!(worker.status, worker.status_now());
            assert_eq!(
                view.accepting,
                worker.accepting(),
                "{} is seen",
                worker.name
            );
        }
        let nodes: u64 = self.stats.nodes.values().sum();
        assert_eq!(nodes as usize, self.workers.len(), "the gauges of workers");
    }
}

/// Anything a policy could say: to the question, or past it.
fn arbitrary(rng: &mut fastrand::Rng, work: &Work) -> Outcome {
    let ids: Vec<u32> = match work {
        Work::Rank(jobs) => jobs.iter().map(|job| job.id).collect(),
        Work::Plan(ask) => ask.candidates.iter().map(|c| c.job).collect(),
        Work::Stalled(_) => Vec::new(),
    };
    let small = |rng: &mut fastrand::Rng| match rng.u32(..8) {
        0 => u32::MAX,
        1 => rng.u32(..),
        _ => rng.u32(..8),
    };
    let job = |rng: &mut fastrand::Rng| match ids.is_empty() || rng.u32(..6) == 0 {
        true => small(rng),
        false => ids[rng.usize(..ids.len())],
    };
    let time = |rng: &mut fastrand::Rng| match rng.u32(..4) {
        0 => i64::MIN,
        1 => i64::MAX,
        _ => rng.i64(..),
    };
    let asked_to_rank = matches!(work, Work::Rank(_));
    // One answer in twenty is to another question.
    if asked_to_rank == (rng.u32(..20) != 0) {
        let count = match rng.u32(..20) {
            0 => rng.usize(..30),
            _ => ids.len(),
        };
        let ranks = (0..count).map(|_| Rank {
            rank: time(rng),
            group: small(rng),
        });
        return Outcome::Ranks(ranks.collect());
    }
    let mut answer = Answer::default();
    for _ in 0..rng.usize(..2 * ids.len() + 3) {
        match rng.u32(..4) {
            0 => answer.skips.push(job(rng)),
            1 if rng.bool() => answer.holds.push(Hold {
                job: job(rng),
                until_ms: time(rng),
                reason: small(rng),
                arg: time(rng),
            }),
            _ => answer.placements.push(Placement {
                job: job(rng),
                worker: small(rng),
                gpu: rng.bool().then(|| small(rng)),
                score: time(rng),
                reason: small(rng),
                arg: time(rng),
            }),
        }
    }
    Outcome::Answer(answer)
}

fn run(seed: u64, steps: u32) {
    run_with(seed, steps, Manner::Sane);
}

/// Gives how often the policy was found to stall.
fn run_with(seed: u64, steps: u32, manner: Manner) -> usize {
    let result = std::panic::catch_unwind(|| {
        let mut sim = Sim::new(seed);
        sim.policy.manner = manner;
        sim.policy.wild = manner == Manner::Arbitrary;
        for _ in 0..steps {
            sim.step();
            sim.check();
        }
        sim.heal();
        (sim.store.jobs.len(), sim.policy.stalls as usize)
    });
    match result {
        Ok((jobs, stalls)) => {
            assert!(jobs > 0 || steps < 100, "seed {seed} submitted nothing");
            stalls
        }
        Err(cause) => {
            eprintln!("FAILED with seed {seed}: run again with FFRTMP_SIM_SEED={seed}");
            std::panic::resume_unwind(cause);
        }
    }
}

#[test]
fn no_job_is_lost_or_published_twice_whatever_breaks() {
    if let Ok(seed) = std::env::var("FFRTMP_SIM_SEED") {
        return run(seed.parse().expect("FFRTMP_SIM_SEED is a number"), 3_000);
    }
    let seeds = std::env::var("FFRTMP_SIM_SEEDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(200);
    (0..seeds).for_each(|seed| run(seed, 3_000));
}

/// For FFRTMP_FUZZ_SECONDS, from the seed FFRTMP_FUZZ_FROM on, so that what fails once fails again; `make fuzz` begins anywhere.
fn for_a_while(manner: Manner) {
    if let Ok(seed) = std::env::var("FFRTMP_SIM_SEED") {
        run_with(seed.parse().expect("a number"), 1_000, manner);
        return;
    }
    let seconds = std::env::var("FFRTMP_FUZZ_SECONDS").map_or(5, |n| n.parse().expect("seconds"));
    let until = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
    let mut seed = std::env::var("FFRTMP_FUZZ_FROM").map_or(0, |n| n.parse().expect("a seed"));
    let mut stalls = 0;
    while std::time::Instant::now() < until {
        stalls += run_with(seed, 1_000, manner);
        seed += 1;
    }
    // In a short history its jobs may all have ended otherwise: canceled, or placed while the policy thread was stuck.
    assert!(
        manner != Manner::PlacesNothing || stalls > 0,
        "nobody noticed"
    );
}

#[test]
fn no_answer_whatever_it_says_breaks_a_promise() {
    for_a_while(Manner::Arbitrary);
}

#[test]
fn a_policy_that_skips_everything_for_ever_keeps_no_job_from_its_end() {
    for_a_while(Manner::PlacesNothing);
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let history = |seed| {
        let mut sim = Sim::new(seed);
        (0..2_000).for_each(|_| sim.step());
        (
            sim.store.events,
            sim.store.jobs.into_values().collect::<Vec<_>>(),
        )
    };
    assert_eq!(history(42), history(42));
}

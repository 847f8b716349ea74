//! The loop: what happens next happens now, and the core is told.
//!
//! A commit is immediate, a frame arrives in the millisecond it was sent, a policy answers in no time, no worker ever falls
//! silent and no job fails: what is left is who decided what. Events of one millisecond reach the core as one batch, as they
//! would under load.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

use ffrtmp_api::{
    ids::{Attempt, JobSeq},
    protocol::{self, Assignment, Hello, Outcome, ToMaster, ToWorker},
    rest::SubmitItem,
};
use uuid::Uuid;

use super::{ClusterModel, PolicyReport, Ruler, Workload, measure::Measure, report};
use crate::core::{
    Config, Core, Effect, Event, NewJob, NodeControl, Now, Reply, ReplyTo, SessionId,
    record::Snapshot,
};

/// Longer than any simulation: no lease ends, no worker is forgotten.
const FOR_EVER_MS: u64 = 1 << 52;
/// Most calls into the core in one millisecond of virtual time. A policy that skips or holds for ever would else keep the
/// simulation at one moment; no sound run needs a thousandth of it.
const STEPS_AT_ONCE_MAX: u32 = 1_000_000;
/// How long after the last arrival a simulation is given up in which jobs still wait: thirty days.
const PATIENCE_MS: u64 = 30 * 24 * 3_600_000;

/// What is asked of a simulation beside workload and cluster.
#[derive(Debug, Clone)]
pub struct Options {
    /// The label whose value is a job's group, for fairness and waits by group.
    pub group_by: String,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            group_by: "tenant".into(),
        }
    }
}

/// An attempt on its worker.
#[derive(Debug, Clone, Copy)]
struct Running {
    worker: usize,
    job: usize,
}

struct Run<'a> {
    workload: &'a Workload,
    cluster: &'a ClusterModel,
    ruler: &'a mut Ruler,
    core: Core,
    /// Virtual milliseconds since the first arrival.
    now_ms: u64,
    /// When the first job arrives, milliseconds since 1970.
    base_ms: i64,
    /// Ends to come: when, the how manieth, which attempt.
    ends: BinaryHeap<Reverse<(u64, u64, Attempt)>>,
    started: u64,
    running: HashMap<Attempt, Running>,
    /// The place in the workload of each job number.
    jobs: Vec<usize>,
    /// Jobs of the submit that is being answered.
    submitting: Vec<usize>,
    refused: u64,
    measure: Measure,
    stopped: Option<String>,
}

/// Simulates a policy until every job has ended, or nothing would ever happen again.
pub fn run(
    workload: &Workload,
    cluster: &ClusterModel,
    mut ruler: Ruler,
    options: &Options,
) -> PolicyReport {
    let name = ruler.tag().name.clone();
    let digest = ruler.tag().digest.clone();
    let version = ruler.version().to_owned();
    let base_ms = workload.first_ms();
    let now = Now {
        mono_ms: 0,
        wall_ms: base_ms,
    };
    let config = Config {
        lease_ms: FOR_EVER_MS,
        forget_ms: FOR_EVER_MS,
        ..Config::default()
    };
    let mut run = Run {
        workload,
        cluster,
        ruler: &mut ruler,
        core: Core::load(config, Snapshot::default(), now, 1),
        now_ms: 0,
        base_ms,
        ends: BinaryHeap::new(),
        started: 0,
        running: HashMap::new(),
        jobs: vec![usize::MAX],
        submitting: Vec::new(),
        refused: 0,
        measure: Measure::new(workload, cluster, &options.group_by),
        stopped: None,
    };
    run.workers_come();
    run.play();
    let Run {
        core,
        measure,
        refused,
        stopped,
        ..
    } = run;
    report::make(report::Made {
        workload,
        cluster,
        measure: &measure,
        core: core.stats(),
        account: &ruler.account,
        refused,
        stopped,
        names: (name, version, digest),
    })
}

impl Run<'_> {
    fn workers_come(&mut self) {
        let hellos = self.cluster.workers.iter().enumerate().map(|(i, worker)| {
            let hello = Hello {
                version: protocol::VERSION,
                version_min: protocol::VERSION_MIN,
                name: worker.name.clone(),
                install_id: Uuid::from_u128(i as u128 + 1),
                software: "simulated".into(),
                capabilities: worker.capabilities.clone(),
                attempts: Vec::new(),
                labels: worker.labels.clone(),
                metrics_address: None,
                wall_ms: Some(self.base_ms),
            };
            Event::Frame {
                session: session(i),
                frame: ToMaster::Hello(Box::new(hello)),
            }
        });
        let drained = self.cluster.workers.iter().filter(|w| w.drained);
        let events = hellos
            .chain(drained.map(|worker| Event::Node {
                name: worker.name.clone(),
                control: NodeControl::Drain,
                reply: ReplyTo(0),
            }))
            .collect();
        self.step(events);
    }

    fn play(&mut self) {
        let mut next_job = 0;
        let give_up_ms = (self.workload.last_ms() - self.base_ms).unsigned_abs() + PATIENCE_MS;
        while self.stopped.is_none() {
            let arrival = self
                .workload
                .jobs
                .get(next_job)
                .map(|j| self.since(j.at_ms));
            let end = self.ends.peek().map(|Reverse((at, _, _))| *at);
            let Some(at) = [arrival, end, self.core.next_work_ms()]
                .into_iter()
                .flatten()
                .min()
            else {
                return;
            };
            let at = at.max(self.now_ms);
            if at > give_up_ms && self.running.is_empty() {
                self.stopped = Some(format!(
                    "given up {} days after the last job had arrived, with jobs still waiting",
                    PATIENCE_MS / (24 * 3_600_000)
                ));
                return;
            }
            self.measure.pass_to(at);
            self.now_ms = at;
            let mut events = Vec::new();
            while let Some(Reverse((due, _, attempt))) = self.ends.peek().copied()
                && due <= at
            {
                self.ends.pop();
                events.extend(self.end(attempt));
            }
            let from = next_job;
            while let Some(job) = self.workload.jobs.get(next_job)
                && self.since(job.at_ms) <= at
            {
                next_job += 1;
            }
            if next_job > from {
                events.push(self.submit(from..next_job));
            }
            if events.is_empty() {
                events.push(Event::Timer);
            }
            self.step(events);
        }
    }

    /// Virtual time of a moment, milliseconds.
    fn since(&self, at_ms: i64) -> u64 {
        // Jobs are in order of arrival, so none is before the first.
        (at_ms - self.base_ms).unsigned_abs()
    }

    fn submit(&mut self, jobs: std::ops::Range<usize>) -> Event {
        self.submitting = jobs.clone().collect();
        let jobs = jobs
            .map(|i| {
                let shape = self.workload.shape(&self.workload.jobs[i]);
                NewJob {
                    uuid: Uuid::from_u128(i as u128 + 1),
                    spec: shape.spec.clone(),
                    spec_json: shape.json.clone(),
                    settings: shape.settings.clone(),
                }
            })
            .collect();
        Event::Submit {
            jobs,
            reply: ReplyTo(1),
        }
    }

    /// Tells the core, does what it says, and tells it what came of that, until there is no more to do at this moment.
    fn step(&mut self, mut events: Vec<Event>) {
        let now = Now {
            mono_ms: self.now_ms,
            wall_ms: self.base_ms + self.now_ms as i64,
        };
        for _ in 0..STEPS_AT_ONCE_MAX {
            let effects = self.core.handle(events.drain(..), now);
            for effect in effects {
                match effect {
                    Effect::Ask(round) => {
                        events.push(Event::RoundEnded(self.ruler.answer(round, self.now_ms)));
                    }
                    Effect::Send(SessionId(worker), ToWorker::Assign { assignments }) => {
                        for assignment in assignments {
                            events.push(self.start(worker as usize - 1, &assignment));
                        }
                    }
                    Effect::Reply(_, Reply::Submitted(items)) => self.accepted(items),
                    _ => {}
                }
            }
            if events.is_empty() {
                if self.core.next_work_ms().is_none_or(|at| at > self.now_ms) {
                    self.core.stats_mut().fresh = Default::default();
                    return;
                }
                events.push(Event::Timer);
            }
        }
        self.stopped = Some(format!(
            "given up: at {} ms the policy kept the master busy without end",
            self.now_ms
        ));
    }

    fn accepted(&mut self, items: Vec<SubmitItem>) {
        let submitting = std::mem::take(&mut self.submitting);
        for (job, item) in submitting.into_iter().zip(items) {
            match item {
                SubmitItem::Accepted(submitted) => {
                    // Numbers are given one after the other, from 1.
                    debug_assert_eq!(submitted.id, JobSeq(self.jobs.len() as u64));
                    self.jobs.push(job);
                    self.measure.arrived(self.workload.jobs[job].shape);
                }
                SubmitItem::Refused(_) => self.refused += 1,
            }
        }
    }

    fn start(&mut self, worker: usize, assignment: &Assignment) -> Event {
        let attempt = assignment.attempt;
        let job = self.jobs[attempt.job.0 as usize];
        let arrival = &self.workload.jobs[job];
        let model = &self.cluster.workers[worker];
        let speed = assignment
            .gpu
            .and_then(|gpu| model.gpu_speeds.get(gpu as usize))
            .unwrap_or(&model.speed);
        let takes_ms = (arrival.runs_ms as f64 / speed).round() as u64;
        self.started += 1;
        self.ends
            .push(Reverse((self.now_ms + takes_ms, self.started, attempt)));
        self.running.insert(attempt, Running { worker, job });
        let wait_ms = self.now_ms - self.since(arrival.at_ms);
        let cost = &self.workload.shape(arrival).cost;
        self.measure
            .started(job, arrival.shape, wait_ms, cost, worker);
        Event::Frame {
            session: session(worker),
            frame: ToMaster::Started {
                attempt,
                at_ms: self.base_ms + self.now_ms as i64,
            },
        }
    }

    fn end(&mut self, attempt: Attempt) -> Option<Event> {
        let Running { worker, job } = self.running.remove(&attempt)?;
        let arrival = &self.workload.jobs[job];
        let shape = self.workload.shape(arrival);
        let ended_ms = self.base_ms + self.now_ms as i64;
        let late = shape.spec.deadline_ms.is_some_and(|due| ended_ms > due);
        self.measure
            .ended(job, arrival.shape, late, &shape.cost, worker);
        Some(Event::Frame {
            session: session(worker),
            frame: ToMaster::Outcome {
                attempt,
                outcome: Outcome::Completed {
                    result: Default::default(),
                },
                log: String::new(),
            },
        })
    }
}

/// A worker's session: its place in the cluster, from 1.
fn session(worker: usize) -> SessionId {
    SessionId(worker as u64 + 1)
}

//! A small farm whose workers do as a test says, job by job.

use std::collections::BTreeMap;

use ffrtmp_api::{
    encoder::Encoder,
    ids::Attempt,
    job::{JobSpec, JobState},
    protocol::{Capabilities, Hello, Outcome, ToMaster, ToWorker},
    rest::NodeStatus,
    settings::Settings,
};
use uuid::Uuid;

use super::*;
use crate::core::{
    Config, Event, NewJob, NodeControl, ReplyTo, SessionId,
    record::{JobRow, Snapshot, WorkerRow},
    round::RoundEnded,
};

struct Farm {
    core: Core,
    now: Now,
    sessions: BTreeMap<SessionId, &'static str>,
    /// Sent to workers and not yet run.
    sent: Vec<(SessionId, Attempt)>,
    /// What the store holds.
    jobs: BTreeMap<JobSeq, JobRow>,
    quarantines: BTreeMap<String, Option<Quarantine>>,
    ended: BTreeMap<JobSeq, JobState>,
}

/// What a worker makes of a job.
type Doing = fn(&str, JobSeq) -> Result<(), FailureReason>;

impl Farm {
    fn of(workers: &[&'static str]) -> Farm {
        let now = Now {
            mono_ms: 1_000,
            wall_ms: 1_700_000_000_000,
        };
        let mut farm = Farm {
            core: Core::load(Config::default(), Snapshot::default(), now, 1),
            now,
            sessions: BTreeMap::new(),
            sent: Vec::new(),
            jobs: BTreeMap::new(),
            quarantines: BTreeMap::new(),
            ended: BTreeMap::new(),
        };
        for name in workers {
            farm.connect(name, &[Encoder::Libx264]);
        }
        farm
    }

    fn connect(&mut self, name: &'static str, encoders: &[Encoder]) {
        let session = SessionId(self.sessions.len() as u64 + 1);
        self.sessions.insert(session, name);
        let frame = ToMaster::Hello(Box::new(Hello {
            version: 1,
            version_min: 1,
            name: name.into(),
            install_id: Uuid::nil(),
            software: String::new(),
            capabilities: Capabilities {
                slots: 2,
                cpu_millicores: 2_000,
                memory_mib: 2_000,
                encoders: encoders.iter().copied().collect(),
                ..Capabilities::default()
            },
            attempts: vec![],
            labels: Default::default(),
            metrics_address: None,
            wall_ms: None,
        }));
        self.handle(Event::Frame { session, frame });
    }

    fn handle(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for effect in self.core.handle([event], self.now) {
                match effect {
                    Effect::Send(session, ToWorker::Assign { assignments }) => {
                        let attempts = assignments.into_iter().map(|order| order.attempt);
                        self.sent.extend(attempts.map(|attempt| (session, attempt)));
                    }
                    Effect::Persist(Record::WorkerQuarantined { name, quarantine }) => {
                        self.quarantines.insert(name, quarantine);
                    }
                    Effect::Persist(Record::JobAccepted(row)) => {
                        self.jobs.insert(row.seq, *row);
                    }
                    Effect::Persist(Record::JobChanged { seq, status }) => {
                        if status.state.is_terminal() {
                            self.ended.insert(seq, status.state);
                        }
                        self.jobs.get_mut(&seq).unwrap().status = *status;
                    }
                    Effect::Ask(round) => {
                        events.push(Event::RoundEnded(RoundEnded::failed(round.id)))
                    }
                    _ => {}
                }
            }
            self.core.check_invariants();
        }
    }

    fn submit(&mut self, count: usize, codec: Option<&str>) {
        for _ in 0..count {
            let spec = JobSpec {
                codec: codec.map(str::to_owned),
                ..JobSpec::default()
            };
            self.handle(Event::Submit {
                jobs: vec![NewJob {
                    uuid: Uuid::new_v4(),
                    settings: Settings::resolve(&spec).unwrap(),
                    spec_json: serde_json::to_string(&spec).unwrap().into(),
                    spec,
                }],
                reply: ReplyTo(0),
            });
        }
    }

    /// Workers run what they were sent, and what they are sent because of that.
    fn run(&mut self, doing: Doing) {
        while !self.sent.is_empty() {
            let (session, attempt) = self.sent.remove(0);
            let name = self.sessions[&session];
            let frame = |frame| Event::Frame { session, frame };
            self.handle(frame(ToMaster::Started { attempt, at_ms: 0 }));
            let outcome = match doing(name, attempt.job) {
                Ok(()) => Outcome::Completed {
                    result: Default::default(),
                },
                Err(reason) => Outcome::Failed {
                    reason,
                    message: "as told".into(),
                },
            };
            self.handle(frame(ToMaster::Outcome {
                attempt,
                outcome,
                log: String::new(),
            }));
        }
    }

    /// Time goes by, in steps as long as a back-off; workers stay alive and run.
    fn pass(&mut self, ms: u64, doing: Doing) {
        let until = self.now.mono_ms + ms;
        while self.now.mono_ms < until {
            let step = (until - self.now.mono_ms).min(500);
            self.now.mono_ms += step;
            self.now.wall_ms += step as i64;
            for session in self.sessions.keys().copied().collect::<Vec<_>>() {
                let frame = ToMaster::Heartbeat(Default::default());
                self.handle(Event::Frame { session, frame });
            }
            self.handle(Event::Timer);
            self.run(doing);
        }
    }

    fn status(&self, name: &str) -> NodeStatus {
        let id = self.core.names[name];
        self.core.workers[&id].status_now()
    }

    fn quarantine(&self, name: &str) -> Option<&Quarantine> {
        let id = self.core.names[name];
        self.core.workers[&id].trust.quarantine.as_ref()
    }

    /// A master that starts anew with what was kept. Whatever has not ended waits.
    fn restarted(&self, workers: &[&'static str], codec: &[Encoder]) -> Farm {
        let waiting = self.jobs.values();
        let waiting: Vec<JobRow> = waiting
            .filter(|row| !row.status.state.is_terminal())
            .cloned()
            .collect();
        let snapshot = Snapshot {
            counts: vec![(JobState::Pending, waiting.len() as u64)],
            jobs: waiting,
            last_seq: self.jobs.len() as u64,
            workers: self
                .sessions
                .values()
                .map(|name| WorkerRow {
                    name: (*name).into(),
                    install_id: Uuid::nil(),
                    seen_ms: self.now.wall_ms,
                    drained: false,
                    quarantine: self.quarantines.get(*name).cloned().flatten(),
                })
                .collect(),
            ..Snapshot::default()
        };
        let mut farm = Farm::of(&[]);
        farm.now = Now {
            mono_ms: 7,
            wall_ms: self.now.wall_ms,
        };
        farm.jobs = self.jobs.clone();
        farm.core = Core::load(Config::default(), snapshot, farm.now, 2);
        for name in workers {
            farm.connect(name, codec);
        }
        farm
    }
}

const ALL_WELL: Doing = |_, _| Ok(());
const BAD_IS_BROKEN: Doing = |name, _| match name {
    "bad" => Err(FailureReason::RuntimeError),
    _ => Ok(()),
};

/// A farm of which one worker was just put out.
fn with_a_bad_one() -> Farm {
    let mut farm = Farm::of(&["bad", "good", "better"]);
    farm.submit(30, None);
    farm.run(BAD_IS_BROKEN);
    farm.pass(10_000, BAD_IS_BROKEN);
    farm
}

#[test]
fn a_worker_on_which_jobs_fail_that_succeed_elsewhere_is_put_out_and_no_job_is_lost() {
    let farm = with_a_bad_one();
    assert_eq!(farm.status("bad"), NodeStatus::Quarantined);
    assert_eq!(farm.status("good"), NodeStatus::Available);
    let quarantine = farm.quarantine("bad").unwrap();
    assert!(quarantine.why.contains("of its last"), "{quarantine:?}");
    assert_eq!(quarantine.times, 1);
    assert_eq!(farm.core.stats.quarantines, 1);
    assert_eq!(farm.ended.len(), 30);
    assert!(farm.ended.values().all(|s| *s == JobState::Completed));
}

#[test]
fn a_worker_that_was_put_out_proves_itself_with_one_job_at_a_time() {
    let mut farm = with_a_bad_one();
    farm.pass(61_000, ALL_WELL);
    assert!(farm.quarantine("bad").unwrap().until_ms.is_none());
    // More than all slots hold: the one on probation is sent a single job.
    farm.submit(12, None);
    let bad = *farm.sessions.iter().find(|(_, n)| **n == "bad").unwrap().0;
    assert_eq!(farm.sent.iter().filter(|(s, _)| *s == bad).count(), 1);
    farm.run(ALL_WELL);
    farm.submit(12, None);
    farm.run(ALL_WELL);
    assert_eq!(farm.quarantine("bad"), None);
    assert_eq!(farm.status("bad"), NodeStatus::Available);
    assert_eq!(
        farm.quarantines["bad"], None,
        "the store would bring it back"
    );
}

#[test]
fn one_that_fails_on_probation_is_put_out_for_longer_each_time() {
    let mut farm = with_a_bad_one();
    let mut lengths = Vec::new();
    for times in 1..=9 {
        let quarantine = farm.quarantine("bad").unwrap();
        assert_eq!(quarantine.times, times);
        let length = quarantine.until_ms.unwrap() - farm.now.wall_ms;
        lengths.push(length);
        farm.pass(length as u64 + 1_000, BAD_IS_BROKEN);
        farm.submit(12, None);
        farm.run(BAD_IS_BROKEN);
    }
    assert!(
        lengths
            .windows(2)
            .all(|two| two[0] < two[1] || two[1] == 3_600_000)
    );
    assert_eq!(lengths.last(), Some(&3_600_000), "{lengths:?}");
}

#[test]
fn a_job_s_own_fault_counts_against_nobody() {
    for reason in [FailureReason::UserError, FailureReason::InputError] {
        let mut farm = Farm::of(&["bad", "good", "better"]);
        farm.submit(40, None);
        let doing: Doing = match reason {
            FailureReason::UserError => |name, _| match name {
                "bad" => Err(FailureReason::UserError),
                _ => Ok(()),
            },
            _ => |name, _| match name {
                "bad" => Err(FailureReason::InputError),
                _ => Ok(()),
            },
        };
        farm.run(doing);
        assert_eq!(farm.quarantine("bad"), None, "{reason}");
    }
}

#[test]
fn jobs_that_fail_everywhere_put_nobody_out() {
    let mut farm = Farm::of(&["a", "b", "c"]);
    // Three in four are poison, so that there are good outcomes to compare with.
    let doing: Doing = |_, job| match job.0 % 4 {
        0 => Ok(()),
        _ => Err(FailureReason::RuntimeError),
    };
    for _ in 0..5 {
        farm.submit(12, None);
        farm.run(doing);
        farm.pass(120_000, doing);
    }
    assert_eq!(farm.ended.len(), 60);
    for name in ["a", "b", "c"] {
        assert!(farm.quarantine(name).is_none_or(|q| q.times == 1), "{name}");
    }
    farm.submit(12, None);
    farm.run(ALL_WELL);
    farm.pass(120_000, ALL_WELL);
    farm.submit(24, None);
    farm.run(ALL_WELL);
    for name in ["a", "b", "c"] {
        assert_eq!(farm.quarantine(name), None, "{name}");
    }
}

#[test]
fn the_only_worker_for_a_job_is_never_put_out_for_it() {
    let mut farm = Farm::of(&["good", "better"]);
    farm.connect("special", &[Encoder::Libx265]);
    let doing: Doing = |name, _| match name {
        "special" => Err(FailureReason::RuntimeError),
        _ => Ok(()),
    };
    farm.submit(10, None);
    farm.run(doing);
    farm.submit(10, Some("h265"));
    farm.pass(300_000, doing);
    assert_eq!(farm.quarantine("special"), None);
    assert_eq!(farm.ended.len(), 20, "poison jobs end");
}

#[test]
fn a_quarantine_outlives_the_master_and_an_operator_can_end_it() {
    let farm = with_a_bad_one();
    let before = farm.quarantine("bad").unwrap().clone();
    let mut farm = farm.restarted(&["bad", "good"], &[Encoder::Libx264]);
    assert_eq!(farm.quarantine("bad"), Some(&before));
    assert_eq!(farm.status("bad"), NodeStatus::Quarantined);
    farm.submit(8, None);
    let bad = *farm.sessions.iter().find(|(_, n)| **n == "bad").unwrap().0;
    assert!(farm.sent.iter().all(|(session, _)| *session != bad));
    farm.handle(Event::Node {
        name: "bad".into(),
        control: NodeControl::Undrain,
        reply: ReplyTo(0),
    });
    assert_eq!(farm.quarantine("bad"), None);
    assert!(farm.sent.iter().any(|(session, _)| *session == bad));
}

#[test]
fn where_a_job_failed_and_how_long_it_waits_outlive_the_master() {
    let mut farm = Farm::of(&["bad"]);
    farm.submit(1, None);
    let failing: Doing = |_, _| Err(FailureReason::RuntimeError);
    farm.run(failing);
    // The third failure of a job is followed by 4 s and up to a quarter more.
    farm.pass(4_000, failing);
    let row = &farm.jobs[&JobSeq(1)];
    assert_eq!(row.status.failures, 3, "{row:?}");
    let retry = row.status.retry.clone().unwrap();
    assert_eq!(retry.failed_on, ["bad"]);
    let wait_ms = retry.not_before_ms.unwrap() - farm.now.wall_ms;
    assert!((1_000..=5_000).contains(&wait_ms), "{wait_ms}");

    let mut farm = farm.restarted(&["bad", "good"], &[Encoder::Libx264]);
    farm.pass(wait_ms as u64 - 100, ALL_WELL);
    assert!(farm.ended.is_empty(), "it did not wait");
    farm.now.mono_ms += 200;
    farm.now.wall_ms += 200;
    farm.handle(Event::Timer);
    let (session, attempt) = farm.sent[0];
    assert_eq!(farm.sessions[&session], "good", "{attempt} went back");
    farm.run(ALL_WELL);
    assert_eq!(farm.ended[&JobSeq(1)], JobState::Completed);
}

//! What users tell a job, at moments that a running cluster seldom shows.

use ffrtmp_api::{
    encoder::Encoder,
    ids::{Attempt, AttemptNo},
    job::{FailureReason, JobSpec},
    protocol::{Capabilities, Hello, LiveAttempt, Outcome as AttemptOutcome, ToMaster},
    rest::WaitReason,
    settings::Settings,
};
use uuid::Uuid;

use super::*;
use crate::core::{
    Config, Event, NewJob, SessionId,
    record::{JobStatus, Snapshot},
    round::{RoundEnded, Work},
};

/// A core with one job and, once it said hello, one worker with one slot.
struct Small {
    core: Core,
    now: Now,
    row: JobRow,
    sent: Vec<ToWorker>,
    sessions: u64,
}

const JOB: JobSeq = JobSeq(1);

impl Small {
    fn new() -> Small {
        let now = Now {
            mono_ms: 1_000,
            wall_ms: 1_000_000,
        };
        let mut small = Small {
            core: Core::load(Config::default(), Snapshot::default(), now, 1),
            now,
            row: JobRow {
                seq: JOB,
                uuid: Uuid::nil(),
                spec: "{}".into(),
                queue: Queue::Default,
                priority: Priority::Medium,
                submitted_ms: 0,
                idempotency_key: None,
                status: JobStatus::default(),
            },
            sent: Vec::new(),
            sessions: 0,
        };
        let spec = JobSpec::default();
        small.handle(Event::Submit {
            jobs: vec![NewJob {
                uuid: Uuid::nil(),
                settings: Settings::resolve(&spec).unwrap(),
                spec_json: "{}".into(),
                spec,
            }],
            reply: ReplyTo(0),
        });
        small
    }

    /// Handles an event, keeps the row as the store would, and has the built-in policy answer what is asked.
    fn handle(&mut self, event: Event) -> Option<Result<(), ControlError>> {
        let (mut events, mut answer) = (vec![event], None);
        while let Some(event) = events.pop() {
            for effect in self.core.handle([event], self.now) {
                match effect {
                    Effect::Persist(Record::JobChanged { status, .. }) => self.row.status = *status,
                    Effect::Persist(Record::JobMoved {
                        queue, priority, ..
                    }) => (self.row.queue, self.row.priority) = (queue, priority),
                    Effect::Reply(_, Reply::Controlled(result)) => answer = Some(result),
                    Effect::Send(_, frame) => self.sent.push(frame),
                    Effect::Ask(round) => {
                        if let Work::Rank(jobs) = &round.work {
                            assert!(!self.row.status.held, "a held job is not ranked: {jobs:?}");
                        }
                        events.push(Event::RoundEnded(RoundEnded::failed(round.id)));
                    }
                    _ => {}
                }
            }
            self.core.check_invariants();
        }
        answer
    }

    fn tell(&mut self, control: Control) -> Result<(), ControlError> {
        let reply = ReplyTo(0);
        self.handle(Event::Control {
            job: JOB,
            control,
            reply,
        })
        .unwrap()
    }

    fn retry(&mut self, row: JobRow) -> Result<(), ControlError> {
        let (row, reply) = (row.into(), ReplyTo(0));
        self.handle(Event::Retry { row, reply }).unwrap()
    }

    fn frame(&mut self, frame: ToMaster) {
        let session = SessionId(self.sessions);
        self.handle(Event::Frame { session, frame });
    }

    fn hello(&mut self, attempts: Vec<LiveAttempt>) {
        self.sessions += 1;
        self.frame(ToMaster::Hello(Box::new(Hello {
            version: 1,
            version_min: 1,
            name: "w".into(),
            install_id: Uuid::nil(),
            software: String::new(),
            capabilities: Capabilities {
                slots: 1,
                cpu_millicores: 1_000,
                memory_mib: 1_000,
                encoders: [Encoder::Libx264].into_iter().collect(),
                ..Capabilities::default()
            },
            attempts,
            labels: Default::default(),
            metrics_address: None,
            wall_ms: None,
        })));
    }

    fn attempt(&self) -> Attempt {
        Attempt {
            job: JOB,
            no: self.row.status.attempt,
        }
    }

    fn fails(&mut self, reason: FailureReason) {
        let attempt = self.attempt();
        let message = "test".to_owned();
        self.frame(ToMaster::Outcome {
            attempt,
            outcome: AttemptOutcome::Failed { reason, message },
            log: String::new(),
        });
    }

    fn pass(&mut self, ms: u64) {
        self.now.mono_ms += ms;
        self.now.wall_ms += ms as i64;
        self.handle(Event::Timer);
    }

    fn waits_for(&self) -> Option<WaitReason> {
        Some(self.core.explain_waiting(JOB, self.now)?.reason)
    }
}

#[test]
fn a_job_held_while_it_backs_off_still_backs_off_when_it_is_let_go() {
    let mut small = Small::new();
    small.hello(vec![]);
    small.fails(FailureReason::RuntimeError);
    assert_eq!(small.waits_for(), Some(WaitReason::BackingOff));
    small.tell(Control::Pause).unwrap();
    assert_eq!(small.waits_for(), Some(WaitReason::HeldByUser));
    small.tell(Control::Resume).unwrap();
    assert_eq!(small.waits_for(), Some(WaitReason::BackingOff));
    assert_eq!(small.row.status.state, JobState::Pending);
    small.tell(Control::Pause).unwrap();
    small.pass(5_000); // past the back-off, and still within the lease
    assert_eq!(small.waits_for(), Some(WaitReason::HeldByUser));
    small.tell(Control::Resume).unwrap();
    small.pass(1);
    assert_eq!(small.row.status.state, JobState::Assigned);
    assert_eq!(small.row.status.attempt, AttemptNo(2));
}

#[test]
fn a_pause_asked_for_before_ffmpeg_started_is_sent_when_it_has() {
    let mut small = Small::new();
    small.hello(vec![]);
    assert_eq!(small.row.status.state, JobState::Assigned);
    small.sent.clear();
    small.tell(Control::Pause).unwrap();
    assert!(small.sent.is_empty(), "{:?}", small.sent);
    let attempt = small.attempt();
    small.frame(ToMaster::Started { attempt, at_ms: 0 });
    let paused = true;
    assert_eq!(small.sent, [ToWorker::Pause { attempt, paused }]);
}

#[test]
fn a_job_held_after_its_worker_was_lost_is_stopped_where_it_still_runs_when_that_comes_back() {
    let mut small = Small::new();
    small.hello(vec![]);
    let attempt = small.attempt();
    small.frame(ToMaster::Started { attempt, at_ms: 0 });
    small.pass(31_000); // past the lease
    assert_eq!(small.row.status.state, JobState::Pending);
    small.tell(Control::Pause).unwrap();
    small.sent.clear();
    small.hello(vec![LiveAttempt {
        attempt,
        started: true,
        paused: false,
    }]);
    assert_eq!(small.row.status.state, JobState::Running);
    let paused = true;
    assert!(small.sent.contains(&ToWorker::Pause { attempt, paused }));
    small.frame(ToMaster::Paused { attempt, paused });
    assert_eq!(small.row.status.state, JobState::Paused);
}

#[test]
fn a_retry_that_read_its_row_before_the_last_one_is_refused_and_attempt_numbers_only_rise() {
    let mut small = Small::new();
    small.hello(vec![]);
    small.fails(FailureReason::InputError);
    assert_eq!(small.row.status.state, JobState::Failed);
    let early = small.row.clone();
    small.retry(early.clone()).unwrap();
    assert_eq!(small.retry(early.clone()), Ok(()), "said twice");
    assert_eq!(small.row.status.attempt, AttemptNo(2));
    small.fails(FailureReason::InputError);
    assert_eq!(small.retry(early), Err(ControlError::Stale));
    small.retry(small.row.clone()).unwrap();
    assert_eq!(
        (small.row.status.attempt, small.row.status.retried),
        (AttemptNo(3), 2)
    );
}

#[test]
fn what_is_changed_while_it_is_held_is_in_force_when_it_is_ranked() {
    let mut small = Small::new();
    small.tell(Control::Pause).unwrap();
    let change = Control::Change {
        queue: Some(Queue::Live),
        priority: None,
    };
    small.tell(change).unwrap();
    small.tell(change).unwrap();
    assert_eq!(
        (small.row.queue, small.row.priority),
        (Queue::Live, Priority::Medium)
    );
    assert_eq!(small.core.jobs[&JOB].info().queue, Queue::Live as u8);
    small.tell(Control::Resume).unwrap();
    small.hello(vec![]);
    let error = small.tell(change).unwrap_err().to_string();
    assert!(error.contains("is assigned"), "{error}");
}

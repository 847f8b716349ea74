//! What a round costs.

use std::time::{Duration, Instant};

use ffrtmp_api::{
    encoder::Encoder,
    ids::Attempt,
    job::JobSpec,
    protocol::{Capabilities, Hello, MediaResult, Outcome as AttemptOutcome, ToMaster},
};
use uuid::Uuid;

use super::{super::record::*, *};
use crate::core::{Event, SessionId};

/// A core with so many jobs queued, a worker with one slot, and every round decided by the built-in policy.
struct Bench {
    core: Core,
    now: Now,
    running: Option<Attempt>,
    candidates: usize,
    spent: Vec<Duration>,
}

impl Bench {
    fn new(queued: u64) -> Bench {
        let jobs = (1..=queued).map(|seq| JobRow {
            seq: JobSeq(seq),
            uuid: Uuid::from_u128(u128::from(seq)),
            spec: "{}".into(),
            queue: Default::default(),
            priority: Default::default(),
            submitted_ms: seq as i64,
            idempotency_key: None,
            status: JobStatus::default(),
        });
        let snapshot = Snapshot {
            jobs: jobs.collect(),
            counts: vec![(ffrtmp_api::job::JobState::Pending, queued)],
            last_seq: queued,
            ..Snapshot::default()
        };
        let now = Now::default();
        let core = Core::load(Config::default(), snapshot, now, 1);
        let mut bench = Bench {
            core,
            now,
            running: None,
            candidates: 0,
            spent: Vec::new(),
        };
        bench.handle(Event::Timer); // ranks them all
        assert_eq!(
            serde_json::from_str::<JobSpec>("{}").unwrap(),
            JobSpec::default()
        );
        bench.handle(Event::Frame {
            session: SessionId(1),
            frame: hello(),
        });
        bench
    }

    /// Handles an event and answers what is asked until nothing is; the time counts the core's work alone.
    fn handle(&mut self, event: Event) {
        let mut events = vec![event];
        let mut spent = Duration::ZERO;
        while let Some(event) = events.pop() {
            let start = Instant::now();
            let effects = self.core.handle([event], self.now);
            spent += start.elapsed();
            for effect in effects {
                match effect {
                    Effect::Ask(round) => {
                        if let Work::Plan(ask) = &round.work {
                            self.candidates = ask.candidates.len();
                        }
                        // The core's own fallback decides: it stands in for a policy that needs no time.
                        events.push(Event::RoundEnded(RoundEnded::failed(round.id)));
                    }
                    Effect::Send(
                        _,
                        ffrtmp_api::protocol::ToWorker::Assign { assignments: list },
                    ) => {
                        self.running = list.first().map(|assignment| assignment.attempt);
                    }
                    _ => {}
                }
            }
        }
        self.spent.push(spent);
    }

    /// The median cost of a job ending and the next being placed.
    fn round(&mut self, rounds: usize) -> Duration {
        self.spent.clear();
        for _ in 0..rounds {
            let attempt = self.running.take().expect("a job runs");
            let outcome = AttemptOutcome::Completed {
                result: MediaResult::default(),
            };
            let frame = ToMaster::Outcome {
                attempt,
                outcome,
                log: String::new(),
            };
            self.handle(Event::Frame {
                session: SessionId(1),
                frame,
            });
        }
        self.spent.sort_unstable();
        self.spent[rounds / 2]
    }
}

fn hello() -> ToMaster {
    ToMaster::Hello(Box::new(Hello {
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
        attempts: vec![],
        labels: Default::default(),
        metrics_address: None,
        wall_ms: None,
    }))
}

#[test]
fn a_round_costs_no_more_with_100_000_jobs_queued_than_with_100() {
    let rounds = 90;
    let (mut small, mut large) = (Bench::new(100), Bench::new(100_000));
    let (few, many) = (small.round(rounds), large.round(rounds));
    assert_eq!(
        small.candidates, large.candidates,
        "the same number of jobs is looked at"
    );
    // The queues are balanced trees: 1,000 times the jobs are a few more steps in one look-up. Beyond twice the time (and
    // 50 microseconds for a disturbed machine), something walks the queue.
    let bound = few * 2 + Duration::from_micros(50);
    assert!(
        many <= bound,
        "a round took {few:?} with 100 jobs queued and {many:?} with 100,000"
    );
    println!("a round took {few:?} with 100 jobs queued and {many:?} with 100,000");
}

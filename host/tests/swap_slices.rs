//! A swap ranks what waits again, a slice at a time, and rounds go on in between.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // in a test that is how one fails

use std::collections::BTreeMap;

use ffrtmp_api::{
    encoder::Encoder,
    ids::JobSeq,
    job::{JobSpec, JobState},
    protocol::{Capabilities, Hello, ToMaster},
    settings::Settings,
};
use ffrtmp_host::core::{
    Config, Core, Effect, Event, NewJob, Now, ReplyTo, SessionId,
    record::{JobRow, JobStatus, Snapshot},
    round::{Outcome, PolicyTag, RoundEnded, Work},
};
use ffrtmp_policy_sdk::{Answer, Rank};
use uuid::Uuid;

const WAITING: u64 = 95;
const SLICE: usize = 10;

/// What was asked, in order.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Ranks(Vec<u32>),
    Plan,
}

/// Handles an event, and answers in that policy's name until nothing is asked any more. It places nothing.
fn handle(core: &mut Core, event: Event, policy: &str) -> Vec<Asked> {
    let mut asked = Vec::new();
    let mut events = vec![event];
    while !events.is_empty() || core.next_work_ms() == Some(0) {
        let now = Now::default();
        let batch = if events.is_empty() {
            vec![Event::Timer]
        } else {
            std::mem::take(&mut events)
        };
        for effect in core.handle(batch, now) {
            let Effect::Ask(round) = effect else { continue };
            let outcome = match &round.work {
                Work::Rank(jobs) => {
                    asked.push(Asked::Ranks(jobs.iter().map(|job| job.id).collect()));
                    Outcome::Ranks(vec![Rank::default(); jobs.len()])
                }
                Work::Stalled(why) => panic!("{why}"),
                Work::Plan(_) => {
                    asked.push(Asked::Plan);
                    Outcome::Answer(Answer::default())
                }
            };
            events.push(Event::RoundEnded(RoundEnded {
                id: round.id,
                policy: PolicyTag {
                    name: policy.into(),
                    digest: policy.into(),
                    config: String::new(),
                    budget_us: 0,
                    stall_ms: 0,
                    reasons: vec![],
                }
                .into(),
                outcome,
                guest_us: 0,
            }));
        }
    }
    asked
}

fn queue() -> Core {
    let jobs = (1..=WAITING).map(|seq| JobRow {
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
        counts: vec![(JobState::Pending, WAITING)],
        last_seq: WAITING,
        ..Snapshot::default()
    };
    let config = Config {
        rank_batch_max: SLICE,
        ..Config::default()
    };
    Core::load(config, snapshot, Now::default(), 1)
}

fn hello() -> Event {
    Event::Frame {
        session: SessionId(1),
        frame: ToMaster::Hello(Box::new(Hello {
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
        })),
    }
}

fn submit() -> Event {
    let spec = JobSpec::default();
    Event::Submit {
        jobs: vec![NewJob {
            uuid: Uuid::max(),
            spec_json: "{}".into(),
            settings: Settings::resolve(&spec).unwrap(),
            spec,
        }],
        reply: ReplyTo(1),
    }
}

#[test]
fn a_swap_ranks_a_queue_again_in_slices_between_which_rounds_go_on() {
    let mut core = queue();
    handle(&mut core, hello(), "first");
    // A job comes, and another policy answers.
    let asked = handle(&mut core, submit(), "second");
    let mut ranked = BTreeMap::new();
    let mut slices = 0;
    for pair in asked.windows(2) {
        assert!(
            !matches!(pair, [Asked::Ranks(_), Asked::Ranks(_)]),
            "two slices with no round between them: {asked:?}"
        );
    }
    for ask in &asked {
        if let Asked::Ranks(jobs) = ask {
            assert!(jobs.len() <= SLICE, "a slice of {}", jobs.len());
            slices += 1;
            for job in jobs {
                *ranked.entry(*job).or_insert(0) += 1;
            }
        }
    }
    assert!(slices >= 10, "{slices}");
    assert_eq!(
        ranked.len() as u64,
        WAITING + 1,
        "every job is ranked by the second policy"
    );
    assert!(ranked.values().all(|times| *times == 1), "{ranked:?}");
    // And then there is peace.
    assert_eq!(handle(&mut core, Event::Timer, "second"), []);
}

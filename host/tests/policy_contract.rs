//! `ffrtmp:scheduler@0.1.0` is released: it does not change, and what was built for it goes on working.
//!
//! `tests/guests/scheduler-0.1.0.wasm` was built on the day of the release from the source beside it. It folds everything
//! it is told into a digest and answers with it; the digests here are that day's. A field that gets lost, moved or given
//! another meaning in the host's conversion changes them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // in a test that is how one fails

use std::path::PathBuf;
use std::time::Duration;

use ffrtmp_host::policy::Limits;
use ffrtmp_host::policy::component::{Refusal, load};
use ffrtmp_host::policy::engine::PolicyEngine;
use ffrtmp_host::policy::instance::Instance;
use ffrtmp_policy_sdk::{
    Ask, Candidate, Change, Class, Gpu, Hold, JobInfo, JobOn, Placement, Rank, Resources, Worker,
};
use sha2::{Digest, Sha256};

fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(path)
}

/// The guest, with time to spare: this is about what is said, not how fast.
fn witness() -> Instance {
    let bytes = std::fs::read(repository("tests/guests/scheduler-0.1.0.wasm")).unwrap();
    let limits = Limits {
        call_cpu: Duration::from_secs(5),
        call_wall: Duration::from_secs(30),
        ..Limits::default()
    };
    let loaded: Result<_, Refusal> =
        load(&PolicyEngine::new().unwrap(), "witness", &bytes, &limits);
    let (loaded, instance) = loaded.unwrap();
    assert_eq!(
        (loaded.info.name.as_str(), loaded.info.version.as_str()),
        ("witness", "0.1.0")
    );
    assert_eq!(
        loaded.info.reasons,
        ["what it heard: {}", "what it was asked: {}"]
    );
    instance
}

/// A number for each field, none of them twice.
fn resources(base: u32) -> Resources {
    Resources {
        cpu_millicores: base + 1,
        memory_mib: base + 2,
        gpu_sessions: base + 3,
        gpu_memory_mib: base + 4,
    }
}

fn worker(id: u32) -> Worker {
    Worker {
        id,
        name: format!("wörker {id}"),
        accepting: true,
        slots: 11,
        slots_used: 5,
        capacity: resources(10_000),
        reserved: resources(2_000),
        cpu_load_permille: 321,
        memory_used_mib: 432,
        encoders: 0b1_0011,
        tags: 1 << 63 | 5,
        labels: vec![("zone".into(), "eu".into()), ("ssd".into(), String::new())],
        gpus: vec![
            Gpu {
                memory_mib: 21,
                sessions_max: 22,
                sessions_used: 3,
                memory_reserved_mib: 4,
                load_permille: 25,
            },
            Gpu::default(),
        ],
    }
}

fn on(job: u32) -> JobOn {
    JobOn {
        job,
        worker: 1,
        gpu: Some(1),
        group: 31,
        cost: resources(40),
    }
}

fn changes() -> Vec<Change> {
    vec![
        Change::WorkerUp(worker(1)),
        Change::WorkerUp(worker(2)),
        Change::WorkerUp(worker(3)),
        Change::WorkerGone(2),
        Change::WorkerAccepting {
            worker: 3,
            accepting: false,
        },
        Change::WorkerLoad {
            worker: 1,
            cpu_load_permille: 51,
            memory_used_mib: 52,
        },
        Change::WorkerTags {
            worker: 1,
            tags: 1 << 40,
        },
        Change::GpuLoad {
            worker: 1,
            gpu: 1,
            load_permille: 61,
        },
        Change::JobStarted(on(71)),
        Change::JobStarted(JobOn {
            gpu: None,
            ..on(72)
        }),
        Change::JobRegrouped(JobOn {
            group: 73,
            ..on(71)
        }),
        Change::JobEnded(JobOn {
            gpu: None,
            ..on(72)
        }),
    ]
}

fn jobs() -> Vec<JobInfo> {
    let job = |id, deadline_ms| JobInfo {
        id,
        queue: 2,
        priority: 1,
        submitted_ms: -81,
        deadline_ms,
        cost: resources(90),
        labels: vec![("tenant".into(), "ä".into())],
    };
    vec![job(101, None), job(102, Some(i64::MAX))]
}

fn ask() -> Ask {
    let candidate = |job, excluded: &[u32]| Candidate {
        job,
        class: job % 2,
        group: 111 + job,
        rank: -112,
        cost: resources(113),
        queue: 1,
        priority: 2,
        waited_ms: u64::MAX,
        excluded: excluded.to_vec(),
    };
    Ask {
        round: 121,
        now_ms: 1_700_000_000_000,
        seed: u64::MAX - 1,
        classes: vec![
            Class {
                id: 131,
                encoders: 0b11,
                tags: 1 << 33,
                gpu: false,
            },
            Class {
                gpu: true,
                ..Class::default()
            },
        ],
        candidates: vec![
            candidate(201, &[]),
            candidate(202, &[3, 1]),
            candidate(203, &[2]),
        ],
    }
}

#[test]
fn a_component_built_on_the_day_of_the_release_is_told_and_tells_every_field() {
    let mut witness = witness();
    witness.sync(true, changes()).unwrap();
    witness.sync(false, Vec::new()).unwrap();
    let ranks = witness.rank(jobs()).unwrap();
    let answer = witness.plan(&ask()).unwrap();
    assert_eq!(
        ranks,
        [
            Rank {
                rank: RANKS[0],
                group: (RANKS[0] as u64 >> 32) as u32,
            },
            Rank {
                rank: RANKS[1],
                group: (RANKS[1] as u64 >> 32) as u32,
            },
        ]
    );
    let placement = Placement {
        job: 201,
        worker: 1,
        gpu: Some(0),
        score: ASKED,
        reason: 0,
        arg: HEARD,
    };
    assert_eq!(answer.placements, [placement]);
    let hold = Hold {
        job: 202,
        until_ms: 1_700_000_060_000,
        reason: 1,
        arg: ASKED,
    };
    assert_eq!(answer.holds, [hold]);
    assert_eq!(answer.skips, [203]);
}

/// What the witness made of all that on the day of the release.
const RANKS: [i64; 2] = [-1_746_182_555_983_815_440, 758_801_788_983_809_542];
const ASKED: i64 = 4_987_006_806_523_951_891;
const HEARD: i64 = -475_776_763_048_324_894;

/// SHA-256 of the declarations of `wit/scheduler.wit`, comments and white space aside.
const RELEASED: &str = "71fd3784ac7b5b18548f367d6f7dfd3e3ce4c1d16fa78182153c3d253630d2b9";

#[test]
fn the_released_contract_has_not_changed() {
    let text = std::fs::read_to_string(repository("wit/scheduler.wit")).unwrap();
    let mut hash = Sha256::new();
    for line in text.lines() {
        let declared = line.split("//").next().unwrap_or_default();
        for word in declared.split_whitespace() {
            hash.update(word);
            hash.update(" ");
        }
    }
    let digest: String = hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        digest, RELEASED,
        "ffrtmp:scheduler@0.1.0 is released and never changes; a new version stands beside it in a file of its own"
    );
}

//! The bundled policies as wasm and as native code are twins: the same questions get the same answers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // in a test that is how one fails

use std::path::PathBuf;

use ffrtmp_host::policy::Limits;
use ffrtmp_host::policy::component::load;
use ffrtmp_host::policy::engine::PolicyEngine;
use ffrtmp_policy_balanced::Balanced;
use ffrtmp_policy_sdk::sample::Sample;
use ffrtmp_policy_sdk::{Cluster, Instance, Policy, verdict};

#[path = "../../policies/build/src/sources.rs"]
mod sources;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn balanced_answers_the_same_in_wasm_and_natively() {
    let engine = PolicyEngine::new().unwrap();
    let bytes = std::fs::read(root().join("policies/balanced.wasm")).unwrap();
    // This is about answers, not time: the machine may be busy.
    let limits = Limits {
        call_cpu: std::time::Duration::from_secs(5),
        call_wall: std::time::Duration::from_secs(30),
        ..Limits::default()
    };
    let (loaded, mut wasm) = load(&engine, "balanced", &bytes, &limits).unwrap();
    assert_eq!(loaded.info, Balanced::info());
    for seed in 0..30 {
        let mut sample = Sample::new(seed);
        let mut native = Instance::<Balanced>::new("").unwrap();
        let workers = [0, 1, 3, 64, 65, 300][seed as usize % 6];
        let snapshot = sample.snapshot(workers);
        native.sync(true, 1, &snapshot);
        wasm.sync(true, &snapshot).unwrap();
        for seq in 2..12 {
            let changes = sample.changes(native.cluster());
            native.sync(false, seq, &changes);
            wasm.sync(false, &changes).unwrap();
            let jobs: Vec<_> = (0..sample.below(20)).map(|_| sample.job()).collect();
            assert_eq!(wasm.rank(jobs.clone()).unwrap(), native.rank(&jobs));
            let count = sample.below(200) as u32;
            let ask = sample.ask(count, native.cluster());
            assert_eq!(
                wasm.plan(&ask).unwrap(),
                native.plan(&ask),
                "seed {seed}, sync {seq}"
            );
        }
    }
}

#[test]
fn every_bundled_policy_is_taken_and_answers_what_holds() {
    let engine = PolicyEngine::new().unwrap();
    for (name, path) in sources::BUNDLED {
        let bytes = std::fs::read(root().join(path)).unwrap();
        let (loaded, mut policy) = load(&engine, name, &bytes, &Limits::default()).unwrap();
        assert_eq!(loaded.info.name, name);
        assert_eq!(loaded.language.as_deref(), Some("Rust"));
        for seed in 0..5 {
            let mut sample = Sample::new(seed);
            let snapshot = sample.snapshot(60);
            let mut cluster = Cluster::default();
            snapshot.iter().for_each(|change| cluster.apply(change));
            policy.sync(true, snapshot).unwrap();
            let jobs: Vec<_> = (0..50).map(|_| sample.job()).collect();
            assert_eq!(policy.rank(jobs).unwrap().len(), 50);
            let ask = sample.ask(60, &cluster);
            let answer = policy
                .plan(&ask)
                .unwrap_or_else(|e| panic!("{name}, seed {seed}: {e}"));
            assert_eq!(
                verdict(&cluster, &ask, &answer),
                Ok(()),
                "{name}, seed {seed}"
            );
            assert!(!answer.placements.is_empty(), "{name}, seed {seed}");
        }
    }
}

#[test]
fn chaos_fails_in_the_round_it_is_told_to_and_says_that_it_is_a_drill() {
    let engine = PolicyEngine::new().unwrap();
    let bytes = std::fs::read(root().join("policies/bundled/chaos.wasm")).unwrap();
    let (_, mut chaos) = load(&engine, "chaos", &bytes, &Limits::default()).unwrap();
    let mut sample = Sample::new(1);
    chaos.sync(true, sample.snapshot(10)).unwrap();
    for round in 1..10 {
        let mut ask = sample.ask(5, &Cluster::default());
        ask.round = round;
        chaos.plan(&ask).unwrap();
    }
    let mut ask = sample.ask(5, &Cluster::default());
    ask.round = 10;
    let fault = chaos.plan(&ask).unwrap_err().to_string();
    assert!(
        fault.contains("a drill: `chaos` traps in round 10"),
        "{fault}"
    );
}

#[test]
fn committed_policies_were_built_from_the_sources_beside_them() {
    for (name, path) in sources::BUNDLED {
        let wasm = std::fs::read(root().join(path)).unwrap();
        let digest = sources::digest(&root(), name).unwrap();
        // A custom section: its name's length and name, then the digest.
        let section = [
            &[sources::SECTION.len() as u8],
            sources::SECTION.as_bytes(),
            digest.as_bytes(),
        ]
        .concat();
        assert!(
            wasm.windows(section.len()).any(|window| window == section),
            "{path} is older than its sources: run `make policies` and commit what it writes"
        );
    }
}

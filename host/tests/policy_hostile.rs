//! Policies that do their worst: each gets a fault or a refusal that says why, within its budget, and the next round works.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // in a test that is how one fails

use std::path::PathBuf;
use std::time::{Duration, Instant};

use ffrtmp_host::core::round::FaultStage;
use ffrtmp_host::policy::Limits;
use ffrtmp_host::policy::component::{Refusal, load};
use ffrtmp_host::policy::engine::PolicyEngine;
use ffrtmp_host::policy::instance::{Fault, Instance};
use ffrtmp_policy_sdk::sample::Sample;
use ffrtmp_policy_sdk::{Ask, Cluster};

/// Beyond its budget, a call may take this long: two ticks of the epoch, and what the machine's other work delays it by.
const GRACE: Duration = Duration::from_millis(60);

fn guest(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/hostile")
        .join(name)
        .with_extension("wasm");
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn limits() -> Limits {
    // A second is long for a test that waits it out.
    Limits {
        init_cpu: Duration::from_millis(50),
        init_wall: Duration::from_millis(500),
        ..Limits::default()
    }
}

fn refusal(bytes: &[u8]) -> Refusal {
    let engine = PolicyEngine::new().unwrap();
    load(&engine, "hostile", bytes, &limits())
        .map(|_| ())
        .expect_err("it was taken")
}

fn ask() -> Ask {
    Sample::new(1).ask(3, &Cluster::default())
}

/// Runs `call` on a fresh instance; gives its fault and how long it took. A second fresh instance must work after it.
fn fault<R: std::fmt::Debug>(
    name: &str,
    call: impl Fn(&mut Instance) -> Result<R, Fault>,
) -> (Fault, Duration) {
    let engine = PolicyEngine::new().unwrap();
    let (_, mut instance) = load(&engine, name, &guest(name), &limits()).unwrap();
    let from = Instant::now();
    let fault = call(&mut instance).expect_err("it did no harm");
    let took = from.elapsed();
    drop(instance);
    let (_, mut next) = load(&engine, "well_behaved", &guest("well_behaved"), &limits()).unwrap();
    next.sync(true, Sample::new(1).snapshot(10)).unwrap();
    assert_eq!(next.plan(&ask()).unwrap(), Default::default());
    (fault, took)
}

fn assert_stopped(stage: FaultStage, (fault, took): (Fault, Duration)) {
    assert_eq!(fault.stage, stage);
    assert!(
        fault.message.contains("10 ms of CPU time") || fault.message.contains("50 ms by the clock"),
        "{fault}"
    );
    assert!(took < limits().call_wall + GRACE, "{took:?}");
}

#[test]
fn a_plan_that_loops_is_stopped_within_its_budget() {
    assert_stopped(FaultStage::Plan, fault("loops_in_plan", |i| i.plan(&ask())));
    assert!(
        refusal(&guest("loops_at_once"))
            .to_string()
            .contains("failed its trial in plan")
    );
}

#[test]
fn a_rank_that_loops_is_stopped_within_its_budget() {
    let job = Sample::new(1).job();
    assert_stopped(
        FaultStage::Rank,
        fault("loops_in_rank", |i| i.rank(vec![job.clone()])),
    );
}

#[test]
fn a_sync_that_loops_is_stopped_within_its_budget() {
    assert_stopped(
        FaultStage::Sync,
        fault("loops_in_sync", |i| {
            i.sync(false, Sample::new(1).snapshot(1))
        }),
    );
}

#[test]
fn an_init_that_loops_is_stopped_within_its_budget() {
    for name in ["loops_in_init", "loops_in_start"] {
        let from = Instant::now();
        let refusal = refusal(&guest(name));
        assert!(
            matches!(&refusal, Refusal::Trial(fault) if fault.stage == FaultStage::Init),
            "{refusal}"
        );
        assert!(
            refusal.to_string().contains("50 ms of CPU time"),
            "{refusal}"
        );
        assert!(from.elapsed() < Duration::from_secs(2));
    }
}

#[test]
fn memory_is_bounded_and_the_message_says_so() {
    let (fault, took) = fault("grows_memory", |i| i.plan(&ask()));
    assert_eq!(fault.stage, FaultStage::Plan);
    assert!(fault.message.contains("memory"), "{fault}");
    assert!(took < limits().call_wall + GRACE, "{took:?}");
    assert!(
        refusal(&guest("declares_two_gigabytes"))
            .to_string()
            .contains("memory")
    );
}

#[test]
fn recursion_is_bounded_and_the_message_says_so() {
    let (fault, _) = fault("recurses", |i| i.plan(&ask()));
    assert!(fault.message.contains("stack"), "{fault}");
}

#[test]
fn a_trap_is_a_fault() {
    let (fault, _) = fault("traps_in_plan", |i| i.plan(&ask()));
    assert_eq!(fault.stage, FaultStage::Plan);
    assert!(fault.message.contains("unreachable"), "{fault}");
    assert!(
        refusal(&guest("traps_at_once"))
            .to_string()
            .contains("unreachable")
    );
}

#[test]
fn a_wrong_count_of_ranks_is_a_fault() {
    let job = Sample::new(1).job();
    let (fault, _) = fault("too_few_ranks", |i| i.rank(vec![job.clone(), job.clone()]));
    assert_eq!(fault.stage, FaultStage::Answer);
    assert!(
        fault.message.contains("rank 2 jobs and answered 1"),
        "{fault}"
    );
}

#[test]
fn an_answer_larger_than_the_question_is_a_fault() {
    let (fault, _) = fault("answers_too_much", |i| i.plan(&ask()));
    assert_eq!(fault.stage, FaultStage::Answer);
    assert!(
        fault.message.contains("3 jobs and answered 1000"),
        "{fault}"
    );
}

#[test]
fn an_answer_of_all_its_memory_costs_the_host_little() {
    let (fault, took) = fault("answers_a_million", |i| i.plan(&ask()));
    assert_eq!(fault.stage, FaultStage::Plan);
    assert!(fault.message.contains("too much data"), "{fault}");
    assert!(took < Duration::from_millis(50), "{took:?}");
}

#[test]
fn an_answer_outside_its_memory_is_a_fault() {
    let (fault, _) = fault("answers_outside_its_memory", |i| i.plan(&ask()));
    assert!(fault.message.contains("out of bounds"), "{fault}");
}

#[test]
fn a_guest_that_only_logs_is_stopped_within_its_budget() {
    assert_stopped(
        FaultStage::Plan,
        fault("logs_without_end", |i| i.plan(&ask())),
    );
}

#[test]
fn files_that_are_not_policies_are_refused_with_the_reason() {
    let good = guest("well_behaved");
    for (bytes, why) in [
        (Vec::new(), "the file is empty"),
        (
            b"#!/bin/sh\n".to_vec(),
            "does not begin as WebAssembly does",
        ),
        (good[..6].to_vec(), "cut short"),
        (
            good[..good.len() / 2].to_vec(),
            "is not a WebAssembly component",
        ),
        (guest("core_module"), "core module"),
        (
            guest("imports_wasi"),
            "imports `wasi:cli/environment@0.2.0`; a policy may import `ffrtmp:scheduler/host@0.1.0`",
        ),
        (
            guest("exports_another_world"),
            "does not export `ffrtmp:scheduler/policy@0.1.0` (it exports run)",
        ),
        (
            guest("a_later_contract"),
            "made for version 0.2.0 of the contract; this master speaks 0.1.0",
        ),
        (
            guest("refuses_its_configuration"),
            "there is no [config] I would take",
        ),
    ] {
        let refusal = refusal(&bytes).to_string();
        assert!(refusal.contains(why), "{refusal:?} does not say {why:?}");
    }
}

#[test]
fn random_bytes_and_random_damage_are_refused_or_harmless() {
    let engine = PolicyEngine::new().unwrap();
    let good = guest("well_behaved");
    let mut sample = Sample::new(42);
    for _ in 0..200 {
        let mut bytes = good.clone();
        for _ in 0..=sample.below(8) {
            let at = sample.below(bytes.len() as u64) as usize;
            bytes[at] = sample.below(256) as u8;
        }
        bytes.truncate(1 + sample.below(bytes.len() as u64) as usize);
        // Whatever comes of it, it comes back.
        let _ = load(&engine, "damaged", &bytes, &limits());
    }
}

//! The examination of policies: bundled ones pass, and each hostile guest fails on the item that is about what it does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // in a test that is how one fails

mod sim_bench;

use std::time::Duration;

use ffrtmp_host::{
    check::{Examination, Examiner, Finding, Item},
    policy::{Limits, Settings, engine::PolicyEngine},
};
use sim_bench::repository;

/// With the settings beside the file, if there are any.
fn examine(path: &str, limits: Limits) -> Examination {
    let file = repository(path);
    let settings = match std::fs::read_to_string(file.with_extension("toml")) {
        Ok(text) => Settings::parse(&text, &limits).unwrap_or_else(|e| panic!("{path}: {e}")),
        Err(_) => Settings::without_a_file(&limits),
    };
    let bytes = std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let examiner = Examiner {
        engine: PolicyEngine::new().unwrap(),
        seed: 1,
    };
    let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
    examiner.examine(&name, &bytes, &settings)
}

/// Time enough for a host that was not optimised and a machine that is busy: these tests are not about speed.
fn patient() -> Limits {
    Limits {
        call_cpu: Duration::from_millis(100),
        init_cpu: Duration::from_millis(200),
        ..Limits::default()
    }
}

fn verdict(found: &Examination, item: Item) -> (Finding, String) {
    let verdict = found.verdicts.iter().find(|v| v.item == item).unwrap();
    (verdict.finding, verdict.message.clone())
}

/// The bundled policies there are.
fn bundled() -> Vec<String> {
    let mut found = vec!["policies/balanced.wasm".to_owned()];
    for entry in std::fs::read_dir(repository("policies/bundled")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        // It is there to fail; see below.
        if name.ends_with(".wasm") && name != "chaos.wasm" {
            found.push(format!("policies/bundled/{name}"));
        }
    }
    found.sort();
    found
}

#[test]
fn bundled_policies_pass() {
    for path in bundled() {
        let found = examine(&path, patient());
        let bad: Vec<_> = found
            .verdicts
            .iter()
            .filter(|v| v.finding != Finding::Pass)
            // How fast the host's side of a call is says nothing here.
            .filter(|v| v.item != Item::Time)
            .collect();
        assert!(bad.is_empty(), "{path}: {bad:#?}");
        assert_eq!(found.verdicts.len(), Item::ALL.len());
    }
}

#[test]
fn chaos_is_found_out() {
    let found = examine("policies/bundled/chaos.wasm", patient());
    let (finding, message) = verdict(&found, Item::Calls);
    assert_eq!(finding, Finding::Fail, "{message}");
}

#[test]
fn each_hostile_guest_fails_on_the_item_that_is_about_what_it_does() {
    for (name, item, says) in [
        ("a_later_contract", Item::World, "version 0.2.0"),
        ("core_module", Item::World, "core module"),
        ("exports_another_world", Item::World, "does not export"),
        ("imports_wasi", Item::World, "wasi:cli/environment"),
        ("declares_two_gigabytes", Item::Init, "memory"),
        ("loops_in_init", Item::Init, "CPU time"),
        ("loops_in_start", Item::Init, "CPU time"),
        (
            "refuses_its_configuration",
            Item::Init,
            "no [config] I would take",
        ),
        ("answers_a_million", Item::Calls, "too much data"),
        ("answers_outside_its_memory", Item::Calls, "out of bounds"),
        ("answers_too_much", Item::Calls, "answered 1000 entries"),
        ("grows_memory", Item::Calls, "memory"),
        ("logs_without_end", Item::Calls, "CPU time"),
        ("loops_at_once", Item::Calls, "CPU time"),
        ("loops_in_plan", Item::Calls, "CPU time"),
        ("loops_in_rank", Item::Calls, "CPU time"),
        ("loops_in_sync", Item::Calls, "CPU time"),
        ("recurses", Item::Calls, "stack"),
        ("too_few_ranks", Item::Calls, "answered"),
        ("traps_at_once", Item::Calls, "unreachable"),
        ("traps_in_plan", Item::Calls, "unreachable"),
        ("traps_now_and_then", Item::Calls, "unreachable"),
    ] {
        let found = examine(&format!("tests/hostile/{name}.wasm"), patient());
        let (finding, message) = verdict(&found, item);
        assert_eq!(finding, Finding::Fail, "{name}: {:#?}", found.verdicts);
        assert!(message.contains(says), "{name}: {message}");
        // And on nothing else, but that a call that runs out of time is slow too.
        let others: Vec<_> = found
            .failed()
            .filter(|v| v.item != item && v.item != Item::Time)
            .collect();
        assert!(others.is_empty(), "{name}: {others:#?}");
    }
}

#[test]
fn one_that_places_nothing_is_pointed_out() {
    let found = examine("tests/hostile/well_behaved.wasm", patient());
    assert_eq!(verdict(&found, Item::Progress).0, Finding::Warn);
    assert_eq!(found.failed().count(), 0, "{:#?}", found.verdicts);
}

#[test]
fn a_file_that_is_too_large_or_no_wasm_is_not_looked_into() {
    let limits = Limits {
        file_bytes: 100,
        ..patient()
    };
    let found = examine("policies/balanced.wasm", limits);
    assert_eq!(verdict(&found, Item::Size).0, Finding::Fail);
    assert_eq!(found.count(Finding::Skipped), Item::ALL.len() - 1);
    let found = examine("README.md", patient());
    let (finding, message) = verdict(&found, Item::World);
    assert_eq!(finding, Finding::Fail);
    assert!(
        message.contains("does not begin as WebAssembly does"),
        "{message}"
    );
}

//! People choose: activate, unpin, disable, enable, roll back; in effect when answered, and after a restart.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // in a test that is how one fails

mod policy_bench;

use std::time::{Duration, Instant};

use ffrtmp_host::core::round::Outcome;
use ffrtmp_host::policy::PolicyCommand::{Activate, Disable, Enable, Rollback, Unpin};
use ffrtmp_host::policy::{CommandError, Mode};
use policy_bench::{Bench, SOON, repository};

const BALANCED: (&str, &str) = ("policies/balanced.wasm", "balanced.wasm");
const BINPACK: (&str, &str) = ("policies/bundled/binpack.wasm", "binpack.wasm");
const QUIET: (&str, &str) = ("tests/hostile/well_behaved.wasm", "quiet.wasm");
/// Fails when it ranks, which these rounds do not ask for.
const THIRD: &str = "tests/hostile/too_few_ranks.wasm";

#[test]
fn an_activated_policy_rules_when_the_order_is_answered_and_files_choose_nothing_until_it_is_unpinned()
 {
    let mut bench = Bench::new(&[BALANCED, BINPACK]);
    assert!(bench.answered_by().starts_with("balanced@"));
    let list = bench.order(Activate("binpack".into())).unwrap();
    assert_eq!(
        (
            list.policies[0].name.as_str(),
            list.policies[0].state.as_str()
        ),
        ("binpack", "active")
    );
    assert_eq!(
        list.pinned,
        Some(format!("binpack@{}", list.policies[0].digest))
    );
    assert!(bench.answered_by().starts_with("binpack@"));
    bench.drop_in(QUIET.0, QUIET.1);
    bench.until_state("quiet", "ready");
    assert!(bench.answered_by().starts_with("binpack@"));
    assert!(bench.ordered(Unpin).starts_with("binpack@"));
    assert_eq!(bench.host.status().pinned, None);
    bench.drop_in(THIRD, "third.wasm");
    bench.until("third");
}

#[test]
fn a_pin_holds_over_a_restart_and_the_loss_of_its_file() {
    let mut bench = Bench::new(&[BALANCED, BINPACK]);
    bench.answered_by();
    bench.order(Activate("binpack".into())).unwrap();
    let digest = bench.host.status().policies[0].digest.clone();
    std::fs::remove_file(bench.file("binpack.wasm")).unwrap();
    // No round has run since, so all that the master saved of the choice is the one before.
    let mut bench = bench.restart_after(|_| {});
    assert_eq!(bench.answered_by(), format!("binpack@{digest}"));
    // Unpinned, the rule is the folder's again, and its file is gone.
    assert!(bench.ordered(Unpin).starts_with("balanced@"));
}

#[test]
fn a_pinned_policy_whose_file_is_removed_rules_on() {
    let mut bench = Bench::new(&[BALANCED, BINPACK]);
    bench.ordered(Activate("binpack".into()));
    std::fs::remove_file(bench.file("binpack.wasm")).unwrap();
    assert!(
        bench
            .rounds_for(Duration::from_millis(600))
            .starts_with("binpack@")
    );
}

#[test]
fn a_digest_s_first_digits_are_enough_and_must_mean_one_policy() {
    let mut bench = Bench::new(&[
        BALANCED,
        BINPACK,
        ("policies/bundled/binpack.wasm", "copy.wasm"),
    ]);
    bench.answered_by();
    let digest = bench.until_state("binpack", "ready").digest;
    bench.until_state("copy", "ready");
    let error = bench.order(Activate(digest[..6].into())).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains(&format!("binpack@{digest}")) && text.contains(&format!("copy@{digest}")),
        "{text}"
    );
    std::fs::remove_file(bench.file("copy.wasm")).unwrap();
    let from = Instant::now();
    while bench.status("copy").is_some() {
        assert!(from.elapsed() < SOON);
        bench.round();
    }
    assert!(
        bench
            .ordered(Activate(digest[..6].to_uppercase()))
            .starts_with("binpack@")
    );
    assert_eq!(bench.ordered(Activate("native".into())), "balanced@native");
}

#[test]
fn a_disabled_policy_does_not_rule_until_it_is_enabled() {
    let mut bench = Bench::new(&[BALANCED]);
    bench.drop_in(BINPACK.0, BINPACK.1);
    bench.until("binpack");
    assert!(
        bench
            .ordered(Disable("binpack".into()))
            .starts_with("balanced@")
    );
    assert_eq!(bench.status("binpack").unwrap().state, "disabled");
    let mut bench = bench.restart_after(|_| {});
    assert!(bench.answered_by().starts_with("balanced@"));
    bench.until_state("binpack", "disabled");
    // Nor does another version of it, dropped in.
    bench.drop_in(QUIET.0, BINPACK.1);
    assert!(
        bench
            .rounds_for(Duration::from_millis(600))
            .starts_with("balanced@")
    );
    let error = bench.order(Activate("binpack".into())).unwrap_err();
    assert!(
        error.to_string().contains("policies enable binpack"),
        "{error}"
    );
    bench.order(Enable("binpack".into())).unwrap();
    bench.until_state("binpack", "ready");
    assert!(
        bench
            .ordered(Activate("binpack".into()))
            .starts_with("binpack@")
    );
}

#[test]
fn rolling_back_leads_through_the_earlier_choices_to_the_built_in_one() {
    let mut bench = Bench::new(&[BALANCED, BINPACK, QUIET]);
    bench.answered_by();
    bench.ordered(Activate("binpack".into()));
    bench.ordered(Activate("quiet".into()));
    assert!(bench.ordered(Rollback).starts_with("binpack@"));
    // What was rolled back from stays away after a restart, and the pin went along.
    let mut bench = bench.restart_after(|_| {});
    assert!(bench.answered_by().starts_with("binpack@"));
    assert!(bench.ordered(Rollback).starts_with("balanced@"));
    assert_eq!(bench.ordered(Rollback), "balanced@native");
    let error = bench.order(Rollback).unwrap_err();
    assert!(matches!(error, CommandError::Conflict(_)), "{error}");
}

#[test]
fn a_policy_that_failed_too_often_gets_another_chance_by_command_only() {
    let mut bench = Bench::new(&[BALANCED]);
    bench.drop_in("tests/hostile/traps_in_plan.wasm", "bad.wasm");
    bench.until_state("bad", "faulted");
    bench.order(Activate("bad".into())).unwrap();
    assert_eq!(bench.status("bad").unwrap().state, "active");
    // It fails again and goes again, pinned or not; the jobs' rounds go on.
    bench.until_state("bad", "faulted");
    assert!(bench.answered_by().starts_with("balanced@"));
}

#[test]
fn in_mode_manual_only_commands_choose() {
    let dirs = tempfile::tempdir().unwrap();
    std::fs::create_dir(dirs.path().join("policies")).unwrap();
    std::fs::copy(
        repository(BALANCED.0),
        dirs.path().join("policies").join(BALANCED.1),
    )
    .unwrap();
    let mut bench = Bench::start_in(dirs, None, Mode::Manual);
    assert!(bench.answered_by().starts_with("balanced@"));
    assert_eq!(bench.host.status().mode, "manual");
    bench.drop_in(BINPACK.0, BINPACK.1);
    bench.until_state("binpack", "ready");
    assert!(bench.answered_by().starts_with("balanced@"));
    assert!(
        bench
            .ordered(Activate("binpack".into()))
            .starts_with("binpack@")
    );
    let error = bench.order(Unpin).unwrap_err();
    assert!(error.to_string().contains("manual"), "{error}");
}

#[test]
fn an_order_that_cannot_be_carried_out_says_why_and_changes_nothing() {
    let mut bench = Bench::new(&[BALANCED]);
    assert!(bench.answered_by().starts_with("balanced@"));
    bench.drop_in("tests/hostile/imports_wasi.wasm", "greedy.wasm");
    bench.until_state("greedy", "refused");
    for (order, why) in [
        (Activate("nobody".into()), "there is no policy \"nobody\""),
        (Activate("../../etc/passwd".into()), "there is no policy"),
        (Activate("greedy".into()), "imports `wasi:cli/environment"),
        (Disable("nobody".into()), "there is no policy \"nobody\""),
        (Enable("nobody".into()), "there is no policy \"nobody\""),
    ] {
        let error = bench.order(order).unwrap_err().to_string();
        assert!(error.contains(why), "{error:?} does not say {why:?}");
    }
    assert!(bench.answered_by().starts_with("balanced@"));
    assert_eq!(bench.host.status().pinned, None);
    // A memory that cannot be written: the order is refused, not half done.
    let accepted = bench.folder().join("accepted");
    std::fs::rename(&accepted, bench.folder().join("away")).unwrap();
    let error = bench.order(Activate("native".into())).unwrap_err();
    assert!(matches!(error, CommandError::NotRemembered(_)), "{error}");
    assert!(!bench.answered_by().ends_with("native"));
}

#[test]
fn an_order_while_rounds_run_loses_none_of_them() {
    let mut bench = Bench::new(&[BALANCED, BINPACK]);
    for turn in 0..20 {
        let name = ["binpack", "balanced"][turn % 2];
        let by = bench.ordered(Activate(name.into()));
        assert!(by.starts_with(name), "{by}");
        for _ in 0..5 {
            let ended = bench.round();
            assert!(matches!(ended.outcome, Outcome::Answer(_)), "{ended:?}");
        }
    }
}

#[test]
fn a_description_holds_every_limit_with_its_reason() {
    let mut bench = Bench::new(&[BALANCED]);
    bench.answered_by();
    let detail = bench.host.describe("balanced").unwrap();
    assert!(detail.policies.iter().any(|p| p.state == "active"));
    let value = |name: &str| detail.limits.iter().find(|l| l.name == name).unwrap();
    // As the bench set it, and as it would be.
    assert_eq!(
        (value("call_cpu_ms").value, value("call_cpu_ms").default),
        (50, 10)
    );
    assert_eq!(value("memory_bytes").value, 64 << 20);
    assert!(detail.limits.iter().all(|l| l.reason.len() > 20));
    assert!(bench.host.describe("nobody").is_none());
}

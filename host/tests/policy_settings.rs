//! `NAME.toml` beside a policy: what it says holds from the next round on, and what cannot hold changes nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // in a test that is how one fails

mod policy_bench;

use std::time::Instant;

use ffrtmp_host::core::round::Outcome;
use policy_bench::{Bench, SOON};

const BALANCED: (&str, &str) = ("policies/balanced.wasm", "balanced.wasm");
/// Takes a short configuration, needs one, and states it as its only reason.
const WANTS: &str = "tests/hostile/wants_a_configuration.wasm";

fn write(bench: &Bench, name: &str, text: &str) {
    let part = bench.folder().join("part");
    std::fs::write(&part, text).unwrap();
    std::fs::rename(part, bench.file(name)).unwrap();
}

/// Runs rounds until one is answered by `name`, with that configuration as its reason.
fn until_configured(bench: &mut Bench, name: &str, config: &str) {
    let from = Instant::now();
    loop {
        let ended = bench.round();
        let answered = matches!(ended.outcome, Outcome::Answer(_));
        if answered && ended.policy.name == name && ended.policy.reasons == [config] {
            return;
        }
        assert!(
            from.elapsed() < SOON,
            "{:?}: {:#?}",
            ended.policy,
            bench.host.status().policies
        );
    }
}

fn last_error(bench: &mut Bench, name: &str, says: &str) {
    let from = Instant::now();
    while !bench
        .status(name)
        .and_then(|status| status.last_error)
        .is_some_and(|error| error.contains(says))
    {
        assert!(from.elapsed() < SOON, "{:#?}", bench.host.status().policies);
        bench.round();
    }
}

/// A bench where `wants` rules with `{"a":1}`.
fn configured() -> Bench {
    let mut bench = Bench::new(&[BALANCED]);
    write(&bench, "wants.toml", "[config]\na = 1\n");
    bench.drop_in(WANTS, "wants.wasm");
    until_configured(&mut bench, "wants", r#"{"a":1}"#);
    let from = Instant::now();
    while bench.chosen.last().is_none_or(|c| c.name != "wants") {
        assert!(from.elapsed() < SOON, "the choice was not told");
        bench.round();
    }
    bench
}

#[test]
fn a_configuration_reaches_the_policy_and_a_change_of_it_does_between_two_rounds() {
    let mut bench = configured();
    let before = bench.host.counters().swaps;
    let tag = bench.round().policy;
    write(&bench, "wants.toml", "[config]\na = 2\n");
    until_configured(&mut bench, "wants", r#"{"a":2}"#);
    let changed = bench.round().policy;
    assert_eq!(tag.digest, changed.digest);
    assert_ne!(tag.config, changed.config, "its ranks would be kept");
    assert_eq!(bench.host.counters().swaps, before, "no other policy rules");
    assert_eq!(bench.status("wants").unwrap().last_error, None);
}

#[test]
fn a_configuration_the_policy_refuses_leaves_the_old_one_ruling_and_is_shown() {
    let mut bench = configured();
    let long = format!("[config]\na = \"{}\"\n", "x".repeat(60));
    write(&bench, "wants.toml", &long);
    last_error(&mut bench, "wants", "I need a short [config]");
    until_configured(&mut bench, "wants", r#"{"a":1}"#);
    assert_eq!(bench.status("wants").unwrap().state, "active");
    write(&bench, "wants.toml", "[config]\na = 3\n");
    until_configured(&mut bench, "wants", r#"{"a":3}"#);
    assert_eq!(bench.status("wants").unwrap().last_error, None);
}

#[test]
fn a_broken_file_leaves_the_old_settings_in_force_and_says_what_is_wrong() {
    let mut bench = configured();
    for (text, says) in [
        ("[config\na = 1", "it is not TOML: line 1"),
        ("[limits]\ncall_cpu = 5\n", "did you mean `call_cpu_ms`?"),
        (
            "[limits]\nmemory_bytes = 1\n",
            "`limits.memory_bytes` is 1; it can be 65536 to 1073741824",
        ),
    ] {
        write(&bench, "wants.toml", text);
        last_error(&mut bench, "wants", says);
        until_configured(&mut bench, "wants", r#"{"a":1}"#);
    }
    std::fs::write(bench.file("wants.toml"), vec![b'#'; 70_000]).unwrap();
    last_error(&mut bench, "wants", "it is 70000 bytes; at most 65536");
    assert_eq!(bench.host.counters().refused_files, 4);
}

#[test]
fn a_restart_beside_a_broken_file_runs_what_ran_before() {
    let bench = configured();
    let mut bench = bench.restart_after(|dir| {
        std::fs::write(dir.join("wants.toml"), "[config\n").unwrap();
    });
    until_configured(&mut bench, "wants", r#"{"a":1}"#);
    last_error(&mut bench, "wants", "it is not TOML");
    write(&bench, "wants.toml", "[config]\nb = 1\n");
    until_configured(&mut bench, "wants", r#"{"b":1}"#);
}

#[test]
fn a_policy_refused_for_want_of_settings_is_taken_once_they_are_there() {
    let mut bench = Bench::new(&[BALANCED]);
    bench.drop_in(WANTS, "wants.wasm");
    let status = bench.until_state("wants", "refused");
    assert!(status.last_error.unwrap().contains("I need a short"));
    write(&bench, "wants.toml", "[config]\na = 1\n");
    until_configured(&mut bench, "wants", r#"{"a":1}"#);
}

#[test]
fn limits_hold_for_their_policy_alone_and_go_back_with_the_file() {
    let mut bench = Bench::new(&[BALANCED]);
    bench.drop_in("tests/hostile/well_behaved.wasm", "quiet.wasm");
    bench.until("quiet");
    let limit = |bench: &Bench, name: &str, limit: &str| {
        let detail = bench.host.describe(name).unwrap();
        let line = detail.limits.into_iter().find(|l| l.name == limit).unwrap();
        (line.value, line.set_by)
    };
    let until = |bench: &mut Bench, name: &str, value: (u64, Option<String>)| {
        let from = Instant::now();
        while limit(bench, name, "log_line_bytes") != value {
            assert!(from.elapsed() < SOON, "{:?}", bench.host.describe(name));
            bench.round();
        }
    };
    write(&bench, "quiet.toml", "[limits]\nlog_line_bytes = 100\n");
    until(&mut bench, "quiet", (100, Some("quiet.toml".into())));
    assert_eq!(limit(&bench, "balanced", "log_line_bytes"), (1_024, None));
    // Below what its memory already is: the policy cannot even be made.
    write(&bench, "quiet.toml", "[limits]\nmemory_bytes = 65536\n");
    last_error(&mut bench, "quiet", "its limit is 65536");
    until(&mut bench, "quiet", (100, Some("quiet.toml".into())));
    std::fs::remove_file(bench.file("quiet.toml")).unwrap();
    until(&mut bench, "quiet", (1_024, None));
    assert!(bench.answered_by().starts_with("quiet"));
}

#[test]
fn a_file_limit_beside_a_policy_keeps_it_out_and_lets_it_in() {
    let mut bench = Bench::new(&[BALANCED]);
    write(&bench, "quiet.toml", "[limits]\nfile_bytes = 1024\n");
    bench.drop_in("tests/hostile/well_behaved.wasm", "quiet.wasm");
    let status = bench.until_state("quiet", "refused");
    assert!(status.last_error.unwrap().contains("at most 1024"));
    write(&bench, "quiet.toml", "");
    bench.until("quiet");
}

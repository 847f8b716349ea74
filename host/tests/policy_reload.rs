//! Files come, change and go while rounds run: the right policy rules, and every round gets its one outcome.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // in a test that is how one fails

mod policy_bench;

use std::time::{Duration, Instant};

use ffrtmp_host::core::round::Outcome;
use policy_bench::{Bench, SOON, repository};

const BALANCED: (&str, &str) = ("policies/balanced.wasm", "balanced.wasm");
const BINPACK: &str = "policies/bundled/binpack.wasm";

#[test]
fn a_dropped_in_file_rules_within_a_second_and_no_round_is_lost() {
    let mut bench = Bench::new(&[BALANCED]);
    assert!(bench.answered_by().starts_with("balanced@"));
    assert!(!bench.answered_by().ends_with("native"));
    bench.drop_in(BINPACK, "binpack.wasm");
    let took = bench.until("binpack");
    assert!(took < Duration::from_secs(2), "{took:?}");
    println!(
        "from the file's appearance to the first round it decided: {took:?}, {} rounds meanwhile",
        bench.next
    );
    assert_eq!(bench.chosen.last().unwrap().name, "binpack");
    assert_eq!(bench.host.status().policies[0].name, "binpack");
    assert_eq!(bench.host.counters().swaps, 1);
}

#[test]
fn removing_the_file_goes_back_to_the_earlier_policy() {
    let mut bench = Bench::new(&[BALANCED]);
    bench.drop_in(BINPACK, "binpack.wasm");
    bench.until("binpack");
    std::fs::remove_file(bench.file("binpack.wasm")).unwrap();
    bench.until("balanced");
    std::fs::remove_file(bench.file("balanced.wasm")).unwrap();
    bench.until("balanced@native");
    // Put back on purpose, it rules again.
    bench.drop_in(BINPACK, "binpack.wasm");
    bench.until("binpack");
}

#[test]
fn a_bad_file_is_refused_and_the_old_policy_rules_on() {
    let mut bench = Bench::new(&[BALANCED]);
    std::fs::write(
        bench.file("broken.wasm"),
        b"\0asm\x0d\0\x01\0 and then nothing",
    )
    .unwrap();
    let status = bench.until_state("broken", "refused");
    assert!(
        status
            .last_error
            .unwrap()
            .contains("is not a WebAssembly component")
    );
    bench.drop_in("tests/hostile/imports_wasi.wasm", "greedy.wasm");
    let status = bench.until_state("greedy", "refused");
    assert!(status.last_error.unwrap().contains("wasi:cli/environment"));
    assert!(bench.answered_by().starts_with("balanced@"));
    // Made good, it is taken.
    bench.drop_in(BINPACK, "broken.wasm");
    bench.until("broken");
}

#[test]
fn a_slowly_written_file_is_taken_when_it_is_whole() {
    use std::io::Write;
    let mut bench = Bench::new(&[BALANCED]);
    let bytes = std::fs::read(repository(BINPACK)).unwrap();
    let mut file = std::fs::File::create(bench.file("binpack.wasm")).unwrap();
    for part in bytes.chunks(bytes.len() / 10) {
        file.write_all(part).unwrap();
        assert!(
            bench
                .rounds_for(Duration::from_millis(60))
                .starts_with("balanced")
        );
    }
    drop(file);
    bench.until("binpack");
    assert_eq!(bench.host.counters().refused_files, 0);
}

#[test]
fn a_policy_that_keeps_failing_loses_its_place_for_good() {
    let mut bench = Bench::new(&[BALANCED]);
    bench.drop_in("tests/hostile/traps_in_plan.wasm", "bad.wasm");
    let from = Instant::now();
    let mut faults = 0;
    while bench.status("bad").is_none_or(|s| s.state != "faulted") {
        if let Outcome::Fault { .. } = bench.round().outcome {
            faults += 1;
        }
        assert!(from.elapsed() < SOON, "{:#?}", bench.host.status().policies);
    }
    assert_eq!(faults, 3);
    assert!(
        !bench
            .rounds_for(Duration::from_millis(100))
            .ends_with("native")
    );
    // The same bytes under another name are the same bytes; so is the file after a restart.
    bench.drop_in("tests/hostile/traps_in_plan.wasm", "again.wasm");
    bench.until_state("again", "faulted");
    let mut bench = bench.restart_after(|_| {});
    assert!(bench.answered_by().starts_with("balanced@"));
    bench.until_state("bad", "faulted");
}

#[test]
fn a_policy_that_fails_now_and_then_is_out_after_five_in_a_minute() {
    let mut bench = Bench::new(&[BALANCED]);
    bench.drop_in("tests/hostile/traps_now_and_then.wasm", "moody.wasm");
    let from = Instant::now();
    let mut faults = 0;
    while bench.status("moody").is_none_or(|s| s.state != "faulted") {
        if let Outcome::Fault { .. } = bench.round().outcome {
            faults += 1;
        }
        assert!(from.elapsed() < SOON, "{:#?}", bench.host.status().policies);
    }
    assert_eq!(faults, 5);
}

#[test]
fn several_files_at_once_choose_nothing() {
    let mut bench = Bench::new(&[BALANCED]);
    bench.drop_in_together(&[
        (BINPACK, "one.wasm"),
        ("tests/hostile/well_behaved.wasm", "two.wasm"),
    ]);
    assert!(
        bench
            .rounds_for(Duration::from_millis(800))
            .starts_with("balanced@")
    );
    bench.until_state("one", "ready");
    bench.until_state("two", "ready");
    assert!(bench.answered_by().starts_with("balanced@"));
}

#[test]
fn the_second_of_two_files_a_second_apart_ends_the_first_one_s_reign() {
    let mut bench = Bench::new(&[BALANCED]);
    bench.drop_in(BINPACK, "one.wasm");
    bench.until("one");
    bench.drop_in("tests/hostile/well_behaved.wasm", "two.wasm");
    bench.until("balanced");
    assert!(
        bench
            .rounds_for(Duration::from_millis(300))
            .starts_with("balanced@")
    );
}

#[test]
fn a_restart_keeps_the_choice_and_takes_nothing_new() {
    let mut bench = Bench::new(&[BALANCED]);
    bench.drop_in(BINPACK, "binpack.wasm");
    bench.until("binpack");
    let digest = bench.chosen.last().unwrap().digest.clone();
    // Overwritten while the master is away: the kept copy rules.
    let mut bench = bench.restart_after(|policies| {
        std::fs::copy(
            repository("tests/hostile/well_behaved.wasm"),
            policies.join("binpack.wasm"),
        )
        .unwrap();
    });
    assert_eq!(bench.answered_by(), format!("binpack@{}", &digest[..12]));
    assert!(
        bench
            .rounds_for(Duration::from_millis(800))
            .ends_with(&digest[..12])
    );
}

#[test]
fn without_a_folder_the_built_in_policy_rules_and_a_folder_that_appears_is_found() {
    let dirs = tempfile::tempdir().unwrap();
    let mut bench = Bench::start(dirs, None);
    assert_eq!(bench.answered_by(), "balanced@native");
    assert_eq!(bench.host.status().policies[0].digest, "native");
    std::fs::create_dir(bench.folder().join("policies")).unwrap();
    bench.drop_in(BINPACK, "binpack.wasm");
    let from = Instant::now();
    while !bench.answered_by().starts_with("binpack") {
        assert!(from.elapsed() < Duration::from_secs(12));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn whatever_else_lies_in_the_folder_does_no_harm() {
    let mut bench = Bench::new(&[BALANCED]);
    std::fs::create_dir(bench.file("folder.wasm")).unwrap();
    std::os::unix::fs::symlink("nowhere", bench.file("dangling.wasm")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        bench.file("fifo.wasm"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    std::fs::write(bench.file("notes.txt"), "hello").unwrap();
    let huge = std::fs::File::create(bench.file("huge.wasm")).unwrap();
    huge.set_len(200 << 20).unwrap();
    drop(huge);
    for name in ["folder", "fifo", "huge"] {
        assert_eq!(bench.until_state(name, "refused").state, "refused");
    }
    assert!(
        bench
            .status("huge")
            .unwrap()
            .last_error
            .unwrap()
            .contains("at most 67108864")
    );
    assert!(bench.status("dangling").is_none());
    assert!(bench.answered_by().starts_with("balanced@"));
}

#[test]
fn a_kubernetes_volume_s_swap_of_links_is_a_change_like_any_other() {
    let dirs = tempfile::tempdir().unwrap();
    let volume = dirs.path().join("policies");
    for (version, source) in [("v1", "policies/balanced.wasm"), ("v2", BINPACK)] {
        std::fs::create_dir_all(volume.join(version)).unwrap();
        std::fs::copy(
            repository(source),
            volume.join(version).join("balanced.wasm"),
        )
        .unwrap();
    }
    std::os::unix::fs::symlink("v1", volume.join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/balanced.wasm", volume.join("balanced.wasm")).unwrap();
    let mut bench = Bench::start(dirs, None);
    let before = bench.answered_by();
    std::os::unix::fs::symlink("v2", volume.join("..data_tmp")).unwrap();
    std::fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    let from = Instant::now();
    while bench.answered_by() == before {
        assert!(from.elapsed() < SOON);
    }
}

#[test]
fn the_metrics_say_who_rules_since_when_and_what_it_costs() {
    let mut bench = Bench::new(&[BALANCED]);
    let registry = prometheus::Registry::new();
    registry.register(bench.host.metrics()).unwrap();
    let exposition = || {
        prometheus::TextEncoder::new()
            .encode_to_string(&registry.gather())
            .unwrap()
    };
    let value = |text: &str, series: &str| -> f64 {
        let line = text.lines().find(|line| line.starts_with(series));
        let line = line.unwrap_or_else(|| panic!("{series} is missing from\n{text}"));
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    };
    bench.answered_by();
    let text = exposition();
    assert!(
        text.contains("ffrtmp_policy_info{digest=\"")
            && text.contains("name=\"balanced\",version=\"0.1.0\"} 1"),
        "{text}"
    );
    for (series, at_least) in [
        ("ffrtmp_policy_rounds_total{policy=\"wasm\"}", 1.0),
        ("ffrtmp_policy_guest_seconds_count{call=\"init\"}", 1.0),
        ("ffrtmp_policy_guest_seconds_count{call=\"sync\"}", 1.0),
        ("ffrtmp_policy_guest_seconds_count{call=\"plan\"}", 1.0),
        ("ffrtmp_policy_guest_seconds_sum{call=\"plan\"}", 1e-9),
        ("ffrtmp_policy_memory_bytes", 65_536.0),
    ] {
        assert!(value(&text, series) >= at_least, "{series} in\n{text}");
    }
    // Zero before anything happened, so that a first one is seen to be one.
    for series in [
        "ffrtmp_policy_swaps_total",
        "ffrtmp_policy_files_refused_total{stage=\"link\"}",
        "ffrtmp_policy_rounds_total{policy=\"native\"}",
        "ffrtmp_policy_guest_seconds_count{call=\"rank\"}",
    ] {
        assert_eq!(value(&text, series), 0.0, "{series}");
    }
    assert!(value(&text, "ffrtmp_policy_good_round_age_seconds") < 5.0);

    bench.drop_in("tests/hostile/imports_wasi.wasm", "greedy.wasm");
    bench.until_state("greedy", "refused");
    bench.drop_in(BINPACK, "binpack.wasm");
    bench.until("binpack");
    let text = exposition();
    assert_eq!(
        text.matches("\nffrtmp_policy_info{").count(),
        1,
        "only who rules has a series:\n{text}"
    );
    assert!(text.contains("name=\"binpack\""), "{text}");
    assert_eq!(value(&text, "ffrtmp_policy_swaps_total"), 1.0);
    assert_eq!(
        value(&text, "ffrtmp_policy_files_refused_total{stage=\"link\"}"),
        1.0
    );
}

#[test]
fn the_list_says_which_language_a_policy_was_written_in() {
    let mut bench = Bench::new(&[BALANCED]);
    bench.answered_by();
    assert_eq!(
        bench.status("balanced").unwrap().language.as_deref(),
        Some("Rust")
    );
    bench.drop_in("tests/hostile/well_behaved.wasm", "quiet.wasm");
    bench.until("quiet");
    assert_eq!(bench.status("quiet").unwrap().language, None);
}

#[test]
fn a_policy_that_hangs_after_a_thousand_rounds_loses_its_place() {
    let mut bench = Bench::new(&[BALANCED]);
    bench.drop_in(
        "tests/hostile/hangs_after_a_thousand_rounds.wasm",
        "late.wasm",
    );
    bench.until("late");
    let from = Instant::now();
    let mut good = 0;
    loop {
        match bench.round().outcome {
            Outcome::Fault { message, .. } => {
                assert!(message.contains("more than"), "{message}");
                break;
            }
            Outcome::Answer(_) => good += 1,
            _ => {}
        }
        assert!(from.elapsed() < SOON * 4, "it answered {good} rounds");
    }
    assert!(good >= 990, "it answered {good} rounds");
    // A fresh instance behaves again, for a while: one fault is no rule.
    assert_eq!(bench.answered_by().split('@').next(), Some("late"));
}

#[test]
fn what_is_no_file_or_cannot_be_read_is_refused_by_name_and_rounds_go_on() {
    use std::os::unix::fs::symlink;
    let mut bench = Bench::new(&[BALANCED]);
    std::fs::create_dir(bench.file("folder.wasm")).unwrap();
    symlink("nowhere", bench.file("dangling.wasm")).unwrap();
    symlink("loop.wasm", bench.file("loop.wasm")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(bench.file("fifo.wasm"))
        .status()
        .unwrap();
    assert!(made.success());
    let huge = std::fs::File::create(bench.file("huge.wasm")).unwrap();
    huge.set_len(200 << 20).unwrap();
    symlink("/dev/zero", bench.file("endless.wasm")).unwrap();
    std::fs::write(bench.file("random.wasm"), [7; 4_096]).unwrap();
    for (name, says) in [
        ("folder", "it is not a regular file"),
        ("fifo", "it is not a regular file"),
        ("endless", "it is not a regular file"),
        (
            "huge",
            "it is 209715200 bytes; at most 67108864 are accepted",
        ),
        ("random", "it does not begin as WebAssembly does"),
    ] {
        let status = bench.until_state(name, "refused");
        let error = status.last_error.unwrap();
        assert!(error.contains(says), "{name}: {error}");
    }
    for name in ["dangling", "loop"] {
        assert!(bench.status(name).is_none(), "{name} is no file");
    }
    assert!(bench.answered_by().starts_with("balanced@"));
    // A link that leads somewhere at last is a file like any other.
    std::fs::copy(repository(BINPACK), bench.file("nowhere")).unwrap();
    bench.until("dangling");
}

#[test]
fn a_file_that_is_never_finished_is_never_taken_and_costs_no_round() {
    let mut bench = Bench::new(&[BALANCED]);
    let bytes = std::fs::read(repository(BINPACK)).unwrap();
    let path = bench.file("restless.wasm");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            use std::io::Write;
            // One writer that keeps the file open: half of it, anew every 10 ms.
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let mut file = std::fs::File::create(&path).unwrap();
                file.write_all(&bytes[..bytes.len() / 2]).unwrap();
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        let name = bench.rounds_for(Duration::from_secs(2));
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(name.starts_with("balanced@"), "{name}");
    });
    bench.drop_in(BINPACK, "restless.wasm");
    bench.until("restless");
}

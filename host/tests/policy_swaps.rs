//! Swaps without end while rounds run: none is lost, nothing leaks, and no round waits long.
//!
//! `FFRTMP_SWAPS` says how many; 1,000 by default, 10,000 in CI.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // in a test that is how one fails

mod policy_bench;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use ffrtmp_host::core::round::{Outcome, Round, Work};
use ffrtmp_host::policy::{Limits, Mode, PolicyCommand, PolicyEvent, PolicyHost, PolicyHostConfig};
use ffrtmp_policy_sdk::Cluster;
use ffrtmp_policy_sdk::sample::Sample;
use policy_bench::{SOON, repository};

/// Bytes the allocator may keep without anything being lost.
const SLACK_BYTES: u64 = 32 << 20;

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kib = line.split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() << 10
}

#[test]
fn ten_thousand_swaps_lose_no_round_and_leak_nothing() {
    let swaps: u64 = std::env::var("FFRTMP_SWAPS").map_or(1_000, |n| n.parse().unwrap());
    let dirs = tempfile::tempdir().unwrap();
    let folder = dirs.path().join("policies");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(
        repository("policies/balanced.wasm"),
        folder.join("balanced.wasm"),
    )
    .unwrap();
    std::fs::copy(
        repository("policies/bundled/binpack.wasm"),
        folder.join("binpack.wasm"),
    )
    .unwrap();
    let config = PolicyHostConfig {
        dir: folder,
        initial: "balanced".into(),
        mode: Mode::Automatic,
        limits: Limits {
            call_cpu: Duration::from_millis(50),
            call_wall: Duration::from_secs(2),
            ..Limits::default()
        },
    };
    let (sender, events) = channel();
    let host = PolicyHost::start(config, None, dirs.path().join("accepted"), move |event| {
        if let PolicyEvent::RoundEnded(ended) = event {
            // A test that has ended listens no more.
            let _ = sender.send(ended);
        }
    })
    .unwrap();
    let (done, swapped) = (AtomicBool::new(false), AtomicU64::new(0));
    let (rounds, longest) = std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            for n in 0..swaps {
                let name = ["binpack", "balanced"][(n % 2) as usize];
                let order = PolicyCommand::Activate(name.into());
                runtime.block_on(host.command(order)).unwrap();
                swapped.store(n + 1, Ordering::Relaxed);
            }
            done.store(true, Ordering::Relaxed);
        });
        let mut sample = Sample::new(7);
        let snapshot = sample.snapshot(100);
        let mut cluster = Cluster::default();
        snapshot.iter().for_each(|change| cluster.apply(change));
        let (mut id, mut reset) = (0, true);
        let (mut answered, mut longest, mut last) = (0u64, Duration::ZERO, Instant::now());
        let mut memory = None;
        while !done.load(Ordering::Relaxed) {
            id += 1;
            let changes = if reset { snapshot.clone() } else { Vec::new() }.into();
            let work = Work::Plan(sample.ask(20, &cluster).into());
            host.submit(Round {
                id,
                reset,
                changes,
                work,
            });
            let ended = events.recv_timeout(SOON).expect("a round was lost");
            assert_eq!(ended.id, id, "a round ended twice, or out of order");
            reset = match ended.outcome {
                Outcome::NeedsReset => true,
                Outcome::Answer(_) => {
                    answered += 1;
                    longest = longest.max(last.elapsed());
                    last = Instant::now();
                    false
                }
                other => panic!("{other:?}"),
            };
            // What is needed once is there by now.
            if memory.is_none() && swapped.load(Ordering::Relaxed) >= swaps / 10 {
                memory = Some(resident());
            }
        }
        let (before, after) = (memory.unwrap(), resident());
        println!("{before} bytes after a tenth of the swaps, {after} after all of them");
        assert!(after < before + SLACK_BYTES, "{before} became {after}");
        (answered, longest)
    });
    assert_eq!(host.counters().swaps, swaps);
    assert!(events.try_recv().is_err(), "a round ended twice");
    println!(
        "{swaps} swaps in {rounds} rounds; the longest gap between two answers was {longest:?}"
    );
    assert!(rounds > swaps, "{rounds} rounds are no load");
    // A bound for a test beside others on a busy machine; the figure is measured on an idle one.
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    host.shutdown();
}

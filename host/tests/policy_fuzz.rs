//! Damaged policies through every check there is: taken or refused with a reason, never a panic, a hang or a crash.
//!
//! Real guests and hostile ones are mutated and spliced from a seed, which is printed when something fails;
//! `FFRTMP_FUZZ_SEED` runs that one again. `FFRTMP_FUZZ_SECONDS` says for how long, 5 by default; CI gives it a minute.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // in a test that is how one fails

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fastrand::Rng;
use ffrtmp_host::policy::Limits;
use ffrtmp_host::policy::component::load;
use ffrtmp_host::policy::engine::PolicyEngine;

/// Longer than a damaged guest of these sizes takes to be compiled and tried, on a busy machine.
const HUNG: Duration = Duration::from_secs(20);

fn guests() -> Vec<Vec<u8>> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut paths = vec![
        root.join("policies/balanced.wasm"),
        root.join("policies/bundled/binpack.wasm"),
    ];
    for entry in std::fs::read_dir(root.join("tests/hostile")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "wasm") {
            paths.push(path);
        }
    }
    paths.sort();
    paths.iter().map(|p| std::fs::read(p).unwrap()).collect()
}

fn mutate(rng: &mut Rng, guests: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = rng.choice(guests).unwrap().clone();
    for _ in 0..rng.usize(1..6) {
        if bytes.is_empty() {
            return bytes;
        }
        let at = rng.usize(..bytes.len());
        let end = (at + rng.usize(1..64)).min(bytes.len());
        match rng.u32(..10) {
            0..=3 => bytes[at] = rng.u8(..),
            4 => bytes[at] ^= 1 << rng.u32(..8),
            // What a length says and what is there part ways.
            5 => bytes[at] = [0x00, 0x7f, 0x80, 0xff, 0x01][rng.usize(..5)],
            6 => drop(bytes.drain(at..end)),
            7 => {
                let part = bytes[at..end].to_vec();
                let to = rng.usize(..bytes.len());
                bytes.splice(to..to, part);
            }
            8 => {
                let other = rng.choice(guests).unwrap();
                let from = rng.usize(..other.len());
                let part = &other[from..(from + rng.usize(1..512)).min(other.len())];
                bytes.splice(at..end, part.iter().copied());
            }
            _ => bytes.truncate(at),
        }
    }
    bytes
}

#[test]
fn a_damaged_policy_is_refused_or_harmless() {
    let guests = guests();
    let engine = PolicyEngine::new().unwrap();
    let limits = Limits {
        init_cpu: Duration::from_millis(50),
        init_wall: Duration::from_millis(500),
        ..Limits::default()
    };
    let one = |seed: u64| {
        let bytes = mutate(&mut Rng::with_seed(seed), &guests);
        let from = Instant::now();
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
            load(&engine, "damaged", &bytes, &limits).map_err(|refusal| refusal.to_string())
        }));
        let took = from.elapsed();
        let again = format!("run again with FFRTMP_FUZZ_SEED={seed}");
        let outcome = outcome.unwrap_or_else(|_| panic!("a check panicked: {again}"));
        assert!(took < HUNG, "it took {took:?}: {again}");
        if let Err(refusal) = &outcome {
            assert!(refusal.len() > 10, "{refusal:?} says nothing: {again}");
        }
        outcome.is_ok()
    };
    if let Ok(seed) = std::env::var("FFRTMP_FUZZ_SEED") {
        one(seed.parse().unwrap());
        return;
    }
    let seconds = std::env::var("FFRTMP_FUZZ_SECONDS").map_or(5, |n| n.parse().unwrap());
    let until = Instant::now() + Duration::from_secs(seconds);
    let (mut taken, mut refused) = (0u32, 0u32);
    let mut seed = std::env::var("FFRTMP_FUZZ_FROM").map_or(0, |n| n.parse().unwrap());
    while Instant::now() < until {
        match one(seed) {
            true => taken += 1,
            false => refused += 1,
        }
        seed += 1;
    }
    println!("{taken} taken, {refused} refused");
    // Otherwise the mutations reach nothing, or everything is waved through.
    assert!(taken > 0 && refused > 0, "{taken} taken, {refused} refused");
}

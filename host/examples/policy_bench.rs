//! What policies cost: a call, a round in wasm against the same round natively, a new instance, a compilation, a start from
//! kept machine code, a hung call.
//!
//! `cargo run --release -p ffrtmp-host --example policy_bench [FILE.wasm...]`, from the repository's root. Medians and 99th
//! percentiles. Of the files named (a policy in JavaScript or Python, say) it tells how long they take from kept machine code.

use std::time::{Duration, Instant};

use anyhow::Context;
use ffrtmp_host::policy::Limits;
use ffrtmp_host::policy::component::load;
use ffrtmp_host::policy::engine::PolicyEngine;
use ffrtmp_policy_balanced::Balanced;
use ffrtmp_policy_sdk::sample::Sample;
use ffrtmp_policy_sdk::{Answer, Ask, Cluster, Instance, Resources};

fn main() -> anyhow::Result<()> {
    let engine = PolicyEngine::new().map_err(|e| anyhow::anyhow!("{e:#}"))?;
    // Time is what is measured here, so it is not bounded; `hung` has the true limits.
    let hung_limits = Limits::default();
    let limits = Limits {
        call_cpu: Duration::from_secs(5),
        call_wall: Duration::from_secs(9),
        ..Limits::default()
    };
    let balanced = std::fs::read("policies/balanced.wasm")?;
    let good = std::fs::read("tests/hostile/well_behaved.wasm")?;
    let hung = std::fs::read("tests/hostile/loops_in_plan.wasm")?;

    let compile = measure(20, || {
        load(&engine, "balanced", &balanced, &limits).map(|_| ())
    });
    println!(
        "check a file of {} KiB, from bytes to ready        {compile}",
        balanced.len() / 1024
    );
    kept(&engine, "balanced (Rust)", &balanced)?;
    for path in std::env::args().skip(1) {
        let bytes = std::fs::read(&path).with_context(|| format!("{path} cannot be read"))?;
        kept(&engine, &path, &bytes)?;
    }
    let (_, mut empty) = load(&engine, "empty", &good, &limits)?;
    println!(
        "an empty plan                                      {}",
        measure(20_000, || empty.plan(&Ask::default()))
    );
    println!(
        "an empty sync and an empty plan                    {}",
        measure(20_000, || {
            empty.sync(true, Vec::new())?;
            empty.plan(&Ask::default())
        })
    );

    for (workers, candidates) in [
        (10, 10),
        (100, 100),
        (1_000, 100),
        (1_000, 1_000),
        (10_000, 1_000),
    ] {
        for roomy in [true, false] {
            let mut sample = Sample::new(1);
            let mut snapshot = sample.snapshot(workers);
            if roomy {
                for change in &mut snapshot {
                    if let ffrtmp_policy_sdk::Change::WorkerUp(worker) = change {
                        worker.slots_used = 0;
                        worker.reserved = Resources::default();
                        worker.gpus.iter_mut().for_each(|gpu| gpu.sessions_used = 0);
                    }
                }
            }
            let mut cluster = Cluster::default();
            snapshot.iter().for_each(|change| cluster.apply(change));
            let ask = sample.ask(candidates, &cluster);
            let mut native = Instance::<Balanced>::new("").map_err(|e| anyhow::anyhow!(e))?;
            native.sync(true, 1, &snapshot);
            let (_, mut wasm) = load(&engine, "balanced", &balanced, &limits)?;
            wasm.sync(true, &snapshot)?;
            // What reaches the guest and back, without its thoughts.
            empty.sync(true, Vec::new())?;
            let carried = measure(200, || empty.plan(&ask));
            let native_time = measure(200, || Ok::<Answer, std::fmt::Error>(native.plan(&ask)));
            let wasm_time = measure(200, || wasm.plan(&ask));
            let placed = wasm.plan(&ask)?.placements.len();
            println!(
                "{candidates:>5} jobs x {workers:>5} workers, {} ({placed:>4} placed): wasm {wasm_time}, native {native_time}, ratio {:.2}, \
                 of it carrying {carried}",
                if roomy { "empty" } else { "busy " },
                wasm_time.median.as_secs_f64() / native_time.median.as_secs_f64(),
            );
            let full = measure(20, || wasm.sync(true, &snapshot));
            println!("      a full sync of {workers} workers (with the host's copy) {full}");
        }
    }

    let stopped = measure(20, || {
        let (_, mut instance) = load(&engine, "hung", &hung, &hung_limits)?;
        let from = Instant::now();
        let fault = instance.plan(&Sample::new(1).ask(1, &Cluster::default()));
        HUNG.with(|h| h.borrow_mut().push(from.elapsed()));
        assert!(fault.is_err());
        anyhow::Ok(())
    });
    let mut hung = HUNG.take();
    hung.sort();
    println!(
        "a hung call, from call to fault: p50 {:?}, worst {:?} (with loading {stopped})",
        hung[hung.len() / 2],
        hung[hung.len() - 1]
    );
    Ok(())
}

/// How long it takes from kept machine code to a component that can be instantiated: the digest and the loading.
fn kept(engine: &PolicyEngine, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
    let from = Instant::now();
    let artefact = engine
        .wasmtime()
        .precompile_component(bytes)
        .map_err(|e| anyhow::anyhow!("{e:#}"))?;
    let compiled = from.elapsed();
    let times = measure(50, || {
        ffrtmp_host::policy::component::digest(&artefact);
        // SAFETY: it was made two statements ago by the same engine.
        unsafe { wasmtime::component::Component::deserialize(engine.wasmtime(), &artefact) }
            .map(|_| ())
    });
    println!(
        "{name}, {} KiB: compiled in {compiled:.2?}; from {} KiB of kept machine code {times}",
        bytes.len() / 1024,
        artefact.len() / 1024
    );
    Ok(())
}

thread_local! {
    static HUNG: std::cell::RefCell<Vec<Duration>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// How long something takes.
struct Times {
    median: Duration,
    p99: Duration,
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "p50 {:.2?} p99 {:.2?}", self.median, self.p99)
    }
}

fn measure<R, E: std::fmt::Display>(times: usize, mut f: impl FnMut() -> Result<R, E>) -> Times {
    let mut took: Vec<Duration> = (0..times)
        .map(|_| {
            let from = Instant::now();
            if let Err(error) = f() {
                println!("failed: {error}");
            }
            from.elapsed()
        })
        .collect();
    took.sort();
    Times {
        median: took[times / 2],
        p99: took[times * 99 / 100],
    }
}

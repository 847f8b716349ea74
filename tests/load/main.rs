//! A load generator: how long from submit to spawn, and how many submits a second are made durable. Run it against a
//! master that does nothing else:
//!
//! ```text
//! cargo run --release -p ffrtmp --example load -- http://127.0.0.1:8080 latency 1000     # needs an idle worker
//! cargo run --release -p ffrtmp --example load -- http://127.0.0.1:8080 submit 1 64 10    # jobs a request, connections, seconds
//! ```
//!
//! It shares the machine with what it measures, so its figures are lower bounds.

#![allow(clippy::unwrap_used, clippy::panic)] // a tool for developers: it stops at the first thing that is wrong

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use ffrtmp_api::{
    client::Client,
    ids::JobRef,
    job::{JobSpec, JobState},
    rest::{SubmitBatch, SubmitItem},
};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        [url, "latency", jobs] => latency(url, jobs.parse().unwrap()),
        [url, "submit", batch, connections, seconds] => {
            submit(
                url,
                batch.parse().unwrap(),
                connections.parse().unwrap(),
                seconds.parse().unwrap(),
            );
        }
        _ => panic!(
            "usage: load URL latency JOBS | load URL submit JOBS_A_REQUEST CONNECTIONS SECONDS"
        ),
    }
}

fn client(url: &str) -> Client {
    Client::new(url, std::env::var("FFRTMP_TOKEN").ok()).unwrap()
}

/// `jobs submit --duration 0.2`, one after the other, each on an idle cluster; from the master's own records.
fn latency(url: &str, jobs: usize) {
    let client = client(url);
    let spec = JobSpec {
        duration_seconds: Some(0.2),
        ..JobSpec::default()
    };
    let mut delays_ms: Vec<i64> = (0..jobs)
        .map(|_| {
            let id = client.submit(&spec).unwrap().id;
            let job = client
                .watch(JobRef::Seq(id))
                .map(Result::unwrap)
                .last()
                .unwrap();
            assert_eq!(job.state, JobState::Completed, "{job:#?}");
            job.started_at_ms.unwrap() - job.submitted_at_ms
        })
        .collect();
    delays_ms.sort_unstable();
    let at = |share: f64| delays_ms[((delays_ms.len() - 1) as f64 * share) as usize];
    println!(
        "submit to spawn, {jobs} jobs: p50 {} ms, p99 {} ms, max {} ms",
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

/// Submits as fast as the master acknowledges.
fn submit(url: &str, batch: usize, connections: usize, seconds: u64) {
    let stop = Arc::new(AtomicBool::new(false));
    let acknowledged = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let threads: Vec<_> = (0..connections)
        .map(|_| {
            let (client, stop, acknowledged) = (client(url), stop.clone(), acknowledged.clone());
            std::thread::spawn(move || {
                let spec = JobSpec::default();
                let jobs = SubmitBatch {
                    jobs: vec![spec.clone(); batch],
                };
                while !stop.load(Ordering::Relaxed) {
                    let accepted = if batch == 1 {
                        client.submit(&spec).map(|_| 1).unwrap()
                    } else {
                        let items = client.submit_batch(&jobs).unwrap().items;
                        items
                            .iter()
                            .filter(|item| matches!(item, SubmitItem::Accepted(_)))
                            .count() as u64
                    };
                    acknowledged.fetch_add(accepted, Ordering::Relaxed);
                }
            })
        })
        .collect();
    std::thread::sleep(Duration::from_secs(seconds));
    stop.store(true, Ordering::Relaxed);
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    let rate = acknowledged.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64();
    println!("durable submits, {batch} a request on {connections} connections: {rate:.0} jobs/s");
}

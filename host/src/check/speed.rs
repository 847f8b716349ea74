//! How long a policy's rounds take, and how much memory it has after them.

use std::time::Duration;

use ffrtmp_policy_sdk::{Change, Cluster, JobOn, sample::Sample};

use super::{Examination, Finding, Item, Subject};
use crate::policy::{engine::thread_cpu, instance::Fault};

/// Workers of the clusters it is tried on.
const WORKERS: [u32; 2] = [100, 1_000];
/// Candidates of a round: the most the master asks about.
const CANDIDATES: u32 = 1_000;
/// Rounds on each cluster.
const ROUNDS: usize = 60;

/// Measures, and judges.
pub(super) fn look(subject: &Subject<'_>, found: &mut Examination) {
    let budget = subject.limits.call_cpu;
    let mut worst = Finding::Pass;
    let mut said = Vec::new();
    let mut memory = 0;
    for workers in WORKERS {
        let (finding, message) = match measure(subject, workers) {
            Ok((times, bytes)) => {
                memory = memory.max(bytes);
                let (p50, p99, max) = (at(&times, 50), at(&times, 99), at(&times, 100));
                let finding = match p99 {
                    p99 if p99 >= budget => Finding::Fail,
                    p99 if p99 * 2 >= budget => Finding::Warn,
                    _ => Finding::Pass,
                };
                let message = format!(
                    "{workers} workers: half of the rounds {}, 99 % {}, all {}",
                    ms(p50),
                    ms(p99),
                    ms(max)
                );
                (finding, message)
            }
            Err(fault) => (Finding::Fail, format!("{workers} workers: {fault}")),
        };
        if worst == Finding::Pass || finding == Finding::Fail {
            worst = finding;
        }
        said.push(message);
    }
    let message = format!(
        "{}; the budget is {} for a round of {CANDIDATES} jobs",
        said.join("; "),
        ms(budget)
    );
    found.say(Item::Time, worst, message);
    if memory == 0 {
        return;
    }
    let most = subject.limits.memory_bytes;
    let finding = match memory {
        // Beyond it, it would have faulted.
        memory if memory * 2 > most => Finding::Warn,
        _ => Finding::Pass,
    };
    let mib = |bytes: usize| format!("{:.1} MiB", bytes as f64 / 1_048_576.0);
    let message = format!("{} of {} after that", mib(memory), mib(most));
    found.say(Item::Memory, finding, message);
}

/// The times of rounds on a cluster of that size, sorted, and memory after them. CPU time of this thread: what the guest
/// used and what passing the question cost.
fn measure(subject: &Subject<'_>, workers: u32) -> Result<(Vec<Duration>, usize), Fault> {
    let mut instance = subject.fresh()?;
    let mut sample = Sample::new(subject.seed ^ u64::from(workers));
    let snapshot = sample.snapshot(workers);
    let mut cluster = Cluster::default();
    snapshot.iter().for_each(|change| cluster.apply(change));
    instance.sync(true, snapshot)?;
    let mut times = Vec::with_capacity(ROUNDS);
    let mut on: Vec<JobOn> = Vec::new();
    for _ in 0..ROUNDS {
        let ask = sample.ask(CANDIDATES, &cluster);
        let from = thread_cpu();
        let answer = instance.plan(&ask)?;
        times.push(thread_cpu().saturating_sub(from));
        // What was placed starts, and ends before the next round but one: the cluster stays as full as it was.
        let mut news: Vec<Change> = on.drain(..).map(Change::JobEnded).collect();
        for p in &answer.placements {
            let Some(candidate) = ask.candidates.iter().find(|c| c.job == p.job) else {
                continue;
            };
            let started = JobOn {
                job: p.job,
                worker: p.worker,
                gpu: p.gpu,
                group: candidate.group,
                cost: candidate.cost,
            };
            if cluster.worker(p.worker).is_some() {
                on.push(started);
                news.push(Change::JobStarted(started));
            }
        }
        news.iter().for_each(|change| cluster.apply(change));
        instance.sync(false, news)?;
    }
    times.sort_unstable();
    Ok((times, instance.memory_bytes()))
}

/// Nearest rank of sorted times.
fn at(times: &[Duration], percent: usize) -> Duration {
    let rank = (times.len() * percent).div_ceil(100).max(1);
    times.get(rank - 1).copied().unwrap_or_default()
}

fn ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

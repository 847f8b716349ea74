//! `spread`: as few jobs as possible in one place, so that losing it loses little.
//!
//! A place is a worker, or all workers with the same value of a label (`by = "zone"`). A job goes to the place that holds
//! the fewest jobs of those where it fits, there to the worker that holds the fewest, and of those to the one with most room. A job
//! that needs a GPU goes to the least used GPU of that worker. Workers without the label are a place of their own, each.
//! The queue's order is [`ffrtmp_policy_sdk::ageing`].
//!
//! It counts jobs, not what they use: ten small encodes lost are ten customers.

use std::collections::BTreeMap;

use ffrtmp_policy_sdk::{
    Answer, Ask, Cluster, Gpu, Info, JobInfo, Placement, Policy, Rank, Worker, WorkerId, ageing,
    config,
};
use serde::Deserialize;

#[cfg(target_arch = "wasm32")]
ffrtmp_policy_sdk::export!(Spread);

/// What an operator may set.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// The label that names a worker's place; without it every worker is one.
    by: Option<String>,
}

/// The policy.
#[derive(Debug, Clone)]
pub struct Spread {
    by: Option<String>,
}

impl Policy for Spread {
    fn info() -> Info {
        Info {
            name: "spread".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            reasons: vec!["fewest jobs: {} were there before this one".into()],
        }
    }

    fn init(text: &str) -> Result<Self, String> {
        let by = config::read::<Config>(text)?.by;
        if by.as_deref() == Some("") {
            return Err(
                "`by` is empty; it names a label of workers, or is left out to spread over workers"
                    .into(),
            );
        }
        Ok(Spread { by })
    }

    fn rank(&mut self, job: &JobInfo) -> Rank {
        Rank {
            rank: ageing::key(job),
            group: 0,
        }
    }

    fn plan(&mut self, cluster: &mut Cluster, ask: &Ask, answer: &mut Answer) {
        let places = self.places(cluster);
        let mut jobs = vec![0u64; cluster.workers().len()];
        for worker in cluster.workers() {
            if let Some(place) = places.get(&worker.id) {
                jobs[*place] += u64::from(worker.slots_used);
            }
        }
        let mut open_slots = cluster.open_slots();
        for candidate in &ask.candidates {
            let there = |worker: &Worker| places.get(&worker.id).map(|place| jobs[*place]);
            let score = |worker: &Worker, gpu: Option<&Gpu>| {
                let fewer = |count: u64| std::cmp::Reverse(count);
                Some((
                    fewer(there(worker)?),
                    fewer(u64::from(worker.slots_used)),
                    fewer(gpu.map_or(0, |gpu| u64::from(gpu.sessions_used))),
                    worker.free(),
                ))
            };
            let Some((worker, gpu, (before, ..))) = cluster.best_place(ask, candidate, score)
            else {
                if open_slots > 0 {
                    answer.skips.push(candidate.job);
                }
                continue;
            };
            cluster.place(candidate, worker, gpu);
            if let Some(place) = places.get(&worker) {
                jobs[*place] += 1;
            }
            open_slots = open_slots.saturating_sub(1);
            let before = i64::try_from(before.0).unwrap_or(i64::MAX);
            answer.placements.push(Placement {
                job: candidate.job,
                worker,
                gpu,
                score: before.saturating_neg(),
                reason: 0,
                arg: before,
            });
        }
    }
}

impl Spread {
    /// Each worker's place, as a number below the number of workers.
    fn places(&self, cluster: &Cluster) -> BTreeMap<WorkerId, usize> {
        let mut named: BTreeMap<&str, usize> = BTreeMap::new();
        let mut places = BTreeMap::new();
        for worker in cluster.workers() {
            let next = places.len(); // no place has this number yet: there are at most as many as workers
            let label = self.by.as_ref().and_then(|by| {
                let found = worker.labels.iter().find(|(key, _)| key == by)?;
                Some(found.1.as_str())
            });
            let place = label.map_or(next, |value| *named.entry(value).or_insert(next));
            places.insert(worker.id, place);
        }
        places
    }
}

//! `spread`: as few jobs as possible in one place, so that losing it loses little.
//!
//! A job goes to the worker that holds the fewest jobs of those where it fits, and of equal ones to the one with most room;
//! one that needs a GPU to the freest GPU there. With `by = "zone"`, zones come before workers: first the zone that holds
//! the fewest jobs, then the worker in it. Any label of workers will do; those without it are together one zone. The
//! queue's order is [`ffrtmp_policy_sdk::ageing`].
//!
//! It counts jobs, not what they use: ten small encodes lost are ten customers.

use std::collections::{BTreeMap, BTreeSet};

use ffrtmp_policy_sdk::{
    Answer, Ask, Candidate, Change, Cluster, Gpu, Info, JobInfo, Place, Placement, Places, Policy,
    Rank, Scoring, WHOLE, Worker, WorkerId, ageing, config,
};
use serde::Deserialize;

#[cfg(target_arch = "wasm32")]
ffrtmp_policy_sdk::export!(Spread);

/// What an operator may set.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// The label whose value is a worker's zone; without it there is one zone.
    by: Option<String>,
}

/// Why a job went where it did: indexes into the reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
enum Reason {
    Worker,
    Zone,
}

/// The policy.
#[derive(Debug, Clone)]
pub struct Spread {
    by: Option<String>,
    /// A view of each zone, so that one can be searched without the others.
    zones: Vec<Zone>,
    by_name: BTreeMap<String, usize>,
    /// The zone of each worker.
    homes: BTreeMap<WorkerId, usize>,
}

/// The workers of one zone.
#[derive(Debug, Clone)]
struct Zone {
    cluster: Cluster,
    places: Places,
}

impl Policy for Spread {
    fn info() -> Info {
        Info {
            name: "spread".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            reasons: vec![
                "of the workers with room, this one had the fewest jobs: {}".into(),
                "of the zones with room, this one had the fewest jobs: {}".into(),
            ],
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
        Ok(Spread {
            by,
            zones: Vec::new(),
            by_name: BTreeMap::new(),
            homes: BTreeMap::new(),
        })
    }

    fn rank(&mut self, job: &JobInfo) -> Rank {
        Rank {
            rank: ageing::key(job),
            group: 0,
        }
    }

    fn observe(&mut self, change: &Change) {
        let worker = match change {
            Change::WorkerUp(worker) => {
                self.settle(worker);
                worker.id
            }
            Change::WorkerGone(worker)
            | Change::WorkerAccepting { worker, .. }
            | Change::WorkerLoad { worker, .. }
            | Change::WorkerTags { worker, .. }
            | Change::GpuLoad { worker, .. } => *worker,
            Change::JobStarted(on) | Change::JobEnded(on) | Change::JobRegrouped(on) => on.worker,
        };
        if let Some(zone) = self.homes.get(&worker) {
            self.zones[*zone].cluster.apply(change);
        }
        if matches!(change, Change::WorkerGone(_)) {
            self.homes.remove(&worker);
        }
    }

    fn reset(&mut self) {
        self.zones.clear();
        self.by_name.clear();
        self.homes.clear();
    }

    fn plan(&mut self, cluster: &mut Cluster, ask: &Ask, answer: &mut Answer) {
        let mut open_slots = cluster.open_slots();
        // The zone with the fewest jobs first.
        let mut order: BTreeSet<(u64, usize)> = BTreeSet::new();
        for (i, zone) in self.zones.iter_mut().enumerate() {
            zone.places.update(&zone.cluster);
            let jobs = zone.cluster.workers().iter();
            order.insert((jobs.map(|w| u64::from(w.slots_used)).sum(), i));
        }
        for candidate in &ask.candidates {
            let found = order.iter().find_map(|(jobs, i)| {
                let place = self.zones[*i].places.best(ask, candidate)?;
                Some((*jobs, *i, place))
            });
            let Some((jobs, i, place)) = found else {
                if open_slots > 0 {
                    answer.skips.push(candidate.job);
                }
                continue;
            };
            answer.placements.push(self.take(i, jobs, candidate, place));
            order.remove(&(jobs, i));
            order.insert((jobs + 1, i));
            open_slots = open_slots.saturating_sub(1);
        }
        self.zones.iter_mut().for_each(|zone| zone.cluster.undo());
    }
}

impl Spread {
    /// Finds the zone of a worker that appeared, or moved.
    fn settle(&mut self, worker: &Worker) {
        let label = self.by.as_ref().and_then(|by| {
            let found = worker.labels.iter().find(|(key, _)| key == by)?;
            Some(found.1.as_str())
        });
        let name = label.unwrap_or_default();
        let zone = match self.by_name.get(name) {
            Some(zone) => *zone,
            None => {
                self.by_name.insert(name.to_owned(), self.zones.len());
                self.zones.push(Zone {
                    cluster: Cluster::default(),
                    places: Places::new(Scoring::AsGiven, fewest),
                });
                self.zones.len() - 1
            }
        };
        if let Some(before) = self.homes.insert(worker.id, zone)
            && before != zone
        {
            self.zones[before]
                .cluster
                .apply(&Change::WorkerGone(worker.id));
        }
    }

    /// Takes a place in a zone that held so many jobs.
    fn take(&mut self, zone: usize, jobs: u64, candidate: &Candidate, place: Place) -> Placement {
        let Zone { cluster, places } = &mut self.zones[zone];
        let there = cluster.worker(place.worker).map_or(0, |w| w.slots_used);
        places.take(cluster, candidate, place);
        let (reason, before) = match self.by {
            Some(_) => (Reason::Zone, i64::try_from(jobs).unwrap_or(i64::MAX)),
            None => (Reason::Worker, i64::from(there)),
        };
        Placement {
            job: candidate.job,
            worker: place.worker,
            gpu: place.gpu,
            score: before.saturating_neg(),
            reason: reason as u32,
            arg: before,
        }
    }
}

/// The fewest jobs, then the most room. Beyond 900 jobs on one worker they count alike.
fn fewest(worker: &Worker, gpu: Option<&Gpu>) -> i32 {
    let room = gpu.map_or_else(|| worker.free(), Gpu::free);
    room - worker.slots_used.min(900) as i32 * WHOLE
}

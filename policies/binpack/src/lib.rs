//! `binpack`: fills the fullest worker that still fits before it touches an emptier one, so that whole workers stay free
//! for large jobs or can be switched off.
//!
//! The queue's order is [`ffrtmp_policy_sdk::ageing`]'s; what differs is where a job goes. Jobs that need no GPU
//! stay off GPU workers while others have room; a job that needs one goes to the GPU with the most sessions taken.
//! Measured load is ignored: packing by it would chase its own tail.

use ffrtmp_policy_sdk::{
    Answer, Ask, Cluster, Gpu, Info, JobInfo, Placement, Places, Policy, Rank, Scoring, WHOLE,
    Worker, ageing,
};

#[cfg(target_arch = "wasm32")]
ffrtmp_policy_sdk::export!(Binpack);

/// The policy.
#[derive(Debug, Clone)]
pub struct Binpack {
    places: Places,
}

/// Added to the score of workers without a GPU, so that any of them with room goes before all with one.
const PLAIN: i32 = 4 * WHOLE;

/// Why a job went where it did: indexes into the reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
enum Reason {
    Fullest,
    OpenedEmpty,
    FullestGpu,
}

impl Policy for Binpack {
    fn info() -> Info {
        Info {
            name: "binpack".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            reasons: vec![
                "fullest worker with room: {} % of it was already reserved".into(),
                "no busy worker had room, so an empty one was opened".into(),
                "fullest GPU with a free session: {} % of it was already reserved".into(),
            ],
        }
    }

    fn init(_config: &str) -> Result<Self, String> {
        Ok(Binpack {
            places: Places::new(Scoring::AsGiven, fullness),
        })
    }

    fn rank(&mut self, job: &JobInfo) -> Rank {
        Rank {
            rank: ageing::key(job),
            group: 0,
        }
    }

    fn plan(&mut self, cluster: &mut Cluster, ask: &Ask, answer: &mut Answer) {
        self.places.update(cluster);
        let mut open_slots = cluster.open_slots();
        for candidate in &ask.candidates {
            let Some(place) = self.places.best(ask, candidate) else {
                // Smaller jobs behind this one may still fit somewhere, as long as anything is open at all.
                if open_slots > 0 {
                    answer.skips.push(candidate.job);
                }
                continue;
            };
            self.places.take(cluster, candidate, place);
            open_slots = open_slots.saturating_sub(1);
            let used = if place.score > 2 * WHOLE {
                place.score - PLAIN
            } else {
                place.score
            };
            let reason = match (place.gpu, used) {
                (Some(_), _) => Reason::FullestGpu,
                (None, 0) => Reason::OpenedEmpty,
                (None, _) => Reason::Fullest,
            };
            answer.placements.push(Placement {
                job: candidate.job,
                worker: place.worker,
                gpu: place.gpu,
                score: i64::from(used / 1_000),
                reason: reason as u32,
                arg: i64::from(used / 10_000),
            });
        }
    }
}

/// How full a place is.
fn fullness(worker: &Worker, gpu: Option<&Gpu>) -> i32 {
    let used = WHOLE - worker.free_by_reservation();
    match gpu {
        // Of equally full GPUs (to the thousandth) the one on the fuller worker.
        Some(gpu) => (WHOLE - gpu.free_by_reservation()) / 1_000 * 1_000 + used / 1_001,
        None => used + if worker.gpus.is_empty() { PLAIN } else { 0 },
    }
}

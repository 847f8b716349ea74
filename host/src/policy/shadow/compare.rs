//! Two answers to one question, side by side: what was carried out, and what a candidate said.

use std::collections::{BTreeMap, BTreeSet};

use ffrtmp_policy_sdk::{Answer, Ask, Class, Cluster, JobId, Placement, WorkerId};

use crate::core::round::Decision;

/// Counts over questions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Compared {
    /// Jobs that both placed on the same worker.
    pub(super) same_node: u64,
    /// Jobs that both placed, on different ones.
    pub(super) other_node: u64,
    /// Jobs that were placed and that the candidate would have let wait.
    pub(super) would_wait: u64,
    /// Of those, the ones it would have held.
    pub(super) would_hold: u64,
    /// Jobs that waited and that the candidate would have placed.
    pub(super) would_place: u64,
    /// Placements of the candidate's that could not have been carried out.
    pub(super) refused: u64,
}

impl Compared {
    /// Of all jobs that either placed, the share that both placed on the same worker.
    pub(super) fn agreement(&self) -> Option<f64> {
        let all = self.same_node + self.other_node + self.would_wait + self.would_place;
        (all > 0).then(|| self.same_node as f64 / all as f64)
    }

    /// Adds the counts of another comparison.
    pub(super) fn add(&mut self, other: &Compared) {
        self.same_node += other.same_node;
        self.other_node += other.other_node;
        self.would_wait += other.would_wait;
        self.would_hold += other.would_hold;
        self.would_place += other.would_place;
        self.refused += other.refused;
    }
}

/// Compares what was carried out of `decision` with `answer`, a candidate's to the same question, on the cluster as it was.
pub(super) fn compare(
    decision: &Decision,
    ask: &Ask,
    answer: &Answer,
    cluster: &mut Cluster,
) -> Compared {
    let placed = decision.answer.placements.iter().zip(&decision.refused);
    let theirs: BTreeMap<JobId, WorkerId> = placed
        .filter(|(_, refused)| refused.is_none())
        .map(|(placement, _)| (placement.job, placement.worker))
        .collect();
    let (ours, refused) = possible(ask, answer, cluster);
    let held: BTreeSet<JobId> = answer.holds.iter().map(|hold| hold.job).collect();
    let mut compared = Compared {
        refused,
        ..Compared::default()
    };
    for (job, worker) in &theirs {
        match ours.get(job) {
            Some(other) if other == worker => compared.same_node += 1,
            Some(_) => compared.other_node += 1,
            None => {
                compared.would_wait += 1;
                compared.would_hold += u64::from(held.contains(job));
            }
        }
    }
    let more = ours.keys().filter(|job| !theirs.contains_key(job));
    compared.would_place = more.count() as u64;
    compared
}

/// The placements of an answer that could be carried out one after the other, and how many could not.
fn possible(ask: &Ask, answer: &Answer, cluster: &mut Cluster) -> (BTreeMap<JobId, WorkerId>, u64) {
    let (mut ours, mut refused) = (BTreeMap::new(), 0);
    for placement in &answer.placements {
        let candidate = ask.candidates.iter().find(|c| c.job == placement.job);
        let candidate = candidate.filter(|c| {
            let class = ask.classes.get(c.class as usize);
            let fits = class.is_some_and(|class| fits(cluster, placement, class, &c.cost));
            fits && !c.excluded.contains(&placement.worker) && !ours.contains_key(&c.job)
        });
        match candidate {
            Some(candidate) => {
                cluster.place(candidate, placement.worker, placement.gpu);
                ours.insert(placement.job, placement.worker);
            }
            None => refused += 1,
        }
    }
    cluster.undo();
    (ours, refused)
}

fn fits(
    cluster: &Cluster,
    placement: &Placement,
    class: &Class,
    cost: &ffrtmp_policy_sdk::Resources,
) -> bool {
    let Some(worker) = cluster.worker(placement.worker) else {
        return false;
    };
    let gpu = || worker.gpus.get(placement.gpu? as usize);
    Cluster::fits(worker, class, cost)
        && (!class.gpu || gpu().is_some_and(|gpu| Cluster::gpu_fits(gpu, cost)))
}

//! What came of a simulation, as values that are printed, written as JSON and drawn.
//!
//! Only what is the same in every run of the same inputs is in the JSON by default; what this machine took for it is apart
//! ([`Measured`]) and only there when asked for.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    ClusterModel, Workload,
    measure::{Fate, Measure, NEVER, Sample},
    ruler::Account,
};
use crate::core::stats::{RoundResult, Stats};

/// The points of [`PolicyReport::wait_curve`], thousandths of the jobs.
const CURVE_PERMILLE: [u32; 24] = [
    0, 50, 100, 150, 200, 250, 300, 350, 400, 450, 500, 550, 600, 650, 700, 750, 800, 850, 900,
    950, 980, 990, 999, 1_000,
];

/// Several policies, each put before the same jobs on the same workers.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// The jobs.
    pub workload: WorkloadFacts,
    /// The workers.
    pub cluster: ClusterFacts,
    /// The label whose value is a job's group.
    pub group_by: String,
    /// In the order in which they were named.
    pub policies: Vec<PolicyReport>,
}

/// A workload in numbers.
#[derive(Debug, Clone, Serialize)]
pub struct WorkloadFacts {
    /// The preset or file.
    pub name: String,
    /// What a preset was made from; none for a file.
    pub seed: Option<u64>,
    /// How many jobs.
    pub jobs: usize,
    /// When the first arrives, milliseconds since 1970.
    pub first_at_ms: i64,
    /// When the last arrives.
    pub last_at_ms: i64,
}

/// A cluster in numbers. What drained workers have is not counted.
#[derive(Debug, Clone, Serialize)]
pub struct ClusterFacts {
    /// The preset or file.
    pub name: String,
    /// How many workers.
    pub workers: usize,
    /// Thousandths of a core.
    pub cpu_millicores: u64,
    /// Jobs at once.
    pub slots: u64,
    /// GPU encode sessions at once.
    pub gpu_sessions: u64,
}

/// How long some jobs waited for their start, milliseconds. Jobs that never started are counted apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Wait {
    /// How many started.
    pub started: u64,
    /// How many never did.
    pub never_started: u64,
    /// Mean of those that did.
    pub mean_ms: u64,
    /// Half of them waited no longer.
    pub p50_ms: u64,
    /// Ninety-nine of a hundred waited no longer.
    pub p99_ms: u64,
    /// None waited longer.
    pub max_ms: u64,
}

/// What this machine took. Differs from run to run.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Measured {
    /// Questions to the policy.
    pub calls: u64,
    /// Time it took to answer all of them, microseconds.
    pub policy_us: u64,
    /// The longest answer, microseconds.
    pub policy_longest_us: u64,
}

/// A policy that lost its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dethroned {
    /// When, milliseconds from the first arrival.
    pub at_ms: u64,
    /// Its last fault.
    pub why: String,
}

/// What one policy made of it. Times are milliseconds; shares are of 1, to four places.
#[derive(Debug, Clone, Serialize)]
pub struct PolicyReport {
    /// Its name.
    pub name: String,
    /// The version it states.
    pub version: String,
    /// First 12 hex digits of its file's SHA-256; `native` for one without a file.
    pub digest: String,
    /// Jobs that ran to their end.
    pub completed: u64,
    /// Jobs the master did not take.
    pub refused_jobs: u64,
    /// From the first arrival to the last end.
    pub makespan_ms: u64,
    /// All jobs' waits.
    pub wait: Wait,
    /// The same by lane.
    pub wait_by_queue: BTreeMap<String, Wait>,
    /// By urgency.
    pub wait_by_priority: BTreeMap<String, Wait>,
    /// By group.
    pub wait_by_group: BTreeMap<String, Wait>,
    /// Of the jobs that started, so many thousandths waited at most so long.
    pub wait_curve: Vec<(u32, u64)>,
    /// CPU reserved until the last end, of all there is.
    pub cpu_utilisation: f64,
    /// GPU encode sessions reserved, likewise; none without a GPU.
    pub gpu_utilisation: Option<f64>,
    /// Workers that ran a job, on average.
    pub workers_busy_mean: f64,
    /// The same at most.
    pub workers_busy_most: u64,
    /// CPU reserved on the busiest worker, of its own, on average.
    pub busiest_worker: f64,
    /// Jobs on the worker that has most, on average.
    pub jobs_on_fullest_mean: f64,
    /// Jain's index of what groups with waiting jobs had; none if there were never two such groups.
    pub fairness: Option<f64>,
    /// Jobs with a deadline.
    pub deadlines: u64,
    /// Those of them that ended after it, or never.
    pub deadline_misses: u64,
    /// Rounds.
    pub rounds: u64,
    /// Placements carried out.
    pub placements: u64,
    /// Placements refused, by reason.
    pub refused_placements: BTreeMap<String, u64>,
    /// Times a job was held on purpose.
    pub holds: u64,
    /// Faults, by stage.
    pub faults: BTreeMap<String, u64>,
    /// Rounds decided by the built-in policy in its place.
    pub fallback_rounds: u64,
    /// The first fault, if there was one.
    pub first_fault: Option<String>,
    /// Whether it failed so often that the built-in policy took over for good.
    pub lost_its_place: Option<Dethroned>,
    /// Most linear memory it had, bytes; 0 for one without a file.
    pub memory_bytes: usize,
    /// Why the simulation was ended before its end, if it was.
    pub stopped: Option<String>,
    /// What was in use over time.
    pub samples: Vec<Sample>,
    /// What this machine took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
}

/// What a report is made of.
pub(super) struct Made<'a> {
    pub workload: &'a Workload,
    pub cluster: &'a ClusterModel,
    pub measure: &'a Measure,
    pub core: &'a Stats,
    pub account: &'a Account,
    pub refused: u64,
    pub stopped: Option<String>,
    /// Name, version, digest.
    pub names: (String, String, String),
}

impl Comparison {
    /// Of these reports.
    pub fn new(
        workload: &Workload,
        seed: Option<u64>,
        cluster: &ClusterModel,
        group_by: &str,
        policies: Vec<PolicyReport>,
    ) -> Comparison {
        Comparison {
            workload: WorkloadFacts {
                name: workload.name.clone(),
                seed,
                jobs: workload.jobs.len(),
                first_at_ms: workload.first_ms(),
                last_at_ms: workload.last_ms(),
            },
            cluster: ClusterFacts {
                name: cluster.name.clone(),
                workers: cluster.workers.len(),
                cpu_millicores: cluster.cpu_millicores(),
                slots: cluster.slots(),
                gpu_sessions: cluster.gpu_sessions(),
            },
            group_by: group_by.to_owned(),
            policies,
        }
    }

    /// Leaves out what this machine took, so that the same inputs give the same bytes.
    pub fn without_measured(mut self) -> Comparison {
        self.policies.iter_mut().for_each(|p| p.measured = None);
        self
    }
}

pub(super) fn make(made: Made<'_>) -> PolicyReport {
    let Made {
        workload,
        cluster,
        measure,
        core,
        account,
        ..
    } = made;
    let (mut by_queue, mut by_priority, mut by_group) = Default::default();
    let mut all = Waits::default();
    let (mut deadlines, mut deadline_misses) = (0, 0);
    for (job, fate) in workload.jobs.iter().zip(&measure.fates) {
        let shape = workload.shape(job);
        let group = &measure.groups[measure.group_of_shape[job.shape as usize] as usize];
        all.add(fate);
        of(&mut by_queue, shape.queue().as_str()).add(fate);
        of(&mut by_priority, shape.priority().as_str()).add(fate);
        of(&mut by_group, group).add(fate);
        if shape.spec.deadline_ms.is_some() {
            deadlines += 1;
            deadline_misses += u64::from(fate.late || !fate.ended);
        }
    }
    let (busiest_worker, jobs_on_fullest) = measure.worst_worker();
    let (workers_busy_mean, workers_busy_most) = measure.workers_busy();
    let count = |result| core.rounds.get(&result).copied().unwrap_or(0);
    let (name, version, digest) = made.names;
    let wait = all.finish();
    PolicyReport {
        name,
        version,
        digest,
        completed: measure.fates.iter().filter(|fate| fate.ended).count() as u64,
        refused_jobs: made.refused,
        makespan_ms: measure.makespan_ms(),
        wait_curve: all.curve(),
        wait,
        wait_by_queue: finish(by_queue),
        wait_by_priority: finish(by_priority),
        wait_by_group: finish(by_group),
        cpu_utilisation: four_places(measure.cpu_utilisation()),
        gpu_utilisation: (cluster.gpu_sessions() > 0)
            .then(|| four_places(measure.gpu_utilisation())),
        workers_busy_mean: four_places(workers_busy_mean),
        workers_busy_most,
        busiest_worker: four_places(busiest_worker),
        jobs_on_fullest_mean: four_places(jobs_on_fullest),
        fairness: measure.fairness().map(four_places),
        deadlines,
        deadline_misses,
        rounds: core.rounds.values().sum(),
        placements: core.placements,
        refused_placements: core
            .refusals
            .iter()
            .map(|(reason, n)| (reason.as_str().to_owned(), *n))
            .collect(),
        holds: core.holds,
        faults: core
            .faults
            .iter()
            .map(|(stage, n)| (stage.as_str().to_owned(), *n))
            .collect(),
        fallback_rounds: count(RoundResult::Error),
        first_fault: account.first_fault.clone(),
        lost_its_place: account
            .dethroned
            .clone()
            .map(|(at_ms, why)| Dethroned { at_ms, why }),
        memory_bytes: account.memory_bytes,
        stopped: made.stopped,
        samples: measure.samples.clone(),
        measured: Some(Measured {
            calls: account.calls,
            policy_us: account.took.as_micros() as u64,
            policy_longest_us: account.longest.as_micros() as u64,
        }),
    }
}

fn four_places(share: f64) -> f64 {
    (share * 10_000.0).round() / 10_000.0
}

fn of<'a>(table: &'a mut BTreeMap<String, Waits>, key: &str) -> &'a mut Waits {
    if !table.contains_key(key) {
        table.insert(key.to_owned(), Waits::default());
    }
    table.entry(key.to_owned()).or_default()
}

fn finish(table: BTreeMap<String, Waits>) -> BTreeMap<String, Wait> {
    table
        .into_iter()
        .map(|(key, mut waits)| (key, waits.finish()))
        .collect()
}

/// Waits before they are sorted.
#[derive(Default)]
struct Waits {
    ms: Vec<u64>,
    never: u64,
}

impl Waits {
    fn add(&mut self, fate: &Fate) {
        match fate.wait_ms {
            NEVER => self.never += 1,
            ms => self.ms.push(ms),
        }
    }

    fn finish(&mut self) -> Wait {
        self.ms.sort_unstable();
        let n = self.ms.len() as u64;
        Wait {
            started: n,
            never_started: self.never,
            mean_ms: self.ms.iter().sum::<u64>().checked_div(n).unwrap_or(0),
            p50_ms: self.at(500),
            p99_ms: self.at(990),
            max_ms: self.at(1_000),
        }
    }

    /// Nearest rank; sorted by now.
    fn at(&self, permille: u32) -> u64 {
        let rank = (self.ms.len() * permille as usize).div_ceil(1_000).max(1);
        self.ms.get(rank - 1).copied().unwrap_or(0)
    }

    fn curve(&self) -> Vec<(u32, u64)> {
        CURVE_PERMILLE.iter().map(|p| (*p, self.at(*p))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let mut waits = Waits {
            ms: (1..=100).rev().collect(),
            never: 3,
        };
        let wait = waits.finish();
        assert_eq!(
            (wait.p50_ms, wait.p99_ms, wait.max_ms, wait.mean_ms),
            (50, 99, 100, 50)
        );
        assert_eq!((wait.started, wait.never_started), (100, 3));
        assert_eq!(Waits::default().finish(), Wait::default());
    }
}

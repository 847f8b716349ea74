//! Who uses what: the books of a policy that weighs groups against each other.
//!
//! A policy that keeps them passes every change it observes to [`Usage::observe`] and every reset to [`Usage::clear`].
//! Kept apart from [`Cluster`](crate::Cluster) because most policies do not need them, and a job a group costs memory.

use std::collections::BTreeMap;

use crate::{Change, Cluster, GroupId, JobId, JobOn, Resources, WorkerId};

/// What running jobs hold, by group.
#[derive(Debug, Clone, Default)]
pub struct Usage {
    jobs: BTreeMap<JobId, JobOn>,
    groups: BTreeMap<GroupId, Amount>,
}

/// What a group's jobs hold together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many they are.
    pub jobs: u64,
    /// CPU, thousandths of a core.
    pub cpu_millicores: u64,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Encode sessions.
    pub gpu_sessions: u64,
}

impl Amount {
    /// What every worker that takes work has, together; `jobs` are slots.
    pub fn whole(cluster: &Cluster) -> Amount {
        let mut whole = Amount::default();
        for worker in cluster.workers().iter().filter(|w| w.accepting) {
            whole.jobs += u64::from(worker.slots);
            whole.cpu_millicores += u64::from(worker.capacity.cpu_millicores);
            whole.memory_mib += u64::from(worker.capacity.memory_mib);
            whole.gpu_sessions += worker
                .gpus
                .iter()
                .map(|gpu| u64::from(gpu.sessions_max))
                .sum::<u64>();
        }
        whole
    }

    /// This amount with one more job of that cost.
    pub fn plus(mut self, cost: &Resources) -> Amount {
        self.jobs += 1;
        self.cpu_millicores += u64::from(cost.cpu_millicores);
        self.memory_mib += u64::from(cost.memory_mib);
        self.gpu_sessions += u64::from(cost.gpu_sessions);
        self
    }

    fn minus(mut self, cost: &Resources) -> Amount {
        self.jobs = self.jobs.saturating_sub(1);
        self.cpu_millicores = self
            .cpu_millicores
            .saturating_sub(u64::from(cost.cpu_millicores));
        self.memory_mib = self.memory_mib.saturating_sub(u64::from(cost.memory_mib));
        self.gpu_sessions = self
            .gpu_sessions
            .saturating_sub(u64::from(cost.gpu_sessions));
        self
    }

    /// The dominant share: of slots, CPU, memory and GPU sessions the one of which it takes most, in millionths of the
    /// whole. Of a thing the whole has none of, nothing is taken.
    pub fn dominant_ppm(&self, whole: &Amount) -> u64 {
        let share = |part: u64, whole: u64| {
            part.saturating_mul(1_000_000)
                .checked_div(whole)
                .unwrap_or(0)
        };
        share(self.jobs, whole.jobs)
            .max(share(self.cpu_millicores, whole.cpu_millicores))
            .max(share(self.memory_mib, whole.memory_mib))
            .max(share(self.gpu_sessions, whole.gpu_sessions))
    }
}

impl Usage {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.jobs.clear();
        self.groups.clear();
    }

    /// Books a change. Saying the same twice books it once.
    pub fn observe(&mut self, change: &Change) {
        match change {
            Change::JobStarted(on) | Change::JobRegrouped(on) => {
                self.remove(on.job);
                self.jobs.insert(on.job, *on);
                let amount = self.groups.entry(on.group).or_default();
                *amount = amount.plus(&on.cost);
            }
            Change::JobEnded(on) => self.remove(on.job),
            // Those that run there are told again.
            Change::WorkerUp(worker) => self.leave(worker.id),
            Change::WorkerGone(worker) => self.leave(*worker),
            _ => {}
        }
    }

    /// What a group holds.
    pub fn of(&self, group: GroupId) -> Amount {
        self.groups.get(&group).copied().unwrap_or_default()
    }

    fn leave(&mut self, worker: WorkerId) {
        let there: Vec<JobId> = self
            .jobs
            .values()
            .filter(|on| on.worker == worker)
            .map(|on| on.job)
            .collect();
        there.into_iter().for_each(|job| self.remove(job));
    }

    fn remove(&mut self, job: JobId) {
        let Some(on) = self.jobs.remove(&job) else {
            return;
        };
        if let Some(amount) = self.groups.get_mut(&on.group) {
            *amount = amount.minus(&on.cost);
            if amount.jobs == 0 {
                self.groups.remove(&on.group);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(job: JobId, group: GroupId) -> JobOn {
        JobOn {
            job,
            worker: 1,
            group,
            cost: Resources {
                cpu_millicores: 500,
                ..Resources::default()
            },
            ..JobOn::default()
        }
    }

    #[test]
    fn a_job_told_twice_is_booked_once_and_leaves_nothing() {
        let mut usage = Usage::default();
        usage.observe(&Change::JobStarted(on(1, 7)));
        usage.observe(&Change::JobStarted(on(1, 7)));
        assert_eq!((usage.of(7).jobs, usage.of(7).cpu_millicores), (1, 500));
        usage.observe(&Change::JobEnded(on(1, 7)));
        assert_eq!(usage.of(7), Amount::default());
    }

    #[test]
    fn a_regrouped_job_is_moved_and_ends_in_its_new_group() {
        let mut usage = Usage::default();
        usage.observe(&Change::JobStarted(on(1, 0)));
        usage.observe(&Change::JobStarted(on(2, 0)));
        usage.observe(&Change::JobRegrouped(on(1, 9)));
        assert_eq!((usage.of(0).jobs, usage.of(9).jobs), (1, 1));
        usage.observe(&Change::JobEnded(on(1, 9)));
        assert_eq!((usage.of(0).jobs, usage.of(9).jobs), (1, 0));
    }

    #[test]
    fn a_worker_that_comes_again_tells_its_jobs_again() {
        let mut usage = Usage::default();
        usage.observe(&Change::JobStarted(on(1, 7)));
        usage.observe(&Change::WorkerUp(crate::Worker {
            id: 1,
            ..Default::default()
        }));
        assert_eq!(usage.of(7), Amount::default());
    }

    #[test]
    fn the_dominant_share_is_the_scarcest_thing_s() {
        let whole = Amount {
            jobs: 10,
            cpu_millicores: 10_000,
            memory_mib: 0,
            gpu_sessions: 2,
        };
        let mut used = Amount::default().plus(&on(1, 1).cost);
        assert_eq!(used.dominant_ppm(&whole), 100_000);
        used.gpu_sessions = 1;
        assert_eq!(used.dominant_ppm(&whole), 500_000);
    }
}

//! A candidate's own view of the cluster, from which a fresh instance of it can be told everything at any time.

use std::collections::BTreeMap;

use ffrtmp_policy_sdk::{Change, Cluster, JobId, JobOn};

/// Workers, and the jobs on them.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) cluster: Cluster,
    jobs: BTreeMap<JobId, JobOn>,
}

impl View {
    /// Forgets everything: a snapshot follows.
    pub(super) fn clear(&mut self) {
        self.cluster.clear();
        self.jobs.clear();
    }

    /// Applies a change.
    pub(super) fn apply(&mut self, change: &Change) {
        self.cluster.apply(change);
        match change {
            Change::JobStarted(on) | Change::JobRegrouped(on) => {
                self.jobs.insert(on.job, *on);
            }
            Change::JobEnded(on) => {
                self.jobs.remove(&on.job);
            }
            Change::WorkerGone(id) => self.jobs.retain(|_, on| on.worker != *id),
            _ => {}
        }
    }

    /// Everything there is, as changes to an empty view: workers without the jobs known here, then those jobs.
    pub(super) fn snapshot(&self) -> Vec<Change> {
        let mut empty = self.cluster.clone();
        for on in self.jobs.values() {
            empty.apply(&Change::JobEnded(*on));
        }
        let workers = empty.workers().iter().cloned().map(Change::WorkerUp);
        workers
            .chain(self.jobs.values().copied().map(Change::JobStarted))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use ffrtmp_policy_sdk::{Resources, sample::Sample};

    use super::*;

    #[test]
    fn a_snapshot_leads_to_the_same_view() {
        let mut sample = Sample::new(3);
        let mut view = View::default();
        for change in sample.snapshot(20) {
            view.apply(&change);
        }
        for job in 1..30 {
            let on = JobOn {
                job,
                worker: job % 20 + 1,
                cost: Resources {
                    cpu_millicores: 100,
                    ..Resources::default()
                },
                ..JobOn::default()
            };
            view.apply(&Change::JobStarted(on));
            if job % 3 == 0 {
                view.apply(&Change::JobEnded(on));
            }
        }
        let mut again = View::default();
        view.snapshot().iter().for_each(|c| again.apply(c));
        assert_eq!(again.cluster.workers(), view.cluster.workers());
        assert_eq!(again.jobs.len(), view.jobs.len());
    }
}

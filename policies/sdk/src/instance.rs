//! A policy at work: its state, its view of the cluster, and the order in which it is asked.
//!
//! The component, the native fallback and the benchmark's twin all run this one piece of code, which is why wasm and
//! native give the same answers.

use crate::{Answer, Ask, Change, Cluster, JobInfo, Policy, Rank};

/// A [`Policy`] with its [`Cluster`].
#[derive(Debug, Clone)]
pub struct Instance<P> {
    policy: P,
    cluster: Cluster,
    /// Of the last sync; `None` before the first.
    seq: Option<u64>,
}

impl<P: Policy> Instance<P> {
    /// A fresh one.
    ///
    /// # Errors
    /// What [`Policy::init`] finds wrong with the configuration.
    pub fn new(config: &str) -> Result<Self, String> {
        Ok(Instance {
            policy: P::init(config)?,
            cluster: Cluster::default(),
            seq: None,
        })
    }

    /// Brings the view up to date.
    ///
    /// # Panics
    /// If changes are missing: then the view is wrong, and a fresh instance, told everything, is better than this one.
    pub fn sync(&mut self, reset: bool, seq: u64, changes: &[Change]) {
        if reset {
            self.cluster.clear();
            self.policy.reset();
        } else {
            assert_eq!(
                self.seq.map(|last| last + 1),
                Some(seq),
                "a sync is missing"
            );
        }
        self.seq = Some(seq);
        for change in changes {
            self.policy.observe(change);
            self.cluster.apply(change);
        }
    }

    /// Ranks jobs.
    pub fn rank(&mut self, jobs: &[JobInfo]) -> Vec<Rank> {
        jobs.iter().map(|job| self.policy.rank(job)).collect()
    }

    /// Ranks a job.
    pub fn rank_one(&mut self, job: &JobInfo) -> Rank {
        self.policy.rank(job)
    }

    /// Decides a round. Capacity taken while deciding is given back: only the next changes say what held.
    pub fn plan(&mut self, ask: &Ask) -> Answer {
        let mut answer = Answer::default();
        self.policy.plan(&mut self.cluster, ask, &mut answer);
        self.cluster.undo();
        answer
    }

    /// The view.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }
}

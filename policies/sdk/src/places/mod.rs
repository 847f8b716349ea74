//! Finds the best of many places for a job, fast: the one loop of a placement policy that is worth engineering.
//!
//! A plan may weigh a thousand candidates against ten thousand workers within 10 ms. Three things make that cheap: the
//! columns a job is compared with lie in blocks of 64 places of about the same size, so that the compiler turns the
//! comparison into vector instructions; each block knows a bound on its best score, which is sharp because its places are
//! alike, so that most blocks are never read; and a requirement that fitted nowhere is remembered, because capacity only
//! shrinks during a plan. Between plans only workers that changed are written again. Ties go to the larger worker, then
//! to the lower id and GPU index: the answer never depends on how the search went.

mod table;

use std::cmp::Reverse;

use crate::{Ask, Candidate, Cluster, Gpu, Resources, Worker, WorkerId};
use table::{Free, Need, Shares, Table};

/// A whole worker, or a whole GPU, in points of score.
pub const WHOLE: i32 = 1_000_000;
/// The score that rules a place out.
pub const NOWHERE: i32 = i32::MIN;
/// Requirements remembered as fitting nowhere. More than a cluster's worth of presets.
const HOPELESS_MAX: usize = 64;

/// What a place's score means once a job is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scoring {
    /// The given score less the job's share of the place (its CPU, memory, slots or sessions, whichever is most, of
    /// [`WHOLE`]): what would be left, if the score says what is free.
    AfterPlacing,
    /// The given score.
    AsGiven,
}

/// How good a worker is for a job that needs no GPU (`None`), or one of its GPUs for one that does, before the job is
/// there. Larger is better. Within a thousand times [`WHOLE`], or [`NOWHERE`].
pub type ScoreOf = fn(&Worker, Option<&Gpu>) -> i32;

/// Where a job could go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The worker.
    pub worker: WorkerId,
    /// Its GPU, for a class that needs one.
    pub gpu: Option<u32>,
    /// Its score.
    pub score: i32,
}

/// Every place of a cluster, ready to be searched.
#[derive(Debug, Clone)]
pub struct Places {
    scoring: Scoring,
    score_of: ScoreOf,
    /// A row for each worker.
    hosts: Table,
    /// A row for each GPU.
    gpus: Table,
    /// Of worker `i` of the cluster.
    rows: Vec<Rows>,
    /// The cluster's shape that the rows are ordered by.
    shape: Option<u64>,
    /// Up to where the cluster's list of changes has been applied.
    seen: u64,
    closed: Vec<WorkerId>,
    hopeless: Vec<(u32, Resources)>,
}

impl Places {
    /// None yet: [`Places::update`] fills it.
    pub fn new(scoring: Scoring, score_of: ScoreOf) -> Self {
        Places {
            scoring,
            score_of,
            hosts: Table::default(),
            gpus: Table::default(),
            rows: Vec::new(),
            seen: 0,
            shape: None,
            closed: Vec::new(),
            hopeless: Vec::new(),
        }
    }

    /// Brings the places up to date with the cluster. Call it first in every plan.
    pub fn update(&mut self, cluster: &Cluster) {
        self.hopeless.clear();
        let closed = std::mem::take(&mut self.closed);
        let changed = cluster.changed_since(self.seen);
        self.seen = cluster.changes_seen();
        if self.shape != Some(cluster.shape()) {
            return self.fill(cluster);
        }
        match changed {
            Some(changed) => closed
                .iter()
                .chain(changed)
                .for_each(|id| self.rewrite(cluster, *id)),
            None => (0..self.rows.len()).for_each(|i| self.rewrite_at(i, &cluster.workers()[i])),
        }
    }

    /// The best place for a candidate, if it fits anywhere it may go.
    pub fn best(&mut self, ask: &Ask, candidate: &Candidate) -> Option<Place> {
        let cost = candidate.cost;
        let known =
            |(class, least): &(u32, Resources)| *class == candidate.class && covers(&cost, least);
        if self.hopeless.iter().any(known) {
            return None;
        }
        let class = ask.classes.get(candidate.class as usize)?;
        let need = Need::of(class, &cost, self.scoring == Scoring::AfterPlacing);
        let table = if class.gpu {
            &mut self.gpus
        } else {
            &mut self.hosts
        };
        let mut found = table.best(&need);
        if found.is_none() && self.hopeless.len() < HOPELESS_MAX {
            self.hopeless.push((candidate.class, cost));
        }
        // Exclusions are few and rare: look again without the excluded row rather than test every row for them.
        let mut hidden = Vec::new();
        while let Some((row, _)) = found
            && candidate.excluded.contains(&table.place(row).0)
        {
            hidden.push((row, table.hide(row)));
            found = table.best(&need);
        }
        for (row, cpu) in hidden {
            table.unhide(row, cpu);
        }
        found.map(|(row, score)| {
            let (worker, gpu) = table.place(row);
            Place { worker, gpu, score }
        })
    }

    /// Places the candidate there, in the cluster and here. Whoever uses [`Places`] places by this, not by
    /// [`Cluster::place`].
    pub fn take(&mut self, cluster: &mut Cluster, candidate: &Candidate, place: Place) {
        cluster.place(candidate, place.worker, place.gpu);
        self.rewrite(cluster, place.worker);
    }

    /// A job was placed on a worker in this plan, but not through this: the worker is read again.
    pub fn placed_elsewhere(&mut self, cluster: &Cluster, worker: WorkerId) {
        self.rewrite(cluster, worker);
    }

    /// Lets nothing more go to a worker until the next [`Places::update`].
    pub fn close(&mut self, cluster: &Cluster, worker: WorkerId) {
        let Some(i) = cluster.index_of(worker) else {
            return;
        };
        self.closed.push(worker);
        let rows = self.rows[i];
        self.hosts.write(rows.host, &Free::NONE);
        for row in rows.gpus() {
            self.gpus.write(row, &Free::NONE);
        }
    }

    fn fill(&mut self, cluster: &Cluster) {
        self.shape = Some(cluster.shape());
        self.hosts.clear();
        self.gpus.clear();
        let workers = cluster.workers();
        let mut order: Vec<usize> = (0..workers.len()).collect();
        // Alike beside alike, so that a block's bound is sharp; the larger first.
        order.sort_by_cached_key(|i| {
            let Worker {
                id,
                slots,
                capacity,
                gpus,
                ..
            } = &workers[*i];
            let size = (capacity.cpu_millicores, *slots, capacity.memory_mib);
            (!gpus.is_empty(), Reverse(size), *id)
        });
        self.rows = vec![Rows::default(); workers.len()];
        for i in order {
            let worker = &workers[i];
            let free = Free::host(worker, (self.score_of)(worker, None));
            let host = self
                .hosts
                .push((worker.id, None), &free, Shares::host(worker));
            let gpus_from = self.gpus.len();
            for (g, gpu) in worker.gpus.iter().enumerate() {
                let free = Free::gpu(worker, gpu, (self.score_of)(worker, Some(gpu)));
                self.gpus
                    .push((worker.id, Some(g as u32)), &free, Shares::gpu(gpu));
            }
            self.rows[i] = Rows {
                host,
                gpus_from,
                gpus_to: self.gpus.len(),
            };
        }
    }

    fn rewrite(&mut self, cluster: &Cluster, id: WorkerId) {
        if let Some(i) = cluster.index_of(id)
            && !self.closed.contains(&id)
        {
            self.rewrite_at(i, &cluster.workers()[i]);
        }
    }

    fn rewrite_at(&mut self, i: usize, worker: &Worker) {
        let rows = self.rows[i];
        self.hosts.write(
            rows.host,
            &Free::host(worker, (self.score_of)(worker, None)),
        );
        for (row, gpu) in rows.gpus().zip(&worker.gpus) {
            let score = (self.score_of)(worker, Some(gpu));
            self.gpus.write(row, &Free::gpu(worker, gpu, score));
        }
    }
}

/// Where a worker's rows are.
#[derive(Debug, Clone, Copy, Default)]
struct Rows {
    host: usize,
    gpus_from: usize,
    gpus_to: usize,
}

impl Rows {
    fn gpus(self) -> std::ops::Range<usize> {
        self.gpus_from..self.gpus_to
    }
}

/// Whether whatever has no room for `least` has none for `cost`.
fn covers(cost: &Resources, least: &Resources) -> bool {
    cost.cpu_millicores >= least.cpu_millicores
        && cost.memory_mib >= least.memory_mib
        && cost.gpu_sessions >= least.gpu_sessions
        && cost.gpu_memory_mib >= least.gpu_memory_mib
}

//! Where a job goes when nothing else matters: to the place with the most room left. What `balanced` does, for every policy
//! that differs in *which* job is next.
//!
//! A job that needs no GPU goes to a worker that has none, as long as one of those has room; a job that needs one goes to
//! the GPU with the most room. Room is what reservations and measurements leave ([`Worker::free`]). A job that has long fitted
//! nowhere because smaller ones keep taking what becomes free gets a worker kept clear for it.

use crate::{
    Answer, Ask, Candidate, Cluster, Gpu, Place, Placement, Places, ScoreOf, Scoring, WHOLE,
    Worker, WorkerId,
};

/// A job that has fitted nowhere for so long gets a worker kept clear for it, so that smaller jobs that come later cannot
/// take every slot as it frees. Long enough that ordinary fragmentation resolves itself first.
pub const KEEP_CLEAR_AFTER_MS: u64 = 5 * 60 * 1000;
/// The same for live jobs, whose viewers are waiting.
pub const KEEP_CLEAR_AFTER_LIVE_MS: u64 = 10 * 1000;
/// Most workers kept clear at once. Each stands partly idle until its job fits.
pub const KEPT_CLEAR_MAX: usize = 8;
/// The reasons its placements name, from index 0: the first of the policy's own [`Info::reasons`](crate::Info::reasons).
pub const REASONS: [&str; 3] = [
    "most room: with this job on it the worker is {} % free by reservation and load",
    "only workers with GPUs had room: with this job on it this one is {} % free by reservation and load",
    "least loaded GPU with a free session: with this job on it {} % free by reservation and load",
];

/// Added to the score of workers without a GPU, so that any of them with room goes before all with one.
const PLAIN: i32 = 4 * WHOLE;

/// Why a job went where it did: indexes into [`REASONS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
enum Reason {
    /// On a worker, of a cluster without GPUs in this job's reach.
    MostRoom,
    /// On a worker with GPUs, none other having room.
    OnlyGpuWorkers,
    /// On a GPU.
    LeastLoadedGpu,
}

/// Places jobs where most room is left.
#[derive(Debug, Clone)]
pub struct MostRoom {
    places: Places,
    /// Workers kept clear, and in which round: the pages of one round share them.
    kept_clear: Vec<WorkerId>,
    round: u64,
    /// Slots that could still be filled; where there are none, nothing behind a job that did not fit will either.
    open_slots: u64,
}

impl Default for MostRoom {
    fn default() -> Self {
        MostRoom::where_allowed(score)
    }
}

impl MostRoom {
    /// The same with places ruled out: `score` is [`score`], or [`NOWHERE`](crate::NOWHERE).
    pub fn where_allowed(score: ScoreOf) -> Self {
        MostRoom {
            places: Places::new(Scoring::AfterPlacing, score),
            kept_clear: Vec::new(),
            round: 0,
            open_slots: 0,
        }
    }

    /// Brings it up to date with the cluster. Call it first in every plan.
    pub fn begin(&mut self, cluster: &Cluster, ask: &Ask) {
        self.places.update(cluster);
        if ask.round != self.round {
            self.round = ask.round;
            self.kept_clear.clear();
        }
        for worker in &self.kept_clear {
            self.places.close(cluster, *worker);
        }
        self.open_slots = cluster.open_slots();
    }

    /// Places a candidate if it fits anywhere, or passes it over as long as others behind it might. Says whether it did
    /// place it.
    pub fn place(
        &mut self,
        cluster: &mut Cluster,
        ask: &Ask,
        candidate: &Candidate,
        answer: &mut Answer,
    ) -> bool {
        let placed = self.place_or_leave(cluster, ask, candidate, answer);
        if !placed {
            self.keep_clear_for(cluster, ask, candidate);
            if self.open_slots > 0 {
                answer.skips.push(candidate.job);
            }
        }
        placed
    }

    /// Places a candidate if it fits anywhere, and says nothing of it if not. Says whether it did place it.
    pub fn place_or_leave(
        &mut self,
        cluster: &mut Cluster,
        ask: &Ask,
        candidate: &Candidate,
        answer: &mut Answer,
    ) -> bool {
        let Some(place) = self.places.best(ask, candidate) else {
            return false;
        };
        self.places.take(cluster, candidate, place);
        self.open_slots = self.open_slots.saturating_sub(1);
        answer.placements.push(explain(ask, candidate, place));
        true
    }

    /// A job was placed on a worker in this plan, but not through this.
    pub fn placed_elsewhere(&mut self, cluster: &Cluster, worker: WorkerId) {
        self.places.placed_elsewhere(cluster, worker);
    }

    /// Keeps the freest worker that could run the job, were it empty, clear for it, if it has waited long enough.
    fn keep_clear_for(&mut self, cluster: &Cluster, ask: &Ask, candidate: &Candidate) {
        let patience = if candidate.queue == 0 {
            KEEP_CLEAR_AFTER_LIVE_MS
        } else {
            KEEP_CLEAR_AFTER_MS
        };
        if candidate.waited_ms < patience || self.kept_clear.len() >= KEPT_CLEAR_MAX {
            return;
        }
        let Some(class) = ask.classes.get(candidate.class as usize) else {
            return;
        };
        let freest = cluster
            .workers()
            .iter()
            .filter(|w| Cluster::could_ever_fit(w, class, &candidate.cost))
            .filter(|w| !candidate.excluded.contains(&w.id) && !self.kept_clear.contains(&w.id))
            .max_by_key(|w| (w.free_by_reservation(), std::cmp::Reverse(w.id)));
        if let Some(worker) = freest {
            self.kept_clear.push(worker.id);
            self.places.close(cluster, worker.id);
        }
    }
}

/// How good a place is before the job is there.
pub fn score(worker: &Worker, gpu: Option<&Gpu>) -> i32 {
    match gpu {
        // Of equally loaded GPUs (to the thousandth) the one on the freer worker.
        Some(gpu) => gpu.free() / 1_000 * 1_000 + worker.free() / 1_001,
        None => worker.free() + if worker.gpus.is_empty() { PLAIN } else { 0 },
    }
}

fn explain(ask: &Ask, candidate: &Candidate, place: Place) -> Placement {
    let needs_gpu = ask
        .classes
        .get(candidate.class as usize)
        .is_some_and(|class| class.gpu);
    let (reason, free) = match (needs_gpu, place.score > 2 * WHOLE) {
        (true, _) => (Reason::LeastLoadedGpu, place.score),
        (false, true) => (Reason::MostRoom, place.score - PLAIN),
        (false, false) => (Reason::OnlyGpuWorkers, place.score),
    };
    Placement {
        job: candidate.job,
        worker: place.worker,
        gpu: place.gpu,
        score: i64::from(free / 1_000),
        reason: reason as u32,
        arg: i64::from(free.max(0) / 10_000),
    }
}

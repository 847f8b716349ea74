//! The policy's view of the cluster, rebuilt from changes, with capacity that can be taken for the length of one plan.

use crate::types::*;

/// Workers and what is free on them.
///
/// [`Cluster::place`] takes capacity at once, so that a plan's later candidates see it gone; when the round is over the
/// SDK gives it all back ([`Cluster::undo`]), because only the host's next changes say which placements held.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    /// Sorted by id.
    workers: Vec<Worker>,
    taken: Vec<JobOn>,
    /// Workers whose figures changed, oldest first. Forgotten when it grows long.
    changed: Vec<WorkerId>,
    /// How many changes had been forgotten before `changed` begins.
    forgotten: u64,
    shape: u64,
}

impl Cluster {
    /// The workers, by id.
    pub fn workers(&self) -> &[Worker] {
        &self.workers
    }

    /// The worker of that id.
    pub fn worker(&self, id: WorkerId) -> Option<&Worker> {
        self.index_of(id).map(|i| &self.workers[i])
    }

    /// Where that worker stands in [`Cluster::workers`].
    pub fn index_of(&self, id: WorkerId) -> Option<usize> {
        // Ids are handed out in order and seldom retired, so the place is usually known without searching.
        match self.workers.get((id as usize).wrapping_sub(1)) {
            Some(worker) if worker.id == id => Some(id as usize - 1),
            _ => self.workers.binary_search_by_key(&id, |w| w.id).ok(),
        }
    }

    /// How many changes there have been: a mark for [`Cluster::changed_since`].
    pub fn changes_seen(&self) -> u64 {
        self.forgotten + self.changed.len() as u64
    }

    /// The workers whose figures changed since a mark. `None` if that is no longer known: look at all of them.
    pub fn changed_since(&self, mark: u64) -> Option<&[WorkerId]> {
        let from = mark.checked_sub(self.forgotten)?;
        self.changed.get(from as usize..)
    }

    /// A number that is another when workers came or went, or what one has (not what is free of it) became another.
    pub fn shape(&self) -> u64 {
        self.shape
    }

    /// Forgets everything: a full snapshot follows.
    pub fn clear(&mut self) {
        self.workers.clear();
        self.taken.clear();
        self.shape += 1;
    }

    /// Applies one change.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::WorkerUp(worker) => {
                match self.workers.binary_search_by_key(&worker.id, |w| w.id) {
                    Ok(i) => {
                        if !same_shape(&self.workers[i], worker) {
                            self.shape += 1;
                        }
                        self.workers[i] = worker.clone();
                    }
                    Err(i) => {
                        self.workers.insert(i, worker.clone());
                        self.shape += 1;
                    }
                }
                self.note(worker.id);
            }
            Change::WorkerGone(id) => {
                self.workers.retain(|w| w.id != *id);
                self.shape += 1;
            }
            Change::WorkerAccepting { worker, accepting } => {
                self.with(*worker, |w| w.accepting = *accepting)
            }
            Change::WorkerLoad {
                worker,
                cpu_load_permille,
                memory_used_mib,
            } => self.with(*worker, |w| {
                w.cpu_load_permille = *cpu_load_permille;
                w.memory_used_mib = *memory_used_mib;
            }),
            Change::WorkerTags { worker, tags } => self.with(*worker, |w| w.tags = *tags),
            Change::GpuLoad {
                worker,
                gpu,
                load_permille,
            } => self.with(*worker, |w| {
                if let Some(gpu) = w.gpus.get_mut(*gpu as usize) {
                    gpu.load_permille = *load_permille;
                }
            }),
            Change::JobStarted(on) => self.with(on.worker, |w| take(w, on)),
            Change::JobEnded(on) => self.with(on.worker, |w| give_back(w, on)),
            Change::JobRegrouped(_) => {}
        }
    }

    /// Whether a job of `class` could run on `worker` now: it accepts, meets the requirements, and has room for `cost`.
    /// For a class that needs a GPU, some GPU has room.
    pub fn fits(worker: &Worker, class: &Class, cost: &Resources) -> bool {
        worker.accepting
            && worker.slots_used < worker.slots
            && worker.encoders & class.encoders == class.encoders
            && worker.tags & class.tags == class.tags
            && cost.cpu_millicores
                <= worker
                    .capacity
                    .cpu_millicores
                    .saturating_sub(worker.reserved.cpu_millicores)
            && cost.memory_mib
                <= worker
                    .capacity
                    .memory_mib
                    .saturating_sub(worker.reserved.memory_mib)
            && (!class.gpu || worker.gpus.iter().any(|gpu| Self::gpu_fits(gpu, cost)))
    }

    /// Whether a job of `class` could run on `worker` if nothing else did.
    pub fn could_ever_fit(worker: &Worker, class: &Class, cost: &Resources) -> bool {
        worker.accepting
            && worker.slots > 0
            && worker.encoders & class.encoders == class.encoders
            && worker.tags & class.tags == class.tags
            && cost.cpu_millicores <= worker.capacity.cpu_millicores
            && cost.memory_mib <= worker.capacity.memory_mib
            && (!class.gpu
                || worker.gpus.iter().any(|gpu| {
                    cost.gpu_sessions <= gpu.sessions_max && cost.gpu_memory_mib <= gpu.memory_mib
                }))
    }

    /// Whether `gpu` has room for `cost`.
    pub fn gpu_fits(gpu: &Gpu, cost: &Resources) -> bool {
        cost.gpu_sessions <= gpu.sessions_max.saturating_sub(gpu.sessions_used)
            && cost.gpu_memory_mib <= gpu.memory_mib.saturating_sub(gpu.memory_reserved_mib)
    }

    /// Jobs that could still be started, going by slots alone.
    pub fn open_slots(&self) -> u64 {
        self.workers
            .iter()
            .filter(|w| w.accepting)
            .map(|w| u64::from(w.free_slots()))
            .sum()
    }

    /// Of all places where a candidate fits and may go, the one whose score is largest; the lowest worker and GPU of
    /// several. `score` is given the worker and, for a class that needs one, the GPU; `None` from it rules the place out.
    ///
    /// A plain search of every worker: right for a policy of a few lines. [`Places`](crate::Places) is the fast one.
    pub fn best_place<K: Ord>(
        &self,
        ask: &Ask,
        candidate: &Candidate,
        score: impl Fn(&Worker, Option<&Gpu>) -> Option<K>,
    ) -> Option<(WorkerId, Option<u32>, K)> {
        let class = ask.classes.get(candidate.class as usize)?;
        let mut best: Option<(WorkerId, Option<u32>, K)> = None;
        let mut consider = |worker: &Worker, gpu: Option<(u32, &Gpu)>| {
            if let Some(key) = score(worker, gpu.map(|(_, gpu)| gpu))
                && best.as_ref().is_none_or(|(_, _, most)| key > *most)
            {
                best = Some((worker.id, gpu.map(|(index, _)| index), key));
            }
        };
        for worker in &self.workers {
            if !Self::fits(worker, class, &candidate.cost)
                || candidate.excluded.contains(&worker.id)
            {
                continue;
            }
            if !class.gpu {
                consider(worker, None);
                continue;
            }
            for (index, gpu) in (0..).zip(&worker.gpus) {
                if Self::gpu_fits(gpu, &candidate.cost) {
                    consider(worker, Some((index, gpu)));
                }
            }
        }
        best
    }

    /// Takes a candidate's capacity on a worker for the rest of this plan.
    pub fn place(&mut self, candidate: &Candidate, worker: WorkerId, gpu: Option<u32>) {
        let (job, group, cost) = (candidate.job, candidate.group, candidate.cost);
        let on = JobOn {
            job,
            worker,
            gpu,
            group,
            cost,
        };
        // Not noted as a change: whoever places knows, and afterwards it is undone.
        if let Some(i) = self.index_of(worker) {
            take(&mut self.workers[i], &on);
            self.taken.push(on);
        }
    }

    /// Gives back what [`Cluster::place`] took. The SDK calls it after every plan.
    pub fn undo(&mut self) {
        for on in std::mem::take(&mut self.taken) {
            self.with(on.worker, |w| give_back(w, &on));
        }
    }

    fn with(&mut self, id: WorkerId, change: impl FnOnce(&mut Worker)) {
        if let Some(i) = self.index_of(id) {
            change(&mut self.workers[i]);
            self.note(id);
        }
    }

    fn note(&mut self, id: WorkerId) {
        // Past that, looking at all workers is no dearer than looking at the changed ones.
        if self.changed.len() > self.workers.len() {
            self.forgotten = self.changes_seen();
            self.changed.clear();
        }
        self.changed.push(id);
    }
}

/// Whether two states of a worker differ only in what is free, allowed or measured.
fn same_shape(a: &Worker, b: &Worker) -> bool {
    let gpu = |g: &Gpu| (g.sessions_max, g.memory_mib);
    a.slots == b.slots
        && a.capacity == b.capacity
        && a.gpus.iter().map(gpu).eq(b.gpus.iter().map(gpu))
}

fn take(worker: &mut Worker, on: &JobOn) {
    worker.slots_used = worker.slots_used.saturating_add(1);
    worker.reserved.cpu_millicores = worker
        .reserved
        .cpu_millicores
        .saturating_add(on.cost.cpu_millicores);
    worker.reserved.memory_mib = worker
        .reserved
        .memory_mib
        .saturating_add(on.cost.memory_mib);
    if let Some(gpu) = on.gpu.and_then(|i| worker.gpus.get_mut(i as usize)) {
        gpu.sessions_used = gpu.sessions_used.saturating_add(on.cost.gpu_sessions);
        gpu.memory_reserved_mib = gpu
            .memory_reserved_mib
            .saturating_add(on.cost.gpu_memory_mib);
    }
}

fn give_back(worker: &mut Worker, on: &JobOn) {
    worker.slots_used = worker.slots_used.saturating_sub(1);
    worker.reserved.cpu_millicores = worker
        .reserved
        .cpu_millicores
        .saturating_sub(on.cost.cpu_millicores);
    worker.reserved.memory_mib = worker
        .reserved
        .memory_mib
        .saturating_sub(on.cost.memory_mib);
    if let Some(gpu) = on.gpu.and_then(|i| worker.gpus.get_mut(i as usize)) {
        gpu.sessions_used = gpu.sessions_used.saturating_sub(on.cost.gpu_sessions);
        gpu.memory_reserved_mib = gpu
            .memory_reserved_mib
            .saturating_sub(on.cost.gpu_memory_mib);
    }
}

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
}

impl Cluster {
    /// The workers, by id.
    pub fn workers(&self) -> &[Worker] {
        &self.workers
    }

    /// The worker of that id.
    pub fn worker(&self, id: WorkerId) -> Option<&Worker> {
        self.workers
            .binary_search_by_key(&id, |w| w.id)
            .ok()
            .map(|i| &self.workers[i])
    }

    /// Forgets everything: a full snapshot follows.
    pub fn clear(&mut self) {
        self.workers.clear();
        self.taken.clear();
    }

    /// Applies one change.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::WorkerUp(worker) => {
                match self.workers.binary_search_by_key(&worker.id, |w| w.id) {
                    Ok(i) => self.workers[i] = worker.clone(),
                    Err(i) => self.workers.insert(i, worker.clone()),
                }
            }
            Change::WorkerGone(id) => self.workers.retain(|w| w.id != *id),
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
        }
    }

    /// Whether a job of `class` could run on `worker` now: it accepts, meets the requirements, and has room for `cost`.
    /// For a class that needs a GPU, some GPU has room.
    pub fn fits(worker: &Worker, class: &Class, cost: &Resources) -> bool {
        worker.accepting
            && worker.slots_used < worker.slots
            && worker.encoders & class.encoders == class.encoders
            && worker.tags & class.tags == class.tags
            && worker.reserved.cpu_millicores + cost.cpu_millicores
                <= worker.capacity.cpu_millicores
            && worker.reserved.memory_mib + cost.memory_mib <= worker.capacity.memory_mib
            && (!class.gpu || worker.gpus.iter().any(|gpu| Self::gpu_fits(gpu, cost)))
    }

    /// Whether `gpu` has room for `cost`.
    pub fn gpu_fits(gpu: &Gpu, cost: &Resources) -> bool {
        gpu.sessions_used + cost.gpu_sessions <= gpu.sessions_max
            && gpu.memory_reserved_mib + cost.gpu_memory_mib <= gpu.memory_mib
    }

    /// Takes a candidate's capacity on a worker for the rest of this plan.
    pub fn place(&mut self, candidate: &Candidate, worker: WorkerId, gpu: Option<u32>) {
        let on = JobOn {
            job: candidate.job,
            worker,
            gpu,
            group: candidate.group,
            cost: candidate.cost,
        };
        self.with(worker, |w| take(w, &on));
        self.taken.push(on);
    }

    /// Gives back what [`Cluster::place`] took. The SDK calls it after every plan.
    pub fn undo(&mut self) {
        for on in std::mem::take(&mut self.taken) {
            self.with(on.worker, |w| give_back(w, &on));
        }
    }

    fn with(&mut self, id: WorkerId, change: impl FnOnce(&mut Worker)) {
        if let Ok(i) = self.workers.binary_search_by_key(&id, |w| w.id) {
            change(&mut self.workers[i]);
        }
    }
}

fn take(worker: &mut Worker, on: &JobOn) {
    worker.slots_used += 1;
    worker.reserved.cpu_millicores += on.cost.cpu_millicores;
    worker.reserved.memory_mib += on.cost.memory_mib;
    if let Some(gpu) = on.gpu.and_then(|i| worker.gpus.get_mut(i as usize)) {
        gpu.sessions_used += on.cost.gpu_sessions;
        gpu.memory_reserved_mib += on.cost.gpu_memory_mib;
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

//! Clusters and questions made from a seed, for policies' tests and benchmarks. The same seed gives the same ones on every
//! machine.

use crate::{Ask, Candidate, Change, Class, Cluster, Gpu, JobInfo, Resources, Worker};

/// A source of clusters and questions.
#[derive(Debug, Clone)]
pub struct Sample {
    state: u64,
    next_job: u32,
    round: u64,
}

impl Sample {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Sample {
            state: seed,
            next_job: 1,
            round: 0,
        }
    }

    /// A number below `end`, which must not be 0. (SplitMix64; the slight bias does not matter here.)
    pub fn below(&mut self, end: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    fn between(&mut self, from: u32, to: u32) -> u32 {
        from + self.below(u64::from(to - from) + 1) as u32
    }

    /// A worker: 4 to 64 cores, one in four with GPUs, partly in use.
    pub fn worker(&mut self, id: u32) -> Worker {
        let cores = [4, 8, 16, 32, 64][self.below(5) as usize];
        let slots = cores / 2;
        let slots_used = self.between(0, slots);
        let gpus = if self.below(4) == 0 {
            self.between(1, 4)
        } else {
            0
        };
        let capacity = Resources {
            cpu_millicores: cores * 1000,
            memory_mib: cores * 2048,
            ..Resources::default()
        };
        let reserved = Resources {
            cpu_millicores: slots_used * self.between(500, 2000),
            memory_mib: slots_used * self.between(256, 4096),
            ..Resources::default()
        };
        Worker {
            id,
            name: format!("worker-{id}"),
            accepting: self.below(20) != 0,
            slots,
            slots_used,
            capacity,
            reserved,
            cpu_load_permille: self.between(0, 1000),
            memory_used_mib: self.between(0, capacity.memory_mib),
            encoders: 0b1111 | if gpus > 0 { 0b111_0000 } else { 0 },
            tags: self.below(4),
            labels: vec![("zone".into(), format!("z{}", id % 3))],
            gpus: (0..gpus)
                .map(|_| Gpu {
                    memory_mib: 16_384,
                    sessions_max: 8,
                    sessions_used: self.between(0, 8),
                    memory_reserved_mib: self.between(0, 16_384),
                    load_permille: self.between(0, 1000),
                })
                .collect(),
        }
    }

    /// A full snapshot of `workers` workers, to be synced with `reset`.
    pub fn snapshot(&mut self, workers: u32) -> Vec<Change> {
        (1..=workers)
            .map(|id| Change::WorkerUp(self.worker(id)))
            .collect()
    }

    /// A question about `candidates` jobs of eight classes.
    pub fn ask(&mut self, candidates: u32, cluster: &Cluster) -> Ask {
        self.round += 1;
        let classes: Vec<Class> = (0..8)
            .map(|id| {
                let gpu = id >= 6;
                Class {
                    id,
                    encoders: 1 << if gpu { 4 + id % 3 } else { id % 4 },
                    tags: if id % 4 == 3 { 1 + self.below(3) } else { 0 },
                    gpu,
                }
            })
            .collect();
        let mut candidates: Vec<Candidate> =
            (0..candidates).map(|_| self.candidate(cluster)).collect();
        candidates.sort_by_key(|c| (c.rank, c.job));
        Ask {
            round: self.round,
            now_ms: 1_700_000_000_000,
            seed: self.below(u64::MAX),
            classes,
            candidates,
        }
    }

    fn candidate(&mut self, cluster: &Cluster) -> Candidate {
        let job = self.next_job;
        self.next_job += 1;
        let class = self.below(8) as u32;
        let cores = [500, 1000, 1000, 2000, 4000, 16_000][self.below(6) as usize];
        let gpu = class >= 6;
        let excluded = match cluster.workers() {
            [] => Vec::new(),
            workers if self.below(10) == 0 => {
                let at = self.below(workers.len() as u64) as usize;
                vec![workers[at].id]
            }
            _ => Vec::new(),
        };
        Candidate {
            job,
            class,
            group: self.below(4) as u32,
            rank: self.below(1_000_000) as i64,
            cost: Resources {
                cpu_millicores: if gpu { 500 } else { cores },
                memory_mib: self.between(128, 4096),
                gpu_sessions: u32::from(gpu),
                gpu_memory_mib: if gpu { self.between(256, 2048) } else { 0 },
            },
            queue: self.below(3) as u8,
            priority: self.below(3) as u8,
            waited_ms: self.below(600_000),
            excluded,
        }
    }

    /// A job to rank.
    pub fn job(&mut self) -> JobInfo {
        let id = self.next_job;
        self.next_job += 1;
        JobInfo {
            id,
            queue: self.below(3) as u8,
            priority: self.below(3) as u8,
            submitted_ms: 1_700_000_000_000 + self.below(1_000_000_000) as i64,
            deadline_ms: None,
            cost: Resources {
                cpu_millicores: 1000,
                memory_mib: 512,
                ..Resources::default()
            },
            labels: vec![("tenant".into(), format!("t{}", self.below(5)))],
        }
    }

    /// A few things that could happen to that cluster.
    pub fn changes(&mut self, cluster: &Cluster) -> Vec<Change> {
        let count = self.below(20);
        (0..count).filter_map(|_| self.change(cluster)).collect()
    }

    fn change(&mut self, cluster: &Cluster) -> Option<Change> {
        let last = cluster.workers().last().map_or(0, |w| w.id);
        if self.below(20) == 0 {
            return Some(Change::WorkerUp(self.worker(last + 1)));
        }
        let at = self.below(cluster.workers().len().max(1) as u64) as usize;
        let worker = cluster.workers().get(at)?;
        let id = worker.id;
        Some(match self.below(8) {
            0 => Change::WorkerGone(id),
            1 => Change::WorkerAccepting {
                worker: id,
                accepting: self.below(2) == 0,
            },
            2 => Change::WorkerTags {
                worker: id,
                tags: self.below(4),
            },
            3 if !worker.gpus.is_empty() => Change::GpuLoad {
                worker: id,
                gpu: self.below(worker.gpus.len() as u64) as u32,
                load_permille: self.between(0, 1000),
            },
            4 => Change::WorkerUp(self.worker(id)),
            _ => Change::WorkerLoad {
                worker: id,
                cpu_load_permille: self.between(0, 1000),
                memory_used_mib: self.between(0, worker.capacity.memory_mib),
            },
        })
    }
}

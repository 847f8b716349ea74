//! The SDK's types from and to the generated ones: the same fields, moved one by one.
//!
//! The compiler turns most of this into nothing: where layouts agree, a collected vector keeps its allocation.

use super::bindings::ffrtmp::scheduler::types as wit;
use crate::*;

impl From<Info> for wit::Info {
    fn from(i: Info) -> Self {
        wit::Info {
            name: i.name,
            version: i.version,
            reasons: i.reasons,
        }
    }
}

impl From<wit::Resources> for Resources {
    fn from(r: wit::Resources) -> Self {
        Resources {
            cpu_millicores: r.cpu_millicores,
            memory_mib: r.memory_mib,
            gpu_sessions: r.gpu_sessions,
            gpu_memory_mib: r.gpu_memory_mib,
        }
    }
}

impl From<wit::Gpu> for Gpu {
    fn from(g: wit::Gpu) -> Self {
        Gpu {
            memory_mib: g.memory_mib,
            sessions_max: g.sessions_max,
            sessions_used: g.sessions_used,
            memory_reserved_mib: g.memory_reserved_mib,
            load_permille: g.load_permille,
        }
    }
}

impl From<wit::Worker> for Worker {
    fn from(w: wit::Worker) -> Self {
        Worker {
            id: w.id,
            name: w.name,
            accepting: w.accepting,
            slots: w.slots,
            slots_used: w.slots_used,
            capacity: w.capacity.into(),
            reserved: w.reserved.into(),
            cpu_load_permille: w.cpu_load_permille,
            memory_used_mib: w.memory_used_mib,
            encoders: w.encoders,
            tags: w.tags,
            labels: w.labels,
            gpus: w.gpus.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<wit::JobOn> for JobOn {
    fn from(j: wit::JobOn) -> Self {
        JobOn {
            job: j.job,
            worker: j.worker,
            gpu: j.gpu,
            group: j.group,
            cost: j.cost.into(),
        }
    }
}

impl From<wit::Change> for Change {
    fn from(change: wit::Change) -> Self {
        match change {
            wit::Change::WorkerUp(w) => Change::WorkerUp(w.into()),
            wit::Change::WorkerGone(id) => Change::WorkerGone(id),
            wit::Change::WorkerAccepting(c) => Change::WorkerAccepting {
                worker: c.worker,
                accepting: c.accepting,
            },
            wit::Change::WorkerLoad(c) => Change::WorkerLoad {
                worker: c.worker,
                cpu_load_permille: c.cpu_load_permille,
                memory_used_mib: c.memory_used_mib,
            },
            wit::Change::WorkerTags(c) => Change::WorkerTags {
                worker: c.worker,
                tags: c.tags,
            },
            wit::Change::GpuLoad(c) => Change::GpuLoad {
                worker: c.worker,
                gpu: c.gpu,
                load_permille: c.load_permille,
            },
            wit::Change::JobStarted(j) => Change::JobStarted(j.into()),
            wit::Change::JobEnded(j) => Change::JobEnded(j.into()),
            wit::Change::JobRegrouped(j) => Change::JobRegrouped(j.into()),
        }
    }
}

impl From<wit::JobInfo> for JobInfo {
    fn from(j: wit::JobInfo) -> Self {
        JobInfo {
            id: j.id,
            queue: j.queue,
            priority: j.priority,
            submitted_ms: j.submitted_ms,
            deadline_ms: j.deadline_ms,
            cost: j.cost.into(),
            labels: j.labels,
        }
    }
}

impl From<Rank> for wit::JobRank {
    fn from(r: Rank) -> Self {
        wit::JobRank {
            rank: r.rank,
            group: r.group,
        }
    }
}

impl From<wit::Class> for Class {
    fn from(c: wit::Class) -> Self {
        Class {
            id: c.id,
            encoders: c.encoders,
            tags: c.tags,
            gpu: c.gpu,
        }
    }
}

impl From<wit::Candidate> for Candidate {
    fn from(c: wit::Candidate) -> Self {
        Candidate {
            job: c.job,
            class: c.class,
            group: c.group,
            rank: c.rank,
            cost: c.cost.into(),
            queue: c.queue,
            priority: c.priority,
            waited_ms: c.waited_ms,
            excluded: Vec::new(),
        }
    }
}

impl From<wit::Ask> for Ask {
    fn from(a: wit::Ask) -> Self {
        let mut candidates: Vec<Candidate> = a.candidates.into_iter().map(Into::into).collect();
        for exclusion in a.exclusions {
            candidates[exclusion.candidate as usize]
                .excluded
                .push(exclusion.worker);
        }
        Ask {
            round: a.round,
            now_ms: a.now_ms,
            seed: a.seed,
            classes: a.classes.into_iter().map(Into::into).collect(),
            candidates,
        }
    }
}

impl From<Placement> for wit::Placement {
    fn from(p: Placement) -> Self {
        wit::Placement {
            job: p.job,
            worker: p.worker,
            gpu: p.gpu,
            score: p.score,
            reason: p.reason,
            arg: p.arg,
        }
    }
}

impl From<Hold> for wit::Hold {
    fn from(h: Hold) -> Self {
        wit::Hold {
            job: h.job,
            until_ms: h.until_ms,
            reason: h.reason,
            arg: h.arg,
        }
    }
}

impl From<Answer> for wit::Answer {
    fn from(a: Answer) -> Self {
        wit::Answer {
            placements: a.placements.into_iter().map(Into::into).collect(),
            skips: a.skips,
            holds: a.holds.into_iter().map(Into::into).collect(),
        }
    }
}

//! The SDK's types to and from the generated ones: the same fields, one by one.
//!
//! Buffers are the caller's, kept from round to round, so that a round of a thousand candidates allocates nothing here.

use ffrtmp_policy_sdk as sdk;

use super::bindings::types as wit;

fn resources(r: &sdk::Resources) -> wit::Resources {
    wit::Resources {
        cpu_millicores: r.cpu_millicores,
        memory_mib: r.memory_mib,
        gpu_sessions: r.gpu_sessions,
        gpu_memory_mib: r.gpu_memory_mib,
    }
}

fn worker(w: &sdk::Worker) -> wit::Worker {
    wit::Worker {
        id: w.id,
        name: w.name.clone(),
        accepting: w.accepting,
        slots: w.slots,
        slots_used: w.slots_used,
        capacity: resources(&w.capacity),
        reserved: resources(&w.reserved),
        cpu_load_permille: w.cpu_load_permille,
        memory_used_mib: w.memory_used_mib,
        encoders: w.encoders,
        tags: w.tags,
        labels: w.labels.clone(),
        gpus: w
            .gpus
            .iter()
            .map(|g| wit::Gpu {
                memory_mib: g.memory_mib,
                sessions_max: g.sessions_max,
                sessions_used: g.sessions_used,
                memory_reserved_mib: g.memory_reserved_mib,
                load_permille: g.load_permille,
            })
            .collect(),
    }
}

fn job_on(j: &sdk::JobOn) -> wit::JobOn {
    wit::JobOn {
        job: j.job,
        worker: j.worker,
        gpu: j.gpu,
        group: j.group,
        cost: resources(&j.cost),
    }
}

/// A change, for `sync`.
pub(super) fn change(change: &sdk::Change) -> wit::Change {
    use sdk::Change;
    match *change {
        Change::WorkerUp(ref w) => wit::Change::WorkerUp(worker(w)),
        Change::WorkerGone(id) => wit::Change::WorkerGone(id),
        Change::WorkerAccepting { worker, accepting } => {
            wit::Change::WorkerAccepting(wit::WorkerAccepting { worker, accepting })
        }
        Change::WorkerLoad {
            worker,
            cpu_load_permille,
            memory_used_mib,
        } => wit::Change::WorkerLoad(wit::WorkerLoad {
            worker,
            cpu_load_permille,
            memory_used_mib,
        }),
        Change::WorkerTags { worker, tags } => {
            wit::Change::WorkerTags(wit::WorkerTags { worker, tags })
        }
        Change::GpuLoad {
            worker,
            gpu,
            load_permille,
        } => wit::Change::GpuLoad(wit::GpuLoad {
            worker,
            gpu,
            load_permille,
        }),
        Change::JobStarted(ref j) => wit::Change::JobStarted(job_on(j)),
        Change::JobEnded(ref j) => wit::Change::JobEnded(job_on(j)),
        Change::JobRegrouped(ref j) => wit::Change::JobRegrouped(job_on(j)),
    }
}

/// A job, for `rank`.
pub(super) fn job_info(j: sdk::JobInfo) -> wit::JobInfo {
    wit::JobInfo {
        id: j.id,
        queue: j.queue,
        priority: j.priority,
        submitted_ms: j.submitted_ms,
        deadline_ms: j.deadline_ms,
        cost: resources(&j.cost),
        labels: j.labels,
    }
}

/// A rank, from `rank`.
pub(super) fn rank(r: &wit::JobRank) -> sdk::Rank {
    sdk::Rank {
        rank: r.rank,
        group: r.group,
    }
}

/// Writes a question into `to`, for `plan`.
pub(super) fn ask(a: &sdk::Ask, to: &mut wit::Ask) {
    to.round = a.round;
    to.now_ms = a.now_ms;
    to.seed = a.seed;
    to.classes.clear();
    to.classes.extend(a.classes.iter().map(|c| wit::Class {
        id: c.id,
        encoders: c.encoders,
        tags: c.tags,
        gpu: c.gpu,
    }));
    to.candidates.clear();
    to.candidates
        .extend(a.candidates.iter().map(|c| wit::Candidate {
            job: c.job,
            class: c.class,
            group: c.group,
            rank: c.rank,
            cost: resources(&c.cost),
            queue: c.queue,
            priority: c.priority,
            waited_ms: c.waited_ms,
        }));
    to.exclusions.clear();
    for (i, c) in a.candidates.iter().enumerate() {
        to.exclusions
            .extend(c.excluded.iter().map(|w| wit::Exclusion {
                candidate: i as u32,
                worker: *w,
            }));
    }
}

/// An answer, from `plan`.
pub(super) fn answer(a: wit::Answer) -> sdk::Answer {
    sdk::Answer {
        placements: a
            .placements
            .iter()
            .map(|p| sdk::Placement {
                job: p.job,
                worker: p.worker,
                gpu: p.gpu,
                score: p.score,
                reason: p.reason,
                arg: p.arg,
            })
            .collect(),
        skips: a.skips,
        holds: a
            .holds
            .iter()
            .map(|h| sdk::Hold {
                job: h.job,
                until_ms: h.until_ms,
                reason: h.reason,
                arg: h.arg,
            })
            .collect(),
    }
}

/// What a policy says of itself, from `init`.
pub(super) fn info(i: wit::Info) -> sdk::Info {
    sdk::Info {
        name: i.name,
        version: i.version,
        reasons: i.reasons,
    }
}

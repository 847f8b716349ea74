//! Why a job waits, for the user who asks: in one sentence, as a word for programs, and worker by worker.

use ffrtmp_api::{
    encoder::Encoder,
    ids::JobSeq,
    job::{JobState, RAW_ARGS_LABEL},
    limits,
    rest::{NodeVerdict, WaitReason, Waiting},
};
use ffrtmp_policy_sdk::{Class, Cluster, Resources, Worker};

use super::{Core, Now, job::Job, queue::Place};

/// What is known of a job that waits.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    /// For what it waits.
    pub waiting: Waiting,
    /// Each connected worker, those that could take it first, then by name; at most [`limits::EXPLAIN_NODES_MAX`].
    pub nodes: Vec<NodeVerdict>,
    /// Workers left out.
    pub nodes_left_out: usize,
}

impl Core {
    /// Why a pending job waits, and what each connected worker has to do with it; none for a job that does not wait.
    pub(super) fn explain(&self, seq: JobSeq, now: Now) -> Option<Explained> {
        let waiting = self.explain_waiting(seq, now)?;
        let job = self.jobs.get(&seq)?;
        let class = self.classes.get(job.class);
        let avoided = self.avoided(job, &class);
        let mut nodes: Vec<NodeVerdict> = self
            .names
            .values()
            .filter_map(|id| {
                let worker = self.workers.get(id).filter(|w| w.session.is_some())?;
                let view = self.cluster.worker(*id)?;
                let obstacle = if worker.drained {
                    Some("it was taken out of service (drained)".to_owned())
                } else if worker.draining {
                    Some("it is shutting down".to_owned())
                } else if avoided.contains(id) {
                    Some("the job failed there, and others could take it".to_owned())
                } else {
                    self.obstacle(view, &class, &job.cost)
                };
                Some(NodeVerdict {
                    node: worker.name.clone(),
                    fits: obstacle.is_none(),
                    why: obstacle.unwrap_or_else(|| room_on(view)),
                })
            })
            .collect();
        nodes.sort_by_key(|verdict| !verdict.fits); // stable: each half stays sorted by name
        let nodes_left_out = nodes.len().saturating_sub(limits::EXPLAIN_NODES_MAX);
        nodes.truncate(limits::EXPLAIN_NODES_MAX);
        Some(Explained {
            waiting,
            nodes,
            nodes_left_out,
        })
    }

    /// Why a pending job waits; none for a job that does not.
    pub(super) fn explain_waiting(&self, seq: JobSeq, now: Now) -> Option<Waiting> {
        let job = self
            .jobs
            .get(&seq)
            .filter(|job| job.status.state == JobState::Pending)?;
        let waits = |reason, message: String| Waiting {
            reason,
            message,
            until_ms: None,
        };
        if job.status.held {
            let message = "a user holds it; `ffrtmp jobs resume` lets it go on";
            return Some(waits(WaitReason::HeldByUser, message.into()));
        }
        if let Place::Delayed { until_ms } = job.place {
            let left_ms = until_ms.saturating_sub(now.mono_ms);
            let why = job.wait_reason.as_deref().unwrap_or("delayed");
            return Some(Waiting {
                reason: if self.rounds.holds(seq) {
                    WaitReason::HeldByPolicy
                } else {
                    WaitReason::BackingOff
                },
                message: format!("{why} (for another {:.1} s)", left_ms as f64 / 1e3),
                until_ms: Some(now.wall_ms.saturating_add_unsigned(left_ms)),
            });
        }
        let class = self.classes.get(job.class);
        let connected: Vec<&Worker> = self
            .cluster
            .workers()
            .iter()
            .filter(|w| w.accepting)
            .collect();
        if connected.is_empty() {
            let message = "no worker is connected and taking work";
            return Some(waits(WaitReason::NoWorker, message.into()));
        }
        let able: Vec<&Worker> = connected
            .iter()
            .copied()
            .filter(|w| meets(w, &class))
            .collect();
        if able.is_empty() {
            let message = format!(
                "none of the {} connected workers has {}",
                connected.len(),
                self.describe_needs(&class)
            );
            return Some(waits(missing(&connected, &class), message));
        }
        if able.iter().all(|w| {
            job.cost.cpu_millicores > w.capacity.cpu_millicores
                || job.cost.memory_mib > w.capacity.memory_mib
        }) {
            let message = format!(
                "it needs {} millicores and {} MiB, more than any of the {} workers that could run it has in all",
                job.cost.cpu_millicores,
                job.cost.memory_mib,
                able.len()
            );
            return Some(waits(WaitReason::TooLarge, message));
        }
        let avoided = self.avoided(job, &class);
        let wanted: Vec<&Worker> = able
            .iter()
            .copied()
            .filter(|w| !avoided.contains(&w.id))
            .collect();
        if !wanted.iter().any(|w| Cluster::fits(w, &class, &job.cost)) {
            let failed_on = able.len() - wanted.len();
            let besides = if failed_on > 0 {
                format!(
                    "; it failed on {failed_on} others, which are left out while these could take it"
                )
            } else {
                String::new()
            };
            let without_gpu = Class {
                gpu: false,
                ..class
            };
            if wanted
                .iter()
                .any(|w| Cluster::fits(w, &without_gpu, &job.cost))
            {
                let message = format!("{}{besides}", gpus_taken(&wanted));
                return Some(waits(WaitReason::GpusFull, message));
            }
            let message = format!(
                "the {} workers that could run it are full ({} jobs on {} slots){besides}",
                wanted.len(),
                wanted.iter().map(|w| w.slots_used).sum::<u32>(),
                wanted.iter().map(|w| w.slots).sum::<u32>()
            );
            return Some(waits(WaitReason::WorkersFull, message));
        }
        let message = "its turn in the queue: there is room, and jobs before it are placed first";
        Some(waits(WaitReason::InQueue, message.into()))
    }

    /// Workers a job is not offered to because it failed there. Where every worker that could take it has failed it, all get
    /// another chance.
    pub(super) fn avoided<'j>(&self, job: &'j Job, class: &Class) -> &'j [u32] {
        let others = !job.excluded.is_empty()
            && self.cluster.workers().iter().any(|w| {
                !job.excluded.contains(&w.id) && Cluster::could_ever_fit(w, class, &job.cost)
            });
        if others { &job.excluded } else { &[] }
    }

    /// What keeps a worker that takes work from a job now; none if nothing does.
    fn obstacle(&self, worker: &Worker, class: &Class, cost: &Resources) -> Option<String> {
        let lacking = Class {
            encoders: class.encoders & !worker.encoders,
            tags: class.tags & !worker.tags,
            gpu: class.gpu && worker.gpus.is_empty(),
            ..*class
        };
        if lacking.encoders != 0 || lacking.tags != 0 || lacking.gpu {
            return Some(format!(
                "it does not have {}",
                self.describe_needs(&lacking)
            ));
        }
        let amount = |what: &str, needed: u32, used: u32, in_all: u32| {
            if needed > in_all {
                Some(format!(
                    "it has {in_all} {what} in all, and the job needs {needed}"
                ))
            } else if needed > in_all.saturating_sub(used) {
                let free = in_all.saturating_sub(used);
                Some(format!(
                    "{free} of its {in_all} {what} are free, and the job needs {needed}"
                ))
            } else {
                None
            }
        };
        let (has, used) = (&worker.capacity, &worker.reserved);
        if worker.slots_used >= worker.slots {
            return Some(format!("all {} slots are taken", worker.slots));
        }
        amount(
            "millicores",
            cost.cpu_millicores,
            used.cpu_millicores,
            has.cpu_millicores,
        )
        .or_else(|| amount("MiB", cost.memory_mib, used.memory_mib, has.memory_mib))
        .or_else(|| {
            let full = class.gpu && !worker.gpus.iter().any(|gpu| Cluster::gpu_fits(gpu, cost));
            full.then(|| "no GPU of it has room for another encode session".to_owned())
        })
    }

    /// What a class needs, in words.
    fn describe_needs(&self, class: &Class) -> String {
        let mut needs: Vec<String> = Encoder::ALL
            .iter()
            .filter(|e| class.encoders & (1 << **e as u32) != 0)
            .map(|e| format!("a working {}", e.name()))
            .collect();
        if class.gpu {
            needs.push("a GPU".into());
        }
        needs.extend(
            self.classes
                .describe_tags(class.tags)
                .into_iter()
                .map(|tag| {
                    let (key, value) = RAW_ARGS_LABEL;
                    match tag.split_once('=') == Some((key, value)) {
                        true => {
                            format!("the label {tag}, which `ffrtmp worker --allow-raw-args` gives")
                        }
                        false => format!("the label {tag}"),
                    }
                }),
        );
        needs.join(" and ")
    }
}

/// Whether a worker could ever run jobs of a class.
pub(super) fn meets(worker: &Worker, class: &Class) -> bool {
    worker.encoders & class.encoders == class.encoders
        && worker.tags & class.tags == class.tags
        && (!class.gpu || !worker.gpus.is_empty())
}

/// Which need of a class none of these workers meets; if each is met by some, the one that is rarest in a farm.
fn missing(workers: &[&Worker], class: &Class) -> WaitReason {
    let none = |has: &dyn Fn(&Worker) -> bool| !workers.iter().any(|w| has(w));
    if class.gpu && none(&|w| !w.gpus.is_empty()) {
        WaitReason::NoGpu
    } else if none(&|w| w.encoders & class.encoders == class.encoders) {
        WaitReason::NoEncoder
    } else if class.tags != 0 {
        WaitReason::NoLabel
    } else {
        WaitReason::NoGpu
    }
}

/// Which GPUs of these workers are taken.
fn gpus_taken(workers: &[&Worker]) -> String {
    let gpus = || workers.iter().flat_map(|worker| &worker.gpus);
    let sessions: u32 = gpus().map(|gpu| gpu.sessions_max).sum();
    let used: u32 = gpus().map(|gpu| gpu.sessions_used).sum();
    let of = match workers {
        [worker] => worker.name.clone(),
        several => format!("the {} workers that could run it", several.len()),
    };
    if used >= sessions {
        format!("all {sessions} GPU sessions of {of} are busy")
    } else {
        format!(
            "no GPU of {of} has room for it ({used} of {sessions} sessions are busy, and GPU memory or CPU beside the free ones is not enough)"
        )
    }
}

/// The room a worker has.
fn room_on(worker: &Worker) -> String {
    format!(
        "{} of {} slots, {} millicores and {} MiB are free",
        worker.slots.saturating_sub(worker.slots_used),
        worker.slots,
        worker
            .capacity
            .cpu_millicores
            .saturating_sub(worker.reserved.cpu_millicores),
        worker
            .capacity
            .memory_mib
            .saturating_sub(worker.reserved.memory_mib)
    )
}

#[cfg(test)]
mod tests {
    use ffrtmp_policy_sdk::Gpu;

    use super::*;

    #[test]
    fn busy_gpus_are_counted_over_the_workers_that_could_run_the_job() {
        let worker = |name: &str, used: &[u32]| Worker {
            name: name.into(),
            gpus: used
                .iter()
                .map(|used| Gpu {
                    sessions_max: 3,
                    sessions_used: *used,
                    ..Gpu::default()
                })
                .collect(),
            ..Worker::default()
        };
        let (full, half) = (worker("g1", &[3]), worker("g2", &[3, 1]));
        assert_eq!(gpus_taken(&[&full]), "all 3 GPU sessions of g1 are busy");
        let text = gpus_taken(&[&full, &half]);
        assert!(text.contains("no GPU of the 2 workers"), "{text}");
        assert!(text.contains("7 of 9 sessions are busy"), "{text}");
    }
}

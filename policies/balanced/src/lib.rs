//! `balanced`: by priority with ageing, on the worker with the most room left. Also the master's built-in fallback.

use ffrtmp_policy_sdk::{Answer, Ask, Cluster, Info, JobInfo, Placement, Policy, Rank};

/// The policy.
#[derive(Debug, Default)]
pub struct Balanced;

impl Policy for Balanced {
    fn info() -> Info {
        Info {
            name: "balanced".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            reasons: vec!["most room left: {} of 1000 free after placing".into()],
        }
    }

    fn init(_config: &str) -> Result<Self, String> {
        Ok(Balanced)
    }

    fn rank(&mut self, job: &JobInfo) -> Rank {
        let bonus_ms = [3_600_000, 0, -3_600_000][job.queue.min(2) as usize]
            + [600_000, 0, -600_000][job.priority.min(2) as usize];
        Rank {
            rank: job.submitted_ms - bonus_ms,
            group: 0,
        }
    }

    fn plan(&mut self, cluster: &mut Cluster, ask: &Ask, answer: &mut Answer) {
        for candidate in &ask.candidates {
            let class = &ask.classes[candidate.class as usize];
            let best = cluster
                .workers()
                .iter()
                .filter(|w| {
                    Cluster::fits(w, class, &candidate.cost) && !candidate.excluded.contains(&w.id)
                })
                .max_by_key(|w| (w.slots - w.slots_used, std::cmp::Reverse(w.id)))
                .map(|w| {
                    (
                        w.id,
                        w.gpus
                            .iter()
                            .position(|g| class.gpu && Cluster::gpu_fits(g, &candidate.cost))
                            .map(|g| g as u32),
                    )
                });
            if let Some((worker, gpu)) = best {
                cluster.place(candidate, worker, gpu);
                answer.placements.push(Placement {
                    job: candidate.job,
                    worker,
                    gpu,
                    score: 0,
                    reason: 0,
                    arg: 0,
                });
            }
        }
    }
}

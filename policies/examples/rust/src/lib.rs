//! A first policy: oldest job first, each on the worker with the most free slots.
//!
//! `wit/scheduler.wit` is the contract, with every rule the master enforces; `sdk/` keeps the view of the cluster and turns
//! the contract's calls into the trait below. `cargo test` runs the policy natively; `cargo run -p component` makes the component.

use ffrtmp_policy_sdk::{
    Answer, Ask, Cluster, Info, JobInfo, Placement, Policy, Rank, ageing, config,
};
use serde::Deserialize;

#[cfg(target_arch = "wasm32")]
ffrtmp_policy_sdk::export!(MyPolicy);

/// The `[config]` table of `my-policy.toml`, beside the policy's file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// Slots of each worker that stay free. 0 without a configuration.
    spare_slots: u32,
}

/// The policy.
#[derive(Debug)]
pub struct MyPolicy {
    spare_slots: u32,
}

impl Policy for MyPolicy {
    fn info() -> Info {
        Info {
            name: "my-policy".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            // Users read these in `ffrtmp jobs explain`. `{}` is the placement's `arg`.
            reasons: vec!["most free slots: {} of them were free".into()],
        }
    }

    fn init(text: &str) -> Result<Self, String> {
        let config: Config = config::read(text)?;
        Ok(MyPolicy {
            spare_slots: config.spare_slots,
        })
    }

    /// Where a job stands in the queue; smaller is first. Asked once of each job, so it must not depend on the time. Here: when
    /// it was submitted, less some hours for its lane and priority.
    fn rank(&mut self, job: &JobInfo) -> Rank {
        Rank {
            rank: ageing::key(job),
            group: 0,
        }
    }

    /// A round: which candidate goes where. Candidates come in order of rank.
    fn plan(&mut self, cluster: &mut Cluster, ask: &Ask, answer: &mut Answer) {
        for candidate in &ask.candidates {
            // Of the workers where it fits and did not fail, the one with the most free slots.
            let best = cluster.best_place(ask, candidate, |worker, _gpu| {
                worker.free_slots().checked_sub(self.spare_slots + 1)
            });
            let Some((worker, gpu, free)) = best else {
                // Smaller jobs behind this one may still fit: let the window slide on past it.
                answer.skips.push(candidate.job);
                continue;
            };
            // Takes the capacity, so that later candidates see it gone.
            cluster.place(candidate, worker, gpu);
            answer.placements.push(Placement {
                job: candidate.job,
                worker,
                gpu,
                score: i64::from(free),
                reason: 0,
                arg: i64::from(free + self.spare_slots + 1),
            });
        }
    }
}

//! `gpu-first`: GPUs never wait for anything but work.
//!
//! Jobs that need a GPU go before all others that were submitted up to some hours earlier (6, unless configured otherwise),
//! and on a worker with GPUs every free encode session keeps a slot free for itself: other jobs spill over onto
//! GPU workers only into slots that no session could use. Where a job goes among the places it may go is
//! where most room is left.
//!
//! What it cannot do: whether a job encodes on a GPU or on the CPU is stated by the job (`gpu`), because the two give
//! different files. So this policy never moves a GPU job to a CPU when GPUs are full; that job waits. What spills over is CPU
//! work, onto GPU machines that have slots to spare.

use ffrtmp_policy_sdk::{
    Answer, Ask, Cluster, Gpu, Info, JobInfo, Placement, Policy, Rank, WHOLE, Worker, ageing,
    config,
};
use serde::Deserialize;

#[cfg(target_arch = "wasm32")]
ffrtmp_policy_sdk::export!(GpuFirst);

const HOUR_MS: i64 = 3_600_000;
/// Most hours of head start: a week. Jobs that need no GPU then still run on workers that have none.
pub const HEAD_START_HOURS_MAX: u32 = 168;

/// What an operator may set.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// By how many hours jobs that need a GPU go before others.
    head_start_hours: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            head_start_hours: 6,
        }
    }
}

/// The policy.
#[derive(Debug, Clone)]
pub struct GpuFirst {
    head_start_ms: i64,
}

/// Why a job went where it did: indexes into the reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
enum Reason {
    Gpu,
    Plain,
    SpilledOver,
}

impl Policy for GpuFirst {
    fn info() -> Info {
        Info {
            name: "gpu-first".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            reasons: vec![
                "least loaded GPU with a free session: {} % of it was free".into(),
                "a worker without GPUs: {} % of it was free".into(),
                "spilled over to a GPU worker with slots to spare: {} % of it was free".into(),
            ],
        }
    }

    fn init(text: &str) -> Result<Self, String> {
        let hours = config::read::<Config>(text)?.head_start_hours;
        if hours > HEAD_START_HOURS_MAX {
            return Err(format!(
                "head_start_hours = {hours} is more than {HEAD_START_HOURS_MAX}, a week"
            ));
        }
        Ok(GpuFirst {
            head_start_ms: i64::from(hours) * HOUR_MS,
        })
    }

    fn rank(&mut self, job: &JobInfo) -> Rank {
        let head_start = if job.cost.gpu_sessions > 0 {
            self.head_start_ms
        } else {
            0
        };
        Rank {
            rank: ageing::key(job).saturating_sub(head_start),
            group: 0,
        }
    }

    fn plan(&mut self, cluster: &mut Cluster, ask: &Ask, answer: &mut Answer) {
        let mut open_slots = cluster.open_slots();
        for candidate in &ask.candidates {
            let Some((worker, gpu, (plain, free))) = cluster.best_place(ask, candidate, score)
            else {
                if open_slots > 0 {
                    answer.skips.push(candidate.job);
                }
                continue;
            };
            cluster.place(candidate, worker, gpu);
            open_slots = open_slots.saturating_sub(1);
            let reason = match (gpu, plain) {
                (Some(_), _) => Reason::Gpu,
                (None, true) => Reason::Plain,
                (None, false) => Reason::SpilledOver,
            };
            answer.placements.push(Placement {
                job: candidate.job,
                worker,
                gpu,
                score: i64::from(free / 1_000),
                reason: reason as u32,
                arg: i64::from(free.max(0) / 10_000),
            });
        }
    }
}

/// Workers without GPUs first, then where most room is left; nowhere if the slot is kept for a GPU's session.
fn score(worker: &Worker, gpu: Option<&Gpu>) -> Option<(bool, i32)> {
    if let Some(gpu) = gpu {
        return Some((false, gpu.free().min(WHOLE)));
    }
    let kept: u32 = worker.gpus.iter().map(free_sessions).sum();
    (worker.free_slots() > kept).then(|| (worker.gpus.is_empty(), worker.free()))
}

fn free_sessions(gpu: &Gpu) -> u32 {
    gpu.sessions_max.saturating_sub(gpu.sessions_used)
}

//! `gpu-first`: GPUs never wait for anything but work.
//!
//! Jobs that need a GPU go before all others that were submitted up to some hours earlier (6, unless configured otherwise),
//! and on a worker with GPUs every free encode session keeps a slot free for itself: other jobs spill over onto
//! GPU workers only into slots that no session could use, unless they have waited for some time. Among the places it may go, a
//! job goes where [`ffrtmp_policy_sdk::most_room`] says.
//!
//! How long slots are kept from jobs that wait is `keep_seconds`. The default stays below the 10 s after which the master
//! takes a policy for stalled that leaves room unused; the settings file that comes with it keeps them for 10 minutes and
//! says so to the master.
//!
//! What it cannot do: whether a job encodes on a GPU or on the CPU is stated by the job (`gpu`), because the two give
//! different files. So this policy never moves a GPU job to a CPU when GPUs are full; that job waits. What spills over is CPU
//! work, onto GPU machines that have slots to spare.

use ffrtmp_policy_sdk::{
    Answer, Ask, Candidate, Cluster, Gpu, Info, JobInfo, MostRoom, NOWHERE, Policy, Rank, Worker,
    ageing, config, most_room,
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
    /// Seconds after which a job that needs no GPU may take a slot kept for one. More than `stall_ms` in `[limits]` allows
    /// is a stall.
    keep_seconds: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            head_start_hours: 6,
            keep_seconds: 8,
        }
    }
}

/// The policy.
#[derive(Debug, Clone)]
pub struct GpuFirst {
    head_start_ms: i64,
    keep_ms: u64,
    /// Every place but slots kept for GPUs.
    room: MostRoom,
    /// Every place.
    any_room: MostRoom,
}

impl Policy for GpuFirst {
    fn info() -> Info {
        Info {
            name: "gpu-first".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            reasons: most_room::REASONS.map(Into::into).to_vec(),
        }
    }

    fn init(text: &str) -> Result<Self, String> {
        let config = config::read::<Config>(text)?;
        let hours = config.head_start_hours;
        if hours > HEAD_START_HOURS_MAX {
            return Err(format!(
                "head_start_hours = {hours} is more than {HEAD_START_HOURS_MAX}, a week"
            ));
        }
        Ok(GpuFirst {
            head_start_ms: i64::from(hours) * HOUR_MS,
            keep_ms: u64::from(config.keep_seconds) * 1_000,
            room: MostRoom::where_allowed(score),
            any_room: MostRoom::default(),
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
        self.room.begin(cluster, ask);
        let mut patient: Vec<&Candidate> = Vec::new();
        for candidate in &ask.candidates {
            if candidate.waited_ms < self.keep_ms || candidate.cost.gpu_sessions > 0 {
                self.room.place(cluster, ask, candidate, answer);
            } else if !self.room.place_or_leave(cluster, ask, candidate, answer) {
                patient.push(candidate);
            }
        }
        if patient.is_empty() {
            return;
        }
        self.any_room.begin(cluster, ask);
        for placed in &answer.placements {
            self.any_room.placed_elsewhere(cluster, placed.worker);
        }
        for candidate in patient {
            self.any_room.place(cluster, ask, candidate, answer);
        }
    }
}

/// Where most room is left; for a job that needs no GPU nowhere, if the slot is kept for a GPU's session.
fn score(worker: &Worker, gpu: Option<&Gpu>) -> i32 {
    let kept: u32 = worker.gpus.iter().map(free_sessions).sum();
    if gpu.is_none() && worker.free_slots() <= kept {
        return NOWHERE;
    }
    most_room::score(worker, gpu)
}

fn free_sessions(gpu: &Gpu) -> u32 {
    gpu.sessions_max.saturating_sub(gpu.sessions_used)
}

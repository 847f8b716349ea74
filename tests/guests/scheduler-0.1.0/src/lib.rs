//! The witness of `ffrtmp:scheduler@0.1.0`: a policy that uses every call and every field of the contract, built on the day it
//! was released. `../scheduler-0.1.0.wasm` is that build; it is never built again. A later master must run it as it is.
//!
//! All that it is told goes into a digest, and its answers carry the digest back, so that no field can get lost on the way.

use ffrtmp_policy_sdk::{
    Answer, Ask, Change, Cluster, Hold, Info, JobInfo, Level, Placement, Policy, Rank, log,
};

#[cfg(target_arch = "wasm32")]
ffrtmp_policy_sdk::export!(Witness);

struct Witness {
    heard: u64,
}

/// FNV-1a of how a value prints.
fn digest(seed: u64, value: &impl std::fmt::Debug) -> u64 {
    format!("{value:?}")
        .bytes()
        .fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

impl Policy for Witness {
    fn info() -> Info {
        Info {
            name: "witness".into(),
            version: "0.1.0".into(),
            reasons: vec!["what it heard: {}".into(), "what it was asked: {}".into()],
        }
    }

    fn init(config: &str) -> Result<Self, String> {
        if config.contains("refuse") {
            return Err(format!("asked to refuse: {config}"));
        }
        log(Level::Info, "the witness is here");
        Ok(Witness {
            heard: digest(0, &config),
        })
    }

    fn rank(&mut self, job: &JobInfo) -> Rank {
        let rank = digest(0, job);
        Rank {
            rank: rank as i64,
            group: (rank >> 32) as u32,
        }
    }

    fn observe(&mut self, change: &Change) {
        self.heard = digest(self.heard, change);
    }

    fn reset(&mut self) {
        self.heard = digest(self.heard, &"reset");
    }

    /// Every candidate in turn is placed, held and passed over.
    fn plan(&mut self, cluster: &mut Cluster, ask: &Ask, answer: &mut Answer) {
        let asked = digest(self.heard, ask) as i64;
        let heard = digest(self.heard, &cluster.workers()) as i64;
        for (i, candidate) in ask.candidates.iter().enumerate() {
            match i % 3 {
                0 => answer.placements.push(Placement {
                    job: candidate.job,
                    worker: cluster.workers().first().map_or(0, |w| w.id),
                    gpu: Some(i as u32),
                    score: asked,
                    reason: 0,
                    arg: heard,
                }),
                1 => answer.holds.push(Hold {
                    job: candidate.job,
                    until_ms: ask.now_ms + 60_000,
                    reason: 1,
                    arg: asked,
                }),
                _ => answer.skips.push(candidate.job),
            }
        }
    }
}

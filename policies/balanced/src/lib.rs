//! `balanced`: oldest first by priority, each on the place with the most room left. Also the master's built-in fallback.
//!
//! The queue's order, and how long a wait can get, is [`ffrtmp_policy_sdk::ageing`]; where a job goes is
//! [`ffrtmp_policy_sdk::most_room`].
//!
//! It must never depend on anything but its arguments: it is the native fallback, the wasm policy and the twin that the
//! benchmark compares them by.

use ffrtmp_policy_sdk::{
    Answer, Ask, Cluster, Info, JobInfo, MostRoom, Policy, Rank, ageing, most_room,
};

pub use most_room::{KEEP_CLEAR_AFTER_LIVE_MS, KEEP_CLEAR_AFTER_MS, KEPT_CLEAR_MAX};

#[cfg(target_arch = "wasm32")]
ffrtmp_policy_sdk::export!(Balanced);

/// The policy.
#[derive(Debug, Clone)]
pub struct Balanced {
    room: MostRoom,
}

impl Policy for Balanced {
    fn info() -> Info {
        Info {
            name: "balanced".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            reasons: most_room::REASONS.map(Into::into).to_vec(),
        }
    }

    fn init(_config: &str) -> Result<Self, String> {
        Ok(Balanced {
            room: MostRoom::default(),
        })
    }

    fn rank(&mut self, job: &JobInfo) -> Rank {
        Rank {
            rank: ageing::key(job),
            group: 0,
        }
    }

    fn plan(&mut self, cluster: &mut Cluster, ask: &Ask, answer: &mut Answer) {
        self.room.begin(cluster, ask);
        for candidate in &ask.candidates {
            self.room.place(cluster, ask, candidate, answer);
        }
    }
}

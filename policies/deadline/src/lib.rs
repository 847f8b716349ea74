//! `deadline`: earliest deadline first.
//!
//! A job's rank is its deadline. One that has none is given one: when it was submitted, plus some hours by its lane (live 0,
//! default 24, batch 72, unless configured otherwise), so that it cannot starve behind jobs that state theirs. Priority does not
//! count: a deadline says it better. Where a job goes is [`ffrtmp_policy_sdk::most_room`].
//!
//! What it can and cannot do: as long as everything can be finished in time on one queue of work, earliest deadline first
//! misses none. Under overload it goes on serving the jobs that are latest, as it must: a deadline is a wish, not a reason to
//! drop work. It does not know how long an encode will take, so it cannot start a long one early.

use ffrtmp_policy_sdk::{
    Answer, Ask, Cluster, Info, JobInfo, MostRoom, Policy, Rank, config, most_room,
};
use serde::Deserialize;

#[cfg(target_arch = "wasm32")]
ffrtmp_policy_sdk::export!(Deadline);

const HOUR_MS: i64 = 3_600_000;
/// Most hours a lane may be given: a year. More would be a wait without end.
pub const HOURS_MAX: u32 = 8_760;

/// What an operator may set: within how many hours jobs without a deadline should be finished, by lane.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    live_hours: u32,
    default_hours: u32,
    batch_hours: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            live_hours: 0,
            default_hours: 24,
            batch_hours: 72,
        }
    }
}

/// The policy.
#[derive(Debug, Clone)]
pub struct Deadline {
    /// By lane, milliseconds.
    assumed_ms: [i64; 3],
    room: MostRoom,
}

impl Policy for Deadline {
    fn info() -> Info {
        Info {
            name: "deadline".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            reasons: most_room::REASONS.map(Into::into).to_vec(),
        }
    }

    fn init(text: &str) -> Result<Self, String> {
        let config: Config = config::read(text)?;
        let hours = [
            ("live_hours", config.live_hours),
            ("default_hours", config.default_hours),
            ("batch_hours", config.batch_hours),
        ];
        if let Some((name, given)) = hours.iter().find(|(_, hours)| *hours > HOURS_MAX) {
            return Err(format!("{name} = {given} is more than {HOURS_MAX}, a year"));
        }
        Ok(Deadline {
            assumed_ms: hours.map(|(_, hours)| i64::from(hours) * HOUR_MS),
            room: MostRoom::default(),
        })
    }

    fn rank(&mut self, job: &JobInfo) -> Rank {
        let assumed = self.assumed_ms[job.queue.min(2) as usize];
        let deadline = job
            .deadline_ms
            .unwrap_or_else(|| job.submitted_ms.saturating_add(assumed));
        Rank {
            rank: deadline,
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

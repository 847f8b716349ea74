//! `time-of-day`: batch jobs run in the hours set for them; the rest of the day the machines are everybody else's.
//!
//! Outside its windows a job of a named lane is held until the next one opens, and its owner is told so. No job is kept for
//! longer than 24 h (or as configured, if that is less): then it runs whatever the hour, so a window that never fits loses no
//! work. Everything else, and batch jobs in their hours, is placed as [`ffrtmp_policy_sdk::most_room`] and
//! [`ffrtmp_policy_sdk::ageing`] say. Jobs that run when a window closes go on.
//!
//! Hours are local to a fixed offset from UTC: a policy has no time zone database, so daylight saving is the operator's to
//! follow.

mod week;

use ffrtmp_policy_sdk::{
    Answer, Ask, Candidate, Cluster, Hold, Info, JobInfo, MostRoom, Policy, Rank, ageing, config,
    most_room,
};
use serde::Deserialize;
use week::Week;

#[cfg(target_arch = "wasm32")]
ffrtmp_policy_sdk::export!(TimeOfDay);

const HOUR_MS: u64 = 3_600_000;
/// Longest wait, hours: the master holds no job for longer.
pub const MAX_WAIT_HOURS_MAX: u64 = 24;

/// What an operator may set.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// When held lanes may run: `22:00-06:00`, `sat 00:00-24:00`, `mon-fri 20:00-07:00`. A window over midnight belongs to
    /// the day it begins on.
    windows: Vec<String>,
    /// Local time's distance from UTC, `+01:00` say.
    utc_offset: String,
    /// Which lanes keep to the windows.
    queues: Vec<Lane>,
    /// After how many hours a job runs whatever the hour.
    max_wait_hours: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            windows: vec!["22:00-06:00".into()],
            utc_offset: "+00:00".into(),
            queues: vec![Lane::Batch],
            max_wait_hours: MAX_WAIT_HOURS_MAX,
        }
    }
}

/// A lane that may be held. Live is none: the master holds a live job for seconds, not for hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Lane {
    Default = 1,
    Batch = 2,
}

/// The policy.
#[derive(Debug, Clone)]
pub struct TimeOfDay {
    week: Week,
    queues: Vec<u8>,
    max_wait_ms: u64,
    room: MostRoom,
}

/// The group of jobs that keep to the windows: a queue of their own, so that those held never stand before others.
const HELD_GROUP: u32 = 1;
/// The reason of a hold, behind those of [`most_room`].
const OUTSIDE: u32 = most_room::REASONS.len() as u32;

impl Policy for TimeOfDay {
    fn info() -> Info {
        let mut reasons = most_room::REASONS.map(Into::into).to_vec();
        reasons.push(
            "outside its hours; the next window opens at {} (hours and minutes, local time)".into(),
        );
        Info {
            name: "time-of-day".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            reasons,
        }
    }

    fn init(text: &str) -> Result<Self, String> {
        let config: Config = config::read(text)?;
        if !(1..=MAX_WAIT_HOURS_MAX).contains(&config.max_wait_hours) {
            return Err(format!(
                "max_wait_hours = {} is not from 1 to {MAX_WAIT_HOURS_MAX}",
                config.max_wait_hours
            ));
        }
        Ok(TimeOfDay {
            week: Week::new(&config.windows, &config.utc_offset)?,
            queues: config.queues.iter().map(|lane| *lane as u8).collect(),
            max_wait_ms: config.max_wait_hours * HOUR_MS,
            room: MostRoom::default(),
        })
    }

    fn rank(&mut self, job: &JobInfo) -> Rank {
        Rank {
            rank: ageing::key(job),
            group: if self.queues.contains(&job.queue) {
                HELD_GROUP
            } else {
                0
            },
        }
    }

    fn plan(&mut self, cluster: &mut Cluster, ask: &Ask, answer: &mut Answer) {
        self.room.begin(cluster, ask);
        let opens_ms = self.week.opens_ms(ask.now_ms);
        for candidate in &ask.candidates {
            match self.left_ms(candidate) {
                Some(left_ms) if opens_ms > ask.now_ms => answer.holds.push(Hold {
                    job: candidate.job,
                    until_ms: opens_ms.min(ask.now_ms.saturating_add_unsigned(left_ms)),
                    reason: OUTSIDE,
                    arg: self.week.clock(opens_ms),
                }),
                _ => {
                    self.room.place(cluster, ask, candidate, answer);
                }
            }
        }
    }
}

impl TimeOfDay {
    /// For how much longer a candidate may be held; `None` if not at all.
    fn left_ms(&self, candidate: &Candidate) -> Option<u64> {
        let held = self.queues.contains(&candidate.queue);
        let left_ms = self.max_wait_ms.saturating_sub(candidate.waited_ms);
        (held && left_ms > 0).then_some(left_ms)
    }
}

//! `chaos`: misbehaves on demand, for drills. **Not for scheduling.**
//!
//! In every tenth round (or as configured) it does the one thing it is told to; in all others it places as
//! [`ffrtmp_policy_sdk::most_room`] does. Whatever it does, jobs must keep flowing and the operator must be told why it
//! failed: that is what a drill with it shows. Which rounds are bad follows from their numbers alone, so a fresh instance does not
//! begin anew.

use ffrtmp_policy_sdk::{
    Answer, Ask, Cluster, Hold, Info, JobInfo, Level, MostRoom, Placement, Policy, Rank, ageing,
    config, log, most_room,
};
use serde::Deserialize;

#[cfg(target_arch = "wasm32")]
ffrtmp_policy_sdk::export!(Chaos);

/// What an operator may set.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// What it does in a bad round.
    fault: Misdeed,
    /// Every how many rounds one is bad: 1 is every round.
    every: u64,
    /// How much needless work `slow` does, thousands of steps; a step is about a nanosecond.
    slow_kilosteps: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            fault: Misdeed::Trap,
            every: 10,
            slow_kilosteps: 2_000,
        }
    }
}

/// What goes wrong in a bad round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Misdeed {
    /// Fails an assertion.
    Trap,
    /// Never comes back.
    Loop,
    /// Allocates without end.
    Memory,
    /// Places jobs nobody asked about on workers nobody has, and every job on the first worker.
    Nonsense,
    /// Answers more than it was asked.
    Flood,
    /// Answers nothing.
    Silence,
    /// Holds every job as long as it can.
    Hold,
    /// Takes its time.
    Slow,
    /// Logs without end.
    Log,
}

/// The policy.
#[derive(Debug, Clone)]
pub struct Chaos {
    config: Config,
    room: MostRoom,
}

/// The reason of what it should not have said, behind those of [`most_room`].
const DRILL: u32 = most_room::REASONS.len() as u32;

impl Policy for Chaos {
    fn info() -> Info {
        let mut reasons = most_room::REASONS.map(Into::into).to_vec();
        reasons.push("a drill: `chaos` was told to misbehave".into());
        Info {
            name: "chaos".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            reasons,
        }
    }

    fn init(text: &str) -> Result<Self, String> {
        let config: Config = config::read(text)?;
        if config.every == 0 {
            return Err("`every` is 0; 1 makes every round a bad one".into());
        }
        Ok(Chaos {
            config,
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
        // Round 0 is the trial before a policy is taken: what fails there never gets to its drill.
        let bad = ask.round > 0 && ask.round.is_multiple_of(self.config.every);
        if bad && self.misbehave(cluster, ask, answer) {
            return;
        }
        self.room.begin(cluster, ask);
        for candidate in &ask.candidates {
            self.room.place(cluster, ask, candidate, answer);
        }
    }
}

impl Chaos {
    /// Does it. Says whether the round is spoilt; if not, it is planned as any other, only late.
    fn misbehave(&self, cluster: &Cluster, ask: &Ask, answer: &mut Answer) -> bool {
        let wrong = |job, worker| Placement {
            job,
            worker,
            gpu: Some(77),
            reason: DRILL,
            ..Placement::default()
        };
        match self.config.fault {
            #[allow(clippy::panic)] // the drill itself
            Misdeed::Trap => panic!("a drill: `chaos` traps in round {}", ask.round),
            Misdeed::Loop => loop {
                std::hint::spin_loop();
            },
            Misdeed::Memory => {
                let mut hoard: Vec<Vec<u8>> = Vec::new();
                loop {
                    hoard.push(std::hint::black_box(vec![1; 1 << 20]));
                }
            }
            Misdeed::Nonsense => {
                let first = cluster.workers().first().map_or(0, |worker| worker.id);
                let jobs = ask.candidates.iter().enumerate();
                answer.placements.extend(jobs.map(|(i, candidate)| {
                    if i % 2 == 0 {
                        wrong(candidate.job, first)
                    } else {
                        wrong(u32::MAX, u32::MAX)
                    }
                }));
                true
            }
            Misdeed::Flood => {
                answer.placements = vec![wrong(1, 1); ask.candidates.len() + 1_000];
                true
            }
            Misdeed::Silence => true,
            Misdeed::Hold => {
                answer.holds.extend(ask.candidates.iter().map(|c| Hold {
                    job: c.job,
                    until_ms: i64::MAX,
                    reason: DRILL,
                    arg: 0,
                }));
                true
            }
            Misdeed::Slow => {
                for step in 0..u64::from(self.config.slow_kilosteps) * 1_000 {
                    std::hint::black_box(step);
                }
                false
            }
            Misdeed::Log => {
                for line in 0..10_000 {
                    log(Level::Warn, &format!("a drill: `chaos` logs, line {line}"));
                }
                false
            }
        }
    }
}

//! The place from which one policy rules: its instance, what it has been told, and how often it has failed.
//!
//! Lives on the policy thread. It runs a round and says what came of it; which policy sits here is not its business.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ffrtmp_policy_balanced::Balanced;
use ffrtmp_policy_sdk::{self as sdk, Policy};

use super::NATIVE;
use super::board::Stats;
use super::choice::Choice;
use super::component::{Loaded, short};
use super::engine::{PolicyEngine, thread_cpu};
use super::instance::{Fault, Instance};
use super::metrics::CallTimes;
use super::settings::Settings;
use crate::core::round::{FaultStage, Outcome, PolicyTag, Round, Work};

/// A policy in its place.
#[derive(Debug)]
pub(super) struct Seat {
    tag: Arc<PolicyTag>,
    choice: Choice,
    version: String,
    ruler: Ruler,
    /// Whether the instance was told everything there is.
    synced: bool,
    faults_in_a_row: u32,
    recent_faults: VecDeque<Instant>,
    pub(super) stats: Arc<Stats>,
}

#[derive(Debug)]
enum Ruler {
    Native {
        instance: Box<sdk::Instance<Balanced>>,
        seq: u64,
    },
    Wasm {
        loaded: Arc<Loaded>,
        instance: Result<Box<Instance>, Fault>,
    },
}

impl Seat {
    /// The built-in policy's.
    pub(super) fn native() -> Seat {
        let info = Balanced::info();
        let choice = Choice::native();
        // It has no configuration to refuse; were that to change, this line would not compile away and tests would fail.
        #[allow(clippy::expect_used)]
        let instance =
            sdk::Instance::new("").expect("the built-in policy takes an empty configuration");
        Seat {
            tag: Arc::new(PolicyTag {
                name: choice.name.clone(),
                digest: NATIVE.into(),
                config: String::new(),
                budget_us: 0,
                stall_ms: 0,
                reasons: info.reasons,
            }),
            choice,
            version: info.version,
            ruler: Ruler::Native {
                instance: Box::new(instance),
                seq: 0,
            },
            synced: false,
            faults_in_a_row: 0,
            recent_faults: VecDeque::new(),
            stats: Arc::default(),
        }
    }

    /// A guest's, with an instance that is ready.
    pub(super) fn wasm(loaded: Arc<Loaded>, instance: Instance) -> Seat {
        let (name, digest) = (loaded.name.clone(), loaded.digest.clone());
        let tag = PolicyTag {
            name: name.clone(),
            digest: short(&digest).to_owned(),
            config: loaded.settings.config_digest(),
            budget_us: loaded.settings.limits.call_cpu.as_micros() as u64,
            stall_ms: loaded.settings.limits.stall.as_millis() as u64,
            reasons: loaded.info.reasons.clone(),
        };
        Seat {
            tag: Arc::new(tag),
            choice: Choice { name, digest },
            version: loaded.info.version.clone(),
            ruler: Ruler::Wasm {
                loaded,
                instance: Ok(Box::new(instance)),
            },
            synced: false,
            faults_in_a_row: 0,
            recent_faults: VecDeque::new(),
            stats: Arc::default(),
        }
    }

    /// Who sits here.
    pub(super) fn tag(&self) -> &Arc<PolicyTag> {
        &self.tag
    }

    /// The same, whole.
    pub(super) fn choice(&self) -> &Choice {
        &self.choice
    }

    /// The version it states.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Whether the built-in policy sits here.
    pub(super) fn is_native(&self) -> bool {
        matches!(self.ruler, Ruler::Native { .. })
    }

    /// Linear memory of the guest that sits here, bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        match &self.ruler {
            Ruler::Wasm {
                instance: Ok(guest),
                ..
            } => guest.memory_bytes(),
            _ => 0,
        }
    }

    /// The language its policy was written in, where that is known.
    pub(super) fn language(&self) -> Option<&str> {
        match &self.ruler {
            Ruler::Native { .. } => Some("Rust"),
            Ruler::Wasm { loaded, .. } => loaded.language.as_deref(),
        }
    }

    /// Runs a round. Also gives the CPU time it took in the policy, and for a guest by call.
    pub(super) fn run(&mut self, round: Round) -> (Outcome, Duration, CallTimes) {
        if let Work::Stalled(message) = round.work {
            return self.stalled(message);
        }
        if !self.synced && !round.reset {
            return (Outcome::NeedsReset, Duration::ZERO, CallTimes::default());
        }
        // A batch to rank needs no view, so it brings a `sync` only if there is something to tell.
        let sync = round.reset || !round.changes.is_empty() || matches!(round.work, Work::Plan(_));
        match &mut self.ruler {
            Ruler::Native { instance, seq } => {
                let from = thread_cpu();
                if sync {
                    *seq = if round.reset { 1 } else { *seq + 1 };
                    instance.sync(round.reset, *seq, &round.changes);
                    self.synced = true;
                }
                let outcome = match round.work {
                    Work::Rank(jobs) => Outcome::Ranks(instance.rank(&jobs)),
                    Work::Plan(ask) => Outcome::Answer(instance.plan(&ask)),
                    Work::Stalled(_) => Outcome::NeedsReset, // it was dealt with above
                };
                let time = thread_cpu().saturating_sub(from);
                (outcome, time, CallTimes::default())
            }
            Ruler::Wasm { instance, .. } => {
                let (outcome, times) = match instance {
                    Ok(guest) => {
                        let outcome = ask(guest, sync, round);
                        (outcome, guest.take_call_times())
                    }
                    Err(fault) => (Err(fault.clone()), CallTimes::default()),
                };
                match outcome {
                    Ok(outcome) => {
                        self.synced = true;
                        self.faults_in_a_row = 0;
                        (outcome, times.total(), times)
                    }
                    Err(fault) => (self.failed(fault), times.total(), times),
                }
            }
        }
    }

    /// The policy that sits here let jobs wait. One whose answers are worth nothing may be the victim of its own view, so it
    /// gets a fresh instance, as after any fault. The built-in one is never blamed: it is what the others are measured by.
    fn stalled(&mut self, message: String) -> (Outcome, Duration, CallTimes) {
        let outcome = match self.is_native() {
            true => Outcome::NeedsReset,
            false => self.failed(Fault {
                stage: FaultStage::Stall,
                message,
            }),
        };
        (outcome, Duration::ZERO, CallTimes::default())
    }

    /// Notes a fault, and drops the instance it happened in.
    fn failed(&mut self, Fault { stage, message }: Fault) -> Outcome {
        self.synced = false;
        if let Ruler::Wasm { instance, .. } = &mut self.ruler {
            *instance = Err(Fault {
                stage: FaultStage::Init,
                message: "no instance".into(),
            });
        }
        self.faults_in_a_row += 1;
        self.recent_faults.push_back(Instant::now());
        Outcome::Fault { stage, message }
    }

    /// Whether it has failed so often that it should rule no longer.
    pub(super) fn should_go(&mut self) -> bool {
        let Ruler::Wasm { loaded, .. } = &self.ruler else {
            return false;
        };
        let limits = &loaded.settings.limits;
        while self
            .recent_faults
            .front()
            .is_some_and(|at| at.elapsed() >= Duration::from_secs(60))
        {
            self.recent_faults.pop_front();
        }
        self.faults_in_a_row >= limits.faults_in_a_row
            || self.recent_faults.len() >= limits.faults_in_a_minute
    }

    /// Makes a fresh instance where the last one failed, before the next round needs it.
    pub(super) fn renew(&mut self, engine: &PolicyEngine) {
        if let Ruler::Wasm { loaded, instance } = &mut self.ruler
            && instance.is_err()
        {
            let Settings { config, limits, .. } = &*loaded.settings;
            *instance = Instance::new(engine, &loaded.prepared, &loaded.name, config, limits)
                .map(|(i, _)| Box::new(i));
        }
    }

    /// What is in force for the policy that sits here; none for the built-in one.
    pub(super) fn settings(&self) -> Option<&Arc<Settings>> {
        match &self.ruler {
            Ruler::Native { .. } => None,
            Ruler::Wasm { loaded, .. } => Some(&loaded.settings),
        }
    }
}

fn ask(guest: &mut Instance, sync: bool, round: Round) -> Result<Outcome, Fault> {
    if sync {
        guest.sync(round.reset, round.changes.as_slice())?;
    }
    match round.work {
        Work::Rank(jobs) => guest.rank(jobs).map(Outcome::Ranks),
        Work::Plan(ask) => guest.plan(&ask).map(Outcome::Answer),
        Work::Stalled(_) => Ok(Outcome::NeedsReset), // it was dealt with before
    }
}

//! One guest: a store with its limits, and the four calls of the contract, each within its budget.
//!
//! A call that fails in any way leaves a store nobody should use again; the caller drops the instance. Nothing here
//! decides what happens then.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ffrtmp_api::rest::LogLevel;
use ffrtmp_policy_sdk as sdk;
use wasmtime::component::InstancePre;
use wasmtime::{Store, Trap, UpdateDeadline, WasmBacktrace};

use super::bindings::{self, SchedulingPolicyPre, types as wit};
use super::bounds::{Bounds, Refused};
use super::convert;
use super::engine::{Budget, OverBudget, PolicyEngine};
use super::journal::Journal;
use super::limits::{INFO_BYTES_MAX, Limits, REASON_BYTES_MAX, REASONS_MAX};
use super::metrics::CallTimes;
use crate::core::round::FaultStage;

/// Why a call gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", .stage.as_str())]
pub struct Fault {
    /// In which call.
    pub stage: FaultStage,
    /// What happened, for the operator.
    pub message: String,
}

/// What a store holds for its guest.
#[derive(Debug)]
pub struct Guest {
    bounds: Bounds,
    budget: Budget,
    log: Log,
}

/// Lines a guest writes: to the journal, within bounds.
#[derive(Debug)]
struct Log {
    journal: Arc<Journal>,
    policy: String,
    /// Short.
    digest: Arc<str>,
    line_bytes: usize,
    per_call: u32,
    per_minute: u32,
    this_call: u32,
    this_minute: u32,
    minute: Instant,
    dropped: u64,
    /// The last error line of this call: a panic's message, which a trap does not carry.
    last_error: Option<String>,
}

impl bindings::host::Host for Guest {
    fn log(&mut self, level: wit::Level, message: String) {
        let log = &mut self.log;
        let mut text = message;
        if text.len() > log.line_bytes {
            text.truncate(text.floor_char_boundary(log.line_bytes));
        }
        // Control characters would let a guest forge log lines.
        let text: String = text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        if level == wit::Level::Error {
            log.last_error = Some(text.clone());
        }
        if log.minute.elapsed() >= Duration::from_secs(60) {
            log.minute = Instant::now();
            log.this_minute = 0;
        }
        log.this_call += 1;
        log.this_minute += 1;
        if log.this_call > log.per_call || log.this_minute > log.per_minute {
            log.dropped += 1;
            return;
        }
        let (policy, digest) = (&log.policy, &log.digest);
        let dropped = std::mem::take(&mut log.dropped);
        if dropped > 0 {
            log.journal.happened(
                LogLevel::Warn,
                "policy_log_dropped",
                policy,
                digest,
                None,
                format!("the policy logged more than its limit; {dropped} lines were dropped"),
            );
        }
        let level = match level {
            wit::Level::Debug => LogLevel::Debug,
            wit::Level::Info => LogLevel::Info,
            wit::Level::Warn => LogLevel::Warn,
            wit::Level::Error => LogLevel::Error,
        };
        log.journal.said(level, policy, digest, text);
    }
}

impl bindings::types::Host for Guest {}

/// A policy's running instance.
pub struct Instance {
    engine: PolicyEngine,
    store: Store<Guest>,
    calls: bindings::SchedulingPolicy,
    limits: Limits,
    /// Of the last sync; 0 before the first.
    seq: u64,
    /// The last question, for its buffers.
    ask: wit::Ask,
    times: CallTimes,
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance")
            .field("policy", &self.store.data().log.policy)
            .finish_non_exhaustive()
    }
}

/// A component that was checked and can be instantiated.
#[derive(Clone)]
pub struct Prepared {
    pre: SchedulingPolicyPre<Guest>,
    /// Short: what its instances say is kept under it.
    digest: Arc<str>,
}

/// Resolves a component's imports. Its exports are looked up, once for all instances. `digest` is short.
pub(super) fn prepare(pre: InstancePre<Guest>, digest: &str) -> wasmtime::Result<Prepared> {
    Ok(Prepared {
        pre: SchedulingPolicyPre::new(pre)?,
        digest: digest.into(),
    })
}

impl Instance {
    /// A fresh instance, `init` called, and what it says of itself.
    ///
    /// # Errors
    /// When it cannot be made, fails in a start function or `init`, or refuses its configuration.
    pub fn new(
        engine: &PolicyEngine,
        prepared: &Prepared,
        name: &str,
        config: &str,
        limits: &Limits,
    ) -> Result<(Instance, sdk::Info), Fault> {
        let guest = Guest {
            bounds: Bounds::new(limits),
            budget: Budget::start(limits.init_cpu, limits.init_wall),
            log: Log {
                journal: engine.journal().clone(),
                policy: name.to_owned(),
                digest: prepared.digest.clone(),
                line_bytes: limits.log_line_bytes,
                per_call: limits.log_lines_per_call,
                per_minute: limits.log_lines_per_minute,
                this_call: 0,
                this_minute: 0,
                minute: Instant::now(),
                dropped: 0,
                last_error: None,
            },
        };
        let mut store = Store::new(engine.wasmtime(), guest);
        store.limiter(|guest| &mut guest.bounds);
        store.set_hostcall_fuel(limits.hostcall_bytes);
        // No contract type is a resource; a guest that makes handles is up to something.
        store.set_max_component_handles(1_000);
        store.epoch_deadline_callback(|mut store| match store.data_mut().budget.check() {
            Ok(()) => Ok(UpdateDeadline::Continue(1)),
            Err(over) => Err(over.into()),
        });
        store.set_epoch_deadline(1);
        engine.tick_for_a_call();
        let calls = prepared
            .pre
            .instantiate(&mut store)
            .map_err(|e| fault(FaultStage::Init, &e, store.data()))?;
        let mut instance = Instance {
            engine: engine.clone(),
            store,
            calls,
            limits: limits.clone(),
            seq: 0,
            ask: wit::Ask {
                round: 0,
                now_ms: 0,
                seed: 0,
                classes: Vec::new(),
                candidates: Vec::new(),
                exclusions: Vec::new(),
            },
            times: CallTimes::default(),
        };
        let answer = instance.call(FaultStage::Init, |calls, store, _| {
            calls.ffrtmp_scheduler_policy().call_init(store, config)
        })?;
        let refused = |message| Fault {
            stage: FaultStage::Init,
            message,
        };
        let info = convert::info(
            answer
                .map_err(|why| refused(format!("it refuses its configuration: {}", cut(&why))))?,
        );
        check_info(&info).map_err(refused)?;
        Ok((instance, info))
    }

    /// Tells the guest what happened.
    ///
    /// # Errors
    /// When it fails.
    pub fn sync(&mut self, reset: bool, changes: impl AsRef<[sdk::Change]>) -> Result<(), Fault> {
        let changes: Vec<wit::Change> = changes.as_ref().iter().map(convert::change).collect();
        self.seq = if reset { 1 } else { self.seq + 1 };
        let seq = self.seq;
        let budget = if reset {
            Budget::start(self.limits.init_cpu, self.limits.init_wall)
        } else {
            Budget::start(self.limits.call_cpu, self.limits.call_wall)
        };
        self.call_within(budget, FaultStage::Sync, |calls, store, _| {
            calls
                .ffrtmp_scheduler_policy()
                .call_sync(store, reset, seq, &changes)
        })
    }

    /// Asks where jobs stand.
    ///
    /// # Errors
    /// When it fails, or gives another number of answers than there are jobs.
    pub fn rank(&mut self, jobs: Vec<sdk::JobInfo>) -> Result<Vec<sdk::Rank>, Fault> {
        let jobs: Vec<wit::JobInfo> = jobs.into_iter().map(convert::job_info).collect();
        let ranks = self.call(FaultStage::Rank, |calls, store, _| {
            calls.ffrtmp_scheduler_policy().call_rank(store, &jobs)
        })?;
        if ranks.len() != jobs.len() {
            let message = format!(
                "it was asked to rank {} jobs and answered {} ranks",
                jobs.len(),
                ranks.len()
            );
            return Err(Fault {
                stage: FaultStage::Answer,
                message,
            });
        }
        Ok(ranks.iter().map(convert::rank).collect())
    }

    /// Asks for a round's decision.
    ///
    /// # Errors
    /// When it fails, or answers more than it was asked.
    pub fn plan(&mut self, ask: &sdk::Ask) -> Result<sdk::Answer, Fault> {
        convert::ask(ask, &mut self.ask);
        let answer = self.call(FaultStage::Plan, |calls, store, ask| {
            calls.ffrtmp_scheduler_policy().call_plan(store, ask)
        })?;
        let entries = answer.placements.len() + answer.skips.len() + answer.holds.len();
        if entries > ask.candidates.len() {
            let message = format!(
                "it was asked about {} jobs and answered {entries} entries",
                ask.candidates.len()
            );
            return Err(Fault {
                stage: FaultStage::Answer,
                message,
            });
        }
        Ok(convert::answer(answer))
    }

    /// CPU time spent in the guest since this was last asked.
    pub(super) fn take_call_times(&mut self) -> CallTimes {
        std::mem::take(&mut self.times)
    }

    /// Puts back what was taken.
    pub(super) fn set_call_times(&mut self, times: CallTimes) {
        self.times = times;
    }

    /// Linear memory it has, bytes.
    pub fn memory_bytes(&self) -> usize {
        self.store.data().bounds.memory_bytes()
    }

    fn call<R>(
        &mut self,
        stage: FaultStage,
        f: impl FnOnce(&bindings::SchedulingPolicy, &mut Store<Guest>, &wit::Ask) -> wasmtime::Result<R>,
    ) -> Result<R, Fault> {
        let budget = match stage {
            FaultStage::Init => Budget::start(self.limits.init_cpu, self.limits.init_wall),
            _ => Budget::start(self.limits.call_cpu, self.limits.call_wall),
        };
        self.call_within(budget, stage, f)
    }

    fn call_within<R>(
        &mut self,
        budget: Budget,
        stage: FaultStage,
        f: impl FnOnce(&bindings::SchedulingPolicy, &mut Store<Guest>, &wit::Ask) -> wasmtime::Result<R>,
    ) -> Result<R, Fault> {
        self.engine.tick_for_a_call();
        let guest = self.store.data_mut();
        guest.budget = budget;
        guest.log.this_call = 0;
        guest.log.last_error = None;
        self.store.set_epoch_deadline(1);
        let result = f(&self.calls, &mut self.store, &self.ask);
        self.times
            .add(stage.as_str(), self.store.data().budget.used());
        result.map_err(|error| fault(stage, &error, self.store.data()))
    }
}

/// What happened, in a sentence: the reason, the guest's own last words, and where it was.
fn fault(stage: FaultStage, error: &wasmtime::Error, guest: &Guest) -> Fault {
    let ours = (error.downcast_ref::<OverBudget>().map(ToString::to_string))
        .or_else(|| error.downcast_ref::<Refused>().map(ToString::to_string));
    let mut message = match (ours, error.downcast_ref::<Trap>()) {
        (Some(ours), _) => ours,
        (None, Some(trap)) => format!("it trapped: {trap}"),
        (None, None) => format!("it failed: {}", error.root_cause()),
    };
    if let Some(said) = &guest.log.last_error {
        message.push_str(&format!(" (it said: {})", cut(said)));
    }
    let frames = error
        .downcast_ref::<WasmBacktrace>()
        .map(WasmBacktrace::frames)
        .unwrap_or_default();
    let names: Vec<_> = frames
        .iter()
        .filter_map(|frame| frame.func_name())
        .take(3)
        .collect();
    if !names.is_empty() {
        message.push_str(&format!(", in {}", cut(&names.join(" < "))));
    }
    Fault { stage, message }
}

/// A guest's text, short enough for one line of a table.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(400)]
}

fn check_info(info: &sdk::Info) -> Result<(), String> {
    for (what, text) in [("name", &info.name), ("version", &info.version)] {
        if text.len() > INFO_BYTES_MAX {
            return Err(format!(
                "its {what} is {} bytes long; at most {INFO_BYTES_MAX} are accepted",
                text.len()
            ));
        }
    }
    if info.reasons.len() > REASONS_MAX {
        return Err(format!(
            "it states {} reasons; at most {REASONS_MAX} are accepted",
            info.reasons.len()
        ));
    }
    match info
        .reasons
        .iter()
        .position(|reason| reason.len() > REASON_BYTES_MAX)
    {
        Some(i) => Err(format!(
            "its reason {i} is longer than {REASON_BYTES_MAX} bytes"
        )),
        None => Ok(()),
    }
}

//! The wasmtime engine and the clock that interrupts guests.
//!
//! Separate from the instances because it is one for the process: compiled code, the linker and the ticker are shared.
//! Nothing here knows what a round is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Config, Engine, EngineWeak, OptLevel};

use super::bindings::SchedulingPolicy;
use super::instance::Guest;
use super::journal::Journal;
use super::limits::STACK_BYTES;

/// How often a running guest is interrupted to look at its clock. Budgets are kept to within about two of these.
const TICK: Duration = Duration::from_millis(1);
/// How long after the last call the ticker goes on before it sleeps: an idle master must not wake a thousand times a
/// second, and a busy one must not wake the ticker for each call.
const TICKS_AFTER_CALL: u64 = 200;

/// What every policy is compiled and run by.
#[derive(Clone)]
pub struct PolicyEngine {
    engine: Engine,
    linker: Arc<Linker<Guest>>,
    ticker: Arc<Ticker>,
    journal: Arc<Journal>,
}

impl std::fmt::Debug for PolicyEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PolicyEngine")
    }
}

impl PolicyEngine {
    /// The engine and its ticker.
    ///
    /// # Errors
    /// When the machine cannot run wasmtime, or no thread can be made.
    pub fn new() -> wasmtime::Result<PolicyEngine> {
        let engine = Engine::new(&config())?;
        let mut linker = Linker::new(&engine);
        SchedulingPolicy::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
        let ticker = Ticker::start(engine.weak())?;
        Ok(PolicyEngine {
            engine,
            linker: Arc::new(linker),
            ticker,
            journal: Arc::default(),
        })
    }

    /// wasmtime's engine.
    pub fn wasmtime(&self) -> &Engine {
        &self.engine
    }

    /// Where what guests say is kept.
    pub fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// The one set of imports there is.
    pub(super) fn linker(&self) -> &Linker<Guest> {
        &self.linker
    }

    /// Makes sure that the epoch advances while a call runs. Cheap: a store and a load, unless the ticker sleeps.
    pub(super) fn tick_for_a_call(&self) {
        self.ticker.wake();
    }
}

/// How every policy is compiled, wherever that happens.
pub(super) fn config() -> Config {
    let mut config = Config::new();
    config.wasm_component_model(true);
    config.epoch_interruption(true);
    // No call of the contract is asynchronous; without the support a call takes a quarter of the time.
    config.concurrency_support(false);
    config.cranelift_opt_level(OptLevel::Speed);
    config.wasm_simd(true);
    // Answers must be the same on every machine.
    config
        .wasm_relaxed_simd(true)
        .relaxed_simd_deterministic(true);
    config.cranelift_nan_canonicalization(true);
    config.max_wasm_stack(STACK_BYTES);
    config
}

/// Advances the engine's epoch each millisecond while there are calls, and ends with the engine.
struct Ticker {
    /// Ticks left before it may sleep.
    left: AtomicU64,
    asleep: AtomicBool,
    thread: std::sync::OnceLock<Thread>,
}

impl Ticker {
    fn start(engine: EngineWeak) -> std::io::Result<Arc<Ticker>> {
        let ticker = Arc::new(Ticker {
            left: AtomicU64::new(0),
            asleep: AtomicBool::new(false),
            thread: std::sync::OnceLock::new(),
        });
        let its = Arc::downgrade(&ticker);
        let handle = std::thread::Builder::new()
            .name("policy-ticker".into())
            .spawn(move || {
                loop {
                    let Some(ticker) = its.upgrade() else { return };
                    let Some(engine) = engine.upgrade() else {
                        return;
                    };
                    engine.increment_epoch();
                    drop(engine);
                    if ticker
                        .left
                        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
                        .is_ok()
                    {
                        drop(ticker);
                        std::thread::sleep(TICK);
                        continue;
                    }
                    ticker.asleep.store(true, Ordering::SeqCst);
                    let idle = ticker.left.load(Ordering::SeqCst) == 0;
                    drop(ticker);
                    if idle {
                        // A second at most, so that it notices the engine's end.
                        std::thread::park_timeout(Duration::from_secs(1));
                    }
                }
            })?;
        // The cell is empty: it was made above and nobody else has it.
        let _ = ticker.thread.set(handle.thread().clone());
        Ok(ticker)
    }

    fn wake(&self) {
        self.left.store(TICKS_AFTER_CALL, Ordering::SeqCst);
        if self.asleep.swap(false, Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }
}

/// CPU time this thread has used.
pub fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        time.tv_nsec.unsigned_abs() as u32,
    )
}

/// Until when a call may run, by both clocks. Belongs to the thread that made it.
///
/// Reading a thread's CPU clock is a system call, and most calls are over before the first tick. So it is first read at
/// that tick, and what was used before it is taken from the other clock, at most a tick's length of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    cpu: Duration,
    wall: Duration,
    from: Instant,
    /// The CPU clock at the start, as far as it is known.
    cpu_from: Option<Duration>,
}

impl Budget {
    /// From now.
    pub(super) fn start(cpu: Duration, wall: Duration) -> Budget {
        Budget {
            cpu,
            wall,
            from: Instant::now(),
            cpu_from: None,
        }
    }

    /// Whether there is time left. Called at each tick.
    pub(super) fn check(&mut self) -> Result<(), OverBudget> {
        let (elapsed, now) = (self.from.elapsed(), thread_cpu());
        let from = *self
            .cpu_from
            .get_or_insert_with(|| now.saturating_sub(elapsed.min(TICK)));
        if now.saturating_sub(from) >= self.cpu {
            return Err(OverBudget::Cpu(self.cpu));
        }
        if elapsed >= self.wall {
            return Err(OverBudget::Wall(self.wall));
        }
        Ok(())
    }

    /// CPU time used since the start.
    pub(super) fn used(&self) -> Duration {
        match self.cpu_from {
            Some(from) => thread_cpu().saturating_sub(from),
            None => self.from.elapsed(),
        }
    }
}

/// Why a guest was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum OverBudget {
    /// It used its CPU time up.
    #[error("it used more than its {} ms of CPU time", .0.as_millis())]
    Cpu(Duration),
    /// It held its thread too long.
    #[error("it took more than {} ms by the clock", .0.as_millis())]
    Wall(Duration),
}

//! Who answers rounds in a simulation: a guest, the built-in policy, or a plain queue to compare with.
//!
//! A guest is asked through [`Instance`], as the master asks it, but with time enough for a machine that is busy: a budget
//! by the clock would make a report depend on the machine. Its other limits stand. One that keeps failing loses its place as
//! it would in the master, by virtual time.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use ffrtmp_policy_balanced::Balanced;
use ffrtmp_policy_sdk::{
    self as sdk, Answer, Ask, Change, Cluster, Info, JobInfo, Placement, Policy, Rank,
};

use crate::{
    core::round::{FaultStage, Outcome, PolicyTag, Round, RoundEnded, Work},
    policy::{
        NATIVE, Settings,
        component::{self, Loaded, short},
        engine::PolicyEngine,
        instance::{Fault, Instance},
    },
};

/// Time a call may take, by either clock. Far beyond what any policy should: it only ends what never would.
const CALL_TIME: Duration = Duration::from_secs(2);
/// The words that name a policy without a file, each with what it is.
pub const BY_NAME: [(&str, &str); 3] = [
    (NATIVE, "the built-in `balanced`, not as WebAssembly"),
    ("balanced", "the same"),
    (
        "fifo",
        "first come, first served, on the first worker with room; knows no priority",
    ),
];

/// Whoever answers rounds.
#[derive(Debug)]
pub struct Ruler {
    tag: Arc<PolicyTag>,
    version: String,
    kind: Kind,
    /// Whether it was told everything there is.
    synced: bool,
    /// What it costs and how it fails.
    pub account: Account,
    faults_in_a_row: u32,
    recent_faults_ms: VecDeque<u64>,
}

/// What a policy did, in numbers.
#[derive(Debug, Clone, Default)]
pub struct Account {
    /// Questions: batches ranked and rounds planned.
    pub calls: u64,
    /// Time it took to answer them, of this machine's; not the same in two runs.
    pub took: Duration,
    /// The longest answer.
    pub longest: Duration,
    /// When it lost its place, virtual milliseconds from the beginning, and why.
    pub dethroned: Option<(u64, String)>,
    /// The first fault, for people.
    pub first_fault: Option<String>,
    /// Most linear memory it had, bytes.
    pub memory_bytes: usize,
}

enum Kind {
    Native(Box<dyn Native>),
    Wasm {
        guest: Arc<Guest>,
        instance: Option<Box<Instance>>,
    },
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Kind::Native(_) => "Native",
            Kind::Wasm { .. } => "Wasm",
        })
    }
}

struct Guest {
    engine: PolicyEngine,
    loaded: Arc<Loaded>,
}

/// A policy compiled into this program.
trait Native: Send {
    fn sync(&mut self, reset: bool, seq: u64, changes: &[Change]);
    fn rank(&mut self, jobs: &[JobInfo]) -> Vec<Rank>;
    fn plan(&mut self, ask: &Ask) -> Answer;
}

struct Seated<P> {
    instance: sdk::Instance<P>,
    seq: u64,
}

impl<P: Policy + Send> Native for Seated<P> {
    fn sync(&mut self, reset: bool, _seq: u64, changes: &[Change]) {
        self.seq = if reset { 1 } else { self.seq + 1 };
        self.instance.sync(reset, self.seq, changes);
    }
    fn rank(&mut self, jobs: &[JobInfo]) -> Vec<Rank> {
        self.instance.rank(jobs)
    }
    fn plan(&mut self, ask: &Ask) -> Answer {
        self.instance.plan(ask)
    }
}

impl Ruler {
    /// One of [`BY_NAME`].
    pub fn named(name: &str) -> Option<Ruler> {
        match name {
            NATIVE | "balanced" => Ruler::native::<Balanced>(""),
            "fifo" => Ruler::native::<Fifo>(""),
            _ => return None,
        }
        .ok()
    }

    /// A policy compiled into this program.
    ///
    /// # Errors
    /// When it refuses its configuration.
    pub fn native<P: Policy + Send + 'static>(config: &str) -> Result<Ruler, String> {
        let info = P::info();
        let instance = sdk::Instance::<P>::new(config)?;
        Ok(Ruler::new(
            info,
            NATIVE.into(),
            0,
            Kind::Native(Box::new(Seated { instance, seq: 0 })),
        ))
    }

    /// A guest, with the settings the master would give it; only the time is another.
    ///
    /// # Errors
    /// When the file is refused, as the master would refuse it, or its configuration.
    pub fn wasm(
        engine: &PolicyEngine,
        name: &str,
        bytes: &[u8],
        mut settings: Settings,
    ) -> Result<Ruler, component::Refusal> {
        let limits = &mut settings.limits;
        (limits.call_cpu, limits.call_wall) = (CALL_TIME, CALL_TIME);
        (limits.init_cpu, limits.init_wall) = (CALL_TIME * 5, CALL_TIME * 5);
        let stall_ms = limits.stall.as_millis() as u64;
        let (loaded, instance) = component::load_with(engine, name, bytes, settings)?;
        let info = Info {
            name: name.to_owned(),
            ..loaded.info.clone()
        };
        let digest = short(&loaded.digest).to_owned();
        let guest = Guest {
            engine: engine.clone(),
            loaded,
        };
        let kind = Kind::Wasm {
            guest: Arc::new(guest),
            instance: Some(Box::new(instance)),
        };
        Ok(Ruler::new(info, digest, stall_ms, kind))
    }

    fn new(info: Info, digest: String, stall_ms: u64, kind: Kind) -> Ruler {
        Ruler {
            tag: Arc::new(PolicyTag {
                name: info.name,
                digest,
                config: String::new(),
                // Virtual time has no slow rounds, so there is nothing to narrow.
                budget_us: 0,
                stall_ms,
                reasons: info.reasons,
            }),
            version: info.version,
            kind,
            synced: false,
            account: Account::default(),
            faults_in_a_row: 0,
            recent_faults_ms: VecDeque::new(),
        }
    }

    /// Who it is.
    pub fn tag(&self) -> &PolicyTag {
        &self.tag
    }

    /// The version it states.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Answers a question asked at that virtual time.
    pub fn answer(&mut self, round: Round, now_ms: u64) -> RoundEnded {
        let id = round.id;
        let policy = self.tag.clone();
        let from = std::time::Instant::now();
        let outcome = if !self.synced && !round.reset {
            Outcome::NeedsReset
        } else {
            self.account.calls += 1;
            self.ask(round).unwrap_or_else(|fault| {
                self.failed(&fault, now_ms);
                Outcome::Fault {
                    stage: fault.stage,
                    message: fault.message,
                }
            })
        };
        let took = from.elapsed();
        self.account.took += took;
        self.account.longest = self.account.longest.max(took);
        RoundEnded {
            id,
            policy,
            outcome,
            // Left out on purpose: it is this machine's time, not the simulation's.
            guest_us: 0,
        }
    }

    fn ask(&mut self, round: Round) -> Result<Outcome, Fault> {
        if let Work::Stalled(message) = round.work {
            // The built-in policy is what others are measured by, here as in a master.
            return match self.kind {
                Kind::Native(_) => Ok(Outcome::NeedsReset),
                Kind::Wasm { .. } => Err(Fault {
                    stage: FaultStage::Stall,
                    message,
                }),
            };
        }
        // A batch to rank needs no view, so it brings a `sync` only if there is something to tell.
        let sync = round.reset || !round.changes.is_empty() || matches!(round.work, Work::Plan(_));
        let outcome = match &mut self.kind {
            Kind::Native(policy) => {
                if sync {
                    policy.sync(round.reset, 0, &round.changes);
                }
                match round.work {
                    Work::Rank(jobs) => Outcome::Ranks(policy.rank(&jobs)),
                    Work::Plan(ask) => Outcome::Answer(policy.plan(&ask)),
                    Work::Stalled(_) => Outcome::NeedsReset, // it was dealt with above
                }
            }
            Kind::Wasm { guest, instance } => {
                let instance = match instance {
                    Some(instance) => instance,
                    None => instance.insert(Box::new(guest.instantiate()?)),
                };
                if sync {
                    instance.sync(round.reset, round.changes.as_slice())?;
                }
                let outcome = match round.work {
                    Work::Rank(jobs) => Outcome::Ranks(instance.rank(jobs)?),
                    Work::Plan(ask) => Outcome::Answer(instance.plan(&ask)?),
                    Work::Stalled(_) => Outcome::NeedsReset, // it was dealt with above
                };
                self.account.memory_bytes = self.account.memory_bytes.max(instance.memory_bytes());
                outcome
            }
        };
        self.synced = true;
        self.faults_in_a_row = 0;
        Ok(outcome)
    }

    fn failed(&mut self, fault: &Fault, now_ms: u64) {
        self.synced = false;
        self.account
            .first_fault
            .get_or_insert_with(|| fault.to_string());
        let Kind::Wasm { guest, instance } = &mut self.kind else {
            return;
        };
        *instance = None;
        self.faults_in_a_row += 1;
        self.recent_faults_ms.push_back(now_ms);
        while self
            .recent_faults_ms
            .front()
            .is_some_and(|at| now_ms - at >= 60_000)
        {
            self.recent_faults_ms.pop_front();
        }
        if self.faults_in_a_row >= guest.loaded.settings.limits.faults_in_a_row
            || self.recent_faults_ms.len() >= guest.loaded.settings.limits.faults_in_a_minute
        {
            self.account.dethroned = Some((now_ms, fault.to_string()));
            // It takes an empty configuration, as a test of the master asserts.
            if let Some(built_in) = Ruler::named(NATIVE) {
                self.kind = built_in.kind;
                self.tag = built_in.tag;
            }
        }
    }
}

impl Guest {
    fn instantiate(&self) -> Result<Instance, Fault> {
        self.loaded.instantiate(
            &self.engine,
            &self.loaded.settings.config,
            &self.loaded.settings.limits,
        )
    }
}

/// First come, first served, on the first worker with room: what a queue without a scheduler does. The reference for
/// comparisons.
#[derive(Debug, Clone, Default)]
pub struct Fifo;

impl Policy for Fifo {
    fn info() -> Info {
        Info {
            name: "fifo".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            reasons: vec!["first in line, first worker with room".into()],
        }
    }

    fn init(_config: &str) -> Result<Self, String> {
        Ok(Fifo)
    }

    fn rank(&mut self, job: &JobInfo) -> Rank {
        Rank {
            rank: job.submitted_ms,
            group: 0,
        }
    }

    fn plan(&mut self, cluster: &mut Cluster, ask: &Ask, answer: &mut Answer) {
        for candidate in &ask.candidates {
            let anywhere = |_: &sdk::Worker, _: Option<&sdk::Gpu>| Some(());
            let Some((worker, gpu, ())) = cluster.best_place(ask, candidate, anywhere) else {
                continue;
            };
            cluster.place(candidate, worker, gpu);
            answer.placements.push(Placement {
                job: candidate.job,
                worker,
                gpu,
                ..Placement::default()
            });
        }
    }
}

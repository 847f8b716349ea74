//! What the master holds of the policy host: start it, hand it rounds, ask how it is.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use anyhow::Context;
use ffrtmp_api::rest::{LogLevel, PolicyDetail, PolicyDump, PolicyList, PolicyStatus};
use tokio::sync::oneshot;

use super::accepted::Accepted;
use super::board::{Board, Counters, State};
use super::choice::{Arrivals, Choice, Mode};
use super::command::{CommandError, PolicyCommand};
use super::compiler::Compiler;
use super::dump::Questions;
use super::engine::PolicyEngine;
use super::folder::Folder;
use super::journal::Journal;
use super::librarian::{Librarian, Note};
use super::limits::Limits;
use super::metrics::Exposed;
use super::seat::Seat;
use super::settings::Settings;
use super::shadow::Shadows;
use super::thread::{Order, PolicyThread};
use crate::core::round::{Decision, FaultStage, Outcome, PolicyTag, Round, RoundEnded};
use crate::policy::NATIVE;

/// Stack of the policy thread: the guest's 512 KiB, and room for the host's own calls below it.
pub(super) const THREAD_STACK_BYTES: usize = 4 << 20;

/// How to run.
#[derive(Debug, Clone)]
pub struct PolicyHostConfig {
    /// The live folder.
    pub dir: PathBuf,
    /// The policy that a fresh store begins with: a file's name without `.wasm`.
    pub initial: String,
    /// What chooses among files that arrive.
    pub mode: Mode,
    /// What a policy may use.
    pub limits: Limits,
}

/// What the policy host tells the master. Called on its threads; must not block for long.
#[derive(Debug, Clone)]
pub enum PolicyEvent {
    /// A round is over. Exactly one for each [`PolicyHost::submit`].
    RoundEnded(RoundEnded),
    /// Another policy, or the same one set up otherwise, rules from the next round on.
    Seated,
    /// A policy came into another state.
    Changed(PolicyStatus),
    /// A candidate begins, or ends, to be asked what the policy that rules is asked.
    Shadow(bool),
    /// Another policy was chosen: to be kept in the store, and given back at the next start.
    Chosen(Choice),
}

/// The policy host. Dropping it stops its threads.
pub struct PolicyHost {
    orders: Sender<Order>,
    notes: Sender<Note>,
    board: Arc<Board>,
    journal: Arc<Journal>,
    questions: Questions,
    shadows: Arc<Shadows>,
    limits: Limits,
    events: Arc<dyn Fn(PolicyEvent) + Send + Sync>,
    threads: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for PolicyHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PolicyHost")
    }
}

impl PolicyHost {
    /// Starts it: the saved choice is loaded, or `config.initial` where there is none yet, or else the built-in policy
    /// rules. `accepted_dir` holds copies of what was chosen; it belongs in the data directory.
    ///
    /// # Errors
    /// When wasmtime does not work here, a thread cannot be made or `accepted_dir` cannot be used. A bad policy or folder
    /// is not an error: it is in the log and in [`PolicyHost::status`].
    pub fn start(
        config: PolicyHostConfig,
        saved: Option<Choice>,
        accepted_dir: PathBuf,
        events: impl Fn(PolicyEvent) + Send + Sync + 'static,
    ) -> anyhow::Result<PolicyHost> {
        let engine =
            PolicyEngine::new().map_err(|e| anyhow::anyhow!("wasmtime cannot run here: {e:#}"))?;
        let accepted = Accepted::open(accepted_dir.clone()).with_context(|| {
            format!(
                "{} cannot be used for copies of policies",
                accepted_dir.display()
            )
        })?;
        let events: Arc<dyn Fn(PolicyEvent) + Send + Sync> = Arc::new(events);
        let told = events.clone();
        let board = Board::new(move |status| told(PolicyEvent::Changed(status)));
        let board = Arc::new(board.context("the policy metrics cannot be made")?);
        let journal = engine.journal().clone();
        let shadows: Arc<Shadows> = Arc::default();
        let (orders, thread_orders) = channel();
        let (notes, librarian_notes) = channel();
        let native = Seat::native();
        board.set(
            &native.tag().name,
            native.version(),
            NATIVE,
            State::Fallback,
            None,
        );

        let mut librarian = Librarian {
            engine: engine.clone(),
            compiler: Compiler::new(engine.clone(), accepted_dir.join("compiled")),
            limits: config.limits.clone(),
            folder: Folder::new(config.dir, config.limits.file_bytes),
            memory: accepted.memory(),
            accepted,
            board: board.clone(),
            shadows: shadows.clone(),
            notes: librarian_notes,
            own_notes: notes.clone(),
            thread: orders.clone(),
            events: events.clone(),
            mode: config.mode,
            current: Choice::native(),
            present: BTreeMap::new(),
            later: Vec::new(),
            arrivals: Arrivals::default(),
            beside: BTreeMap::new(),
            in_force: None,
            unkept: None,
            compiled: HashMap::new(),
            watcher: None,
        };
        let seat = librarian.begin(saved, &config.initial);
        let policy_thread = PolicyThread {
            seat,
            engine,
            board: board.clone(),
            orders: thread_orders,
            librarian: notes.clone(),
            events: events.clone(),
        };
        let threads = vec![
            std::thread::Builder::new()
                .name("policy".into())
                .stack_size(THREAD_STACK_BYTES)
                .spawn(move || policy_thread.run())?,
            std::thread::Builder::new()
                .name("librarian".into())
                .stack_size(THREAD_STACK_BYTES)
                .spawn(move || librarian.run())?,
        ];
        Ok(PolicyHost {
            orders,
            notes,
            board,
            journal,
            questions: Questions::default(),
            shadows,
            limits: config.limits,
            events,
            threads,
        })
    }

    /// Hands over a round. Never blocks; exactly one [`PolicyEvent::RoundEnded`] comes back for it.
    pub fn submit(&self, round: Round) {
        let id = round.id;
        self.questions.told(round.reset, &round.changes);
        self.shadows.told(round.reset, &round.changes);
        if self.orders.send(Order::Round(round)).is_err() {
            let message = "the policy thread has ended".to_owned();
            let policy = Arc::new(PolicyTag {
                name: "none".into(),
                digest: NATIVE.into(),
                config: String::new(),
                budget_us: 0,
                stall_ms: 0,
                reasons: Vec::new(),
            });
            let outcome = Outcome::Fault {
                stage: FaultStage::Stuck,
                message,
            };
            (self.events)(PolicyEvent::RoundEnded(RoundEnded {
                id,
                policy,
                outcome,
                guest_us: 0,
            }));
        }
    }

    /// Takes note of what became of a round: what `dump` shows. Never blocks for long.
    pub fn decided(&self, decision: Decision) {
        let carried_out = decision.answer.holds.iter().zip(&decision.held);
        let mut holds = carried_out.filter(|(_, held)| **held).map(|(hold, _)| hold);
        if let Some(first) = holds.next()
            && decision.fault.is_none()
        {
            let (policy, jobs) = (&decision.policy, 1 + holds.count());
            let until = jiff::Timestamp::from_millisecond(first.until_ms).unwrap_or_default();
            let why = policy.reason(first.reason, first.arg);
            let message = format!(
                "jobs held on purpose: {jobs}; job {} until {until:.0}: {why}",
                first.job
            );
            let (name, digest) = (&policy.name, &policy.digest);
            let journal = &self.journal;
            journal.happened(LogLevel::Debug, "policy_holds", name, digest, None, message);
        }
        let decision = Arc::new(decision);
        self.shadows.decided(&decision, &self.board.metrics);
        self.questions.decided(decision);
    }

    /// Every policy it knows, the active one first.
    pub fn status(&self) -> PolicyList {
        let mut list = self.board.list();
        for policy in &mut list.policies {
            if policy.state == "ready" && self.shadows.is(&policy.name, &policy.digest) {
                policy.state = "shadow".to_owned();
            }
        }
        list.shadow = self.shadows.report();
        list
    }

    /// Carries out an order, and gives the policies as they are then.
    ///
    /// # Errors
    /// When it could not be carried out. Nothing has changed then.
    pub async fn command(&self, command: PolicyCommand) -> Result<PolicyList, CommandError> {
        let (reply, done) = oneshot::channel();
        self.notes
            .send(Note::Command { command, reply })
            .map_err(|_| CommandError::Stopping)?;
        done.await.map_err(|_| CommandError::Stopping)??;
        Ok(self.status())
    }

    /// What there is to tell of one policy: its lines of the list, its configuration and its limits.
    pub fn describe(&self, name: &str) -> Option<PolicyDetail> {
        let mut list = self.status();
        list.policies.retain(|policy| policy.name == name);
        if list.policies.is_empty() {
            return None;
        }
        let settings = self.board.settings(name);
        let settings = settings.unwrap_or_else(|| Arc::new(Settings::without_a_file(&self.limits)));
        let file = format!("{name}.toml");
        let set_by = |limit: &str| settings.sets(limit).then(|| file.clone());
        Some(PolicyDetail {
            policies: list.policies,
            limits: settings.limits.lines(set_by),
            // It was made by us, from TOML, so it is JSON.
            config: serde_json::from_str(&settings.config).ok(),
        })
    }

    /// What happened to policies and what they said.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// What a policy was last asked and answered: by its name, the first digits of its digest (4 at least), or `native`. None
    /// if it was not asked lately.
    pub fn dump(&self, what: &str) -> Option<PolicyDump> {
        self.questions.dump(what)
    }

    /// Its metrics, for a registry.
    pub fn metrics(&self) -> Box<dyn prometheus::core::Collector> {
        Box::new(Exposed(self.board.clone()))
    }

    /// The metrics of a host that hosts nothing, for their description.
    ///
    /// # Errors
    /// When a name is not one Prometheus takes, which a test would have found.
    pub fn metrics_of_none() -> prometheus::Result<Box<dyn prometheus::core::Collector>> {
        Ok(Box::new(Exposed(Arc::new(Board::new(|_| {})?))))
    }

    /// The sums among its metrics.
    pub fn counters(&self) -> Counters {
        self.board.counters()
    }

    /// Stops, and waits for the threads. A round in flight ends first.
    pub fn shutdown(mut self) {
        self.stop();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }

    fn stop(&self) {
        // Threads that are gone need no telling.
        self.shadows.stop();
        let _ = self.orders.send(Order::Stop);
        let _ = self.notes.send(Note::Stop);
    }
}

impl Drop for PolicyHost {
    fn drop(&mut self) {
        self.stop();
    }
}

//! The thin shell around the core: one thread that feeds it events and hands its effects to the store, the policy thread
//! and the outbox.
//!
//! **Invariant: an outward effect leaves only after everything the core recorded up to then is on disk.** All effects go
//! through the store's writer, in order, even when they record nothing. When a commit fails, the core's memory is ahead of
//! the disk, so it is dropped and built again from the store, by the same code as at start-up; until that works the master
//! is read-only. Sessions stay open, and workers keep encoding.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use ffrtmp_api::{ids::Attempt, job::JobState, rest::ClusterEvent};
use tokio::sync::oneshot;

use crate::{
    clock::Clock,
    core::{
        Config, Core, Effect, Event, Now, Reply, ReplyTo, SessionId,
        record::{JobEvent, Record},
        round::{Decision, Round},
    },
    live::Live,
    metrics::Metrics,
    outbox::Outbox,
    store::{Commit, Durable, Store, StoreError, Writer},
};

/// Events taken in one batch: bounds how long the first waits for the last.
const BATCH_EVENTS_MAX: usize = 1_024;
/// Longest sleep without a deadline.
const IDLE_MAX: Duration = Duration::from_secs(1);
/// Between two looks of the core at what waits, and why.
const LOOK_EVERY_MS: u64 = 1_000;
/// Delay before the first attempt to rebuild the core after a failed commit; doubles.
const REBUILD_FIRST: Duration = Duration::from_millis(200);
/// Longest delay between attempts.
const REBUILD_MAX: Duration = Duration::from_secs(10);

/// What the core thread is told.
#[derive(Debug)]
enum Input {
    Event(Event),
    Record(Record),
    CommitFailed { generation: u32, error: String },
    Stop,
}

/// The handle everyone else has: gives events, takes replies.
#[derive(Debug, Clone)]
pub struct Shell {
    inbox: Sender<Input>,
    outbox: Arc<Outbox>,
    read_only: Arc<AtomicBool>,
}

/// The core cannot take this now: its store cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the master is read-only: its store cannot be written (disk full, or failing). Nothing was recorded; try again when it is back"
)]
pub struct ReadOnly;

/// Ends the core thread.
#[derive(Debug)]
pub struct ShellThread {
    inbox: Sender<Input>,
    thread: Option<JoinHandle<()>>,
}

impl Shell {
    /// Makes the handle, before there is a core, so that the policy host can report to it.
    pub fn new(outbox: Arc<Outbox>) -> (Shell, Inbox) {
        let (inbox, receiver) = mpsc::channel();
        (
            Shell {
                inbox,
                outbox,
                read_only: Arc::default(),
            },
            Inbox(receiver),
        )
    }

    /// Gives an event that nobody waits for.
    pub fn tell(&self, event: Event) {
        // The core thread ends only with the process.
        let _ = self.inbox.send(Input::Event(event));
    }

    /// Makes a record durable that is not the core's.
    pub fn record(&self, record: Record) {
        let _ = self.inbox.send(Input::Record(record));
    }

    /// Gives an event and waits for its reply, which comes when what it depends on is durable.
    ///
    /// # Errors
    /// [`ReadOnly`], when the reply can never come.
    pub async fn ask(&self, event: impl FnOnce(ReplyTo) -> Event) -> Result<Reply, ReadOnly> {
        if self.is_read_only() {
            return Err(ReadOnly);
        }
        let (to, reply): (_, oneshot::Receiver<Reply>) = self.outbox.expect_reply();
        self.tell(event(to));
        reply.await.map_err(|_| ReadOnly)
    }

    /// The outward side.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Whether the store cannot be written at present.
    pub fn is_read_only(&self) -> bool {
        self.read_only.load(Ordering::Acquire)
    }

    /// A session's connection is gone.
    pub fn session_closed(&self, session: SessionId) {
        self.outbox.close_session(session);
        self.tell(Event::SessionClosed { session });
    }
}

/// The receiving end, for [`run`].
#[derive(Debug)]
pub struct Inbox(Receiver<Input>);

/// What the policy host is told.
#[derive(Debug)]
pub enum ToPolicies {
    /// A question; one outcome comes back for it.
    Ask(Round),
    /// A question's end.
    Decided(Box<Decision>),
}

/// Loads the core from the store and starts its thread. `policies` must not block.
///
/// # Errors
/// When the store cannot be read or written, or a thread cannot be started.
pub fn run(
    shell: &Shell,
    inbox: Inbox,
    store: Store,
    config: Config,
    live: Arc<Live>,
    metrics: Arc<Metrics>,
    policies: impl Fn(ToPolicies) + Send + 'static,
) -> Result<ShellThread, StoreError> {
    let mut clock = Clock::start();
    let now = clock.now(Duration::ZERO);
    let core = Core::load(config.clone(), store.load(now.wall_ms)?, now, 1);
    let writer = Writer::spawn(&store, metrics.store.clone(), {
        let (outbox, inbox) = (shell.outbox.clone(), shell.inbox.clone());
        move |report| match report {
            Durable::Yes(effects) => outbox.release(effects),
            Durable::No(effects) => outbox.discard(effects),
            Durable::Failed { generation, error } => {
                drop(inbox.send(Input::CommitFailed { generation, error }))
            }
        }
    })?;
    let dir = store.dir().to_owned();
    let mut driver = Driver {
        inbox: inbox.0,
        shell: shell.clone(),
        store,
        writer,
        config,
        live,
        metrics,
        policies: Box::new(policies),
        clock,
        generation: 1,
        core: Some(core),
        rebuild_at: Instant::now(),
        rebuild_in: REBUILD_FIRST,
        choice: None,
        asked: None,
        look_at_ms: 0,
    };
    let thread = std::thread::Builder::new()
        .name("core".into())
        .spawn(move || driver.run())
        .map_err(|cause| StoreError::Directory { dir, cause })?;
    Ok(ShellThread {
        inbox: shell.inbox.clone(),
        thread: Some(thread),
    })
}

impl ShellThread {
    /// Handles what has arrived, commits it, and ends the thread.
    pub fn stop(&mut self) {
        let _ = self.inbox.send(Input::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the core thread panicked");
        }
    }
}

/// A line of a job's history for the log, under the names that workers log their part by. What goes well is for who wants to follow
/// single jobs (`jobs=debug`): there may be thousands a second.
fn tell(event: &JobEvent) {
    let attempt = (event.attempt.0 > 0).then_some(Attempt {
        job: event.seq,
        no: event.attempt,
    });
    let (node, detail) = (event.worker.as_deref(), &*event.detail);
    let (from, to) = (event.from.as_str(), event.to.as_str());
    let failed = event.to == JobState::Failed;
    let again = event.from.is_active() && event.to == JobState::Pending;
    macro_rules! say {
        ($level:expr, $text:expr) => {
            tracing::event!(
                target: "jobs", $level,
                job = event.seq.0,
                attempt = attempt.map(tracing::field::display),
                node, from, to, detail, $text
            )
        };
    }
    match (failed, again) {
        (true, _) => say!(tracing::Level::INFO, "a job failed"),
        (_, true) => say!(tracing::Level::INFO, "a job is to run again"),
        _ if event.from == event.to => say!(tracing::Level::DEBUG, "a job"),
        _ => say!(tracing::Level::DEBUG, "a job goes on"),
    }
}

/// The core thread's belongings.
struct Driver {
    inbox: Receiver<Input>,
    shell: Shell,
    store: Store,
    writer: Writer<Vec<Effect>>,
    config: Config,
    live: Arc<Live>,
    metrics: Arc<Metrics>,
    policies: Box<dyn Fn(ToPolicies) + Send>,
    clock: Clock,
    generation: u32,
    /// None while the master is read-only.
    core: Option<Core>,
    /// When the store is tried next, while there is no core, and how long to wait after that.
    rebuild_at: Instant,
    rebuild_in: Duration,
    /// The last policy chosen: not the core's, so it must be kept through a failed commit.
    choice: Option<Record>,
    /// The question that the policy was asked last, and when.
    asked: Option<(u64, Instant)>,
    /// When the core is asked next to look at what waits, monotonic milliseconds.
    look_at_ms: u64,
}

impl Driver {
    fn run(&mut self) {
        let mut now = self.clock.now(Duration::ZERO);
        loop {
            let wait = match &self.core {
                Some(core) => core.next_deadline_ms().map_or(IDLE_MAX, |at_ms| {
                    Duration::from_millis(at_ms.saturating_sub(now.mono_ms)).min(IDLE_MAX)
                }),
                None => self.rebuild_at.saturating_duration_since(Instant::now()),
            };
            let mut inputs = Vec::new();
            match self.inbox.recv_timeout(wait) {
                Ok(first) => inputs.push(first),
                Err(RecvTimeoutError::Timeout) => inputs.push(Input::Event(Event::Timer)),
                Err(RecvTimeoutError::Disconnected) => inputs.push(Input::Stop),
            }
            inputs.extend(self.inbox.try_iter().take(BATCH_EVENTS_MAX));
            now = self.clock.now(wait);
            let mut events = Vec::with_capacity(inputs.len());
            let mut records = Vec::new();
            let mut stop = false;
            for input in inputs {
                match input {
                    Input::Event(event) => events.push(event),
                    Input::Record(record) => {
                        self.choice = Some(record.clone());
                        records.push(record);
                    }
                    Input::CommitFailed { generation, error } => {
                        self.commit_failed(generation, &error)
                    }
                    Input::Stop => stop = true,
                }
            }
            match self.core.take() {
                Some(mut core) => {
                    let answered = self.answered(&events);
                    self.handle(&mut core, events, records, now);
                    if let Some(asked) = answered {
                        self.metrics.decided(asked.elapsed());
                    }
                    if now.mono_ms >= self.look_at_ms {
                        self.look_at_ms = now.mono_ms + LOOK_EVERY_MS;
                        core.look(now);
                        self.metrics.looked(core.stats());
                    }
                    self.metrics.update(core.stats_mut());
                    self.core = Some(core);
                }
                None => {
                    self.refuse(events);
                    self.rebuild_if_due(now);
                }
            }
            if stop {
                self.writer.close();
                self.shell.outbox.discard_all_replies();
                return;
            }
        }
    }

    fn handle(&mut self, core: &mut Core, events: Vec<Event>, mut records: Vec<Record>, now: Now) {
        let mut outward = Vec::new();
        // Asked after the events were taken: whoever listened before giving one of them is heard.
        core.tell_changes(self.shell.outbox.events().wanted());
        for effect in core.handle(events, now) {
            match effect {
                Effect::Persist(record) => {
                    if let Record::JobEvent(event) = &record {
                        tell(event);
                    }
                    records.push(record);
                }
                Effect::Ask(round) => {
                    self.asked = Some((round.id, Instant::now()));
                    (self.policies)(ToPolicies::Ask(round));
                }
                Effect::Decided(decision) => (self.policies)(ToPolicies::Decided(decision)),
                effect => outward.push(effect),
            }
        }
        if !records.is_empty() || !outward.is_empty() {
            self.writer.commit(Commit {
                generation: self.generation,
                records,
                then: outward,
            });
        }
    }

    /// When the question was asked whose answer is among these events, if one is.
    fn answered(&mut self, events: &[Event]) -> Option<Instant> {
        let (id, asked) = self.asked?;
        let is_it = |event: &Event| matches!(event, Event::RoundEnded(ended) if ended.id == id);
        events.iter().any(is_it).then(|| {
            self.asked = None;
            asked
        })
    }

    fn commit_failed(&mut self, generation: u32, error: &str) {
        if generation != self.generation || self.core.is_none() {
            return;
        }
        tracing::error!(
            error,
            "a commit failed: the master is read-only until the store can be written again; workers keep encoding"
        );
        self.shell.read_only.store(true, Ordering::Release);
        self.metrics.store.read_only(true);
        self.core = None;
        self.rebuild_in = REBUILD_FIRST;
        self.rebuild_at = Instant::now() + REBUILD_FIRST;
    }

    /// While there is no core: callers are refused, and workers will say it again.
    fn refuse(&mut self, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Submit { reply, .. }
                | Event::Control { reply, .. }
                | Event::Retry { reply, .. }
                | Event::Explain { reply, .. }
                | Event::Room { reply }
                | Event::Node { reply, .. }
                | Event::ListNodes { reply }
                | Event::ExplainWaiting { reply, .. } => self.shell.outbox.discard_reply(reply),
                Event::Timer
                | Event::PolicySeated
                | Event::Shadow { .. }
                | Event::Frame { .. }
                | Event::SessionClosed { .. }
                | Event::RoundEnded(_) => {}
            }
        }
    }

    /// Tries the store again when it is time, however much arrives meanwhile.
    fn rebuild_if_due(&mut self, now: Now) {
        if Instant::now() < self.rebuild_at {
            return;
        }
        match self.store.load(now.wall_ms) {
            Ok(snapshot) => {
                self.generation += 1;
                self.core = Some(Core::load(
                    self.config.clone(),
                    snapshot,
                    now,
                    self.generation,
                ));
                if let Some(choice) = self.choice.clone() {
                    let (generation, records) = (self.generation, vec![choice]);
                    self.writer.commit(Commit {
                        generation,
                        records,
                        then: Vec::new(),
                    });
                }
                self.live.forget_all();
                self.metrics.rebuilt();
                self.metrics.store.read_only(false);
                self.shell.read_only.store(false, Ordering::Release);
                self.shell.outbox.resync_all();
                self.shell.outbox.events().tell(&ClusterEvent::Reset);
                tracing::info!("the store can be written again; the core was rebuilt from it");
            }
            Err(error) => {
                tracing::error!(%error, retry_in = ?self.rebuild_in, "the store still cannot be written");
                self.rebuild_at = Instant::now() + self.rebuild_in;
                self.rebuild_in = (self.rebuild_in * 2).min(REBUILD_MAX);
            }
        }
    }
}

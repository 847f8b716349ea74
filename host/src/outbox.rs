//! Where the core's outward effects go once they are durable: callers that wait for a reply, workers' sessions, watchers.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use ffrtmp_api::{ids::JobSeq, protocol::ToWorker};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::{
    core::{Effect, Reply, ReplyTo, SessionId},
    events::Events,
    live::Live,
};

/// Frames queued to one worker before it counts as unable to keep up and is disconnected; it comes back and is told again.
const SESSION_FRAMES_MAX: usize = 4_096;

/// Who waits for something about a job.
type Watchers = HashMap<JobSeq, watch::Sender<()>>;

/// The outward side of the shell.
#[derive(Debug)]
pub struct Outbox {
    replies: Mutex<HashMap<ReplyTo, oneshot::Sender<Reply>>>,
    sessions: Mutex<HashMap<SessionId, mpsc::Sender<ToWorker>>>,
    watchers: Mutex<Watchers>,
    log_watchers: Mutex<Watchers>,
    live: Arc<Live>,
    events: Arc<Events>,
    noticed: Notify,
    next: AtomicU64,
}

impl Outbox {
    /// Nothing waits yet.
    pub fn new(live: Arc<Live>, events: Arc<Events>) -> Outbox {
        Outbox {
            replies: Mutex::default(),
            sessions: Mutex::default(),
            watchers: Mutex::default(),
            log_watchers: Mutex::default(),
            live,
            events,
            noticed: Notify::new(),
            next: AtomicU64::new(1),
        }
    }

    /// What changes in the cluster, for whoever listens.
    pub fn events(&self) -> &Arc<Events> {
        &self.events
    }

    /// Waits until there is something new to be told to webhooks. For one waiter.
    pub async fn noticed(&self) {
        self.noticed.notified().await;
    }

    /// A place for one reply. It is dropped, and the receiver sees that, if the reply can never come.
    pub fn expect_reply(&self) -> (ReplyTo, oneshot::Receiver<Reply>) {
        let to = ReplyTo(self.next.fetch_add(1, Ordering::Relaxed));
        let (sender, receiver) = oneshot::channel();
        lock(&self.replies).insert(to, sender);
        (to, receiver)
    }

    /// A session, and the frames to send on it. The channel closes when the session must end.
    pub fn open_session(&self) -> (SessionId, mpsc::Receiver<ToWorker>) {
        let id = SessionId(self.next.fetch_add(1, Ordering::Relaxed));
        let (sender, receiver) = mpsc::channel(SESSION_FRAMES_MAX);
        lock(&self.sessions).insert(id, sender);
        (id, receiver)
    }

    /// Tells a worker that it may not be here, and ends the session once that is said.
    pub fn refuse(&self, id: SessionId, message: String) {
        self.send(
            id,
            ToWorker::Refused {
                message,
                retry: false,
            },
        );
        self.close_session(id);
    }

    /// The session's connection is gone.
    pub fn close_session(&self, id: SessionId) {
        lock(&self.sessions).remove(&id);
    }

    /// Ends every session; workers keep encoding and come back.
    pub fn close_all_sessions(&self) {
        lock(&self.sessions).clear();
    }

    /// Says on every session what the core, which has lost its memory, cannot say itself.
    pub fn resync_all(&self) {
        let sessions: Vec<SessionId> = lock(&self.sessions).keys().copied().collect();
        sessions
            .into_iter()
            .for_each(|session| self.send(session, ToWorker::Resync));
    }

    /// Wakes whenever this job changes; closed when the master stops. Nobody else's changes cost this watcher anything.
    pub fn watch(&self, job: JobSeq) -> watch::Receiver<()> {
        subscribe(&self.watchers, job)
    }

    /// Wakes whenever this job's log grows; closed when the master stops.
    pub fn watch_log(&self, job: JobSeq) -> watch::Receiver<()> {
        subscribe(&self.log_watchers, job)
    }

    /// Wakes watchers of a job: also for something that is not an effect, progress.
    pub fn changed(&self, job: JobSeq) {
        wake(&self.watchers, job);
    }

    /// Wakes those who follow a job's log.
    pub fn logged(&self, job: JobSeq) {
        wake(&self.log_watchers, job);
    }

    /// Ends every watch and every stream of events.
    pub fn close_all_watches(&self) {
        lock(&self.watchers).clear();
        lock(&self.log_watchers).clear();
        self.events.close();
    }

    /// Carries out durable effects, in order.
    pub fn release(&self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Reply(to, reply) => {
                    if let Some(waiting) = lock(&self.replies).remove(&to) {
                        let _ = waiting.send(reply); // a caller that hung up wants no reply
                    }
                }
                Effect::Send(session, frame) => self.send(session, frame),
                Effect::Close(session) => self.close_session(session),
                Effect::Changed(attempt, state) => {
                    if state.is_active() {
                        self.live.open(attempt);
                    } else {
                        self.live.forget(attempt.job);
                    }
                    self.changed(attempt.job);
                }
                Effect::Tell(event) => self.events.tell(&event),
                Effect::Noticed => self.noticed.notify_one(),
                // Persist and Ask are not outward; the shell took them out.
                Effect::Persist(_) | Effect::Ask(_) | Effect::Decided(_) => {}
            }
        }
    }

    /// Drops effects that will never be durable. Callers see their reply dropped; workers are told nothing.
    pub fn discard(&self, effects: Vec<Effect>) {
        for effect in effects {
            if let Effect::Reply(to, _) = effect {
                self.discard_reply(to);
            }
        }
    }

    /// Drops all replies: the core is gone for good.
    pub fn discard_all_replies(&self) {
        lock(&self.replies).clear();
    }

    /// Drops one reply that will never come.
    pub fn discard_reply(&self, to: ReplyTo) {
        lock(&self.replies).remove(&to);
    }

    fn send(&self, session: SessionId, frame: ToWorker) {
        let mut sessions = lock(&self.sessions);
        if let Some(sender) = sessions.get(&session)
            && let Err(error) = sender.try_send(frame)
        {
            tracing::warn!(session = session.0, %error, "a worker does not keep up; its session is closed, and it will be told again");
            sessions.remove(&session);
        }
    }
}

fn subscribe(watchers: &Mutex<Watchers>, job: JobSeq) -> watch::Receiver<()> {
    let mut watchers = lock(watchers);
    watchers.retain(|_, sender| sender.receiver_count() > 0);
    watchers
        .entry(job)
        .or_insert_with(|| watch::channel(()).0)
        .subscribe()
}

fn wake(watchers: &Mutex<Watchers>, job: JobSeq) {
    if let Some(sender) = lock(watchers).get(&job) {
        sender.send_replace(());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

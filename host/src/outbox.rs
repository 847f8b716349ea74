//! Where the core's outward effects go once they are durable: callers that wait for a reply, workers' sessions, watchers.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use ffrtmp_api::{ids::JobSeq, job::JobState, protocol::ToWorker};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::{
    core::{Effect, Reply, ReplyTo, SessionId},
    live::Live,
};

/// Frames queued to one worker before it counts as unable to keep up and is disconnected; it comes back and is told again.
const SESSION_FRAMES_MAX: usize = 4_096;
/// Job changes a slow watcher may fall behind before it is told to look again.
const CHANGES_KEPT: usize = 4_096;

/// The outward side of the shell.
#[derive(Debug)]
pub struct Outbox {
    replies: Mutex<HashMap<ReplyTo, oneshot::Sender<Reply>>>,
    sessions: Mutex<HashMap<SessionId, mpsc::Sender<ToWorker>>>,
    changes: broadcast::Sender<JobSeq>,
    live: Arc<Live>,
    next: AtomicU64,
}

impl Outbox {
    /// Nothing waits yet.
    pub fn new(live: Arc<Live>) -> Outbox {
        Outbox {
            replies: Mutex::default(),
            sessions: Mutex::default(),
            changes: broadcast::channel(CHANGES_KEPT).0,
            live,
            next: AtomicU64::new(1),
        }
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

    /// Job numbers as they change.
    pub fn changes(&self) -> broadcast::Receiver<JobSeq> {
        self.changes.subscribe()
    }

    /// Wakes watchers of a job for something that is not an effect: progress.
    pub fn changed(&self, job: JobSeq) {
        // No receiver is no error: nobody watches.
        let _ = self.changes.send(job);
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
                Effect::Changed(job, state) => {
                    if state.is_terminal() || state == JobState::Pending {
                        self.live.forget(job);
                    }
                    self.changed(job);
                }
                // Persist and Ask are not outward; the shell took them out.
                Effect::Persist(_) | Effect::Ask(_) => {}
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

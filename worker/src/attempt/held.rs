//! The attempts this worker holds: the one place where the master's orders, running encodes and shutdown meet.
//!
//! Its rules: an attempt is held from its assignment until the master acknowledged its outcome or revoked it; a revoked
//! attempt is never heard of again; an outcome is recorded on disk before it is said. It never blocks: orders are
//! handled under a short lock, work is spawned.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ffrtmp_api::{
    clock::wall_ms,
    ids::Attempt,
    job::FailureReason,
    protocol::{Assignment, LiveAttempt, MediaResult, Outcome, Progress, ToMaster, ToWorker},
    settings::{Address, Output},
};
use tokio::sync::{Semaphore, watch};
use tracing::Instrument;

use super::{
    bench::Bench,
    control::{Control, Observer, Stop, stopped},
    encode::{Ended, encode},
    prepare::unmake,
    publish::publish,
    put::put,
};
use crate::{
    metrics::{Ending, Metrics},
    node::records::{Record, Standing},
    sandbox::acting,
    session::outbox::Outbox,
    transfer::is_spooled,
};

/// Longest message sent with a failure, in bytes.
const MESSAGE_BYTES_MAX: usize = 4096;

/// The table of attempts.
pub(crate) struct Attempts {
    bench: Bench,
    outbox: Arc<Outbox>,
    metrics: Metrics,
    /// This worker's name, for the log.
    node: Arc<str>,
    /// One permit a slot. The master counts slots too; this makes a miscount wait instead of overloading the machine.
    slots: Arc<Semaphore>,
    table: Mutex<Table>,
    count: watch::Sender<usize>,
}

#[derive(Default)]
struct Table {
    held: BTreeMap<Attempt, Held>,
    draining: bool,
}

struct Held {
    stage: Stage,
    started: bool,
    paused: bool,
    /// Whether it sends a stream out: what no order of the master chooses in the end.
    pushes: bool,
    control: watch::Sender<Control>,
    /// Its temporary file, once encoded here. Another worker's file, published by path, is not ours to remove.
    temp: Option<PathBuf>,
    log: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Being prepared, encoded or verified.
    Working,
    /// Waiting for the order to publish.
    Encoded,
    /// The rename is under way.
    Publishing,
    /// The outcome waits for its acknowledgement.
    Ended,
}

impl Held {
    fn new(stage: Stage) -> Self {
        Held {
            stage,
            started: stage != Stage::Working,
            paused: false,
            pushes: false,
            control: watch::Sender::new(Control::default()),
            temp: None,
            log: String::new(),
        }
    }

    fn is_revoked(&self) -> bool {
        self.control.borrow().stop == Some(Stop::Revoke)
    }

    fn stop(&self, stop: Stop) {
        self.control.send_if_modified(|control| {
            // A revocation is final: nothing may be answered after it.
            let stronger = control.stop != Some(Stop::Revoke) && control.stop != Some(stop);
            if stronger {
                control.stop = Some(stop);
            }
            stronger
        });
    }
}

impl Attempts {
    /// The table of a worker with `slots` slots, holding again what `kept` says an earlier life could not deliver.
    pub(crate) fn new(
        bench: Bench,
        outbox: Arc<Outbox>,
        metrics: Metrics,
        node: Arc<str>,
        slots: u32,
        kept: Vec<Record>,
    ) -> Arc<Self> {
        let attempts = Attempts {
            bench,
            outbox,
            metrics,
            node,
            slots: Arc::new(Semaphore::new(slots as usize)),
            table: Mutex::default(),
            count: watch::Sender::new(0),
        };
        let mut table = attempts.lock();
        for record in kept {
            attempts.restore(&mut table, record);
        }
        attempts.counted(&table);
        drop(table);
        Arc::new(attempts)
    }

    fn restore(&self, table: &mut Table, record: Record) {
        let attempt = record.attempt;
        let (stage, frame, log) = match record.standing {
            Standing::Working => return,
            Standing::Encoded { bytes, result, log } => {
                let temp = path_text(record.temp.as_deref());
                (
                    Stage::Encoded,
                    ToMaster::Encoded {
                        attempt,
                        temp,
                        bytes,
                        result,
                    },
                    log,
                )
            }
            Standing::Ended { outcome, log } => (
                Stage::Ended,
                ToMaster::Outcome {
                    attempt,
                    outcome,
                    log: log.clone(),
                },
                log,
            ),
        };
        tracing::info!(job = attempt.job.0, %attempt, node = &*self.node, ?stage, "an earlier run's result is delivered again");
        table.held.insert(
            attempt,
            Held {
                temp: record.temp,
                log,
                ..Held::new(stage)
            },
        );
        self.outbox.result(attempt, frame);
    }

    /// What the hello lists.
    pub(crate) fn live(&self) -> Vec<LiveAttempt> {
        let table = self.lock();
        let held = table.held.iter().filter(|(_, held)| !held.is_revoked());
        held.map(|(&attempt, held)| LiveAttempt {
            attempt,
            started: held.started,
            paused: held.paused,
        })
        .collect()
    }

    /// How many attempts are held, now and from now on.
    pub(crate) fn watch_count(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }

    /// Takes no new work from here on.
    pub(crate) fn drain(&self) {
        self.lock().draining = true;
        self.outbox.drain();
    }

    /// Waits until the master knows that nothing new is taken.
    pub(crate) async fn farewell(&self) {
        self.outbox.farewell().await;
    }

    /// Stops what still works; each answers that it was handed back.
    pub(crate) fn hand_back(&self) {
        let table = self.lock();
        table
            .held
            .values()
            .filter(|held| held.stage == Stage::Working)
            .for_each(|held| held.stop(Stop::HandBack));
    }

    /// The master was not heard for so long that it may give what is here to others: stops what they must not do beside this worker.
    pub(crate) fn cut_off(&self) {
        let table = self.lock();
        table
            .held
            .values()
            .filter(|held| held.pushes && held.stage == Stage::Working)
            // Nor does it hide another reason to stop.
            .filter(|held| held.control.borrow().stop.is_none())
            .for_each(|held| held.stop(Stop::CutOff));
    }

    /// Carries out one order of the master.
    pub(crate) fn handle(self: &Arc<Self>, order: ToWorker) {
        match order {
            ToWorker::Assign {
                assignments: orders,
            } => orders.into_iter().for_each(|order| self.assign(order)),
            ToWorker::Publish {
                attempt,
                temp,
                output,
                bytes,
                overwrite,
            } => {
                self.publish(attempt, temp.into(), output.into(), bytes, overwrite);
            }
            ToWorker::OutcomeRecorded { attempt } => self.recorded(attempt),
            ToWorker::Cancel { attempt } => self.cancel(attempt),
            ToWorker::Revoke { attempt } => self.revoke(attempt),
            ToWorker::Finish { attempt } => {
                // A pause would keep it from finishing.
                self.steer(attempt, |control| {
                    (control.finish, control.paused) = (true, false);
                });
            }
            ToWorker::Pause { attempt, paused } => {
                self.steer(attempt, |control| control.paused = paused);
            }
            // The session's own affairs.
            ToWorker::Welcome { .. } | ToWorker::Refused { .. } | ToWorker::Resync => {}
        }
    }

    /// Changes what an attempt that still works should be doing.
    fn steer(&self, attempt: Attempt, change: impl FnOnce(&mut Control)) {
        let table = self.lock();
        if let Some(held) = table
            .held
            .get(&attempt)
            .filter(|held| held.stage == Stage::Working)
        {
            held.control.send_modify(change);
        }
    }

    fn assign(self: &Arc<Self>, order: Assignment) {
        let attempt = order.attempt;
        let mut table = self.lock();
        if table.held.contains_key(&attempt) {
            tracing::debug!(%attempt, "assigned again; it is held already");
            return;
        }
        if table.draining {
            table.held.insert(attempt, Held::new(Stage::Ended));
            self.end(&mut table, attempt, Outcome::HandedBack);
            return;
        }
        let held = Held {
            pushes: matches!(order.settings.output, Some(Output::Push(_))),
            ..Held::new(Stage::Working)
        };
        let control = held.control.subscribe();
        table.held.insert(attempt, held);
        self.counted(&table);
        drop(table);
        let span =
            tracing::info_span!("attempt", job = attempt.job.0, %attempt, node = &*self.node);
        tokio::spawn(Arc::clone(self).work(order, control).instrument(span));
    }

    async fn work(self: Arc<Self>, order: Assignment, mut control: watch::Receiver<Control>) {
        let attempt = order.attempt;
        let permit = tokio::select! {
            stop = stopped(&mut control) => Err(stop),
            permit = Arc::clone(&self.slots).acquire_owned() => Ok(permit),
        };
        let (ended, log) = match &permit {
            Ok(_) => {
                self.metrics.begun(attempt);
                let voice = Voice {
                    attempts: &self,
                    attempt,
                };
                encode(&self.bench, &order, &mut control, &voice).await
            }
            Err(stop) => (Ended::Stopped(*stop), String::new()),
        };
        self.worked(attempt, ended, log);
        // Only now: the next attempt on this slot is not heard of before the end of this one.
        drop(permit);
    }

    /// An encode ended: decides, under the lock, what that means now.
    fn worked(&self, attempt: Attempt, ended: Ended, log: String) {
        self.metrics.encode_over(attempt);
        if let Ended::Encoded { result, .. } | Ended::Completed { result } = &ended {
            self.metrics.encoded(result);
        }
        let mut table = self.lock();
        let Some(held) = table.held.get_mut(&attempt) else {
            return;
        };
        held.log = log;
        let asked = held.control.borrow().stop;
        let encoded_temp = match &ended {
            Ended::Encoded { temp, .. } => Some(temp.clone()),
            _ => None,
        };
        let outcome = match (ended, asked) {
            (_, Some(Stop::Revoke)) | (Ended::Stopped(Stop::Revoke), _) => {
                table.held.remove(&attempt);
                if let Some(temp) = encoded_temp {
                    self.discard(&temp);
                }
                self.forget(&table, attempt);
                self.metrics.revoked();
                tracing::info!("revoked; its processes and files are gone");
                return;
            }
            (Ended::Stopped(Stop::Cancel), _) => Outcome::Canceled,
            (Ended::Encoded { temp, .. }, Some(Stop::Cancel)) => {
                self.discard(&temp);
                Outcome::Canceled
            }
            // Finished after all: handing it back would waste it.
            (
                Ended::Encoded {
                    temp,
                    bytes,
                    result,
                },
                _,
            ) => return self.encoded(&mut table, attempt, temp, bytes, result),
            (Ended::Stopped(Stop::HandBack), _) => Outcome::HandedBack,
            // A failure like the loss it might have been, so that who does not want it sent again is not sent it again.
            (Ended::Stopped(Stop::CutOff), _) => Outcome::Failed {
                reason: FailureReason::PlatformError,
                message: "the master was not heard for longer than a worker may send a stream without it; stopped, so that no other \
                          sends it at the same time"
                    .into(),
            },
            (Ended::Completed { result }, _) => Outcome::Completed { result },
            (Ended::Failed(failure), _) => Outcome::Failed {
                reason: failure.reason,
                message: clip(failure.message),
            },
        };
        self.end(&mut table, attempt, outcome);
    }

    fn encoded(
        &self,
        table: &mut Table,
        attempt: Attempt,
        temp: PathBuf,
        bytes: u64,
        result: MediaResult,
    ) {
        let Some(held) = table.held.get_mut(&attempt) else {
            return;
        };
        tracing::info!(temp = %temp.display(), bytes, "encoded; waiting for the order to publish");
        held.stage = Stage::Encoded;
        held.temp = Some(temp.clone());
        let standing = Standing::Encoded {
            bytes,
            result: result.clone(),
            log: held.log.clone(),
        };
        self.save(attempt, Some(temp.clone()), standing);
        self.counted(table);
        self.outbox.result(
            attempt,
            ToMaster::Encoded {
                attempt,
                temp: path_text(Some(&temp)),
                bytes,
                result,
            },
        );
    }

    fn publish(
        self: &Arc<Self>,
        attempt: Attempt,
        temp: PathBuf,
        output: PathBuf,
        bytes: u64,
        overwrite: bool,
    ) {
        let mut table = self.lock();
        let held = table
            .held
            .entry(attempt)
            .or_insert_with(|| Held::new(Stage::Encoded));
        match held.stage {
            Stage::Working => {
                tracing::warn!(%attempt, "told to publish what is not encoded yet; ignored");
                return;
            }
            Stage::Publishing => return,
            Stage::Encoded | Stage::Ended => {}
        }
        held.stage = Stage::Publishing;
        self.outbox.forget(attempt);
        self.counted(&table);
        drop(table);
        let attempts = Arc::clone(self);
        // Renames and syncs on a network mount can take long.
        tokio::task::spawn_blocking(move || {
            let address = output.to_str().filter(|text| Address::looks_like_one(text));
            let outcome = match address {
                Some(address) => put(
                    &attempts.bench.guard,
                    &attempts.bench.trust,
                    &temp,
                    address,
                    bytes,
                ),
                None if is_spooled(&output) => attempts.bench.transfer.publish(attempt),
                None => acting(attempts.bench.spawner.user().as_deref(), || {
                    publish(&temp, &output, bytes, overwrite)
                }),
            };
            // An address may hold a password.
            let shown = address.map_or(output.display().to_string(), |_| "a web server".into());
            tracing::info!(job = attempt.job.0, %attempt, node = &*attempts.node, output = shown, ?outcome, "publishing");
            let mut table = attempts.lock();
            match table.held.get(&attempt) {
                None => {}
                Some(held) if held.is_revoked() => {
                    table.held.remove(&attempt);
                    attempts.forget(&table, attempt);
                    attempts.metrics.revoked();
                }
                Some(_) => attempts.end(&mut table, attempt, outcome),
            }
        });
    }

    fn recorded(&self, attempt: Attempt) {
        let mut table = self.lock();
        // Only an end can be acknowledged; an acknowledgement of an older one must not drop what goes on.
        if table
            .held
            .get(&attempt)
            .is_some_and(|held| held.stage == Stage::Ended)
        {
            // Still there if it could not be published; the master has given it up.
            if let Some(temp) = table.held.remove(&attempt).and_then(|held| held.temp) {
                self.discard(&temp);
            }
            self.forget(&table, attempt);
        }
    }

    fn cancel(&self, attempt: Attempt) {
        let mut table = self.lock();
        let Some(held) = table.held.get_mut(&attempt) else {
            return;
        };
        match held.stage {
            Stage::Working => held.stop(Stop::Cancel),
            Stage::Encoded => {
                if let Some(temp) = held.temp.take() {
                    self.discard(&temp);
                }
                self.end(&mut table, attempt, Outcome::Canceled);
            }
            // Too late: the outcome says what became of it.
            Stage::Publishing | Stage::Ended => {}
        }
    }

    fn revoke(&self, attempt: Attempt) {
        let mut table = self.lock();
        let Some(held) = table.held.get(&attempt) else {
            return;
        };
        if !held.is_revoked() {
            self.metrics.lease_lost();
        }
        held.stop(Stop::Revoke);
        self.outbox.forget(attempt);
        match held.stage {
            // The task that works on it finishes the revocation.
            Stage::Working | Stage::Publishing => {}
            stage @ (Stage::Encoded | Stage::Ended) => {
                // What has ended was counted as that.
                if stage == Stage::Encoded {
                    self.metrics.revoked();
                }
                if let Some(held) = table.held.remove(&attempt)
                    && let Some(temp) = held.temp
                {
                    self.discard(&temp);
                }
                self.forget(&table, attempt);
                tracing::info!(job = attempt.job.0, %attempt, node = &*self.node, "revoked after it was encoded; its file is removed");
            }
        }
    }

    /// Removes a temporary file that is not wanted. One in the spool is the master's to remove.
    fn discard(&self, temp: &Path) {
        if !is_spooled(temp) {
            let user = self.bench.spawner.user();
            unmake(temp, &self.bench.scratch, user.as_deref());
        }
    }

    /// Records an outcome, then says it.
    fn end(&self, table: &mut Table, attempt: Attempt, outcome: Outcome) {
        let Some(held) = table.held.get_mut(&attempt) else {
            return;
        };
        match &outcome {
            Outcome::Failed { reason, message } => {
                tracing::warn!(job = attempt.job.0, %attempt, node = &*self.node, %reason, message, "failed")
            }
            outcome => {
                tracing::info!(job = attempt.job.0, %attempt, node = &*self.node, outcome = Ending::of(outcome).as_str(), "ended")
            }
        }
        self.metrics.finished(&outcome);
        held.stage = Stage::Ended;
        let log = held.log.clone();
        let temp = held.temp.clone();
        self.save(
            attempt,
            temp,
            Standing::Ended {
                outcome: outcome.clone(),
                log: log.clone(),
            },
        );
        self.counted(table);
        self.outbox.result(
            attempt,
            ToMaster::Outcome {
                attempt,
                outcome,
                log,
            },
        );
    }

    fn save(&self, attempt: Attempt, temp: Option<PathBuf>, standing: Standing) {
        let record = Record {
            attempt,
            temp,
            leader: None,
            standing,
        };
        if let Err(error) = self.bench.records.save(&record) {
            tracing::warn!(%attempt, %error, "the result cannot be recorded; it is delivered unless the worker dies first");
        }
    }

    fn forget(&self, table: &Table, attempt: Attempt) {
        self.outbox.forget(attempt);
        self.bench.records.remove(attempt);
        self.counted(table);
    }

    fn counted(&self, table: &Table) {
        let active = table
            .held
            .values()
            .filter(|held| held.stage != Stage::Ended)
            .count();
        self.metrics.active_jobs(active);
        self.count.send_replace(table.held.len());
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running encode's way to be heard.
struct Voice<'a> {
    attempts: &'a Attempts,
    attempt: Attempt,
}

impl Observer for Voice<'_> {
    fn started(&self) {
        let mut table = self.attempts.lock();
        let Some(held) = table.held.get_mut(&self.attempt) else {
            return;
        };
        held.started = true;
        self.attempts.outbox.control(ToMaster::Started {
            attempt: self.attempt,
            at_ms: wall_ms(),
        });
    }

    fn paused(&self, paused: bool) {
        let mut table = self.attempts.lock();
        let Some(held) = table.held.get_mut(&self.attempt) else {
            return;
        };
        held.paused = paused;
        self.attempts.metrics.paused(self.attempt, paused);
        self.attempts.outbox.control(ToMaster::Paused {
            attempt: self.attempt,
            paused,
        });
    }

    fn progress(&self, report: Progress) {
        self.attempts.metrics.progress(&report);
        self.attempts.outbox.progress(report);
    }

    fn log(&self, text: &str) {
        self.attempts.outbox.log(self.attempt, text);
    }
}

fn path_text(path: Option<&Path>) -> String {
    path.map(|path| path.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn clip(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES_MAX {
        let mut end = MESSAGE_BYTES_MAX;
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
    }
    message
}

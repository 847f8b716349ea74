//! What becomes of an attempt: started, paused, encoded, published, failed, canceled, handed back, lost, re-adopted.
//!
//! Everything a worker says about an attempt is checked against who holds it now. An older attempt, or one that is on
//! another worker, is answered with `Revoke`: its worker stops it and removes its files. That is the fence.

use std::sync::Arc;

use ffrtmp_api::{
    ids::{Attempt, JobSeq},
    job::{FailureReason, JobState},
    protocol::{LiveAttempt, MediaResult, Outcome, ToWorker},
    rest::Failure,
};
use ffrtmp_policy_sdk::WorkerId;

use super::{
    Config, Core, Effect, Now,
    queue::Place,
    record::{Record, Retry},
    stats::{AttemptEnd, RetryCause},
};

/// Most workers remembered as having failed one job; older ones get another chance.
const EXCLUDED_MAX: usize = 8;

impl Core {
    /// Whether this attempt is the job's current one and this worker holds it.
    pub(super) fn holds(&self, worker: WorkerId, attempt: Attempt) -> bool {
        self.jobs.get(&attempt.job).is_some_and(|job| {
            job.attempt() == attempt && job.on.is_some_and(|on| on.worker == worker)
        })
    }

    pub(super) fn attempt_started(
        &mut self,
        worker: WorkerId,
        attempt: Attempt,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        if !self.holds(worker, attempt) {
            return self.send(worker, ToWorker::Revoke { attempt }, out);
        }
        let Some(job) = self.jobs.get_mut(&attempt.job) else {
            return;
        };
        if job.status.state != JobState::Assigned {
            return; // said twice
        }
        job.status.started_ms = Some(now.wall_ms);
        let waited_ms = now.wall_ms - job.submitted_ms;
        if !std::mem::replace(&mut job.has_started, true) {
            self.stats.started(job.queue, waited_ms.max(0) as f64 / 1e3);
        }
        self.transition(
            attempt.job,
            JobState::Running,
            "ffmpeg was spawned".into(),
            now,
            out,
        );
        // Asked for before there was anything to stop.
        if self
            .jobs
            .get(&attempt.job)
            .is_some_and(|job| job.status.pause_requested)
        {
            let paused = true;
            self.send(worker, ToWorker::Pause { attempt, paused }, out);
        }
    }

    pub(super) fn attempt_paused(
        &mut self,
        worker: WorkerId,
        attempt: Attempt,
        paused: bool,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        if !self.holds(worker, attempt) {
            return;
        }
        match (
            self.jobs.get(&attempt.job).map(|job| job.status.state),
            paused,
        ) {
            (Some(JobState::Running), true) => {
                self.transition(
                    attempt.job,
                    JobState::Paused,
                    "its ffmpeg was stopped".into(),
                    now,
                    out,
                );
            }
            (Some(JobState::Paused), false) => {
                self.transition(
                    attempt.job,
                    JobState::Running,
                    "its ffmpeg was continued".into(),
                    now,
                    out,
                );
            }
            _ => {}
        }
    }

    pub(super) fn attempt_outcome(
        &mut self,
        worker: WorkerId,
        attempt: Attempt,
        outcome: Outcome,
        log: String,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let seq = attempt.job;
        if !self.holds(worker, attempt) {
            let published = matches!(outcome, Outcome::Published);
            let known = self.other_answered_publish(worker, attempt, published, now, out);
            let answer = if known {
                ToWorker::OutcomeRecorded { attempt }
            } else {
                ToWorker::Revoke { attempt }
            };
            return self.send(worker, answer, out);
        }
        if !log.is_empty() {
            out.push(Effect::Persist(Record::JobLog {
                seq,
                attempt: attempt.no,
                text: log,
            }));
        }
        let Some(job) = self.jobs.get(&seq) else {
            return;
        };
        let publishing = job.status.state == JobState::Publishing;
        match outcome {
            Outcome::Completed { result } if !publishing && !job.has_output => {
                self.assume_running(worker, attempt, now, out);
                self.completed(seq, Some(Box::new(result)), now, out);
            }
            Outcome::Published if publishing => self.completed(seq, None, now, out),
            // Another worker may still move the file: only when it says that it did not may the job run again. The owner
            // is ordered once more then.
            Outcome::PublishFailed { .. } if publishing && self.others_may_publish(seq) => return,
            Outcome::PublishFailed { reason, message } if publishing => {
                self.failed(seq, reason, message, now, out)
            }
            Outcome::Failed { reason, message } if !publishing => {
                self.failed(seq, reason, message, now, out)
            }
            Outcome::Canceled if !publishing => {
                if self
                    .jobs
                    .get(&seq)
                    .is_some_and(|job| job.status.cancel_requested)
                {
                    self.attempt_ended(seq, AttemptEnd::Canceled, now);
                    self.release_capacity(seq);
                    self.transition(
                        seq,
                        JobState::Canceled,
                        "its process group is gone".into(),
                        now,
                        out,
                    );
                } else {
                    self.attempt_lost(
                        seq,
                        "it was stopped on its worker by nobody we know",
                        now,
                        out,
                    );
                }
            }
            Outcome::HandedBack if !publishing => self.handed_back(seq, worker, now, out),
            // An outcome that does not belong to the state: a worker with a fault of its own. Its attempt is over.
            outcome if !publishing => {
                self.failed(
                    seq,
                    FailureReason::PlatformError,
                    format!("its worker reported {outcome:?} out of turn"),
                    now,
                    out,
                );
            }
            _ => return,
        }
        self.send(worker, ToWorker::OutcomeRecorded { attempt }, out);
    }

    /// A worker reports something that only a running attempt can have: its `Started` was lost with a session.
    pub(super) fn assume_running(
        &mut self,
        worker: WorkerId,
        attempt: Attempt,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        self.attempt_started(worker, attempt, now, out);
        self.attempt_paused(worker, attempt, false, now, out);
    }

    pub(super) fn completed(
        &mut self,
        seq: JobSeq,
        result: Option<Box<MediaResult>>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let Some(job) = self.jobs.get_mut(&seq) else {
            return;
        };
        job.status.result =
            result.or_else(|| job.status.publishing.take().map(|p| Box::new(p.result)));
        job.status.publishing = None;
        job.status.failure = None;
        if let Some(on) = job.on {
            self.succeeded_on(on.worker, seq, now, out);
        }
        self.attempt_ended(seq, AttemptEnd::Completed, now);
        self.release_capacity(seq);
        self.transition(seq, JobState::Completed, "done".into(), now, out);
    }

    /// An attempt failed: again later and elsewhere, or for good.
    pub(super) fn failed(
        &mut self,
        seq: JobSeq,
        reason: FailureReason,
        message: String,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let Some(job) = self.jobs.get_mut(&seq) else {
            return;
        };
        *self.stats.attempts_failed.entry(reason).or_default() += 1;
        let on = job.on;
        if let Some(on) = on {
            job.excluded.retain(|w| *w != on.worker);
            if job.excluded.len() == EXCLUDED_MAX {
                job.excluded.remove(0);
            }
            job.excluded.push(on.worker);
        }
        let canceled = job.status.cancel_requested;
        job.status.failures += 1;
        job.status.publishing = None;
        job.status.failure = Some(Failure {
            reason,
            message: message.clone(),
        });
        let failures = job.status.failures;
        let attempts_max = job.retries + 1;
        // Whoever asked it to stop does not want it to begin anew.
        let again = reason.is_retryable() && failures <= job.retries && !job.status.stop_requested;
        let detail = format!("{reason}: {message}");
        let excluded = job.excluded.clone();
        let delay_ms = backoff_ms(&self.config, seq, failures);
        let failed_on = excluded
            .iter()
            .filter_map(|id| Some(self.workers.get(id)?.name.clone()))
            .collect();
        if let Some(job) = self.jobs.get_mut(&seq) {
            job.status.retry = Some(Box::new(Retry {
                failed_on,
                not_before_ms: Some(now.wall_ms.saturating_add_unsigned(delay_ms)),
            }));
        }
        if let Some(on) = on {
            self.failed_on(on.worker, seq, reason, now, out);
        }
        let canceled = canceled
            && self
                .jobs
                .get(&seq)
                .is_some_and(|job| job.status.state != JobState::Publishing);
        let end = match canceled {
            true => AttemptEnd::Canceled,
            false => AttemptEnd::Failed,
        };
        self.attempt_ended(seq, end, now);
        self.release_capacity(seq);
        if canceled {
            self.transition(seq, JobState::Canceled, detail, now, out);
        } else if again {
            self.stats.fresh.retries.push(RetryCause::Failed(reason));
            self.transition(seq, JobState::Pending, detail, now, out);
            let reason = format!(
                "backing off after failure {failures} of at most {attempts_max}: {reason}: {message}"
            );
            self.delay(seq, now.mono_ms + delay_ms, reason.into());
        } else {
            self.failed_everywhere(seq, &excluded, now, out);
            self.transition(seq, JobState::Failed, detail, now, out);
        }
    }

    fn handed_back(&mut self, seq: JobSeq, worker: WorkerId, now: Now, out: &mut Vec<Effect>) {
        self.attempt_ended(seq, AttemptEnd::HandedBack, now);
        self.release_capacity(seq);
        if self
            .jobs
            .get(&seq)
            .is_some_and(|job| job.status.cancel_requested || job.status.stop_requested)
        {
            let detail = "handed back while its end was on its way".into();
            return self.transition(seq, JobState::Canceled, detail, now, out);
        }
        self.stats.fresh.retries.push(RetryCause::HandedBack);
        self.transition(
            seq,
            JobState::Pending,
            "handed back by its worker".into(),
            now,
            out,
        );
        if self.workers.get(&worker).is_some_and(|w| w.draining) {
            return self.requeue(seq);
        }
        // Only a worker that shuts down hands back. One that does it and stays must not be given the job at once again.
        let delay_ms = self.config.backoff_first_ms;
        self.delay(
            seq,
            now.mono_ms + delay_ms,
            "handed back by a worker that goes on".into(),
        );
    }

    /// Keeps a pending job waiting until a time, for a reason.
    pub(super) fn delay(&mut self, seq: JobSeq, until_ms: u64, reason: Arc<str>) {
        if let Some(job) = self.jobs.get_mut(&seq) {
            job.place = if job.status.held {
                let until_ms = Some(until_ms);
                Place::Held { until_ms }
            } else {
                self.room.delay(seq, until_ms)
            };
            job.wait_reason = Some(reason);
        }
    }

    /// An attempt is given up because its worker is gone. The job runs again at once; the loss counts as a failure, so
    /// that a job that kills its workers ends.
    pub(super) fn attempt_lost(&mut self, seq: JobSeq, why: &str, now: Now, out: &mut Vec<Effect>) {
        let Some(job) = self.jobs.get_mut(&seq) else {
            return;
        };
        if job.status.state == JobState::Publishing {
            return; // its rename may happen any time: nothing else may start
        }
        self.stats.leases_lost += 1;
        *self
            .stats
            .attempts_failed
            .entry(FailureReason::PlatformError)
            .or_default() += 1;
        job.status.failures += 1;
        let worker = job.status.worker.clone().unwrap_or_default();
        let message = format!("attempt {} on {worker} was lost: {why}", job.status.attempt);
        job.status.failure = Some(Failure {
            reason: FailureReason::PlatformError,
            message: message.clone(),
        });
        let again = job.status.failures <= job.retries && !job.status.stop_requested;
        let canceled = job.status.cancel_requested;
        job.status.lost = true;
        self.attempt_ended(seq, AttemptEnd::Lost, now);
        self.release_capacity(seq);
        match (canceled, again) {
            (true, _) => self.transition(seq, JobState::Canceled, message, now, out),
            (false, true) => {
                self.stats.fresh.retries.push(RetryCause::WorkerLost);
                self.transition(seq, JobState::Pending, message, now, out);
                self.requeue(seq);
            }
            (false, false) => self.transition(seq, JobState::Failed, message, now, out),
        }
    }

    /// Gives up everything a worker holds, but for what is being published.
    pub(super) fn lose_all(
        &mut self,
        worker: WorkerId,
        why: &str,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let held: Vec<JobSeq> = self
            .workers
            .get(&worker)
            .map(|w| w.jobs.iter().copied().collect())
            .unwrap_or_default();
        for seq in held {
            self.attempt_lost(seq, why, now, out);
        }
    }

    /// Puts a pending job back in line, or aside if a user holds it.
    pub(super) fn requeue(&mut self, seq: JobSeq) {
        if let Some(job) = self.jobs.get_mut(&seq) {
            job.wait_reason = None;
            job.place = if job.status.held {
                Place::Held { until_ms: None }
            } else {
                self.room.push_unranked(seq)
            };
        }
    }

    /// Takes an attempt back that was given up but whose successor was not yet sent. Says whether it did.
    pub(super) fn readopt(
        &mut self,
        seq: JobSeq,
        live: &LiveAttempt,
        worker: WorkerId,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> bool {
        let room = self
            .workers
            .get(&worker)
            .is_some_and(|w| w.jobs.len() < w.capabilities.slots as usize);
        let Some(job) = self.jobs.get(&seq) else {
            return false;
        };
        if !room
            || !live.started
            || job.attempt() != live.attempt
            || job.status.state != JobState::Pending
        {
            return false;
        }
        // One that failed or was handed back ended on its worker; only one that was lost can come back.
        if !job.status.lost || job.status.worker.as_deref() != self.worker_name(worker) {
            return false;
        }
        let gpu = job.status.placement.as_ref().and_then(|p| p.gpu);
        self.leave_room(seq);
        self.take_capacity(seq, worker, gpu);
        if let Some(job) = self.jobs.get_mut(&seq) {
            job.status.lost = false;
            job.status.failure = None;
            job.status.failures = job.status.failures.saturating_sub(1); // it was counted when it was given up
            job.status.pause_requested = job.status.held; // what was held while it waited is stopped where it runs
        }
        self.transition(
            seq,
            JobState::Running,
            "re-adopted: its worker came back in time".into(),
            now,
            out,
        );
        self.attempt_paused(worker, live.attempt, live.paused, now, out);
        let (attempt, paused) = (
            live.attempt,
            self.jobs
                .get(&seq)
                .is_some_and(|job| job.status.pause_requested),
        );
        if paused != live.paused {
            self.send(worker, ToWorker::Pause { attempt, paused }, out);
        }
        true
    }

    pub(super) fn worker_name(&self, worker: WorkerId) -> Option<&str> {
        self.workers.get(&worker).map(|w| w.name.as_str())
    }
}

/// How long to wait before the next attempt: doubling, capped, spread by up to a quarter so that jobs that failed
/// together do not return together. The spread comes from the job's number, because the core draws no random numbers.
fn backoff_ms(config: &Config, seq: JobSeq, failures: u32) -> u64 {
    let doubled = config
        .backoff_first_ms
        .saturating_mul(1 << failures.saturating_sub(1).min(32));
    let delay = doubled.min(config.backoff_max_ms);
    // Fibonacci hashing: the golden ratio times 2^64 spreads consecutive numbers evenly.
    let spread = (seq.0 ^ u64::from(failures)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    delay + (delay / 4) * spread / (1 << 32)
}

//! Two-phase publishing: the attempt that becomes a job's output is chosen, durably, before its file is moved.
//!
//! Once a job is `publishing`, no other attempt may start and only that one rename may be completed: by the worker that
//! made the file, or by any other that sees the path. A rename that comes late therefore moves the same bytes.

use ffrtmp_api::{
    ids::{Attempt, JobSeq},
    job::{FailureReason, JobSpec, JobState},
    limits::PATH_BYTES_MAX,
    protocol::{MediaResult, ToWorker},
};
use ffrtmp_policy_sdk::WorkerId;

use super::{Core, Effect, Now, record::Publishing};

/// Most other workers asked to complete one rename: they either share the storage or they do not.
const ASKED_MAX: usize = 8;

impl Core {
    #[allow(clippy::too_many_arguments)] // one frame's fields
    pub(super) fn attempt_encoded(
        &mut self,
        worker: WorkerId,
        attempt: Attempt,
        temp: String,
        bytes: u64,
        result: MediaResult,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        if !self.holds(worker, attempt) {
            return self.send(worker, ToWorker::Revoke { attempt }, out);
        }
        self.assume_running(worker, attempt, now, out);
        let Some(job) = self.jobs.get_mut(&attempt.job) else {
            return;
        };
        match job.status.state {
            JobState::Running if job.status.cancel_requested => {
                // The worker has not seen the cancel yet, or lost it with a session.
                self.send(worker, ToWorker::Cancel { attempt }, out);
            }
            JobState::Running => {
                // The job ran, so its spec parses; one that has no output completes without publishing.
                let spec = serde_json::from_str::<JobSpec>(&job.spec).unwrap_or_default();
                let Some(output) = spec.output.filter(|_| temp.len() <= PATH_BYTES_MAX) else {
                    let message =
                        "its worker reported a file to publish that the job did not ask for";
                    self.failed(
                        attempt.job,
                        FailureReason::PlatformError,
                        message.into(),
                        now,
                        out,
                    );
                    return self.send(worker, ToWorker::Revoke { attempt }, out);
                };
                job.status.publishing = Some(Box::new(Publishing {
                    temp,
                    output,
                    overwrite: spec.overwrite,
                    bytes,
                    asked: Vec::new(),
                    result,
                }));
                job.publish_tried.clear();
                let detail = format!(
                    "attempt {} encoded {bytes} bytes and is the one to publish",
                    attempt.no
                );
                self.transition(attempt.job, JobState::Publishing, detail, now, out);
                self.order_publish(attempt.job, worker, out);
            }
            JobState::Publishing => self.order_publish(attempt.job, worker, out),
            _ => {}
        }
    }

    /// Orders `worker` to do the one rename that was chosen.
    pub(super) fn order_publish(&mut self, seq: JobSeq, worker: WorkerId, out: &mut Vec<Effect>) {
        let Some(job) = self.jobs.get(&seq) else {
            return;
        };
        let Some(publishing) = &job.status.publishing else {
            return;
        };
        let frame = ToWorker::Publish {
            attempt: job.attempt(),
            temp: publishing.temp.clone(),
            output: publishing.output.clone(),
            bytes: publishing.bytes,
            overwrite: publishing.overwrite,
        };
        self.send(worker, frame, out);
    }

    /// Orders one more connected worker to complete a rename whose own worker is away. That it was asked is recorded
    /// first: from then on the file may be moved at any time, until that worker says that it was not.
    pub(super) fn ask_another_to_publish(&mut self, seq: JobSeq, out: &mut Vec<Effect>) {
        let Some(job) = self.jobs.get_mut(&seq) else {
            return;
        };
        let Some(publishing) = &mut job.status.publishing else {
            return;
        };
        if job.publish_tried.len() >= ASKED_MAX {
            return;
        }
        let tried = &job.publish_tried;
        let Some(other) = self
            .workers
            .values()
            .find(|w| w.session.is_some() && !tried.contains(&w.id))
        else {
            return;
        };
        job.publish_tried.push(other.id);
        publishing.asked.push(other.name.clone());
        let worker = other.id;
        self.persist_status(seq, out);
        self.order_publish(seq, worker, out);
    }

    /// A worker other than the job's own answers an order to publish. Says whether it had been asked.
    pub(super) fn other_answered_publish(
        &mut self,
        worker: WorkerId,
        attempt: Attempt,
        published: bool,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> bool {
        let seq = attempt.job;
        if !self.was_asked_to_publish(worker, attempt) {
            return false;
        }
        if published {
            self.completed(seq, None, now, out);
            return true;
        }
        let name = self.worker_name(worker).map(str::to_owned);
        let Some(job) = self.jobs.get_mut(&seq) else {
            return true;
        };
        if let Some(publishing) = &mut job.status.publishing {
            publishing
                .asked
                .retain(|asked| Some(asked) != name.as_ref());
        }
        let owner = job.on.map(|on| on.worker);
        self.persist_status(seq, out);
        if self.stranded.contains(&seq) {
            self.ask_another_to_publish(seq, out);
        } else if let Some(owner) = owner {
            self.order_publish(seq, owner, out); // it is back, and may have answered while this one was still out
        }
        true
    }

    /// Whether another worker was ordered to publish this attempt and has not answered.
    pub(super) fn was_asked_to_publish(&self, worker: WorkerId, attempt: Attempt) -> bool {
        let name = self.worker_name(worker);
        self.jobs.get(&attempt.job).is_some_and(|job| {
            job.attempt() == attempt
                && job.status.publishing.as_ref().is_some_and(|publishing| {
                    publishing
                        .asked
                        .iter()
                        .any(|asked| Some(asked.as_str()) == name)
                })
        })
    }

    /// Whether any worker other than the job's own may still move the file.
    pub(super) fn others_may_publish(&self, seq: JobSeq) -> bool {
        self.jobs
            .get(&seq)
            .and_then(|job| job.status.publishing.as_ref())
            .is_some_and(|publishing| !publishing.asked.is_empty())
    }
}

//! Two-phase publishing: the attempt that becomes a job's output is chosen, durably, before its file is moved.
//!
//! Once a job is `publishing`, no other attempt may start and only that one rename may be completed: by the worker that
//! made the file, or by any other that sees the path. A rename that comes late therefore moves the same bytes.

use ffrtmp_api::{
    ids::{Attempt, JobSeq},
    job::JobState,
    protocol::{MediaResult, ToWorker},
};
use ffrtmp_policy_sdk::WorkerId;

use super::{Core, Effect, Now, record::Publishing};

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
                job.status.publishing = Some(Publishing {
                    temp,
                    bytes,
                    result,
                });
                job.publish_tried.clear();
                self.transition(
                    attempt.job,
                    JobState::Publishing,
                    format!(
                        "attempt {} encoded {bytes} bytes and is the one to publish",
                        attempt.no
                    ),
                    now,
                    out,
                );
                self.order_publish(attempt.job, worker, out);
            }
            JobState::Publishing => self.order_publish(attempt.job, worker, out),
            _ => {}
        }
    }

    /// Orders `worker` to do the one rename that was chosen.
    pub(super) fn order_publish(&mut self, seq: JobSeq, worker: WorkerId, out: &mut Vec<Effect>) {
        let Some(job) = self.jobs.get_mut(&seq) else {
            return;
        };
        let Some(publishing) = job.status.publishing.clone() else {
            return;
        };
        // A spec that was accepted parses; a job without an output never comes to publishing.
        let Ok(spec) = serde_json::from_str::<ffrtmp_api::job::JobSpec>(&job.spec) else {
            return;
        };
        let Some(output) = spec.output else { return };
        let attempt = job.attempt();
        if !job.publish_tried.contains(&worker) {
            job.publish_tried.push(worker);
        }
        let frame = ToWorker::Publish {
            attempt,
            temp: publishing.temp,
            output,
            bytes: publishing.bytes,
            overwrite: spec.overwrite,
        };
        self.send(worker, frame, out);
    }

    /// Asks other workers to complete renames whose own worker is away: any that sees the path can.
    pub(super) fn retry_publishing(&mut self, now: Now, out: &mut Vec<Effect>) {
        let stranded: Vec<JobSeq> = self
            .workers
            .values()
            .filter(|w| w.session.is_none() && now.mono_ms >= w.lease_until_ms)
            .flat_map(|w| w.jobs.iter().copied())
            .filter(|seq| {
                self.jobs
                    .get(seq)
                    .is_some_and(|job| job.status.state == JobState::Publishing)
            })
            .collect();
        for seq in stranded {
            let tried = self
                .jobs
                .get(&seq)
                .map(|job| job.publish_tried.clone())
                .unwrap_or_default();
            let next = self
                .workers
                .values()
                .find(|w| w.session.is_some() && !tried.contains(&w.id))
                .map(|w| w.id);
            if let Some(worker) = next {
                self.order_publish(seq, worker, out);
            }
        }
    }

    pub(super) fn was_asked_to_publish(&self, worker: WorkerId, attempt: Attempt) -> bool {
        self.jobs.get(&attempt.job).is_some_and(|job| {
            job.attempt() == attempt
                && job.status.state == JobState::Publishing
                && job.publish_tried.contains(&worker)
        })
    }
}

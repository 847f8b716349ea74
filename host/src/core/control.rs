//! What users tell a job: cancel, stop (a live one, which keeps what it has), pause (or, while it waits, hold), resume, another lane or urgency, try again.
//!
//! Each asks for a state rather than a step, so saying it twice is the same as saying it once.

use ffrtmp_api::{
    ids::JobSeq,
    job::{JobSpec, JobState, Priority, Queue},
    protocol::ToWorker,
    settings::Settings,
};

use super::{
    Control, ControlError, Core, Effect, Now, Reply, ReplyTo,
    queue::Place,
    record::{JobRow, Record},
    stats::{self, RetryCause},
};

/// How long a retry is remembered, to refuse one that read its row before: far longer than a request lasts.
const RETRY_REMEMBERED_MS: u64 = 10 * 60_000;
/// What is said of a job whose end is certain.
const ABOUT_TO_COMPLETE: &str = "its output is being moved into place, and it is about to complete";

impl Core {
    pub(super) fn control(
        &mut self,
        seq: JobSeq,
        control: Control,
        reply: ReplyTo,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let result = match control {
            Control::Cancel => self.cancel(seq, now, out),
            Control::Stop => self.stop(seq, now, out),
            Control::Pause => self.pause(seq, now, out),
            Control::Resume => self.resume(seq, now, out),
            Control::Change { queue, priority } => self.change_job(seq, queue, priority, now, out),
        };
        out.push(Effect::Reply(reply, Reply::Controlled(result)));
    }

    fn cancel(&mut self, seq: JobSeq, now: Now, out: &mut Vec<Effect>) -> Result<(), ControlError> {
        let job = self.jobs.get_mut(&seq).ok_or(ControlError::NotLive)?;
        match job.status.state {
            JobState::Pending => {
                job.status.cancel_requested = true;
                debug_assert!(job.place != Place::Elsewhere);
                self.leave_room(seq);
                let detail = "canceled before it ran".into();
                self.transition(seq, JobState::Canceled, detail, now, out);
                Ok(())
            }
            JobState::Assigned | JobState::Running | JobState::Paused => {
                let attempt = job.attempt();
                let worker = job.on.map(|on| on.worker);
                if !job.status.cancel_requested {
                    job.status.cancel_requested = true;
                    self.note(seq, "a cancel was asked for", now, out);
                    self.persist_status(seq, out);
                }
                if let Some(worker) = worker {
                    self.send(worker, ToWorker::Cancel { attempt }, out);
                }
                Ok(())
            }
            state => Err(ControlError::WrongState {
                state,
                verb: "cancel",
                hint: ABOUT_TO_COMPLETE,
            }),
        }
    }

    fn stop(&mut self, seq: JobSeq, now: Now, out: &mut Vec<Effect>) -> Result<(), ControlError> {
        let job = self.jobs.get_mut(&seq).ok_or(ControlError::NotLive)?;
        let state = job.status.state;
        let wrong = |hint| ControlError::WrongState {
            state,
            verb: "stop",
            hint,
        };
        let is_live = serde_json::from_str::<JobSpec>(&job.spec)
            .ok()
            .and_then(|spec| Settings::resolve(&spec).ok()?.live)
            .is_some();
        if !is_live {
            return Err(wrong(
                "only a live job is stopped and keeps what it has; cancel this one",
            ));
        }
        match state {
            JobState::Assigned | JobState::Running | JobState::Paused => {
                let attempt = job.attempt();
                let worker = job.on.map(|on| on.worker);
                if !job.status.stop_requested {
                    job.status.stop_requested = true;
                    self.note(seq, "a stop was asked for", now, out);
                    self.persist_status(seq, out);
                }
                // A worker that is away is told when it says hello again.
                if let Some(worker) = worker {
                    self.send(worker, ToWorker::Finish { attempt }, out);
                }
                Ok(())
            }
            JobState::Pending => Err(wrong("it has nothing to keep yet; cancel it")),
            _ => Err(wrong(ABOUT_TO_COMPLETE)),
        }
    }

    fn pause(&mut self, seq: JobSeq, now: Now, out: &mut Vec<Effect>) -> Result<(), ControlError> {
        let job = self.jobs.get_mut(&seq).ok_or(ControlError::NotLive)?;
        match job.status.state {
            JobState::Pending if job.status.held => Ok(()),
            JobState::Pending => {
                // A pause after a failure goes on while the job is held; a policy's own hold is asked for again.
                let delayed = match job.place {
                    Place::Delayed { until_ms } if !self.rounds.holds(seq) => {
                        Some((until_ms, job.wait_reason.clone()))
                    }
                    _ => None,
                };
                self.leave_room(seq);
                self.set_held(seq, true);
                self.waits(seq, None);
                if let Some(job) = self.jobs.get_mut(&seq) {
                    job.place = Place::Held {
                        until_ms: delayed.as_ref().map(|(until_ms, _)| *until_ms),
                    };
                    job.wait_reason = delayed.and_then(|(_, reason)| reason);
                }
                self.note(seq, "held by a user", now, out);
                self.persist_status(seq, out);
                Ok(())
            }
            JobState::Assigned | JobState::Running | JobState::Paused => {
                self.ask_to_pause(seq, true, now, out)
            }
            state => Err(ControlError::WrongState {
                state,
                verb: "pause",
                hint: ABOUT_TO_COMPLETE,
            }),
        }
    }

    fn resume(&mut self, seq: JobSeq, now: Now, out: &mut Vec<Effect>) -> Result<(), ControlError> {
        let job = self.jobs.get_mut(&seq).ok_or(ControlError::NotLive)?;
        match job.status.state {
            JobState::Pending if !job.status.held => Ok(()),
            JobState::Pending => {
                let (place, reason) = (job.place, job.wait_reason.take());
                self.set_held(seq, false);
                self.waits(seq, Some(now.wall_ms));
                match (place, reason) {
                    (
                        Place::Held {
                            until_ms: Some(until_ms),
                        },
                        Some(reason),
                    ) => self.delay(seq, until_ms, reason),
                    _ => self.requeue(seq),
                }
                self.note(seq, "let go by a user", now, out);
                self.persist_status(seq, out);
                Ok(())
            }
            JobState::Assigned | JobState::Running | JobState::Paused => {
                self.ask_to_pause(seq, false, now, out)
            }
            state => Err(ControlError::WrongState {
                state,
                verb: "resume",
                hint: ABOUT_TO_COMPLETE,
            }),
        }
    }

    /// Records that a job on a worker is to be paused, or (`paused` is false) to go on, and tells the worker.
    fn ask_to_pause(
        &mut self,
        seq: JobSeq,
        paused: bool,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<(), ControlError> {
        let job = self.jobs.get_mut(&seq).ok_or(ControlError::NotLive)?;
        let attempt = job.attempt();
        let begun = job.status.state != JobState::Assigned;
        let worker = job.on.map(|on| on.worker).filter(|_| begun);
        if job.status.pause_requested != paused {
            job.status.pause_requested = paused;
            let detail = match paused {
                true => "a pause was asked for",
                false => "a resume was asked for",
            };
            self.note(seq, detail, now, out);
            self.persist_status(seq, out);
        }
        // A worker that is away is told when it says hello again; one that has not yet begun, when it has.
        if let Some(worker) = worker {
            self.send(worker, ToWorker::Pause { attempt, paused }, out);
        }
        Ok(())
    }

    /// Another lane or urgency. The spec keeps what was asked at first.
    fn change_job(
        &mut self,
        seq: JobSeq,
        queue: Option<Queue>,
        priority: Option<Priority>,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<(), ControlError> {
        let job = self.jobs.get_mut(&seq).ok_or(ControlError::NotLive)?;
        let state = job.status.state;
        if state != JobState::Pending {
            return Err(ControlError::WrongState {
                state,
                verb: "change its queue or priority",
                hint: "both only say where it waits, and it does not wait any more",
            });
        }
        let before = (job.queue, job.priority);
        let (queue, priority) = (queue.unwrap_or(before.0), priority.unwrap_or(before.1));
        if (queue, priority) == before {
            return Ok(());
        }
        let since_ms = job.waits_since_ms;
        let place = job.place;
        self.waits(seq, None);
        if let Some(job) = self.jobs.get_mut(&seq) {
            (job.queue, job.priority) = (queue, priority);
        }
        // What the policy holds goes back into line below.
        let let_go = self.rounds.holds(seq).then_some(now.wall_ms);
        self.waits(seq, since_ms.or(let_go));
        stats::decrement(&mut self.stats.pending_by_queue, before.0);
        stats::decrement(&mut self.stats.pending_by_priority, before.1);
        *self.stats.pending_by_queue.entry(queue).or_default() += 1;
        *self.stats.pending_by_priority.entry(priority).or_default() += 1;
        // What waits for a time or a user is ranked when it comes back into line; so is what no worker could hold, and what
        // the policy holds may be wanted at once in its new lane.
        if matches!(place, Place::Queued { .. } | Place::Unranked) || self.rounds.holds(seq) {
            self.leave_room(seq);
            self.requeue(seq);
        }
        out.push(Effect::Persist(Record::JobMoved {
            seq,
            queue,
            priority,
        }));
        let detail = format!(
            "changed by a user from {}/{} to {queue}/{priority}",
            before.0, before.1
        );
        self.note(seq, detail, now, out);
        self.persist_status(seq, out);
        Ok(())
    }

    pub(super) fn retry(&mut self, row: JobRow, reply: ReplyTo, now: Now, out: &mut Vec<Effect>) {
        let result = self.try_again(row, now, out);
        out.push(Effect::Reply(reply, Reply::Controlled(result)));
    }

    /// Brings a job that failed or was canceled back to life. Its attempt numbers go on rising, so whatever an earlier
    /// attempt still says is refused.
    fn try_again(
        &mut self,
        row: JobRow,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<(), ControlError> {
        let seq = row.seq;
        let wrong = |state| ControlError::WrongState {
            state,
            verb: "retry",
            hint: "only a job that failed or was canceled is tried again",
        };
        if let Some(job) = self.jobs.get(&seq) {
            // Said twice, or by two at once: the first did it.
            return if job.status.retried > 0 {
                Ok(())
            } else {
                Err(wrong(job.status.state))
            };
        }
        let newest = self.retried.get(&seq).map_or(0, |(count, _)| *count);
        match row.status.state {
            JobState::Failed | JobState::Canceled if row.status.retried >= newest => {}
            JobState::Completed => return Err(wrong(JobState::Completed)),
            // It was read before it ended, or before an earlier retry.
            _ => return Err(ControlError::Stale),
        }
        let (mut job, numbered) = match self.job_of(row.clone(), now) {
            Err(_) if self.compact_classes(now) => self.job_of(row, now)?,
            made => made?,
        };
        let from = job.status.state;
        let status = &mut job.status;
        status.failures = 0;
        status.retry = None;
        status.finished_ms = None;
        status.publishing = None;
        status.failure = None;
        status.result = None;
        status.cancel_requested = false;
        status.stop_requested = false;
        status.pause_requested = false;
        status.lost = false;
        status.retried += 1;
        self.retried.insert(seq, (status.retried, now.mono_ms));
        self.retried_ages.push_back((now.mono_ms, seq));
        self.jobs.insert(seq, job);
        if numbered {
            self.renumber_tags();
        }
        self.stats.fresh.retries.push(RetryCause::Asked);
        let detail = format!("tried again by a user after it was {from}");
        self.transition(seq, JobState::Pending, detail, now, out);
        self.requeue(seq);
        Ok(())
    }

    pub(super) fn forget_retries(&mut self, now: Now) {
        while let Some((at_ms, seq)) = self
            .retried_ages
            .pop_front_if(|(at_ms, _)| now.mono_ms >= *at_ms + RETRY_REMEMBERED_MS)
        {
            // One that was retried again since is remembered for longer.
            if self
                .retried
                .get(&seq)
                .is_some_and(|(_, last)| *last == at_ms)
            {
                self.retried.remove(&seq);
            }
        }
    }
}

#[cfg(test)]
mod tests;

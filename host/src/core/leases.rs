//! Time running out: leases of silent workers, delays that are over, workers gone so long that they are forgotten.

use ffrtmp_api::job::{FailureReason, JobState};
use ffrtmp_api::rest::{ClusterEvent, Failure};
use ffrtmp_policy_sdk::{Change, WorkerId};

use super::{
    Core, Effect, Now,
    record::{IDEMPOTENCY_MS, Record},
    stats::{AttemptEnd, decrement},
};

/// How often leases are looked at. A lease is seen to end at most this much late, and 10,000 workers cost a scan a
/// second instead of a timer each.
const LEASE_CHECK_MS: u64 = 500;

impl Core {
    pub(super) fn check_time(&mut self, now: Now, out: &mut Vec<Effect>) {
        while let Some(seq) = self.room.take_due(now.mono_ms) {
            if let Some(job) = self.jobs.get_mut(&seq) {
                job.wait_reason = None;
                job.place = self.room.push_unranked(seq);
                if self.rounds.holds(seq) {
                    self.rounds.not_held(seq);
                    self.waits(seq, Some(now.wall_ms));
                }
            }
        }
        if now.mono_ms >= self.next_lease_check_ms {
            self.next_lease_check_ms = now.mono_ms + LEASE_CHECK_MS;
            self.check_leases(now, out);
            self.check_quarantines(now, out);
            self.forget_keys(now);
            self.forget_retries(now);
        }
        self.check_stuck(now, out);
        self.check_stalled(now, out);
    }

    pub(super) fn lease_deadline_ms(&self) -> Option<u64> {
        (!self.workers.is_empty()).then_some(self.next_lease_check_ms)
    }

    fn check_leases(&mut self, now: Now, out: &mut Vec<Effect>) {
        let expired: Vec<WorkerId> = self
            .workers
            .values()
            .filter(|w| !w.expired && now.mono_ms >= w.lease_until_ms)
            .map(|w| w.id)
            .collect();
        for id in expired {
            let Some(worker) = self.workers.get_mut(&id) else {
                continue;
            };
            worker.expired = true;
            // One that said that it goes is not lost, nor one that has not come back since the master began.
            self.stats.nodes_lost += u64::from(worker.heard_ms.is_some() && !worker.draining);
            if let Some(session) = worker.session {
                // Connected but silent past its lease: it must introduce itself again before it is believed.
                worker.session = None;
                self.sessions.remove(&session);
                self.change(Change::WorkerAccepting {
                    worker: id,
                    accepting: false,
                });
                out.push(Effect::Close(session));
            }
            self.recount(id);
            self.lose_all(id, "it was not heard for longer than its lease", now, out);
            let publishing = self.workers.get(&id).map(|w| w.jobs.clone());
            for seq in publishing.into_iter().flatten() {
                self.stranded.insert(seq);
                self.ask_another_to_publish(seq, out);
            }
        }
        let forgotten: Vec<WorkerId> = self
            .workers
            .values()
            .filter(|w| {
                w.session.is_none()
                    && now.mono_ms >= w.lease_until_ms.saturating_add(self.config.forget_ms)
            })
            .map(|w| w.id)
            .collect();
        for id in forgotten {
            self.give_up_stranded(id, now, out);
            // What an operator said of it stays true for as long as it may come back.
            if self.workers.get(&id).is_some_and(|w| !w.drained) {
                self.forget(id, out);
            }
        }
    }

    fn forget_keys(&mut self, now: Now) {
        while let Some((_, key)) = self
            .idempotency_ages
            .pop_front_if(|(at_ms, _)| now.mono_ms >= *at_ms + IDEMPOTENCY_MS)
        {
            self.idempotency.remove(&key);
        }
    }

    /// Fails what an absent worker was publishing: its file may or may not have been moved.
    fn give_up_stranded(&mut self, id: WorkerId, now: Now, out: &mut Vec<Effect>) {
        let stranded: Vec<_> = self
            .workers
            .get(&id)
            .map(|w| w.jobs.iter().copied().collect())
            .unwrap_or_default();
        for seq in stranded {
            let Some(job) = self.jobs.get_mut(&seq) else {
                continue;
            };
            let message = format!(
                "the worker that held the finished file was away for {} h; the output may or may not be in place",
                self.config.forget_ms / 3_600_000
            );
            job.status.failure = Some(Failure {
                reason: FailureReason::PlatformError,
                message: message.clone(),
            });
            self.attempt_ended(seq, AttemptEnd::Failed, now);
            self.release_capacity(seq);
            self.transition(seq, JobState::Failed, message, now, out);
        }
    }

    /// Forgets a worker that is away and holds nothing.
    pub(super) fn forget(&mut self, id: WorkerId, out: &mut Vec<Effect>) {
        if let Some(worker) = self.workers.remove(&id) {
            decrement(&mut self.stats.nodes, worker.status);
            self.names.remove(&worker.name);
            self.change(Change::WorkerGone(id));
            if self.telling {
                // There is no event for what is not there any more.
                out.push(Effect::Tell(Box::new(ClusterEvent::Reset)));
            }
            out.push(Effect::Persist(Record::WorkerForgotten(worker.name)));
        }
    }
}

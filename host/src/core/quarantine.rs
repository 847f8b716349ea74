//! Keeps jobs from a worker on which far more fails than elsewhere, and lets it prove itself again.
//!
//! What counts against a worker is a failed job that another worker in service could have had, for a reason that may be the
//! worker's; what a job comes to in the end corrects it: one that fails everywhere is the job's own fault, and is taken back. So a
//! worker that is the only one for some jobs is never put out for them, and neither is the last worker there is.
//!
//! | state | what it gets | how it ends |
//! | --- | --- | --- |
//! | in service | all it has room for | [`FAILURES_MIN`] jobs failed of its last [`OUTCOMES_MAX`], at least half of them, and three times the rate of the others |
//! | quarantined | nothing | after a minute, doubling each time up to an hour |
//! | on probation | one job at a time | [`PROVE`] jobs done: in service; one more failure: quarantined for twice as long |

use std::collections::VecDeque;

use ffrtmp_api::{ids::JobSeq, job::FailureReason, rest::Quarantine};
use ffrtmp_policy_sdk::{Change, Cluster, WorkerId};

use super::{Core, Effect, Now, record::Record, workers::Worker};

/// Outcomes remembered of each worker: enough to tell a rate, few enough that a mended worker looks mended soon.
const OUTCOMES_MAX: usize = 20;
/// Fewer failures than this are chance.
const FAILURES_MIN: usize = 4;
/// Outcomes of other workers below which there is nothing to compare with.
const OTHERS_MIN: usize = 2;
/// How many times as high as elsewhere its rate of failures must be.
const OUT_OF_LINE: usize = 3;
/// Jobs in a row that end a probation.
const PROVE: u32 = 3;

/// What is thought of a worker.
#[derive(Debug, Default)]
pub struct Trust {
    /// The last jobs that ended there, oldest first, and whether each failed.
    recent: VecDeque<(JobSeq, bool)>,
    /// Its quarantine or probation.
    pub quarantine: Option<Quarantine>,
    /// When its quarantine becomes probation; monotonic.
    until_mono_ms: u64,
}

impl Trust {
    /// What the store kept, at a start. A wall clock that was set since cannot make it last longer than it would have.
    pub fn kept(quarantine: Option<Quarantine>, now: Now, longest_ms: u64) -> Trust {
        let left_ms = quarantine
            .as_ref()
            .and_then(|q| q.until_ms)
            .map_or(0, |until| until.saturating_sub(now.wall_ms).max(0) as u64);
        Trust {
            recent: VecDeque::new(),
            quarantine,
            until_mono_ms: now.mono_ms + left_ms.min(longest_ms),
        }
    }

    /// Whether it is given nothing.
    pub fn is_out(&self) -> bool {
        let out = |quarantine: &Quarantine| quarantine.until_ms.is_some();
        self.quarantine.as_ref().is_some_and(out)
    }

    /// Whether it is given one job at a time.
    pub fn on_probation(&self) -> bool {
        self.quarantine.is_some() && !self.is_out()
    }

    fn remember(&mut self, job: JobSeq, failed: bool) {
        self.recent.retain(|(other, _)| *other != job);
        if self.recent.len() == OUTCOMES_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back((job, failed));
    }

    fn failures(&self) -> usize {
        self.recent.iter().filter(|(_, failed)| *failed).count()
    }
}

/// Whether a failure of this kind may be the worker's doing. What is wrong with a job or its input is wrong everywhere.
fn may_be_the_worker_s(reason: FailureReason) -> bool {
    match reason {
        FailureReason::UserError | FailureReason::InputError => false,
        FailureReason::CapabilityMismatch
        | FailureReason::RuntimeError
        | FailureReason::Timeout
        | FailureReason::NetworkError
        | FailureReason::PlatformError
        | FailureReason::ResourceError => true,
    }
}

impl Core {
    /// A job was done on a worker.
    pub(super) fn succeeded_on(
        &mut self,
        id: WorkerId,
        seq: JobSeq,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        worker.trust.remember(seq, false);
        if !worker.trust.on_probation() {
            return; // also what still ran when it was put out
        }
        let left = worker.trust.quarantine.as_mut().map(|quarantine| {
            quarantine.to_prove = quarantine.to_prove.saturating_sub(1);
            quarantine.to_prove
        });
        if left == Some(0) {
            self.release(id, "it has proven itself", now, out);
        } else {
            self.keep_quarantine(id, out);
        }
    }

    /// An attempt failed on a worker.
    pub(super) fn failed_on(
        &mut self,
        id: WorkerId,
        seq: JobSeq,
        reason: FailureReason,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        if !may_be_the_worker_s(reason) || !self.could_go_elsewhere(id, seq) {
            return;
        }
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        worker.trust.remember(seq, true);
        if worker.trust.is_out() {
            return; // what still ran when it was put out
        }
        if worker.trust.on_probation() {
            let why = format!("on probation, job {seq} failed there too: {reason}");
            return self.put_out(id, why, now, out);
        }
        if let Some(why) = self.out_of_line(id) {
            self.put_out(id, why, now, out);
        }
    }

    /// A job ended as failed. If that was so on several workers, it is not theirs.
    pub(super) fn failed_everywhere(
        &mut self,
        seq: JobSeq,
        failed_on: &[WorkerId],
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        if failed_on.len() < 2 {
            return;
        }
        for id in failed_on {
            let Some(worker) = self.workers.get_mut(id) else {
                continue;
            };
            let before = worker.trust.recent.len();
            worker.trust.recent.retain(|(job, _)| *job != seq);
            let taken_back = worker.trust.recent.len() != before;
            // One that was put out again on probation had been judged before.
            let first = worker
                .trust
                .quarantine
                .as_ref()
                .is_some_and(|q| q.times == 1);
            if taken_back && first && worker.trust.is_out() && self.out_of_line(*id).is_none() {
                let why = "the jobs that failed there failed elsewhere as well";
                self.release(*id, why, now, out);
            }
        }
    }

    /// Whether some other worker in service could have had the job.
    fn could_go_elsewhere(&self, id: WorkerId, seq: JobSeq) -> bool {
        let Some(job) = self.jobs.get(&seq) else {
            return false;
        };
        let class = self.classes.get(job.class);
        self.cluster
            .workers()
            .iter()
            .any(|other| other.id != id && Cluster::could_ever_fit(other, &class, &job.cost))
    }

    /// Why a worker should be put out, if it should.
    fn out_of_line(&self, id: WorkerId) -> Option<String> {
        let trust = &self.workers.get(&id)?.trust;
        let (failed, of) = (trust.failures(), trust.recent.len());
        if failed < FAILURES_MIN || failed * 2 < of {
            return None;
        }
        let others = self
            .workers
            .values()
            .filter(|other| other.id != id && other.trust.quarantine.is_none());
        let (others_failed, others_of) = others.fold((0, 0), |(failed, of), other: &Worker| {
            let trust = &other.trust;
            (failed + trust.failures(), of + trust.recent.len())
        });
        let stands_out = others_failed * of * OUT_OF_LINE <= failed * others_of;
        (others_of >= OTHERS_MIN && stands_out).then(|| {
            format!(
                "{failed} of its last {of} jobs failed; elsewhere {others_failed} of {others_of} did"
            )
        })
    }

    fn put_out(&mut self, id: WorkerId, why: String, now: Now, out: &mut Vec<Effect>) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        let times = worker.trust.quarantine.as_ref().map_or(0, |q| q.times) + 1;
        let for_ms = self
            .config
            .quarantine_first_ms
            .saturating_mul(1 << (times - 1).min(32))
            .min(self.config.quarantine_max_ms);
        worker.trust.until_mono_ms = now.mono_ms + for_ms;
        tracing::warn!(
            node = worker.name,
            why,
            seconds = for_ms / 1_000,
            times,
            "a worker is quarantined: it is given nothing for a while, then one job at a time"
        );
        worker.trust.quarantine = Some(Quarantine {
            why,
            until_ms: Some(now.wall_ms.saturating_add_unsigned(for_ms)),
            to_prove: PROVE,
            times,
        });
        self.stats.quarantines += 1;
        self.change(Change::WorkerAccepting {
            worker: id,
            accepting: false,
        });
        self.stands_otherwise(id, out);
    }

    /// Puts a worker back into service as if nothing had been.
    pub(super) fn release(&mut self, id: WorkerId, why: &str, now: Now, out: &mut Vec<Effect>) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        if worker.trust.quarantine.is_none() {
            return;
        }
        tracing::info!(node = worker.name, why, "a worker's quarantine is over");
        worker.trust = Trust::kept(None, now, 0);
        self.announce(id);
        self.stands_otherwise(id, out);
    }

    /// Begins the probation of those whose time is over.
    pub(super) fn check_quarantines(&mut self, now: Now, out: &mut Vec<Effect>) {
        let due: Vec<WorkerId> = self
            .workers
            .values()
            .filter(|w| w.trust.is_out() && now.mono_ms >= w.trust.until_mono_ms)
            .map(|w| w.id)
            .collect();
        for id in due {
            if let Some(worker) = self.workers.get_mut(&id) {
                tracing::info!(
                    node = worker.name,
                    jobs = PROVE,
                    "a quarantined worker is on probation: one job at a time"
                );
                worker.trust.recent.clear();
                if let Some(quarantine) = &mut worker.trust.quarantine {
                    (quarantine.until_ms, quarantine.to_prove) = (None, PROVE);
                }
            }
            self.announce(id);
            self.stands_otherwise(id, out);
        }
    }

    fn stands_otherwise(&mut self, id: WorkerId, out: &mut Vec<Effect>) {
        self.keep_quarantine(id, out);
        self.recount(id);
        if self.telling {
            self.nodes_changed.insert(id); // its status may have been the same before
        }
        self.unpark();
        self.rounds.wake();
    }

    fn keep_quarantine(&self, id: WorkerId, out: &mut Vec<Effect>) {
        if let Some(worker) = self.workers.get(&id) {
            out.push(Effect::Persist(Record::WorkerQuarantined {
                name: worker.name.clone(),
                quarantine: worker.trust.quarantine.clone(),
            }));
        }
    }
}

#[cfg(test)]
mod tests;

//! A policy's answer, checked placement by placement against the truth of the moment it arrives, and carried out.
//!
//! What does not hold is refused and counted, the rest stands: a policy can be foolish, it cannot break an invariant.

use std::{collections::BTreeMap, sync::Arc};

use ffrtmp_api::{
    ids::{Attempt, AttemptNo, JobSeq},
    job::{FailureReason, JobSpec, JobState, Queue},
    protocol::{Assignment, Reserved, ToWorker},
    rest::{Failure, Placement as PlacementNote},
    settings::Settings,
};
use ffrtmp_policy_sdk::{Answer, Class, Cluster, Hold, Placement};

use super::{
    super::{
        Core, Effect, Now, SessionId,
        choices::Offer,
        explain::meets,
        queue::Place,
        round::PolicyTag,
        stats::{AttemptEnd, Refusal, RoundResult},
    },
    Asked, Told,
    plan::Plan,
};

/// How often one round slides its windows on past skipped jobs.
const PAGES_MAX: u32 = 4;
/// Longest hold, milliseconds.
const HOLD_MAX_MS: i64 = 24 * 3_600_000;
/// Longest hold of a job in the live lane, milliseconds: somebody is watching.
const HOLD_LIVE_MAX_MS: i64 = 10_000;
/// Assignments in one frame: with two paths of 4 KiB in each, and every byte of them escaped, still below the frame limit.
const ASSIGNMENTS_PER_FRAME: usize = 16;

impl Core {
    pub(super) fn apply_answer(
        &mut self,
        mut plan: Plan,
        answer: Answer,
        policy: &PolicyTag,
        told: Told,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let mut refused = Vec::with_capacity(answer.placements.len());
        let mut assignments: BTreeMap<SessionId, Vec<Assignment>> = BTreeMap::new();
        let offer = Arc::new(self.offer(&plan, &answer, now));
        for placement in &answer.placements {
            match self.check(&plan, placement) {
                Ok((seq, gpu)) => {
                    refused.push(None);
                    let placed = self.place(
                        seq,
                        placement,
                        gpu,
                        policy,
                        plan.ask.round,
                        now,
                        &mut assignments,
                        out,
                    );
                    if let Some(attempt) = placed {
                        plan.placed += 1;
                        let index = plan.offered.get(&placement.job).map_or(0, |at| at.1);
                        self.choices
                            .placed(attempt, placement.worker, &plan.ask, index, &offer);
                    }
                }
                Err(refusal) => {
                    refused.push(Some(refusal));
                    *self.stats.refusals.entry(refusal).or_default() += 1;
                    tracing::debug!(
                        policy = policy.name,
                        ?placement,
                        refusal = refusal.as_str(),
                        "refused a placement"
                    );
                }
            }
        }
        for (session, list) in assignments {
            for chunk in list.chunks(ASSIGNMENTS_PER_FRAME) {
                out.push(Effect::Send(
                    session,
                    ToWorker::Assign {
                        assignments: chunk.to_vec(),
                    },
                ));
            }
        }
        let mut held = Vec::with_capacity(answer.holds.len());
        for hold in &answer.holds {
            let holds = self.hold(&plan, hold, policy, now);
            // Who stood behind it is at the head now: a night's worth of held jobs must not wait for something else to happen.
            self.rounds.woken |= holds;
            held.push(holds);
        }
        let before = plan.skipped.len();
        plan.skipped.extend(
            answer
                .skips
                .iter()
                .filter_map(|id| Some(plan.offered.get(id)?.0)),
        );
        if let Some(mut told) = told {
            (told.answer, told.refused, told.held) = (answer, refused, held);
            out.push(Effect::Decided(told));
        }
        if plan.skipped.len() > before && plan.page < PAGES_MAX {
            let next = self.plan(std::mem::take(&mut plan.skipped), now);
            if !next.offered.is_empty() {
                let next = Plan {
                    page: plan.page + 1,
                    placed: plan.placed,
                    faulted: plan.faulted,
                    ..next
                };
                return self.ask(Asked::Plan(next), now, out);
            }
        }
        self.note_stall(&plan, now);
        if plan.placed > 0 {
            self.rounds.woken = true; // there may be more where these came from
        }
        self.stats.on_fallback = plan.faulted;
        self.round_result(match plan {
            Plan { faulted: true, .. } => RoundResult::Error,
            Plan { placed: 0, .. } => RoundResult::NoJobs,
            _ => RoundResult::Success,
        });
    }

    pub(super) fn round_result(&mut self, result: RoundResult) {
        *self.stats.rounds.entry(result).or_default() += 1;
    }

    /// Whether a placement holds against the truth of this moment; with the job and the GPU it will use.
    fn check(&self, plan: &Plan, placement: &Placement) -> Result<(JobSeq, Option<u32>), Refusal> {
        let (seq, index) = *plan
            .offered
            .get(&placement.job)
            .ok_or(Refusal::UnknownJob)?;
        let job = self
            .jobs
            .get(&seq)
            .filter(|job| matches!(job.place, Place::Queued { .. }))
            .ok_or(Refusal::NotPending)?;
        let worker = self
            .cluster
            .worker(placement.worker)
            .ok_or(Refusal::UnknownWorker)?;
        if !worker.accepting {
            return Err(Refusal::WorkerUnavailable);
        }
        let class = self.classes.get(job.class);
        if !meets(worker, &class) {
            return Err(Refusal::RequirementNotMet);
        }
        if plan.ask.candidates[index]
            .excluded
            .contains(&placement.worker)
        {
            return Err(Refusal::Excluded);
        }
        let without_gpu = Class {
            gpu: false,
            ..class
        };
        if !Cluster::fits(worker, &without_gpu, &job.cost) {
            return Err(Refusal::NoCapacity);
        }
        if !class.gpu {
            return Ok((seq, None));
        }
        let index = placement.gpu.ok_or(Refusal::GpuInvalid)?;
        let gpu = worker.gpus.get(index as usize).ok_or(Refusal::GpuInvalid)?;
        if !Cluster::gpu_fits(gpu, &job.cost) {
            return Err(Refusal::GpuFull);
        }
        Ok((seq, Some(index)))
    }

    /// What the question offers at this moment, for whoever asks later why a job went where it went.
    fn offer(&self, plan: &Plan, answer: &Answer, now: Now) -> Offer {
        let mut jobs: Vec<(usize, JobSeq)> = plan.offered.values().map(|(j, i)| (*i, *j)).collect();
        jobs.sort_unstable();
        let jobs = jobs.into_iter().map(|(_, job)| job);
        let placed = answer.placements.iter();
        let chosen = placed.filter_map(|p| Some(plan.offered.get(&p.job)?.1));
        Offer::new(&self.cluster, &plan.ask, jobs, chosen, now.wall_ms)
    }

    /// Gives a job to a worker. Gives the attempt; none if the stored spec turns out unusable.
    #[allow(clippy::too_many_arguments)] // everything an assignment is made of
    fn place(
        &mut self,
        seq: JobSeq,
        placement: &Placement,
        gpu: Option<u32>,
        policy: &PolicyTag,
        round: u64,
        now: Now,
        assignments: &mut BTreeMap<SessionId, Vec<Assignment>>,
        out: &mut Vec<Effect>,
    ) -> Option<Attempt> {
        let worker = self.workers.get(&placement.worker)?;
        let (name, session) = (worker.name.clone(), worker.session);
        let job = self.jobs.get(&seq)?;
        let spec: Result<JobSpec, _> = serde_json::from_str(&job.spec);
        let settings = spec.map_err(|e| e.to_string()).and_then(|spec| {
            Ok((
                Settings::resolve(&spec).map_err(|e| e.to_string())?,
                spec.scenario,
            ))
        });
        self.take_capacity(seq, placement.worker, gpu);
        self.leave_room(seq);
        let job = self.jobs.get_mut(&seq)?;
        job.status.attempt = AttemptNo(job.status.attempt.0 + 1);
        job.status.started_ms = None;
        job.status.worker = Some(name.clone());
        let reason = policy.reason(placement.reason, placement.arg);
        let note = PlacementNote {
            policy: policy.name.clone(),
            digest: policy.digest.clone(),
            reason: reason.clone(),
            score: placement.score,
            gpu,
            round,
        };
        job.status.placement = Some(Box::new(note));
        job.status.lost = false;
        let (attempt, job_uuid, queue) = (job.attempt(), job.uuid, job.queue);
        let reserved = Reserved {
            cpu_millicores: job.cost.cpu_millicores,
            memory_mib: job.cost.memory_mib,
        };
        let detail = format!(
            "placed on {name} by {} {}: {reason}",
            policy.name, policy.digest
        );
        self.transition(seq, JobState::Assigned, detail, now, out);
        match settings {
            Ok((settings, scenario)) => {
                self.stats.placements += 1;
                if let Some(session) = session {
                    assignments.entry(session).or_default().push(Assignment {
                        attempt,
                        job_uuid,
                        scenario,
                        settings,
                        gpu,
                        queue,
                        reserved,
                    });
                }
                Some(attempt)
            }
            Err(message) => {
                // Accepted by another version of this software.
                let message =
                    format!("its stored description is not usable by this version: {message}");
                if let Some(job) = self.jobs.get_mut(&seq) {
                    job.status.failure = Some(Failure {
                        reason: FailureReason::UserError,
                        message: message.clone(),
                    });
                }
                self.attempt_ended(seq, AttemptEnd::Failed, now);
                self.release_capacity(seq);
                self.transition(seq, JobState::Failed, message, now, out);
                None
            }
        }
    }

    /// Keeps a job waiting on purpose, as long as that may be. Says whether it does.
    fn hold(&mut self, plan: &Plan, hold: &Hold, policy: &PolicyTag, now: Now) -> bool {
        let Some((seq, _)) = plan.offered.get(&hold.job).copied() else {
            return false;
        };
        let Some(job) = self
            .jobs
            .get(&seq)
            .filter(|job| matches!(job.place, Place::Queued { .. }))
        else {
            return false;
        };
        let max_ms = if job.queue == Queue::Live {
            HOLD_LIVE_MAX_MS
        } else {
            HOLD_MAX_MS
        };
        // The cap is for all holds of a job together: one that is held again and again is held once, as far as it can tell.
        let left_ms = max_ms.saturating_sub_unsigned(job.held_ms).max(0);
        let delay_ms = hold.until_ms.saturating_sub(now.wall_ms).clamp(0, left_ms) as u64;
        if delay_ms == 0 {
            return false;
        }
        self.leave_room(seq);
        let reason = format!(
            "held by {}: {}",
            policy.name,
            policy.reason(hold.reason, hold.arg)
        );
        self.delay(seq, now.mono_ms + delay_ms, reason.into());
        self.rounds.held.insert(seq);
        self.waits(seq, None);
        self.stats.holds += 1;
        if let Some(job) = self.jobs.get_mut(&seq) {
            job.held_ms += delay_ms;
        }
        true
    }
}

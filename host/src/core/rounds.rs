//! Asking the policy and checking its answer.
//!
//! At most one question is in flight. A question is asked because something changed (a job was queued, a slot came free, a
//! worker came), never on a tick; what happens while the policy thinks goes into the next. The answer is checked
//! against the state at the moment it arrives, placement by placement: what does not hold is refused and counted, the rest
//! stands. A policy that fails is replaced for that same question by the built-in `balanced`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ffrtmp_api::{
    ids::{AttemptNo, JobSeq},
    job::{FailureReason, JobSpec, JobState, Queue},
    protocol::{Assignment, ToWorker},
    rest::{Failure, Placement as PlacementNote},
    settings::Settings,
};
use ffrtmp_policy_balanced::Balanced;
use ffrtmp_policy_sdk::{
    Answer, Ask, Candidate, Change, Class, Cluster, Hold, Placement, Policy, Rank,
};

use super::{
    Config, Core, Effect, Now, SessionId,
    explain::meets,
    queue::Place,
    round::{FaultStage, Outcome, PolicyTag, Round, RoundEnded, Work},
    stats::{Refusal, RoundResult},
};

/// How often one round slides its windows on past skipped jobs.
const PAGES_MAX: u32 = 4;
/// Longest hold, milliseconds.
const HOLD_MAX_MS: i64 = 24 * 3_600_000;
/// Longest hold of a job in the live lane, milliseconds: somebody is watching.
const HOLD_LIVE_MAX_MS: i64 = 10_000;
/// Changes kept for the policy; beyond it a full snapshot is cheaper.
const FEED_MAX: usize = 100_000;
/// Assignments in one frame: with two paths of 4 KiB each in every one, still below the frame limit.
const ASSIGNMENTS_PER_FRAME: usize = 64;

/// What the core remembers about rounds.
#[derive(Debug, Default)]
pub struct Rounds {
    in_flight: Option<InFlight>,
    /// Number of the last question.
    last_id: u64,
    /// Number of the last round; a round may take several questions.
    last_round: u64,
    /// Whether something changed since the last plan.
    woken: bool,
    /// Whether the last question was a ranking, so that rankings and plans take turns.
    ranked_last: bool,
    /// Jobs ranked by an earlier policy, to be ranked again in slices.
    rerank: Vec<JobSeq>,
    /// What the policy has not been told.
    changes: Vec<Change>,
    /// Whether what it knows must be replaced.
    reset: bool,
    /// Who answered last.
    policy: Option<Arc<PolicyTag>>,
    /// The question the policy thread is stuck in; until it comes back, rounds are decided without it.
    stuck_in: Option<u64>,
}

#[derive(Debug)]
struct InFlight {
    id: u64,
    asked_ms: u64,
    asked: Asked,
}

#[derive(Debug)]
enum Asked {
    Rank(Vec<JobSeq>),
    Plan(Plan),
}

/// A round in the making.
#[derive(Debug)]
struct Plan {
    ask: Ask,
    offered: BTreeMap<u32, JobSeq>,
    skipped: BTreeSet<JobSeq>,
    page: u32,
    placed: u64,
    faulted: bool,
}

impl Rounds {
    /// Nothing asked yet; whatever the policy knew is to be replaced.
    pub fn new(generation: u32) -> Rounds {
        Rounds {
            last_id: u64::from(generation) << 32,
            reset: true,
            ..Rounds::default()
        }
    }

    /// Something changed that may let a job be placed.
    pub fn wake(&mut self) {
        self.woken = true;
    }

    /// Keeps a change for the policy.
    pub fn feed(&mut self, change: Change) {
        if self.reset {
            return; // a snapshot will say it
        }
        self.changes.push(change);
        if self.changes.len() > FEED_MAX {
            self.changes.clear();
            self.reset = true;
        }
    }

    /// Whether the policy has been told everything that happened.
    #[cfg(test)]
    pub fn told_all(&self) -> bool {
        self.changes.is_empty() && !self.reset
    }

    /// When the policy thread counts as stuck.
    pub fn stuck_deadline_ms(&self, config: &Config) -> Option<u64> {
        self.in_flight
            .as_ref()
            .map(|flight| flight.asked_ms + config.stuck_ms)
    }
}

/// The built-in policy, as whoever reads a placement sees it.
fn native_tag() -> PolicyTag {
    let info = Balanced::info();
    PolicyTag {
        name: info.name,
        digest: "native".into(),
        reasons: info.reasons,
    }
}

impl Core {
    /// Starts a round if one is due and none is in flight.
    pub(super) fn start_round_if_due(&mut self, now: Now, out: &mut Vec<Effect>) {
        while self.rounds.in_flight.is_none() {
            let may_rank = self.room.has_unranked() || !self.rounds.rerank.is_empty();
            let may_plan = self.rounds.woken && self.room.has_queued();
            let asked = match (may_rank, may_plan) {
                (true, plan) if !plan || !self.rounds.ranked_last => {
                    Asked::Rank(self.next_to_rank())
                }
                (_, true) => {
                    self.rounds.woken = false;
                    self.rounds.last_round += 1;
                    let plan = self.plan(BTreeSet::new(), now);
                    if plan.offered.is_empty() {
                        self.round_result(RoundResult::NoJobs);
                        self.rounds.ranked_last = false;
                        continue;
                    }
                    Asked::Plan(plan)
                }
                _ => return,
            };
            self.rounds.ranked_last = matches!(asked, Asked::Rank(_));
            self.ask(asked, now, out);
        }
    }

    fn next_to_rank(&mut self) -> Vec<JobSeq> {
        let max = self.config.rank_batch_max;
        let mut batch = self.room.take_unranked(max);
        let rest = self.rounds.rerank.len().saturating_sub(max - batch.len());
        batch.extend(self.rounds.rerank.drain(rest..));
        batch
    }

    /// Asks the policy thread, or answers at once with the built-in policy while that thread is stuck.
    fn ask(&mut self, mut asked: Asked, now: Now, out: &mut Vec<Effect>) {
        if let Asked::Rank(jobs) = &mut asked {
            jobs.retain(|seq| self.jobs.contains_key(seq));
            if jobs.is_empty() {
                return;
            }
        }
        self.rounds.last_id += 1;
        let id = self.rounds.last_id;
        if self.rounds.stuck_in.is_some() {
            return self.decide_natively(asked, now, out);
        }
        let work = match &asked {
            Asked::Rank(jobs) => Work::Rank(
                jobs.iter()
                    .filter_map(|seq| self.jobs.get(seq))
                    .map(|job| job.info())
                    .collect(),
            ),
            Asked::Plan(plan) => Work::Plan(plan.ask.clone()),
        };
        let reset = std::mem::take(&mut self.rounds.reset);
        let changes = if reset {
            self.snapshot()
        } else {
            std::mem::take(&mut self.rounds.changes)
        };
        out.push(Effect::Ask(Round {
            id,
            reset,
            changes,
            work,
        }));
        self.rounds.in_flight = Some(InFlight {
            id,
            asked_ms: now.mono_ms,
            asked,
        });
    }

    /// Everything a policy must know, as changes to an empty view.
    fn snapshot(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        for worker in self.workers.values() {
            changes.push(Change::WorkerUp(worker.empty_view(&self.classes)));
            let on = worker.jobs.iter().filter_map(|seq| self.jobs.get(seq)?.on);
            changes.extend(on.map(Change::JobStarted));
        }
        changes
    }

    /// The question of a round: the heads of the queues whose class has room somewhere.
    fn plan(&self, skipped: BTreeSet<JobSeq>, now: Now) -> Plan {
        let free: Vec<_> = self
            .cluster
            .workers()
            .iter()
            .filter(|w| w.accepting && w.slots_used < w.slots)
            .collect();
        let free_slots: u64 = free.iter().map(|w| u64::from(w.slots - w.slots_used)).sum();
        // Twice the free slots: some candidates will not fit (a head that needs more than is left), others behind can.
        let limit = (free_slots * 2 + 8).min(self.config.candidates_max as u64) as usize;
        let mut open: Vec<(Class, _)> = Vec::new();
        let mut feasible: BTreeMap<u32, bool> = BTreeMap::new();
        for (class, heap) in self.room.queues() {
            let class = self.classes.get(class);
            if *feasible
                .entry(class.id)
                .or_insert_with(|| free.iter().any(|w| meets(w, &class)))
            {
                open.push((class, heap));
            }
        }
        let window = limit.div_ceil(open.len().max(1));
        let mut ask = Ask {
            round: self.rounds.last_round,
            now_ms: now.wall_ms,
            seed: self.rounds.last_id.wrapping_mul(0x9E37_79B9_7F4A_7C15),
            ..Ask::default()
        };
        let mut class_index: BTreeMap<u32, u32> = BTreeMap::new();
        let mut chosen: Vec<(i64, JobSeq, u32)> = Vec::new();
        for (class, heap) in open {
            let index = *class_index.entry(class.id).or_insert_with(|| {
                ask.classes.push(class);
                ask.classes.len() as u32 - 1
            });
            let heads = heap
                .iter()
                .filter(|(_, seq)| !skipped.contains(seq))
                .take(window);
            chosen.extend(heads.map(|(rank, seq)| (*rank, *seq, index)));
        }
        chosen.sort_unstable();
        chosen.truncate(self.config.candidates_max.max(window));
        let mut offered = BTreeMap::new();
        for (rank, seq, class) in chosen {
            let Some(job) = self.jobs.get(&seq) else {
                continue;
            };
            offered.insert(job.policy_id(), seq);
            // Where every worker that could take it has failed it, all get another chance.
            let needs = &ask.classes[class as usize];
            let others = self
                .cluster
                .workers()
                .iter()
                .any(|w| w.accepting && meets(w, needs) && !job.excluded.contains(&w.id));
            ask.candidates.push(Candidate {
                job: job.policy_id(),
                class,
                group: job.group(),
                rank,
                cost: job.cost,
                queue: job.queue as u8,
                priority: job.priority as u8,
                waited_ms: now.mono_ms.saturating_sub(job.pending_since_ms),
                excluded: if others {
                    job.excluded.clone()
                } else {
                    Vec::new()
                },
            });
        }
        Plan {
            ask,
            offered,
            skipped,
            page: 1,
            placed: 0,
            faulted: false,
        }
    }

    pub(super) fn round_ended(&mut self, ended: RoundEnded, now: Now, out: &mut Vec<Effect>) {
        if self.rounds.stuck_in == Some(ended.id) {
            // The thread is back. What it knows is stale, and so is its answer.
            self.rounds.stuck_in = None;
            self.rounds.changes.clear();
            self.rounds.reset = true;
            return;
        }
        let Some(flight) = self
            .rounds
            .in_flight
            .take_if(|flight| flight.id == ended.id)
        else {
            return;
        };
        self.note_policy(&ended.policy);
        match (flight.asked, ended.outcome) {
            (asked, Outcome::NeedsReset) => {
                self.rounds.changes.clear();
                self.rounds.reset = true;
                self.ask(asked, now, out);
            }
            (asked, Outcome::Fault { stage, message }) => {
                self.fault(asked, stage, &message, now, out)
            }
            (Asked::Rank(jobs), Outcome::Ranks(ranks)) if jobs.len() == ranks.len() => {
                self.apply_ranks(jobs, ranks)
            }
            (Asked::Plan(plan), Outcome::Answer(answer)) => {
                self.apply_answer(plan, answer, &ended.policy, now, out);
            }
            (asked, _) => self.fault(
                asked,
                FaultStage::Answer,
                "it answered another question, or not all of it",
                now,
                out,
            ),
        }
    }

    /// A policy that was not the one before: what waits is ranked again, in slices, while rounds go on.
    fn note_policy(&mut self, policy: &Arc<PolicyTag>) {
        let before = self.rounds.policy.replace(policy.clone());
        if before
            .is_some_and(|before| (&before.name, &before.digest) != (&policy.name, &policy.digest))
        {
            let queued = self
                .jobs
                .values()
                .filter(|job| matches!(job.place, Place::Queued { .. }));
            self.rounds.rerank = queued.map(|job| job.seq).rev().collect();
        }
    }

    fn fault(
        &mut self,
        mut asked: Asked,
        stage: FaultStage,
        message: &str,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        *self.stats.faults.entry(stage).or_default() += 1;
        tracing::warn!(
            stage = stage.as_str(),
            message,
            "the policy failed; the built-in policy decides this round"
        );
        if let Asked::Plan(plan) = &mut asked {
            plan.faulted = true;
        }
        self.decide_natively(asked, now, out);
    }

    pub(super) fn check_stuck(&mut self, now: Now, out: &mut Vec<Effect>) {
        let stuck_ms = self.config.stuck_ms;
        if let Some(flight) = self
            .rounds
            .in_flight
            .take_if(|flight| now.mono_ms >= flight.asked_ms + stuck_ms)
        {
            self.rounds.stuck_in = Some(flight.id);
            self.fault(
                flight.asked,
                FaultStage::Stuck,
                "no answer came back from the policy thread",
                now,
                out,
            );
        }
    }

    /// The built-in policy answers the same question, on the core's own view.
    fn decide_natively(&mut self, asked: Asked, now: Now, out: &mut Vec<Effect>) {
        // It has no state, so a fresh one is as good as a kept one; and no configuration, so it cannot refuse one.
        let Ok(mut balanced) = Balanced::init("") else {
            return;
        };
        match asked {
            Asked::Rank(jobs) => {
                let (jobs, ranks) = jobs
                    .into_iter()
                    .filter_map(|seq| Some((seq, balanced.rank(&self.jobs.get(&seq)?.info()))))
                    .unzip();
                self.apply_ranks(jobs, ranks);
            }
            Asked::Plan(plan) => {
                let mut answer = Answer::default();
                balanced.plan(&mut self.cluster, &plan.ask, &mut answer);
                self.cluster.undo();
                self.apply_answer(plan, answer, &native_tag(), now, out);
            }
        }
    }

    /// Queues what was ranked, one rank for each job that was asked about. Jobs may have gone or been placed since.
    fn apply_ranks(&mut self, jobs: Vec<JobSeq>, ranks: Vec<Rank>) {
        for (seq, rank) in jobs.into_iter().zip(ranks) {
            let Some(job) = self.jobs.get_mut(&seq) else {
                continue;
            };
            match job.place {
                Place::Unranked => {}
                Place::Queued { .. } => self.room.remove(seq, job.class, job.place),
                Place::Elsewhere | Place::Delayed { .. } => continue,
            }
            job.place = self.room.queue(seq, job.class, rank);
            self.rounds.woken = true;
        }
    }

    fn apply_answer(
        &mut self,
        mut plan: Plan,
        answer: Answer,
        policy: &PolicyTag,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let mut assignments: BTreeMap<SessionId, Vec<Assignment>> = BTreeMap::new();
        for placement in &answer.placements {
            match self.check(&plan, placement) {
                Ok((seq, gpu)) => {
                    plan.placed += self.place(
                        seq,
                        placement,
                        gpu,
                        policy,
                        plan.ask.round,
                        now,
                        &mut assignments,
                        out,
                    );
                }
                Err(refusal) => {
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
                out.push(Effect::Send(session, ToWorker::Assign(chunk.to_vec())));
            }
        }
        for hold in &answer.holds {
            self.hold(&plan, hold, policy, now);
        }
        let before = plan.skipped.len();
        plan.skipped
            .extend(answer.skips.iter().filter_map(|id| plan.offered.get(id)));
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
        if plan.placed > 0 {
            self.rounds.woken = true; // there may be more where these came from
        }
        self.round_result(match plan {
            Plan { faulted: true, .. } => RoundResult::Error,
            Plan { placed: 0, .. } => RoundResult::NoJobs,
            _ => RoundResult::Success,
        });
    }

    fn round_result(&mut self, result: RoundResult) {
        *self.stats.rounds.entry(result).or_default() += 1;
    }

    /// Whether a placement holds against the truth of this moment; with the job and the GPU it will use.
    fn check(&self, plan: &Plan, placement: &Placement) -> Result<(JobSeq, Option<u32>), Refusal> {
        let seq = *plan
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
        let candidate = plan.ask.candidates.iter().find(|c| c.job == placement.job);
        if candidate.is_some_and(|c| c.excluded.contains(&placement.worker)) {
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

    /// Gives a job to a worker. Returns how many were placed: 1, or 0 if the stored spec turns out unusable.
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
    ) -> u64 {
        let Some(worker) = self.workers.get(&placement.worker) else {
            return 0;
        };
        let (name, session) = (worker.name.clone(), worker.session);
        let Some(job) = self.jobs.get(&seq) else {
            return 0;
        };
        let spec: Result<JobSpec, _> = serde_json::from_str(&job.spec);
        let settings = spec.map_err(|e| e.to_string()).and_then(|spec| {
            Ok((
                Settings::resolve(&spec).map_err(|e| e.to_string())?,
                spec.scenario,
            ))
        });
        self.take_capacity(seq, placement.worker, gpu); // while it is still known in which group it waits
        self.leave_room(seq);
        let Some(job) = self.jobs.get_mut(&seq) else {
            return 0;
        };
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
        job.status.placement = Some(note);
        let (attempt, job_uuid) = (job.attempt(), job.uuid);
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
                    });
                }
                1
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
                self.release_capacity(seq);
                self.transition(seq, JobState::Failed, message, now, out);
                0
            }
        }
    }

    fn hold(&mut self, plan: &Plan, hold: &Hold, policy: &PolicyTag, now: Now) {
        let Some(seq) = plan.offered.get(&hold.job).copied() else {
            return;
        };
        let Some(job) = self
            .jobs
            .get(&seq)
            .filter(|job| matches!(job.place, Place::Queued { .. }))
        else {
            return;
        };
        let max_ms = if job.queue == Queue::Live {
            HOLD_LIVE_MAX_MS
        } else {
            HOLD_MAX_MS
        };
        let delay_ms = hold.until_ms.saturating_sub(now.wall_ms).clamp(0, max_ms);
        if delay_ms == 0 {
            return;
        }
        self.leave_room(seq);
        if let Some(job) = self.jobs.get_mut(&seq) {
            job.place = self.room.delay(seq, now.mono_ms + delay_ms as u64);
            job.wait_reason =
                Some(format!("held by {}: {}", policy.name, policy.reason(hold.reason, 0)).into());
            self.stats.holds += 1;
        }
    }
}

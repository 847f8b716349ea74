//! Asking the policy.
//!
//! At most one question is in flight. A question is asked because something changed (a job was queued, a slot came free, a
//! worker came), never on a tick; what happens while the policy thinks goes into the next. A policy that fails is replaced
//! for that same question by the built-in `balanced`. What is asked is made in [`plan`]; what was answered is checked and
//! carried out in `answer`.

mod answer;
mod plan;
mod stall;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ffrtmp_api::ids::JobSeq;
use ffrtmp_policy_balanced::Balanced;
use ffrtmp_policy_sdk::{Answer, Change, ClassId, Cluster, GroupId, Policy, Rank, Resources};

use super::{
    Config, Core, Effect, Now,
    explain::meets,
    job::Job,
    queue::Place,
    round::{
        Decision, FaultStage, OfferedJob, Outcome, PolicyTag, Question, Round, RoundEnded, Work,
    },
    stats::RoundResult,
};
use plan::Plan;
use stall::{Reminder, Window};

/// Changes kept for the policy; beyond it a full snapshot is cheaper.
const FEED_MAX: usize = 100_000;

/// Jobs looked at in one slice of ranking again.
const RERANK_SCAN_MAX: usize = 10_000;
/// The epoch of ranks given by the built-in policy in place of one that failed.
const NATIVE_EPOCH: u32 = 0;

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
    /// Whose ranks are current: rises when the policy changes. Jobs keep the epoch they were ranked in; [`NATIVE_EPOCH`] is
    /// the built-in policy's, which ranks on another scale.
    epoch: u32,
    /// From where on jobs are looked at for a rank of another epoch, to be ranked again in slices while rounds go on.
    rerank_from: Option<JobSeq>,
    /// Whether the built-in policy ranked jobs in a fault's place, to be ranked again once the policy is well.
    stand_in_ranks: bool,
    /// Jobs a policy holds; another policy does not inherit them.
    held: BTreeSet<JobSeq>,
    /// Whether any connected worker could ever hold a job of this class, CPU and memory; forgotten when one introduces itself.
    fits: BTreeMap<(ClassId, u32, u32), bool>,
    /// Whether there is more to do at once than one call should.
    again: bool,
    /// What the policy has not been told.
    changes: Vec<Change>,
    /// Whether what it knows must be replaced.
    reset: bool,
    /// Who answered last.
    policy: Option<Arc<PolicyTag>>,
    /// Since when a job waits for nothing but the policy.
    idle_since_ms: Option<u64>,
    /// Whether the policy has been asked once more since its time was over.
    reminder: Reminder,
    /// How many candidates the policy is asked about.
    window: Window,
    /// The question the policy thread is stuck in; until it comes back, rounds are decided without it.
    stuck_in: Option<u64>,
}

#[derive(Debug)]
struct InFlight {
    id: u64,
    /// Whether it brings everything there is: then its time says nothing about other rounds.
    reset: bool,
    asked_ms: u64,
    /// As the policy was told them.
    changes: Arc<Vec<Change>>,
    asked: Asked,
}

/// What a [`Decision`] tells of its question besides the question itself; none where the policy was not asked.
type Told = Option<Box<Decision>>;

#[derive(Debug)]
enum Asked {
    Rank(Vec<JobSeq>),
    Plan(Plan),
}

impl Rounds {
    /// Nothing asked yet; whatever the policy knew is to be replaced.
    pub fn new(generation: u32) -> Rounds {
        Rounds {
            last_id: u64::from(generation) << 32,
            reset: true,
            epoch: NATIVE_EPOCH + 1,
            ..Rounds::default()
        }
    }

    /// Something changed that may let a job be placed.
    pub fn wake(&mut self) {
        self.woken = true;
    }

    /// No job waits for nothing but the policy.
    fn not_idle(&mut self) {
        (self.idle_since_ms, self.reminder) = (None, Reminder::None);
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

    /// Whoever rules ranks everything that it has not ranked yet, in slices.
    fn rank_again(&mut self) {
        self.rerank_from = Some(JobSeq(0));
    }

    /// The job's group, as far as the policy that rules gave it one; 0 otherwise.
    pub fn group_of(&self, job: &Job) -> GroupId {
        if job.rank_epoch == self.epoch {
            job.group
        } else {
            0
        }
    }

    /// Whether the policy that rules has yet to rank this job: one that waits in a queue, or one that runs and counts in
    /// the books of policies that keep any.
    pub fn owes_rank(&self, job: &Job) -> bool {
        let counts = job.on.is_some() || matches!(job.place, Place::Queued { .. });
        counts && job.rank_epoch != self.epoch
    }

    /// Whether nothing is left to be ranked, by the policy or again.
    #[cfg(test)]
    pub fn settled(&self) -> bool {
        self.rerank_from.is_none() && !self.stand_in_ranks && self.stuck_in.is_none()
    }

    /// Whether a policy holds this job.
    pub fn holds(&self, seq: JobSeq) -> bool {
        self.held.contains(&seq)
    }

    /// A job is no longer where a policy held it.
    pub fn not_held(&mut self, seq: JobSeq) {
        self.held.remove(&seq);
    }

    /// How many jobs a policy holds.
    pub fn held_count(&self) -> usize {
        self.held.len()
    }

    /// When there is something to do: at once, or when the policy thread counts as stuck.
    pub fn deadline_ms(&self, config: &Config) -> Option<u64> {
        if self.again {
            return Some(0);
        }
        self.in_flight
            .as_ref()
            .map(|flight| flight.asked_ms + config.stuck_ms)
    }
}

impl InFlight {
    /// What there is to tell of this question so far.
    fn told(&self, policy: Arc<PolicyTag>, guest_us: u64, now: Now) -> Box<Decision> {
        Box::new(Decision {
            id: self.id,
            at_ms: now.wall_ms,
            reset: self.reset,
            changes: self.changes.clone(),
            question: match &self.asked {
                Asked::Plan(plan) => Question::Plan(plan.ask.clone()),
                Asked::Rank(_) => Question::Rank(Vec::new()),
            },
            policy,
            fault: None,
            guest_us,
            jobs: Vec::new(),
            answer: Answer::default(),
            refused: Vec::new(),
            held: Vec::new(),
        })
    }
}

/// The built-in policy, as whoever reads a placement sees it.
fn native_tag() -> PolicyTag {
    let info = Balanced::info();
    PolicyTag {
        name: info.name,
        digest: "native".into(),
        config: String::new(),
        budget_us: 0,
        stall_ms: 0,
        reasons: info.reasons,
    }
}

impl Core {
    /// Starts a round if one is due and none is in flight.
    pub(super) fn start_round_if_due(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.rounds.again = false;
        while self.rounds.in_flight.is_none() && !self.rounds.again {
            let stuck = self.rounds.stuck_in.is_some();
            let may_rank =
                self.room.has_unranked() || (self.rounds.rerank_from.is_some() && !stuck);
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
                        self.rounds.not_idle();
                        self.round_result(RoundResult::NoJobs);
                        self.rounds.ranked_last = false;
                        continue;
                    }
                    if self.rounds.reminder == Reminder::Due {
                        self.rounds.reminder = Reminder::Given;
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
        let Some(from) = self.rounds.rerank_from.filter(|_| batch.len() < max) else {
            return batch;
        };
        let mut next = None;
        for (looked, (seq, job)) in self.jobs.range(from..).enumerate() {
            if batch.len() == max || looked == RERANK_SCAN_MAX {
                next = Some(*seq);
                break;
            }
            if self.rounds.owes_rank(job) {
                batch.push(*seq);
            }
        }
        self.rounds.rerank_from = next;
        // A slice in which nothing had to be ranked again: the next one waits for what arrived meanwhile.
        self.rounds.again = batch.is_empty() && next.is_some();
        batch
    }

    /// Asks the policy thread, or answers at once with the built-in policy while that thread is stuck.
    fn ask(&mut self, mut asked: Asked, now: Now, out: &mut Vec<Effect>) {
        if let Asked::Rank(jobs) = &mut asked {
            jobs.retain(|seq| {
                self.jobs.get(seq).is_some_and(|job| {
                    matches!(job.place, Place::Unranked | Place::Queued { .. })
                        || self.rounds.owes_rank(job)
                })
            });
            if jobs.is_empty() {
                return;
            }
        }
        self.rounds.last_id += 1;
        let id = self.rounds.last_id;
        if self.rounds.stuck_in.is_some() {
            self.rounds.again = true; // one decision a call: there may be a million jobs to rank
            if let Asked::Plan(plan) = &mut asked {
                plan.faulted = true;
            }
            return self.decide_natively(asked, None, now, out);
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
        let changes = Arc::new(changes);
        out.push(Effect::Ask(Round {
            id,
            reset,
            changes: changes.clone(),
            work,
        }));
        self.rounds.in_flight = Some(InFlight {
            id,
            reset,
            asked_ms: now.mono_ms,
            changes,
            asked,
        });
    }

    /// Everything a policy must know, as changes to an empty view. Groups that another policy gave mean nothing to it.
    fn snapshot(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        for worker in self.workers.values() {
            changes.push(Change::WorkerUp(worker.empty_view(&self.classes)));
            for seq in &worker.jobs {
                if let Some(job) = self.jobs.get_mut(seq) {
                    let group = self.rounds.group_of(job);
                    let on = job.on.as_mut().map(|on| {
                        on.group = group;
                        *on
                    });
                    changes.extend(on.map(Change::JobStarted));
                }
            }
        }
        changes
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
        if self.note_policy(&ended.policy, now) && !matches!(ended.outcome, Outcome::NeedsReset) {
            self.forget_groups();
        }
        let mut told = flight.told(ended.policy.clone(), ended.guest_us, now);
        if self.shadowing
            && let Asked::Plan(plan) = &flight.asked
        {
            told.jobs = self.offered(plan);
        }
        match (flight.asked, ended.outcome) {
            (asked, Outcome::NeedsReset) => {
                self.rounds.changes.clear();
                self.rounds.reset = true;
                self.ask(asked, now, out);
            }
            (asked, Outcome::Fault { stage, message }) => {
                self.fault(asked, stage, message, told, now, out)
            }
            (Asked::Rank(jobs), Outcome::Ranks(ranks)) if jobs.len() == ranks.len() => {
                if std::mem::take(&mut self.rounds.stand_in_ranks) {
                    self.rounds.rank_again();
                }
                self.apply_ranks(jobs, ranks, self.rounds.epoch);
            }
            (Asked::Plan(plan), Outcome::Answer(answer)) => {
                if !flight.reset {
                    let (asked, most) = (plan.ask.candidates.len(), self.config.candidates_max);
                    let window = &mut self.rounds.window;
                    window.took(asked, ended.guest_us, &ended.policy, most);
                    self.stats.candidates_max = window.most(most) as u64;
                }
                self.apply_answer(plan, answer, &ended.policy, Some(told), now, out);
            }
            (asked, _) => self.fault(
                asked,
                FaultStage::Answer,
                "it answered another question, or not all of it".into(),
                told,
                now,
                out,
            ),
        }
    }

    /// A policy that was not the one before: what waits is ranked again, and what the earlier one held is not held any more.
    /// Says whether it is another.
    fn note_policy(&mut self, policy: &Arc<PolicyTag>, now: Now) -> bool {
        let before = self.rounds.policy.replace(policy.clone());
        let same = |before: Arc<PolicyTag>| {
            (&before.name, &before.digest, &before.config)
                == (&policy.name, &policy.digest, &policy.config)
        };
        if before.is_none_or(same) {
            return false;
        }
        self.rounds.epoch += 1;
        self.rounds.not_idle();
        self.rounds.window.forget();
        self.rounds.rank_again();
        self.release_held(now);
        true
    }

    /// A policy took its seat. Nothing else may be going on, so what the earlier one held would wait for the next round that
    /// something else starts.
    pub(super) fn policy_seated(&mut self, now: Now) {
        self.stats.on_fallback = false;
        self.release_held(now);
        self.rounds.wake();
    }

    fn release_held(&mut self, now: Now) {
        for seq in std::mem::take(&mut self.rounds.held) {
            self.leave_room(seq);
            self.requeue(seq);
            self.waits(seq, Some(now.wall_ms));
        }
    }

    /// Another policy was told the groups of the one before: it took over while the thread was stuck, say. Until it has
    /// ranked the running jobs itself, they are in none.
    fn forget_groups(&mut self) {
        let mut stale = Vec::new();
        for job in self.jobs.values_mut() {
            if let Some(on) = job.on.as_mut().filter(|on| on.group != 0) {
                on.group = 0;
                stale.push(Change::JobRegrouped(*on));
            }
        }
        stale.into_iter().for_each(|change| self.change(change));
    }

    fn fault(
        &mut self,
        mut asked: Asked,
        stage: FaultStage,
        message: String,
        mut told: Box<Decision>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        *self.stats.faults.entry(stage).or_default() += 1;
        tracing::warn!(
            event = "policy_fallback",
            stage = stage.as_str(),
            message,
            "the policy failed; the built-in policy decides this round"
        );
        told.fault = Some((stage, message));
        self.stats.on_fallback = true;
        match &mut asked {
            Asked::Plan(plan) => plan.faulted = true,
            Asked::Rank(jobs) => told.question = Question::Rank(jobs.clone()),
        }
        self.decide_natively(asked, Some(told), now, out);
    }

    /// A candidate begins or ends. One that begins must be told everything, and hears what the policy that rules is told: so
    /// that one is told everything once more, as after any swap.
    pub(super) fn shadow(&mut self, on: bool) {
        self.shadowing = on;
        if on {
            self.rounds.changes.clear();
            self.rounds.reset = true;
        }
    }

    /// The jobs in a question, for a candidate to rank.
    fn offered(&self, plan: &Plan) -> Vec<OfferedJob> {
        let jobs = plan.offered.iter().filter_map(|(id, (seq, candidate))| {
            let job = self.jobs.get(seq)?;
            Some(OfferedJob {
                id: *id,
                candidate: *candidate,
                submitted_ms: job.submitted_ms,
                spec: job.spec.clone(),
            })
        });
        jobs.collect()
    }

    pub(super) fn check_stuck(&mut self, now: Now, out: &mut Vec<Effect>) {
        let stuck_ms = self.config.stuck_ms;
        if let Some(flight) = self
            .rounds
            .in_flight
            .take_if(|flight| now.mono_ms >= flight.asked_ms + stuck_ms)
        {
            self.rounds.stuck_in = Some(flight.id);
            let asked_of = self.rounds.policy.clone();
            let told = flight.told(asked_of.unwrap_or_else(|| native_tag().into()), 0, now);
            self.fault(
                flight.asked,
                FaultStage::Stuck,
                "no answer came back from the policy thread".into(),
                told,
                now,
                out,
            );
        }
    }

    /// The built-in policy answers the same question, on the core's own view.
    fn decide_natively(&mut self, asked: Asked, told: Told, now: Now, out: &mut Vec<Effect>) {
        match asked {
            Asked::Rank(jobs) => {
                let Ok(mut balanced) = Balanced::init("") else {
                    return;
                };
                let (jobs, ranks) = jobs
                    .into_iter()
                    .filter_map(|seq| Some((seq, balanced.rank(&self.jobs.get(&seq)?.info()))))
                    .unzip();
                self.rounds.stand_in_ranks = true;
                self.apply_ranks(jobs, ranks, NATIVE_EPOCH);
                out.extend(told.map(Effect::Decided));
            }
            Asked::Plan(plan) => {
                let answer = self.native_answer(&plan);
                self.apply_answer(plan, answer, &native_tag(), told, now, out);
            }
        }
    }

    /// What the built-in policy answers.
    fn native_answer(&mut self, plan: &Plan) -> Answer {
        let mut answer = Answer::default();
        // It has no state, so a fresh one is as good as a kept one; and no configuration, so it cannot refuse one.
        if let Ok(mut balanced) = Balanced::init("") {
            balanced.plan(&mut self.cluster, &plan.ask, &mut answer);
            self.cluster.undo();
        }
        answer
    }

    /// Queues what was ranked, one rank for each job that was asked about. Jobs may have gone or been placed since.
    fn apply_ranks(&mut self, jobs: Vec<JobSeq>, ranks: Vec<Rank>, epoch: u32) {
        for (seq, rank) in jobs.into_iter().zip(ranks) {
            let Some(job) = self.jobs.get_mut(&seq) else {
                continue;
            };
            match job.place {
                Place::Unranked => {}
                Place::Queued { .. } => self.room.remove(seq, job.class, job.place),
                Place::Elsewhere => {
                    self.regroup(seq, rank.group, epoch);
                    continue;
                }
                Place::Delayed { .. } | Place::Parked | Place::Held { .. } => continue,
            }
            job.rank_epoch = epoch;
            let (class, cost) = (job.class, job.cost);
            let fits = self.could_ever_fit(class, &cost);
            let Some(job) = self.jobs.get_mut(&seq) else {
                continue;
            };
            job.group = rank.group;
            job.place = if fits {
                self.room.queue(seq, class, rank)
            } else {
                self.room.park(seq, class)
            };
            if let Place::Queued { group, .. } = job.place {
                job.group = group;
            }
            self.rounds.woken = true;
        }
    }

    /// A job was ranked that runs already: its rank says nothing any more, its group is counted. The built-in policy has none.
    fn regroup(&mut self, seq: JobSeq, group: GroupId, epoch: u32) {
        let Some(job) = self.jobs.get_mut(&seq).filter(|_| epoch != NATIVE_EPOCH) else {
            return;
        };
        job.rank_epoch = epoch;
        job.group = group;
        if let Some(on) = job.on.as_mut().filter(|on| on.group != group) {
            on.group = group;
            let on = *on;
            self.change(Change::JobRegrouped(on));
        }
    }

    /// Whether any connected worker could hold a job of this class and cost, if nothing else ran there. While no connected
    /// worker meets the class, that is not known, and the answer is yes.
    fn could_ever_fit(&mut self, class: ClassId, cost: &Resources) -> bool {
        let key = (class, cost.cpu_millicores, cost.memory_mib);
        if let Some(fits) = self.rounds.fits.get(&key) {
            return *fits;
        }
        let needs = self.classes.get(class);
        let mut able = self
            .cluster
            .workers()
            .iter()
            .filter(|w| w.accepting && meets(w, &needs))
            .peekable();
        let fits = able.peek().is_none() || able.any(|w| Cluster::could_ever_fit(w, &needs, cost));
        self.rounds.fits.insert(key, fits);
        fits
    }

    /// A worker introduced itself: what no worker could hold before, this one may.
    pub(super) fn unpark(&mut self) {
        self.rounds.fits.clear();
        for seq in self.room.take_parked() {
            self.requeue(seq);
        }
    }
}

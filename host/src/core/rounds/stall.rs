//! Two watches over the policy that rules, for what no limit on a single call catches.
//!
//! **A stall.** A policy that answers in time, and nothing: it skips for ever, or places only what is refused. The clock runs
//! only while a job waits that some worker could take this moment and that was neither placed nor held. When it is over, the
//! policy is asked once more, because what it decides may depend on the time, and nothing else wakes it. If it places nothing
//! again, the built-in policy is asked the same; if that would place something, the policy is at fault, and that answer is
//! carried out. Waiting on purpose is what holds are for; an operator whose policy keeps room free on purpose gives it longer.
//!
//! **The window.** A policy whose rounds take long is asked about fewer jobs at once, so that the slowest hundredth of its
//! rounds stays below half its budget. It cuts the window by a quarter when a round took more than three eighths of the
//! budget, and opens it a little after each that took less than a quarter.

use std::{collections::BTreeSet, sync::Arc};

use ffrtmp_api::ids::JobSeq;
use ffrtmp_policy_sdk::{Answer, Class, Cluster};

use super::super::{
    Core, Effect, Now,
    explain::meets,
    queue::Place,
    round::{Decision, FaultStage, PolicyTag, Question, Round, Work},
};
use super::plan::Plan;

/// Jobs looked at to tell whether one could run. Enough to find one where many wait; bounded, because every worker is looked
/// at for each.
const LOOKED_AT_MAX: usize = 64;
/// Fewest candidates a slow policy is asked about.
const WINDOW_MIN: usize = 16;

/// Whether a policy whose time is over has been asked once more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reminder {
    /// Its time is not over.
    #[default]
    None,
    /// The next round is it.
    Due,
    /// It was asked.
    Given,
}

/// How many candidates a policy is asked about, by how long it takes.
#[derive(Debug, Default)]
pub struct Window {
    /// None until a round was slow.
    narrowed: Option<usize>,
}

impl Window {
    /// Most candidates now.
    pub fn most(&self, configured: usize) -> usize {
        self.narrowed.unwrap_or(configured).min(configured)
    }

    /// A round of so many candidates took so long.
    pub fn took(
        &mut self,
        candidates: usize,
        guest_us: u64,
        policy: &PolicyTag,
        configured: usize,
    ) {
        let budget = policy.budget_us;
        if budget == 0 {
            self.narrowed = None;
            return;
        }
        let most = self.most(configured);
        if guest_us.saturating_mul(8) > budget.saturating_mul(3) {
            // What was asked, not what could have been: a short queue must not hide the cause.
            self.narrowed = Some((candidates.min(most) * 3 / 4).max(WINDOW_MIN));
        } else if guest_us.saturating_mul(4) < budget && self.narrowed.is_some() {
            let wider = most + most / 32 + 1;
            self.narrowed = (wider < configured).then_some(wider);
        }
    }

    /// Another policy rules.
    pub fn forget(&mut self) {
        self.narrowed = None;
    }
}

impl Core {
    /// A round is over and no page of it follows: does a job wait for nothing but the policy?
    pub(super) fn note_stall(&mut self, plan: &Plan, now: Now) {
        if plan.faulted {
            self.rounds.not_idle();
        } else if plan.placed == 0 {
            // After a placement another round follows at once, and that one tells.
            let waiting = plan.offered.values().map(|(seq, _)| *seq);
            let waits = waiting
                .chain(plan.skipped.iter().copied())
                .take(LOOKED_AT_MAX)
                .any(|seq| self.could_run(seq));
            if !waits {
                self.rounds.not_idle();
            } else if self.rounds.idle_since_ms.is_none() {
                self.rounds.idle_since_ms = Some(now.mono_ms);
            }
        }
    }

    /// Whether a job is queued and a worker could take it this moment.
    fn could_run(&self, seq: JobSeq) -> bool {
        let queued = |place| matches!(place, Place::Queued { .. });
        let Some(job) = self.jobs.get(&seq).filter(|job| queued(job.place)) else {
            return false;
        };
        let class = self.classes.get(job.class);
        let without_gpu = Class {
            gpu: false,
            ..class
        };
        let avoided = self.avoided(job, &class);
        self.cluster.workers().iter().any(|worker| {
            worker.accepting
                && meets(worker, &class)
                && !avoided.contains(&worker.id)
                && Cluster::fits(worker, &without_gpu, &job.cost)
                && (!class.gpu || worker.gpus.iter().any(|g| Cluster::gpu_fits(g, &job.cost)))
        })
    }

    /// When the policy counts as stalled, if nothing changes until then.
    pub(in crate::core) fn stall_deadline_ms(&self) -> Option<u64> {
        let watched = self.rounds.in_flight.is_none() && self.rounds.stuck_in.is_none();
        self.rounds
            .idle_since_ms
            .filter(|_| watched)
            .map(|since| since + self.stall_ms())
    }

    /// How long the policy that rules may leave jobs waiting for nothing but itself.
    fn stall_ms(&self) -> u64 {
        let own = self.rounds.policy.as_ref().map_or(0, |p| p.stall_ms);
        match own {
            0 => self.config.stall_ms,
            own => own,
        }
    }

    /// Reminds a policy whose time is over; if that was in vain, decides in its place and tells the policy thread.
    pub(in crate::core) fn check_stalled(&mut self, now: Now, out: &mut Vec<Effect>) {
        if self.stall_deadline_ms().is_none_or(|at| now.mono_ms < at) {
            return;
        }
        match self.rounds.reminder {
            Reminder::None => {
                self.rounds.reminder = Reminder::Due;
                return self.rounds.wake();
            }
            // A ranking goes first.
            Reminder::Due => return,
            Reminder::Given => {}
        }
        let since = self.rounds.idle_since_ms.unwrap_or(now.mono_ms);
        self.rounds.not_idle();
        let mut plan = self.plan(BTreeSet::new(), now);
        // A policy that places some is judged by those it leaves: each has the whole time, from when it came.
        let left = plan.offered.values().map(|(seq, _)| *seq);
        let runnable = left.take(LOOKED_AT_MAX).filter(|seq| self.could_run(*seq));
        let came = |seq| self.jobs.get(&seq).map(|job| job.pending_since_ms);
        let Some(oldest) = runnable.filter_map(came).min() else {
            return;
        };
        let oldest = oldest.max(since);
        if now.mono_ms < oldest + self.stall_ms() {
            self.rounds.idle_since_ms = Some(oldest);
            return;
        }
        let answer = self.native_answer(&plan);
        if answer.placements.is_empty() {
            return;
        }
        let stage = FaultStage::Stall;
        let message = format!(
            "for {} s it neither placed nor held jobs that workers had room for",
            self.stall_ms() / 1_000
        );
        *self.stats.faults.entry(stage).or_default() += 1;
        tracing::warn!(
            event = "policy_fallback",
            stage = stage.as_str(),
            message,
            "the policy failed; the built-in policy decides this round"
        );
        self.rounds.last_id += 1;
        let ruling = self.rounds.policy.clone();
        let told = Box::new(Decision {
            id: self.rounds.last_id,
            at_ms: now.wall_ms,
            reset: false,
            changes: Arc::default(),
            question: Question::Plan(plan.ask.clone()),
            policy: ruling.unwrap_or_else(|| super::native_tag().into()),
            fault: Some((stage, message.clone())),
            guest_us: 0,
            jobs: Vec::new(),
            answer: Answer::default(),
            refused: Vec::new(),
            held: Vec::new(),
        });
        // What the policy knows goes with its instance, and what it has not been told yet with that.
        self.rounds.changes.clear();
        self.rounds.reset = true;
        out.push(Effect::Ask(Round {
            id: self.rounds.last_id,
            reset: false,
            changes: Arc::default(),
            work: Work::Stalled(message),
        }));
        plan.faulted = true;
        self.apply_answer(plan, answer, &super::native_tag(), Some(told), now, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(budget_us: u64) -> PolicyTag {
        PolicyTag {
            budget_us,
            ..PolicyTag::of_a_test()
        }
    }

    /// Rounds of a policy that takes so long for each candidate; gives how long each took.
    fn rounds(us_per_candidate: u64, rounds: usize) -> (Window, Vec<u64>) {
        let (mut window, tag) = (Window::default(), tag(10_000));
        let took = (0..rounds)
            .map(|_| {
                let candidates = window.most(1_000);
                let guest_us = candidates as u64 * us_per_candidate;
                window.took(candidates, guest_us, &tag, 1_000);
                guest_us
            })
            .collect();
        (window, took)
    }

    #[test]
    fn a_slow_policy_s_rounds_stay_below_half_its_budget() {
        for us_per_candidate in [6, 10, 50, 200] {
            let (window, mut took) = rounds(us_per_candidate, 10_000);
            took.sort_unstable();
            let p99 = took[took.len() * 99 / 100];
            assert!(p99 < 5_000, "{us_per_candidate}: {p99} µs, {window:?}");
            // And it is not starved either: a quarter of the budget is used.
            let floor = (2_000 / us_per_candidate).min(1_000) as usize;
            assert!(
                window.most(1_000) >= floor,
                "{us_per_candidate}: {window:?}"
            );
        }
    }

    #[test]
    fn a_fast_policy_is_asked_about_all_and_one_that_gets_fast_is_again() {
        let (window, _) = rounds(2, 100);
        assert_eq!(window.most(1_000), 1_000);
        let (mut window, _) = rounds(200, 100);
        assert!(window.most(1_000) < 50);
        for _ in 0..1_000 {
            window.took(window.most(1_000), 10, &tag(10_000), 1_000);
        }
        assert_eq!(window.most(1_000), 1_000);
    }

    #[test]
    fn the_built_in_policy_has_no_budget_and_no_window() {
        let mut window = Window::default();
        window.took(1_000, 1_000_000, &tag(0), 1_000);
        assert_eq!(window.most(1_000), 1_000);
    }
}

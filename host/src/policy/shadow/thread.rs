//! The thread of a candidate: applies what happened, asks it what the policy that rules was asked, and notes how it did.

use std::collections::HashMap;
use std::sync::Arc;

use ffrtmp_api::rest::LogLevel;
use ffrtmp_policy_sdk::{Answer, Ask, Change, JobId, JobInfo, Rank};

use super::compare::compare;
use super::mailbox::Item;
use super::view::View;
use super::{Seat, Shadow};
use crate::core::round::{Decision, Outcome, Question, Round, Work};
use crate::policy::board::Board;
use crate::policy::engine::PolicyEngine;
use crate::policy::host::THREAD_STACK_BYTES;

/// How far behind everything else the thread stands for the processor, of 19.
const NICE: i32 = 10;

struct Candidate {
    shadow: Arc<Shadow>,
    seat: Seat,
    engine: PolicyEngine,
    board: Arc<Board>,
    view: View,
    /// What its instance has not been told; none if it must be told everything.
    pending: Option<Vec<Change>>,
    /// How it ranked the jobs of the last question.
    ranks: HashMap<JobId, Rank>,
}

/// Starts it. It ends when the mailbox is closed, or the candidate fails too often.
pub(super) fn start(
    shadow: Arc<Shadow>,
    seat: Seat,
    engine: PolicyEngine,
    board: Arc<Board>,
) -> std::io::Result<()> {
    let candidate = Candidate {
        shadow,
        seat,
        engine,
        board,
        view: View::default(),
        pending: None,
        ranks: HashMap::new(),
    };
    std::thread::Builder::new()
        .name("shadow".into())
        .stack_size(THREAD_STACK_BYTES)
        .spawn(move || candidate.run())
        .map(drop)
}

impl Candidate {
    fn run(mut self) {
        // For this thread alone. Where it is refused, the candidate competes as any other thread does.
        if let Err(error) = rustix::process::setpriority_process(None, NICE) {
            tracing::debug!(%error, "the shadow's thread keeps its priority");
        }
        while let Some(items) = self.shadow.mailbox.take() {
            for item in items {
                match item {
                    Item::Told { reset, changes } => self.told(reset, &changes),
                    Item::Decided(decision) => {
                        if !self.asked(&decision) {
                            self.shadow.mailbox.close();
                            return;
                        }
                    }
                }
            }
        }
    }

    fn told(&mut self, reset: bool, changes: &[Change]) {
        if reset {
            self.view.clear();
            self.pending = None;
        }
        for change in changes {
            self.view.apply(change);
        }
        if let Some(pending) = &mut self.pending {
            pending.extend_from_slice(changes);
        }
    }

    /// Asks it what was decided. Says whether to go on.
    fn asked(&mut self, decision: &Decision) -> bool {
        let Question::Plan(ask) = &decision.question else {
            return true;
        };
        let answer = match self.answer(decision, ask) {
            Ok((ask, answer)) => {
                let compared = compare(decision, &ask, &answer, &mut self.view.cluster);
                self.board.metrics.shadow.compared(&compared);
                let mut state = self.shadow.lock();
                state.compared.add(&compared);
                self.board.metrics.shadow.agrees(state.compared.agreement());
                return true;
            }
            Err(message) => message,
        };
        self.failed(answer)
    }

    /// Its answer, and the question as it was put to it: with its own ranks, in its own order.
    fn answer(&mut self, decision: &Decision, ask: &Ask) -> Result<(Ask, Answer), String> {
        let mut ask = ask.clone();
        let known = std::mem::take(&mut self.ranks);
        let mut infos = Vec::new();
        for job in &decision.jobs {
            match known.get(&job.id) {
                Some(rank) => {
                    self.ranks.insert(job.id, *rank);
                }
                None => infos.extend(job.info(&ask)),
            }
        }
        let mut guest_us = 0;
        if !infos.is_empty() {
            let ids: Vec<JobId> = infos.iter().map(|info: &JobInfo| info.id).collect();
            match self.run_one(decision.id, Work::Rank(infos), &mut guest_us)? {
                Outcome::Ranks(ranks) => self.ranks.extend(ids.into_iter().zip(ranks)),
                other => return Err(format!("it was asked to rank and gave {other:?}")),
            }
        }
        for candidate in &mut ask.candidates {
            if let Some(rank) = self.ranks.get(&candidate.job) {
                (candidate.rank, candidate.group) = (rank.rank, rank.group);
            }
        }
        ask.candidates.sort_by_key(|c| (c.rank, c.job));
        let work = Work::Plan(Arc::new(ask.clone()));
        match self.run_one(decision.id, work, &mut guest_us)? {
            Outcome::Answer(answer) => {
                let placements = answer.placements.len() as u64;
                self.shadow.stats.round(placements, guest_us);
                Ok((ask, answer))
            }
            other => Err(format!("it was asked to plan and gave {other:?}")),
        }
    }

    fn run_one(&mut self, id: u64, work: Work, guest_us: &mut u64) -> Result<Outcome, String> {
        let reset = self.pending.is_none();
        let changes = match self.pending.replace(Vec::new()) {
            Some(changes) => changes,
            None => self.view.snapshot(),
        };
        let round = Round {
            id,
            reset,
            changes: Arc::new(changes),
            work,
        };
        let (outcome, time, _) = self.seat.run(round);
        self.board.metrics.shadow.guest(time);
        *guest_us += u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        match outcome {
            Outcome::Fault { stage, message } => Err(format!("in {}: {message}", stage.as_str())),
            outcome => Ok(outcome),
        }
    }

    /// It failed. Says whether to go on with a fresh instance.
    fn failed(&mut self, message: String) -> bool {
        self.shadow.stats.fault();
        self.board.metrics.shadow.failed();
        let over = self.seat.should_go();
        let end = match over {
            true => "; it failed too often and is asked no more",
            false => "",
        };
        let (policy, digest) = (&self.shadow.policy, &self.shadow.digest);
        let text = format!("the candidate in the shadow failed {message}{end}");
        let journal = self.engine.journal();
        journal.happened(
            LogLevel::Warn,
            "policy_shadow_fault",
            policy,
            digest,
            None,
            text,
        );
        let mut state = self.shadow.lock();
        (state.last_error, state.over) = (Some(message), over);
        drop(state);
        self.pending = None;
        if !over {
            self.seat.renew(&self.engine);
        }
        !over
    }
}

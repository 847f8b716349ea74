//! The policy thread: rounds in, outcomes out, one at a time, with swaps between them.
//!
//! It never reads a file, compiles or waits for anything but its next order, so that a round waits only for rounds.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use ffrtmp_api::rest::LogLevel;
use tokio::sync::oneshot;

use super::board::{Board, State};
use super::choice::Choice;
use super::command::CommandError;
use super::engine::PolicyEngine;
use super::host::PolicyEvent;
use super::librarian::Note;
use super::seat::Seat;
use crate::core::round::{Outcome, Round, RoundEnded, Work};

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Order {
    /// Run a round.
    Round(Round),
    /// Let another policy rule, from the next round on.
    Install(Box<Seat>),
    /// Answer a command: everything it installed came before.
    Reply(Reply),
    /// End.
    Stop,
}

/// A command's outcome, on its way to who gave it.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) to: oneshot::Sender<Result<(), CommandError>>,
    pub(super) result: Result<(), CommandError>,
}

/// All that the thread works with.
pub(super) struct PolicyThread {
    pub(super) seat: Seat,
    pub(super) engine: PolicyEngine,
    pub(super) board: Arc<Board>,
    pub(super) orders: Receiver<Order>,
    pub(super) librarian: Sender<Note>,
    pub(super) events: Arc<dyn Fn(PolicyEvent) + Send + Sync>,
}

impl PolicyThread {
    /// Works until told to stop.
    pub(super) fn run(mut self) {
        self.announce();
        while let Ok(order) = self.orders.recv() {
            match order {
                Order::Round(round) => self.round(round),
                Order::Install(seat) => {
                    // The same policy under other settings is no other policy.
                    if self.seat.choice() != seat.choice() {
                        self.board.metrics.swapped();
                    }
                    self.seat = *seat;
                    self.announce();
                }
                Order::Reply(Reply { to, result }) => {
                    // Whoever gave the command may have gone.
                    let _ = to.send(result);
                }
                Order::Stop => return,
            }
        }
    }

    fn announce(&mut self) {
        let (tag, version) = (self.seat.tag(), self.seat.version());
        let stats = self
            .board
            .set(&tag.name, version, &tag.digest, State::Active, None);
        self.board
            .written_in(&tag.name, &tag.digest, self.seat.language());
        if let Some(settings) = self.seat.settings() {
            self.board.set_up(&tag.name, settings);
        }
        self.board.metrics.memory(self.seat.memory_bytes());
        let message = format!("this policy (version {version:?}) rules from the next round on");
        self.happened(LogLevel::Info, "policy_rules", None, message);
        self.seat.stats = stats;
        (self.events)(PolicyEvent::Seated);
    }

    fn round(&mut self, round: Round) {
        let id = round.id;
        let counts = matches!(round.work, Work::Plan(_));
        let (outcome, guest_time, times) = self.seat.run(round);
        let guest_us = u64::try_from(guest_time.as_micros()).unwrap_or(u64::MAX);
        let tag = self.seat.tag().clone();
        self.board.metrics.guest(times);
        self.board.metrics.memory(self.seat.memory_bytes());
        match &outcome {
            Outcome::Answer(answer) if counts => {
                self.board.metrics.answered(self.seat.is_native());
                self.seat
                    .stats
                    .round(answer.placements.len() as u64, guest_us);
            }
            Outcome::Fault { stage, message } => {
                self.seat.stats.fault();
                self.board.error(
                    &tag.name,
                    &tag.digest,
                    format!("{}: {message}", stage.as_str()),
                );
                let stage = stage.as_str();
                let message = format!(
                    "the policy failed in {stage}: {message}; the built-in one decides this round"
                );
                self.happened(LogLevel::Warn, "policy_fault", Some(stage), message);
            }
            _ => {}
        }
        let failed = match &outcome {
            Outcome::Fault { message, .. } => Some(message.clone()),
            _ => None,
        };
        (self.events)(PolicyEvent::RoundEnded(RoundEnded {
            id,
            policy: tag,
            outcome,
            guest_us,
        }));
        // The core has its outcome; what is left is done in its shadow.
        if let Some(message) = failed {
            if self.seat.should_go() {
                self.dethrone(message);
            } else {
                self.seat.renew(&self.engine);
            }
        }
    }

    /// Something happened to the policy that sits here.
    fn happened(
        &self,
        level: LogLevel,
        event: &'static str,
        stage: Option<&'static str>,
        message: String,
    ) {
        let tag = self.seat.tag();
        let journal = self.engine.journal();
        journal.happened(level, event, &tag.name, &tag.digest, stage, message);
    }

    /// The policy keeps failing: the built-in one rules at once, and the librarian looks for an earlier one.
    fn dethrone(&mut self, message: String) {
        let failed: Choice = self.seat.choice().clone();
        let text =
            "the policy keeps failing and rules no longer; it will not be chosen again by itself";
        self.happened(LogLevel::Error, "policy_dethroned", None, text.to_owned());
        self.seat = Seat::native();
        self.board.metrics.swapped();
        self.board.metrics.breaker(true);
        self.announce();
        // A librarian that is gone means that the master is stopping.
        let _ = self.librarian.send(Note::Failed {
            choice: failed,
            message,
        });
    }
}

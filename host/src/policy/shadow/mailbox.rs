//! What a candidate is handed: every change, and one question at most; never waits.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use ffrtmp_policy_sdk::Change;

use crate::core::round::{Decision, Question};

/// Changes that wait; beyond that the candidate is so far behind that the next snapshot is awaited. Calls into it are bounded
/// by seconds, in which a large farm changes less than that.
const CHANGES_MAX: usize = 500_000;

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    mail: Mutex<Mail>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Mail {
    items: VecDeque<Item>,
    /// Changes in `items`.
    changes: usize,
    /// Whether a question is among them.
    asks: bool,
    /// Whether changes were lost, or none came yet: nothing is of use before the next snapshot.
    lost: bool,
    begun: bool,
    dropped: u64,
    closed: bool,
}

/// Something for the candidate, in order.
#[derive(Debug)]
pub(super) enum Item {
    /// What happened; with `reset`, everything there is.
    Told {
        reset: bool,
        changes: Arc<Vec<Change>>,
    },
    /// A question, and what came of it.
    Decided(Arc<Decision>),
}

impl Mailbox {
    /// Hands over changes.
    pub(super) fn told(&self, reset: bool, changes: &Arc<Vec<Change>>) {
        let mut mail = self.lock();
        if reset {
            // What came before says nothing any more; a question that waits is about it.
            mail.dropped += u64::from(mail.asks);
            mail.items.clear();
            (mail.changes, mail.asks) = (0, false);
            (mail.begun, mail.lost) = (true, false);
        } else if !mail.begun || mail.lost || changes.is_empty() {
            return;
        } else if mail.changes + changes.len() > CHANGES_MAX {
            mail.dropped += u64::from(mail.asks);
            mail.items.clear();
            (mail.changes, mail.asks, mail.lost) = (0, false, true);
            return;
        }
        mail.changes += changes.len();
        mail.items.push_back(Item::Told {
            reset,
            changes: changes.clone(),
        });
    }

    /// Hands over a question; says whether it was taken. One is not while another waits, or while the candidate does not know
    /// the cluster.
    pub(super) fn decided(&self, decision: &Arc<Decision>) -> bool {
        if !matches!(decision.question, Question::Plan(_)) {
            return true;
        }
        let mut mail = self.lock();
        if !mail.begun || mail.closed {
            return true;
        }
        if mail.asks || mail.lost {
            mail.dropped += 1;
            return false;
        }
        mail.asks = true;
        mail.items.push_back(Item::Decided(decision.clone()));
        drop(mail);
        self.wake.notify_one();
        true
    }

    /// Waits for a question, and takes all that came with it; none when it is closed.
    pub(super) fn take(&self) -> Option<VecDeque<Item>> {
        let mut mail = self.lock();
        loop {
            if mail.closed {
                return None;
            }
            if mail.asks {
                (mail.changes, mail.asks) = (0, false);
                return Some(std::mem::take(&mut mail.items));
            }
            mail = self.wake.wait(mail).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Questions it was not asked.
    pub(super) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Nothing is taken any more, and whoever waits goes.
    pub(super) fn close(&self) {
        let mut mail = self.lock();
        mail.closed = true;
        mail.items.clear();
        drop(mail);
        self.wake.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! A candidate in the shadow of the policy that rules: it gets the live rounds, and nothing it says is carried out.
//!
//! It lives on a thread of its own (`thread`), with its own instance and its own view of the cluster (`view`), and is handed each
//! question when that has been decided, together with what came of it; `compare` sets the two answers side by side. **It cannot
//! slow what rules:** whoever hands it something appends a pointer to a queue and goes on, no question waits for it, and
//! while it is busy all but one are dropped and counted. It has a low priority on the processor, and one that fails as often as
//! would cost a ruling policy its place is asked no more. All of it is in memory: after a restart there is no shadow.

mod compare;
mod mailbox;
mod metrics;
mod thread;
mod view;

use std::sync::{Arc, Mutex, PoisonError};

use ffrtmp_api::rest::PolicyShadow;
use ffrtmp_policy_sdk::Change;

use super::board::{Board, Stats};
use super::engine::PolicyEngine;
use super::metrics::PolicyMetrics;
use super::seat::Seat;
use crate::core::round::Decision;

use compare::Compared;
use mailbox::Mailbox;
pub(super) use metrics::ShadowMetrics;

/// The candidate, if there is one.
#[derive(Debug, Default)]
pub(super) struct Shadows {
    current: Mutex<Option<Arc<Shadow>>>,
}

/// One candidate and how it does.
#[derive(Debug)]
struct Shadow {
    policy: String,
    version: String,
    digest: String,
    since_ms: i64,
    mailbox: Mailbox,
    stats: Stats,
    state: Mutex<State>,
}

#[derive(Debug, Default, Clone)]
struct State {
    compared: Compared,
    last_error: Option<String>,
    over: bool,
}

impl Shadows {
    /// Puts a candidate into the shadow, in the place of any other.
    ///
    /// # Errors
    /// When no thread can be made.
    pub(super) fn start(
        &self,
        seat: Seat,
        engine: PolicyEngine,
        board: Arc<Board>,
    ) -> std::io::Result<()> {
        self.stop();
        let shadow = Arc::new(Shadow {
            policy: seat.tag().name.clone(),
            version: seat.version().to_owned(),
            digest: seat.tag().digest.clone(),
            since_ms: super::board::now_ms(),
            mailbox: Mailbox::default(),
            stats: Stats::default(),
            state: Mutex::default(),
        });
        thread::start(shadow.clone(), seat, engine, board)?;
        *self.lock() = Some(shadow);
        Ok(())
    }

    /// Ends the candidate's shadow, if there is one; its thread goes when the call it is in is over. Says whether there was.
    pub(super) fn stop(&self) -> bool {
        let shadow = self.lock().take();
        if let Some(shadow) = &shadow {
            shadow.mailbox.close();
        }
        shadow.is_some()
    }

    /// The policy that rules is told these changes.
    pub(super) fn told(&self, reset: bool, changes: &Arc<Vec<Change>>) {
        if let Some(shadow) = self.lock().as_ref() {
            shadow.mailbox.told(reset, changes);
        }
    }

    /// A question was decided.
    pub(super) fn decided(&self, decision: &Arc<Decision>, metrics: &PolicyMetrics) {
        if let Some(shadow) = self.lock().as_ref()
            && !shadow.mailbox.decided(decision)
        {
            metrics.shadow.dropped();
        }
    }

    /// Whether this policy is the candidate; `digest` is short.
    pub(super) fn is(&self, name: &str, digest: &str) -> bool {
        self.lock()
            .as_ref()
            .is_some_and(|s| s.policy == name && s.digest == digest)
    }

    /// How the candidate does, if there is one.
    pub(super) fn report(&self) -> Option<PolicyShadow> {
        let shadow = self.lock().clone()?;
        let state = shadow.lock().clone();
        let (guest_p50_us, guest_p99_us) = shadow.stats.percentiles();
        let compared = state.compared;
        Some(PolicyShadow {
            policy: shadow.policy.clone(),
            version: shadow.version.clone(),
            digest: shadow.digest.clone(),
            since_ms: shadow.since_ms,
            rounds: shadow.stats.rounds(),
            rounds_dropped: shadow.mailbox.dropped(),
            agreement: compared.agreement(),
            same_node: compared.same_node,
            other_node: compared.other_node,
            would_wait: compared.would_wait,
            would_hold: compared.would_hold,
            would_place: compared.would_place,
            refused: compared.refused,
            faults: shadow.stats.faults(),
            guest_p50_us,
            guest_p99_us,
            last_error: state.last_error,
            over: state.over,
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<Shadow>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shadow {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shadows {
    fn drop(&mut self) {
        self.stop();
    }
}

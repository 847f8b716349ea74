//! What waits, how long, and why: for metrics.
//!
//! The oldest is kept as jobs come and go, in order. Why they wait is looked at for whoever exports it, once a second at most: **by
//! class, at the job at its head, never job by job**, so that a million waiting jobs cost what one of each class costs.

use std::collections::{BTreeMap, BTreeSet};

use ffrtmp_api::{
    ids::JobSeq,
    job::{JobState, Queue},
    rest::WaitReason,
};
use ffrtmp_policy_sdk::ClassId;

use super::{Core, Now};

/// Pairs of class and worker compared in one look: some milliseconds of the core's thread. Classes beyond it keep what was found
/// last and have their turn in a later look.
const COMPARED_MAX: usize = 50_000;

/// Since when jobs wait, by lane, and what was found of the classes.
#[derive(Debug, Default)]
pub struct Waits {
    /// Since when (milliseconds since 1970), and which; in order.
    since: BTreeMap<Queue, BTreeSet<(i64, JobSeq)>>,
    /// Why the jobs of a class wait; those in line and those parked apart.
    found: BTreeMap<(ClassId, bool), WaitReason>,
    /// Which class is looked at next.
    next: (ClassId, bool),
}

impl Waits {
    /// Since when the job has waited that waits longest.
    pub fn oldest(&self, queue: Queue) -> Option<i64> {
        Some(self.since.get(&queue)?.first()?.0)
    }

    /// How many wait.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.since.values().map(BTreeSet::len).sum()
    }
}

impl Core {
    /// Notes since when a job waits, with nobody holding it on purpose; none: it does not.
    pub(super) fn waits(&mut self, seq: JobSeq, since_ms: Option<i64>) {
        let Some(job) = self.jobs.get_mut(&seq) else {
            return;
        };
        let before = std::mem::replace(&mut job.waits_since_ms, since_ms);
        if before == since_ms {
            return;
        }
        let waits = self.waits.since.entry(job.queue).or_default();
        if let Some(before) = before {
            waits.remove(&(before, seq));
        }
        if let Some(since_ms) = since_ms {
            waits.insert((since_ms, seq));
        }
    }

    /// Whether a user holds a waiting job from now on, or not.
    pub(super) fn set_held(&mut self, seq: JobSeq, held: bool) {
        if let Some(job) = self.jobs.get_mut(&seq) {
            let before = std::mem::replace(&mut job.status.held, held);
            self.stats.held_by_user += u64::from(held);
            self.stats.held_by_user -= u64::from(before);
        }
    }

    /// Looks at what the counts do not keep by themselves. Costs about as much as there are workers and classes.
    pub fn look(&mut self, now: Now) {
        let room = self.room(now);
        self.stats.slots = (room.slots, room.slots_used);
        self.stats.oldest_ms = Queue::ALL
            .iter()
            .filter_map(|queue| {
                let since = self.waits.oldest(*queue)?;
                Some((*queue, (now.wall_ms - since).max(0) as u64))
            })
            .collect();
        self.stats.waiting = self.waiting_by_reason(now);
    }

    fn waiting_by_reason(&mut self, now: Now) -> BTreeMap<WaitReason, u64> {
        let pending = self.stats.jobs.get(&JobState::Pending).copied();
        let held_by_policy = self.rounds.held_count() as u64;
        let held = self.stats.held_by_user;
        let delayed = self.room.delayed_count() as u64;
        let mut waiting = BTreeMap::from([
            (WaitReason::HeldByUser, held),
            (WaitReason::HeldByPolicy, held_by_policy),
            (
                WaitReason::BackingOff,
                delayed.saturating_sub(held_by_policy),
            ),
        ]);
        let classes = self.room.classes();
        self.find_reasons(&classes, now);
        let mut told = held + delayed.max(held_by_policy);
        for (class, (_, count)) in &classes {
            let reason = self.waits.found.get(class).copied();
            *waiting
                .entry(reason.unwrap_or(WaitReason::InQueue))
                .or_default() += *count as u64;
            told += *count as u64;
        }
        // What is left is in line for its rank.
        *waiting.entry(WaitReason::InQueue).or_default() +=
            pending.unwrap_or(0).saturating_sub(told);
        waiting
    }

    /// Finds why the jobs of each class wait, by the one at its head; of as many classes as may be, in turn.
    fn find_reasons(&mut self, classes: &BTreeMap<(ClassId, bool), (JobSeq, usize)>, now: Now) {
        self.waits
            .found
            .retain(|class, _| classes.contains_key(class));
        let most = (COMPARED_MAX / self.cluster.workers().len().max(1)).max(1);
        let next = self.waits.next;
        let in_turn = classes.range(next..).chain(classes.range(..next));
        for (looked_at, (class, (head, _))) in in_turn.enumerate() {
            if looked_at == most {
                self.waits.next = *class;
                return;
            }
            if let Some(waiting) = self.explain_waiting(*head, now) {
                self.waits.found.insert(*class, waiting.reason);
            }
        }
    }
}

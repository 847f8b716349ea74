//! What is told next, and when something is tried again. Pure: no clock, no disk, no network.
//!
//! Receivers are told apart by their origin (scheme, host and port), so that one that is slow or dead delays nobody else: each has
//! its own line, a bound on what is under way to it at once, and a pause that grows while nothing gets through. Within a line
//! the events of one job keep their order: a later one is not sent while an earlier one waits or is under way.
//!
//! Only the heads of lines are in memory; the rest is in the store and is loaded as room appears.

use std::collections::{BTreeMap, BTreeSet};

use ffrtmp_api::ids::JobSeq;

use crate::store::{Pending, Settled, Settlement};

/// Most under way to one receiver at once: enough to keep up with a busy farm over a slow line, too few to trouble a small one.
const UNDER_WAY_MAX: usize = 4;
/// Most under way in all.
const ALL_UNDER_WAY_MAX: usize = 64;
/// Entries of one line kept in memory, at most.
const LINE_MAX: usize = 1_000;
/// First pause before another try; doubles.
const PAUSE_FIRST_MS: u64 = 2_000;
/// Longest pause.
pub(super) const PAUSE_MAX_MS: u64 = 3_600_000;
/// How long something is tried, from when it happened or was last asked for: a day, in which somebody has noticed.
const TRIED_MS: i64 = 24 * 3_600_000;

/// The moment, by two clocks. Pauses go by the monotonic one, what is stored by the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Now {
    /// Milliseconds since some start.
    pub(super) mono_ms: u64,
    /// Milliseconds since 1970.
    pub(super) wall_ms: i64,
}

/// What came of sending something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sent {
    /// It was taken.
    Taken,
    /// The receiver says that nobody wants it any more.
    Unwanted(String),
    /// The receiver answered, but did not take it. It may have said when to come again.
    NotTaken {
        /// What it said.
        trouble: String,
        /// Not before so many milliseconds.
        after_ms: Option<u64>,
    },
    /// There was no answer: nothing sent there now would get one.
    Unreachable(String),
}

#[derive(Debug)]
struct Entry {
    seq: JobSeq,
    since_ms: i64,
    tries: u32,
    not_before_ms: u64,
}

#[derive(Debug, Default)]
struct Line {
    waiting: BTreeMap<i64, Entry>,
    under_way: BTreeMap<i64, Entry>,
    /// Rows up to this one were looked at.
    seen: i64,
    /// Whether there may be rows behind `seen` that are not in memory.
    more: bool,
    /// Nothing is sent before this.
    not_before_ms: u64,
    /// Times in a row that there was no answer.
    silent: u32,
}

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    lines: BTreeMap<String, Line>,
    under_way: usize,
    /// The line that was last served; the next one is looked at first.
    last: String,
}

impl Schedule {
    /// There is something for `origin` in the store.
    pub(super) fn expect(&mut self, origin: String) {
        self.lines.entry(origin).or_default().more = true;
    }

    /// Something new. If its line is full it is fetched from the store later.
    pub(super) fn push(&mut self, pending: Pending, now: Now) {
        let line = self.lines.entry(pending.origin.clone()).or_default();
        if line.more || line.waiting.len() >= LINE_MAX {
            line.more = true;
        } else {
            line.take(pending, now);
        }
    }

    /// A line with room for more from the store: who it is for, behind which row, and how many.
    pub(super) fn wants(&self) -> Option<(String, i64, usize)> {
        self.lines
            .iter()
            .find(|(_, line)| line.more && line.waiting.len() < LINE_MAX / 2)
            .map(|(origin, line)| (origin.clone(), line.seen, LINE_MAX - line.waiting.len()))
    }

    /// What the store had for a line that wanted more, when asked for `asked`.
    pub(super) fn load(&mut self, origin: &str, found: Vec<Pending>, asked: usize, now: Now) {
        if let Some(line) = self.lines.get_mut(origin) {
            line.more = found.len() == asked;
            found
                .into_iter()
                .for_each(|pending| line.take(pending, now));
        }
        self.tidy(origin);
    }

    /// Everything is read anew from the store, but for what is under way.
    pub(super) fn forget(&mut self) {
        for line in self.lines.values_mut() {
            line.waiting.clear();
            (line.seen, line.more) = (0, true);
            (line.not_before_ms, line.silent) = (0, 0);
        }
    }

    /// What is to be sent now, if anything: its row and to whom. It is under way from here on.
    pub(super) fn next(&mut self, now: Now) -> Option<(String, i64)> {
        if self.under_way >= ALL_UNDER_WAY_MAX {
            return None;
        }
        let behind = self.lines.range::<String, _>((
            std::ops::Bound::Excluded(&self.last),
            std::ops::Bound::Unbounded,
        ));
        let (origin, id) = behind
            .chain(self.lines.range::<String, _>(..=&self.last))
            .find_map(|(origin, line)| Some((origin.clone(), line.head(now)?)))?;
        let line = self.lines.get_mut(&origin)?;
        let entry = line.waiting.remove(&id)?;
        line.under_way.insert(id, entry);
        self.under_way += 1;
        self.last.clone_from(&origin);
        Some((origin, id))
    }

    /// What came of something that was under way; answers with what to write down. `jitter` is from 0 to 1.
    pub(super) fn settle(
        &mut self,
        origin: &str,
        id: i64,
        sent: Sent,
        now: Now,
        jitter: f64,
    ) -> Vec<Settled> {
        let mut settled = Vec::new();
        let Some(line) = self.lines.get_mut(origin) else {
            return settled;
        };
        let Some(mut entry) = line.under_way.remove(&id) else {
            return settled;
        };
        self.under_way -= 1;
        let mut write = |id, settlement| settled.push(Settled { id, settlement });
        let given_up = |entry: &Entry, trouble: String| Settlement::GivenUp {
            tries: entry.tries,
            at_ms: now.wall_ms,
            trouble,
        };
        entry.tries = entry.tries.saturating_add(1);
        let is_silent = matches!(sent, Sent::Unreachable(_));
        line.silent = if is_silent { line.silent + 1 } else { 0 };
        match sent {
            Sent::Taken => write(id, Settlement::Delivered),
            Sent::Unwanted(trouble) => write(id, given_up(&entry, trouble)),
            Sent::NotTaken { trouble, .. } | Sent::Unreachable(trouble) if entry.is_old(now) => {
                write(id, given_up(&entry, trouble.clone()));
                if is_silent {
                    // Those behind it that are as old would get no answer either.
                    let old: Vec<i64> = line.old(now);
                    for id in old {
                        if let Some(entry) = line.waiting.remove(&id) {
                            write(id, given_up(&entry, trouble.clone()));
                        }
                    }
                }
            }
            Sent::NotTaken { trouble, after_ms } => {
                let pause =
                    pause_ms(entry.tries, jitter).max(after_ms.unwrap_or(0).min(PAUSE_MAX_MS));
                entry.not_before_ms = now.mono_ms + pause;
                write(id, entry.later(pause, trouble, now));
                line.waiting.insert(id, entry);
            }
            Sent::Unreachable(trouble) => {
                let pause = pause_ms(line.silent, jitter);
                line.not_before_ms = line.not_before_ms.max(now.mono_ms + pause);
                write(id, entry.later(pause, trouble, now));
                line.waiting.insert(id, entry);
            }
        }
        self.tidy(origin);
        settled
    }

    /// When something can be sent next if nothing happens before; none if nothing waits.
    pub(super) fn next_ms(&self) -> Option<u64> {
        if self.under_way >= ALL_UNDER_WAY_MAX {
            return None;
        }
        self.lines.values().filter_map(Line::due_ms).min()
    }

    /// Since when the oldest waits that is in memory, milliseconds since 1970.
    pub(super) fn oldest_ms(&self) -> Option<i64> {
        let all = self.lines.values();
        all.flat_map(|line| line.waiting.values().chain(line.under_way.values()))
            .map(|entry| entry.since_ms)
            .min()
    }

    /// Forgets a line that has nothing left.
    fn tidy(&mut self, origin: &str) {
        let done = |line: &Line| !line.more && line.waiting.is_empty() && line.under_way.is_empty();
        if self.lines.get(origin).is_some_and(done) {
            self.lines.remove(origin);
        }
    }
}

impl Line {
    fn take(&mut self, pending: Pending, now: Now) {
        self.seen = self.seen.max(pending.id);
        if self.under_way.contains_key(&pending.id) {
            return;
        }
        // A wall clock that was set since cannot make a pause longer than it would have been.
        let left = pending.next_ms.saturating_sub(now.wall_ms).max(0) as u64;
        self.waiting.insert(
            pending.id,
            Entry {
                seq: pending.seq,
                since_ms: pending.since_ms,
                tries: pending.tries,
                not_before_ms: now.mono_ms + left.min(PAUSE_MAX_MS),
            },
        );
    }

    /// Those that could be sent if their time had come, the oldest first: of each job the first, and none of a job that has one
    /// under way.
    fn ready(&self) -> impl Iterator<Item = (i64, &Entry)> {
        let mut jobs: BTreeSet<JobSeq> = self.under_way.values().map(|entry| entry.seq).collect();
        // A receiver that did not answer is asked with one.
        let most = if self.silent > 0 { 1 } else { UNDER_WAY_MAX };
        let has_room = self.under_way.len() < most;
        self.waiting
            .iter()
            .filter(move |(_, entry)| has_room && jobs.insert(entry.seq))
            .map(|(id, entry)| (*id, entry))
    }

    fn head(&self, now: Now) -> Option<i64> {
        if self.not_before_ms > now.mono_ms {
            return None;
        }
        self.ready()
            .find(|(_, entry)| entry.not_before_ms <= now.mono_ms)
            .map(|(id, _)| id)
    }

    fn due_ms(&self) -> Option<u64> {
        let first = self.ready().map(|(_, entry)| entry.not_before_ms).min()?;
        Some(first.max(self.not_before_ms))
    }

    fn old(&self, now: Now) -> Vec<i64> {
        let old = self.waiting.iter().filter(|(_, entry)| entry.is_old(now));
        old.map(|(id, _)| *id).collect()
    }
}

impl Entry {
    fn is_old(&self, now: Now) -> bool {
        now.wall_ms.saturating_sub(self.since_ms) >= TRIED_MS
    }

    fn later(&self, pause_ms: u64, trouble: String, now: Now) -> Settlement {
        Settlement::Later {
            tries: self.tries,
            next_ms: now.wall_ms.saturating_add_unsigned(pause_ms),
            trouble,
        }
    }
}

/// The pause behind the `n`th failure: doubling, capped, and up to a quarter longer, so that what failed together does not come
/// together again.
fn pause_ms(n: u32, jitter: f64) -> u64 {
    let doubled = PAUSE_FIRST_MS.saturating_mul(1 << n.saturating_sub(1).min(20));
    let pause = doubled.min(PAUSE_MAX_MS);
    pause + (pause as f64 / 4.0 * jitter.clamp(0.0, 1.0)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono_ms: u64) -> Now {
        Now {
            mono_ms,
            wall_ms: 1_000_000_000 + mono_ms as i64,
        }
    }

    fn event(id: i64, origin: &str, job: u64) -> Pending {
        Pending {
            id,
            origin: origin.into(),
            seq: JobSeq(job),
            since_ms: at(0).wall_ms,
            tries: 0,
            next_ms: 0,
        }
    }

    fn with(events: &[(i64, &str, u64)]) -> Schedule {
        let mut schedule = Schedule::default();
        for (id, origin, job) in events {
            schedule.push(event(*id, origin, *job), at(0));
        }
        schedule
    }

    fn all(schedule: &mut Schedule, now: Now) -> Vec<i64> {
        std::iter::from_fn(|| schedule.next(now).map(|(_, id)| id)).collect()
    }

    #[test]
    fn a_job_s_events_go_one_by_one_in_order_and_those_of_others_beside_them() {
        let mut schedule = with(&[(1, "a", 7), (2, "a", 7), (3, "a", 8), (4, "b", 7)]);
        assert_eq!(
            all(&mut schedule, at(0)),
            [1, 4, 3],
            "turn by turn, the first of each job"
        );
        let settled = schedule.settle("a", 1, Sent::Taken, at(1), 0.0);
        assert_eq!(settled[0].settlement, Settlement::Delivered);
        assert_eq!(all(&mut schedule, at(1)), [2]);
    }

    #[test]
    fn what_was_not_taken_holds_up_its_own_job_and_nothing_else() {
        let mut schedule = with(&[(1, "a", 7), (2, "a", 7), (3, "a", 8)]);
        assert_eq!(all(&mut schedule, at(0)), [1, 3]);
        let no = Sent::NotTaken {
            trouble: "500".into(),
            after_ms: None,
        };
        let settled = schedule.settle("a", 1, no.clone(), at(0), 0.0);
        assert_eq!(
            settled[0].settlement,
            Settlement::Later {
                tries: 1,
                next_ms: at(2_000).wall_ms,
                trouble: "500".into()
            }
        );
        schedule.settle("a", 3, Sent::Taken, at(0), 0.0);
        assert_eq!(all(&mut schedule, at(1_999)), [] as [i64; 0]);
        assert_eq!(schedule.next_ms(), Some(2_000));
        assert_eq!(all(&mut schedule, at(2_000)), [1], "2 waits for it");
        schedule.settle("a", 1, no, at(2_000), 0.0);
        assert_eq!(schedule.next_ms(), Some(6_000), "twice as long");
        let later = Sent::NotTaken {
            trouble: "503".into(),
            after_ms: Some(60_000),
        };
        assert_eq!(all(&mut schedule, at(6_000)), [1]);
        schedule.settle("a", 1, later, at(6_000), 0.0);
        assert_eq!(schedule.next_ms(), Some(66_000), "as it asked for");
    }

    #[test]
    fn a_dead_receiver_is_asked_with_one_at_a_time_and_others_go_on() {
        let mut schedule = with(&[
            (1, "dead", 1),
            (2, "dead", 2),
            (3, "dead", 3),
            (4, "alive", 4),
        ]);
        assert_eq!(all(&mut schedule, at(0)), [4, 1, 2, 3]);
        for id in [1, 2, 3] {
            schedule.settle("dead", id, Sent::Unreachable("refused".into()), at(0), 0.0);
        }
        schedule.settle("alive", 4, Sent::Taken, at(0), 0.0);
        schedule.push(event(5, "alive", 5), at(1));
        assert_eq!(all(&mut schedule, at(1)), [5]);
        let due = schedule.next_ms().unwrap();
        assert_eq!(due, 8_000, "three failures in a row");
        assert_eq!(all(&mut schedule, at(due)), [1]);
        schedule.settle("dead", 1, Sent::Taken, at(due), 0.0);
        assert_eq!(all(&mut schedule, at(due)), [2, 3], "it is back");
    }

    #[test]
    fn after_a_day_it_is_given_up_with_all_that_is_as_old_behind_it() {
        let day = TRIED_MS as u64;
        let mut schedule = with(&[(1, "dead", 1), (2, "dead", 2)]);
        schedule.push(
            Pending {
                since_ms: at(day).wall_ms,
                ..event(3, "dead", 3)
            },
            at(0),
        );
        assert_eq!(all(&mut schedule, at(day)), [1, 2, 3]);
        schedule.settle("dead", 2, Sent::Unreachable("x".into()), at(day - 1), 0.0);
        schedule.settle("dead", 3, Sent::Unreachable("x".into()), at(day), 0.0);
        let settled = schedule.settle("dead", 1, Sent::Unreachable("x".into()), at(day), 0.0);
        let gone: Vec<i64> = settled
            .iter()
            .filter(|s| matches!(s.settlement, Settlement::GivenUp { .. }))
            .map(|s| s.id)
            .collect();
        assert_eq!(gone, [1, 2]);
        assert!(
            schedule.next_ms().is_some(),
            "the younger one is still tried"
        );
        let mut schedule = with(&[(1, "a", 1)]);
        all(&mut schedule, at(0));
        let settled = schedule.settle("a", 1, Sent::Unwanted("410".into()), at(0), 0.0);
        assert!(matches!(
            settled[0].settlement,
            Settlement::GivenUp { tries: 1, .. }
        ));
        assert!(schedule.lines.is_empty(), "nothing is kept of it");
    }

    #[test]
    fn a_long_line_stays_in_the_store_and_is_fetched_as_room_appears() {
        let mut schedule = Schedule::default();
        for id in 1..=LINE_MAX as i64 + 10 {
            schedule.push(event(id, "a", id as u64), at(0));
        }
        assert_eq!(schedule.lines["a"].waiting.len(), LINE_MAX);
        assert_eq!(schedule.wants(), None, "not yet");
        let mut told = BTreeSet::new();
        while let Some((origin, id)) = schedule.next(at(0)) {
            assert!(told.insert(id));
            schedule.settle(&origin, id, Sent::Taken, at(0), 0.0);
            if let Some((origin, after, most)) = schedule.wants() {
                let behind = after + 1..=LINE_MAX as i64 + 10;
                let found: Vec<_> = behind
                    .take(most)
                    .map(|id| event(id, "a", id as u64))
                    .collect();
                schedule.load(&origin, found, most, at(0));
            }
        }
        assert_eq!(told.len(), LINE_MAX + 10);
        assert_eq!(schedule.under_way, 0);
    }

    #[test]
    fn what_is_under_way_is_not_sent_twice_when_everything_is_read_anew() {
        let mut schedule = with(&[(1, "a", 1), (2, "a", 2)]);
        assert_eq!(schedule.next(at(0)), Some(("a".into(), 1)));
        schedule.forget();
        let (origin, after, most) = schedule.wants().unwrap();
        assert_eq!((origin.as_str(), after), ("a", 0));
        schedule.load("a", vec![event(1, "a", 1), event(2, "a", 2)], most, at(0));
        assert_eq!(all(&mut schedule, at(0)), [2]);
    }
}

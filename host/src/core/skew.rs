//! How far a worker's wall clock is from the master's, and when to say so.
//!
//! Nothing is decided by it: leases count on monotonic clocks. But a worker whose clock is off writes logs nobody can match with
//! the master's, and takes valid certificates for expired.
//!
//! What a worker says of its clock may have waited on the way (the master was stopped, the network was slow), which makes its
//! clock look behind. So one strange heartbeat is not believed: it must still be so when time has passed here.

use ffrtmp_api::{clock, limits::CLOCK_SKEW_MS_MAX};
use ffrtmp_policy_sdk::WorkerId;

use super::{Core, Now};

/// What is known of one worker's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct Skew {
    ms: Option<i64>,
    /// Since when it has looked wrong, monotonic milliseconds.
    since_ms: Option<u64>,
    off: bool,
}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// It is off, by so many milliseconds.
    Off(i64),
    /// It was, and is right again.
    Right,
}

impl Skew {
    /// How far it is ahead of the master's, in milliseconds, as of the last time it told.
    pub fn ms(&self) -> Option<i64> {
        self.ms
    }

    /// Whether it is known to be off.
    pub fn is_off(&self) -> bool {
        self.off
    }

    /// The worker is gone: its clock may be set before it is back.
    pub fn forget(&mut self) {
        (self.since_ms, self.off) = (None, false);
    }

    /// Takes what a worker says of its clock. It counts as off once it has looked so for `settle_ms`.
    pub fn heard(&mut self, said_ms: i64, settle_ms: u64, now: Now) -> Option<News> {
        let ms = said_ms.saturating_sub(now.wall_ms);
        self.ms = Some(ms);
        if ms.unsigned_abs() <= CLOCK_SKEW_MS_MAX {
            self.since_ms = None;
            return std::mem::take(&mut self.off).then_some(News::Right);
        }
        let since_ms = *self.since_ms.get_or_insert(now.mono_ms);
        if self.off || now.mono_ms.saturating_sub(since_ms) < settle_ms {
            return None;
        }
        self.off = true;
        Some(News::Off(ms))
    }
}

impl Core {
    /// Compares what a worker says of its clock, if it says anything, with the master's; counts and logs what is new.
    pub(super) fn compare_clocks(
        &mut self,
        id: WorkerId,
        said_ms: Option<i64>,
        settle_ms: u64,
        now: Now,
    ) {
        let (Some(worker), Some(said_ms)) = (self.workers.get_mut(&id), said_ms) else {
            return;
        };
        match worker.skew.heard(said_ms, settle_ms, now) {
            None => {}
            Some(News::Off(ms)) => {
                self.stats.nodes_clock_off += 1;
                tracing::warn!(
                    node = worker.name,
                    its_clock_ms = said_ms,
                    our_clock_ms = now.wall_ms,
                    "the clock of worker {:?} is {} this master's: times in its logs and of its files are wrong by that, and it may \
                     take a valid certificate for expired; let a time service (chrony, systemd-timesyncd) set the clocks of both",
                    worker.name,
                    clock::against(ms)
                );
            }
            Some(News::Right) => {
                self.stats.nodes_clock_off -= 1;
                tracing::info!(node = worker.name, "the clock of a worker is right again");
            }
        }
    }

    /// A worker is gone: what is known of its clock does not count any more.
    pub(super) fn forget_clock(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get_mut(&id) {
            self.stats.nodes_clock_off -= u64::from(worker.skew.is_off());
            worker.skew.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The moment at which so many milliseconds have passed.
    fn at(ms: u64) -> Now {
        Now {
            mono_ms: ms,
            wall_ms: 1_000_000_000 + ms as i64,
        }
    }

    #[test]
    fn a_clock_that_is_off_is_told_once_and_again_when_it_is_right() {
        let mut skew = Skew::default();
        let wall = |now: Now, ahead: i64| now.wall_ms + ahead;
        assert_eq!(skew.heard(wall(at(0), 4_000), 0, at(0)), None);
        assert_eq!(skew.ms(), Some(4_000));
        let hour = 3_600_000;
        assert_eq!(
            skew.heard(wall(at(1), -hour), 0, at(1)),
            Some(News::Off(-hour))
        );
        assert_eq!(skew.heard(wall(at(2), -hour), 0, at(2)), None);
        assert!(skew.is_off());
        assert_eq!(skew.heard(wall(at(3), 0), 0, at(3)), Some(News::Right));
        assert_eq!((skew.ms(), skew.is_off()), (Some(0), false));
    }

    #[test]
    fn heartbeats_that_waited_on_the_way_are_no_wrong_clock() {
        let mut skew = Skew::default();
        // The master stood still for a minute; then all of them come at once.
        for sent in [0, 5_000, 10_000, 15_000] {
            let now = at(60_000);
            assert_eq!(skew.heard(at(sent).wall_ms, 2_500, now), None);
        }
        assert_eq!(skew.heard(at(65_000).wall_ms, 2_500, at(65_000)), None);
        assert!(!skew.is_off());
        // One that is off stays so.
        let behind = |ms: u64| at(ms).wall_ms - 20_000;
        assert_eq!(skew.heard(behind(70_000), 2_500, at(70_000)), None);
        assert_eq!(
            skew.heard(behind(75_000), 2_500, at(75_000)),
            Some(News::Off(-20_000))
        );
    }
}

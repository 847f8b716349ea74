//! The master's clock: monotonic time that stands still while the master does.
//!
//! A master that was stopped (SIGSTOP, a suspended machine, a host that starved it) wakes up with its workers' heartbeats
//! still unread in socket buffers. If the time it slept counted, every lease would end at once. So a gap longer than it
//! meant to wait is left out.
//!
//! Beside it the wall clock, which people and policies see. It decides nothing here, so that a jump of it is only told.

use std::time::{Duration, Instant};

pub use ffrtmp_api::clock::wall_ms;
use ffrtmp_api::{clock::against, limits::CLOCK_SKEW_MS_MAX};

use crate::core::Now;

/// How much later than intended a wake-up may come before the rest counts as time in which the master did not run.
const OVERSLEEP_MAX: Duration = Duration::from_secs(2);

/// See the module's head.
#[derive(Debug)]
pub struct Clock {
    last: Instant,
    last_wall_ms: i64,
    elapsed: Duration,
}

impl Clock {
    /// Starts at zero.
    pub fn start() -> Clock {
        Clock {
            last: Instant::now(),
            last_wall_ms: wall_ms(),
            elapsed: Duration::ZERO,
        }
    }

    /// The time now, for a thread that meant to wait `intended` since it last asked.
    pub fn now(&mut self, intended: Duration) -> Now {
        let instant = Instant::now();
        let gap = instant.saturating_duration_since(self.last);
        self.last = instant;
        self.elapsed += counted(gap, intended);
        let wall_ms = wall_ms();
        let wall_gap_ms = wall_ms.saturating_sub(self.last_wall_ms);
        self.last_wall_ms = wall_ms;
        if let Some(ms) = jumped(wall_gap_ms, gap) {
            tracing::warn!(
                now_ms = wall_ms,
                "this master's wall clock jumped: it is {} where it should be. Deadlines, ages and times shown move with it; leases, \
                 retries and time limits do not. If the machine did not sleep, look at its time service",
                against(ms)
            );
        }
        Now {
            mono_ms: self.elapsed.as_millis() as u64,
            wall_ms,
        }
    }
}

fn counted(gap: Duration, intended: Duration) -> Duration {
    if gap > intended + OVERSLEEP_MAX {
        intended
    } else {
        gap
    }
}

/// By how much the wall clock jumped while `gap` passed, in milliseconds, if it did. (A machine that slept wakes up with a
/// monotonic clock that did not go on.)
fn jumped(wall_gap_ms: i64, gap: Duration) -> Option<i64> {
    let gap_ms = i64::try_from(gap.as_millis()).unwrap_or(i64::MAX);
    let jump_ms = wall_gap_ms.saturating_sub(gap_ms);
    (jump_ms.unsigned_abs() > CLOCK_SKEW_MS_MAX).then_some(jump_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_in_which_the_master_did_not_run_does_not_count() {
        let second = Duration::from_secs(1);
        assert_eq!(counted(second, second), second);
        assert_eq!(
            counted(second * 2, second),
            second * 2,
            "a busy machine is late, and that time passed"
        );
        assert_eq!(counted(second * 3600, second), second);
    }

    #[test]
    fn a_wall_clock_that_goes_another_way_than_time_jumped() {
        let second = Duration::from_secs(1);
        assert_eq!(jumped(1_000, second), None);
        assert_eq!(jumped(1_400, second), None, "a time service nudges it");
        assert_eq!(jumped(3_601_000, second), Some(3_600_000));
        assert_eq!(jumped(-3_599_000, second), Some(-3_600_000));
        assert_eq!(
            jumped(60_000, second * 60),
            None,
            "the master stood still, the clocks went on"
        );
    }
}

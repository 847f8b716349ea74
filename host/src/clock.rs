//! The master's clock: monotonic time that stands still while the master does.
//!
//! A master that was stopped (SIGSTOP, a suspended machine, a host that starved it) wakes up with its workers' heartbeats
//! still unread in socket buffers. If the time it slept counted, every lease would end at once. So a gap longer than it
//! meant to wait is left out.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::core::Now;

/// How much later than intended a wake-up may come before the rest counts as time in which the master did not run.
const OVERSLEEP_MAX: Duration = Duration::from_secs(2);

/// See the module's head.
#[derive(Debug)]
pub struct Clock {
    last: Instant,
    elapsed: Duration,
}

impl Clock {
    /// Starts at zero.
    pub fn start() -> Clock {
        Clock {
            last: Instant::now(),
            elapsed: Duration::ZERO,
        }
    }

    /// The time now, for a thread that meant to wait `intended` since it last asked.
    pub fn now(&mut self, intended: Duration) -> Now {
        let instant = Instant::now();
        let gap = instant.saturating_duration_since(self.last);
        self.last = instant;
        self.elapsed += counted(gap, intended);
        Now {
            mono_ms: self.elapsed.as_millis() as u64,
            wall_ms: wall_ms(),
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

/// Milliseconds since 1970.
pub fn wall_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64)
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
}

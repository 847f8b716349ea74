//! How long to wait before a child that died is started again.
//!
//! Doubling, so that a child that cannot run does not burn the machine; bounded, so that it returns soon after the cause is
//! gone; and forgotten once the child ran well, so that a crash a day costs a quarter of a second.

use std::time::Duration;

/// First pause.
const PAUSE_MIN: Duration = Duration::from_millis(250);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(15);
/// A run of this length was a good one.
const RAN_WELL: Duration = Duration::from_secs(30);

/// The pauses of one child.
#[derive(Debug, Default)]
pub struct Backoff {
    last: Option<Duration>,
}

impl Backoff {
    /// The pause after a run that lasted `ran`.
    pub fn after_run_of(&mut self, ran: Duration) -> Duration {
        let pause = match self.last {
            Some(last) if ran < RAN_WELL => (last * 2).min(PAUSE_MAX),
            _ => PAUSE_MIN,
        };
        self.last = Some(pause);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_start_over_after_a_good_run() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u128> = (0..8)
            .map(|_| backoff.after_run_of(Duration::ZERO).as_millis())
            .collect();
        assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000]);
        assert_eq!(backoff.after_run_of(Duration::from_secs(31)), PAUSE_MIN);
        assert_eq!(backoff.after_run_of(Duration::from_secs(1)), PAUSE_MIN * 2);
    }
}

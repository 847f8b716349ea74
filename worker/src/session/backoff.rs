//! How long to wait before the next connection attempt: exponential with full jitter, for ever.

use std::time::Duration;

/// First pause at most.
const FIRST: Duration = Duration::from_millis(200);
/// Longest pause. Well under the master's lease (30 s), so that a master that restarts hears from everybody in time.
const LONGEST: Duration = Duration::from_secs(8);

/// The pauses between failures in a row.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause before the next attempt. Jitter spreads ten thousand workers that lost the same master.
    pub(crate) fn pause(&mut self) -> Duration {
        let ceiling = FIRST
            .saturating_mul(1 << self.failures.min(16))
            .min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        ceiling.mul_f64(0.25 + 0.75 * fastrand::f64())
    }

    /// A session was established: the next failure starts over.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_start_over_after_success() {
        let mut backoff = Backoff::default();
        let pauses: Vec<Duration> = (0..100).map(|_| backoff.pause()).collect();
        assert!(pauses[0] <= FIRST && pauses.iter().all(|p| *p <= LONGEST && !p.is_zero()));
        assert!(pauses[50] > FIRST);
        backoff.reset();
        assert!(backoff.pause() <= FIRST);
    }
}

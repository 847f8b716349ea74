//! When a worker that does not hear its master must stop what no other rule keeps from being done twice.
//!
//! Separate from the connections, which come and go, because it counts across them. A file is chosen by the master before it gets its
//! name, however long this worker was away. A stream that is sent out is not: after the lease another worker may send it too, so
//! this one stops before. It stops nothing else.

use std::{
    convert::Infallible,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::attempt::held::Attempts;

/// How often the time is looked at. The limit is a sixth of the lease before the master's, which is seconds.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// See the module's head.
#[derive(Debug, Default)]
pub(crate) struct Fence {
    /// When the master was last heard, and how long that is good for; none before it has welcomed this worker.
    good: Mutex<Option<(Instant, Duration)>>,
}

impl Fence {
    /// The master has welcomed this worker, and says how long it may go unheard.
    pub(super) fn welcomed(&self, limit: Duration) {
        *self.lock() = Some((Instant::now(), limit));
    }

    /// The master was heard.
    pub(super) fn heard(&self) {
        if let Some((at, _)) = self.lock().as_mut() {
            *at = Instant::now();
        }
    }

    /// Whether it was not heard for too long.
    fn is_overdue(&self) -> bool {
        self.lock().is_some_and(|(at, limit)| at.elapsed() > limit)
    }

    /// Stops what must not go on, whenever it must not.
    pub(crate) async fn keep(&self, attempts: &Attempts) -> Infallible {
        loop {
            sleep(LOOK_EVERY).await;
            if self.is_overdue() {
                attempts.cut_off();
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Instant, Duration)>> {
        self.good.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_that_was_never_heard_is_not_missed_and_one_that_was_is() {
        let fence = Fence::default();
        fence.heard();
        assert!(!fence.is_overdue());
        fence.welcomed(Duration::from_secs(3_600));
        assert!(!fence.is_overdue());
        fence.welcomed(Duration::ZERO);
        std::thread::yield_now();
        let start = Instant::now();
        while start.elapsed().is_zero() {}
        assert!(fence.is_overdue());
    }
}

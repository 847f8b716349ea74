//! What a service manager (systemd, by `NOTIFY_SOCKET`) is told of this worker: that it started, that it is ending, and that ending
//! takes as long as its encodes may.
//!
//! Without a manager nothing is said to anybody. A manager that cannot be told is no reason not to work: it acts by its own
//! time limits then.

use std::time::Duration;

use sd_notify::NotifyState;

/// How far the limit on ending is moved each time, and how often: several tellings may be lost.
const EXTENSION: Duration = Duration::from_secs(60);
const EVERY: Duration = Duration::from_secs(15);

/// It runs, and looks for its master.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// It is ending; and for as long as this is polled, it needs more time. Never resolves.
pub(crate) async fn ending() {
    tell(&[NotifyState::Stopping]);
    loop {
        tell(&[NotifyState::ExtendTimeoutUsec(EXTENSION.as_micros() as u32)]);
        tokio::time::sleep(EVERY).await;
    }
}

fn tell(state: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager could not be told; it acts by its own time limits");
    }
}

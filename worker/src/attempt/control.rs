//! What the table of attempts tells a running one, and what a running one tells the table.

use ffrtmp_api::protocol::Progress;
use tokio::sync::watch;

/// Why an attempt is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The worker is shutting down and its grace is over.
    HandBack,
    /// Somebody asked for it.
    Cancel,
    /// It sends a stream out, and the master was not heard for so long that another worker may be told to.
    CutOff,
    /// The attempt is no longer this worker's.
    Revoke,
}

/// What an attempt should be doing. A state, not a queue: only the newest matters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Control {
    /// Set once it is to end.
    pub(crate) stop: Option<Stop>,
    /// Whether a live one is to finish with what it has.
    pub(crate) finish: bool,
    /// Whether its processes are to stand still.
    pub(crate) paused: bool,
}

/// Waits until the attempt is to stop.
pub(crate) async fn stopped(control: &mut watch::Receiver<Control>) -> Stop {
    loop {
        if let Some(stop) = control.borrow_and_update().stop {
            return stop;
        }
        if control.changed().await.is_err() {
            // The table is gone: so is everything that could take a result.
            return Stop::Revoke;
        }
    }
}

/// Hears what happens in an attempt.
pub(crate) trait Observer: Sync {
    /// ffmpeg was spawned.
    fn started(&self);
    /// ffmpeg's group was stopped or continued.
    fn paused(&self, paused: bool);
    /// It moved.
    fn progress(&self, report: Progress);
    /// It said something: whole lines.
    fn log(&self, text: &str);
}

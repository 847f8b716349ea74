//! How attempts end here, as a label.

use ffrtmp_api::protocol::Outcome;

/// How an attempt ended; the values of the label `outcome`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Verified, measured and deleted.
    Completed,
    /// At its final place.
    Published,
    /// The ordered rename could not be done here.
    PublishFailed,
    /// Failed.
    Failed,
    /// Cancelled by a user.
    Canceled,
    /// Given back at shutdown.
    HandedBack,
    /// Taken away by the master.
    Revoked,
}

impl Ending {
    /// Every ending.
    pub(crate) const ALL: [Ending; 7] = [
        Ending::Completed,
        Ending::Published,
        Ending::PublishFailed,
        Ending::Failed,
        Ending::Canceled,
        Ending::HandedBack,
        Ending::Revoked,
    ];

    /// The outcome as a label.
    pub(crate) fn of(outcome: &Outcome) -> Ending {
        match outcome {
            Outcome::Completed { .. } => Ending::Completed,
            Outcome::Published => Ending::Published,
            Outcome::PublishFailed { .. } => Ending::PublishFailed,
            Outcome::Failed { .. } => Ending::Failed,
            Outcome::Canceled => Ending::Canceled,
            Outcome::HandedBack => Ending::HandedBack,
        }
    }

    /// The word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Ending::Completed => "completed",
            Ending::Published => "published",
            Ending::PublishFailed => "publish_failed",
            Ending::Failed => "failed",
            Ending::Canceled => "canceled",
            Ending::HandedBack => "handed_back",
            Ending::Revoked => "revoked",
        }
    }
}

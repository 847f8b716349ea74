//! What goes into the core and what comes out. Both are plain values, so that a run can be recorded, replayed and simulated.

use std::sync::Arc;

use ffrtmp_api::{
    ids::{Attempt, JobSeq},
    job::{JobSpec, JobState},
    protocol::{ToMaster, ToWorker},
    rest::{Node, SubmitItem},
    settings::Settings,
};
use uuid::Uuid;

use super::{
    record::Record,
    round::{Round, RoundEnded},
};

/// A worker's connection, numbered by the shell; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// Where a reply goes; the shell knows what is behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplyTo(pub u64);

/// A job that passed every check that needs no state.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Made by the shell: the core has no randomness.
    pub uuid: Uuid,
    /// As submitted.
    pub spec: JobSpec,
    /// The same, as JSON.
    pub spec_json: Arc<str>,
    /// The same, resolved.
    pub settings: Settings,
}

/// What a user can tell a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// End it.
    Cancel,
    /// Stop its ffmpeg, keep its place.
    Pause,
    /// Continue it.
    Resume,
}

/// Something happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// Jobs were submitted. Answered by [`Reply::Submitted`], when durable.
    Submit {
        /// In order.
        jobs: Vec<NewJob>,
        /// To whom.
        reply: ReplyTo,
    },
    /// A user tells a job something. Answered by [`Reply::Controlled`], when durable.
    Control {
        /// Which job.
        job: JobSeq,
        /// What.
        control: Control,
        /// To whom.
        reply: ReplyTo,
    },
    /// A worker said something.
    Frame {
        /// On which session.
        session: SessionId,
        /// What.
        frame: ToMaster,
    },
    /// A session ended, however.
    SessionClosed {
        /// Which.
        session: SessionId,
    },
    /// The policy thread is done with a round.
    RoundEnded(RoundEnded),
    /// The time named by [`super::Core::next_deadline_ms`] has come.
    Timer,
    /// Someone wants to see the workers. Answered by [`Reply::Nodes`].
    ListNodes {
        /// To whom.
        reply: ReplyTo,
    },
    /// Someone wants to know what a job waits for. Answered by [`Reply::Waiting`].
    ExplainWaiting {
        /// Which.
        jobs: Vec<JobSeq>,
        /// To whom.
        reply: ReplyTo,
    },
}

/// What the shell is to do. `Persist` comes before what depends on it; everything outward waits until it is durable.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Make this durable.
    Persist(Record),
    /// Outward: answer a caller.
    Reply(ReplyTo, Reply),
    /// Outward: send a frame to a worker.
    Send(SessionId, ToWorker),
    /// Outward: end a session, after what was sent before.
    Close(SessionId),
    /// Outward: tell whoever watches this job that it changed, and where it stands now.
    Changed(Attempt, JobState),
    /// Inward, at once: ask the policy.
    Ask(Round),
}

/// An answer to a caller.
#[derive(Debug, Clone)]
pub enum Reply {
    /// To [`Event::Submit`], one for each job.
    Submitted(Vec<SubmitItem>),
    /// To [`Event::Control`].
    Controlled(Result<(), ControlError>),
    /// To [`Event::ListNodes`].
    Nodes(Vec<Node>),
    /// To [`Event::ExplainWaiting`]: for each job that waits, why.
    Waiting(Vec<(JobSeq, String)>),
}

/// Why a job cannot be told that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// Not among the live ones: it ended, or never was.
    #[error("the job is not live")]
    NotLive,
    /// It cannot be done in this state.
    #[error("a job that is {state} cannot be told to {verb}: {hint}")]
    WrongState {
        /// Where it stands.
        state: JobState,
        /// `cancel`, `pause`, `resume`.
        verb: &'static str,
        /// What can be done instead.
        hint: &'static str,
    },
}

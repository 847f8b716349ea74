//! What goes into the core and what comes out. Both are plain values, so that a run can be recorded, replayed and simulated.

use std::sync::Arc;

use ffrtmp_api::{
    ids::{Attempt, JobSeq},
    job::{JobSpec, JobState, Priority, Queue},
    protocol::{ToMaster, ToWorker},
    rest::{ClusterEvent, Node, PlacementChoice, SubmitItem},
    settings::Settings,
};
use uuid::Uuid;

use super::{
    classes::TooManyClasses,
    explain::Explained,
    record::{JobRow, Record},
    round::{Decision, Round, RoundEnded},
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
    /// Of a live job: finish with what there is.
    Stop,
    /// Stop its ffmpeg, keep its place; while it is pending: hold it.
    Pause,
    /// Continue it.
    Resume,
    /// Another lane or urgency, while it is pending.
    Change {
        /// The new lane, if it is to be another.
        queue: Option<Queue>,
        /// The new urgency, if it is to be another.
        priority: Option<Priority>,
    },
}

/// What an operator can do to a worker, from the master's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeControl {
    /// Look at it.
    Show,
    /// Take it out of service: it finishes what it has.
    Drain,
    /// Put it back.
    Undrain,
    /// Forget it.
    Remove,
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
    /// A user wants a job that ended tried again. Answered by [`Reply::Controlled`], when durable.
    Retry {
        /// As the store has it: ended jobs are not in the core's memory.
        row: Box<JobRow>,
        /// To whom.
        reply: ReplyTo,
    },
    /// An operator does something to a worker. Answered by [`Reply::Node`], when durable.
    Node {
        /// Its name.
        name: String,
        /// What.
        control: NodeControl,
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
    /// Another policy, or the same one set up otherwise, rules from the next round on.
    PolicySeated,
    /// A candidate begins, or ends, to be asked what the policy that rules is asked.
    Shadow {
        /// Whether there is one from now on.
        on: bool,
    },
    /// The time named by [`super::Core::next_deadline_ms`] has come.
    Timer,
    /// Someone wants to see the workers. Answered by [`Reply::Nodes`].
    ListNodes {
        /// To whom.
        reply: ReplyTo,
    },
    /// Someone wants to know why a job is where it is. Answered by [`Reply::Explained`].
    Explain {
        /// Which.
        job: JobSeq,
        /// To whom.
        reply: ReplyTo,
    },
    /// Someone wants to know how much room there is. Answered by [`Reply::Room`].
    Room {
        /// To whom.
        reply: ReplyTo,
    },
    /// Someone wants to know what jobs wait for. Answered by [`Reply::Waiting`].
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
    /// Outward: tell whoever listens to the cluster. Only while [`super::Core::tell_changes`] says that somebody does.
    Tell(Box<ClusterEvent>),
    /// Outward: there is something new to be told to webhooks.
    Noticed,
    /// Inward, at once: ask the policy.
    Ask(Round),
    /// Inward, at once: a question's end, for whoever looks at policies. Nothing depends on it.
    Decided(Box<Decision>),
}

/// An answer to a caller.
#[derive(Debug, Clone)]
pub enum Reply {
    /// To [`Event::Submit`], one for each job.
    Submitted(Vec<SubmitItem>),
    /// To [`Event::Control`].
    Controlled(Result<(), ControlError>),
    /// To [`Event::Node`]: the worker as it is now; none once it is removed.
    Node(Result<Option<Box<Node>>, NodeError>),
    /// To [`Event::ListNodes`].
    Nodes(Vec<Node>),
    /// To [`Event::Explain`].
    Explained {
        /// Why it waits, if it does.
        waits: Option<Box<Explained>>,
        /// What there was to choose from when it was last placed, if that is known.
        choice: Option<Box<PlacementChoice>>,
    },
    /// To [`Event::Room`].
    Room(Room),
    /// To [`Event::ExplainWaiting`]: for each job that waits, why.
    Waiting(Vec<(JobSeq, String)>),
}

/// How much room there is, and how long the job has waited that waits longest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Room {
    /// Slots of the workers that take work.
    pub slots: u64,
    /// Attempts on them.
    pub slots_used: u64,
    /// Milliseconds; none if nothing waits, or only what users or the policy hold.
    pub oldest_waiting_ms: Option<u64>,
}

/// Why a job cannot be told that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// Not among the live ones: it ended, or never was.
    #[error("the job is not live")]
    NotLive,
    /// What was read of it in the store is not true any more: read it again.
    #[error("the job changed while it was looked at")]
    Stale,
    /// It cannot be done in this state.
    #[error("a job that is {state} cannot be told to {verb}: {hint}")]
    WrongState {
        /// Where it stands.
        state: JobState,
        /// `cancel`, `stop`, `pause`, `resume`, `retry`, `change its queue or priority`.
        verb: &'static str,
        /// What can be done instead.
        hint: &'static str,
    },
    /// What it requires does not fit beside what other jobs require now.
    #[error(transparent)]
    Requirements(#[from] TooManyClasses),
}

/// Why that cannot be done to a worker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// No worker of that name.
    #[error("there is no worker {name:?}; `ffrtmp nodes list` shows those there are")]
    Unknown {
        /// The name given.
        name: String,
    },
    /// It is connected, and would only come back.
    #[error(
        "worker {name:?} is connected (jobs held: {jobs}), so it cannot be removed: let it finish them with \
         `ffrtmp nodes drain {name}`, stop it then, and remove it"
    )]
    Connected {
        /// Its name.
        name: String,
        /// How many jobs it holds.
        jobs: usize,
    },
    /// It holds the one finished file that may become a job's output.
    #[error(
        "worker {name:?} holds the finished output of job {job}, which only needs to be moved into place: start it again, or wait \
         until another worker that sees the file has moved it (after {hours} h the job fails and the worker is forgotten)"
    )]
    Publishing {
        /// Its name.
        name: String,
        /// The job.
        job: JobSeq,
        /// When that ends by itself.
        hours: u64,
    },
}

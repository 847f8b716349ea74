//! What passes between the core and the policy thread: owned values both ways, so that neither ever waits for the other.
//!
//! The core keeps at most one [`Round`] in flight. Whatever the policy does with it (answer, trap, run out of its budget,
//! be swapped for another), exactly one [`Outcome`] comes back for it, as an event.

use std::sync::Arc;

use ffrtmp_api::{ids::JobSeq, job::JobSpec};
use ffrtmp_policy_sdk::{Answer, Ask, Change, JobId, JobInfo, Rank};

use super::stats::Refusal;

/// A question to the active policy.
#[derive(Debug, Clone)]
pub struct Round {
    /// Number of the question; the outcome carries it back. Rising, one in flight.
    pub id: u64,
    /// Whether `changes` is a full snapshot, to be applied to an empty view.
    pub reset: bool,
    /// What happened since the last round that the policy saw. Shared with whoever looks at the round afterwards.
    pub changes: Arc<Vec<Change>>,
    /// What is asked.
    pub work: Work,
}

/// What is asked of a policy.
#[derive(Debug, Clone)]
pub enum Work {
    /// Rank jobs; answered by [`Outcome::Ranks`], one for each, in order.
    Rank(Vec<JobInfo>),
    /// Decide a round; answered by [`Outcome::Answer`].
    Plan(Arc<Ask>),
    /// No question: the policy has stalled, and this says how. It counts as a fault of its; the core takes no notice of what
    /// comes back.
    Stalled(String),
}

/// What came of a [`Round`].
#[derive(Debug, Clone)]
pub enum Outcome {
    /// To [`Work::Rank`].
    Ranks(Vec<Rank>),
    /// To [`Work::Plan`].
    Answer(Answer),
    /// The instance is fresh (after a swap or a fault) and has seen no snapshot: ask again with `reset`. Nothing was run.
    NeedsReset,
    /// The policy failed. The core decides this round with the built-in policy; the next round's instance is a fresh one.
    Fault {
        /// At which stage.
        stage: FaultStage,
        /// What happened, for the operator.
        message: String,
    },
}

/// Where a policy failed while it was being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FaultStage {
    /// A fresh instance could not be made, or its `init` failed.
    Init,
    /// In `sync`.
    Sync,
    /// In `rank`.
    Rank,
    /// In `plan`.
    Plan,
    /// It answered, but with something that cannot be an answer (too large, a wrong count).
    Answer,
    /// No outcome came back in time: the policy thread itself is stuck.
    Stuck,
    /// It answered in time, and left jobs waiting that workers had room for.
    Stall,
}

impl FaultStage {
    /// Every stage.
    pub const ALL: [FaultStage; 7] = [
        FaultStage::Init,
        FaultStage::Sync,
        FaultStage::Rank,
        FaultStage::Plan,
        FaultStage::Answer,
        FaultStage::Stuck,
        FaultStage::Stall,
    ];

    /// The word in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            FaultStage::Init => "init",
            FaultStage::Sync => "sync",
            FaultStage::Rank => "rank",
            FaultStage::Plan => "plan",
            FaultStage::Answer => "answer",
            FaultStage::Stuck => "stuck",
            FaultStage::Stall => "stall",
        }
    }
}

/// Which policy spoke: shared by everything it placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyTag {
    /// Its name: the file's name without `.wasm`.
    pub name: String,
    /// First 12 hex digits of the SHA-256 of its wasm; `native` for the built-in one.
    pub digest: String,
    /// First 12 hex digits of the SHA-256 of its configuration; empty without one. Another configuration may rank otherwise.
    pub config: String,
    /// CPU time it may take for a call, microseconds; 0 where nothing bounds it, as for the built-in one.
    pub budget_us: u64,
    /// How long it may leave jobs waiting for nothing but itself, milliseconds; 0: as long as [`super::Config::stall_ms`].
    pub stall_ms: u64,
    /// Its reasons, by index. `{}` stands for the placement's argument.
    pub reasons: Vec<String>,
}

impl PolicyTag {
    /// The reason with its argument, or a plain statement that the index names none.
    pub fn reason(&self, index: u32, arg: i64) -> String {
        match self.reasons.get(index as usize) {
            Some(text) => text.replace("{}", &arg.to_string()),
            None => format!("reason {index}, of which the policy gave no text"),
        }
    }
}

/// A round's end, as an event for the core.
#[derive(Debug, Clone)]
pub struct RoundEnded {
    /// [`Round::id`].
    pub id: u64,
    /// Who answered (or failed to).
    pub policy: Arc<PolicyTag>,
    /// What came of it.
    pub outcome: Outcome,
    /// Time inside the guest, microseconds of thread CPU time.
    pub guest_us: u64,
}

#[cfg(test)]
impl RoundEnded {
    /// That of a policy which trapped, so that the built-in one decides.
    pub fn failed(id: u64) -> RoundEnded {
        RoundEnded {
            id,
            policy: PolicyTag::of_a_test().into(),
            outcome: Outcome::Fault {
                stage: FaultStage::Plan,
                message: String::new(),
            },
            guest_us: 0,
        }
    }
}

#[cfg(test)]
impl PolicyTag {
    /// Some policy without limits.
    pub fn of_a_test() -> PolicyTag {
        PolicyTag {
            name: "t".into(),
            digest: "t".into(),
            config: String::new(),
            budget_us: 0,
            stall_ms: 0,
            reasons: Vec::new(),
        }
    }
}

/// A question and what became of it, told when the core has carried it out: for people who look, and for a candidate that is
/// compared. Made of values the core has no use for any more; it decides nothing.
#[derive(Debug, Clone)]
pub struct Decision {
    /// [`Round::id`].
    pub id: u64,
    /// When it was carried out, milliseconds since 1970.
    pub at_ms: i64,
    /// Whether `changes` was a full snapshot.
    pub reset: bool,
    /// What the policy was told before it was asked.
    pub changes: Arc<Vec<Change>>,
    /// What it was asked.
    pub question: Question,
    /// Who was asked.
    pub policy: Arc<PolicyTag>,
    /// How it failed, if it did: the answer is the built-in policy's then.
    pub fault: Option<(FaultStage, String)>,
    /// Time inside the guest, microseconds of thread CPU time.
    pub guest_us: u64,
    /// The jobs in question, as far as a candidate that ranks them itself must know them; only while there is one.
    pub jobs: Vec<OfferedJob>,
    /// What was answered; nothing to a ranking.
    pub answer: Answer,
    /// Why each placement of the answer was refused, in its order; none: it was carried out.
    pub refused: Vec<Option<Refusal>>,
    /// Whether each hold of the answer was carried out, in its order.
    pub held: Vec<bool>,
}

/// A job in question, unparsed: the core has no time for that.
#[derive(Debug, Clone)]
pub struct OfferedJob {
    /// The number policies know it by.
    pub id: JobId,
    /// Its place among the candidates of the question.
    pub candidate: usize,
    /// When it was accepted, milliseconds since 1970.
    pub submitted_ms: i64,
    /// Its spec, as JSON.
    pub spec: Arc<str>,
}

impl OfferedJob {
    /// What a policy is told to rank it by, if it is a candidate of `ask`.
    pub fn info(&self, ask: &Ask) -> Option<JobInfo> {
        let candidate = ask.candidates.get(self.candidate)?;
        let spec: JobSpec = serde_json::from_str(&self.spec).unwrap_or_default();
        Some(JobInfo {
            id: self.id,
            queue: candidate.queue,
            priority: candidate.priority,
            submitted_ms: self.submitted_ms,
            deadline_ms: spec.deadline_ms,
            cost: candidate.cost,
            labels: spec.labels.into_iter().collect(),
        })
    }
}

/// What a policy was asked, in a [`Decision`].
#[derive(Debug, Clone)]
pub enum Question {
    /// Decide a round.
    Plan(Arc<Ask>),
    /// Rank these jobs. Only told when the policy failed in it.
    Rank(Vec<JobSeq>),
}

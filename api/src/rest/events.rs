//! `GET /v1/events`: what changes in the cluster, as server-sent events.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Node, PolicyStatus};
use crate::{
    ids::{AttemptNo, JobSeq},
    job::{FailureReason, JobState, Priority, Queue},
};

/// One event. The SSE event name is its `type`; its SSE id rises by one with each event of one run of the master, so that a
/// client that reconnects with `Last-Event-ID` misses nothing the master still remembers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
#[allow(clippy::large_enum_variant)]
pub enum ClusterEvent {
    /// A job changed. Durable when it is told.
    Job(JobChange),
    /// A worker changed its status.
    Node(Node),
    /// A policy changed its state.
    Policy(PolicyStatus),
    /// What happened between is not known (the client was away too long, or did not keep up): look at everything again.
    Reset,
}

/// A job's change, as short as a list line. The whole job is at `GET /v1/jobs/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobChange {
    /// Number.
    pub id: JobSeq,
    /// UUID.
    pub uuid: Uuid,
    /// Where it stands now.
    pub state: JobState,
    /// Lane.
    pub queue: Queue,
    /// Urgency.
    pub priority: Priority,
    /// Attempts so far.
    pub attempt: AttemptNo,
    /// The worker of its latest attempt.
    pub node: Option<String>,
    /// Why it failed, once it has.
    pub failure: Option<FailureReason>,
    /// Whose it is: its label `tenant`, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
}

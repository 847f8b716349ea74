//! `GET /v1/policy-log`: what happened to policies and what they said themselves.

use serde::{Deserialize, Serialize};

words! {
    /// How much a line matters; rising.
    LogLevel {
        /// For whoever writes the policy.
        Debug = "debug",
        /// As it should be.
        Info = "info",
        /// Somebody should know.
        Warn = "warn",
        /// Something failed.
        Error = "error",
    }
}

/// One line about a policy, or by one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PolicyLogLine {
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// The policy's name; empty for what concerns all of them.
    pub policy: String,
    /// First 12 hex digits of its SHA-256, or `native`; empty where it is not known.
    pub digest: String,
    /// How much it matters.
    pub level: LogLevel,
    /// The word for what happened to the policy, as in the master's own log (`policy_rules`, `policy_refused`, `policy_fault`);
    /// none where the policy itself said this.
    pub event: Option<String>,
    /// What happened, or what it said.
    pub message: String,
}

/// `GET /v1/policy-log`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PolicyLog {
    /// Oldest first.
    pub lines: Vec<PolicyLogLine>,
    /// Lines of the policies asked for that made way for newer ones since the master started.
    pub dropped: u64,
}

/// One event of `GET /v1/policy-log?follow=true`. The SSE event name is its `type`; its id goes on where it was when given back
/// as `Last-Event-ID`, as long as the master runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum PolicyLogEvent {
    /// A line.
    Line(PolicyLogLine),
    /// Lines are missing here: they made way for newer ones, or an earlier run of the master had them.
    Gap,
}

//! Webhooks: what is told to whom, and what has not been taken yet.

use serde::{Deserialize, Serialize};

use crate::{
    ids::{AttemptNo, JobSeq},
    job::JobState,
};

/// Something that has not been delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Delivery {
    /// The event's id: the `webhook-id` it is sent with, each time.
    pub id: String,
    /// About which job.
    pub job: JobSeq,
    /// About which of its attempts; 0 before the first.
    pub attempt: AttemptNo,
    /// What the job came to.
    pub state: JobState,
    /// When it did, milliseconds since 1970.
    pub at_ms: i64,
    /// Scheme, host and port of the receiver. The rest of a webhook's URL may be a secret.
    pub origin: String,
    /// Times it was tried.
    pub tries: u32,
    /// Why the last try did not succeed.
    pub trouble: Option<String>,
    /// When it is tried next, milliseconds since 1970; none once it was given up.
    pub next_at_ms: Option<i64>,
}

/// `GET /v1/webhooks`, `GET /v1/jobs/{job}/webhooks`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeliveryList {
    /// What is not delivered, the oldest first; at most 1,000.
    pub deliveries: Vec<Delivery>,
    /// How many wait, those not in the list included.
    pub waiting: u64,
    /// How many were given up and are still remembered.
    pub given_up: u64,
}

/// A job's webhook in one line of its description.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WebhookState {
    /// Events that were not delivered yet.
    pub waiting: u64,
    /// Events that were given up.
    pub given_up: u64,
    /// Why the last try did not succeed, if one did not.
    pub trouble: Option<String>,
}

/// `POST /v1/webhooks/test`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TestWebhook {
    /// Where to send it.
    pub url: String,
}

/// What became of a test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WebhookTested {
    /// Whether the receiver took it.
    pub delivered: bool,
    /// The receiver's status, if it answered.
    pub status: Option<u16>,
    /// What did not work.
    pub trouble: Option<String>,
    /// How long it took, milliseconds.
    pub took_ms: u64,
}

/// `GET /v1/webhooks/secret`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WebhookSecret {
    /// What receivers check signatures with: `whsec_` and base64.
    pub secret: String,
}

impl std::fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

/// `POST /v1/jobs/{job}/webhooks/retry`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WebhooksRetried {
    /// How many are tried again now, those that were given up included.
    pub retried: u64,
}

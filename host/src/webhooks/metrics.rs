//! What webhooks export. Label values are words of ours: receivers and jobs are not among them.

use ffrtmp_api::metrics::Exposition;
use prometheus::{Gauge, IntCounterVec, IntGauge};

/// The metrics. Clones share the numbers.
#[derive(Debug, Clone)]
pub struct WebhookMetrics {
    deliveries: IntCounterVec,
    pending: IntGauge,
    oldest: Gauge,
}

/// How a try ended; the values of the label `result`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Result {
    /// Taken.
    Delivered,
    /// Not taken, tried again later.
    Failed,
    /// Not tried again.
    GivenUp,
}

impl Result {
    fn as_str(self) -> &'static str {
        match self {
            Result::Delivered => "delivered",
            Result::Failed => "failed",
            Result::GivenUp => "given_up",
        }
    }
}

impl WebhookMetrics {
    /// All of them, at zero.
    ///
    /// # Errors
    /// When one of these names is taken.
    pub fn new(make: &Exposition) -> std::result::Result<WebhookMetrics, prometheus::Error> {
        let results = [Result::Delivered, Result::Failed, Result::GivenUp].map(Result::as_str);
        Ok(WebhookMetrics {
            deliveries: make.counters(
                "ffrtmp_webhook_deliveries_total",
                "Events sent to webhooks, by what came of it: delivered, failed (tried again later) or given_up.",
                &[("result", &results)],
            )?,
            pending: make.gauge(
                "ffrtmp_webhook_pending",
                "Events that no webhook has taken yet and that are still tried.",
            )?,
            oldest: make.float(
                "ffrtmp_webhook_oldest_seconds",
                "Age of the oldest event that is still to be delivered; 0 if there is none.",
            )?,
        })
    }

    pub(super) fn tried(&self, result: Result) {
        self.deliveries.with_label_values(&[result.as_str()]).inc();
    }

    pub(super) fn pending(&self, pending: u64) {
        self.pending.set(i64::try_from(pending).unwrap_or(i64::MAX));
    }

    pub(super) fn oldest(&self, seconds: f64) {
        self.oldest.set(seconds);
    }
}

//! What webhooks export. Label values are words of ours: receivers and jobs are not among them.

use prometheus::{Gauge, IntCounterVec, IntGauge, Opts, Registry};

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
    const ALL: [Result; 3] = [Result::Delivered, Result::Failed, Result::GivenUp];

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
    /// When a name is taken.
    pub fn new(registry: &Registry) -> std::result::Result<WebhookMetrics, prometheus::Error> {
        let metrics = WebhookMetrics {
            deliveries: IntCounterVec::new(
                Opts::new(
                    "ffrtmp_webhook_deliveries_total",
                    "Events sent to webhooks, by what came of it: delivered, failed (tried again later) or given_up.",
                ),
                &["result"],
            )?,
            pending: IntGauge::new(
                "ffrtmp_webhook_pending",
                "Events that no webhook has taken yet and that are still tried.",
            )?,
            oldest: Gauge::new(
                "ffrtmp_webhook_oldest_seconds",
                "Age of the oldest event that is still to be delivered; 0 if there is none.",
            )?,
        };
        for result in Result::ALL {
            metrics.deliveries.with_label_values(&[result.as_str()]);
        }
        registry.register(Box::new(metrics.deliveries.clone()))?;
        registry.register(Box::new(metrics.pending.clone()))?;
        registry.register(Box::new(metrics.oldest.clone()))?;
        Ok(metrics)
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

//! The metrics of a candidate: sums over all candidates since the master started, and how the present one agrees.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts};

use super::super::metrics::GUEST_SECONDS;
use super::compare::Compared;

/// What can come of a job that either answer places.
const RESULTS: [&str; 4] = ["same_node", "other_node", "would_wait", "would_place"];

/// See the module's head.
#[derive(Debug)]
pub(in crate::policy) struct ShadowMetrics {
    rounds: IntCounter,
    dropped: IntCounter,
    faults: IntCounter,
    refused: IntCounter,
    jobs: IntCounterVec,
    agreement: Gauge,
    guest_seconds: Histogram,
}

impl ShadowMetrics {
    /// All of them, at zero.
    ///
    /// # Errors
    /// When a name or label is not one Prometheus takes, which a test would have found.
    pub(in crate::policy) fn new() -> Result<ShadowMetrics, prometheus::Error> {
        let metrics = ShadowMetrics {
            rounds: IntCounter::new(
                "ffrtmp_policy_shadow_rounds_total",
                "Questions that a candidate in the shadow answered.",
            )?,
            dropped: IntCounter::new(
                "ffrtmp_policy_shadow_rounds_dropped_total",
                "Questions that a candidate in the shadow was not asked, because it was busy.",
            )?,
            faults: IntCounter::new(
                "ffrtmp_policy_shadow_faults_total",
                "Questions in which a candidate in the shadow failed.",
            )?,
            refused: IntCounter::new(
                "ffrtmp_policy_shadow_placements_refused_total",
                "Placements of a candidate in the shadow that could not have been carried out.",
            )?,
            jobs: IntCounterVec::new(
                Opts::new(
                    "ffrtmp_policy_shadow_jobs_total",
                    "Jobs that the policy that rules or a candidate in the shadow placed, by how the two compare.",
                ),
                &["result"],
            )?,
            agreement: Gauge::new(
                "ffrtmp_policy_shadow_agreement_ratio",
                "Of the jobs that either placed, the share that both placed on the same worker; 0 while there is none.",
            )?,
            guest_seconds: Histogram::with_opts(
                HistogramOpts::new(
                    "ffrtmp_policy_shadow_guest_seconds",
                    "CPU time of one question to a candidate in the shadow.",
                )
                .buckets(GUEST_SECONDS.to_vec()),
            )?,
        };
        for result in RESULTS {
            metrics.jobs.with_label_values(&[result]);
        }
        Ok(metrics)
    }

    /// A question it was not asked.
    pub(super) fn dropped(&self) {
        self.dropped.inc();
    }

    /// A question in which it failed.
    pub(super) fn failed(&self) {
        self.faults.inc();
    }

    /// Time spent in it.
    pub(super) fn guest(&self, time: Duration) {
        self.guest_seconds.observe(time.as_secs_f64());
    }

    /// A question it answered.
    pub(super) fn compared(&self, compared: &Compared) {
        self.rounds.inc();
        self.refused.inc_by(compared.refused);
        let counts = [
            compared.same_node,
            compared.other_node,
            compared.would_wait,
            compared.would_place,
        ];
        for (result, n) in RESULTS.iter().zip(counts) {
            self.jobs.with_label_values(&[result]).inc_by(n);
        }
    }

    /// How far the present one agrees.
    pub(super) fn agrees(&self, agreement: Option<f64>) {
        self.agreement.set(agreement.unwrap_or(0.0));
    }

    /// Each of them.
    pub(in crate::policy) fn each(&self) -> [&dyn Collector; 7] {
        [
            &self.rounds,
            &self.dropped,
            &self.faults,
            &self.refused,
            &self.jobs,
            &self.agreement,
            &self.guest_seconds,
        ]
    }
}

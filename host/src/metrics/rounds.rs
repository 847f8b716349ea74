//! Rounds of scheduling: how they went, how long a decision takes, and what the policy did in them.
//!
//! What the policy host counts of policies is in `crate::policy`.

use std::time::Duration;

use ffrtmp_api::metrics::Exposition;
use prometheus::{Histogram, IntGauge, Result};

use super::totals::{Total, Totals};
use crate::core::{
    round::FaultStage,
    stats::{Refusal, RoundResult, Stats},
};

/// Buckets for a decision, seconds: a round takes some 100 µs, a policy's time is up after 10 ms of CPU or 50 ms, and after
/// 5 s the thread counts as stuck.
const ROUND_SECONDS: [f64; 14] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];

/// See the module's head.
#[derive(Debug)]
pub(super) struct RoundMetrics {
    results: Totals<RoundResult>,
    seconds: Histogram,
    placements: Total,
    refusals: Totals<Refusal>,
    faults: Totals<FaultStage>,
    fallback_rounds: Total,
    on_fallback: IntGauge,
    holds: Total,
    candidates: IntGauge,
}

impl RoundMetrics {
    pub(super) fn new(make: &Exposition) -> Result<RoundMetrics> {
        let results: Vec<&str> = RoundResult::ALL.iter().map(|s| s.as_str()).collect();
        let refusals: Vec<&str> = Refusal::ALL.iter().map(|s| s.as_str()).collect();
        let stages: Vec<&str> = FaultStage::ALL.iter().map(|s| s.as_str()).collect();
        Ok(RoundMetrics {
            results: Totals::new(
                make.counters(
                    "ffrtmp_schedule_attempts_total",
                    "Scheduling rounds, by result: something was placed, nothing could be, or the policy failed.",
                    &[("result", &results)],
                )?,
                RoundResult::as_str,
            ),
            seconds: make.histogram(
                "ffrtmp_round_seconds",
                "Time from asking the policy until its answer was carried out; a page of a round, or a batch of jobs to rank, is one.",
                &ROUND_SECONDS,
            )?,
            placements: Total::new(make.counter(
                "ffrtmp_placements_total",
                "Jobs placed on a worker.",
            )?),
            refusals: Totals::new(
                make.counters(
                    "ffrtmp_placements_refused_total",
                    "Placements of a policy that did not hold against the truth, by reason.",
                    &[("reason", &refusals)],
                )?,
                Refusal::as_str,
            ),
            faults: Totals::new(
                make.counters(
                    "ffrtmp_policy_faults_total",
                    "Failures of the active policy, by stage; the built-in policy decided instead. `stall`: it left jobs waiting that \
                     workers had room for.",
                    &[("stage", &stages)],
                )?,
                FaultStage::as_str,
            ),
            fallback_rounds: Total::new(make.counter(
                "ffrtmp_policy_fallback_rounds_total",
                "Rounds decided by the built-in policy because the active one failed.",
            )?),
            on_fallback: make.gauge(
                "ffrtmp_policy_on_fallback",
                "1 while the built-in policy decided last because the active one failed or hangs; 0 from the next round that it answers, or once another rules.",
            )?,
            holds: Total::new(make.counter(
                "ffrtmp_policy_holds_total",
                "Times a policy kept a job waiting on purpose.",
            )?),
            candidates: make.gauge(
                "ffrtmp_policy_candidates_max",
                "Jobs the policy is asked about in one round at most, cut so that it stays below half its time budget; 0 before its first \
                 round.",
            )?,
        })
    }

    pub(super) fn update(&self, stats: &Stats) {
        self.results.are(&stats.rounds);
        self.placements.is(stats.placements);
        self.refusals.are(&stats.refusals);
        self.faults.are(&stats.faults);
        let failed = stats.rounds.get(&RoundResult::Error).copied();
        self.fallback_rounds.is(failed.unwrap_or(0));
        self.on_fallback.set(i64::from(stats.on_fallback));
        self.holds.is(stats.holds);
        self.candidates.set(stats.candidates_max as i64);
    }

    /// A question's answer was carried out so long after it was asked.
    pub(super) fn decided(&self, after: Duration) {
        self.seconds.observe(after.as_secs_f64());
    }

    pub(super) fn rebuilt(&self) {
        self.results.begin_anew();
        self.placements.begins_anew();
        self.refusals.begin_anew();
        self.faults.begin_anew();
        self.fallback_rounds.begins_anew();
        self.holds.begins_anew();
    }
}

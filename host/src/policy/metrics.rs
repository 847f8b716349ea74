//! The policy host's own metrics. Written by the policy thread and the librarian as they work; a scrape reads memory.
//!
//! Label values are bounded: words of ours, and for `ffrtmp_policy_info` the one policy that rules. What the core counts of
//! policies (faults, refused placements, holds, fallback rounds) is in `crate::metrics`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    Gauge, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
};

use super::board::Board;
use super::component::Refusal;
use super::shadow::ShadowMetrics;

/// Buckets for a call into a guest, seconds: an empty call takes 0.2 µs, the default budget is 10 ms, `init` has 1 s.
pub(super) const GUEST_SECONDS: [f64; 15] = [
    0.000_005, 0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005,
    0.01, 0.025, 0.05, 0.25, 1.0,
];
/// The calls of the contract.
const CALLS: [&str; 4] = ["init", "sync", "rank", "plan"];

/// CPU time in the guest, by call; none for a call that was not made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct CallTimes(pub(super) [Option<Duration>; CALLS.len()]);

impl CallTimes {
    /// Adds a call's time. Words that are no call of the contract are not counted.
    pub(super) fn add(&mut self, call: &str, time: Duration) {
        if let Some(at) = CALLS.iter().position(|c| *c == call) {
            *self.0[at].get_or_insert_default() += time;
        }
    }

    /// All of it.
    pub(super) fn total(&self) -> Duration {
        self.0.iter().flatten().sum()
    }
}

/// The metrics.
#[derive(Debug)]
pub(super) struct PolicyMetrics {
    info: IntGaugeVec,
    guest_seconds: HistogramVec,
    rounds: IntCounterVec,
    swaps: IntCounter,
    files_refused: IntCounterVec,
    memory: IntGauge,
    breaker_open: IntGauge,
    good_round_age: Gauge,
    good_round: Mutex<Instant>,
    /// Held by a scrape: two at once would clear each other's `info`.
    scrape: Mutex<()>,
    /// Of a candidate.
    pub(super) shadow: ShadowMetrics,
}

impl PolicyMetrics {
    /// All of them, at zero.
    ///
    /// # Errors
    /// When a name or label is not one Prometheus takes, which a test would have found.
    pub(super) fn new() -> Result<PolicyMetrics, prometheus::Error> {
        let metrics = PolicyMetrics {
            info: IntGaugeVec::new(
                Opts::new(
                    "ffrtmp_policy_info",
                    "The policy that rules; always 1. Its digest is `native` where it is the built-in one.",
                ),
                &["name", "version", "digest"],
            )?,
            guest_seconds: HistogramVec::new(
                HistogramOpts::new(
                    "ffrtmp_policy_guest_seconds",
                    "CPU time of one call into the policy's wasm, by call.",
                )
                .buckets(GUEST_SECONDS.to_vec()),
                &["call"],
            )?,
            rounds: IntCounterVec::new(
                Opts::new(
                    "ffrtmp_policy_rounds_total",
                    "Rounds answered by the policy that rules: a wasm one, or the built-in one where it was chosen or nothing else was left.",
                ),
                &["policy"],
            )?,
            swaps: IntCounter::new(
                "ffrtmp_policy_swaps_total",
                "Times another policy began to rule while the master ran.",
            )?,
            files_refused: IntCounterVec::new(
                Opts::new(
                    "ffrtmp_policy_files_refused_total",
                    "Files in the policies folder that were not taken, by the check they failed.",
                ),
                &["stage"],
            )?,
            memory: IntGauge::new(
                "ffrtmp_policy_memory_bytes",
                "Linear memory of the policy that rules; 0 for the built-in one.",
            )?,
            breaker_open: IntGauge::new(
                "ffrtmp_policy_breaker_open",
                "1 since a policy kept failing and lost its rule, until a command or a new file chooses another, or the master starts anew.",
            )?,
            good_round_age: Gauge::new(
                "ffrtmp_policy_good_round_age_seconds",
                "Time since the policy that rules last answered a round, or since the start. Rounds happen only when something changed.",
            )?,
            good_round: Mutex::new(Instant::now()),
            scrape: Mutex::default(),
            shadow: ShadowMetrics::new()?,
        };
        for call in CALLS {
            metrics.guest_seconds.with_label_values(&[call]);
        }
        for policy in ["wasm", "native"] {
            metrics.rounds.with_label_values(&[policy]);
        }
        for stage in Refusal::STAGES {
            metrics.files_refused.with_label_values(&[stage]);
        }
        Ok(metrics)
    }

    /// A round that was answered.
    pub(super) fn answered(&self, native: bool) {
        let policy = if native { "native" } else { "wasm" };
        self.rounds.with_label_values(&[policy]).inc();
        *self
            .good_round
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Time spent in a guest.
    pub(super) fn guest(&self, times: CallTimes) {
        for (call, time) in CALLS.iter().zip(times.0) {
            if let Some(time) = time {
                self.guest_seconds
                    .with_label_values(&[call])
                    .observe(time.as_secs_f64());
            }
        }
    }

    /// How much memory the policy that rules has now.
    pub(super) fn memory(&self, bytes: usize) {
        self.memory.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Another policy rules.
    pub(super) fn swapped(&self) {
        self.swaps.inc();
    }

    /// Whether one lost its rule because it kept failing, and nobody has chosen since.
    pub(super) fn breaker(&self, open: bool) {
        self.breaker_open.set(i64::from(open));
    }

    /// A file was not taken.
    pub(super) fn refused(&self, refusal: &Refusal) {
        self.files_refused
            .with_label_values(&[refusal.stage()])
            .inc();
    }

    /// Times another policy began to rule.
    pub(super) fn swaps(&self) -> u64 {
        self.swaps.get()
    }

    /// Files that were not taken, at any stage.
    pub(super) fn files_refused(&self) -> u64 {
        Refusal::STAGES
            .iter()
            .map(|stage| self.files_refused.with_label_values(&[stage]).get())
            .sum()
    }

    /// Rounds answered.
    pub(super) fn rounds(&self) -> u64 {
        ["wasm", "native"]
            .iter()
            .map(|policy| self.rounds.with_label_values(&[policy]).get())
            .sum()
    }

    fn each(&self) -> [&dyn Collector; 8] {
        [
            &self.info,
            &self.guest_seconds,
            &self.rounds,
            &self.swaps,
            &self.files_refused,
            &self.memory,
            &self.breaker_open,
            &self.good_round_age,
        ]
    }
}

/// The metrics as a registry takes them: what is only known at the scrape is filled in there.
pub(super) struct Exposed(pub(super) Arc<Board>);

impl Collector for Exposed {
    fn desc(&self) -> Vec<&Desc> {
        let each = self.0.metrics.each();
        let shadow = self.0.metrics.shadow.each();
        let all = each.into_iter().chain(shadow);
        all.flat_map(|metric| metric.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let metrics = &self.0.metrics;
        let _alone = metrics
            .scrape
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let good = metrics
            .good_round
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .elapsed();
        metrics.good_round_age.set(good.as_secs_f64());
        metrics.info.reset();
        if let Some([name, version, digest]) = self.0.active() {
            metrics
                .info
                .with_label_values(&[&name, &version, &digest])
                .set(1);
        }
        let each = metrics.each();
        let all = each.into_iter().chain(metrics.shadow.each());
        all.flat_map(|metric| metric.collect()).collect()
    }
}

//! What the master exports, through the `prometheus` crate. Every value is copied from the core's counts after each batch
//! of events; a scrape reads memory and nothing else. Label values are bounded words, zero-filled from the start.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use ffrtmp_api::{
    job::{FailureReason, JobState, Priority, Queue},
    rest::{self, NodeStatus},
};
use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder, core::Collector,
};

use crate::{
    core::{
        round::FaultStage,
        stats::{Refusal, RoundResult, Stats},
    },
    spool::SpoolMetrics,
    webhooks::WebhookMetrics,
};

/// Content type of the exposition.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Buckets for how long a job ran, seconds: a tiny clip to a feature film.
const RUN_SECONDS: [f64; 14] = [
    0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0, 600.0, 1800.0, 3600.0, 10_800.0, 43_200.0,
];
/// Buckets for submit to start, seconds: an idle farm starts in milliseconds, a full one in hours.
const START_SECONDS: [f64; 15] = [
    0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0, 43_200.0,
];

/// The master's metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    started: Instant,
    /// The counts as of the last update; totals are exported as what was added since.
    before: Mutex<Stats>,
    jobs: IntGaugeVec,
    jobs_finished: IntCounterVec,
    jobs_submitted: IntCounter,
    active: IntGauge,
    queue_length: IntGauge,
    queue_by_priority: IntGaugeVec,
    queue_by_type: IntGaugeVec,
    duration: Gauge,
    wait: Gauge,
    run_seconds: Histogram,
    start_seconds: Histogram,
    attempts: IntCounterVec,
    attempts_failed: IntCounterVec,
    placements: IntCounter,
    refusals: IntCounterVec,
    faults: IntCounterVec,
    fallback_rounds: IntCounter,
    holds: IntCounter,
    candidates: IntGauge,
    leases_lost: IntCounter,
    quarantines: IntCounter,
    uptime: Gauge,
    nodes: IntGauge,
    nodes_by_status: IntGaugeVec,
    nodes_clock_off: IntGauge,
    read_only: IntGauge,
    /// The spool's own.
    pub spool: SpoolMetrics,
    /// The webhooks' own.
    pub webhooks: WebhookMetrics,
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// When two metrics have one name, which a test would have found.
    pub fn new() -> Result<Metrics, prometheus::Error> {
        let registry = Registry::new();
        let make = Make {
            registry: &registry,
        };
        let states: Vec<&str> = JobState::ALL.iter().map(|s| s.as_str()).collect();
        let priorities: Vec<&str> = Priority::ALL.iter().map(|s| s.as_str()).collect();
        let queues: Vec<&str> = Queue::ALL.iter().map(|s| s.as_str()).collect();
        let statuses: Vec<&str> = NodeStatus::ALL.iter().map(|s| s.as_str()).collect();
        let results: Vec<&str> = RoundResult::ALL.iter().map(|s| s.as_str()).collect();
        let refusals: Vec<&str> = Refusal::ALL.iter().map(|s| s.as_str()).collect();
        let stages: Vec<&str> = FaultStage::ALL.iter().map(|s| s.as_str()).collect();
        let reasons: Vec<&str> = FailureReason::ALL.iter().map(|s| s.as_str()).collect();
        let build = IntGaugeVec::new(
            Opts::new("ffrtmp_build_info", "Software version; always 1."),
            &["version"],
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        registry.register(Box::new(build))?;
        let jobs_finished = make.counters(
            "ffrtmp_jobs_finished_total",
            "Jobs that ended, by state and, for failed ones, reason.",
            &["state", "reason"],
        )?;
        for state in JobState::ALL.iter().filter(|s| s.is_terminal()) {
            for reason in reasons_of(*state) {
                jobs_finished.with_label_values(&[state.as_str(), reason]);
            }
        }
        Ok(Metrics {
            started: Instant::now(),
            before: Mutex::default(),
            jobs: make.gauges("ffrtmp_jobs_total", "Jobs the store holds now, by state. A gauge, whatever its name says: it is the name dashboards know.", "state", &states)?,
            jobs_finished,
            jobs_submitted: make.counter("ffrtmp_jobs_submitted_total", "Jobs accepted.")?,
            active: make.gauge("ffrtmp_active_jobs", "Jobs that hold capacity on a worker: assigned, running, paused or publishing.")?,
            queue_length: make.gauge("ffrtmp_queue_length", "Pending jobs.")?,
            queue_by_priority: make.gauges("ffrtmp_queue_by_priority", "Pending jobs by priority.", "priority", &priorities)?,
            queue_by_type: make.gauges("ffrtmp_queue_by_type", "Pending jobs by queue.", "type", &queues)?,
            duration: make.float("ffrtmp_job_duration_seconds", "Mean run time of the last 100 jobs that ended.")?,
            wait: make.float("ffrtmp_job_wait_time_seconds", "Mean time from submit to start of the last 100 jobs that started.")?,
            run_seconds: make.histogram("ffrtmp_job_run_seconds", "Run time of a job's last attempt.", &RUN_SECONDS)?,
            start_seconds: make.histogram("ffrtmp_job_start_seconds", "Time from submit to the first start of ffmpeg.", &START_SECONDS)?,
            attempts: make.counters_of("ffrtmp_schedule_attempts_total", "Scheduling rounds, by result.", "result", &results)?,
            attempts_failed: make.counters_of("ffrtmp_attempts_failed_total", "Attempts that failed, by reason; a job may have several.", "reason", &reasons)?,
            placements: make.counter("ffrtmp_placements_total", "Jobs placed on a worker.")?,
            refusals: make.counters_of("ffrtmp_placements_refused_total", "Placements of a policy that did not hold against the truth, by reason.", "reason", &refusals)?,
            faults: make.counters_of("ffrtmp_policy_faults_total", "Failures of the active policy, by stage; the built-in policy decided instead.", "stage", &stages)?,
            fallback_rounds: make.counter("ffrtmp_policy_fallback_rounds_total", "Rounds decided by the built-in policy because the active one failed.")?,
            holds: make.counter("ffrtmp_policy_holds_total", "Times a policy kept a job waiting on purpose.")?,
            candidates: make.gauge("ffrtmp_policy_candidates_max", "Jobs the policy is asked about in one round at most, cut so that it stays below half its time budget; 0 before its first round.")?,
            leases_lost: make.counter("ffrtmp_leases_lost_total", "Attempts given up because their worker was gone.")?,
            quarantines: make.counter("ffrtmp_node_quarantines_total", "Times a worker was quarantined because too much failed there.")?,
            uptime: make.float("ffrtmp_master_uptime_seconds", "Seconds since the master started.")?,
            nodes: make.gauge("ffrtmp_nodes_total", "Workers known.")?,
            nodes_by_status: make.gauges("ffrtmp_nodes_by_status", "Workers by status.", "status", &statuses)?,
            nodes_clock_off: make.gauge("ffrtmp_nodes_clock_off", "Connected workers whose wall clock is more than 5 s from the master's.")?,
            read_only: make.gauge("ffrtmp_store_read_only", "1 while the store cannot be written and submits are refused.")?,
            spool: SpoolMetrics::new(&registry)?,
            webhooks: WebhookMetrics::new(&registry)?,
            registry,
        })
    }

    /// Copies the core's counts, and takes what it gathered for the histograms.
    pub fn update(&self, stats: &mut Stats) {
        for (state, count) in &stats.jobs {
            self.jobs
                .with_label_values(&[state.as_str()])
                .set(*count as i64);
        }
        let count_where = |pick: fn(JobState) -> bool| -> i64 {
            stats
                .jobs
                .iter()
                .filter(|(state, _)| pick(**state))
                .map(|(_, count)| *count as i64)
                .sum()
        };
        self.active.set(count_where(JobState::is_active));
        self.queue_length
            .set(count_where(|state| state == JobState::Pending));
        for (priority, count) in &stats.pending_by_priority {
            self.queue_by_priority
                .with_label_values(&[priority.as_str()])
                .set(*count as i64);
        }
        for (queue, count) in &stats.pending_by_queue {
            self.queue_by_type
                .with_label_values(&[queue.as_str()])
                .set(*count as i64);
        }
        for (status, count) in &stats.nodes {
            self.nodes_by_status
                .with_label_values(&[status.as_str()])
                .set(*count as i64);
        }
        self.candidates.set(stats.candidates_max as i64);
        self.nodes.set(stats.nodes.values().sum::<u64>() as i64);
        self.nodes_clock_off.set(stats.nodes_clock_off as i64);
        self.duration.set(mean(stats.run_seconds.iter()));
        self.wait.set(mean(stats.wait_seconds.iter()));
        stats
            .new_run_seconds
            .drain(..)
            .for_each(|seconds| self.run_seconds.observe(seconds));
        stats
            .new_wait_seconds
            .drain(..)
            .for_each(|seconds| self.start_seconds.observe(seconds));

        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        for ((state, reason), added) in added(&before.finished, &stats.finished) {
            self.jobs_finished
                .with_label_values(&[state.as_str(), reason.map_or("none", |r| r.as_str())])
                .inc_by(added);
        }
        let vectors = |vector: &IntCounterVec, word: &str, added| {
            vector.with_label_values(&[word]).inc_by(added)
        };
        added(&before.rounds, &stats.rounds)
            .for_each(|(key, n)| vectors(&self.attempts, key.as_str(), n));
        added(&before.attempts_failed, &stats.attempts_failed)
            .for_each(|(key, n)| vectors(&self.attempts_failed, key.as_str(), n));
        added(&before.refusals, &stats.refusals)
            .for_each(|(key, n)| vectors(&self.refusals, key.as_str(), n));
        added(&before.faults, &stats.faults)
            .for_each(|(key, n)| vectors(&self.faults, key.as_str(), n));
        self.jobs_submitted
            .inc_by(stats.submitted - before.submitted);
        self.placements.inc_by(stats.placements - before.placements);
        let failed = |stats: &Stats| stats.rounds.get(&RoundResult::Error).copied().unwrap_or(0);
        self.fallback_rounds.inc_by(failed(stats) - failed(&before));
        self.holds.inc_by(stats.holds - before.holds);
        self.leases_lost
            .inc_by(stats.leases_lost - before.leases_lost);
        self.quarantines
            .inc_by(stats.quarantines - before.quarantines);
        before.quarantines = stats.quarantines;
        before.finished.clone_from(&stats.finished);
        before.rounds.clone_from(&stats.rounds);
        before.attempts_failed.clone_from(&stats.attempts_failed);
        before.refusals.clone_from(&stats.refusals);
        before.faults.clone_from(&stats.faults);
        (before.submitted, before.placements) = (stats.submitted, stats.placements);
        (before.holds, before.leases_lost) = (stats.holds, stats.leases_lost);
    }

    /// Exports what another part of the master counts itself.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn add(&self, metrics: Box<dyn Collector>) -> Result<(), prometheus::Error> {
        self.registry.register(metrics)
    }

    /// The core was built anew and counts from zero again.
    pub fn rebuilt(&self) {
        *self.before.lock().unwrap_or_else(PoisonError::into_inner) = Stats::default();
    }

    /// Whether the store can be written.
    pub fn read_only(&self, read_only: bool) {
        self.read_only.set(i64::from(read_only));
    }

    /// The same in numbers for programs; what the core must be asked for is left out.
    pub fn stats(&self) -> rest::Stats {
        let gauge = |vector: &IntGaugeVec, word: &str| vector.with_label_values(&[word]).get();
        let finished = |state: JobState, reason: &str| {
            self.jobs_finished
                .with_label_values(&[state.as_str(), reason])
                .get()
        };
        let mean = |histogram: &Histogram| {
            let count = histogram.get_sample_count();
            (count > 0).then(|| histogram.get_sample_sum() / count as f64)
        };
        rest::Stats {
            jobs: count_each(JobState::ALL, |s| gauge(&self.jobs, s.as_str())),
            waiting_by_queue: count_each(Queue::ALL, |q| gauge(&self.queue_by_type, q.as_str())),
            waiting_by_priority: count_each(Priority::ALL, |p| {
                gauge(&self.queue_by_priority, p.as_str())
            }),
            nodes: count_each(&NodeStatus::ALL, |s| {
                gauge(&self.nodes_by_status, s.as_str())
            }),
            submitted: self.jobs_submitted.get(),
            completed: finished(JobState::Completed, "none"),
            canceled: finished(JobState::Canceled, "none"),
            failed: FailureReason::ALL
                .iter()
                .map(|reason| (*reason, finished(JobState::Failed, reason.as_str())))
                .collect(),
            wait_seconds_mean: mean(&self.start_seconds),
            run_seconds_mean: mean(&self.run_seconds),
            uptime_seconds: self.started.elapsed().as_secs_f64(),
            read_only: self.read_only.get() != 0,
            ..rest::Stats::default()
        }
    }

    /// The exposition.
    ///
    /// # Errors
    /// When a metric cannot be encoded.
    pub fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        self.uptime.set(self.started.elapsed().as_secs_f64());
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

/// A count for each word there is.
fn count_each<K: Ord + Copy>(all: &[K], count: impl Fn(K) -> i64) -> BTreeMap<K, u64> {
    all.iter()
        .map(|key| (*key, count(*key).max(0) as u64))
        .collect()
}

/// The reasons a state can have, `none` where it has none.
fn reasons_of(state: JobState) -> Vec<&'static str> {
    if state == JobState::Failed {
        FailureReason::ALL.iter().map(|r| r.as_str()).collect()
    } else {
        vec!["none"]
    }
}

fn mean<'a>(values: impl ExactSizeIterator<Item = &'a f64>) -> f64 {
    let count = values.len();
    if count == 0 {
        0.0
    } else {
        values.sum::<f64>() / count as f64
    }
}

fn added<'a, K: Ord + Copy>(
    before: &'a BTreeMap<K, u64>,
    now: &'a BTreeMap<K, u64>,
) -> impl Iterator<Item = (K, u64)> {
    now.iter()
        .map(|(key, count)| (*key, count - before.get(key).copied().unwrap_or(0)))
        .filter(|(_, n)| *n > 0)
}

struct Make<'a> {
    registry: &'a Registry,
}

impl Make<'_> {
    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        let gauge = IntGauge::new(name, help)?;
        self.registry.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    }

    fn float(&self, name: &str, help: &str) -> Result<Gauge, prometheus::Error> {
        let gauge = Gauge::new(name, help)?;
        self.registry.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    }

    fn gauges(
        &self,
        name: &str,
        help: &str,
        label: &str,
        values: &[&str],
    ) -> Result<IntGaugeVec, prometheus::Error> {
        let gauges = IntGaugeVec::new(Opts::new(name, help), &[label])?;
        values
            .iter()
            .for_each(|value| gauges.with_label_values(&[value]).set(0));
        self.registry.register(Box::new(gauges.clone()))?;
        Ok(gauges)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        let counter = IntCounter::new(name, help)?;
        self.registry.register(Box::new(counter.clone()))?;
        Ok(counter)
    }

    fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, prometheus::Error> {
        let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
        self.registry.register(Box::new(counters.clone()))?;
        Ok(counters)
    }

    fn counters_of(
        &self,
        name: &str,
        help: &str,
        label: &str,
        values: &[&str],
    ) -> Result<IntCounterVec, prometheus::Error> {
        let counters = self.counters(name, help, &[label])?;
        for value in values {
            counters.with_label_values(&[value]);
        }
        Ok(counters)
    }

    fn histogram(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
    ) -> Result<Histogram, prometheus::Error> {
        let histogram =
            Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?;
        self.registry.register(Box::new(histogram.clone()))?;
        Ok(histogram)
    }
}

//! Jobs and attempts: how many stand where, what waits and why, how long things took, and what became of them.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use ffrtmp_api::{
    job::{FailureReason, JobState, Priority, Queue},
    metrics::Exposition,
    rest::{self, WaitReason},
};
use prometheus::{
    CounterVec, Gauge, GaugeVec, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Result,
};

use super::totals::{Total, Totals};
use crate::core::{
    kind::{EncoderWord, ScenarioWord},
    stats::{AttemptEnd, Fresh, RetryCause, Stats},
};

/// Buckets for how long a job ran, seconds: a tiny clip to a feature film.
const RUN_SECONDS: [f64; 14] = [
    0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0, 600.0, 1800.0, 3600.0, 10_800.0, 43_200.0,
];
/// Buckets for submit to start, seconds: an idle farm starts in milliseconds, a full one in hours. 30 s is the objective of
/// ffmpeg-rtmp, by which queues are judged there.
const START_SECONDS: [f64; 16] = [
    0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 300.0, 1800.0, 7200.0,
    43_200.0,
];

/// See the module's head.
#[derive(Debug)]
pub(super) struct JobMetrics {
    jobs: IntGaugeVec,
    active: IntGauge,
    queue_length: IntGauge,
    by_priority: IntGaugeVec,
    by_type: IntGaugeVec,
    waiting: IntGaugeVec,
    oldest: GaugeVec,
    duration: Gauge,
    wait: Gauge,
    start_seconds: HistogramVec,
    run_seconds: HistogramVec,
    submitted: Total,
    finished: IntCounterVec,
    finished_by_encoder: IntCounterVec,
    finished_by_scenario: IntCounterVec,
    attempts: IntCounterVec,
    attempt_seconds: CounterVec,
    attempts_failed: Totals<FailureReason>,
    retries: IntCounterVec,
    /// Scenarios that have series.
    scenarios: Mutex<BTreeSet<ScenarioWord>>,
}

/// The states in which jobs end.
fn ends() -> impl Iterator<Item = JobState> {
    JobState::ALL.iter().copied().filter(|s| s.is_terminal())
}

/// The reasons a state can have, `none` where it has none.
fn reasons_of(state: JobState) -> Vec<&'static str> {
    if state == JobState::Failed {
        FailureReason::ALL.iter().map(|r| r.as_str()).collect()
    } else {
        vec!["none"]
    }
}

impl JobMetrics {
    pub(super) fn new(make: &Exposition) -> Result<JobMetrics> {
        let states: Vec<&str> = JobState::ALL.iter().map(|s| s.as_str()).collect();
        let priorities: Vec<&str> = Priority::ALL.iter().map(|s| s.as_str()).collect();
        let queues: Vec<&str> = Queue::ALL.iter().map(|s| s.as_str()).collect();
        let waits: Vec<&str> = WaitReason::ALL.iter().map(|s| s.as_str()).collect();
        let reasons: Vec<&str> = FailureReason::ALL.iter().map(|s| s.as_str()).collect();
        let retries: Vec<&str> = RetryCause::all().map(RetryCause::as_str).collect();
        let attempt_ends: Vec<&str> = AttemptEnd::ALL.iter().map(|s| s.as_str()).collect();
        let job_ends: Vec<&str> = ends().map(JobState::as_str).collect();
        let attempts_failed = make.counters(
            "ffrtmp_attempts_failed_total",
            "Attempts that failed, by reason; a job may have several. One that was lost with its worker is a platform_error.",
            &[("reason", &reasons)],
        )?;
        // Not every reason goes with every state, so these are filled in by hand.
        let finished = make.counters(
            "ffrtmp_jobs_finished_total",
            "Jobs that ended, by state, by queue (`type`) and, for failed ones, by reason.",
            &[("state", &[]), ("reason", &[]), ("type", &[])],
        )?;
        for state in ends() {
            for reason in reasons_of(state) {
                for queue in &queues {
                    finished.with_label_values(&[state.as_str(), reason, queue]);
                }
            }
        }
        let metrics = JobMetrics {
            jobs: make.gauges(
                "ffrtmp_jobs_total",
                "Jobs the store holds now, by state. A gauge, whatever its name says: it is the name dashboards know.",
                &[("state", &states)],
            )?,
            active: make.gauge(
                "ffrtmp_active_jobs",
                "Jobs that hold capacity on a worker: assigned, running, paused or publishing.",
            )?,
            queue_length: make.gauge("ffrtmp_queue_length", "Pending jobs, held ones included.")?,
            by_priority: make.gauges(
                "ffrtmp_queue_by_priority",
                "Pending jobs by priority.",
                &[("priority", &priorities)],
            )?,
            by_type: make.gauges(
                "ffrtmp_queue_by_type",
                "Pending jobs by queue.",
                &[("type", &queues)],
            )?,
            waiting: make.gauges(
                "ffrtmp_queue_waiting",
                "Pending jobs by why they wait, in the words of `ffrtmp jobs explain`; counted once a second, by class of job.",
                &[("reason", &waits)],
            )?,
            oldest: make.floats(
                "ffrtmp_queue_oldest_seconds",
                "How long the job has waited that waits longest, by queue; 0 while none does. Jobs held on purpose do not count.",
                &[("type", &queues)],
            )?,
            duration: make.float(
                "ffrtmp_job_duration_seconds",
                "Mean run time of the last 100 jobs that ended.",
            )?,
            wait: make.float(
                "ffrtmp_job_wait_time_seconds",
                "Mean time from submit to start of the last 100 jobs that started.",
            )?,
            start_seconds: make.histograms(
                "ffrtmp_job_start_seconds",
                "Time from submit to the first start of ffmpeg, by queue: what users wait for.",
                &[("type", &queues)],
                &START_SECONDS,
            )?,
            run_seconds: make.histograms(
                "ffrtmp_job_run_seconds",
                "Run time of the last attempt of jobs that ended, by queue.",
                &[("type", &queues)],
                &RUN_SECONDS,
            )?,
            submitted: Total::new(make.counter(
                "ffrtmp_jobs_submitted_total",
                "Jobs accepted.",
            )?),
            finished,
            finished_by_encoder: make.counters(
                "ffrtmp_jobs_finished_by_encoder_total",
                "Jobs that ended, by state and by what makes their output.",
                &[("encoder", EncoderWord::all()), ("state", &job_ends)],
            )?,
            finished_by_scenario: make.counters(
                "ffrtmp_jobs_finished_by_scenario_total",
                "Jobs that ended, by state and scenario: `HEIGHT[RATE]-CODEC` where these are usual ones (1080p60-h265, 4K-av1), `other` for \
                 every other name, `none` without one. A known name is there once a job of it was submitted.",
                &[("scenario", &[]), ("state", &[])],
            )?,
            attempts: make.counters(
                "ffrtmp_attempts_ended_total",
                "Attempts that ended, by what became of them. One that was given up and came back in time counts twice.",
                &[("end", &attempt_ends)],
            )?,
            attempt_seconds: make.sums(
                "ffrtmp_attempt_seconds_total",
                "Seconds from ffmpeg's start to the end of attempts, by what became of them: all but `completed` was work for nothing.",
                &[("end", &attempt_ends)],
            )?,
            attempts_failed: Totals::new(attempts_failed, FailureReason::as_str),
            retries: make.counters(
                "ffrtmp_job_retries_total",
                "Jobs put back into the queue to run once more, by why: the failure's reason, a worker that was lost or handed the job \
                 back, or a user who asked.",
                &[("reason", &retries)],
            )?,
            scenarios: Mutex::default(),
        };
        for word in ScenarioWord::ALWAYS {
            metrics.met(word);
        }
        Ok(metrics)
    }

    /// A job of that scenario came: its series begin at zero.
    fn met(&self, scenario: ScenarioWord) {
        let mut met = self
            .scenarios
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if met.insert(scenario) {
            for state in ends() {
                self.finished_by_scenario
                    .with_label_values(&[scenario.as_str(), state.as_str()]);
            }
        }
    }

    pub(super) fn update(&self, stats: &Stats) {
        for (state, count) in &stats.jobs {
            self.jobs
                .with_label_values(&[state.as_str()])
                .set(*count as i64);
        }
        let count_where = |pick: fn(JobState) -> bool| -> i64 {
            let picked = stats.jobs.iter().filter(|(state, _)| pick(**state));
            picked.map(|(_, count)| *count as i64).sum()
        };
        self.active.set(count_where(JobState::is_active));
        self.queue_length
            .set(count_where(|state| state == JobState::Pending));
        for (priority, count) in &stats.pending_by_priority {
            self.by_priority
                .with_label_values(&[priority.as_str()])
                .set(*count as i64);
        }
        for (queue, count) in &stats.pending_by_queue {
            self.by_type
                .with_label_values(&[queue.as_str()])
                .set(*count as i64);
        }
        self.duration.set(mean(stats.run_seconds.iter()));
        self.wait.set(mean(stats.wait_seconds.iter()));
        self.submitted.is(stats.submitted);
        self.attempts_failed.are(&stats.attempts_failed);
    }

    /// What the core counted at its last look.
    pub(super) fn looked(&self, stats: &Stats) {
        for reason in WaitReason::ALL {
            let count = stats.waiting.get(reason).copied().unwrap_or(0);
            self.waiting
                .with_label_values(&[reason.as_str()])
                .set(count as i64);
        }
        for queue in Queue::ALL {
            let oldest_ms = stats.oldest_ms.get(queue).copied().unwrap_or(0);
            self.oldest
                .with_label_values(&[queue.as_str()])
                .set(oldest_ms as f64 / 1e3);
        }
    }

    /// What happened, each once.
    pub(super) fn take(&self, fresh: Fresh) {
        fresh.scenarios.into_iter().for_each(|s| self.met(s));
        for end in fresh.jobs {
            let state = end.state.as_str();
            let reason = end.reason.map_or("none", FailureReason::as_str);
            self.finished
                .with_label_values(&[state, reason, end.queue.as_str()])
                .inc();
            self.finished_by_encoder
                .with_label_values(&[end.kind.encoder.as_str(), state])
                .inc();
            // One that was there when the master began.
            self.met(end.kind.scenario);
            self.finished_by_scenario
                .with_label_values(&[end.kind.scenario.as_str(), state])
                .inc();
        }
        for (queue, seconds) in fresh.run_seconds {
            self.run_seconds
                .with_label_values(&[queue.as_str()])
                .observe(seconds);
        }
        for (queue, seconds) in fresh.wait_seconds {
            self.start_seconds
                .with_label_values(&[queue.as_str()])
                .observe(seconds);
        }
        for (end, seconds) in fresh.attempts {
            self.attempts.with_label_values(&[end.as_str()]).inc();
            self.attempt_seconds
                .with_label_values(&[end.as_str()])
                .inc_by(seconds);
        }
        for cause in fresh.retries {
            self.retries.with_label_values(&[cause.as_str()]).inc();
        }
    }

    pub(super) fn rebuilt(&self) {
        self.submitted.begins_anew();
        self.attempts_failed.begin_anew();
    }

    /// The same in numbers for programs.
    pub(super) fn fill(&self, stats: &mut rest::Stats) {
        let now = |gauges: &IntGaugeVec, word: &str| {
            u64::try_from(gauges.with_label_values(&[word]).get()).unwrap_or(0)
        };
        let finished = |state: JobState, reason: &str| -> u64 {
            let of = |queue: &Queue| {
                self.finished
                    .with_label_values(&[state.as_str(), reason, queue.as_str()])
                    .get()
            };
            Queue::ALL.iter().map(of).sum()
        };
        let mean = |histograms: &HistogramVec| {
            let each = Queue::ALL
                .iter()
                .map(|queue| histograms.with_label_values(&[queue.as_str()]));
            let (count, sum) = each.fold((0, 0.0), |(count, sum), one| {
                (count + one.get_sample_count(), sum + one.get_sample_sum())
            });
            (count > 0).then(|| sum / count as f64)
        };
        stats.jobs = JobState::ALL
            .iter()
            .map(|s| (*s, now(&self.jobs, s.as_str())))
            .collect();
        stats.waiting_by_queue = Queue::ALL
            .iter()
            .map(|q| (*q, now(&self.by_type, q.as_str())))
            .collect();
        stats.waiting_by_priority = Priority::ALL
            .iter()
            .map(|p| (*p, now(&self.by_priority, p.as_str())))
            .collect();
        stats.submitted = self.submitted.get();
        stats.completed = finished(JobState::Completed, "none");
        stats.canceled = finished(JobState::Canceled, "none");
        stats.failed = FailureReason::ALL
            .iter()
            .map(|reason| (*reason, finished(JobState::Failed, reason.as_str())))
            .collect();
        stats.wait_seconds_mean = mean(&self.start_seconds);
        stats.run_seconds_mean = mean(&self.run_seconds);
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

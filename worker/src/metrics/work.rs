//! Attempts, and what they encode.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use ffrtmp_api::{
    ids::Attempt,
    job::FailureReason,
    metrics::Exposition,
    protocol::{MediaResult, Outcome, Progress},
};
use prometheus::{Counter, Gauge, IntCounter, IntCounterVec, IntGauge, Result};

use super::Ending;

/// See the module's head.
pub(super) struct WorkMetrics {
    slots: IntGauge,
    active: IntGauge,
    finished: IntCounterVec,
    failed: IntCounterVec,
    leases_lost: IntCounter,
    jobs_completed: IntCounter,
    jobs_failed: IntCounter,
    jobs_canceled: IntCounter,
    input_bytes: IntCounter,
    output_bytes: IntCounter,
    frames: IntCounter,
    media_seconds: Counter,
    fps: Gauge,
    speed: Gauge,
    /// The last report of each encode that goes on.
    reports: Mutex<BTreeMap<Attempt, Progress>>,
}

impl WorkMetrics {
    pub(super) fn new(make: &Exposition) -> Result<WorkMetrics> {
        let endings = Ending::ALL.map(Ending::as_str);
        let reasons: Vec<&str> = FailureReason::ALL.iter().map(|r| r.as_str()).collect();
        Ok(WorkMetrics {
            slots: make.gauge("ffrtmp_worker_slots", "Most attempts at once.")?,
            active: make.gauge("ffrtmp_worker_active_jobs", "Attempts that hold a slot.")?,
            finished: make.counters(
                "ffrtmp_worker_attempts_finished_total",
                "Attempts that ended here, by how.",
                &[("outcome", &endings)],
            )?,
            failed: make.counters(
                "ffrtmp_worker_attempts_failed_total",
                "Attempts that failed here, by reason.",
                &[("reason", &reasons)],
            )?,
            leases_lost: make.counter(
                "ffrtmp_worker_leases_lost_total",
                "Attempts that the master took away: it heard nothing of this worker for too long, or gave them to another.",
            )?,
            jobs_completed: make.counter(
                "ffrtmp_worker_jobs_completed_total",
                "Attempts that completed or published; the outcomes of that name together.",
            )?,
            jobs_failed: make.counter(
                "ffrtmp_worker_jobs_failed_total",
                "Attempts that failed, at encoding or at publishing.",
            )?,
            jobs_canceled: make.counter(
                "ffrtmp_worker_jobs_canceled_total",
                "Attempts that a user canceled.",
            )?,
            input_bytes: make.counter(
                "ffrtmp_job_input_bytes_total",
                "Bytes of the inputs of encodes that ended well; what is read from an address, or made, counts as 0.",
            )?,
            output_bytes: make.counter(
                "ffrtmp_job_output_bytes_total",
                "Bytes of the outputs of encodes that ended well.",
            )?,
            frames: make.counter(
                "ffrtmp_worker_encoded_frames_total",
                "Frames that ffmpeg encoded, in every pass and of every attempt, however it ended.",
            )?,
            media_seconds: make.sum(
                "ffrtmp_worker_encoded_media_seconds_total",
                "Seconds of media that ffmpeg encoded, in every pass and of every attempt.",
            )?,
            fps: make.float(
                "ffrtmp_worker_encode_fps",
                "Frames a second of all its encodes together, now.",
            )?,
            speed: make.float(
                "ffrtmp_worker_encode_speed",
                "Seconds of media a second of all its encodes together, now: 2 is twice real time, or two streams in real time.",
            )?,
            reports: Mutex::default(),
        })
    }

    pub(super) fn slots(&self, slots: u32) {
        self.slots.set(slots.into());
    }

    pub(super) fn active(&self, active: usize) {
        self.active.set(i64::try_from(active).unwrap_or(i64::MAX));
    }

    pub(super) fn finished(&self, outcome: &Outcome) {
        let ending = Ending::of(outcome);
        self.finished.with_label_values(&[ending.as_str()]).inc();
        match outcome {
            Outcome::Completed { .. } | Outcome::Published => self.jobs_completed.inc(),
            Outcome::Failed { reason, .. } | Outcome::PublishFailed { reason, .. } => {
                self.jobs_failed.inc();
                self.failed.with_label_values(&[reason.as_str()]).inc();
            }
            Outcome::Canceled => self.jobs_canceled.inc(),
            Outcome::HandedBack => {}
        }
    }

    pub(super) fn revoked(&self) {
        let revoked = Ending::Revoked.as_str();
        self.finished.with_label_values(&[revoked]).inc();
    }

    pub(super) fn lease_lost(&self) {
        self.leases_lost.inc();
    }

    pub(super) fn encoded(&self, result: &MediaResult) {
        self.input_bytes.inc_by(result.input_bytes);
        self.output_bytes.inc_by(result.bytes);
    }

    /// Counts what was added since the encode's last report. The next pass begins at zero again.
    pub(super) fn progress(&self, report: &Progress) {
        let mut reports = self.lock();
        let (frames, media_seconds) = reports
            .get(&report.attempt)
            .filter(|last| last.frames <= report.frames)
            .map_or((0, 0.0), |last| (last.frames, last.media_seconds));
        self.frames.inc_by(report.frames - frames);
        self.media_seconds
            .inc_by((report.media_seconds - media_seconds).max(0.0));
        reports.insert(report.attempt, report.clone());
    }

    pub(super) fn over(&self, attempt: Attempt) {
        self.lock().remove(&attempt);
    }

    /// Sums over what is encoded now.
    pub(super) fn sum_up(&self) {
        let reports = self.lock();
        // Nothing added up is -0.
        let sum = |of: fn(&Progress) -> f32| {
            reports.values().map(|p| f64::from(of(p))).sum::<f64>() + 0.0
        };
        self.fps.set(sum(|p| p.fps));
        self.speed.set(sum(|p| p.speed));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Attempt, Progress>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use ffrtmp_api::ids::{AttemptNo, JobSeq};

    use super::*;

    #[test]
    fn frames_add_up_over_passes_and_attempts_and_what_is_over_has_no_pace() {
        let metrics = WorkMetrics::new(&Exposition::default()).unwrap();
        let report = |job: u64, frames: u64, media_seconds: f64| Progress {
            attempt: Attempt {
                job: JobSeq(job),
                no: AttemptNo(1),
            },
            percent: None,
            frames,
            fps: 50.0,
            speed: 2.0,
            media_seconds,
            bytes: 0,
            restarts: 0,
        };
        for (job, frames, seconds) in [
            (1, 10, 0.4),
            (1, 100, 4.0),
            (2, 25, 1.0),
            (1, 100, 4.0),
            // The second pass.
            (1, 5, 0.2),
            (1, 100, 4.0),
        ] {
            metrics.progress(&report(job, frames, seconds));
        }
        metrics.sum_up();
        assert_eq!(metrics.frames.get(), 100 + 25 + 100);
        assert!((metrics.media_seconds.get() - 9.0).abs() < 1e-9);
        assert_eq!((metrics.fps.get(), metrics.speed.get()), (100.0, 4.0));
        metrics.over(report(1, 0, 0.0).attempt);
        metrics.over(report(2, 0, 0.0).attempt);
        metrics.sum_up();
        assert_eq!((metrics.fps.get(), metrics.speed.get()), (0.0, 0.0));
    }
}

//! Attempts, and what they encode.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
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
    stalled: Gauge,
    /// What goes on.
    going: Mutex<BTreeMap<Attempt, Going>>,
}

/// An attempt that holds a slot.
struct Going {
    /// The last report.
    last: Option<Progress>,
    /// When it began, or moved, or went on after a pause, whichever was last; none while it is paused.
    moved: Option<Instant>,
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
            stalled: make.float(
                "ffrtmp_worker_stalled_seconds",
                "How long that attempt has encoded nothing which has stood still longest, of those that nobody paused; 0 without any.",
            )?,
            going: Mutex::default(),
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

    /// An attempt has its slot, or goes on after a pause.
    pub(super) fn goes_on(&self, attempt: Attempt, now: Instant) {
        self.moved(attempt, Some(now));
    }

    /// An attempt stands still because somebody wants it so.
    pub(super) fn paused(&self, attempt: Attempt) {
        self.moved(attempt, None);
    }

    fn moved(&self, attempt: Attempt, moved: Option<Instant>) {
        let mut going = self.lock();
        let last = going.remove(&attempt).and_then(|going| going.last);
        going.insert(attempt, Going { last, moved });
    }

    /// Counts what was added since the encode's last report. The next pass begins at zero again.
    pub(super) fn progress(&self, report: &Progress, now: Instant) {
        let mut going = self.lock();
        let before = going.remove(&report.attempt);
        let (frames, media_seconds) = before
            .as_ref()
            .and_then(|before| before.last.as_ref())
            .filter(|last| last.frames <= report.frames)
            .map_or((0, 0.0), |last| (last.frames, last.media_seconds));
        self.frames.inc_by(report.frames - frames);
        self.media_seconds
            .inc_by((report.media_seconds - media_seconds).max(0.0));
        let moves = report.frames > frames || report.media_seconds > media_seconds;
        let moved = match before {
            Some(before) if !moves => before.moved,
            _ => Some(now),
        };
        let last = Some(report.clone());
        going.insert(report.attempt, Going { last, moved });
    }

    pub(super) fn over(&self, attempt: Attempt) {
        self.lock().remove(&attempt);
    }

    /// Sums over what is encoded now.
    pub(super) fn sum_up(&self, now: Instant) {
        let going = self.lock();
        let reports = || going.values().filter_map(|going| going.last.as_ref());
        let still = going.values().filter_map(|going| going.moved);
        let still = still.map(|moved| now.duration_since(moved)).max();
        self.stalled
            .set(still.unwrap_or(Duration::ZERO).as_secs_f64());
        // Nothing added up is -0.
        let sum = |of: fn(&Progress) -> f32| reports().map(|p| f64::from(of(p))).sum::<f64>() + 0.0;
        self.fps.set(sum(|p| p.fps));
        self.speed.set(sum(|p| p.speed));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Attempt, Going>> {
        self.going.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use ffrtmp_api::ids::{AttemptNo, JobSeq};

    use super::*;

    fn report(job: u64, frames: u64, media_seconds: f64) -> Progress {
        Progress {
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
        }
    }

    #[test]
    fn frames_add_up_over_passes_and_attempts_and_what_is_over_has_no_pace() {
        let metrics = WorkMetrics::new(&Exposition::default()).unwrap();
        let start = Instant::now();
        for (job, frames, seconds) in [
            (1, 10, 0.4),
            (1, 100, 4.0),
            (2, 25, 1.0),
            (1, 100, 4.0),
            // The second pass.
            (1, 5, 0.2),
            (1, 100, 4.0),
        ] {
            metrics.progress(&report(job, frames, seconds), start);
        }
        metrics.sum_up(start);
        assert_eq!(metrics.frames.get(), 100 + 25 + 100);
        assert!((metrics.media_seconds.get() - 9.0).abs() < 1e-9);
        assert_eq!((metrics.fps.get(), metrics.speed.get()), (100.0, 4.0));
        metrics.over(report(1, 0, 0.0).attempt);
        metrics.over(report(2, 0, 0.0).attempt);
        metrics.sum_up(start);
        assert_eq!((metrics.fps.get(), metrics.speed.get()), (0.0, 0.0));
        assert!(metrics.fps.get().is_sign_positive());
    }

    #[test]
    fn what_stands_still_is_told_unless_somebody_wants_it_so() {
        let metrics = WorkMetrics::new(&Exposition::default()).unwrap();
        let start = Instant::now();
        let stalled = |after: u64| {
            metrics.sum_up(start + Duration::from_secs(after));
            metrics.stalled.get()
        };
        let at = |after: u64| start + Duration::from_secs(after);
        assert_eq!(stalled(9), 0.0);
        let (slow, fast) = (report(1, 0, 0.0), report(2, 10, 0.4));
        metrics.goes_on(slow.attempt, start);
        metrics.goes_on(fast.attempt, start);
        metrics.progress(&slow, at(5));
        metrics.progress(&fast, at(6));
        assert_eq!(stalled(10), 10.0, "a report without a frame is none");
        metrics.progress(&report(1, 1, 0.04), at(20));
        assert_eq!(stalled(20), 14.0, "the other one");
        metrics.paused(fast.attempt);
        assert_eq!(stalled(50), 30.0);
        metrics.goes_on(fast.attempt, at(60));
        metrics.over(slow.attempt);
        assert_eq!(stalled(65), 5.0);
    }
}

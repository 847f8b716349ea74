//! What is known of running attempts that is not worth keeping: progress and log lines. In memory only; workers say it
//! again. Never decides anything.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use ffrtmp_api::{
    ids::{Attempt, AttemptNo, JobSeq},
    limits::LOG_BYTES_MAX,
    protocol::Progress,
    rest::JobProgress,
};

/// Log text kept while an attempt runs, in bytes. The stored log of an ended one has [`LOG_BYTES_MAX`].
const LIVE_LOG_BYTES_MAX: usize = LOG_BYTES_MAX / 4;

/// How far back the pace of an attempt is looked at.
const PACE: Duration = Duration::from_secs(20);
/// Longest time between two reports of an encode that goes on; they come about every second.
const SILENCE: Duration = Duration::from_secs(3);

/// Live progress and logs of running attempts.
#[derive(Debug, Default)]
pub struct Live {
    attempts: Mutex<HashMap<JobSeq, LiveAttempt>>,
}

#[derive(Debug)]
struct LiveAttempt {
    no: AttemptNo,
    progress: Option<(Progress, Instant)>,
    /// What share was done, and when, in the last [`PACE`]: a job of several runs goes through some of them faster than through others.
    pace: VecDeque<(f32, Instant)>,
    log: VecDeque<String>,
    log_bytes: usize,
    /// Bytes of the log that came before what is kept.
    log_before: u64,
}

impl Live {
    /// An attempt is on a worker: from now on its worker may speak of it.
    pub fn open(&self, attempt: Attempt) {
        let mut attempts = self.lock();
        let live = attempts
            .entry(attempt.job)
            .or_insert_with(|| LiveAttempt::new(attempt.no));
        if live.no != attempt.no {
            *live = LiveAttempt::new(attempt.no);
        }
    }

    /// A worker reports progress.
    pub fn progress(&self, mut report: Progress) {
        // An infinite number cannot be written as JSON, and would spoil every answer it is part of.
        let sane = |value: f32| {
            if value.is_finite() {
                value.max(0.0)
            } else {
                0.0
            }
        };
        report.percent = report.percent.map(|percent| sane(percent).min(100.0));
        (report.fps, report.speed) = (sane(report.fps), sane(report.speed));
        if !report.media_seconds.is_finite() {
            report.media_seconds = 0.0;
        }
        self.with(report.attempt, |live| {
            let now = Instant::now();
            live.keep_pace(report.percent, now);
            live.progress = Some((report, now));
        });
    }

    /// A worker sends log text.
    pub fn log(&self, attempt: Attempt, text: String, bytes_dropped: u64) {
        self.with(attempt, |live| {
            if bytes_dropped > 0 {
                live.push(format!("[{bytes_dropped} bytes of log left out]\n"));
            }
            live.push(text);
        });
    }

    /// A job ended or goes back to the queue: what it said live is over.
    pub fn forget(&self, job: JobSeq) {
        self.lock().remove(&job);
    }

    /// Nothing is running as far as this master knows.
    pub fn forget_all(&self) {
        self.lock().clear();
    }

    /// How far a job's attempt is.
    pub fn progress_of(&self, job: JobSeq, attempt: AttemptNo) -> Option<JobProgress> {
        let attempts = self.lock();
        let live = attempts.get(&job).filter(|live| live.no == attempt)?;
        let (report, at) = live.progress.as_ref()?;
        // Who has said nothing for longer is paused, or stuck: then no time goes by that would bring the end nearer.
        let age_seconds = at.elapsed().min(SILENCE).as_secs_f64();
        let eta_seconds = live.to_go().map(|left| (left - age_seconds).max(0.0));
        Some(JobProgress {
            percent: report.percent,
            frames: report.frames,
            fps: report.fps,
            speed: report.speed,
            media_seconds: report.media_seconds,
            bytes: report.bytes,
            eta_seconds,
            restarts: report.restarts,
        })
    }

    /// The log of a job's attempt so far: what is kept of it, and how many bytes came before that.
    pub fn log_of(&self, job: JobSeq, attempt: AttemptNo) -> Option<(u64, String)> {
        let attempts = self.lock();
        let live = attempts.get(&job).filter(|live| live.no == attempt)?;
        let text = live.log.iter().map(String::as_str).collect();
        Some((live.log_before, text))
    }

    /// Only what was opened is kept: a worker that speaks of an attempt that is over, or never was, fills no memory.
    fn with(&self, attempt: Attempt, change: impl FnOnce(&mut LiveAttempt)) {
        if let Some(live) = self
            .lock()
            .get_mut(&attempt.job)
            .filter(|live| live.no == attempt.no)
        {
            change(live);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobSeq, LiveAttempt>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LiveAttempt {
    /// Notes how much is done.
    fn keep_pace(&mut self, percent: Option<f32>, now: Instant) {
        let since = |then: &Instant| now.saturating_duration_since(*then);
        // After a pause, or a step back, the pace is learnt anew.
        if let Some((before, at)) = self.pace.back()
            && (since(at) > SILENCE || percent.is_none_or(|percent| percent < *before))
        {
            self.pace.clear();
        }
        while self.pace.front().is_some_and(|(_, at)| since(at) > PACE) {
            self.pace.pop_front();
        }
        self.pace.extend(percent.map(|percent| (percent, now)));
    }

    /// How many seconds there were to go when it last said something, at the pace it had until then.
    fn to_go(&self) -> Option<f64> {
        let ((from, begun), (percent, at)) = (self.pace.front()?, self.pace.back()?);
        let gained = f64::from(percent - from);
        let took = at.saturating_duration_since(*begun).as_secs_f64();
        (gained > 0.0 && took > 0.0).then(|| (100.0 - f64::from(*percent)) * took / gained)
    }

    fn new(no: AttemptNo) -> Self {
        LiveAttempt {
            no,
            progress: None,
            pace: VecDeque::new(),
            log: VecDeque::new(),
            log_bytes: 0,
            log_before: 0,
        }
    }

    fn push(&mut self, text: String) {
        if text.is_empty() {
            return;
        }
        self.log_bytes += text.len();
        self.log.push_back(text);
        while self.log_bytes > LIVE_LOG_BYTES_MAX
            && let Some(oldest) = self.log.pop_front()
        {
            self.log_bytes -= oldest.len();
            self.log_before += oldest.len() as u64;
        }
    }
}

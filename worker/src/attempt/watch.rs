//! Watches a running ffmpeg to its end: reads what it says, notices when it hangs or takes too long, and stops it when
//! told to.
//!
//! Its invariant: when it returns, the process is reaped and its whole group is dead.

use std::{
    io,
    time::{Duration, Instant},
};

use ffrtmp_api::{ids::Attempt, job::FailureReason, protocol::Progress};
use rustix::process::Signal;
use tokio::{io::AsyncReadExt, net::unix::pipe, sync::watch};

use super::control::{Control, Observer, Stop};
use crate::ffmpeg::{
    capture::reader,
    diagnosis::Failure,
    hidden::Hidden,
    log::Log,
    process::{Exit, Process},
    progress::{Pace, Parser, Report},
};

/// How often hangs and deadlines are looked at.
const TICK: Duration = Duration::from_millis(250);
/// The most one tick adds to the stall clock. If the worker itself stood still (a stopped process, a frozen machine),
/// ffmpeg's reports wait unread in the pipe, and the time away is not ffmpeg's silence.
const TICK_COUNTED_MAX: Duration = Duration::from_secs(1);
/// How long what a dead process left in its pipes may take to read. A stranger that inherited one could hold it open.
const LEFTOVERS: Duration = Duration::from_secs(1);
/// From here on ffmpeg may be moving the index to the front (`+faststart`), which rewrites the file without a frame.
const NEARLY_DONE_PERCENT: f32 = 99.0;

/// What a run may take, and what it is measured against.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    /// Longest silence.
    pub(crate) stall: Duration,
    /// Longest time for all runs of the attempt together, pauses not counted.
    pub(crate) timeout: Option<Duration>,
    /// What earlier runs took of it.
    pub(crate) ran: Duration,
    /// From SIGTERM to SIGKILL.
    pub(crate) kill_grace: Duration,
    /// Seconds of media to encode, where known.
    pub(crate) expected_seconds: Option<f64>,
    /// The part of the whole job that this run is: from which share to which, 0 to 1.
    pub(crate) share: (f64, f64),
    /// What earlier runs of a live source gave; nothing for a first run, and for every other kind.
    pub(crate) before: Before,
    /// Whether an order to finish ends this run: it is one of a live source.
    pub(crate) finishes: bool,
    /// Whether bytes that move are progress too: a run that looks for something in a file has no frames to show.
    pub(crate) bytes_count: bool,
    /// What must not be read in the log.
    pub(crate) hidden: Hidden,
}

impl Bounds {
    /// Percent of the whole job, when `percent` of this run are done.
    fn of_all(&self, percent: f32) -> f32 {
        let (from, to) = self.share;
        (from * 100.0) as f32 + percent * (to - from) as f32
    }
}

/// What the runs before this one gave, of a source that comes and goes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Before {
    /// Frames.
    pub(crate) frames: u64,
    /// Seconds of media.
    pub(crate) media_seconds: f64,
    /// Bytes.
    pub(crate) bytes: u64,
    /// How often the source was taken up again.
    pub(crate) restarts: u32,
}

/// How a run ended.
pub(crate) struct Watched {
    /// What the operating system says.
    pub(crate) exit: Exit,
    /// What ffmpeg said.
    pub(crate) log: Log,
    /// Its last report.
    pub(crate) last: Report,
    /// Why it was ended, if it did not end by itself.
    pub(crate) ended_by: Option<EndedBy>,
    /// For how long it stood still because it was told to.
    pub(crate) stood: Duration,
}

/// Why a run was ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EndedBy {
    /// It was told to stop.
    Stop(Stop),
    /// It hung.
    Hung(Failure),
    /// It took too long.
    Failure(Failure),
    /// It was told to finish with what there is.
    Finish,
}

/// Watches `process` until it has ended.
pub(crate) async fn watch(
    mut process: Process,
    attempt: Attempt,
    bounds: Bounds,
    control: &mut watch::Receiver<Control>,
    observer: &dyn Observer,
) -> io::Result<Watched> {
    let mut stdout = process
        .stdout
        .take()
        .map(|pipe| reader(pipe.into()))
        .transpose()?;
    let mut stderr = process
        .stderr
        .take()
        .map(|pipe| reader(pipe.into()))
        .transpose()?;
    let mut run = Run::new(attempt, bounds, &process, observer);
    let mut said = vec![0; 16 * 1024];
    let mut reported = vec![0; 4 * 1024];
    {
        let exited = process.exited();
        tokio::pin!(exited);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut table_lives = true;
        run.obey(*control.borrow_and_update());
        loop {
            tokio::select! {
                end = &mut exited => break end?,
                n = read(&mut stdout, &mut reported) => run.report(&reported[..n]),
                n = read(&mut stderr, &mut said) => run.say(&said[..n]),
                changed = control.changed(), if table_lives => match changed {
                    Ok(()) => run.obey(*control.borrow_and_update()),
                    Err(_) => {
                        table_lives = false;
                        run.obey(Control { stop: Some(Stop::Revoke), ..Control::default() });
                    }
                },
                _ = tick.tick() => run.tick(),
            }
        }
    }
    // Children it forked must die before their ends of the pipes are waited for.
    process.signal_group(Signal::KILL);
    let leftovers = async {
        while stdout.is_some() || stderr.is_some() {
            tokio::select! {
                n = read(&mut stdout, &mut reported) => run.report(&reported[..n]),
                n = read(&mut stderr, &mut said) => run.say(&said[..n]),
            }
        }
    };
    let _ = tokio::time::timeout(LEFTOVERS, leftovers).await;
    run.stand();
    let (mut log, last, ended_by, stood) = (run.log, run.last, run.ended_by, run.stood);
    let rest = log.finish();
    if !rest.is_empty() {
        observer.log(&rest);
    }
    Ok(Watched {
        exit: process.reap()?,
        log,
        last,
        ended_by,
        stood,
    })
}

/// Reads from a pipe that may have ended; an ended one never resolves.
async fn read(pipe: &mut Option<pipe::Receiver>, buffer: &mut [u8]) -> usize {
    let Some(open) = pipe else {
        return std::future::pending().await;
    };
    match open.read(buffer).await {
        Ok(n) if n > 0 => n,
        _ => {
            *pipe = None;
            0
        }
    }
}

/// The state of a watch between two things that happen.
struct Run<'a> {
    attempt: Attempt,
    bounds: Bounds,
    process: &'a Process,
    observer: &'a dyn Observer,
    parser: Parser,
    pace: Pace,
    log: Log,
    last: Report,
    ended_by: Option<EndedBy>,
    kill_at: Option<Instant>,
    paused: bool,
    paused_at: Option<Instant>,
    stood: Duration,
    ticked: Instant,
    silent: Duration,
    running: Duration,
    bytes_moved: u64,
}

impl<'a> Run<'a> {
    fn new(
        attempt: Attempt,
        bounds: Bounds,
        process: &'a Process,
        observer: &'a dyn Observer,
    ) -> Run<'a> {
        let log = Log::without(bounds.hidden.clone());
        Run {
            attempt,
            running: bounds.ran,
            bounds,
            process,
            observer,
            parser: Parser::default(),
            pace: Pace::default(),
            log,
            last: Report::default(),
            ended_by: None,
            kill_at: None,
            paused: false,
            paused_at: None,
            stood: Duration::ZERO,
            ticked: Instant::now(),
            silent: Duration::ZERO,
            bytes_moved: 0,
        }
    }

    fn say(&mut self, bytes: &[u8]) {
        let lines = self.log.feed(bytes);
        if !lines.is_empty() {
            self.observer.log(&lines);
        }
    }

    fn report(&mut self, bytes: &[u8]) {
        let Some(report) = self.parser.feed(bytes) else {
            return;
        };
        if report.frames != self.last.frames || report.media_seconds > self.last.media_seconds {
            self.silent = Duration::ZERO;
        }
        self.last = report;
        let before = self.bounds.before;
        let (fps, speed) = self.pace.add(Instant::now(), &report);
        self.observer.progress(Progress {
            attempt: self.attempt,
            percent: self.percent().map(|percent| self.bounds.of_all(percent)),
            frames: before.frames + report.frames,
            fps,
            speed,
            media_seconds: before.media_seconds + report.media_seconds,
            bytes: before.bytes + report.bytes,
            restarts: before.restarts,
        });
    }

    fn percent(&self) -> Option<f32> {
        let expected = self
            .bounds
            .expected_seconds
            .filter(|seconds| *seconds > 0.0)?;
        let so_far = self.bounds.before.media_seconds + self.last.media_seconds;
        Some((so_far / expected * 100.0).clamp(0.0, 100.0) as f32)
    }

    fn obey(&mut self, control: Control) {
        if let Some(stop) = control.stop {
            self.end(EndedBy::Stop(stop));
        } else if control.finish && self.bounds.finishes {
            self.end(EndedBy::Finish);
        } else if control.paused != self.paused && self.ended_by.is_none() {
            self.paused = control.paused;
            self.stand();
            self.paused_at = self.paused.then(Instant::now);
            self.process.signal_group(if self.paused {
                Signal::STOP
            } else {
                Signal::CONT
            });
            // Pauses would drag the averages down.
            self.pace = Pace::default();
            self.observer.paused(self.paused);
        }
    }

    /// Counts the pause that ends now, if one does.
    fn stand(&mut self) {
        self.stood += self
            .paused_at
            .take()
            .map_or(Duration::ZERO, |at| at.elapsed());
    }

    fn end(&mut self, by: EndedBy) {
        if self.kill_at.is_none() {
            self.process.signal_group(Signal::TERM);
            // A stopped process does not see SIGTERM until it goes on.
            self.process.signal_group(Signal::CONT);
            self.kill_at = Some(Instant::now() + self.bounds.kill_grace);
        }
        self.ended_by = Some(by);
    }

    fn tick(&mut self) {
        let now = Instant::now();
        let since = now.duration_since(std::mem::replace(&mut self.ticked, now));
        if let Some(kill_at) = self.kill_at {
            if now >= kill_at {
                self.process.signal_group(Signal::KILL);
            }
            return;
        }
        if self.paused {
            return;
        }
        self.running += since;
        self.silent += since.min(TICK_COUNTED_MAX);
        if let Some(timeout) = self
            .bounds
            .timeout
            .filter(|timeout| self.running > *timeout)
        {
            let message = format!(
                "stopped after its limit of {} s; allow more with timeout_seconds",
                timeout.as_secs_f64()
            );
            self.end(EndedBy::Failure(Failure::new(
                FailureReason::Timeout,
                message,
            )));
        } else if self.silent > self.bounds.stall && !self.is_finishing() {
            let message = format!(
                "stopped as hung: no frame in {} s (at frame {}, {:.1} s of media)",
                self.bounds.stall.as_secs_f64(),
                self.last.frames,
                self.last.media_seconds
            );
            self.end(EndedBy::Hung(Failure::new(FailureReason::Timeout, message)));
        }
    }

    /// Whether the last frame is done and bytes still move.
    fn is_finishing(&mut self) -> bool {
        if !(self.last.ended
            || self.bounds.bytes_count
            || self
                .percent()
                .is_some_and(|percent| percent >= NEARLY_DONE_PERCENT))
        {
            return false;
        }
        let moved = bytes_moved(self.process.pid()).unwrap_or(0);
        let moves = moved > self.bytes_moved;
        self.bytes_moved = moved;
        if moves {
            self.silent = Duration::ZERO;
        }
        moves
    }
}

/// Bytes a process has read and written, by the kernel's count.
fn bytes_moved(pid: u32) -> Option<u64> {
    let io = std::fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    let field = |name: &str| {
        io.lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok())
    };
    Some(field("rchar:")? + field("wchar:")?)
}

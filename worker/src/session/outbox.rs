//! What waits to be said to the master, in the order it matters.
//!
//! Separate from the connection because it outlives it: a session may be away for minutes while encodes go on. Its size
//! is bounded by the number of attempts held, whatever they say: results are one frame each and repeated until
//! answered, progress is only ever the latest, log text is cut to a bound and the gap counted.
//!
//! It never does I/O and never waits.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use ffrtmp_api::{
    ids::Attempt,
    limits,
    protocol::{Progress, ToMaster},
};
use tokio::sync::{Notify, watch};

/// Log text held for one attempt until it can be sent. Ten times what a chatty encode says in a second.
const LOG_WAITING_BYTES_MAX: usize = 64 * 1024;

/// What waits to be said.
#[derive(Default)]
pub(crate) struct Outbox {
    waiting: Mutex<Waiting>,
    urgent: Notify,
    /// Whether the master has been told that this worker goes, and everything else that is urgent.
    farewell: watch::Sender<bool>,
}

#[derive(Default)]
struct Waiting {
    /// Nothing but a hello may be said before the master's welcome.
    welcomed: bool,
    draining: bool,
    /// Small facts the next hello repeats anyway.
    control: VecDeque<ToMaster>,
    /// Until answered.
    results: BTreeMap<Attempt, ToMaster>,
    /// Those of `results` not said in this session.
    unsaid: BTreeSet<Attempt>,
    progress: BTreeMap<Attempt, Progress>,
    logs: BTreeMap<Attempt, LogText>,
}

#[derive(Default)]
struct LogText {
    text: String,
    bytes_dropped: u64,
}

impl Outbox {
    /// A hello is about to be said: it repeats what waits in `control`, and nothing else goes out before the welcome.
    pub(crate) fn begin_hello(&self) {
        let mut waiting = self.lock();
        waiting.welcomed = false;
        waiting.control.clear();
    }

    /// The master accepted the hello: every result is said again.
    pub(crate) fn welcomed(&self) {
        let mut waiting = self.lock();
        waiting.welcomed = true;
        waiting.unsaid = waiting.results.keys().copied().collect();
        if waiting.draining {
            waiting.control.push_back(ToMaster::Draining);
        }
        drop(waiting);
        self.urgent.notify_one();
    }

    /// From now on the master is told, in this session and every later one, to send nothing new.
    pub(crate) fn drain(&self) {
        let mut waiting = self.lock();
        waiting.draining = true;
        waiting.control.push_back(ToMaster::Draining);
        drop(waiting);
        self.urgent.notify_one();
    }

    /// An urgent frame went out.
    pub(crate) fn said(&self) {
        let waiting = self.lock();
        if waiting.draining && waiting.control.is_empty() && waiting.unsaid.is_empty() {
            self.farewell.send_replace(true);
        }
    }

    /// Waits until the master has been told that this worker goes.
    pub(crate) async fn farewell(&self) {
        // It is dropped with this.
        let _ = self.farewell.subscribe().wait_for(|said| *said).await;
    }

    /// A small fact: an attempt started, or was paused.
    pub(crate) fn control(&self, frame: ToMaster) {
        self.lock().control.push_back(frame);
        self.urgent.notify_one();
    }

    /// An attempt's `Encoded` or `Outcome`, replacing an earlier one. What it made pointless is dropped.
    pub(crate) fn result(&self, attempt: Attempt, frame: ToMaster) {
        let mut waiting = self.lock();
        waiting.progress.remove(&attempt);
        if matches!(frame, ToMaster::Outcome { .. }) {
            waiting.logs.remove(&attempt);
        }
        waiting.results.insert(attempt, frame);
        waiting.unsaid.insert(attempt);
        drop(waiting);
        self.urgent.notify_one();
    }

    /// Stops repeating what waits for `attempt`: it was answered, or the attempt goes on to its next step.
    pub(crate) fn forget(&self, attempt: Attempt) {
        let mut waiting = self.lock();
        waiting.results.remove(&attempt);
        waiting.unsaid.remove(&attempt);
        waiting.progress.remove(&attempt);
        waiting.logs.remove(&attempt);
    }

    /// How far an attempt is; replaces what waits.
    pub(crate) fn progress(&self, report: Progress) {
        self.lock().progress.insert(report.attempt, report);
    }

    /// New log lines of an attempt. The oldest waiting text gives way.
    pub(crate) fn log(&self, attempt: Attempt, text: &str) {
        let mut waiting = self.lock();
        let log = waiting.logs.entry(attempt).or_default();
        log.text.push_str(text);
        if log.text.len() > LOG_WAITING_BYTES_MAX {
            let surplus = log.text.len() - LOG_WAITING_BYTES_MAX;
            let cut = log
                .text
                .bytes()
                .skip(surplus)
                .position(|byte| byte == b'\n');
            // Whole lines go; text without any line end goes entirely.
            let cut = cut.map_or(log.text.len(), |at| surplus + at + 1);
            log.text.drain(..cut);
            log.bytes_dropped += cut as u64;
        }
    }

    /// Waits until something urgent may be there.
    pub(crate) async fn urgent(&self) {
        self.urgent.notified().await;
    }

    /// The next frame that goes ahead of progress and logs.
    pub(crate) fn next_urgent(&self) -> Option<String> {
        let mut waiting = self.lock();
        if !waiting.welcomed {
            return None;
        }
        if let Some(frame) = waiting.control.pop_front() {
            return encode(&frame);
        }
        let attempt = waiting.unsaid.pop_first()?;
        waiting.results.get(&attempt).and_then(encode)
    }

    /// The next frame of progress or log text.
    pub(crate) fn next_bulk(&self) -> Option<String> {
        let mut waiting = self.lock();
        if !waiting.welcomed {
            return None;
        }
        if !waiting.progress.is_empty() {
            let reports = std::mem::take(&mut waiting.progress)
                .into_values()
                .collect();
            return encode(&ToMaster::Progress { reports });
        }
        let (
            attempt,
            LogText {
                text,
                bytes_dropped,
            },
        ) = waiting.logs.pop_first()?;
        encode(&ToMaster::Log {
            attempt,
            text,
            bytes_dropped,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn encode(frame: &ToMaster) -> Option<String> {
    match serde_json::to_string(frame) {
        Ok(text) if text.len() <= limits::FRAME_BYTES_MAX => Some(text),
        // Cannot happen while logs, messages and the number of attempts are bounded where they are made.
        Ok(text) => {
            tracing::error!(
                bytes = text.len(),
                "a frame beyond the protocol's bound is dropped; this is a bug"
            );
            None
        }
        Err(error) => {
            tracing::error!(%error, "a frame cannot be encoded and is dropped; this is a bug");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use ffrtmp_api::{
        ids::{AttemptNo, JobSeq},
        protocol::Outcome,
    };

    use super::*;

    fn attempt(job: u64) -> Attempt {
        Attempt {
            job: JobSeq(job),
            no: AttemptNo(1),
        }
    }

    fn outcome(job: u64) -> ToMaster {
        ToMaster::Outcome {
            attempt: attempt(job),
            outcome: Outcome::Canceled,
            log: String::new(),
        }
    }

    fn welcomed() -> Outbox {
        let outbox = Outbox::default();
        outbox.welcomed();
        outbox
    }

    fn parse(text: Option<String>) -> Option<ToMaster> {
        text.map(|text| serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn nothing_is_said_before_the_welcome() {
        let outbox = Outbox::default();
        outbox.result(attempt(1), outcome(1));
        outbox.log(attempt(2), "line\n");
        assert_eq!((outbox.next_urgent(), outbox.next_bulk()), (None, None));
        outbox.welcomed();
        assert_eq!(parse(outbox.next_urgent()), Some(outcome(1)));
    }

    #[test]
    fn a_result_is_repeated_in_every_session_until_it_is_answered() {
        let outbox = welcomed();
        outbox.result(attempt(1), outcome(1));
        for _ in 0..3 {
            assert_eq!(parse(outbox.next_urgent()), Some(outcome(1)));
            assert_eq!(outbox.next_urgent(), None);
            outbox.begin_hello();
            outbox.welcomed();
        }
        outbox.forget(attempt(1));
        outbox.begin_hello();
        outbox.welcomed();
        assert_eq!(outbox.next_urgent(), None);
    }

    #[test]
    fn only_the_latest_progress_is_said() {
        let outbox = welcomed();
        let report = |frames| Progress {
            restarts: 0,
            attempt: attempt(1),
            percent: None,
            frames,
            fps: 0.0,
            speed: 0.0,
            media_seconds: 0.0,
            bytes: 0,
        };
        (0..1000).for_each(|frames| outbox.progress(report(frames)));
        assert_eq!(
            parse(outbox.next_bulk()),
            Some(ToMaster::Progress {
                reports: vec![report(999)]
            })
        );
        assert_eq!(outbox.next_bulk(), None);
    }

    #[test]
    fn a_log_that_cannot_be_sent_is_cut_at_a_line_and_the_gap_counted() {
        let outbox = welcomed();
        let mut bytes = 0;
        for n in 0..20_000 {
            let line = format!("line {n}\n");
            bytes += line.len() as u64;
            outbox.log(attempt(1), &line);
        }
        let Some(ToMaster::Log {
            text,
            bytes_dropped,
            ..
        }) = parse(outbox.next_bulk())
        else {
            panic!("no log")
        };
        assert!(text.len() <= LOG_WAITING_BYTES_MAX && bytes_dropped > 0);
        assert_eq!(bytes_dropped + text.len() as u64, bytes);
        assert!(text.starts_with("line ") && text.ends_with("line 19999\n"));
    }

    #[test]
    fn an_outcome_goes_ahead_of_logs_and_replaces_them() {
        let outbox = welcomed();
        outbox.log(attempt(1), "one\n");
        outbox.log(attempt(2), "two\n");
        outbox.result(attempt(1), outcome(1));
        assert_eq!(parse(outbox.next_urgent()), Some(outcome(1)));
        let text = "two\n".to_owned();
        assert_eq!(
            parse(outbox.next_bulk()),
            Some(ToMaster::Log {
                attempt: attempt(2),
                text,
                bytes_dropped: 0
            })
        );
        assert_eq!(outbox.next_bulk(), None);
    }

    #[test]
    fn draining_is_told_again_after_a_reconnect() {
        let outbox = welcomed();
        outbox.drain();
        assert_eq!(parse(outbox.next_urgent()), Some(ToMaster::Draining));
        outbox.begin_hello();
        outbox.welcomed();
        assert_eq!(parse(outbox.next_urgent()), Some(ToMaster::Draining));
    }
}

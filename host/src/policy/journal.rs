//! What happened to policies and what they said themselves, for people: the last lines of each, in memory.
//!
//! Every line also goes to the master's own log, with the same word for what happened as its `event`. What guests say and what
//! happened to them are kept apart, so that a policy that talks without end cannot push out the line that says why it failed.
//! Nobody waits long here: a line is formatted before the lock is taken, and a reader copies pointers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ffrtmp_api::rest::{LogLevel, PolicyLogLine};
use tokio::sync::watch;

use super::board::now_ms;

/// Lines kept of what one policy said. With lines of at most 1 KiB: half a MiB.
const SAID_MAX: usize = 500;
/// Lines kept of what happened to one policy: days of swaps and faults.
const HAPPENED_MAX: usize = 200;
/// Names of policies with lines. The one whose last line is oldest makes way; with the bounds above all of it stays below 24 MiB.
const NAMES_MAX: usize = 32;
/// Streams at once: each is a connection, and people who follow are few.
pub const STREAMS_MAX: usize = 64;

/// See the module's head.
#[derive(Debug)]
pub struct Journal {
    kept: Mutex<Kept>,
    wake: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Kept {
    /// The number of the last line.
    last: u64,
    policies: BTreeMap<String, Lines>,
}

/// Of one policy.
#[derive(Debug, Default)]
struct Lines {
    said: Ring,
    happened: Ring,
}

#[derive(Debug, Default)]
struct Ring {
    lines: VecDeque<(u64, Arc<PolicyLogLine>)>,
    /// Lines that made way.
    dropped: u64,
    /// The number of the last one that did.
    last_dropped: u64,
}

/// Which lines are wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Of this policy; none: of all.
    pub policy: Option<String>,
    /// Of this level and above; none: of all.
    pub level: Option<LogLevel>,
}

/// Some lines, oldest first.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// With their numbers, which rise.
    pub lines: Vec<(u64, Arc<PolicyLogLine>)>,
    /// The number of the last line there is, wanted or not: where to go on.
    pub last: u64,
    /// Whether lines between where the reader was and these have made way.
    pub missed: bool,
    /// Lines that have made way, ever.
    pub dropped: u64,
}

impl Default for Journal {
    fn default() -> Self {
        Journal {
            kept: Mutex::default(),
            wake: watch::channel(false).0,
        }
    }
}

impl Ring {
    fn push(&mut self, no: u64, line: Arc<PolicyLogLine>, most: usize) {
        self.lines.push_back((no, line));
        if self.lines.len() > most
            && let Some((no, _)) = self.lines.pop_front()
        {
            self.dropped += 1;
            self.last_dropped = no;
        }
    }

    fn last(&self) -> u64 {
        self.lines.back().map_or(0, |(no, _)| *no)
    }
}

impl Journal {
    /// Something happened to a policy. `event` is the word for it; `digest` is short. With the stage at which it happened, where
    /// there is one.
    pub(super) fn happened(
        &self,
        level: LogLevel,
        event: &'static str,
        policy: &str,
        digest: &str,
        stage: Option<&'static str>,
        message: String,
    ) {
        match level {
            LogLevel::Debug => tracing::debug!(event, policy, digest, stage, "{message}"),
            LogLevel::Info => tracing::info!(event, policy, digest, stage, "{message}"),
            LogLevel::Warn => tracing::warn!(event, policy, digest, stage, "{message}"),
            LogLevel::Error => tracing::error!(event, policy, digest, stage, "{message}"),
        }
        self.keep(PolicyLogLine {
            at_ms: now_ms(),
            policy: policy.to_owned(),
            digest: digest.to_owned(),
            level,
            event: Some(event.to_owned()),
            message,
        });
    }

    /// A policy said something. `text` holds no control characters.
    pub(super) fn said(&self, level: LogLevel, policy: &str, digest: &str, text: String) {
        let event = "policy_said";
        match level {
            LogLevel::Debug => tracing::debug!(event, policy, digest, "{text}"),
            LogLevel::Info => tracing::info!(event, policy, digest, "{text}"),
            LogLevel::Warn => tracing::warn!(event, policy, digest, "{text}"),
            LogLevel::Error => tracing::error!(event, policy, digest, "{text}"),
        }
        self.keep(PolicyLogLine {
            at_ms: now_ms(),
            policy: policy.to_owned(),
            digest: digest.to_owned(),
            level,
            event: None,
            message: text,
        });
    }

    fn keep(&self, line: PolicyLogLine) {
        let (line, mut kept) = (Arc::new(line), self.lock());
        kept.last += 1;
        let no = kept.last;
        if kept.policies.len() >= NAMES_MAX && !kept.policies.contains_key(&line.policy) {
            let oldest = kept
                .policies
                .iter()
                .min_by_key(|(_, lines)| lines.said.last().max(lines.happened.last()))
                .map(|(name, _)| name.clone());
            oldest.and_then(|name| kept.policies.remove(&name));
        }
        let lines = kept.policies.entry(line.policy.clone()).or_default();
        match line.event {
            Some(_) => lines.happened.push(no, line, HAPPENED_MAX),
            None => lines.said.push(no, line, SAID_MAX),
        }
        drop(kept);
        self.wake.send_modify(|_| {});
    }

    /// The last `most` wanted lines behind line `after`.
    pub fn read(&self, wanted: &Wanted, after: u64, most: usize) -> Page {
        let kept = self.lock();
        let mut page = Page {
            last: kept.last,
            ..Page::default()
        };
        let of_these = |name: &String| wanted.policy.as_ref().is_none_or(|policy| policy == name);
        let lines = kept.policies.iter().filter(|(name, _)| of_these(name));
        for ring in lines.flat_map(|(_, lines)| [&lines.said, &lines.happened]) {
            page.dropped += ring.dropped;
            page.missed |= ring.last_dropped > after;
            let from = ring.lines.partition_point(|(no, _)| *no <= after);
            page.lines.extend(ring.lines.range(from..).cloned());
        }
        drop(kept);
        if let Some(level) = wanted.level {
            page.lines.retain(|(_, line)| line.level >= level);
        }
        page.lines.sort_unstable_by_key(|(no, _)| *no);
        let cut = page.lines.len().saturating_sub(most);
        page.lines.drain(..cut);
        page
    }

    /// Told of each new line; its value says whether the master stops. None while too many listen already.
    pub fn listen(&self) -> Option<watch::Receiver<bool>> {
        (self.wake.receiver_count() < STREAMS_MAX).then(|| self.wake.subscribe())
    }

    /// Ends every stream.
    pub fn close(&self) {
        self.wake.send_replace(true);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(policy: &str) -> Wanted {
        Wanted {
            policy: Some(policy.into()),
            level: None,
        }
    }

    #[test]
    fn a_policy_that_talks_without_end_pushes_out_neither_what_happened_to_it_nor_the_lines_of_others()
     {
        let journal = Journal::default();
        journal.said(LogLevel::Info, "quiet", "1", "hello".into());
        journal.happened(
            LogLevel::Error,
            "policy_fault",
            "loud",
            "2",
            Some("plan"),
            "it trapped".into(),
        );
        for n in 0..=SAID_MAX {
            journal.said(LogLevel::Debug, "loud", "2", format!("line {n}"));
        }
        let all = journal.read(&Wanted::default(), 0, usize::MAX);
        assert_eq!(all.lines[0].1.message, "hello");
        assert_eq!(all.lines[1].1.event.as_deref(), Some("policy_fault"));
        assert_eq!(
            all.lines[2].1.message, "line 1",
            "the oldest of its own made way"
        );
        assert_eq!((all.lines.len(), all.dropped), (SAID_MAX + 2, 1));
        assert_eq!(journal.read(&of("quiet"), 0, 10).dropped, 0);
        let errors = Wanted {
            level: Some(LogLevel::Warn),
            ..of("loud")
        };
        assert_eq!(journal.read(&errors, 0, 10).lines.len(), 1);
    }

    #[test]
    fn whoever_comes_back_goes_on_behind_what_it_saw_and_is_told_if_lines_made_way() {
        let journal = Journal::default();
        journal.said(LogLevel::Info, "a", "1", "one".into());
        let seen = journal.read(&of("a"), 0, 10).last;
        journal.said(LogLevel::Info, "a", "1", "two".into());
        let page = journal.read(&of("a"), seen, 10);
        assert_eq!((page.lines.len(), page.missed), (1, false));
        for n in 0..SAID_MAX + 1 {
            journal.said(LogLevel::Info, "a", "1", format!("{n}"));
        }
        assert!(journal.read(&of("a"), seen, 10).missed);
        assert!(!journal.read(&of("a"), page.last + 1, usize::MAX).missed);
    }

    #[test]
    fn the_last_lines_are_given_and_names_are_bounded() {
        let journal = Journal::default();
        for n in 0..NAMES_MAX + 5 {
            journal.said(LogLevel::Info, &format!("p{n}"), "1", format!("{n}"));
        }
        let page = journal.read(&Wanted::default(), 0, 2);
        let texts: Vec<_> = page.lines.iter().map(|(_, l)| l.message.clone()).collect();
        assert_eq!(texts, ["35", "36"]);
        assert_eq!(
            journal.read(&Wanted::default(), 0, usize::MAX).lines.len(),
            NAMES_MAX
        );
    }

    #[test]
    fn there_are_only_so_many_streams() {
        let journal = Journal::default();
        let mut open: Vec<_> = (0..STREAMS_MAX)
            .map(|_| journal.listen().unwrap())
            .collect();
        assert!(journal.listen().is_none());
        open.pop();
        assert!(journal.listen().is_some());
    }
}

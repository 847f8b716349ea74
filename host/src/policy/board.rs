//! What the policy host shows of itself: its metrics, and a line for each policy it knows.
//!
//! Written by the policy thread and the librarian, read by HTTP and metrics; nobody waits for long on it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use ffrtmp_api::rest::{PolicyList, PolicyStatus};

use super::choice::Mode;
use super::metrics::PolicyMetrics;
use super::settings::Settings;
use super::{NATIVE, RULE};

/// Guest times kept of each policy, for its percentiles.
const RECENT: usize = 1_024;
/// Refused and replaced entries kept; the oldest go first.
const ENTRIES_MAX: usize = 100;

/// Sums since the master started, as the metrics have them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Rounds answered by the policy that ruled, the built-in one included.
    pub rounds: u64,
    /// Times another policy began to rule.
    pub swaps: u64,
    /// Files that were not taken.
    pub refused_files: u64,
}

/// Counts of one policy.
#[derive(Debug, Default)]
pub(super) struct Stats {
    rounds: AtomicU64,
    placements: AtomicU64,
    faults: AtomicU64,
    recent: Mutex<Recent>,
}

#[derive(Debug, Default)]
struct Recent {
    guest_us: Vec<u32>,
    next: usize,
}

impl Stats {
    /// A round it decided.
    pub(super) fn round(&self, placements: u64, guest_us: u64) {
        self.rounds.fetch_add(1, Relaxed);
        self.placements.fetch_add(placements, Relaxed);
        let mut recent = lock(&self.recent);
        let guest_us = u32::try_from(guest_us).unwrap_or(u32::MAX);
        if recent.guest_us.len() < RECENT {
            recent.guest_us.push(guest_us);
        } else {
            let at = recent.next;
            recent.guest_us[at] = guest_us;
            recent.next = (at + 1) % RECENT;
        }
    }

    /// A round in which it failed.
    pub(super) fn fault(&self) {
        self.faults.fetch_add(1, Relaxed);
    }

    /// Rounds it decided.
    pub(super) fn rounds(&self) -> u64 {
        self.rounds.load(Relaxed)
    }

    /// Rounds in which it failed.
    pub(super) fn faults(&self) -> u64 {
        self.faults.load(Relaxed)
    }

    /// Median and 99th percentile of recent guest times.
    pub(super) fn percentiles(&self) -> (u64, u64) {
        let mut times = lock(&self.recent).guest_us.clone();
        times.sort_unstable();
        let at = |percent: usize| {
            times
                .get(times.len().saturating_sub(1) * percent / 100)
                .copied()
                .unwrap_or(0)
        };
        (u64::from(at(50)), u64::from(at(99)))
    }
}

/// How a policy stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It rules.
    Active,
    /// It could.
    Ready,
    /// Its file was not taken.
    Refused,
    /// It failed too often.
    Faulted,
    /// A command said that it must not rule.
    Disabled,
    /// The built-in one, while another rules.
    Fallback,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            State::Active => "active",
            State::Ready => "ready",
            State::Refused => "refused",
            State::Faulted => "faulted",
            State::Disabled => "disabled",
            State::Fallback => "fallback",
        }
    }
}

#[derive(Debug)]
struct Entry {
    name: String,
    version: String,
    digest: String,
    state: State,
    since_ms: i64,
    stats: Arc<Stats>,
    last_error: Option<String>,
    language: Option<String>,
    /// Its file is gone; it is shown only while it still rules.
    leaving: bool,
}

/// Everything there is to show.
#[derive(Debug)]
pub(super) struct Board {
    entries: Mutex<Vec<Entry>>,
    chooses: Mutex<(Mode, Option<String>)>,
    /// What is in force for each policy, by name.
    settings: Mutex<BTreeMap<String, Arc<Settings>>>,
    pub(super) metrics: PolicyMetrics,
    changed: Changed,
}

/// Who is told of a policy that came into another state.
struct Changed(Box<dyn Fn(PolicyStatus) + Send + Sync>);

impl fmt::Debug for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Changed")
    }
}

impl Entry {
    fn status(&self) -> PolicyStatus {
        let (guest_p50_us, guest_p99_us) = self.stats.percentiles();
        PolicyStatus {
            name: self.name.clone(),
            version: self.version.clone(),
            digest: self.digest.clone(),
            state: self.state.as_str().to_owned(),
            since_ms: self.since_ms,
            rounds: self.stats.rounds.load(Relaxed),
            placements: self.stats.placements.load(Relaxed),
            faults: self.stats.faults.load(Relaxed),
            guest_p50_us,
            guest_p99_us,
            last_error: self.last_error.clone(),
            language: self.language.clone(),
        }
    }
}

impl Board {
    /// Nothing to show yet. `changed` is told of each policy that comes into another state; it must not block.
    ///
    /// # Errors
    /// When a metric cannot be made.
    pub(super) fn new(
        changed: impl Fn(PolicyStatus) + Send + Sync + 'static,
    ) -> Result<Board, prometheus::Error> {
        Ok(Board {
            entries: Mutex::default(),
            chooses: Mutex::default(),
            settings: Mutex::default(),
            metrics: PolicyMetrics::new()?,
            changed: Changed(Box::new(changed)),
        })
    }

    /// Notes how a policy stands. `digest` is short; an entry of the same name and digest is changed.
    pub(super) fn set(
        &self,
        name: &str,
        version: &str,
        digest: &str,
        state: State,
        error: Option<String>,
    ) -> Arc<Stats> {
        let mut changed = Vec::new();
        let mut entries = lock(&self.entries);
        if state == State::Active {
            entries.retain(|e| !(e.leaving && (e.name != name || e.digest != digest)));
            let others =
                |e: &&mut Entry| e.state == State::Active && (e.name != name || e.digest != digest);
            for entry in entries.iter_mut().filter(others) {
                entry.state = if entry.digest == NATIVE {
                    State::Fallback
                } else {
                    State::Ready
                };
                entry.since_ms = now_ms();
                changed.push(entry.status());
            }
        }
        let found = entries
            .iter()
            .position(|e| e.name == name && e.digest == digest);
        let mut entry = match found {
            Some(i) => entries.remove(i),
            None => Entry {
                name: name.to_owned(),
                version: String::new(),
                digest: digest.to_owned(),
                state,
                since_ms: 0,
                stats: Arc::default(),
                last_error: None,
                language: None,
                leaving: false,
            },
        };
        let is_new = entry.state != state || entry.since_ms == 0;
        if is_new {
            entry.since_ms = now_ms();
        }
        entry.state = state;
        entry.leaving = false;
        if !version.is_empty() {
            entry.version = version.to_owned();
        }
        if error.is_some() {
            entry.last_error = error;
        }
        let stats = entry.stats.clone();
        if is_new {
            changed.push(entry.status());
        }
        entries.insert(0, entry);
        entries.truncate(ENTRIES_MAX);
        drop(entries);
        changed
            .into_iter()
            .for_each(|status| (self.changed.0)(status));
        stats
    }

    /// Notes what last went wrong with a policy, whatever its state.
    pub(super) fn error(&self, name: &str, digest: &str, error: String) {
        if let Some(entry) = lock(&self.entries)
            .iter_mut()
            .find(|e| e.name == name && e.digest == digest)
        {
            entry.last_error = Some(error);
        }
    }

    /// Notes that nothing is wrong with a policy any more.
    pub(super) fn no_error(&self, name: &str, digest: &str) {
        if let Some(entry) = lock(&self.entries)
            .iter_mut()
            .find(|e| e.name == name && e.digest == digest)
        {
            entry.last_error = None;
        }
    }

    /// Notes the settings under which a policy rules, or could.
    pub(super) fn set_up(&self, name: &str, settings: &Arc<Settings>) {
        lock(&self.settings).insert(name.to_owned(), settings.clone());
    }

    /// The settings in force for a policy, if it has been tried.
    pub(super) fn settings(&self, name: &str) -> Option<Arc<Settings>> {
        lock(&self.settings).get(name).cloned()
    }

    /// Forgets what is shown of a file: it is gone, or about to be told of anew. The active one stays until another is.
    pub(super) fn forget(&self, name: &str, states: &[State]) {
        lock(&self.entries)
            .retain(|e| e.name != name || e.digest == NATIVE || !states.contains(&e.state));
    }

    /// A file was removed. What ruled from it is shown until another rules.
    pub(super) fn gone(&self, name: &str) {
        let mut entries = lock(&self.entries);
        entries.retain(|e| e.name != name || e.digest == NATIVE || e.state == State::Active);
        entries
            .iter_mut()
            .filter(|e| e.name == name && e.digest != NATIVE)
            .for_each(|e| e.leaving = true);
        // What still rules without its file has its settings with it; they are told again when that changes.
        if !entries.iter().any(|e| e.name == name && e.digest != NATIVE) {
            lock(&self.settings).remove(name);
        }
    }

    /// Whether there is a line of that name, the built-in policy's apart.
    pub(super) fn knows(&self, name: &str) -> bool {
        lock(&self.entries)
            .iter()
            .any(|e| e.name == name && e.digest != NATIVE)
    }

    /// Notes the language of a policy, where it is known.
    pub(super) fn written_in(&self, name: &str, digest: &str, language: Option<&str>) {
        if let Some(entry) = lock(&self.entries)
            .iter_mut()
            .find(|e| e.name == name && e.digest == digest)
        {
            entry.language = language.map(str::to_owned);
        }
    }

    /// The sums.
    pub(super) fn counters(&self) -> Counters {
        Counters {
            rounds: self.metrics.rounds(),
            swaps: self.metrics.swaps(),
            refused_files: self.metrics.files_refused(),
        }
    }

    /// Name, version and short digest of the policy that rules.
    pub(super) fn active(&self) -> Option<[String; 3]> {
        let entries = lock(&self.entries);
        let active = entries.iter().find(|e| e.state == State::Active)?;
        Some([
            active.name.clone(),
            active.version.clone(),
            active.digest.clone(),
        ])
    }

    /// Notes what chooses: the mode, and what a command pinned.
    pub(super) fn chooses(&self, mode: Mode, pinned: Option<String>) {
        *lock(&self.chooses) = (mode, pinned);
    }

    /// The list, the active one first.
    pub(super) fn list(&self) -> PolicyList {
        let (mode, pinned) = lock(&self.chooses).clone();
        let entries = lock(&self.entries);
        let mut policies: Vec<(bool, PolicyStatus)> = entries
            .iter()
            .map(|entry| (entry.state != State::Active, entry.status()))
            .collect();
        policies.sort_by_key(|(inactive, _)| *inactive);
        PolicyList {
            policies: policies.into_iter().map(|(_, status)| status).collect(),
            rule: RULE.to_owned(),
            mode: mode.as_str().to_owned(),
            pinned,
            shadow: None,
        }
    }
}

/// A panic elsewhere must not take the numbers with it: they are valid after every statement.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The time, for people.
pub(super) fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

//! Which policy rules: the rule itself, over names and digests alone. It opens no file and starts nothing.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::NATIVE;

/// Several new files within so long leave the choice to a person.
pub(super) const TOGETHER: Duration = Duration::from_secs(2);
/// Earlier choices remembered. Beyond that nobody means to go back.
const HISTORY_MAX: usize = 16;
/// Digests remembered as seen, and as faulted.
const REMEMBERED_MAX: usize = 1_000;

/// A policy that was chosen. The master keeps the last one in its store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// Its file's name without `.wasm`.
    pub name: String,
    /// SHA-256 of its bytes, 64 hex digits; [`NATIVE`] for the built-in one.
    pub digest: String,
}

impl Choice {
    /// The built-in policy.
    pub fn native() -> Choice {
        Choice {
            name: "balanced".into(),
            digest: NATIVE.into(),
        }
    }

    /// Whether it is the built-in one.
    pub fn is_native(&self) -> bool {
        self.digest == NATIVE
    }
}

/// What was chosen before, what was seen, and what failed. Kept on disk beside the accepted files.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Memory {
    /// Oldest first; each once.
    history: Vec<Choice>,
    seen: Vec<Choice>,
    faulted: Vec<Choice>,
}

impl Memory {
    /// Notes that a file was met, whether or not it was taken.
    pub(super) fn saw(&mut self, choice: &Choice) {
        push_last(&mut self.seen, choice, REMEMBERED_MAX);
    }

    /// Whether these bytes were met under that name before.
    pub(super) fn has_seen(&self, choice: &Choice) -> bool {
        self.seen.contains(choice)
    }

    /// Notes that it rules.
    pub(super) fn chose(&mut self, choice: &Choice) {
        push_last(&mut self.history, choice, HISTORY_MAX);
    }

    /// Notes that it failed too often. It is not chosen again.
    pub(super) fn failed(&mut self, choice: &Choice) {
        push_last(&mut self.faulted, choice, REMEMBERED_MAX);
    }

    /// Whether it failed too often. By its bytes: another name does not make them better.
    pub(super) fn has_failed(&self, choice: &Choice) -> bool {
        self.faulted.iter().any(|f| f.digest == choice.digest)
    }

    /// Its file was removed. Should it come back, that is someone's wish, so it counts as new.
    pub(super) fn removed(&mut self, name: &str) {
        self.seen.retain(|c| c.name != name);
    }

    /// Where to go back to from `current`: earlier choices, newest first, of files still there.
    pub(super) fn earlier(&self, current: &Choice, is_there: impl Fn(&str) -> bool) -> Vec<Choice> {
        let usable = |c: &&Choice| *c != current && !self.has_failed(c) && is_there(&c.name);
        self.history.iter().rev().filter(usable).cloned().collect()
    }

    /// Every digest worth keeping the bytes of.
    pub(super) fn kept(&self) -> impl Iterator<Item = &str> {
        self.history.iter().map(|c| c.digest.as_str())
    }
}

fn push_last(list: &mut Vec<Choice>, choice: &Choice, most: usize) {
    list.retain(|c| c != choice);
    list.push(choice.clone());
    if list.len() > most {
        list.remove(0);
    }
}

/// New files of late, to tell one dropped in on purpose from a folder being filled.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    recent: Vec<(String, Instant)>,
    /// What ruled before the first of them.
    before: Option<Choice>,
}

/// What to do about a new file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It becomes the choice.
    Alone,
    /// It came with others; none becomes the choice, and what ruled before them rules again.
    Together {
        /// All of them.
        names: Vec<String>,
        /// What ruled before.
        before: Choice,
    },
}

impl Arrivals {
    /// Says what a new file of that name, first noticed `at`, leads to, while `current` rules.
    pub(super) fn arrived(&mut self, name: &str, at: Instant, current: &Choice) -> Arrival {
        let apart = |other: &Instant| at.max(*other) - at.min(*other);
        self.recent
            .retain(|(n, t)| n != name && apart(t) <= TOGETHER);
        if self.recent.is_empty() {
            self.before = Some(current.clone());
        }
        self.recent.push((name.to_owned(), at));
        if self.recent.len() == 1 {
            return Arrival::Alone;
        }
        let mut names: Vec<String> = self.recent.iter().map(|(n, _)| n.clone()).collect();
        names.sort();
        Arrival::Together {
            names,
            before: self.before.clone().unwrap_or_else(|| current.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(name: &str, digest: &str) -> Choice {
        Choice {
            name: name.into(),
            digest: digest.into(),
        }
    }

    #[test]
    fn going_back_skips_what_failed_and_what_is_gone() {
        let mut memory = Memory::default();
        for (name, digest) in [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")] {
            memory.chose(&choice(name, digest));
        }
        memory.failed(&choice("c", "3"));
        let back = memory.earlier(&choice("d", "4"), |name| name != "b");
        assert_eq!(back, [choice("a", "1")]);
    }

    #[test]
    fn an_earlier_version_of_the_same_file_can_rule_again() {
        let mut memory = Memory::default();
        memory.chose(&choice("a", "1"));
        memory.chose(&choice("a", "2"));
        memory.failed(&choice("a", "2"));
        assert_eq!(
            memory.earlier(&choice("a", "2"), |_| true),
            [choice("a", "1")]
        );
    }

    #[test]
    fn failed_bytes_stay_failed_under_another_name() {
        let mut memory = Memory::default();
        memory.failed(&choice("a", "1"));
        memory.removed("a");
        assert!(memory.has_failed(&choice("b", "1")));
    }

    #[test]
    fn files_that_arrive_together_leave_the_choice_as_it_was() {
        let (now, native) = (Instant::now(), Choice::native());
        let mut arrivals = Arrivals::default();
        assert_eq!(arrivals.arrived("a", now, &native), Arrival::Alone);
        let together = Arrival::Together {
            names: vec!["a".into(), "b".into()],
            before: native.clone(),
        };
        assert_eq!(
            arrivals.arrived("b", now + Duration::from_millis(1_999), &choice("a", "1")),
            together
        );
        let later = now + Duration::from_secs(10);
        assert_eq!(arrivals.arrived("c", later, &native), Arrival::Alone);
    }

    #[test]
    fn a_file_written_twice_in_a_second_is_one_arrival() {
        let (now, native) = (Instant::now(), Choice::native());
        let mut arrivals = Arrivals::default();
        assert_eq!(arrivals.arrived("a", now, &native), Arrival::Alone);
        assert_eq!(
            arrivals.arrived("a", now + Duration::from_millis(500), &choice("a", "1")),
            Arrival::Alone
        );
    }
}

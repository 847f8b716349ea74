//! Which policy rules: the rule itself, over names and digests alone. It opens no file and starts nothing.

use std::collections::{BTreeMap, BTreeSet};
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

/// What chooses among files that arrive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// A new file that passes every check becomes the choice, unless a choice is pinned.
    #[default]
    Automatic,
    /// Files are checked and listed; only commands choose.
    Manual,
}

impl Mode {
    /// The word in settings and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Automatic => "automatic",
            Mode::Manual => "manual",
        }
    }
}

impl std::str::FromStr for Mode {
    type Err = String;

    fn from_str(word: &str) -> Result<Mode, String> {
        match word {
            "automatic" => Ok(Mode::Automatic),
            "manual" => Ok(Mode::Manual),
            other => Err(format!(
                "{other:?} is no policy mode; there are automatic and manual"
            )),
        }
    }
}

/// What was chosen before, what was seen, what failed, and what people ordered. Kept on disk beside the accepted files.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Memory {
    /// Oldest first; each once.
    history: Vec<Choice>,
    seen: Vec<Choice>,
    faulted: Vec<Choice>,
    /// What a command chose: it stays the choice until a command says otherwise.
    #[serde(default)]
    pinned: Option<Choice>,
    /// Names that must not rule.
    #[serde(default)]
    disabled: BTreeSet<String>,
    /// The settings under which a name last ruled, by their digest.
    #[serde(default)]
    settings: BTreeMap<String, String>,
    /// Kept machine code: its file and the digest of its content, what was used last at the end.
    #[serde(default)]
    artefacts: Vec<(String, String)>,
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

    /// Somebody wants it all the same.
    pub(super) fn forgive(&mut self, choice: &Choice) {
        self.faulted.retain(|f| f.digest != choice.digest);
    }

    /// Notes the settings under which a name rules: their digest, none without a file.
    pub(super) fn ruled_with(&mut self, name: &str, settings: Option<String>) {
        match settings {
            Some(digest) => self.settings.insert(name.to_owned(), digest),
            None => self.settings.remove(name),
        };
        if self.settings.len() > REMEMBERED_MAX {
            // Of names that are no choice any more, so that what rules keeps its own.
            let history = &self.history;
            self.settings
                .retain(|n, _| n == name || history.iter().any(|c| c.name == *n));
        }
    }

    /// The digest of the settings under which a name last ruled.
    pub(super) fn settings_of(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }

    /// Digests of all settings worth keeping.
    pub(super) fn kept_settings(&self) -> impl Iterator<Item = &str> {
        self.settings.values().map(String::as_str)
    }

    /// Forgets that these bytes were met: what was wrong was beside them.
    pub(super) fn unsee(&mut self, choice: &Choice) {
        self.seen.retain(|c| c != choice);
    }

    /// The digest that kept machine code must have.
    pub(super) fn artefact(&self, file: &str) -> Option<&str> {
        let found = self.artefacts.iter().find(|(name, _)| name == file);
        found.map(|(_, digest)| digest.as_str())
    }

    /// Notes that machine code was kept, or used.
    pub(super) fn compiled(&mut self, file: &str, digest: String) {
        self.forget_artefact(file);
        self.artefacts.push((file.to_owned(), digest));
    }

    /// Believes a file no longer.
    pub(super) fn forget_artefact(&mut self, file: &str) {
        self.artefacts.retain(|(name, _)| name != file);
    }

    /// All files of machine code, what was used last at the end.
    pub(super) fn artefacts(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.artefacts.iter().map(|(name, _)| name.as_str())
    }

    /// Forgets the others.
    pub(super) fn keep_artefacts(&mut self, files: &[String]) {
        self.artefacts.retain(|(name, _)| files.contains(name));
    }

    /// What is pinned.
    pub(super) fn pinned(&self) -> Option<&Choice> {
        self.pinned.as_ref()
    }

    /// Pins a choice, or lets the files choose again.
    pub(super) fn pin(&mut self, choice: Option<Choice>) {
        self.pinned = choice;
    }

    /// Whether a name must not rule.
    pub(super) fn is_disabled(&self, name: &str) -> bool {
        self.disabled.contains(name)
    }

    /// Lets a name rule, or not.
    ///
    /// # Errors
    /// When as many names are disabled as are remembered.
    pub(super) fn set_disabled(&mut self, name: &str, disabled: bool) -> Result<(), String> {
        if !disabled {
            self.disabled.remove(name);
        } else if self.disabled.len() >= REMEMBERED_MAX && !self.disabled.contains(name) {
            return Err(format!(
                "{REMEMBERED_MAX} names are disabled already; enable one first"
            ));
        } else {
            self.disabled.insert(name.to_owned());
        }
        Ok(())
    }

    /// It was rolled back from: nothing goes back to it by itself.
    pub(super) fn rolled_back(&mut self, choice: &Choice) {
        self.history.retain(|c| c != choice);
    }

    /// Every choice whose bytes are kept, the newest first.
    pub(super) fn earlier_choices(&self) -> impl Iterator<Item = &Choice> {
        self.history.iter().rev()
    }

    /// Its file was removed. Should it come back, that is someone's wish, so it counts as new.
    pub(super) fn removed(&mut self, name: &str) {
        self.seen.retain(|c| c.name != name);
    }

    /// Where to go back to from `current`: earlier choices, newest first, of files still there.
    pub(super) fn earlier(&self, current: &Choice, is_there: impl Fn(&str) -> bool) -> Vec<Choice> {
        let usable = |c: &&Choice| {
            *c != current && !self.has_failed(c) && !self.is_disabled(&c.name) && is_there(&c.name)
        };
        self.history.iter().rev().filter(usable).cloned().collect()
    }

    /// Every digest worth keeping the bytes of.
    pub(super) fn kept(&self) -> impl Iterator<Item = &str> {
        let chosen = self.history.iter().chain(&self.pinned);
        chosen.map(|c| c.digest.as_str())
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
#[allow(clippy::unwrap_used)] // in a test that is how one fails
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
    fn nothing_goes_back_to_what_is_disabled_or_was_rolled_back_from() {
        let mut memory = Memory::default();
        for (name, digest) in [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")] {
            memory.chose(&choice(name, digest));
        }
        memory.set_disabled("c", true).unwrap();
        memory.rolled_back(&choice("b", "2"));
        let back = memory.earlier(&choice("d", "4"), |_| true);
        assert_eq!(back, [choice("a", "1")]);
        memory.set_disabled("c", false).unwrap();
        let back = memory.earlier(&choice("d", "4"), |_| true);
        assert_eq!(back, [choice("c", "3"), choice("a", "1")]);
    }

    #[test]
    fn a_pinned_choice_s_bytes_are_kept_however_many_were_chosen_since() {
        let mut memory = Memory::default();
        memory.chose(&choice("a", "1"));
        memory.pin(Some(choice("a", "1")));
        for n in 0..HISTORY_MAX {
            memory.chose(&choice("b", &format!("b{n}")));
        }
        assert!(memory.kept().any(|digest| digest == "1"));
    }

    #[test]
    fn a_memory_written_before_there_were_pins_is_read() {
        let old = r#"{"history":[{"name":"a","digest":"1"}],"seen":[],"faulted":[]}"#;
        let memory: Memory = serde_json::from_str(old).unwrap();
        assert_eq!(memory.pinned(), None);
        assert!(!memory.is_disabled("a"));
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

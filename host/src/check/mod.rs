//! A policy tried before anybody relies on it, for `ffrtmp policies check` and an author's own CI: a verdict for each thing
//! that could be wrong, with the counter-example.
//!
//! What refuses a file here is what refuses it in the master ([`crate::policy::component`]), and what is asked is asked as
//! the master asks ([`Instance`]). [`script`] makes clusters and questions from a seed and keeps the truth beside them;
//! [`answers`] judges what came back by it; [`speed`] measures.
//!
//! The verdicts depend on the file, its configuration and the seed alone, except those about time.

mod answers;
mod script;
mod speed;

use serde::Serialize;

use crate::policy::{
    Limits, Settings,
    component::{self, Loaded, Refusal},
    engine::PolicyEngine,
    instance::{Fault, Instance},
};

/// One thing looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// The file's size.
    Size,
    /// It is a component of this contract, imports nothing else, and compiles.
    World,
    /// A fresh instance takes its configuration.
    Init,
    /// No call traps, runs out of its budget or answers what cannot be an answer.
    Calls,
    /// It names only candidates, each once.
    Candidates,
    /// It names only workers there are and that take work.
    Workers,
    /// It gives a worker or GPU no more than is free there.
    Capacity,
    /// It gives jobs only to workers that can run them, and not to those where they failed.
    Requirements,
    /// It gives reasons it stated, and holds until times that make sense.
    Words,
    /// It places something when there is room.
    Progress,
    /// A job's rank does not depend on when, with which others, or how often it is asked.
    Ranks,
    /// The same calls give the same answers.
    Determinism,
    /// Its largest rounds keep within the budget.
    Time,
    /// Its memory keeps within the limit.
    Memory,
}

impl Item {
    /// Every item, in the order in which they are looked at.
    pub const ALL: [Item; 14] = [
        Item::Size,
        Item::World,
        Item::Init,
        Item::Calls,
        Item::Candidates,
        Item::Workers,
        Item::Capacity,
        Item::Requirements,
        Item::Words,
        Item::Progress,
        Item::Ranks,
        Item::Determinism,
        Item::Time,
        Item::Memory,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Item::Size => "size",
            Item::World => "world",
            Item::Init => "init",
            Item::Calls => "calls",
            Item::Candidates => "candidates",
            Item::Workers => "workers",
            Item::Capacity => "capacity",
            Item::Requirements => "requirements",
            Item::Words => "words",
            Item::Progress => "progress",
            Item::Ranks => "ranks",
            Item::Determinism => "determinism",
            Item::Time => "time",
            Item::Memory => "memory",
        }
    }
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// As it should be.
    Pass,
    /// The master takes it, but somebody should look at it.
    Warn,
    /// The master would refuse or count it.
    Fail,
    /// Not reached, because something before it failed.
    Skipped,
}

impl Finding {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Finding::Pass => "pass",
            Finding::Warn => "warn",
            Finding::Fail => "fail",
            Finding::Skipped => "skipped",
        }
    }
}

/// What was found of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The thing.
    pub item: Item,
    /// What was found.
    pub finding: Finding,
    /// In a sentence; with the counter-example where there is one.
    pub message: String,
}

/// What was found of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Examination {
    /// Its file's name without `.wasm`.
    pub name: String,
    /// SHA-256 of its bytes, 64 hex digits.
    pub digest: String,
    /// The version it states, once that is known.
    pub version: Option<String>,
    /// What clusters and questions were made from.
    pub seed: u64,
    /// One for each item, in order.
    pub verdicts: Vec<Verdict>,
}

impl Examination {
    /// What failed.
    pub fn failed(&self) -> impl Iterator<Item = &Verdict> {
        self.verdicts
            .iter()
            .filter(|verdict| verdict.finding == Finding::Fail)
    }

    /// How many verdicts are of that kind.
    pub fn count(&self, finding: Finding) -> usize {
        let of_it = self.verdicts.iter().filter(|v| v.finding == finding);
        of_it.count()
    }

    fn say(&mut self, item: Item, finding: Finding, message: impl Into<String>) {
        self.verdicts.push(Verdict {
            item,
            finding,
            message: message.into(),
        });
    }
}

/// Tries policies.
#[derive(Debug)]
pub struct Examiner {
    /// What runs them.
    pub engine: PolicyEngine,
    /// What clusters and questions are made from.
    pub seed: u64,
}

/// A policy under examination: what a fresh instance is made from.
struct Subject<'a> {
    engine: &'a PolicyEngine,
    loaded: &'a Loaded,
    limits: Limits,
    seed: u64,
}

impl Subject<'_> {
    fn fresh(&self) -> Result<Instance, Fault> {
        self.loaded
            .instantiate(self.engine, &self.loaded.settings.config, &self.limits)
    }
}

impl Examiner {
    /// Tries one: its file's name without `.wasm`, its bytes, and the limits and configuration the master would give it. Times
    /// by the wall clock are given twenty times over: a busy machine is no fault of the policy's.
    pub fn examine(&self, name: &str, bytes: &[u8], settings: &Settings) -> Examination {
        let mut found = Examination {
            name: name.to_owned(),
            digest: component::digest(bytes),
            version: None,
            seed: self.seed,
            verdicts: Vec::new(),
        };
        self.look(name, bytes, settings, &mut found);
        for item in Item::ALL {
            if !found.verdicts.iter().any(|verdict| verdict.item == item) {
                found.say(item, Finding::Skipped, "not reached");
            }
        }
        found.verdicts.sort_by_key(|verdict| verdict.item);
        found
    }

    fn look(&self, name: &str, bytes: &[u8], settings: &Settings, found: &mut Examination) {
        let most = settings.limits.file_bytes;
        let size = bytes.len() as u64;
        if size > most {
            let message = format!("{size} bytes; the master takes files up to {most}");
            return found.say(Item::Size, Finding::Fail, message);
        }
        found.say(Item::Size, Finding::Pass, format!("{size} bytes"));
        let mut settings = settings.clone();
        settings.limits.call_wall *= 20;
        settings.limits.init_wall *= 20;
        let loaded = match component::load_with(&self.engine, name, bytes, settings) {
            Ok((loaded, _)) => loaded,
            Err(Refusal::Trial(fault)) => {
                let item = match fault.stage.as_str() {
                    "init" => Item::Init,
                    _ => Item::Calls,
                };
                found.say(Item::World, Finding::Pass, FITS);
                return found.say(item, Finding::Fail, fault.to_string());
            }
            Err(refusal) => {
                return found.say(Item::World, Finding::Fail, format!("it {refusal}"));
            }
        };
        found.say(Item::World, Finding::Pass, FITS);
        let subject = Subject {
            engine: &self.engine,
            loaded: &loaded,
            limits: loaded.settings.limits.clone(),
            seed: self.seed,
        };
        let info = &loaded.info;
        found.version = Some(info.version.clone());
        let message = format!(
            "it calls itself {} {} and states {} reasons",
            info.name,
            info.version,
            info.reasons.len()
        );
        found.say(Item::Init, Finding::Pass, message);
        script::look(&subject, found);
        speed::look(&subject, found);
    }
}

const FITS: &str = "a component of ffrtmp:scheduler@0.1.0 that imports nothing else";

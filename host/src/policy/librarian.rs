//! The librarian: a thread that watches the folder, checks what arrives, and decides by [`super::choice`] which policy
//! rules. Compiling and file trouble happen here, so that rounds never wait for them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use ffrtmp_api::rest::LogLevel;
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind, RenameMode};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::oneshot;

use super::accepted::Accepted;
use super::board::{Board, State};
use super::choice::{Arrival, Arrivals, Choice, Memory, Mode};
use super::command::{CommandError, PolicyCommand};
use super::compiler::Compiler;
use super::component::{self, Compiled, Loaded, Refusal, short};
use super::engine::PolicyEngine;
use super::folder::{Folder, Found, policy_name};
use super::host::PolicyEvent;
use super::instance::Instance;
use super::limits::Limits;
use super::seat::Seat;
use super::settings::Settings;
use super::shadow::Shadows;
use super::thread::{Order, Reply};
use crate::policy::{NATIVE, RULE};

/// How often the folder is looked at without a hint. Hints get lost: network file systems give none, queues overflow.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often while something is under way.
const LOOK_SOON: Duration = Duration::from_millis(15);
/// Compiled policies kept, so that going back is immediate.
const COMPILED_MAX: usize = 8;

/// What the librarian is told.
#[derive(Debug)]
pub(super) enum Note {
    /// Something happened in the folder; named files are complete.
    Hint(Vec<String>),
    /// A policy failed so often that it was dethroned.
    Failed {
        /// Which.
        choice: Choice,
        /// Its last fault.
        message: String,
    },
    /// An order, and where its outcome goes.
    Command {
        /// What to do.
        command: PolicyCommand,
        /// Told when it is done and in effect.
        reply: oneshot::Sender<Result<(), CommandError>>,
    },
    /// End.
    Stop,
}

/// A policy that passed every check, and an instance of it that is ready to rule.
pub(super) type Arrived = (Arc<Loaded>, Instance);

/// All that the librarian works with.
pub(super) struct Librarian {
    pub(super) engine: PolicyEngine,
    pub(super) compiler: Compiler,
    pub(super) limits: Limits,
    pub(super) folder: Folder,
    pub(super) accepted: Accepted,
    pub(super) memory: Memory,
    pub(super) board: Arc<Board>,
    pub(super) shadows: Arc<Shadows>,
    pub(super) notes: Receiver<Note>,
    pub(super) own_notes: Sender<Note>,
    pub(super) thread: Sender<Order>,
    pub(super) events: Arc<dyn Fn(PolicyEvent) + Send + Sync>,
    pub(super) mode: Mode,
    pub(super) current: Choice,
    /// Digests of the files in the folder, by name.
    pub(super) present: BTreeMap<String, String>,
    /// Names of files still to be checked, to be listed; none of them is to be chosen.
    pub(super) later: Vec<String>,
    pub(super) arrivals: Arrivals,
    /// What the settings files in the folder say, by name.
    pub(super) beside: BTreeMap<String, Result<Arc<Settings>, String>>,
    /// The settings under which the current choice rules; none for the built-in policy.
    pub(super) in_force: Option<Arc<Settings>>,
    /// Settings of which a copy is still to be kept, and whose they are.
    pub(super) unkept: Option<(String, Arc<Settings>)>,
    /// By digest.
    pub(super) compiled: HashMap<String, Compiled>,
    pub(super) watcher: Option<RecommendedWatcher>,
}

impl Librarian {
    /// Before anything else runs: finds the policy to begin with, and takes note of what lies in the folder without
    /// choosing any of it. Gives the seat to begin with.
    pub(super) fn begin(&mut self, saved: Option<Choice>, initial: &str) -> Seat {
        // A pin is written before it is answered, so it is never behind the saved choice.
        let saved = self.memory.pinned().cloned().or(saved);
        let fresh = saved.is_none();
        let mut wanted = saved;
        let mut files = HashMap::new();
        for found in self.look_at_all() {
            let Found::File { name, bytes, .. } = found else {
                continue;
            };
            match bytes {
                Ok(bytes) => {
                    let choice = Choice {
                        name: name.clone(),
                        digest: component::digest(&bytes),
                    };
                    if fresh && name == initial {
                        wanted = Some(choice.clone());
                    }
                    self.memory.saw(&choice);
                    self.present.insert(name.clone(), choice.digest.clone());
                    // Of the others only the digest is needed now: a folder may hold gigabytes.
                    if wanted.as_ref().is_some_and(|w| w.name == name) {
                        files.insert(name, (choice, bytes));
                    } else {
                        self.later.push(name);
                    }
                }
                Err(why) => self.refuse(&name, "", &Refusal::Read(why)),
            }
        }
        let seat = self.first_seat(wanted, fresh, initial, &files);
        for (name, (choice, _)) in files {
            if choice != self.current {
                self.later.push(name);
            }
        }
        // Popped from the end: checked in the order of their names.
        self.later.sort_by(|a, b| b.cmp(a));
        self.show_what_chooses();
        let mode = self.mode.as_str();
        let pinned = self.memory.pinned().map_or_else(String::new, |choice| {
            format!(" Now: {} is pinned.", choice.name)
        });
        let message = format!("{RULE} Mode {mode}.{pinned}");
        let journal = self.engine.journal();
        journal.happened(LogLevel::Info, "policy_rule", "", "", None, message);
        self.remember();
        seat
    }

    /// All files as they are, the settings among them noted.
    fn look_at_all(&mut self) -> Vec<Found> {
        let mut files = Vec::new();
        // The second look gives the policies whose settings the first one gave.
        for _ in 0..2 {
            for found in self.folder.look(&[], true) {
                match found {
                    Found::Settings { name, bytes } => self.note_settings(&name, bytes),
                    other => files.push(other),
                }
            }
        }
        files
    }

    /// Whether a file that arrives may become the choice.
    fn files_choose(&self) -> bool {
        self.mode == Mode::Automatic && self.memory.pinned().is_none()
    }

    /// Checks one of the files that are only to be listed.
    fn check_one_of_the_rest(&mut self) {
        let Some(name) = self.later.pop() else { return };
        // One that cannot be read now, or changed since, is met again by a look at the folder.
        let Ok(bytes) = self.folder.content(&name) else {
            return;
        };
        let choice = Choice {
            digest: component::digest(&bytes),
            name,
        };
        if choice == self.current || self.present.get(&choice.name) != Some(&choice.digest) {
            return;
        }
        if self.memory.is_disabled(&choice.name) {
            self.show_disabled(&choice.name);
        } else if self.memory.has_failed(&choice) {
            self.show_failed(&choice);
        } else {
            match self.check(&choice.name, &bytes) {
                Ok((loaded, _)) => self.show_ready(&loaded),
                Err(refusal) => self.refuse(&choice.name, &choice.digest, &refusal),
            }
            self.remember(); // its machine code was kept
        }
    }

    pub(super) fn show_ready(&self, loaded: &Loaded) {
        let (digest, version) = (short(&loaded.digest), &loaded.info.version);
        self.board
            .set(&loaded.name, version, digest, State::Ready, None);
        self.board
            .written_in(&loaded.name, digest, loaded.language.as_deref());
        self.board.no_error(&loaded.name, digest);
        if loaded.name != self.current.name {
            self.board.set_up(&loaded.name, &loaded.settings);
        }
    }

    /// Shows that a name must not rule.
    pub(super) fn show_disabled(&self, name: &str) {
        let digest = self.present.get(name).map_or("", |digest| short(digest));
        self.board.set(name, "", digest, State::Disabled, None);
    }

    fn first_seat(
        &mut self,
        wanted: Option<Choice>,
        fresh: bool,
        initial: &str,
        files: &HashMap<String, (Choice, Vec<u8>)>,
    ) -> Seat {
        let dir = self.folder.dir().display().to_string();
        let Some(wanted) = wanted else {
            let wanted = Choice {
                name: initial.to_owned(),
                digest: String::new(),
            };
            let message =
                format!("there is no such policy in the folder {dir}; the built-in one rules");
            self.happened(LogLevel::Warn, "policy_missing", &wanted, None, message);
            return Seat::native();
        };
        if wanted.is_native() {
            return Seat::native();
        }
        self.current = wanted.clone();
        let unusable = if self.memory.is_disabled(&wanted.name) {
            Some("the chosen policy is disabled".to_owned())
        } else if self.files_choose() && !self.folder.has(&wanted.name) {
            Some(format!("the chosen policy's file is gone from {dir}"))
        } else if self.memory.has_failed(&wanted) {
            Some("the chosen policy has failed too often".to_owned())
        } else {
            None
        };
        if let Some(why) = unusable {
            self.happened(LogLevel::Warn, "policy_missing", &wanted, None, why);
        } else {
            let on_disk = files
                .get(&wanted.name)
                .filter(|(choice, _)| *choice == wanted)
                .map(|(_, bytes)| bytes.clone());
            if on_disk.is_none() {
                let message = "the chosen policy's file was changed while the master was away; the kept copy rules";
                let message = message.to_owned();
                self.happened(LogLevel::Warn, "policy_kept", &wanted, None, message);
            }
            if let Some(seat) = self.seat_of(&wanted, on_disk) {
                self.chose(&wanted, fresh);
                self.ruled_by(&seat);
                return seat;
            }
        }
        let seat = self.earlier_seat();
        self.ruled_by(&seat);
        seat
    }

    /// Works until told to stop.
    pub(super) fn run(mut self) {
        self.watch();
        // At once: what arrived before the watch began gave no hint.
        let mut next = Instant::now();
        loop {
            let mut told = Vec::new();
            let wait = match self.later.is_empty() {
                true => next.saturating_duration_since(Instant::now()),
                false => Duration::ZERO,
            };
            match self.notes.recv_timeout(wait) {
                Ok(note) => {
                    let mut note = Some(note);
                    // Drain what came with it: one look serves all.
                    while let Some(one) = note {
                        match one {
                            Note::Hint(names) => told.extend(names),
                            Note::Failed { choice, message } => self.failed(&choice, &message),
                            Note::Command { command, reply } => self.answer(command, reply),
                            Note::Stop => return,
                        }
                        note = self.notes.try_recv().ok();
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let found = self.folder.look(&told, false);
            self.act(found);
            self.check_one_of_the_rest();
            if self.watcher.is_none() {
                self.watch();
            }
            next = Instant::now()
                + if self.folder.unsettled() {
                    LOOK_SOON
                } else {
                    LOOK_EVERY
                };
        }
    }

    /// Carries out an order. The answer goes by way of the policy thread, behind what the order installed there.
    fn answer(&mut self, command: PolicyCommand, to: oneshot::Sender<Result<(), CommandError>>) {
        let result = self.command(command);
        // A policy thread that is gone means that the master is stopping.
        let _ = self.thread.send(Order::Reply(Reply { to, result }));
    }

    fn act(&mut self, found: Vec<Found>) {
        if found.is_empty() {
            return;
        }
        let mut arrived = Vec::new();
        let mut settings = Vec::new();
        for found in found {
            match found {
                Found::Settings { name, bytes } => {
                    self.note_settings(&name, bytes);
                    settings.push(name);
                }
                Found::Gone { name } => self.gone(&name),
                Found::File {
                    name,
                    bytes: Err(why),
                    ..
                } => {
                    self.present.remove(&name);
                    self.refuse(&name, "", &Refusal::Read(why));
                }
                Found::File {
                    name,
                    bytes: Ok(bytes),
                    noticed,
                } => {
                    if let Some(loaded) = self.consider(&name, &bytes) {
                        arrived.push((loaded, noticed, bytes));
                    }
                }
            }
        }
        for name in settings {
            if let Some((loaded, bytes)) = self.apply_settings(&name) {
                arrived.push((loaded, Instant::now(), bytes));
            }
        }
        // All that was met in one look is told first, so that files which came together are known to before one is chosen.
        let mut verdict = None;
        let mut keep = Vec::new();
        for ((loaded, instance), noticed, bytes) in arrived {
            let arrival = self.arrivals.arrived(&loaded.name, noticed, &self.current);
            keep.push((loaded.clone(), bytes));
            verdict = Some((arrival, loaded, instance));
        }
        match verdict {
            None => {}
            Some((Arrival::Alone, loaded, instance)) => {
                let choice = Choice {
                    name: loaded.name.clone(),
                    digest: loaded.digest.clone(),
                };
                self.install(Seat::wasm(loaded, instance), &choice);
            }
            Some((Arrival::Together { names, before }, ..)) => {
                let message = format!(
                    "several new policies arrived within 2 s ({}), so none of them was chosen and {} rules; `ffrtmp policies activate NAME` chooses one",
                    names.join(", "),
                    before.name
                );
                let journal = self.engine.journal();
                journal.happened(LogLevel::Warn, "policies_together", "", "", None, message);
                if before != self.current {
                    self.go_back_to(before);
                }
            }
        }
        // Only now the disk: a sync can take long, and the swap need not wait for it.
        for (loaded, bytes) in keep {
            self.keep(&loaded.name, &loaded.digest, &bytes);
        }
        self.remember();
    }

    fn keep(&self, name: &str, digest: &str, bytes: &[u8]) {
        if let Err(error) = self.accepted.keep(digest, bytes) {
            tracing::warn!(policy = name, %error, "no copy of the policy could be kept; going back to it may not work");
        }
    }

    /// Writes the memory, and removes copies that nothing leads to.
    pub(super) fn remember(&mut self) {
        if let Some((name, settings)) = self.unkept.take() {
            self.keep_settings(&name, &settings);
        }
        self.accepted.remember(&self.memory);
        self.accepted.keep_only(&self.memory);
    }

    /// A file is complete. If it is new and passes every check, it may become the choice.
    pub(super) fn consider(&mut self, name: &str, bytes: &[u8]) -> Option<Arrived> {
        let choice = Choice {
            name: name.to_owned(),
            digest: component::digest(bytes),
        };
        self.present.insert(name.to_owned(), choice.digest.clone());
        if choice == self.current {
            return None;
        }
        let shown = [State::Refused, State::Ready, State::Disabled];
        self.board.forget(name, &shown);
        if self.memory.is_disabled(name) {
            self.memory.saw(&choice);
            self.show_disabled(name);
            let message = "a file of a disabled name is not looked into".to_owned();
            self.happened(LogLevel::Info, "policy_disabled", &choice, None, message);
            return None;
        }
        if self.memory.has_failed(&choice) {
            let message = "this policy has failed too often and is not chosen again".to_owned();
            self.happened(
                LogLevel::Warn,
                "policy_failed_before",
                &choice,
                None,
                message,
            );
            self.show_failed(&choice);
            return None;
        }
        let known = self.memory.has_seen(&choice);
        let (loaded, instance) = match self.check(name, bytes) {
            Ok(checked) => checked,
            Err(refusal) => {
                self.refuse(name, &choice.digest, &refusal);
                return None;
            }
        };
        self.show_ready(&loaded);
        self.memory.saw(&choice);
        if !self.files_choose() {
            let message = format!(
                "the policy passed every check, but files choose nothing now and {} rules on; `ffrtmp policies activate {name}` chooses it",
                self.current.name
            );
            self.happened(LogLevel::Info, "policy_waits", &choice, None, message);
            return None;
        }
        if known {
            let message = format!(
                "this file was here before under that name, so it is not chosen by itself and {} rules on; `ffrtmp policies activate {name}` chooses it",
                self.current.name
            );
            self.happened(LogLevel::Warn, "policy_seen_before", &choice, None, message);
            return None;
        }
        Some((loaded, instance))
    }

    fn check(&mut self, name: &str, bytes: &[u8]) -> Result<Arrived, Refusal> {
        let from = Instant::now();
        let compiled = self.compile(name, bytes)?;
        let (loaded, instance) = self.try_out(name, &compiled)?;
        let checked = Choice {
            name: name.to_owned(),
            digest: loaded.digest.clone(),
        };
        let message = format!(
            "the policy (version {:?}, {}) arrived and passed every check in {} ms",
            loaded.info.version,
            loaded.language.as_deref().unwrap_or("language unknown"),
            from.elapsed().as_millis()
        );
        self.happened(LogLevel::Info, "policy_checked", &checked, None, message);
        Ok((loaded, instance))
    }

    /// Compiles, unless that was done of late.
    pub(super) fn compile(&mut self, name: &str, bytes: &[u8]) -> Result<Compiled, Refusal> {
        let digest = component::digest(bytes);
        if let Some(compiled) = self.compiled.get(&digest) {
            return Ok(compiled.clone());
        }
        let limits = match self.beside.get(name) {
            Some(Ok(settings)) => &settings.limits,
            _ => &self.limits,
        };
        let compiled = self
            .compiler
            .compile(name, bytes, limits, &mut self.memory)?;
        if self.compiled.len() >= COMPILED_MAX {
            self.compiled
                .retain(|digest, _| *digest == self.current.digest);
        }
        self.compiled.insert(digest, compiled.clone());
        Ok(compiled)
    }

    fn refuse(&mut self, name: &str, digest: &str, refusal: &Refusal) {
        self.board.forget(name, &[State::Refused]);
        self.board.set(
            name,
            "",
            short(digest),
            State::Refused,
            Some(refusal.to_string()),
        );
        self.board.metrics.refused(refusal);
        let refused = Choice {
            name: name.to_owned(),
            digest: digest.to_owned(),
        };
        let message = format!("the file {refusal}; {} goes on ruling", self.current.name);
        let stage = Some(refusal.stage());
        self.happened(LogLevel::Warn, "policy_refused", &refused, stage, message);
    }

    /// A file was removed. What ruled from it goes, unless it was chosen by a command.
    pub(super) fn gone(&mut self, name: &str) {
        self.memory.removed(name);
        let digest = self.present.remove(name);
        let rules = self.current.name == name && !self.current.is_native();
        let removed = Choice {
            name: name.to_owned(),
            digest: digest.unwrap_or_default(),
        };
        let message = match rules {
            true => "the file of the policy that rules was removed",
            false => "the policy's file was removed",
        };
        let message = message.to_owned();
        self.happened(LogLevel::Info, "policy_removed", &removed, None, message);
        if rules && !self.files_choose() {
            let message = "it was chosen by a command, so its kept copy rules on; `ffrtmp policies rollback` or `activate` ends that";
            let message = message.to_owned();
            self.happened(LogLevel::Warn, "policy_kept", &removed, None, message);
            return;
        }
        if rules {
            let seat = self.earlier_seat();
            self.send(seat);
        }
        self.board.gone(name);
    }

    fn failed(&mut self, choice: &Choice, message: &str) {
        self.memory.failed(choice);
        let error =
            format!("it failed too often and is not chosen again; the last time: {message}");
        self.board.set(
            &choice.name,
            "",
            short(&choice.digest),
            State::Faulted,
            Some(error),
        );
        // Another may have been chosen while this note was on its way.
        if self.current == *choice {
            let seat = self.earlier_seat();
            self.send(seat);
        } else {
            self.board.metrics.breaker(false);
        }
        self.remember();
    }

    fn show_failed(&self, choice: &Choice) {
        let error = Some("it failed too often and is not chosen again".to_owned());
        self.board.set(
            &choice.name,
            "",
            short(&choice.digest),
            State::Faulted,
            error,
        );
    }

    fn go_back_to(&mut self, choice: Choice) {
        let seat = match choice.is_native() {
            true => None,
            false => self.seat_of(&choice, None),
        };
        match seat {
            Some(seat) => self.install(seat, &choice),
            None if choice.is_native() => self.install(Seat::native(), &choice),
            None => {
                let seat = self.earlier_seat();
                self.send(seat);
            }
        }
    }

    /// A seat for the newest earlier choice that is still there and works; the built-in one's if there is none.
    pub(super) fn earlier_seat(&mut self) -> Seat {
        let (folder, any) = (&self.folder, !self.files_choose());
        let usable = |name: &str| any || folder.has(name);
        for choice in self.memory.earlier(&self.current, usable) {
            if let Some(seat) = self.seat_of(&choice, None) {
                let message = format!("going back to an earlier policy, {}", choice.name);
                self.happened(LogLevel::Warn, "policy_went_back", &choice, None, message);
                self.chose(&choice, true);
                return seat;
            }
        }
        let native = Choice::native();
        let message = "no earlier policy is left to go back to; the built-in one rules".to_owned();
        self.happened(LogLevel::Warn, "policy_went_back", &native, None, message);
        self.chose(&native, true);
        Seat::native()
    }

    /// A seat for a known policy: from what is compiled, else from the bytes at hand, else from the kept copy.
    fn seat_of(&mut self, choice: &Choice, bytes: Option<Vec<u8>>) -> Option<Seat> {
        match self.seat_or_refusal(choice, bytes) {
            Ok(seat) => Some(seat),
            Err(refusal) => {
                self.refuse(&choice.name, &choice.digest, &refusal);
                if self.beside.contains_key(&choice.name) {
                    // Its settings may be all that is wrong with it: with others, it is new.
                    self.memory.unsee(choice);
                }
                None
            }
        }
    }

    /// The same, with the reason where there is none.
    pub(super) fn seat_or_refusal(
        &mut self,
        choice: &Choice,
        bytes: Option<Vec<u8>>,
    ) -> Result<Seat, Refusal> {
        if let Some(compiled) = self.compiled.get(&choice.digest).cloned() {
            let (loaded, instance) = self.try_out(&choice.name, &compiled)?;
            if let Some(bytes) = bytes {
                self.keep(&choice.name, &choice.digest, &bytes);
            }
            return Ok(Seat::wasm(loaded, instance));
        }
        let bytes = bytes
            .map_or_else(|| self.accepted.read(&choice.digest), Ok)
            .map_err(|error| Refusal::Read(format!("no copy of it is left: {error}")))?;
        let (loaded, instance) = self.check(&choice.name, &bytes)?;
        self.keep(&choice.name, &choice.digest, &bytes);
        Ok(Seat::wasm(loaded, instance))
    }

    /// Lets a seat rule from the next round on, and notes its policy as the choice.
    pub(super) fn install(&mut self, seat: Seat, choice: &Choice) {
        self.send(seat);
        self.board.metrics.breaker(false);
        self.chose(choice, true);
    }

    /// Something happened to a policy: for the log, and for `policies log`.
    pub(super) fn happened(
        &self,
        level: LogLevel,
        event: &'static str,
        policy: &Choice,
        stage: Option<&'static str>,
        message: String,
    ) {
        let (name, digest) = (&policy.name, short(&policy.digest));
        let journal = self.engine.journal();
        journal.happened(level, event, name, digest, stage, message);
    }

    /// Notes the choice here and with the master.
    fn chose(&mut self, choice: &Choice, tell: bool) {
        self.current = choice.clone();
        if !choice.is_native() {
            self.memory.chose(choice);
        }
        if tell {
            (self.events)(PolicyEvent::Chosen(choice.clone()));
        }
    }

    /// Hands a seat to the policy thread.
    pub(super) fn send(&mut self, seat: Seat) {
        let (name, settings) = (seat.choice().name.clone(), seat.settings().cloned());
        // A policy thread that is gone means that the master is stopping.
        let _ = self.thread.send(Order::Install(Box::new(seat)));
        self.rules_with(&name, settings);
    }

    /// Notes the settings of the first seat, which nobody sends.
    fn ruled_by(&mut self, seat: &Seat) {
        self.rules_with(&seat.choice().name.clone(), seat.settings().cloned());
    }

    fn rules_with(&mut self, name: &str, settings: Option<Arc<Settings>>) {
        // Kept by the next `remember`, behind the swap: a disk can take long.
        self.unkept = settings.clone().map(|settings| (name.to_owned(), settings));
        self.in_force = settings;
    }

    fn watch(&mut self) {
        let notes = self.own_notes.clone();
        let made = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return };
            if matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write))
            {
                return;
            }
            let complete = matches!(
                event.kind,
                EventKind::Access(AccessKind::Close(AccessMode::Write))
                    | EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both))
            );
            let named = event
                .paths
                .iter()
                .filter_map(|path| policy_name(path.file_name()?.to_str()?));
            let names = if complete {
                named.map(str::to_owned).collect()
            } else {
                Vec::new()
            };
            // A librarian that is gone needs no hints.
            let _ = notes.send(Note::Hint(names));
        });
        let watching = made.and_then(|mut watcher| {
            watcher.watch(self.folder.dir(), RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        match watching {
            Ok(watcher) => self.watcher = Some(watcher),
            Err(error) => {
                tracing::debug!(%error, "the policies folder cannot be watched; it is looked at every 5 s")
            }
        }
    }
}

impl std::fmt::Debug for Librarian {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Librarian of {} ({NATIVE} is built in)",
            self.folder.dir().display()
        )
    }
}

//! What people order of the policy host: activate, unpin, disable, enable, roll back. Each is done, remembered on disk and
//! in effect before it is answered.
//!
//! Runs on the librarian's thread, where everything else that chooses runs too, so that a command and a file that arrives at
//! the same moment cannot contradict each other.

use ffrtmp_api::rest::LogLevel;

use super::NATIVE;
use super::board::State;
use super::choice::{Choice, Mode};
use super::component::{self, Refusal, short};
use super::host::PolicyEvent;
use super::librarian::Librarian;
use super::seat::Seat;

/// Fewest hex digits by which a policy can be named.
const DIGEST_DIGITS_MIN: usize = 4;

/// An order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyCommand {
    /// Let this policy rule, and pin it: a name, the beginning of a digest, or `native`.
    Activate(String),
    /// Let the files choose again.
    Unpin,
    /// A policy of this name must not rule.
    Disable(String),
    /// It may again.
    Enable(String),
    /// Let the policy rule that ruled before this one, the built-in one if there is none.
    Rollback,
    /// Ask this policy what the one that rules is asked, and carry out nothing it says: a name, the beginning of a digest, or
    /// `native`.
    Shadow(String),
    /// End that.
    Unshadow,
}

/// Why an order was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// No such policy.
    #[error(
        "there is no policy {0:?} in the folder, and none was kept; `ffrtmp policies list` shows those there are"
    )]
    Unknown(String),
    /// Not as things are.
    #[error("{0}")]
    Conflict(String),
    /// The policy did not pass its checks.
    #[error("{name} cannot rule: the file {refusal}")]
    Refused {
        /// Which.
        name: String,
        /// Why.
        refusal: Refusal,
    },
    /// It could not be made durable; nothing was changed.
    #[error("nothing was changed, because it could not be remembered: {0}")]
    NotRemembered(String),
    /// The master is stopping.
    #[error("the master is stopping")]
    Stopping,
}

impl Librarian {
    /// Carries out an order. The policy thread has been told when it returns.
    pub(super) fn command(&mut self, command: PolicyCommand) -> Result<(), CommandError> {
        let done = match command.clone() {
            PolicyCommand::Activate(what) => self.activate(&what),
            PolicyCommand::Unpin => self.unpin(),
            PolicyCommand::Disable(name) => self.disable(&name),
            PolicyCommand::Enable(name) => self.enable(&name),
            PolicyCommand::Rollback => self.roll_back(),
            PolicyCommand::Shadow(what) => self.shadow(&what),
            PolicyCommand::Unshadow => self.unshadow(),
        };
        let (level, message) = match &done {
            Ok(()) => {
                let rules = &self.current.name;
                let message = format!("{command:?} was carried out; {rules} rules");
                (LogLevel::Info, message)
            }
            Err(error) => {
                let message = format!("{command:?} was not carried out: {error}");
                (LogLevel::Warn, message)
            }
        };
        let current = self.current.clone();
        self.happened(level, "policy_command", &current, None, message);
        self.show_what_chooses();
        done
    }

    /// Shows the mode and the pin.
    pub(super) fn show_what_chooses(&self) {
        let pinned = self.memory.pinned();
        let shown = pinned.map(|choice| format!("{}@{}", choice.name, short(&choice.digest)));
        self.board.chooses(self.mode, shown);
    }

    fn activate(&mut self, what: &str) -> Result<(), CommandError> {
        let choice = self.find(what)?;
        if self.memory.is_disabled(&choice.name) && !choice.is_native() {
            return Err(CommandError::Conflict(format!(
                "{0} is disabled; `ffrtmp policies enable {0}` lets it rule",
                choice.name
            )));
        }
        let seat = match choice == self.current {
            true => None,
            false => Some(self.seat_by_command(&choice)?),
        };
        let mut memory = self.memory.clone();
        memory.forgive(&choice);
        memory.pin(Some(choice.clone()));
        memory.saw(&choice);
        self.remember_or_refuse(memory)?;
        // What rules already was chosen by the breaker; now it was by a person.
        self.board.metrics.breaker(false);
        if let Some(seat) = seat {
            self.install(seat, &choice);
            self.remember();
        }
        Ok(())
    }

    fn unpin(&mut self) -> Result<(), CommandError> {
        if self.mode == Mode::Manual {
            return Err(CommandError::Conflict(
                "the master runs in policy mode manual, where only commands choose; start it with \
                 `--policy-mode automatic` to let files choose"
                    .into(),
            ));
        }
        let mut memory = self.memory.clone();
        memory.pin(None);
        self.remember_or_refuse(memory)?;
        // What was pinned may have ruled on without its file.
        if !self.current.is_native() && !self.folder.has(&self.current.name) {
            let name = self.current.name.clone();
            self.gone(&name);
            self.remember();
        }
        Ok(())
    }

    fn disable(&mut self, name: &str) -> Result<(), CommandError> {
        let known = self.present.contains_key(name)
            || self.board.knows(name)
            || self.memory.earlier_choices().any(|c| c.name == name);
        if !known {
            return Err(CommandError::Unknown(name.to_owned()));
        }
        let mut memory = self.memory.clone();
        memory
            .set_disabled(name, true)
            .map_err(CommandError::Conflict)?;
        if memory
            .pinned()
            .is_some_and(|c| c.name == name && !c.is_native())
        {
            memory.pin(None);
        }
        self.remember_or_refuse(memory)?;
        self.board
            .forget(name, &[State::Ready, State::Refused, State::Faulted]);
        self.show_disabled(name);
        if self.current.name == name && !self.current.is_native() {
            let seat = self.earlier_seat();
            self.send(seat);
            self.remember();
        }
        Ok(())
    }

    fn enable(&mut self, name: &str) -> Result<(), CommandError> {
        if !self.memory.is_disabled(name) {
            return match self.present.contains_key(name) || self.board.knows(name) {
                true => Ok(()),
                false => Err(CommandError::Unknown(name.to_owned())),
            };
        }
        let mut memory = self.memory.clone();
        memory
            .set_disabled(name, false)
            .map_err(CommandError::Conflict)?;
        self.remember_or_refuse(memory)?;
        self.board.forget(name, &[State::Disabled]);
        if self.present.contains_key(name) {
            self.later.push(name.to_owned());
        }
        Ok(())
    }

    fn roll_back(&mut self) -> Result<(), CommandError> {
        let left = self.current.clone();
        let mut refused = None;
        for choice in self.memory.earlier(&left, |_| true) {
            match self.seat_by_command(&choice) {
                Ok(seat) => {
                    let mut memory = self.memory.clone();
                    memory.rolled_back(&left);
                    memory.saw(&left);
                    if memory.pinned().is_some() {
                        memory.pin(Some(choice.clone()));
                    }
                    self.remember_or_refuse(memory)?;
                    self.install(seat, &choice);
                    self.remember();
                    return Ok(());
                }
                Err(error) => refused = Some(error),
            }
        }
        if let Some(error) = refused {
            return Err(error);
        }
        if left.is_native() {
            return Err(CommandError::Conflict(
                "no policy is left to go back to; `ffrtmp policies activate NAME` chooses any that is listed"
                    .into(),
            ));
        }
        let mut memory = self.memory.clone();
        memory.rolled_back(&left);
        if memory.pinned().is_some() {
            memory.pin(Some(Choice::native()));
        }
        self.remember_or_refuse(memory)?;
        self.install(Seat::native(), &Choice::native());
        Ok(())
    }

    fn shadow(&mut self, what: &str) -> Result<(), CommandError> {
        let choice = self.find(what)?;
        let seat = self.seat_by_command(&choice)?;
        let started = self
            .shadows
            .start(seat, self.engine.clone(), self.board.clone());
        started.map_err(|error| {
            CommandError::Conflict(format!("no thread could be made for it: {error}"))
        })?;
        // Only now: what the core tells from here on, it is told.
        (self.events)(PolicyEvent::Shadow(true));
        Ok(())
    }

    fn unshadow(&mut self) -> Result<(), CommandError> {
        if !self.shadows.stop() {
            let why = "no policy is in the shadow; `ffrtmp policies shadow NAME` puts one there";
            return Err(CommandError::Conflict(why.into()));
        }
        (self.events)(PolicyEvent::Shadow(false));
        Ok(())
    }

    /// The policy that a name or the beginning of a digest means: among the files of the folder and the kept copies.
    fn find(&self, what: &str) -> Result<Choice, CommandError> {
        if what == NATIVE {
            return Ok(Choice::native());
        }
        let in_folder = self.present.iter().map(|(name, digest)| Choice {
            name: name.clone(),
            digest: digest.clone(),
        });
        let kept = self.memory.earlier_choices().cloned();
        let all: Vec<Choice> = in_folder.chain(kept).collect();
        if let Some(choice) = all.iter().find(|c| c.name == what) {
            return Ok(choice.clone());
        }
        let hex = what.len() >= DIGEST_DIGITS_MIN && what.chars().all(|c| c.is_ascii_hexdigit());
        let digits = what.to_ascii_lowercase();
        let mut found: Vec<&Choice> = all
            .iter()
            .filter(|c| hex && c.digest.starts_with(&digits))
            .collect();
        found.dedup();
        found.sort_by(|a, b| (&a.name, &a.digest).cmp(&(&b.name, &b.digest)));
        found.dedup();
        match found.as_slice() {
            [] => Err(CommandError::Unknown(what.to_owned())),
            [one] => Ok((*one).clone()),
            several => {
                let names: Vec<String> = several
                    .iter()
                    .map(|c| format!("{}@{}", c.name, short(&c.digest)))
                    .collect();
                Err(CommandError::Conflict(format!(
                    "{what} can mean {}; give the name or more digits",
                    names.join(" or ")
                )))
            }
        }
    }

    /// A seat for a policy that somebody asked for: from the kept copy or its file, whichever has those bytes.
    fn seat_by_command(&mut self, choice: &Choice) -> Result<Seat, CommandError> {
        if choice.is_native() {
            return Ok(Seat::native());
        }
        let file = match self.folder.has(&choice.name) {
            true => self.folder.content(&choice.name).ok(),
            false => None,
        };
        let bytes = file.filter(|bytes| component::digest(bytes) == choice.digest);
        self.seat_or_refusal(choice, bytes)
            .map_err(|refusal| CommandError::Refused {
                name: choice.name.clone(),
                refusal,
            })
    }

    /// Takes a changed memory over, if it can be written.
    fn remember_or_refuse(&mut self, memory: super::choice::Memory) -> Result<(), CommandError> {
        self.accepted
            .write(&memory)
            .map_err(|error| CommandError::NotRemembered(error.to_string()))?;
        self.memory = memory;
        Ok(())
    }
}

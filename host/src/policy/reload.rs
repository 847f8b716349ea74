//! `NAME.toml` taken live: a change makes a new instance, off the policy thread, that takes the old one's seat between two
//! rounds; one that cannot be used changes nothing but what is shown.
//!
//! The settings under which a policy last ruled are kept with its bytes, so that a restart beside a broken file runs what
//! ran before.

use std::sync::Arc;

use ffrtmp_api::rest::LogLevel;

use super::board::State;
use super::choice::Choice;
use super::component::{self, Compiled, Loaded, Refusal, short};
use super::instance::Instance;
use super::librarian::{Arrived, Librarian};
use super::seat::Seat;
use super::settings::{self, Settings};

impl Librarian {
    /// Takes note of settings that appeared, changed or went. The policies are told by [`Librarian::apply_settings`].
    pub(super) fn note_settings(&mut self, name: &str, bytes: Option<Result<Vec<u8>, String>>) {
        let Some(bytes) = bytes else {
            self.beside.remove(name);
            self.folder.allow(name, None);
            return;
        };
        let parsed = bytes
            .map_err(|why| format!("{name}.toml cannot be read: {why}"))
            .and_then(|bytes| {
                settings::parse_bytes(&bytes, &self.limits)
                    .map_err(|why| format!("{name}.toml: {why}"))
            });
        if let Ok(settings) = &parsed {
            let own = settings.sets("file_bytes");
            self.folder
                .allow(name, own.then_some(settings.limits.file_bytes));
        }
        self.beside.insert(name.to_owned(), parsed.map(Arc::new));
    }

    /// Puts changed settings in force, where they can be used. May give a policy that only now passes every check.
    pub(super) fn apply_settings(&mut self, name: &str) -> Option<(Arrived, Vec<u8>)> {
        if self.current.name == name && !self.current.is_native() {
            match self.reload() {
                Ok(()) => {}
                Err(refusal) => self.refuse_settings(name, &refusal),
            }
            return None;
        }
        let bytes = self.folder.content(name).ok()?;
        let choice = Choice {
            name: name.to_owned(),
            digest: component::digest(&bytes),
        };
        if self.present.get(name) != Some(&choice.digest) {
            return None;
        }
        if self.memory.has_seen(&choice) {
            self.later.push(choice.name);
            return None;
        }
        self.consider(name, &bytes).map(|arrived| (arrived, bytes))
    }

    /// Makes an instance with the settings as they are now, and lets it rule.
    fn reload(&mut self) -> Result<(), Refusal> {
        let choice = self.current.clone();
        let settings = self.wanted_settings(&choice.name)?;
        let unchanged = self
            .in_force
            .as_ref()
            .is_some_and(|now| now.same_in_effect(&settings));
        if unchanged {
            self.board.no_error(&choice.name, short(&choice.digest));
            self.keep_settings(&choice.name, &settings);
            self.remember();
            return Ok(());
        }
        let compiled = match self.compiled.get(&choice.digest) {
            Some(compiled) => compiled.clone(),
            None => {
                let bytes = self
                    .accepted
                    .read(&choice.digest)
                    .map_err(|error| Refusal::Read(format!("no copy of it is left: {error}")))?;
                self.compile(&choice.name, &bytes)?
            }
        };
        let (loaded, instance) =
            component::try_out(&self.engine, &choice.name, &compiled, settings)?;
        let message = "changed settings are in force from the next round on".to_owned();
        self.happened(LogLevel::Info, "policy_settings", &choice, None, message);
        // First, so that whoever sees it rule sees no error of before.
        self.board.no_error(&choice.name, short(&choice.digest));
        self.send(Seat::wasm(loaded, instance));
        self.remember();
        Ok(())
    }

    /// What an operator wants for a policy: what its file says, or the defaults without one.
    fn wanted_settings(&self, name: &str) -> Result<Arc<Settings>, Refusal> {
        match self.beside.get(name) {
            Some(Ok(settings)) => Ok(settings.clone()),
            Some(Err(why)) => Err(Refusal::Settings(why.clone())),
            None => Ok(Arc::new(Settings::without_a_file(&self.limits))),
        }
    }

    /// Tries a policy with the settings beside it. Where these cannot be used, those under which it last ruled stand in.
    pub(super) fn try_out(
        &mut self,
        name: &str,
        compiled: &Compiled,
    ) -> Result<(Arc<Loaded>, Instance), Refusal> {
        let wanted = self.wanted_settings(name);
        let tried =
            wanted.and_then(|settings| component::try_out(&self.engine, name, compiled, settings));
        let refusal = match tried {
            Ok(made) => return Ok(made),
            Err(refusal) => refusal,
        };
        let Some(kept) = self.kept_settings(name) else {
            return Err(refusal);
        };
        let Ok(made) = component::try_out(&self.engine, name, compiled, kept) else {
            return Err(refusal);
        };
        let digest = short(&compiled.digest);
        self.board
            .set(name, &made.0.info.version, digest, State::Ready, None);
        self.refuse_settings(name, &refusal);
        Ok(made)
    }

    /// The settings under which a policy last ruled, if a file beside it says something else.
    fn kept_settings(&self, name: &str) -> Option<Arc<Settings>> {
        let beside = self.beside.get(name)?;
        let bytes = self
            .accepted
            .read_settings(self.memory.settings_of(name)?)
            .ok()?;
        let kept = settings::parse_bytes(&bytes, &self.limits).ok()?;
        let same = beside.as_ref().is_ok_and(|file| file.same_in_effect(&kept));
        (!same).then(|| Arc::new(kept))
    }

    /// Keeps the settings under which a policy rules.
    pub(super) fn keep_settings(&mut self, name: &str, settings: &Settings) {
        let kept = settings
            .text()
            .map(|text| self.accepted.keep_settings(text))
            .transpose();
        match kept {
            Ok(digest) => self.memory.ruled_with(name, digest),
            Err(error) => {
                tracing::warn!(policy = name, %error, "no copy of the policy's settings could be kept; a restart takes them from their file")
            }
        }
    }

    fn refuse_settings(&mut self, name: &str, refusal: &Refusal) {
        let error = match refusal {
            Refusal::Settings(why) => format!("its settings were not taken: {why}"),
            other => format!("its settings were not taken: with them it {other}"),
        };
        self.board.metrics.refused(refusal);
        let of = Choice {
            name: name.to_owned(),
            digest: self.present.get(name).cloned().unwrap_or_default(),
        };
        let message = format!("{error}; those it rules with stay in force");
        let stage = Some(refusal.stage());
        self.happened(
            LogLevel::Warn,
            "policy_settings_refused",
            &of,
            stage,
            message,
        );
        let digests: Vec<String> = [Some(&self.current.digest), self.present.get(name)]
            .into_iter()
            .flatten()
            .map(|digest| short(digest).to_owned())
            .collect();
        for digest in digests {
            self.board.error(name, &digest, error.clone());
        }
    }
}

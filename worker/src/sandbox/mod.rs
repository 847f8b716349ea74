//! What ffmpeg itself may touch, whatever its input makes of it: the last guard, which holds when a demuxer was taken over by
//! the file it reads.
//!
//! Four walls, each the kernel's. `files` (Landlock) names the files it may open and the ports it may connect to; `calls`
//! (seccomp) the system calls it goes without; `privileges` what is left of root; `user` another user altogether, if the
//! operator names one. `system` is what every ffmpeg reads to run at all, `needs` what one run reads and writes besides.
//! `kernel` finds out what there is, and [`Sandbox::reports`] says it.
//!
//! Everything is made ready in the worker, as a [`Seal`]; between fork and exec the child only makes the system calls in
//! `seal`. Nothing here decides what a job may name: that is [`crate::guard`].

mod calls;
mod files;
mod kernel;
mod needs;
mod privileges;
mod report;
mod seal;
mod system;
mod user;

use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use anyhow::{Context, bail};

use crate::{WorkerConfig, ffmpeg::program::Programs};
use kernel::Kernel;
use system::System;

pub(crate) use needs::{Grant, Needs, Network};
pub(crate) use seal::Seal;
pub(crate) use user::{User, acting};

/// Whether ffmpeg runs in a sandbox.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SandboxMode {
    /// In as much of one as this kernel has.
    #[default]
    Auto,
    /// In a whole one; where the kernel lacks a part the worker does not start.
    Require,
    /// In none.
    Off,
}

impl SandboxMode {
    /// The words for them.
    pub const WORDS: [(&'static str, SandboxMode); 3] = [
        ("auto", SandboxMode::Auto),
        ("require", SandboxMode::Require),
        ("off", SandboxMode::Off),
    ];
}

impl std::str::FromStr for SandboxMode {
    type Err = String;

    fn from_str(text: &str) -> Result<SandboxMode, String> {
        let found = SandboxMode::WORDS.iter().find(|(word, _)| *word == text);
        found
            .map(|(_, mode)| *mode)
            .ok_or_else(|| "use auto, require or off".to_owned())
    }
}

/// The sandbox of one worker. The default is none at all, for children that are no job's.
#[derive(Debug, Default)]
pub(crate) struct Sandbox {
    /// What of it is used; none: it is off.
    kernel: Option<Kernel>,
    /// What every child reads.
    system: System,
    /// What every child reads besides, by the operator's word.
    reads: Vec<PathBuf>,
    /// What every child writes besides, by the operator's word.
    writes: Vec<PathBuf>,
    /// Who the children are; none: the worker.
    user: Option<Arc<User>>,
}

impl Sandbox {
    /// What `config` asks for, on this kernel.
    ///
    /// # Errors
    /// A user that cannot be had, a folder that is not there, or a part that is missing where all of it is required.
    pub(crate) fn find(config: &WorkerConfig, programs: &Programs) -> anyhow::Result<Sandbox> {
        let user = match &config.run_as {
            Some(text) => Some(Arc::new(User::find(text).context("--run-as")?)),
            None => None,
        };
        let home = match &user {
            Some(user) => user.home.clone(),
            None => std::env::home_dir(),
        };
        // Whom servers are trusted by is read by ffmpeg itself.
        let media_ca = config.media_ca.as_deref().map(std::path::absolute);
        let media_ca = media_ca.transpose().context("--media-ca")?;
        let sandbox = Sandbox {
            kernel: (config.sandbox != SandboxMode::Off).then(Kernel::look),
            system: System::of(programs, home.as_deref()),
            reads: named("--sandbox-read", &config.sandbox_reads)?
                .into_iter()
                .chain(media_ca)
                .collect(),
            writes: named("--sandbox-write", &config.sandbox_writes)?,
            user,
        };
        if config.sandbox == SandboxMode::Require
            && let Some(lacking) = sandbox.reports().into_iter().find(|report| !report.holds)
        {
            bail!(
                "--sandbox require: {} do not hold here: {}; --sandbox auto does without",
                lacking.name,
                lacking.what
            );
        }
        Ok(sandbox)
    }

    /// Whether there is one.
    pub(crate) fn is_on(&self) -> bool {
        self.kernel.is_some()
    }

    /// Who the children are, if not the worker.
    pub(crate) fn user(&self) -> Option<&Arc<User>> {
        self.user.as_ref()
    }

    /// What a program's answers rest on besides itself: one that works may not in another sandbox.
    pub(crate) fn ground(&self) -> String {
        let Sandbox {
            reads,
            writes,
            user,
            ..
        } = self;
        format!("{:?} {reads:?} {writes:?} {user:?}", self.reports())
    }

    /// Makes the walls for one child. Opens files: not for a thread that must not wait.
    ///
    /// # Errors
    /// What the kernel refused.
    pub(crate) fn seal(&self, needs: &Needs) -> io::Result<Seal> {
        let mut seal = Seal {
            user: self.user.clone(),
            ..Seal::default()
        };
        if let Some(kernel) = &self.kernel {
            seal.drops_capabilities = kernel.drops_capabilities;
            if kernel.landlock.is_ok() {
                seal.ruleset = files::ruleset(self, needs)?;
            }
            if let Ok(target) = kernel.seccomp {
                seal.filters = calls::filters(target, needs)?;
            }
        }
        Ok(seal)
    }

    /// Gives `command` the environment of the user it will be. What it was given by name stays.
    pub(crate) fn dress(&self, command: &mut Command) {
        let Some(user) = &self.user else {
            return;
        };
        let given: Vec<_> = command
            .get_envs()
            .map(|(name, _)| name.to_owned())
            .collect();
        let mut set = |name: &str, value: Option<&std::ffi::OsStr>| {
            if !given.iter().any(|one| one == name) {
                match value {
                    Some(value) => command.env(name, value),
                    None => command.env_remove(name),
                };
            }
        };
        let nowhere = Path::new("/nonexistent");
        let home = user.home.as_deref().unwrap_or(nowhere);
        set("HOME", Some(home.as_os_str()));
        set("USER", Some(user.name.as_ref()));
        set("LOGNAME", Some(user.name.as_ref()));
        for folder_of_the_worker_s_user in [
            "XDG_CACHE_HOME",
            "XDG_CONFIG_HOME",
            "XDG_DATA_HOME",
            "XDG_RUNTIME_DIR",
            "XDG_STATE_HOME",
        ] {
            set(folder_of_the_worker_s_user, None);
        }
    }
}

/// The paths an operator named, checked.
fn named(flag: &str, paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    for path in paths {
        let shown = path.display();
        if !path.is_absolute() {
            bail!("{flag}: {shown} is not an absolute path");
        }
        path.metadata()
            .with_context(|| format!("{flag}: {shown} cannot be used"))?;
    }
    Ok(paths.to_vec())
}

#[cfg(test)]
mod tests;

//! SIGHUP: what a running master or worker takes over from its settings, and what it says about the rest.
//!
//! The settings are read as at the start, from the same command line, the same environment and the file as it is now. A file
//! with a mistake changes nothing at all. What is compared is what is in force, so that a change which needs a restart is
//! said again at every SIGHUP until it is restarted or taken back.

use crate::{
    args::Args,
    exit::{Failure, Result},
    logging::Log,
    settings::{self, Value},
};

/// Takes one changed setting over. Gets the arguments with every layer in force.
pub type TakeOver = Box<dyn FnMut(&Args) -> Result + Send>;

/// What a process runs with, and how to change it.
pub struct Reload {
    values: Vec<Value>,
    take_overs: Vec<(&'static str, TakeOver)>,
}

impl Reload {
    /// Of a process that runs with these values and logs to `log`. `level` finds what to log in new arguments.
    pub fn new(values: Vec<Value>, log: Log, level: fn(&Args) -> Option<String>) -> Reload {
        let reload = Reload {
            values,
            take_overs: Vec::new(),
        };
        reload.with(
            "log_level",
            Box::new(move |args| match level(args) {
                Some(level) => log.set_level(&level),
                None => Ok(()),
            }),
        )
    }

    /// One more setting that can be taken over.
    pub fn with(mut self, key: &'static str, take_over: TakeOver) -> Reload {
        self.take_overs.push((key, take_over));
        self
    }

    /// Reads the settings again.
    pub fn now(&mut self) {
        let loaded = match settings::load() {
            Ok(loaded) => loaded,
            Err(Failure::Usage(message) | Failure::Failed(message)) => {
                tracing::error!(
                    "SIGHUP: nothing is changed, because the settings make no sense: {message}"
                );
                return;
            }
            Err(_) => return,
        };
        let file = loaded.file.map(|file| file.path.display().to_string());
        tracing::info!(file, "SIGHUP: the settings are read again");
        // What can be taken over first: the rest is said at the level that is in force then.
        let mut changes: Vec<_> = self.values.iter_mut().zip(loaded.values).collect();
        changes.sort_by_key(|(old, _)| !old.setting.reloads);
        for (old, new) in changes {
            if old.texts == new.texts {
                old.source = new.source;
                continue;
            }
            let key = old.setting.key.as_str();
            let shown = |value: &Value| value.shown().unwrap_or_else(|| "default".into());
            let (was, is, source) = (shown(old), shown(&new), new.source.to_string());
            let taker = self.take_overs.iter_mut().find(|(name, _)| *name == key);
            let Some((_, take_over)) = taker.filter(|_| old.setting.reloads) else {
                let why = why_not(key);
                tracing::warn!(
                    key,
                    was,
                    is,
                    source,
                    why,
                    "SIGHUP: this setting takes effect at the next start"
                );
                continue;
            };
            match take_over(&loaded.args) {
                Ok(()) => {
                    // At warn, so that it is seen whatever is logged now.
                    tracing::warn!(key, was, is, source, "SIGHUP: this setting is changed");
                    *old = new;
                }
                Err(Failure::Usage(message) | Failure::Failed(message)) => {
                    tracing::error!(
                        key,
                        was,
                        is,
                        source,
                        "SIGHUP: this setting stays as it was: {message}"
                    );
                }
                Err(_) => {}
            }
        }
    }
}

/// Why a setting is not taken over, where that is not plain and there is another way.
fn why_not(key: &str) -> Option<&'static str> {
    (key == "token_file").then_some(
        "what was let in by the old token would have to be shut out; to change tokens without a restart, make and revoke them with \
         `ffrtmp tokens`",
    )
}

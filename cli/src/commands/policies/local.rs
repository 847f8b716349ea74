//! A policy's file on this machine, and its settings, for the commands that try one without a master.

use std::path::{Path, PathBuf};

use ffrtmp_host::policy::{Limits, Settings, engine::PolicyEngine};

use crate::exit::{Failure, Result};

/// A policy that was read and not yet looked at.
#[derive(Debug)]
pub struct Guest {
    /// Its file's name without `.wasm`.
    pub name: String,
    /// Its file.
    pub bytes: Vec<u8>,
    /// Its limits and its configuration.
    pub settings: Settings,
}

impl Guest {
    /// Reads a policy's file, and its settings: from that of `configs` which has its name, else from beside it. `else_`
    /// is what the file is not either, for the message.
    pub fn read(file: &Path, configs: &[PathBuf], else_: &str) -> Result<Guest> {
        let bytes = read_bytes("", file, else_)?;
        let name = file
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .unwrap_or_default();
        let named = configs
            .iter()
            .find(|config| config.file_stem() == file.file_stem());
        let beside = file.with_extension("toml");
        let settings = match named {
            Some(named) => settings_of(named)?,
            None if beside.is_file() => settings_of(&beside)?,
            None => Settings::without_a_file(&Limits::default()),
        };
        Ok(Guest {
            name,
            bytes,
            settings,
        })
    }
}

/// The engine policies are compiled and run by.
pub fn engine() -> Result<PolicyEngine> {
    PolicyEngine::new().map_err(|error| {
        Failure::failed(format!(
            "WebAssembly cannot be run on this machine: {error:#}"
        ))
    })
}

/// A file's bytes. The message names the flag, if there is one, and what the file is not either.
pub fn read_bytes(flag: &str, file: &Path, else_: &str) -> Result<Vec<u8>> {
    std::fs::read(file).map_err(|error| {
        let colon = if flag.is_empty() { "" } else { ": " };
        Failure::failed(format!(
            "{flag}{colon}{} is {else_}, and as a file it cannot be read: {error}",
            file.display()
        ))
    })
}

/// What a policy's settings file says.
fn settings_of(file: &Path) -> Result<Settings> {
    let bad = |what: String| Failure::failed(format!("{}: {what}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|e| bad(format!("cannot be read: {e}")))?;
    Settings::parse(&text, &Limits::default()).map_err(bad)
}

//! A policy's file on this machine, and its settings, for the commands that try one without a master.

use std::path::{Path, PathBuf};

use ffrtmp_host::policy::engine::PolicyEngine;

use crate::exit::{Failure, Result};

/// A policy that was read and not yet looked at.
#[derive(Debug)]
pub struct Guest {
    /// Its file's name without `.wasm`.
    pub name: String,
    /// Its file.
    pub bytes: Vec<u8>,
    /// Its `[config]` table as JSON; empty without one.
    pub config: String,
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
        let config = match named {
            Some(named) => config_of(named)?,
            None if beside.is_file() => config_of(&beside)?,
            None => String::new(),
        };
        Ok(Guest {
            name,
            bytes,
            config,
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

/// The `[config]` table of a policy's settings file, as JSON.
fn config_of(file: &Path) -> Result<String> {
    let bad = |what: String| Failure::failed(format!("{}: {what}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|e| bad(format!("cannot be read: {e}")))?;
    let table: toml::Table = text.parse().map_err(|e| bad(format!("{e}")))?;
    match table.get("config") {
        None => Ok(String::new()),
        Some(config @ toml::Value::Table(_)) => {
            serde_json::to_string(config).map_err(|e| bad(format!("config: {e}")))
        }
        Some(_) => Err(bad("config is not a table: write [config] above it".into())),
    }
}

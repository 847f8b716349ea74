//! Copies of every policy that was chosen and of the settings it ruled with, by digest, and the memory of what was chosen and failed.
//!
//! In the data directory, so that "the last good one" survives its file being overwritten. Losing it costs the way back,
//! never the present choice: problems here are logged, not fatal.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::choice::Memory;
use super::component;

/// Its name in a data directory. Not that of any live folder: a master would take its own copies for policies that were dropped.
pub(crate) const FOLDER: &str = "accepted";

/// Where it is in `data_dir`. What an earlier version kept in `policies` comes along, unless that is the live folder `live`.
pub(crate) fn folder(data_dir: &Path, live: &Path) -> PathBuf {
    let (before, folder) = (data_dir.join("policies"), data_dir.join(FOLDER));
    let is_live = match (before.canonicalize(), live.canonicalize()) {
        (Ok(before), Ok(live)) => before == live,
        _ => before == live,
    };
    if !is_live && before.join(MEMORY).is_file() && !folder.exists() {
        match fs::rename(&before, &folder) {
            Ok(()) => tracing::info!(folder = %folder.display(), "kept policies have moved there"),
            Err(error) => {
                tracing::warn!(%error, "kept policies could not be moved; the memory of them begins anew")
            }
        }
    }
    folder
}

/// What was chosen and what failed.
const MEMORY: &str = "memory.json";

/// The folder of accepted files.
#[derive(Debug)]
pub(super) struct Accepted {
    dir: PathBuf,
}

impl Accepted {
    /// Opens it, making it if there is none.
    pub(super) fn open(dir: PathBuf) -> io::Result<Accepted> {
        fs::create_dir_all(&dir)?;
        Ok(Accepted { dir })
    }

    /// Keeps a copy. Nothing happens if there is one.
    pub(super) fn keep(&self, digest: &str, bytes: &[u8]) -> io::Result<()> {
        keep(&self.path(digest, "wasm"), bytes)
    }

    /// Keeps a copy of settings. Gives their digest.
    pub(super) fn keep_settings(&self, text: &str) -> io::Result<String> {
        let digest = component::digest(text.as_bytes());
        keep(&self.path(&digest, "toml"), text.as_bytes())?;
        Ok(digest)
    }

    /// A copy, if it is there and still what it was.
    pub(super) fn read(&self, digest: &str) -> io::Result<Vec<u8>> {
        self.read_copy(digest, "wasm")
    }

    /// The same of settings.
    pub(super) fn read_settings(&self, digest: &str) -> io::Result<Vec<u8>> {
        self.read_copy(digest, "toml")
    }

    fn read_copy(&self, digest: &str, ending: &str) -> io::Result<Vec<u8>> {
        let bytes = fs::read(self.path(digest, ending))?;
        if component::digest(&bytes) == digest {
            return Ok(bytes);
        }
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the kept copy has changed on disk",
        ))
    }

    /// Removes copies that nothing leads back to.
    pub(super) fn keep_only(&self, memory: &Memory) {
        let Ok(entries) = fs::read_dir(&self.dir) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some((digest, ending)) = name.to_str().and_then(|name| name.rsplit_once('.'))
            else {
                continue;
            };
            let wanted = match ending {
                "wasm" => memory.kept().any(|kept| kept == digest),
                "toml" => memory.kept_settings().any(|kept| kept == digest),
                _ => true,
            };
            if !wanted && let Err(error) = fs::remove_file(entry.path()) {
                tracing::warn!(%error, digest, "an old policy's copy could not be removed; it stays");
            }
        }
    }

    /// What was remembered. Nothing, if that cannot be read: then every file counts as seen at start, as ever.
    pub(super) fn memory(&self) -> Memory {
        match fs::read(self.dir.join(MEMORY)) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!(%error, "the memory of earlier policies is damaged; it begins anew");
                Memory::default()
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Memory::default(),
            Err(error) => {
                tracing::warn!(%error, "the memory of earlier policies cannot be read; it begins anew");
                Memory::default()
            }
        }
    }

    /// Remembers, durably.
    pub(super) fn write(&self, memory: &Memory) -> io::Result<()> {
        serde_json::to_vec(memory)
            .map_err(io::Error::other)
            .and_then(|bytes| write_whole(&self.dir.join(MEMORY), &bytes))
    }

    /// Remembers as well as it can.
    pub(super) fn remember(&self, memory: &Memory) {
        if let Err(error) = self.write(memory) {
            tracing::warn!(%error, "what was chosen could not be remembered; a restart may not find its way back");
        }
    }

    fn path(&self, digest: &str, ending: &str) -> PathBuf {
        self.dir.join(digest).with_extension(ending)
    }
}

fn keep(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match path.exists() {
        true => Ok(()),
        false => write_whole(path, bytes),
    }
}

/// Writes a file so that it is there whole or not at all, even after a power cut.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = path.with_extension("part");
    let written = File::create(&part).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&part, path)
    });
    if written.is_err() {
        // Of a disk that is full, not a byte for nothing.
        let _ = fs::remove_file(&part);
    }
    written?;
    path.parent()
        .map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_version_kept_comes_along_unless_it_lies_in_the_live_folder() {
        let dir = tempfile::tempdir().unwrap();
        let (data, before) = (dir.path(), dir.path().join("policies"));
        assert_eq!(
            folder(data, &dir.path().join("live")),
            data.join("accepted")
        );
        fs::create_dir(&before).unwrap();
        fs::write(before.join(MEMORY), "{}").unwrap();
        folder(data, &before);
        assert!(before.join(MEMORY).exists(), "it is the live folder");
        let now = folder(data, &dir.path().join("live"));
        assert!(!before.exists() && now.join(MEMORY).exists());
        // Once.
        fs::create_dir(&before).unwrap();
        fs::write(before.join(MEMORY), "{}").unwrap();
        folder(data, &dir.path().join("live"));
        assert!(before.exists());
    }
}

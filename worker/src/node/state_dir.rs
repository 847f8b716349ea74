//! The state directory: who this worker is, and that it is the only one here.
//!
//! Holding a [`StateDir`] is holding its lock; the kernel releases it when the process ends, however it ends.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use uuid::Uuid;

/// A locked state directory.
pub(crate) struct StateDir {
    /// Where it is.
    path: PathBuf,
    /// Made once, kept for ever.
    pub(crate) install_id: Uuid,
    /// Where outputs nobody asked to keep are written; nothing else lives there.
    pub(crate) scratch: PathBuf,
    _lock: File,
}

impl StateDir {
    /// Makes the directory if needed, locks it and reads or makes the install id.
    pub(crate) fn open(path: &Path, scratch: Option<&Path>) -> anyhow::Result<StateDir> {
        let path = std::path::absolute(path)?;
        fs::create_dir_all(path.join("attempts"))
            .with_context(|| format!("the state directory {} cannot be made", path.display()))?;
        let lock_path = path.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .with_context(|| format!("{} cannot be opened", lock_path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(in_use(&path)),
            Err(TryLockError::Error(error)) => {
                return Err(error)
                    .with_context(|| format!("{} cannot be locked", lock_path.display()));
            }
        }
        let install_id = install_id(&path.join("install_id"))?;
        // A subdirectory by our own name: what is in it is ours to delete, even if an operator points us at /tmp.
        let scratch = match scratch {
            Some(given) => std::path::absolute(given)?.join(format!("ffrtmp-{install_id}")),
            None => path.join("scratch"),
        };
        fs::create_dir_all(&scratch).with_context(|| {
            format!("the scratch directory {} cannot be made", scratch.display())
        })?;
        Ok(StateDir {
            path,
            install_id,
            scratch,
            _lock: lock,
        })
    }

    /// The token that an earlier join left here.
    pub(crate) fn token(&self) -> anyhow::Result<Option<String>> {
        let path = self.path.join("token");
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim().to_owned()).filter(|token| !token.is_empty())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
        }
    }

    /// Keeps one, readable for this user alone.
    pub(crate) fn keep_token(&self, token: &str) -> anyhow::Result<()> {
        let path = self.path.join("token");
        let temp = self.path.join("token.new");
        let keep = || -> io::Result<()> {
            // One that a crash left may have other permissions.
            match fs::remove_file(&temp) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&temp)?;
            writeln!(file, "{token}")?;
            file.sync_all()?;
            fs::rename(&temp, &path)
        };
        keep().with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Where the records of attempts are.
    pub(crate) fn attempts(&self) -> PathBuf {
        self.path.join("attempts")
    }

    /// Where the outcome of trial encodes is kept.
    pub(crate) fn trials(&self) -> PathBuf {
        self.path.join("trials.json")
    }
}

/// Whether the worker that keeps its state there has a token of its own, from an earlier join.
pub fn has_joined(state_dir: &Path) -> bool {
    state_dir.join("token").exists()
}

/// What to say when another worker holds the lock.
pub(crate) fn in_use(path: &Path) -> String {
    format!(
        "another worker uses the state directory {}; stop it, or give this one a directory of its own with --state-dir",
        path.display()
    )
}

fn install_id(path: &Path) -> anyhow::Result<Uuid> {
    match fs::read_to_string(path) {
        Ok(text) => Uuid::try_parse(text.trim()).with_context(|| {
            format!(
                "{} does not hold a UUID; delete it to become a new worker",
                path.display()
            )
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let id = Uuid::new_v4();
            write_whole(path, format!("{id}\n").as_bytes(), true)
                .with_context(|| format!("{} cannot be written", path.display()))?;
            Ok(id)
        }
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

/// Writes a file so that a reader (or a crash) sees the old content or the new, never half. `durable` also survives a
/// power cut.
pub(crate) fn write_whole(path: &Path, bytes: &[u8], durable: bool) -> io::Result<()> {
    let mut temp = path.as_os_str().to_owned();
    temp.push(".new");
    let written = File::create(&temp).and_then(|mut file| {
        file.write_all(bytes)?;
        if durable {
            file.sync_all()?;
        }
        fs::rename(&temp, path)
    });
    if written.is_err() {
        // Of a disk that is full, not a byte for nothing.
        let _ = fs::remove_file(&temp);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_install_id_stays_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let first = StateDir::open(dir.path(), None).unwrap().install_id;
        assert_eq!(StateDir::open(dir.path(), None).unwrap().install_id, first);
    }

    #[test]
    fn two_workers_cannot_share_a_state_directory() {
        let dir = tempfile::tempdir().unwrap();
        let _first = StateDir::open(dir.path(), None).unwrap();
        let error = StateDir::open(dir.path(), None).err().unwrap();
        assert!(
            error
                .to_string()
                .contains("another worker uses the state directory"),
            "{error}"
        );
    }

    #[test]
    fn a_shared_scratch_directory_gets_a_room_of_our_own() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(&dir.path().join("state"), Some(dir.path())).unwrap();
        assert_eq!(
            state.scratch,
            dir.path().join(format!("ffrtmp-{}", state.install_id))
        );
    }
}

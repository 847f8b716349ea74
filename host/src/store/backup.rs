//! A copy of a data directory from which a master can start, made while its own master runs.
//!
//! Separate from the writer: it goes through a connection of its own that only reads, so a backup never delays a commit, and it
//! works on the files alone, so it needs no master. Copying the files of a database that is in use gives a database that is
//! damaged or behind; SQLite's own `VACUUM INTO` writes one moment of it, whole. What it must never do: change the directory it
//! copies, or leave something at the destination that looks like a backup and is none.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rusqlite::Connection;

use super::{DATABASE, StoreError, connect_reader, schema};
use crate::{policy::accepted, webhooks::SECRET};

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Its folder.
    pub dir: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// Jobs in it, of every state.
    pub jobs: u64,
    /// Those of them that have not ended.
    pub unfinished: u64,
    /// Unfinished jobs that read a file of the spool, which a backup does not hold.
    pub uploads: u64,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is nothing to copy.
    #[error(
        "{dir} holds no ffrtmp.sqlite, so it is no master's data directory; name the right one with --data-dir"
    )]
    NoStore {
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// Something is there already.
    #[error(
        "{dir} is there already; a backup replaces nothing, so name a folder that does not exist yet"
    )]
    Exists {
        /// What.
        dir: PathBuf,
    },
    /// The destination lies inside of what is copied.
    #[error(
        "{dir} lies in the data directory itself, and would be lost with it; name a folder elsewhere, best on another disk"
    )]
    Inside {
        /// The destination.
        dir: PathBuf,
    },
    /// A file could not be read or written.
    #[error("{path}: {cause}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why. Part of the message, so it is not given again as the error's source.
        cause: io::Error,
    },
    /// The copy is not whole.
    #[error(
        "the copy did not pass SQLite's check ({found}): the database in {dir} is damaged; keep earlier backups"
    )]
    Damaged {
        /// What was found.
        found: String,
        /// Of which data directory.
        dir: PathBuf,
    },
    /// The database itself.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn file(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |cause| BackupError::File { path, cause }
}

fn database(error: rusqlite::Error) -> BackupError {
    BackupError::Store(error.into())
}

/// Copies the data directory `from` to the new folder `to`, checks the copy, and makes it durable. The folder appears under its
/// name only when it is whole. The spool is left out: it can be larger than any backup disk, and its files outlive a lost
/// database where they are.
///
/// # Errors
/// See [`BackupError`]; then nothing is at `to`.
pub fn backup(from: &Path, to: &Path) -> Result<Backup, BackupError> {
    let source = from.join(DATABASE);
    if !source.is_file() {
        return Err(BackupError::NoStore {
            dir: from.to_owned(),
        });
    }
    if to.symlink_metadata().is_ok() {
        return Err(BackupError::Exists { dir: to.to_owned() });
    }
    let name = to
        .file_name()
        .ok_or_else(|| BackupError::Exists { dir: to.to_owned() })?;
    let parent = match to.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(file(parent))?;
    let within = parent.canonicalize().map_err(file(parent))?;
    if within.starts_with(from.canonicalize().map_err(file(from))?) {
        return Err(BackupError::Inside { dir: to.to_owned() });
    }
    let mut part_name = std::ffi::OsString::from(".");
    part_name.push(name);
    part_name.push(format!(".{}.part", std::process::id()));
    let part = within.join(part_name);
    let made = fill(from, &source, &part).and_then(|mut backup| {
        // Not over something that appeared meanwhile: a rename replaces an empty folder.
        if to.symlink_metadata().is_ok() {
            return Err(BackupError::Exists { dir: to.to_owned() });
        }
        fs::rename(&part, to).map_err(file(to))?;
        sync(&within)?;
        backup.dir = to.canonicalize().map_err(file(to))?;
        Ok(backup)
    });
    if made.is_err() {
        // What is left of it is of no use; that it cannot be removed changes nothing about the error.
        let _ = fs::remove_dir_all(&part);
    }
    made
}

fn fill(from: &Path, source: &Path, part: &Path) -> Result<Backup, BackupError> {
    // Tokens' digests and users' file names: nobody else's business.
    DirBuilder::new()
        .mode(0o700)
        .create(part)
        .map_err(file(part))?;
    let copy = part.join(DATABASE);
    copy_database(from, source, &copy)?;
    let mut backup = examine_copy(from, &copy)?;
    backup.bytes += fs::metadata(&copy).map_err(file(&copy))?.len();
    let policies = accepted::FOLDER;
    backup.bytes += copy_policies(&from.join(policies), &part.join(policies))?;
    backup.bytes += copy_file(&from.join(SECRET), &part.join(SECRET))?;
    sync(part)?;
    Ok(backup)
}

fn copy_database(from: &Path, source: &Path, copy: &Path) -> Result<(), BackupError> {
    let connection = connect_reader(source)?;
    schema::version(&connection, from)?;
    // A path that is no UTF-8 cannot be said to SQLite.
    let Some(text) = copy.to_str() else {
        return Err(BackupError::File {
            path: copy.to_owned(),
            cause: io::Error::other("its name is no UTF-8; choose another"),
        });
    };
    connection
        .execute("VACUUM INTO ?1", [text])
        .map_err(database)?;
    fs::set_permissions(copy, fs::Permissions::from_mode(0o600)).map_err(file(copy))?;
    sync(copy)
}

/// Reads the copy once, all of it.
fn examine_copy(from: &Path, copy: &Path) -> Result<Backup, BackupError> {
    let connection = Connection::open(copy).map_err(database)?;
    let found: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(database)?;
    if found != "ok" {
        return Err(BackupError::Damaged {
            found,
            dir: from.to_owned(),
        });
    }
    let count = |what: &str| -> Result<u64, BackupError> {
        let n: i64 = connection
            .query_row(what, [], |row| row.get(0))
            .map_err(database)?;
        Ok(n as u64)
    };
    const UNFINISHED: &str = "state NOT IN ('completed', 'failed', 'canceled')";
    let has_uploads = count("SELECT count(*) FROM sqlite_schema WHERE name = 'job_uploads'")? > 0;
    Ok(Backup {
        dir: PathBuf::new(),
        bytes: 0,
        jobs: count("SELECT count(*) FROM jobs")?,
        unfinished: count(&format!("SELECT count(*) FROM jobs WHERE {UNFINISHED}"))?,
        uploads: match has_uploads {
            true => count(&format!(
                "SELECT count(DISTINCT seq) FROM jobs JOIN job_uploads USING (seq) WHERE {UNFINISHED}"
            ))?,
            false => 0,
        },
    })
}

/// Copies the regular files of the folder: kept policies, their settings, and what is remembered of them. Gives their bytes. A
/// master replaces such files whole, by a rename, so each is read as it was at some moment. Machine code below it is made anew.
fn copy_policies(from: &Path, to: &Path) -> Result<u64, BackupError> {
    let entries = match fs::read_dir(from) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(file(from)(error)),
    };
    DirBuilder::new().mode(0o700).create(to).map_err(file(to))?;
    let mut bytes = 0;
    for entry in entries {
        let path = entry.map_err(file(from))?.path();
        let kept = path
            .extension()
            .is_some_and(|ending| ["wasm", "toml", "json"].iter().any(|one| ending == *one));
        let (Some(name), true, true) = (path.file_name(), kept, path.is_file()) else {
            continue;
        };
        // The master forgets a policy that nothing leads back to; then its memory does not name it either.
        bytes += copy_file(&path, &to.join(name))?;
    }
    sync(to)?;
    Ok(bytes)
}

/// Copies a file and its mode, if it is there. Gives its bytes.
fn copy_file(from: &Path, to: &Path) -> Result<u64, BackupError> {
    let bytes = match fs::copy(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        copied => copied.map_err(file(from))?,
    };
    sync(to)?;
    Ok(bytes)
}

fn sync(path: &Path) -> Result<(), BackupError> {
    File::open(path)
        .and_then(|opened| opened.sync_all())
        .map_err(file(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    fn data_dir(jobs: usize) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let connection = store.connect_writer().unwrap();
        for i in 0..jobs {
            let state = if i == 0 { "pending" } else { "completed" };
            connection
                .execute(
                    "INSERT INTO jobs (seq, uuid, spec, queue, priority, submitted_ms, state, attempt, failures, \
                     cancel_requested, pause_requested, lost) VALUES (?1, ?2, '{}', 'live', 'low', 5, ?3, 0, 0, 0, 0, 0)",
                    rusqlite::params![i as i64 + 1, [i as u8; 16], state],
                )
                .unwrap();
        }
        dir
    }

    #[test]
    fn a_copy_made_while_a_master_holds_the_directory_is_one_a_master_can_open() {
        let dir = data_dir(3);
        fs::create_dir_all(dir.path().join("accepted/compiled")).unwrap();
        fs::write(dir.path().join("accepted/memory.json"), b"{}").unwrap();
        fs::write(dir.path().join("accepted/compiled/x.cwasm"), b"code").unwrap();
        fs::write(dir.path().join(SECRET), b"whsec_x").unwrap();
        let held = Store::open(dir.path()).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let to = elsewhere.path().join("deep/er");
        let made = backup(dir.path(), &to).unwrap();
        drop(held);
        assert_eq!((made.jobs, made.unfinished, made.uploads), (3, 1, 0));
        assert_eq!(made.dir, to.canonicalize().unwrap());
        assert!(made.bytes > 4_096);
        assert_eq!(
            fs::metadata(&to).unwrap().permissions().mode() & 0o777,
            0o700
        );
        assert!(to.join("accepted/memory.json").is_file());
        assert!(!to.join("accepted/compiled").exists());
        assert_eq!(fs::read(to.join(SECRET)).unwrap(), b"whsec_x");
        let snapshot = Store::open(&to).unwrap().load(10).unwrap();
        assert_eq!((snapshot.last_seq, snapshot.jobs.len()), (3, 1));
    }

    #[test]
    fn nothing_is_replaced_and_nothing_is_left_when_it_fails() {
        let dir = data_dir(1);
        let elsewhere = tempfile::tempdir().unwrap();
        let refused = |to: PathBuf| backup(dir.path(), &to).unwrap_err();
        assert!(matches!(
            refused(elsewhere.path().to_owned()),
            BackupError::Exists { .. }
        ));
        assert!(matches!(
            refused(dir.path().join("backups/today")),
            BackupError::Inside { .. }
        ));
        let no_store = backup(elsewhere.path(), &elsewhere.path().join("b")).unwrap_err();
        assert!(matches!(no_store, BackupError::NoStore { .. }));
        // A database with a page that makes no sense.
        let path = dir.path().join(DATABASE);
        let mut bytes = fs::read(&path).unwrap();
        let from = bytes.len() / 2;
        bytes[from..].fill(0xa5);
        fs::write(&path, bytes).unwrap();
        let _ = refused(elsewhere.path().join("b"));
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    }
}

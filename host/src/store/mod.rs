//! The durable state: one SQLite database in the data directory. Nothing outside this folder knows that it is SQLite.
//!
//! One [`Writer`] thread commits records in groups; [`Reader`] answers questions about jobs from connections of its own, so
//! that a slow list never delays a commit. WAL with `synchronous=FULL`: what is reported durable survives a power cut.

mod backup;
mod examine;
mod list;
mod metrics;
mod reader;
mod rows;
mod schema;
mod tokens;
mod webhooks;
mod writer;

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags};
use rustix::fs::{FlockOperation, flock};

pub use backup::{Backup, BackupError, backup};
pub use examine::examine;
pub use list::{Cursor, JobFilter, JobPage};
pub use metrics::StoreMetrics;
pub use reader::{Reader, UploadUses};
pub use tokens::{TokenRow, TokenStore};
pub use webhooks::{Letter, Pending, Settled, Settlement, WebhookStore};
pub use writer::{Commit, Durable, Writer};

use crate::core::record::Snapshot;

/// The database's name in a data directory.
const DATABASE: &str = "ffrtmp.sqlite";

/// What can be wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory cannot be made or written.
    #[error(
        "the data directory {dir} cannot be used: {cause}; choose another with --data-dir or change its permissions"
    )]
    Directory {
        /// Which.
        dir: PathBuf,
        /// Why. Part of the message, so it is not given again as the error's source.
        cause: std::io::Error,
    },
    /// Another master holds it.
    #[error(
        "the data directory {dir} is in use by another master; stop that one or choose another with --data-dir"
    )]
    Locked {
        /// Which.
        dir: PathBuf,
    },
    /// A newer version wrote it.
    #[error(
        "the data in {dir} has schema version {found}, this software knows up to {known}; install the newer version again"
    )]
    Newer {
        /// Which.
        dir: PathBuf,
        /// Version found.
        found: i64,
        /// Newest version known.
        known: i64,
    },
    /// A row does not make sense.
    #[error("the store holds a row that does not make sense ({what}); restore it from a backup")]
    Corrupt {
        /// Which and why.
        what: String,
    },
    /// The database itself failed.
    #[error(
        "the store ffrtmp.sqlite in the data directory failed: {0}; if the file is damaged, restore it from a backup"
    )]
    Database(rusqlite::Error),
}

/// Not a derived source: the message holds it already.
impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        StoreError::Database(error)
    }
}

/// The open store. Holds the lock on its directory for as long as it lives.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    file: PathBuf,
    _lock: File,
}

impl Store {
    /// Opens the store in `dir`, making both if they are not there, and brings its schema up to date.
    ///
    /// # Errors
    /// See [`StoreError`]; each says what to do.
    pub fn open(dir: &Path) -> Result<Store, StoreError> {
        let directory = |cause| StoreError::Directory {
            dir: dir.to_owned(),
            cause,
        };
        if dir.is_file() {
            return Err(directory(std::io::Error::other("it is a file")));
        }
        std::fs::create_dir_all(dir).map_err(directory)?;
        let lock = File::create(dir.join("master.lock")).map_err(directory)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| StoreError::Locked {
            dir: dir.to_owned(),
        })?;
        let file = dir.join(DATABASE);
        // Users' file names and stream keys are in it: nobody else's business. What SQLite puts beside it gets the same mode.
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&file)
            .map_err(directory)?;
        let store = Store {
            dir: dir.to_owned(),
            file,
            _lock: lock,
        };
        let mut connection = store.connect_writer()?;
        schema::migrate(&mut connection, dir)?;
        Ok(store)
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Reads everything a core needs to start, and proves that the store can be written.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn load(&self, now_ms: i64) -> Result<Snapshot, StoreError> {
        let mut connection = self.connect_writer()?;
        schema::prove_writable(&mut connection, now_ms)?;
        rows::snapshot(&connection, now_ms)
    }

    /// The last policy chosen: name and digest.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn last_choice(&self) -> Result<Option<(String, String)>, StoreError> {
        rows::last_choice(&self.connect_writer()?)
    }

    /// Questions about jobs.
    pub fn reader(&self) -> Reader {
        Reader::new(self.file.clone())
    }

    /// The tokens.
    ///
    /// # Errors
    /// When the store cannot be opened.
    pub fn tokens(&self) -> Result<TokenStore, StoreError> {
        Ok(TokenStore::new(self.connect_writer()?))
    }

    /// What webhooks are to be told.
    ///
    /// # Errors
    /// When the store cannot be opened.
    pub fn webhooks(&self) -> Result<WebhookStore, StoreError> {
        Ok(WebhookStore::new(self.connect_writer()?))
    }

    fn connect_writer(&self) -> Result<Connection, StoreError> {
        let connection = Connection::open(&self.file)?;
        schema::configure(&connection)?;
        Ok(connection)
    }
}

fn connect_reader(file: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(
        file,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_stored_is_for_the_masters_user_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let _writer = store.connect_writer().unwrap();
        for name in [DATABASE, "ffrtmp.sqlite-wal", "ffrtmp.sqlite-shm"] {
            let mode = std::fs::metadata(dir.path().join(name))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }
}

//! One small file for each attempt: enough for the next life of this worker to clean up after this one, and to deliver
//! an outcome the master has not acknowledged yet.
//!
//! Records are written whole but not synced: they guard against the death of the process. After a power cut the master
//! declares the attempts lost, and what a stale record names is still cleaned up.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use ffrtmp_api::{
    ids::Attempt,
    protocol::{MediaResult, Outcome},
};
use serde::{Deserialize, Serialize};

use super::state_dir::write_whole;

/// What is kept of an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Which.
    pub(crate) attempt: Attempt,
    /// The file it writes: to be deleted unless it has been encoded.
    pub(crate) temp: Option<PathBuf>,
    /// Its ffmpeg, once spawned.
    pub(crate) leader: Option<Leader>,
    /// How far it is.
    pub(crate) standing: Standing,
}

/// A process named beyond doubt: pids are reused, a pid with its start time is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Leader {
    /// Process id, and its group's.
    pub(crate) pid: u32,
    /// Clock ticks from boot to its start.
    pub(crate) start_ticks: u64,
}

/// How far a recorded attempt is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Standing {
    /// Unfinished: worth nothing after a restart.
    Working,
    /// Encoded, verified and synced; waits for the order to publish.
    Encoded {
        /// Size of the temporary file.
        bytes: u64,
        /// What was measured.
        result: MediaResult,
        /// Its log.
        log: String,
    },
    /// Ended; the master has not acknowledged it yet.
    Ended {
        /// How.
        outcome: Outcome,
        /// Its log.
        log: String,
    },
}

/// The directory of records.
#[derive(Debug, Clone)]
pub(crate) struct Records {
    dir: PathBuf,
}

impl Records {
    /// The records in `dir`.
    pub(crate) fn new(dir: PathBuf) -> Self {
        Records { dir }
    }

    /// Writes or replaces a record.
    pub(crate) fn save(&self, record: &Record) -> io::Result<()> {
        write_whole(
            &self.path(record.attempt),
            &serde_json::to_vec(record)?,
            false,
        )
    }

    /// Removes a record. One that is not there is no error.
    pub(crate) fn remove(&self, attempt: Attempt) {
        let path = self.path(attempt);
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "a record cannot be removed; the next start tries again");
        }
    }

    /// Every record that can be read; what cannot be is removed, with a warning.
    pub(crate) fn load(&self) -> io::Result<Vec<Record>> {
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            match read(&path) {
                Ok(record) => records.push(record),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "not a record of an attempt; it is removed");
                    let _ = fs::remove_file(&path);
                }
            }
        }
        Ok(records)
    }

    fn path(&self, attempt: Attempt) -> PathBuf {
        self.dir.join(format!("{attempt}.json"))
    }
}

fn read(path: &Path) -> io::Result<Record> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

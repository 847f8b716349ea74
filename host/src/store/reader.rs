//! Questions about jobs, answered from the store by connections that only read. Blocking: call it off the async threads.

use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use ffrtmp_api::{
    ids::{AttemptNo, JobRef, JobSeq},
    job::JobState,
    limits,
    rest::{DeliveryList, HistoryEntry},
};
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::{JobFilter, JobPage, StoreError, connect_reader, list, rows, webhooks};
use crate::core::record::JobRow;

/// Connections kept for reuse; more may be open at once.
const IDLE_MAX: usize = 8;

/// How the jobs stand that read an upload of the spool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UploadUses {
    /// Not ended.
    pub live: u64,
    /// Completed.
    pub completed: u64,
    /// Failed or canceled: they may be retried.
    pub unsuccessful: u64,
    /// When the last of those that ended did, milliseconds since 1970; 0 when none has.
    pub finished_ms: i64,
}

/// Reads the store.
#[derive(Debug)]
pub struct Reader {
    file: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Reader {
    pub(super) fn new(file: PathBuf) -> Reader {
        Reader {
            file,
            idle: Mutex::new(Vec::new()),
        }
    }

    /// A job.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn job(&self, job: JobRef) -> Result<Option<JobRow>, StoreError> {
        self.with(|connection| {
            let columns = rows::JOB_COLUMNS;
            match job {
                JobRef::Seq(seq) => {
                    let mut statement = connection
                        .prepare_cached(&format!("SELECT {columns} FROM jobs WHERE seq = ?1"))?;
                    let mut found = statement.query([seq.0 as i64])?;
                    found.next()?.map(rows::job).transpose()
                }
                JobRef::Uuid(uuid) => {
                    let mut statement = connection
                        .prepare_cached(&format!("SELECT {columns} FROM jobs WHERE uuid = ?1"))?;
                    let mut found = statement.query([uuid.as_bytes()])?;
                    found.next()?.map(rows::job).transpose()
                }
            }
        })
    }

    /// A page of jobs.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn jobs(&self, filter: &JobFilter) -> Result<JobPage, StoreError> {
        self.with(|connection| list::page(connection, filter))
    }

    /// The last [`limits::HISTORY_MAX`] lines of a job's history, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn history(&self, seq: JobSeq) -> Result<Vec<HistoryEntry>, StoreError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT at_ms, attempt, from_state, to_state, worker, detail FROM job_events WHERE seq = ?1 ORDER BY id DESC LIMIT ?2",
            )?;
            let mut found = statement.query(params![seq.0 as i64, limits::HISTORY_MAX as i64])?;
            let mut entries = Vec::new();
            while let Some(row) = found.next()? {
                entries.push(rows::history_entry(row)?);
            }
            entries.reverse();
            Ok(entries)
        })
    }

    /// The stored log of a job's latest attempt that has one.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn log(&self, seq: JobSeq) -> Result<Option<(AttemptNo, String)>, StoreError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT attempt, text FROM job_logs WHERE seq = ?1 ORDER BY attempt DESC LIMIT 1",
            )?;
            Ok(statement
                .query_row([seq.0 as i64], |row| {
                    Ok((AttemptNo(row.get(0)?), row.get(1)?))
                })
                .optional()?)
        })
    }

    /// The stored log of one attempt.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn log_of(&self, seq: JobSeq, attempt: AttemptNo) -> Result<Option<String>, StoreError> {
        self.with(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT text FROM job_logs WHERE seq = ?1 AND attempt = ?2")?;
            Ok(statement
                .query_row(params![seq.0 as i64, attempt.0], |row| row.get(0))
                .optional()?)
        })
    }

    /// How the jobs stand that read an upload.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn upload_uses(&self, upload: Uuid) -> Result<UploadUses, StoreError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT j.state, COUNT(*), MAX(j.finished_ms) FROM job_uploads u JOIN jobs j ON j.seq = u.seq \
                 WHERE u.upload = ?1 GROUP BY j.state",
            )?;
            let mut found = statement.query([upload.as_bytes()])?;
            let mut uses = UploadUses::default();
            while let Some(row) = found.next()? {
                let count = row.get::<_, i64>(1)? as u64;
                match rows::word::<JobState>(row, 0)? {
                    JobState::Completed => uses.completed += count,
                    JobState::Failed | JobState::Canceled => uses.unsuccessful += count,
                    _ => uses.live += count,
                }
                let finished_ms = row.get::<_, Option<i64>>(2)?.unwrap_or(0);
                uses.finished_ms = uses.finished_ms.max(finished_ms);
            }
            Ok(uses)
        })
    }

    /// What was not delivered to webhooks, of one job or of all, the oldest first, at most [`limits::LIST_LIMIT_MAX`].
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn deliveries(&self, job: Option<JobSeq>) -> Result<DeliveryList, StoreError> {
        self.with(|connection| webhooks::list(connection, job))
    }

    fn with<R>(
        &self,
        ask: impl FnOnce(&Connection) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let connection = match idle {
            Some(connection) => connection,
            None => connect_reader(&self.file)?,
        };
        let answer = ask(&connection)?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(connection);
        }
        Ok(answer)
    }
}

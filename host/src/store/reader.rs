//! Questions about jobs, answered from the store by connections that only read. Blocking: call it off the async threads.

use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use ffrtmp_api::{
    ids::{AttemptNo, JobRef, JobSeq},
    job::{JobState, Queue},
};
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::{StoreError, connect_reader, rows};
use crate::core::record::JobRow;

/// Connections kept for reuse; more may be open at once.
const IDLE_MAX: usize = 8;

/// Which jobs a list shows.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// In this state.
    pub state: Option<JobState>,
    /// In this lane.
    pub queue: Option<Queue>,
    /// Numbered below this.
    pub before: Option<JobSeq>,
    /// At most so many.
    pub limit: usize,
}

/// A page of a list, newest first.
#[derive(Debug, Clone)]
pub struct JobPage {
    /// The jobs.
    pub jobs: Vec<JobRow>,
    /// Where the next page starts; none on the last.
    pub next_before: Option<JobSeq>,
}

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
        self.with(|connection| {
            let sql = format!(
                "SELECT {} FROM jobs WHERE (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR queue = ?2) AND seq < ?3 \
                 ORDER BY seq DESC LIMIT ?4",
                rows::JOB_COLUMNS
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let before = filter.before.map_or(i64::MAX, |seq| seq.0.min(i64::MAX as u64) as i64);
            let mut found = statement.query(params![
                filter.state.map(JobState::as_str),
                filter.queue.map(Queue::as_str),
                before,
                filter.limit as i64 + 1
            ])?;
            let (mut jobs, mut read) = (Vec::new(), 0);
            while let Some(row) = found.next()? {
                read += 1;
                match rows::job(row) {
                    Ok(job) => jobs.push(job),
                    Err(error) => tracing::error!(%error, "a stored job cannot be read and is left out of a list"),
                }
            }
            let more = read > filter.limit;
            jobs.truncate(filter.limit);
            Ok(JobPage { next_before: jobs.last().filter(|_| more).map(|job| job.seq), jobs })
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

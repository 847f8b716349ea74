//! The table of what webhooks are to be told. Rows come in with the commit of the change they are about (`rows`), and go out by a
//! connection of its own, a group at a time.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ffrtmp_api::{
    ids::{AttemptNo, JobSeq},
    job::JobState,
    limits,
    protocol::MediaResult,
    rest::{Delivery, DeliveryList, Failure},
};
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};
use uuid::Uuid;

use super::{StoreError, rows};
use crate::core::record::Notice;

/// Adds a row, within the open transaction.
pub(super) fn insert(connection: &Connection, notice: &Notice) -> Result<(), rusqlite::Error> {
    connection
        .prepare_cached(
            "INSERT INTO webhooks (origin, url, seq, attempt, at_ms, from_state, to_state, worker, detail, failure_reason, failure_message, result, since_ms) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?5)",
        )?
        .execute(params![
            notice.origin,
            notice.url,
            notice.seq.0 as i64,
            notice.attempt.0,
            notice.at_ms,
            notice.from.as_str(),
            notice.to.as_str(),
            notice.worker,
            notice.detail,
            notice.failure.as_ref().map(|failure| failure.reason.as_str()),
            notice.failure.as_ref().map(|failure| &failure.message),
            rows::to_json(&notice.result),
        ])?;
    Ok(())
}

/// What is not delivered, of one job or of all.
pub(super) fn list(
    connection: &Connection,
    job: Option<JobSeq>,
) -> Result<DeliveryList, StoreError> {
    let job = job.map(|seq| seq.0 as i64);
    let mut statement = connection.prepare_cached(
        "SELECT w.id, j.uuid, w.seq, w.attempt, w.to_state, w.at_ms, w.origin, w.tries, w.trouble, w.next_ms, w.given_up_ms \
         FROM webhooks w JOIN jobs j ON j.seq = w.seq WHERE ?1 IS NULL OR w.seq = ?1 ORDER BY w.id LIMIT ?2",
    )?;
    let mut found = statement.query(params![job, limits::LIST_LIMIT_MAX as i64])?;
    let mut deliveries = Vec::new();
    while let Some(row) = found.next()? {
        let given_up: Option<i64> = row.get(10)?;
        deliveries.push(Delivery {
            id: event_id(rows::uuid(row, 1)?, row.get(0)?),
            job: JobSeq(row.get::<_, i64>(2)? as u64),
            attempt: AttemptNo(row.get(3)?),
            state: rows::word(row, 4)?,
            at_ms: row.get(5)?,
            origin: row.get(6)?,
            tries: row.get(7)?,
            trouble: row.get(8)?,
            next_at_ms: given_up.is_none().then(|| row.get(9)).transpose()?,
        });
    }
    let mut statement = connection.prepare_cached(
        "SELECT COUNT(*) FILTER (WHERE given_up_ms IS NULL), COUNT(given_up_ms) FROM webhooks WHERE ?1 IS NULL OR seq = ?1",
    )?;
    let (waiting, given_up) = statement.query_row([job], |row| {
        Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64))
    })?;
    Ok(DeliveryList {
        deliveries,
        waiting,
        given_up,
    })
}

/// What an event is called, each time it is sent: nothing else ever is.
fn event_id(job: Uuid, row: i64) -> String {
    format!("evt_{}_{row}", job.simple())
}

/// Something to be told, as far as it matters when it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Its row. Later ones have larger numbers.
    pub id: i64,
    /// To whom: scheme, host and port.
    pub origin: String,
    /// About which job.
    pub seq: JobSeq,
    /// Since when it is to be told: when it happened, or when somebody last had it tried again. Milliseconds since 1970.
    pub since_ms: i64,
    /// Times it was tried since.
    pub tries: u32,
    /// Not before this, milliseconds since 1970.
    pub next_ms: i64,
}

/// Something to be told, all of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Letter {
    /// What the event is called.
    pub event_id: String,
    /// Where to.
    pub url: String,
    /// Which job.
    pub seq: JobSeq,
    /// Its UUID.
    pub uuid: Uuid,
    /// Its spec as JSON.
    pub spec: String,
    /// Which attempt.
    pub attempt: AttemptNo,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// From where.
    pub from: JobState,
    /// To where.
    pub to: JobState,
    /// On which worker.
    pub worker: Option<String>,
    /// Why, for people.
    pub detail: String,
    /// Why the latest attempt failed.
    pub failure: Option<Failure>,
    /// What was measured.
    pub result: Option<MediaResult>,
}

/// What became of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Which row.
    pub id: i64,
    /// How it stands now.
    pub settlement: Settlement,
}

/// How something stands after a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// It was taken. The row goes.
    Delivered,
    /// It is tried again.
    Later {
        /// Tries so far.
        tries: u32,
        /// Not before this, milliseconds since 1970.
        next_ms: i64,
        /// Why it was not taken.
        trouble: String,
    },
    /// It is not tried again unless somebody says so.
    GivenUp {
        /// Tries in all.
        tries: u32,
        /// When, milliseconds since 1970.
        at_ms: i64,
        /// Why.
        trouble: String,
    },
}

/// Reads and writes them. Blocking.
#[derive(Debug)]
pub struct WebhookStore(Mutex<Connection>);

const PENDING_COLUMNS: &str = "id, origin, seq, since_ms, tries, next_ms";

impl WebhookStore {
    pub(super) fn new(connection: Connection) -> WebhookStore {
        WebhookStore(Mutex::new(connection))
    }

    /// The number of the last row there ever was, and everyone who is to be told something up to it, with how much.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn stock(&self) -> Result<(i64, Vec<(String, u64)>), StoreError> {
        let mut connection = self.lock();
        let both = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
        let last = both
            .query_row(
                "SELECT seq FROM sqlite_sequence WHERE name = 'webhooks'",
                [],
                |row| row.get(0),
            )
            .optional()?;
        let mut statement = both.prepare_cached(
            "SELECT origin, COUNT(*) FROM webhooks WHERE given_up_ms IS NULL GROUP BY origin",
        )?;
        let mut found = statement.query([])?;
        let mut origins = Vec::new();
        while let Some(row) = found.next()? {
            origins.push((row.get(0)?, row.get::<_, i64>(1)? as u64));
        }
        Ok((last.unwrap_or(0), origins))
    }

    /// What came in behind row `after`, the oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn since(&self, after: i64, most: usize) -> Result<Vec<Pending>, StoreError> {
        self.pending(
            &format!(
                "SELECT {PENDING_COLUMNS} FROM webhooks WHERE id > ?1 AND given_up_ms IS NULL ORDER BY id LIMIT ?2"
            ),
            params![after, most as i64],
        )
    }

    /// What `origin` is to be told behind row `after`, the oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn of_origin(
        &self,
        origin: &str,
        after: i64,
        most: usize,
    ) -> Result<Vec<Pending>, StoreError> {
        self.pending(
            &format!(
                "SELECT {PENDING_COLUMNS} FROM webhooks WHERE origin = ?1 AND id > ?2 AND given_up_ms IS NULL ORDER BY id LIMIT ?3"
            ),
            params![origin, after, most as i64],
        )
    }

    fn pending(
        &self,
        sql: &str,
        values: impl rusqlite::Params,
    ) -> Result<Vec<Pending>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(sql)?;
        let mut found = statement.query(values)?;
        let mut pending = Vec::new();
        while let Some(row) = found.next()? {
            pending.push(Pending {
                id: row.get(0)?,
                origin: row.get(1)?,
                seq: JobSeq(row.get::<_, i64>(2)? as u64),
                since_ms: row.get(3)?,
                tries: row.get(4)?,
                next_ms: row.get(5)?,
            });
        }
        Ok(pending)
    }

    /// All of one; none if it is there no more.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn letter(&self, id: i64) -> Result<Option<Letter>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT w.id, w.url, w.seq, j.uuid, j.spec, w.attempt, w.at_ms, w.from_state, w.to_state, w.worker, w.detail, \
             w.failure_reason, w.failure_message, w.result FROM webhooks w JOIN jobs j ON j.seq = w.seq WHERE w.id = ?1",
        )?;
        let mut found = statement.query([id])?;
        found.next()?.map(letter).transpose()
    }

    /// Writes down what became of some tries.
    ///
    /// # Errors
    /// When the store cannot be written; then nothing of it was.
    pub fn settle(&self, settled: &[Settled]) -> Result<(), StoreError> {
        let mut connection = self.lock();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for Settled { id, settlement } in settled {
            match settlement {
                Settlement::Delivered => {
                    transaction
                        .prepare_cached("DELETE FROM webhooks WHERE id = ?1")?
                        .execute([id])?;
                }
                Settlement::Later {
                    tries,
                    next_ms,
                    trouble,
                } => {
                    transaction
                        .prepare_cached(
                            "UPDATE webhooks SET tries = ?2, next_ms = ?3, trouble = ?4 WHERE id = ?1",
                        )?
                        .execute(params![id, tries, next_ms, trouble])?;
                }
                Settlement::GivenUp {
                    tries,
                    at_ms,
                    trouble,
                } => {
                    transaction
                        .prepare_cached(
                            "UPDATE webhooks SET tries = ?2, given_up_ms = ?3, trouble = ?4 WHERE id = ?1",
                        )?
                        .execute(params![id, tries, at_ms, trouble])?;
                }
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// Everything of a job is due now and counts as new, what was given up included. Says how much that is.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn retry(&self, seq: JobSeq, now_ms: i64) -> Result<u64, StoreError> {
        let changed = self.lock().execute(
            "UPDATE webhooks SET next_ms = 0, given_up_ms = NULL, tries = 0, since_ms = ?2 WHERE seq = ?1",
            params![seq.0 as i64, now_ms],
        )?;
        Ok(changed as u64)
    }

    /// Forgets what was given up before `before_ms`.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn forget(&self, before_ms: i64) -> Result<(), StoreError> {
        self.lock()
            .execute("DELETE FROM webhooks WHERE given_up_ms < ?1", [before_ms])?;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn letter(row: &Row<'_>) -> Result<Letter, StoreError> {
    let uuid = rows::uuid(row, 3)?;
    Ok(Letter {
        event_id: event_id(uuid, row.get(0)?),
        url: row.get(1)?,
        seq: JobSeq(row.get::<_, i64>(2)? as u64),
        uuid,
        spec: row.get(4)?,
        attempt: AttemptNo(row.get(5)?),
        at_ms: row.get(6)?,
        from: rows::word(row, 7)?,
        to: rows::word(row, 8)?,
        worker: row.get(9)?,
        detail: row.get(10)?,
        failure: rows::failure(row, 11)?,
        result: rows::from_json(row, 13)?,
    })
}

//! Rows in and out: the one place where records become SQL and SQL becomes the core's types again.

use std::{str::FromStr, sync::Arc};

use ffrtmp_api::{
    ids::{AttemptNo, JobSeq},
    job::{FailureReason, JobSpec, JobState, Priority, Queue},
    rest::{Failure, HistoryEntry},
    settings::{Settings, Source},
};
use rusqlite::{Connection, Row, params};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{StoreError, webhooks};
use crate::core::record::{
    IDEMPOTENCY_MS, JobRow, JobStatus, KnownKey, Record, Snapshot, WorkerRow, spec_digest,
};

/// The columns of a job, in the order [`job`] reads them.
pub const JOB_COLUMNS: &str = "seq, uuid, spec, queue, priority, submitted_ms, idempotency_key, state, attempt, failures, \
     started_ms, finished_ms, worker, placement, publishing, failure_reason, failure_message, result, cancel_requested, pause_requested, lost, \
     held, retried, retry, stop_requested";

/// Applies one record within the open transaction.
pub fn apply(connection: &Connection, record: &Record) -> Result<(), rusqlite::Error> {
    match record {
        Record::JobAccepted(row) => {
            let status = &row.status;
            connection
                .prepare_cached(
                    "INSERT INTO jobs (seq, uuid, spec, queue, priority, submitted_ms, idempotency_key, state, attempt, failures, cancel_requested, pause_requested, lost) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
                )?
                .execute(params![
                    row.seq.0 as i64,
                    row.uuid.as_bytes(),
                    &*row.spec,
                    row.queue.as_str(),
                    row.priority.as_str(),
                    row.submitted_ms,
                    row.idempotency_key,
                    status.state.as_str(),
                    status.attempt.0,
                    status.failures,
                    status.cancel_requested,
                    status.pause_requested,
                    status.lost,
                ])?;
            if let Some(upload) = upload_of(&row.spec) {
                connection
                    .prepare_cached("INSERT INTO job_uploads (upload, seq) VALUES (?1, ?2)")?
                    .execute(params![upload.as_bytes(), row.seq.0 as i64])?;
            }
        }
        Record::JobChanged { seq, status } => {
            connection
                .prepare_cached(
                    "UPDATE jobs SET state = ?2, attempt = ?3, failures = ?4, started_ms = ?5, finished_ms = ?6, worker = ?7, \
                     placement = ?8, publishing = ?9, failure_reason = ?10, failure_message = ?11, result = ?12, cancel_requested = ?13, pause_requested = ?14, lost = ?15, \
                     held = ?16, retried = ?17, retry = ?18, stop_requested = ?19 \
                     WHERE seq = ?1",
                )?
                .execute(params![
                    seq.0 as i64,
                    status.state.as_str(),
                    status.attempt.0,
                    status.failures,
                    status.started_ms,
                    status.finished_ms,
                    status.worker,
                    to_json(&status.placement),
                    to_json(&status.publishing),
                    status.failure.as_ref().map(|f| f.reason.as_str()),
                    status.failure.as_ref().map(|f| &f.message),
                    to_json(&status.result),
                    status.cancel_requested,
                    status.pause_requested,
                    status.lost,
                    status.held,
                    status.retried,
                    to_json(&status.retry),
                    status.stop_requested,
                ])?;
        }
        Record::JobMoved {
            seq,
            queue,
            priority,
        } => {
            connection
                .prepare_cached("UPDATE jobs SET queue = ?2, priority = ?3 WHERE seq = ?1")?
                .execute(params![seq.0 as i64, queue.as_str(), priority.as_str()])?;
        }
        Record::JobEvent(event) => {
            connection
                .prepare_cached(
                    "INSERT INTO job_events (seq, at_ms, attempt, from_state, to_state, worker, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )?
                .execute(params![
                    event.seq.0 as i64,
                    event.at_ms,
                    event.attempt.0,
                    event.from.as_str(),
                    event.to.as_str(),
                    event.worker,
                    event.detail
                ])?;
        }
        Record::Notice(notice) => webhooks::insert(connection, notice)?,
        Record::JobLog { seq, attempt, text } => {
            connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO job_logs (seq, attempt, text) VALUES (?1, ?2, ?3)",
                )?
                .execute(params![seq.0 as i64, attempt.0, text])?;
        }
        Record::WorkerKnown(row) => {
            connection
                .prepare_cached("INSERT OR REPLACE INTO workers (name, install_id, seen_ms, drained, quarantine) VALUES (?1, ?2, ?3, ?4, ?5)")?
                .execute(params![row.name, row.install_id.as_bytes(), row.seen_ms, row.drained, to_json(&row.quarantine)])?;
        }
        Record::WorkerDrained { name, drained } => {
            connection
                .prepare_cached("UPDATE workers SET drained = ?2 WHERE name = ?1")?
                .execute(params![name, drained])?;
        }
        Record::WorkerQuarantined { name, quarantine } => {
            connection
                .prepare_cached("UPDATE workers SET quarantine = ?2 WHERE name = ?1")?
                .execute(params![name, to_json(quarantine)])?;
        }
        Record::WorkerForgotten(name) => {
            connection
                .prepare_cached("DELETE FROM workers WHERE name = ?1")?
                .execute([name])?;
        }
        Record::PolicyChosen {
            name,
            digest,
            at_ms,
        } => {
            connection
                .prepare_cached(
                    "INSERT INTO policy_choices (name, digest, at_ms) VALUES (?1, ?2, ?3)",
                )?
                .execute(params![name, digest, at_ms])?;
        }
    }
    Ok(())
}

/// The upload a job reads, if it reads one. Most specs do not hold the word, and are not parsed.
fn upload_of(spec: &str) -> Option<Uuid> {
    if !spec.contains("\"upload:") {
        return None;
    }
    let spec: JobSpec = serde_json::from_str(spec).ok()?;
    match Settings::resolve(&spec).ok()?.source {
        Source::Upload(id) => Some(id),
        Source::File(_) | Source::Url(_) | Source::Synthetic => None,
    }
}

/// Everything a core needs to start.
pub fn snapshot(connection: &Connection, now_ms: i64) -> Result<Snapshot, StoreError> {
    let mut snapshot = Snapshot::default();
    let live: Vec<String> = JobState::ALL
        .iter()
        .filter(|s| !s.is_terminal())
        .map(|s| format!("'{}'", s.as_str()))
        .collect();
    let sql = format!(
        "SELECT {JOB_COLUMNS} FROM jobs WHERE state IN ({}) ORDER BY seq",
        live.join(", ")
    );
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        snapshot.jobs.push(job(row)?);
    }
    let mut statement = connection.prepare("SELECT state, COUNT(*) FROM jobs GROUP BY state")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        snapshot
            .counts
            .push((word(row, 0)?, row.get::<_, i64>(1)? as u64));
    }
    let last: Option<i64> =
        connection.query_row("SELECT MAX(seq) FROM jobs", [], |row| row.get(0))?;
    snapshot.last_seq = last.unwrap_or(0) as u64;
    let mut statement = connection
        .prepare("SELECT idempotency_key, seq, uuid, spec FROM jobs WHERE idempotency_key IS NOT NULL AND submitted_ms > ?1")?;
    let mut rows = statement.query([now_ms.saturating_sub_unsigned(IDEMPOTENCY_MS)])?;
    while let Some(row) = rows.next()? {
        let known = KnownKey {
            seq: JobSeq(row.get::<_, i64>(1)? as u64),
            uuid: uuid(row, 2)?,
            spec: spec_digest(row.get_ref(3)?.as_str().map_err(rusqlite::Error::from)?),
        };
        snapshot.idempotency.push((row.get(0)?, known));
    }
    let mut statement = connection.prepare(
        "SELECT name, install_id, seen_ms, drained, quarantine FROM workers ORDER BY name",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        snapshot.workers.push(WorkerRow {
            name: row.get(0)?,
            install_id: uuid(row, 1)?,
            seen_ms: row.get(2)?,
            drained: row.get(3)?,
            quarantine: from_json(row, 4)?,
        });
    }
    Ok(snapshot)
}

/// The last policy chosen.
pub fn last_choice(connection: &Connection) -> Result<Option<(String, String)>, StoreError> {
    let mut statement =
        connection.prepare("SELECT name, digest FROM policy_choices ORDER BY id DESC LIMIT 1")?;
    let mut rows = statement.query([])?;
    match rows.next()? {
        Some(row) => Ok(Some((row.get(0)?, row.get(1)?))),
        None => Ok(None),
    }
}

/// A job, from a row of [`JOB_COLUMNS`].
pub fn job(row: &Row<'_>) -> Result<JobRow, StoreError> {
    let failure = failure(row, 15)?;
    Ok(JobRow {
        seq: JobSeq(row.get::<_, i64>(0)? as u64),
        uuid: uuid(row, 1)?,
        spec: Arc::from(row.get::<_, String>(2)?),
        queue: word::<Queue>(row, 3)?,
        priority: word::<Priority>(row, 4)?,
        submitted_ms: row.get(5)?,
        idempotency_key: row.get(6)?,
        status: JobStatus {
            state: word(row, 7)?,
            attempt: AttemptNo(row.get(8)?),
            failures: row.get(9)?,
            started_ms: row.get(10)?,
            finished_ms: row.get(11)?,
            worker: row.get(12)?,
            placement: from_json(row, 13)?,
            publishing: from_json(row, 14)?,
            failure,
            result: from_json(row, 17)?,
            cancel_requested: row.get(18)?,
            pause_requested: row.get(19)?,
            lost: row.get(20)?,
            held: row.get(21)?,
            retried: row.get(22)?,
            retry: from_json(row, 23)?,
            stop_requested: row.get(24)?,
        },
    })
}

/// Why an attempt failed, from two columns: the reason and the message.
pub(super) fn failure(row: &Row<'_>, column: usize) -> Result<Option<Failure>, StoreError> {
    let (reason, message): (Option<String>, Option<String>) =
        (row.get(column)?, row.get(column + 1)?);
    reason
        .map(|reason| {
            Ok(Failure {
                reason: parse::<FailureReason>(&reason)?,
                message: message.unwrap_or_default(),
            })
        })
        .transpose()
}

/// A line of a job's history, from a row of `at_ms, attempt, from_state, to_state, worker, detail`.
pub fn history_entry(row: &Row<'_>) -> Result<HistoryEntry, StoreError> {
    Ok(HistoryEntry {
        at_ms: row.get(0)?,
        attempt: AttemptNo(row.get(1)?),
        from: word(row, 2)?,
        to: word(row, 3)?,
        node: row.get(4)?,
        detail: row.get(5)?,
    })
}

/// A word of a closed list.
pub(super) fn word<T: FromStr<Err = String>>(
    row: &Row<'_>,
    column: usize,
) -> Result<T, StoreError> {
    parse(&row.get::<_, String>(column)?)
}

fn parse<T: FromStr<Err = String>>(text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|what| StoreError::Corrupt { what })
}

pub(super) fn uuid(row: &Row<'_>, column: usize) -> Result<Uuid, StoreError> {
    let bytes: Vec<u8> = row.get(column)?;
    Uuid::from_slice(&bytes).map_err(|e| StoreError::Corrupt {
        what: format!("a UUID of {} bytes: {e}", bytes.len()),
    })
}

pub(super) fn to_json<T: Serialize>(value: &Option<T>) -> Option<String> {
    // These types hold only strings, numbers and options: serialising them cannot fail.
    value
        .as_ref()
        .and_then(|value| serde_json::to_string(value).ok())
}

pub(super) fn from_json<T: DeserializeOwned>(
    row: &Row<'_>,
    column: usize,
) -> Result<Option<T>, StoreError> {
    let text: Option<String> = row.get(column)?;
    text.map(|text| {
        serde_json::from_str(&text).map_err(|e| StoreError::Corrupt {
            what: format!("column {column}: {e}"),
        })
    })
    .transpose()
}

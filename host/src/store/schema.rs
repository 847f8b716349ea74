//! The tables, and how an older database becomes a current one.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::StoreError;

/// Each entry takes the schema one version on; its position is the version it starts from. Released entries are never edited.
const MIGRATIONS: [&str; 7] = [
    // 0 -> 1
    "CREATE TABLE jobs (
        seq INTEGER PRIMARY KEY,
        uuid BLOB NOT NULL UNIQUE,
        spec TEXT NOT NULL,
        queue TEXT NOT NULL,
        priority TEXT NOT NULL,
        submitted_ms INTEGER NOT NULL,
        idempotency_key TEXT,
        state TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        failures INTEGER NOT NULL,
        started_ms INTEGER,
        finished_ms INTEGER,
        worker TEXT,
        placement TEXT,
        publishing TEXT,
        failure_reason TEXT,
        failure_message TEXT,
        result TEXT,
        cancel_requested INTEGER NOT NULL,
        pause_requested INTEGER NOT NULL,
        lost INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX jobs_by_state ON jobs (state, seq);
    CREATE INDEX jobs_by_key ON jobs (submitted_ms) WHERE idempotency_key IS NOT NULL;
    CREATE TABLE job_events (
        id INTEGER PRIMARY KEY,
        seq INTEGER NOT NULL,
        at_ms INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        from_state TEXT NOT NULL,
        to_state TEXT NOT NULL,
        worker TEXT,
        detail TEXT NOT NULL
    ) STRICT;
    CREATE INDEX job_events_by_job ON job_events (seq, id);
    CREATE TABLE job_logs (
        seq INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        text TEXT NOT NULL,
        PRIMARY KEY (seq, attempt)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE workers (
        name TEXT PRIMARY KEY,
        install_id BLOB NOT NULL,
        seen_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE policy_choices (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        digest TEXT NOT NULL,
        at_ms INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE starts (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        count INTEGER NOT NULL,
        at_ms INTEGER NOT NULL
    ) STRICT;",
    // 1 -> 2: holding and retrying jobs, draining workers; an index for each order in which jobs are listed. `jobs_by_state`
    // is the beginning of `jobs_by_urgency`.
    "ALTER TABLE jobs ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN retried INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE workers ADD COLUMN drained INTEGER NOT NULL DEFAULT 0;
    DROP INDEX jobs_by_state;
    CREATE INDEX jobs_by_urgency ON jobs (state, queue, priority, seq);
    CREATE INDEX jobs_by_finished ON jobs (finished_ms, seq) WHERE finished_ms IS NOT NULL;
    CREATE INDEX jobs_by_started ON jobs (started_ms, seq) WHERE started_ms IS NOT NULL;",
    // 2 -> 3: which job reads which upload of the spool; written with the job.
    "CREATE TABLE job_uploads (
        upload BLOB NOT NULL,
        seq INTEGER NOT NULL,
        PRIMARY KEY (upload, seq)
    ) STRICT, WITHOUT ROWID;",
    // 3 -> 4: tokens.
    "CREATE TABLE tokens (
        id BLOB PRIMARY KEY,
        name TEXT NOT NULL,
        role TEXT NOT NULL,
        tenant TEXT,
        digest BLOB NOT NULL,
        created_ms INTEGER NOT NULL,
        expires_ms INTEGER,
        revoked_ms INTEGER,
        uses_left INTEGER,
        worker TEXT,
        install_id BLOB,
        joined_by BLOB
    ) STRICT, WITHOUT ROWID;",
    // 4 -> 5: what retries keep to, and quarantines, outlive the master. Both are JSON.
    "ALTER TABLE jobs ADD COLUMN retry TEXT;
    ALTER TABLE workers ADD COLUMN quarantine TEXT;",
    // 5 -> 6: live jobs are asked to finish.
    "ALTER TABLE jobs ADD COLUMN stop_requested INTEGER NOT NULL DEFAULT 0;",
    // 6 -> 7: what webhooks are to be told; a row is gone once it was. A number is never given twice: it is in the event's id.
    "CREATE TABLE webhooks (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        origin TEXT NOT NULL,
        url TEXT NOT NULL,
        seq INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        at_ms INTEGER NOT NULL,
        from_state TEXT NOT NULL,
        to_state TEXT NOT NULL,
        worker TEXT,
        detail TEXT NOT NULL,
        failure_reason TEXT,
        failure_message TEXT,
        result TEXT,
        tries INTEGER NOT NULL DEFAULT 0,
        next_ms INTEGER NOT NULL DEFAULT 0,
        since_ms INTEGER NOT NULL,
        trouble TEXT,
        given_up_ms INTEGER
    ) STRICT;
    CREATE INDEX webhooks_by_origin ON webhooks (origin, id) WHERE given_up_ms IS NULL;
    CREATE INDEX webhooks_by_job ON webhooks (seq, id);",
];

/// What every connection that writes is set to.
pub fn configure(connection: &Connection) -> Result<(), StoreError> {
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    // FULL syncs the WAL at every commit: NORMAL may lose acknowledged commits in a power cut.
    connection.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;",
    )?;
    // A hot table's pages stay in memory: 64 MiB.
    connection.pragma_update(None, "cache_size", -65_536)?;
    // The log is folded back every 4,000 pages (16 MiB): rare enough not to be in every group, small enough to be short.
    connection.pragma_update(None, "wal_autocheckpoint", 4_000)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}

/// Brings the schema up to date, in one transaction.
pub fn migrate(connection: &mut Connection, dir: &Path) -> Result<(), StoreError> {
    let known = MIGRATIONS.len() as i64;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version(&transaction, dir)?;
    for migration in MIGRATIONS.iter().skip(found as usize) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", known)?;
    transaction.commit()?;
    Ok(())
}

/// The schema's version, if this software knows it.
pub fn version(connection: &Connection, dir: &Path) -> Result<i64, StoreError> {
    let known = MIGRATIONS.len() as i64;
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > known {
        return Err(StoreError::Newer {
            dir: dir.to_owned(),
            found,
            known,
        });
    }
    Ok(found)
}

/// Writes and commits a row, so that a store that is full or broken is found before anyone relies on it.
pub fn prove_writable(connection: &mut Connection, now_ms: i64) -> Result<(), StoreError> {
    connection.execute(
        "INSERT INTO starts (id, count, at_ms) VALUES (1, 1, ?1) ON CONFLICT (id) DO UPDATE SET count = count + 1, at_ms = ?1",
        [now_ms],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite::params;

    use super::*;

    /// A database as version 1 left it, with a job in each state and a worker.
    fn version_1(dir: &Path) {
        let connection = Connection::open(dir.join("ffrtmp.sqlite")).unwrap();
        configure(&connection).unwrap();
        connection.execute_batch(MIGRATIONS[0]).unwrap();
        connection.pragma_update(None, "user_version", 1).unwrap();
        for (i, state) in ffrtmp_api::job::JobState::ALL.iter().enumerate() {
            connection
                .execute(
                    "INSERT INTO jobs (seq, uuid, spec, queue, priority, submitted_ms, state, attempt, failures, worker, \
                     cancel_requested, pause_requested, lost) VALUES (?1, ?2, '{}', 'live', 'low', 5, ?3, 1, 0, 'w', 0, 0, 0)",
                    params![i as i64 + 1, [i as u8; 16], state.as_str()],
                )
                .unwrap();
        }
        connection
            .execute("INSERT INTO workers VALUES ('w', ?1, 5)", [[7u8; 16]])
            .unwrap();
    }

    #[test]
    fn a_database_of_version_1_keeps_everything_and_holds_and_drains_nothing() {
        let dir = tempfile::tempdir().unwrap();
        version_1(dir.path());
        let store = super::super::Store::open(dir.path()).unwrap();
        let snapshot = store.load(10).unwrap();
        assert_eq!((snapshot.last_seq, snapshot.jobs.len()), (8, 5));
        assert_eq!(snapshot.counts.iter().map(|(_, n)| n).sum::<u64>(), 8);
        assert!(
            snapshot
                .jobs
                .iter()
                .all(|job| !job.status.held && job.status.retried == 0)
        );
        assert!(!snapshot.workers[0].drained);
        drop(store);
        // Opened again, it is current.
        let store = super::super::Store::open(dir.path()).unwrap();
        assert_eq!(store.load(11).unwrap().jobs, snapshot.jobs);
    }
}

//! The one thread that writes. It commits in groups: what arrived while the last commit ran goes into the next, so that
//! one sync to disk serves everybody who waited for it.

use std::{
    sync::mpsc::{self, Receiver, Sender},
    thread::JoinHandle,
    time::Instant,
};

use rusqlite::{Connection, TransactionBehavior};

use super::{Store, StoreError, StoreMetrics, rows};
use crate::core::record::Record;

/// Most records in one transaction: bounds how long the first of a group waits for the last (about 10 ms of inserts).
const GROUP_RECORDS_MAX: usize = 4_000;

/// Records, and what may be done once they are durable.
#[derive(Debug)]
pub struct Commit<T> {
    /// The core that made them. After a failed commit nothing more of the same core is written.
    pub generation: u32,
    /// In order. May be empty: what depends on earlier commits still waits its turn.
    pub records: Vec<Record>,
    /// Handed back when durable, in order.
    pub then: T,
}

/// What the writer says about a commit.
#[derive(Debug)]
pub enum Durable<T> {
    /// It is on disk, and so is every one before it.
    Yes(T),
    /// It is not, and never will be: this commit or an earlier one of the same generation failed.
    No(T),
    /// A commit failed; once for each generation, before its [`Durable::No`]s.
    Failed {
        /// Which core must be dropped.
        generation: u32,
        /// Why.
        error: String,
    },
}

/// The handle to the writer thread.
#[derive(Debug)]
pub struct Writer<T> {
    commits: Option<Sender<Commit<T>>>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Writer<T> {
    /// Starts the thread. `report` is called on it, in commit order.
    ///
    /// # Errors
    /// When the database cannot be opened or the thread cannot be started.
    pub fn spawn(
        store: &Store,
        metrics: StoreMetrics,
        report: impl FnMut(Durable<T>) + Send + 'static,
    ) -> Result<Writer<T>, StoreError> {
        let connection = store.connect_writer()?;
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || run(connection, &receiver, &metrics, report))
            .map_err(|cause| StoreError::Directory {
                dir: store.dir.clone(),
                cause,
            })?;
        Ok(Writer {
            commits: Some(sender),
            thread: Some(thread),
        })
    }

    /// Queues a commit. Never blocks.
    pub fn commit(&self, commit: Commit<T>) {
        if let Some(commits) = &self.commits {
            // The thread ends only when this sender is dropped.
            let _ = commits.send(commit);
        }
    }

    /// Commits what is queued and ends the thread.
    pub fn close(&mut self) {
        self.commits = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's writer thread panicked");
        }
    }
}

impl<T> Drop for Writer<T> {
    fn drop(&mut self) {
        self.commits = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run<T>(
    mut connection: Connection,
    commits: &Receiver<Commit<T>>,
    metrics: &StoreMetrics,
    mut report: impl FnMut(Durable<T>),
) {
    let mut failed: Option<u32> = None;
    while let Ok(first) = commits.recv() {
        let mut group = vec![first];
        let mut records = group[0].records.len();
        while records < GROUP_RECORDS_MAX
            && let Ok(next) = commits.try_recv()
        {
            records += next.records.len();
            group.push(next);
        }
        let (dead, live): (Vec<_>, Vec<_>) = group
            .into_iter()
            .partition(|commit| failed.is_some_and(|generation| commit.generation <= generation));
        dead.into_iter()
            .for_each(|commit| report(Durable::No(commit.then)));
        let Some(generation) = live.last().map(|commit| commit.generation) else {
            continue;
        };
        let begun = Instant::now();
        match write(&mut connection, &live) {
            Ok(()) => {
                let records = live.iter().map(|commit| commit.records.len()).sum();
                if records > 0 {
                    metrics.committed(records, begun.elapsed());
                }
                live.into_iter()
                    .for_each(|commit| report(Durable::Yes(commit.then)));
            }
            Err(error) => {
                metrics.failed();
                failed = Some(generation);
                report(Durable::Failed {
                    generation,
                    error: error.to_string(),
                });
                live.into_iter()
                    .for_each(|commit| report(Durable::No(commit.then)));
            }
        }
    }
}

fn write<T>(connection: &mut Connection, group: &[Commit<T>]) -> Result<(), rusqlite::Error> {
    if group.iter().all(|commit| commit.records.is_empty()) {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for record in group.iter().flat_map(|commit| &commit.records) {
        rows::apply(&transaction, record)?;
    }
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use ffrtmp_api::job::JobState;
    use uuid::Uuid;

    use super::*;
    use crate::core::record::{JobRow, JobStatus};

    fn accepted(seq: u64) -> Record {
        Record::JobAccepted(Box::new(JobRow {
            seq: ffrtmp_api::ids::JobSeq(seq),
            uuid: Uuid::from_u128(u128::from(seq)),
            spec: "{}".into(),
            queue: Default::default(),
            priority: Default::default(),
            submitted_ms: 1,
            idempotency_key: None,
            status: JobStatus::default(),
        }))
    }

    #[test]
    fn a_failed_commit_takes_its_generation_with_it_and_the_next_one_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (sender, reports) = mpsc::channel();
        let exposition = ffrtmp_api::metrics::Exposition::default();
        let metrics = StoreMetrics::new(&exposition).unwrap();
        let report = move |report| sender.send(report).unwrap();
        let mut writer = Writer::spawn(&store, metrics, report).unwrap();
        let commit = |generation, records, then| Commit {
            generation,
            records,
            then,
        };
        writer.commit(commit(1, vec![accepted(1)], 'a'));
        assert!(matches!(reports.recv().unwrap(), Durable::Yes('a')));
        // The same number twice cannot be written.
        writer.commit(commit(1, vec![accepted(2), accepted(1)], 'b'));
        assert!(matches!(
            reports.recv().unwrap(),
            Durable::Failed { generation: 1, .. }
        ));
        let text = String::from_utf8(exposition.render().unwrap()).unwrap();
        for line in [
            "ffrtmp_store_commit_failures_total 1",
            "ffrtmp_store_commit_seconds_count 1",
            "ffrtmp_store_commit_rows_sum 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
        assert!(matches!(reports.recv().unwrap(), Durable::No('b')));
        writer.commit(commit(1, vec![accepted(3)], 'c'));
        assert!(matches!(reports.recv().unwrap(), Durable::No('c')));
        let snapshot = store.load(2).unwrap();
        assert_eq!(
            snapshot.jobs.len(),
            1,
            "nothing of the failed commit, nor of what came after it, is there"
        );
        writer.commit(commit(2, vec![accepted(2)], 'd'));
        assert!(matches!(reports.recv().unwrap(), Durable::Yes('d')));
        writer.close();
        let snapshot = store.load(3).unwrap();
        assert_eq!(
            (snapshot.last_seq, snapshot.counts),
            (2, vec![(JobState::Pending, 2)])
        );
    }

    #[test]
    fn a_second_master_is_refused_and_a_newer_schema_too() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert!(matches!(
            Store::open(dir.path()),
            Err(StoreError::Locked { .. })
        ));
        store
            .connect_writer()
            .unwrap()
            .pragma_update(None, "user_version", 99)
            .unwrap();
        drop(store);
        let error = Store::open(dir.path()).unwrap_err();
        assert!(
            matches!(error, StoreError::Newer { found: 99, .. }),
            "{error}"
        );
    }
}

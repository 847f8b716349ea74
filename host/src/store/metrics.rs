//! What the store exports: how long commits take, how large they are, and how much room its disk has.

use std::{fs, path::Path, sync::Arc, time::Duration};

use ffrtmp_api::metrics::Exposition;
use prometheus::{Histogram, IntCounter, IntGauge, Result};
use rustix::fs::statvfs;

/// Buckets for a commit, seconds: an NVMe disk syncs in 0.1 ms, a spinning one in 10, and one that is in trouble in seconds.
const COMMIT_SECONDS: [f64; 13] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0,
];
/// Buckets for the rows of one commit; some 4,000 is the most.
const COMMIT_ROWS: [f64; 8] = [1.0, 2.0, 5.0, 10.0, 50.0, 200.0, 1_000.0, 4_000.0];
/// The files of the database: its own, and what was committed and not yet moved into it.
const FILES: [&str; 2] = ["ffrtmp.sqlite", "ffrtmp.sqlite-wal"];

/// The store's metrics. Clones share the numbers.
#[derive(Debug, Clone)]
pub struct StoreMetrics(Arc<Each>);

#[derive(Debug)]
struct Each {
    commit_seconds: Histogram,
    commit_rows: Histogram,
    failures: IntCounter,
    read_only: IntGauge,
    size: IntGauge,
    disk_free: IntGauge,
    disk_size: IntGauge,
}

impl StoreMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// When one of these names is taken.
    pub fn new(make: &Exposition) -> Result<StoreMetrics> {
        Ok(StoreMetrics(Arc::new(Each {
            commit_seconds: make.histogram(
                "ffrtmp_store_commit_seconds",
                "Time of one commit to disk; nothing is acknowledged before it. Hundredths of a second are a slow disk.",
                &COMMIT_SECONDS,
            )?,
            commit_rows: make.histogram(
                "ffrtmp_store_commit_rows",
                "Records in one commit: what arrived while the last one ran goes into the next.",
                &COMMIT_ROWS,
            )?,
            failures: make.counter(
                "ffrtmp_store_commit_failures_total",
                "Commits that failed; each turns the master read-only until the store can be written again.",
            )?,
            read_only: make.gauge(
                "ffrtmp_store_read_only",
                "1 while the store cannot be written and submits are refused.",
            )?,
            size: make.gauge(
                "ffrtmp_store_size_bytes",
                "Size of the database, with what is not yet moved into it.",
            )?,
            disk_free: make.gauge(
                "ffrtmp_store_disk_free_bytes",
                "Free bytes on the disk of the data directory. At 0 the master is read-only.",
            )?,
            disk_size: make.gauge(
                "ffrtmp_store_disk_size_bytes",
                "Size of that disk.",
            )?,
        })))
    }

    /// A commit of so many records took so long.
    pub(super) fn committed(&self, records: usize, took: Duration) {
        self.0.commit_seconds.observe(took.as_secs_f64());
        self.0.commit_rows.observe(records as f64);
    }

    /// A commit failed.
    pub(super) fn failed(&self) {
        self.0.failures.inc();
    }

    /// Whether the store can be written.
    pub fn read_only(&self, read_only: bool) {
        self.0.read_only.set(i64::from(read_only));
    }

    /// The same.
    pub fn is_read_only(&self) -> bool {
        self.0.read_only.get() != 0
    }

    /// Looks at the store in this directory and at its disk. What cannot be told keeps its last value.
    pub fn look(&self, data_dir: &Path) {
        let sizes = FILES
            .iter()
            .filter_map(|file| fs::metadata(data_dir.join(file)).ok());
        let bytes: u64 = sizes.map(|file| file.len()).sum();
        self.0.size.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        if let Ok(disk) = statvfs(data_dir) {
            let bytes = |blocks: u64| {
                i64::try_from(blocks.saturating_mul(disk.f_frsize)).unwrap_or(i64::MAX)
            };
            self.0.disk_free.set(bytes(disk.f_bavail));
            self.0.disk_size.set(bytes(disk.f_blocks));
        }
    }
}

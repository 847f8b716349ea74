//! The spool: files that users sent for workers, and that workers sent for users, where there is no shared storage.
//!
//! It is a bounded folder of files named by UUIDs; `docs/SPOOL.md` says what is kept for how long. What is known of a file
//! stands beside it ([`record`]), so that bytes and knowledge cannot part ways; which job uses which upload stands in the
//! store, in the job's own commit. Which attempt's output counts is the core's decision: here is only I/O.
//!
//! **Invariant: the files together, with what is promised to those under way, never exceed [`SpoolConfig::max`], and what is
//! acknowledged is on disk.** Everything here blocks; call it off the async threads.

mod catalogue;
mod error;
mod metrics;
mod receive;
mod record;
mod sweep;

use std::{path::PathBuf, time::Duration};

pub use catalogue::{Hold, Spool, Stored};
pub use error::SpoolError;
pub use metrics::SpoolMetrics;
pub use receive::Receiving;
pub use record::{Kind, Maker};

/// The spool's settings. Sizes are bytes.
#[derive(Debug, Clone)]
pub struct SpoolConfig {
    /// Where it is; made if it is missing. Only this process may use it.
    pub dir: PathBuf,
    /// Most it may hold, with what is promised to files under way.
    pub max: u64,
    /// Largest single file.
    pub file_max: u64,
    /// What must stay free on its disk; none: 1 GiB, or 5 % of a disk smaller than 20 GiB.
    pub reserve: Option<u64>,
    /// How long an incomplete or unused upload is kept, and the input of jobs that failed or were canceled.
    pub keep_uploads: Duration,
    /// How long the input of jobs that all completed is kept, unless room is needed.
    pub keep_inputs: Duration,
    /// How long the output of a completed job is kept.
    pub keep_outputs: Duration,
}

impl SpoolConfig {
    /// A spool in `dir`, with every default.
    pub fn new(dir: PathBuf) -> SpoolConfig {
        SpoolConfig {
            dir,
            max: 50 << 30,
            file_max: 50 << 30,
            reserve: None,
            keep_uploads: Duration::from_secs(24 * 3_600),
            keep_inputs: Duration::from_secs(3_600),
            keep_outputs: Duration::from_secs(7 * 24 * 3_600),
        }
    }
}

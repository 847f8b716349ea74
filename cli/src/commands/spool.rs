//! The master's flags about its spool: where files of users without shared storage are kept, and how much of them.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use ffrtmp_host::SpoolConfig;

use crate::values;

/// See the module's head.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Spool (files sent with --upload)")]
pub struct SpoolArgs {
    /// Where they are kept; default: spool in --data-dir
    #[arg(long, value_name = "DIR")]
    spool_dir: Option<PathBuf>,
    /// Most bytes kept, as in 500M, 50G or 2T
    #[arg(long, value_name = "SIZE", default_value = "50G", value_parser = values::bytes)]
    spool_max: u64,
    /// Largest single file; default: --spool-max
    #[arg(long, value_name = "SIZE", value_parser = values::bytes)]
    spool_file_max: Option<u64>,
    /// What must stay free on that disk; default: 1G, or 5 % of a disk smaller than 20G
    #[arg(long, value_name = "SIZE", value_parser = values::bytes)]
    spool_reserve: Option<u64>,
    /// How long an incomplete or unused upload is kept, and the input of a failed or canceled job
    #[arg(long, value_name = "TIME", default_value = "1d", value_parser = values::duration)]
    spool_keep_uploads: Duration,
    /// How long the input of completed jobs is kept, unless room is needed
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = values::duration)]
    spool_keep_inputs: Duration,
    /// How long the output of a completed job is kept
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = values::duration)]
    spool_keep_outputs: Duration,
}

impl SpoolArgs {
    /// The spool of the master whose data is in `data_dir`.
    pub fn config(self, data_dir: &std::path::Path) -> SpoolConfig {
        SpoolConfig {
            max: self.spool_max,
            file_max: self.spool_file_max.unwrap_or(self.spool_max),
            reserve: self.spool_reserve,
            keep_uploads: self.spool_keep_uploads,
            keep_inputs: self.spool_keep_inputs,
            keep_outputs: self.spool_keep_outputs,
            ..SpoolConfig::new(self.spool_dir.unwrap_or_else(|| data_dir.join("spool")))
        }
    }
}

//! `ffrtmp backup`: a copy of a master's data directory, made on its machine while it runs.
//!
//! It reads the files, not the API: a master that does not start can be backed up too, and no token is needed. How the copy is
//! made is `ffrtmp_host::store`'s business.

use std::{ffi::OsString, path::PathBuf};

use clap::Args;
use ffrtmp_host::store::BackupError;

use crate::{
    args::{Command, GlobalArgs, OutputArg},
    exit::{Failure, Result},
    output::BackupMade,
    settings::{self, Role},
};

/// What to copy, and where to.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ffrtmp backup /srv/backup/today
  ffrtmp backup --data-dir /var/lib/ffrtmp-master /srv/backup/monday

The master goes on meanwhile. The backup is a data directory: to go back to it, stop the master, put
the backup in the place of its data directory, with its owner, and start it. It holds the queue,
all jobs, tokens (as digests), the policies that were chosen and the key of webhooks; not the
spool, and no certificates, presets or settings.
Never copy ffrtmp.sqlite itself while a master runs: such a copy can be damaged or behind.")]
pub struct BackupArgs {
    /// Folder to make for the backup; it must not exist yet
    #[arg(value_name = "FOLDER")]
    to: PathBuf,
    /// The master's data directory; default: where the settings of `ffrtmp master` say
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// How to print it.
    #[command(flatten)]
    output: OutputArg,
}

/// Makes it.
pub fn run(args: &BackupArgs, global: &GlobalArgs) -> Result {
    let from = match &args.data_dir {
        Some(dir) => dir.clone(),
        None => of_settings(global)?,
    };
    let made = ffrtmp_host::store::backup(&from, &args.to).map_err(|error| match error {
        BackupError::NoStore { .. } | BackupError::Exists { .. } | BackupError::Inside { .. } => {
            Failure::usage(error.to_string())
        }
        BackupError::File { .. } | BackupError::Damaged { .. } | BackupError::Store(_) => {
            Failure::failed(format!("no backup was made: {error}"))
        }
    })?;
    let made = BackupMade {
        folder: made.dir,
        data_dir: from,
        bytes: made.bytes,
        jobs: made.jobs,
        unfinished: made.unfinished,
        unfinished_with_uploads: made.uploads,
    };
    Ok(super::face(args.output.output, global).backup(&made)?)
}

/// Where a master started here keeps its data.
fn of_settings(global: &GlobalArgs) -> Result<PathBuf> {
    let mut flags = Vec::new();
    if let Some(file) = &global.config {
        let mut flag = OsString::from("--config=");
        flag.push(file);
        flags.push(flag);
    }
    match settings::load_for(Role::Master, &flags)?.args.command {
        Command::Master(master) => master.data_dir(),
        _ => Err(Failure::usage("name the data directory with --data-dir")),
    }
}

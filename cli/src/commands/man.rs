//! `ffrtmp man`: a manual page for each command, from the same tree as `--help`.

use std::{
    fs,
    io::{Write, stdout},
    path::PathBuf,
};

use clap::{Args as ClapArgs, CommandFactory};

use crate::{
    args::Args,
    exit::{Failure, Result},
};

/// Where to write them.
#[derive(Debug, ClapArgs)]
pub struct ManArgs {
    /// Folder for the pages: ffrtmp.1, ffrtmp-jobs.1, ffrtmp-jobs-submit.1 and so on; made if it is missing
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

/// Writes them.
pub fn run(args: &ManArgs) -> Result {
    let cannot = |error: std::io::Error| {
        Failure::failed(format!(
            "cannot write manual pages to {}: {error}",
            args.dir.display()
        ))
    };
    fs::create_dir_all(&args.dir).map_err(cannot)?;
    clap_mangen::generate_to(Args::command(), &args.dir).map_err(cannot)?;
    writeln!(stdout(), "the pages are in {}", args.dir.display())?;
    Ok(())
}

//! `ffrtmp jobs fetch`: downloads the output of a completed job from the master's spool.
//!
//! Into `NAME.part` first, which is gone on with when it is there; checked, then renamed. It replaces nothing unasked.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write, stdout},
    path::{Path, PathBuf},
};

use clap::Args;
use ffrtmp_api::{
    client::{
        Client,
        transfer::{Measured, TransferError},
    },
    ids::{JobRef, JobSeq},
};
use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};

use crate::{
    args::{GlobalArgs, OutputArg},
    commands::format,
    connection::connect,
    exit::{Failure, Result},
    output::Format,
    progress::bytes::Transfer,
};

/// Which output, and where to.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ffrtmp jobs fetch 42
  ffrtmp jobs fetch 42 --to small.mp4
  ffrtmp jobs fetch 42 --to /media/done/ --force

Run again after a break, it goes on where it stopped.")]
pub struct FetchArgs {
    /// Number or UUID
    #[arg(value_name = "ID")]
    id: JobRef,
    /// File to write, or the directory to write it in; default: under its own name, here
    #[arg(long, value_name = "PATH", allow_hyphen_values = true)]
    to: Option<PathBuf>,
    /// Replace an existing file
    #[arg(long)]
    force: bool,
    /// How to print.
    #[command(flatten)]
    output: OutputArg,
}

/// Whether a file that is there may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// It may.
    Yes,
    /// It stays.
    No,
}

impl Replace {
    /// Refuses a file that is there and must stay.
    pub fn check(self, to: &Path) -> Result {
        if to.is_dir() {
            return Err(Failure::failed(format!(
                "{} is a directory; name a file",
                to.display()
            )));
        }
        if self == Replace::No && to.symlink_metadata().is_ok() {
            return Err(exists(to));
        }
        Ok(())
    }
}

/// Downloads it.
pub fn run(args: &FetchArgs, global: &GlobalArgs) -> Result {
    let client = connect(global)?;
    let job = client.job(args.id)?;
    let name = job
        .spec
        .output
        .as_deref()
        .and_then(|output| output.strip_prefix("spool:"))
        // A name is checked when the job is submitted; this one comes from another machine all the same.
        .filter(|name| !name.contains('/') && !name.starts_with('.'))
        .unwrap_or("output");
    let to = match &args.to {
        Some(to) if to.is_dir() || to.as_os_str().as_encoded_bytes().ends_with(b"/") => {
            to.join(name)
        }
        Some(to) => to.clone(),
        None => PathBuf::from(name),
    };
    let replace = if args.force {
        Replace::Yes
    } else {
        Replace::No
    };
    let got = download(&client, job.id, &to, replace)?;
    let mut out = stdout();
    match format(args.output.output, global) {
        Format::Table => {}
        Format::Json | Format::Jsonl => {
            let file = std::path::absolute(&to).unwrap_or(to);
            let answer = serde_json::json!({
                "id": job.id, "file": file.to_string_lossy(), "bytes": got.bytes, "sha256": got.sha256
            });
            writeln!(out, "{answer}")?;
        }
    }
    Ok(())
}

/// Downloads the output of a job to `to`.
pub fn download(client: &Client, job: JobSeq, to: &Path, replace: Replace) -> Result<Measured> {
    replace.check(to)?;
    let id = JobRef::Seq(job);
    // Asked first, so that a refusal leaves no file behind.
    let size = client.output_size(id)?;
    let part = part_of(to);
    let cannot = |error: io::Error| {
        Failure::failed(format!("{} cannot be written: {error}", part.display()))
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&part)
        .map_err(cannot)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(Failure::failed(format!(
                "another command is downloading to {}",
                part.display()
            )));
        }
        Err(TryLockError::Error(error)) => return Err(cannot(error)),
    }
    let mut shown = Transfer::new("fetching", to, Some(size));
    let got = client
        .fetch_output(id, &mut file, &mut |bytes| shown.update(bytes))
        .map_err(|error| match error {
            TransferError::Master(error) => error.into(),
            TransferError::File(error) => cannot(error),
            error => Failure::failed(format!("job {job}: {error}")),
        })?;
    file.sync_all().map_err(cannot)?;
    move_into_place(&part, to, replace)?;
    shown.done();
    Ok(got)
}

fn part_of(to: &Path) -> PathBuf {
    let mut name = OsString::from(to);
    name.push(".part");
    name.into()
}

fn move_into_place(part: &Path, to: &Path, replace: Replace) -> Result {
    let failed = |error: io::Error| {
        Failure::failed(format!(
            "{} is complete, but cannot be renamed to {}: {error}",
            part.display(),
            to.display()
        ))
    };
    match replace {
        Replace::Yes => fs::rename(part, to).map_err(failed)?,
        Replace::No => match renameat_with(CWD, part, CWD, to, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Err(exists(to)),
            // Some network file systems know no such rename. A hard link refuses an existing name just as surely.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                fs::hard_link(part, to).map_err(failed)?;
                fs::remove_file(part).map_err(failed)?;
            }
            Err(error) => return Err(failed(error.into())),
        },
    }
    let directory = to.parent().filter(|dir| !dir.as_os_str().is_empty());
    // The file is in place; that its name is on disk is for a power cut in the next seconds.
    let _ = File::open(directory.unwrap_or(Path::new("."))).and_then(|dir| dir.sync_all());
    Ok(())
}

fn exists(to: &Path) -> Failure {
    Failure::failed(format!(
        "{} exists already; name another file, or replace it with --force (--overwrite on submit)",
        to.display()
    ))
}

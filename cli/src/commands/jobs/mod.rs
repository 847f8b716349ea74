//! `ffrtmp jobs …`: submit, list, look at, follow and stop jobs.

mod control;
mod fetch;
mod list;
mod logs;
mod status;
mod submit;
mod upload;

use clap::Subcommand;

use crate::{args::GlobalArgs, exit::Result};

/// A command about jobs.
#[derive(Debug, Subcommand)]
pub enum JobsCommand {
    /// Submit a job
    Submit(Box<submit::SubmitArgs>),
    /// List jobs, newest first
    #[command(visible_alias = "ls")]
    List(list::ListArgs),
    /// Show everything about a job; without an id, list the newest
    Status(status::StatusArgs),
    /// Wait until jobs have ended; fails if one did not complete
    Wait(status::WaitArgs),
    /// Print ffmpeg's output of a job
    Logs(logs::LogsArgs),
    /// Download the output of a completed job that was submitted with --upload
    Fetch(fetch::FetchArgs),
    /// Cancel jobs: pending ones at once, running ones by stopping their ffmpeg
    #[command(after_help = "Examples:
  ffrtmp jobs cancel 42
  ffrtmp jobs cancel 42 43 44")]
    Cancel(control::ControlArgs),
    /// Pause jobs: a running ffmpeg is stopped and keeps its place
    #[command(after_help = "Examples:
  ffrtmp jobs pause 42")]
    Pause(control::ControlArgs),
    /// Resume paused jobs
    #[command(after_help = "Examples:
  ffrtmp jobs resume 42")]
    Resume(control::ControlArgs),
}

/// Does it.
pub fn run(command: JobsCommand, global: &GlobalArgs) -> Result {
    match command {
        JobsCommand::Submit(args) => submit::run(*args, global),
        JobsCommand::List(args) => list::run(&args, global),
        JobsCommand::Status(args) => status::run(&args, global),
        JobsCommand::Wait(args) => status::wait(&args, global),
        JobsCommand::Logs(args) => logs::run(&args, global),
        JobsCommand::Fetch(args) => fetch::run(&args, global),
        JobsCommand::Cancel(args) => control::run(control::Verb::Cancel, &args, global),
        JobsCommand::Pause(args) => control::run(control::Verb::Pause, &args, global),
        JobsCommand::Resume(args) => control::run(control::Verb::Resume, &args, global),
    }
}

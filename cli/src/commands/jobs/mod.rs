//! `ffrtmp jobs …`: submit, list, look at, follow and stop jobs.

mod control;
mod explain;
mod fetch;
mod list;
mod logs;
mod select;
mod status;
mod submit;
mod trace;
mod upload;
pub mod wait;
mod watch;

use clap::Subcommand;

use crate::{args::GlobalArgs, exit::Result};

/// A command about jobs.
#[derive(Debug, Subcommand)]
pub enum JobsCommand {
    /// Submit a job, or many
    Submit(Box<submit::SubmitArgs>),
    /// List jobs, newest first unless said otherwise
    #[command(visible_alias = "ls")]
    List(list::ListArgs),
    /// Show everything about jobs; without an id, list the newest
    Status(status::StatusArgs),
    /// Wait until jobs have ended; fails if one did not complete
    Wait(wait::WaitArgs),
    /// Print ffmpeg's output of a job
    Logs(logs::LogsArgs),
    /// Say why a job is where it is: what it waits for, or who placed it there and why
    Explain(explain::ExplainArgs),
    /// Download the output of a completed job that was submitted with --upload
    Fetch(fetch::FetchArgs),
    /// Cancel jobs: pending ones at once, running ones by stopping their ffmpeg
    #[command(after_help = "Examples:
  ffrtmp jobs cancel 42
  ffrtmp jobs cancel 42 43 44
  ffrtmp jobs cancel --state pending --queue batch --older-than 2h
  ffrtmp jobs cancel --all --yes")]
    Cancel(control::ControlArgs),
    /// Stop live jobs: what they recorded is kept and published
    #[command(after_help = "Examples:
  ffrtmp jobs stop 42
  ffrtmp jobs stop --queue live --label event=cup")]
    Stop(control::ControlArgs),
    /// Pause jobs: a running ffmpeg is stopped and keeps its place, a pending job is held back
    #[command(after_help = "Examples:
  ffrtmp jobs pause 42
  ffrtmp jobs pause --queue batch")]
    Pause(control::ControlArgs),
    /// Let paused and held jobs go on
    #[command(after_help = "Examples:
  ffrtmp jobs resume 42
  ffrtmp jobs resume --queue batch")]
    Resume(control::ControlArgs),
    /// Put failed and canceled jobs back into the queue
    #[command(after_help = "Examples:
  ffrtmp jobs retry 42
  ffrtmp jobs retry --state failed --label show=news")]
    Retry(control::ControlArgs),
    /// Move waiting jobs to another queue or priority
    Set(control::SetArgs),
    /// Record what was submitted and how long it ran, as a workload for `ffrtmp policies simulate`
    Trace(trace::TraceArgs),
}

/// Does it.
pub fn run(command: JobsCommand, global: &GlobalArgs) -> Result {
    use control::Verb;
    match command {
        JobsCommand::Submit(args) => submit::run(*args, global),
        JobsCommand::List(args) => list::run(&args, global),
        JobsCommand::Status(args) => status::run(args, global),
        JobsCommand::Wait(args) => wait::run(args, global),
        JobsCommand::Logs(args) => logs::run(&args, global),
        JobsCommand::Fetch(args) => fetch::run(&args, global),
        JobsCommand::Explain(args) => explain::run(&args, global),
        JobsCommand::Cancel(args) => control::run(Verb::Cancel, &args, global),
        JobsCommand::Stop(args) => control::run(Verb::Stop, &args, global),
        JobsCommand::Pause(args) => control::run(Verb::Pause, &args, global),
        JobsCommand::Resume(args) => control::run(Verb::Resume, &args, global),
        JobsCommand::Retry(args) => control::run(Verb::Retry, &args, global),
        JobsCommand::Set(args) => control::set(&args, global),
        JobsCommand::Trace(args) => trace::run(&args, global),
    }
}

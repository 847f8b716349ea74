//! Following one job until it ends: a bar on a terminal, plain lines elsewhere, nothing when only waiting.
//!
//! Separate from the commands because `submit`, `status` and `wait` all follow. It shows; the job goes on without it.

mod bar;
pub mod bytes;
mod lines;

use std::io::{self, IsTerminal};

use ffrtmp_api::{client::Client, ids::JobRef, job::JobState, rest::Job};

use crate::{
    exit::{Failure, Result},
    output::Format,
};

/// Something that shows a job's states as they come.
trait Show {
    /// The next state.
    fn update(&mut self, job: &Job) -> io::Result<()>;
    /// Nothing more comes; clear away what is not to stay.
    fn finish(&mut self) {}
}

/// How to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Say nothing.
    Silently,
    /// A bar if both outputs are terminals; else lines, or JSON lines.
    Visibly(Format),
}

/// Waits until the job has ended and gives its last state.
pub fn follow(client: &Client, job: JobRef, how: How) -> Result<Job> {
    let mut show: Option<Box<dyn Show>> = match how {
        How::Silently => None,
        How::Visibly(Format::Jsonl) => Some(Box::new(JsonLines)),
        How::Visibly(_) if io::stdout().is_terminal() && io::stderr().is_terminal() => {
            Some(Box::new(bar::Bar::new()))
        }
        How::Visibly(Format::Table) => Some(Box::new(lines::Lines::new(io::stdout()))),
        // Standard output is for the one document at the end.
        How::Visibly(Format::Json) => Some(Box::new(lines::Lines::new(io::stderr()))),
    };
    let mut last = None;
    for state in client.watch(job) {
        let state = match state {
            Ok(state) => state,
            Err(error) => {
                show.iter_mut().for_each(|show| show.finish());
                return Err(error.into());
            }
        };
        if let Some(show) = &mut show {
            show.update(&state)?;
        }
        last = Some(state);
    }
    show.iter_mut().for_each(|show| show.finish());
    last.ok_or_else(|| Failure::failed(format!("the master sent nothing about job {job}")))
}

/// The exit of a command that waited: success only if the job completed, else its reason.
pub fn verdict(job: &Job) -> Result {
    let id = job.id;
    match (job.state, &job.failure) {
        (JobState::Completed, _) => Ok(()),
        (JobState::Canceled, _) => Err(Failure::failed(format!("job {id} was canceled"))),
        (_, Some(failure)) => Err(Failure::failed(format!(
            "job {id} failed: {}: {}\n  see its log: ffrtmp jobs logs {id}",
            failure.reason,
            crate::output::clean(&failure.message)
        ))),
        (state, None) => Err(Failure::failed(format!("job {id} ended as {state}"))),
    }
}

/// Every state as a line of JSON, as it comes.
struct JsonLines;

impl Show for JsonLines {
    fn update(&mut self, job: &Job) -> io::Result<()> {
        crate::output::to_stdout(Format::Jsonl).job(job)
    }
}

/// How fast it goes, the same on both faces: `118 fps  4.7x`.
fn rates(job: &Job) -> String {
    match &job.progress {
        Some(progress) => format!("{:.0} fps  {:.1}x", progress.fps, progress.speed),
        None => String::new(),
    }
}

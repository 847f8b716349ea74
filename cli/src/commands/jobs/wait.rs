//! `ffrtmp jobs wait`, and every other waiting for jobs: told as they end, summed up at the end.
//!
//! Separate because `submit --wait` and `status --follow` wait in the same way. The exit is a success only if every job
//! completed; each that did not is named with its reason.

use std::time::{Duration, Instant};

use clap::Args;
use ffrtmp_api::{
    client::Client,
    ids::JobRef,
    job::JobState,
    rest::{Job, JobList},
};

use crate::{
    args::{GlobalArgs, OutputArg},
    commands::{face_of, format},
    connection::connect,
    exit::{Failure, Result, say},
    output::Format,
    progress::{Following, How, Next, verdict},
    values,
};

/// Which jobs, and for how long.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ffrtmp jobs wait 42
  ffrtmp jobs wait 42 43 44 --timeout 10m
  ffrtmp jobs wait 42 43 44 --any

The exit code is 0 if all completed (with --any: if the first to end did), else 1.")]
pub struct WaitArgs {
    /// Numbers or UUIDs
    #[arg(required = true, value_name = "ID")]
    ids: Vec<JobRef>,
    /// Give up after this time, as in 90s or 10m; the jobs go on
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    timeout: Option<Duration>,
    /// Wait only until the first of them has ended (of up to 16)
    #[arg(long)]
    any: bool,
    /// How to print.
    #[command(flatten)]
    output: OutputArg,
}

/// Most jobs of `--any`: those that are watched at once.
const ANY_MAX: usize = 16;

/// Waits for the jobs named.
pub fn run(args: WaitArgs, global: &GlobalArgs) -> Result {
    if args.any && args.ids.len() > ANY_MAX {
        return Err(Failure::usage(format!(
            "--any: {} jobs; at most {ANY_MAX} are watched at once",
            args.ids.len()
        )));
    }
    let format = format(args.output.output, global);
    let until = args
        .timeout
        .and_then(|timeout| Instant::now().checked_add(timeout));
    Wait {
        jobs: args.ids,
        how: How::Silently,
        format,
        until,
        any: args.any,
    }
    .run(connect(global)?, global)
}

/// Waits for all of `jobs`, without end.
pub fn all(
    client: Client,
    jobs: Vec<JobRef>,
    how: How,
    format: Format,
    global: &GlobalArgs,
) -> Result {
    Wait {
        jobs,
        how,
        format,
        until: None,
        any: false,
    }
    .run(client, global)
}

struct Wait {
    jobs: Vec<JobRef>,
    how: How,
    format: Format,
    until: Option<Instant>,
    any: bool,
}

impl Wait {
    fn run(self, client: Client, global: &GlobalArgs) -> Result {
        let how = if global.quiet {
            How::Silently
        } else {
            self.how
        };
        let mut face = face_of(self.format, global);
        // As JSON lines, their last states were printed as they came.
        let shown_already = how == How::Visibly(Format::Jsonl);
        let one_document = self.format == Format::Json && self.jobs.len() > 1;
        let mut ended: Vec<Option<Job>> = self.jobs.iter().map(|_| None).collect();
        let mut failed = false;
        let mut late = false;
        let mut following = Following::start(client, self.jobs.clone(), how)?;
        loop {
            match following.next(self.until) {
                Next::Over => break,
                Next::Late => {
                    late = true;
                    break;
                }
                Next::Ended(at, outcome) => {
                    let job = match *outcome {
                        Ok(job) => job,
                        Err(failure @ Failure::Failed(_)) => {
                            following.aside(|| say(&failure));
                            failed = true;
                            continue;
                        }
                        Err(failure) => return Err(failure),
                    };
                    if !shown_already && !one_document {
                        following.aside(|| face.ended(&job))?;
                    }
                    if let Err(failure) = verdict(&job) {
                        following.aside(|| say(&failure));
                        failed = true;
                    }
                    if let Some(place) = ended.get_mut(at) {
                        *place = Some(job);
                    }
                    if self.any {
                        break;
                    }
                }
            }
        }
        let waits_for: Vec<String> = self
            .jobs
            .iter()
            .zip(&ended)
            .filter(|(_, ended)| ended.is_none())
            .map(|(job, _)| job.to_string())
            .collect();
        let jobs: Vec<Job> = ended.into_iter().flatten().collect();
        if one_document {
            face.jobs(&JobList {
                jobs,
                next_cursor: None,
            })?;
        } else if self.jobs.len() > 1 && !self.any {
            face.remark(&sum(self.jobs.len(), &jobs))?;
        }
        if late {
            return Err(Failure::failed(format!(
                "the time given is over and these have not ended: {}",
                waits_for.join(", ")
            )));
        }
        if failed { Err(Failure::Silent) } else { Ok(()) }
    }
}

/// `3 jobs: 2 completed, 1 failed`.
fn sum(asked: usize, jobs: &[Job]) -> String {
    let mut parts: Vec<String> = JobState::ALL
        .iter()
        .filter_map(|state| {
            let count = jobs.iter().filter(|job| job.state == *state).count();
            (count > 0).then(|| format!("{count} {state}"))
        })
        .collect();
    if asked > jobs.len() {
        parts.push(format!("{} not seen to end", asked - jobs.len()));
    }
    format!("{asked} jobs: {}", parts.join(", "))
}

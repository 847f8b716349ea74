//! `ffrtmp jobs status` and `ffrtmp jobs wait`: one job, or a few, now or at their end.

use clap::Args;
use ffrtmp_api::{client::JobQuery, ids::JobRef};

use crate::{
    args::{GlobalArgs, OutputArg},
    commands::{face, format, jobs::list},
    connection::connect,
    exit::{Failure, Result},
    progress::{How, follow, verdict},
};

/// Which jobs, and for how long.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ffrtmp jobs status 42
  ffrtmp jobs status 42 --follow
  ffrtmp jobs status 42 --output json")]
pub struct StatusArgs {
    /// Numbers or UUIDs
    #[arg(value_name = "ID")]
    ids: Vec<JobRef>,
    /// Show progress until the job has ended; fails if it did not complete
    #[arg(long, short = 'f', requires = "ids")]
    follow: bool,
    /// How to print.
    #[command(flatten)]
    output: OutputArg,
}

/// Which jobs.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ffrtmp jobs wait 42
  ffrtmp jobs wait 42 43 44")]
pub struct WaitArgs {
    /// Numbers or UUIDs
    #[arg(required = true, value_name = "ID")]
    ids: Vec<JobRef>,
    /// How to print.
    #[command(flatten)]
    output: OutputArg,
}

/// Shows jobs.
pub fn run(args: &StatusArgs, global: &GlobalArgs) -> Result {
    let client = connect(global)?;
    let mut face = face(args.output.output, global);
    if args.ids.is_empty() {
        return Ok(face.jobs(&client.jobs_up_to(JobQuery::default(), list::LIMIT_DEFAULT)?)?);
    }
    let mut outcome = Ok(());
    for id in &args.ids {
        if args.follow {
            let job = follow(
                &client,
                *id,
                How::Visibly(format(args.output.output, global)),
            )?;
            // As JSON lines the last state was printed as it came.
            if format(args.output.output, global) != crate::output::Format::Jsonl {
                face.job(&job)?;
            }
            outcome = worse(outcome, verdict(&job));
        } else {
            face.job(&client.job(*id)?)?;
        }
    }
    outcome
}

/// Waits for jobs.
pub fn wait(args: &WaitArgs, global: &GlobalArgs) -> Result {
    let client = connect(global)?;
    let mut face = face(args.output.output, global);
    let mut outcome = Ok(());
    for id in &args.ids {
        let job = follow(&client, *id, How::Silently)?;
        face.ended(&job)?;
        outcome = worse(outcome, verdict(&job));
    }
    outcome
}

/// Keeps the last failure; an earlier one is said at once.
fn worse(so_far: Result, now: Result) -> Result {
    if let (Err(Failure::Failed(message)), Err(_)) = (&so_far, &now) {
        eprintln!("ffrtmp: {message}");
    }
    now.and(so_far)
}

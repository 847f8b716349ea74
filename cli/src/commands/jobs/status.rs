//! `ffrtmp jobs status`: all about one job, or about a few, now or until they have ended.

use clap::Args;
use ffrtmp_api::{
    client::{ClientError, JobQuery},
    ids::JobRef,
    rest::JobList,
};

use super::{list, wait};
use crate::{
    args::{GlobalArgs, OutputArg},
    commands::{face, format},
    connection::connect,
    exit::{Failure, Result, of_job, say},
    output::Format,
    progress::{How, follow, verdict},
};

/// Which jobs.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ffrtmp jobs status 42
  ffrtmp jobs status 42 43 --follow
  ffrtmp jobs status 42 --output json")]
pub struct StatusArgs {
    /// Numbers or UUIDs
    #[arg(value_name = "ID")]
    ids: Vec<JobRef>,
    /// Show progress until they have ended; fails if one did not complete
    #[arg(long, short = 'f', requires = "ids")]
    follow: bool,
    /// How to print.
    #[command(flatten)]
    output: OutputArg,
}

/// Shows jobs.
pub fn run(args: StatusArgs, global: &GlobalArgs) -> Result {
    let client = connect(global)?;
    let format = format(args.output.output, global);
    let mut face = face(args.output.output, global);
    if args.ids.is_empty() {
        return Ok(face.jobs(&client.jobs_up_to(JobQuery::default(), list::LIMIT_DEFAULT)?)?);
    }
    if args.follow {
        let how = How::Visibly(format);
        let [id] = args.ids[..] else {
            return wait::all(client, args.ids, how, format, global);
        };
        let how = if global.quiet { How::Silently } else { how };
        let job = follow(client, id, how)?;
        // As JSON lines the last state was printed as it came.
        if how != How::Visibly(Format::Jsonl) {
            face.job(&job)?;
        }
        return verdict(&job);
    }
    let one_document = format == Format::Json && args.ids.len() > 1;
    let mut jobs = Vec::new();
    let mut failed = false;
    for id in args.ids {
        match client.job(id) {
            Ok(job) if one_document => jobs.push(job),
            Ok(job) => face.job(&job)?,
            Err(error @ ClientError::Refused { .. }) => {
                say(&of_job(id, error));
                failed = true;
            }
            // Nobody to ask: the other ids would fail alike.
            Err(error) => return Err(error.into()),
        }
    }
    if one_document {
        face.jobs(&JobList {
            jobs,
            next_cursor: None,
        })?;
    }
    if failed { Err(Failure::Silent) } else { Ok(()) }
}

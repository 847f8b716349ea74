//! `ffrtmp jobs cancel|pause|resume`: asks for a state of one or many jobs.
//!
//! Each id is tried; what fails is said for each, and does not keep the others from being done.

use clap::Args;
use ffrtmp_api::{ids::JobRef, rest::Job};

use crate::{
    args::{GlobalArgs, OutputArg},
    commands::face,
    connection::connect,
    exit::{Failure, Result},
};

/// Which jobs.
#[derive(Debug, Args)]
pub struct ControlArgs {
    /// Numbers or UUIDs
    #[arg(required = true, value_name = "ID")]
    ids: Vec<JobRef>,
    /// How to print.
    #[command(flatten)]
    output: OutputArg,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub enum Verb {
    /// End it.
    Cancel,
    /// Stop it for a while.
    Pause,
    /// Go on.
    Resume,
}

impl Verb {
    /// What an answer says was done. A running job's ffmpeg is still to be stopped, so `requested` is the truth.
    fn done(self, job: &Job) -> &'static str {
        match self {
            Verb::Cancel if job.state.is_terminal() => "canceled",
            Verb::Cancel => "is being canceled",
            Verb::Pause => "is being paused",
            Verb::Resume => "is being resumed",
        }
    }
}

/// Does it.
pub fn run(verb: Verb, args: &ControlArgs, global: &GlobalArgs) -> Result {
    let client = connect(global)?;
    let mut changed: Vec<(&'static str, Job)> = Vec::new();
    let mut failed = false;
    for id in &args.ids {
        let answer = match verb {
            Verb::Cancel => client.cancel(*id),
            Verb::Pause => client.pause(*id),
            Verb::Resume => client.resume(*id),
        };
        match answer {
            Ok(job) => changed.push((verb.done(&job), job)),
            Err(error @ ffrtmp_api::client::ClientError::Refused { .. }) => {
                eprintln!("ffrtmp: job {id}: {error}");
                failed = true;
            }
            // Nobody to ask: the other ids would fail alike.
            Err(error) => return Err(error.into()),
        }
    }
    face(args.output.output, global).changed(&changed)?;
    if failed { Err(Failure::Silent) } else { Ok(()) }
}

//! `ffrtmp jobs cancel|stop|pause|resume|retry|set`: asks for something of one or many jobs, by id or by what they are.
//!
//! Each job is tried; what fails is said for each, and does not keep the others from being done.

use std::io::{self, BufRead, IsTerminal, Write};

use clap::Args;
use ffrtmp_api::{
    client::{Client, ClientError, JobQuery},
    ids::JobRef,
    job::{JobState, Priority, Queue},
    limits,
    rest::{ChangeJob, Job},
};

use super::select::Selector;
use crate::{
    args::{GlobalArgs, OutputArg},
    commands::{face, format},
    connection::{clock_off, connect},
    exit::{Failure, Result, of_job, say},
    output::Format,
};

/// Which jobs.
#[derive(Debug, Args)]
pub struct ControlArgs {
    /// Numbers or UUIDs
    #[arg(value_name = "ID")]
    ids: Vec<JobRef>,
    /// Or by what they are.
    #[command(flatten)]
    selector: Selector,
    /// How to print.
    #[command(flatten)]
    output: OutputArg,
}

/// Which jobs, and what of them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ffrtmp jobs set 42 --priority high
  ffrtmp jobs set 42 43 --queue live --priority high

Only jobs that wait can be moved: what runs has its place already.")]
pub struct SetArgs {
    /// Numbers or UUIDs
    #[arg(required = true, value_name = "ID")]
    ids: Vec<JobRef>,
    /// New lane: live, default or batch
    #[arg(long, required_unless_present = "priority")]
    queue: Option<Queue>,
    /// New urgency: high, medium or low
    #[arg(long)]
    priority: Option<Priority>,
    /// How to print.
    #[command(flatten)]
    output: OutputArg,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub enum Verb {
    /// End it.
    Cancel,
    /// Finish with what it has.
    Stop,
    /// Stop it for a while.
    Pause,
    /// Go on.
    Resume,
    /// Back to the queue.
    Retry,
    /// Another place in the queue.
    Set(ChangeJob),
}

impl Verb {
    fn ask(&self, client: &Client, job: JobRef) -> std::result::Result<Job, ClientError> {
        match self {
            Verb::Cancel => client.cancel(job),
            Verb::Stop => client.stop(job),
            Verb::Pause => client.pause(job),
            Verb::Resume => client.resume(job),
            Verb::Retry => client.retry(job),
            Verb::Set(change) => client.change(job, change),
        }
    }

    /// What an answer says was done. A running job's ffmpeg is still to be stopped, so `is being` is the truth.
    fn done(&self, job: &Job) -> &'static str {
        match self {
            Verb::Cancel if job.state.is_terminal() => "canceled",
            Verb::Cancel => "is being canceled",
            Verb::Stop if job.state.is_terminal() => "has ended",
            Verb::Stop => "is being stopped",
            Verb::Pause if job.state == JobState::Pending => "is held",
            Verb::Pause => "is being paused",
            Verb::Resume if job.state == JobState::Pending => "may run again",
            Verb::Resume => "is being resumed",
            Verb::Retry => "is tried again",
            Verb::Set(_) => "was moved",
        }
    }

    /// The words for what was done, behind `cannot be`.
    fn participle(&self) -> &'static str {
        match self {
            Verb::Cancel => "canceled",
            Verb::Stop => "stopped",
            Verb::Pause => "paused",
            Verb::Resume => "resumed",
            Verb::Retry => "tried again",
            Verb::Set(_) => "moved",
        }
    }

    /// The states in which it can be done.
    fn able(&self) -> &'static [JobState] {
        use JobState::{Assigned, Canceled, Failed, Paused, Pending, Publishing, Running};
        match self {
            Verb::Cancel => &[Pending, Assigned, Running, Paused, Publishing],
            Verb::Stop => &[Assigned, Running, Paused],
            Verb::Pause => &[Pending, Running],
            Verb::Resume => &[Pending, Paused],
            Verb::Retry => &[Failed, Canceled],
            Verb::Set(_) => &[Pending],
        }
    }

    /// Whether it changes anything of a job that is in one of those states.
    fn concerns(&self, job: &Job) -> bool {
        match self {
            Verb::Pause => !job.held,
            Verb::Resume => job.held || job.state == JobState::Paused,
            Verb::Cancel => !job.cancel_requested,
            Verb::Stop | Verb::Retry | Verb::Set(_) => true,
        }
    }
}

/// Does it.
pub fn run(verb: Verb, args: &ControlArgs, global: &GlobalArgs) -> Result {
    let given = args.selector.is_given();
    if args.ids.is_empty() && !given {
        return Err(Failure::usage(
            "which jobs? give ids, conditions (--state, --queue, --priority, --label, --node, --older-than) or --all",
        ));
    }
    if !args.ids.is_empty() && given {
        return Err(Failure::usage(
            "give ids or conditions, not both: it would not be plain which jobs are meant",
        ));
    }
    let client = connect(global)?;
    if !given {
        return ask_all(&verb, &client, &args.ids, false, &args.output, global);
    }
    let query = args
        .selector
        .query(verb.participle(), verb.able())
        .map_err(Failure::usage)?;
    let by_time = query.until_ms.is_some();
    let jobs = matching(&client, query, |job| verb.concerns(job))?;
    // A list is shown all the same; here jobs would be changed that the user did not mean.
    if let Some(off) = clock_off(&client).filter(|_| by_time) {
        return Err(Failure::failed(format!(
            "--older-than: this machine's clock is {off} the master's, so other jobs would be meant; nothing was changed. Set the \
             clock, or give ids"
        )));
    }
    let mut face = face(args.output.output, global);
    if jobs.is_empty() {
        return match format(args.output.output, global) {
            Format::Table => Ok(face.remark("No job matches.")?),
            _ => Ok(face.changed(&[])?),
        };
    }
    if args.selector.all && !args.selector.has_conditions() && !args.selector.yes {
        confirm(jobs.len(), verb.participle())?;
    }
    ask_all(&verb, &client, &jobs, true, &args.output, global)
}

/// Moves jobs in the queue.
pub fn set(args: &SetArgs, global: &GlobalArgs) -> Result {
    let change = ChangeJob {
        queue: args.queue,
        priority: args.priority,
    };
    let client = connect(global)?;
    ask_all(
        &Verb::Set(change),
        &client,
        &args.ids,
        false,
        &args.output,
        global,
    )
}

/// Asks for each job. Of those that were `selected` by what they are, some may meanwhile be something else: that is no
/// failure.
fn ask_all(
    verb: &Verb,
    client: &Client,
    jobs: &[JobRef],
    selected: bool,
    output: &OutputArg,
    global: &GlobalArgs,
) -> Result {
    let one_document = format(output.output, global) == Format::Json;
    let mut face = face(output.output, global);
    let mut changed: Vec<(&'static str, Job)> = Vec::new();
    let mut failed = false;
    for id in jobs {
        match verb.ask(client, *id) {
            Ok(job) => {
                let done = (verb.done(&job), job);
                if one_document {
                    changed.push(done);
                } else {
                    face.changed(&[done])?;
                }
            }
            Err(ClientError::Refused { status: 409, .. }) if selected => {}
            Err(error @ ClientError::Refused { .. }) => {
                let failure = of_job(*id, error);
                say(&failure);
                failed = true;
            }
            // Nobody to ask: the other ids would fail alike.
            Err(error) => return Err(error.into()),
        }
    }
    if one_document {
        face.changed(&changed)?;
    }
    if failed { Err(Failure::Silent) } else { Ok(()) }
}

/// The jobs that match, page by page: of each only its id is kept.
fn matching(
    client: &Client,
    mut query: JobQuery,
    concerns: impl Fn(&Job) -> bool,
) -> Result<Vec<JobRef>> {
    let mut found = Vec::new();
    query.limit = Some(limits::LIST_LIMIT_MAX);
    loop {
        let page = client.jobs(&query)?;
        found.extend(
            page.jobs
                .iter()
                .filter(|job| concerns(job))
                .map(|job| JobRef::Seq(job.id)),
        );
        // An empty page may have a next one: the master looks at so many jobs at a time. One that leads to itself does not.
        if page.next_cursor.is_none() || page.next_cursor == query.cursor {
            return Ok(found);
        }
        query.cursor = page.next_cursor;
    }
}

/// Asks whether all are meant.
fn confirm(count: usize, participle: &str) -> Result {
    let jobs = match count {
        1 => "1 job".to_owned(),
        n => format!("{n} jobs"),
    };
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(Failure::usage(format!(
            "--all: {jobs} would be {participle}; say --yes if that is meant"
        )));
    }
    eprint!("{jobs} will be {participle}. Go on? [y/N] ");
    io::stderr().flush()?;
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    match read {
        Ok(_) if matches!(answer.trim(), "y" | "Y" | "yes") => Ok(()),
        _ => Err(Failure::failed("nothing was done")),
    }
}

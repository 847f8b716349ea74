//! `ffrtmp jobs list`.

use clap::Args;
use ffrtmp_api::{
    client::JobQuery,
    ids::JobSeq,
    job::{JobState, Queue},
    limits,
};

use crate::{
    args::{GlobalArgs, OutputArg},
    commands::face,
    connection::connect,
    exit::Result,
};

/// Jobs a list shows when the user does not say: a screenful or two.
pub const LIMIT_DEFAULT: usize = 50;

/// Which jobs.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ffrtmp jobs list
  ffrtmp jobs list --state running --queue live
  ffrtmp jobs list --limit 1000 --output jsonl")]
pub struct ListArgs {
    /// Only jobs in this state: pending, assigned, running, paused, publishing, completed, failed or canceled
    #[arg(long)]
    state: Option<JobState>,
    /// Only jobs of this queue: live, default or batch
    #[arg(long)]
    queue: Option<Queue>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = LIMIT_DEFAULT, value_parser = limit)]
    limit: usize,
    /// Only jobs submitted before this one (its number): the next page
    #[arg(long, value_name = "ID", value_parser = seq)]
    before: Option<JobSeq>,
    /// How to print.
    #[command(flatten)]
    output: OutputArg,
}

fn limit(text: &str) -> std::result::Result<usize, String> {
    // Enough for any listing by hand, few enough to be held in memory.
    let max = 1_000 * limits::LIST_LIMIT_MAX;
    match text.parse() {
        Ok(n) if (1..=max).contains(&n) => Ok(n),
        _ => Err(format!("{text:?} is not a number between 1 and {max}")),
    }
}

fn seq(text: &str) -> std::result::Result<JobSeq, String> {
    text.parse()
        .map(JobSeq)
        .map_err(|_| format!("{text:?} is not a job's number, as in 42"))
}

/// Does it.
pub fn run(args: &ListArgs, global: &GlobalArgs) -> Result {
    let query = JobQuery {
        states: args.state.into_iter().collect(),
        queues: args.queue.into_iter().collect(),
        cursor: args.before.map(|before| before.to_string()),
        ..JobQuery::default()
    };
    let list = connect(global)?.jobs_up_to(query, args.limit)?;
    Ok(face(args.output.output, global).jobs(&list)?)
}

//! `ffrtmp jobs list`: jobs by what they are, a page at a time, or as they change.

use clap::Args;
use ffrtmp_api::{client::JobQuery, limits, rest::JobSort};

use super::{select::Conditions, watch};
use crate::{
    args::{GlobalArgs, OutputArg},
    commands::{face, format},
    connection::{connect, warn_of_clock},
    exit::{Failure, Result},
    output::Format,
    values,
};

/// Jobs a list shows when the user does not say: a screenful or two.
pub const LIMIT_DEFAULT: usize = 50;

/// Which jobs.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ffrtmp jobs list
  ffrtmp jobs list --state running,paused --queue live
  ffrtmp jobs list --label show=news --since 2h --sort finished
  ffrtmp jobs list --node w1 --watch
  ffrtmp jobs list --limit 1000 --output jsonl")]
pub struct ListArgs {
    /// What they are.
    #[command(flatten)]
    conditions: Conditions,
    /// Submitted since then: a time ago, as in 2h, or RFC 3339, as in 2026-11-23T08:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = values::past, help_heading = "Which jobs")]
    since: Option<i64>,
    /// Submitted before then
    #[arg(long, value_name = "WHEN", value_parser = values::past, help_heading = "Which jobs")]
    until: Option<i64>,
    /// Order: newest, oldest, finished, started or urgency
    #[arg(long, default_value_t, value_name = "ORDER")]
    sort: JobSort,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = LIMIT_DEFAULT, value_parser = limit)]
    limit: usize,
    /// The next page: what the page before said, with the same conditions
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// Go on showing them as they change: redrawn on a terminal, else changed jobs as lines
    #[arg(long, short = 'w', conflicts_with = "cursor")]
    watch: bool,
    /// Do not shorten names and notes
    #[arg(long)]
    wide: bool,
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

/// Does it.
pub fn run(args: &ListArgs, global: &GlobalArgs) -> Result {
    if let (Some(since), Some(until)) = (args.since, args.until)
        && since >= until
    {
        return Err(Failure::usage(
            "--since: is not before --until, so no job can match",
        ));
    }
    let query = JobQuery {
        since_ms: args.since,
        until_ms: args.until,
        sort: args.sort,
        cursor: args.cursor.clone(),
        ..args.conditions.query()
    };
    let client = connect(global)?;
    let format = format(args.output.output, global);
    let mut face = face(args.output.output, global);
    if args.wide {
        face.widen();
    }
    if args.watch {
        if format == Format::Json {
            return Err(Failure::usage(
                "--watch: json is one document and this has no end; use --output jsonl",
            ));
        }
        return watch::run(&client, &query, args.limit, format, face, args.wide, global);
    }
    let jobs = client.jobs_up_to(query, args.limit)?;
    for (given, option) in [(args.since, "--since"), (args.until, "--until")] {
        if given.is_some() {
            warn_of_clock(&client, option);
        }
    }
    Ok(face.jobs(&jobs)?)
}

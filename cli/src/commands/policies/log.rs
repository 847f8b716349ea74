//! `ffrtmp policies log`: what happened to policies and what they said themselves, once or as it comes.

use clap::Args;
use ffrtmp_api::{client::PolicyLogQuery, rest::LogLevel};

use crate::{
    args::{GlobalArgs, OutputArg},
    commands::face,
    connection::connect,
    exit::Result,
};

/// Which lines.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ffrtmp policies log
  ffrtmp policies log binpack --follow
  ffrtmp policies log --level warn --lines 1000 --output jsonl

The master keeps the last 500 lines that each policy said and the last 200 of what happened to it, in memory: arrivals,
refusals, swaps, faults, commands. A line without an event is the policy's own.")]
pub struct LogArgs {
    /// Only of this policy: its name, the file's name without .wasm
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Go on printing what comes, until interrupted
    #[arg(long, short = 'f')]
    follow: bool,
    /// Only lines of this level and above: debug, info, warn or error
    #[arg(long, value_name = "LEVEL")]
    level: Option<LogLevel>,
    /// How many of the last lines
    #[arg(long, short = 'n', value_name = "N", default_value_t = 200)]
    lines: usize,
    /// How to print.
    #[command(flatten)]
    output: OutputArg,
}

/// Prints them.
pub fn run(args: &LogArgs, global: &GlobalArgs) -> Result {
    let client = connect(global)?;
    let query = PolicyLogQuery {
        policy: args.name.clone(),
        level: args.level,
        lines: Some(args.lines),
    };
    let mut face = face(args.output.output, global);
    if !args.follow {
        return Ok(face.policy_log(&client.policy_log(&query)?)?);
    }
    for event in client.follow_policy_log(&query) {
        face.policy_log_event(&event?)?;
    }
    Ok(())
}

//! `ffrtmp jobs logs`: the end of ffmpeg's stderr, once or as it grows.

use std::io::{IsTerminal, Write, stdout};

use clap::Args;
use ffrtmp_api::{
    ids::{AttemptNo, JobRef},
    rest::LogEvent,
};
use serde::Serialize;

use crate::{
    args::{GlobalArgs, OutputArg},
    commands::format,
    connection::connect,
    exit::{Failure, Result, of_job},
    output::{Format, clean},
};

/// Which job.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ffrtmp jobs logs 42
  ffrtmp jobs logs 42 --attempt 1
  ffrtmp jobs logs 42 --follow

The log of every attempt is kept with the job. With --follow, what is not of the log itself (a new
attempt, a gap) is said on standard error.")]
pub struct LogsArgs {
    /// Number or UUID
    #[arg(value_name = "ID")]
    id: JobRef,
    /// Of this attempt; the latest without
    #[arg(long, value_name = "N", conflicts_with = "follow", value_parser = clap::value_parser!(u32).range(1..))]
    attempt: Option<u32>,
    /// Go on printing until the job has ended
    #[arg(long, short = 'f')]
    follow: bool,
    /// How to print.
    #[command(flatten)]
    output: OutputArg,
}

/// Prints it.
pub fn run(args: &LogsArgs, global: &GlobalArgs) -> Result {
    let client = connect(global)?;
    let format = format(args.output.output, global);
    if args.follow {
        for event in client.follow_logs(args.id) {
            let event = event.map_err(|error| of_job(args.id, error))?;
            match format {
                Format::Table => show(&event, global.quiet)?,
                Format::Json | Format::Jsonl => json(&event, true)?,
            }
        }
        return Ok(());
    }
    let logs = match args.attempt.map(AttemptNo) {
        Some(attempt) => client.logs_of(args.id, attempt),
        None => client.logs(args.id),
    }
    .map_err(|error| of_job(args.id, error))?;
    match format {
        Format::Table => Ok(print(&logs.text)?),
        Format::Json => json(&logs, false),
        Format::Jsonl => json(&logs, true),
    }
}

fn show(event: &LogEvent, quiet: bool) -> Result {
    let aside = match event {
        LogEvent::Text { text } => return Ok(print(text)?),
        LogEvent::Attempt { attempt, node } => {
            let node = node.as_deref().map(|node| format!(" on {}", clean(node)));
            format!("attempt {attempt}{}", node.unwrap_or_default())
        }
        LogEvent::Gap { bytes: 0 } => "some of the log is missing here".to_owned(),
        LogEvent::Gap { bytes } => format!("{bytes} bytes of the log are missing here"),
        LogEvent::End { state } => format!("the job ended: {state}"),
    };
    if !quiet {
        eprintln!("ffrtmp: {aside}");
    }
    Ok(())
}

fn json(value: &impl Serialize, line: bool) -> Result {
    let text = if line {
        serde_json::to_string(value)
    } else {
        serde_json::to_string_pretty(value)
    };
    let text = text.map_err(|error| Failure::failed(error.to_string()))?;
    Ok(writeln!(stdout(), "{text}")?)
}

fn print(text: &str) -> std::io::Result<()> {
    let mut out = stdout();
    if out.is_terminal() {
        // A file name inside a log must not drive the terminal; carriage returns are ffmpeg's own.
        let keep = |c: char| !c.is_control() || matches!(c, '\n' | '\t' | '\r');
        out.write_all(text.replace(|c| !keep(c), "\u{fffd}").as_bytes())?;
    } else {
        out.write_all(text.as_bytes())?;
    }
    out.flush()
}

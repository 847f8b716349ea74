//! `ffrtmp jobs logs`: the end of ffmpeg's stderr, once or as it grows.

use std::io::{IsTerminal, Write, stdout};

use clap::Args;
use ffrtmp_api::{
    ids::{AttemptNo, JobRef},
    rest::{JobLogs, LogEvent},
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
  ffrtmp jobs logs 42 --follow

The log of an attempt is kept until the next one begins. With --follow, what is not of the log itself
(a new attempt, a gap) is said on standard error.")]
pub struct LogsArgs {
    /// Number or UUID
    #[arg(value_name = "ID")]
    id: JobRef,
    /// The attempt that is meant; fails if the log is of another
    #[arg(long, value_name = "N", conflicts_with = "follow")]
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
    let logs = client
        .logs(args.id)
        .map_err(|error| of_job(args.id, error))?;
    check_attempt(&logs, args.attempt.map(AttemptNo))?;
    match format {
        Format::Table => Ok(print(&logs.text)?),
        Format::Json => json(&logs, false),
        Format::Jsonl => json(&logs, true),
    }
}

/// Whether the log is of the attempt that was asked for.
fn check_attempt(logs: &JobLogs, asked: Option<AttemptNo>) -> Result {
    match asked {
        Some(asked) if asked != logs.attempt => Err(Failure::failed(format!(
            "job {}: the log is of attempt {}; that of attempt {asked} {}",
            logs.id,
            logs.attempt,
            if asked < logs.attempt {
                "was kept until the next began"
            } else {
                "does not exist"
            }
        ))),
        _ => Ok(()),
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

#[cfg(test)]
mod tests {
    use ffrtmp_api::ids::JobSeq;

    use super::*;

    #[test]
    fn the_log_of_another_attempt_is_not_passed_off_as_the_one_asked_for() {
        let logs = JobLogs {
            id: JobSeq(7),
            attempt: AttemptNo(2),
            text: String::new(),
            live: true,
        };
        let said = |asked| match check_attempt(&logs, asked) {
            Err(Failure::Failed(message)) => message,
            other => format!("{other:?}"),
        };
        assert_eq!(said(None), "Ok(())");
        assert_eq!(said(Some(AttemptNo(2))), "Ok(())");
        assert!(said(Some(AttemptNo(1))).ends_with("was kept until the next began"));
        assert!(said(Some(AttemptNo(3))).ends_with("does not exist"));
    }
}

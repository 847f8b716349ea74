//! `ffrtmp jobs logs`: the end of ffmpeg's stderr, once or as it grows.

use std::{
    io::{IsTerminal, Write, stdout},
    thread,
    time::Duration,
};

use clap::Args;
use ffrtmp_api::{ids::JobRef, rest::JobLogs};

use crate::{
    args::{GlobalArgs, OutputArg},
    commands::format,
    connection::connect,
    exit::{Failure, Result},
    output::Format,
};

/// Pause between two looks at a growing log. The API has no stream of it; ffmpeg writes little.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Bytes of what was printed last that are looked for in a log whose beginning was dropped.
const OVERLAP_BYTES: usize = 512;

/// Which job.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ffrtmp jobs logs 42
  ffrtmp jobs logs 42 --follow")]
pub struct LogsArgs {
    /// Number or UUID
    #[arg(value_name = "ID")]
    id: JobRef,
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
    let mut last: Option<JobLogs> = None;
    loop {
        let logs = client.logs(args.id)?;
        match format {
            Format::Table => print(new_text(last.as_ref(), &logs))?,
            Format::Json | Format::Jsonl => {
                let line = serde_json::to_string(&logs)
                    .map_err(|error| Failure::failed(error.to_string()))?;
                writeln!(stdout(), "{line}")?;
            }
        }
        if !(args.follow && logs.live) {
            return Ok(());
        }
        last = Some(logs);
        thread::sleep(LOOK_AGAIN);
    }
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

/// The part of `now` that `before` did not show. A new attempt's log is new as a whole.
fn new_text<'a>(before: Option<&JobLogs>, now: &'a JobLogs) -> &'a str {
    let Some(before) = before.filter(|before| before.attempt == now.attempt) else {
        return &now.text;
    };
    if let Some(more) = now.text.strip_prefix(before.text.as_str()) {
        return more;
    }
    // The log is bounded, so its beginning may be gone: find where the last look ended.
    let mut start = before.text.len().saturating_sub(OVERLAP_BYTES);
    while !before.text.is_char_boundary(start) {
        start += 1;
    }
    let tail = &before.text[start..];
    match now.text.rfind(tail) {
        Some(at) if !tail.is_empty() => &now.text[at + tail.len()..],
        _ => &now.text,
    }
}

#[cfg(test)]
mod tests {
    use ffrtmp_api::ids::{AttemptNo, JobSeq};

    use super::*;

    fn logs(attempt: u32, text: &str) -> JobLogs {
        JobLogs {
            id: JobSeq(1),
            attempt: AttemptNo(attempt),
            text: text.into(),
            live: true,
        }
    }

    #[test]
    fn following_prints_each_line_once() {
        assert_eq!(new_text(None, &logs(1, "a\n")), "a\n");
        assert_eq!(new_text(Some(&logs(1, "a\n")), &logs(1, "a\nb\n")), "b\n");
        assert_eq!(new_text(Some(&logs(1, "a\n")), &logs(1, "a\n")), "");
        assert_eq!(
            new_text(Some(&logs(1, "a\nb\n")), &logs(2, "a\n")),
            "a\n",
            "a new attempt is shown whole"
        );
    }

    #[test]
    fn following_goes_on_when_the_log_s_beginning_was_dropped() {
        let before: String = (0..200).map(|i| format!("line {i}\n")).collect();
        let now: String = (100..203).map(|i| format!("line {i}\n")).collect();
        assert_eq!(
            new_text(Some(&logs(1, &before)), &logs(1, &now)),
            "line 200\nline 201\nline 202\n"
        );
    }
}

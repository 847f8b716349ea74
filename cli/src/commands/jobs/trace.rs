//! `ffrtmp jobs trace`: a workload recorded from a live master, to be put before other policies by `policies simulate`.
//!
//! Only what scheduling looks at is written: no paths, no keys, nothing of what was encoded.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use clap::Args;
use ffrtmp_api::{
    client::{Client, JobQuery},
    clock::wall_ms,
    job::JobSpec,
    limits,
    rest::{Job, JobSort},
    settings::Settings,
};
use serde::Serialize;

use crate::{
    args::GlobalArgs,
    connection::{connect, warn_of_clock},
    exit::{Failure, Result},
    values,
};

/// What to record.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ffrtmp jobs trace --since 1h --out day.jsonl
  ffrtmp jobs trace --since 24h --until 12h | wc -l
  ffrtmp policies simulate native fifo --workload day.jsonl

One line for each job that was submitted then and started: what it asked for, when (at_ms), and how long
its last attempt ran (runs_ms); of one that still runs, how long it has so far. Jobs that never started
are left out and counted.")]
pub struct TraceArgs {
    /// Submitted since then: a time ago, as in 1h, or RFC 3339, as in 2026-11-23T08:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = values::past)]
    since: i64,
    /// Submitted before then
    #[arg(long, value_name = "WHEN", value_parser = values::past)]
    until: Option<i64>,
    /// Where to write; else standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// A line.
#[derive(Serialize)]
struct Line {
    at_ms: i64,
    runs_ms: u64,
    #[serde(flatten)]
    spec: JobSpec,
}

/// Records.
pub fn run(args: &TraceArgs, global: &GlobalArgs) -> Result {
    if args.until.is_some_and(|until| args.since >= until) {
        return Err(Failure::usage(
            "--since: is not before --until, so no job can match",
        ));
    }
    let client = connect(global)?;
    let (written, left_out) = match &args.out {
        None => record(&client, args, &mut io::stdout().lock())?,
        Some(path) => {
            let cannot = |error: io::Error| {
                Failure::failed(format!(
                    "--out: {} cannot be written: {error}",
                    path.display()
                ))
            };
            let mut file = BufWriter::new(File::create(path).map_err(cannot)?);
            let counts = record(&client, args, &mut file)?;
            file.flush().map_err(cannot)?;
            counts
        }
    };
    warn_of_clock(&client, "--since");
    if !global.quiet {
        eprintln!("ffrtmp: recorded {written} jobs; {left_out} never started and were left out");
    }
    if written == 0 {
        return Err(Failure::failed(
            "no job that was submitted then has started; choose another --since",
        ));
    }
    Ok(())
}

/// Writes the jobs, page by page; gives how many were written and left out.
fn record(client: &Client, args: &TraceArgs, out: &mut dyn Write) -> Result<(u64, u64)> {
    let mut query = JobQuery {
        since_ms: Some(args.since),
        until_ms: args.until,
        sort: JobSort::Oldest,
        limit: Some(limits::LIST_LIMIT_MAX),
        ..JobQuery::default()
    };
    let (mut written, mut left_out) = (0, 0);
    loop {
        let page = client.jobs(&query)?;
        for job in page.jobs {
            match line(job, wall_ms()) {
                Some(line) => {
                    let text = serde_json::to_string(&line)
                        .map_err(|error| Failure::failed(error.to_string()))?;
                    writeln!(out, "{text}")?;
                    written += 1;
                }
                None => left_out += 1,
            }
        }
        // An empty page may have a next one; one that leads to itself does not.
        if page.next_cursor.is_none() || page.next_cursor == query.cursor {
            return Ok((written, left_out));
        }
        query.cursor = page.next_cursor;
    }
}

/// The line of a job that started.
fn line(job: Job, now_ms: i64) -> Option<Line> {
    let started_ms = job.started_at_ms?;
    let ended_ms = job.finished_at_ms.unwrap_or(now_ms);
    let spec = job.spec;
    let codec = match Settings::resolve(&spec) {
        Ok(settings) => Some(settings.codec_name().to_owned()),
        Err(_) => spec.codec.clone(),
    };
    // The lane and urgency in force; the spec has those asked for.
    let spec = JobSpec {
        queue: job.queue,
        priority: job.priority,
        ..spec.for_scheduling(codec)
    };
    Some(Line {
        at_ms: job.submitted_at_ms,
        runs_ms: (ended_ms - started_ms).max(0).unsigned_abs(),
        spec,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(fields: serde_json::Value) -> Job {
        let mut job = serde_json::json!({
            "id": 7, "uuid": "00000000-0000-0000-0000-000000000007", "state": "completed",
            "spec": {"input": "/secret/in.mov", "output": "/secret/out.webm", "labels": {"tenant": "a"},
                     "idempotency_key": "k", "cpu_millicores": 2000, "queue": "live", "priority": "low"},
            "queue": "batch", "priority": "high", "attempt": 1, "failures": 0, "submitted_at_ms": 1000,
            "cancel_requested": false
        });
        for (key, value) in fields.as_object().unwrap() {
            job[key] = value.clone();
        }
        serde_json::from_value(job).unwrap()
    }

    #[test]
    fn a_line_has_what_scheduling_looks_at_and_no_more() {
        let ran = job(serde_json::json!({"started_at_ms": 3000, "finished_at_ms": 4500}));
        let text = serde_json::to_string(&line(ran, 9_999).unwrap()).unwrap();
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).unwrap(),
            serde_json::json!({
                "at_ms": 1000, "runs_ms": 1500, "codec": "vp9", "queue": "batch", "priority": "high",
                "labels": {"tenant": "a"}, "cpu_millicores": 2000
            })
        );
    }

    #[test]
    fn a_job_that_runs_counts_so_far_and_one_that_never_started_not_at_all() {
        let runs = job(serde_json::json!({"state": "running", "started_at_ms": 3000}));
        assert_eq!(line(runs, 10_000).unwrap().runs_ms, 7_000);
        assert!(line(job(serde_json::json!({"state": "pending"})), 10_000).is_none());
    }
}

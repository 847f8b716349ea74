//! One job, all of it, as a paragraph.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use ffrtmp_api::{
    job::JobState,
    protocol::MediaResult,
    rest::{Job, JobProgress, Placement},
    settings::Settings,
};

use super::{Table, webhooks::webhooks_line};
use crate::output::{
    describe::{live_line, settings_line, source_line},
    style::{self, Style},
    units::{bytes, clean, moment, seconds_short},
};

/// The paragraph.
pub fn show<W: Write>(table: &mut Table<W>, job: &Job) -> io::Result<()> {
    let head = table.paint(Style::Strong, &format!("Job {}", job.id));
    let mut state = table.paint(style::of_job(job.state), job.state.as_str());
    if job.cancel_requested && !job.state.is_terminal() {
        state.push_str(" (cancel requested)");
    } else if job.held && job.state == JobState::Pending {
        state.push_str(" (held)");
    }
    writeln!(table.out, "{head}  {state}")?;
    table.field("uuid", job.uuid.to_string())?;
    if let Some(scenario) = &job.spec.scenario {
        table.field("scenario", clean(scenario))?;
    }
    if let Some(preset) = &job.spec.preset {
        table.field("preset", clean(preset))?;
    }
    // A newer master may accept what this tool cannot resolve; then the paths are shown as they are.
    match Settings::resolve(&job.spec) {
        Ok(settings) => {
            table.field("input", clean(&source_line(&settings)))?;
            table.field("output", output_line(job))?;
            table.field("settings", settings_line(&settings))?;
            if let Some(live) = &settings.live {
                let restarts = match (&job.result, &job.progress) {
                    (Some(result), _) => result.restarts,
                    (None, Some(progress)) => progress.restarts,
                    (None, None) => 0,
                };
                table.field("live", format!("{}, {restarts} restarts", live_line(live)))?;
            }
        }
        Err(_) => {
            table.field(
                "input",
                clean(job.spec.input.as_deref().unwrap_or("synthetic")),
            )?;
            table.field("output", output_line(job))?;
        }
    }
    table.field("queue", format!("{}, {} priority", job.queue, job.priority))?;
    if job.spec.gpu {
        table.field("needs", "a GPU")?;
    }
    if let Some(deadline) = job.spec.deadline_ms {
        table.field("deadline", moment(deadline))?;
    }
    for (name, words) in [
        ("input args", &job.spec.input_args),
        ("output args", &job.spec.output_args),
    ] {
        if !words.is_empty() {
            table.field(name, clean(&words.join(" ")))?;
        }
    }
    let required = job.spec.required_labels();
    if !required.is_empty() {
        table.field("requires", pairs(&required))?;
    }
    if !job.spec.labels.is_empty() {
        table.field("labels", pairs(&job.spec.labels))?;
    }
    table.moment_field("submitted", job.submitted_at_ms, None)?;
    if let Some(started) = job.started_at_ms {
        let waited = seconds_between(job.submitted_at_ms, started);
        table.moment_field(
            "started",
            started,
            Some(format!("{waited} after the submit")),
        )?;
    }
    if let Some(finished) = job.finished_at_ms {
        let ran = job
            .started_at_ms
            .map(|started| format!("ran {}", seconds_between(started, finished)));
        table.moment_field("finished", finished, ran)?;
    }
    if job.attempt.0 > 1 || job.failures > 0 {
        table.field(
            "attempt",
            format!("{}; {} failed", job.attempt, job.failures),
        )?;
    }
    if let Some(placement) = &job.placement {
        table.field("placed by", placement_line(placement, job.node.as_deref()))?;
    } else if let Some(node) = &job.node {
        table.field("node", clean(node))?;
    }
    if let Some(waiting) = job
        .waiting
        .as_deref()
        .filter(|_| job.state == JobState::Pending)
    {
        table.field("waits", clean(waiting))?;
    }
    if let Some(progress) = job.progress.as_ref().filter(|_| !job.state.is_terminal()) {
        table.field("progress", progress_line(progress))?;
    }
    if let Some(result) = &job.result {
        table.field("result", result_line(result))?;
        table.field("cost", cost_line(result))?;
    }
    if let Some(state) = &job.webhooks {
        let said = webhooks_line(state);
        table.field("webhook", clean(&said))?;
    }
    if let Some(failure) = &job.failure {
        let title = if job.state == JobState::Failed {
            "failure"
        } else {
            "last failure"
        };
        let reason = table.paint(Style::Bad, failure.reason.as_str());
        table.field(title, format!("{reason}: {}", clean(&failure.message)))?;
    }
    Ok(())
}

fn output_line(job: &Job) -> String {
    match &job.spec.output {
        Some(path) if job.spec.overwrite => format!("{} (may replace what is there)", clean(path)),
        Some(path) => clean(path),
        None => "none: measured, then deleted".to_owned(),
    }
}

/// `binpack 1a2b3c4d5e6f on w1: fullest that fits (score 880, round 17)`.
pub fn placement_line(placement: &Placement, node: Option<&str>) -> String {
    let gpu = placement
        .gpu
        .map(|gpu| format!(" GPU {gpu}"))
        .unwrap_or_default();
    clean(&format!(
        "{} {} on {}{gpu}: {} (score {}, round {})",
        placement.policy,
        placement.digest,
        node.unwrap_or("?"),
        if placement.reason.is_empty() {
            "no reason given"
        } else {
            &placement.reason
        },
        placement.score,
        placement.round
    ))
}

pub fn progress_line(progress: &JobProgress) -> String {
    let mut parts = Vec::new();
    if let Some(percent) = progress.percent {
        parts.push(format!("{percent:.1} %"));
    }
    parts.push(format!("frame {}", progress.frames));
    parts.push(format!("{:.0} fps", progress.fps));
    parts.push(format!("{:.1}x", progress.speed));
    parts.push(bytes(progress.bytes));
    if let Some(eta) = progress.eta_seconds {
        parts.push(format!("{} to go", seconds_short(eta)));
    }
    parts.join(", ")
}

/// `h264 + aac 854x480, 132 frames, …`.
pub fn result_line(result: &MediaResult) -> String {
    let audio = result
        .audio_codec
        .as_ref()
        .map(|codec| format!(" + {codec}"))
        .unwrap_or_default();
    clean(&format!(
        "{}{audio} {}x{}, {} frames, {:.2} s, {} in {}",
        result.video_codec,
        result.width,
        result.height,
        result.frames,
        result.duration_seconds,
        bytes(result.bytes),
        result.format
    ))
}

fn cost_line(result: &MediaResult) -> String {
    let speed = if result.wall_seconds > 0.0 {
        result.duration_seconds / result.wall_seconds
    } else {
        0.0
    };
    format!(
        "{} wall ({speed:.1}x), {} CPU, {} memory at most",
        seconds_short(result.wall_seconds),
        seconds_short(result.cpu_seconds),
        bytes(result.memory_peak_kib * 1024)
    )
}

/// `12 ms`, `3.0s`.
pub fn seconds_between(from_ms: i64, to_ms: i64) -> String {
    let ms = to_ms.saturating_sub(from_ms).max(0);
    if ms < 1000 {
        format!("{ms} ms")
    } else {
        seconds_short(ms as f64 / 1000.0)
    }
}

/// `a=b c=d`.
pub fn pairs(map: &BTreeMap<String, String>) -> String {
    clean(
        &map.iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect::<Vec<_>>()
            .join(" "),
    )
}

//! The face for people: aligned tables for lists, indented paragraphs for one thing.
//!
//! Its layout is free to change; programs read JSON. Text that came from others is cleaned of control characters.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use ffrtmp_api::{
    job::JobState,
    protocol::MediaResult,
    rest::{
        CreatedToken, Job, JobList, JobProgress, Node, NodeList, Placement, PolicyList, Submitted,
        TokenList,
    },
    settings::Settings,
};

use super::{
    Output, Versions,
    columns::{Columns, cell, styled},
    describe::{settings_line, source_line},
    style::{self, Style},
    tokens,
    units::{age, bytes, clean, clip, moment, seconds_short},
};

/// Longest name shown in a list, in characters; `jobs status` shows all of it.
const NAME_CHARS_MAX: usize = 40;

/// Prints for people.
pub struct Table<W> {
    out: W,
    colour: bool,
    now_ms: i64,
}

impl<W: Write> Table<W> {
    /// On `out`, with ages counted from `now_ms`.
    pub fn new(out: W, colour: bool, now_ms: i64) -> Table<W> {
        Table {
            out,
            colour,
            now_ms,
        }
    }

    fn paint(&self, style: Style, text: &str) -> String {
        style.paint(&clean(text), self.colour)
    }

    /// One `name   value` line of a paragraph.
    fn field(&mut self, name: &str, value: impl AsRef<str>) -> io::Result<()> {
        let name = Style::Faint.paint(&format!("{name:<11}"), self.colour);
        writeln!(self.out, "  {name} {}", value.as_ref())
    }

    fn moment_field(&mut self, name: &str, at_ms: i64, also: Option<String>) -> io::Result<()> {
        let ago = age(at_ms, self.now_ms);
        let also = also.map(|text| format!("; {text}")).unwrap_or_default();
        self.field(name, format!("{} ({ago} ago{also})", moment(at_ms)))
    }
}

impl<W: Write> Output for Table<W> {
    fn submitted(&mut self, submitted: &Submitted, summary: &str) -> io::Result<()> {
        let id = self.paint(Style::Strong, &format!("job {}", submitted.id));
        let verb = if submitted.duplicate {
            "was submitted already"
        } else {
            "submitted"
        };
        writeln!(self.out, "{id} {verb}: {}", clean(summary))?;
        self.out.flush()
    }

    fn job(&mut self, job: &Job) -> io::Result<()> {
        let head = self.paint(Style::Strong, &format!("Job {}", job.id));
        let mut state = self.paint(style::of_job(job.state), job.state.as_str());
        if job.cancel_requested && !job.state.is_terminal() {
            state.push_str(" (cancel requested)");
        }
        writeln!(self.out, "{head}  {state}")?;
        self.field("uuid", job.uuid.to_string())?;
        if let Some(scenario) = &job.spec.scenario {
            self.field("scenario", clean(scenario))?;
        }
        // A newer master may accept what this tool cannot resolve; then the paths are shown as they are.
        match Settings::resolve(&job.spec) {
            Ok(settings) => {
                self.field("input", clean(&source_line(&settings)))?;
                self.field("output", output_line(job))?;
                self.field("settings", settings_line(&settings))?;
            }
            Err(_) => {
                self.field(
                    "input",
                    clean(job.spec.input.as_deref().unwrap_or("synthetic")),
                )?;
                self.field("output", output_line(job))?;
            }
        }
        self.field("queue", format!("{}, {} priority", job.queue, job.priority))?;
        if job.spec.gpu {
            self.field("needs", "a GPU")?;
        }
        if !job.spec.require.is_empty() {
            self.field("requires", pairs(&job.spec.require))?;
        }
        if !job.spec.labels.is_empty() {
            self.field("labels", pairs(&job.spec.labels))?;
        }
        self.moment_field("submitted", job.submitted_at_ms, None)?;
        if let Some(started) = job.started_at_ms {
            let waited = seconds_between(job.submitted_at_ms, started);
            self.moment_field(
                "started",
                started,
                Some(format!("{waited} after the submit")),
            )?;
        }
        if let Some(finished) = job.finished_at_ms {
            let ran = job
                .started_at_ms
                .map(|started| format!("ran {}", seconds_between(started, finished)));
            self.moment_field("finished", finished, ran)?;
        }
        if job.attempt.0 > 1 || job.failures > 0 {
            self.field(
                "attempt",
                format!("{}; {} failed", job.attempt, job.failures),
            )?;
        }
        if let Some(placement) = &job.placement {
            self.field("placed by", placement_line(placement, job.node.as_deref()))?;
        } else if let Some(node) = &job.node {
            self.field("node", clean(node))?;
        }
        if let Some(waiting) = job
            .waiting
            .as_deref()
            .filter(|_| job.state == JobState::Pending)
        {
            self.field("waits", clean(waiting))?;
        }
        if let Some(progress) = job.progress.as_ref().filter(|_| !job.state.is_terminal()) {
            self.field("progress", progress_line(progress))?;
        }
        if let Some(result) = &job.result {
            self.field("result", result_line(result))?;
            self.field("cost", cost_line(result))?;
        }
        if let Some(failure) = &job.failure {
            let title = if job.state == JobState::Failed {
                "failure"
            } else {
                "last failure"
            };
            let reason = self.paint(Style::Bad, failure.reason.as_str());
            self.field(title, format!("{reason}: {}", clean(&failure.message)))?;
        }
        Ok(())
    }

    fn ended(&mut self, job: &Job) -> io::Result<()> {
        let state = self.paint(style::of_job(job.state), job.state.as_str());
        let mut line = format!("job {} {state}", job.id);
        if let (Some(started), Some(finished)) = (job.started_at_ms, job.finished_at_ms) {
            line.push_str(&format!(" in {}", seconds_between(started, finished)));
        }
        if let Some(node) = &job.node {
            line.push_str(&format!(" on {}", clean(node)));
        }
        if let Some(result) = &job.result {
            line.push_str(&format!(": {}", result_line(result)));
        }
        writeln!(self.out, "{line}")?;
        self.out.flush()
    }

    fn jobs(&mut self, list: &JobList) -> io::Result<()> {
        if list.jobs.is_empty() {
            return writeln!(
                self.out,
                "No jobs. Submit one: ffrtmp jobs submit --scenario hello"
            );
        }
        let mut columns = Columns::new(&[
            ">ID",
            "STATE",
            "QUEUE",
            "PRIORITY",
            "NAME",
            "NODE",
            "PLACED BY",
            ">DONE",
            ">AGE",
            "NOTE",
        ]);
        for job in &list.jobs {
            columns.row(vec![
                cell(job.id.to_string()),
                styled(job.state.as_str(), style::of_job(job.state)),
                cell(job.queue.as_str()),
                cell(job.priority.as_str()),
                cell(clip(name_of(job), NAME_CHARS_MAX)),
                cell(job.node.as_deref().unwrap_or("-")),
                cell(
                    job.placement
                        .as_ref()
                        .map_or("-", |placement| placement.policy.as_str()),
                ),
                cell(done(job)),
                cell(age(job.submitted_at_ms, self.now_ms)),
                cell(clip(&note(job), 60)),
            ]);
        }
        columns.write(&mut self.out, self.colour)?;
        if let Some(before) = &list.next_cursor {
            writeln!(
                self.out,
                "There are more: --before {before} shows the next, --limit shows more at once."
            )?;
        }
        Ok(())
    }

    fn changed(&mut self, jobs: &[(&str, Job)]) -> io::Result<()> {
        for (done, job) in jobs {
            let state = self.paint(style::of_job(job.state), job.state.as_str());
            if job.state.as_str() == *done {
                writeln!(self.out, "job {} {state}", job.id)?;
            } else {
                writeln!(self.out, "job {} {done} (now {state})", job.id)?;
            }
        }
        Ok(())
    }

    fn nodes(&mut self, list: &NodeList) -> io::Result<()> {
        if list.nodes.is_empty() {
            return writeln!(
                self.out,
                "No workers. Start one: ffrtmp worker --master URL"
            );
        }
        let mut columns = Columns::new(&[
            "NAME", "STATUS", ">SLOTS", ">CPU", ">MEMORY", "GPUS", "ENCODERS", "LABELS", ">HEARD",
            "JOBS",
        ]);
        for node in &list.nodes {
            columns.row(vec![
                styled(&node.name, Style::Strong),
                styled(node.status.as_str(), style::of_node(node.status)),
                cell(format!("{}/{}", node.slots_used, node.slots)),
                cell(format!(
                    "{:.0}% of {}",
                    node.cpu_percent,
                    node.cpu_millicores / 1000
                )),
                cell(memory(node)),
                cell(gpus(node)),
                cell(
                    node.encoders
                        .iter()
                        .map(|encoder| encoder.name())
                        .collect::<Vec<_>>()
                        .join(","),
                ),
                cell(if node.labels.is_empty() {
                    "-".to_owned()
                } else {
                    pairs(&node.labels)
                }),
                cell(node.silent_ms.map_or("never".to_owned(), |ms| {
                    format!("{} ago", seconds_short(ms as f64 / 1000.0))
                })),
                cell(if node.jobs.is_empty() {
                    "-".to_owned()
                } else {
                    node.jobs
                        .iter()
                        .map(ToString::to_string)
                        .collect::<Vec<_>>()
                        .join(",")
                }),
            ]);
        }
        columns.write(&mut self.out, self.colour)
    }

    fn policies(&mut self, list: &PolicyList) -> io::Result<()> {
        let mut columns = Columns::new(&[
            "NAME",
            "VERSION",
            "DIGEST",
            "LANGUAGE",
            "STATE",
            ">SINCE",
            ">ROUNDS",
            ">PLACED",
            ">FAULTS",
            ">P50",
            ">P99",
            "LAST ERROR",
        ]);
        for policy in &list.policies {
            columns.row(vec![
                styled(&policy.name, Style::Strong),
                cell(&policy.version),
                cell(&policy.digest),
                cell(policy.language.as_deref().unwrap_or("-")),
                styled(&policy.state, style::of_policy(&policy.state)),
                cell(age(policy.since_ms, self.now_ms)),
                cell(policy.rounds.to_string()),
                cell(policy.placements.to_string()),
                cell(policy.faults.to_string()),
                cell(format!("{} µs", policy.guest_p50_us)),
                cell(format!("{} µs", policy.guest_p99_us)),
                cell(policy.last_error.as_deref().unwrap_or("-")),
            ]);
        }
        columns.write(&mut self.out, self.colour)?;
        writeln!(self.out, "\n{}", clean(&list.rule))
    }

    fn tokens(&mut self, list: &TokenList) -> io::Result<()> {
        tokens::list(&mut self.out, self.colour, self.now_ms, list)
    }

    fn token(&mut self, made: &CreatedToken) -> io::Result<()> {
        tokens::made(&mut self.out, made)
    }

    fn versions(&mut self, versions: &Versions) -> io::Result<()> {
        writeln!(self.out, "ffrtmp  {}", versions.client)?;
        match &versions.master {
            Some(master) => writeln!(
                self.out,
                "master  {} (worker protocol {})",
                clean(&master.version),
                master.protocol
            ),
            None => Ok(()),
        }
    }
}

/// What a list calls a job: its scenario, else its input's file name.
fn name_of(job: &Job) -> &str {
    match (&job.spec.scenario, &job.spec.input) {
        (Some(scenario), _) => scenario,
        (None, Some(input)) => input.rsplit('/').next().unwrap_or(input),
        (None, None) => "synthetic",
    }
}

fn done(job: &Job) -> String {
    match (
        job.state,
        job.progress.as_ref().and_then(|progress| progress.percent),
    ) {
        (JobState::Completed, _) => "100%".to_owned(),
        (
            JobState::Assigned | JobState::Running | JobState::Paused | JobState::Publishing,
            Some(percent),
        ) => {
            format!("{percent:.0}%")
        }
        _ => "-".to_owned(),
    }
}

/// Why it failed, or why it waits.
fn note(job: &Job) -> String {
    match job.state {
        JobState::Pending => match (&job.waiting, &job.failure) {
            (Some(waiting), _) => waiting.clone(),
            (None, Some(failure)) => format!("again after {}", failure.reason),
            (None, None) => String::new(),
        },
        JobState::Failed => job
            .failure
            .as_ref()
            .map_or(String::new(), |f| format!("{}: {}", f.reason, f.message)),
        _ if job.cancel_requested && !job.state.is_terminal() => "cancel requested".to_owned(),
        _ => String::new(),
    }
}

fn output_line(job: &Job) -> String {
    match &job.spec.output {
        Some(path) if job.spec.overwrite => format!("{} (may replace what is there)", clean(path)),
        Some(path) => clean(path),
        None => "none: measured, then deleted".to_owned(),
    }
}

/// `binpack 1a2b3c4d5e6f on w1: fullest that fits (score 880, round 17)`.
fn placement_line(placement: &Placement, node: Option<&str>) -> String {
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

fn progress_line(progress: &JobProgress) -> String {
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

fn result_line(result: &MediaResult) -> String {
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

fn seconds_between(from_ms: i64, to_ms: i64) -> String {
    let ms = to_ms.saturating_sub(from_ms).max(0);
    if ms < 1000 {
        format!("{ms} ms")
    } else {
        seconds_short(ms as f64 / 1000.0)
    }
}

fn pairs(map: &BTreeMap<String, String>) -> String {
    clean(
        &map.iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect::<Vec<_>>()
            .join(" "),
    )
}

fn memory(node: &Node) -> String {
    let gib = |mib: u32| f64::from(mib) / 1024.0;
    format!(
        "{:.1}/{:.1} GiB",
        gib(node.memory_used_mib),
        gib(node.memory_mib)
    )
}

fn gpus(node: &Node) -> String {
    if node.gpus.is_empty() {
        return "-".to_owned();
    }
    node.gpus
        .iter()
        .map(|gpu| gpu.model.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests;

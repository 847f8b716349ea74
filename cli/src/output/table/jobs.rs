//! Jobs in a list, and what was done to them.

use std::io::{self, Write};

use ffrtmp_api::{
    clock::wall_ms,
    job::JobState,
    rest::{Job, JobList, SubmitItem, Submitted},
};

use super::{
    Table,
    job::{result_line, seconds_between},
};
use crate::output::{
    Tally,
    columns::{Columns, cell, styled},
    style::{self, Style},
    units::{age, clean, clip, moment},
};

/// Longest name shown in a list, in characters; `jobs status` shows all of it.
const NAME_CHARS_MAX: usize = 40;
/// Longest note shown in a list, in characters.
const NOTE_CHARS_MAX: usize = 60;

/// `job 42 submitted: …`.
pub fn submitted<W: Write>(
    table: &mut Table<W>,
    submitted: &Submitted,
    summary: &str,
) -> io::Result<()> {
    let id = table.paint(Style::Strong, &format!("job {}", submitted.id));
    let verb = if submitted.duplicate {
        "was submitted already"
    } else {
        "submitted"
    };
    writeln!(table.out, "{id} {verb}: {}", clean(summary))?;
    table.out.flush()
}

/// `job 42 completed in 3.0s on w1: …`.
pub fn ended<W: Write>(table: &mut Table<W>, job: &Job) -> io::Result<()> {
    let state = table.paint(style::of_job(job.state), job.state.as_str());
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
    writeln!(table.out, "{line}")?;
    table.out.flush()
}

/// What became of one of many. Those that have no place of their own are told together at the end.
pub fn item<W: Write>(
    table: &mut Table<W>,
    place: Option<&str>,
    item: &SubmitItem,
) -> io::Result<()> {
    let SubmitItem::Accepted(submitted) = item else {
        return Ok(());
    };
    if let Some(place) = place {
        return self::submitted(table, submitted, place);
    }
    let id = submitted.id.0;
    match table.accepted.last_mut() {
        Some((_, last)) if *last + 1 == id => *last = id,
        _ => table.accepted.push((id, id)),
    }
    Ok(())
}

/// `20 jobs submitted: 1-20: …`.
pub fn items_end<W: Write>(
    table: &mut Table<W>,
    tally: &Tally,
    summary: Option<&str>,
) -> io::Result<()> {
    let mut line = match tally.accepted {
        1 => "1 job submitted".to_owned(),
        n => format!("{n} jobs submitted"),
    };
    if tally.duplicates > 0 {
        line.push_str(&format!(" ({} of them already before)", tally.duplicates));
    }
    if tally.refused > 0 {
        line.push_str(&format!(", {} refused", tally.refused));
    }
    let ranges: Vec<String> = std::mem::take(&mut table.accepted)
        .into_iter()
        .map(|(first, last)| match last - first {
            0 => first.to_string(),
            _ => format!("{first}-{last}"),
        })
        .collect();
    if !ranges.is_empty() {
        line.push_str(&format!(": {}", ranges.join(", ")));
    }
    if let Some(summary) = summary {
        line.push_str(&format!("\n  the first: {}", clean(summary)));
    }
    writeln!(table.out, "{line}")?;
    table.out.flush()
}

/// One line for each.
pub fn list<W: Write>(table: &mut Table<W>, list: &JobList) -> io::Result<()> {
    if list.jobs.is_empty() {
        return writeln!(
            table.out,
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
    let (name_max, note_max) = match table.wide {
        true => (usize::MAX, usize::MAX),
        false => (NAME_CHARS_MAX, NOTE_CHARS_MAX),
    };
    // Room for the headings, for a line about those that are left out, and for the cursor.
    let room = table.lines_max.saturating_sub(3);
    for job in list.jobs.iter().take(room) {
        columns.row(vec![
            cell(job.id.to_string()),
            styled(job.state.as_str(), style::of_job(job.state)),
            cell(job.queue.as_str()),
            cell(job.priority.as_str()),
            cell(clip(name_of(job), name_max)),
            cell(job.node.as_deref().unwrap_or("-")),
            cell(
                job.placement
                    .as_ref()
                    .map_or("-", |placement| placement.policy.as_str()),
            ),
            cell(done(job)),
            cell(age(job.submitted_at_ms, table.now_ms)),
            cell(clip(&note(job), note_max)),
        ]);
    }
    columns.write(&mut table.out, table.colour)?;
    if list.jobs.len() > room {
        return writeln!(table.out, "and {} more", list.jobs.len() - room);
    }
    if let Some(cursor) = &list.next_cursor {
        writeln!(
            table.out,
            "There are more: --cursor {} shows the next, --limit shows more at once.",
            clean(cursor)
        )?;
    }
    Ok(())
}

/// One line about a job that changed: without headings, since others come whenever they come.
pub fn row<W: Write>(table: &mut Table<W>, job: &Job) -> io::Result<()> {
    let state = format!("{:<10}", job.state.as_str());
    let state = table.paint(style::of_job(job.state), &state);
    let note = clip(&note(job), NOTE_CHARS_MAX);
    let line = format!(
        "{}  {:>6}  {state}  {:<7}  {:<6}  {}  {}  {}",
        moment(wall_ms()),
        job.id,
        job.queue.as_str(),
        job.priority.as_str(),
        clean(&clip(name_of(job), NAME_CHARS_MAX)),
        clean(job.node.as_deref().unwrap_or("-")),
        clean(&note),
    );
    writeln!(table.out, "{}", line.trim_end())?;
    table.out.flush()
}

/// What was asked of each, and how it stands.
pub fn changed<W: Write>(table: &mut Table<W>, jobs: &[(&str, Job)]) -> io::Result<()> {
    for (done, job) in jobs {
        let state = table.paint(style::of_job(job.state), job.state.as_str());
        if job.state.as_str() == *done {
            writeln!(table.out, "job {} {state}", job.id)?;
        } else {
            writeln!(table.out, "job {} {done} (now {state})", job.id)?;
        }
    }
    Ok(())
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
        JobState::Pending if job.held => "held; resume it to let it run".to_owned(),
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

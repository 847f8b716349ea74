//! The cluster in numbers, as one page.

use std::{
    collections::BTreeMap,
    fmt::Display,
    io::{self, Write},
};

use ffrtmp_api::rest::Stats;

use super::Table;
use crate::output::{
    style::{self, Style},
    units::{clean, seconds_short},
};

/// The page: what is, then how it went since the master started.
pub fn show<W: Write>(table: &mut Table<W>, stats: &Stats) -> io::Result<()> {
    let colour = table.colour;
    let now = table.paint(Style::Strong, "Now");
    writeln!(table.out, "{now}")?;
    let jobs: Vec<String> = stats
        .jobs
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(state, count)| {
            format!(
                "{count} {}",
                style::of_job(*state).paint(state.as_str(), colour)
            )
        })
        .collect();
    table.field("jobs", or_none(jobs))?;
    let mut waiting = counts(&stats.waiting_by_queue);
    waiting.extend(
        stats
            .waiting_by_priority
            .iter()
            .filter(|(_, count)| **count > 0)
            .map(|(priority, count)| format!("{count} of {priority} priority")),
    );
    if let Some(oldest) = stats.oldest_waiting_seconds {
        waiting.push(format!("the oldest for {}", seconds_short(oldest)));
    }
    table.field("waiting", or_none(waiting))?;
    let nodes: Vec<String> = stats
        .nodes
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(status, count)| {
            format!(
                "{count} {}",
                style::of_node(*status).paint(status.as_str(), colour)
            )
        })
        .collect();
    table.field("workers", or_none(nodes))?;
    table.field(
        "slots",
        format!("{} of {} used", stats.slots_used, stats.slots),
    )?;
    table.field("policy", clean(&stats.policy))?;
    if stats.read_only {
        let warning = table.paint(Style::Bad, "refuses writes: its disk is full or broken");
        table.field("store", warning)?;
    }
    let since = format!(
        "Since the master started {} ago",
        seconds_short(stats.uptime_seconds)
    );
    let since = table.paint(Style::Strong, &since);
    writeln!(table.out, "{since}")?;
    let failed: u64 = stats.failed.values().sum();
    table.field(
        "jobs",
        format!(
            "{} submitted, {} completed, {failed} failed, {} canceled",
            stats.submitted, stats.completed, stats.canceled
        ),
    )?;
    if failed > 0 {
        table.field("failures", counts(&stats.failed).join(", "))?;
    }
    let mean = |seconds: Option<f64>| seconds.map_or("-".to_owned(), seconds_short);
    table.field("mean wait", mean(stats.wait_seconds_mean))?;
    table.field("mean run", mean(stats.run_seconds_mean))?;
    table.out.flush()
}

/// `3 live`, for those that are not zero.
fn counts<K: Display>(map: &BTreeMap<K, u64>) -> Vec<String> {
    map.iter()
        .filter(|(_, count)| **count > 0)
        .map(|(word, count)| format!("{count} {word}"))
        .collect()
}

fn or_none(parts: Vec<String>) -> String {
    if parts.is_empty() {
        "none".to_owned()
    } else {
        parts.join(", ")
    }
}

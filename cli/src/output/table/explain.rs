//! Why a job is where it is, in prose: the answer first, then who placed it, then the workers, then what happened.

use std::io::{self, Write};

use ffrtmp_api::rest::{Explanation, PlacementChoice};

use super::{Table, job::placement_line};
use crate::output::{
    columns::{Columns, cell, styled},
    style::{self, Style},
    units::{bytes, clean, moment},
};

/// The answer.
pub fn show<W: Write>(table: &mut Table<W>, explanation: &Explanation) -> io::Result<()> {
    let head = table.paint(Style::Strong, &format!("Job {}", explanation.id));
    let state = explanation.state;
    let state = table.paint(style::of_job(state), state.as_str());
    writeln!(table.out, "{head}  {state}")?;
    writeln!(table.out, "{}", clean(&explanation.summary))?;
    if let Some(waiting) = &explanation.waiting {
        // The summary often says it already, in the same words.
        if !explanation.summary.contains(&waiting.message) {
            table.field("waits", clean(&waiting.message))?;
        }
        if let Some(until) = waiting.until_ms {
            table.field("until", moment(until))?;
        }
    }
    if let Some(placement) = &explanation.placement {
        let node = explanation
            .history
            .iter()
            .rev()
            .find_map(|entry| entry.node.as_deref());
        table.field("placed by", placement_line(placement, node))?;
    }
    if let Some(choice) = &explanation.choice {
        show_choice(table, explanation, choice)?;
    }
    if !explanation.nodes.is_empty() {
        writeln!(table.out)?;
        let mut columns = Columns::new(&["WORKER", "COULD", "WHY"]);
        for verdict in &explanation.nodes {
            let (could, paint) = match verdict.fits {
                true => ("yes", Style::Good),
                false => ("no", Style::Warn),
            };
            columns.row(vec![
                styled(&verdict.node, Style::Strong),
                styled(could, paint),
                cell(&verdict.why),
            ]);
        }
        columns.write(&mut table.out, table.colour)?;
        if explanation.nodes_left_out > 0 {
            writeln!(table.out, "and {} more workers", explanation.nodes_left_out)?;
        }
    }
    if !explanation.history.is_empty() {
        writeln!(table.out)?;
        let mut columns = Columns::new(&["WHEN", ">ATTEMPT", "STATE", "WORKER", "WHAT HAPPENED"]);
        for entry in &explanation.history {
            columns.row(vec![
                cell(moment(entry.at_ms)),
                cell(match entry.attempt.0 {
                    0 => "-".to_owned(),
                    no => no.to_string(),
                }),
                styled(entry.to.as_str(), style::of_job(entry.to)),
                cell(entry.node.as_deref().unwrap_or("-")),
                cell(&entry.detail),
            ]);
        }
        columns.write(&mut table.out, table.colour)?;
    }
    table.out.flush()
}

/// What there was to choose from.
fn show_choice<W: Write>(
    table: &mut Table<W>,
    explanation: &Explanation,
    choice: &PlacementChoice,
) -> io::Result<()> {
    let workers = match choice.nodes_with_room {
        Some(1) => "the only worker with room".to_owned(),
        Some(n) => format!("{n} workers with room"),
        None => {
            "workers that were not looked at: too many kinds of jobs were placed at once".into()
        }
    };
    table.field(
        "chosen from",
        format!("{workers}, {}", moment(choice.at_ms)),
    )?;
    let others = choice.candidates.saturating_sub(1);
    if others > 0 {
        let named = choice.jobs.iter().filter(|job| **job != explanation.id);
        let named: Vec<String> = named.map(ToString::to_string).collect();
        let more = match others.saturating_sub(named.len()) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let noun = if others == 1 { "job" } else { "jobs" };
        let text = format!("{others} other {noun}: {}{more}", named.join(", "));
        table.field("beside", text)?;
    }
    if choice.nodes.is_empty() {
        return Ok(());
    }
    writeln!(table.out)?;
    let mut columns = Columns::new(&[
        "WORKER",
        "CHOSEN",
        ">FREE SLOTS",
        ">FREE CORES",
        ">FREE MEMORY",
    ]);
    for room in &choice.nodes {
        let (chosen, paint) = match room.chosen {
            true => ("yes", Style::Good),
            false => ("no", Style::Plain),
        };
        columns.row(vec![
            styled(&room.node, Style::Strong),
            styled(chosen, paint),
            cell(room.slots.to_string()),
            cell(format!("{:.1}", f64::from(room.cpu_millicores) / 1e3)),
            cell(bytes(u64::from(room.memory_mib) << 20)),
        ]);
    }
    columns.write(&mut table.out, table.colour)
}

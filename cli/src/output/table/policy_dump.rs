//! What a policy was last asked and answered: each candidate with what became of it.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use ffrtmp_api::rest::{DumpCandidate, DumpRound, PolicyDump, PolicyQuestion};

use super::Table;
use crate::output::{
    columns::{Columns, cell, styled},
    style::Style,
    units::{clean, moment, seconds_short},
};

/// The last question, then the one in which it failed.
pub fn show<W: Write>(table: &mut Table<W>, dump: &PolicyDump) -> io::Result<()> {
    let name = table.paint(Style::Strong, &dump.policy);
    let heads = [
        ("last answered", &dump.last),
        ("last failed in", &dump.last_fault),
    ];
    for (head, question) in heads {
        let Some(question) = question else { continue };
        writeln!(table.out, "{name} {}, {head}:", clean(&dump.digest))?;
        show_question(table, question)?;
        writeln!(table.out)?;
    }
    table.out.flush()
}

fn show_question<W: Write>(table: &mut Table<W>, question: &PolicyQuestion) -> io::Result<()> {
    let what = match &question.round {
        Some(round) => format!("of round {}", round.round),
        None => format!("to rank {} jobs", question.ranking.len()),
    };
    let at = moment(question.at_ms);
    table.field(
        "asked",
        format!("question {}, {what}, {at}", question.question),
    )?;
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for change in &question.changes {
        *kinds.entry(&change.change).or_default() += 1;
    }
    let kinds = kinds.into_iter();
    let mut told: Vec<String> = kinds
        .map(|(kind, n)| format!("{n} {}", clean(kind)))
        .collect();
    if question.changes_left_out > 0 {
        told.push(format!("{} more", question.changes_left_out));
    }
    if told.is_empty() {
        told.push("nothing new".to_owned());
    }
    let reset = match question.reset {
        true => "everything there is: ",
        false => "",
    };
    table.field("told before", format!("{reset}{}", told.join(", ")))?;
    table.field("guest time", format!("{} µs", question.guest_us))?;
    if let Some(fault) = &question.fault {
        let text = format!("in {}: {}", clean(&fault.stage), clean(&fault.message));
        table.field("failed", text)?;
        table.field("answer", "the built-in policy's, given in its place")?;
    }
    match &question.round {
        Some(round) => {
            writeln!(table.out)?;
            show_round(table, round)
        }
        None => Ok(()),
    }
}

/// What was answered of a job, what became of it, and why.
type Words = [String; 3];

fn words(round: &DumpRound) -> BTreeMap<u32, Vec<Words>> {
    let mut answers: BTreeMap<u32, Vec<Words>> = BTreeMap::new();
    for placement in &round.placements {
        let node = placement.node.clone();
        let node = node.unwrap_or_else(|| format!("worker {}", placement.worker));
        let gpu = placement.gpu.map(|gpu| format!(" GPU {gpu}"));
        let became = match &placement.refused {
            Some(refused) => format!("refused: {refused}"),
            None => "placed".to_owned(),
        };
        let why = format!("score {}: {}", placement.score, placement.reason);
        let to = format!("{node}{}", gpu.unwrap_or_default());
        answers
            .entry(placement.job)
            .or_default()
            .push([to, became, why]);
    }
    for hold in &round.holds {
        let until = format!("hold until {}", moment(hold.until_ms));
        let became = if hold.carried_out { "held" } else { "refused" };
        let words = [until, became.to_owned(), hold.reason.clone()];
        answers.entry(hold.job).or_default().push(words);
    }
    for job in &round.skips {
        let words = ["skip".into(), "passed over".into(), String::new()];
        answers.entry(*job).or_default().push(words);
    }
    answers
}

fn show_round<W: Write>(table: &mut Table<W>, round: &DumpRound) -> io::Result<()> {
    let mut columns = Columns::new(&[
        ">JOB", ">CLASS", ">GROUP", ">RANK", ">CORES", ">MIB", ">WAITED", "ANSWER", "BECAME", "WHY",
    ]);
    let mut answers = words(round);
    let mut rows: Vec<(u32, Option<&DumpCandidate>, Vec<Words>)> = Vec::new();
    for candidate in &round.candidates {
        let nothing = || vec![["-".into(), "waits".into(), String::new()]];
        let words = answers.remove(&candidate.job).unwrap_or_else(nothing);
        rows.push((candidate.job, Some(candidate), words));
    }
    // Jobs it was not asked about.
    rows.extend(answers.into_iter().map(|(job, words)| (job, None, words)));
    for (job, candidate, words) in rows {
        let facts = match candidate {
            Some(c) => [
                c.class.to_string(),
                c.group.to_string(),
                c.rank.to_string(),
                format!("{:.1}", f64::from(c.cost.cpu_millicores) / 1e3),
                c.cost.memory_mib.to_string(),
                seconds_short(c.waited_ms as f64 / 1e3),
            ],
            None => std::array::from_fn(|_| "-".to_owned()),
        };
        for [answer, became, why] in words {
            let style = match became.as_str() {
                "placed" => Style::Good,
                text if text.starts_with("refused") => Style::Bad,
                _ => Style::Plain,
            };
            let mut cells = vec![styled(job.to_string(), Style::Strong)];
            cells.extend(facts.iter().map(cell));
            cells.extend([cell(answer), styled(became, style), cell(why)]);
            columns.row(cells);
        }
    }
    columns.write(&mut table.out, table.colour)
}

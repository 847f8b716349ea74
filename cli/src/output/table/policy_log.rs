//! What happened to policies and what they said: a line for each, as it comes, so that nothing is lined up.

use std::io::{self, Write};

use ffrtmp_api::rest::{LogLevel, PolicyLog, PolicyLogEvent, PolicyLogLine};

use super::Table;
use crate::output::{
    style::Style,
    units::{clean, moment},
};

/// All lines, and how many made way.
pub fn all<W: Write>(table: &mut Table<W>, log: &PolicyLog) -> io::Result<()> {
    if log.dropped > 0 {
        let text = format!("({} earlier lines are not kept any more)", log.dropped);
        writeln!(table.out, "{}", Style::Faint.paint(&text, table.colour))?;
    }
    log.lines.iter().try_for_each(|one| line(table, one))?;
    table.out.flush()
}

/// One, at once.
pub fn event<W: Write>(table: &mut Table<W>, event: &PolicyLogEvent) -> io::Result<()> {
    match event {
        PolicyLogEvent::Line(one) => line(table, one)?,
        PolicyLogEvent::Gap => {
            let text = "(lines are missing here)";
            writeln!(table.out, "{}", Style::Faint.paint(text, table.colour))?;
        }
    }
    table.out.flush()
}

fn line<W: Write>(table: &mut Table<W>, line: &PolicyLogLine) -> io::Result<()> {
    let style = match line.level {
        LogLevel::Debug => Style::Faint,
        LogLevel::Info => Style::Good,
        LogLevel::Warn => Style::Warn,
        LogLevel::Error => Style::Bad,
    };
    let level = style.paint(&format!("{:<5}", line.level), table.colour);
    let who = match (line.policy.as_str(), line.digest.as_str()) {
        ("", _) => "-".to_owned(),
        (name, "") => name.to_owned(),
        (name, digest) => format!("{name}@{digest}"),
    };
    let what = match &line.event {
        Some(event) => format!(
            "{}: ",
            clean(event.strip_prefix("policy_").unwrap_or(event))
        ),
        None => String::new(),
    };
    let who = table.paint(Style::Strong, &who);
    let message = clean(&line.message);
    writeln!(
        table.out,
        "{}  {level}  {who}  {what}{message}",
        moment(line.at_ms)
    )
}

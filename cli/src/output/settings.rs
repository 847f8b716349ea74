//! Settings and what a check found of them, for people.

use std::io::{self, Write};

use super::{
    Finding, FindingList, Level, SettingList,
    columns::{Columns, cell, styled},
    style::Style,
    units::clean,
};

/// A row for each setting; what somebody set stands out.
pub fn settings(out: &mut impl Write, colour: bool, list: &SettingList) -> io::Result<()> {
    let mut columns = Columns::new(&["SETTING", "VALUE", "FROM"]);
    for setting in &list.settings {
        let source = setting.source.to_string();
        let style = match source.as_str() {
            "default" => Style::Faint,
            _ => Style::Strong,
        };
        columns.row(vec![
            cell(&setting.key),
            styled(setting.value.as_deref().unwrap_or("-"), style),
            cell(source),
        ]);
    }
    columns.write(out, colour)?;
    out.flush()
}

/// A line for each thing looked at, then the sum.
pub fn findings(out: &mut impl Write, colour: bool, list: &FindingList) -> io::Result<()> {
    for Finding {
        level,
        part,
        item,
        message,
    } in &list.findings
    {
        let (word, style) = match level {
            Level::Ok => ("ok", Style::Good),
            Level::Warning => ("warning", Style::Warn),
            Level::Error => ("error", Style::Bad),
        };
        let word = style.paint(&format!("{word:<7}"), colour);
        let mut lines = message.lines().map(clean);
        let first = lines.next().unwrap_or_default();
        writeln!(out, "{word}  {part} {item}: {first}")?;
        for line in lines {
            writeln!(out, "         {}", line.trim_start())?;
        }
    }
    let count = |level| list.findings.iter().filter(|f| f.level == level).count();
    writeln!(
        out,
        "{} errors, {} warnings",
        count(Level::Error),
        count(Level::Warning)
    )?;
    out.flush()
}

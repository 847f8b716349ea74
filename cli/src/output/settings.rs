//! Settings and what a check found of them: what is shown, and how people see it.

use std::io::{self, Write};

use serde::Serialize;

use super::{
    columns::{Columns, cell, styled},
    style::Style,
    units::clean,
};
use crate::settings::Source;

/// What `ffrtmp config show` prints.
#[derive(Debug, Serialize)]
pub struct SettingList {
    /// One for each setting.
    pub settings: Vec<SettingShown>,
}

/// One setting's value in force.
#[derive(Debug, Serialize)]
pub struct SettingShown {
    /// `client`, `master`, `worker` or `up`: its table in the file.
    pub part: String,
    /// Its key there.
    pub key: String,
    /// The value, as its flag takes it; `null` when there is none.
    pub value: Option<String>,
    /// Where it came from.
    #[serde(flatten)]
    pub source: Source,
    /// The flag that sets it.
    pub flag: Option<String>,
    /// The variables that set it, first wins.
    pub variables: Vec<String>,
    /// Whether SIGHUP takes a new value over.
    pub reloads: bool,
}

/// What `ffrtmp config check` prints.
#[derive(Debug, Serialize)]
pub struct FindingList {
    /// One for each thing looked at.
    pub findings: Vec<Finding>,
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It starts, but should worry somebody.
    Warning,
    /// It would not start.
    Error,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// How it is.
    pub level: Level,
    /// Which part of the product: `config`, `client`, `master`, `worker` or `up`.
    pub part: String,
    /// What was looked at: a setting's key, or another word.
    pub item: String,
    /// In words.
    pub message: String,
}

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

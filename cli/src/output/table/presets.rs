//! Presets: a list, and one as the file it could be.

use std::io::{self, Write};

use ffrtmp_api::rest::{PresetDetail, PresetList, PresetSource};

use super::Table;
use crate::output::{
    columns::{Columns, cell, styled},
    style::Style,
    units::clean,
};

/// A row for each; the operator's own stand out. Below, what cannot be used.
pub fn list<W: Write>(table: &mut Table<W>, list: &PresetList) -> io::Result<()> {
    let mut columns = Columns::new(&["PRESET", "FROM", "DESCRIPTION"]);
    for preset in &list.presets {
        let (from, style) = match preset.source {
            PresetSource::BuiltIn => ("built in", Style::Faint),
            PresetSource::File => ("file", Style::Strong),
        };
        columns.row(vec![
            cell(&preset.name),
            styled(from, style),
            cell(&preset.description),
        ]);
    }
    columns.write(&mut table.out, table.colour)?;
    for refused in &list.refused {
        let word = Style::Bad.paint("refused", table.colour);
        writeln!(
            table.out,
            "{word}  {}: {}",
            clean(&refused.file),
            clean(&refused.message)
        )?;
    }
    table.out.flush()
}

/// As TOML, with what else is known as comments.
pub fn show<W: Write>(table: &mut Table<W>, preset: &PresetDetail) -> io::Result<()> {
    let from = match preset.source {
        PresetSource::BuiltIn => "built in".to_owned(),
        PresetSource::File => format!("{}.toml in the master's folder", clean(&preset.name)),
    };
    writeln!(
        table.out,
        "# {}: {from}; for outputs {}",
        clean(&preset.name),
        clean(&preset.outputs.join(" "))
    )?;
    if let Some(why) = &preset.refused {
        writeln!(
            table.out,
            "# The file as it is now is refused: {}",
            clean(why)
        )?;
    }
    let mut file = toml::Table::new();
    file.insert("description".into(), preset.description.clone().into());
    for (name, value) in &preset.job {
        let value = toml::Value::try_from(value).map_err(io::Error::other)?;
        file.insert(name.clone(), value);
    }
    // A table ends the keys before it, so the description and what is no table go first.
    let (tables, values): (Vec<_>, Vec<_>) =
        file.into_iter().partition(|(_, value)| value.is_table());
    let (first, values): (Vec<_>, Vec<_>) = values
        .into_iter()
        .partition(|(name, _)| name == "description");
    for (name, value) in first.into_iter().chain(values) {
        writeln!(table.out, "{name} = {value}")?;
    }
    for (name, value) in tables {
        writeln!(table.out, "\n[{name}]")?;
        write!(
            table.out,
            "{}",
            toml::to_string(&value).map_err(io::Error::other)?
        )?;
    }
    table.out.flush()
}

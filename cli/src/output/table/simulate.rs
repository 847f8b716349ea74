//! Policies that were tried: side by side in a simulation, or one by one in a check.

use std::io::{self, Write};

use ffrtmp_host::{
    check::{Examination, Finding},
    simulate::{Comparison, page},
};

use super::super::{
    columns::{Columns, cell, styled},
    style::Style,
    units::clean,
};

/// One column for each policy.
pub fn comparison(out: &mut impl Write, colour: bool, comparison: &Comparison) -> io::Result<()> {
    writeln!(out, "{}\n", clean(&page::summary(comparison)))?;
    let mut headings = vec![String::new()];
    headings.extend(
        page::titles(comparison)
            .iter()
            .map(|title| format!(">{}", clean(title))),
    );
    let mut columns = Columns::new(&headings);
    for line in page::lines(comparison) {
        let mut cells = vec![cell(line.what)];
        cells.extend(line.values.iter().map(cell));
        columns.row(cells);
    }
    columns.write(out, colour)?;
    for remark in page::remarks(comparison) {
        writeln!(out, "\n{}", Style::Warn.paint(&clean(&remark), colour))?;
    }
    Ok(())
}

/// A line for each thing looked at, and the verdict.
pub fn examination(out: &mut impl Write, colour: bool, found: &Examination) -> io::Result<()> {
    let mut columns = Columns::new(&["", "item", "found"]);
    for verdict in &found.verdicts {
        let style = match verdict.finding {
            Finding::Pass => Style::Good,
            Finding::Warn => Style::Warn,
            Finding::Fail => Style::Bad,
            Finding::Skipped => Style::Faint,
        };
        columns.row(vec![
            styled(verdict.finding.as_str(), style),
            cell(verdict.item.as_str()),
            cell(&verdict.message),
        ]);
    }
    columns.write(out, colour)?;
    let (failed, warned) = (found.failed().count(), found.count(Finding::Warn));
    let name = clean(&found.name);
    writeln!(
        out,
        "\n{}",
        match (failed, warned) {
            (0, 0) => Style::Good.paint(&format!("{name} passes"), colour),
            (0, n) => Style::Warn.paint(&format!("{name} passes with {n} to look at"), colour),
            (1, _) => Style::Bad.paint(&format!("{name} fails: 1 item"), colour),
            (n, _) => Style::Bad.paint(&format!("{name} fails: {n} items"), colour),
        }
    )
}

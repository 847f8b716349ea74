//! Aligned columns of text.
//!
//! Thirty lines of our own rather than a crate: no borders, no wrapping, nothing to configure. Widths are counted in
//! characters; colour is added after padding, so that it never moves a column.

use std::io::{self, Write};

use super::{style::Style, units::clean};

/// One cell.
pub struct Cell {
    text: String,
    style: Style,
}

/// A plain cell. Control characters are made visible, so that a name cannot drive the terminal.
pub fn cell(text: impl AsRef<str>) -> Cell {
    styled(text, Style::Plain)
}

/// A cell with a style.
pub fn styled(text: impl AsRef<str>, style: Style) -> Cell {
    Cell {
        text: clean(text.as_ref()),
        style,
    }
}

/// Rows under headings.
pub struct Columns {
    headings: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

impl Columns {
    /// No rows yet. A heading that begins with `>` makes a column of numbers, aligned right.
    pub fn new(headings: &[impl AsRef<str>]) -> Columns {
        Columns {
            headings: headings.iter().map(|h| h.as_ref().to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row: one cell for each heading.
    pub fn row(&mut self, cells: Vec<Cell>) {
        debug_assert_eq!(cells.len(), self.headings.len());
        self.rows.push(cells);
    }

    /// Writes headings and rows. The last column is not padded, so lines have no trailing blanks.
    pub fn write(&self, out: &mut impl Write, colour: bool) -> io::Result<()> {
        let right: Vec<bool> = self
            .headings
            .iter()
            .map(|heading| heading.starts_with('>'))
            .collect();
        let headings: Vec<Cell> = self
            .headings
            .iter()
            .map(|heading| styled(heading.trim_start_matches('>'), Style::Faint))
            .collect();
        let lines: Vec<&Vec<Cell>> = std::iter::once(&headings).chain(&self.rows).collect();
        let widths: Vec<usize> = (0..self.headings.len())
            .map(|i| {
                lines
                    .iter()
                    .map(|line| line[i].text.chars().count())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        for line in lines {
            let mut text = String::new();
            for (i, cell) in line.iter().enumerate() {
                let pad = " ".repeat(widths[i] - cell.text.chars().count());
                let painted = cell.style.paint(&cell.text, colour);
                if right[i] {
                    text.push_str(&pad);
                    text.push_str(&painted);
                } else {
                    text.push_str(&painted);
                    text.push_str(&pad);
                }
                text.push_str("  ");
            }
            writeln!(out, "{}", text.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_numbers_stand_right() {
        let mut columns = Columns::new(&[">ID", "NAME", "NOTE"]);
        columns.row(vec![cell("7"), cell("a"), cell("")]);
        columns.row(vec![cell("1234"), cell("long\u{1b}name"), cell("x")]);
        let mut out = Vec::new();
        columns.write(&mut out, false).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "  ID  NAME       NOTE\n   7  a\n1234  long\u{fffd}name  x\n"
        );
    }
}

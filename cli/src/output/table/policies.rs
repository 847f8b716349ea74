//! Policies, in a list.

use std::io::{self, Write};

use ffrtmp_api::rest::PolicyList;

use super::Table;
use crate::output::{
    columns::{Columns, cell, styled},
    style::{self, Style},
    units::{age, clean},
};

/// One line for each, and the rule by which the active one is chosen.
pub fn list<W: Write>(table: &mut Table<W>, list: &PolicyList) -> io::Result<()> {
    let mut columns = Columns::new(&[
        "NAME",
        "VERSION",
        "DIGEST",
        "LANGUAGE",
        "STATE",
        ">SINCE",
        ">ROUNDS",
        ">PLACED",
        ">FAULTS",
        ">P50",
        ">P99",
        "LAST ERROR",
    ]);
    for policy in &list.policies {
        columns.row(vec![
            styled(&policy.name, Style::Strong),
            cell(&policy.version),
            cell(&policy.digest),
            cell(policy.language.as_deref().unwrap_or("-")),
            styled(&policy.state, style::of_policy(&policy.state)),
            cell(age(policy.since_ms, table.now_ms)),
            cell(policy.rounds.to_string()),
            cell(policy.placements.to_string()),
            cell(policy.faults.to_string()),
            cell(format!("{} µs", policy.guest_p50_us)),
            cell(format!("{} µs", policy.guest_p99_us)),
            cell(policy.last_error.as_deref().unwrap_or("-")),
        ]);
    }
    columns.write(&mut table.out, table.colour)?;
    writeln!(table.out, "\n{}", clean(&list.rule))
}

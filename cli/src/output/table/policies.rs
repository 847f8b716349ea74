//! Policies, in a list and one by one.

use std::io::{self, Write};

use ffrtmp_api::rest::{PolicyDetail, PolicyList, PolicyShadow, PolicyStatus};

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
    if let Some(shadow) = &list.shadow {
        show_shadow(table, shadow)?;
    }
    writeln!(table.out, "\n{}", clean(&list.rule))?;
    match (&list.pinned, list.mode.as_str()) {
        (Some(pinned), _) => {
            let is_pinned = |p: &&PolicyStatus| *pinned == format!("{}@{}", p.name, p.digest);
            let failed =
                (list.policies.iter().find(is_pinned)).is_some_and(|p| p.state == "faulted");
            let but = match failed {
                true => {
                    ", but failed too often and does not rule; `ffrtmp policies activate` gives it another chance"
                }
                false => "",
            };
            writeln!(
                table.out,
                "Now: {} is pinned{but}; `ffrtmp policies unpin` lets files choose again.",
                clean(pinned)
            )
        }
        (None, "manual") => writeln!(table.out, "Now: mode manual, only commands choose."),
        (None, _) => Ok(()),
    }
}

/// How a candidate compares with the policy that rules.
fn show_shadow<W: Write>(table: &mut Table<W>, shadow: &PolicyShadow) -> io::Result<()> {
    let name = table.paint(Style::Strong, &shadow.policy);
    let since = age(shadow.since_ms, table.now_ms);
    let digest = clean(&shadow.digest);
    writeln!(table.out, "\nIn the shadow: {name} {digest}, for {since}")?;
    let rounds = format!(
        "{} answered, {} left out while it was busy, {} failed",
        shadow.rounds, shadow.rounds_dropped, shadow.faults
    );
    table.field("questions", rounds)?;
    let agreement = match shadow.agreement {
        Some(share) => format!("{:.1} % of jobs placed on the same worker", share * 100.0),
        None => "nothing was placed yet".to_owned(),
    };
    table.field("agreement", agreement)?;
    let jobs = format!(
        "{} on the same worker, {} on another, {} would have waited ({} held on purpose), {} that waited would have been placed",
        shadow.same_node,
        shadow.other_node,
        shadow.would_wait,
        shadow.would_hold,
        shadow.would_place
    );
    table.field("jobs", jobs)?;
    if shadow.refused > 0 {
        table.field(
            "refused",
            format!("{} placements could not be", shadow.refused),
        )?;
    }
    let (p50, p99) = (shadow.guest_p50_us, shadow.guest_p99_us);
    table.field("guest time", format!("p50 {p50} µs, p99 {p99} µs"))?;
    if let Some(error) = &shadow.last_error {
        let over = if shadow.over {
            "; it is asked no more"
        } else {
            ""
        };
        table.field("last error", format!("{}{over}", clean(error)))?;
    }
    Ok(())
}

/// What is known of one, then its limits.
pub fn describe<W: Write>(table: &mut Table<W>, policy: &PolicyDetail) -> io::Result<()> {
    for status in &policy.policies {
        let name = table.paint(Style::Strong, &status.name);
        let state = table.paint(style::of_policy(&status.state), &status.state);
        writeln!(table.out, "{name} {} {state}", clean(&status.version))?;
        table.field("digest", clean(&status.digest))?;
        table.field("language", clean(status.language.as_deref().unwrap_or("-")))?;
        table.field("since", age(status.since_ms, table.now_ms))?;
        let rounds = format!(
            "{} decided, {} jobs placed, {} failed",
            status.rounds, status.placements, status.faults
        );
        table.field("rounds", rounds)?;
        let (p50, p99) = (status.guest_p50_us, status.guest_p99_us);
        table.field("guest time", format!("p50 {p50} µs, p99 {p99} µs"))?;
        if let Some(error) = &status.last_error {
            table.field("last error", clean(error))?;
        }
        writeln!(table.out)?;
    }
    if let Some(config) = &policy.config {
        writeln!(table.out, "configuration: {}\n", clean(&config.to_string()))?;
    }
    let mut columns = Columns::new(&["LIMIT", ">VALUE", ">DEFAULT", "FROM", "WHY"]);
    for limit in &policy.limits {
        columns.row(vec![
            cell(&limit.name),
            cell(limit.value.to_string()),
            cell(limit.default.to_string()),
            cell(limit.set_by.as_deref().unwrap_or("default")),
            cell(&limit.reason),
        ]);
    }
    columns.write(&mut table.out, table.colour)
}

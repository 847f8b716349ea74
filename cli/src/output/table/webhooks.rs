//! Webhooks, for people.

use std::io::{self, Write};

use ffrtmp_api::rest::{DeliveryList, WebhookState, WebhookTested};

use super::Table;
use crate::output::{
    columns::{Columns, cell, styled},
    style::Style,
    units::{age, clean},
};

/// What was not delivered.
pub fn list<W: Write>(table: &mut Table<W>, list: &DeliveryList) -> io::Result<()> {
    let mut columns = Columns::new(&[
        ">JOB", "STATE", ">AGE", "RECEIVER", ">TRIES", "NEXT", "TROUBLE",
    ]);
    for delivery in &list.deliveries {
        let next = match delivery.next_at_ms {
            Some(at) if at <= table.now_ms => cell("now"),
            Some(at) => cell(format!("in {}", age(table.now_ms, at))),
            None => styled("given up", Style::Bad),
        };
        columns.row(vec![
            cell(delivery.job.to_string()),
            cell(delivery.state.as_str()),
            cell(age(delivery.at_ms, table.now_ms)),
            cell(clean(&delivery.origin)),
            cell(delivery.tries.to_string()),
            next,
            cell(clean(delivery.trouble.as_deref().unwrap_or("-"))),
        ]);
    }
    if !list.deliveries.is_empty() {
        columns.write(&mut table.out, table.colour)?;
    }
    writeln!(
        table.out,
        "{} waiting, {} given up",
        list.waiting, list.given_up
    )
}

/// What came of a test.
pub fn tested<W: Write>(table: &mut Table<W>, tested: &WebhookTested) -> io::Result<()> {
    let status = match tested.status {
        Some(status) => format!("the receiver answered {status} after {} ms", tested.took_ms),
        None => format!("no answer after {} ms", tested.took_ms),
    };
    match &tested.trouble {
        None => writeln!(table.out, "delivered: {status}"),
        Some(trouble) => {
            let said = table.paint(Style::Bad, "not delivered");
            writeln!(table.out, "{said}: {}", clean(trouble))
        }
    }
}

/// How a job's webhook stands.
pub fn webhooks_line(state: &WebhookState) -> String {
    if state.waiting == 0 && state.given_up == 0 {
        return "everything so far is delivered".to_owned();
    }
    let trouble = state.trouble.as_deref();
    let trouble = trouble.map_or(String::new(), |trouble| format!(": {trouble}"));
    match state.given_up {
        0 => format!("{} to be delivered{trouble}", state.waiting),
        given_up => format!(
            "{given_up} given up, {} to be delivered{trouble}",
            state.waiting
        ),
    }
}

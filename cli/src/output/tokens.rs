//! Tokens, for people. A secret is alone on standard output; what is said about it goes to stderr.

use std::io::{self, Write};

use ffrtmp_api::rest::{CreatedToken, TokenList};

use super::{
    columns::{Columns, cell, styled},
    style::Style,
    units::{age, clean, moment},
};

/// The table of them.
pub fn list(out: &mut impl Write, colour: bool, now_ms: i64, list: &TokenList) -> io::Result<()> {
    let mut columns = Columns::new(&[
        "ID",
        "NAME",
        "ROLE",
        "TENANT",
        ">AGE",
        "EXPIRES",
        ">USES LEFT",
    ]);
    for token in &list.tokens {
        let expires = match token.expires_at_ms {
            Some(at) if at <= now_ms => "expired".to_owned(),
            Some(at) => moment(at),
            None => "never".to_owned(),
        };
        columns.row(vec![
            cell(token.id.to_string()),
            styled(&token.name, Style::Strong),
            cell(token.role.as_str()),
            cell(token.tenant.as_deref().unwrap_or("-")),
            cell(age(token.created_at_ms, now_ms)),
            cell(expires),
            cell(
                token
                    .uses_left
                    .map_or("-".to_owned(), |left| left.to_string()),
            ),
        ]);
    }
    columns.write(out, colour)
}

/// One that was made.
pub fn made(out: &mut impl Write, made: &CreatedToken) -> io::Result<()> {
    let token = &made.token;
    let expires = token
        .expires_at_ms
        .map_or(String::new(), |at| format!(", until {}", moment(at)));
    eprintln!(
        "ffrtmp: made token {} ({}, role {}{expires}). This is its secret, shown only now:",
        token.id,
        clean(&token.name),
        token.role
    );
    writeln!(out, "{}", made.secret)
}

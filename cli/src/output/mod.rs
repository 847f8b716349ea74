//! How answers look: a table for people, or JSON for programs. Commands hand over values; only this room prints them.
//!
//! The JSON is exactly the API's (`ffrtmp-api`'s `rest` types), so that it is as stable as the API and documented once.

mod columns;
mod describe;
mod json;
mod style;
mod table;
mod tokens;
mod units;

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use ffrtmp_api::rest::{
    CreatedToken, Job, JobList, NodeList, PolicyList, Submitted, TokenList, Version,
};
use serde::Serialize;

pub use describe::{settings_line, source_line};
pub use style::colour_wanted;
pub use units::{clean, seconds_short};

/// How an answer is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned text for people
    #[default]
    Table,
    /// One JSON document
    Json,
    /// One JSON object a line
    Jsonl,
}

/// What `ffrtmp version` prints.
#[derive(Debug, Serialize)]
pub struct Versions {
    /// This tool's.
    pub client: String,
    /// The master's, if it answered.
    pub master: Option<Version>,
}

/// A face of the answers. One method for each thing that can be shown.
pub trait Output {
    /// A job was accepted.
    fn submitted(&mut self, submitted: &Submitted, summary: &str) -> io::Result<()>;
    /// One job, all of it.
    fn job(&mut self, job: &Job) -> io::Result<()>;
    /// A job at the end of a wait: short for people, whole for programs.
    fn ended(&mut self, job: &Job) -> io::Result<()>;
    /// A page of jobs.
    fn jobs(&mut self, list: &JobList) -> io::Result<()>;
    /// What was done to some jobs, each with the words for it, as in `is being canceled`.
    fn changed(&mut self, jobs: &[(&str, Job)]) -> io::Result<()>;
    /// Workers.
    fn nodes(&mut self, list: &NodeList) -> io::Result<()>;
    /// Policies.
    fn policies(&mut self, list: &PolicyList) -> io::Result<()>;
    /// Tokens.
    fn tokens(&mut self, list: &TokenList) -> io::Result<()>;
    /// A token that was made, with its secret.
    fn token(&mut self, made: &CreatedToken) -> io::Result<()>;
    /// Versions.
    fn versions(&mut self, versions: &Versions) -> io::Result<()>;
}

/// The face for `format`, on standard output.
pub fn to_stdout(format: Format) -> Box<dyn Output> {
    let stdout = io::stdout();
    let colour = colour_wanted(stdout.is_terminal());
    to(format, stdout, colour)
}

fn to<W: Write + 'static>(format: Format, writer: W, colour: bool) -> Box<dyn Output> {
    match format {
        Format::Table => Box::new(table::Table::new(writer, colour, now_ms())),
        Format::Json => Box::new(json::Json::new(writer, false)),
        Format::Jsonl => Box::new(json::Json::new(writer, true)),
    }
}

/// Milliseconds since 1970, by this machine's clock; for ages shown to people.
fn now_ms() -> i64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

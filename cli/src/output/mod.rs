//! How answers look: a table for people, or JSON for programs. Commands hand over values; only this room prints them.
//!
//! The JSON is exactly the API's (`ffrtmp-api`'s `rest` types), so that it is as stable as the API and documented once.

mod columns;
mod describe;
mod json;
mod settings;
mod style;
mod table;
mod units;

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use ffrtmp_api::rest::{Job, JobList, NodeList, PolicyList, Submitted, Version};
use serde::Serialize;

use crate::settings::Source;

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
    /// Versions.
    fn versions(&mut self, versions: &Versions) -> io::Result<()>;
    /// Settings in force.
    fn settings(&mut self, list: &SettingList) -> io::Result<()>;
    /// What a check found.
    fn findings(&mut self, list: &FindingList) -> io::Result<()>;
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

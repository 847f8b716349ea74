//! How answers look: a table for people, JSON for programs, or ids alone. Commands hand over values; only this room
//! prints them.
//!
//! The JSON is exactly the API's (`ffrtmp-api`'s `rest` types), so that it is as stable as the API and documented once.

mod columns;
mod describe;
mod json;
mod origin;
mod quiet;
mod settings;
mod style;
mod table;
mod tokens;
mod units;

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use ffrtmp_api::{
    clock::wall_ms,
    encoder::Encoder,
    job::{CPU_MILLICORES_DEFAULT, JobSpec, MEMORY_MIB_DEFAULT},
    rest::{
        CreatedToken, DeliveryList, Explanation, Job, JobList, Node, NodeList, PolicyDetail,
        PolicyDump, PolicyList, PolicyLog, PolicyLogEvent, PresetDetail, PresetList, Stats,
        SubmitItem, Submitted, TokenList, Version, WebhookTested,
    },
    settings::Settings,
};
use ffrtmp_host::{check::Examination, simulate::Comparison};
use ffrtmp_worker::plan::commands;
use serde::Serialize;

pub use describe::{settings_line, source_line};
pub use origin::Origins;
pub use settings::{Finding, FindingList, Level, SettingList, SettingShown};
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

/// What `ffrtmp backup` prints.
#[derive(Debug, Serialize)]
pub struct BackupMade {
    /// Where it is.
    pub folder: std::path::PathBuf,
    /// Of which data directory.
    pub data_dir: std::path::PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Jobs in it.
    pub jobs: u64,
    /// Those that have not ended.
    pub unfinished: u64,
    /// Those of them that read an upload, which is not in it.
    pub unfinished_with_uploads: u64,
}

/// What `ffrtmp ready` prints.
#[derive(Debug, Serialize)]
pub struct ReadySaid {
    /// Who was asked.
    pub url: String,
    /// That it is.
    pub ready: bool,
}

/// What `ffrtmp jobs submit --dry-run` prints: a job that was not submitted.
#[derive(Debug, Serialize)]
pub struct Plan {
    /// What would be submitted.
    pub job: JobSpec,
    /// What it would be encoded with: every default filled in.
    pub settings: Settings,
    /// Who said what each field of the job is.
    pub origins: Origins,
    /// What a worker must have to be given it.
    pub needs: Needs,
    /// What the worker would run, one command line for each pass.
    pub commands: Vec<Vec<String>>,
}

/// The class of worker a job needs.
#[derive(Debug, Serialize)]
pub struct Needs {
    /// Proven by a trial encode; none where no pictures are encoded.
    pub encoder: Option<Encoder>,
    /// Whether it takes a GPU.
    pub gpu: bool,
    /// Labels it carries.
    pub labels: std::collections::BTreeMap<String, String>,
    /// CPU it has, thousandths of a core.
    pub cpu_millicores: u32,
    /// Memory it has, MiB.
    pub memory_mib: u32,
}

impl Plan {
    /// Of a job, who said what of it, and what it resolves to.
    pub fn new(job: JobSpec, origins: Origins, settings: Settings) -> Plan {
        let needs = Needs {
            encoder: settings.encoders_needed().iter().next(),
            gpu: settings.needs_gpu(),
            labels: job.required_labels().into_owned(),
            cpu_millicores: job.cpu_millicores.unwrap_or(CPU_MILLICORES_DEFAULT),
            memory_mib: job.memory_mib.unwrap_or(MEMORY_MIB_DEFAULT),
        };
        Plan {
            commands: commands(&settings),
            job,
            settings,
            origins,
            needs,
        }
    }
}

/// What became of many jobs that were submitted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Accepted, duplicates included.
    pub accepted: u64,
    /// Of those accepted: made by an earlier submit with the same key.
    pub duplicates: u64,
    /// Refused.
    pub refused: u64,
}

/// A face of the answers. One method for each thing that can be shown.
pub trait Output {
    /// A job was accepted.
    fn submitted(&mut self, submitted: &Submitted, summary: &str) -> io::Result<()>;
    /// What became of one of many; `place` is where it was found (`line 7`). Refusals were said on stderr already.
    fn item(&mut self, place: Option<&str>, item: &SubmitItem) -> io::Result<()>;
    /// What became of all; comes once, behind the last item. `summary` describes the first, where all are alike.
    fn items_end(&mut self, tally: &Tally, summary: Option<&str>) -> io::Result<()>;
    /// A job that was not submitted.
    fn plan(&mut self, plan: &Plan) -> io::Result<()>;
    /// One job, all of it.
    fn job(&mut self, job: &Job) -> io::Result<()>;
    /// A job at the end of a wait: short for people, whole for programs.
    fn ended(&mut self, job: &Job) -> io::Result<()>;
    /// A page of jobs.
    fn jobs(&mut self, list: &JobList) -> io::Result<()>;
    /// A job of a list that is watched, changed since it was last shown.
    fn row(&mut self, job: &Job) -> io::Result<()>;
    /// What was done to some jobs, each with the words for it, as in `is being canceled`.
    fn changed(&mut self, jobs: &[(&str, Job)]) -> io::Result<()>;
    /// Why a job is where it is.
    fn explanation(&mut self, explanation: &Explanation) -> io::Result<()>;
    /// The cluster in numbers.
    fn stats(&mut self, stats: &Stats) -> io::Result<()>;
    /// Workers.
    fn nodes(&mut self, list: &NodeList) -> io::Result<()>;
    /// Workers, all of each.
    fn nodes_whole(&mut self, nodes: &[Node]) -> io::Result<()>;
    /// What was done to some workers, each with the words for it, as in `takes nothing new`.
    fn nodes_changed(&mut self, nodes: &[(&str, Node)]) -> io::Result<()>;
    /// Policies.
    fn policies(&mut self, list: &PolicyList) -> io::Result<()>;
    /// Presets.
    fn presets(&mut self, list: &PresetList) -> io::Result<()>;
    /// One preset, all of it.
    fn preset(&mut self, preset: &PresetDetail) -> io::Result<()>;
    /// Tokens.
    fn tokens(&mut self, list: &TokenList) -> io::Result<()>;
    /// A token that was made, with its secret.
    fn token(&mut self, made: &CreatedToken) -> io::Result<()>;
    /// What was not delivered to webhooks.
    fn deliveries(&mut self, list: &DeliveryList) -> io::Result<()>;
    /// What came of a test of a webhook.
    fn webhook_tested(&mut self, tested: &WebhookTested) -> io::Result<()>;
    /// One policy, all of it.
    fn policy(&mut self, policy: &PolicyDetail) -> io::Result<()>;
    /// What a policy was last asked and answered.
    fn policy_dump(&mut self, dump: &PolicyDump) -> io::Result<()>;
    /// What happened to policies and what they said.
    fn policy_log(&mut self, log: &PolicyLog) -> io::Result<()>;
    /// The same, bit by bit.
    fn policy_log_event(&mut self, event: &PolicyLogEvent) -> io::Result<()>;
    /// Versions.
    fn versions(&mut self, versions: &Versions) -> io::Result<()>;
    /// Settings in force.
    fn settings(&mut self, list: &SettingList) -> io::Result<()>;
    /// What a check found.
    fn findings(&mut self, list: &FindingList) -> io::Result<()>;
    /// Policies side by side, as they did in a simulation.
    fn comparison(&mut self, comparison: &Comparison) -> io::Result<()>;
    /// What was found of a policy that was tried.
    fn examination(&mut self, examination: &Examination) -> io::Result<()>;
    /// A copy of a master's data.
    fn backup(&mut self, made: &BackupMade) -> io::Result<()>;
    /// Somebody is ready.
    fn ready(&mut self, said: &ReadySaid) -> io::Result<()>;
    /// A sentence for people that no program needs.
    fn remark(&mut self, text: &str) -> io::Result<()>;
    /// From now on names and notes in lists are not shortened.
    fn widen(&mut self) {}
    /// From now on lists have at most so many lines, of which those that do not fit are counted.
    fn fit(&mut self, _lines: usize) {}
}

/// The face for `format`, on standard output. `quiet` leaves only ids of what would be a table.
pub fn to_stdout(format: Format, quiet: bool) -> Box<dyn Output> {
    let stdout = io::stdout();
    if quiet && format == Format::Table {
        return Box::new(quiet::Quiet::new(stdout));
    }
    let colour = colour_wanted(stdout.is_terminal());
    to(format, stdout, colour)
}

fn to<W: Write + 'static>(format: Format, writer: W, colour: bool) -> Box<dyn Output> {
    match format {
        Format::Table => Box::new(table::Table::new(writer, colour, wall_ms())),
        Format::Json => Box::new(json::Json::new(writer, false)),
        Format::Jsonl => Box::new(json::Json::new(writer, true)),
    }
}

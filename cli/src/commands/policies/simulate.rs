//! `ffrtmp policies simulate`: policies side by side on the same jobs and workers, in virtual time, without a master.

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};

use clap::Args;
use ffrtmp_host::{
    policy::engine::PolicyEngine,
    simulate::{
        ClusterModel, Comparison, Options, Ruler, Workload, cluster, page, ruler, run, workload,
    },
};

use super::local::{Guest, read_bytes};
use crate::{
    args::{GlobalArgs, OutputArg},
    commands::face,
    exit::{Failure, Result},
};

/// Most jobs of a preset: what a machine of 8 GiB holds.
const JOBS_MAX: u64 = 20_000_000;

/// What to simulate.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ffrtmp policies simulate native fifo
  ffrtmp policies simulate policies/balanced.wasm native --workload mixed --cluster farm
  ffrtmp policies simulate mine.wasm native --workload day.jsonl --cluster my.toml
  ffrtmp policies simulate mine.wasm fifo --workload tenants --html report.html

Workloads: steady, burst, mixed, tenants, deadlines, night, or a file (see `ffrtmp jobs trace`).
Clusters: small (4 workers), farm (100), large (1,000), or a file. docs/SIMULATION.md has the formats.
The same policies, workload, cluster and seed give the same JSON, byte for byte.")]
pub struct SimulateArgs {
    /// A policy: a .wasm file, `native` (the built-in one), or `fifo` (first come, first served)
    #[arg(value_name = "POLICY", required = true)]
    policies: Vec<PathBuf>,
    /// The jobs: a preset, or a file of JSON lines
    #[arg(long, value_name = "PRESET|FILE", default_value = "mixed")]
    workload: PathBuf,
    /// The workers: a preset, or a TOML file
    #[arg(long, value_name = "PRESET|FILE", default_value = "small")]
    cluster: PathBuf,
    /// What a preset's jobs are made from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How many jobs a preset makes
    #[arg(long, value_name = "N", default_value_t = workload::JOBS_DEFAULT as u64, value_parser = clap::value_parser!(u64).range(1..=JOBS_MAX))]
    jobs: u64,
    /// The label whose value is a job's group, for waits by group and fairness
    #[arg(long, value_name = "LABEL", default_value = "tenant")]
    group_by: String,
    /// A policy's settings: NAME.toml for NAME.wasm, where it does not lie beside it; may be repeated
    #[arg(long = "policy-config", value_name = "FILE")]
    policy_configs: Vec<PathBuf>,
    /// Write the figures and plots as one HTML page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// How the answer looks.
    #[command(flatten)]
    output: OutputArg,
}

/// Simulates and prints.
pub fn run_command(args: &SimulateArgs, global: &GlobalArgs) -> Result {
    let cluster = cluster_of(&args.cluster)?;
    let (workload, seed) = workload_of(args, &cluster)?;
    let options = Options {
        group_by: args.group_by.clone(),
    };
    // Everything is read and checked before anything takes long.
    let mut rulers = Vec::new();
    let mut engine = None;
    for policy in &args.policies {
        rulers.push(ruler_of(policy, &args.policy_configs, &mut engine)?);
    }
    let reports = rulers
        .into_iter()
        .map(|ruler| run(&workload, &cluster, ruler, &options))
        .collect();
    let comparison = Comparison::new(&workload, seed, &cluster, &args.group_by, reports);
    if let Some(file) = &args.html {
        std::fs::write(file, page::html(&comparison)).map_err(|error| {
            Failure::failed(format!(
                "--html: {} cannot be written: {error}",
                file.display()
            ))
        })?;
    }
    Ok(face(args.output.output, global).comparison(&comparison)?)
}

fn cluster_of(given: &Path) -> Result<ClusterModel> {
    if let Some(preset) = given.to_str().and_then(ClusterModel::preset) {
        return Ok(preset);
    }
    let presets = cluster::PRESETS.map(|(name, _)| name).join(", ");
    let bytes = read_bytes("--cluster", given, &format!("no preset ({presets})"))?;
    let name = given.display().to_string();
    let text = String::from_utf8(bytes)
        .map_err(|_| Failure::failed(format!("--cluster: {name} is not UTF-8 text")))?;
    ClusterModel::parse(&name, &text).map_err(|bad| Failure::failed(format!("--cluster: {bad}")))
}

/// The jobs, and the seed if it made any difference.
fn workload_of(args: &SimulateArgs, cluster: &ClusterModel) -> Result<(Workload, Option<u64>)> {
    let given = &args.workload;
    let preset = given
        .to_str()
        .and_then(|name| Workload::preset(name, args.jobs as usize, args.seed, cluster));
    if let Some(preset) = preset {
        return Ok((preset, Some(args.seed)));
    }
    let presets = workload::PRESETS.map(|(name, _)| name).join(", ");
    let name = given.display().to_string();
    let file = File::open(given).map_err(|error| {
        Failure::failed(format!(
            "--workload: {name} is no preset ({presets}), and as a file it cannot be read: {error}"
        ))
    })?;
    let workload = Workload::read(&name, BufReader::new(file))
        .map_err(|bad| Failure::failed(format!("--workload: {bad}")))?;
    Ok((workload, None))
}

fn ruler_of(given: &Path, configs: &[PathBuf], engine: &mut Option<PolicyEngine>) -> Result<Ruler> {
    if let Some(named) = given.to_str().and_then(Ruler::named) {
        return Ok(named);
    }
    let names = ruler::BY_NAME.map(|(name, _)| name).join(", ");
    let guest = Guest::read(given, configs, &format!("none of {names}"))?;
    let engine = match engine {
        Some(engine) => engine,
        None => engine.insert(super::local::engine()?),
    };
    Ruler::wasm(engine, &guest.name, &guest.bytes, guest.settings)
        .map_err(|refusal| Failure::failed(format!("{} {refusal}", given.display())))
}

//! Small simulations, written as the problems they are.

#![allow(dead_code)] // each test binary uses a part of it

use std::path::PathBuf;

use ffrtmp_host::{
    policy::{Limits, Settings, engine::PolicyEngine},
    simulate::{ClusterModel, Options, PolicyReport, Ruler, Workload, run},
};

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(path)
}

/// A guest of the repository, with its configuration as JSON.
pub fn wasm(path: &str, config: &str) -> Ruler {
    let mut settings = Settings::without_a_file(&Limits::default());
    settings.config = config.to_owned();
    wasm_with(path, settings)
}

/// A guest of the repository, with the settings file that lies beside it.
pub fn wasm_as_shipped(path: &str) -> Ruler {
    let file = repository(path).with_extension("toml");
    let text = std::fs::read_to_string(&file).unwrap();
    wasm_with(path, Settings::parse(&text, &Limits::default()).unwrap())
}

fn wasm_with(path: &str, settings: Settings) -> Ruler {
    let file = repository(path);
    let bytes = std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
    let engine = PolicyEngine::new().unwrap();
    Ruler::wasm(&engine, &name, &bytes, settings).unwrap()
}

/// A cluster from TOML.
pub fn cluster_of(text: &str) -> ClusterModel {
    ClusterModel::parse("cluster.toml", text).unwrap()
}

/// A line of a workload: when, how long, and further fields.
pub fn one(at_ms: i64, runs_ms: u64, fields: &str) -> String {
    let comma = if fields.is_empty() { "" } else { ", " };
    format!("{{\"at_ms\": {at_ms}, \"runs_ms\": {runs_ms}{comma}{fields}}}")
}

/// A workload of such lines.
pub fn jobs(lines: &[String]) -> Workload {
    Workload::read("jobs.jsonl", lines.join("\n").as_bytes()).unwrap()
}

/// What a policy known by name makes of it.
pub fn simulate(workload: &Workload, cluster: &ClusterModel, policy: &str) -> PolicyReport {
    run(
        workload,
        cluster,
        Ruler::named(policy).unwrap(),
        &Options::default(),
    )
}

//! The document of all metrics, `docs/METRICS.md`: a frame of words around what the metrics say of themselves.
//!
//! It adds only what a metric cannot know: its unit, what stands in a label whose values are not known beforehand, and who else uses
//! the name.

use std::fmt::Write as _;

use super::Described;

/// What stands before and after the tables.
const FRAME: &str = include_str!("reference.md");

/// Labels whose values come from outside: whose, and what bounds them.
const OPEN_LABELS: [(&str, &str); 12] = [
    ("node_id", "the worker's name"),
    ("version", "one: what runs"),
    ("commit", "one: what runs"),
    ("rustc", "one: what built it"),
    ("name", "one: the policy that rules"),
    (
        "digest",
        "one: the policy that rules; `native` for the built-in one",
    ),
    (
        "route",
        "templates of the API's routes, as in its description; `none` for what is no route",
    ),
    ("method", "GET, POST, PATCH, DELETE, HEAD, other"),
    ("code", "the HTTP status"),
    ("gpu", "its number; `none` on a machine without one"),
    ("gpu_model", "as the driver names it"),
    ("gpu_uuid", "as the driver tells it"),
];

/// The names of the system whose dashboards users bring along.
const SEED: [&str; 20] = [
    "ffrtmp_active_jobs",
    "ffrtmp_job_duration_seconds",
    "ffrtmp_job_wait_time_seconds",
    "ffrtmp_jobs_total",
    "ffrtmp_master_uptime_seconds",
    "ffrtmp_nodes_by_status",
    "ffrtmp_nodes_total",
    "ffrtmp_queue_by_priority",
    "ffrtmp_queue_by_type",
    "ffrtmp_queue_length",
    "ffrtmp_schedule_attempts_total",
    "ffrtmp_worker_active_jobs",
    "ffrtmp_worker_cpu_usage",
    "ffrtmp_worker_gpu_usage",
    "ffrtmp_worker_has_gpu",
    "ffrtmp_worker_heartbeats_total",
    "ffrtmp_worker_memory_bytes",
    "ffrtmp_worker_power_watts",
    "ffrtmp_worker_temperature_celsius",
    "ffrtmp_worker_uptime_seconds",
];
/// Its other names that are kept.
const UPSTREAM: [&str; 8] = [
    "ffrtmp_job_input_bytes_total",
    "ffrtmp_job_output_bytes_total",
    "ffrtmp_worker_jobs_canceled_total",
    "ffrtmp_worker_jobs_completed_total",
    "ffrtmp_worker_jobs_failed_total",
    "ffrtmp_worker_nvenc_available",
    "ffrtmp_worker_qsv_available",
    "ffrtmp_worker_vaapi_available",
];

/// Units by how a name ends, before `_total`.
const UNITS: [(&str, &str); 12] = [
    ("_bytes", "bytes"),
    ("_seconds", "s"),
    ("_celsius", "°C"),
    ("_watts", "W"),
    ("_ratio", "0 to 1"),
    ("_usage", "percent"),
    ("_info", "1"),
    ("_fps", "frames/s"),
    ("_speed", "media s/s"),
    ("_frames", "frames"),
    ("_load_1m", "processes"),
    ("_cores", "cores"),
];

/// The document.
pub fn document(master: &[Described], worker: &[Described]) -> String {
    FRAME
        .replace("{{master}}", &table(master))
        .replace("{{worker}}", &table(worker))
}

fn table(metrics: &[Described]) -> String {
    let mut text = String::from(
        "| name | type | unit | labels | what it says | |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for metric in metrics {
        let labels: Vec<String> = metric
            .labels
            .iter()
            .map(|(label, values)| match open(label) {
                Some(what) => format!("`{label}`: {what}"),
                None => format!("`{label}`: {}", values.join(", ")),
            })
            .collect();
        let mut help = metric.help.clone();
        if !metric.buckets.is_empty() {
            let _ = write!(help, " Buckets: {}.", metric.buckets.join(", "));
        }
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {} | {} |",
            metric.name,
            metric.kind,
            unit(&metric.name),
            labels.join("; "),
            help.replace('|', "\\|"),
            known_as(&metric.name)
        );
    }
    text
}

fn open(label: &str) -> Option<&'static str> {
    let found = OPEN_LABELS.iter().find(|(name, _)| *name == label);
    found.map(|(_, what)| *what)
}

fn unit(name: &str) -> &'static str {
    let base = name.strip_suffix("_total").unwrap_or(name);
    UNITS
        .iter()
        .find(|(suffix, _)| base.ends_with(suffix))
        .map_or("", |(_, unit)| unit)
}

fn known_as(name: &str) -> &'static str {
    if SEED.contains(&name) {
        "seed"
    } else if UPSTREAM.contains(&name) {
        "upstream"
    } else if name.starts_with("process_") {
        "usual"
    } else {
        ""
    }
}

/// What is wrong with these metrics as a document, if anything is: for a test.
pub fn faults(metrics: &[Described]) -> Vec<String> {
    let mut faults = Vec::new();
    for metric in metrics {
        for (label, values) in &metric.labels {
            if values.is_empty() && open(label).is_none() {
                faults.push(format!(
                    "{}: nothing is known of the values of {label}",
                    metric.name
                ));
            }
        }
        if !metric.help.ends_with('.') || metric.help.len() < 12 {
            faults.push(format!("{}: {:?} is no help", metric.name, metric.help));
        }
        if metric.kind == "untyped" {
            faults.push(format!("{}: of no type", metric.name));
        }
    }
    faults
}

//! The jobs of a simulation: when each arrives, what it needs, how long it runs. From a file of JSON lines, or a preset.
//!
//! Jobs that differ in nothing but their times share one [`Shape`], so that a million of them cost little. A shape keeps
//! only what scheduling looks at: files are not read, so inputs and outputs are left out.

use std::{collections::HashMap, io::BufRead, sync::Arc};

use ffrtmp_api::{
    job::{JobSpec, Priority, Queue},
    settings::Settings,
};
use ffrtmp_policy_sdk::Resources;
use serde_json::{Map, Value};

use super::{BadInput, ClusterModel, presets};
use crate::core::cost_of;

pub use presets::PRESETS;

/// Longest line of a workload file, bytes. A job that uses every limit to the full is below 100 KiB.
const LINE_BYTES_MAX: usize = 1024 * 1024;
/// Longest time a job may run: a month.
const RUNS_MS_MAX: u64 = 31 * 24 * 3_600_000;
/// Jobs of a preset when nobody says.
pub const JOBS_DEFAULT: usize = 2_000;

/// What jobs of one kind need.
#[derive(Debug, Clone)]
pub struct Shape {
    /// As it is submitted.
    pub spec: JobSpec,
    /// The same, as JSON.
    pub json: Arc<str>,
    /// The same, resolved.
    pub settings: Settings,
    /// What it holds on a worker.
    pub cost: Resources,
}

/// One job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// When it is submitted, milliseconds since 1970.
    pub at_ms: i64,
    /// How long it runs on a worker of speed 1, milliseconds.
    pub runs_ms: u64,
    /// Its shape: an index into [`Workload::shapes`].
    pub shape: u32,
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub struct Workload {
    /// The preset's name, or the file's.
    pub name: String,
    /// In order of arrival.
    pub jobs: Vec<Arrival>,
    /// Every kind of job there is.
    pub shapes: Vec<Shape>,
    known: HashMap<String, u32>,
}

impl Workload {
    /// No job yet.
    pub(super) fn named(name: &str) -> Workload {
        Workload {
            name: name.into(),
            ..Workload::default()
        }
    }

    /// The preset of that name: so many jobs, made from a seed, as much as that cluster can just about take.
    pub fn preset(name: &str, jobs: usize, seed: u64, cluster: &ClusterModel) -> Option<Workload> {
        presets::make(name, jobs, seed, cluster)
    }

    /// The jobs of a file: JSON, one object a line, each the fields of a submitted job and `at_ms` and `runs_ms`.
    ///
    /// # Errors
    /// With the line and the field, at the first thing that is wrong.
    pub fn read(name: &str, input: impl BufRead) -> Result<Workload, BadInput> {
        let mut workload = Workload::named(name);
        for (i, line) in input.lines().enumerate() {
            let bad = |what: String| BadInput(format!("{name}: line {}: {what}", i + 1));
            let line = line.map_err(|error| bad(format!("cannot be read: {error}")))?;
            if line.len() > LINE_BYTES_MAX {
                return Err(bad(format!("is longer than {LINE_BYTES_MAX} bytes")));
            }
            if line.trim().is_empty() {
                continue;
            }
            workload.line(&line).map_err(bad)?;
        }
        if workload.jobs.is_empty() {
            return Err(BadInput(format!("{name}: holds no job")));
        }
        workload.jobs.sort_by_key(|job| job.at_ms);
        Ok(workload)
    }

    fn line(&mut self, line: &str) -> Result<(), String> {
        let mut fields: Map<String, Value> =
            serde_json::from_str(line).map_err(|error| format!("is not a JSON object: {error}"))?;
        let (at_ms, runs_ms) = (fields.remove("at_ms"), fields.remove("runs_ms"));
        let at_ms = match at_ms {
            Some(value) => value
                .as_i64()
                .filter(|ms| (0..=1 << 50).contains(ms))
                .ok_or(format!(
                    "at_ms: {value} is not a time in whole milliseconds since 1970"
                ))?,
            None => {
                return Err(
                    "at_ms is missing: when the job is submitted, milliseconds since 1970".into(),
                );
            }
        };
        let runs_ms = match runs_ms {
            Some(value) => value
                .as_u64()
                .filter(|ms| *ms <= RUNS_MS_MAX)
                .ok_or(format!(
                    "runs_ms: {value} is not a number of whole milliseconds up to {RUNS_MS_MAX}"
                ))?,
            None => return Err("runs_ms is missing: how long the job runs, milliseconds".into()),
        };
        let spec: JobSpec =
            serde_path_to_error::deserialize(Value::Object(fields)).map_err(|error| match error
                .path()
                .to_string()
                .as_str()
            {
                "." => error.inner().to_string(),
                path => format!("{path}: {}", error.inner()),
            })?;
        self.push(at_ms, runs_ms, spec)
            .map_err(|bad| bad.to_string())
    }

    /// Adds a job. They are put in order when all are there.
    ///
    /// # Errors
    /// When the spec asks for what no job can have.
    pub(super) fn push(
        &mut self,
        at_ms: i64,
        runs_ms: u64,
        spec: JobSpec,
    ) -> Result<(), ffrtmp_api::settings::BadField> {
        let codec = Settings::resolve(&spec)?.codec_name();
        let spec = spec.for_scheduling(Some(codec.into()));
        // A spec of plain fields and string maps always has a JSON form.
        let json = serde_json::to_string(&spec).unwrap_or_default();
        let shape = match self.known.get(&json) {
            Some(shape) => *shape,
            None => {
                let shape = self.shapes.len() as u32;
                self.shapes.push(Shape {
                    settings: Settings::resolve(&spec)?,
                    cost: cost_of(&spec),
                    spec,
                    json: json.as_str().into(),
                });
                self.known.insert(json, shape);
                shape
            }
        };
        self.jobs.push(Arrival {
            at_ms,
            runs_ms,
            shape,
        });
        Ok(())
    }

    /// What a job needs.
    pub fn shape(&self, job: &Arrival) -> &Shape {
        // Shapes are never removed, and an arrival is made with the index of one.
        &self.shapes[job.shape as usize]
    }

    /// When the first job arrives, milliseconds since 1970.
    pub fn first_ms(&self) -> i64 {
        self.jobs.first().map_or(0, |job| job.at_ms)
    }

    /// When the last job arrives.
    pub fn last_ms(&self) -> i64 {
        self.jobs.last().map_or(0, |job| job.at_ms)
    }
}

impl Shape {
    /// The value of a label, by which jobs are grouped.
    pub fn group(&self, label: &str) -> &str {
        self.spec
            .labels
            .get(label)
            .map_or(super::NO_GROUP, String::as_str)
    }

    /// Its lane.
    pub fn queue(&self) -> Queue {
        self.spec.queue
    }

    /// Its urgency.
    pub fn priority(&self) -> Priority {
        self.spec.priority
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // in a test that is how one fails
mod tests {
    use super::*;

    #[test]
    fn a_file_is_jobs_as_they_are_submitted_with_two_times_more() {
        let text = r#"
            {"at_ms": 2000, "runs_ms": 50, "output": "/out/a.webm", "labels": {"tenant": "a"}}

            {"at_ms": 1000, "runs_ms": 60, "gpu": true, "queue": "live"}"#;
        let workload = Workload::read("w.jsonl", text.as_bytes()).unwrap();
        assert_eq!(
            workload.jobs.iter().map(|j| j.at_ms).collect::<Vec<_>>(),
            [1000, 2000]
        );
        let webm = workload.shape(&workload.jobs[1]);
        assert_eq!(
            webm.settings.video().map(|video| video.encoder),
            Some(ffrtmp_api::encoder::Encoder::LibvpxVp9)
        );
        assert_eq!(
            (webm.spec.output.clone(), webm.group("tenant")),
            (None, "a")
        );
        assert!(workload.shape(&workload.jobs[0]).settings.needs_gpu());
    }

    #[test]
    fn a_wrong_line_is_refused_with_its_number_and_field() {
        let good = r#"{"at_ms": 1, "runs_ms": 1}"#;
        for (line, says) in [
            ("nonsense", "line 2: is not a JSON object"),
            (r#"{"runs_ms": 1}"#, "line 2: at_ms is missing"),
            (r#"{"at_ms": 1}"#, "line 2: runs_ms is missing"),
            (
                r#"{"at_ms": "1", "runs_ms": 1}"#,
                "line 2: at_ms: \"1\" is not a time",
            ),
            (
                r#"{"at_ms": 1, "runs_ms": -1}"#,
                "line 2: runs_ms: -1 is not",
            ),
            (
                r#"{"at_ms": 1, "runs_ms": 1, "queue": "fast"}"#,
                "line 2: queue: ",
            ),
            (
                r#"{"at_ms": 1, "runs_ms": 1, "prio": 1}"#,
                "line 2: prio: unknown field",
            ),
            (
                r#"{"at_ms": 1, "runs_ms": 1, "codec": "mpeg1"}"#,
                "line 2: codec: ",
            ),
        ] {
            let text = format!("{good}\n{line}\n");
            let error = Workload::read("w.jsonl", text.as_bytes()).unwrap_err();
            assert!(
                error.to_string().contains(says),
                "{error} does not say {says}"
            );
        }
        assert!(
            Workload::read("w.jsonl", &b"\n"[..])
                .unwrap_err()
                .to_string()
                .contains("no job")
        );
    }

    #[test]
    fn jobs_alike_share_a_shape() {
        let text = r#"{"at_ms": 1, "runs_ms": 1, "output": "/a.mp4"}
{"at_ms": 2, "runs_ms": 5, "output": "/b.mp4", "idempotency_key": "k"}"#;
        let workload = Workload::read("w.jsonl", text.as_bytes()).unwrap();
        assert_eq!((workload.jobs.len(), workload.shapes.len()), (2, 1));
    }
}

//! The workers of a simulation: from a TOML file, or by the name of a preset.
//!
//! A file is a list of `[[worker]]` tables; `count` makes several of one. What a worker does not say is what a plain
//! machine of eight cores has.

use std::collections::BTreeMap;

use ffrtmp_api::{
    encoder::{Encoder, EncoderSet},
    protocol::{Capabilities, Gpu},
};
use serde::Deserialize;

use super::BadInput;

/// Most workers of a simulation: what one master is made for.
pub const WORKERS_MAX: usize = 20_000;
/// The presets, each with what it is.
pub const PRESETS: [(&str, &str); 3] = [
    (
        "small",
        "4 workers of 8 cores; one has a GPU of 8 encode sessions",
    ),
    (
        "farm",
        "100 workers: 60 of 16 cores, 30 of 32 with a GPU, 10 of 64 with four",
    ),
    ("large", "1,000 workers: ten farms"),
];

/// A worker that is a model.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerModel {
    /// Its name.
    pub name: String,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// How fast it encodes on its CPU: a job of `runs_ms` runs for `runs_ms / speed`.
    pub speed: f64,
    /// The same for each GPU.
    pub gpu_speeds: Vec<f64>,
    /// Whether an operator took it out of service before the first job came.
    pub drained: bool,
}

/// All of them.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterModel {
    /// The preset's name, or the file's.
    pub name: String,
    /// In the order in which they say hello.
    pub workers: Vec<WorkerModel>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    worker: Vec<WorkerTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WorkerTable {
    name: String,
    #[serde(default = "one")]
    count: u32,
    #[serde(default = "eight")]
    cores: u32,
    slots: Option<u32>,
    memory_mib: Option<u32>,
    encoders: Option<Vec<Encoder>>,
    #[serde(default = "as_fast")]
    speed: f64,
    #[serde(default)]
    drained: bool,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    gpu: Vec<GpuTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GpuTable {
    #[serde(default = "some_gpu")]
    model: String,
    #[serde(default = "one")]
    count: u32,
    #[serde(default = "gpu_memory")]
    memory_mib: u32,
    #[serde(default = "eight")]
    sessions_max: u32,
    #[serde(default = "as_fast")]
    speed: f64,
}

fn one() -> u32 {
    1
}
fn eight() -> u32 {
    8
}
fn as_fast() -> f64 {
    1.0
}
fn some_gpu() -> String {
    "GPU".into()
}
fn gpu_memory() -> u32 {
    16_384
}

/// The encoders a worker has that does not say: all that need no GPU, and NVENC's where there is one.
fn usual_encoders(gpu: bool) -> EncoderSet {
    let nvenc = [Encoder::H264Nvenc, Encoder::HevcNvenc, Encoder::Av1Nvenc];
    Encoder::ALL
        .into_iter()
        .filter(|encoder| !encoder.is_hardware() || (gpu && nvenc.contains(encoder)))
        .collect()
}

impl ClusterModel {
    /// The preset of that name.
    pub fn preset(name: &str) -> Option<ClusterModel> {
        let scale = match name {
            "small" => {
                let mut workers: Vec<_> = (1..=3).map(|i| plain(&format!("cpu-{i}"), 8)).collect();
                workers.push(with_gpus("gpu-1", 8, 1));
                return Some(ClusterModel {
                    name: name.into(),
                    workers,
                });
            }
            "farm" => 1,
            "large" => 10,
            _ => return None,
        };
        let cpu = (1..=60 * scale).map(|i| plain(&format!("cpu-{i}"), 16));
        let gpu = (1..=30 * scale).map(|i| with_gpus(&format!("gpu-{i}"), 32, 1));
        let big = (1..=10 * scale).map(|i| with_gpus(&format!("big-{i}"), 64, 4));
        Some(ClusterModel {
            name: name.into(),
            workers: cpu.chain(gpu).chain(big).collect(),
        })
    }

    /// The cluster a TOML file describes.
    ///
    /// # Errors
    /// With the line, where the text is not such a file; with the worker's name, where a value makes no sense.
    pub fn parse(name: &str, text: &str) -> Result<ClusterModel, BadInput> {
        let file: File = toml::from_str(text)
            .map_err(|error| BadInput(format!("{name}: {}", error.to_string().trim_end())))?;
        let bad = |worker: &str, what: String| {
            Err(BadInput(format!("{name}: worker {worker:?}: {what}")))
        };
        let mut workers = Vec::new();
        for table in file.worker {
            for (field, value, most) in [
                ("count", table.count, WORKERS_MAX as u32),
                ("cores", table.cores, 4_096),
                ("slots", table.slots.unwrap_or(1), 4_096),
            ] {
                if !(1..=most).contains(&value) {
                    let what = format!("{field} = {value} is not between 1 and {most}");
                    return bad(&table.name, what);
                }
            }
            for speed in std::iter::once(table.speed).chain(table.gpu.iter().map(|g| g.speed)) {
                if !(0.001..=1_000.0).contains(&speed) {
                    return bad(
                        &table.name,
                        format!("speed = {speed} is not between 0.001 and 1000"),
                    );
                }
            }
            if table.gpu.iter().map(|g| g.count).sum::<u32>() > 64 {
                return bad(&table.name, "has more than 64 GPUs".into());
            }
            if workers.len() + table.count as usize > WORKERS_MAX {
                return bad(
                    &table.name,
                    format!("there are more than {WORKERS_MAX} workers with it"),
                );
            }
            let model = table.model();
            for i in 1..=table.count {
                let mut worker = model.clone();
                if table.count > 1 {
                    worker.name = format!("{}-{i}", table.name);
                }
                if workers
                    .iter()
                    .rev()
                    .take(1_000)
                    .any(|w: &WorkerModel| w.name == worker.name)
                {
                    return bad(
                        &worker.name,
                        "is there twice; a name is one worker's".into(),
                    );
                }
                workers.push(worker);
            }
        }
        if workers.is_empty() {
            return Err(BadInput(format!(
                "{name}: describes no worker; add a [[worker]] table"
            )));
        }
        Ok(ClusterModel {
            name: name.into(),
            workers,
        })
    }

    /// CPU of all workers together, thousandths of a core, drained ones left out.
    pub fn cpu_millicores(&self) -> u64 {
        self.serving()
            .map(|w| u64::from(w.capabilities.cpu_millicores))
            .sum()
    }

    /// Slots of all workers together.
    pub fn slots(&self) -> u64 {
        self.serving()
            .map(|w| u64::from(w.capabilities.slots))
            .sum()
    }

    /// Encode sessions of all GPUs together.
    pub fn gpu_sessions(&self) -> u64 {
        self.serving()
            .flat_map(|w| &w.capabilities.gpus)
            .map(|gpu| u64::from(gpu.sessions_max))
            .sum()
    }

    fn serving(&self) -> impl Iterator<Item = &WorkerModel> {
        self.workers.iter().filter(|w| !w.drained)
    }
}

impl WorkerTable {
    fn model(&self) -> WorkerModel {
        let gpus: Vec<(Gpu, f64)> = self
            .gpu
            .iter()
            .flat_map(|table| {
                let gpu = Gpu {
                    model: table.model.clone(),
                    memory_mib: table.memory_mib,
                    sessions_max: table.sessions_max,
                    ..Gpu::default()
                };
                std::iter::repeat_n((gpu, table.speed), table.count as usize)
            })
            .collect();
        let encoders = match &self.encoders {
            Some(list) => list.iter().copied().collect(),
            None => usual_encoders(!gpus.is_empty()),
        };
        WorkerModel {
            name: self.name.clone(),
            capabilities: Capabilities {
                slots: self.slots.unwrap_or(self.cores),
                cpu_millicores: self.cores * 1_000,
                memory_mib: self.memory_mib.unwrap_or(self.cores * 2_048),
                encoders,
                gpus: gpus.iter().map(|(gpu, _)| gpu.clone()).collect(),
                ..Capabilities::default()
            },
            labels: self.labels.clone(),
            speed: self.speed,
            gpu_speeds: gpus.iter().map(|(_, speed)| *speed).collect(),
            drained: self.drained,
        }
    }
}

fn plain(name: &str, cores: u32) -> WorkerModel {
    with_gpus(name, cores, 0)
}

fn with_gpus(name: &str, cores: u32, gpus: u32) -> WorkerModel {
    let gpu = GpuTable {
        model: some_gpu(),
        count: gpus,
        memory_mib: gpu_memory(),
        sessions_max: 8,
        speed: 1.0,
    };
    WorkerTable {
        name: name.into(),
        count: 1,
        cores,
        slots: None,
        memory_mib: None,
        encoders: None,
        speed: 1.0,
        drained: false,
        labels: BTreeMap::new(),
        gpu: if gpus > 0 { vec![gpu] } else { Vec::new() },
    }
    .model()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // in a test that is how one fails
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_there_and_is_what_it_says() {
        for ((name, what), workers) in PRESETS.iter().zip([4, 100, 1_000]) {
            let cluster = ClusterModel::preset(name).unwrap();
            assert_eq!(cluster.workers.len(), workers, "{what}");
            assert!(cluster.gpu_sessions() > 0);
        }
        assert_eq!(ClusterModel::preset("Farm"), None);
    }

    #[test]
    fn a_file_describes_workers_and_their_gpus() {
        let text = "
            [[worker]]
            name = 'cpu'
            count = 2
            cores = 16
            labels = { zone = 'eu' }
            [[worker]]
            name = 'gpu'
            encoders = ['libx264', 'h264_nvenc']
            [[worker.gpu]]
            count = 2
            sessions_max = 3
            speed = 4.0";
        let cluster = ClusterModel::parse("c.toml", text).unwrap();
        let names: Vec<_> = cluster.workers.iter().map(|w| w.name.as_str()).collect();
        assert_eq!(names, ["cpu-1", "cpu-2", "gpu"]);
        assert_eq!(cluster.workers[0].capabilities.slots, 16);
        assert_eq!(cluster.workers[2].gpu_speeds, [4.0, 4.0]);
        assert_eq!(
            (cluster.cpu_millicores(), cluster.gpu_sessions()),
            (40_000, 6)
        );
    }

    #[test]
    fn a_wrong_file_is_refused_with_the_place() {
        for (text, says) in [
            ("", "missing field `worker`"),
            ("worker = []", "describes no worker"),
            ("[[worker]]\nname = 'a'\ncoers = 3", "line 3"),
            (
                "[[worker]]\nname = 'a'\ncores = 0",
                "cores = 0 is not between",
            ),
            ("[[worker]]\nname = 'a'\nspeed = -1.0", "speed = -1"),
            (
                "[[worker]]\nname = 'a'\n[[worker]]\nname = 'a'",
                "there twice",
            ),
            (
                "[[worker]]\nname = 'a'\nencoders = ['x264']",
                "unknown variant `x264`",
            ),
        ] {
            let error = ClusterModel::parse("c.toml", text).unwrap_err().to_string();
            assert!(
                error.starts_with("c.toml: ") && error.contains(says),
                "{error}"
            );
        }
    }
}

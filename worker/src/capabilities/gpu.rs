//! NVIDIA GPUs, by NVML. No driver and no GPU is a normal, silent case.
//!
//! A GPU keeps its place in the list for as long as the worker runs, whatever the driver's own numbering does: placements name
//! GPUs by that place. One that vanished stays, as unusable, until it is back.

use std::{
    ffi::OsStr,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use ffrtmp_api::protocol::{Gpu, GpuLoad};
use nvml_wrapper::{Device, Nvml, enum_wrappers::device::TemperatureSensor, error::NvmlError};

/// Where the library is looked for, in this order. A driver without development files installs the first name only.
const LIBRARIES: [&str; 2] = ["libnvidia-ml.so.1", "libnvidia-ml.so"];
/// Encode sessions a GeForce driver allows at once on a whole machine, by its major version (NVIDIA's encoder support matrix).
const SESSIONS_GEFORCE: [(u32, u32); 3] = [(551, 8), (530, 5), (0, 3)];
/// Professional GPUs have no limit but their memory and engines; this is where more only get slower.
const SESSIONS_PROFESSIONAL: u32 = 32;

/// The NVIDIA GPUs of this machine, watched.
pub(crate) struct Gpus {
    library: Option<PathBuf>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    nvml: Option<Nvml>,
    /// In the order they were first seen. [`Gpu::uuid`] tells them apart.
    known: Vec<Gpu>,
    /// Why there is no driver to ask, if there is none.
    silent: Option<String>,
}

impl Gpus {
    /// Asks the driver, if there is one. `library` is NVML's, if it is not where it is looked for.
    pub(crate) fn find(library: Option<PathBuf>) -> Gpus {
        let gpus = Gpus {
            library,
            inner: Mutex::default(),
        };
        gpus.look();
        gpus
    }

    /// Looks for GPUs anew: those that came, went, or came back, with the driver or alone. Every GPU ever seen, with
    /// [`Gpu::unusable`] set on those that do not answer. May wait for the driver: not for an async task.
    pub(crate) fn look(&self) -> Vec<Gpu> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Inner {
            nvml,
            known,
            silent,
        } = &mut *inner;
        // A driver that was replaced under us answers nothing until its new library is loaded.
        if nvml
            .as_ref()
            .is_some_and(|nvml| nvml.device_count().is_err())
        {
            *nvml = None;
        }
        if nvml.is_none() {
            match self.load() {
                Ok(loaded) => *nvml = Some(loaded),
                Err(error) => {
                    if silent.as_ref() != Some(&error) {
                        tracing::debug!(error, "no NVIDIA driver");
                    }
                    *silent = Some(error);
                }
            }
        }
        let Some(nvml) = nvml else {
            let why = silent.clone().unwrap_or_default();
            let why = format!("the NVIDIA driver is gone: {why}");
            known.iter_mut().for_each(|gpu| lose(gpu, &why));
            return known.clone();
        };
        *silent = None;
        let driver = nvml.sys_driver_version().unwrap_or_default();
        let count = nvml.device_count().unwrap_or(0);
        let mut failed = None;
        let mut seen = Vec::new();
        for index in 0..count {
            match nvml
                .device_by_index(index)
                .and_then(|device| describe(&device, &driver))
            {
                Ok(gpu) => seen.push(gpu),
                Err(error) => failed = Some(format!("the driver says of GPU {index}: {error}")),
            }
        }
        for gpu in known.iter_mut() {
            match seen.iter().position(|other| other.uuid == gpu.uuid) {
                Some(at) => {
                    let now = seen.swap_remove(at);
                    if gpu.unusable.is_some() {
                        tracing::info!(gpu = gpu.uuid, "a GPU is back");
                    }
                    *gpu = now;
                }
                None => {
                    let gone = failed.as_deref();
                    lose(gpu, gone.unwrap_or("the driver does not list it any more"));
                }
            }
        }
        seen.sort_by(|a, b| a.uuid.cmp(&b.uuid));
        known.append(&mut seen);
        known.clone()
    }

    /// What each GPU is doing, in the order of [`Gpus::look`]. May wait for the driver: not for an async task.
    pub(crate) fn read(&self) -> Vec<GpuLoad> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(nvml) = &inner.nvml else {
            return inner.known.iter().map(|gpu| fault(&gpu.unusable)).collect();
        };
        inner
            .known
            .iter()
            .map(|gpu| match nvml.device_by_uuid(gpu.uuid.as_str()) {
                Ok(device) => read(&device),
                Err(error) => fault(&Some(error.to_string())),
            })
            .collect()
    }

    fn load(&self) -> Result<Nvml, String> {
        let init = |library: &OsStr| {
            Nvml::builder()
                .lib_path(library)
                .init()
                .map_err(|error| error.to_string())
        };
        if let Some(library) = &self.library {
            return init(library.as_os_str())
                .map_err(|error| format!("{}: {error}", library.display()));
        }
        let [first, second] = LIBRARIES;
        // What the name that a driver installs answers is the one worth telling.
        init(first.as_ref()).or_else(|error| init(second.as_ref()).map_err(|_| error))
    }
}

fn lose(gpu: &mut Gpu, why: &str) {
    if gpu.unusable.as_deref() != Some(why) {
        tracing::warn!(
            gpu = gpu.uuid,
            model = gpu.model,
            why,
            "a GPU cannot be used any more"
        );
        gpu.unusable = Some(why.to_owned());
    }
    gpu.sessions_max = 0;
}

fn fault(why: &Option<String>) -> GpuLoad {
    GpuLoad {
        fault: Some(why.clone().unwrap_or_else(|| "it does not answer".into())),
        ..GpuLoad::default()
    }
}

fn mib(bytes: u64) -> u32 {
    u32::try_from(bytes / (1024 * 1024)).unwrap_or(u32::MAX)
}

fn describe(device: &Device<'_>, driver: &str) -> Result<Gpu, NvmlError> {
    // Without a UUID it could not be told from another one; a GPU that cannot say even that is broken.
    let uuid = device.uuid()?;
    let model = device.name().unwrap_or_else(|_| "unknown".into());
    Ok(Gpu {
        memory_mib: device.memory_info().map_or(0, |memory| mib(memory.total)),
        sessions_max: sessions_max(&model, driver),
        model,
        uuid,
        unusable: None,
    })
}

/// How many encode sessions a GPU of this model has under this driver (`550.54.14`).
fn sessions_max(model: &str, driver: &str) -> u32 {
    if !model.contains("GeForce") {
        return SESSIONS_PROFESSIONAL;
    }
    // One that does not tell its version is taken for a new one: old drivers do tell.
    let major = driver.split('.').next().and_then(|n| n.parse().ok());
    let major = major.unwrap_or(u32::MAX);
    let limit = SESSIONS_GEFORCE.iter().find(|(since, _)| major >= *since);
    limit.map_or(0, |(_, sessions)| *sessions)
}

fn read(device: &Device<'_>) -> GpuLoad {
    let mut faults = Vec::new();
    let utilisation = told(&mut faults, "utilisation", device.utilization_rates());
    let memory = told(&mut faults, "memory", device.memory_info());
    let sessions = told(&mut faults, "encoder sessions", device.encoder_stats());
    let encoder = told(&mut faults, "encoder", device.encoder_utilization());
    let decoder = told(&mut faults, "decoder", device.decoder_utilization());
    let temperature = told(
        &mut faults,
        "temperature",
        device.temperature(TemperatureSensor::Gpu),
    );
    let milliwatts = told(&mut faults, "power", device.power_usage());
    GpuLoad {
        utilisation_percent: utilisation.map(|rates| rates.gpu as f32),
        memory_used_mib: memory.map(|memory| mib(memory.used)),
        sessions: sessions.map(|stats| stats.session_count),
        encoder_percent: encoder.map(|info| info.utilization as f32),
        decoder_percent: decoder.map(|info| info.utilization as f32),
        temperature_celsius: temperature.map(|degrees| degrees as f32),
        power_watts: milliwatts.map(|milliwatts| milliwatts as f32 / 1000.0),
        fault: (!faults.is_empty()).then(|| faults.join("; ")),
    }
}

/// What the driver answered. That a GPU has no such sensor, or a driver no such call, is no fault.
fn told<T>(faults: &mut Vec<String>, what: &str, answer: Result<T, NvmlError>) -> Option<T> {
    match answer {
        Ok(value) => Some(value),
        Err(NvmlError::NotSupported | NvmlError::FailedToLoadSymbol(_)) => None,
        Err(error) => {
            faults.push(format!("{what}: {error}"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_limit_is_the_model_s_and_the_driver_s() {
        for (model, driver, sessions) in [
            ("NVIDIA L4", "525.1", SESSIONS_PROFESSIONAL),
            ("NVIDIA GeForce RTX 3060", "525.147.05", 3),
            ("NVIDIA GeForce RTX 3060", "535.183.01", 5),
            ("NVIDIA GeForce RTX 4090", "551.23", 8),
            ("NVIDIA GeForce RTX 4090", "", 8),
        ] {
            assert_eq!(sessions_max(model, driver), sessions, "{model} {driver}");
        }
    }

    #[test]
    fn without_a_library_there_is_no_gpu_and_no_fault() {
        let gpus = Gpus::find(Some("/nowhere/libnvidia-ml.so.1".into()));
        assert!(gpus.look().is_empty() && gpus.read().is_empty());
    }
}

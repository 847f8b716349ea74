//! NVIDIA GPUs, by NVML. No driver and no GPU is a normal, silent case.

use ffrtmp_api::protocol::{Gpu, GpuLoad};
use nvml_wrapper::{Device, Nvml, enum_wrappers::device::TemperatureSensor};

/// Encode sessions a GeForce driver allows at once (NVIDIA's encoder support matrix, since driver 551; 5 and 3 before).
const SESSIONS_GEFORCE: u32 = 8;
/// Professional GPUs have no limit but their memory and engines; this is where more only get slower.
const SESSIONS_PROFESSIONAL: u32 = 32;

/// What a GPU is doing.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct GpuReading {
    /// What the master is told.
    pub(crate) load: GpuLoad,
    /// Degrees.
    pub(crate) temperature_celsius: f64,
    /// Watts.
    pub(crate) power_watts: f64,
}

/// The GPUs of this machine.
pub(crate) struct Gpus {
    nvml: Option<Nvml>,
    /// What they are, in the driver's order. Fixed at start: placements name them by index.
    pub(crate) list: Vec<Gpu>,
}

impl Gpus {
    /// Asks the driver, if there is one.
    pub(crate) fn find() -> Gpus {
        let nvml = match Nvml::init() {
            Ok(nvml) => nvml,
            Err(error) => {
                tracing::debug!(%error, "no NVIDIA driver");
                return Gpus {
                    nvml: None,
                    list: Vec::new(),
                };
            }
        };
        let count = nvml.device_count().unwrap_or(0);
        let list = (0..count)
            .map(|index| {
                nvml.device_by_index(index)
                    .map_or_else(|_| Gpu::default(), describe)
            })
            .collect();
        Gpus {
            nvml: Some(nvml),
            list,
        }
    }

    /// What they are doing. A GPU that does not answer reads as 0.
    pub(crate) fn read(&self) -> Vec<GpuReading> {
        let Some(nvml) = &self.nvml else {
            return Vec::new();
        };
        let indices = 0..u32::try_from(self.list.len()).unwrap_or(0);
        indices
            .map(|index| {
                nvml.device_by_index(index)
                    .map_or_else(|_| GpuReading::default(), read)
            })
            .collect()
    }
}

fn mib(bytes: u64) -> u32 {
    u32::try_from(bytes / (1024 * 1024)).unwrap_or(u32::MAX)
}

fn describe(device: Device<'_>) -> Gpu {
    let model = device.name().unwrap_or_else(|_| "unknown".into());
    let sessions_max = if model.contains("GeForce") {
        SESSIONS_GEFORCE
    } else {
        SESSIONS_PROFESSIONAL
    };
    Gpu {
        memory_mib: device.memory_info().map_or(0, |memory| mib(memory.total)),
        model,
        sessions_max,
    }
}

fn read(device: Device<'_>) -> GpuReading {
    GpuReading {
        load: GpuLoad {
            utilisation_percent: device
                .utilization_rates()
                .map_or(0.0, |rates| rates.gpu as f32),
            memory_used_mib: device.memory_info().map_or(0, |memory| mib(memory.used)),
            sessions: device
                .encoder_stats()
                .map_or(0, |stats| stats.session_count),
        },
        temperature_celsius: device
            .temperature(TemperatureSensor::Gpu)
            .map_or(0.0, f64::from),
        power_watts: device
            .power_usage()
            .map_or(0.0, |milliwatts| f64::from(milliwatts) / 1000.0),
    }
}

//! What the machine can encode with: its GPUs one by one, and upstream's three families of hardware encoders.

use ffrtmp_api::{
    encoder::Encoder as MediaEncoder,
    metrics::Exposition,
    protocol::{Capabilities, GpuLoad},
};
use prometheus::{GaugeVec, IntGauge, IntGaugeVec, Result};

/// See the module's head. Clones share the numbers.
#[derive(Clone)]
pub(super) struct GpuMetrics {
    has_gpu: IntGauge,
    gpu_usage: GaugeVec,
    gpu_temperature: GaugeVec,
    gpu_power: GaugeVec,
    gpu_encoder: GaugeVec,
    gpu_decoder: GaugeVec,
    gpu_memory: GaugeVec,
    gpu_memory_total: GaugeVec,
    gpu_sessions: GaugeVec,
    gpu_sessions_max: GaugeVec,
    gpu_info: IntGaugeVec,
    /// In the order of [`FAMILIES`].
    families: [IntGauge; 3],
}

/// Upstream's three families of hardware encoders.
const FAMILIES: [(&str, [MediaEncoder; 3]); 3] = [
    (
        "ffrtmp_worker_nvenc_available",
        [
            MediaEncoder::H264Nvenc,
            MediaEncoder::HevcNvenc,
            MediaEncoder::Av1Nvenc,
        ],
    ),
    (
        "ffrtmp_worker_qsv_available",
        [
            MediaEncoder::H264Qsv,
            MediaEncoder::HevcQsv,
            MediaEncoder::Av1Qsv,
        ],
    ),
    (
        "ffrtmp_worker_vaapi_available",
        [
            MediaEncoder::H264Vaapi,
            MediaEncoder::HevcVaapi,
            MediaEncoder::Av1Vaapi,
        ],
    ),
];

/// Sets a series, or takes it away.
fn put(gauge: &GaugeVec, labels: &[&str], value: Option<f64>) {
    match value {
        Some(value) => gauge.with_label_values(labels).set(value),
        // That there was none is as good.
        None => drop(gauge.remove_label_values(labels)),
    }
}

impl GpuMetrics {
    pub(super) fn new(make: &Exposition) -> Result<GpuMetrics> {
        let of_gpu = |name, help| make.floats(name, help, &[("gpu", &[])]);
        let family = |name, word: &str| {
            make.gauge(
                name,
                &format!("1 if an encoder of the {word} family passed its trial on this machine."),
            )
        };
        let metrics = GpuMetrics {
            has_gpu: make.gauge(
                "ffrtmp_worker_has_gpu",
                "1 if the driver reports a GPU that can be used.",
            )?,
            gpu_usage: make.floats(
                "ffrtmp_worker_gpu_usage",
                "GPU in use, percent.",
                &[("gpu", &[]), ("gpu_model", &[])],
            )?,
            gpu_temperature: of_gpu("ffrtmp_worker_temperature_celsius", "GPU temperature.")?,
            gpu_power: of_gpu(
                "ffrtmp_worker_power_watts",
                "Power drawn by the GPU's board.",
            )?,
            gpu_encoder: of_gpu(
                "ffrtmp_worker_gpu_encoder_usage",
                "The GPU's encoders in use, percent. At 100 more sessions only make each slower.",
            )?,
            gpu_decoder: of_gpu(
                "ffrtmp_worker_gpu_decoder_usage",
                "The GPU's decoders in use, percent.",
            )?,
            gpu_memory: of_gpu("ffrtmp_worker_gpu_memory_bytes", "The GPU's memory in use.")?,
            gpu_memory_total: of_gpu("ffrtmp_worker_gpu_memory_size_bytes", "The GPU's memory.")?,
            gpu_sessions: of_gpu(
                "ffrtmp_worker_gpu_encoder_sessions",
                "Encode sessions on the GPU, whoever holds them.",
            )?,
            gpu_sessions_max: of_gpu(
                "ffrtmp_worker_gpu_encoder_sessions_max",
                "Most encode sessions the GPU is given; 0 while it cannot be used.",
            )?,
            gpu_info: make.gauges(
                "ffrtmp_worker_gpu_info",
                "1 if the GPU can be used; what it is are the labels.",
                &[("gpu", &[]), ("gpu_model", &[]), ("gpu_uuid", &[])],
            )?,
            families: [
                family(FAMILIES[0].0, "NVENC")?,
                family(FAMILIES[1].0, "Quick Sync")?,
                family(FAMILIES[2].0, "VA-API")?,
            ],
        };
        metrics.set(&Capabilities::default(), &[]);
        Ok(metrics)
    }

    /// Sets what the machine can do, and what the sampler measured of its GPUs; without one, a single series each of upstream's
    /// at 0. What a GPU has no sensor for, or its driver fails to tell, has no series: 0 would be taken for a measurement.
    pub(super) fn set(&self, can: &Capabilities, loads: &[GpuLoad]) {
        let gpus = &can.gpus;
        self.has_gpu
            .set(i64::from(gpus.iter().any(|gpu| gpu.unusable.is_none())));
        for (gauge, family) in self.families.iter().zip(FAMILIES) {
            gauge.set(i64::from(
                can.encoders
                    .iter()
                    .any(|encoder| family.1.contains(&encoder)),
            ));
        }
        let stands_in = gpus.is_empty();
        if stands_in {
            self.gpu_usage.with_label_values(&["none", "none"]).set(0.0);
            self.gpu_temperature.with_label_values(&["none"]).set(0.0);
            self.gpu_power.with_label_values(&["none"]).set(0.0);
            return;
        }
        let _ = self.gpu_usage.remove_label_values(&["none", "none"]);
        let _ = self.gpu_temperature.remove_label_values(&["none"]);
        let _ = self.gpu_power.remove_label_values(&["none"]);
        for (index, gpu) in gpus.iter().enumerate() {
            let number = index.to_string();
            let load = loads.get(index);
            // What it is stays; what it does is known only while it answers.
            let asked = load.filter(|_| gpu.unusable.is_none());
            let said = [number.as_str()];
            self.gpu_info
                .with_label_values(&[said[0], &gpu.model, &gpu.uuid])
                .set(i64::from(gpu.unusable.is_none()));
            let usage = [said[0], gpu.model.as_str()];
            put(
                &self.gpu_usage,
                &usage,
                asked.and_then(|l| l.utilisation_percent).map(f64::from),
            );
            let mib = |mib: u32| f64::from(mib) * 1024.0 * 1024.0;
            for (gauge, value) in [
                (
                    &self.gpu_temperature,
                    asked.and_then(|l| l.temperature_celsius).map(f64::from),
                ),
                (
                    &self.gpu_power,
                    asked.and_then(|l| l.power_watts).map(f64::from),
                ),
                (
                    &self.gpu_encoder,
                    asked.and_then(|l| l.encoder_percent).map(f64::from),
                ),
                (
                    &self.gpu_decoder,
                    asked.and_then(|l| l.decoder_percent).map(f64::from),
                ),
                (
                    &self.gpu_memory,
                    asked.and_then(|l| l.memory_used_mib).map(mib),
                ),
                (&self.gpu_memory_total, Some(mib(gpu.memory_mib))),
                (
                    &self.gpu_sessions,
                    asked.and_then(|l| l.sessions).map(f64::from),
                ),
                (&self.gpu_sessions_max, Some(gpu.sessions_max.into())),
            ] {
                put(gauge, &said, value);
            }
        }
    }
}

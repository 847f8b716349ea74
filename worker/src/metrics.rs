//! What the worker tells a scraper.
//!
//! Every number is set where it changes, or by the sampler; a scrape only prints them. Nothing here measures.

use ffrtmp_api::{
    encoder::Encoder as MediaEncoder,
    protocol::{Capabilities, GpuLoad, Outcome},
};
use prometheus::{
    Encoder, Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

/// How an attempt ended; the values of the label `outcome`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Verified, measured and deleted.
    Completed,
    /// At its final place.
    Published,
    /// The ordered rename could not be done here.
    PublishFailed,
    /// Failed.
    Failed,
    /// Cancelled by a user.
    Canceled,
    /// Given back at shutdown.
    HandedBack,
    /// Taken away by the master.
    Revoked,
}

impl Ending {
    const ALL: [Ending; 7] = [
        Ending::Completed,
        Ending::Published,
        Ending::PublishFailed,
        Ending::Failed,
        Ending::Canceled,
        Ending::HandedBack,
        Ending::Revoked,
    ];

    /// The outcome as a label.
    pub(crate) fn of(outcome: &Outcome) -> Ending {
        match outcome {
            Outcome::Completed { .. } => Ending::Completed,
            Outcome::Published => Ending::Published,
            Outcome::PublishFailed { .. } => Ending::PublishFailed,
            Outcome::Failed { .. } => Ending::Failed,
            Outcome::Canceled => Ending::Canceled,
            Outcome::HandedBack => Ending::HandedBack,
        }
    }

    /// The word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Ending::Completed => "completed",
            Ending::Published => "published",
            Ending::PublishFailed => "publish_failed",
            Ending::Failed => "failed",
            Ending::Canceled => "canceled",
            Ending::HandedBack => "handed_back",
            Ending::Revoked => "revoked",
        }
    }
}

/// The worker's metrics. Clones share the numbers.
#[derive(Clone)]
pub(crate) struct Metrics {
    registry: Registry,
    cpu_usage: Gauge,
    memory_bytes: Gauge,
    active_jobs: IntGauge,
    heartbeats: IntCounter,
    uptime_seconds: Gauge,
    has_gpu: IntGauge,
    slots: IntGauge,
    finished: IntCounterVec,
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

impl Metrics {
    /// The metrics of the worker called `node_id`.
    pub(crate) fn new(node_id: &str) -> prometheus::Result<Metrics> {
        let registry = Registry::new();
        let opts = |name: &str, help: &str| Opts::new(name, help).const_label("node_id", node_id);
        let gauge = |name, help| Gauge::with_opts(opts(name, help));
        let gauges = |name, help, labels: &[&str]| GaugeVec::new(opts(name, help), labels);
        let family = |name| {
            IntGauge::with_opts(opts(
                name,
                "1 if an encoder of this family passed its trial",
            ))
        };
        let metrics = Metrics {
            cpu_usage: gauge(
                "ffrtmp_worker_cpu_usage",
                "CPU in use on the worker's host, percent of all cores",
            )?,
            memory_bytes: gauge(
                "ffrtmp_worker_memory_bytes",
                "Memory in use on the worker's host",
            )?,
            active_jobs: IntGauge::with_opts(opts(
                "ffrtmp_worker_active_jobs",
                "Attempts that hold a slot",
            ))?,
            heartbeats: IntCounter::with_opts(opts(
                "ffrtmp_worker_heartbeats_total",
                "Heartbeats sent to the master",
            ))?,
            uptime_seconds: gauge(
                "ffrtmp_worker_uptime_seconds",
                "Seconds since the worker started",
            )?,
            has_gpu: IntGauge::with_opts(opts(
                "ffrtmp_worker_has_gpu",
                "1 if the driver reports a GPU",
            ))?,
            slots: IntGauge::with_opts(opts("ffrtmp_worker_slots", "Most attempts at once"))?,
            finished: IntCounterVec::new(
                opts(
                    "ffrtmp_worker_attempts_finished_total",
                    "Attempts that ended here, by how",
                ),
                &["outcome"],
            )?,
            gpu_usage: gauges(
                "ffrtmp_worker_gpu_usage",
                "GPU in use, percent",
                &["gpu", "gpu_model"],
            )?,
            gpu_temperature: gauges(
                "ffrtmp_worker_temperature_celsius",
                "GPU temperature",
                &["gpu"],
            )?,
            gpu_power: gauges(
                "ffrtmp_worker_power_watts",
                "Power drawn by the GPU's board",
                &["gpu"],
            )?,
            gpu_encoder: gauges(
                "ffrtmp_worker_gpu_encoder_usage",
                "The GPU's encoders in use, percent",
                &["gpu"],
            )?,
            gpu_decoder: gauges(
                "ffrtmp_worker_gpu_decoder_usage",
                "The GPU's decoders in use, percent",
                &["gpu"],
            )?,
            gpu_memory: gauges(
                "ffrtmp_worker_gpu_memory_bytes",
                "The GPU's memory in use",
                &["gpu"],
            )?,
            gpu_memory_total: gauges(
                "ffrtmp_worker_gpu_memory_size_bytes",
                "The GPU's memory",
                &["gpu"],
            )?,
            gpu_sessions: gauges(
                "ffrtmp_worker_gpu_encoder_sessions",
                "Encode sessions on the GPU, whoever holds them",
                &["gpu"],
            )?,
            gpu_sessions_max: gauges(
                "ffrtmp_worker_gpu_encoder_sessions_max",
                "Most encode sessions the GPU is given; 0 while it cannot be used",
                &["gpu"],
            )?,
            gpu_info: IntGaugeVec::new(
                opts(
                    "ffrtmp_worker_gpu_info",
                    "1 if the GPU can be used; what it is are the labels",
                ),
                &["gpu", "gpu_model", "gpu_uuid"],
            )?,
            families: [
                family(FAMILIES[0].0)?,
                family(FAMILIES[1].0)?,
                family(FAMILIES[2].0)?,
            ],
            registry,
        };
        let build = Gauge::with_opts(
            Opts::new("ffrtmp_build_info", "1; the version is the label")
                .const_label("version", env!("CARGO_PKG_VERSION")),
        )?;
        build.set(1.0);
        Ending::ALL.iter().for_each(|ending| {
            metrics.finished.with_label_values(&[ending.as_str()]);
        });
        let registry = &metrics.registry;
        registry.register(Box::new(build))?;
        for one in [
            &metrics.cpu_usage,
            &metrics.memory_bytes,
            &metrics.uptime_seconds,
        ] {
            registry.register(Box::new(one.clone()))?;
        }
        for one in [&metrics.active_jobs, &metrics.has_gpu, &metrics.slots] {
            registry.register(Box::new(one.clone()))?;
        }
        registry.register(Box::new(metrics.heartbeats.clone()))?;
        registry.register(Box::new(metrics.finished.clone()))?;
        for one in [
            &metrics.gpu_usage,
            &metrics.gpu_temperature,
            &metrics.gpu_power,
            &metrics.gpu_encoder,
            &metrics.gpu_decoder,
            &metrics.gpu_memory,
            &metrics.gpu_memory_total,
            &metrics.gpu_sessions,
            &metrics.gpu_sessions_max,
        ] {
            registry.register(Box::new(one.clone()))?;
        }
        registry.register(Box::new(metrics.gpu_info.clone()))?;
        for one in &metrics.families {
            registry.register(Box::new(one.clone()))?;
        }
        metrics.machine(&Capabilities::default(), &[]);
        Ok(metrics)
    }

    /// Sets the number of slots.
    pub(crate) fn slots(&self, slots: u32) {
        self.slots.set(slots.into());
    }

    /// Sets how many attempts hold a slot.
    pub(crate) fn active_jobs(&self, active: usize) {
        self.active_jobs
            .set(i64::try_from(active).unwrap_or(i64::MAX));
    }

    /// Counts an attempt's end.
    pub(crate) fn finished(&self, ending: Ending) {
        self.finished.with_label_values(&[ending.as_str()]).inc();
    }

    /// Counts a heartbeat.
    pub(crate) fn heartbeat(&self) {
        self.heartbeats.inc();
    }

    /// Sets what the sampler measured of the host.
    pub(crate) fn host(&self, cpu_percent: f32, memory_bytes: u64, uptime_seconds: f64) {
        self.cpu_usage.set(f64::from(cpu_percent.clamp(0.0, 100.0)));
        self.memory_bytes.set(memory_bytes as f64);
        self.uptime_seconds.set(uptime_seconds);
    }

    /// Sets what the machine can do, and what the sampler measured of its GPUs; without one, a single series each of upstream's
    /// at 0. What a driver does not tell has no series, rather than one at 0.
    pub(crate) fn machine(&self, can: &Capabilities, loads: &[GpuLoad]) {
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
                asked.map(|load| load.utilisation_percent.into()),
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
                (&self.gpu_memory, asked.map(|l| mib(l.memory_used_mib))),
                (&self.gpu_memory_total, Some(mib(gpu.memory_mib))),
                (&self.gpu_sessions, asked.map(|l| l.sessions.into())),
                (&self.gpu_sessions_max, Some(gpu.sessions_max.into())),
            ] {
                put(gauge, &said, value);
            }
        }
    }

    /// Everything, in Prometheus' text format.
    pub(crate) fn render(&self) -> prometheus::Result<String> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use ffrtmp_api::protocol::Gpu;

    use super::*;

    #[test]
    fn without_a_gpu_each_gpu_series_stands_at_zero() {
        let text = Metrics::new("n1").unwrap().render().unwrap();
        for line in [
            "ffrtmp_worker_gpu_usage{gpu=\"none\",gpu_model=\"none\",node_id=\"n1\"} 0",
            "ffrtmp_worker_temperature_celsius{gpu=\"none\",node_id=\"n1\"} 0",
            "ffrtmp_worker_power_watts{gpu=\"none\",node_id=\"n1\"} 0",
            "ffrtmp_worker_has_gpu{node_id=\"n1\"} 0",
            "ffrtmp_worker_attempts_finished_total{node_id=\"n1\",outcome=\"handed_back\"} 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn with_a_gpu_the_series_that_stood_in_for_none_are_gone() {
        let metrics = Metrics::new("n1").unwrap();
        let gpu = Gpu {
            model: "L4".into(),
            ..Gpu::default()
        };
        let load = GpuLoad {
            temperature_celsius: Some(61.0),
            power_watts: Some(33.5),
            ..GpuLoad::default()
        };
        let can = Capabilities {
            gpus: vec![gpu],
            ..Capabilities::default()
        };
        metrics.machine(&can, &[load]);
        let text = metrics.render().unwrap();
        assert!(!text.contains("\"none\""), "{text}");
        assert!(
            text.contains("ffrtmp_worker_power_watts{gpu=\"0\",node_id=\"n1\"} 33.5"),
            "{text}"
        );
    }
}

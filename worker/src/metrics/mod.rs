//! What the worker tells a scraper.
//!
//! Every number is set where it changes, or by the sampler; a scrape only prints them. Nothing here measures. What is where:
//! [`work`] (attempts and what they encode), [`machine`] (processor, memory, disks, network), [`gpus`].

mod ending;
mod gpus;
mod machine;
mod work;

use std::{sync::Arc, time::Instant};

use ffrtmp_api::{
    ids::Attempt,
    metrics::{BuildInfo, Described, Exposition, ProcessMetrics},
    protocol::{Capabilities, GpuLoad, MediaResult, Outcome, Progress},
};
use prometheus::{Gauge, IntCounter, IntGauge};

pub(crate) use ending::Ending;
use gpus::GpuMetrics;
use machine::MachineMetrics;
pub(crate) use machine::{Folder, Host};
use work::WorkMetrics;

/// The worker's metrics. Clones share the numbers.
#[derive(Clone)]
pub(crate) struct Metrics(Arc<Each>);

struct Each {
    exposition: Exposition,
    uptime: Gauge,
    heartbeats: IntCounter,
    connected: IntGauge,
    reconnects: IntCounter,
    /// Whether a master has welcomed it before.
    welcomed: std::sync::atomic::AtomicBool,
    work: WorkMetrics,
    machine: MachineMetrics,
    gpus: GpuMetrics,
    process: ProcessMetrics,
}

impl Metrics {
    /// The metrics of the worker called `node_id`.
    pub(crate) fn new(node_id: &str, build: BuildInfo) -> prometheus::Result<Metrics> {
        let make = Exposition::labelled("node_id", node_id);
        build.export(&make)?;
        Ok(Metrics(Arc::new(Each {
            uptime: make.float(
                "ffrtmp_worker_uptime_seconds",
                "Seconds since the worker started.",
            )?,
            heartbeats: make.counter(
                "ffrtmp_worker_heartbeats_total",
                "Heartbeats sent to the master.",
            )?,
            connected: make.gauge(
                "ffrtmp_worker_connected",
                "1 while the master has welcomed this worker; 0 while it is cut off: encodes go on, nothing new comes.",
            )?,
            reconnects: make.counter(
                "ffrtmp_worker_reconnects_total",
                "Times the master welcomed this worker again after their connection was gone.",
            )?,
            welcomed: Default::default(),
            work: WorkMetrics::new(&make)?,
            machine: MachineMetrics::new(&make)?,
            gpus: GpuMetrics::new(&make)?,
            process: ProcessMetrics::new(&make)?,
            exposition: make,
        })))
    }

    /// Sets the number of slots.
    pub(crate) fn slots(&self, slots: u32) {
        self.0.work.slots(slots);
    }

    /// Sets how many attempts hold a slot.
    pub(crate) fn active_jobs(&self, active: usize) {
        self.0.work.active(active);
    }

    /// An encode moved.
    pub(crate) fn progress(&self, report: &Progress) {
        self.0.work.progress(report, Instant::now());
    }

    /// An attempt has its slot.
    pub(crate) fn begun(&self, attempt: Attempt) {
        self.0.work.goes_on(attempt, Instant::now());
    }

    /// An attempt was paused, or goes on.
    pub(crate) fn paused(&self, attempt: Attempt, paused: bool) {
        match paused {
            true => self.0.work.paused(attempt),
            false => self.0.work.goes_on(attempt, Instant::now()),
        }
    }

    /// An encode is over, well or not.
    pub(crate) fn encode_over(&self, attempt: Attempt) {
        self.0.work.over(attempt);
    }

    /// An encode gave an output.
    pub(crate) fn encoded(&self, result: &MediaResult) {
        self.0.work.encoded(result);
    }

    /// Counts an attempt's end.
    pub(crate) fn finished(&self, outcome: &Outcome) {
        self.0.work.finished(outcome);
    }

    /// An attempt was stopped because the master took it away.
    pub(crate) fn revoked(&self) {
        self.0.work.revoked();
    }

    /// The master took an attempt away.
    pub(crate) fn lease_lost(&self) {
        self.0.work.lease_lost();
    }

    /// Counts a heartbeat.
    pub(crate) fn heartbeat(&self) {
        self.0.heartbeats.inc();
    }

    /// The master welcomed this worker, or their connection is gone.
    pub(crate) fn connected(&self, connected: bool) {
        use std::sync::atomic::Ordering::Relaxed;
        self.0.connected.set(i64::from(connected));
        if connected && self.0.welcomed.swap(true, Relaxed) {
            self.0.reconnects.inc();
        }
    }

    /// Sets what the sampler measured of the host, and looks at this process.
    pub(crate) fn host(&self, host: &Host, uptime_seconds: f64) {
        self.0.uptime.set(uptime_seconds);
        self.0.machine.set(host);
        self.0.process.look();
        self.0.work.sum_up(Instant::now());
    }

    /// Sets what one of the worker's folders has of its disk.
    pub(crate) fn disk(&self, folder: Folder, free_bytes: u64, size_bytes: u64) {
        self.0.machine.disk(folder, free_bytes, size_bytes);
    }

    /// Sets what the machine can do, and what the sampler measured of its GPUs.
    pub(crate) fn machine(&self, can: &Capabilities, loads: &[GpuLoad]) {
        self.0.gpus.set(can, loads);
    }

    /// Everything, in Prometheus' text format.
    pub(crate) fn render(&self) -> prometheus::Result<Vec<u8>> {
        self.0.exposition.render()
    }
}

/// Every metric of a worker, for the document.
///
/// # Errors
/// When two metrics have one name, which a test would have found.
pub fn described() -> prometheus::Result<Vec<Described>> {
    let metrics = Metrics::new("", BuildInfo::default())?;
    Ok(metrics.0.exposition.describe())
}

#[cfg(test)]
mod tests {
    use ffrtmp_api::protocol::Gpu;

    use super::*;

    fn text(metrics: &Metrics) -> String {
        String::from_utf8(metrics.render().unwrap()).unwrap()
    }

    #[test]
    fn without_a_gpu_each_gpu_series_stands_at_zero() {
        let text = text(&Metrics::new("n1", BuildInfo::default()).unwrap());
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
        let metrics = Metrics::new("n1", BuildInfo::default()).unwrap();
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
        let text = text(&metrics);
        assert!(!text.contains("\"none\""), "{text}");
        assert!(
            text.contains("ffrtmp_worker_power_watts{gpu=\"0\",node_id=\"n1\"} 33.5"),
            "{text}"
        );
    }
}

//! The machine a worker runs on: processor, memory, load, disks, network.

use std::sync::{Mutex, PoisonError};

use ffrtmp_api::metrics::Exposition;
use prometheus::{Gauge, GaugeVec, IntCounter, IntGauge, Result};

use crate::network::Traffic;

/// What was measured of a host.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Host {
    /// Percent of all its cores.
    pub(crate) cpu_percent: f32,
    /// Logical processors.
    pub(crate) cores: usize,
    /// Bytes in use.
    pub(crate) memory_used: u64,
    /// Bytes there are.
    pub(crate) memory_size: u64,
    /// Processes that run or wait to, over the last minute.
    pub(crate) load: f64,
    /// Since the machine started; none where it cannot be told.
    pub(crate) traffic: Option<Traffic>,
}

/// A folder of the worker's whose disk is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Folder {
    /// Who it is and what it runs.
    State,
    /// What it writes and nobody keeps.
    Scratch,
}

impl Folder {
    /// Both.
    pub(crate) const ALL: [Folder; 2] = [Folder::State, Folder::Scratch];

    fn as_str(self) -> &'static str {
        match self {
            Folder::State => "state",
            Folder::Scratch => "scratch",
        }
    }
}

/// See the module's head.
pub(super) struct MachineMetrics {
    cpu_usage: Gauge,
    cores: IntGauge,
    memory_used: Gauge,
    memory_size: Gauge,
    load: Gauge,
    disk_free: GaugeVec,
    disk_size: GaugeVec,
    received: IntCounter,
    transmitted: IntCounter,
    /// As it was last read: the counters are given what was added.
    traffic: Mutex<Option<Traffic>>,
}

impl MachineMetrics {
    pub(super) fn new(make: &Exposition) -> Result<MachineMetrics> {
        let folders = Folder::ALL.map(Folder::as_str);
        Ok(MachineMetrics {
            cpu_usage: make.float(
                "ffrtmp_worker_cpu_usage",
                "CPU in use on the worker's host, percent of all cores.",
            )?,
            cores: make.gauge("ffrtmp_worker_cores", "Logical processors of the host.")?,
            memory_used: make.float(
                "ffrtmp_worker_memory_bytes",
                "Memory in use on the worker's host.",
            )?,
            memory_size: make.float("ffrtmp_worker_memory_size_bytes", "Memory of the host.")?,
            load: make.float(
                "ffrtmp_worker_load_1m",
                "Processes that run or wait to on the host, over a minute. Far above `ffrtmp_worker_cores`: it has too many slots.",
            )?,
            disk_free: make.floats(
                "ffrtmp_worker_disk_free_bytes",
                "Free bytes on the disks of the worker's folders: `scratch` fills up with what is encoded.",
                &[("dir", &folders)],
            )?,
            disk_size: make.floats(
                "ffrtmp_worker_disk_size_bytes",
                "Size of the disks of the worker's folders.",
                &[("dir", &folders)],
            )?,
            received: make.counter(
                "ffrtmp_worker_network_receive_bytes_total",
                "Bytes the host's network devices received since the worker started; without loopback and devices made by software.",
            )?,
            transmitted: make.counter(
                "ffrtmp_worker_network_transmit_bytes_total",
                "Bytes the host's network devices sent since the worker started.",
            )?,
            traffic: Mutex::default(),
        })
    }

    pub(super) fn set(&self, host: &Host) {
        self.cpu_usage
            .set(f64::from(host.cpu_percent.clamp(0.0, 100.0)));
        self.cores
            .set(i64::try_from(host.cores).unwrap_or(i64::MAX));
        self.memory_used.set(host.memory_used as f64);
        self.memory_size.set(host.memory_size as f64);
        self.load.set(host.load);
        let mut before = self.traffic.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(before), Some(now)) = (*before, host.traffic) {
            // A device that went away takes its count with it.
            self.received
                .inc_by(now.received.saturating_sub(before.received));
            self.transmitted
                .inc_by(now.transmitted.saturating_sub(before.transmitted));
        }
        *before = host.traffic.or(*before);
    }

    pub(super) fn disk(&self, folder: Folder, free_bytes: u64, size_bytes: u64) {
        let label = [folder.as_str()];
        self.disk_free
            .with_label_values(&label)
            .set(free_bytes as f64);
        self.disk_size
            .with_label_values(&label)
            .set(size_bytes as f64);
    }
}

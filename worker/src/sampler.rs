//! Measures the machine once a second, on a thread of its own, so that heartbeats and scrapes only read numbers that
//! are already there.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::{Duration, Instant},
};

use anyhow::Context;
use ffrtmp_api::protocol::Heartbeat;
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

use tokio::sync::watch;

use crate::{
    capabilities::{gpu::Gpus, survey::Survey},
    metrics::{Host, Metrics},
    network,
};

/// Between two samples.
const EVERY: Duration = Duration::from_secs(1);
/// CPU samples averaged for the heartbeat: ten seconds, so that a policy does not chase noise.
const AVERAGED: usize = 10;

/// The running sampler. It ends when this is dropped.
pub(crate) struct Sampler {
    latest: Arc<Mutex<Heartbeat>>,
    _stop: mpsc::Sender<()>,
}

impl Sampler {
    /// Starts the thread.
    pub(crate) fn start(
        gpus: Arc<Gpus>,
        survey: watch::Receiver<Survey>,
        metrics: Metrics,
    ) -> anyhow::Result<Sampler> {
        let latest = Arc::new(Mutex::new(Heartbeat::default()));
        let (stop, stopped) = mpsc::channel::<()>();
        let shared = Arc::clone(&latest);
        let mut system = System::new_with_specifics(
            RefreshKind::nothing()
                .with_cpu(CpuRefreshKind::nothing().with_usage())
                .with_memory(MemoryRefreshKind::nothing().with_ram()),
        )
        .context("this machine's CPU and memory cannot be measured")?;
        std::thread::Builder::new()
            .name("sampler".into())
            .spawn(move || {
                let started = Instant::now();
                let mut recent = VecDeque::with_capacity(AVERAGED);
                loop {
                    system.refresh_cpu_usage();
                    system.refresh_memory();
                    let cpu = system.global_cpu_usage().clamp(0.0, 100.0);
                    if recent.len() == AVERAGED {
                        recent.pop_front();
                    }
                    recent.push_back(cpu);
                    let memory = system.used_memory();
                    let host = Host {
                        cpu_percent: cpu,
                        cores: system.cpus().len(),
                        memory_used: memory,
                        memory_size: system.total_memory(),
                        load: System::load_average().map_or(0.0, |load| load.one),
                        traffic: network::traffic(),
                    };
                    metrics.host(&host, started.elapsed().as_secs_f64());
                    let loads = gpus.read();
                    metrics.machine(&survey.borrow().capabilities, &loads);
                    *shared.lock().unwrap_or_else(PoisonError::into_inner) = Heartbeat {
                        cpu_percent: recent.iter().sum::<f32>() / recent.len() as f32,
                        memory_used_mib: u32::try_from(memory / (1024 * 1024)).unwrap_or(u32::MAX),
                        gpus: loads,
                        // Said when it is sent.
                        wall_ms: None,
                    };
                    if stopped.recv_timeout(EVERY) != Err(mpsc::RecvTimeoutError::Timeout) {
                        return;
                    }
                }
            })?;
        Ok(Sampler {
            latest,
            _stop: stop,
        })
    }

    /// The newest numbers.
    pub(crate) fn latest(&self) -> Heartbeat {
        self.latest
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

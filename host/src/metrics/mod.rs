//! What the master exports. Every value is copied from the core's counts after each batch of events, or set where it changes; a
//! scrape reads memory and nothing else. Label values are bounded words, zero-filled from the start.
//!
//! To add one: a line where its kind is made ([`jobs`], [`rounds`], [`nodes`]; the store's, the spool's, the policies' and HTTP's
//! are with those), and `make docs`.

#[cfg(test)]
#[allow(clippy::unwrap_used)] // in a test that is how one fails
mod cost;
mod jobs;
mod nodes;
mod rounds;
mod sampler;
mod totals;

use std::time::{Duration, Instant};

use ffrtmp_api::{
    metrics::{BuildInfo, Described, Exposition, ProcessMetrics},
    rest,
};
use prometheus::{Gauge, core::Collector};

use crate::{
    core::stats::Stats, http::HttpMetrics, policy::PolicyHost, spool::SpoolMetrics,
    store::StoreMetrics, webhooks::WebhookMetrics,
};
use jobs::JobMetrics;
use nodes::NodeMetrics;
use rounds::RoundMetrics;
pub use sampler::Sampler;

/// The master's metrics.
#[derive(Debug)]
pub struct Metrics {
    exposition: Exposition,
    started: Instant,
    uptime: Gauge,
    jobs: JobMetrics,
    rounds: RoundMetrics,
    nodes: NodeMetrics,
    process: ProcessMetrics,
    /// The store's own.
    pub store: StoreMetrics,
    /// The spool's own.
    pub spool: SpoolMetrics,
    /// The webhooks' own.
    pub webhooks: WebhookMetrics,
    /// Of requests and sessions.
    pub http: HttpMetrics,
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// When two metrics have one name, which a test would have found.
    pub fn new(build: BuildInfo) -> Result<Metrics, prometheus::Error> {
        let exposition = Exposition::default();
        build.export(&exposition)?;
        Ok(Metrics {
            started: Instant::now(),
            uptime: exposition.float(
                "ffrtmp_master_uptime_seconds",
                "Seconds since the master started.",
            )?,
            jobs: JobMetrics::new(&exposition)?,
            rounds: RoundMetrics::new(&exposition)?,
            nodes: NodeMetrics::new(&exposition)?,
            process: ProcessMetrics::new(&exposition)?,
            store: StoreMetrics::new(&exposition)?,
            spool: SpoolMetrics::new(&exposition)?,
            webhooks: WebhookMetrics::new(&exposition)?,
            http: HttpMetrics::new(&exposition)?,
            exposition,
        })
    }

    /// Copies the core's counts, and takes what it gathered.
    pub fn update(&self, stats: &mut Stats) {
        self.jobs.update(stats);
        self.rounds.update(stats);
        self.nodes.update(stats);
        self.jobs.take(std::mem::take(&mut stats.fresh));
    }

    /// Copies what the core counted at its last look.
    pub fn looked(&self, stats: &Stats) {
        self.jobs.looked(stats);
        self.nodes.looked(stats);
    }

    /// A question's answer was carried out so long after it was asked.
    pub fn decided(&self, after: Duration) {
        self.rounds.decided(after);
    }

    /// Exports what another part of the master counts itself.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn add(&self, metrics: Box<dyn Collector>) -> Result<(), prometheus::Error> {
        self.exposition.register_boxed(metrics)
    }

    /// The core was built anew and counts from zero again.
    pub fn rebuilt(&self) {
        self.jobs.rebuilt();
        self.rounds.rebuilt();
        self.nodes.rebuilt();
    }

    /// The same in numbers for programs; what the core must be asked for is left out.
    pub fn stats(&self) -> rest::Stats {
        let mut stats = rest::Stats {
            uptime_seconds: self.started.elapsed().as_secs_f64(),
            read_only: self.store.is_read_only(),
            ..rest::Stats::default()
        };
        self.jobs.fill(&mut stats);
        self.nodes.fill(&mut stats);
        stats
    }

    /// The exposition.
    ///
    /// # Errors
    /// When a metric cannot be encoded.
    pub fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        self.uptime.set(self.started.elapsed().as_secs_f64());
        self.exposition.render()
    }
}

/// Every metric of a master, for the document.
///
/// # Errors
/// When two metrics have one name, which a test would have found.
pub fn described() -> Result<Vec<Described>, prometheus::Error> {
    let metrics = Metrics::new(BuildInfo::default())?;
    metrics.add(PolicyHost::metrics_of_none()?)?;
    Ok(metrics.exposition.describe())
}

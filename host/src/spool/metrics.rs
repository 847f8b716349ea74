//! What the spool exports. Set when something changes, so that a scrape reads memory only.

use ffrtmp_api::metrics::Exposition;
use prometheus::{IntCounterVec, IntGauge, IntGaugeVec};

/// What a file can be, as a label.
pub(super) const KINDS: [&str; 3] = ["input", "output", "incomplete"];
/// Why a file can be refused, as a label.
const REASONS: [&str; 4] = ["quota", "file_size", "disk", "checksum"];

/// The spool's metrics.
#[derive(Debug, Clone)]
pub struct SpoolMetrics {
    pub(super) bytes: IntGaugeVec,
    pub(super) files: IntGaugeVec,
    pub(super) max: IntGauge,
    pub(super) refused: IntCounterVec,
}

impl SpoolMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// When one of these names is taken.
    pub fn new(make: &Exposition) -> Result<SpoolMetrics, prometheus::Error> {
        Ok(SpoolMetrics {
            bytes: make.gauges(
                "ffrtmp_spool_bytes",
                "Bytes on disk in the spool, by kind of file.",
                &[("kind", &KINDS)],
            )?,
            files: make.gauges(
                "ffrtmp_spool_files",
                "Files in the spool, by kind.",
                &[("kind", &KINDS)],
            )?,
            max: make.gauge("ffrtmp_spool_max_bytes", "Most bytes the spool may hold.")?,
            refused: make.counters(
                "ffrtmp_spool_refused_total",
                "Files the spool refused or dropped, by reason.",
                &[("reason", &REASONS)],
            )?,
        })
    }
}

//! What the spool exports. Set when something changes, so that a scrape reads memory only.

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

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
    pub fn new(registry: &Registry) -> Result<SpoolMetrics, prometheus::Error> {
        let by_kind = |name: &str, help: &str| -> Result<IntGaugeVec, prometheus::Error> {
            let gauges = IntGaugeVec::new(Opts::new(name, help), &["kind"])?;
            KINDS
                .iter()
                .for_each(|kind| gauges.with_label_values(&[kind]).set(0));
            registry.register(Box::new(gauges.clone()))?;
            Ok(gauges)
        };
        let bytes = by_kind(
            "ffrtmp_spool_bytes",
            "Bytes on disk in the spool, by kind of file.",
        )?;
        let files = by_kind("ffrtmp_spool_files", "Files in the spool, by kind.")?;
        let max = IntGauge::new("ffrtmp_spool_max_bytes", "Most bytes the spool may hold.")?;
        registry.register(Box::new(max.clone()))?;
        let refused = IntCounterVec::new(
            Opts::new(
                "ffrtmp_spool_refused_total",
                "Files the spool refused or dropped, by reason.",
            ),
            &["reason"],
        )?;
        REASONS
            .iter()
            .for_each(|reason| drop(refused.with_label_values(&[reason])));
        registry.register(Box::new(refused.clone()))?;
        Ok(SpoolMetrics {
            bytes,
            files,
            max,
            refused,
        })
    }
}

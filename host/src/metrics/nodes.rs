//! The workers, as the master sees them. What each says of itself is in its own metrics.

use ffrtmp_api::{
    metrics::Exposition,
    rest::{self, NodeStatus},
};
use prometheus::{IntGauge, IntGaugeVec, Result};

use super::totals::Total;
use crate::core::stats::Stats;

/// See the module's head.
#[derive(Debug)]
pub(super) struct NodeMetrics {
    known: IntGauge,
    by_status: IntGaugeVec,
    clock_off: IntGauge,
    slots: IntGauge,
    slots_used: IntGauge,
    leases_lost: Total,
    lost: Total,
    quarantines: Total,
}

impl NodeMetrics {
    pub(super) fn new(make: &Exposition) -> Result<NodeMetrics> {
        let statuses: Vec<&str> = NodeStatus::ALL.iter().map(|s| s.as_str()).collect();
        Ok(NodeMetrics {
            known: make.gauge(
                "ffrtmp_nodes_total",
                "Workers known; one that is away is forgotten after a day. A gauge: it is the name dashboards know.",
            )?,
            by_status: make.gauges(
                "ffrtmp_nodes_by_status",
                "Workers by status: `busy` has no slot left, `draining` takes nothing new, `quarantined` failed too much or lacks ffmpeg.",
                &[("status", &statuses)],
            )?,
            clock_off: make.gauge(
                "ffrtmp_nodes_clock_off",
                "Connected workers whose wall clock is more than 5 s from the master's.",
            )?,
            slots: make.gauge("ffrtmp_slots", "Slots of all workers that take work.")?,
            slots_used: make.gauge(
                "ffrtmp_slots_used",
                "Those of them that are taken. Near `ffrtmp_slots` for long: more workers are needed.",
            )?,
            leases_lost: Total::new(make.counter(
                "ffrtmp_leases_lost_total",
                "Attempts given up because their worker was gone. They run again elsewhere.",
            )?),
            lost: Total::new(make.counter(
                "ffrtmp_node_losses_total",
                "Workers that went silent for longer than their lease without having said that they go.",
            )?),
            quarantines: Total::new(make.counter(
                "ffrtmp_node_quarantines_total",
                "Times a worker was quarantined because too much failed there.",
            )?),
        })
    }

    pub(super) fn update(&self, stats: &Stats) {
        for (status, count) in &stats.nodes {
            self.by_status
                .with_label_values(&[status.as_str()])
                .set(*count as i64);
        }
        self.known.set(stats.nodes.values().sum::<u64>() as i64);
        self.clock_off.set(stats.nodes_clock_off as i64);
        self.leases_lost.is(stats.leases_lost);
        self.lost.is(stats.nodes_lost);
        self.quarantines.is(stats.quarantines);
    }

    /// What the core counted at its last look.
    pub(super) fn looked(&self, stats: &Stats) {
        self.slots.set(stats.slots.0 as i64);
        self.slots_used.set(stats.slots.1 as i64);
    }

    pub(super) fn rebuilt(&self) {
        self.leases_lost.begins_anew();
        self.lost.begins_anew();
        self.quarantines.begins_anew();
    }

    /// The same in numbers for programs.
    pub(super) fn fill(&self, stats: &mut rest::Stats) {
        let count = |status: &NodeStatus| {
            let gauge = self.by_status.with_label_values(&[status.as_str()]);
            u64::try_from(gauge.get()).unwrap_or(0)
        };
        stats.nodes = NodeStatus::ALL.iter().map(|s| (*s, count(s))).collect();
    }
}

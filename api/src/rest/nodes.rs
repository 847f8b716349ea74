//! Workers, as users see them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    encoder::EncoderSet,
    ids::JobSeq,
    protocol::{Gpu, GpuLoad, GuardReport, Unavailable},
};

/// How a worker stands; the label values of `ffrtmp_nodes_by_status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum NodeStatus {
    /// Connected, with a free slot.
    Available,
    /// Connected, every slot taken.
    Busy,
    /// Not connected, or silent past its lease.
    Offline,
    /// Finishing what it has, taking nothing new.
    Draining,
    /// Connected, given nothing, or one job at a time, because too much fails there or because it says that it can run nothing.
    Quarantined,
}

impl NodeStatus {
    /// Every status, in order.
    pub const ALL: [NodeStatus; 5] = [
        NodeStatus::Available,
        NodeStatus::Busy,
        NodeStatus::Offline,
        NodeStatus::Draining,
        NodeStatus::Quarantined,
    ];

    /// The word on the wire and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            NodeStatus::Available => "available",
            NodeStatus::Busy => "busy",
            NodeStatus::Offline => "offline",
            NodeStatus::Draining => "draining",
            NodeStatus::Quarantined => "quarantined",
        }
    }
}

/// A worker, as `GET /v1/nodes` shows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Node {
    /// Its name; `node_id` in metrics.
    pub name: String,
    /// How it stands.
    pub status: NodeStatus,
    /// Whether an operator took it out of service: it finishes what it has and takes nothing new, through its own restarts
    /// and the master's, until it is put back.
    #[serde(default)]
    pub drained: bool,
    /// Software version.
    pub software: String,
    /// First line of its `ffmpeg -version`.
    pub ffmpeg: String,
    /// Most attempts at once.
    pub slots: u32,
    /// Attempts it holds now.
    pub slots_used: u32,
    /// Cores, in thousandths.
    pub cpu_millicores: u32,
    /// Memory, in MiB.
    pub memory_mib: u32,
    /// Host CPU in use, percent.
    pub cpu_percent: f32,
    /// Host memory in use, in MiB.
    pub memory_used_mib: u32,
    /// Encoders proven by trial.
    pub encoders: EncoderSet,
    /// Encoders that cannot be used there, and why.
    #[serde(default)]
    pub unavailable: Vec<Unavailable>,
    /// Its quarantine, if too much failed there.
    #[serde(default)]
    pub quarantine: Option<Quarantine>,
    /// Why it can run nothing at all at present, in its own words.
    #[serde(default)]
    pub unfit: Option<String>,
    /// What keeps its jobs from harming it, each other, or what it can reach.
    #[serde(default)]
    pub guards: Vec<GuardReport>,
    /// GPUs.
    pub gpus: Vec<Gpu>,
    /// Load of each.
    pub gpu_loads: Vec<GpuLoad>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Where its metrics are: `host:port`, behind `https://` where they are served over TLS.
    pub metrics_address: Option<String>,
    /// Milliseconds since the last frame from it; none if it has not been heard since the master started.
    pub silent_ms: Option<u64>,
    /// How far its wall clock is ahead of the master's (below zero: behind), in milliseconds, as of the last time it told;
    /// a delay on the way makes it look behind by that much. None if it has not told.
    #[serde(default)]
    pub clock_skew_ms: Option<i64>,
    /// The jobs it holds.
    pub jobs: Vec<JobSeq>,
}

/// A worker is kept from work because far more failed there than elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Quarantine {
    /// What failed, for people.
    pub why: String,
    /// Until when it is given nothing, milliseconds since 1970; none once that is over and it is on probation: given one job at
    /// a time.
    pub until_ms: Option<i64>,
    /// Jobs that must succeed on probation before it is in service again.
    pub to_prove: u32,
    /// How often it was put out since it was last in service; each time lasts twice as long as the one before.
    pub times: u32,
}

/// `GET /v1/nodes`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeList {
    /// By name.
    pub nodes: Vec<Node>,
}

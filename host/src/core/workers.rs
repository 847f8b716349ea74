//! The workers: who they are, whether they can be reached, what they hold. What is *free* on them is the policy SDK's
//! [`Cluster`], kept beside this table from the same changes, so that the core, the built-in policy and the wasm policy
//! all count alike.

use std::collections::{BTreeMap, BTreeSet};

use ffrtmp_api::{
    ids::JobSeq,
    protocol::{Capabilities, GpuLoad, Heartbeat, Hello},
    rest::NodeStatus,
};
use ffrtmp_policy_sdk::{Gpu, Resources, Worker as WorkerView, WorkerId};
use uuid::Uuid;

use super::{classes::Classes, event::SessionId, quarantine::Trust, skew::Skew};

/// A known worker.
#[derive(Debug)]
pub struct Worker {
    /// Its number, for policies.
    pub id: WorkerId,
    /// Its name.
    pub name: String,
    /// Who it is behind the name.
    pub install_id: Uuid,
    /// Its connection, once its hello was accepted.
    pub session: Option<SessionId>,
    /// When what it holds is given up, unless it is heard before; monotonic milliseconds.
    pub lease_until_ms: u64,
    /// Whether its lease ran out and what it held was given up.
    pub expired: bool,
    /// When it was last heard, monotonic; none since the master started.
    pub heard_ms: Option<u64>,
    /// Whether it is shutting down.
    pub draining: bool,
    /// Whether an operator took it out of service.
    pub drained: bool,
    /// The jobs it holds.
    pub jobs: BTreeSet<JobSeq>,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its software version.
    pub software: String,
    /// Where its metrics are.
    pub metrics_address: Option<String>,
    /// What is thought of it.
    pub trust: Trust,
    /// How far its wall clock is off.
    pub skew: Skew,
    /// What it last said of its load.
    pub load: Heartbeat,
    /// The status it was last counted under.
    pub status: NodeStatus,
}

impl Worker {
    /// A worker that is known by name only (from the store), or is about to say hello.
    pub fn known(id: WorkerId, name: String, install_id: Uuid, lease_until_ms: u64) -> Self {
        Worker {
            id,
            name,
            install_id,
            session: None,
            lease_until_ms,
            expired: false,
            heard_ms: None,
            draining: false,
            drained: false,
            jobs: BTreeSet::new(),
            capabilities: Capabilities::default(),
            labels: BTreeMap::new(),
            software: String::new(),
            metrics_address: None,
            trust: Trust::default(),
            skew: Skew::default(),
            load: Heartbeat::default(),
            status: NodeStatus::Offline,
        }
    }

    /// Takes over what a hello says.
    pub fn introduce(&mut self, hello: Hello) {
        self.install_id = hello.install_id;
        self.capabilities = hello.capabilities;
        self.labels = hello.labels;
        self.software = hello.software;
        self.metrics_address = hello.metrics_address;
        self.draining = false;
        self.expired = false;
    }

    /// Whether it takes new work.
    pub fn accepting(&self) -> bool {
        self.session.is_some()
            && !self.draining
            && !self.drained
            && !self.expired
            && self.capabilities.unfit.is_none()
            && !self.trust.is_out()
    }

    /// How it stands now.
    pub fn status_now(&self) -> NodeStatus {
        match self.session {
            _ if self.expired => NodeStatus::Offline,
            None => NodeStatus::Offline,
            Some(_) if self.draining || self.drained => NodeStatus::Draining,
            Some(_) if self.capabilities.unfit.is_some() => NodeStatus::Quarantined,
            Some(_) if self.trust.quarantine.is_some() => NodeStatus::Quarantined,
            Some(_) if self.jobs.len() >= self.capabilities.slots as usize => NodeStatus::Busy,
            Some(_) => NodeStatus::Available,
        }
    }

    /// Itself, as a policy sees it, with nothing held.
    pub fn empty_view(&self, classes: &Classes) -> WorkerView {
        let caps = &self.capabilities;
        WorkerView {
            id: self.id,
            name: self.name.clone(),
            accepting: self.accepting(),
            slots: match self.trust.on_probation() {
                true => 1,
                false => caps.slots,
            },
            slots_used: 0,
            capacity: Resources {
                cpu_millicores: caps.cpu_millicores,
                memory_mib: caps.memory_mib,
                ..Resources::default()
            },
            reserved: Resources::default(),
            cpu_load_permille: permille(self.load.cpu_percent),
            memory_used_mib: self.load.memory_used_mib,
            encoders: caps.encoders.bits(),
            tags: classes.tags_met(&self.labels),
            labels: self.labels.clone().into_iter().collect(),
            gpus: caps
                .gpus
                .iter()
                .enumerate()
                .map(|(i, gpu)| Gpu {
                    memory_mib: gpu.memory_mib,
                    sessions_max: gpu.sessions_max,
                    load_permille: self.load.gpus.get(i).and_then(gpu_permille).unwrap_or(0),
                    ..Gpu::default()
                })
                .collect(),
        }
    }
}

/// Percent as a worker reports it, as whole thousandths, whatever it reports.
pub fn permille(percent: f32) -> u32 {
    // `as` saturates and takes NaN to 0, so a worker's nonsense stays in range.
    ((percent * 10.0) as u32).min(1000)
}

/// A GPU's utilisation in thousandths, where its driver tells.
pub fn gpu_permille(load: &GpuLoad) -> Option<u32> {
    load.utilisation_percent.map(permille)
}

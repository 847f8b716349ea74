//! What a worker lends to its encodes.

use std::{path::PathBuf, sync::Arc, time::Duration};

use ffrtmp_api::{job::FailureReason, protocol::Assignment};
use tokio::sync::watch;

use super::{prepare::blocking, room::Disks};
use crate::{
    capabilities::survey::Survey,
    ffmpeg::{diagnosis::Failure, program::Programs, spawner::Spawner},
    guard::Guard,
    node::{
        cgroups::{Group, Groups, Limits},
        records::Records,
    },
    transfer::Transfer,
    trust::Trust,
};

/// What an encode needs of its worker.
#[derive(Clone)]
pub(crate) struct Bench {
    /// Gives birth to processes.
    pub(crate) spawner: Spawner,
    /// What jobs may reach.
    pub(crate) guard: Guard,
    /// Whom their servers are taken for.
    pub(crate) trust: Arc<Trust>,
    /// The control groups they run in, if there are any.
    pub(crate) groups: Option<JobGroups>,
    /// ffmpeg and ffprobe.
    pub(crate) programs: Programs,
    /// What the machine can do now: which device a GPU's number means.
    pub(crate) survey: watch::Receiver<Survey>,
    /// Where outputs nobody asked to keep go, and what is fetched or handed back.
    pub(crate) scratch: PathBuf,
    /// What its encodes will write.
    pub(crate) disks: Arc<Disks>,
    /// To and from the master's spool.
    pub(crate) transfer: Transfer,
    /// What a next life of the worker must know.
    pub(crate) records: Records,
    /// Longest silence of an encode.
    pub(crate) stall_timeout: Duration,
    /// From SIGTERM to SIGKILL.
    pub(crate) kill_grace: Duration,
    /// Longest ffprobe.
    pub(crate) probe_timeout: Duration,
}

/// Makes the control groups of attempts.
#[derive(Clone)]
pub(crate) struct JobGroups {
    /// Where.
    pub(crate) groups: Arc<Groups>,
    /// Whether a job gets no more than it reserved.
    pub(crate) capped: bool,
}

impl JobGroups {
    /// The group of an attempt. Where jobs only share, one runs without rather than not at all.
    pub(super) async fn make(&self, order: &Assignment) -> Result<Option<Arc<Group>>, Failure> {
        let limits = Limits {
            reserved: order.reserved,
            queue: order.queue,
            capped: self.capped,
        };
        let (groups, attempt, capped) = (Arc::clone(&self.groups), order.attempt, self.capped);
        blocking(move || match groups.make(attempt, &limits) {
            Ok(group) => Ok(Some(Arc::new(group))),
            Err(error) if capped => Err(Failure::new(
                FailureReason::PlatformError,
                format!(
                    "no control group can be made for the job, whose limits are to hold: {error}"
                ),
            )),
            Err(error) => {
                tracing::warn!(%attempt, %error, "the job runs without a control group");
                Ok(None)
            }
        })
        .await
    }
}

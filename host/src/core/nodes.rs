//! What operators do with workers: look at them, take them out of service and put them back, remove them.

use ffrtmp_api::{
    job::{JobState, Queue},
    rest::{ClusterEvent, Node},
};
use ffrtmp_policy_sdk::{Change, WorkerId};

use super::{
    Core, Effect, NodeControl, NodeError, Now, Reply, ReplyTo, Room, record::Record,
    workers::Worker,
};

impl Core {
    pub(super) fn node(
        &mut self,
        name: String,
        control: NodeControl,
        reply: ReplyTo,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let result = match self.names.get(&name).copied() {
            None => Err(NodeError::Unknown { name }),
            Some(id) => match control {
                NodeControl::Show => Ok(()),
                NodeControl::Drain | NodeControl::Undrain => {
                    self.set_drained(id, control == NodeControl::Drain, out);
                    if control == NodeControl::Undrain {
                        self.release(id, "an operator put it back into service", now, out);
                    }
                    Ok(())
                }
                NodeControl::Remove => self.remove_worker(id, now, out),
            }
            .map(|()| self.workers.get(&id).map(|w| Box::new(shown(w, now)))),
        };
        out.push(Effect::Reply(reply, Reply::Node(result)));
    }

    /// Takes a worker out of service, or puts it back. It keeps its session and what it holds.
    fn set_drained(&mut self, id: WorkerId, drained: bool, out: &mut Vec<Effect>) {
        let Some(worker) = self.workers.get_mut(&id).filter(|w| w.drained != drained) else {
            return;
        };
        worker.drained = drained;
        let (name, accepting) = (worker.name.clone(), worker.accepting());
        out.push(Effect::Persist(Record::WorkerDrained { name, drained }));
        self.change(Change::WorkerAccepting {
            worker: id,
            accepting,
        });
        self.recount(id);
        if self.telling {
            self.nodes_changed.insert(id); // also one that is offline, and stays so
        }
        // Which jobs could ever fit depends on who takes work.
        self.unpark();
        self.rounds.wake();
    }

    /// Forgets a worker that is not connected. What it ran is given up as when its lease ends.
    fn remove_worker(
        &mut self,
        id: WorkerId,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<(), NodeError> {
        let Some(worker) = self.workers.get(&id) else {
            return Ok(());
        };
        let name = worker.name.clone();
        if worker.session.is_some() {
            let jobs = worker.jobs.len();
            return Err(NodeError::Connected { name, jobs });
        }
        // Its file is the only one that may become the output, so the job cannot simply run again.
        if let Some(job) = worker.jobs.iter().copied().find(|seq| {
            self.jobs
                .get(seq)
                .is_some_and(|job| job.status.state == JobState::Publishing)
        }) {
            let hours = self.config.forget_ms / 3_600_000;
            return Err(NodeError::Publishing { name, job, hours });
        }
        self.lose_all(id, "its worker was removed by an operator", now, out);
        self.forget(id, out);
        Ok(())
    }

    /// How much room there is.
    pub(super) fn room(&self, now: Now) -> Room {
        let mut room = Room::default();
        for worker in self.workers.values().filter(|w| w.accepting()) {
            room.slots += u64::from(worker.capabilities.slots);
            room.slots_used += worker.jobs.len() as u64;
        }
        let oldest = Queue::ALL
            .iter()
            .filter_map(|queue| self.waits.oldest(*queue));
        room.oldest_waiting_ms = oldest
            .min()
            .map(|since| (now.wall_ms - since).max(0) as u64);
        room
    }

    /// Tells each worker whose status changed, once, as it is now.
    pub(super) fn tell_nodes(&mut self, now: Now, out: &mut Vec<Effect>) {
        for id in std::mem::take(&mut self.nodes_changed) {
            if let Some(worker) = self.workers.get(&id) {
                let event = ClusterEvent::Node(shown(worker, now));
                out.push(Effect::Tell(Box::new(event)));
            }
        }
    }

    pub(super) fn list_nodes(&self, now: Now) -> Vec<Node> {
        // `names` is sorted.
        self.names
            .values()
            .filter_map(|id| self.workers.get(id))
            .map(|worker| shown(worker, now))
            .collect()
    }
}

/// A worker, as users see it.
fn shown(worker: &Worker, now: Now) -> Node {
    Node {
        name: worker.name.clone(),
        status: worker.status_now(),
        drained: worker.drained,
        software: worker.software.clone(),
        ffmpeg: worker.capabilities.ffmpeg.clone(),
        slots: worker.capabilities.slots,
        slots_used: worker.jobs.len() as u32,
        cpu_millicores: worker.capabilities.cpu_millicores,
        memory_mib: worker.capabilities.memory_mib,
        cpu_percent: worker.load.cpu_percent,
        memory_used_mib: worker.load.memory_used_mib,
        encoders: worker.capabilities.encoders,
        unavailable: worker.capabilities.unavailable.clone(),
        quarantine: worker.trust.quarantine.clone(),
        unfit: worker.capabilities.unfit.clone(),
        guards: worker.capabilities.guards.clone(),
        gpus: worker.capabilities.gpus.clone(),
        gpu_loads: worker.load.gpus.clone(),
        labels: worker.labels.clone(),
        metrics_address: worker.metrics_address.clone(),
        silent_ms: worker
            .heard_ms
            .map(|heard| now.mono_ms.saturating_sub(heard)),
        clock_skew_ms: worker.skew.ms(),
        jobs: worker.jobs.iter().copied().collect(),
    }
}

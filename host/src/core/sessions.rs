//! Workers coming and going: hello, heartbeat, draining, disconnection.

use std::collections::BTreeMap;

use ffrtmp_api::{
    ids::JobSeq,
    job::JobState,
    limits,
    protocol::{self, Heartbeat, Hello, LiveAttempt, ToMaster, ToWorker},
};
use ffrtmp_policy_sdk::{Change, WorkerId};

use super::{
    Core, Effect, Now, SessionId,
    record::{Record, WorkerRow},
    workers::{self, Worker},
};

/// Most slots a worker may have: above what the largest machines can use, and small enough to bound a session's work.
const SLOTS_MAX: u32 = 4_096;
/// Most GPUs in one worker.
const GPUS_MAX: usize = 64;
/// Most encoders it may say it has not, GPUs counted one by one.
const UNAVAILABLE_MAX: usize = 1_024;
/// Most guards a worker may tell of.
const GUARDS_MAX: usize = 32;
/// Load changes smaller than this are not passed to the policy, in thousandths.
const LOAD_STEP_PERMILLE: u32 = 20;

impl Core {
    pub(super) fn frame(
        &mut self,
        session: SessionId,
        frame: ToMaster,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        if let ToMaster::Hello(hello) = frame {
            return self.hello(session, *hello, now, out);
        }
        let Some(id) = self.sessions.get(&session).copied() else {
            // Its hello was refused, its session was replaced, or this core is younger than the session. Only a heartbeat
            // is answered, so that a burst of frames does not become a burst of hellos.
            if matches!(frame, ToMaster::Heartbeat(_)) {
                out.push(Effect::Send(session, ToWorker::Resync));
            }
            return;
        };
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.heard_ms = Some(now.mono_ms);
            worker.lease_until_ms = now.mono_ms + self.config.lease_ms;
        }
        match frame {
            ToMaster::Hello(_) => {}
            ToMaster::Heartbeat(heartbeat) => self.heartbeat(id, heartbeat, now),
            ToMaster::Started { attempt, .. } => self.attempt_started(id, attempt, now, out),
            ToMaster::Paused { attempt, paused } => {
                self.attempt_paused(id, attempt, paused, now, out)
            }
            ToMaster::Encoded {
                attempt,
                temp,
                bytes,
                result,
            } => {
                self.attempt_encoded(id, attempt, temp, bytes, result, now, out);
            }
            ToMaster::Outcome {
                attempt,
                outcome,
                log,
            } => self.attempt_outcome(id, attempt, outcome, log, now, out),
            ToMaster::Draining => {
                if let Some(worker) = self.workers.get_mut(&id) {
                    worker.draining = true;
                }
                self.change(Change::WorkerAccepting {
                    worker: id,
                    accepting: false,
                });
                self.recount(id);
            }
            // The shell keeps these; they decide nothing.
            ToMaster::Progress { .. } | ToMaster::Log { .. } => {}
        }
    }

    fn hello(&mut self, session: SessionId, hello: Hello, now: Now, out: &mut Vec<Effect>) {
        let known = self
            .sessions
            .get(&session)
            .and_then(|id| self.workers.get(id));
        let admitted = if known.is_some_and(|w| w.name != hello.name) {
            // One session is one worker; what the first one held would have nobody to speak for it.
            self.session_closed(session);
            let message =
                "this session introduced itself under another name before; open another session";
            Err((message.into(), true))
        } else {
            self.admit(&hello, now, out)
        };
        let id = match admitted {
            Ok(id) => id,
            Err((message, retry)) => {
                out.push(Effect::Send(session, ToWorker::Refused { message, retry }));
                out.push(Effect::Close(session));
                return;
            }
        };
        let attempts: BTreeMap<JobSeq, LiveAttempt> = hello
            .attempts
            .iter()
            .map(|live| (live.attempt.job, *live))
            .collect();
        let row = WorkerRow {
            name: hello.name.clone(),
            install_id: hello.install_id,
            seen_ms: now.wall_ms,
            drained: self.workers.get(&id).is_some_and(|w| w.drained),
            quarantine: self
                .workers
                .get(&id)
                .and_then(|w| w.trust.quarantine.clone()),
        };
        self.sessions.insert(session, id);
        let mut same_session = false;
        let wall_ms = hello.wall_ms;
        if let Some(worker) = self.workers.get_mut(&id) {
            same_session = worker.session == Some(session);
            if let Some(old) = worker
                .session
                .replace(session)
                .filter(|old| *old != session)
            {
                self.sessions.remove(&old);
                out.push(Effect::Close(old));
            }
            worker.introduce(bounded(hello));
            worker.heard_ms = Some(now.mono_ms);
            worker.lease_until_ms = now.mono_ms + self.config.lease_ms;
        }
        self.compare_clocks(id, wall_ms, 0, now);
        out.push(Effect::Persist(Record::WorkerKnown(row)));
        out.push(Effect::Send(
            session,
            ToWorker::Welcome {
                version: protocol::VERSION,
                heartbeat_ms: self.config.heartbeat_ms,
                cutoff_ms: self.config.cutoff_ms(),
            },
        ));
        self.announce(id);
        self.unpark();
        self.reconcile(id, &attempts, same_session, now, out);
        for seq in self.stranded.clone() {
            self.ask_another_to_publish(seq, out);
        }
        self.recount(id);
        self.rounds.wake();
    }

    /// Whether the worker may join, and as which one.
    fn admit(
        &mut self,
        hello: &Hello,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<WorkerId, (String, bool)> {
        if hello.version < protocol::VERSION_MIN || hello.version_min > protocol::VERSION {
            return Err((
                format!(
                    "this master speaks worker protocol {} to {}, the worker {} to {} (its version is {}); install matching versions",
                    protocol::VERSION_MIN,
                    protocol::VERSION,
                    hello.version_min,
                    hello.version,
                    hello.software
                ),
                false,
            ));
        }
        let name = &hello.name;
        if name.is_empty()
            || name.len() > limits::NAME_BYTES_MAX
            || name.chars().any(ffrtmp_api::text::is_unfit)
        {
            return Err((
                format!(
                    "the worker's name must have 1 to {} bytes and no control character; set another with --name",
                    limits::NAME_BYTES_MAX
                ),
                false,
            ));
        }
        if hello.capabilities.slots == 0 || hello.capabilities.slots > SLOTS_MAX {
            return Err((
                format!(
                    "the worker offers {} slots; 1 to {SLOTS_MAX} are accepted",
                    hello.capabilities.slots
                ),
                false,
            ));
        }
        if let Some(message) = oversized(hello) {
            return Err((message, false));
        }
        let Some(id) = self.names.get(name).copied() else {
            self.last_worker += 1;
            let id = self.last_worker;
            self.workers.insert(
                id,
                Worker::known(id, name.clone(), hello.install_id, now.mono_ms),
            );
            self.names.insert(name.clone(), id);
            let status = self.workers.get(&id).map(|w| w.status);
            if let Some(status) = status {
                *self.stats.nodes.entry(status).or_default() += 1;
            }
            return Ok(id);
        };
        let Some(other) = self.workers.get(&id) else {
            return Ok(id);
        };
        if other.install_id != hello.install_id
            && (other.session.is_some() || now.mono_ms < other.lease_until_ms)
        {
            let where_ = other
                .metrics_address
                .as_deref()
                .map(|a| format!(", metrics at {a}"))
                .unwrap_or_default();
            return Err((
                format!(
                    "another worker named {name:?} (installation {}{where_}) is alive or was heard within the last {} s; \
                     start this one with another --name, or stop the other",
                    other.install_id,
                    self.config.lease_ms / 1000
                ),
                true,
            ));
        }
        if other.install_id != hello.install_id {
            // Taken over: whatever the other one still held goes with it.
            self.lose_all(
                id,
                "its worker's name was taken over by another installation",
                now,
                out,
            );
        }
        Ok(id)
    }

    /// Compares what a worker says it holds with what the core believes, after a hello.
    fn reconcile(
        &mut self,
        id: WorkerId,
        attempts: &BTreeMap<JobSeq, LiveAttempt>,
        same_session: bool,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let believed: Vec<JobSeq> = self
            .workers
            .get(&id)
            .map(|w| w.jobs.iter().copied().collect())
            .unwrap_or_default();
        for seq in believed {
            let Some(job) = self.jobs.get(&seq) else {
                continue;
            };
            let attempt = job.attempt();
            let listed = attempts.get(&seq).filter(|live| live.attempt == attempt);
            match (job.status.state, listed) {
                // The worker may have restarted since; the file is found by its path either way.
                (JobState::Publishing, _) => {
                    self.stranded.remove(&seq);
                    self.order_publish(seq, id, out);
                }
                // Said before the assignment reached it: on an unbroken session that one is still on its way.
                (JobState::Assigned, None) if same_session => {}
                (_, None) => self.attempt_lost(seq, "its worker came back without it", now, out),
                (_, Some(live)) => self.confirm(id, live, now, out),
            }
        }
        for (seq, live) in attempts {
            let held = self.workers.get(&id).is_some_and(|w| w.jobs.contains(seq));
            if held
                && self
                    .jobs
                    .get(seq)
                    .is_some_and(|job| job.attempt() == live.attempt)
            {
                continue;
            }
            if self.was_asked_to_publish(id, live.attempt) {
                self.order_publish(*seq, id, out);
            } else if !self.readopt(*seq, live, id, now, out) {
                let attempt = live.attempt;
                self.send(id, ToWorker::Revoke { attempt }, out);
            }
        }
    }

    /// A worker still holds what it is believed to hold: what frames may have been lost with its last session?
    fn confirm(&mut self, id: WorkerId, live: &LiveAttempt, now: Now, out: &mut Vec<Effect>) {
        let attempt = live.attempt;
        if live.started {
            self.attempt_started(id, attempt, now, out);
            self.attempt_paused(id, attempt, live.paused, now, out);
        }
        let Some(job) = self.jobs.get(&attempt.job) else {
            return;
        };
        out.push(Effect::Changed(attempt, job.status.state));
        if job.status.cancel_requested {
            self.send(id, ToWorker::Cancel { attempt }, out);
        } else if job.status.stop_requested {
            self.send(id, ToWorker::Finish { attempt }, out);
        } else if job.status.pause_requested != live.paused {
            let paused = job.status.pause_requested;
            self.send(id, ToWorker::Pause { attempt, paused }, out);
        }
    }

    fn heartbeat(&mut self, id: WorkerId, mut heartbeat: Heartbeat, now: Now) {
        sanitise(&mut heartbeat);
        self.compare_clocks(id, heartbeat.wall_ms, self.config.heartbeat_ms / 2, now);
        let Some(view) = self.cluster.worker(id) else {
            return;
        };
        let cpu = workers::permille(heartbeat.cpu_percent);
        let mut changes = Vec::new();
        if cpu.abs_diff(view.cpu_load_permille) >= LOAD_STEP_PERMILLE
            || heartbeat.memory_used_mib.abs_diff(view.memory_used_mib)
                > view.capacity.memory_mib / 50
        {
            changes.push(Change::WorkerLoad {
                worker: id,
                cpu_load_permille: cpu,
                memory_used_mib: heartbeat.memory_used_mib,
            });
        }
        for (gpu, (known, load)) in view.gpus.iter().zip(&heartbeat.gpus).enumerate() {
            // Where the driver does not tell, it is as it was.
            let Some(load_permille) = workers::gpu_permille(load) else {
                continue;
            };
            if load_permille.abs_diff(known.load_permille) >= LOAD_STEP_PERMILLE {
                changes.push(Change::GpuLoad {
                    worker: id,
                    gpu: gpu as u32,
                    load_permille,
                });
            }
        }
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.load = heartbeat;
        }
        if !changes.is_empty() {
            changes.into_iter().for_each(|change| self.change(change));
            // A policy may have left jobs waiting because of load.
            self.rounds.wake();
        }
    }

    pub(super) fn session_closed(&mut self, session: SessionId) {
        let Some(id) = self.sessions.remove(&session) else {
            return;
        };
        if let Some(worker) = self
            .workers
            .get_mut(&id)
            .filter(|w| w.session == Some(session))
        {
            worker.session = None;
            self.change(Change::WorkerAccepting {
                worker: id,
                accepting: false,
            });
            self.recount(id);
            self.forget_clock(id);
        }
    }

    /// Tells the cluster view and the policy all about a worker, its jobs included.
    pub(super) fn announce(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get(&id) else {
            return;
        };
        let view = worker.empty_view(&self.classes);
        let on: Vec<_> = worker
            .jobs
            .iter()
            .filter_map(|seq| self.jobs.get(seq)?.on)
            .collect();
        self.change(Change::WorkerUp(view));
        on.into_iter()
            .for_each(|on| self.change(Change::JobStarted(on)));
    }

    /// Works out again which required labels each worker meets, after a new one was numbered.
    pub(super) fn renumber_tags(&mut self) {
        let tags: Vec<_> = self
            .workers
            .values()
            .map(|w| (w.id, self.classes.tags_met(&w.labels)))
            .collect();
        for (worker, tags) in tags {
            if self
                .cluster
                .worker(worker)
                .is_some_and(|view| view.tags != tags)
            {
                self.change(Change::WorkerTags { worker, tags });
            }
        }
    }
}

/// What in a hello is beyond every sensible bound, if anything is.
fn oversized(hello: &Hello) -> Option<String> {
    let label =
        |(key, value): (&String, &String)| key.len().max(value.len()) > limits::NAME_BYTES_MAX;
    let (gpus, labels) = (&hello.capabilities.gpus, &hello.labels);
    if gpus.len() > GPUS_MAX {
        return Some(format!(
            "the worker reports {} GPUs; at most {GPUS_MAX} are accepted",
            gpus.len()
        ));
    }
    if labels.len() > limits::LABELS_MAX || labels.iter().any(label) {
        return Some(format!(
            "the worker has too many labels or too long ones; at most {} of {} bytes are accepted",
            limits::LABELS_MAX,
            limits::NAME_BYTES_MAX
        ));
    }
    if hello.attempts.len() > SLOTS_MAX as usize {
        return Some(format!(
            "the worker reports {} attempts; at most {SLOTS_MAX} are accepted",
            hello.attempts.len()
        ));
    }
    None
}

/// Cuts a text that a worker tells for people to a length that can be kept and shown.
fn clip(text: &mut String) {
    if let Some((at, _)) = text.char_indices().nth(limits::NAME_BYTES_MAX) {
        text.truncate(at);
    }
}

/// Cuts all such texts.
fn bounded(mut hello: Hello) -> Hello {
    let capabilities = &mut hello.capabilities;
    capabilities.unavailable.truncate(UNAVAILABLE_MAX);
    capabilities
        .unavailable
        .iter_mut()
        .for_each(|one| clip(&mut one.why));
    capabilities.unfit.as_mut().into_iter().for_each(clip);
    capabilities.guards.truncate(GUARDS_MAX);
    for guard in &mut capabilities.guards {
        clip(&mut guard.name);
        clip(&mut guard.what);
    }
    for gpu in &mut capabilities.gpus {
        clip(&mut gpu.model);
        clip(&mut gpu.uuid);
        gpu.unusable.as_mut().into_iter().for_each(clip);
    }
    hello
}

/// Brings what a worker measured into range: an infinite load cannot even be written as JSON.
fn sanitise(heartbeat: &mut Heartbeat) {
    fn percent(value: f32) -> f32 {
        if value.is_finite() {
            value.clamp(0.0, 100.0)
        } else {
            0.0
        }
    }
    heartbeat.cpu_percent = percent(heartbeat.cpu_percent);
    heartbeat.gpus.truncate(GPUS_MAX);
    for gpu in &mut heartbeat.gpus {
        gpu.utilisation_percent = gpu.utilisation_percent.map(percent);
        let finite = |value: &f32| value.is_finite();
        gpu.encoder_percent = gpu.encoder_percent.map(percent);
        gpu.decoder_percent = gpu.decoder_percent.map(percent);
        gpu.temperature_celsius = gpu.temperature_celsius.filter(finite);
        gpu.power_watts = gpu.power_watts.filter(finite);
        gpu.fault.as_mut().into_iter().for_each(clip);
    }
}

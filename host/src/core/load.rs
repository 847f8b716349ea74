//! Making the core from what the store holds: the same code at start-up and after a failed commit.

use ffrtmp_api::{
    job::{JobSpec, JobState, Priority, Queue},
    rest::NodeStatus,
    settings::{Output, Settings},
};
use ffrtmp_policy_sdk::WorkerId;
use uuid::Uuid;

use super::{
    BTreeMap, BTreeSet, Config, Core, Now, VecDeque,
    classes::{Classes, TooManyClasses},
    job::{self, Job},
    kind::Kind,
    quarantine::Trust,
    queue::{Place, WaitingRoom},
    record::{JobRow, Snapshot},
    rounds::Rounds,
    stats::Stats,
    waiting::Waits,
    workers::Worker,
};

impl Core {
    /// Makes the core from a snapshot. Every worker the store knows gets one full lease to come back in, so that a
    /// restart of the master kills no running encode.
    ///
    /// `generation` tells this core's questions to the policy from those of an earlier core in the same process.
    pub fn load(config: Config, snapshot: Snapshot, now: Now, generation: u32) -> Core {
        let mut core = Core {
            config,
            jobs: BTreeMap::new(),
            room: WaitingRoom::default(),
            waits: Waits::default(),
            classes: Classes::default(),
            workers: BTreeMap::new(),
            names: BTreeMap::new(),
            sessions: BTreeMap::new(),
            cluster: Default::default(),
            rounds: Rounds::new(generation),
            choices: Default::default(),
            shadowing: false,
            stats: Stats::default(),
            last_seq: snapshot.last_seq,
            last_worker: 0,
            idempotency: snapshot.idempotency.into_iter().collect(),
            stranded: BTreeSet::new(),
            idempotency_ages: VecDeque::new(),
            retried: BTreeMap::new(),
            retried_ages: VecDeque::new(),
            next_lease_check_ms: now.mono_ms,
            next_compaction_ms: now.mono_ms,
            telling: false,
            nodes_changed: BTreeSet::new(),
        };
        core.idempotency_ages = core
            .idempotency
            .keys()
            .map(|key| (now.mono_ms, key.clone()))
            .collect();
        core.stats.jobs = JobState::ALL.iter().map(|state| (*state, 0)).collect();
        core.stats.jobs.extend(snapshot.counts);
        core.stats.pending_by_priority = Priority::ALL.iter().map(|p| (*p, 0)).collect();
        core.stats.pending_by_queue = Queue::ALL.iter().map(|q| (*q, 0)).collect();
        core.stats.nodes = NodeStatus::ALL.iter().map(|s| (*s, 0)).collect();
        for row in snapshot.workers {
            let id = core.load_worker(row.name, row.install_id, now);
            if let Some(worker) = core.workers.get_mut(&id) {
                worker.drained = row.drained;
                worker.trust = Trust::kept(row.quarantine, now, core.config.quarantine_max_ms);
            }
        }
        for row in snapshot.jobs {
            core.load_job(row, now);
        }
        let ids: Vec<_> = core.workers.keys().copied().collect();
        ids.into_iter().for_each(|id| core.announce(id));
        core
    }

    fn load_worker(&mut self, name: String, install_id: Uuid, now: Now) -> WorkerId {
        self.last_worker += 1;
        let id = self.last_worker;
        self.names.insert(name.clone(), id);
        self.workers.insert(
            id,
            Worker::known(id, name, install_id, now.mono_ms + self.config.lease_ms),
        );
        *self.stats.nodes.entry(NodeStatus::Offline).or_default() += 1;
        id
    }

    fn load_job(&mut self, row: JobRow, now: Now) {
        let seq = row.seq;
        let mut job = match self.job_of(row, now) {
            Ok((job, _)) => job,
            Err(error) => {
                // The same limits held when it was accepted, so this is a store written by another version.
                tracing::error!(job = %seq, %error, "a stored job's requirements do not fit; it stays in the store, untouched");
                return;
            }
        };
        if job.status.state == JobState::Pending {
            *self
                .stats
                .pending_by_priority
                .entry(job.priority)
                .or_default() += 1;
            *self.stats.pending_by_queue.entry(job.queue).or_default() += 1;
        }
        let active = job.status.state.is_active();
        let worker =
            job.status
                .worker
                .clone()
                .filter(|_| active)
                .map(|name| match self.names.get(&name) {
                    Some(id) => *id,
                    // A worker is recorded before it is given anything; should its row be gone all the same, its lease runs out.
                    None => self.load_worker(name, Uuid::nil(), now),
                });
        let gpu = job.status.placement.as_ref().and_then(|p| p.gpu);
        // What is left of a back-off. A wall clock that was set since cannot make it longer than it would have been.
        let left_ms = job
            .status
            .retry
            .as_ref()
            .and_then(|retry| retry.not_before_ms)
            .map_or(0, |at| at.saturating_sub(now.wall_ms).max(0) as u64)
            .min(self.config.backoff_max_ms * 2);
        let until_ms = (left_ms > 0).then_some(now.mono_ms + left_ms);
        job.place = match (active, job.status.held, until_ms) {
            (true, _, _) => Place::Elsewhere,
            (false, true, until_ms) => Place::Held { until_ms },
            (false, false, Some(until_ms)) => self.room.delay(seq, until_ms),
            (false, false, None) => self.room.push_unranked(seq),
        };
        if !active && until_ms.is_some() {
            job.wait_reason = Some("backing off after a failure before the master's start".into());
        }
        let held = std::mem::take(&mut job.status.held);
        // One that ran has waited since it came back into line; the clock for that starts anew with the master.
        let since_ms = match job.status.attempt.0 {
            0 => job.submitted_ms,
            _ => now.wall_ms,
        };
        self.jobs.insert(seq, job);
        self.set_held(seq, held);
        self.waits(seq, (!active && !held).then_some(since_ms));
        if let Some(worker) = worker {
            self.take_capacity(seq, worker, gpu);
        }
    }

    /// A job as it is kept in memory, from its row; in no place yet. Also whether a new required label was numbered for it.
    ///
    /// # Errors
    /// When its requirements do not fit into the table of classes.
    pub(super) fn job_of(&mut self, row: JobRow, now: Now) -> Result<(Job, bool), TooManyClasses> {
        // Both were checked when the job was accepted; a spec that a newer version no longer accepts fails when placed.
        let spec: JobSpec = serde_json::from_str(&row.spec).unwrap_or_default();
        let settings = Settings::resolve(&spec).ok();
        let (encoders, gpu) = settings.as_ref().map(job::needs_of).unwrap_or((0, false));
        let cost = job::cost_of(&spec);
        let (class, numbered) = self
            .classes
            .of(encoders, gpu, &spec.required_labels(), &cost)?;
        let failed_on = row.status.retry.iter().flat_map(|retry| &retry.failed_on);
        let excluded = failed_on
            .filter_map(|name| self.names.get(name).copied())
            .collect();
        let job = Job {
            seq: row.seq,
            uuid: row.uuid,
            spec: row.spec,
            tenant: job::tenant_of(&spec),
            queue: row.queue,
            priority: row.priority,
            submitted_ms: row.submitted_ms,
            changed_ms: now.wall_ms,
            pending_since_ms: now.mono_ms,
            waits_since_ms: None,
            kind: Kind::of(spec.scenario.as_deref(), settings.as_ref()),
            class,
            cost,
            retries: spec.retries.unwrap_or(job::RETRIES_DEFAULT),
            has_started: row.status.started_ms.is_some(),
            status: row.status,
            place: Place::Elsewhere,
            on: None,
            excluded,
            publish_tried: Vec::new(),
            has_output: match &settings {
                Some(settings) => settings.output.as_ref().is_some_and(Output::is_published),
                None => spec.output.is_some(),
            },
            held_ms: 0,
            rank_epoch: 0,
            group: 0,
            wait_reason: None,
            webhook: job::webhook_of(&spec),
        };
        Ok((job, numbered))
    }
}

//! Users submit jobs.

use ffrtmp_api::{
    ids::JobSeq,
    job::JobState,
    rest::{ErrorDetail, SubmitItem, Submitted},
    settings::Output,
};

use super::{
    Core, Effect, NewJob, Now, Reply, ReplyTo,
    job::{self, Job},
    kind::Kind,
    queue::Place,
    record::{JobEvent, JobRow, JobStatus, KnownKey, Record, spec_digest},
};

/// Shortest time between two compactions of the table of classes.
const COMPACTION_MS: u64 = 10_000;

impl Core {
    pub(super) fn submit(
        &mut self,
        jobs: Vec<NewJob>,
        reply: ReplyTo,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let items = jobs
            .into_iter()
            .map(|new| self.submit_one(new, now, out))
            .collect();
        out.push(Effect::Reply(reply, Reply::Submitted(items)));
    }

    fn submit_one(&mut self, new: NewJob, now: Now, out: &mut Vec<Effect>) -> SubmitItem {
        if let Some(key) = &new.spec.idempotency_key
            && let Some(known) = self.idempotency.get(key)
        {
            if known.spec != spec_digest(&new.spec_json) {
                return SubmitItem::Refused(ErrorDetail {
                    code: "idempotency_conflict".into(),
                    message: format!(
                        "the idempotency key {key:?} made job {} from another description; give another key, or the same description",
                        known.seq
                    ),
                    field: Some("idempotency_key".into()),
                    request_id: None,
                });
            }
            return SubmitItem::Accepted(Submitted {
                id: known.seq,
                uuid: known.uuid,
                duplicate: true,
            });
        }
        let (encoders, gpu) = job::needs_of(&new.settings);
        let cost = job::cost_of(&new.spec);
        let require = new.spec.required_labels();
        let mut class = self.classes.of(encoders, gpu, &require, &cost);
        if class.is_err() && self.compact_classes(now) {
            class = self.classes.of(encoders, gpu, &require, &cost);
        }
        let (class, numbered) = match class {
            Ok(class) => class,
            Err(error) => {
                return SubmitItem::Refused(ErrorDetail {
                    code: "too_many_requirements".into(),
                    message: error.to_string(),
                    field: Some("require".into()),
                    request_id: None,
                });
            }
        };
        if numbered {
            self.renumber_tags();
        }
        self.last_seq += 1;
        let seq = JobSeq(self.last_seq);
        let uuid = new.uuid;
        if let Some(key) = &new.spec.idempotency_key {
            let spec = spec_digest(&new.spec_json);
            self.idempotency
                .insert(key.clone(), KnownKey { seq, uuid, spec });
            self.idempotency_ages.push_back((now.mono_ms, key.clone()));
        }
        out.push(Effect::Persist(Record::JobAccepted(Box::new(JobRow {
            seq,
            uuid,
            spec: new.spec_json.clone(),
            queue: new.spec.queue,
            priority: new.spec.priority,
            submitted_ms: now.wall_ms,
            idempotency_key: new.spec.idempotency_key.clone(),
            status: JobStatus::default(),
        }))));
        out.push(Effect::Persist(Record::JobEvent(JobEvent {
            seq,
            at_ms: now.wall_ms,
            attempt: JobStatus::default().attempt,
            from: JobState::Pending,
            to: JobState::Pending,
            worker: None,
            detail: "submitted".into(),
        })));
        self.stats.submitted += 1;
        self.stats
            .moved(None, JobState::Pending, new.spec.queue, new.spec.priority);
        let kind = Kind::of(new.spec.scenario.as_deref(), Some(&new.settings));
        self.stats.fresh.scenarios.insert(kind.scenario);
        let place = self.room.push_unranked(seq);
        self.jobs.insert(
            seq,
            Job {
                seq,
                uuid,
                spec: new.spec_json,
                tenant: job::tenant_of(&new.spec),
                queue: new.spec.queue,
                priority: new.spec.priority,
                submitted_ms: now.wall_ms,
                changed_ms: now.wall_ms,
                pending_since_ms: now.mono_ms,
                waits_since_ms: None,
                kind,
                class,
                cost,
                retries: new.spec.retries.unwrap_or(job::RETRIES_DEFAULT),
                status: JobStatus::default(),
                place,
                on: None,
                excluded: Vec::new(),
                publish_tried: Vec::new(),
                has_output: new
                    .settings
                    .output
                    .as_ref()
                    .is_some_and(Output::is_published),
                has_started: false,
                held_ms: 0,
                rank_epoch: 0,
                group: 0,
                wait_reason: None,
                webhook: job::webhook_of(&new.spec),
            },
        );
        self.waits(seq, Some(now.wall_ms));
        if let Some(job) = self.jobs.get(&seq) {
            self.tell_job(job, out);
        }
        self.notify(seq, JobState::Pending, "submitted", now, out);
        SubmitItem::Accepted(Submitted {
            id: seq,
            uuid,
            duplicate: false,
        })
    }

    /// Makes the table of classes anew from the live jobs, when it is full of what only ended jobs needed. Says whether it
    /// did: it looks at every live job, so not more than once in a while.
    pub(super) fn compact_classes(&mut self, now: Now) -> bool {
        if now.mono_ms < self.next_compaction_ms {
            return false;
        }
        self.next_compaction_ms = now.mono_ms + COMPACTION_MS;
        let old = std::mem::take(&mut self.classes);
        for job in self.jobs.values_mut() {
            let (encoders, gpu, require) = old.needs_of(job.class);
            // It was in the old table, so it fits into one that holds no more.
            let Ok((class, _)) = self.classes.of(encoders, gpu, &require, &job.cost) else {
                continue;
            };
            if matches!(job.place, Place::Queued { .. }) {
                self.room.remove(job.seq, job.class, job.place);
                job.place = self.room.push_unranked(job.seq);
            }
            job.class = class;
        }
        self.renumber_tags();
        self.unpark();
        true
    }
}

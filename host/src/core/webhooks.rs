//! Webhooks: what is recorded to be told, with the change it is about. Telling it is the business of `crate::webhooks`.
//!
//! A job without a webhook, in a cluster without any, costs one comparison for each change.

use ffrtmp_api::{ids::JobSeq, job::JobState};

use super::{
    Config, Core, Effect, Now,
    job::Job,
    record::{Notice, Record},
};

/// Whether anybody wants to know that a job came into this state.
pub(super) fn is_told(config: &Config, job: &Job, state: JobState) -> bool {
    let own = job.webhook.as_deref();
    config
        .webhooks
        .iter()
        .chain(own)
        .any(|hook| hook.tells(state))
}

impl Core {
    /// Records that whoever wants to know is told where a job stands now. Goes behind the record of the change itself.
    pub(super) fn notify(
        &self,
        seq: JobSeq,
        from: JobState,
        detail: &str,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let Some(job) = self.jobs.get(&seq) else {
            return;
        };
        let status = &job.status;
        let own = job.webhook.as_deref();
        let mut told = false;
        for hook in self.config.webhooks.iter().chain(own) {
            if !hook.tells(status.state) {
                continue;
            }
            told = true;
            out.push(Effect::Persist(Record::Notice(Box::new(Notice {
                url: hook.url.clone(),
                origin: hook.origin.clone(),
                seq,
                attempt: status.attempt,
                at_ms: now.wall_ms,
                from,
                to: status.state,
                worker: status.worker.clone(),
                detail: detail.to_owned(),
                failure: status.failure.clone(),
                result: status.result.clone(),
            }))));
        }
        if told {
            out.push(Effect::Noticed);
        }
    }
}

//! Clean-up: which files have had their time, decided from what the store says of the jobs that use or made them.

use std::{sync::Arc, time::Duration};

use ffrtmp_api::{ids::JobRef, job::JobState};

use super::{Kind, Maker, Spool, SpoolConfig, catalogue::millis, record::Record};
use crate::{
    clock::wall_ms,
    store::{Reader, StoreError, UploadUses},
};

/// Longest and shortest time between two sweeps.
const EVERY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));

/// How a file's job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Made {
    state: JobState,
    current: bool,
    finished_ms: Option<i64>,
}

impl Spool {
    /// How often to sweep: often enough for the shortest time a file is kept.
    pub fn sweep_every(&self) -> Duration {
        let config = &self.config;
        let shortest = config
            .keep_uploads
            .min(config.keep_inputs)
            .min(config.keep_outputs);
        (shortest / 4).clamp(EVERY.0, EVERY.1)
    }

    /// Removes what has had its time. `room_needed`: inputs whose jobs all completed as well.
    pub fn sweep(&self, reader: &Reader, room_needed: bool) {
        let files: Vec<_> = {
            let files = self.lock();
            files
                .iter()
                .map(|(id, entry)| (*id, entry.record.clone(), entry.touched_ms))
                .collect()
        };
        for (id, record, touched_ms) in files {
            let verdict = match record.kind {
                Kind::Input => reader.upload_uses(id).map(|uses| {
                    input_is_over(
                        &self.config,
                        &record,
                        touched_ms,
                        &uses,
                        wall_ms(),
                        room_needed,
                    )
                }),
                Kind::Output(maker) => made_by(reader, maker)
                    .map(|made| output_is_over(&self.config, &record, touched_ms, made, wall_ms())),
            };
            match verdict {
                Ok(Some(why)) => drop(self.remove_idle(id, why)),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "the spool cannot be cleaned up while the store cannot be read; tried again later");
                    return;
                }
            }
        }
    }

    /// Sweeps for ever.
    pub async fn keep_swept(self: Arc<Self>, reader: Arc<Reader>) {
        let mut ticks = tokio::time::interval(self.sweep_every());
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let (spool, reader) = (self.clone(), reader.clone());
            if let Err(error) =
                tokio::task::spawn_blocking(move || spool.sweep(&reader, false)).await
            {
                tracing::error!(%error, "a clean-up of the spool failed; the next one tries again");
            }
        }
    }
}

fn made_by(reader: &Reader, maker: Maker) -> Result<Option<Made>, StoreError> {
    Ok(reader.job(JobRef::Uuid(maker.uuid))?.map(|job| Made {
        state: job.status.state,
        current: job.status.attempt == maker.attempt,
        finished_ms: job.status.finished_ms,
    }))
}

/// Why an input is to be removed, if it is.
fn input_is_over(
    config: &SpoolConfig,
    record: &Record,
    touched_ms: i64,
    uses: &UploadUses,
    now_ms: i64,
    room_needed: bool,
) -> Option<&'static str> {
    let older = |since_ms: i64, keep: Duration| now_ms.saturating_sub(since_ms) > millis(keep);
    let Some(completed_ms) = record.completed_ms else {
        return older(touched_ms, config.keep_uploads)
            .then_some("nothing came of the rest of this upload");
    };
    if uses.live > 0 {
        return None;
    }
    let since_ms = touched_ms.max(completed_ms).max(uses.finished_ms);
    if uses.completed == 0 || uses.unsuccessful > 0 {
        return older(since_ms, config.keep_uploads).then_some("no job needs this upload");
    }
    if room_needed {
        return Some("room is needed, and every job that used it completed");
    }
    older(since_ms, config.keep_inputs).then_some("every job that used it completed")
}

/// Why an output is to be removed, if it is.
fn output_is_over(
    config: &SpoolConfig,
    record: &Record,
    touched_ms: i64,
    made: Option<Made>,
    now_ms: i64,
) -> Option<&'static str> {
    let older = |since_ms: i64, keep: Duration| now_ms.saturating_sub(since_ms) > millis(keep);
    let Some(made) = made else {
        return Some("the store does not know its job");
    };
    match made.state {
        _ if !made.current => Some("another attempt took the place of the one that made it"),
        JobState::Completed => {
            let since_ms = made
                .finished_ms
                .or(record.published_ms)
                .unwrap_or(record.created_ms);
            older(since_ms, config.keep_outputs).then_some("its time is over")
        }
        JobState::Failed | JobState::Canceled => Some("its job ended without an output"),
        _ => (record.completed_ms.is_none() && older(touched_ms, config.keep_uploads))
            .then_some("nothing came of the rest of this output"),
    }
}

#[cfg(test)]
mod tests {
    use ffrtmp_api::ids::{AttemptNo, JobSeq};
    use uuid::Uuid;

    use super::*;

    const HOUR: i64 = 3_600_000;

    fn config() -> SpoolConfig {
        SpoolConfig::new("/nowhere".into())
    }

    fn file(kind: Kind, completed_ms: Option<i64>) -> Record {
        Record {
            kind,
            name: None,
            bytes: 1,
            sha256: None,
            tenant: None,
            created_ms: 0,
            completed_ms,
            published_ms: None,
        }
    }

    fn uses(live: u64, completed: u64, unsuccessful: u64, finished_ms: i64) -> UploadUses {
        UploadUses {
            live,
            completed,
            unsuccessful,
            finished_ms,
        }
    }

    #[test]
    fn an_input_stays_while_a_job_may_read_it_and_goes_in_its_time() {
        let complete = file(Kind::Input, Some(0));
        let half = file(Kind::Input, None);
        // (file, last touched, uses, now, room needed, goes)
        let cases = [
            (&half, 0, uses(0, 0, 0, 0), 23 * HOUR, true, false),
            (&half, 0, uses(0, 0, 0, 0), 25 * HOUR, false, true),
            (&complete, 0, uses(0, 0, 0, 0), 23 * HOUR, true, false),
            (&complete, 0, uses(0, 0, 0, 0), 25 * HOUR, false, true),
            (
                &complete,
                24 * HOUR,
                uses(0, 0, 0, 0),
                25 * HOUR,
                false,
                false,
            ),
            (&complete, 0, uses(1, 5, 5, 0), 9_000 * HOUR, true, false),
            (
                &complete,
                0,
                uses(0, 2, 0, 10 * HOUR),
                10 * HOUR + 1,
                false,
                false,
            ),
            (
                &complete,
                0,
                uses(0, 2, 0, 10 * HOUR),
                10 * HOUR + 1,
                true,
                true,
            ),
            (
                &complete,
                0,
                uses(0, 2, 0, 10 * HOUR),
                12 * HOUR,
                false,
                true,
            ),
            (
                &complete,
                0,
                uses(0, 2, 1, 10 * HOUR),
                12 * HOUR,
                true,
                false,
            ),
            (
                &complete,
                0,
                uses(0, 2, 1, 10 * HOUR),
                35 * HOUR,
                false,
                true,
            ),
        ];
        for (i, (record, touched_ms, uses, now_ms, room, goes)) in cases.into_iter().enumerate() {
            let why = input_is_over(&config(), record, touched_ms, &uses, now_ms, room);
            assert_eq!(why.is_some(), goes, "case {i}: {why:?}");
        }
    }

    #[test]
    fn only_the_output_of_the_attempt_that_completed_the_job_is_kept() {
        let output = file(
            Kind::Output(Maker {
                job: JobSeq(1),
                uuid: Uuid::nil(),
                attempt: AttemptNo(1),
            }),
            Some(0),
        );
        let made = |state, current| {
            Some(Made {
                state,
                current,
                finished_ms: Some(0),
            })
        };
        let cases = [
            (None, HOUR, true),
            (made(JobState::Running, true), 9_000 * HOUR, false),
            (made(JobState::Publishing, true), 9_000 * HOUR, false),
            (made(JobState::Pending, true), HOUR, false),
            (made(JobState::Running, false), 0, true),
            (made(JobState::Completed, false), 0, true),
            (made(JobState::Completed, true), 167 * HOUR, false),
            (made(JobState::Completed, true), 169 * HOUR, true),
            (made(JobState::Failed, true), 0, true),
            (made(JobState::Canceled, true), 0, true),
        ];
        for (i, (made, now_ms, goes)) in cases.into_iter().enumerate() {
            let why = output_is_over(&config(), &output, 0, made, now_ms);
            assert_eq!(why.is_some(), goes, "case {i}: {why:?}");
        }
    }
}

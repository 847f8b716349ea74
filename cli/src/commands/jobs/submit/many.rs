//! Submitting many: in batches, each job with a key of its own, what becomes of each told in the order they came.
//!
//! Separate because a batch has partial success: a job that is refused is named and the others stand. At most a batch
//! of jobs is held in memory. A connection that breaks is tried again with the same keys, so no job is made twice.

use ffrtmp_api::{
    client::Client,
    ids::JobRef,
    limits,
    preset::Asked,
    rest::{AskedBatch, ErrorDetail, SubmitItem},
    settings::Settings,
};

use super::presets::Presets;
use crate::{
    exit::{Failure, Result},
    output::{Output, Tally},
};

/// Most jobs sent at once: the master answers when all are on disk, and a user likes to see something happen.
const BATCH_JOBS: usize = 1_000;
/// Most bytes of JSON sent at once; half of what the master takes leaves room for what surrounds the jobs.
const BATCH_BYTES: usize = limits::BODY_BYTES_MAX / 2;

/// Jobs on their way.
pub struct Many<'a> {
    client: &'a Client,
    presets: Presets<'a>,
    /// Where the answers are shown; nowhere when they are shown at their end.
    face: Option<&'a mut dyn Output>,
    /// The key under which the user can submit all of this again.
    key: String,
    waiting: Vec<(Option<String>, std::result::Result<Asked, ErrorDetail>)>,
    bytes: usize,
    /// What became of those that were sent.
    pub tally: Tally,
    /// The jobs made.
    pub made: Vec<JobRef>,
}

impl<'a> Many<'a> {
    /// None yet. `key` is the beginning of every job's idempotency key.
    pub fn new(
        client: &'a Client,
        presets: Presets<'a>,
        face: Option<&'a mut dyn Output>,
        key: String,
    ) -> Many<'a> {
        Many {
            client,
            presets,
            face,
            key,
            waiting: Vec::new(),
            bytes: 0,
            tally: Tally::default(),
            made: Vec::new(),
        }
    }

    /// Submits a job, soon. `place` is where it was found; `n` tells its key from the others'.
    pub fn push(&mut self, place: Option<String>, n: u64, mut asked: Asked) -> Result {
        let key = &self.key;
        let own = &mut asked.spec.idempotency_key;
        own.get_or_insert_with(|| format!("{key}-{n}"));
        let spec = match self.presets.fill(&asked) {
            Ok(spec) => spec,
            Err(unfilled) => {
                let message = unfilled.into_message()?;
                return self.refuse(place, "preset", message);
            }
        };
        if let Err(bad) = Settings::resolve(&spec) {
            return self.refuse(place, bad.field, bad.to_string());
        }
        let bytes = serde_json::to_vec(&asked)
            .map_err(|error| Failure::failed(error.to_string()))?
            .len();
        if self.bytes + bytes > BATCH_BYTES {
            self.flush()?;
        }
        self.bytes += bytes;
        self.keep(place, Ok(asked))
    }

    /// Tells, in its turn, that something is no job.
    pub fn refuse(&mut self, place: Option<String>, field: &str, message: String) -> Result {
        let detail = ErrorDetail {
            code: if field.is_empty() {
                "bad_json"
            } else {
                "bad_field"
            }
            .to_owned(),
            message,
            field: Some(field.to_owned()).filter(|field| !field.is_empty()),
            request_id: None,
        };
        self.keep(place, Err(detail))
    }

    fn keep(
        &mut self,
        place: Option<String>,
        what: std::result::Result<Asked, ErrorDetail>,
    ) -> Result {
        self.waiting.push((place, what));
        if self.waiting.len() >= BATCH_JOBS {
            self.flush()?;
        }
        Ok(())
    }

    /// Submits what waits, and tells what became of it.
    pub fn flush(&mut self) -> Result {
        let waiting = std::mem::take(&mut self.waiting);
        self.bytes = 0;
        let mut batch = AskedBatch::default();
        let mut places = Vec::with_capacity(waiting.len());
        for (place, what) in waiting {
            let refused = match what {
                Ok(job) => {
                    batch.jobs.push(job);
                    None
                }
                Err(detail) => Some(detail),
            };
            places.push((place, refused));
        }
        let sent = batch.jobs.len();
        let mut answers = if batch.jobs.is_empty() {
            Vec::new()
        } else {
            self.client
                .submit_asked_batch(&batch)
                .map_err(|error| self.broke_off(error.into()))?
                .items
        }
        .into_iter();
        if answers.len() != sent {
            return Err(Failure::failed(format!(
                "the master answered for {} of {sent} jobs; it may be of another version",
                answers.len()
            )));
        }
        for (place, refused) in places {
            let item = match refused {
                Some(detail) => SubmitItem::Refused(detail),
                // As many as were sent, as was just checked.
                None => match answers.next() {
                    Some(item) => item,
                    None => break,
                },
            };
            self.tell(place.as_deref(), &item)?;
        }
        Ok(())
    }

    fn tell(&mut self, place: Option<&str>, item: &SubmitItem) -> Result {
        match item {
            SubmitItem::Accepted(submitted) => {
                self.tally.accepted += 1;
                self.tally.duplicates += u64::from(submitted.duplicate);
                self.made.push(JobRef::Uuid(submitted.uuid));
            }
            SubmitItem::Refused(detail) => {
                self.tally.refused += 1;
                let place = place.map(|place| format!("{place}: ")).unwrap_or_default();
                eprintln!("ffrtmp: {place}{}", crate::output::clean(&detail.message));
            }
        }
        if let Some(face) = &mut self.face {
            face.item(place, item)?;
        }
        Ok(())
    }

    /// What to say when the master is gone in the middle.
    fn broke_off(&self, failure: Failure) -> Failure {
        let Failure::Failed(message) = failure else {
            return failure;
        };
        Failure::Failed(format!(
            "{message}\n  {} jobs were submitted before that; to go on without making any twice, repeat the command with \
             --idempotency-key {}",
            self.tally.accepted, self.key
        ))
    }
}

//! Following one job through `GET /v1/jobs/{id}/watch`: server-sent events whose data is the whole job as JSON.
//!
//! Separate because it is the one call that lasts. Every event carries the whole state, so a connection that breaks is
//! simply opened again: nothing is missed but intermediate progress. It never polls.

use std::time::Duration;

use super::{
    Client, ClientError, Result, Retry,
    sse::{self, Stream},
};
use crate::{ids::JobRef, rest::Job};

/// Longest silence before the connection is taken for dead and opened again. A job that waits in the queue makes no
/// events, so silence is normal; asking again costs one request.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// The states of one job, as an iterator that ends after the terminal one.
pub struct Watch<'a> {
    client: &'a Client,
    job: JobRef,
    stream: Option<Stream>,
    over: bool,
}

impl<'a> Watch<'a> {
    pub(super) fn new(client: &'a Client, job: JobRef) -> Watch<'a> {
        Watch {
            client,
            job,
            stream: None,
            over: false,
        }
    }

    fn connect(&self) -> Result<Stream> {
        let path = format!("/v1/jobs/{}/watch", self.job);
        self.client.stream(&path, None, SILENCE_MAX)
    }

    /// The next state, over as many connections as it takes.
    fn advance(&mut self) -> Result<Job> {
        let mut retry = Retry::new(self.client.retry_for);
        loop {
            let stream = match &mut self.stream {
                Some(stream) => stream,
                None => match self.connect() {
                    Ok(stream) => self.stream.insert(stream),
                    Err(error) if error.is_passing() && retry.pause() => {
                        self.client.tell(&error);
                        continue;
                    }
                    Err(error) => return Err(error),
                },
            };
            match sse::next_event(stream) {
                Ok(Some(sse::Event { data: None, .. })) => {}
                Ok(Some(sse::Event {
                    data: Some(data), ..
                })) => {
                    return serde_json::from_str(&data).map_err(|error| ClientError::Unexpected {
                        url: self.client.base.clone(),
                        what: format!("an event that is not a job: {error}"),
                    });
                }
                // Ended early, broken, or silent for long: the next connection begins with the state as it is.
                Ok(None) | Err(_) => {
                    self.stream = None;
                    // Paces a master that closes at once, without giving up on one that is merely quiet.
                    std::thread::sleep(super::RETRY_PAUSE_MIN);
                }
            }
        }
    }
}

impl Iterator for Watch<'_> {
    type Item = Result<Job>;

    fn next(&mut self) -> Option<Result<Job>> {
        if self.over {
            return None;
        }
        let item = self.advance();
        self.over = match &item {
            Ok(job) => job.state.is_terminal(),
            Err(_) => true,
        };
        Some(item)
    }
}

//! Following one job through `GET /v1/jobs/{id}/watch`: server-sent events whose data is the whole job as JSON.
//!
//! Every event carries the whole state, so nothing is missed by a connection that breaks but intermediate progress.

use std::time::Duration;

use super::{Client, Result, lasting::Lasting};
use crate::{ids::JobRef, rest::Job};

/// Longest silence before the connection is taken for dead and opened again. A job that waits in the queue makes no
/// events, so silence is normal; asking again costs one request.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// The states of one job, as an iterator that ends after the terminal one.
pub struct Watch<'a> {
    events: Lasting<'a>,
    over: bool,
}

impl<'a> Watch<'a> {
    pub(super) fn new(client: &'a Client, job: JobRef) -> Watch<'a> {
        Watch {
            events: Lasting::new(client, format!("/v1/jobs/{job}/watch"), SILENCE_MAX),
            over: false,
        }
    }
}

impl Iterator for Watch<'_> {
    type Item = Result<Job>;

    fn next(&mut self) -> Option<Result<Job>> {
        if self.over {
            return None;
        }
        let item = self.events.next_json::<Job>("a job");
        self.over = match &item {
            Ok(job) => job.state.is_terminal(),
            Err(_) => true,
        };
        Some(item)
    }
}

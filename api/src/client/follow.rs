//! Following a job's log through `GET /v1/jobs/{id}/logs?follow=true`.

use std::time::Duration;

use super::{Client, Result, lasting::Lasting};
use crate::{ids::JobRef, rest::LogEvent};

/// Longest silence before the connection is taken for dead: the master says at least every 15 s that it is alive.
const SILENCE_MAX: Duration = Duration::from_secs(40);

/// A job's log as it grows, attempt after attempt: an iterator that ends after [`LogEvent::End`].
pub struct FollowLogs<'a> {
    events: Lasting<'a>,
    over: bool,
}

impl<'a> FollowLogs<'a> {
    pub(super) fn new(client: &'a Client, job: JobRef) -> FollowLogs<'a> {
        let path = format!("/v1/jobs/{job}/logs?follow=true");
        FollowLogs {
            events: Lasting::new(client, path, SILENCE_MAX),
            over: false,
        }
    }
}

impl Iterator for FollowLogs<'_> {
    type Item = Result<LogEvent>;

    fn next(&mut self) -> Option<Result<LogEvent>> {
        if self.over {
            return None;
        }
        let item = self.events.next_json("of a log");
        self.over = matches!(item, Ok(LogEvent::End { .. }) | Err(_));
        Some(item)
    }
}

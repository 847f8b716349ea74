//! Following a job's log through `GET /v1/jobs/{id}/logs?follow=true`. Separate because it lasts; it goes on where it was when
//! its connection breaks, and never polls.

use std::time::Duration;

use super::{
    Client, ClientError, Result, Retry,
    sse::{self, Stream},
};
use crate::{ids::JobRef, rest::LogEvent};

/// Longest silence before the connection is taken for dead: the master says at least every 15 s that it is alive.
const SILENCE_MAX: Duration = Duration::from_secs(40);

/// A job's log as it grows, attempt after attempt: an iterator that ends after [`LogEvent::End`].
pub struct FollowLogs<'a> {
    client: &'a Client,
    path: String,
    stream: Option<Stream>,
    last: Option<String>,
    over: bool,
}

impl<'a> FollowLogs<'a> {
    pub(super) fn new(client: &'a Client, job: JobRef) -> FollowLogs<'a> {
        FollowLogs {
            client,
            path: format!("/v1/jobs/{job}/logs?follow=true"),
            stream: None,
            last: None,
            over: false,
        }
    }

    fn advance(&mut self) -> Result<LogEvent> {
        let mut retry = Retry::new(self.client.retry_for);
        loop {
            let stream = match &mut self.stream {
                Some(stream) => stream,
                None => match self
                    .client
                    .stream(&self.path, self.last.as_deref(), SILENCE_MAX)
                {
                    Ok(stream) => self.stream.insert(stream),
                    Err(error) if error.is_passing() && retry.pause() => {
                        self.client.tell(&error);
                        continue;
                    }
                    Err(error) => return Err(error),
                },
            };
            let Ok(Some(event)) = sse::next_event(stream) else {
                self.stream = None;
                std::thread::sleep(super::RETRY_PAUSE_MIN);
                continue;
            };
            self.last = event.id.or_else(|| self.last.take());
            if let Some(data) = event.data {
                return serde_json::from_str(&data).map_err(|error| ClientError::Unexpected {
                    url: self.client.base.clone(),
                    what: format!("an event that is not of a log: {error}"),
                });
            }
        }
    }
}

impl Iterator for FollowLogs<'_> {
    type Item = Result<LogEvent>;

    fn next(&mut self) -> Option<Result<LogEvent>> {
        if self.over {
            return None;
        }
        let item = self.advance();
        self.over = matches!(item, Ok(LogEvent::End { .. }) | Err(_));
        Some(item)
    }
}

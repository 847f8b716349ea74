//! Following a log: a job's through `GET /v1/jobs/{id}/logs?follow=true`, the policies' through
//! `GET /v1/policy-log?follow=true`. Separate because it lasts; it goes on where it was when its connection breaks, and never
//! polls.

use std::{marker::PhantomData, time::Duration};

use serde::de::DeserializeOwned;

use super::{
    Client, ClientError, Result, Retry,
    sse::{self, Stream},
};
use crate::rest::{LogEvent, PolicyLogEvent};

/// Longest silence before the connection is taken for dead: the master says at least every 15 s that it is alive.
const SILENCE_MAX: Duration = Duration::from_secs(40);

/// Something that is told bit by bit.
pub trait Told: DeserializeOwned {
    /// What it is of, as in `an event that is not of a log`.
    const OF: &'static str;
    /// Whether nothing comes behind it.
    fn is_last(&self) -> bool;
}

impl Told for LogEvent {
    const OF: &'static str = "a log";
    fn is_last(&self) -> bool {
        matches!(self, LogEvent::End { .. })
    }
}

impl Told for PolicyLogEvent {
    const OF: &'static str = "the policies' log";
    fn is_last(&self) -> bool {
        false
    }
}

/// A job's log as it grows, attempt after attempt: an iterator that ends after [`LogEvent::End`].
pub type FollowLogs<'a> = Follow<'a, LogEvent>;
/// The policies' log as it grows: an iterator that ends only with an error.
pub type FollowPolicyLog<'a> = Follow<'a, PolicyLogEvent>;

/// What is told on one stream, over as many connections as it takes.
pub struct Follow<'a, T> {
    client: &'a Client,
    path: String,
    stream: Option<Stream>,
    last: Option<String>,
    over: bool,
    tells: PhantomData<T>,
}

impl<'a, T: Told> Follow<'a, T> {
    pub(super) fn new(client: &'a Client, path: String) -> Follow<'a, T> {
        Follow {
            client,
            path,
            stream: None,
            last: None,
            over: false,
            tells: PhantomData,
        }
    }

    fn advance(&mut self) -> Result<T> {
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
                    what: format!("an event that is not of {}: {error}", T::OF),
                });
            }
        }
    }
}

impl<T: Told> Iterator for Follow<'_, T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        if self.over {
            return None;
        }
        let item = self.advance();
        self.over = item.as_ref().map_or(true, Told::is_last);
        Some(item)
    }
}

//! Following a log: a job's through `GET /v1/jobs/{id}/logs?follow=true`, the policies' through
//! `GET /v1/policy-log?follow=true`.

use std::{marker::PhantomData, time::Duration};

use serde::de::DeserializeOwned;

use super::{Client, Result, lasting::Lasting};
use crate::rest::{LogEvent, PolicyLogEvent};

/// Longest silence before the connection is taken for dead: the master says at least every 15 s that it is alive.
const SILENCE_MAX: Duration = Duration::from_secs(40);

/// Something that is told bit by bit.
pub trait Told: DeserializeOwned {
    /// What it is, as in `an event that is not of a log`.
    const OF: &'static str;
    /// Whether nothing comes behind it.
    fn is_last(&self) -> bool;
}

impl Told for LogEvent {
    const OF: &'static str = "of a log";
    fn is_last(&self) -> bool {
        matches!(self, LogEvent::End { .. })
    }
}

impl Told for PolicyLogEvent {
    const OF: &'static str = "of the policies' log";
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
    events: Lasting<'a>,
    over: bool,
    tells: PhantomData<T>,
}

impl<'a, T: Told> Follow<'a, T> {
    pub(super) fn new(client: &'a Client, path: String) -> Follow<'a, T> {
        Follow {
            events: Lasting::new(client, path, SILENCE_MAX),
            over: false,
            tells: PhantomData,
        }
    }
}

impl<T: Told> Iterator for Follow<'_, T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        if self.over {
            return None;
        }
        let item = self.events.next_json(T::OF);
        self.over = item.as_ref().map_or(true, Told::is_last);
        Some(item)
    }
}

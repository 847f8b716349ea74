//! Listening to the cluster through `GET /v1/events`.

use std::time::Duration;

use super::{
    Client, Result, escape,
    lasting::{Heard, Lasting},
};
use crate::{ids::JobRef, rest::ClusterEvent};

/// Longest silence before the connection is taken for dead: the master says at least every 15 s that it is alive.
const SILENCE_MAX: Duration = Duration::from_secs(40);

/// What to hear of.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// `job`, `node`, `policy`; empty: all.
    pub types: Vec<String>,
    /// Only of this job.
    pub job: Option<JobRef>,
}

/// The changes of the cluster, as an iterator that ends only with an error: the master refused, or did not answer for longer
/// than the client is to wait. The first event is always a [`ClusterEvent::Reset`], once changes are listened to: whoever looks
/// at everything then and after each later one, and at what each event names, misses nothing.
pub struct Events<'a> {
    events: Lasting<'a>,
    begun: bool,
    over: bool,
}

impl<'a> Events<'a> {
    pub(super) fn new(client: &'a Client, filter: &EventFilter) -> Events<'a> {
        let mut pairs = Vec::new();
        if !filter.types.is_empty() {
            pairs.push(format!("types={}", escape(&filter.types.join(","))));
        }
        pairs.extend(filter.job.map(|job| format!("job={job}")));
        let query = if pairs.is_empty() { "" } else { "?" };
        let path = format!("/v1/events{query}{}", pairs.join("&"));
        Events {
            events: Lasting::new(client, path, SILENCE_MAX),
            begun: false,
            over: false,
        }
    }

    fn advance(&mut self) -> Result<ClusterEvent> {
        loop {
            match self.events.next()? {
                // Without an id nobody can tell what was missed.
                Heard::Opened { resumed } => {
                    if !std::mem::replace(&mut self.begun, true) || !resumed {
                        return Ok(ClusterEvent::Reset);
                    }
                }
                // A newer master may tell of things this client does not know; they change nothing it shows.
                Heard::Data(data) => {
                    if let Ok(event) = serde_json::from_str(&data) {
                        return Ok(event);
                    }
                }
            }
        }
    }
}

impl Iterator for Events<'_> {
    type Item = Result<ClusterEvent>;

    fn next(&mut self) -> Option<Result<ClusterEvent>> {
        if self.over {
            return None;
        }
        let item = self.advance();
        self.over = item.is_err();
        Some(item)
    }
}

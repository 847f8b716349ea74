//! Listening to the cluster through `GET /v1/events`. Separate because it lasts, and because it goes on where it was when its
//! connection breaks.

use std::time::Duration;

use super::{
    Client, Result, Retry, escape,
    sse::{self, Stream},
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
    client: &'a Client,
    path: String,
    stream: Option<Stream>,
    last: Option<String>,
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
        Events {
            client,
            path: format!("/v1/events{query}{}", pairs.join("&")),
            stream: None,
            last: None,
            begun: false,
            over: false,
        }
    }

    fn advance(&mut self) -> Result<ClusterEvent> {
        let mut retry = Retry::new(self.client.retry_for);
        loop {
            let stream = match &mut self.stream {
                Some(stream) => stream,
                None => match self
                    .client
                    .stream(&self.path, self.last.as_deref(), SILENCE_MAX)
                {
                    Ok(stream) => {
                        self.stream = Some(stream);
                        // Without an id nobody can tell what was missed.
                        if !std::mem::replace(&mut self.begun, true) || self.last.is_none() {
                            return Ok(ClusterEvent::Reset);
                        }
                        continue;
                    }
                    Err(error) if error.is_passing() && retry.pause() => {
                        self.client.tell(&error);
                        continue;
                    }
                    Err(error) => return Err(error),
                },
            };
            let Ok(Some(event)) = sse::next_event(stream) else {
                // Ended, broken, or silent for long: the next connection goes on where this one was.
                self.stream = None;
                std::thread::sleep(super::RETRY_PAUSE_MIN);
                continue;
            };
            self.last = event.id.or_else(|| self.last.take());
            // A newer master may tell of things this client does not know; they change nothing it shows.
            if let Some(event) = event.data.and_then(|data| serde_json::from_str(&data).ok()) {
                return Ok(event);
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

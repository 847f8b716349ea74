//! Following the cluster through `GET /v1/events`: server-sent events whose data is a [`ClusterEvent`] as JSON.
//!
//! Separate from following one job because here events are changes, not states: after a connection breaks, the next one
//! says by `Last-Event-ID` where the last one ended, and the master sends what came since, or that it no longer knows.

use std::{io::BufRead, time::Duration};

use super::{Client, ClientError, Result, Retry, watch::next_event};
use crate::rest::ClusterEvent;

/// Longest silence before the connection is taken for dead and opened again. The master sends keep-alives more often.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// What changes in the cluster, as an iterator without end. The first event is always a [`ClusterEvent::Reset`], once
/// changes are listened to: whoever looks at everything then, and at what each event names from then on, misses nothing.
pub struct Events<'a> {
    client: &'a Client,
    stream: Option<Box<dyn BufRead>>,
    last_id: Option<String>,
    begun: bool,
    over: bool,
}

impl<'a> Events<'a> {
    pub(super) fn new(client: &'a Client) -> Events<'a> {
        Events {
            client,
            stream: None,
            last_id: None,
            begun: false,
            over: false,
        }
    }

    fn advance(&mut self) -> Result<ClusterEvent> {
        let mut retry = Retry::new(self.client.retry_for);
        loop {
            let stream = match &mut self.stream {
                Some(stream) => stream,
                None => {
                    let last = self.last_id.as_deref();
                    match self.client.stream("/v1/events", SILENCE_MAX, last) {
                        Ok(stream) => {
                            self.stream = Some(stream);
                            // Without an id nobody can tell what was missed.
                            if !std::mem::replace(&mut self.begun, true) || self.last_id.is_none() {
                                return Ok(ClusterEvent::Reset);
                            }
                            continue;
                        }
                        Err(error) if error.is_passing() && retry.pause() => {
                            self.client.tell(&error);
                            continue;
                        }
                        Err(error) => return Err(error),
                    }
                }
            };
            match next_event(stream) {
                Ok(Some(event)) => {
                    if event.id.is_some() {
                        self.last_id = event.id;
                    }
                    // A newer master may tell of things this client does not know; they change nothing it shows.
                    if let Ok(event) = serde_json::from_str(&event.data) {
                        return Ok(event);
                    }
                }
                Ok(None) | Err(_) => {
                    self.stream = None;
                    // Paces a master that closes at once.
                    std::thread::sleep(super::RETRY_PAUSE_MIN);
                }
            }
        }
    }
}

impl Iterator for Events<'_> {
    type Item = std::result::Result<ClusterEvent, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let item = self.advance();
        self.over = item.is_err();
        Some(item)
    }
}

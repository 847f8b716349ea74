//! Following one job through `GET /v1/jobs/{id}/watch`: server-sent events whose data is the whole job as JSON.
//!
//! Separate because it is the one call that lasts. Every event carries the whole state, so a connection that breaks is
//! simply opened again: nothing is missed but intermediate progress. It never polls.

use std::{
    io::{BufRead, Read},
    time::Duration,
};

use super::{Client, ClientError, Result, Retry};
use crate::{ids::JobRef, limits, rest::Job};

/// Longest silence before the connection is taken for dead and opened again. A job that waits in the queue makes no
/// events, so silence is normal; asking again costs one request.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Longest event read, in bytes.
const EVENT_BYTES_MAX: u64 = limits::BODY_BYTES_MAX as u64;

/// The states of one job, as an iterator that ends after the terminal one.
pub struct Watch<'a> {
    client: &'a Client,
    job: JobRef,
    stream: Option<Box<dyn BufRead>>,
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

    fn connect(&self) -> Result<Box<dyn BufRead>> {
        let path = format!("/v1/jobs/{}/watch", self.job);
        self.client.stream(&path, SILENCE_MAX, None)
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
            match next_event(stream) {
                Ok(Some(event)) => {
                    return serde_json::from_str(&event.data).map_err(|error| {
                        ClientError::Unexpected {
                            url: self.client.base.clone(),
                            what: format!("an event that is not a job: {error}"),
                        }
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

/// One server-sent event.
pub(super) struct Event {
    /// Its id, if it has one.
    pub(super) id: Option<String>,
    /// Its data.
    pub(super) data: String,
}

/// The next event; `None` at the end of the stream. Comments (keep-alives) and other fields are skipped.
pub(super) fn next_event(stream: &mut impl BufRead) -> std::io::Result<Option<Event>> {
    let mut data: Option<String> = None;
    let mut id: Option<String> = None;
    let mut line = Vec::new();
    loop {
        line.clear();
        if stream
            .by_ref()
            .take(EVENT_BYTES_MAX)
            .read_until(b'\n', &mut line)?
            == 0
        {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches(['\n', '\r']);
        if text.is_empty() {
            if let Some(data) = data.take() {
                return Ok(Some(Event { id, data }));
            }
        } else if let Some(value) = text.strip_prefix("id:") {
            id = Some(value.strip_prefix(' ').unwrap_or(value).to_owned());
        } else if let Some(more) = text.strip_prefix("data:") {
            let more = more.strip_prefix(' ').unwrap_or(more);
            match &mut data {
                None => data = Some(more.to_owned()),
                Some(data) => {
                    data.push('\n');
                    data.push_str(more);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &str) -> Vec<String> {
        let mut stream = text.as_bytes();
        std::iter::from_fn(|| next_event(&mut stream).unwrap())
            .map(|event| event.data)
            .collect()
    }

    #[test]
    fn an_event_s_id_comes_with_it() {
        let mut stream = "data: 1\n\nid: 7\ndata: 2\n\n".as_bytes();
        let ids: Vec<Option<String>> = std::iter::from_fn(|| next_event(&mut stream).unwrap())
            .map(|event| event.id)
            .collect();
        assert_eq!(ids, [None, Some("7".to_owned())]);
    }

    #[test]
    fn events_are_split_at_blank_lines_and_comments_are_skipped() {
        assert_eq!(
            events(": hello\n\ndata: {\"a\":1}\n\nevent: job\nid: 7\ndata:{\"b\":2}\r\n\r\n"),
            ["{\"a\":1}", "{\"b\":2}"]
        );
        assert_eq!(events("data: one\ndata: two\n\n"), ["one\ntwo"]);
    }

    #[test]
    fn an_event_that_was_cut_off_is_not_an_event() {
        assert_eq!(events("data: whole\n\ndata: half"), ["whole"]);
        assert_eq!(events("data: whole\n\ndata: half\n"), ["whole"]);
    }
}

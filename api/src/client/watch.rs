//! Following one job through `GET /v1/jobs/{id}/watch`: server-sent events whose data is the whole job as JSON.
//!
//! Separate because it is the one call that lasts. Every event carries the whole state, so a connection that breaks is
//! simply opened again: nothing is missed but intermediate progress. It never polls.

use std::{
    io::{BufRead, BufReader, Read},
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
        let response = self
            .client
            .get(&format!("/v1/jobs/{}/watch", self.job), SILENCE_MAX)?;
        let status = response.status();
        if !status.is_success() {
            let mut text = String::new();
            // A body that cannot be read leaves the status, which is what matters.
            let _ = response
                .into_body()
                .into_reader()
                .take(64 * 1024)
                .read_to_string(&mut text);
            return Err(self.client.refusal(status.as_u16(), &text));
        }
        Ok(Box::new(BufReader::new(
            response
                .into_body()
                .into_with_config()
                .limit(u64::MAX)
                .reader(),
        )))
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
                Ok(Some(data)) => {
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

/// The data of the next event; `None` at the end of the stream. Comments (keep-alives) and other fields are skipped.
fn next_event(stream: &mut impl BufRead) -> std::io::Result<Option<String>> {
    let mut data: Option<String> = None;
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
            if data.is_some() {
                return Ok(data);
            }
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
        std::iter::from_fn(|| next_event(&mut stream).unwrap()).collect()
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

//! Server-sent events, as they are read from a connection.

use std::io::{BufRead, BufReader, Read};

use super::{Client, Result};
use crate::limits;

/// Longest event read, in bytes.
const EVENT_BYTES_MAX: u64 = limits::BODY_BYTES_MAX as u64;

/// A stream of events.
pub(super) type Stream = Box<dyn BufRead>;

/// One event. One without data only says how far the stream is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// Its id, if it has one.
    pub id: Option<String>,
    /// Its data.
    pub data: Option<String>,
}

impl Client {
    /// Opens a stream; behind the event whose id is `last`, if there is one.
    pub(super) fn stream(
        &self,
        path: &str,
        last: Option<&str>,
        silence_max: std::time::Duration,
    ) -> Result<Stream> {
        let response = self.get_with(path, last.map(|id| ("last-event-id", id)), silence_max)?;
        let status = response.status();
        if !status.is_success() {
            let mut text = String::new();
            // A body that cannot be read leaves the status, which is what matters.
            let _ = response
                .into_body()
                .into_reader()
                .take(64 * 1024)
                .read_to_string(&mut text);
            return Err(self.refusal(status.as_u16(), &text));
        }
        Ok(Box::new(BufReader::new(
            response
                .into_body()
                .into_with_config()
                .limit(u64::MAX)
                .reader(),
        )))
    }
}

/// The next event; `None` at the end of the stream. Comments (keep-alives) and other fields are skipped.
pub(super) fn next_event(stream: &mut impl BufRead) -> std::io::Result<Option<Event>> {
    let mut event = Event::default();
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
        let value = |text: &str| text.strip_prefix(' ').unwrap_or(text).to_owned();
        if text.is_empty() {
            if event != Event::default() {
                return Ok(Some(event));
            }
        } else if let Some(more) = text.strip_prefix("data:") {
            let more = value(more);
            match &mut event.data {
                None => event.data = Some(more),
                Some(data) => {
                    data.push('\n');
                    data.push_str(&more);
                }
            }
        } else if let Some(id) = text.strip_prefix("id:") {
            event.id = Some(value(id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &str) -> Vec<(String, String)> {
        let mut stream = text.as_bytes();
        std::iter::from_fn(|| next_event(&mut stream).unwrap())
            .map(|event| (event.id.unwrap_or_default(), event.data.unwrap_or_default()))
            .collect()
    }

    fn data(text: &str) -> Vec<String> {
        events(text).into_iter().map(|(_, data)| data).collect()
    }

    #[test]
    fn events_are_split_at_blank_lines_and_comments_are_skipped() {
        assert_eq!(
            events(": hello\n\ndata: {\"a\":1}\n\nevent: job\nid: 7\ndata:{\"b\":2}\r\n\r\n"),
            [
                (String::new(), "{\"a\":1}".to_owned()),
                ("7".to_owned(), "{\"b\":2}".to_owned())
            ]
        );
        assert_eq!(data("data: one\ndata: two\n\n"), ["one\ntwo"]);
        assert_eq!(events("id: 3-4\n\n"), [("3-4".to_owned(), String::new())]);
    }

    #[test]
    fn an_event_that_was_cut_off_is_not_an_event() {
        assert_eq!(data("data: whole\n\ndata: half"), ["whole"]);
        assert_eq!(data("data: whole\n\ndata: half\n"), ["whole"]);
    }
}

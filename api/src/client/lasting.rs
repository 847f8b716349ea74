//! The calls that last: one stream of server-sent events over as many connections as it takes.
//!
//! One place, because a job's states, its log and the cluster's changes all break and go on alike. It never polls, and it goes on
//! behind the last event that had an id.

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::{
    Client, ClientError, RETRY_PAUSE_MIN, Result, Retry,
    sse::{self, Stream},
};

/// What comes next.
pub(super) enum Heard {
    /// A connection was made. `resumed`: it goes on behind the last event, so nothing was missed.
    Opened { resumed: bool },
    /// An event's data.
    Data(String),
}

/// See the module's head.
pub(super) struct Lasting<'a> {
    client: &'a Client,
    path: String,
    /// Longest silence before a connection is taken for dead and another is made.
    silence_max: Duration,
    open: Option<Stream>,
    last: Option<String>,
}

impl<'a> Lasting<'a> {
    /// The stream at `path`. Nothing is sent yet.
    pub(super) fn new(client: &'a Client, path: String, silence_max: Duration) -> Lasting<'a> {
        Lasting {
            client,
            path,
            silence_max,
            open: None,
            last: None,
        }
    }

    /// Waits for what comes next.
    ///
    /// # Errors
    /// When the master refuses, or does not answer for longer than the client is to wait. How long a connection was quiet
    /// before does not count.
    pub(super) fn next(&mut self) -> Result<Heard> {
        let mut retry: Option<Retry> = None;
        loop {
            let Some(stream) = &mut self.open else {
                let last = self.last.as_deref();
                match self.client.stream(&self.path, last, self.silence_max) {
                    Ok(stream) => {
                        self.open = Some(stream);
                        let resumed = self.last.is_some();
                        return Ok(Heard::Opened { resumed });
                    }
                    Err(error) => {
                        let retry = retry.get_or_insert_with(|| Retry::new(self.client.retry_for));
                        if !error.is_passing() || !retry.pause() {
                            return Err(error);
                        }
                        self.client.tell(&error);
                        continue;
                    }
                }
            };
            let Ok(Some(event)) = sse::next_event(stream) else {
                // Ended early, broken, or silent for long. The pause is for a master that closes at once.
                self.open = None;
                std::thread::sleep(RETRY_PAUSE_MIN);
                continue;
            };
            self.last = event.id.or_else(|| self.last.take());
            if let Some(data) = event.data {
                return Ok(Heard::Data(data));
            }
        }
    }

    /// Waits for the next event and reads it as JSON; `what` it should be, for the error.
    pub(super) fn next_json<T: DeserializeOwned>(&mut self, what: &str) -> Result<T> {
        loop {
            if let Heard::Data(data) = self.next()? {
                return serde_json::from_str(&data).map_err(|error| ClientError::Unexpected {
                    url: self.client.base.clone(),
                    what: format!("an event that is not {what}: {error}"),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader, Write},
        net::{SocketAddr, TcpListener, TcpStream},
        time::Instant,
    };

    use super::*;

    const HEAD: &str =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

    /// Takes one connection, reads its request and gives back what `last-event-id` said.
    fn take(listener: &TcpListener) -> (TcpStream, Option<String>) {
        let (stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let mut last = None;
        while let Some(line) = lines
            .next()
            .map(|line| line.unwrap())
            .filter(|line| !line.is_empty())
        {
            last = last.or(line
                .to_ascii_lowercase()
                .strip_prefix("last-event-id: ")
                .map(str::to_owned));
        }
        (stream, last)
    }

    #[test]
    fn a_stream_that_was_quiet_for_longer_than_the_client_waits_is_taken_up_again_where_it_was() {
        let patience = Duration::from_millis(300);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut first, _) = take(&listener);
            write!(first, "{HEAD}id: 7\ndata: 1\n\n").unwrap();
            drop(listener);
            // Quiet for longer than the client waits for a master that does not answer, then gone for less than that.
            std::thread::sleep(patience * 2);
            drop(first);
            std::thread::sleep(patience / 3);
            let again = TcpListener::bind(address).unwrap();
            let (mut second, last) = take(&again);
            write!(second, "{HEAD}data: 2\n\n").unwrap();
            last
        });
        let client = Client::new(&address.to_string(), None)
            .unwrap()
            .with_retry(patience, |_, _| {});
        let mut stream = Lasting::new(&client, "/".to_owned(), Duration::from_secs(30));
        assert_eq!(stream.next_json::<u32>("a number").unwrap(), 1);
        assert_eq!(stream.next_json::<u32>("a number").unwrap(), 2);
        assert_eq!(server.join().unwrap().as_deref(), Some("7"));
        // Nobody is there any more: that is said when the patience is over.
        let start = Instant::now();
        assert!(stream.next_json::<u32>("a number").is_err());
        assert!(start.elapsed() >= patience);
    }
}

//! Requests as they are written, for what the client would never send.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use serde_json::Value;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(given, _)| given == name);
        found.map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Status, code and message of an error, which must be as every error is.
    #[track_caller]
    pub fn error(&self) -> (u16, String, String) {
        assert_eq!(
            self.header("content-type"),
            Some("application/json"),
            "{self:?}"
        );
        let body = self.json();
        let id = self.header("x-request-id").expect("every answer has an id");
        assert_eq!(body["error"]["request_id"], id, "{self:?}");
        let text = |name: &str| {
            body["error"][name]
                .as_str()
                .unwrap_or_else(|| panic!("{name}: {self:?}"))
                .to_owned()
        };
        (self.status, text("code"), text("message"))
    }
}

/// Sends a request of these bytes, and reads until the master closes.
#[track_caller]
pub fn send(port: u16, head: &str, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let length = body.len();
    let head = format!(
        "{head}Host: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    // A master that has seen enough answers and closes; what it said then is still there to be read.
    let _ = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(body));
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer to {:.200}: {answer:?}", head));
    let mut lines = head.lines();
    let status = lines
        .next()
        .unwrap()
        .split(' ')
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    Answer {
        status,
        headers,
        body: body.to_owned(),
    }
}

/// `METHOD /path` without a body.
#[track_caller]
pub fn ask(port: u16, method: &str, path: &str) -> Answer {
    send(port, &format!("{method} {path} HTTP/1.1\r\n"), b"")
}

/// Posts JSON, or what is none.
#[track_caller]
pub fn post(port: u16, path: &str, body: impl AsRef<[u8]>) -> Answer {
    send(
        port,
        &format!("POST {path} HTTP/1.1\r\nContent-Type: application/json\r\n"),
        body.as_ref(),
    )
}

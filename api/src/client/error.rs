//! What can go wrong between a client and the master, and which of it passes by itself.
//!
//! Separate because callers decide on these (the command line chooses exit codes and hints). A message here never holds
//! the token.

use std::io;

use crate::{rest::ErrorDetail, tls};

/// The result of a call.
pub type Result<T> = std::result::Result<T, ClientError>;

/// Why a call did not give an answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The master's URL is not one that can be used. Nothing was sent.
    #[error("{given:?} is not a master's address: {why}")]
    BadUrl {
        /// What was given.
        given: String,
        /// What is wrong with it.
        why: String,
    },
    /// Nobody answered, or the connection broke before the answer was complete.
    #[error("the master at {url} does not answer: {cause}")]
    Unreachable {
        /// What was tried.
        url: String,
        /// What the system said.
        cause: String,
    },
    /// Somebody answered, but no secure connection could be made.
    #[error("no secure connection to {url}: {why}")]
    Tls {
        /// What was tried.
        url: String,
        /// What is wrong and what would be right.
        why: String,
    },
    /// The master answered with an error.
    #[error("{}", .error.message)]
    Refused {
        /// HTTP status.
        status: u16,
        /// What it said.
        error: ErrorDetail,
    },
    /// The master is of another version and did not take the call as it is made now.
    #[error(
        "{cause}\n  the master at {url} is version {master} and this tool is {client}; use the same version of both"
    )]
    OtherVersion {
        /// What was tried.
        url: String,
        /// The master's.
        master: String,
        /// This client's.
        client: String,
        /// What it said.
        cause: String,
    },
    /// Somebody answered, but not as a master does.
    #[error(
        "{url} did not answer as an ffrtmp master does ({what}); is that the master's API port?"
    )]
    Unexpected {
        /// What was tried.
        url: String,
        /// What came.
        what: String,
    },
}

impl ClientError {
    /// Whether trying again shortly can help: nobody listens (a restart), the master says it is starting, or it was asked too
    /// often.
    pub fn is_passing(&self) -> bool {
        match self {
            ClientError::Unreachable { .. } => true,
            ClientError::Refused { status, .. } => matches!(status, 429 | 503),
            ClientError::BadUrl { .. }
            | ClientError::Tls { .. }
            | ClientError::OtherVersion { .. }
            | ClientError::Unexpected { .. } => false,
        }
    }

    /// Whether the master certainly did nothing, so that even a call that must not be done twice may be tried again.
    pub fn is_undone(&self) -> bool {
        matches!(self, ClientError::Refused { status: 429, .. })
    }

    /// Whether the job asked for does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, ClientError::Refused { status: 404, .. })
    }

    pub(super) fn from_ureq(url: &str, error: ureq::Error) -> ClientError {
        let unreachable = |cause: String| ClientError::Unreachable {
            url: url.to_owned(),
            cause,
        };
        let insecure = |why: String| ClientError::Tls {
            url: url.to_owned(),
            why,
        };
        if let ureq::Error::Io(io) = &error
            && let Some(why) = tls::explain_io(io)
        {
            return insecure(why);
        }
        match error {
            ureq::Error::Rustls(error) => insecure(tls::explain(&error)),
            ureq::Error::Tls(why) => insecure(why.to_owned()),
            ureq::Error::Io(error) => unreachable(io_cause(&error)),
            ureq::Error::Timeout(_) => unreachable("no answer in time".to_owned()),
            ureq::Error::HostNotFound => unreachable("no such host name".to_owned()),
            ureq::Error::ConnectionFailed => unreachable("connection failed".to_owned()),
            other => ClientError::Unexpected {
                url: url.to_owned(),
                what: other.to_string(),
            },
        }
    }
}

/// The system's word for it, without the number that `io::Error` adds.
fn io_cause(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
        io::ErrorKind::UnexpectedEof => "connection closed before the answer".to_owned(),
        _ => error.to_string(),
    }
}

//! Outcomes become exit codes and messages here, and nowhere else.
//!
//! 0: what was asked is done. 1: it could not be done, or the job waited for did not succeed. 2: what was asked makes no sense
//! (clap answers the same for arguments it cannot parse). A reader that went away (`ffrtmp jobs list | head -1`) is no failure.

use std::{io, process::ExitCode};

use ffrtmp_api::{client::ClientError, ids::JobRef};

/// Why a command did not do what was asked.
#[derive(Debug)]
pub enum Failure {
    /// The request itself is wrong: exit code 2.
    Usage(String),
    /// It could not be done: exit code 1.
    Failed(String),
    /// Said already, or plain from what was printed: exit code 1 and no further message.
    Silent,
    /// Standard output was closed by its reader.
    ReaderGone,
}

/// The result of a command.
pub type Result<T = ()> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure that is not the user's phrasing.
    pub fn failed(message: impl Into<String>) -> Failure {
        Failure::Failed(message.into())
    }
    /// A failure of phrasing.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure::Usage(message.into())
    }
}

impl From<io::Error> for Failure {
    /// An error of writing the answer.
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::ReaderGone,
            _ => Failure::Failed(format!("cannot write the answer: {error}")),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        match &error {
            ClientError::BadUrl { .. } => Failure::Usage(error.to_string()),
            ClientError::Unreachable { .. } => Failure::Failed(format!(
                "{error}\n  start one here with `ffrtmp up`, or name another with --master or FFRTMP_MASTER"
            )),
            ClientError::Refused { status: 401, .. } => Failure::Failed(format!(
                "{error}\n  give the master's token in FFRTMP_TOKEN or with --token-file"
            )),
            ClientError::Tls { .. }
            | ClientError::OtherVersion { .. }
            | ClientError::Refused { .. }
            | ClientError::Unexpected { .. } => Failure::Failed(error.to_string()),
        }
    }
}

/// An error about one job. One that is about the master rather than the job is not put down to it.
pub fn of_job(job: JobRef, error: ClientError) -> Failure {
    match error {
        ClientError::Refused { status, error } if !matches!(status, 401 | 403 | 503) => {
            let named = format!("job {job}");
            Failure::Failed(match error.message.strip_prefix(&named) {
                Some(rest) if rest.starts_with([' ', ':']) => error.message,
                _ => format!("{named}: {}", error.message),
            })
        }
        error => error.into(),
    }
}

/// Says what went wrong, on stderr, and goes on.
pub fn say(failure: &Failure) {
    if let Failure::Failed(message) | Failure::Usage(message) = failure {
        // With stderr gone there is nobody left to tell.
        let _ = io::Write::write_fmt(&mut io::stderr(), format_args!("ffrtmp: {message}\n"));
    }
}

/// Says what went wrong, on stderr, and gives the exit code.
pub fn code_of(outcome: Result) -> ExitCode {
    let code = match &outcome {
        Ok(()) | Err(Failure::ReaderGone) => 0,
        Err(Failure::Silent | Failure::Failed(_)) => 1,
        Err(Failure::Usage(_)) => 2,
    };
    if let Err(failure) = &outcome {
        say(failure);
    }
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreachable_master_names_the_url_and_how_to_start_one() {
        let error = ClientError::Unreachable {
            url: "http://127.0.0.1:8080".into(),
            cause: "connection refused".into(),
        };
        let Failure::Failed(message) = Failure::from(error) else {
            panic!("not a failure with a message")
        };
        for part in [
            "http://127.0.0.1:8080",
            "connection refused",
            "ffrtmp up",
            "--master",
            "FFRTMP_MASTER",
        ] {
            assert!(message.contains(part), "{part:?} is missing in {message:?}");
        }
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        assert!(matches!(
            Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)),
            Failure::ReaderGone
        ));
        assert_eq!(
            format!("{:?}", code_of(Err(Failure::ReaderGone))),
            format!("{:?}", ExitCode::SUCCESS)
        );
    }
}

//! Why an encode failed, read from how ffmpeg ended and what it said.
//!
//! Pure: an end and lines in, a reason and one sentence out. The reason decides whether the master tries again, so what is not
//! certain is `runtime_error`, which is retried. What is looked for is in `table`; what ffmpeg really says, in
//! `tests/samples`, each with the command that makes it say so.

mod lines;
mod table;
#[cfg(test)]
mod tests;

use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

use ffrtmp_api::job::FailureReason;

/// A failed attempt: its class, and what to tell people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Class.
    pub(crate) reason: FailureReason,
    /// What happened and, where it can be told, what to do.
    pub(crate) message: String,
}

impl Failure {
    /// A failure.
    pub(crate) fn new(reason: FailureReason, message: impl Into<String>) -> Self {
        Failure {
            reason,
            message: message.into(),
        }
    }
}

/// What ffmpeg exits with when more than two thirds of what it read could not be decoded (`-max_error_rate`, and `exit_program(69)`
/// or `err_rate_exceeded` in `fftools`).
const UNDECODABLE: i32 = 69;

/// How many of the last lines that mean something are searched. What matters is at the end; earlier ones were survived.
const LINES: usize = 30;

/// Explains an ffmpeg that ended badly. `newest_first` are its log lines.
pub(crate) fn explain<'a>(
    status: ExitStatus,
    newest_first: impl Iterator<Item = &'a str>,
) -> Failure {
    let last = lines::telling(newest_first, LINES);
    if let Some(failure) = status.signal().and_then(ended_by) {
        return failure;
    }
    let ended = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("crashed with signal {signal}"),
        (None, None) => "unknown end".into(),
    };
    let failed = |reason, line: &str| {
        Failure::new(
            reason,
            advised(format!("ffmpeg failed ({ended}): {}", lines::clip(line))),
        )
    };
    if let Some((reason, line)) = table::find(&last) {
        return failed(reason, line);
    }
    if status.code() == Some(UNDECODABLE) {
        return failed(
            FailureReason::InputError,
            "hardly anything of the input can be decoded; it is damaged or encrypted",
        );
    }
    let said = last.first().copied().unwrap_or("it said nothing");
    failed(FailureReason::RuntimeError, said)
}

/// What readers say of an input that is cut off or damaged, and go on: `matroskadec.c`, `mov.c`, `demux.c` and `ffmpeg.c`.
const DAMAGE: &[&str] = &[
    "File ended prematurely",
    "partial file",
    "Packet corrupt",
    "corrupt decoded frame",
    "Truncating packet",
];

/// The line of a log that says that the input is damaged, if there is one. Such an encode may end well, with what there was.
pub(crate) fn damage(log: &str) -> Option<&str> {
    let said = |line: &&str| DAMAGE.iter().any(|sign| line.contains(sign));
    log.lines()
        .find(said)
        .map(|line| lines::clip(lines::without_context(line)))
}

/// What was said, with what can be done about it where that is one thing.
pub(crate) fn advised(mut said: String) -> String {
    // ffmpeg's words with GnuTLS and with OpenSSL, and those of the worker's own connections.
    let untrusted = [
        "Peer certificate failed verification",
        "certificate verify failed",
        "invalid peer certificate",
    ];
    if untrusted.iter().any(|sign| said.contains(sign)) {
        said.push_str("; an authority of your own is given to the worker with --media-ca");
    }
    said
}

/// What a probe or another short run that failed said, if its meaning is certain: the reason, and the line that tells it without the
/// part of ffmpeg it comes from.
pub(crate) fn recognise(said: &str) -> Option<(FailureReason, &str)> {
    let last = lines::telling(said.lines().rev(), LINES);
    let (reason, line) = table::find(&last)?;
    Some((reason, lines::without_context(line)))
}

/// Ends by a signal whose sender is known, whatever was said before.
fn ended_by(signal: i32) -> Option<Failure> {
    let (reason, message) = match signal {
        libc::SIGKILL => (
            FailureReason::ResourceError,
            "ffmpeg was killed by SIGKILL from outside; most often the machine ran out of memory",
        ),
        libc::SIGXFSZ => (
            FailureReason::ResourceError,
            "ffmpeg was ended by SIGXFSZ: a file grew beyond the limit set for this worker (ulimit -f)",
        ),
        libc::SIGILL => (
            FailureReason::PlatformError,
            "ffmpeg was ended by SIGILL: it was built for another kind of CPU than this worker has",
        ),
        _ => return None,
    };
    Some(Failure::new(reason, message))
}

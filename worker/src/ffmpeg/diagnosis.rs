//! Why an encode failed, read from how ffmpeg ended and what it said.
//!
//! Pure: patterns in, a reason and one sentence out. The reason decides whether the master tries again, so a pattern
//! is listed only if its meaning is certain; everything else is `runtime_error`, which is retried.

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

/// Substrings of ffmpeg's messages, most telling first: the first row that occurs in the last lines wins.
const PATTERNS: &[(FailureReason, &[&str])] = &[
    (
        FailureReason::ResourceError,
        &[
            "No space left on device",
            "Disk quota exceeded",
            "Cannot allocate memory",
            "Too many open files",
            "Resource temporarily unavailable",
            "OpenEncodeSessionEx failed: out of memory",
            "OpenEncodeSessionEx failed: incompatible client key",
        ],
    ),
    (
        FailureReason::CapabilityMismatch,
        &[
            "Unknown encoder",
            "Encoder not found",
            "No capable devices found",
            "No NVENC capable devices",
            "Cannot load libcuda",
            "Cannot load libnvidia-encode",
            "Cannot load nvcuda",
            "Driver does not support the required nvenc API",
            "OpenEncodeSessionEx failed",
            "Failed to initialise VAAPI connection",
            "No VA display found",
            "Device creation failed",
            "Error initializing an internal MFX session",
        ],
    ),
    (
        FailureReason::UserError,
        &[
            "codec not currently supported in container",
            "Could not find tag for codec",
            "are supported for WebM",
            "Error initializing filter",
            "No such filter",
        ],
    ),
    (
        FailureReason::InputError,
        &[
            "Invalid data found when processing input",
            "moov atom not found",
            "Format not on whitelist",
            "does not contain any stream",
            "matches no streams",
        ],
    ),
    (
        FailureReason::PlatformError,
        &[
            "Permission denied",
            "Read-only file system",
            "Input/output error",
        ],
    ),
];

/// How many of the last lines are searched. What matters is at the end; earlier lines are warnings that were survived.
const LINES: usize = 30;

/// Explains an ffmpeg that ended badly. `newest_first` are its log lines.
pub(crate) fn explain<'a>(
    status: ExitStatus,
    newest_first: impl Iterator<Item = &'a str>,
) -> Failure {
    let lines: Vec<&str> = newest_first.take(LINES).collect();
    let ended = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "unknown end".into(),
    };
    let known = PATTERNS.iter().find_map(|(reason, patterns)| {
        let line = lines
            .iter()
            .find(|line| patterns.iter().any(|pattern| line.contains(pattern)))?;
        Some((*reason, *line))
    });
    if let Some((reason, line)) = known {
        return Failure::new(reason, format!("ffmpeg failed ({ended}): {}", clip(line)));
    }
    if status.signal() == Some(libc::SIGKILL) {
        let message =
            "ffmpeg was killed by SIGKILL from outside; most often the machine ran out of memory";
        return Failure::new(FailureReason::ResourceError, message);
    }
    let said = lines
        .iter()
        .find(|line| is_meaningful(line))
        .map_or("it said nothing", |line| clip(line));
    Failure::new(
        FailureReason::RuntimeError,
        format!("ffmpeg failed ({ended}): {said}"),
    )
}

fn is_meaningful(line: &str) -> bool {
    let line = line.trim();
    !(line.is_empty()
        || line == "Conversion failed!"
        || line.starts_with("frame=")
        || line.starts_with("video:")
        || line.starts_with("Exiting normally")
        || line.starts_with("Last message repeated"))
}

fn clip(line: &str) -> &str {
    let line = line.trim();
    let end = line
        .char_indices()
        .nth(500)
        .map_or(line.len(), |(at, _)| at);
    line.get(..end).unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(raw_status: i32, log: &str) -> FailureReason {
        explain(ExitStatus::from_raw(raw_status), log.lines().rev()).reason
    }

    #[test]
    fn what_ffmpeg_says_becomes_a_reason() {
        let cases = [
            (
                0x100,
                "av_interleaved_write_frame(): No space left on device\nConversion failed!",
                FailureReason::ResourceError,
            ),
            (
                0x100,
                "file:/a: Invalid data found when processing input",
                FailureReason::InputError,
            ),
            (
                0x100,
                "Unknown encoder 'h264_nvenc'",
                FailureReason::CapabilityMismatch,
            ),
            (
                0x100,
                "[mp4] Could not find tag for codec pcm_s16le in stream #1",
                FailureReason::UserError,
            ),
            (0x100, "something new", FailureReason::RuntimeError),
            (
                libc::SIGKILL,
                "frame=  10 fps=0.0",
                FailureReason::ResourceError,
            ),
            (libc::SIGSEGV, "", FailureReason::RuntimeError),
        ];
        for (status, log, expected) in cases {
            assert_eq!(reason(status, log), expected, "{log}");
        }
    }

    #[test]
    fn the_message_is_the_last_line_that_means_something() {
        let log = "real trouble\nframe= 1 fps=2\nConversion failed!\n\n";
        let failure = explain(ExitStatus::from_raw(0x100), log.lines().rev());
        assert_eq!(failure.message, "ffmpeg failed (exit code 1): real trouble");
    }

    #[test]
    fn a_full_disk_outweighs_a_decoding_warning() {
        let log = "Error while decoding stream #0:0: Invalid data found when processing input\nNo space left on device";
        assert_eq!(reason(0x100, log), FailureReason::ResourceError);
    }
}

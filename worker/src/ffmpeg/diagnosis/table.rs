//! What ffmpeg says, and what it means.
//!
//! A row is here only if its meaning is certain, and only with a sample in `tests/samples` that holds it.

use ffrtmp_api::job::FailureReason;

use super::lines::is_of_network;

/// Where a row looks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum In {
    /// In every line that can name a cause.
    Any,
    /// In those about a peer on the network: of a file the same words mean something else.
    Network,
}

/// Most telling first: the first row that occurs in the last lines wins, whichever line it is in. Within a row the first sign is the
/// one that is told to people.
const ROWS: &[(FailureReason, In, &[&str])] = &[
    (
        FailureReason::ResourceError,
        In::Any,
        &[
            "No space left on device",
            "Disk quota exceeded",
            "File too large",
            "Cannot allocate memory",
            // x264's own, after which ffmpeg gives no errno.
            "malloc of size",
            // The dynamic linker's, where memory is limited.
            "failed to map segment from shared object",
            "Too many open files",
            "Resource temporarily unavailable",
            // Before "No capable devices found", which follows it.
            "CUDA_ERROR_OUT_OF_MEMORY",
            // NVENC's 10 and 21: what a consumer card answers beyond its number of sessions, by the driver's version.
            "failed: out of memory (10)",
            "failed: incompatible client key (21)",
        ],
    ),
    (
        FailureReason::InputError,
        In::Any,
        &["Decoder (codec none)", "no decoder found for: none"],
    ),
    (
        FailureReason::CapabilityMismatch,
        In::Any,
        &[
            "Unknown encoder",
            "Encoder not found",
            "No capable devices found",
            "No NVENC capable devices",
            "Cannot load libcuda",
            "Cannot load libnvidia-encode",
            "Cannot load nvcuda",
            "CUDA_ERROR_NO_DEVICE",
            "Driver does not support the required nvenc API",
            "OpenEncodeSessionEx failed",
            "Failed to initialise VAAPI connection",
            "No VA display found",
            "No usable encoding profile found",
            "No usable encoding entrypoint found",
            "Device creation failed",
            "Error initializing an internal MFX session",
            "Error creating a MFX session",
            // A build without it; another may have it.
            "No such filter",
            "Protocol not found",
            "Unrecognized option",
            "Decoder (codec",
            "no decoder found for:",
            "hardware accelerated AV1 decoding",
        ],
    ),
    (
        FailureReason::UserError,
        In::Any,
        &[
            "codec not currently supported in container",
            "Could not find tag for codec",
            "are supported for WebM",
            "Error initializing filter",
            "Rescaled value for width or height is too big",
            "not divisible by 2",
            // Of a caller. A listener says so of others who call, and goes on.
            "REJECT reported from HS processing: Incorrect passphrase",
            "REJECT reported from HS processing: Password required or unexpected",
            "failed to set option SRTO_PASSPHRASE",
        ],
    ),
    (
        FailureReason::NetworkError,
        In::Any,
        &[
            "Failed to resolve hostname",
            "Peer certificate failed verification",
            "certificate verify failed",
            "certificate's owner does not match hostname",
            "unexpected TLS packet",
            "HTTP error 408",
            "HTTP error 425",
            "HTTP error 429",
            "Server returned 5XX",
            "Connection refused",
            "Connection reset by peer",
            "Connection timed out",
            "Broken pipe",
            "No route to host",
            "Network is unreachable",
        ],
    ),
    (
        FailureReason::NetworkError,
        In::Network,
        &[
            "Server error:",
            "Cannot read RTMP handshake response",
            "Input/output error",
            "End of file",
        ],
    ),
    (
        FailureReason::InputError,
        In::Any,
        &[
            "Server returned 400",
            "Server returned 401",
            "Server returned 403",
            "Server returned 404",
            "Server returned 4XX",
            "moov atom not found",
            "Format not on whitelist",
            "not on whitelist",
            "does not contain any stream",
            "matches no streams",
            "Cannot determine format of input stream",
            "Invalid data found when processing input",
        ],
    ),
    (
        FailureReason::PlatformError,
        In::Any,
        &[
            "Permission denied",
            "Read-only file system",
            "Stale file handle",
            "Transport endpoint is not connected",
            "Input/output error",
            "error while loading shared libraries",
            // Somebody sent ffmpeg a signal, and it was not its worker.
            "Exiting normally, received signal",
            "Received > 3 system signals",
        ],
    ),
];

/// The meaning of the last lines, newest first, and the line that tells. Of several lines in one row, the one with its first sign.
pub(super) fn find<'a>(lines: &[&'a str]) -> Option<(FailureReason, &'a str)> {
    ROWS.iter().find_map(|(reason, place, signs)| {
        let line = signs.iter().find_map(|sign| {
            lines
                .iter()
                .find(|line| line.contains(sign) && (*place == In::Any || is_of_network(line)))
        })?;
        Some((*reason, *line))
    })
}

/// Every sign there is: for the test that each has a sample.
#[cfg(test)]
pub(super) fn signs() -> impl Iterator<Item = &'static str> {
    ROWS.iter().flat_map(|(_, _, signs)| signs.iter().copied())
}

//! What can be wrong with a request to the spool. Each message is for the caller and names what would be right.

use std::io;

use uuid::Uuid;

/// See the module's head.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Not there, or not any more.
    #[error(
        "there is no upload {0}; it may have expired, or it was removed: upload the file again"
    )]
    Gone(Uuid),
    /// Nothing to store.
    #[error("a file of 0 bytes cannot be uploaded; state its size in \"bytes\"")]
    Empty,
    /// Larger than one file may be.
    #[error(
        "{bytes} bytes are more than the {max} that one file may have here (the master's --spool-file-max)"
    )]
    FileTooLarge {
        /// What it has.
        bytes: u64,
        /// What it may have.
        max: u64,
    },
    /// The quota is used up.
    #[error(
        "the spool is full: {bytes} bytes do not fit, {free} of {max} are free (the master's --spool-max); try again later, \
         or remove outputs and uploads that are not needed"
    )]
    Quota {
        /// What it has.
        bytes: u64,
        /// What is free.
        free: u64,
        /// The quota.
        max: u64,
    },
    /// The disk has not enough room.
    #[error(
        "the master's disk is full: {bytes} bytes would leave less than {reserve} free (--spool-reserve); nothing was stored"
    )]
    Disk {
        /// What it has.
        bytes: u64,
        /// What must stay free.
        reserve: u64,
    },
    /// The disk filled up while bytes came in. What was written is removed.
    #[error(
        "the master's disk is full; what was received of this upload was removed: upload it again later"
    )]
    DiskFull,
    /// The bytes do not go on where the last ones ended.
    #[error(
        "the upload has {expected} bytes, so the next ones go to offset {expected}, not {given}"
    )]
    Offset {
        /// How far it is.
        expected: u64,
        /// What was said.
        given: u64,
    },
    /// More came than was announced.
    #[error(
        "the upload was announced with {bytes} bytes, and more came; nothing of this request was kept"
    )]
    Surplus {
        /// What was announced.
        bytes: u64,
    },
    /// The content is not what was announced. It is removed.
    #[error(
        "the content has the SHA-256 {found}, not {expected} as announced; it was removed: upload it again"
    )]
    Checksum {
        /// As announced.
        expected: String,
        /// As computed.
        found: String,
    },
    /// Another connection writes it.
    #[error("another connection is sending this upload; try again when it has ended")]
    Busy,
    /// A job that has not ended needs it.
    #[error("upload {0} is the input of a job that has not ended; cancel the job first")]
    InUse(Uuid),
    /// Not all of it is there.
    #[error(
        "upload {id} is not complete: {offset} of {bytes} bytes are there; send the rest first"
    )]
    Incomplete {
        /// Which.
        id: Uuid,
        /// What is there.
        offset: u64,
        /// What it has.
        bytes: u64,
    },
    /// The folder cannot be used at all.
    #[error(
        "the spool {dir} cannot be used: {cause}; choose another with --spool-dir or change its permissions"
    )]
    Directory {
        /// Which.
        dir: std::path::PathBuf,
        /// Why. Part of the message, so it is not given again as the error's source.
        cause: io::Error,
    },
    /// The disk failed.
    #[error("the spool's disk failed: {0}")]
    Io(io::Error),
}

impl From<io::Error> for SpoolError {
    fn from(error: io::Error) -> SpoolError {
        match error.kind() {
            // A limit on the size of files (RLIMIT_FSIZE) is a full disk by another name.
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => SpoolError::DiskFull,
            _ => SpoolError::Io(error),
        }
    }
}

impl SpoolError {
    /// The word under which the refusal is counted, if it is one that operators look for.
    pub(super) fn counted(&self) -> Option<&'static str> {
        match self {
            SpoolError::FileTooLarge { .. } => Some("file_size"),
            SpoolError::Quota { .. } => Some("quota"),
            SpoolError::Disk { .. } | SpoolError::DiskFull => Some("disk"),
            SpoolError::Checksum { .. } => Some("checksum"),
            _ => None,
        }
    }
}

//! TLS, for every side that speaks it: reading certificates and keys, building rustls's configurations from them, and saying
//! in words what went wrong.
//!
//! Separate so that the master, the workers and the command line read the same files in the same way and give the same
//! messages. It opens no connection. TLS 1.2 and 1.3, HTTP/1.1, with ring.

mod client;
mod explain;
mod files;
mod server;

use std::{path::PathBuf, sync::Arc};

use rustls::crypto::{CryptoProvider, ring};

pub use client::ClientTls;
pub use explain::{explain, explain_io};
pub use files::readable_by_others;
pub use server::{ServerTls, ServerTlsFiles};

/// First byte of every TLS connection: the type of a handshake record. No HTTP request begins with it.
pub const FIRST_BYTE: u8 = 0x16;
/// The code of the error that a TLS port answers to a request in plain HTTP.
pub const PLAIN_HTTP_CODE: &str = "tls_required";

/// Why a certificate or key cannot be used. Each names the file.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// It cannot be read.
    #[error("cannot read the {what} {}: {cause}", .file.display())]
    Unreadable {
        /// What it was to hold.
        what: &'static str,
        /// Which.
        file: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// It does not hold what it should.
    #[error("the {what} {} cannot be used: {why}", .file.display())]
    Unusable {
        /// What it was to hold.
        what: &'static str,
        /// Which.
        file: PathBuf,
        /// What is wrong and what would be right.
        why: String,
    },
    /// A certificate and a key that do not belong together.
    #[error(
        "the key {} does not match the certificate {}; give the key that was made with it",
        .key.display(),
        .cert.display()
    )]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// rustls would not be set up so.
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

impl TlsError {
    fn unusable(what: &'static str, file: impl Into<PathBuf>, why: impl Into<String>) -> TlsError {
        TlsError::Unusable {
            what,
            file: file.into(),
            why: why.into(),
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

#[cfg(test)]
mod tests;

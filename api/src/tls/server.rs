//! The listening side: its certificate, read again when the file changes.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustls::{RootCertStore, ServerConfig, server::WebPkiClientVerifier};

use super::{TlsError, files, provider};

/// How often the files are looked at, at most. A look is three `stat` calls and happens when somebody connects.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where a listener's certificate is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTlsFiles {
    /// The certificate, followed by those between it and its authority.
    pub cert: PathBuf,
    /// Its private key, unencrypted.
    pub key: PathBuf,
    /// The authority that client certificates must be signed by; without, none are asked for.
    pub client_ca: Option<PathBuf>,
    /// Whether every client must show one. Otherwise a client without one is let in, and what it may do without is decided
    /// further on.
    pub require_client_cert: bool,
}

/// A listener's TLS. Connections made after its files changed see the new certificate; a bad new one is reported and the old
/// one stays.
#[derive(Debug)]
pub struct ServerTls {
    files: ServerTlsFiles,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    config: Arc<ServerConfig>,
    /// The files as they were when they were last read, well or badly.
    stamps: Vec<Option<Stamp>>,
    looked: Instant,
}

/// What changes when a file is written or replaced: modification time, size, inode.
type Stamp = (i64, i64, u64, u64);

impl ServerTls {
    /// Reads the files, and warns in the log of a key that others can read and of a certificate that expires.
    ///
    /// # Errors
    /// When a file cannot be read or used; named in the message.
    pub fn load(files: ServerTlsFiles) -> Result<ServerTls, TlsError> {
        let stamps = stamps(&files);
        let config = Arc::new(build(&files)?);
        Ok(ServerTls {
            files,
            current: Mutex::new(Current {
                config,
                stamps,
                looked: Instant::now(),
            }),
        })
    }

    /// Where the certificate is.
    pub fn cert_file(&self) -> &Path {
        &self.files.cert
    }

    /// Whether clients are asked for a certificate.
    pub fn asks_for_client_certs(&self) -> bool {
        self.files.client_ca.is_some()
    }

    /// Reads the files again, now. On an error what was in use stays in use.
    ///
    /// # Errors
    /// As [`ServerTls::load`].
    pub fn reload(&self) -> Result<(), TlsError> {
        // The files as they are before they are read: a change meanwhile is seen at the next look.
        let stamps = stamps(&self.files);
        let built = build(&self.files);
        let mut current = self.lock();
        current.stamps = stamps;
        current.config = Arc::new(built?);
        Ok(())
    }

    /// What a new connection is served with. Looks, at most once a second, whether the files changed.
    pub fn config(&self) -> Arc<ServerConfig> {
        let changed = {
            let mut current = self.lock();
            if current.looked.elapsed() < LOOK_EVERY {
                return current.config.clone();
            }
            current.looked = Instant::now();
            current.stamps != stamps(&self.files)
        };
        if changed {
            let file = self.files.cert.display();
            match self.reload() {
                Ok(()) => tracing::info!(%file, "the certificate changed and was read again"),
                Err(error) => {
                    tracing::error!(%error, "the new certificate cannot be used; the old one stays in use");
                }
            }
        }
        self.lock().config.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stamps(files: &ServerTlsFiles) -> Vec<Option<Stamp>> {
    [
        Some(&files.cert),
        Some(&files.key),
        files.client_ca.as_ref(),
    ]
    .into_iter()
    .flatten()
    .map(|file| {
        let meta = fs::metadata(file).ok()?;
        Some((meta.mtime(), meta.mtime_nsec(), meta.size(), meta.ino()))
    })
    .collect()
}

fn build(files: &ServerTlsFiles) -> Result<ServerConfig, TlsError> {
    let what = "certificate";
    let identity = files::identity(what, &files.cert, &files.key)?;
    for warning in files::readable_by_others(&files.key)
        .into_iter()
        .chain(files::time_warning(&files.cert, &identity.chain))
    {
        tracing::warn!("{warning}");
    }
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let what = "client CA";
            let (_, roots): (_, RootCertStore) = files::authorities(what, ca)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
            let verifier = if files.require_client_cert {
                verifier
            } else {
                verifier.allow_unauthenticated()
            };
            let verifier = verifier
                .build()
                .map_err(|error| TlsError::unusable(what, ca, error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder
        .with_single_cert(identity.chain, identity.key)
        .map_err(|error| files::refused(error, what, &files.cert, &files.key))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

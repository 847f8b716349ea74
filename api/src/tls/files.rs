//! Certificates and keys in PEM files.

use std::{
    fs,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustls::{
    CertificateError, Error, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem, pem::PemObject},
};

use super::{TlsError, provider};

/// Most bytes read of a file: a device named by mistake must not be read for ever. A bundle of every public authority is
/// below 300 kB.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// How long before its end a certificate is warned of, in days.
const EXPIRY_WARNING_DAYS: u64 = 30;

/// A chain of certificates, its own first, and the key that belongs to it.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    /// The key's file as it was read, for libraries that parse PEM themselves.
    #[cfg_attr(not(feature = "client"), allow(dead_code))]
    pub(super) key_pem: Vec<u8>,
}

/// The warning about a key file that others can read; `None` when they cannot.
pub fn readable_by_others(key: &Path) -> Option<String> {
    let meta = fs::metadata(key).ok()?;
    (meta.is_file() && meta.mode() & 0o077 != 0).then(|| {
        let shown = key.display();
        format!("other users can read the key {shown}; run: chmod 600 {shown}")
    })
}

/// All certificates of a file; at least one.
pub(super) fn certificates(
    what: &'static str,
    file: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(what, file)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) if PrivateKeyDer::from_pem_slice(&text).is_ok() => Err(TlsError::unusable(
            what,
            file,
            "it holds a private key and no certificate; are the two files swapped?",
        )),
        Ok(_) => Err(TlsError::unusable(
            what,
            file,
            "it holds no certificate in PEM form (`-----BEGIN CERTIFICATE-----`)",
        )),
        Err(error) => Err(TlsError::unusable(what, file, broken(&error))),
    }
}

/// Certificates of authorities, as what is trusted.
pub(super) fn authorities(
    what: &'static str,
    file: &Path,
) -> Result<(Vec<CertificateDer<'static>>, RootCertStore), TlsError> {
    let found = certificates(what, file)?;
    let mut roots = RootCertStore::empty();
    for certificate in &found {
        roots.add(certificate.clone()).map_err(|error| {
            TlsError::unusable(
                what,
                file,
                format!("a certificate in it cannot be an authority ({error})"),
            )
        })?;
    }
    Ok((found, roots))
}

/// A certificate with its key. That they belong together is found when a configuration is built from them.
pub(super) fn identity(what: &'static str, cert: &Path, key: &Path) -> Result<Identity, TlsError> {
    let chain = certificates(what, cert)?;
    let what = "private key";
    let key_pem = read(what, key)?;
    let parsed = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|error| {
        let why = match error {
            pem::Error::NoItemsFound if CertificateDer::from_pem_slice(&key_pem).is_ok() => {
                "it holds a certificate and no private key; are the two files swapped?".to_owned()
            }
            pem::Error::NoItemsFound => {
                "it holds no unencrypted private key in PEM form (`-----BEGIN PRIVATE KEY-----`)"
                    .to_owned()
            }
            error => broken(&error),
        };
        TlsError::unusable(what, key, why)
    })?;
    Ok(Identity {
        chain,
        key: parsed,
        key_pem,
    })
}

/// What rustls said of an identity, as ours.
pub(super) fn refused(error: Error, what: &'static str, cert: &Path, key: &Path) -> TlsError {
    match error {
        Error::InconsistentKeys(_) => TlsError::Mismatch {
            cert: cert.to_owned(),
            key: key.to_owned(),
        },
        Error::InvalidCertificate(why) => {
            TlsError::unusable(what, cert, format!("it is not a certificate ({why})"))
        }
        error => TlsError::unusable("private key", key, format!("{error}")),
    }
}

/// What is to be said of a certificate's time: that it is over, has not begun, or is over soon. `None`: nothing.
pub(super) fn time_warning(cert: &Path, chain: &[CertificateDer<'static>]) -> Option<String> {
    let shown = cert.display();
    match time_fault(chain, UnixTime::now()) {
        Some(CertificateError::ExpiredContext { not_after, .. }) => Some(format!(
            "the certificate {shown} expired {} days ago; clients will refuse it. `ffrtmp tls init --force` makes another",
            UnixTime::now()
                .as_secs()
                .saturating_sub(not_after.as_secs())
                / 86_400
        )),
        Some(CertificateError::NotValidYetContext { .. }) => Some(format!(
            "the certificate {shown} is not valid yet; is this machine's clock right?"
        )),
        Some(_) => None,
        None => {
            let soon =
                Duration::from_secs(UnixTime::now().as_secs() + EXPIRY_WARNING_DAYS * 86_400);
            time_fault(chain, UnixTime::since_unix_epoch(soon)).map(|_| {
                format!(
                    "the certificate {shown} expires within {EXPIRY_WARNING_DAYS} days; `ffrtmp tls init --force` makes another"
                )
            })
        }
    }
}

/// What is wrong with a certificate's time at `now`. A verifier looks at it before it looks for an authority, so one that
/// trusts strangers does.
fn time_fault(chain: &[CertificateDer<'static>], now: UnixTime) -> Option<CertificateError> {
    let roots = Arc::new(RootCertStore::from_iter(
        webpki_roots::TLS_SERVER_ROOTS.iter().cloned(),
    ));
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider())
        .build()
        .ok()?;
    let (own, others) = chain.split_first()?;
    let name = ServerName::try_from("localhost").ok()?;
    match verifier.verify_server_cert(own, others, &name, &[], now) {
        Err(Error::InvalidCertificate(
            fault @ (CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYetContext { .. }),
        )) => Some(fault),
        _ => None,
    }
}

fn broken(error: &pem::Error) -> String {
    format!("its PEM text is damaged ({error})")
}

fn read(what: &'static str, file: &Path) -> Result<Vec<u8>, TlsError> {
    let mut bytes = Vec::new();
    fs::File::open(file)
        .and_then(|source| source.take(FILE_BYTES_MAX).read_to_end(&mut bytes))
        .map_err(|cause| TlsError::Unreadable {
            what,
            file: PathBuf::from(file),
            cause,
        })?;
    Ok(bytes)
}

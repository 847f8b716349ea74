//! What a failed handshake means for the person who connects, and what to do about it.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

/// In words, as an end to "a secure connection cannot be made: …". Never holds a secret: what TLS fails over is public.
pub fn explain(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(fault) => certificate(fault),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "it speaks plain HTTP there; use http:// instead of https://".to_owned()
        }
        Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError,
        ) => "it wants a client certificate and accepts only one that its client CA signed; give that with \
              --tls-client-cert and --tls-client-key"
            .to_owned(),
        other => other.to_string(),
    }
}

/// [`explain`], for an I/O error that carries what rustls said; `None` for any other.
pub fn explain_io(error: &io::Error) -> Option<String> {
    error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>())
        .map(explain)
}

fn certificate(fault: &CertificateError) -> String {
    match fault {
        CertificateError::UnknownIssuer => {
            "its certificate is signed by an authority that is not trusted here; give the cluster's (ca.pem) with \
             --tls-ca FILE or in FFRTMP_TLS_CA"
                .to_owned()
        }
        CertificateError::BadSignature => {
            "its certificate is not signed by the authority given; copy ca.pem from the master again".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired; `ffrtmp tls init --force` on the master's side makes another".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet; is this machine's clock right?".to_owned()
        }
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => format!(
            "its certificate is not for {}, only for {}; use one of those, or make one for this name with \
             `ffrtmp tls init --host`",
            expected.to_str(),
            if presented.is_empty() {
                "no name at all".to_owned()
            } else {
                presented.iter().map(|name| bare(name)).collect::<Vec<_>>().join(", ")
            },
        ),
        other => format!("its certificate is refused ({other})"),
    }
}

/// `DnsName("localhost")` and `IpAddress(127.0.0.1)`, as rustls-webpki lists them, without the wrapping.
fn bare(name: &str) -> &str {
    name.split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'))
        .map_or(name, |inner| inner.trim_matches('"'))
}

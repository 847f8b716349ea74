//! The connecting side: whom it trusts, and what it shows.

use std::{path::Path, sync::Arc};

use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer};

use super::{
    TlsError,
    files::{self, Identity},
    provider,
};

/// Whom a client or worker trusts, and the certificate it shows. The default trusts the public authorities (Mozilla's list,
/// built in) and shows none.
#[derive(Debug, Clone, Default)]
pub struct ClientTls {
    /// The authorities given; the public ones without.
    ca: Option<Arc<(Vec<CertificateDer<'static>>, RootCertStore)>>,
    identity: Option<Arc<Identity>>,
}

impl ClientTls {
    /// Reads an authority (`ca`), and a certificate with its key to show to masters that ask for one.
    ///
    /// # Errors
    /// When a file cannot be read, does not hold what it should, or the key is another certificate's.
    pub fn load(
        ca: Option<&Path>,
        identity: Option<(&Path, &Path)>,
    ) -> Result<ClientTls, TlsError> {
        let ca = ca
            .map(|file| files::authorities("authority's certificate", file))
            .transpose()?;
        let what = "client certificate";
        let shown = identity
            .map(|(cert, key)| files::identity(what, cert, key))
            .transpose()?;
        let tls = ClientTls {
            ca: ca.map(Arc::new),
            identity: shown.map(Arc::new),
        };
        // Tried at once: a wrong key is a message at start and not a failure at the first connection.
        match (tls.build(), identity) {
            (Ok(_), _) => Ok(tls),
            (Err(error), Some((cert, key))) => Err(files::refused(error, what, cert, key)),
            (Err(error), None) => Err(TlsError::Setup(error)),
        }
    }

    /// For connections made with rustls itself.
    ///
    /// # Errors
    /// None that [`ClientTls::load`] would not have given.
    pub fn config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        self.build().map(Arc::new).map_err(TlsError::Setup)
    }

    fn build(&self) -> Result<ClientConfig, rustls::Error> {
        let roots = match &self.ca {
            Some(ca) => ca.1.clone(),
            None => RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let mut config = match &self.identity {
            Some(identity) => {
                builder.with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// For connections made with ureq.
    #[cfg(feature = "client")]
    pub fn for_ureq(&self) -> ureq::tls::TlsConfig {
        use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
        let owned = |der: &CertificateDer<'static>| Certificate::from_der(der.as_ref()).to_owned();
        let mut builder = TlsConfig::builder().unversioned_rustls_crypto_provider(provider());
        if let Some(ca) = &self.ca {
            builder = builder.root_certs(RootCerts::from(ca.0.iter().map(owned)));
        }
        if let Some(identity) = &self.identity
            // It was parsed before; ureq panics over one that does not match, which `load` has refused.
            && let Ok(key) = PrivateKey::from_pem(&identity.key_pem)
        {
            let chain: Vec<Certificate<'static>> = identity.chain.iter().map(owned).collect();
            builder = builder.client_cert(Some(ClientCert::new_with_certs(&chain, key)));
        }
        builder.build()
    }
}

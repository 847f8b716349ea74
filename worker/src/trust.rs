//! Whom jobs' servers are taken for: how the certificates of `https` and `rtmps` addresses are checked.
//!
//! Separate from the worker's own connection to its master, whose authority says nothing of media servers, and the one place for both
//! who connect: ffmpeg, which of itself takes any certificate, and the worker, which sends outputs by PUT.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::Context;
use ffrtmp_api::{
    settings::{Address, Scheme},
    tls::ClientTls,
};

use crate::WorkerConfig;

/// Where distributions keep the authorities everybody trusts: Debian, Ubuntu, Alpine and Arch; Fedora and RHEL; openSUSE; BSDs.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// See the module's head. The default checks against what ffmpeg finds by itself.
#[derive(Debug, Clone)]
pub(crate) enum Trust {
    /// A certificate must be good.
    Checked {
        /// The authorities it must be from, in a file.
        file: Option<PathBuf>,
        /// The same, for the worker's own connections.
        own: ClientTls,
    },
    /// Any certificate will do.
    Any,
}

impl Default for Trust {
    fn default() -> Trust {
        Trust::Checked {
            file: None,
            own: ClientTls::default(),
        }
    }
}

impl Trust {
    /// What `config` says, or the machine.
    ///
    /// # Errors
    /// When the file it names cannot be used.
    pub(crate) fn find(config: &WorkerConfig) -> anyhow::Result<Trust> {
        if config.media_any_certificate {
            tracing::warn!("any certificate of a media server is taken (--media-any-certificate)");
            return Ok(Trust::Any);
        }
        if let Some(file) = &config.media_ca {
            let own = ClientTls::load(Some(file), None).context("--media-ca")?;
            let file = std::path::absolute(file).context("--media-ca")?;
            return Ok(Trust::Checked {
                file: Some(file),
                own,
            });
        }
        let file = BUNDLES
            .iter()
            .map(Path::new)
            .find(|bundle| bundle.is_file())
            .map(Path::to_owned);
        let own = file
            .as_deref()
            .map(|bundle| ClientTls::load(Some(bundle), None));
        let own = own.transpose().unwrap_or_else(|error| {
            tracing::warn!(%error, "outputs are sent to servers that the built-in list of authorities vouches for");
            None
        });
        Ok(Trust::Checked {
            file,
            own: own.unwrap_or_default(),
        })
    }

    /// What ffmpeg is told, before it is told the address.
    pub(crate) fn options(&self, address: &Address) -> Vec<OsString> {
        let (Scheme::Https | Scheme::Rtmps, Trust::Checked { file, .. }) = (address.scheme(), self)
        else {
            return Vec::new();
        };
        let mut options: Vec<OsString> = vec!["-tls_verify".into(), "1".into()];
        if let Some(file) = file {
            options.extend(["-ca_file".into(), file.into()]);
        }
        options
    }

    /// For the worker's own connections.
    pub(crate) fn for_ureq(&self) -> ureq::tls::TlsConfig {
        match self {
            Trust::Checked { own, .. } => own.for_ureq(),
            Trust::Any => ureq::tls::TlsConfig::builder()
                .disable_verification(true)
                .build(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> Address {
        Address::try_from(url.to_owned()).unwrap()
    }

    #[test]
    fn only_what_speaks_tls_is_told_whom_to_trust() {
        let trust = Trust::Checked {
            file: Some("/ca.pem".into()),
            own: ClientTls::default(),
        };
        for url in ["https://h/a.mp4", "rtmps://h/live/key"] {
            assert_eq!(
                trust.options(&address(url)),
                ["-tls_verify", "1", "-ca_file", "/ca.pem"]
            );
            assert!(Trust::Any.options(&address(url)).is_empty());
        }
        for url in ["http://h/a.mp4", "rtmp://h/live/key", "srt://h:9"] {
            assert!(trust.options(&address(url)).is_empty());
        }
    }

    #[test]
    fn a_file_without_authorities_is_refused_by_the_name_of_its_flag() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = WorkerConfig::new("http://h", dir.path());
        assert!(Trust::find(&config).is_ok());
        config.media_ca = Some(dir.path().join("none.pem"));
        let error = Trust::find(&config).unwrap_err();
        assert!(format!("{error:#}").contains("--media-ca"), "{error:#}");
    }
}

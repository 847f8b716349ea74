//! TLS as the command line names it: whom a client trusts and what it shows, and what a listener serves with.
//!
//! Separate because every client command and every server takes these, and each must read them alike.

use std::path::{Path, PathBuf};

use clap::Args;
use ffrtmp_api::tls::{ClientTls, ServerTlsFiles, readable_by_others};

use crate::{
    args::GlobalArgs,
    exit::{Failure, Result},
};

/// Environment variable for `--tls-ca`.
pub const CA_VARIABLE: &str = "FFRTMP_TLS_CA";
/// Environment variable for `--tls-client-cert`.
pub const CLIENT_CERT_VARIABLE: &str = "FFRTMP_TLS_CLIENT_CERT";
/// Environment variable for `--tls-client-key`.
pub const CLIENT_KEY_VARIABLE: &str = "FFRTMP_TLS_CLIENT_KEY";

/// The certificate of an API port.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "TLS")]
pub struct ApiTlsArgs {
    /// Serve the API over TLS with this certificate (PEM); `ffrtmp tls init` makes one
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Workers must show a certificate signed by this authority
    #[arg(long, value_name = "FILE")]
    pub tls_client_ca: Option<PathBuf>,
    /// Everybody must show one, not only workers
    #[arg(long)]
    pub tls_require_client_cert: bool,
}

/// The certificate of a metrics port.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "TLS")]
pub struct MetricsTlsArgs {
    /// Serve the metrics over TLS with this certificate (PEM)
    #[arg(long, value_name = "FILE")]
    pub metrics_tls_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE")]
    pub metrics_tls_key: Option<PathBuf>,
}

impl ApiTlsArgs {
    /// What the listener needs; `None`: plain HTTP. Checked here and not by clap, which would not see that the other half of a
    /// pair is in the file or a variable. Half of a pair must never mean plain HTTP.
    pub fn files(&self) -> Result<Option<ServerTlsFiles>> {
        let Some((cert, key)) = pair("tls", &self.tls_cert, &self.tls_key)? else {
            return match self.tls_client_ca.is_some() || self.tls_require_client_cert {
                true => Err(Failure::usage(
                    "--tls-client-ca and --tls-require-client-cert need the master's own certificate: give --tls-cert and \
                     --tls-key, or tls_cert and tls_key in the settings file",
                )),
                false => Ok(None),
            };
        };
        if self.tls_require_client_cert && self.tls_client_ca.is_none() {
            return Err(Failure::usage(
                "--tls-require-client-cert needs the authority that signs them: give --tls-client-ca, or tls_client_ca in the \
                 settings file",
            ));
        }
        Ok(Some(ServerTlsFiles {
            cert,
            key,
            client_ca: self.tls_client_ca.clone(),
            require_client_cert: self.tls_require_client_cert,
        }))
    }
}

impl MetricsTlsArgs {
    /// What the listener needs; `None`: plain HTTP.
    pub fn files(&self) -> Result<Option<ServerTlsFiles>> {
        let files = pair("metrics_tls", &self.metrics_tls_cert, &self.metrics_tls_key)?;
        Ok(files.map(|(cert, key)| ServerTlsFiles {
            cert,
            key,
            client_ca: None,
            require_client_cert: false,
        }))
    }
}

/// A certificate and its key: both or neither.
fn pair(
    what: &str,
    cert: &Option<PathBuf>,
    key: &Option<PathBuf>,
) -> Result<Option<(PathBuf, PathBuf)>> {
    match (cert, key) {
        (Some(cert), Some(key)) => Ok(Some((cert.clone(), key.clone()))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(half(what, "cert", "its key", "key")),
        (None, Some(_)) => Err(half(what, "key", "its certificate", "cert")),
    }
}

fn half(what: &str, given: &str, missing: &str, lacks: &str) -> Failure {
    let dashed = what.replace('_', "-");
    Failure::usage(format!(
        "--{dashed}-{given} is set without {missing}: give --{dashed}-{lacks}, or {what}_{lacks} in the settings file"
    ))
}

/// Whom a client or worker trusts and what it shows: by flag, else by environment.
pub fn client(global: &GlobalArgs, env: impl Fn(&str) -> Option<String>) -> Result<ClientTls> {
    let setting = |flag: &Option<PathBuf>, name| {
        flag.clone().or_else(|| {
            env(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        })
    };
    let ca = setting(&global.tls_ca, CA_VARIABLE);
    let cert = setting(&global.tls_client_cert, CLIENT_CERT_VARIABLE);
    let key = setting(&global.tls_client_key, CLIENT_KEY_VARIABLE);
    let identity = match (&cert, &key) {
        (Some(cert), Some(key)) => Some((cert.as_path(), key.as_path())),
        (None, None) => None,
        (Some(_), None) => {
            return Err(Failure::usage(
                "--tls-client-cert needs its key: give --tls-client-key",
            ));
        }
        (None, Some(_)) => {
            return Err(Failure::usage(
                "--tls-client-key needs its certificate: give --tls-client-cert",
            ));
        }
    };
    if let Some(warning) = key
        .as_deref()
        .and_then(|key: &Path| readable_by_others(key))
    {
        eprintln!("ffrtmp: warning: {warning}");
    }
    ClientTls::load(ca.as_deref(), identity).map_err(|error| Failure::failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Args;

    #[test]
    fn a_certificate_to_show_without_its_key_is_wrong_usage() {
        let args = Args::try_parse_from(["ffrtmp", "version", "--tls-client-cert", "a"]).unwrap();
        assert!(matches!(
            client(&args.global, |_| None),
            Err(Failure::Usage(_))
        ));
    }

    #[test]
    fn half_a_pair_wherever_it_is_from_never_means_plain_http_and_says_what_is_missing() {
        let half = ApiTlsArgs {
            tls_cert: Some("a".into()),
            ..ApiTlsArgs::default()
        };
        let authority = ApiTlsArgs {
            tls_client_ca: Some("a".into()),
            ..ApiTlsArgs::default()
        };
        let metrics = MetricsTlsArgs {
            metrics_tls_cert: None,
            metrics_tls_key: Some("a".into()),
        };
        let Err(Failure::Usage(message)) = half.files() else {
            panic!("half a pair was taken")
        };
        assert_eq!(
            message,
            "--tls-cert is set without its key: give --tls-key, or tls_key in the settings file"
        );
        let nobody_to_require = ApiTlsArgs {
            tls_key: Some("a".into()),
            tls_require_client_cert: true,
            ..half.clone()
        };
        assert!(matches!(nobody_to_require.files(), Err(Failure::Usage(_))));
        assert!(matches!(authority.files(), Err(Failure::Usage(_))));
        assert!(matches!(metrics.files(), Err(Failure::Usage(_))));
        assert!(matches!(ApiTlsArgs::default().files(), Ok(None)));
    }

    #[test]
    fn the_flag_goes_before_the_environment() {
        let args = Args::try_parse_from(["ffrtmp", "version", "--tls-ca", "/by-flag"]).unwrap();
        let by_env = |name: &str| (name == CA_VARIABLE).then(|| "/by-env".to_owned());
        for (global, file) in [
            (&args.global, "/by-flag"),
            (
                &Args::try_parse_from(["ffrtmp", "version"]).unwrap().global,
                "/by-env",
            ),
        ] {
            let Err(Failure::Failed(message)) = client(global, by_env) else {
                panic!("a file that is not there was read")
            };
            assert!(message.contains(file), "{message}");
        }
    }
}

//! What keeps a job from harming its worker, or what its worker can reach.
//!
//! A job names addresses, and what it reads there may name others. `hosts` decides (by the rule of [`ffrtmp_api::hosts`]); `proxy` is the way out for everything ffmpeg asks of web servers, so that redirects,
//! playlists and names are decided on where the connection is made, and not before; `address` is for streams, which know no
//! proxy. `roots` is the same for files. What ffmpeg may open besides is bounded by [`crate::ffmpeg::reach`].

mod address;
mod hosts;
mod proxy;
mod roots;

use std::sync::Arc;

use ffrtmp_api::{
    hosts::{Rule, is_loopback_url},
    job::FailureReason,
    protocol::GuardReport,
    settings::RawArgs,
};

pub(crate) use proxy::Pass;

use crate::{WorkerConfig, ffmpeg::diagnosis::Failure};
use hosts::{Hosts, Names, WORKER};
use proxy::Proxy;
use roots::Roots;

/// The guards of one worker. Whatever runs on behalf of a job passes them.
#[derive(Clone)]
pub(crate) struct Guard {
    hosts: Arc<Hosts>,
    proxy: Arc<Proxy>,
    roots: Arc<Roots>,
    raw_args: bool,
}

impl Guard {
    /// Puts them up as `config` says.
    ///
    /// # Errors
    /// When a root is no folder, or no port of the loopback interface is free.
    pub(crate) async fn start(config: &WorkerConfig) -> anyhow::Result<Guard> {
        let hosts = Arc::new(Hosts {
            rule: Rule {
                allowed: config.allow_hosts.clone(),
                deny_private: config.deny_private,
                own_machine: is_loopback_url(&config.master),
                who: WORKER,
            },
            names: Names::System,
        });
        let proxy = Arc::new(Proxy::start(Arc::clone(&hosts)).await?);
        let roots = Arc::new(Roots::find(&config.allow_roots)?);
        Ok(Guard {
            hosts,
            proxy,
            roots,
            raw_args: config.allow_raw_args,
        })
    }

    /// What it leaves to jobs.
    pub(crate) fn reports(&self) -> Vec<GuardReport> {
        let report = |name: &str, what: String| GuardReport {
            name: name.to_owned(),
            holds: true,
            what,
        };
        let arguments = match self.raw_args {
            false => report("arguments", "jobs bring no raw ffmpeg arguments".into()),
            true => GuardReport {
                holds: false,
                ..report(
                    "arguments",
                    "jobs bring raw ffmpeg arguments, with which they can reach what this worker's user can".into(),
                )
            },
        };
        vec![
            report("hosts", self.hosts.rule.to_string()),
            report("folders", self.roots.to_string()),
            arguments,
        ]
    }

    /// Refuses raw arguments where they are not taken. The master sends none here; it may be wrong about this worker.
    pub(crate) fn takes(&self, raw: &RawArgs) -> Result<(), Failure> {
        if self.raw_args || raw.is_empty() {
            return Ok(());
        }
        Err(Failure::new(
            FailureReason::CapabilityMismatch,
            "the job has raw ffmpeg arguments, and this worker is not started with --allow-raw-args".to_owned(),
        ))
    }

    /// Lets one attempt out through the proxy, for as long as the pass lives.
    pub(crate) fn admit(&self) -> Pass {
        self.proxy.admit()
    }
}

/// What was refused or did not work on the way to a host.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Trouble {
    /// This worker does not go there.
    #[error("{0}")]
    Refused(String),
    /// It could not be reached.
    #[error("{0}")]
    Unreachable(String),
}

impl Trouble {
    /// As the failure of a job that named `whose`.
    fn into_failure(self, whose: &str) -> Failure {
        let reason = match self {
            Trouble::Refused(_) => FailureReason::UserError,
            Trouble::Unreachable(_) => FailureReason::NetworkError,
        };
        Failure::new(reason, format!("{whose}: {self}"))
    }
}

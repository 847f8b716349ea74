//! What an operator can set on a worker, and the checks that turn a wrong value into a sentence.
//!
//! Separate so that the command line, tests and embedders build the same thing. It reads nothing itself: no
//! environment, no files.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context, bail};
use ffrtmp_api::{
    client::Client,
    hosts::HostPattern,
    job::RAW_ARGS_LABEL,
    limits,
    metrics::BuildInfo,
    protocol,
    tls::{ClientTls, ServerTlsFiles},
};
use tokio::sync::watch;

use crate::{advertise::Advertised, sandbox::SandboxMode};

/// How long an encode may show no progress, unless said otherwise: longer than honest starts take, short enough that a hung encode does
/// not hold its slot for long.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// How far jobs are held to what is reserved for them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum JobLimits {
    /// Not at all: jobs run in the worker's own control group.
    None,
    /// Where they compete, each gets processor and disk in proportion to what it reserved, and a live job its disk first; one may use
    /// what others leave.
    #[default]
    Share,
    /// No more processor and memory than it reserved, even where there is more.
    Cap,
}

impl JobLimits {
    /// The words for them.
    pub const WORDS: [(&'static str, JobLimits); 3] = [
        ("none", JobLimits::None),
        ("share", JobLimits::Share),
        ("cap", JobLimits::Cap),
    ];
}

impl std::str::FromStr for JobLimits {
    type Err = String;

    fn from_str(text: &str) -> Result<JobLimits, String> {
        let found = JobLimits::WORDS.iter().find(|(word, _)| *word == text);
        found
            .map(|(_, limits)| *limits)
            .ok_or_else(|| "use none, share or cap".to_owned())
    }
}

/// Everything a worker is told at start. [`WorkerConfig::new`] fills in the defaults.
#[derive(Clone)]
pub struct WorkerConfig {
    /// The master's API address: `https://host:port` or `http://host:port`.
    pub master: String,
    /// The worker's name, unique in the cluster and `node_id` in metrics. Default: the host name.
    pub name: Option<String>,
    /// Directory for the install id, the records of attempts and the cache of trial encodes. One worker at a time.
    pub state_dir: PathBuf,
    /// Where outputs nobody asked to keep are written. A subdirectory of its own is made there. Default:
    /// `scratch` in the state directory.
    pub scratch_dir: Option<PathBuf>,
    /// Most attempts at once. Default: the number of CPUs this process may use.
    pub slots: Option<u32>,
    /// Free labels, matched by a job's `require`.
    pub labels: BTreeMap<String, String>,
    /// Other labels to have from then on, whenever it changes; none: they stay. Checked with [`check_labels`] by whoever
    /// changes it.
    pub new_labels: Option<watch::Receiver<BTreeMap<String, String>>>,
    /// The cluster's bearer token, if it has one.
    pub token: Option<String>,
    /// What to get a token of its own for, if it has none and `token` is none.
    pub join_token: Option<String>,
    /// Whom to trust over `https://`, and the certificate to show.
    pub tls: ClientTls,
    /// Where to serve `/metrics`, `/healthz` and `/readyz`; `None` serves nothing. A taken port is replaced by a free one.
    pub metrics_listen: Option<SocketAddr>,
    /// The certificate of that listener; without, it is plain HTTP.
    pub metrics_tls: Option<ServerTlsFiles>,
    /// Where scrapers find it, if not where the worker would think.
    pub metrics_advertise: Option<Advertised>,
    /// How long running attempts may go on after a shutdown was asked for, before they are handed back.
    pub grace: Duration,
    /// The ffmpeg to run: a path, or a name looked up in `PATH`.
    pub ffmpeg: PathBuf,
    /// The ffprobe to run: a path, or a name looked up in `PATH`.
    pub ffprobe: PathBuf,
    /// NVIDIA's management library, if it is not where a driver installs it.
    pub nvml_library: Option<PathBuf>,
    /// The folders below which jobs may read and write; empty: wherever the worker may.
    pub allow_roots: Vec<PathBuf>,
    /// The only hosts that jobs may reach; empty: every one but this machine, and never metadata services and link-local addresses.
    pub allow_hosts: Vec<HostPattern>,
    /// Whether jobs may not reach private networks, but for what `allow_hosts` names.
    pub deny_private: bool,
    /// Whether jobs may bring raw ffmpeg arguments: with them they can reach whatever this worker's user can.
    pub allow_raw_args: bool,
    /// The authorities that certificates of media servers must be from; none: those this machine trusts.
    pub media_ca: Option<PathBuf>,
    /// Whether any certificate of a media server is taken.
    pub media_any_certificate: bool,
    /// What control groups hold jobs to.
    pub job_limits: JobLimits,
    /// Whether ffmpeg runs in a sandbox.
    pub sandbox: SandboxMode,
    /// What it reads and runs there besides the system's programs and what a job names: files, or folders with all that is in them.
    pub sandbox_reads: Vec<PathBuf>,
    /// What it writes there besides a job's output: files, or folders with all that is in them.
    pub sandbox_writes: Vec<PathBuf>,
    /// Who ffmpeg is, `USER` or `USER:GROUP`; none: the worker's user. Takes a worker that is root.
    pub run_as: Option<String>,
    /// How long an encode may show no progress before it is stopped as hung.
    pub stall_timeout: Duration,
    /// How long a process group may take to end after SIGTERM before it gets SIGKILL.
    pub kill_grace: Duration,
    /// How long one ffprobe may take. Counting the packets of a long output reads the whole file.
    pub probe_timeout: Duration,
    /// Which software this is, for its metrics.
    pub build: BuildInfo,
}

impl WorkerConfig {
    /// A worker of the cluster at `master` that keeps its state in `state_dir`, with every default.
    pub fn new(master: impl Into<String>, state_dir: impl Into<PathBuf>) -> Self {
        WorkerConfig {
            master: master.into(),
            name: None,
            state_dir: state_dir.into(),
            scratch_dir: None,
            slots: None,
            labels: BTreeMap::new(),
            new_labels: None,
            token: None,
            join_token: None,
            tls: ClientTls::default(),
            metrics_listen: None,
            metrics_tls: None,
            metrics_advertise: None,
            grace: Duration::from_secs(30),
            ffmpeg: "ffmpeg".into(),
            ffprobe: "ffprobe".into(),
            nvml_library: None,
            allow_roots: Vec::new(),
            allow_hosts: Vec::new(),
            deny_private: false,
            allow_raw_args: false,
            media_ca: None,
            media_any_certificate: false,
            job_limits: JobLimits::default(),
            sandbox: SandboxMode::default(),
            sandbox_reads: Vec::new(),
            sandbox_writes: Vec::new(),
            run_as: None,
            stall_timeout: STALL_TIMEOUT,
            kill_grace: Duration::from_secs(5),
            probe_timeout: Duration::from_secs(600),
            build: BuildInfo::default(),
        }
    }

    /// The name given, or the host's.
    pub(crate) fn resolve_name(&self) -> anyhow::Result<String> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => sysinfo::System::host_name()
                .context("this host has no name; give the worker one with --name")?,
        };
        if name.is_empty()
            || name.len() > limits::NAME_BYTES_MAX
            || name.chars().any(ffrtmp_api::text::is_unfit)
        {
            bail!(
                "name: {:?} must be 1 to {} bytes without control characters",
                name.chars().take(64).collect::<String>(),
                limits::NAME_BYTES_MAX
            );
        }
        Ok(name)
    }

    /// The slots given, or one for each CPU.
    pub(crate) fn resolve_slots(&self, cpus: u32) -> anyhow::Result<u32> {
        match self.slots {
            Some(0) => bail!("slots: 0 would never run anything; give at least 1"),
            Some(slots) if slots > 4096 => {
                bail!("slots: {slots} is more than the 4096 one worker may have")
            }
            Some(slots) => Ok(slots),
            None => Ok(cpus.max(1)),
        }
    }

    /// A client for the master's API, with the session's credentials.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::new(&self.master, self.token.clone())?.with_tls(&self.tls))
    }

    /// The WebSocket address of the master's session endpoint.
    pub(crate) fn session_url(&self) -> anyhow::Result<String> {
        let given = self.master.trim_end_matches('/');
        let (scheme, host) = match given.split_once("://") {
            Some(("http", host)) => ("ws", host),
            Some(("https", host)) => ("wss", host),
            _ => ("", ""),
        };
        if host.is_empty() || host.contains(['/', ' ', '@', '?', '#']) {
            bail!("master: {given:?} is not of the form https://HOST:PORT or http://HOST:PORT");
        }
        Ok(format!("{scheme}://{host}{}", protocol::SESSION_PATH))
    }
}

/// Whether labels are within the bounds the master accepts.
///
/// # Errors
/// Which is not, and the bounds.
pub fn check_labels(labels: &BTreeMap<String, String>) -> anyhow::Result<()> {
    if labels.len() > limits::LABELS_MAX {
        bail!(
            "labels: {} given; at most {} are accepted",
            labels.len(),
            limits::LABELS_MAX
        );
    }
    for (key, value) in labels {
        if key == RAW_ARGS_LABEL.0 {
            bail!("labels: {key:?} is given by --allow-raw-args, and not by hand");
        }
        if key.is_empty()
            || key.len() > limits::NAME_BYTES_MAX
            || value.len() > limits::NAME_BYTES_MAX
        {
            bail!(
                "labels: {key:?} must be 1 to {0} bytes, its value at most {0}",
                limits::NAME_BYTES_MAX
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(master: &str) -> anyhow::Result<String> {
        WorkerConfig::new(master, "/nowhere").session_url()
    }

    #[test]
    fn the_master_address_becomes_the_session_endpoint() {
        assert_eq!(
            url("http://10.0.0.1:8080").unwrap(),
            "ws://10.0.0.1:8080/v1/worker/session"
        );
        assert_eq!(
            url("http://[::1]:8080/").unwrap(),
            "ws://[::1]:8080/v1/worker/session"
        );
        assert_eq!(
            url("https://farm:8443").unwrap(),
            "wss://farm:8443/v1/worker/session"
        );
    }

    #[test]
    fn a_wrong_master_address_is_refused_with_the_right_form() {
        for bad in [
            "10.0.0.1:8080",
            "http://",
            "ftp://x",
            "http://a/b",
            "https://",
        ] {
            assert!(
                url(bad)
                    .unwrap_err()
                    .to_string()
                    .contains("http://HOST:PORT"),
                "{bad}"
            );
        }
    }

    #[test]
    fn no_slots_at_all_is_refused() {
        let mut config = WorkerConfig::new("http://x:1", "/nowhere");
        assert_eq!(config.resolve_slots(3).unwrap(), 3);
        config.slots = Some(0);
        assert!(config.resolve_slots(3).is_err());
    }
}

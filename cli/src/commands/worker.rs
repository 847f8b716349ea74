//! `ffrtmp worker`: from flags to `ffrtmp_worker::run`, which is the worker.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;
use ffrtmp_api::hosts::HostPattern;
use ffrtmp_worker::{Advertised, JobLimits, SandboxMode, WorkerConfig};
use tokio::sync::watch;

use crate::{
    args::{Command, GlobalArgs},
    connection::master_url,
    dirs,
    exit::{Failure, Result},
    listen,
    logging::{self, LogArgs},
    reload::Reload,
    service,
    settings::Value,
    tls::{self, MetricsTlsArgs},
    token, values,
};

/// Where the first worker of a machine serves its metrics.
pub const METRICS_PORT_DEFAULT: u16 = 9091;

/// How a worker runs.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ffrtmp worker --master https://10.0.0.5:8080 --tls-ca ca.pem --join-token-file join.token
  ffrtmp worker --master http://10.0.0.5:8080 --name encoder-7 --slots 4 --label zone=eu

The worker connects to the master; nothing has to reach the worker. On SIGTERM it takes nothing new
and gives running encodes --grace to end; what is left goes back to the queue.")]
pub struct WorkerArgs {
    /// Name in the cluster, unique; default: the host's name
    #[arg(long)]
    name: Option<String>,
    /// Where it keeps its identity and what it runs; default: ffrtmp/worker in $XDG_STATE_HOME or ~/.local/state
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// File that holds a join token; it is exchanged once for a token of this worker's own, kept in --state-dir. Else
    /// FFRTMP_JOIN_TOKEN
    #[arg(long, value_name = "FILE", conflicts_with = "token_file")]
    join_token_file: Option<PathBuf>,
    /// Where outputs that are not kept are written; default: below --state-dir
    #[arg(long, value_name = "DIR")]
    scratch_dir: Option<PathBuf>,
    /// Most encodes at once; default: by the number of cores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    slots: Option<u32>,
    /// Label that jobs may require; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::key_value)]
    label: Vec<(String, String)>,
    /// Address of the metrics; default: 127.0.0.1:9091, or another port if that one is taken
    #[arg(long, value_name = "ADDR:PORT")]
    metrics_listen: Option<SocketAddr>,
    /// Where scrapers find its metrics, for the master to tell them; default: the address that it reaches the master from, if it
    /// listens on all, and the port that it listens on
    #[arg(long, value_name = "HOST[:PORT]", value_parser = str::parse::<Advertised>)]
    metrics_advertise: Option<Advertised>,
    /// Serve no metrics
    #[arg(long, conflicts_with_all = ["metrics_listen", "metrics_advertise"])]
    no_metrics: bool,
    /// How long running encodes may go on after SIGTERM
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = values::duration)]
    grace: Duration,
    /// How long an encode may make no progress
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = values::duration)]
    stall_timeout: Duration,
    /// The ffmpeg to run
    #[arg(long, value_name = "PATH", default_value = "ffmpeg")]
    ffmpeg: PathBuf,
    /// The ffprobe to run
    #[arg(long, value_name = "PATH", default_value = "ffprobe")]
    ffprobe: PathBuf,
    /// NVIDIA's management library, where the driver has put it in no usual place
    #[arg(long, value_name = "PATH")]
    nvml_library: Option<PathBuf>,
    /// Folder below which jobs may read and write, and nowhere else; may be repeated; default: wherever the worker may
    #[arg(long, value_name = "DIR")]
    allow_root: Vec<PathBuf>,
    /// Host that jobs may reach, and no other: media.example.com, *.example.com, 10.1.2.3 or 10.1.0.0/16; may be
    /// repeated; default: all but this machine
    #[arg(long, value_name = "HOST")]
    allow_host: Vec<HostPattern>,
    /// Let jobs reach no private network but what --allow-host names
    #[arg(long)]
    deny_private: bool,
    /// Take jobs with raw ffmpeg arguments: with them they can read and write whatever this worker's user can
    #[arg(long)]
    allow_raw_args: bool,
    /// Authorities (PEM) that certificates of https and rtmps servers must be from; default: those this machine trusts
    #[arg(long, value_name = "FILE", conflicts_with = "media_any_certificate")]
    media_ca: Option<PathBuf>,
    /// Take any certificate of an https or rtmps server
    #[arg(long)]
    media_any_certificate: bool,
    /// What jobs are held to by control groups: none, share (of what is reserved, where they compete) or cap (no more than that)
    #[arg(long, value_name = "WORD", default_value = "share", value_parser = str::parse::<JobLimits>)]
    job_limits: JobLimits,
    /// Whether ffmpeg runs in a sandbox: auto (as much of one as the kernel has), require (a whole one, or the worker does not
    /// start) or off
    #[arg(long, value_name = "WORD", default_value = "auto", value_parser = str::parse::<SandboxMode>)]
    sandbox: SandboxMode,
    /// File or folder that ffmpeg reads and runs in its sandbox besides the system's: codecs, fonts or drivers in unusual places; may
    /// be repeated
    #[arg(long, value_name = "PATH")]
    sandbox_read: Vec<PathBuf>,
    /// File or folder that ffmpeg writes in its sandbox besides a job's output; may be repeated
    #[arg(long, value_name = "PATH")]
    sandbox_write: Vec<PathBuf>,
    /// Run ffmpeg as this user, and use files with that user's rights; takes a worker that is root
    #[arg(long, value_name = "USER[:GROUP]")]
    run_as: Option<String>,
    /// The certificate of its metrics.
    #[command(flatten)]
    pub metrics_tls: MetricsTlsArgs,
    /// How it logs.
    #[command(flatten)]
    log: LogArgs,
}

impl WorkerArgs {
    /// What the worker is told. Touches nothing.
    pub fn config(&self, global: &GlobalArgs, token: Option<String>) -> Result<WorkerConfig> {
        let url = master_url(global.master.as_deref(), |name| std::env::var(name).ok());
        // The client's own check, so that a wrong URL is a message and not an endless reconnect.
        let master = ffrtmp_api::client::Client::new(&url, None)?
            .base()
            .to_owned();
        let state_dir = self.state_dir()?;
        let metrics_default = SocketAddr::from(([127, 0, 0, 1], METRICS_PORT_DEFAULT));
        Ok(WorkerConfig {
            name: self.name.clone(),
            scratch_dir: self.scratch_dir.clone(),
            slots: self.slots,
            labels: self.labels()?,
            token,
            tls: tls::client(global, |name| std::env::var(name).ok())?,
            metrics_tls: self.metrics_tls.files()?,
            metrics_advertise: self.metrics_advertise.clone(),
            metrics_listen: (!self.no_metrics)
                .then(|| self.metrics_listen.unwrap_or(metrics_default)),
            grace: self.grace,
            ffmpeg: self.ffmpeg.clone(),
            ffprobe: self.ffprobe.clone(),
            nvml_library: self.nvml_library.clone(),
            allow_roots: self.allow_root.clone(),
            allow_hosts: self.allow_host.clone(),
            deny_private: self.deny_private,
            allow_raw_args: self.allow_raw_args,
            media_ca: self.media_ca.clone(),
            media_any_certificate: self.media_any_certificate,
            job_limits: self.job_limits,
            sandbox: self.sandbox,
            sandbox_reads: self.sandbox_read.clone(),
            sandbox_writes: self.sandbox_write.clone(),
            run_as: self.run_as.clone(),
            stall_timeout: self.stall_timeout,
            build: crate::build::INFO,
            ..WorkerConfig::new(master, state_dir)
        })
    }

    /// Its labels, checked.
    fn labels(&self) -> Result<BTreeMap<String, String>> {
        let mut labels = BTreeMap::new();
        for (key, value) in &self.label {
            if labels.insert(key.clone(), value.clone()).is_some() {
                return Err(Failure::usage(format!(
                    "--label: {key:?} is given twice; give it once"
                )));
            }
        }
        ffrtmp_worker::check_labels(&labels)
            .map_err(|error| Failure::usage(format!("--label: {error}")))?;
        Ok(labels)
    }

    /// Where it keeps its state.
    fn state_dir(&self) -> Result<PathBuf> {
        let given = self.state_dir.clone();
        given.map_or_else(|| dirs::data_dir().map(|dir| dir.join("worker")), Ok)
    }

    /// The address that its metrics must have; without one, a free one is found.
    pub fn metrics_wanted(&self) -> Option<SocketAddr> {
        self.metrics_listen.filter(|_| !self.no_metrics)
    }
}

/// Runs it until SIGTERM or SIGINT.
pub fn run(args: WorkerArgs, global: &GlobalArgs, values: Vec<Value>) -> Result {
    let var = |name: &str| std::env::var(name).ok();
    // One that has joined needs its join token no more; the file may be gone.
    let join_token = match ffrtmp_worker::has_joined(&args.state_dir()?) {
        true => None,
        false => token::find_join(args.join_token_file.as_deref(), var)?,
    };
    // Who asks to join has no token yet; one in the environment is the user's own.
    let token = match (&join_token, &args.join_token_file) {
        (Some(_), _) | (_, Some(_)) => None,
        (None, None) => token::find(global.token_file.as_deref(), var)?,
    };
    let (new_labels, labels) = watch::channel(args.labels()?);
    let config = WorkerConfig {
        join_token,
        new_labels: Some(labels),
        ..args.config(global, token)?
    };
    if let Some(address) = args.metrics_wanted() {
        listen::require_free("the worker's metrics", "--metrics-listen", address)?;
    }
    let log = logging::start(&args.log)?;
    let reload = Reload::new(values, log, |args| match &args.command {
        Command::Worker(args) => Some(args.log.level().to_owned()),
        _ => None,
    });
    let relabel = move |args: &crate::args::Args| {
        if let Command::Worker(args) = &args.command {
            new_labels.send_replace(args.labels()?);
        }
        Ok(())
    };
    let reload = reload.with("label", Box::new(relabel));
    service::run(reload, |shutdown| ffrtmp_worker::run(config, shutdown))
}

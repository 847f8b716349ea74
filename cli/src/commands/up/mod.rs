//! `ffrtmp up`: a whole cluster on one machine, as child processes of this one.
//!
//! The children are exactly what `ffrtmp master` and `ffrtmp worker` run, so nothing is tried here that is not used in
//! production. This file has the flags; `children` makes command lines of them, `life` starts and ends the cluster, `metrics_stack`
//! is what watches it.

mod children;
mod life;
mod metrics_stack;

use std::{
    ffi::OsString,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use ffrtmp_api::client::Client;

use self::{
    children::Children,
    life::Ready,
    metrics_stack::{MetricsStack, MetricsStackArgs, Scraped},
};
use crate::{
    args::{Command, GlobalArgs},
    commands::{spool::SpoolArgs, webhook_args::WebhookArgs, worker::METRICS_PORT_DEFAULT},
    dirs,
    exit::{Failure, Result},
    listen,
    logging::LogArgs,
    settings::{self, Role, Value},
    tls::{self, ApiTlsArgs},
    token, values,
};

/// What to run.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ffrtmp up
  ffrtmp up --workers 2 --slots 2 --data-dir /tmp/ffrtmp
  ffrtmp up --listen 127.0.0.1:18080 --metrics-listen 127.0.0.1:19090
  ffrtmp up --metrics-stack

Ctrl-C ends it in order: running encodes get --grace to finish, what is left goes back to the queue,
which is kept in --data-dir. A second Ctrl-C ends it at once. Logs go to stderr; RUST_LOG=info shows more.")]
pub struct UpArgs {
    /// Where everything is kept; default: ffrtmp in $XDG_STATE_HOME or ~/.local/state
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Address of the API
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Address of the master's metrics
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:9090")]
    metrics_listen: SocketAddr,
    /// Address of the first worker's metrics; the others take the ports after it
    #[arg(long, value_name = "ADDR:PORT", default_value_t = SocketAddr::from(([127, 0, 0, 1], METRICS_PORT_DEFAULT)))]
    worker_metrics_listen: SocketAddr,
    /// Workers to run
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(0..=64))]
    workers: u16,
    /// Most encodes at once on each worker; default: by the number of cores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    slots: Option<u32>,
    /// Folder watched for policies (*.wasm); default: ./policies if there is one, else policies in --data-dir
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// Folder of the operator's presets (*.toml), read anew as it changes; default: presets beside --policies
    #[arg(long, value_name = "DIR")]
    presets: Option<PathBuf>,
    /// Take jobs with raw ffmpeg arguments, which can read and write whatever this user can
    #[arg(long)]
    allow_raw_args: bool,
    /// Policy that decides on a fresh data directory
    #[arg(long, value_name = "NAME", default_value = "balanced")]
    policy: String,
    /// What chooses among policies that arrive: automatic or manual, as of `ffrtmp master`
    #[arg(long, value_name = "MODE", default_value = "automatic")]
    #[allow(dead_code)] // handed on by its name, see `children`
    policy_mode: ffrtmp_host::policy::Mode,
    /// Requests a second from one caller; 0: no limit [default: 2000, and none for this machine's callers]
    #[arg(long, value_name = "N")]
    #[allow(dead_code)] // likewise
    rate_limit: Option<u32>,
    /// How long running encodes may go on after Ctrl-C
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = values::duration)]
    grace: Duration,
    /// The ffmpeg to run
    #[arg(long, value_name = "PATH", default_value = "ffmpeg")]
    ffmpeg: PathBuf,
    /// The ffprobe to run
    #[arg(long, value_name = "PATH", default_value = "ffprobe")]
    ffprobe: PathBuf,
    /// The master's spool.
    #[command(flatten)]
    #[allow(dead_code)] // likewise
    spool: SpoolArgs,
    /// The master's webhooks.
    #[command(flatten)]
    #[allow(dead_code)] // handed on by name, as what is in force
    webhooks: WebhookArgs,
    /// What watches it.
    #[command(flatten)]
    metrics_stack: MetricsStackArgs,
    /// The master's certificate.
    #[command(flatten)]
    pub tls: ApiTlsArgs,
    /// How the children log.
    #[command(flatten)]
    log: LogArgs,
}

/// An address to listen on: what wants it, and the flag that changes it.
pub type Wanted = (&'static str, &'static str, SocketAddr);

impl UpArgs {
    /// Every address that is listened on.
    pub fn addresses(&self) -> Result<Vec<Wanted>> {
        let mut wanted = vec![
            ("the API", "--listen", self.listen),
            (
                "the master's metrics",
                "--metrics-listen",
                self.metrics_listen,
            ),
        ];
        let workers = self.worker_metrics()?.into_iter();
        wanted.extend(
            workers.map(|address| ("a worker's metrics", "--worker-metrics-listen", address)),
        );
        wanted.extend(self.metrics_stack.addresses());
        Ok(wanted)
    }

    /// The metrics addresses of the workers: consecutive ports.
    fn worker_metrics(&self) -> Result<Vec<SocketAddr>> {
        let first = self.worker_metrics_listen;
        (0..self.workers)
            .map(|i| match first.port().checked_add(i) {
                Some(port) => Ok(SocketAddr::new(first.ip(), port)),
                None => Err(Failure::usage(
                    "--worker-metrics-listen: there are not enough ports after it for --workers",
                )),
            })
            .collect()
    }

    /// Where everything is kept.
    pub fn data_dir(&self) -> Result<PathBuf> {
        self.data_dir.clone().map_or_else(dirs::data_dir, Ok)
    }

    /// The folder of policies of a cluster kept in `data_dir`.
    pub fn policies_dir(&self, data_dir: &Path) -> PathBuf {
        dirs::policies_dir(self.policies.clone(), data_dir)
    }

    /// The folder of presets of a cluster kept in `data_dir`.
    pub fn presets_dir(&self, data_dir: &Path) -> PathBuf {
        dirs::presets_dir(self.presets.clone(), &self.policies_dir(data_dir))
    }

    /// ffmpeg and ffprobe.
    pub fn programs(&self) -> (PathBuf, PathBuf) {
        (self.ffmpeg.clone(), self.ffprobe.clone())
    }
}

/// Runs it until a signal ends it.
pub fn run(args: UpArgs, global: &GlobalArgs, values: Vec<Value>) -> Result {
    let token = token::find(global.token_file.as_deref(), |name| {
        std::env::var(name).ok()
    })?;
    listen::require_token_beyond_loopback("up", args.listen, token.is_some())?;
    for (what, flag, address) in args.addresses()? {
        listen::require_free(what, flag, address)?;
    }
    let worker_metrics = args.worker_metrics()?;
    args.tls.files()?;
    let of_children = OfChildren::load(&args, global)?;
    let data_dir = made(args.data_dir()?)?;
    let policies = made(args.policies_dir(&data_dir))?;
    let stack = args.metrics_stack.prepare(
        &data_dir.join("metrics"),
        args.metrics_listen,
        &of_children.scraped,
    )?;
    let scraped = &of_children.scraped;
    let ready = Ready {
        api: format!("{}://{}", of_children.scheme, near(args.listen)),
        master_metrics: metrics_at(scraped.master_tls, args.metrics_listen),
        worker_metrics: worker_metrics
            .iter()
            .map(|address| metrics_at(scraped.worker_tls, *address))
            .collect(),
        victoria_metrics: stack.as_ref().map(MetricsStack::store_url),
        vmalert: stack.as_ref().map(MetricsStack::alerts_url),
        data_dir,
        policies,
    };
    let tls = tls::client(&of_children.trust, |name| std::env::var(name).ok())?;
    let probe = Client::new(&ready.api, token)?.with_tls(&tls);
    let children = Children {
        args: &args,
        global,
        ready: &ready,
        worker_metrics: &worker_metrics,
        stack: stack.as_ref(),
        values: &values,
    };
    // One thread, this one: see `supervisor`.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start: {error}")))?;
    let format = global.format.unwrap_or_default();
    let outcome = runtime.block_on(life::supervise(&children, probe, format));
    runtime.shutdown_background();
    outcome
}

/// Where metrics are read.
fn metrics_at(is_tls: bool, listen: SocketAddr) -> String {
    format!("{}://{}/metrics", scheme(is_tls), near(listen))
}

fn scheme(is_tls: bool) -> &'static str {
    if is_tls { "https" } else { "http" }
}

/// The same file, from wherever it is named.
fn absolute(file: &Path) -> Result<PathBuf> {
    std::path::absolute(file).map_err(|error| {
        Failure::failed(format!(
            "{}: its place cannot be told: {error}",
            file.display()
        ))
    })
}

/// The folder, made if it is missing, by its full name.
fn made(dir: PathBuf) -> Result<PathBuf> {
    fs::create_dir_all(&dir)
        .and_then(|()| dir.canonicalize())
        .map_err(|error| {
            Failure::failed(format!("cannot make the folder {}: {error}", dir.display()))
        })
}

/// What the children's own tables of the settings file mean for this process. The master and the workers read `[master]` and
/// `[worker]`, so a certificate may be named there, or whom to trust, and not in `[up]`.
struct OfChildren {
    /// How the API is spoken to.
    scheme: &'static str,
    /// Whom to trust and what to show when asking the master whether it is ready: as its workers do.
    trust: GlobalArgs,
    /// How their metrics are reached.
    scraped: Scraped,
}

impl OfChildren {
    fn load(args: &UpArgs, global: &GlobalArgs) -> Result<OfChildren> {
        let mut flags = Vec::new();
        if let Some(file) = &global.config {
            let mut flag = OsString::from("--config=");
            flag.push(file);
            flags.push(flag);
        }
        let (mut serves_tls, mut master_tls) = (args.tls.tls_cert.is_some(), false);
        if let Command::Master(master) = settings::load_for(Role::Master, &flags)?.args.command {
            serves_tls |= master.tls.tls_cert.is_some();
            master_tls = master.metrics_tls.metrics_tls_cert.is_some();
        }
        let of_worker = settings::load_for(Role::Worker, &flags)?.args;
        let worker_tls = match of_worker.command {
            Command::Worker(worker) => worker.metrics_tls.metrics_tls_cert.is_some(),
            _ => false,
        };
        let mut trust = of_worker.global;
        for (own, theirs) in [
            (&global.tls_ca, &mut trust.tls_ca),
            (&global.tls_client_cert, &mut trust.tls_client_cert),
            (&global.tls_client_key, &mut trust.tls_client_key),
        ] {
            if own.is_some() {
                theirs.clone_from(own);
            }
        }
        let scraped = Scraped {
            master_tls,
            worker_tls,
            // VictoriaMetrics would look for it beside the file that names it.
            ca: trust.tls_ca.as_deref().map(absolute).transpose()?,
        };
        Ok(OfChildren {
            scheme: scheme(serves_tls),
            trust,
            scraped,
        })
    }
}

/// The address at which this machine itself reaches a listener.
fn near(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

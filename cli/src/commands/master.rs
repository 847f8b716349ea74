//! `ffrtmp master`: from flags to `ffrtmp_host::run`, which is the master.
//!
//! It refuses what can be refused before anything starts: an open API without a token, a port that is taken.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use ffrtmp_host::RateLimit;

use crate::{
    args::{Command, GlobalArgs},
    commands::{spool::SpoolArgs, webhook_args::WebhookArgs},
    dirs,
    exit::{Failure, Result},
    listen,
    logging::{self, LogArgs},
    reload::Reload,
    service,
    settings::Value,
    tls::{ApiTlsArgs, MetricsTlsArgs},
    token, values,
};

/// How a master runs.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  ffrtmp master
  ffrtmp master --data-dir /var/lib/ffrtmp --policies /etc/ffrtmp/policies
  ffrtmp master --listen 0.0.0.0:8080 --token-file token --tls-cert m.pem --tls-key m-key.pem

The token is read from --token-file or FFRTMP_TOKEN; `ffrtmp token` makes one. Without a token the
API is only served to this machine.")]
pub struct MasterArgs {
    /// Address of the API, for clients and workers
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Address of the metrics
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:9090")]
    metrics_listen: SocketAddr,
    /// Serve no metrics
    #[arg(long, conflicts_with = "metrics_listen")]
    no_metrics: bool,
    /// Where the queue is kept; default: ffrtmp/master in $XDG_STATE_HOME or ~/.local/state
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Folder watched for policies (*.wasm); default: ./policies if there is one, else policies in --data-dir
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// Folder of the operator's presets (*.toml), read anew as it changes; default: presets beside --policies
    #[arg(long, value_name = "DIR")]
    presets: Option<PathBuf>,
    /// Take jobs with raw ffmpeg arguments (--input-args, --output-args), for workers that are started so too
    #[arg(long)]
    allow_raw_args: bool,
    /// Policy that decides on a fresh data directory
    #[arg(long, value_name = "NAME", default_value = "balanced")]
    policy: String,
    /// What chooses among policies that arrive: automatic (a new file that passes every check decides) or manual (only
    /// `ffrtmp policies activate` chooses)
    #[arg(long, value_name = "MODE", default_value = "automatic")]
    policy_mode: ffrtmp_host::policy::Mode,
    /// How long a silent worker keeps its jobs
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = values::duration)]
    lease: Duration,
    /// How often workers say they are alive
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = values::duration)]
    heartbeat: Duration,
    /// Requests a second from one caller; 0: no limit [default: 2000, and none for this machine's callers]
    #[arg(long, value_name = "N")]
    rate_limit: Option<u32>,
    /// Its spool.
    #[command(flatten)]
    spool: SpoolArgs,
    /// Its webhooks.
    #[command(flatten)]
    webhooks: WebhookArgs,
    /// Its certificate.
    #[command(flatten)]
    pub tls: ApiTlsArgs,
    /// That of its metrics.
    #[command(flatten)]
    pub metrics_tls: MetricsTlsArgs,
    /// How it logs.
    #[command(flatten)]
    log: LogArgs,
}

impl MasterArgs {
    /// Where its data is kept.
    pub fn data_dir(&self) -> Result<PathBuf> {
        let given = self.data_dir.clone();
        given.map_or_else(|| dirs::data_dir().map(|dir| dir.join("master")), Ok)
    }

    /// What the host is told. Touches nothing.
    pub fn config(&self, token: Option<String>) -> Result<ffrtmp_host::MasterConfig> {
        let data_dir = self.data_dir()?;
        let policies_dir = dirs::policies_dir(self.policies.clone(), &data_dir);
        Ok(ffrtmp_host::MasterConfig {
            listen: self.listen,
            metrics_listen: (!self.no_metrics).then_some(self.metrics_listen),
            presets_dir: dirs::presets_dir(self.presets.clone(), &policies_dir),
            policies_dir,
            allow_raw_args: self.allow_raw_args,
            spool: self.spool.clone().config(&data_dir),
            data_dir,
            webhooks: self.webhooks.config()?,
            tls: self.tls.files()?,
            metrics_tls: self.metrics_tls.files()?,
            policy: self.policy.clone(),
            policy_mode: self.policy_mode,
            token,
            rate_limit: Arc::new(RateLimit::new(self.rate_limit)),
            lease: self.lease,
            heartbeat: self.heartbeat,
            build: crate::build::INFO,
        })
    }
}

/// Runs it until SIGTERM or SIGINT.
pub fn run(args: MasterArgs, global: &GlobalArgs, values: Vec<Value>) -> Result {
    let token = token::find(global.token_file.as_deref(), |name| {
        std::env::var(name).ok()
    })?;
    listen::require_token_beyond_loopback("master", args.listen, token.is_some())?;
    let config = args.config(token)?;
    listen::require_free("the API", "--listen", config.listen)?;
    if let Some(address) = config.metrics_listen {
        listen::require_free("the master's metrics", "--metrics-listen", address)?;
    }
    let log = logging::start(&args.log)?;
    config
        .check()
        .map_err(|error| Failure::usage(format!("{error:#}")))?;
    let reload = Reload::new(values, log, |args| match &args.command {
        Command::Master(args) => Some(args.log.level().to_owned()),
        _ => None,
    });
    let rate = config.rate_limit.clone();
    let set_rate = move |args: &crate::args::Args| {
        if let Command::Master(args) = &args.command {
            rate.set(args.rate_limit);
        }
        Ok(())
    };
    let reload = reload.with("rate_limit", Box::new(set_rate));
    service::run(reload, |shutdown| ffrtmp_host::run(config, shutdown))
}

//! The master process: opens the store, starts the core, the policy host and the listeners, and stops them in order.

use std::{future::Future, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use ffrtmp_api::{
    metrics::BuildInfo,
    rest::ClusterEvent,
    text::token_fault,
    tls::{ServerTls, ServerTlsFiles},
};
use tokio::{net::TcpListener, sync::watch};

use crate::{
    clock,
    core::{self, Event, record::Record},
    discovery::Discovery,
    events::Events,
    http::{self, App, RateLimit},
    live::Live,
    metrics::{Metrics, Sampler},
    outbox::Outbox,
    policy::{self, Choice, Limits, PolicyEvent, PolicyHost, PolicyHostConfig, accepted},
    presets::Presets,
    shell::{self, Shell, ToPolicies},
    spool::{Spool, SpoolConfig},
    store::Store,
    tokens::Tokens,
    webhooks::{WebhookConfig, Webhooks},
};

/// How long open requests may take to finish when the master stops.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// The master's settings.
#[derive(Debug, Clone)]
pub struct MasterConfig {
    /// Where the API and the workers' sessions are served.
    pub listen: SocketAddr,
    /// Where `/metrics` is served; none: nowhere.
    pub metrics_listen: Option<SocketAddr>,
    /// Where the store is kept.
    pub data_dir: PathBuf,
    /// The live folder of policies.
    pub policies_dir: PathBuf,
    /// The folder of the operator's presets. It need not be there.
    pub presets_dir: PathBuf,
    /// Whether jobs may bring raw ffmpeg arguments, for workers that take them.
    pub allow_raw_args: bool,
    /// The policy a fresh store starts with.
    pub policy: String,
    /// What chooses among policies that arrive.
    pub policy_mode: policy::Mode,
    /// The API's and the workers' sessions' certificate; without, they are plain HTTP.
    pub tls: Option<ServerTlsFiles>,
    /// The metrics' certificate; without, they are plain HTTP.
    pub metrics_tls: Option<ServerTlsFiles>,
    /// The token callers and workers must show. Needed to listen beyond loopback.
    pub token: Option<String>,
    /// Requests a second from one caller; 0: no limit. None: a generous limit, from which this machine's callers are exempt.
    pub rate_limit: Arc<RateLimit>,
    /// How long a silent worker keeps what it holds.
    pub lease: Duration,
    /// How often workers send a heartbeat. Must be well below `lease`.
    pub heartbeat: Duration,
    /// Where files of users without shared storage are kept, and how much of them.
    pub spool: SpoolConfig,
    /// Who is told of what becomes of jobs, and how.
    pub webhooks: WebhookConfig,
    /// Which software this is, for its metrics.
    pub build: BuildInfo,
}

impl MasterConfig {
    /// Whether these settings can work together.
    ///
    /// # Errors
    /// What is wrong and what would be right.
    pub fn check(&self) -> anyhow::Result<()> {
        if is_exposed(self.listen) && self.token.is_none() {
            bail!(
                "listening on {} lets anyone who reaches it submit jobs and read files; set a token first: \
                 `export FFRTMP_TOKEN=$(ffrtmp token)`, and give workers and clients the same one. \
                 Or listen on 127.0.0.1",
                self.listen
            );
        }
        if let Some(fault) = self.token.as_deref().and_then(token_fault) {
            bail!("the token: {fault}");
        }
        if self.heartbeat.is_zero() || self.lease < self.heartbeat * 3 {
            bail!(
                "the lease ({:?}) must be at least three heartbeats ({:?} each), or one lost frame loses a job",
                self.lease,
                self.heartbeat
            );
        }
        Ok(())
    }

    /// What works but should not stay so, for a log at start and for `config check`. Each names what to do.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if is_exposed(self.listen) && self.tls.is_none() {
            warnings.push(format!(
                "the API on {} is not encrypted: whoever can listen on that network can read the token and act as you. \
                 Make certificates with `ffrtmp tls init` and start with --tls-cert and --tls-key",
                self.listen
            ));
        }
        if let Some(address) = self.metrics_listen.filter(|at| is_exposed(*at)) {
            warnings.push(format!(
                "the metrics on {address} can be read by anyone who reaches that address: they need no token"
            ));
        }
        warnings
    }
}

/// Says it to systemd, if it started this process as a service of type `notify`; else to nobody.
fn tell_service_manager(state: sd_notify::NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "the service manager could not be told; it acts by its own time limits");
    }
}

/// Whether others than this machine reach an address.
pub fn is_exposed(listen: SocketAddr) -> bool {
    !listen.ip().to_canonical().is_loopback()
}

/// Runs the master until `shutdown` resolves; then stops taking requests, commits what was accepted and returns.
///
/// # Errors
/// When it cannot start: bad settings, a port in use, a data directory that is locked, newer or not writable.
pub async fn run(
    config: MasterConfig,
    shutdown: impl Future<Output = ()> + Send,
) -> anyhow::Result<()> {
    config.check()?;
    raise_file_limit();
    let tls = config.tls.clone().map(ServerTls::load).transpose()?;
    let metrics_tls = config
        .metrics_tls
        .clone()
        .map(ServerTls::load)
        .transpose()?;
    let (tls, metrics_tls) = (tls.map(Arc::new), metrics_tls.map(Arc::new));
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let listener = bind(config.listen, "--listen").await?;
    let metrics_listener = match config.metrics_listen {
        Some(address) => Some(bind(address, "--metrics-listen").await?),
        None => None,
    };
    let store = Store::open(&config.data_dir)?;
    let saved = store
        .last_choice()?
        .map(|(name, digest)| Choice { name, digest });
    let tokens = Tokens::open(config.token.as_deref(), store.tokens()?)?;
    let live = Arc::new(Live::default());
    let metrics = Arc::new(Metrics::new(config.build)?);
    let (shell, inbox) = Shell::new(Arc::new(Outbox::new(
        live.clone(),
        Arc::new(Events::new(clock::wall_ms() as u64)),
    )));
    let policies = Arc::new(start_policies(&config, saved, &shell)?);
    metrics.add(policies.metrics())?;
    let reader = Arc::new(store.reader());
    let spool = Arc::new(Spool::open(config.spool.clone(), metrics.spool.clone())?);
    let (webhooks, telling) = Webhooks::new(
        &config.webhooks,
        &config.data_dir,
        !is_exposed(config.listen),
        store.webhooks()?,
        metrics.webhooks.clone(),
    )?;
    let presets = Arc::new(Presets::open(config.presets_dir.clone()));
    let core_config = core::Config {
        webhooks: config.webhooks.everyone.clone(),
        heartbeat_ms: config.heartbeat.as_millis() as u64,
        lease_ms: config.lease.as_millis() as u64,
        ..core::Config::default()
    };
    let told = policies.clone();
    let mut core = shell::run(
        &shell,
        inbox,
        store,
        core_config,
        live.clone(),
        metrics.clone(),
        move |message| match message {
            ToPolicies::Ask(round) => told.submit(round),
            ToPolicies::Decided(decision) => told.decided(*decision),
        },
    )?;
    let app = Arc::new(App {
        shell,
        reader: reader.clone(),
        spool: spool.clone(),
        live,
        policies,
        metrics,
        discovery: Discovery::default(),
        silence_max: config.lease,
        rate: config.rate_limit.clone(),
        presets: presets.clone(),
        raw_args: config.allow_raw_args,
        tokens,
        webhooks: Arc::new(webhooks),
        workers_show_certs: tls.as_ref().is_some_and(|tls| tls.asks_for_client_certs()),
    });

    tracing::info!(listen = %listener.local_addr()?, tls = tls.is_some(), data_dir = %config.data_dir.display(), policies = %config.policies_dir.display(), "the master is ready");
    tell_service_manager(sd_notify::NotifyState::Ready);
    let (stop, stopped) = watch::channel(false);
    let mut servers = vec![tokio::spawn(http::serve(
        listener,
        http::api(app.clone()),
        tls,
        stopped.clone(),
    ))];
    if let Some(listener) = metrics_listener {
        tracing::info!(listen = %listener.local_addr()?, "metrics");
        servers.push(tokio::spawn(http::serve(
            listener,
            http::metrics_routes(app.clone()),
            metrics_tls,
            stopped,
        )));
    }
    let _sampler = Sampler::start(app.metrics.clone(), config.data_dir.clone())?;
    let sweeping = tokio::spawn(spool.keep_swept(reader));
    let telling = tokio::spawn({
        let app = app.clone();
        telling.run(move || {
            let app = app.clone();
            async move { app.shell.outbox().noticed().await }
        })
    });
    let looking = tokio::spawn(presets.keep_looking());
    shutdown.await;
    sweeping.abort();
    looking.abort();
    // What is under way is sent again by the next start, with the same id.
    telling.abort();
    tell_service_manager(sd_notify::NotifyState::Stopping);
    tracing::info!("stopping: what was accepted is committed, workers keep encoding");
    let _ = stop.send(true);
    app.shell.outbox().close_all_sessions();
    app.shell.outbox().close_all_watches();
    app.policies.journal().close();
    for mut server in servers {
        match tokio::time::timeout(STOP_GRACE, &mut server).await {
            Ok(joined) => joined??,
            Err(_) => {
                tracing::info!("requests that were still open after {STOP_GRACE:?} are cut");
                server.abort();
            }
        }
    }
    tokio::task::spawn_blocking(move || core.stop()).await?;
    Ok(())
}

fn start_policies(
    config: &MasterConfig,
    saved: Option<Choice>,
    shell: &Shell,
) -> anyhow::Result<PolicyHost> {
    let shell = shell.clone();
    PolicyHost::start(
        PolicyHostConfig {
            dir: config.policies_dir.clone(),
            initial: config.policy.clone(),
            mode: config.policy_mode,
            limits: Limits::default(),
        },
        saved,
        accepted::folder(&config.data_dir, &config.policies_dir),
        move |event| match event {
            PolicyEvent::RoundEnded(ended) => shell.tell(Event::RoundEnded(ended)),
            PolicyEvent::Seated => shell.tell(Event::PolicySeated),
            PolicyEvent::Shadow(on) => shell.tell(Event::Shadow { on }),
            PolicyEvent::Changed(status) => {
                shell.outbox().events().tell(&ClusterEvent::Policy(status))
            }
            PolicyEvent::Chosen(Choice { name, digest }) => {
                shell.record(Record::PolicyChosen {
                    name,
                    digest,
                    at_ms: clock::wall_ms(),
                });
            }
        },
    )
    .context("the policy host cannot start")
}

/// A session is a file descriptor, and the usual soft limit of 1,024 is there for programs that use `select`.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let files = limit.maximum;
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => tracing::debug!(?files, "open files"),
        Err(error) => {
            tracing::warn!(%error, "the limit on open files stays as it is; each worker needs one")
        }
    }
}

async fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}: is another master running? Choose another address with {flag}"))
}

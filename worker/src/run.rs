//! Puts a worker together, runs it, and takes it down.
//!
//! The order at start matters: lock, clean up after an earlier life, find out what the machine can do, then connect.
//! The order at the end too: take nothing new, let work finish within the grace, hand back the rest, say so, go.

use std::{future::Future, sync::Arc, time::Duration};

use anyhow::Context;
use ffrtmp_api::{
    hosts::is_loopback_url,
    protocol::{Capabilities, GuardReport},
    tls::ServerTls,
};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use uuid::Uuid;

use crate::{
    JobLimits, WorkerConfig,
    attempt::{
        bench::{Bench, JobGroups},
        held::Attempts,
    },
    capabilities::{gpu::Gpus, host, survey::Surveyor},
    config::check_labels,
    disks::DiskWatch,
    ffmpeg::{program::Programs, spawner::Spawner},
    guard::Guard,
    http, join,
    metrics::Metrics,
    node::{cgroups::Groups, reap::reap, records::Records, service, state_dir::StateDir},
    sampler::Sampler,
    sandbox::Sandbox,
    session::{
        connection::{MetricsAt, Session, introduction, keep},
        fence::Fence,
        outbox::Outbox,
    },
    transfer::Transfer,
    trust::Trust,
};

/// How long it may take to tell the master that this worker goes. One that is gone without a word counts as lost.
const GOODBYE: Duration = Duration::from_secs(1);
/// How long the last outcomes may take to be acknowledged at the end. What is not is in the state directory.
const FAREWELL: Duration = Duration::from_secs(3);

/// Runs a worker until `shutdown` completes and it has drained, or until the master refuses it for good.
///
/// # Errors
/// What cannot be used is named: the state directory (or who holds it), ffmpeg, the master's address, a refusal.
pub async fn run(config: WorkerConfig, shutdown: impl Future) -> anyhow::Result<()> {
    let url = config.session_url()?;
    let name = config.resolve_name()?;
    check_labels(&config.labels)?;
    let metrics_tls = config
        .metrics_tls
        .clone()
        .map(ServerTls::load)
        .transpose()?;
    let slots = config.resolve_slots(host::cpus())?;
    let programs = Programs::find(&config.ffmpeg, &config.ffprobe)?;
    let state = StateDir::open(&config.state_dir, config.scratch_dir.as_deref())?;
    let records = Records::new(state.attempts());
    let sandbox = Sandbox::find(&config, &programs)?;
    let kept = reap(&state, &records, sandbox.user().map(AsRef::as_ref))
        .context("what an earlier run left behind cannot be cleaned up")?;
    let metrics = Metrics::new(&name, config.build)?;
    metrics.slots(slots);
    if let Some(user) = sandbox.user() {
        user.reaches(&state.scratch)?;
    }
    let sandbox_reports = sandbox.reports();
    let spawner = Spawner::start(state.install_id)?.in_sandbox(Arc::new(sandbox));
    let guard = Guard::start(&config).await?;
    let trust = Arc::new(Trust::find(&config)?);
    let mut guards = guard.reports();
    guards.extend(sandbox_reports);
    let (groups, limits_report) = job_groups(config.job_limits, state.install_id);
    guards.push(limits_report);
    let gpus = Arc::new(Gpus::find(config.nvml_library.clone()));
    let surveyor = Surveyor {
        spawner: spawner.clone(),
        programs: programs.clone(),
        gpus: Arc::clone(&gpus),
        cache: state.trials(),
    };

    tokio::pin!(shutdown);
    let (first, seen) = tokio::select! {
        _ = &mut shutdown => return Ok(()),
        first = surveyor.first() => first?,
    };
    let (surveys, survey) = watch::channel(first);
    let token = tokio::select! {
        _ = &mut shutdown => return Ok(()),
        token = join::token(&config, &name, &state) => token?,
    };
    let mut hello = introduction(name.clone(), state.install_id);
    hello.capabilities = Capabilities {
        slots,
        // Slots beyond the cores are the operator's word that jobs may share them; a job reserves a core by default.
        cpu_millicores: host::cpus().max(slots).saturating_mul(1000),
        memory_mib: host::memory_mib()?,
        guards,
        ..Capabilities::default()
    };
    let (connected, is_connected) = watch::channel(false);
    let connected_now = is_connected.clone();
    let listener = match config.metrics_listen {
        Some(asked) => Some(http::bind(asked).await?),
        None => None,
    };
    let bound = listener.as_ref().and_then(|l| l.local_addr().ok());
    let shown = bound.map(|address| address.to_string());
    tracing::info!(name, slots, install_id = %state.install_id, metrics = shown, "worker starts");
    let hidden =
        bound.is_some_and(|at| at.ip().is_loopback()) && config.metrics_advertise.is_none();
    if hidden && !is_loopback_url(&config.master) {
        tracing::info!(
            "the metrics are for this machine alone, so the master tells no scraper of them; serve them to others with \
             --metrics-listen 0.0.0.0:9091, or say with --metrics-advertise where they are found"
        );
    }
    let metrics_at = bound.map(|bound| MetricsAt {
        bound,
        tls: metrics_tls.is_some(),
        said: config.metrics_advertise.clone(),
    });
    service::ready();

    let _disks = DiskWatch::start(
        config.state_dir.clone(),
        state.scratch.clone(),
        metrics.clone(),
    )?;
    let outbox = Arc::new(Outbox::default());
    let bench = Bench {
        spawner,
        guard,
        trust,
        groups,
        programs,
        survey: survey.clone(),
        scratch: state.scratch.clone(),
        disks: Arc::default(),
        transfer: Transfer::new(config.client()?, state.scratch.clone()),
        records,
        stall_timeout: config.stall_timeout,
        kill_grace: config.kill_grace,
        probe_timeout: config.probe_timeout,
    };
    let attempts = Attempts::new(
        bench,
        Arc::clone(&outbox),
        metrics.clone(),
        name.as_str().into(),
        slots,
        kept,
    );
    let session = Session {
        url,
        token,
        tls: config.tls.clone(),
        hello,
        metrics_at,
        labels: config
            .new_labels
            .clone()
            .unwrap_or_else(|| watch::channel(config.labels.clone()).1),
        raw_args: config.allow_raw_args,
        outbox,
        attempts: Arc::clone(&attempts),
        sampler: Sampler::start(gpus, survey.clone(), metrics.clone())?,
        survey,
        metrics: metrics.clone(),
        fence: Fence::default(),
        connected,
    };
    let serve = async {
        if let Some(listener) = listener {
            http::serve(listener, metrics_tls, metrics, is_connected).await;
        }
        std::future::pending::<()>().await;
    };
    let keeping = async {
        tokio::select! {
            refusal = keep(&session) => refusal,
            never = surveyor.keep(seen, &surveys) => match never {},
            never = session.fence.keep(&attempts) => match never {},
        }
    };
    tokio::pin!(serve, keeping);
    let refusal = tokio::select! {
        _ = &mut shutdown => None,
        refusal = &mut keeping => Some(refusal),
        () = &mut serve => None,
    };
    if let Some(refusal) = refusal {
        // Nobody listens any more; the encodes are stopped all the same.
        tracing::error!(error = %refusal, "giving up");
        drain(&attempts, Duration::ZERO, config.kill_grace).await;
        return Err(refusal);
    }
    // The session goes on while the worker drains.
    let leave = async {
        let is_connected = *connected_now.borrow();
        drain(&attempts, config.grace, config.kill_grace).await;
        if is_connected {
            let _ = timeout_at(Instant::now() + GOODBYE, attempts.farewell()).await;
        }
    };
    tokio::select! {
        () = leave => {}
        () = service::ending() => {}
        refusal = &mut keeping => {
            tracing::warn!(error = %refusal, "refused while draining");
            drain(&attempts, Duration::ZERO, config.kill_grace).await;
        }
        () = &mut serve => {}
    }
    tracing::info!("worker ends");
    Ok(())
}

/// The control groups that jobs run in, if they are to and this worker was given any; and what is to be told of them.
fn job_groups(limits: JobLimits, install_id: Uuid) -> (Option<JobGroups>, GuardReport) {
    let report = |holds, what| GuardReport {
        name: "limits".to_owned(),
        holds,
        what,
    };
    let capped = match limits {
        JobLimits::None => return (None, report(true, "none were asked for".to_owned())),
        JobLimits::Share => false,
        JobLimits::Cap => true,
    };
    match Groups::take(install_id) {
        Ok(groups) => {
            let holds = groups.holds();
            let what = match capped {
                true => format!("no more than is reserved, {}", groups.report()),
                false => format!("a share by what is reserved, {}", groups.report()),
            };
            let groups = Arc::new(groups);
            (Some(JobGroups { groups, capped }), report(holds, what))
        }
        Err(why) => {
            if capped {
                tracing::warn!(why, "jobs are held to no limits");
            }
            (None, report(false, why))
        }
    }
}

async fn drain(attempts: &Attempts, grace: Duration, kill_grace: Duration) {
    attempts.drain();
    let mut count = attempts.watch_count();
    let none_left = |count: &usize| *count == 0;
    let deadline = Instant::now() + grace;
    tracing::info!(
        attempts = *count.borrow(),
        grace_seconds = grace.as_secs_f64(),
        "draining"
    );
    if timeout_at(deadline, count.wait_for(none_left))
        .await
        .is_ok()
    {
        return;
    }
    tracing::info!("the grace is over; what still runs is handed back");
    attempts.hand_back();
    let deadline = Instant::now() + kill_grace + FAREWELL;
    if timeout_at(deadline, count.wait_for(none_left))
        .await
        .is_err()
    {
        tracing::warn!("not every outcome was acknowledged; the next start delivers them");
    }
}

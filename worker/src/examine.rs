//! A look at what a worker needs that changes nothing. For `ffrtmp config check`.

use std::{
    fs::{File, TryLockError},
    path::Path,
    sync::Arc,
};

use anyhow::bail;
use ffrtmp_api::protocol::GuardReport;

use crate::{
    WorkerConfig,
    capabilities::host,
    config::check_labels,
    ffmpeg::{
        program::{Programs, version},
        spawner::Spawner,
    },
    node::state_dir,
    sandbox::Sandbox,
};

/// Whether these settings could start a worker here, as far as they can be judged without touching anything.
///
/// # Errors
/// The first setting that could not, with what would be right.
pub fn settings(config: &WorkerConfig) -> anyhow::Result<()> {
    config.session_url()?;
    config.resolve_name()?;
    check_labels(&config.labels)?;
    config.resolve_slots(host::cpus())?;
    Ok(())
}

/// Finds ffmpeg and ffprobe and runs them as jobs would; the first line of what each says of itself.
///
/// # Errors
/// One is missing, does not run, or is another program.
pub async fn programs(config: &WorkerConfig) -> anyhow::Result<[String; 2]> {
    let programs = Programs::find(&config.ffmpeg, &config.ffprobe)?;
    let sandbox = Sandbox::find(config, &programs)?;
    let spawner = Spawner::start(uuid::Uuid::new_v4())?.in_sandbox(Arc::new(sandbox));
    let first_line = |text: String| text.lines().next().unwrap_or_default().to_owned();
    Ok([
        first_line(version(&spawner, &programs.ffmpeg, "ffmpeg").await?),
        first_line(version(&spawner, &programs.ffprobe, "ffprobe").await?),
    ])
}

/// What of the sandbox, and of who ffmpeg is to be, would hold here.
///
/// # Errors
/// What would keep a worker from starting.
pub fn sandbox(config: &WorkerConfig) -> anyhow::Result<Vec<GuardReport>> {
    let programs = Programs::find(&config.ffmpeg, &config.ffprobe)?;
    Ok(Sandbox::find(config, &programs)?.reports())
}

/// Whether a worker could have this state directory for itself. One that is not there is fine.
///
/// # Errors
/// Another worker has it.
pub fn state_dir(path: &Path) -> anyhow::Result<()> {
    let Ok(lock) = File::open(path.join("lock")) else {
        return Ok(());
    };
    // Shared, so that two looks do not see each other; let go at once.
    match lock.try_lock_shared() {
        Err(TryLockError::WouldBlock) => bail!(state_dir::in_use(path)),
        _ => Ok(()),
    }
}

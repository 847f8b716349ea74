//! One encode from order to verdict: inspect, make the temporary file, spawn, watch, verify, sync.
//!
//! Its invariant: whatever it answers but [`Ended::Encoded`], the temporary file is gone and no process is left. It
//! never touches the output's final name.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use ffrtmp_api::{
    ids::Attempt,
    job::FailureReason,
    protocol::{Assignment, MediaResult},
    settings::{Output, Settings, Source},
};
use tokio::sync::watch;

use super::{
    control::{Control, Observer, Stop, stopped},
    prepare::{Inspected, blocking, create_target, inspect, target},
    watch::{Bounds, EndedBy, Watched, watch},
};
use crate::{
    capabilities::{device::Device, survey::Survey},
    ffmpeg::{
        command::arguments,
        diagnosis::{Failure, explain},
        probe::{ProbeError, probe},
        process::start_ticks,
        program::Programs,
        spawner::Spawner,
        verify::verify,
    },
    node::{
        reap::remove_quietly,
        records::{Leader, Record, Records, Standing},
    },
    transfer::Transfer,
};

/// What an encode needs of its worker.
#[derive(Clone)]
pub(crate) struct Bench {
    /// Gives birth to processes.
    pub(crate) spawner: Spawner,
    /// ffmpeg and ffprobe.
    pub(crate) programs: Programs,
    /// What the machine can do now: which device a GPU's number means.
    pub(crate) survey: watch::Receiver<Survey>,
    /// Where outputs nobody asked to keep go, and what is fetched or handed back.
    pub(crate) scratch: PathBuf,
    /// To and from the master's spool.
    pub(crate) transfer: Transfer,
    /// What a next life of the worker must know.
    pub(crate) records: Records,
    /// Longest silence of an encode.
    pub(crate) stall_timeout: Duration,
    /// From SIGTERM to SIGKILL.
    pub(crate) kill_grace: Duration,
    /// Longest ffprobe.
    pub(crate) probe_timeout: Duration,
}

/// How an encode ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// Verified and synced, waiting beside its final place or in the master's spool.
    Encoded {
        /// The temporary file, or its name in the spool.
        temp: PathBuf,
        /// Its size.
        bytes: u64,
        /// What was measured.
        result: MediaResult,
    },
    /// A job without an output: verified, measured, deleted.
    Completed {
        /// What was measured.
        result: MediaResult,
    },
    /// It failed.
    Failed(Failure),
    /// It was told to stop.
    Stopped(Stop),
}

impl From<EndedBy> for Ended {
    fn from(by: EndedBy) -> Ended {
        match by {
            EndedBy::Stop(stop) => Ended::Stopped(stop),
            EndedBy::Failure(failure) => Ended::Failed(failure),
        }
    }
}

/// Runs one assignment, fetching its input first if the master has it; answers with how it ended and with its log.
pub(crate) async fn encode(
    bench: &Bench,
    order: &Assignment,
    control: &mut watch::Receiver<Control>,
    observer: &dyn Observer,
) -> (Ended, String) {
    let Source::Upload(id) = order.settings.source else {
        return encode_here(bench, order, control, observer).await;
    };
    let input = bench.scratch.join(format!("{}.input", order.attempt));
    let fetched = tokio::select! {
        stop = stopped(control) => Err(Ended::Stopped(stop)),
        fetched = bench.transfer.fetch(id, &input) => fetched.map_err(Ended::Failed),
    };
    let answer = match fetched {
        Ok(()) => {
            let mut order = order.clone();
            order.settings.source = Source::File(input.to_string_lossy().into_owned());
            encode_here(bench, &order, control, observer).await
        }
        Err(ended) => (ended, String::new()),
    };
    discard(input).await;
    answer
}

/// Runs an assignment whose input this machine sees.
async fn encode_here(
    bench: &Bench,
    order: &Assignment,
    control: &mut watch::Receiver<Control>,
    observer: &dyn Observer,
) -> (Ended, String) {
    let settings = &order.settings;
    let inspected = tokio::select! {
        stop = stopped(control) => return (Ended::Stopped(stop), String::new()),
        inspected = inspect(&bench.spawner, &bench.programs, settings, bench.probe_timeout) => inspected,
    };
    let inspected = match inspected {
        Ok(inspected) => inspected,
        Err(failure) => return (Ended::Failed(failure), String::new()),
    };
    let temp = target(settings, order.attempt, &bench.scratch);
    let mut log = String::new();
    let verdict = run(bench, order, &inspected, &temp, control, observer, &mut log).await;
    let ended = match (verdict, &settings.output) {
        (Ok(result), Some(Output::File(_))) => {
            return (
                Ended::Encoded {
                    temp,
                    bytes: result.bytes,
                    result,
                },
                log,
            );
        }
        (Ok(result), Some(Output::Spool(_))) => tokio::select! {
            stop = stopped(control) => Ended::Stopped(stop),
            spooled = bench.transfer.hand_back(order.attempt, &temp) => match spooled {
                Ok(temp) => Ended::Encoded { temp, bytes: result.bytes, result },
                Err(failure) => Ended::Failed(failure),
            },
        },
        (Ok(result), None) => Ended::Completed { result },
        (Err(by), _) => by.into(),
    };
    discard(temp).await;
    (ended, log)
}

async fn discard(path: PathBuf) {
    let _ = blocking(move || {
        remove_quietly(&path);
        Ok(())
    })
    .await;
}

async fn run(
    bench: &Bench,
    order: &Assignment,
    inspected: &Inspected,
    temp: &Path,
    control: &mut watch::Receiver<Control>,
    observer: &dyn Observer,
    log: &mut String,
) -> Result<MediaResult, EndedBy> {
    let settings = &order.settings;
    // Recorded before the file exists and again when the process does, so that no crash in between hides either.
    record(bench, order.attempt, temp, None)?;
    create_target(temp.to_owned())
        .await
        .map_err(EndedBy::Failure)?;
    let device = bench.survey.borrow().device(order.gpu).cloned();
    let mut command = Command::new(&bench.programs.ffmpeg);
    command
        .args(arguments(
            settings,
            inspected.media.as_ref(),
            device.as_ref().map(Device::number).or(order.gpu),
            temp,
        ))
        .envs(device.as_ref().and_then(Device::environment))
        .current_dir("/");
    tracing::debug!(?command, "spawning");
    let process = bench
        .spawner
        .spawn(command)
        .await
        .map_err(|error| cannot_spawn(&bench.programs.ffmpeg, &error))?;
    let pid = process.pid();
    record(
        bench,
        order.attempt,
        temp,
        start_ticks(pid).map(|start_ticks| Leader { pid, start_ticks }),
    )?;
    tracing::info!(pid, job = %order.job_uuid, scenario = order.scenario.as_deref(), "ffmpeg started");
    observer.started();
    let bounds = Bounds {
        stall: bench.stall_timeout,
        timeout: settings.timeout_seconds.map(Duration::from_secs_f64),
        kill_grace: bench.kill_grace,
        expected_seconds: inspected.expected_seconds,
    };
    let watched = watch(process, order.attempt, bounds, control, observer)
        .await
        .map_err(|error| platform(format!("ffmpeg could not be watched: {error}")))?;
    *log = watched.log.text();
    if let Some(by) = watched.ended_by {
        return Err(by);
    }
    if !watched.exit.status.success() {
        return Err(EndedBy::Failure(explain(
            watched.exit.status,
            watched.log.newest_first(),
        )));
    }
    tokio::select! {
        stop = stopped(control) => Err(EndedBy::Stop(stop)),
        result = measure(bench, settings, inspected, temp, &watched) => result.map_err(EndedBy::Failure),
    }
}

/// Verifies the output, syncs it and puts the result together.
async fn measure(
    bench: &Bench,
    settings: &Settings,
    inspected: &Inspected,
    temp: &Path,
    watched: &Watched,
) -> Result<MediaResult, Failure> {
    let output = probe(
        &bench.spawner,
        &bench.programs,
        temp,
        true,
        bench.probe_timeout,
    )
    .await
    .map_err(|error| match error {
        ProbeError::NotMedia(said) => Failure::new(
            FailureReason::RuntimeError,
            format!("ffmpeg ended well but its output cannot be read: {said}"),
        ),
        ProbeError::Run(error) => Failure::new(
            FailureReason::PlatformError,
            format!("the output cannot be verified: ffprobe gave {error}"),
        ),
    })?;
    let input_format = inspected.media.as_ref().map(|media| media.format.as_str());
    verify(
        settings,
        &output,
        input_format,
        inspected.expected_seconds,
        &watched.last,
    )?;
    let keep = matches!(settings.output, Some(Output::File(_)));
    let path = temp.to_owned();
    let bytes = blocking(move || {
        let size = || -> io::Result<u64> {
            let file = File::open(&path)?;
            if keep {
                file.sync_all()?;
            }
            Ok(file.metadata()?.len())
        };
        size().map_err(|error| {
            Failure::new(
                FailureReason::ResourceError,
                format!("{} cannot be synced: {error}", path.display()),
            )
        })
    })
    .await?;
    let video = output.video.unwrap_or_default();
    Ok(MediaResult {
        bytes,
        input_bytes: inspected.input_bytes,
        format: output.format,
        video_codec: video.codec,
        audio_codec: output.audio.map(|sound| sound.codec),
        width: video.width,
        height: video.height,
        frames: video.packets.unwrap_or(0),
        duration_seconds: output
            .duration_seconds
            .unwrap_or(watched.last.media_seconds),
        wall_seconds: watched.exit.wall.as_secs_f64(),
        cpu_seconds: watched.exit.cpu_seconds,
        memory_peak_kib: watched.exit.memory_peak_kib,
        encoder: settings.encoder.name().to_owned(),
    })
}

fn record(
    bench: &Bench,
    attempt: Attempt,
    temp: &Path,
    leader: Option<Leader>,
) -> Result<(), EndedBy> {
    let record = Record {
        attempt,
        temp: Some(temp.to_owned()),
        leader,
        standing: Standing::Working,
    };
    bench.records.save(&record).map_err(|error| {
        let reason = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                FailureReason::ResourceError
            }
            _ => FailureReason::PlatformError,
        };
        EndedBy::Failure(Failure::new(
            reason,
            format!("the worker cannot write its state directory: {error}"),
        ))
    })
}

fn cannot_spawn(ffmpeg: &Path, error: &io::Error) -> EndedBy {
    let reason = match error.raw_os_error() {
        Some(libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE) => {
            FailureReason::ResourceError
        }
        _ => FailureReason::PlatformError,
    };
    EndedBy::Failure(Failure::new(
        reason,
        format!("{} cannot be run: {error}", ffmpeg.display()),
    ))
}

fn platform(message: String) -> EndedBy {
    EndedBy::Failure(Failure::new(FailureReason::PlatformError, message))
}

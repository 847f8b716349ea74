//! One encode from order to verdict: inspect, make the temporary file, spawn, watch, verify, sync.
//!
//! Its invariant: whatever it answers but [`Ended::Encoded`], the temporary file is gone and no process is left. It
//! never touches the output's final name.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use ffrtmp_api::{
    encoder::{Encoder, EncoderSet},
    ids::Attempt,
    job::FailureReason,
    protocol::{Assignment, MediaResult},
    settings::{Output, Pictures, Source},
};
use tokio::sync::watch;

use super::{
    bench::Bench,
    control::{Control, Observer, Stop, stopped},
    prepare::{Inspected, blocking, create_target, inspect, make, target, unmake},
    room::wants,
    runs::{Course, Runs, Spent, record},
    verdict::measure,
    watch::EndedBy,
};
use crate::{
    ffmpeg::{
        command::{FOLDER, needs_folder, without_twins},
        diagnosis::Failure,
        spawner::Confinement,
    },
    node::reap::remove_quietly,
    sandbox::{Grant, Needs, Network},
};

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
            EndedBy::Failure(failure) | EndedBy::Hung(failure) => Ended::Failed(failure),
            EndedBy::Finish => Ended::Failed(Failure::new(
                FailureReason::PlatformError,
                "told to finish, which only live jobs do",
            )),
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
    // Before anything is fetched: then the input is in scratch, where no job may name a file itself.
    let checked = tokio::select! {
        stop = stopped(control) => Err(Ended::Stopped(stop)),
        checked = bench.guard.paths(&order.settings) => checked.map_err(Ended::Failed),
    };
    if let Err(ended) = checked {
        return (ended, String::new());
    }
    let Source::Upload(id) = order.settings.source else {
        return encode_here(bench, order, control, observer).await;
    };
    let input = bench.scratch.join(format!("{}.input", order.attempt));
    let fetched = tokio::select! {
        stop = stopped(control) => Err(Ended::Stopped(stop)),
        fetched = bench.transfer.fetch(id, &input) => fetched.map_err(Ended::Failed),
    };
    let fetched = match fetched {
        Ok(()) => give_away(bench, input.clone()).await,
        ended => ended,
    };
    let answer = match fetched {
        Ok(()) => {
            let mut order = order.clone();
            order.settings.source = Source::File(input.to_string_lossy().into_owned());
            encode_here(bench, &order, control, observer).await
        }
        Err(ended) => (ended, String::new()),
    };
    discard(bench, input).await;
    answer
}

/// Lets whoever encodes read what was fetched.
async fn give_away(bench: &Bench, fetched: PathBuf) -> Result<(), Ended> {
    let Some(user) = bench.spawner.user() else {
        return Ok(());
    };
    let given = blocking(move || {
        user.own(&fetched).map_err(|error| {
            Failure::new(
                FailureReason::PlatformError,
                format!("{} cannot be given away: {error}", fetched.display()),
            )
        })
    });
    given.await.map_err(Ended::Failed)
}

/// Runs an assignment whose input this machine sees.
async fn encode_here(
    bench: &Bench,
    order: &Assignment,
    control: &mut watch::Receiver<Control>,
    observer: &dyn Observer,
) -> (Ended, String) {
    let pass = bench.guard.admit();
    let group = match &bench.groups {
        Some(groups) => groups.make(order).await,
        None => Ok(None),
    };
    let group = match group {
        Ok(group) => group,
        Err(failure) => return (Ended::Failed(failure), String::new()),
    };
    let bench = &Bench {
        spawner: bench.spawner.within(Confinement {
            web_proxy: Some(pass.way()),
            group,
            needs: Needs::default(),
        }),
        ..bench.clone()
    };
    let inspected = tokio::select! {
        stop = stopped(control) => return (Ended::Stopped(stop), String::new()),
        inspected = inspect(bench, order) => inspected,
    };
    let inspected = match pass.judge(inspected) {
        Ok(inspected) => inspected,
        Err(failure) => return (Ended::Failed(failure), String::new()),
    };
    let order = &suited(order, &inspected);
    let settings = &order.settings;
    let temp = target(settings, order.attempt, &bench.scratch);
    let mut course = Course {
        control: &mut *control,
        observer,
        log: String::new(),
        spent: Spent::default(),
    };
    let verdict = by_best(bench, order, &inspected, &temp, &mut course).await;
    let log = course.log;
    let verdict = match verdict {
        Ok(result) => pass.judge(Ok(result)).map_err(EndedBy::Failure),
        Err(EndedBy::Failure(failure)) => pass.judge(Err(failure)).map_err(EndedBy::Failure),
        stopped => stopped,
    };
    let ended = match (verdict, &settings.output) {
        (Ok(result), Some(Output::File(_) | Output::Folder { .. } | Output::Put(_))) => {
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
        (Ok(result), None | Some(Output::Push(_))) => Ended::Completed { result },
        (Err(by), _) => by.into(),
    };
    discard(bench, temp).await;
    (ended, log)
}

/// The order as it suits its input.
fn suited(order: &Assignment, inspected: &Inspected) -> Assignment {
    let mut order = order.clone();
    let input = inspected
        .media
        .as_ref()
        .and_then(|media| media.video.as_ref());
    if let (Pictures::Video(video), Some(input)) = (&mut order.settings.pictures, input) {
        video.ladder = without_twins(&video.ladder, input);
    }
    order
}

async fn discard(bench: &Bench, path: PathBuf) {
    let (scratch, user) = (bench.scratch.clone(), bench.spawner.user());
    let _ = blocking(move || {
        unmake(&path, &scratch, user.as_deref());
        Ok(())
    })
    .await;
}

/// Encodes by hardware where the job prefers it and this worker has it, and in software if that turns out not to work.
async fn by_best(
    bench: &Bench,
    order: &Assignment,
    inspected: &Inspected,
    temp: &Path,
    course: &mut Course<'_>,
) -> Result<MediaResult, EndedBy> {
    let hardware = order
        .settings
        .video()
        .filter(|video| video.prefers_hardware)
        .and_then(|video| {
            let here = bench.survey.borrow().capabilities.encoders;
            let proven = |e: &Encoder| here.contains_all(EncoderSet::of(*e));
            let encoder = video
                .codec
                .hardware_encoders()
                .iter()
                .copied()
                .find(proven)?;
            Some(video.by(encoder))
        });
    if let Some(video) = hardware {
        let mut order = order.clone();
        let encoder = video.encoder.name();
        order.settings.pictures = Pictures::Video(video);
        match run(bench, &order, inspected, temp, course).await {
            Err(EndedBy::Failure(failure))
                if matches!(
                    failure.reason,
                    FailureReason::CapabilityMismatch | FailureReason::ResourceError
                ) =>
            {
                tracing::warn!(
                    encoder,
                    failure = failure.message,
                    "hardware that was preferred failed; the CPU encodes"
                );
            }
            ended => return ended,
        }
    }
    // Of the job's time, what the hardware took is gone.
    run(bench, order, inspected, temp, course).await
}

/// Makes the temporary file and what stands beside it in scratch, runs every pass, and verifies what came out.
async fn run(
    bench: &Bench,
    order: &Assignment,
    inspected: &Inspected,
    temp: &Path,
    course: &mut Course<'_>,
) -> Result<MediaResult, EndedBy> {
    let fixed = tokio::select! {
        stop = stopped(course.control) => return Err(EndedBy::Stop(stop)),
        fixed = bench.guard.fixed(&order.settings) => fixed.map_err(EndedBy::Failure)?,
    };
    let order = &Assignment {
        settings: fixed.into_owned(),
        ..order.clone()
    };
    let settings = &order.settings;
    let is_folder = matches!(settings.output, Some(Output::Folder { .. }));
    // Held until the run is over and the file has its size.
    let wants = wants(settings, inspected, temp, &work_path(bench, order.attempt));
    let room = tokio::select! {
        stop = stopped(course.control) => return Err(EndedBy::Stop(stop)),
        room = bench.disks.claim(wants) => room.map_err(EndedBy::Failure)?,
    };
    // Recorded before the file exists and again when the process does, so that no crash in between hides either.
    record(bench, order.attempt, temp, None)?;
    let target = create_target(bench, temp.to_owned(), is_folder)
        .await
        .map_err(EndedBy::Failure)?;
    let work = match needs_folder(settings) {
        true => Some(
            WorkFolder::make(bench, order.attempt, is_folder.then_some(temp))
                .await
                .map_err(EndedBy::Failure)?,
        ),
        false => None,
    };
    let mut writes = vec![Arc::new(target)];
    writes.extend(work.as_ref().map(|work| Arc::clone(&work.grant)));
    let bench = &Bench {
        spawner: bench.spawner.needing(Needs {
            reads: inspected.file.iter().cloned().collect(),
            writes,
            network: Network::of(settings, bench.spawner.proxy_port()),
            devices: settings
                .video()
                .is_some_and(|video| video.encoder.is_hardware()),
        }),
        ..bench.clone()
    };
    let runs = Runs {
        bench,
        order,
        inspected,
        temp,
        directory: work.as_ref().map_or(Path::new("/"), |work| &work.path),
        room: &room,
    };
    let ran = match settings.live {
        Some(live) => runs.live(live, course).await,
        None => runs.all(course).await,
    };
    drop(work);
    ran?;
    let Course {
        control,
        log,
        spent,
        ..
    } = course;
    tokio::select! {
        stop = stopped(control) => Err(EndedBy::Stop(stop)),
        result = measure(bench, settings, inspected, temp, spent, log) => result.map_err(EndedBy::Failure),
    }
}

/// A folder in scratch that an encode works in; gone when dropped.
struct WorkFolder {
    path: PathBuf,
    grant: Arc<Grant>,
}

impl WorkFolder {
    async fn make(
        bench: &Bench,
        attempt: Attempt,
        output: Option<&Path>,
    ) -> Result<WorkFolder, Failure> {
        let (scratch, user) = (bench.scratch.clone(), bench.spawner.user());
        let path = work_path(bench, attempt);
        let (made, output) = (path.clone(), output.map(Path::to_owned));
        let grant = blocking(move || {
            let fill = || {
                make(&made, true, &scratch, user.as_deref())?;
                if let Some(output) = &output {
                    std::os::unix::fs::symlink(output, made.join(FOLDER))?;
                }
                Grant::of_made(&made)
            };
            fill().map_err(|error| {
                Failure::new(
                    FailureReason::PlatformError,
                    format!("{} cannot be made: {error}", made.display()),
                )
            })
        })
        .await?;
        Ok(WorkFolder {
            path,
            grant: Arc::new(grant),
        })
    }
}

/// Where an attempt works, if it needs a folder for it.
fn work_path(bench: &Bench, attempt: Attempt) -> PathBuf {
    bench.scratch.join(format!("{attempt}.work"))
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        remove_quietly(&self.path);
    }
}

//! One encode from order to verdict: inspect, make the temporary file, spawn, watch, verify, sync.
//!
//! Its invariant: whatever it answers but [`Ended::Encoded`], the temporary file is gone and no process is left. It
//! never touches the output's final name.

use std::{
    ffi::OsString,
    fs::File,
    io,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use ffrtmp_api::{
    encoder::{Encoder, EncoderSet},
    ids::Attempt,
    job::FailureReason,
    limits::LOG_BYTES_MAX,
    protocol::{Assignment, Gpu, MediaResult},
    settings::{Output, Pictures, Settings, Source},
};
use tokio::sync::watch;

use super::{
    control::{Control, Observer, Stop, stopped},
    folder,
    prepare::{Inspected, blocking, create_target, inspect, make, target, unmake},
    room::{Claim, Disks, wants},
    watch::{Before, Bounds, EndedBy, Watched, watch},
};
use crate::{
    capabilities::{device::Device, survey::Survey},
    ffmpeg::{
        command::{FOLDER, Order, Pass, arguments, needs_folder, passes},
        diagnosis::{Failure, explain},
        hidden::Hidden,
        loudness::measured,
        probe::{Media, ProbeError, probe},
        process::start_ticks,
        program::Programs,
        progress::Report,
        quality::{self, Likeness},
        reach::Reach,
        spawner::{Confinement, Spawner},
        verify::verify,
    },
    guard::Guard,
    node::{
        cgroups::{Group, Groups, Limits},
        reap::remove_quietly,
        records::{Leader, Record, Records, Standing},
    },
    sandbox::{Grant, Needs, Network},
    transfer::Transfer,
    trust::Trust,
};

/// What an encode needs of its worker.
#[derive(Clone)]
pub(crate) struct Bench {
    /// Gives birth to processes.
    pub(crate) spawner: Spawner,
    /// What jobs may reach.
    pub(crate) guard: Guard,
    /// Whom their servers are taken for.
    pub(crate) trust: Arc<Trust>,
    /// The control groups they run in, if there are any.
    pub(crate) groups: Option<JobGroups>,
    /// ffmpeg and ffprobe.
    pub(crate) programs: Programs,
    /// What the machine can do now: which device a GPU's number means.
    pub(crate) survey: watch::Receiver<Survey>,
    /// Where outputs nobody asked to keep go, and what is fetched or handed back.
    pub(crate) scratch: PathBuf,
    /// What its encodes will write.
    pub(crate) disks: Arc<Disks>,
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

/// Makes the control groups of attempts.
#[derive(Clone)]
pub(crate) struct JobGroups {
    /// Where.
    pub(crate) groups: Arc<Groups>,
    /// Whether a job gets no more than it reserved.
    pub(crate) capped: bool,
}

impl JobGroups {
    /// The group of an attempt. Where jobs only share, one runs without rather than not at all.
    async fn make(&self, order: &Assignment) -> Result<Option<Arc<Group>>, Failure> {
        let limits = Limits {
            reserved: order.reserved,
            queue: order.queue,
            capped: self.capped,
        };
        let (groups, attempt, capped) = (Arc::clone(&self.groups), order.attempt, self.capped);
        blocking(move || match groups.make(attempt, &limits) {
            Ok(group) => Ok(Some(Arc::new(group))),
            Err(error) if capped => Err(Failure::new(
                FailureReason::PlatformError,
                format!(
                    "no control group can be made for the job, whose limits are to hold: {error}"
                ),
            )),
            Err(error) => {
                tracing::warn!(%attempt, %error, "the job runs without a control group");
                Ok(None)
            }
        })
        .await
    }
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
    let settings = &order.settings;
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
    let temp = target(settings, order.attempt, &bench.scratch);
    let mut log = String::new();
    let verdict = by_best(bench, order, &inspected, &temp, control, observer, &mut log).await;
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
    control: &mut watch::Receiver<Control>,
    observer: &dyn Observer,
    log: &mut String,
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
        match run(bench, &order, inspected, temp, control, observer, log).await {
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
    run(bench, order, inspected, temp, control, observer, log).await
}

/// Makes the temporary file and what stands beside it in scratch, runs every pass, and verifies what came out.
async fn run(
    bench: &Bench,
    order: &Assignment,
    inspected: &Inspected,
    temp: &Path,
    control: &mut watch::Receiver<Control>,
    observer: &dyn Observer,
    log: &mut String,
) -> Result<MediaResult, EndedBy> {
    let fixed = tokio::select! {
        stop = stopped(control) => return Err(EndedBy::Stop(stop)),
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
        stop = stopped(control) => return Err(EndedBy::Stop(stop)),
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
    let spent = match settings.live {
        Some(live) => runs.live(live, control, observer, log).await,
        None => runs.all(control, observer, log).await,
    };
    drop(work);
    let spent = spent?;
    tokio::select! {
        stop = stopped(control) => Err(EndedBy::Stop(stop)),
        result = measure(bench, settings, inspected, temp, &spent) => result.map_err(EndedBy::Failure),
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

/// The runs of ffmpeg that one encode takes.
pub(super) struct Runs<'a> {
    pub(super) bench: &'a Bench,
    pub(super) order: &'a Assignment,
    pub(super) inspected: &'a Inspected,
    pub(super) temp: &'a Path,
    pub(super) directory: &'a Path,
    /// What it was given of the disks.
    pub(super) room: &'a Claim,
}

/// What the runs took, all together, and what the last of them reported.
#[derive(Default)]
pub(super) struct Spent {
    wall: Duration,
    stood: Duration,
    cpu_seconds: f64,
    memory_peak_kib: u64,
    pub(super) last: Report,
    likeness: Likeness,
    /// How often a live source was taken up again.
    pub(super) restarts: u32,
}

impl Spent {
    pub(super) fn add(&mut self, watched: &Watched) {
        self.wall += watched.exit.wall;
        self.stood += watched.stood;
        self.cpu_seconds += watched.exit.cpu_seconds;
        self.memory_peak_kib = self.memory_peak_kib.max(watched.exit.memory_peak_kib);
    }

    /// How long the runs took, pauses not counted.
    fn ran(&self) -> Duration {
        self.wall.saturating_sub(self.stood)
    }
}

impl Runs<'_> {
    async fn all(
        &self,
        control: &mut watch::Receiver<Control>,
        observer: &dyn Observer,
        log: &mut String,
    ) -> Result<Spent, EndedBy> {
        let settings = &self.order.settings;
        let mut passes = passes(settings);
        // What makes no sound has no loudness.
        if self
            .inspected
            .media
            .as_ref()
            .is_some_and(|media| media.audio.is_none())
        {
            passes.retain(|pass| *pass != Pass::Loudness);
        }
        let compares = settings.quality.is_asked();
        let runs = passes.len() + usize::from(compares);
        let share = |n: usize| (n as f64 / runs as f64, (n + 1) as f64 / runs as f64);
        let gpu = self.gpu();
        let mut spent = Spent::default();
        let mut loudness = None;
        for (n, pass) in passes.iter().enumerate() {
            let line = arguments(
                *pass,
                Order {
                    settings,
                    input: self.inspected.media.as_ref(),
                    gpu,
                    loudness: loudness.as_ref(),
                    target: self.temp,
                    part: 0,
                    trust: &self.bench.trust,
                },
            );
            let bounds = Bounds {
                share: share(n),
                ran: spent.ran(),
                // What is one picture in the end shows no frame until then: a sheet of sprites reads all of its input first.
                bytes_count: *pass == Pass::Subtitles
                    || matches!(settings.pictures, Pictures::Still(_)),
                ..self.bounds()
            };
            let watched = self
                .one(line, bounds, n == 0, control, observer, log)
                .await?;
            spent.add(&watched);
            match pass {
                Pass::Loudness => loudness = measured(&watched.log.text()),
                Pass::Encode => spent.last = watched.last,
                Pass::Subtitles | Pass::First | Pass::Record | Pass::Join => {}
            }
        }
        if let (true, Some(input)) = (compares, &self.inspected.media) {
            let output = self.look_at_output().await.map_err(EndedBy::Failure)?;
            let line = quality::arguments(settings, input, &output, self.temp);
            let bounds = Bounds {
                share: share(runs - 1),
                ran: spent.ran(),
                ..self.bounds()
            };
            let watched = self
                .one(line, bounds, false, control, observer, log)
                .await?;
            spent.likeness = quality::likeness(&watched.log.text());
            quality::judge(&settings.quality, &spent.likeness).map_err(EndedBy::Failure)?;
        }
        Ok(spent)
    }

    /// The number of that device, to ffmpeg.
    pub(super) fn gpu(&self) -> Option<u32> {
        let device = self.device();
        device.as_ref().map(Device::number).or(self.order.gpu)
    }

    /// The device that was chosen for this encode; where hardware is used that nobody chose, the first that has it.
    fn device(&self) -> Option<Device> {
        let survey = self.bench.survey.borrow();
        let hardware = self.order.settings.video().map(|video| video.encoder);
        let gpu = self.order.gpu.or_else(|| {
            let encoder = hardware.filter(|encoder| encoder.is_hardware())?;
            let nvidia = encoder.name().ends_with("_nvenc");
            // What is no NVIDIA GPU is told by the path of its render node.
            let fits = |gpu: &Gpu| gpu.sessions_max > 0 && gpu.uuid.starts_with('/') != nvidia;
            u32::try_from(survey.capabilities.gpus.iter().position(fits)?).ok()
        });
        survey.device(gpu).cloned()
    }

    async fn look_at_output(&self) -> Result<Media, Failure> {
        look(self.bench, Reach::File(self.temp)).await
    }

    /// What holds for every run, as the only one of the job.
    pub(super) fn bounds(&self) -> Bounds {
        let timeout = self.order.settings.timeout_seconds;
        Bounds {
            stall: self.bench.stall_timeout,
            timeout: timeout.map(Duration::from_secs_f64),
            ran: Duration::ZERO,
            kill_grace: self.bench.kill_grace,
            expected_seconds: self.inspected.expected_seconds,
            share: (0.0, 1.0),
            before: Before::default(),
            finishes: false,
            bytes_count: false,
            hidden: Hidden::of_job(&self.order.settings),
        }
    }

    /// Runs ffmpeg once, to a good end.
    pub(super) async fn one(
        &self,
        line: Vec<OsString>,
        bounds: Bounds,
        is_first: bool,
        control: &mut watch::Receiver<Control>,
        observer: &dyn Observer,
        log: &mut String,
    ) -> Result<Watched, EndedBy> {
        let watched = self
            .any(line, bounds, is_first, control, observer, log)
            .await?;
        if let Some(by) = watched.ended_by {
            return Err(by);
        }
        if !watched.exit.status.success() {
            return Err(EndedBy::Failure(explain(
                watched.exit.status,
                watched.log.newest_first(),
            )));
        }
        Ok(watched)
    }

    /// Runs ffmpeg once, to whatever end.
    pub(super) async fn any(
        &self,
        line: Vec<OsString>,
        bounds: Bounds,
        is_first: bool,
        control: &mut watch::Receiver<Control>,
        observer: &dyn Observer,
        log: &mut String,
    ) -> Result<Watched, EndedBy> {
        let (bench, order) = (self.bench, self.order);
        let mut command = Command::new(&bench.programs.ffmpeg);
        command
            .args(&line)
            .envs(self.device().as_ref().and_then(Device::environment))
            .current_dir(self.directory);
        if self.directory != Path::new("/") {
            // What libraries keep for the next time, as a list of fonts; never what another job left.
            for variable in ["XDG_CACHE_HOME", "TMPDIR"] {
                command.env(variable, self.directory);
            }
        }
        tracing::debug!(command = %bounds.hidden.clean(&format!("{command:?}")), "spawning");
        let process = bench
            .spawner
            .spawn(command)
            .await
            .map_err(|error| cannot_spawn(&bench.programs.ffmpeg, &error))?;
        let pid = process.pid();
        record(
            bench,
            order.attempt,
            self.temp,
            start_ticks(pid).map(|start_ticks| Leader { pid, start_ticks }),
        )?;
        tracing::info!(pid, uuid = %order.job_uuid, scenario = order.scenario.as_deref(), "ffmpeg started");
        if is_first {
            observer.started();
        }
        let group = bench.spawner.group();
        let killed = || group.map_or(0, |group| group.memory_kills());
        let killed_before = killed();
        let watched = watch(process, order.attempt, bounds, control, observer)
            .await
            .map_err(|error| platform(format!("ffmpeg could not be watched: {error}")))?;
        log.push_str(&watched.log.text());
        // Of several runs the last is what people look for.
        if log.len() > LOG_BYTES_MAX {
            *log = watched.log.text();
        }
        if watched.ended_by.is_none() && killed() > killed_before {
            return Err(EndedBy::Failure(Failure::new(
                FailureReason::ResourceError,
                format!(
                    "the kernel ended it because it used more than the {} MiB of memory it reserved; reserve more with \
                     --resources memory=SIZE",
                    order.reserved.memory_mib
                ),
            )));
        }
        Ok(watched)
    }
}

/// Asks ffprobe about what was made.
pub(super) async fn look(bench: &Bench, reach: Reach<'_>) -> Result<Media, Failure> {
    probe(
        &bench.spawner,
        &bench.programs,
        reach,
        true,
        bench.probe_timeout,
    )
    .await
    .map_err(|error| match error {
        ProbeError::NotMedia { said, known } => Failure::new(
            // What ffmpeg has just made is bad because it made it badly, unless the machine cannot read.
            known
                .filter(|reason| reason.is_retryable())
                .unwrap_or(FailureReason::RuntimeError),
            format!("ffmpeg ended well but its output cannot be read: {said}"),
        ),
        ProbeError::Run(error) => Failure::new(
            FailureReason::PlatformError,
            format!("the output cannot be verified: ffprobe gave {error}"),
        ),
    })
}

/// Verifies the output, syncs it and puts the result together.
async fn measure(
    bench: &Bench,
    settings: &Settings,
    inspected: &Inspected,
    temp: &Path,
    spent: &Spent,
) -> Result<MediaResult, Failure> {
    let mut result = MediaResult {
        input_bytes: inspected.input_bytes,
        wall_seconds: spent.wall.as_secs_f64(),
        cpu_seconds: spent.cpu_seconds,
        memory_peak_kib: spent.memory_peak_kib,
        encoder: settings.encoder_name().to_owned(),
        restarts: spent.restarts,
        ssim: spent.likeness.ssim,
        psnr: spent.likeness.psnr,
        vmaf: spent.likeness.vmaf,
        ..MediaResult::default()
    };
    if let Some(Output::Push(_)) = settings.output {
        // What was streamed is gone; there is only ffmpeg's word for it.
        remove_quietly(temp);
        let last = &spent.last;
        return Ok(MediaResult {
            bytes: last.bytes,
            format: settings.container.ffmpeg_name().to_owned(),
            video_codec: settings
                .video()
                .map(|video| video.codec.ffprobe_name().to_owned())
                .unwrap_or_default(),
            frames: last.frames,
            duration_seconds: last.media_seconds,
            ..result
        });
    }
    let index;
    let reach = match (&settings.output, &settings.pictures) {
        (Some(Output::Folder { index: name, .. }), _) => {
            index = temp.join(name);
            Reach::OwnFolder(&index)
        }
        (_, Pictures::Still(_)) => Reach::OwnStill(temp),
        _ => Reach::File(temp),
    };
    let output = look(bench, reach).await?;
    verify(
        settings,
        &output,
        inspected.media.as_ref(),
        // A live source may end before as much was taken as was asked for.
        inspected
            .expected_seconds
            .filter(|_| settings.live.is_none()),
        &spent.last,
    )?;
    let keep = matches!(settings.output, Some(Output::File(_) | Output::Put(_)));
    let is_folder = matches!(settings.output, Some(Output::Folder { .. }));
    let path = temp.to_owned();
    result.bytes = blocking(move || {
        let size = || -> io::Result<u64> {
            if is_folder {
                return folder::sync(&path);
            }
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
        format: output.format,
        video_codec: video.codec,
        audio_codec: output.audio.map(|sound| sound.codec),
        width: video.width,
        height: video.height,
        frames: video.packets.unwrap_or(0),
        duration_seconds: output.duration_seconds.unwrap_or(spent.last.media_seconds),
        ..result
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

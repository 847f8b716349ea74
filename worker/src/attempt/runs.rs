//! ffmpeg, run as often as an encode takes: passes, measurements, the comparison at the end. What all runs together took and gave
//! adds up here; live encodes, which run until their source is over, are `live`.

use std::{ffi::OsString, io, path::Path, process::Command, time::Duration};

use ffrtmp_api::{
    ids::Attempt,
    job::FailureReason,
    limits::LOG_BYTES_MAX,
    protocol::{Assignment, Gpu},
    settings::Pictures,
};
use tokio::sync::watch;

use super::{
    bench::Bench,
    control::{Control, Observer},
    prepare::Inspected,
    room::Claim,
    verdict::look,
    watch::{Before, Bounds, EndedBy, Watched, watch},
};
use crate::{
    capabilities::device::Device,
    disks::Disk,
    ffmpeg::{
        command::{Order, Pass, arguments, passes},
        diagnosis::{Failure, explain},
        hidden::Hidden,
        loudness::measured,
        probe::Media,
        process::start_ticks,
        progress::Report,
        quality::{self, Likeness},
        reach::Reach,
    },
    node::records::{Leader, Record, Standing},
};

/// A disk with less free than this is full: less than a block of the larger file systems.
const FULL_BYTES: u64 = 64 * 1024;

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
    pub(super) wall: Duration,
    stood: Duration,
    pub(super) cpu_seconds: f64,
    pub(super) memory_peak_kib: u64,
    pub(super) last: Report,
    pub(super) likeness: Likeness,
    /// How often a live source was taken up again.
    pub(super) restarts: u32,
}

impl Spent {
    fn add(&mut self, watched: &Watched) {
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

/// The course of an attempt: what it is told, whom it tells, and what came of it so far.
pub(super) struct Course<'a> {
    pub(super) control: &'a mut watch::Receiver<Control>,
    pub(super) observer: &'a dyn Observer,
    /// What its runs said.
    pub(super) log: String,
    /// What they took.
    pub(super) spent: Spent,
}

impl Runs<'_> {
    /// Runs everything that the encode takes, and adds it to what was spent before.
    pub(super) async fn all(&self, course: &mut Course<'_>) -> Result<(), EndedBy> {
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
                ran: course.spent.ran(),
                // What is one picture in the end shows no frame until then: a sheet of sprites reads all of its input first.
                bytes_count: *pass == Pass::Subtitles
                    || matches!(settings.pictures, Pictures::Still(_)),
                ..self.bounds()
            };
            let watched = self.one(line, bounds, n == 0, course).await?;
            match pass {
                Pass::Loudness => loudness = measured(&watched.log.text()),
                Pass::Encode => course.spent.last = watched.last,
                Pass::Subtitles | Pass::First | Pass::Record | Pass::Join => {}
            }
        }
        if let (true, Some(input)) = (compares, &self.inspected.media) {
            let output = self.look_at_output().await.map_err(EndedBy::Failure)?;
            let line = quality::arguments(settings, input, &output, self.temp);
            let bounds = Bounds {
                share: share(runs - 1),
                ran: course.spent.ran(),
                ..self.bounds()
            };
            let watched = self.one(line, bounds, false, course).await?;
            course.spent.likeness = quality::likeness(&watched.log.text());
            quality::judge(&settings.quality, &course.spent.likeness).map_err(EndedBy::Failure)?;
        }
        Ok(())
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
        course: &mut Course<'_>,
    ) -> Result<Watched, EndedBy> {
        let watched = self.any(line, bounds, is_first, course).await?;
        if let Some(by) = watched.ended_by {
            return Err(by);
        }
        if !watched.exit.status.success() {
            let failure = explain(watched.exit.status, watched.log.newest_first());
            return Err(EndedBy::Failure(self.or_full(failure)));
        }
        Ok(watched)
    }

    /// A failure, or what is behind it: several of ffmpeg's writers (of the statistics of a first pass, of subtitles) do not notice that a
    /// disk is full, and leave a file that the next run fails on.
    fn or_full(&self, failure: Failure) -> Failure {
        let scratch = &self.bench.scratch;
        let full = self.directory != Path::new("/")
            && Disk::of(scratch).is_ok_and(|disk| disk.free < FULL_BYTES);
        match full {
            true if failure.reason != FailureReason::ResourceError => Failure::new(
                FailureReason::ResourceError,
                format!(
                    "the disk of {} is full; {}",
                    scratch.display(),
                    failure.message
                ),
            ),
            _ => failure,
        }
    }

    /// Runs ffmpeg once, to whatever end.
    pub(super) async fn any(
        &self,
        line: Vec<OsString>,
        bounds: Bounds,
        is_first: bool,
        course: &mut Course<'_>,
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
            course.observer.started();
        }
        let group = bench.spawner.group();
        let killed = || group.map_or(0, |group| group.memory_kills());
        let killed_before = killed();
        let watched = watch(
            process,
            order.attempt,
            bounds,
            course.control,
            course.observer,
        )
        .await
        .map_err(|error| platform(format!("ffmpeg could not be watched: {error}")))?;
        course.spent.add(&watched);
        course.log.push_str(&watched.log.text());
        // Of several runs the last is what people look for.
        if course.log.len() > LOG_BYTES_MAX {
            course.log = watched.log.text();
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

/// Writes down what an attempt has made, and who runs for it.
pub(super) fn record(
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

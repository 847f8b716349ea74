//! Looks at what this machine can do, at start and then again whenever something that matters has changed: ffmpeg replaced or
//! gone, a driver or a GPU that came or went.
//!
//! Cheap looks (`stat`, the driver's list) come every few seconds; programs are run only when those differ, or, for hardware
//! that failed its trial and libraries replaced under the same program, every few minutes.

use std::{
    convert::Infallible,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use ffrtmp_api::{
    encoder::{Encoder, EncoderSet},
    protocol::{Capabilities, Gpu, Unavailable},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{
    device::{Device, render_nodes},
    gpu::Gpus,
    trial::{Trials, trials},
};
use crate::ffmpeg::{
    program::{Programs, version},
    spawner::Spawner,
};

/// Between two cheap looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A program that is there, and fails this often in a row, cannot be used.
const BELIEVED_AFTER: u32 = 3;
/// After this everything is asked again though nothing seems to have changed.
const ANEW_AFTER: Duration = Duration::from_secs(600);

/// What the machine can do now.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Survey {
    /// What the master is told; slots, CPUs and memory are not in it.
    pub(crate) capabilities: Capabilities,
    /// The devices behind [`Capabilities::gpus`], in that order.
    pub(crate) devices: Vec<Device>,
}

impl Survey {
    /// The device behind a GPU's number.
    pub(crate) fn device(&self, gpu: Option<u32>) -> Option<&Device> {
        self.devices.get(gpu? as usize)
    }
}

/// Does the looking.
pub(crate) struct Surveyor {
    /// Runs programs.
    pub(crate) spawner: Spawner,
    /// Which.
    pub(crate) programs: Programs,
    /// The driver's view.
    pub(crate) gpus: Arc<Gpus>,
    /// Where trials are kept.
    pub(crate) cache: PathBuf,
}

/// What a cheap look sees. Any difference means a survey.
#[derive(PartialEq)]
pub(crate) struct Glance {
    programs: [Option<String>; 2],
    gpus: Vec<(Device, Gpu)>,
}

impl Surveyor {
    /// The first survey, and the look it rests on.
    ///
    /// # Errors
    /// ffmpeg or ffprobe cannot be used: at start that is a mistake to be told at once.
    pub(crate) async fn first(&self) -> anyhow::Result<(Survey, Glance)> {
        let glance = self.glance().await;
        Ok((self.survey(&glance).await?, glance))
    }

    /// Goes on looking, for ever, and says what changed since `last`.
    pub(crate) async fn keep(&self, mut last: Glance, told: &watch::Sender<Survey>) -> Infallible {
        let mut surveyed = Instant::now();
        let mut failed: u32 = 0;
        loop {
            sleep(LOOK_EVERY).await;
            let glance = self.glance().await;
            if glance == last && failed == 0 && surveyed.elapsed() < ANEW_AFTER {
                continue;
            }
            let is_there = glance.programs.iter().all(Option::is_some);
            last = glance;
            surveyed = Instant::now();
            let survey = match self.survey(&last).await {
                Ok(survey) => {
                    failed = 0;
                    survey
                }
                // A machine that is busy beyond measure, for a moment, has lost nothing.
                Err(error) if is_there && failed + 1 < BELIEVED_AFTER => {
                    failed += 1;
                    tracing::warn!(error = format!("{error:#}"), "asked again soon");
                    continue;
                }
                Err(error) => {
                    failed = failed.saturating_add(1);
                    tracing::error!(
                        error = format!("{error:#}"),
                        "nothing can run here until this is mended"
                    );
                    unfit(&last, format!("{error:#}"))
                }
            };
            told.send_if_modified(|before| {
                let changed = *before != survey;
                if changed {
                    report(&survey);
                    *before = survey;
                }
                changed
            });
        }
    }

    async fn glance(&self) -> Glance {
        let gpus = Arc::clone(&self.gpus);
        // The driver may take its time. A look that panics has seen no GPU.
        let nvidia = tokio::task::spawn_blocking(move || gpus.look()).await;
        let nvidia = nvidia.unwrap_or_default();
        // One family on a machine: a policy knows GPUs by number only, and would send NVENC to a render node.
        let gpus = if nvidia.is_empty() {
            render_nodes(Path::new("/"))
        } else {
            let device = |gpu: Gpu| (Device::Nvidia(gpu.uuid.clone()), gpu);
            nvidia.into_iter().map(device).collect()
        };
        Glance {
            programs: [&self.programs.ffmpeg, &self.programs.ffprobe].map(|path| identity(path)),
            gpus,
        }
    }

    async fn survey(&self, glance: &Glance) -> anyhow::Result<Survey> {
        let Programs { ffmpeg, ffprobe } = &self.programs;
        let says = version(&self.spawner, ffmpeg, "ffmpeg").await?;
        // Without the other one every attempt would fail.
        version(&self.spawner, ffprobe, "ffprobe").await?;
        let program = format!("{:?} {says} {}", glance.programs, self.spawner.ground());
        let devices: Vec<Device> = glance
            .gpus
            .iter()
            .map(|(device, _)| device.clone())
            .collect();
        let usable: Vec<Device> = glance
            .gpus
            .iter()
            .filter(|(_, gpu)| gpu.unusable.is_none())
            .map(|(device, _)| device.clone())
            .collect();
        let trials = trials(&self.spawner, ffmpeg, &program, &usable, &self.cache).await;
        let place = |index: u32| {
            let device = usable.get(index as usize);
            devices.iter().position(|other| Some(other) == device)
        };
        let mut gpus: Vec<Gpu> = glance.gpus.iter().map(|(_, gpu)| gpu.clone()).collect();
        let mut unavailable: Vec<Unavailable> = trials
            .failed()
            .map(|one| Unavailable {
                gpu: one.gpu.and_then(place).map(|index| index as u32),
                ..one
            })
            .collect();
        let encoders = offered(&trials, usable.len(), |index, why| {
            if let Some(gpu) = place(index as u32).and_then(|at| gpus.get_mut(at)) {
                gpu.sessions_max = 0;
                gpu.unusable = Some(why);
            }
        });
        unavailable.extend(untried(&devices, encoders, &unavailable));
        Ok(Survey {
            capabilities: Capabilities {
                encoders,
                gpus,
                ffmpeg: says.lines().next().unwrap_or_default().to_owned(),
                unavailable,
                ..Capabilities::default()
            },
            devices,
        })
    }
}

/// The encoders offered: software, and of hardware those that work on every GPU on which any works. A GPU on which none does
/// is taken out with `take_out`.
fn offered(trials: &Trials, gpus: usize, mut take_out: impl FnMut(usize, String)) -> EncoderSet {
    let mut hardware: Option<Vec<Encoder>> = None;
    for index in 0..gpus {
        let passed = trials.passed_on(Some(index));
        if passed == EncoderSet::EMPTY {
            take_out(index, "no encoder passed its trial on it".into());
            continue;
        }
        hardware = Some(match hardware {
            None => passed.iter().collect(),
            Some(mut common) => {
                common.retain(|encoder| passed.contains_all(EncoderSet::of(*encoder)));
                common
            }
        });
    }
    let software = trials.passed_on(None);
    software
        .iter()
        .chain(hardware.into_iter().flatten())
        .collect()
}

/// Why the hardware encoders that are neither offered nor failed a trial are not offered.
fn untried(devices: &[Device], offered: EncoderSet, failed: &[Unavailable]) -> Vec<Unavailable> {
    let missing = |encoder: &Encoder| {
        !offered.contains_all(EncoderSet::of(*encoder))
            && !failed.iter().any(|one| one.encoder == *encoder)
    };
    let why = |encoder: Encoder| match encoder {
        _ if devices.iter().any(|device| device.could_offer(encoder)) => {
            "no GPU that has it can be used"
        }
        Encoder::H264Nvenc | Encoder::HevcNvenc | Encoder::Av1Nvenc => {
            "no NVIDIA GPU: no driver answers"
        }
        _ if devices.iter().any(|d| matches!(d, Device::Nvidia(_))) => {
            "NVIDIA GPUs are used on this machine"
        }
        Encoder::H264Qsv | Encoder::HevcQsv | Encoder::Av1Qsv => "no Intel render node in /dev/dri",
        _ => "no Intel or AMD render node in /dev/dri",
    };
    Encoder::ALL
        .into_iter()
        .filter(missing)
        .map(|encoder| Unavailable {
            encoder,
            gpu: None,
            why: why(encoder).into(),
        })
        .collect()
}

/// What a machine whose programs cannot be used can do: nothing. Its GPUs keep their places.
fn unfit(glance: &Glance, why: String) -> Survey {
    let (devices, gpus) = glance.gpus.iter().cloned().unzip();
    Survey {
        capabilities: Capabilities {
            gpus,
            unfit: Some(why),
            ..Capabilities::default()
        },
        devices,
    }
}

fn report(survey: &Survey) {
    let encoders = survey.capabilities.encoders.iter();
    let names: Vec<&str> = encoders.map(Encoder::name).collect();
    tracing::info!(
        encoders = names.join(","),
        gpus = survey.capabilities.gpus.len(),
        ffmpeg = survey.capabilities.ffmpeg,
        "what this machine can do"
    );
}

/// What tells a program from another at the same path; none if it is not there.
fn identity(path: &Path) -> Option<String> {
    let m = fs::metadata(path).ok()?;
    Some(format!(
        "{} {}:{} {} bytes, {}.{}",
        path.display(),
        m.dev(),
        m.ino(),
        m.size(),
        m.mtime(),
        m.mtime_nsec()
    ))
}

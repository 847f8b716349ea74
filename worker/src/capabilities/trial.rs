//! Which encoders really work here, by encoding a few frames with each, on each device.
//!
//! A name in `ffmpeg -encoders` proves nothing: distributions list NVENC on machines without a GPU. What passed is kept in the
//! state directory and believed until something it rests on changed, so that a restart is instant. What failed is tried each
//! time: a driver, or the whole machine, may have been busy.

use std::{fs, path::Path, process::Command, time::Duration};

use ffrtmp_api::{
    encoder::{Encoder, EncoderSet},
    protocol::Unavailable,
};
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};

use super::{device::Device, host};
use crate::{
    ffmpeg::{capture::capture, command::trial_arguments, spawner::Spawner},
    node::state_dir::write_whole,
    sandbox::Needs,
};

/// Longest trial on a device. Encoding five small frames takes under a second; a driver that hangs is found here, not by a job.
const DEVICE_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest trial in software, which a busy machine may take its time for.
const SOFTWARE_TIMEOUT: Duration = Duration::from_secs(120);
/// Most trials at once: one for each CPU, and no more than this.
const TRIALS_AT_ONCE: usize = 4;

/// What the trials came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Trials {
    tried: Vec<Tried>,
}

/// One encoder on one device (an index into those asked about), or in software.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Tried {
    encoder: Encoder,
    device: Option<usize>,
    error: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    /// What the answers rest on: the program, all it says of itself, the devices.
    ground: (String, Vec<Device>),
    tried: Vec<Tried>,
}

/// Tries every encoder. `program` identifies ffmpeg: any difference means asking again. `cache` is where the answer is kept.
pub(crate) async fn trials(
    spawner: &Spawner,
    ffmpeg: &Path,
    program: &str,
    devices: &[Device],
    cache: &Path,
) -> Trials {
    let ground = (program.to_owned(), devices.to_vec());
    let mut tried = fs::read(cache)
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok())
        .filter(|kept| kept.ground == ground)
        .map(|kept| kept.tried)
        .unwrap_or_default();
    tried.retain(|one| one.error.is_none());
    let known: Vec<(Encoder, Option<usize>)> =
        tried.iter().map(|one| (one.encoder, one.device)).collect();
    let software = Encoder::ALL
        .into_iter()
        .filter(|encoder| !encoder.is_hardware())
        .map(|encoder| (encoder, None));
    let hardware = devices.iter().enumerate().flat_map(|(index, device)| {
        let offered = Encoder::ALL.into_iter();
        offered
            .filter(|encoder| device.could_offer(*encoder))
            .map(move |encoder| (encoder, Some(index)))
    });
    let on_gpus = spawner.needing(Needs {
        devices: true,
        ..Needs::default()
    });
    let open: Vec<(Encoder, Option<usize>, Command)> = software
        .chain(hardware)
        .filter(|one| !known.contains(one))
        .map(|(encoder, index)| {
            let device = index.and_then(|index| devices.get(index));
            (encoder, index, command(ffmpeg, encoder, device))
        })
        .collect();
    let attempts = open.into_iter().map(|(encoder, device, command)| {
        let spawner = match device {
            Some(_) => on_gpus.clone(),
            None => spawner.clone(),
        };
        async move {
            Tried {
                encoder,
                device,
                error: attempt(&spawner, command, device.is_some()).await.err(),
            }
        }
    });
    let fresh: Vec<Tried> = stream::iter(attempts)
        .buffer_unordered(TRIALS_AT_ONCE.min(host::cpus() as usize))
        .collect()
        .await;
    if fresh.is_empty() {
        tracing::debug!("encoders are known from earlier trials");
        return Trials { tried };
    }
    tried.extend(fresh);
    tried.sort_by_key(|one| (one.encoder, one.device));
    let kept = Kept { ground, tried };
    if let Err(error) = serde_json::to_vec(&kept)
        .map_err(Into::into)
        .and_then(|json| write_whole(cache, &json, false))
    {
        tracing::warn!(%error, "the trials' outcome cannot be kept; the next start tries again");
    }
    Trials { tried: kept.tried }
}

impl Trials {
    /// What passed on a device; `None` is software.
    pub(crate) fn passed_on(&self, device: Option<usize>) -> EncoderSet {
        let passed = self.tried.iter().filter(|one| one.error.is_none());
        passed
            .filter(|one| one.device == device)
            .map(|one| one.encoder)
            .collect()
    }

    /// What failed, and why.
    pub(crate) fn failed(&self) -> impl Iterator<Item = Unavailable> {
        self.tried.iter().filter_map(|one| {
            Some(Unavailable {
                encoder: one.encoder,
                gpu: one.device.map(|index| index as u32),
                why: one.error.clone()?,
            })
        })
    }
}

fn command(ffmpeg: &Path, encoder: Encoder, device: Option<&Device>) -> Command {
    let mut command = Command::new(ffmpeg);
    command
        .args(trial_arguments(encoder, device.map(Device::number)))
        .envs(device.and_then(Device::environment))
        .current_dir("/");
    command
}

/// A trial; its error is what ffmpeg said.
async fn attempt(spawner: &Spawner, command: Command, on_device: bool) -> Result<(), String> {
    let timeout = match on_device {
        true => DEVICE_TIMEOUT,
        false => SOFTWARE_TIMEOUT,
    };
    match capture(spawner, command, timeout).await {
        Ok(trial) if trial.exit.status.success() => Ok(()),
        Ok(trial) => Err(why(&trial.stderr)),
        Err(error) => Err(error.to_string()),
    }
}

/// The line that tells most: the first that is an error of the encoder or its device. What follows is its consequences.
fn why(stderr: &str) -> String {
    let mut lines = stderr.lines().map(str::trim).filter(|l| !l.is_empty());
    let line = lines.next().unwrap_or("ffmpeg said nothing");
    // `[h264_nvenc @ 0x55d0c4]`: the address says nothing to anyone.
    let line = match line.split_once("] ") {
        Some((tag, rest)) if tag.starts_with('[') && tag.contains(" @ 0x") => rest,
        _ => line,
    };
    line.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// An ffmpeg that notes each run, and whose hardware encoders do as `hardware` says.
    fn ffmpeg(dir: &Path, hardware: &str) -> std::path::PathBuf {
        let path = dir.join("ffmpeg");
        let log = dir.join("runs");
        let script = format!(
            "#!/bin/sh\necho \"$CUDA_VISIBLE_DEVICES $*\" >>{}\ncase \"$*\" in *_nvenc*|*_vaapi*|*_qsv*) {hardware};; esac\n\
             exec ffmpeg \"$@\"\n",
            log.display()
        );
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn runs(dir: &Path) -> usize {
        let text = fs::read_to_string(dir.join("runs")).unwrap_or_default();
        text.lines().count()
    }

    #[tokio::test]
    async fn the_software_encoders_pass_and_the_second_time_nothing_is_run() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("trials.json");
        let spawner = Spawner::start(uuid::Uuid::new_v4()).unwrap();
        let ffmpeg = ffmpeg(dir.path(), "exit 1");
        let first = trials(&spawner, &ffmpeg, "v1", &[], &cache).await;
        let passed = first.passed_on(None);
        for encoder in [
            Encoder::Libx264,
            Encoder::Libx265,
            Encoder::LibvpxVp9,
            Encoder::Libsvtav1,
        ] {
            assert!(
                passed.contains_all(EncoderSet::of(encoder)),
                "{encoder:?} failed its trial"
            );
        }
        let before = runs(dir.path());
        assert_eq!(trials(&spawner, &ffmpeg, "v1", &[], &cache).await, first);
        assert_eq!(runs(dir.path()), before, "a trial was run for nothing");
        trials(&spawner, &ffmpeg, "v2", &[], &cache).await;
        assert!(runs(dir.path()) > before, "a new version was not tried");
    }

    #[tokio::test]
    async fn each_device_is_tried_by_itself_and_what_failed_says_why_and_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("trials.json");
        let spawner = Spawner::start(uuid::Uuid::new_v4()).unwrap();
        // The second GPU's driver has no AV1; everything else works.
        let ffmpeg = ffmpeg(
            dir.path(),
            "case \"$CUDA_VISIBLE_DEVICES $*\" in GPU-b*av1*) echo '[av1_nvenc @ 0x5] Codec not supported' >&2; exit 1;; *) exit 0;; esac",
        );
        let devices = [
            Device::Nvidia("GPU-a".into()),
            Device::Nvidia("GPU-b".into()),
        ];
        let first = trials(&spawner, &ffmpeg, "v1", &devices, &cache).await;
        let all = [Encoder::H264Nvenc, Encoder::HevcNvenc, Encoder::Av1Nvenc];
        assert_eq!(first.passed_on(Some(0)), all.into_iter().collect());
        assert_eq!(first.passed_on(Some(1)), all[..2].iter().copied().collect());
        let failed: Vec<Unavailable> = first.failed().collect();
        assert_eq!(
            failed,
            [Unavailable {
                encoder: Encoder::Av1Nvenc,
                gpu: Some(1),
                why: "Codec not supported".into()
            }]
        );
        let before = runs(dir.path());
        assert_eq!(
            trials(&spawner, &ffmpeg, "v1", &devices, &cache).await,
            first
        );
        assert_eq!(
            runs(dir.path()),
            before + 1,
            "only what failed is tried again"
        );
    }

    #[tokio::test]
    async fn a_software_encoder_that_failed_once_is_not_lost_for_good() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("trials.json");
        let spawner = Spawner::start(uuid::Uuid::new_v4()).unwrap();
        let busy = trials(&spawner, Path::new("/bin/false"), "v1", &[], &cache).await;
        assert_eq!(busy.passed_on(None), EncoderSet::default());
        let later = trials(&spawner, Path::new("/bin/true"), "v1", &[], &cache).await;
        assert!(
            later
                .passed_on(None)
                .contains_all(EncoderSet::of(Encoder::Libx264))
        );
        assert_eq!(later.failed().count(), 0);
    }

    #[test]
    fn the_first_line_is_the_cause_and_stands_without_its_address() {
        assert_eq!(
            why(
                "[AVHWDeviceContext @ 0x5581] No VA display found for device /dev/dri/renderD128.\nDevice creation failed: -22.\n"
            ),
            "No VA display found for device /dev/dri/renderD128."
        );
        assert_eq!(why("Unknown encoder 'x'"), "Unknown encoder 'x'");
        assert_eq!(why("\n"), "ffmpeg said nothing");
    }
}

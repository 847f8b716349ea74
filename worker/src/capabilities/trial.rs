//! Which encoders really work here, by encoding a few frames with each.
//!
//! A name in `ffmpeg -encoders` proves nothing: distributions list NVENC on machines without a GPU. The answer is kept
//! in the state directory and asked again only when something it rests on changed, so that a restart is instant.

use std::{fs, os::unix::fs::MetadataExt, path::Path, process::Command, time::Duration};

use ffrtmp_api::encoder::{Encoder, EncoderSet};
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};

use crate::{
    ffmpeg::{capture::capture, command::trial_arguments, spawner::Spawner},
    node::state_dir::write_whole,
};

/// Longest trial. Encoding five small frames takes under a second; a driver that hangs is found here, not by a job.
const TRIAL_TIMEOUT: Duration = Duration::from_secs(20);
/// Trials at once.
const TRIALS_AT_ONCE: usize = 4;

/// What the answer rests on. Any difference means asking again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Ground {
    ffmpeg: String,
    size: u64,
    modified_ns: i128,
    version: String,
    devices: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    ground: Ground,
    encoders: EncoderSet,
}

/// The encoders that work. `version` is what `ffmpeg -version` printed; `cache` is where the answer is kept.
pub(crate) async fn encoders(
    spawner: &Spawner,
    ffmpeg: &Path,
    version: &str,
    gpus: usize,
    cache: &Path,
) -> EncoderSet {
    let devices = devices(gpus);
    let metadata = fs::metadata(ffmpeg).ok();
    let ground = Ground {
        ffmpeg: ffmpeg.to_string_lossy().into_owned(),
        size: metadata.as_ref().map_or(0, MetadataExt::size),
        modified_ns: metadata.as_ref().map_or(0, |m| {
            i128::from(m.mtime()) * 1_000_000_000 + i128::from(m.mtime_nsec())
        }),
        version: version.to_owned(),
        devices,
    };
    let kept = fs::read(cache)
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok());
    if let Some(kept) = kept.filter(|kept| kept.ground == ground) {
        tracing::debug!("encoders are known from an earlier start");
        return kept.encoders;
    }
    let candidates = Encoder::ALL
        .into_iter()
        .filter(|encoder| is_worth_trying(*encoder, &ground.devices));
    let passed: Vec<Option<Encoder>> = stream::iter(candidates)
        .map(|encoder| async move { passes(spawner, ffmpeg, encoder).await.then_some(encoder) })
        .buffer_unordered(TRIALS_AT_ONCE)
        .collect()
        .await;
    let encoders: EncoderSet = passed.into_iter().flatten().collect();
    let names: Vec<&str> = encoders.iter().map(Encoder::name).collect();
    tracing::info!(encoders = names.join(","), "encoders that passed a trial");
    let kept = Kept { ground, encoders };
    if let Err(error) = serde_json::to_vec(&kept)
        .map_err(Into::into)
        .and_then(|json| write_whole(cache, &json, false))
    {
        tracing::warn!(%error, "the trials' outcome cannot be kept; the next start tries again");
    }
    encoders
}

async fn passes(spawner: &Spawner, ffmpeg: &Path, encoder: Encoder) -> bool {
    let mut command = Command::new(ffmpeg);
    command.args(trial_arguments(encoder)).current_dir("/");
    match capture(spawner, command, TRIAL_TIMEOUT).await {
        Ok(trial) if trial.exit.status.success() => true,
        Ok(trial) => {
            tracing::info!(
                encoder = encoder.name(),
                why = trial.last_words(),
                "encoder unavailable"
            );
            false
        }
        Err(error) => {
            tracing::info!(encoder = encoder.name(), why = %error, "encoder unavailable");
            false
        }
    }
}

fn is_worth_trying(encoder: Encoder, devices: &[String]) -> bool {
    let has = |prefix: &str| devices.iter().any(|device| device.starts_with(prefix));
    match encoder {
        Encoder::Libx264 | Encoder::Libx265 | Encoder::LibvpxVp9 | Encoder::Libsvtav1 => true,
        Encoder::H264Nvenc | Encoder::HevcNvenc | Encoder::Av1Nvenc => has("nvidia"),
        Encoder::H264Vaapi
        | Encoder::HevcVaapi
        | Encoder::Av1Vaapi
        | Encoder::H264Qsv
        | Encoder::HevcQsv
        | Encoder::Av1Qsv => has("renderD"),
    }
}

/// The devices a hardware encoder could use, by name.
fn devices(nvml_gpus: usize) -> Vec<String> {
    let names = |dir: &str| {
        fs::read_dir(dir)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect::<Vec<_>>()
    };
    let mut devices: Vec<String> = (0..nvml_gpus)
        .map(|index| format!("nvidia-nvml{index}"))
        .collect();
    devices.extend(names("/dev").into_iter().filter(|name| {
        name.strip_prefix("nvidia")
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
    }));
    devices.extend(
        names("/dev/dri")
            .into_iter()
            .filter(|name| name.starts_with("renderD")),
    );
    devices.sort();
    devices
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, time::Instant};

    use super::*;

    #[tokio::test]
    async fn the_software_encoders_pass_and_the_second_time_nothing_is_run() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("trials.json");
        let spawner = Spawner::start(uuid::Uuid::new_v4()).unwrap();
        // A copy by script, so that it can be taken away to prove that it is not run.
        let ffmpeg = dir.path().join("ffmpeg");
        let log = dir.path().join("runs");
        fs::write(
            &ffmpeg,
            format!(
                "#!/bin/sh\necho run >>{}\nexec ffmpeg \"$@\"\n",
                log.display()
            ),
        )
        .unwrap();
        fs::set_permissions(&ffmpeg, fs::Permissions::from_mode(0o755)).unwrap();
        let first = encoders(&spawner, &ffmpeg, "v1", 0, &cache).await;
        for encoder in [
            Encoder::Libx264,
            Encoder::Libx265,
            Encoder::LibvpxVp9,
            Encoder::Libsvtav1,
        ] {
            assert!(
                first.contains_all(EncoderSet::of(encoder)),
                "{encoder:?} failed its trial"
            );
        }
        assert!(
            first.iter().all(|encoder| !encoder.is_hardware()) || Path::new("/dev/dri").exists()
        );
        let runs = fs::read_to_string(&log).unwrap();
        let started = Instant::now();
        assert_eq!(encoders(&spawner, &ffmpeg, "v1", 0, &cache).await, first);
        assert!(started.elapsed() < Duration::from_secs(1));
        assert_eq!(
            fs::read_to_string(&log).unwrap(),
            runs,
            "a trial was run though nothing changed"
        );
        encoders(&spawner, &ffmpeg, "v2", 0, &cache).await;
        assert!(
            fs::read_to_string(&log).unwrap().len() > runs.len(),
            "a new version was not tried"
        );
    }

    #[test]
    fn hardware_is_tried_only_where_a_device_is() {
        assert!(!is_worth_trying(Encoder::H264Nvenc, &[]));
        assert!(is_worth_trying(Encoder::H264Nvenc, &["nvidia0".into()]));
        assert!(!is_worth_trying(Encoder::HevcVaapi, &["nvidia0".into()]));
        assert!(is_worth_trying(Encoder::HevcVaapi, &["renderD128".into()]));
    }
}

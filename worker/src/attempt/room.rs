//! Whether a disk has room for what an encode will write, before it is begun: a disk that fills up half way costs hours of
//! work, and those of everything else that writes there.
//!
//! What will be written is an estimate, so this only keeps apart what clearly fits from what clearly does not; a disk that runs full
//! all the same is told by ffmpeg. Encodes of this worker on one disk are counted together: each holds a claim until it ends.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ffrtmp_api::{
    job::FailureReason,
    settings::{Output, RateControl, Settings, Size, Video},
};
use rustix::fs::statvfs;
use tokio::time::{Instant, sleep};

use super::prepare::{Inspected, blocking};
use crate::ffmpeg::diagnosis::Failure;

/// What stays free on every disk, at most: logs and databases live there too. Of a small one, a fiftieth.
const RESERVE_BYTES: u64 = 64 << 20;
/// How long room that other encodes of this worker hold is waited for; then the job is better off elsewhere.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Bits that a pixel takes at a constant quality, at most in practice: x264 at its default stays below half of it on footage.
const BITS_PER_PIXEL: f64 = 0.1;
/// Sound and container beside the pictures, bits per second.
const BESIDES: f64 = 200_000.0;
/// How far an average bitrate is missed.
const MARGIN: f64 = 1.1;
/// What an encode needs at least, and what is asked for where nothing better is known.
const BYTES_MIN: u64 = 1 << 20;
/// Of a re-encode at constant quality: more than this many times its input it seldom becomes.
const TIMES_INPUT: f64 = 2.0;

/// What this worker's encodes will write, by their temporary files.
#[derive(Debug, Default)]
pub(crate) struct Disks {
    claims: Mutex<BTreeMap<PathBuf, Claimed>>,
}

#[derive(Debug, Clone, Copy)]
struct Claimed {
    device: u64,
    bytes: u64,
}

/// Room held for one encode, until this is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    disks: Arc<Disks>,
    file: PathBuf,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.disks.lock().remove(&self.file);
    }
}

/// A disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Disk {
    free: u64,
    size: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Fits,
    Wait,
    Refuse,
}

impl Disks {
    /// Claims `bytes` of the disk that `file` will be on. Waits while other encodes of this worker hold what is missing.
    ///
    /// # Errors
    /// `resource_error` when there is not enough and nothing to wait for, or the wait was too long.
    pub(crate) async fn claim(self: &Arc<Self>, file: &Path, bytes: u64) -> Result<Claim, Failure> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (disks, path) = (Arc::clone(self), file.to_owned());
            let looked = blocking(move || Ok(disks.look(&path, bytes))).await?;
            let (verdict, disk, others) = match looked {
                Ok(looked) => looked,
                // Nothing is known of the disk; making the file will tell what is wrong with it.
                Err(error) => {
                    tracing::debug!(file = %file.display(), %error, "the disk cannot be measured");
                    (Verdict::Fits, Disk { free: 0, size: 0 }, 0)
                }
            };
            match verdict {
                Verdict::Fits => {
                    return Ok(Claim {
                        disks: Arc::clone(self),
                        file: file.to_owned(),
                    });
                }
                Verdict::Wait if Instant::now() < deadline => sleep(LOOK_EVERY).await,
                _ => return Err(refusal(file, bytes, disk, others)),
            }
        }
    }

    /// Looks at the disk and, if there is room, takes it. Blocks on the file system.
    fn look(&self, file: &Path, bytes: u64) -> io::Result<(Verdict, Disk, u64)> {
        let dir = file.parent().unwrap_or(Path::new("/"));
        let device = fs::metadata(dir)?.dev();
        let stat = statvfs(dir)?;
        let disk = Disk {
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
            size: stat.f_blocks.saturating_mul(stat.f_frsize),
        };
        let mut claims = self.lock();
        let others = claims
            .iter()
            .filter(|(other, claim)| claim.device == device && *other != file)
            .map(|(other, claim)| {
                let written = fs::metadata(other).map_or(0, |m| m.blocks() * 512);
                claim.bytes.saturating_sub(written)
            })
            .sum();
        let verdict = judge(disk, others, bytes);
        if verdict == Verdict::Fits {
            claims.insert(file.to_owned(), Claimed { device, bytes });
        }
        Ok((verdict, disk, others))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<PathBuf, Claimed>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn judge(disk: Disk, others: u64, bytes: u64) -> Verdict {
    let reserve = RESERVE_BYTES.min(disk.size / 50);
    let free = disk.free.saturating_sub(reserve);
    if bytes <= free.saturating_sub(others) {
        Verdict::Fits
    } else if bytes <= free && others > 0 {
        Verdict::Wait
    } else {
        Verdict::Refuse
    }
}

fn refusal(file: &Path, bytes: u64, disk: Disk, others: u64) -> Failure {
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    let held = match others {
        0 => String::new(),
        others => format!(
            ", of which this worker's other jobs will fill about {} MiB",
            mib(others)
        ),
    };
    Failure::new(
        FailureReason::ResourceError,
        format!(
            "the output needs about {} MiB, and the disk of {} has {} MiB free of {}{held}; free some, or let it run elsewhere",
            mib(bytes),
            file.parent().unwrap_or(file).display(),
            mib(disk.free),
            mib(disk.size),
        ),
    )
}

/// About how many bytes an encode will write, as far as it can be told: by its bitrate, or by the file it is made from. What becomes
/// of a synthetic picture at constant quality cannot, and a guess would refuse jobs that fit.
pub(crate) fn expected_bytes(settings: &Settings, inspected: &Inspected) -> u64 {
    if let Some(Output::Push(_)) = settings.output {
        return 0; // it goes over the network
    }
    let bits = settings.video().zip(inspected.expected_seconds);
    let bits = bits.and_then(|(video, seconds)| match video.rate {
        _ if !video.ladder.is_empty() => {
            let rungs = video.ladder.iter();
            let rate: f64 = rungs.map(|rung| rung.bitrate as f64 + BESIDES).sum();
            Some(rate * MARGIN * seconds)
        }
        RateControl::Bitrate(bits) => Some((bits as f64 + BESIDES) * MARGIN * seconds),
        RateControl::Crf(_) => by_quality(video, inspected, seconds),
    });
    // `as` saturates and takes NaN to 0.
    ((bits.unwrap_or(0.0) / 8.0) as u64).max(BYTES_MIN)
}

/// The bits of so many seconds at constant quality: what its pixels take at most in practice, or what its input suggests.
fn by_quality(asked: &Video, inspected: &Inspected, seconds: f64) -> Option<f64> {
    let media = inspected.media.as_ref()?;
    let video = media.video.as_ref()?;
    let whole = media.duration_seconds.filter(|whole| *whole > 0.0)?;
    let aspect = f64::from(video.width) / f64::from(video.height.max(1));
    let (width, height) = match asked.size {
        // What is fitted into a box has at most its pixels.
        Some(Size::Exact { width, height } | Size::Fit { width, height }) => {
            (f64::from(width), f64::from(height))
        }
        Some(Size::Height(height)) => (f64::from(height) * aspect, f64::from(height)),
        Some(Size::Width(width)) => (f64::from(width), f64::from(width) / aspect.max(0.01)),
        None => (f64::from(video.width), f64::from(video.height)),
    };
    let pixels = width * height * asked.fps.unwrap_or(30.0);
    let by_pixels = (pixels * BITS_PER_PIXEL + BESIDES) * seconds;
    let share = (seconds / whole).min(1.0) * inspected.input_bytes as f64 * 8.0;
    Some(by_pixels.min(share * TIMES_INPUT))
}

#[cfg(test)]
mod tests {
    use ffrtmp_api::job::JobSpec;

    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn what_others_will_write_is_waited_for_and_what_cannot_fit_is_refused() {
        let disk = Disk {
            free: 1_000 * MIB,
            size: 100_000 * MIB,
        };
        assert_eq!(judge(disk, 0, 936 * MIB), Verdict::Fits);
        assert_eq!(judge(disk, 0, 937 * MIB), Verdict::Refuse, "the reserve");
        assert_eq!(judge(disk, 500 * MIB, 436 * MIB), Verdict::Fits);
        assert_eq!(judge(disk, 500 * MIB, 437 * MIB), Verdict::Wait);
        assert_eq!(judge(disk, 2_000 * MIB, MIB), Verdict::Wait);
        assert_eq!(judge(disk, 500 * MIB, 937 * MIB), Verdict::Refuse);
        let full = Disk { free: 0, ..disk };
        assert_eq!(judge(full, 0, BYTES_MIN), Verdict::Refuse);
    }

    #[test]
    fn the_estimate_follows_bitrate_and_length_or_pixels_and_never_far_beyond_the_input() {
        let spec = |edit: fn(&mut JobSpec)| {
            let mut spec = JobSpec::default();
            edit(&mut spec);
            Settings::resolve(&spec).unwrap()
        };
        let minute = Inspected {
            expected_seconds: Some(60.0),
            ..Inspected::default()
        };
        let by_rate = spec(|spec| spec.bitrate = Some("8M".into()));
        assert_eq!(expected_bytes(&by_rate, &minute), 67_650_000);
        let by_quality = spec(|spec| (spec.size, spec.crf) = (Some("1920x1080".into()), Some(23)));
        let made_of = |input_bytes| Inspected {
            media: Some(crate::ffmpeg::probe::Media {
                duration_seconds: Some(120.0),
                video: Some(crate::ffmpeg::probe::Video::default()),
                ..Default::default()
            }),
            input_bytes,
            ..minute.clone()
        };
        let bytes = expected_bytes(&by_quality, &made_of(10_000_000_000));
        assert!((40_000_000..60_000_000).contains(&bytes), "{bytes}");
        assert_eq!(
            expected_bytes(&by_quality, &made_of(10_000_000)),
            10_000_000
        );
        // Nothing better is known.
        assert_eq!(expected_bytes(&by_quality, &minute), BYTES_MIN);
        assert_eq!(expected_bytes(&by_rate, &Inspected::default()), BYTES_MIN);
    }

    #[tokio::test]
    async fn a_claim_counts_until_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let disks = Arc::new(Disks::default());
        let stat = statvfs(dir.path()).unwrap();
        let half = stat.f_bavail * stat.f_frsize / 2;
        let first = disks.claim(&dir.path().join("a"), half).await.unwrap();
        let looked = disks.look(&dir.path().join("b"), half).unwrap();
        assert_eq!(looked.0, Verdict::Wait);
        drop(first);
        let second = disks.claim(&dir.path().join("b"), half).await;
        assert!(second.is_ok(), "{second:?}");
        let far_too_much = disks.claim(&dir.path().join("c"), half * 20).await;
        let failure = far_too_much.unwrap_err();
        assert_eq!(failure.reason, FailureReason::ResourceError);
        assert!(
            failure.message.contains("MiB free of"),
            "{}",
            failure.message
        );
    }
}

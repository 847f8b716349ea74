//! Whether a disk has room for what an encode will write, before it is begun: a disk that fills up half way costs hours of
//! work, and those of everything else that writes there.
//!
//! What will be written is an estimate, so this only keeps apart what clearly fits from what clearly does not; a disk that runs full
//! all the same is told by ffmpeg. Encodes of this worker on one disk are counted together: each holds a claim until it ends. A
//! recording writes twice, its parts in scratch and then what they are joined to, so it claims twice; how much is only known as it
//! goes where nobody said how long it is to be.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ffrtmp_api::{
    job::FailureReason,
    settings::{Audio, AudioCodec, Output, Pictures, RateControl, Settings, Size, Video},
};
use tokio::time::{Instant, sleep};

use super::prepare::{Inspected, blocking};
use crate::{
    disks::Disk,
    ffmpeg::{
        command::{Pass, passes},
        diagnosis::Failure,
    },
};

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
/// Of a channel that is not compressed, bits per second: 16 bits, 48,000 times.
const SAMPLES_BITS: f64 = 768_000.0;
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

#[derive(Debug, Clone)]
struct Claimed {
    device: u64,
    want: Want,
}

/// Something that will be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Want {
    /// The file, or the folder of files.
    pub(crate) at: PathBuf,
    /// About how many bytes it will become.
    pub(crate) bytes: u64,
    /// A folder whose files will all be copied into it: so large it becomes, too.
    pub(crate) copy_of: Option<PathBuf>,
}

impl Want {
    /// How much of it is not there yet.
    fn left(&self) -> u64 {
        let copied = self.copy_of.as_deref().map_or(0, written);
        self.bytes.max(copied).saturating_sub(written(&self.at))
    }
}

/// What a file, or the files of a folder, take of their disk; 0 of what is not there.
fn written(path: &Path) -> u64 {
    let of = |metadata: fs::Metadata| metadata.blocks() * 512;
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            entries
                .filter_map(|entry| entry.metadata().ok())
                .map(of)
                .sum()
        }
        Ok(metadata) => of(metadata),
        Err(_) => 0,
    }
}

/// Room held for one encode, until this is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    disks: Arc<Disks>,
    wants: Vec<Want>,
}

impl Claim {
    /// Waits, as long as a claim is waited for, until what is left of it fits: it may have become more than was claimed. Answers with what
    /// is missing if it does not.
    pub(crate) async fn again(&self) -> Result<(), Failure> {
        // The same files, so what was claimed before is not counted beside it, and stays claimed if this fails.
        let wants = self.wants.clone();
        self.disks.wait(&wants).await
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut claims = self.disks.lock();
        for want in &self.wants {
            claims.remove(&want.at);
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Judgement {
    Fits,
    Wait,
    Refuse,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Fits,
    Wait(Short),
    Refuse(Short),
}

/// A disk, and what of it is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Short {
    /// Where it is written.
    dir: PathBuf,
    disk: Disk,
    /// What is still to be written there for the encode in question.
    bytes: u64,
    /// And for the others.
    others: u64,
}

impl Disks {
    /// Claims room for all that one encode writes. Waits while other encodes of this worker hold what is missing.
    ///
    /// # Errors
    /// `resource_error` when there is not enough and nothing to wait for, or the wait was too long.
    pub(crate) async fn claim(self: &Arc<Self>, wants: Vec<Want>) -> Result<Claim, Failure> {
        // Made before, so that what is claimed is let go however this ends.
        let claim = Claim {
            disks: Arc::clone(self),
            wants,
        };
        self.wait(&claim.wants).await?;
        Ok(claim)
    }

    async fn wait(self: &Arc<Self>, wants: &[Want]) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (disks, wanted) = (Arc::clone(self), wants.to_vec());
            let looked = blocking(move || Ok(disks.look(&wanted))).await?;
            match looked {
                Ok(Verdict::Fits) => return Ok(()),
                // Nothing is known of the disk; making the file will tell what is wrong with it.
                Err(error) => {
                    tracing::debug!(?wants, %error, "the disk cannot be measured");
                    return Ok(());
                }
                Ok(Verdict::Wait(_)) if Instant::now() < deadline => sleep(LOOK_EVERY).await,
                Ok(Verdict::Wait(short) | Verdict::Refuse(short)) => return Err(short.refusal()),
            }
        }
    }

    /// Looks at every disk there is something to write on and, if all have room, takes it. Blocks on the file system.
    fn look(&self, wants: &[Want]) -> io::Result<Verdict> {
        let mut by_device: BTreeMap<u64, Short> = BTreeMap::new();
        for want in wants {
            let dir = want.at.parent().unwrap_or(Path::new("/"));
            let short = match by_device.entry(fs::metadata(dir)?.dev()) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(Short::of(dir)?),
            };
            short.bytes = short.bytes.saturating_add(want.left());
        }
        let mut claims = self.lock();
        let mut verdict = Verdict::Fits;
        for (device, mut short) in by_device.clone() {
            let others = claims.values().filter(|claim| {
                claim.device == device && !wants.iter().any(|want| want.at == claim.want.at)
            });
            short.others = others.map(|claim| claim.want.left()).sum();
            match judge(short.disk, short.others, short.bytes) {
                Judgement::Fits => {}
                Judgement::Refuse => return Ok(Verdict::Refuse(short)),
                Judgement::Wait => verdict = Verdict::Wait(short),
            }
        }
        if verdict == Verdict::Fits {
            for want in wants {
                let dir = want.at.parent().unwrap_or(Path::new("/"));
                let device = fs::metadata(dir)?.dev();
                let want = want.clone();
                claims.insert(want.at.clone(), Claimed { device, want });
            }
        }
        Ok(verdict)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<PathBuf, Claimed>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is to stay free on a disk of this size.
fn reserve(size: u64) -> u64 {
    RESERVE_BYTES.min(size / 50)
}

fn judge(disk: Disk, others: u64, bytes: u64) -> Judgement {
    let free = disk.free.saturating_sub(reserve(disk.size));
    if bytes <= free.saturating_sub(others) {
        Judgement::Fits
    } else if bytes <= free && others > 0 {
        Judgement::Wait
    } else {
        Judgement::Refuse
    }
}

impl Short {
    fn of(dir: &Path) -> io::Result<Short> {
        Ok(Short {
            dir: dir.to_owned(),
            disk: Disk::of(dir)?,
            bytes: 0,
            others: 0,
        })
    }

    fn refusal(&self) -> Failure {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let held = match self.others {
            0 => String::new(),
            others => format!(
                ", of which this worker's other jobs will fill about {} MiB",
                mib(others)
            ),
        };
        Failure::new(
            FailureReason::ResourceError,
            format!(
                "the output needs about {} MiB, and the disk of {} has {} MiB free of {}, where {} are to stay free{held}; free some, or let it run elsewhere",
                mib(self.bytes),
                self.dir.display(),
                mib(self.disk.free),
                mib(self.disk.size),
                mib(reserve(self.disk.size)),
            ),
        )
    }
}

/// What an encode will write: its output at `temp` and, if it is recorded, the parts of it in `work` before.
pub(crate) fn wants(
    settings: &Settings,
    inspected: &Inspected,
    temp: &Path,
    work: &Path,
) -> Vec<Want> {
    let bytes = expected_bytes(settings, inspected);
    let output = |copy_of| Want {
        at: temp.to_owned(),
        bytes,
        copy_of,
    };
    if passes(settings).contains(&Pass::Record) {
        let parts = Want {
            at: work.to_owned(),
            bytes,
            copy_of: None,
        };
        vec![output(Some(work.to_owned())), parts]
    } else {
        vec![output(None)]
    }
}

/// About how many bytes an encode will write, as far as it can be told: by its bitrate, or by the file it is made from. What becomes
/// of a synthetic picture at constant quality cannot, and a guess would refuse jobs that fit.
fn expected_bytes(settings: &Settings, inspected: &Inspected) -> u64 {
    if let Some(Output::Push(_)) = settings.output {
        return 0; // it goes over the network
    }
    let bits = inspected
        .expected_seconds
        .and_then(|seconds| match &settings.pictures {
            Pictures::Video(video) => by_rate(video, inspected, seconds),
            Pictures::Copy => Some(share(inspected, seconds)? * MARGIN),
            Pictures::None => of_sound(settings.audio.as_ref()?, inspected, seconds),
            Pictures::Still(_) => None,
        });
    // `as` saturates and takes NaN to 0.
    ((bits.unwrap_or(0.0) / 8.0) as u64).max(BYTES_MIN)
}

fn by_rate(video: &Video, inspected: &Inspected, seconds: f64) -> Option<f64> {
    match video.rate {
        _ if !video.ladder.is_empty() => {
            let rungs = video.ladder.iter();
            let rate: f64 = rungs.map(|rung| rung.bitrate as f64 + BESIDES).sum();
            Some(rate * MARGIN * seconds)
        }
        RateControl::Bitrate(bits) => Some((bits as f64 + BESIDES) * MARGIN * seconds),
        RateControl::Crf(_) => by_quality(video, inspected, seconds),
    }
}

/// The bits of so many seconds of sound alone.
fn of_sound(audio: &Audio, inspected: &Inspected, seconds: f64) -> Option<f64> {
    let channels = audio.channels.or_else(|| {
        let has = inspected.media.as_ref()?.audio.as_ref()?;
        Some(has.channels)
    });
    if let Some(bits) = audio.bitrate {
        return Some(bits as f64 * MARGIN * seconds);
    }
    // As many bits as there are samples: FLAC takes about half of that.
    let samples = f64::from(channels?) * SAMPLES_BITS * seconds;
    match audio.codec {
        // It takes no more than it does there, beside pictures that are left out.
        AudioCodec::Copy => Some(share(inspected, seconds)?.min(samples) * MARGIN),
        _ => Some(samples),
    }
}

/// The bits that so many seconds take in the input, where its size is known.
fn share(inspected: &Inspected, seconds: f64) -> Option<f64> {
    let whole = inspected.media.as_ref()?.duration_seconds;
    let whole = whole.filter(|whole| *whole > 0.0)?;
    let bits = inspected.input_bytes as f64 * 8.0;
    Some((seconds / whole).min(1.0) * bits).filter(|bits| *bits > 0.0)
}

/// The bits of so many seconds at constant quality: what its pixels take at most in practice, or what its input suggests.
fn by_quality(asked: &Video, inspected: &Inspected, seconds: f64) -> Option<f64> {
    let media = inspected.media.as_ref()?;
    let video = media.video.as_ref()?;
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
    // Of what comes from an address, the size is not known.
    Some(share(inspected, seconds).map_or(by_pixels, |bits| by_pixels.min(bits * TIMES_INPUT)))
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
        assert_eq!(judge(disk, 0, 936 * MIB), Judgement::Fits);
        assert_eq!(judge(disk, 0, 937 * MIB), Judgement::Refuse, "the reserve");
        assert_eq!(judge(disk, 500 * MIB, 436 * MIB), Judgement::Fits);
        assert_eq!(judge(disk, 500 * MIB, 437 * MIB), Judgement::Wait);
        assert_eq!(judge(disk, 2_000 * MIB, MIB), Judgement::Wait);
        assert_eq!(judge(disk, 500 * MIB, 937 * MIB), Judgement::Refuse);
        let full = Disk { free: 0, ..disk };
        assert_eq!(judge(full, 0, BYTES_MIN), Judgement::Refuse);
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
        // From an address: its pixels alone.
        assert_eq!(expected_bytes(&by_quality, &made_of(0)), bytes);
        let copy = spec(|spec| {
            (spec.input, spec.output) = (Some("/a.mkv".into()), Some("/b.mkv".into()));
            (spec.codec, spec.audio) = (Some("copy".into()), Some("copy".into()));
        });
        assert_eq!(
            expected_bytes(&copy, &made_of(10_000_000_000)),
            5_500_000_000
        );
        let sound = |codec: &str| {
            Settings::resolve(&JobSpec {
                input: Some("/a.mkv".into()),
                output: Some("/b.mkv".into()),
                codec: Some("none".into()),
                audio: Some(codec.into()),
                audio_channels: (codec != "copy").then_some(2),
                ..JobSpec::default()
            })
            .unwrap()
        };
        assert_eq!(expected_bytes(&sound("flac"), &minute), 11_520_000);
        let mut film = made_of(10_000_000_000);
        let stereo = crate::ffmpeg::probe::Sound {
            channels: 2,
            ..Default::default()
        };
        film.media.as_mut().unwrap().audio = Some(stereo);
        assert_eq!(expected_bytes(&sound("copy"), &film), 12_672_000);
        // Nothing better is known.
        assert_eq!(expected_bytes(&by_quality, &minute), BYTES_MIN);
        assert_eq!(expected_bytes(&by_rate, &Inspected::default()), BYTES_MIN);
    }

    fn want(at: PathBuf, bytes: u64) -> Want {
        Want {
            at,
            bytes,
            copy_of: None,
        }
    }

    #[tokio::test]
    async fn a_claim_counts_until_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str, bytes| vec![want(dir.path().join(name), bytes)];
        let disks = Arc::new(Disks::default());
        let half = Disk::of(dir.path()).unwrap().free / 2;
        let first = disks.claim(at("a", half)).await.unwrap();
        let looked = disks.look(&at("b", half)).unwrap();
        assert!(matches!(looked, Verdict::Wait(_)), "{looked:?}");
        drop(first);
        let second = disks.claim(at("b", half)).await;
        assert!(second.is_ok(), "{second:?}");
        let far_too_much = disks.claim(at("c", half * 20)).await;
        let failure = far_too_much.unwrap_err();
        assert_eq!(failure.reason, FailureReason::ResourceError);
        assert!(
            failure.message.contains("MiB free of"),
            "{}",
            failure.message
        );
    }

    #[test]
    fn a_recording_takes_its_room_twice() {
        let settings = Settings::resolve(&JobSpec {
            input: Some("rtmp://h/live/k".into()),
            output: Some("/media/a.mp4".into()),
            bitrate: Some("8M".into()),
            duration_seconds: Some(60.0),
            ..JobSpec::default()
        })
        .unwrap();
        let minute = Inspected {
            expected_seconds: Some(60.0),
            ..Inspected::default()
        };
        let (temp, work) = (Path::new("/media/.a.part"), Path::new("/scratch/1.1.work"));
        let found = wants(&settings, &minute, temp, work);
        assert_eq!(found.len(), 2);
        assert!(
            found.iter().all(|want| want.bytes == 67_650_000),
            "{found:?}"
        );
        let push = Settings {
            output: Some(Output::Push(
                "rtmp://h/live/out".to_owned().try_into().unwrap(),
            )),
            ..settings
        };
        assert_eq!(wants(&push, &minute, temp, work), [want(temp.into(), 0)]);
    }

    #[test]
    fn what_a_recording_of_unknown_length_has_taken_is_wanted_once_more() {
        let dir = tempfile::tempdir().unwrap();
        let (temp, work) = (dir.path().join("out"), dir.path().join("work"));
        fs::create_dir(&work).unwrap();
        let joined = Want {
            at: temp.clone(),
            bytes: BYTES_MIN,
            copy_of: Some(work.clone()),
        };
        assert_eq!(joined.left(), BYTES_MIN, "nothing is there yet");
        fs::write(work.join("part_00001.mkv"), vec![1; 3 << 20]).unwrap();
        fs::write(work.join("part_00002.mkv"), vec![1; 2 << 20]).unwrap();
        let left = joined.left();
        assert!((5 * MIB..6 * MIB).contains(&left), "{left}");
        fs::write(&temp, vec![1; 4 << 20]).unwrap();
        let left = joined.left();
        assert!((MIB..2 * MIB).contains(&left), "{left}");
        // Its parts are there and take no more.
        assert_eq!(want(work, BYTES_MIN).left(), 0);
    }
}

//! What is checked and made before ffmpeg is spawned, so that what cannot work fails at once with a message that names
//! the path.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use ffrtmp_api::{
    ids::Attempt,
    job::FailureReason,
    protocol::Assignment,
    settings::{Container, Output, Pictures, Settings, Source, Subtitles},
};

use super::{bench::Bench, folder};
use crate::{
    ffmpeg::{
        command::copies_sound,
        diagnosis::{Failure, advised},
        probe::{Caption, Media, ProbeError, check_input, expected_seconds, probe},
        reach::Reach,
    },
    node::reap::remove_quietly,
    sandbox::{Grant, Needs, Network, User, acting},
};

/// Longest file name most Linux file systems take, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// What is known of the input.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inspected {
    /// What ffprobe said; none for a synthetic source.
    pub(crate) media: Option<Media>,
    /// Its size; 0 for a synthetic source.
    pub(crate) input_bytes: u64,
    /// How long the output should become, where it can be told.
    pub(crate) expected_seconds: Option<f64>,
    /// The file that was looked at, where it is one: no other is read.
    pub(crate) file: Option<Arc<Grant>>,
}

/// Looks at the input and at the place of the output. Changes nothing.
pub(crate) async fn inspect(bench: &Bench, order: &Assignment) -> Result<Inspected, Failure> {
    let (settings, guard) = (&order.settings, &bench.guard);
    guard.takes(&settings.raw)?;
    can_compare(bench, settings).await?;
    match settings.output.clone() {
        Some(Output::File(output)) => {
            let overwrite = settings.overwrite;
            as_user(bench, move || check_output(Path::new(&output), overwrite)).await?;
        }
        Some(Output::Folder { path, index }) => {
            let (overwrite, attempt) = (settings.overwrite, order.attempt);
            let check = move || folder::check(Path::new(&path), &index, overwrite, attempt);
            as_user(bench, check).await?;
        }
        Some(Output::Put(address) | Output::Push(address)) => guard.allowed(&address).await?,
        Some(Output::Spool(_)) | None => {}
    }
    let (reach, input_bytes, file) = match &settings.source {
        Source::File(path) => {
            let path = Path::new(path);
            let (input_bytes, file) = open_input(bench, path).await?;
            if let Some(Output::File(output)) = settings.output.clone() {
                let path = path.to_owned();
                as_user(bench, move || check_distinct(&path, Path::new(&output))).await?;
            }
            (Reach::File(path), input_bytes, Some(Arc::new(file)))
        }
        Source::Url(address) => {
            guard.allowed(address).await?;
            if address.scheme().is_live() {
                // A stream is not asked twice: some senders serve one listener, once.
                return Ok(Inspected {
                    expected_seconds: settings.duration_seconds,
                    ..Inspected::default()
                });
            }
            (Reach::Url(address, &bench.trust), 0, None)
        }
        Source::Upload(_) | Source::Synthetic => {
            return Ok(Inspected {
                expected_seconds: settings.duration_seconds,
                ..Inspected::default()
            });
        }
    };
    let bad = |what: String| {
        Failure::new(
            FailureReason::InputError,
            format!("input {}: {what}", reach.shown()),
        )
    };
    let spawner = bench.spawner.needing(Needs {
        reads: file.iter().cloned().collect(),
        network: Network::of(settings, bench.spawner.proxy_port()),
        ..Needs::default()
    });
    let media = probe(&spawner, &bench.programs, reach, false, bench.probe_timeout)
        .await
        .map_err(|error| match (error, reach) {
            (ProbeError::NotMedia { said, known }, _) => unreadable(reach, &said, known),
            (ProbeError::Run(error), _) if error.kind() == io::ErrorKind::TimedOut => Failure::new(
                FailureReason::Timeout,
                format!("input {}: ffprobe gave {error}", reach.shown()),
            ),
            (ProbeError::Run(error), _) => Failure::new(
                FailureReason::PlatformError,
                format!("ffprobe cannot be run here: {error}"),
            ),
        })?;
    has_what_is_needed(&media, settings).map_err(bad)?;
    can_be_copied(&media, settings)?;
    let media = from_start(media, settings).map_err(bad)?;
    let expected_seconds = expected_seconds(media.ends(settings), settings);
    let still_of_all =
        matches!(&settings.pictures, Pictures::Still(still) if still.sheet.is_some());
    if still_of_all && expected_seconds.is_none() {
        return Err(bad(
            "does not tell how long it is, so pictures cannot be spread over it; name duration_seconds".into(),
        ));
    }
    Ok(Inspected {
        media: Some(media),
        input_bytes,
        expected_seconds,
        file,
    })
}

/// Looks at the input and keeps hold of it. Answers with its size.
async fn open_input(bench: &Bench, path: &Path) -> Result<(u64, Grant), Failure> {
    let to_open = path.to_owned();
    let opened = as_user(bench, move || {
        let bytes = check_input(&to_open)?;
        let file = Grant::of(&to_open).map_err(|error| {
            Failure::new(
                FailureReason::InputError,
                format!("input {}: {error}", to_open.display()),
            )
        })?;
        Ok((bytes, file))
    })
    .await?;
    // What the worker fetched is where no job may name a file itself.
    if !path.starts_with(&bench.scratch) {
        bench.guard.leads("input", path, &opened.1)?;
    }
    Ok(opened)
}

/// Whether this ffmpeg can make the comparison that the job asks for. SSIM and PSNR are part of every build.
async fn can_compare(bench: &Bench, settings: &Settings) -> Result<(), Failure> {
    if settings.quality.vmaf.is_none() {
        return Ok(());
    }
    match bench.programs.has_filter(&bench.spawner, "libvmaf").await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::new(
            FailureReason::CapabilityMismatch,
            "the job asks for a VMAF, and this worker's ffmpeg was built without libvmaf; another worker's may have it, or ask for \
             an SSIM or a PSNR",
        )),
        Err(error) => Err(Failure::new(
            FailureReason::PlatformError,
            format!("{} cannot be run: {error}", bench.programs.ffmpeg.display()),
        )),
    }
}

/// Whether the input holds what the job takes from it.
fn has_what_is_needed(media: &Media, settings: &Settings) -> Result<(), String> {
    if settings.pictures == Pictures::None {
        return match media.audio {
            Some(_) => Ok(()),
            None => Err(format!("holds no sound (it is {})", media.format)),
        };
    }
    if media.video.is_none() {
        return Err(format!("holds no video (it is {})", media.format));
    }
    let of_pictures = |captions: &[Caption]| captions.iter().find(|c| !c.is_text()).cloned();
    match settings.subtitles {
        Subtitles::None => Ok(()),
        Subtitles::Copy if settings.container == Container::Matroska => Ok(()),
        Subtitles::Copy => match of_pictures(&media.captions) {
            Some(caption) => Err(format!(
                "holds subtitles that are pictures ({}), which the output's container cannot hold; use .mkv, or leave them out",
                caption.codec
            )),
            None => Ok(()),
        },
        Subtitles::Burn => match media.captions.first() {
            None => Err("holds no subtitles to burn".into()),
            Some(first) if !first.is_text() => Err(format!(
                "its first subtitles are pictures ({}); only text is burned",
                first.codec
            )),
            Some(_) => Ok(()),
        },
    }
}

/// Whether what is copied as it is can be held by the output's container. ffmpeg would say so too, but in words that differ with every
/// muxer, and of some only by leaving it out.
fn can_be_copied(media: &Media, settings: &Settings) -> Result<(), Failure> {
    let container = settings.container;
    let Some((pictures, sound)) = held(container) else {
        return Ok(());
    };
    let copied = [
        (
            "pictures",
            media.video.as_ref().map(|video| &video.codec),
            settings.pictures == Pictures::Copy,
            pictures,
            "--codec",
        ),
        (
            "sound",
            media.audio.as_ref().map(|sound| &sound.codec),
            copies_sound(settings),
            sound,
            "--audio",
        ),
    ];
    for (what, codec, is_copied, held, flag) in copied {
        // What ffprobe has no name for, it may know by another one.
        let Some(codec) = codec.filter(|codec| is_copied && !codec.is_empty()) else {
            continue;
        };
        let holds = held.iter().any(|name| match name.strip_suffix('*') {
            Some(start) => codec.starts_with(start),
            None => codec == name,
        });
        if !holds {
            return Err(Failure::new(
                FailureReason::UserError,
                format!(
                    "the input's {what}, {codec}, cannot be copied into {}, which holds {}; name another output, or \
                     what to make of it with {flag}",
                    container.ffmpeg_name(),
                    held.join(", ").replace('*', "…")
                ),
            ));
        }
    }
    Ok(())
}

/// The pictures and the sound that a container holds, by ffprobe's names; `None` where it is nearly everything. From the tables of
/// ffmpeg's muxers (`movenc.c`, `matroskaenc.c`, `mpegtsenc.c`, `flvenc.c`, `oggenc.c`).
fn held(container: Container) -> Option<(&'static [&'static str], &'static [&'static str])> {
    Some(match container {
        Container::Webm => (&["vp8", "vp9", "av1"], &["opus", "vorbis"]),
        Container::Mpegts => (
            &[
                "h264",
                "hevc",
                "mpeg2video",
                "mpeg1video",
                "mpeg4",
                "vc1",
                "dirac",
                "cavs",
            ],
            &[
                "aac", "aac_latm", "mp3", "mp2", "ac3", "eac3", "dts", "truehd", "opus", "s302m",
            ],
        ),
        Container::Flv => (
            &["h264", "flv1", "vp6f", "vp6a"],
            &["aac", "mp3", "speex", "pcm_*", "adpcm_swf", "nellymoser"],
        ),
        Container::Mp3 => (&[], &["mp3"]),
        Container::Flac => (&[], &["flac"]),
        Container::Ogg => (&[], &["opus", "vorbis", "flac", "speex"]),
        Container::Wav => (&[], &["pcm_*", "adpcm_*", "mp3", "ac3", "mp2"]),
        Container::M4a => (&[], &["aac", "alac", "ac3", "eac3", "mp3"]),
        Container::Mp4
        | Container::Mov
        | Container::Matroska
        | Container::Hls
        | Container::Dash
        | Container::Jpeg
        | Container::Png => {
            return None;
        }
    })
}

/// An input that cannot be read. Of a file it is the file, unless the machine is known to be at fault; what an address gave, it or the
/// way to it may give better later, unless it is known that it stays away.
fn unreadable(reach: Reach<'_>, said: &str, known: Option<FailureReason>) -> Failure {
    let shown = reach.shown();
    if let Reach::Url(..) = reach {
        let reason = known.unwrap_or(FailureReason::NetworkError);
        return Failure::new(reason, advised(format!("input {shown}: {said}")));
    }
    let reason = known
        .filter(|reason| reason.is_retryable())
        .unwrap_or(FailureReason::InputError);
    // All that ffmpeg says where the kind of file is one that is not read.
    let said = match said {
        "Invalid argument" => {
            "it is of a kind that is not taken as a file, as lists of other files and single pictures are not"
        }
        said => said,
    };
    Failure::new(
        reason,
        format!("input {shown}: is not media that can be read: {said}"),
    )
}

/// Less than any frame or packet lasts, in seconds.
const INSTANT: f64 = 0.001;

/// What there is of an input where the job begins.
///
/// # Errors
/// When what the job is about has ended by then: ffmpeg would write a file without pictures, or without sound.
fn from_start(mut media: Media, settings: &Settings) -> Result<Media, String> {
    let Some(start) = settings.start_seconds.filter(|start| *start > 0.0) else {
        return Ok(media);
    };
    let whole = media.duration_seconds;
    let sound_ends = media
        .audio
        .as_ref()
        .and_then(|sound| sound.span.ends.or(whole));
    let pictures = media
        .video
        .as_ref()
        .filter(|_| settings.pictures != Pictures::None);
    let (what, last) = match pictures {
        // The last frame begins a frame before the end; what is copied may begin earlier than asked.
        Some(video) => {
            let frame = match settings.pictures {
                Pictures::Copy => None,
                _ => video.fps_top.map(f64::recip),
            };
            let end = video.span.ends.or(whole);
            (
                "pictures end",
                end.map(|end| end - frame.unwrap_or(INSTANT)),
            )
        }
        None => ("sound ends", sound_ends.map(|end| end - INSTANT)),
    };
    if let Some(last) = last
        && last < start
    {
        return Err(format!(
            "its {what} at {last:.2} s, and the job starts at {start:.2} s; start before its end"
        ));
    }
    if pictures.is_some() && sound_ends.is_some_and(|end| end <= start) {
        media.audio = None;
    }
    Ok(media)
}

/// The temporary file an attempt writes: beside the output, hidden, named after the attempt; or in scratch, where the
/// output is not kept or goes to the master.
pub(crate) fn target(settings: &Settings, attempt: Attempt, scratch: &Path) -> PathBuf {
    let output = match &settings.output {
        Some(Output::File(path) | Output::Folder { path, .. }) => Path::new(path),
        _ => return scratch.join(format!("{attempt}.{}", settings.container.ffmpeg_name())),
    };
    let tail = format!(".ffrtmp-{}-{}.part", attempt.job, attempt.no);
    let name = output.file_name().unwrap_or_default().to_string_lossy();
    let mut end = name.len().min(NAME_BYTES_MAX - 1 - tail.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    output.with_file_name(format!(".{}{tail}", name.get(..end).unwrap_or_default()))
}

/// Makes the empty temporary file, or folder, and keeps hold of it. What can be wrong with the directory shows here, not after the
/// encode.
pub(crate) async fn create_target(
    bench: &Bench,
    target: PathBuf,
    is_folder: bool,
) -> Result<Grant, Failure> {
    let (user, scratch, guard) = (
        bench.spawner.user(),
        bench.scratch.clone(),
        bench.guard.clone(),
    );
    blocking(move || {
        let user = user.as_deref();
        let made = make(&target, is_folder, &scratch, user)
            .and_then(|()| Grant::of_made(&target))
            .map_err(|error| cannot_write(&target, &error))?;
        if !target.starts_with(&scratch)
            && let Err(failure) = guard.leads("output", &target, &made)
        {
            unmake(&target, &scratch, user);
            return Err(failure);
        }
        Ok(made)
    })
    .await
}

/// Makes an empty file or folder for an encode, owned by whoever encodes. In scratch, where only the worker makes any, it is given
/// away; elsewhere it is made with that user's rights.
pub(super) fn make(
    target: &Path,
    is_folder: bool,
    scratch: &Path,
    user: Option<&User>,
) -> io::Result<()> {
    let make = || match is_folder {
        true => fs::create_dir(target),
        false => {
            let mut new = OpenOptions::new();
            new.write(true).create_new(true).open(target).map(|_| ())
        }
    };
    let make_anew = || {
        // What has this name can only be of this attempt; a symlink would lead ffmpeg elsewhere.
        remove_quietly(target);
        make()
    };
    match user {
        Some(user) if target.starts_with(scratch) => {
            make_anew()?;
            user.own(target)
        }
        user => acting(user, make_anew),
    }
}

/// Removes what [`make`] made, with the rights it was made with.
pub(crate) fn unmake(target: &Path, scratch: &Path, user: Option<&User>) {
    match target.starts_with(scratch) {
        true => remove_quietly(target),
        false => acting(user, || remove_quietly(target)),
    }
}

/// Whether the folder that `output` is to stand in is there.
pub(crate) fn check_directory(output: &Path) -> Result<(), Failure> {
    let fail = |what: &str| {
        Err(Failure::new(
            FailureReason::UserError,
            format!("output {}: {what}", output.display()),
        ))
    };
    let directory = output.parent().unwrap_or(Path::new("/"));
    match fs::metadata(directory) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => fail(&format!("{} is not a directory", directory.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => fail(&format!(
            "the directory {} does not exist on this worker; make it first",
            directory.display()
        )),
        Err(error) => fail(&format!("{}: {error}", directory.display())),
    }
}

fn check_output(output: &Path, overwrite: bool) -> Result<(), Failure> {
    let fail = |what: &str| {
        Err(Failure::new(
            FailureReason::UserError,
            format!("output {}: {what}", output.display()),
        ))
    };
    check_directory(output)?;
    match fs::symlink_metadata(output) {
        Ok(metadata) if metadata.is_dir() => fail("is a directory; name a file"),
        Ok(_) if !overwrite => {
            fail("exists already; name another, remove it, or allow it with overwrite")
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => fail(&error.to_string()),
    }
}

/// Whether the output is not the input by another name: through a link, or a path written differently.
fn check_distinct(input: &Path, output: &Path) -> Result<(), Failure> {
    let identity = |path: &Path| fs::metadata(path).map(|m| (m.dev(), m.ino()));
    match (identity(input), identity(output)) {
        (Ok(input), Ok(same)) if input == same => Err(Failure::new(
            FailureReason::UserError,
            format!(
                "output {} is the input itself; name another file",
                output.display()
            ),
        )),
        _ => Ok(()),
    }
}

pub(super) fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    let reason = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FailureReason::ResourceError,
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename => {
            FailureReason::UserError
        }
        // Permissions and mounts differ between workers: elsewhere it may work.
        _ => FailureReason::PlatformError,
    };
    Failure::new(
        reason,
        format!("{} cannot be written: {error}", path.display()),
    )
}

/// File system work on what a job names: with the rights of whoever encodes.
pub(crate) async fn as_user<T: Send + 'static>(
    bench: &Bench,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let user = bench.spawner.user();
    blocking(move || acting(user.as_deref(), work)).await
}

/// Runs file system work off the async threads: a network mount that hangs must not take heartbeats with it.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| {
            Err(Failure::new(
                FailureReason::PlatformError,
                format!("the worker failed at file system work: {error}"),
            ))
        })
}

#[cfg(test)]
mod tests {
    use ffrtmp_api::{
        ids::{AttemptNo, JobSeq},
        job::JobSpec,
    };

    use super::*;
    use crate::ffmpeg::probe::{Sound, Span, Video};

    fn target_of(output: Option<&str>) -> PathBuf {
        let spec = JobSpec {
            output: output.map(Into::into),
            ..JobSpec::default()
        };
        let attempt = Attempt {
            job: JobSeq(42),
            no: AttemptNo(1),
        };
        target(
            &Settings::resolve(&spec).unwrap(),
            attempt,
            Path::new("/scratch"),
        )
    }

    #[test]
    fn what_is_skipped_is_not_expected_in_the_output() {
        let settings = |start: Option<f64>, duration: Option<f64>| {
            Settings::resolve(&JobSpec {
                input: Some("/a.mp4".into()),
                start_seconds: start,
                duration_seconds: duration,
                ..JobSpec::default()
            })
            .unwrap()
        };
        for (has, start, duration, left) in [
            (Some(10.0), None, None, Some(10.0)),
            (Some(10.0), Some(4.0), None, Some(6.0)),
            (Some(10.0), Some(4.0), Some(2.0), Some(2.0)),
            (Some(10.0), Some(9.0), Some(2.0), Some(1.0)),
            (None, Some(4.0), None, None),
            (None, Some(4.0), Some(2.0), Some(2.0)),
        ] {
            assert_eq!(expected_seconds(has, &settings(start, duration)), left);
        }
    }

    #[test]
    fn a_job_begins_where_there_are_pictures_and_without_sound_where_that_has_ended() {
        let span = |ends: f64| Span {
            begins: 0.0,
            ends: Some(ends),
        };
        let media = Media {
            video: Some(Video {
                fps_top: Some(25.0),
                span: span(10.0),
                ..Video::default()
            }),
            audio: Some(Sound {
                span: span(5.0),
                ..Sound::default()
            }),
            ..Media::default()
        };
        let from = |start: f64, edit: fn(&mut JobSpec)| {
            let mut spec = JobSpec {
                input: Some("/a.mp4".into()),
                start_seconds: Some(start),
                ..JobSpec::default()
            };
            edit(&mut spec);
            from_start(media.clone(), &Settings::resolve(&spec).unwrap())
        };
        assert_eq!(from(4.0, |_| {}), Ok(media.clone()));
        assert_eq!(from(6.0, |_| {}).unwrap().audio, None);
        // The last frame is shown from 9.96 s on.
        assert!(from(9.96, |_| {}).is_ok());
        let error = from(9.97, |_| {}).unwrap_err();
        assert!(error.contains("pictures end at 9.96 s"), "{error}");
        let error = from(6.0, |s| s.output = Some("/b.mp3".into())).unwrap_err();
        assert!(error.contains("sound ends at 5.00 s"), "{error}");
    }

    #[test]
    fn the_temporary_file_is_hidden_beside_the_output() {
        assert_eq!(
            target_of(Some("/media/-y.mp4")),
            Path::new("/media/.-y.mp4.ffrtmp-42-1.part")
        );
        assert_eq!(target_of(None), Path::new("/scratch/42.1.matroska"));
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let output = format!("/media/{}.mp4", "ä".repeat(125));
        let name = target_of(Some(&output))
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        assert!(
            name.len() <= NAME_BYTES_MAX && name.ends_with(".ffrtmp-42-1.part"),
            "{name}"
        );
    }
}

//! What is checked and made before ffmpeg is spawned, so that what cannot work fails at once with a message that names
//! the path.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use ffrtmp_api::{
    ids::Attempt,
    job::FailureReason,
    settings::{Output, Settings, Source},
};

use crate::ffmpeg::{
    diagnosis::Failure,
    probe::{Media, ProbeError, check_input, probe},
    program::Programs,
    spawner::Spawner,
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
}

/// Looks at the input and at the place of the output. Changes nothing.
pub(crate) async fn inspect(
    spawner: &Spawner,
    programs: &Programs,
    settings: &Settings,
    timeout: Duration,
) -> Result<Inspected, Failure> {
    if let Some(Output::File(output)) = settings.output.clone() {
        let overwrite = settings.overwrite;
        blocking(move || check_output(Path::new(&output), overwrite)).await?;
    }
    let Source::File(path) = &settings.source else {
        return Ok(Inspected {
            expected_seconds: settings.duration_seconds,
            ..Inspected::default()
        });
    };
    let path = PathBuf::from(path);
    let to_check = path.clone();
    let input_bytes = blocking(move || check_input(&to_check)).await?;
    if let Some(Output::File(output)) = settings.output.clone() {
        let input = path.clone();
        blocking(move || check_distinct(&input, Path::new(&output))).await?;
    }
    let bad = |what: String| {
        Failure::new(
            FailureReason::InputError,
            format!("input {}: {what}", path.display()),
        )
    };
    let media = probe(spawner, programs, &path, false, timeout)
        .await
        .map_err(|error| match error {
            ProbeError::NotMedia(said) => bad(format!("is not media that can be read: {said}")),
            ProbeError::Run(error) if error.kind() == io::ErrorKind::TimedOut => Failure::new(
                FailureReason::Timeout,
                format!("input {}: ffprobe gave {error}", path.display()),
            ),
            ProbeError::Run(error) => Failure::new(
                FailureReason::PlatformError,
                format!("ffprobe cannot be run here: {error}"),
            ),
        })?;
    if media.video.is_none() {
        return Err(bad(format!("holds no video (it is {})", media.format)));
    }
    let expected_seconds = expected(media.duration_seconds, settings).map_err(bad)?;
    Ok(Inspected {
        media: Some(media),
        input_bytes,
        expected_seconds,
    })
}

/// How long the output should become, of an input that is `has` seconds long, where both can be told.
///
/// # Errors
/// When the job begins where the input has already ended: ffmpeg would write a file without pictures.
fn expected(has: Option<f64>, settings: &Settings) -> Result<Option<f64>, String> {
    let start = settings.start_seconds.unwrap_or(0.0);
    let left = match has {
        Some(has) if start > 0.0 && has <= start => {
            return Err(format!(
                "is {has:.2} s long, and the job starts at {start:.2} s; start before its end"
            ));
        }
        Some(has) => Some(has - start),
        None => None,
    };
    Ok(match (left, settings.duration_seconds) {
        (Some(left), Some(asked)) => Some(left.min(asked)),
        (left, asked) => left.or(asked),
    })
}

/// The temporary file an attempt writes: beside the output, hidden, named after the attempt; or in scratch, where the
/// output is not kept or goes to the master.
pub(crate) fn target(settings: &Settings, attempt: Attempt, scratch: &Path) -> PathBuf {
    let Some(Output::File(output)) = &settings.output else {
        return scratch.join(format!("{attempt}.{}", settings.container.ffmpeg_name()));
    };
    let output = Path::new(output);
    let tail = format!(".ffrtmp-{}-{}.part", attempt.job, attempt.no);
    let name = output.file_name().unwrap_or_default().to_string_lossy();
    let mut end = name.len().min(NAME_BYTES_MAX - 1 - tail.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    output.with_file_name(format!(".{}{tail}", name.get(..end).unwrap_or_default()))
}

/// Makes the empty temporary file. What can be wrong with the directory shows here, not after the encode.
pub(crate) async fn create_target(target: PathBuf) -> Result<(), Failure> {
    blocking(move || {
        // What has this name can only be of this attempt; a symlink would lead ffmpeg elsewhere.
        match fs::remove_file(&target) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(cannot_write(&target, &error));
            }
            _ => {}
        }
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&target)
            .map_err(|error| cannot_write(&target, &error))?;
        Ok(())
    })
    .await
}

fn check_output(output: &Path, overwrite: bool) -> Result<(), Failure> {
    let fail = |what: &str| {
        Err(Failure::new(
            FailureReason::UserError,
            format!("output {}: {what}", output.display()),
        ))
    };
    let directory = output.parent().unwrap_or(Path::new("/"));
    match fs::metadata(directory) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return fail(&format!("{} is not a directory", directory.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return fail(&format!(
                "the directory {} does not exist on this worker; make it first",
                directory.display()
            ));
        }
        Err(error) => return fail(&format!("{}: {error}", directory.display())),
    }
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

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
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
            assert_eq!(expected(has, &settings(start, duration)), Ok(left));
        }
        let error = expected(Some(10.0), &settings(Some(10.0), None)).unwrap_err();
        assert!(error.contains("10.00 s long"), "{error}");
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

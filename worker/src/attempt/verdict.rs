//! What became of an encode that ended well by its own word: its output is probed, held against what was asked for, synced and measured.

use std::{fs::File, io, path::Path};

use ffrtmp_api::{
    job::FailureReason,
    protocol::MediaResult,
    settings::{Container, Output, Pictures, Settings},
};

use super::{
    bench::Bench,
    folder,
    prepare::{Inspected, as_user, blocking},
    rates,
    runs::Spent,
};
use crate::{
    ffmpeg::{
        diagnosis::{Failure, damage},
        probe::{Media, ProbeError, probe},
        reach::Reach,
        verify::verify,
    },
    node::reap::remove_quietly,
};

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
pub(super) async fn measure(
    bench: &Bench,
    settings: &Settings,
    inspected: &Inspected,
    temp: &Path,
    spent: &Spent,
    log: &str,
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
    )
    .map_err(|failure| of_its_input(failure, log))?;
    let keep = matches!(settings.output, Some(Output::File(_) | Output::Put(_)));
    let is_folder = matches!(settings.output, Some(Output::Folder { .. }));
    // Several renditions have a playlist of playlists.
    if let Some(Output::Folder { index, .. }) = &settings.output
        && settings.container == Container::Hls
        && settings.video().is_some_and(|video| video.ladder.len() > 1)
        && settings.live.is_none()
    {
        let index = index.clone();
        let folder = temp.to_owned();
        // As the user that made it: whoever else wrote there could lead it elsewhere.
        as_user(bench, move || {
            rates::state(&folder, &index).map_err(|error| cannot_finish(&folder, &error))
        })
        .await?;
    }
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
        size().map_err(|error| cannot_finish(&path, &error))
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

/// Whose fault it is that an output lacks something: the input's, if ffmpeg found that cut off or damaged.
fn of_its_input(failure: Failure, log: &str) -> Failure {
    match damage(log) {
        Some(said) => Failure::new(
            FailureReason::InputError,
            format!("{}; of the input ffmpeg said: {said}", failure.message),
        ),
        None => failure,
    }
}

fn cannot_finish(path: &Path, error: &io::Error) -> Failure {
    Failure::new(
        FailureReason::ResourceError,
        format!("{} cannot be finished: {error}", path.display()),
    )
}

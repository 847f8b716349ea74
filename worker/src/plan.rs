//! What a worker would run for a job, to be shown without running it.

use std::path::Path;

use ffrtmp_api::settings::{Output, Settings};

use crate::{
    ffmpeg::{
        command::{Order, arguments, passes},
        hidden::Hidden,
    },
    trust::Trust,
};

/// The command lines of a job, in order, with `ffmpeg` in front and secrets of URLs hidden.
///
/// Nobody has looked at the input: which of its streams are used is told by kind here and by number when it runs, and a
/// length in seconds of key frames becomes one in frames then. The output is named as the job names it; a worker writes
/// beside it and renames.
pub fn commands(settings: &Settings) -> Vec<Vec<String>> {
    let target = match &settings.output {
        Some(Output::File(path)) => path.clone(),
        Some(Output::Spool(name)) => format!("/scratch/{name}"),
        _ => format!("/scratch/output.{}", settings.container.ffmpeg_name()),
    };
    let order = Order {
        settings,
        input: None,
        gpu: None,
        loudness: None,
        target: Path::new(&target),
        part: 1,
        trust: &Trust::default(),
    };
    let hidden = Hidden::of_job(settings);
    let line = |pass| {
        let words = arguments(pass, order);
        let words = words
            .iter()
            .map(|word| hidden.clean(&word.to_string_lossy()).into_owned());
        std::iter::once("ffmpeg".to_owned()).chain(words).collect()
    };
    passes(settings).into_iter().map(line).collect()
}

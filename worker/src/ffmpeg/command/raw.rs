//! Raw arguments of a job among the worker's own.
//!
//! Separate so that what wins is said once: filters are joined, the job's in front of ours, so that the output has the size and
//! rate that its fields say; parameters of libx265 are joined where two passes need their own. Of all else, the later of two
//! options counts for ffmpeg: in front of the input that is ours, in front of the output the job's.

use ffrtmp_api::settings::{Settings, raw::options};

use super::Args;

/// Filters for pictures.
pub(super) fn video_filters(settings: &Settings) -> Vec<String> {
    let given = options(&settings.raw.output);
    let filters = given.iter().filter(|option| option.is_video_filter());
    filters
        .filter_map(|option| option.value.map(str::to_owned))
        .collect()
}

/// Filters for sound.
pub(super) fn audio_filters(settings: &Settings) -> Vec<String> {
    let given = options(&settings.raw.output);
    let filters = given.iter().filter(|option| option.is_audio_filter());
    filters
        .filter_map(|option| option.value.map(str::to_owned))
        .collect()
}

/// Parameters of libx265, where they must be joined with ours.
pub(super) fn x265_params(settings: &Settings) -> Option<String> {
    let given = options(&settings.raw.output);
    let params = given.iter().filter(|option| is_x265_params(option.word));
    let params: Vec<&str> = params.filter_map(|option| option.value).collect();
    (!params.is_empty()).then(|| params.join(":"))
}

/// Adds what stands in front of the input.
pub(super) fn add_input(args: &mut Args, settings: &Settings) {
    for word in &settings.raw.input {
        args.one(word);
    }
}

/// Adds what stands in front of the output and is not joined with ours.
pub(super) fn add_output(args: &mut Args, settings: &Settings) {
    let two = settings.video().is_some_and(|video| video.two_pass);
    for option in options(&settings.raw.output) {
        let joined = option.is_video_filter()
            || option.is_audio_filter()
            || (two && is_x265_params(option.word));
        if !joined {
            args.one(option.word);
            if let Some(value) = option.value {
                args.one(value);
            }
        }
    }
}

fn is_x265_params(word: &str) -> bool {
    matches!(word, "-x265-params" | "-x265-params:v" | "-x265-params:v:0")
}

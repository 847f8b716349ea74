//! What is read, and which of its streams are used.

use std::path::Path;

use ffrtmp_api::settings::{Container, Output, Pictures, Settings, Size, Source, Subtitles};

use super::{Args, Order, copies_sound, raw};
use crate::ffmpeg::{probe::Caption, reach::Reach};

/// Picture of a synthetic source for which the job names no size.
const SYNTHETIC_SIZE: (u32, u32) = (1280, 720);
/// Frame rate of a synthetic source for which the job names none.
pub(super) const SYNTHETIC_FPS: f64 = 30.0;

/// How much before the place asked for an MPEG transport stream is taken up, in seconds: ffmpeg finds places in it by their times alone,
/// and may come out behind the key frame that the place depends on. More than the distance of key frames in anything broadcast, and than
/// the ten seconds that x264 makes of 25 frames a second by itself.
const LEAD_SECONDS: f64 = 15.0;

/// How much is read before the place where a job begins, for filters to cut off; 0 where ffmpeg finds it exactly, and where a stream is
/// copied or has subtitles, of which no filter can cut.
pub(super) fn lead_seconds(order: Order<'_>) -> f64 {
    let Order {
        settings, input, ..
    } = order;
    let copies = settings.pictures == Pictures::Copy
        || copies_sound(settings)
        || settings.subtitles != Subtitles::None;
    match (input, settings.start_seconds) {
        (Some(media), Some(start)) if media.format == "mpegts" && !copies => {
            start.min(LEAD_SECONDS)
        }
        _ => 0.0,
    }
}

/// The filters that cut off what is read before the place where a job begins. `kind` is `a` for sound, empty for pictures.
pub(super) fn cut(order: Order<'_>, kind: &str) -> Vec<String> {
    match lead_seconds(order) {
        0.0 => Vec::new(),
        lead => vec![
            format!("{kind}trim=start={lead:.6}"),
            format!("{kind}setpts=PTS-{lead:.6}/TB"),
        ],
    }
}

/// How the streams that are used are named to `-map`.
pub(super) struct Streams {
    /// The pictures.
    pub(super) pictures: String,
    /// The sound; `None` if there is none, or none is wanted.
    pub(super) sound: Option<String>,
    /// The first subtitles.
    pub(super) subtitles: String,
}

/// Adds the inputs.
pub(super) fn add(args: &mut Args, order: Order<'_>) -> Streams {
    let Order {
        settings, input, ..
    } = order;
    let wants_sound = settings.audio.is_some();
    let reach = match &settings.source {
        Source::Synthetic => return synthetic(args, settings),
        Source::File(path) => Reach::File(Path::new(path)),
        Source::Url(address) => Reach::Url(address, order.trust),
        // It was fetched and is a file by now. Were it not, ffmpeg would say that it has no such file.
        Source::Upload(_) => Reach::File(Path::new("/upload")),
    };
    if pushes(settings) {
        // A receiver plays as it gets; a file would be read as fast as the disk gives it.
        args.one("-re");
    }
    // First, so that what ours say of the input counts.
    raw::add_input(args, settings);
    args.0.extend(reach.options());
    if let Some(seconds) = settings.start_seconds {
        // Before `-i`: ffmpeg seeks to the key frame before it and decodes from there without keeping what comes
        // before the place asked for, so this is exact and needs no reading from the beginning.
        let from = seconds - lead_seconds(order);
        if from > 0.0 {
            args.pair("-ss", format!("{from:.6}"));
        }
    }
    args.one("-i");
    args.0.push(reach.url());
    match input {
        Some(media) => Streams {
            pictures: format!("0:{}", media.video.as_ref().map_or(0, |video| video.index)),
            sound: media
                .audio
                .as_ref()
                .filter(|_| wants_sound)
                .map(|sound| format!("0:{}", sound.index)),
            subtitles: format!("0:{}", media.captions.first().map_or(0, |c| c.index)),
        },
        // `V` is pictures without covers; `?` is "if there is any".
        None => Streams {
            pictures: "0:V:0".into(),
            sound: wants_sound.then(|| "0:a:0?".into()),
            subtitles: "0:s:0".into(),
        },
    }
}

/// Whether a source that is there at once is streamed out as it happens.
fn pushes(settings: &Settings) -> bool {
    let live = matches!(&settings.source, Source::Url(address) if address.scheme().is_live());
    matches!(settings.output, Some(Output::Push(_))) && !live
}

fn synthetic(args: &mut Args, settings: &Settings) -> Streams {
    let (size, fps) = match &settings.pictures {
        Pictures::Video(video) => match video.ladder.first() {
            Some(largest) => (Some(largest.size), video.fps),
            None => (video.size, video.fps),
        },
        Pictures::Still(still) => (still.size, None),
        Pictures::None | Pictures::Copy => (None, None),
    };
    let mut inputs = 0;
    if settings.pictures != Pictures::None {
        // 16:9, rounded to even.
        let (width, height) = match size {
            Some(Size::Exact { width, height } | Size::Fit { width, height }) => (width, height),
            Some(Size::Height(height)) => ((height * 16 / 9).next_multiple_of(2), height),
            Some(Size::Width(width)) => (width, (width * 9 / 16).next_multiple_of(2)),
            None => SYNTHETIC_SIZE,
        };
        let fps = fps.unwrap_or(SYNTHETIC_FPS);
        if pushes(settings) {
            args.one("-re");
        }
        args.pair("-f", "lavfi");
        args.pair("-i", format!("testsrc2=size={width}x{height}:rate={fps}"));
        inputs += 1;
    }
    let sound = settings.audio.is_some().then(|| {
        if pushes(settings) {
            args.one("-re");
        }
        args.pair("-f", "lavfi");
        args.pair("-i", "sine=frequency=440:sample_rate=48000");
        format!("{inputs}:a")
    });
    Streams {
        pictures: "0:v".into(),
        sound,
        subtitles: "0:s:0".into(),
    }
}

/// Adds the subtitles that are kept as streams, as what the container holds.
pub(super) fn add_subtitles(args: &mut Args, order: Order<'_>) {
    let Order {
        settings, input, ..
    } = order;
    if settings.subtitles != Subtitles::Copy {
        return args.one("-sn");
    }
    let captions: &[Caption] = input.map_or(&[], |media| &media.captions);
    let all_text = captions.iter().all(Caption::is_text);
    let codec = match settings.container {
        Container::Mp4 | Container::Mov => "mov_text",
        Container::Webm => "webvtt",
        // What .mp4 holds as text is not what .mkv does.
        _ if all_text && captions.iter().any(|c| c.codec == "mov_text") => "srt",
        _ => "copy",
    };
    match input {
        Some(_) => captions
            .iter()
            .for_each(|caption| args.pair("-map", format!("0:{}", caption.index))),
        None => args.pair("-map", "0:s?"),
    }
    args.pair("-c:s", codec);
    if !captions.is_empty()
        && let Some(filter) = cut_subtitles(settings, all_text && codec == "copy")
    {
        args.pair("-bsf:s", filter);
    }
}

/// The bitstream filter that keeps subtitles in the part of the input that is used. ffmpeg takes them up with the key frame before that
/// part, and gives them times before the beginning, where Matroska moves all the rest for them and MP4 shows them at once.
///
/// Where they are `exact`, copied text, one that is shown as the part begins or ends is cut to what is in it. Where they are made anew,
/// the filter does not know their clock: one shown as the part begins is left out, and one shown as it ends stays as long as it was.
fn cut_subtitles(settings: &Settings, exact: bool) -> Option<String> {
    let starts = settings.start_seconds.is_some_and(|start| start > 0.0);
    match (exact, settings.duration_seconds) {
        (true, Some(long)) => Some(format!(
            "noise=amount=0:drop='lte(pts+duration,0)+gte(pts,{long}/tb)',\
             setts=pts='max(PTS,0)':dts='max(PTS,0)':duration='min(DURATION+min(PTS,0),{long}/TB-max(PTS,0))'"
        )),
        (true, None) if starts => Some(
            "noise=amount=0:drop='lte(pts+duration,0)',\
             setts=pts='max(PTS,0)':dts='max(PTS,0)':duration='DURATION+min(PTS,0)'"
                .into(),
        ),
        (false, _) if starts => Some("noise=amount=0:drop='lt(pts,0)'".into()),
        _ => None,
    }
}

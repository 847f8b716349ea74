//! Outputs that are folders of segments: HLS and DASH, with one rendition or a ladder of them from one decode.

use ffrtmp_api::settings::{Codec, Container, RateControl, Rendition, Settings, Size, Video};

use super::{Args, FOLDER, Order, input::Streams, pictures};

/// The renditions that differ. One that is to fit into a size is never made larger than the input, so that of a small input several would
/// be the same picture at different rates: of those the last is made, the smallest that still holds the input whole.
pub(crate) fn without_twins(
    ladder: &[Rendition],
    input: &crate::ffmpeg::probe::Video,
) -> Vec<Rendition> {
    let made = |rendition: &Rendition| match rendition.size {
        Size::Fit { width, height } => Some(fitted(input.shown(), (width, height))),
        _ => None,
    };
    let is_last = |(n, rendition): (usize, &Rendition)| {
        let same = |later: &Rendition| made(rendition).is_some() && made(later) == made(rendition);
        !ladder.iter().skip(n + 1).any(same)
    };
    ladder
        .iter()
        .enumerate()
        .filter(|entry| is_last(*entry))
        .map(|(_, rendition)| rendition.clone())
        .collect()
}

/// The size that a picture of this one has when it is made to fit.
fn fitted((width, height): (u32, u32), (most_width, most_height): (u32, u32)) -> (u32, u32) {
    let ratio = |most: u32, has: u32| f64::from(most.min(has)) / f64::from(has.max(1));
    let scale = ratio(most_width, width).min(ratio(most_height, height));
    let even = |has: u32| ((f64::from(has) * scale / 2.0).round() as u32) * 2;
    (even(width), even(height))
}

/// Adds the renditions: the input is decoded and filtered once, split, and scaled for each.
pub(super) fn add_ladder(args: &mut Args, order: Order<'_>, streams: &Streams) {
    let Some(video) = order.settings.video() else {
        return;
    };
    pictures::add_device(args, video.encoder, order.gpu);
    args.pair("-filter_complex", graph(order, video, streams));
    for n in 0..video.ladder.len() {
        args.pair("-map", format!("[v{n}]"));
    }
    pictures::add_encoder(args, order, video, None);
    for (n, rendition) in video.ladder.iter().enumerate() {
        let rate = RateControl::Bitrate(rendition.bitrate);
        pictures::add_rate(args, video.encoder, rate, Some(n));
    }
}

fn graph(order: Order<'_>, video: &Video, streams: &Streams) -> String {
    let mut shared = pictures::before_scaling(order, video);
    shared.push(format!("split={}", video.ladder.len()));
    let mut graph = format!("[{}]{}", streams.pictures, shared.join(","));
    for n in 0..video.ladder.len() {
        graph.push_str(&format!("[s{n}]"));
    }
    for (n, rendition) in video.ladder.iter().enumerate() {
        let mut filters = pictures::scaling(order, Some(rendition.size));
        filters.extend(pictures::after_scaling(video));
        graph.push_str(&format!(";[s{n}]{}[v{n}]", filters.join(",")));
    }
    graph
}

/// Adds the muxer and the name of its index.
pub(super) fn add_muxer(args: &mut Args, order: Order<'_>, streams: &Streams, index: &str) {
    let seconds = order.settings.segment_seconds.unwrap_or_default();
    match order.settings.container {
        Container::Dash => {
            args.all(["-f", "dash", "-use_template", "1", "-use_timeline", "1"]);
            args.pair("-seg_duration", seconds.to_string());
            let sets = match (order.settings.video().is_some(), &streams.sound) {
                (true, Some(_)) => "id=0,streams=v id=1,streams=a",
                (true, None) => "id=0,streams=v",
                (false, _) => "id=0,streams=a",
            };
            args.pair("-adaptation_sets", sets);
            args.one(&format!("{FOLDER}/{index}"));
        }
        _ => hls(args, order, streams, index, seconds),
    }
}

fn hls(args: &mut Args, order: Order<'_>, streams: &Streams, index: &str, seconds: f64) {
    args.pair("-f", "hls");
    args.pair("-hls_time", seconds.to_string());
    let grows = order.settings.live.is_some_and(|live| live.watchable);
    if grows {
        // A list that only grows, is never seen half written, and is taken up again by the next run; whoever ends it is the worker.
        args.all(["-hls_playlist_type", "event"]);
        args.all([
            "-hls_flags",
            "independent_segments+append_list+omit_endlist+temp_file",
        ]);
    } else {
        args.all(["-hls_playlist_type", "vod"]);
        args.all(["-hls_flags", "independent_segments"]);
    }
    let h265 = order
        .settings
        .video()
        .is_some_and(|video| video.codec == ffrtmp_api::settings::Codec::H265);
    // Apple's players take HEVC in fragmented MP4 only.
    let extension = if h265 { "m4s" } else { "ts" };
    let renditions = order.settings.video().map_or(0, |video| video.ladder.len());
    if h265 {
        args.all(["-hls_segment_type", "fmp4"]);
    } else if grows {
        // So that a run's first packets do not look damaged behind another run's last.
        args.all([
            "-hls_segment_options",
            "mpegts_flags=+initial_discontinuity",
        ]);
    }
    if renditions < 2 {
        if h265 {
            args.all(["-hls_fmp4_init_filename", "init.mp4"]);
        }
        args.pair(
            "-hls_segment_filename",
            format!("{FOLDER}/segment_%05d.{extension}"),
        );
        return args.one(&format!("{FOLDER}/{index}"));
    }
    if h265 {
        args.all(["-hls_fmp4_init_filename", "init_%v.mp4"]);
    }
    args.pair("-master_pl_name", index);
    // Sound is encoded once, and every rendition points at it.
    let group = if streams.sound.is_some() {
        ",agroup:sound"
    } else {
        ""
    };
    let mut map = Vec::new();
    if streams.sound.is_some() {
        map.push("a:0,agroup:sound,default:yes,name:sound".to_owned());
    }
    map.extend((0..renditions).map(|n| format!("v:{n}{group},name:v{n}")));
    args.pair("-var_stream_map", map.join(" "));
    args.pair(
        "-hls_segment_filename",
        format!("{FOLDER}/%v_%05d.{extension}"),
    );
    args.one(&format!("{FOLDER}/%v.m3u8"));
}

/// The names of the files that tell what an HLS output holds, before it is whole: of each rendition, and of sound that stands apart,
/// the first segment; of fragmented MP4, what stands before it.
pub(crate) fn first_segments(settings: &Settings) -> Vec<String> {
    let fragmented = settings
        .video()
        .is_some_and(|video| video.codec == Codec::H265);
    let renditions = settings.video().map_or(0, |video| video.ladder.len());
    let name = |of: &str| match (fragmented, of) {
        (true, "") => "init.mp4".to_owned(),
        (true, of) => format!("init_{of}.mp4"),
        (false, "") => "segment_00000.ts".to_owned(),
        (false, of) => format!("{of}_00000.ts"),
    };
    if renditions < 2 {
        return vec![name("")];
    }
    let mut names: Vec<String> = (0..renditions).map(|n| name(&format!("v{n}"))).collect();
    names.extend(settings.audio.as_ref().map(|_| name("sound")));
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ffmpeg::probe;

    #[test]
    fn of_renditions_that_a_small_input_makes_the_same_the_last_is_left() {
        let ladder: Vec<Rendition> = [(1920, 1080), (1280, 720), (854, 480), (640, 360)]
            .into_iter()
            .map(|(width, height)| Rendition {
                size: Size::Fit { width, height },
                bitrate: u64::from(width) * 1000,
            })
            .collect();
        let left = |width: u32, height: u32, quarter_turns: i64| -> Vec<u64> {
            let input = probe::Video {
                width,
                height,
                quarter_turns,
                ..probe::Video::default()
            };
            let left = without_twins(&ladder, &input);
            left.iter()
                .map(|rendition| rendition.bitrate / 1000)
                .collect()
        };
        assert_eq!(left(3840, 2160, 0), [1920, 1280, 854, 640]);
        assert_eq!(left(1000, 562, 0), [1280, 854, 640]);
        assert_eq!(left(640, 360, 0), [640]);
        // Upright, 720 high is the limit for all but the first two.
        assert_eq!(left(1280, 720, 1), [1920, 1280, 854, 640]);
        // What is asked for by its exact size is made, however small the input is.
        let exact = vec![
            Rendition {
                size: Size::Exact {
                    width: 64,
                    height: 36,
                },
                bitrate: 1,
            },
            Rendition {
                size: Size::Exact {
                    width: 64,
                    height: 36,
                },
                bitrate: 2,
            },
        ];
        let input = probe::Video {
            width: 64,
            height: 36,
            ..probe::Video::default()
        };
        assert_eq!(without_twins(&exact, &input), exact);
    }
}

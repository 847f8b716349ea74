//! Outputs that are folders of segments: HLS and DASH, with one rendition or a ladder of them from one decode.

use ffrtmp_api::settings::{Codec, Container, RateControl, Settings, Video};

use super::{Args, FOLDER, Order, input::Streams, pictures};

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

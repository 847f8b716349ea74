//! The pictures: filters, encoder, rate, key frames.

use ffrtmp_api::{
    encoder::Encoder,
    settings::{Gop, Output, Pictures, PixelFormat, RateControl, Size, Still, Subtitles, Video},
};

use super::{
    Args, BURNED, Order, PASS_LOG,
    input::{self, SYNTHETIC_FPS},
    raw,
};
use crate::ffmpeg::probe::expected_seconds;

/// How many bits per second above the average a rendition may go for a while, and how long a while is, in percent of a
/// second's worth: what players of adaptive streams are built for.
const PEAK_PERCENT: u64 = 150;
const BUFFER_PERCENT: u64 = 200;
/// `-q:v` of a JPEG: 2 is the best ffmpeg's encoder usually makes, 31 the worst.
const JPEG_QUALITY: &str = "3";

/// Adds one stream of pictures. `pass` is 1 or 2 where there are two.
pub(super) fn add(args: &mut Args, order: Order<'_>, pass: Option<u8>) {
    match &order.settings.pictures {
        Pictures::None => args.one("-vn"),
        Pictures::Copy => args.all(["-c:v", "copy"]),
        Pictures::Still(still) => add_still(args, order, still),
        Pictures::Video(video) => {
            add_device(args, video.encoder, order.gpu);
            let (size, rate) = match video.ladder.first() {
                Some(only) => (Some(only.size), RateControl::Bitrate(only.bitrate)),
                None => (video.size, video.rate),
            };
            let mut filters = before_scaling(order, video);
            filters.extend(scaling(order, size));
            filters.extend(after_scaling(video));
            args.pair("-vf", filters.join(","));
            add_encoder(args, order, video, pass);
            add_rate(args, video.encoder, rate, None);
        }
    }
}

/// Filters that every rendition shares.
pub(super) fn before_scaling(order: Order<'_>, video: &Video) -> Vec<String> {
    let mut filters = input::cut(order, "");
    filters.extend(raw::video_filters(order.settings));
    if let Some(fps) = video.fps {
        filters.push(format!("fps={fps}"));
    }
    if order.settings.subtitles == Subtitles::Burn {
        filters.push(format!("subtitles=filename={BURNED}"));
    }
    filters
}

/// Filters that give the picture its size.
pub(super) fn scaling(order: Order<'_>, size: Option<Size>) -> Vec<String> {
    let synthetic = order.settings.source == ffrtmp_api::settings::Source::Synthetic;
    let ladder = order.settings.video().is_some_and(|v| v.ladder.len() > 1);
    match size {
        // A synthetic source has the right size already.
        _ if synthetic && !ladder => Vec::new(),
        Some(Size::Exact { width, height }) => vec![format!("scale={width}:{height}")],
        Some(Size::Height(height)) => vec![format!("scale=-2:{height}")],
        Some(Size::Width(width)) => vec![format!("scale={width}:-2")],
        Some(Size::Fit { width, height }) => vec![format!(
            "scale='min(iw,{width})':'min(ih,{height})':force_original_aspect_ratio=decrease:force_divisible_by=2"
        )],
        // Every encoder here wants even numbers in 4:2:0.
        None => vec!["scale=trunc(iw/2)*2:trunc(ih/2)*2".into()],
    }
}

/// Filters that make of the picture what the encoder takes.
pub(super) fn after_scaling(video: &Video) -> Vec<String> {
    let deep = video.pixel_format == PixelFormat::Yuv420p10;
    vec![match video.encoder {
        Encoder::H264Vaapi | Encoder::HevcVaapi | Encoder::Av1Vaapi if deep => {
            "format=p010le,hwupload".into()
        }
        Encoder::H264Vaapi | Encoder::HevcVaapi | Encoder::Av1Vaapi => {
            "format=nv12,hwupload".into()
        }
        Encoder::HevcNvenc | Encoder::Av1Nvenc | Encoder::HevcQsv | Encoder::Av1Qsv if deep => {
            "format=p010le".into()
        }
        Encoder::H264Qsv | Encoder::HevcQsv | Encoder::Av1Qsv => "format=nv12".into(),
        _ => format!("format={}", video.pixel_format),
    }]
}

/// The encoder with its preset, its key frames, and which pass it is.
pub(super) fn add_encoder(args: &mut Args, order: Order<'_>, video: &Video, pass: Option<u8>) {
    args.pair("-c:v", video.encoder.name());
    match video.encoder {
        Encoder::LibvpxVp9 => {
            args.all(["-deadline", "good", "-row-mt", "1"]);
            args.pair("-cpu-used", video.encoder_preset.clone());
        }
        Encoder::H264Vaapi | Encoder::HevcVaapi | Encoder::Av1Vaapi => {
            args.pair("-compression_level", video.encoder_preset.clone());
        }
        _ => args.pair("-preset", video.encoder_preset.clone()),
    }
    if let (Encoder::H264Nvenc | Encoder::HevcNvenc | Encoder::Av1Nvenc, Some(gpu)) =
        (video.encoder, order.gpu)
    {
        args.pair("-gpu", gpu.to_string());
    }
    match (video.encoder, pass) {
        (_, None) => {}
        (Encoder::Libx265, Some(pass)) => {
            let own = format!("pass={pass}:stats={PASS_LOG}.log");
            let params = match raw::x265_params(order.settings) {
                Some(more) => format!("{more}:{own}"),
                None => own,
            };
            args.pair("-x265-params", params);
        }
        (_, Some(pass)) => {
            args.pair("-pass", pass.to_string());
            args.pair("-passlogfile", PASS_LOG);
        }
    }
    add_key_frames(args, order, video);
}

fn add_key_frames(args: &mut Args, order: Order<'_>, video: &Video) {
    let segment = match order.settings.output {
        Some(Output::Folder { .. }) => order.settings.segment_seconds,
        _ => None,
    };
    // At its fastest: what keeps key frames from being too far apart is the time given below, and a smaller number of frames would only
    // make more of them.
    let fps = video
        .fps
        .or(order.input.and_then(|m| m.video.as_ref()?.fps_top))
        .or(
            (order.settings.source == ffrtmp_api::settings::Source::Synthetic)
                .then_some(SYNTHETIC_FPS),
        );
    let frames = |seconds: f64| fps.map(|fps| ((seconds * fps).round() as u32).max(1));
    let (distance, every) = match (video.gop, segment) {
        (Some(Gop::Frames(frames)), segment) => (Some(frames), segment),
        (Some(Gop::Seconds(seconds)), None) => (frames(seconds), Some(seconds)),
        // A segment begins with a key frame, whatever stands between.
        (Some(Gop::Seconds(seconds)), Some(segment)) => (frames(seconds), Some(segment)),
        (None, segment) => (segment.and_then(frames), segment),
    };
    if let Some(frames) = distance {
        args.pair("-g", frames.to_string());
    }
    if let Some(seconds) = every {
        args.pair(
            "-force_key_frames",
            format!("expr:gte(t,n_forced*{seconds})"),
        );
        if matches!(
            video.encoder,
            Encoder::Libx264 | Encoder::Libx265 | Encoder::H264Nvenc | Encoder::HevcNvenc
        ) {
            args.all(["-forced-idr", "1"]);
        }
    }
}

/// The rate, of the rendition with this number if there are several.
pub(super) fn add_rate(
    args: &mut Args,
    encoder: Encoder,
    rate: RateControl,
    rendition: Option<usize>,
) {
    let of = |option: &str| match rendition {
        Some(n) => format!("{option}:v:{n}"),
        None => format!("{option}:v"),
    };
    match rate {
        RateControl::Bitrate(bits) => {
            args.pair(&of("-b"), bits.to_string());
            // SVT-AV1 takes a peak only with a constant quality.
            if rendition.is_some() && encoder != Encoder::Libsvtav1 {
                args.pair(&of("-maxrate"), (bits * PEAK_PERCENT / 100).to_string());
                args.pair(&of("-bufsize"), (bits * BUFFER_PERCENT / 100).to_string());
            }
        }
        RateControl::Crf(quality) => match encoder {
            Encoder::Libx264 | Encoder::Libx265 | Encoder::Libsvtav1 => {
                args.pair("-crf", quality.to_string())
            }
            // Without a bitrate of 0 libvpx treats the quality as a floor under its default 200 kbit/s.
            Encoder::LibvpxVp9 => {
                args.pair("-crf", quality.to_string());
                args.pair("-b:v", "0");
            }
            Encoder::H264Nvenc | Encoder::HevcNvenc | Encoder::Av1Nvenc => {
                args.all(["-rc", "vbr", "-b:v", "0"]);
                args.pair("-cq", quality.to_string());
            }
            Encoder::H264Vaapi | Encoder::HevcVaapi | Encoder::Av1Vaapi => {
                args.pair("-qp", quality.to_string())
            }
            Encoder::H264Qsv | Encoder::HevcQsv | Encoder::Av1Qsv => {
                args.pair("-global_quality", quality.to_string())
            }
        },
    }
}

fn add_still(args: &mut Args, order: Order<'_>, still: &Still) {
    let jpeg = order.settings.container == ffrtmp_api::settings::Container::Jpeg;
    let mut filters = input::cut(order, "");
    filters.extend(raw::video_filters(order.settings));
    // Viewers of pictures know nothing of pixels that are not square.
    let video = order.input.and_then(|media| media.video.as_ref());
    if video.is_some_and(|video| !video.is_square()) {
        filters.extend(["scale=round(iw*sar):ih".into(), "setsar=1".into()]);
    }
    if let Some((across, down)) = still.sheet {
        let tiles = f64::from(across * down);
        // Its length is known by now, or the attempt has failed; 10 s stands for it where a command is only shown.
        let ends = order.input.and_then(|media| media.ends(order.settings));
        let seconds = expected_seconds(ends, order.settings)
            .filter(|seconds| *seconds > 0.0)
            .unwrap_or(10.0);
        filters.push(format!("fps={:.6}", tiles / seconds));
    }
    filters.extend(scaling(order, still.size));
    if let Some((across, down)) = still.sheet {
        filters.push(format!("tile={across}x{down}"));
    }
    filters.push(
        if jpeg {
            "format=yuvj420p"
        } else {
            "format=rgb24"
        }
        .into(),
    );
    args.pair("-vf", filters.join(","));
    args.all(["-frames:v", "1"]);
    match jpeg {
        true => args.all(["-c:v", "mjpeg", "-q:v", JPEG_QUALITY]),
        false => args.all(["-c:v", "png"]),
    }
}

/// Names the render node an encoder runs on.
pub(super) fn add_device(args: &mut Args, encoder: Encoder, gpu: Option<u32>) {
    // Render nodes are numbered from 128 (Linux drm_drv.c: minor = 64 * type + index, render is type 2).
    let node = format!("/dev/dri/renderD{}", 128 + gpu.unwrap_or(0).min(63));
    match encoder {
        Encoder::H264Vaapi | Encoder::HevcVaapi | Encoder::Av1Vaapi => {
            args.pair("-vaapi_device", node)
        }
        Encoder::H264Qsv | Encoder::HevcQsv | Encoder::Av1Qsv => args.pair("-qsv_device", node),
        _ => {}
    }
}

//! The sound: encoder, bitrate, channels, loudness.

use ffrtmp_api::settings::{Audio, AudioCodec, Source};

use super::{Args, Order, input, raw};

/// Highest true peak of normalised sound, in dBTP, and the range of loudness aimed for, in LU: EBU R 128's for the first,
/// and what `loudnorm`'s author suggests for streaming for the second.
const TRUE_PEAK: &str = "-1.5";
const RANGE: &str = "11";

/// Adds the sound.
pub(super) fn add(args: &mut Args, order: Order<'_>, audio: &Audio) {
    let synthetic = order.settings.source == Source::Synthetic;
    let codec = match audio.codec {
        // A synthetic tone is raw samples, which few containers hold: there is nothing to copy, so encode.
        AudioCodec::Copy if synthetic => match order.settings.container {
            ffrtmp_api::settings::Container::Webm => AudioCodec::Opus,
            _ => AudioCodec::Aac,
        },
        codec => codec,
    };
    args.pair("-c:a", codec.encoder());
    if let Some(bits) = audio.bitrate {
        args.pair("-b:a", bits.to_string());
    }
    if let Some(channels) = audio.channels {
        args.pair("-ac", channels.to_string());
    }
    let mut filters = before_loudness(order);
    if let Some(lufs) = audio.loudness {
        let mut filter = aim(lufs);
        if let Some(m) = order.loudness {
            filter.push_str(&format!(
                ":measured_I={}:measured_TP={}:measured_LRA={}:measured_thresh={}:offset={}:linear=true",
                m.integrated, m.true_peak, m.range, m.threshold, m.offset
            ));
        }
        filters.push(filter);
        // The filter works at 192 kHz and would leave it at that. As an option, not as a filter: behind this one
        // ffmpeg 5.1 cannot agree on a layout of more than two channels.
        args.pair("-ar", "48000");
    }
    // libopus refuses layouts such as 5.1(side), common in broadcasts, unless they are mapped to those it knows.
    if codec == AudioCodec::Opus {
        filters.push("aformat=channel_layouts=7.1|5.1|stereo|mono".into());
    }
    if !filters.is_empty() {
        args.pair("-af", filters.join(","));
    }
}

/// The filter that says how loud the input is.
pub(super) fn add_measuring(args: &mut Args, order: Order<'_>) {
    let lufs = order
        .settings
        .audio
        .as_ref()
        .and_then(|audio| audio.loudness)
        .unwrap_or_default();
    let mut filters = before_loudness(order);
    filters.push(format!("{}:print_format=json", aim(lufs)));
    args.pair("-af", filters.join(","));
}

/// What is done to the sound before it is measured and made as loud as it is to be.
fn before_loudness(order: Order<'_>) -> Vec<String> {
    let mut filters = input::cut(order, "a");
    filters.extend(raw::audio_filters(order.settings));
    let audio = order.settings.audio.as_ref();
    // Mixed to other channels it is another loudness: what is measured must be what is heard.
    if let Some(audio) = audio.filter(|audio| audio.loudness.is_some())
        && let Some(layout) = audio.channels.and_then(layout)
    {
        filters.push(format!("aformat=channel_layouts={layout}"));
    }
    filters
}

/// What ffmpeg makes of a number of channels (`av_channel_layout_default`).
fn layout(channels: u32) -> Option<&'static str> {
    let layouts = ["mono", "stereo", "2.1", "4.0", "5.0", "5.1", "6.1", "7.1"];
    layouts
        .get(usize::try_from(channels).ok()?.checked_sub(1)?)
        .copied()
}

fn aim(lufs: f64) -> String {
    format!("loudnorm=I={lufs}:TP={TRUE_PEAK}:LRA={RANGE}")
}

//! How a live source is taken down: in parts, each until the source is gone, and then joined.
//!
//! Parts are Matroska: it holds every codec there is here, and what was written of it can be read when ffmpeg was killed. They are
//! encoded as the output wants them, so that joining them copies.

use ffrtmp_api::settings::AudioCodec;

use super::{Args, Order, file_url, input::Streams};
use crate::ffmpeg::reach::Reach;

/// The list of the parts, in the folder an encode works in.
pub(crate) const PARTS: &str = "parts.ffconcat";
/// Sample rate of sound that is encoded: the same in every part, whatever the source comes back with.
const SAMPLE_RATE: &str = "48000";

/// The name of a part, in the folder an encode works in.
pub(crate) fn part_name(part: u32) -> String {
    format!("part_{part:05}.mkv")
}

/// What stands in [`PARTS`].
pub(crate) fn list_of_parts(parts: &[u32]) -> String {
    let mut list = "ffconcat version 1.0\n".to_owned();
    for part in parts {
        list.push_str(&format!("file {}\n", part_name(*part)));
    }
    list
}

/// Adds the part that is written.
pub(super) fn add_part(args: &mut Args, order: Order<'_>) {
    let encodes_sound = order
        .settings
        .audio
        .as_ref()
        .is_some_and(|audio| audio.codec != AudioCodec::Copy);
    if encodes_sound {
        args.pair("-ar", SAMPLE_RATE);
    }
    // What is killed, with its machine even, loses about a second: without these, 5 s, or 256 KiB, which can be much more.
    args.pair("-cluster_time_limit", "1000");
    args.pair("-flush_packets", "1");
    args.pair("-f", "matroska");
    args.0.push(file_url(part_name(order.part).as_ref()));
}

/// Adds the parts that are read, and all their streams as they are. `order.input` is what the first part holds.
pub(super) fn add_parts(args: &mut Args, order: Order<'_>) -> Streams {
    let parts = Reach::OwnParts(PARTS.as_ref());
    args.0.extend(parts.options());
    args.one("-i");
    args.0.push(parts.url());
    args.all(["-map", "0", "-c", "copy"]);
    // Matroska does not keep what the encoder aimed at, and a playlist of renditions leaves out those without it.
    let ladder = order.settings.video().map_or(&[][..], |v| &v.ladder);
    for (n, rendition) in ladder.iter().enumerate() {
        args.pair(&format!("-b:v:{n}"), rendition.bitrate.to_string());
    }
    if let Some(bits) = order.settings.audio.as_ref().and_then(|a| a.bitrate) {
        args.pair("-b:a", bits.to_string());
    }
    let sound = match order.input {
        Some(media) => media.audio.is_some(),
        None => order.settings.audio.is_some(),
    };
    Streams {
        pictures: "0:v".into(),
        sound: sound.then(|| "0:a".into()),
        subtitles: "0:s".into(),
    }
}

//! The bitrates that a master playlist of HLS states, measured.
//!
//! ffmpeg writes the average that was asked for and a tenth more, while the encoder may go well above that for a while; a player that
//! chooses by it stalls. RFC 8216, 4.3.4.2, wants an upper bound of what any stretch of segments takes, and lets the average be told too.

use std::{fs, io, path::Path};

/// Bits per second of a media playlist.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Rates {
    /// Of the stretch of segments that takes most: RFC 8216's "peak segment bit rate".
    peak: f64,
    /// Of all of them.
    average: f64,
}

/// Writes the measured rates into the master playlist `index` of a folder that is complete.
pub(super) fn state(folder: &Path, index: &str) -> io::Result<()> {
    let path = folder.join(index);
    let text = fs::read_to_string(&path)?;
    let of = |name: &str| {
        let text = fs::read_to_string(folder.join(name))?;
        measure(&text, |segment| {
            Ok(fs::metadata(folder.join(segment))?.len())
        })
    };
    // In place: it stays whose it is.
    fs::write(&path, stated(&text, of)?)
}

/// The text of a master playlist, with what `of` says of each media playlist it names.
fn stated(master: &str, of: impl Fn(&str) -> io::Result<Rates>) -> io::Result<String> {
    let mut sounds = Vec::new();
    for line in master.lines() {
        if let Some(rest) = line.strip_prefix("#EXT-X-MEDIA:")
            && let (Some(group), Some(uri)) = (quoted(rest, "GROUP-ID"), quoted(rest, "URI"))
        {
            sounds.push((group, of(uri)?));
        }
    }
    let lines: Vec<&str> = master.lines().collect();
    let mut text = String::with_capacity(master.len() + 64 * lines.len());
    for (n, line) in lines.iter().enumerate() {
        match (line.strip_prefix("#EXT-X-STREAM-INF:"), lines.get(n + 1)) {
            (Some(rest), Some(uri)) => {
                let pictures = of(uri)?;
                let sound = quoted(rest, "AUDIO").and_then(|group| {
                    let of_group = sounds.iter().filter(|(name, _)| *name == group);
                    of_group
                        .map(|(_, rates)| *rates)
                        .max_by(|a, b| a.peak.total_cmp(&b.peak))
                });
                let sound = sound.unwrap_or_default();
                let others: Vec<&str> = attributes(rest)
                    .filter(|a| {
                        !a.starts_with("BANDWIDTH=") && !a.starts_with("AVERAGE-BANDWIDTH=")
                    })
                    .collect();
                text.push_str(&format!(
                    "#EXT-X-STREAM-INF:BANDWIDTH={:.0},AVERAGE-BANDWIDTH={:.0}",
                    (pictures.peak + sound.peak).ceil(),
                    (pictures.average + sound.average).ceil()
                ));
                others.iter().for_each(|other| text.extend([",", other]));
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    Ok(text)
}

/// The rates of a media playlist, of whose segments `size` gives the bytes.
fn measure(playlist: &str, size: impl Fn(&str) -> io::Result<u64>) -> io::Result<Rates> {
    let (mut target, mut long) = (0.0_f64, None);
    let mut segments = Vec::new();
    for line in playlist.lines() {
        if let Some(seconds) = line.strip_prefix("#EXT-X-TARGETDURATION:") {
            target = seconds.trim().parse().unwrap_or(0.0);
        } else if let Some(rest) = line.strip_prefix("#EXTINF:") {
            let seconds = rest.split(',').next().unwrap_or_default();
            long = seconds.trim().parse::<f64>().ok();
        } else if !line.is_empty()
            && !line.starts_with('#')
            && let Some(seconds) = long.take()
        {
            segments.push((seconds, size(line)? as f64 * 8.0));
        }
    }
    let whole = segments
        .iter()
        .fold((0.0, 0.0), |all, one| (all.0 + one.0, all.1 + one.1));
    let rate = |(seconds, bits): (f64, f64)| if seconds > 0.0 { bits / seconds } else { 0.0 };
    let average = rate(whole);
    // Stretches of half a target duration to one and a half, as the RFC says: the rest that stands at the end may be a frame.
    let peak = (0..segments.len())
        .flat_map(|from| {
            let mut stretch = (0.0, 0.0);
            segments
                .iter()
                .skip(from)
                .map_while(move |(seconds, bits)| {
                    stretch = (stretch.0 + seconds, stretch.1 + bits);
                    (stretch.0 <= target * 1.5).then_some(stretch)
                })
        })
        .filter(|(seconds, _)| *seconds >= target * 0.5)
        .map(rate)
        .fold(average, f64::max);
    Ok(Rates { peak, average })
}

/// The attributes of a tag: commas in quotes are not between them.
fn attributes(list: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    list.split(move |c| {
        inside ^= c == '"';
        c == ',' && !inside
    })
}

/// The value of a quoted attribute.
fn quoted<'a>(list: &'a str, name: &str) -> Option<&'a str> {
    attributes(list).find_map(|attribute| {
        let value = attribute.strip_prefix(name)?.strip_prefix('=')?;
        value.strip_prefix('"')?.strip_suffix('"')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_of_a_stretch_that_is_about_as_long_as_a_segment() {
        let playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4.000000,\na.ts\n#EXTINF:4.0,\nb.ts\n#EXTINF:0.04,\nc.ts\n";
        let sizes = |name: &str| {
            Ok(match name {
                "a.ts" => 500_000,
                "b.ts" => 100_000,
                // A key frame alone: far above any rate that is kept up.
                _ => 20_000,
            })
        };
        let rates = measure(playlist, sizes).unwrap();
        assert_eq!(rates.peak, 1_000_000.0);
        assert!((rates.average - 620_000.0 * 8.0 / 8.04).abs() < 1e-6);
    }

    #[test]
    fn every_rendition_is_stated_with_the_sound_it_is_played_with() {
        let master = "#EXTM3U\n#EXT-X-VERSION:3\n\
            #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"group_sound\",NAME=\"a, b\",DEFAULT=YES,URI=\"sound.m3u8\"\n\
            #EXT-X-STREAM-INF:BANDWIDTH=7,RESOLUTION=640x360,CODECS=\"avc1.64001e,mp4a.40.2\",AUDIO=\"group_sound\"\nv0.m3u8\n\n\
            #EXT-X-STREAM-INF:BANDWIDTH=7,RESOLUTION=320x180\nv1.m3u8\n";
        let of = |name: &str| {
            let (peak, average) = match name {
                "sound.m3u8" => (10.2, 9.0),
                "v0.m3u8" => (100.0, 50.0),
                _ => (20.0, 10.0),
            };
            Ok(Rates { peak, average })
        };
        let text = stated(master, of).unwrap();
        assert!(
            text.contains(
                "#EXT-X-STREAM-INF:BANDWIDTH=111,AVERAGE-BANDWIDTH=59,RESOLUTION=640x360,CODECS=\"avc1.64001e,mp4a.40.2\",\
                 AUDIO=\"group_sound\"\nv0.m3u8\n\n#EXT-X-STREAM-INF:BANDWIDTH=20,AVERAGE-BANDWIDTH=10,RESOLUTION=320x180\nv1.m3u8\n"
            ),
            "{text}"
        );
        assert!(text.contains("NAME=\"a, b\",DEFAULT=YES"), "{text}");
    }
}

//! What kind of work a job is, as metrics tell it: its encoder and its scenario, each one of a bounded set of words.
//!
//! Apart from the spec, because that is text a user wrote: whatever stands there, there are never more words than these.

use std::sync::LazyLock;

use ffrtmp_api::{
    encoder::Encoder,
    settings::{Codec, Scenario, Settings},
};

/// What makes outputs beside video encoders; see `Settings::encoder_name`.
const OTHER_ENCODERS: [&str; 10] = [
    "copy",
    "mjpeg",
    "png",
    "aac",
    "libopus",
    "libmp3lame",
    "flac",
    "pcm_s16le",
    "none",
    "other",
];
/// Heights that scenarios are known by, and how they are written.
const HEIGHTS: [(u32, &str); 7] = [
    (240, "240p"),
    (360, "360p"),
    (480, "480p"),
    (720, "720p"),
    (1080, "1080p"),
    (1440, "1440p"),
    (2160, "4K"),
];
/// Frame rates that scenarios are known by; 0 where none is said.
const RATES: [u32; 6] = [0, 24, 25, 30, 50, 60];
/// Codecs.
const CODECS: [Codec; 4] = [Codec::H264, Codec::H265, Codec::Vp9, Codec::Av1];

/// The words for encoders.
static ENCODERS: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let video = Encoder::ALL.iter().map(|encoder| encoder.name());
    video.chain(OTHER_ENCODERS).collect()
});
/// The words for scenarios: `none`, `other`, then each known name.
static SCENARIOS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let known = HEIGHTS.iter().flat_map(|(_, height)| {
        RATES.iter().flat_map(move |rate| {
            let rate = if *rate == 0 {
                String::new()
            } else {
                rate.to_string()
            };
            CODECS.map(|codec| format!("{height}{rate}-{}", codec.word()))
        })
    });
    ["none".to_owned(), "other".to_owned()]
        .into_iter()
        .chain(known)
        .collect()
});

/// A word for an encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EncoderWord(u8);

/// A word for a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScenarioWord(u8);

/// See the module's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// What makes its output.
    pub encoder: EncoderWord,
    /// What it was called.
    pub scenario: ScenarioWord,
}

impl EncoderWord {
    fn of(settings: Option<&Settings>) -> EncoderWord {
        let name = settings.map_or("other", Settings::encoder_name);
        let at = ENCODERS.iter().position(|word| *word == name);
        // The last is `other`.
        EncoderWord(at.unwrap_or(ENCODERS.len() - 1) as u8)
    }

    /// Every word.
    pub fn all() -> &'static [&'static str] {
        &ENCODERS
    }

    /// The word.
    pub fn as_str(self) -> &'static str {
        ENCODERS.get(usize::from(self.0)).unwrap_or(&"other")
    }
}

impl ScenarioWord {
    /// A job's without a scenario, and one's with a name that is none of the known.
    pub const ALWAYS: [ScenarioWord; 2] = [ScenarioWord(0), ScenarioWord(1)];

    fn of(name: Option<&str>) -> ScenarioWord {
        let Some(name) = name else {
            return ScenarioWord(0);
        };
        let known = Scenario::of(name).and_then(|scenario| {
            let height = HEIGHTS.iter().position(|(h, _)| *h == scenario.height)?;
            let rate = RATES
                .iter()
                .position(|rate| f64::from(*rate) == scenario.fps.unwrap_or(0.0))?;
            let codec = CODECS.iter().position(|codec| *codec == scenario.codec)?;
            Some(2 + (height * RATES.len() + rate) * CODECS.len() + codec)
        });
        ScenarioWord(known.unwrap_or(1) as u8)
    }

    /// The word.
    pub fn as_str(self) -> &'static str {
        SCENARIOS
            .get(usize::from(self.0))
            .map_or("other", String::as_str)
    }
}

impl Kind {
    /// That of a job of this description; of one that this version cannot read, `other`.
    pub fn of(scenario: Option<&str>, settings: Option<&Settings>) -> Kind {
        Kind {
            encoder: EncoderWord::of(settings),
            scenario: ScenarioWord::of(scenario),
        }
    }
}

#[cfg(test)]
mod tests {
    use ffrtmp_api::job::JobSpec;

    use super::*;

    #[test]
    fn a_known_scenario_has_its_name_and_any_other_is_other() {
        for (name, word) in [
            (None, "none"),
            (Some("1080p60-h265"), "1080p60-h265"),
            (Some("1080p60-hevc"), "1080p60-h265"),
            (Some("4k30-H264"), "4K30-h264"),
            (Some("2160p-av1"), "4K-av1"),
            (Some("240p-h264"), "240p-h264"),
            (Some("4K60-av1"), "4K60-av1"),
            (Some("1082p60-h265"), "other"),
            (Some("1080p61-h265"), "other"),
            (Some("1080p60-theora"), "other"),
            (Some("load-test-7"), "other"),
            (Some(""), "other"),
        ] {
            assert_eq!(ScenarioWord::of(name).as_str(), word, "{name:?}");
        }
    }

    #[test]
    fn there_are_few_enough_words_for_a_byte_and_none_twice() {
        for mut words in [
            SCENARIOS.iter().map(String::as_str).collect::<Vec<_>>(),
            ENCODERS.clone(),
        ] {
            assert!(words.len() < 256);
            let all = words.len();
            words.sort_unstable();
            words.dedup();
            assert_eq!(words.len(), all);
        }
    }

    #[test]
    fn an_encoder_is_called_what_ffmpeg_calls_it() {
        let of = |spec: JobSpec| {
            let settings = Settings::resolve(&spec).unwrap();
            Kind::of(None, Some(&settings)).encoder.as_str()
        };
        assert_eq!(of(JobSpec::default()), "libx264");
        let hevc = JobSpec {
            scenario: Some("720p30-h265".into()),
            ..JobSpec::default()
        };
        assert_eq!(of(hevc), "libx265");
        assert_eq!(Kind::of(None, None).encoder.as_str(), "other");
    }
}

//! A job laid over its preset.
//!
//! The one place where the two meet, and what is kept is the outcome: a job that was accepted has nothing more to do with the
//! file. What the job gives holds, be it `false`, an empty list, or `null` for "as if nobody had said it". Tables (labels
//! required, metadata) are joined, the job's entries first; an empty one drops the preset's. Where fields say one thing in two
//! ways, or hold for one encoder only, what the job gives drops the preset's others.

use serde_json::{Map, Value};

use super::{Asked, Preset, asked::map_of};
use crate::{
    job::JobSpec,
    settings::{BadField, Codec, encoders_with_preset},
    text,
};

/// Fields that mean something only where pictures are encoded.
const OF_ENCODED_PICTURES: &[&str] = &[
    "fps",
    "size",
    "bitrate",
    "crf",
    "encoder_preset",
    "pixel_format",
    "gop",
    "two_pass",
    "renditions",
    "gpu",
    "hardware",
    "ssim_min",
    "psnr_min",
    "vmaf_min",
    "sprites",
];

/// The preset a job is to be laid over, if it names one; and whether it must be there: a scenario that is no preset's name is a
/// label.
pub fn wanted(asked: &Asked) -> Option<(&str, bool)> {
    let preset = asked.spec.preset.as_deref().map(|name| (name, true));
    preset.or_else(|| asked.spec.scenario.as_deref().map(|name| (name, false)))
}

/// Says that there is no such preset, and what was probably meant.
pub fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> BadField {
    let shown: String = name.chars().take(64).collect();
    let encoders = encoders_with_preset(name);
    let message = if !encoders.is_empty() {
        let encoders: Vec<_> = encoders
            .iter()
            .take(3)
            .map(|encoder| encoder.name())
            .collect();
        format!(
            "there is no preset {shown:?}; {shown} is one of the encoder's own ({}): give it as encoder_preset \
             (--encoder-preset {shown})",
            encoders.join(", ")
        )
    } else {
        match text::nearest(name, known) {
            Some(near) => format!("there is no preset {shown:?}; did you mean {near:?}?"),
            None => {
                format!("there is no preset {shown:?}; `ffrtmp presets list` shows those there are")
            }
        }
    };
    BadField {
        field: "preset",
        message,
    }
}

/// The job that `asked` is with this preset.
///
/// # Errors
/// None that a preset which was read here can cause; a field that cannot be laid together is named.
pub fn fill(asked: &Asked, preset: &Preset) -> Result<JobSpec, BadField> {
    let mut job = map_of(&asked.spec);
    // Never left out by serde, given or not.
    job.retain(|name, _| asked.gives(name) || !matches!(name.as_str(), "queue" | "priority"));
    let over = Over {
        asked,
        job: job.clone(),
        preset,
    };
    let mut filled = Vec::new();
    for (name, value) in &preset.job {
        match (job.get_mut(name), value) {
            (Some(Value::Object(given)), Value::Object(below)) => {
                for (key, value) in below {
                    given.entry(key).or_insert_with(|| value.clone());
                }
            }
            _ if asked.gives(name) || over.drops(name) => {}
            _ => {
                job.insert(name.clone(), value.clone());
                filled.push(Value::from(name.as_str()));
            }
        }
    }
    job.insert("preset".into(), preset.name.as_str().into());
    job.insert("preset_fields".into(), filled.into());
    serde_json::from_value(Value::Object(job)).map_err(|error| BadField {
        field: "preset",
        message: format!("{:?} cannot be used: {error}", preset.name),
    })
}

/// A job over a preset.
struct Over<'a> {
    asked: &'a Asked,
    /// What the job says.
    job: Map<String, Value>,
    preset: &'a Preset,
}

impl Over<'_> {
    /// Whether the job says something, rather than nothing or `null`.
    fn says(&self, field: &str) -> bool {
        self.asked.gives(field) && self.job.contains_key(field)
    }

    fn word(&self, field: &str) -> Option<&str> {
        self.job.get(field).and_then(Value::as_str)
    }

    /// Whether what the job gives makes the preset's `field` mean nothing.
    fn drops(&self, field: &str) -> bool {
        let any = |fields: &[&str]| fields.iter().any(|field| self.says(field));
        let by_what_says_the_same = match field {
            "crf" => any(&["bitrate", "renditions"]),
            "bitrate" => any(&["crf", "renditions"]),
            "size" => any(&["renditions"]),
            "two_pass" => any(&["crf", "renditions"]),
            "renditions" => any(&["size", "bitrate", "crf"]),
            "hardware" => self.asked.gives("gpu"),
            "gpu" => self.asked.gives("hardware"),
            "input_wait_seconds" => self.word("mode") == Some("file"),
            _ => false,
        };
        by_what_says_the_same
            || self.by_codec(field)
            || self.by_hardware(field)
            || self.by_audio(field)
    }

    fn by_codec(&self, field: &str) -> bool {
        let Some(word) = self.word("codec") else {
            return false;
        };
        if matches!(word, "copy" | "none") {
            let burned = field == "subtitles" && self.preset.says(field) == Some(&"burn".into());
            return OF_ENCODED_PICTURES.contains(&field) || burned;
        }
        // A preset that names no codec says what it says of any.
        let theirs = self.preset.says("codec").and_then(Value::as_str);
        let other = theirs.is_some_and(|theirs| Codec::parse(theirs) != Codec::parse(word));
        other && matches!(field, "encoder_preset" | "crf" | "two_pass" | "output_args")
    }

    /// Hardware has presets of its own and makes one pass.
    fn by_hardware(&self, field: &str) -> bool {
        if !matches!(field, "encoder_preset" | "two_pass" | "output_args") {
            return false;
        }
        let spec = &self.asked.spec;
        if !(self.asked.gives("gpu") || self.asked.gives("hardware")) {
            return false;
        }
        let theirs = match (self.preset.says("gpu"), self.preset.says("hardware")) {
            (Some(Value::Bool(true)), _) => "require",
            (_, Some(Value::String(word))) => word,
            _ => "never",
        };
        spec.hardware_wanted().as_str() != theirs
    }

    fn by_audio(&self, field: &str) -> bool {
        let Some(word) = self.word("audio") else {
            return false;
        };
        let unchanged = matches!(word, "copy" | "none");
        match field {
            "audio_bitrate" => {
                let other = self
                    .preset
                    .says("audio")
                    .is_some_and(|theirs| theirs != word);
                unchanged || matches!(word, "flac" | "pcm") || other
            }
            "audio_channels" | "loudness" => unchanged,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn preset(text: &str) -> Preset {
        Preset::parse("p", &format!("description = \"d\"\n{text}")).unwrap()
    }

    /// The job as JSON, without what names the preset.
    fn filled(text: &str, job: Value) -> Value {
        let asked: Asked = serde_json::from_value(job).unwrap();
        let spec = fill(&asked, &preset(text)).unwrap();
        assert_eq!(spec.preset.as_deref(), Some("p"));
        let mut map = map_of(&spec);
        for name in ["preset", "preset_fields"] {
            map.remove(name);
        }
        for (name, usual) in [("queue", "default"), ("priority", "medium")] {
            if map.get(name) == Some(&json!(usual)) {
                map.remove(name);
            }
        }
        Value::Object(map)
    }

    #[test]
    fn a_job_s_fields_hold_and_the_preset_s_fill_the_rest() {
        const H265: &str = "codec = \"h265\"\ncrf = 24\nencoder_preset = \"slow\"\ngop = \"2s\"\nqueue = \"batch\"\naudio = \"aac\"\naudio_bitrate = \"192k\"\n";
        const TWO_PASS: &str = "codec = \"h264\"\nbitrate = \"2M\"\ntwo_pass = true\n";
        const LADDER: &str = "codec = \"h264\"\nrenditions = [\"1280x720@2M\", \"640x360@600k\"]\n";
        const GPU: &str =
            "codec = \"h264\"\nhardware = \"require\"\nencoder_preset = \"p6\"\ncrf = 22\n";
        const ARCHIVE: &str = "codec = \"h265\"\npixel_format = \"yuv420p10le\"\nsubtitles = \"copy\"\nloudness = -16\naudio_channels = 2\n";
        const LABELS: &str =
            "crf = 20\n[require]\nzone = \"eu\"\ndisk = \"ssd\"\n[metadata]\nartist = \"us\"\n";
        for (text, job, is) in [
            (
                H265,
                json!({}),
                json!({"codec": "h265", "crf": 24, "encoder_preset": "slow", "gop": "2s", "queue": "batch", "audio": "aac", "audio_bitrate": "192k"}),
            ),
            (
                H265,
                json!({"gop": "48", "queue": "default", "audio_bitrate": "96k"}),
                json!({"codec": "h265", "crf": 24, "encoder_preset": "slow", "gop": "48", "audio": "aac", "audio_bitrate": "96k"}),
            ),
            // A rate in place of a quality.
            (
                H265,
                json!({"bitrate": "3M"}),
                json!({"codec": "h265", "bitrate": "3M", "encoder_preset": "slow", "gop": "2s", "queue": "batch", "audio": "aac", "audio_bitrate": "192k"}),
            ),
            // Another codec: the encoder's own preset and the meaning of a quality go.
            (
                H265,
                json!({"codec": "vp9"}),
                json!({"codec": "vp9", "gop": "2s", "queue": "batch", "audio": "aac", "audio_bitrate": "192k"}),
            ),
            (
                H265,
                json!({"codec": "hevc", "crf": 20}),
                json!({"codec": "hevc", "crf": 20, "encoder_preset": "slow", "gop": "2s", "queue": "batch", "audio": "aac", "audio_bitrate": "192k"}),
            ),
            (
                H265,
                json!({"hardware": "require"}),
                json!({"codec": "h265", "crf": 24, "hardware": "require", "gop": "2s", "queue": "batch", "audio": "aac", "audio_bitrate": "192k"}),
            ),
            (
                H265,
                json!({"gpu": true}),
                json!({"codec": "h265", "crf": 24, "gpu": true, "gop": "2s", "queue": "batch", "audio": "aac", "audio_bitrate": "192k"}),
            ),
            // Nothing of an encode where there is none.
            (
                H265,
                json!({"codec": "copy"}),
                json!({"codec": "copy", "queue": "batch", "audio": "aac", "audio_bitrate": "192k"}),
            ),
            (
                H265,
                json!({"codec": "none", "audio": "flac"}),
                json!({"codec": "none", "queue": "batch", "audio": "flac"}),
            ),
            // As if nobody had said it.
            (
                H265,
                json!({"crf": null, "gop": null}),
                json!({"codec": "h265", "encoder_preset": "slow", "queue": "batch", "audio": "aac", "audio_bitrate": "192k"}),
            ),
            (
                TWO_PASS,
                json!({"two_pass": false}),
                json!({"codec": "h264", "bitrate": "2M"}),
            ),
            (
                TWO_PASS,
                json!({"crf": 20}),
                json!({"codec": "h264", "crf": 20}),
            ),
            (
                TWO_PASS,
                json!({"bitrate": "3M"}),
                json!({"codec": "h264", "bitrate": "3M", "two_pass": true}),
            ),
            (
                LADDER,
                json!({"renditions": ["-2x480@1M"]}),
                json!({"codec": "h264", "renditions": ["-2x480@1M"]}),
            ),
            (
                LADDER,
                json!({"renditions": [], "crf": 21}),
                json!({"codec": "h264", "crf": 21}),
            ),
            (
                LADDER,
                json!({"size": "1280x-2"}),
                json!({"codec": "h264", "size": "1280x-2"}),
            ),
            (
                "crf = 20\nsize = \"1280x-2\"",
                json!({"renditions": ["-2x480@1M"]}),
                json!({"renditions": ["-2x480@1M"]}),
            ),
            (
                GPU,
                json!({"gpu": false}),
                json!({"codec": "h264", "crf": 22}),
            ),
            (
                GPU,
                json!({"gpu": true}),
                json!({"codec": "h264", "crf": 22, "gpu": true, "encoder_preset": "p6"}),
            ),
            (
                GPU,
                json!({"hardware": "never"}),
                json!({"codec": "h264", "crf": 22, "hardware": "never"}),
            ),
            (
                ARCHIVE,
                json!({"audio": "copy"}),
                json!({"codec": "h265", "pixel_format": "yuv420p10le", "subtitles": "copy", "audio": "copy"}),
            ),
            // Tables are joined; an empty one drops.
            (
                LABELS,
                json!({"require": {"zone": "us"}, "metadata": {}}),
                json!({"crf": 20, "require": {"zone": "us", "disk": "ssd"}}),
            ),
            (
                LABELS,
                json!({"labels": {"a": "b"}}),
                json!({"crf": 20, "require": {"zone": "eu", "disk": "ssd"}, "metadata": {"artist": "us"}, "labels": {"a": "b"}}),
            ),
        ] {
            assert_eq!(filled(text, job.clone()), is, "{job} over {text}");
        }
    }

    #[test]
    fn what_came_from_the_preset_is_written_down() {
        let asked: Asked =
            serde_json::from_value(json!({"crf": 20, "preset_fields": ["size"]})).unwrap();
        let spec = fill(&asked, &preset("crf = 24\ngop = \"2s\"")).unwrap();
        assert_eq!(spec.preset_fields, ["gop"]);
    }

    #[test]
    fn a_job_that_gives_every_field_is_not_changed_by_any_preset() {
        // Whatever the preset: for each built-in one, a job that gives each of its fields as `null` or empty keeps none of them.
        for preset in super::super::BUILT_IN.values() {
            let mut job = Map::new();
            for name in preset.job.keys() {
                let nothing = match name.as_str() {
                    "queue" => json!("default"),
                    "priority" => json!("medium"),
                    "two_pass" | "gpu" => json!(false),
                    "renditions" | "input_args" | "output_args" => json!([]),
                    "require" | "metadata" => json!({}),
                    _ => Value::Null,
                };
                job.insert(name.clone(), nothing);
            }
            let asked: Asked = serde_json::from_value(Value::Object(job)).unwrap();
            let spec = fill(&asked, preset).unwrap();
            assert_eq!(
                spec,
                JobSpec {
                    preset: Some(preset.name.clone()),
                    ..JobSpec::default()
                },
                "{}",
                preset.name
            );
        }
    }

    #[test]
    fn whatever_one_field_a_job_gives_the_rest_of_any_preset_goes_with_it() {
        let gives = [
            json!({"crf": 20}),
            json!({"bitrate": "1M"}),
            json!({"size": "640x-2"}),
            json!({"fps": 25}),
            json!({"codec": "h264"}),
            json!({"codec": "h265"}),
            json!({"codec": "vp9"}),
            json!({"codec": "av1"}),
            json!({"codec": "copy"}),
            json!({"codec": "none"}),
            json!({"hardware": "never"}),
            json!({"hardware": "prefer"}),
            json!({"gpu": false}),
            json!({"audio": "aac"}),
            json!({"audio": "flac"}),
            json!({"audio": "copy"}),
            json!({"audio": "none"}),
            json!({"pixel_format": "yuv420p10le"}),
            json!({"gop": "48"}),
            json!({"queue": "default", "priority": "medium"}),
            json!({"two_pass": false}),
            json!({"renditions": []}),
        ];
        let mut tried = 0;
        for preset in super::super::BUILT_IN.values() {
            // Matroska holds everything, so nothing but the fields themselves can be in each other's way.
            if !preset.outputs().contains(&".mkv") {
                continue;
            }
            for given in &gives {
                let mut job = given.clone();
                job["input"] = json!("/i.mkv");
                job["output"] = json!("/o.mkv");
                let asked: Asked = serde_json::from_value(job).unwrap();
                let spec = fill(&asked, preset).unwrap();
                if let Err(bad) = crate::settings::Settings::resolve(&spec) {
                    let no_sound_either =
                        given == &json!({"audio": "none"}) && preset.name == "podcast";
                    let no_pictures = preset.name == "podcast" && asked.gives(bad.field);
                    assert!(
                        no_sound_either || no_pictures,
                        "{given} over {}: {bad}",
                        preset.name
                    );
                }
                tried += 1;
            }
        }
        assert!(tried > 400, "{tried}");
    }

    #[test]
    fn a_word_of_the_encoder_s_is_told_from_a_slip() {
        let says = |name: &str| unknown(name, ["web-mp4", "archive"].into_iter()).message;
        assert!(
            says("veryfast").contains("--encoder-preset veryfast"),
            "{}",
            says("veryfast")
        );
        assert!(says("p4").contains("h264_nvenc") && says("p4").contains("--encoder-preset p4"));
        assert!(says("web-mp").contains("did you mean \"web-mp4\"?"));
        assert!(says("xyzzy").contains("presets list"));
    }
}

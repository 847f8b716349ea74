//! A preset as its file says it: TOML, with a description and fields of a job.
//!
//! Separate because here everything is about a line of a file. A file is taken whole or refused whole, naming the line, what
//! stands there and what would be right; a preset that no job could use is refused too.

use serde::de::Error as _;
use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

use super::Asked;
use crate::{
    job::JobSpec,
    limits,
    settings::{BadField, Settings},
    text,
};

/// Fields that are a job's own affair, and why a preset does not say them.
const NOT_HERE: &[(&str, &str)] = &[
    (
        "scenario",
        "a job's scenario may name a preset, not the other way round",
    ),
    (
        "preset",
        "a preset is not made of others; copy what is wanted",
    ),
    ("preset_fields", "that is told of jobs, not by anybody"),
    ("input", "each job names its own"),
    ("output", "each job names its own"),
    (
        "overwrite",
        "whether a file may be replaced is for each job to say",
    ),
    ("labels", "labels are each job's own"),
    ("deadline_ms", "a moment is right for one job only"),
    ("idempotency_key", "a key is right for one job only"),
];

/// Outputs a preset may be for, as people say them, and one of each. The first that fits stands for all when none is named.
const OUTPUTS: &[(&str, Option<&str>)] = &[
    (".mp4", Some("/o.mp4")),
    (".mov", Some("/o.mov")),
    (".mkv", Some("/o.mkv")),
    (".webm", Some("/o.webm")),
    (".ts", Some("/o.ts")),
    (".m3u8", Some("/o/i.m3u8")),
    (".mpd", Some("/o/i.mpd")),
    (".mp3", Some("/o.mp3")),
    (".m4a", Some("/o.m4a")),
    (".flac", Some("/o.flac")),
    (".ogg", Some("/o.ogg")),
    (".wav", Some("/o.wav")),
    (".jpg", Some("/o.jpg")),
    (".png", Some("/o.png")),
    ("rtmp://", Some("rtmp://h/a/k")),
    ("srt://", Some("srt://h:9000")),
];
/// Inputs a preset may be for: a film, and what is happening now.
const INPUTS: [&str; 2] = ["/i.mkv", "rtmp://h/a/k"];

/// What an operator says for many jobs.
#[derive(Debug, Clone, PartialEq)]
pub struct Preset {
    /// Its name: the file's, without `.toml`.
    pub name: String,
    /// What it is for, in a line.
    pub description: String,
    /// The fields of a job it says, by their names, in JSON.
    pub job: Map<String, Value>,
}

/// Why a file is no preset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadPreset {
    /// The line, from 1; `None` where it is the whole.
    pub line: Option<usize>,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl std::error::Error for BadPreset {}

impl std::fmt::Display for BadPreset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// Whether a preset may be called so. Such a name is a file's name on every system, and needs no quotes in a shell.
pub fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+');
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.len() <= limits::PRESET_NAME_BYTES_MAX
        && name.chars().all(plain)
}

impl Preset {
    /// Reads a file's text.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(name: &str, text: &str) -> Result<Preset, BadPreset> {
        if !is_name(name) {
            return Err(whole(format!(
                "{:?} cannot be a preset's name: use ASCII letters, digits, - _ . and +, at most {}, beginning with a letter or a \
                 digit",
                clip(name),
                limits::PRESET_NAME_BYTES_MAX
            )));
        }
        if text.len() > limits::PRESET_BYTES_MAX {
            return Err(whole(format!(
                "it is {} bytes; at most {} are accepted",
                text.len(),
                limits::PRESET_BYTES_MAX
            )));
        }
        let line_at = |place: usize| {
            text.as_bytes()[..place.min(text.len())]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count()
                + 1
        };
        let table = DeTable::parse(text).map_err(|error| BadPreset {
            line: error.span().map(|span| line_at(span.start)),
            message: format!("it is not TOML: {}", error.message().replace('\n', "; ")),
        })?;
        let mut entries: Vec<_> = table.get_ref().iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let mut description = None;
        let mut job = Map::new();
        let mut lines = Vec::new();
        for (key, value) in entries {
            let line = line_at(key.span().start);
            let here = |message: String| BadPreset {
                line: Some(line),
                message,
            };
            let key = key.get_ref().as_ref();
            if key == "description" {
                description = Some(description_of(value.get_ref()).map_err(here)?);
                continue;
            }
            known(key).map_err(here)?;
            let value = json(value.get_ref()).map_err(|what| here(format!("{key}: {what}")))?;
            takes(key, &value).map_err(here)?;
            job.insert(key.to_owned(), value);
            lines.push((key.to_owned(), line));
        }
        let Some(description) = description else {
            return Err(whole(
                "it has no description; begin with one, as in description = \"For the web\"".into(),
            ));
        };
        if job.is_empty() {
            return Err(whole(
                "it says nothing about a job; add a field, as in crf = 22".into(),
            ));
        }
        let preset = Preset {
            name: name.to_owned(),
            description,
            job,
        };
        match preset.fault() {
            None => Ok(preset),
            Some(BadField { field, message }) => Err(BadPreset {
                line: lines
                    .iter()
                    .find(|(key, _)| key == field)
                    .map(|(_, line)| *line),
                message: format!("{field}: {message}"),
            }),
        }
    }

    /// One whose fields are known, as a master tells it.
    ///
    /// # Errors
    /// When a field is none that is known here, or holds something else: the master is of another version.
    pub fn from_fields(
        name: String,
        description: String,
        job: Map<String, Value>,
    ) -> Result<Preset, serde_json::Error> {
        if let Some(key) = job.keys().find(|key| known(key).is_err()) {
            return Err(serde_json::Error::custom(format!(
                "{key:?} is not a field of a preset"
            )));
        }
        serde_json::from_value::<JobSpec>(Value::Object(job.clone()))?;
        Ok(Preset {
            name,
            description,
            job,
        })
    }

    /// The field, as it says it.
    pub(super) fn says(&self, field: &str) -> Option<&Value> {
        self.job.get(field)
    }

    /// The kinds of output that jobs with it may have, as people say them: extensions, and schemes of streams.
    pub fn outputs(&self) -> Vec<&'static str> {
        let Some(spec) = self.spec() else {
            return Vec::new();
        };
        OUTPUTS
            .iter()
            .filter(|(_, output)| try_with(&spec, *output).is_ok())
            .map(|(shown, _)| *shown)
            .collect()
    }

    /// A job that is nothing but this.
    fn spec(&self) -> Option<JobSpec> {
        serde_json::from_value(Value::Object(self.job.clone())).ok()
    }

    /// What keeps every job from using it, if anything does: of the output that it is most likely meant for.
    fn fault(&self) -> Option<BadField> {
        let spec = self.spec()?;
        let likely = if spec.sprites.is_some() {
            "/o.jpg"
        } else if !spec.renditions.is_empty() || spec.segment_seconds.is_some() {
            "/o/i.m3u8"
        } else if spec.codec.as_deref() == Some("none") {
            "/o.m4a"
        } else {
            "/o.mkv"
        };
        let fault = try_with(&spec, Some(likely)).err()?;
        OUTPUTS
            .iter()
            .all(|(_, output)| try_with(&spec, *output).is_err())
            .then_some(fault)
    }
}

/// Resolves a job with some input.
fn try_with(spec: &JobSpec, output: Option<&str>) -> Result<(), BadField> {
    let mut first = None;
    for input in INPUTS {
        let mut spec = spec.clone();
        spec.input = Some(input.to_owned());
        spec.output = output.map(str::to_owned);
        match Settings::resolve(&spec) {
            Ok(_) => return Ok(()),
            Err(bad) => first = first.or(Some(bad)),
        }
    }
    first.map_or(Ok(()), Err)
}

fn whole(message: String) -> BadPreset {
    BadPreset {
        line: None,
        message,
    }
}

fn clip(text: &str) -> String {
    text.chars().take(64).collect()
}

fn description_of(value: &DeValue<'_>) -> Result<String, String> {
    let right = "write what it is for, as in description = \"For the web\"";
    let DeValue::String(words) = value else {
        return Err(format!("description is {}; {right}", kind(value)));
    };
    if words.trim().is_empty() {
        return Err(format!("description is empty; {right}"));
    }
    if words.len() > limits::NAME_BYTES_MAX {
        return Err(format!(
            "description is {} bytes; at most {} are accepted",
            words.len(),
            limits::NAME_BYTES_MAX
        ));
    }
    match text::unfit(words) {
        Some(what) => Err(format!("description holds {what}; leave it out")),
        None => Ok(words.to_string()),
    }
}

/// Whether a preset may say this field.
fn known(key: &str) -> Result<(), String> {
    if let Some((_, why)) = NOT_HERE.iter().find(|(field, _)| *field == key) {
        return Err(format!("{key} has no place in a preset: {why}"));
    }
    if JobSpec::FIELDS.contains(&key) {
        return Ok(());
    }
    let fields = || {
        let fields = JobSpec::FIELDS.iter().copied();
        fields.filter(|field| NOT_HERE.iter().all(|(no, _)| no != field))
    };
    Err(match text::nearest(key, fields()) {
        Some(near) => format!(
            "{:?} is not a field of a job; did you mean {near:?}?",
            clip(key)
        ),
        None => format!(
            "{:?} is not a field of a job; a preset may say {}",
            clip(key),
            fields().collect::<Vec<_>>().join(", ")
        ),
    })
}

/// Whether the field takes the value, as far as one can tell by looking at it alone.
fn takes(key: &str, value: &Value) -> Result<(), String> {
    let one = Map::from_iter([(key.to_owned(), value.clone())]);
    match serde_json::from_value::<Asked>(Value::Object(one)) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{key}: {error}")),
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// TOML as JSON.
fn json(value: &DeValue<'_>) -> Result<Value, String> {
    Ok(match value {
        DeValue::String(words) => Value::String(words.to_string()),
        DeValue::Integer(number) => {
            let text = number.as_str();
            let parsed = i64::from_str_radix(text, number.radix());
            Value::from(parsed.map_err(|_| format!("{text} is too large a number"))?)
        }
        DeValue::Float(number) => number
            .as_str()
            .parse::<f64>()
            .ok()
            .and_then(serde_json::Number::from_f64)
            .map(Value::Number)
            .ok_or_else(|| format!("{} is not a number that can be used", number.as_str()))?,
        DeValue::Boolean(truth) => Value::Bool(*truth),
        DeValue::Datetime(_) => return Err("a date is not what any field takes".into()),
        DeValue::Array(values) => Value::Array(
            values
                .iter()
                .map(|value| json(value.get_ref()))
                .collect::<Result<_, _>>()?,
        ),
        DeValue::Table(table) => Value::Object(
            table
                .iter()
                .map(|(key, value)| Ok((key.get_ref().to_string(), json(value.get_ref())?)))
                .collect::<Result<_, String>>()?,
        ),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(text: &str) -> String {
        Preset::parse("p", text).unwrap_err().to_string()
    }

    #[test]
    fn a_file_says_fields_of_a_job() {
        let preset = Preset::parse(
            "web",
            "# ours\ndescription = \"For the web\"\ncodec = \"h264\"\nfps = 25\ncrf = 22\ngop = \"2s\"\n\n[metadata]\nartist = \"us\"\n",
        )
        .unwrap();
        assert_eq!(
            Value::Object(preset.job.clone()),
            json!({"codec": "h264", "fps": 25, "crf": 22, "gop": "2s", "metadata": {"artist": "us"}})
        );
        let outputs = preset.outputs();
        assert!(
            outputs.contains(&".mp4") && outputs.contains(&"rtmp://"),
            "{outputs:?}"
        );
        assert!(
            !outputs.contains(&".webm") && !outputs.contains(&".mp3"),
            "{outputs:?}"
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_what_would_be_right() {
        let with = |rest: &str| format!("description = \"d\"\n{rest}\n");
        for (text, says) in [
            (String::new(), "it has no description"),
            ("crf = 20".into(), "it has no description"),
            ("description = \"d\"".into(), "says nothing about a job"),
            (
                "description = 3\ncrf = 20".into(),
                "line 1: description is a whole number",
            ),
            (
                "description = \" \"\ncrf = 20".into(),
                "line 1: description is empty",
            ),
            (with("crf = "), "line 2: it is not TOML"),
            (
                with("crf = 1\ncrf = 2"),
                "line 3: it is not TOML: duplicate key",
            ),
            (
                with("crff = 20"),
                "line 2: \"crff\" is not a field of a job; did you mean \"crf\"?",
            ),
            (with("xyzzy = 20"), "a preset may say mode,"),
            (
                with("\ncrf = \"low\""),
                "line 3: crf: invalid type: string \"low\", expected u32",
            ),
            (
                with("bitrate = 2500"),
                "line 2: bitrate: invalid type: integer `2500`, expected a string",
            ),
            (with("crf = -1"), "line 2: crf: invalid value"),
            (with("crf = 99"), "line 2: crf: 99 is out of range"),
            (
                with("codec = \"h264\"\nbitrate = \"10X\""),
                "line 3: bitrate: \"10X\" is not a bitrate",
            ),
            (
                with("bitrate = \"1M\"\ncrf = 20"),
                "line 3: crf: cannot be given together with bitrate",
            ),
            (
                with("codec = \"h256\""),
                "line 2: codec: \"h256\" is not one of",
            ),
            (
                with("encoder_preset = \"warp\""),
                "line 2: encoder_preset: \"warp\" is not one of libx264's",
            ),
            (
                with("input = \"/a.mp4\""),
                "line 2: input has no place in a preset: each job names its own",
            ),
            (
                with("labels = { a = \"b\" }"),
                "line 2: labels has no place",
            ),
            (with("preset = \"other\""), "line 2: preset has no place"),
            (with("fps = inf"), "line 2: fps: inf is not a number"),
            (with("fps = 2020-01-01"), "line 2: fps: a date"),
            (
                with("queue = \"urgent\""),
                "line 2: queue: unknown variant `urgent`",
            ),
            (
                with("renditions = [\"1280x720\"]"),
                "line 2: renditions: \"1280x720\" is not SIZE@BITRATE",
            ),
        ] {
            let refusal = refusal(&text);
            assert!(
                refusal.contains(says),
                "{text:?}: {refusal:?} does not say {says:?}"
            );
        }
        let long = format!("description = \"d\"\n# {}\ncrf = 20\n", "x".repeat(70_000));
        assert!(
            refusal(&long).contains("at most 65536"),
            "a file has an end"
        );
    }

    #[test]
    fn names_are_those_of_files() {
        for good in ["web-mp4", "4K60-h265", "a", "x_1.2", "news+subs"] {
            assert!(is_name(good), "{good}");
        }
        let long = "x".repeat(65);
        for bad in ["", ".hidden", "-x", "a b", "a/b", "größe", "a\n", &long] {
            assert!(!is_name(bad), "{bad:?}");
            assert!(
                Preset::parse(bad, "description = \"d\"\ncrf = 1").is_err(),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn whatever_a_file_holds_it_is_taken_or_refused_and_nothing_breaks() {
        // A walk through what breaks parsers: every prefix of a good file, and every byte of it replaced.
        let good = "description = \"d\"\ncodec = \"h265\"\nfps = 29.97\nrequire = { zone = \"eu\" }\noutput_args = [\"-map_chapters\", \"-1\"]\n";
        assert!(Preset::parse("p", good).is_ok());
        for end in 0..good.len() {
            let _ = Preset::parse("p", &good[..end]);
        }
        for place in 0..good.len() {
            for byte in ["\0", "\"", "[", "{", "=", "\n", "-", "9", "\u{202e}", "'''"] {
                let text = format!("{}{byte}{}", &good[..place], &good[place + 1..]);
                if let Err(bad) = Preset::parse("p", &text) {
                    assert!(
                        !bad.message.is_empty() && bad.line.is_none_or(|line| line <= 8),
                        "{text:?}: {bad}"
                    );
                }
            }
        }
        let deep = format!("description = \"d\"\nrequire = {}", "[".repeat(100_000));
        assert!(Preset::parse("p", &deep).is_err());
        let deep = format!("description = \"d\"\nrequire = {}", "[".repeat(30_000));
        assert!(Preset::parse("p", &deep).is_err());
    }
}

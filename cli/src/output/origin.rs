//! Where each value of a job that was not submitted came from.
//!
//! Separate from the plan that shows it, because it is the answer to a question of its own: who said this?

use std::{collections::BTreeMap, fmt};

use ffrtmp_api::{
    job::JobSpec,
    preset::{Asked, FieldSet},
    settings::fields_of_scenario,
};
use serde::Serialize;

/// Who said what a field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The command line.
    Flag,
    /// The file of jobs.
    File,
    /// The preset.
    Preset,
    /// The scenario's name.
    Scenario,
    /// Nobody.
    Default,
}

/// Fields that say who or what the job is, rather than how it is done.
const NAMES: [&str; 5] = [
    "scenario",
    "preset",
    "preset_fields",
    "labels",
    "idempotency_key",
];

/// Where every field's value came from, by the field's name.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Origins(BTreeMap<&'static str, Origin>);

impl Origins {
    /// Of `job`, which is what became of `asked`. `flags` are the fields that the command line gave.
    pub fn of(asked: &Asked, job: &JobSpec, flags: FieldSet) -> Origins {
        let by_name = fields_of_scenario(job);
        let of = |field: &str| {
            if job.preset_fields.iter().any(|filled| filled == field) {
                Origin::Preset
            } else if flags.contains(field) {
                Origin::Flag
            } else if asked.gives(field) {
                Origin::File
            } else if by_name.contains(&field) {
                Origin::Scenario
            } else {
                Origin::Default
            }
        };
        let fields = JobSpec::FIELDS.iter().copied();
        Origins(
            fields
                .filter(|field| !NAMES.contains(field))
                .map(|field| (field, of(field)))
                .collect(),
        )
    }

    /// Where the fields came from that one line shows; the words tell them apart, where they came from different places.
    pub fn of_line(&self, fields: &[(&str, &str)], preset: Option<&str>) -> String {
        let of = |field: &str| self.0.get(field).copied().unwrap_or(Origin::Default);
        let shown = |origin: Origin| match (origin, preset) {
            (Origin::Preset, Some(name)) => format!("preset {name}"),
            (origin, _) => origin.to_string(),
        };
        // What nobody said, beside something that somebody did, is not worth a word.
        let mut origins: Vec<(&str, Origin)> = fields
            .iter()
            .map(|(word, field)| (*word, of(field)))
            .collect();
        if origins.iter().any(|(_, origin)| *origin != Origin::Default) && origins.len() > 1 {
            origins.retain(|(_, origin)| *origin != Origin::Default);
        }
        let Some((_, first)) = origins.first() else {
            return String::new();
        };
        if origins.len() == 1 || origins.iter().all(|(_, origin)| origin == first) {
            return shown(*first);
        }
        let words = origins
            .iter()
            .map(|(word, origin)| format!("{word}: {}", shown(*origin)));
        words.collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Flag => "flag",
            Origin::File => "file",
            Origin::Preset => "preset",
            Origin::Scenario => "scenario",
            Origin::Default => "default",
        })
    }
}

#[cfg(test)]
mod tests {
    use ffrtmp_api::preset::{built_in, fill};
    use serde_json::json;

    use super::*;

    #[test]
    fn every_value_has_one_who_said_it() {
        let asked: Asked =
            serde_json::from_value(json!({"preset": "web-mp4", "crf": 20, "fps": 25.0})).unwrap();
        let job = fill(&asked, built_in("web-mp4").unwrap()).unwrap();
        let mut flags = FieldSet::default();
        flags.insert("crf");
        let origins = Origins::of(&asked, &job, flags);
        let line = |fields: &[(&str, &str)]| origins.of_line(fields, job.preset.as_deref());
        assert_eq!(line(&[("", "crf")]), "flag");
        assert_eq!(line(&[("", "fps")]), "file");
        assert_eq!(line(&[("", "codec")]), "preset web-mp4");
        assert_eq!(line(&[("", "timeout_seconds")]), "default");
        assert_eq!(line(&[("rate", "bitrate"), ("quality", "crf")]), "flag");
        assert_eq!(
            line(&[("size", "size"), ("fps", "fps")]),
            "size: preset web-mp4, fps: file"
        );
        let all = serde_json::to_value(&origins).unwrap();
        assert_eq!(
            (&all["crf"], &all["codec"], &all["gpu"]),
            (&json!("flag"), &json!("preset"), &json!("default"))
        );
    }

    #[test]
    fn a_scenario_that_is_no_preset_s_name_says_what_it_says() {
        let asked: Asked = serde_json::from_value(json!({"scenario": "1440p30-h265"})).unwrap();
        let origins = Origins::of(&asked, &asked.spec, FieldSet::default());
        assert_eq!(origins.of_line(&[("", "size")], None), "scenario");
    }
}

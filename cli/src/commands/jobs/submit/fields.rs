//! A job before it is one: the fields given, by their JSON names, from flags, `--param` and files.
//!
//! Separate because all three end in the same place: one JSON object, of which only known fields are let through, in
//! which paths become absolute and `{seq}` becomes a number. What a field may hold is decided by [`JobSpec`] and
//! [`Settings`](ffrtmp_api::settings::Settings), not here.

use std::path::Path;

use ffrtmp_api::{job::JobSpec, preset::Asked, text::nearest};
use serde_json::{Map, Value};

use crate::values;

/// Fields given, by their JSON names.
pub type Fields = Map<String, Value>;

/// What stands for a job's number among those made by `--count`.
pub const SEQ: &str = "{seq}";

/// Refuses a name that is no field of a job, with the nearest that is.
pub fn known(name: &str) -> Result<(), String> {
    if JobSpec::FIELDS.contains(&name) {
        return Ok(());
    }
    let shown: String = name.chars().take(64).collect();
    Err(match nearest(name, JobSpec::FIELDS.iter().copied()) {
        Some(near) => {
            format!("{shown:?} is not a field of a job; did you mean {near:?}?")
        }
        None => format!(
            "{shown:?} is not a field of a job; the fields are {}",
            JobSpec::FIELDS.join(", ")
        ),
    })
}

/// `key=value` of `--param`: any field by its JSON name, its value as JSON or as text, whichever the field takes.
pub fn param(text: &str) -> Result<(String, Value), String> {
    let (name, text) = values::key_value(text).map_err(|_| {
        format!("{text:?} is not FIELD=VALUE, as in crf=20 or labels={{\"a\":\"b\"}}")
    })?;
    known(&name)?;
    let takes = |value: &Value| {
        let one = Fields::from_iter([(name.clone(), value.clone())]);
        serde_json::from_value::<JobSpec>(Value::Object(one)).map(drop)
    };
    let as_text = Value::String(text.clone());
    let as_json: Option<Value> = serde_json::from_str(&text).ok();
    // `scenario=123` is text that happens to be JSON; `crf=20` is JSON.
    let refused = match &as_json {
        Some(json) => match takes(json) {
            Ok(()) => return Ok((name, json.clone())),
            Err(error) => Some(error),
        },
        None => None,
    };
    match takes(&as_text) {
        Ok(()) => Ok((name, as_text)),
        Err(error) => Err(format!("{name}: {}", refused.unwrap_or(error))),
    }
}

/// Puts `over` on top of `fields`: what it gives replaces, except labels and requirements, which are added.
pub fn lay_over(fields: &mut Fields, over: &Fields) {
    for (name, value) in over {
        match (fields.get_mut(name), value) {
            (Some(Value::Object(below)), Value::Object(above)) => {
                below.extend(
                    above
                        .iter()
                        .map(|(key, value)| (key.clone(), value.clone())),
                );
            }
            _ => {
                fields.insert(name.clone(), value.clone());
            }
        }
    }
}

/// Makes `input` and `output` absolute against `cwd`.
pub fn absolute_paths(fields: &mut Fields, cwd: &Path) -> Result<(), String> {
    for name in ["input", "output"] {
        if let Some(Value::String(path)) = fields.get_mut(name)
            // Files of the master's spool, named as the API names them.
            && !["upload:", "spool:"].iter().any(|scheme| path.starts_with(scheme))
        {
            *path =
                values::media_path(Path::new(path), cwd).map_err(|why| format!("{name}: {why}"))?;
        }
    }
    Ok(())
}

/// The job that the fields describe, before its preset.
pub fn job(fields: Fields) -> Result<Asked, String> {
    for name in fields.keys() {
        known(name)?;
    }
    // serde names the type it wanted but not the field; each is tried alone to find it.
    serde_json::from_value(Value::Object(fields.clone())).map_err(|error| {
        fields
            .into_iter()
            .find_map(|(name, value)| {
                let one = Value::Object(Fields::from_iter([(name.clone(), value)]));
                let error = serde_json::from_value::<JobSpec>(one).err()?;
                Some(format!("{name}: {error}"))
            })
            .unwrap_or_else(|| error.to_string())
    })
}

/// `value` with `{seq}` replaced by `n` in every text, keys of labels included.
pub fn numbered(value: &Value, n: u64) -> Value {
    let with = |text: &str| text.replace(SEQ, &n.to_string());
    match value {
        Value::String(text) => Value::String(with(text)),
        Value::Array(items) => items.iter().map(|item| numbered(item, n)).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (with(key), numbered(value, n)))
            .collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_param_s_value_is_json_or_text_as_the_field_wants_it() {
        for (given, value) in [
            ("crf=20", json!(20)),
            ("scenario=123", json!("123")),
            ("scenario=\"quoted\"", json!("quoted")),
            ("bitrate=2500000", json!("2500000")),
            ("labels={\"a\":\"b\"}", json!({"a": "b"})),
            ("gpu=true", json!(true)),
            ("queue=live", json!("live")),
            ("deadline_ms=1763894891000", json!(1_763_894_891_000_i64)),
        ] {
            assert_eq!(param(given).unwrap().1, value, "{given}");
        }
    }

    #[test]
    fn a_wrong_param_is_refused_with_what_would_be_right() {
        for (given, says) in [
            ("crff=20", "did you mean \"crf\"?"),
            ("durations_second=3", "did you mean \"duration_seconds\"?"),
            ("xyzzy=3", "the fields are scenario, preset,"),
            ("crf=low", "crf: invalid type"),
            ("crf=-1", "crf: invalid value"),
            ("queue=urgent", "queue: unknown variant `urgent`"),
            ("crf", "FIELD=VALUE"),
        ] {
            let error = param(given).unwrap_err();
            assert!(error.contains(says), "{given}: {error}");
        }
    }

    #[test]
    fn flags_replace_what_a_file_says_and_add_to_its_labels() {
        let Value::Object(mut fields) = json!({"crf": 20, "labels": {"a": "1", "b": "2"}}) else {
            unreachable!()
        };
        let Value::Object(flags) = json!({"crf": 30, "queue": "live", "labels": {"b": "3"}}) else {
            unreachable!()
        };
        lay_over(&mut fields, &flags);
        assert_eq!(
            Value::Object(fields),
            json!({"crf": 30, "queue": "live", "labels": {"a": "1", "b": "3"}})
        );
    }

    #[test]
    fn a_field_of_the_wrong_type_is_named() {
        let Value::Object(fields) = json!({"scenario": "x", "crf": "good"}) else {
            unreachable!()
        };
        let error = job(fields).unwrap_err();
        assert!(error.starts_with("crf: invalid type"), "{error}");
    }

    #[test]
    fn the_number_stands_wherever_it_is_asked_for() {
        assert_eq!(
            numbered(
                &json!({"output": "/a/{seq}.mp4", "labels": {"n": "{seq}"}, "crf": 20}),
                7
            ),
            json!({"output": "/a/7.mp4", "labels": {"n": "7"}, "crf": 20})
        );
    }
}

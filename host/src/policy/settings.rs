//! `NAME.toml` beside `NAME.wasm`: what an operator says about one policy. `[limits]` moves its limits within their bounds,
//! `[config]` is the policy's own and reaches its `init` as JSON.
//!
//! A file is taken whole or refused whole, naming what is wrong and what would be right. Whether the policy likes its
//! configuration is not known here; [`super::component`] asks it.

use std::collections::BTreeSet;

use serde_json::Value as Json;
use toml::{Table, Value};

use super::component::{digest, short};
use super::limits::{LIMITS, Limits};

/// What is in force for one policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What it may use.
    pub limits: Limits,
    /// JSON for its `init`; empty without a `[config]` table.
    pub config: String,
    /// Names of the limits that a file set.
    set: BTreeSet<&'static str>,
    /// The file it comes from, whole; none where there is no file.
    text: Option<String>,
}

impl Settings {
    /// Where no file says anything.
    pub fn without_a_file(limits: &Limits) -> Settings {
        Settings {
            limits: limits.clone(),
            config: String::new(),
            set: BTreeSet::new(),
            text: None,
        }
    }

    /// A file's content, on top of the limits every policy has.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence that names the key.
    pub fn parse(text: &str, base: &Limits) -> Result<Settings, String> {
        let table: Table = toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| {
                let before = text.get(..span.start).unwrap_or(text);
                format!("line {}: ", before.matches('\n').count() + 1)
            });
            let message = error.message().replace('\n', "; ");
            format!("it is not TOML: {}{message}", line.unwrap_or_default())
        })?;
        let mut settings = Settings {
            text: Some(text.to_owned()),
            ..Settings::without_a_file(base)
        };
        for (key, value) in &table {
            match (key.as_str(), value) {
                ("limits", Value::Table(limits)) => settings.take_limits(limits)?,
                ("config", Value::Table(_)) => settings.config = json(value, "config")?.to_string(),
                ("limits" | "config", other) => {
                    return Err(format!(
                        "`{key}` is {}; it must be a table, [{key}]",
                        kind(other)
                    ));
                }
                (unknown, _) => {
                    let hint = nearest(unknown, ["limits", "config"].into_iter());
                    return Err(format!(
                        "`{unknown}` is no part of a policy's settings; there are [limits] and [config]{hint}"
                    ));
                }
            }
        }
        settings.check_pairs()?;
        Ok(settings)
    }

    fn take_limits(&mut self, table: &Table) -> Result<(), String> {
        for (key, value) in table {
            let Some(limit) = LIMITS.iter().find(|limit| limit.name == key) else {
                let hint = nearest(key, LIMITS.iter().map(|limit| limit.name));
                return Err(format!(
                    "`limits.{key}` is no limit that can be set{hint}; `ffrtmp policies describe` shows them all"
                ));
            };
            let Value::Integer(number) = value else {
                return Err(format!(
                    "`limits.{key}` is {}; it must be a whole number",
                    kind(value)
                ));
            };
            let (least, most) = (*limit.range.start(), *limit.range.end());
            let number = u64::try_from(*number)
                .ok()
                .filter(|number| limit.range.contains(number))
                .ok_or_else(|| {
                    format!("`limits.{key}` is {number}; it can be {least} to {most}")
                })?;
            limit.set(&mut self.limits, number);
            self.set.insert(limit.name);
        }
        Ok(())
    }

    /// Time by the clock is never less than CPU time, so a smaller limit on it would hide the other.
    fn check_pairs(&self) -> Result<(), String> {
        let limits = &self.limits;
        for (name, wall, cpu) in [
            ("call", limits.call_wall, limits.call_cpu),
            ("init", limits.init_wall, limits.init_cpu),
        ] {
            let touched = ["wall", "cpu"]
                .iter()
                .any(|clock| self.set.contains(format!("{name}_{clock}_ms").as_str()));
            if touched && wall < cpu {
                return Err(format!(
                    "`limits.{name}_cpu_ms` is {} and `limits.{name}_wall_ms` {}; the second must be at least the first",
                    cpu.as_millis(),
                    wall.as_millis()
                ));
            }
        }
        Ok(())
    }

    /// Whether the file set this limit.
    pub fn sets(&self, limit: &str) -> bool {
        self.set.contains(limit)
    }

    /// The file's content; none where there is no file.
    pub(super) fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// What tells two configurations apart: the beginning of a digest, empty without one. Ranks given under another do not
    /// count.
    pub(super) fn config_digest(&self) -> String {
        match self.config.as_str() {
            "" => String::new(),
            config => short(&digest(config.as_bytes())).to_owned(),
        }
    }

    /// Whether a policy would notice the difference. Comments do not count.
    pub(super) fn same_in_effect(&self, other: &Settings) -> bool {
        self.limits == other.limits && self.config == other.config
    }
}

/// Reads a file's bytes.
///
/// # Errors
/// As [`Settings::parse`].
pub(super) fn parse_bytes(bytes: &[u8], base: &Limits) -> Result<Settings, String> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| format!("it is not UTF-8 from byte {} on", error.valid_up_to()))?;
    Settings::parse(text, base)
}

fn kind(value: &Value) -> String {
    let word = value.type_str();
    let article = if word.starts_with(['a', 'i']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {word}")
}

fn nearest<'a>(key: &str, known: impl Iterator<Item = &'a str>) -> String {
    ffrtmp_api::text::nearest(key, known)
        .map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"))
}

/// TOML as JSON. Dates become strings; a number that JSON cannot hold is refused.
fn json(value: &Value, path: &str) -> Result<Json, String> {
    Ok(match value {
        Value::String(text) => Json::from(text.as_str()),
        Value::Integer(number) => Json::from(*number),
        Value::Float(number) => serde_json::Number::from_f64(*number)
            .map(Json::Number)
            .ok_or_else(|| format!("`{path}` is {number}, which JSON has no number for"))?,
        Value::Boolean(truth) => Json::from(*truth),
        Value::Datetime(date) => Json::from(date.to_string()),
        Value::Array(values) => Json::Array(
            values
                .iter()
                .enumerate()
                .map(|(i, value)| json(value, &format!("{path}[{i}]")))
                .collect::<Result<_, _>>()?,
        ),
        Value::Table(table) => Json::Object(
            table
                .iter()
                .map(|(key, value)| Ok((key.clone(), json(value, &format!("{path}.{key}"))?)))
                .collect::<Result<_, String>>()?,
        ),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // in a test that is how one fails
mod tests {
    use std::time::Duration;

    use super::*;

    fn refusal(text: &str) -> String {
        Settings::parse(text, &Limits::default()).unwrap_err()
    }

    #[test]
    fn limits_and_configuration_are_taken_and_the_rest_stays_as_it_was() {
        let text = "[limits]\ncall_cpu_ms = 20\nmemory_bytes = 8_388_608\n\
            [config]\nweights = { cpu = 2, gpu = 0.5 }\nfrom = 2026-01-01\nlist = [1, \"two\", true]\n";
        let settings = Settings::parse(text, &Limits::default()).unwrap();
        assert_eq!(settings.limits.call_cpu, Duration::from_millis(20));
        assert_eq!(settings.limits.memory_bytes, 8 << 20);
        assert_eq!(settings.limits.init_cpu, Limits::default().init_cpu);
        assert!(settings.sets("call_cpu_ms") && !settings.sets("call_wall_ms"));
        assert_eq!(
            settings.config,
            r#"{"from":"2026-01-01","list":[1,"two",true],"weights":{"cpu":2,"gpu":0.5}}"#
        );
    }

    #[test]
    fn no_config_table_is_an_empty_configuration_and_an_empty_table_is_an_empty_object() {
        let parse = |text| Settings::parse(text, &Limits::default()).unwrap();
        assert_eq!(parse("").config, "");
        assert_eq!(parse("[config]").config, "{}");
        assert_eq!(parse("").config_digest(), "");
        assert_ne!(
            parse("[config]\na = 1").config_digest(),
            parse("[config]\na = 2").config_digest()
        );
        assert!(parse("# hello").same_in_effect(&parse("")));
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        for (text, says) in [
            (
                "[limits]\ncall_cpu = 3",
                "`limits.call_cpu` is no limit that can be set (did you mean `call_cpu_ms`?)",
            ),
            (
                "[limits]\nstack_bytes = 3",
                "`limits.stack_bytes` is no limit that can be set",
            ),
            (
                "[limits]\ncall_cpu_ms = 0",
                "`limits.call_cpu_ms` is 0; it can be 1 to 200",
            ),
            (
                "[limits]\ncall_cpu_ms = -4",
                "`limits.call_cpu_ms` is -4; it can be 1 to 200",
            ),
            (
                "[limits]\ncall_cpu_ms = \"10\"",
                "`limits.call_cpu_ms` is a string; it must be a whole number",
            ),
            (
                "[limits]\ncall_cpu_ms = 60",
                "`limits.call_cpu_ms` is 60 and `limits.call_wall_ms` 50",
            ),
            ("limits = 3", "`limits` is an integer; it must be a table"),
            (
                "[limit]",
                "`limit` is no part of a policy's settings; there are [limits] and [config] (did you mean `limits`?)",
            ),
            ("[config]\na = nan", "`config.a` is NaN"),
            (
                "[config]\na = [1, { b = inf }]",
                "`config.a[1].b` is inf, which JSON has no number for",
            ),
            ("[config]\n\na = ", "it is not TOML: line 3: "),
            ("[config]\na = 1\na = 2", "line 3: duplicate key"),
        ] {
            let refusal = refusal(text);
            assert!(refusal.contains(says), "{refusal:?} does not say {says:?}");
        }
    }
}

//! Which value is in force: the flag's, else a variable's, else the file's, else the default, and where it came from.
//!
//! Pure: the environment and the flags given are arguments. A value from a higher layer also silences what it conflicts with
//! in a lower one, so that `--no-metrics` needs no edit of the file that names an address.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::{
    file::File,
    table::{Kind, Role, Setting, of},
};
use crate::{
    exit::{Failure, Result},
    token::TOKEN_VARIABLES,
};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Source {
    /// The command line.
    Flag,
    /// The environment.
    Variable {
        /// The variable.
        name: String,
    },
    /// The settings file.
    File {
        /// Which.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
    },
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Flag => f.write_str("flag"),
            Source::Variable { name } => f.write_str(name),
            Source::File { path, line } => write!(f, "{}:{line}", path.display()),
            Source::Default => f.write_str("default"),
        }
    }
}

/// A setting and the value in force.
#[derive(Debug, Clone)]
pub struct Value {
    /// Which setting.
    pub setting: Setting,
    /// What it is, as its flag takes it; several for one that may be repeated; none when the default is worked out at start.
    pub texts: Vec<String>,
    /// Who says so.
    pub source: Source,
}

impl Value {
    /// The value on one line; `None` when it is worked out at start.
    pub fn shown(&self) -> Option<String> {
        (!self.texts.is_empty()).then(|| self.texts.join(","))
    }
}

/// The variable that holds a token, if one does.
pub fn token_variable(env: impl Fn(&str) -> Option<String>) -> Option<&'static str> {
    TOKEN_VARIABLES
        .into_iter()
        .find(|name| env(name).is_some_and(|value| !value.is_empty()))
}

/// The values of every setting of `role`. `flag` gives what the command line says of one, by its key.
///
/// # Errors
/// A variable holds what its flag would not accept.
pub fn values(
    role: Role,
    flag: impl Fn(&Setting) -> Option<Vec<String>>,
    env: impl Fn(&str) -> Option<String>,
    file: Option<&File>,
) -> Result<Vec<Value>> {
    let mut values = Vec::new();
    for setting in of(role) {
        let (texts, source) = if let Some(texts) = flag(&setting) {
            (texts, Source::Flag)
        } else if let Some((texts, name)) = variable(&setting, &env)? {
            (texts, Source::Variable { name })
        } else if let Some(entry) = file.and_then(|file| file.entry(&setting)) {
            let path = file.map(|file| file.path.clone()).unwrap_or_default();
            let line = entry.line;
            (entry.texts.clone(), Source::File { path, line })
        } else {
            (setting.default.iter().cloned().collect(), Source::Default)
        };
        values.push(Value {
            setting,
            texts,
            source,
        });
    }
    // A token in the environment goes before a file named in the environment or in the settings file.
    if token_variable(&env).is_some() {
        silence(&mut values, |value| {
            value.setting.key == "token_file" && value.source != Source::Flag
        });
    }
    for (keys, above) in [(conflicting(&values, 0), 0), (conflicting(&values, 1), 1)] {
        silence(&mut values, |value| {
            rank(&value.source) > above && keys.contains(&value.setting.key)
        });
    }
    Ok(values)
}

/// Lower is stronger.
fn rank(source: &Source) -> u8 {
    match source {
        Source::Flag => 0,
        Source::Variable { .. } => 1,
        Source::File { .. } => 2,
        Source::Default => 3,
    }
}

/// The keys that what was said at this rank excludes. A switch that was said to be off excludes nothing.
fn conflicting(values: &[Value], at: u8) -> Vec<String> {
    values
        .iter()
        .filter(|value| rank(&value.source) == at)
        .filter(|value| value.setting.kind != Kind::Switch || value.texts == ["true"])
        .flat_map(|value| value.setting.conflicts.clone())
        .collect()
}

/// Puts the default back.
fn silence(values: &mut [Value], which: impl Fn(&Value) -> bool) {
    for value in values.iter_mut().filter(|value| which(value)) {
        value.texts = value.setting.default.iter().cloned().collect();
        value.source = Source::Default;
    }
}

/// What a variable says. An empty one says nothing.
fn variable(
    setting: &Setting,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Option<(Vec<String>, String)>> {
    let found = setting.variables.iter().find_map(|name| {
        env(name)
            .filter(|text| !text.is_empty())
            .map(|text| (name, text))
    });
    let Some((name, text)) = found else {
        return Ok(None);
    };
    let texts: Vec<String> = match setting.kind {
        Kind::Pairs | Kind::List => text.split(',').map(|part| part.trim().to_owned()).collect(),
        _ => vec![text],
    };
    for text in &texts {
        setting
            .check(text)
            .map_err(|why| Failure::usage(format!("{name}={text:?}: {why}")))?;
    }
    Ok(Some((texts, name.clone())))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn file(text: &str) -> File {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.toml");
        std::fs::write(&path, text).unwrap();
        let mut file = File::read(&path).unwrap();
        file.path = Path::new("/f").to_owned();
        file
    }

    fn find(values: &[Value], key: &str) -> (Option<String>, String) {
        let value = values.iter().find(|v| v.setting.key == key).unwrap();
        (value.shown(), value.source.to_string())
    }

    fn said(text: &str, source: &str) -> (Option<String>, String) {
        (Some(text.to_owned()), source.to_owned())
    }

    #[test]
    fn a_flag_goes_before_a_variable_a_variable_before_the_file_the_file_before_the_default() {
        let file = file("[master]\nlease = \"40s\"\nheartbeat = \"4s\"\npolicy = \"binpack\"\n");
        let flag = |s: &Setting| (s.key == "lease").then(|| vec!["60s".to_owned()]);
        let env = |name: &str| {
            ["FFRTMP_MASTER_LEASE", "FFRTMP_MASTER_HEARTBEAT"]
                .contains(&name)
                .then(|| "5s".to_owned())
        };
        let values = values(Role::Master, flag, env, Some(&file)).unwrap();
        assert_eq!(find(&values, "lease"), said("60s", "flag"));
        assert_eq!(
            find(&values, "heartbeat"),
            said("5s", "FFRTMP_MASTER_HEARTBEAT")
        );
        assert_eq!(find(&values, "policy"), said("binpack", "/f:4"));
        assert_eq!(find(&values, "listen"), said("127.0.0.1:8080", "default"));
        assert_eq!(find(&values, "data_dir"), (None, "default".into()));
    }

    #[test]
    fn our_variable_goes_before_upstream_s_and_an_empty_one_says_nothing() {
        let both = |name: &str| {
            ["FFRTMP_MASTER", "MASTER_URL"]
                .contains(&name)
                .then(|| name.to_owned())
        };
        let of = |env: &dyn Fn(&str) -> Option<String>| {
            find(
                &values(Role::Client, |_| None, env, None).unwrap(),
                "master",
            )
        };
        assert_eq!(of(&both), said("FFRTMP_MASTER", "FFRTMP_MASTER"));
        assert_eq!(
            of(&|name| (name == "MASTER_URL").then(|| "theirs".to_owned())),
            said("theirs", "MASTER_URL")
        );
        assert_eq!(of(&|_| Some(String::new())).1, "default");
    }

    #[test]
    fn a_variable_that_makes_no_sense_is_named_with_what_would() {
        let error = values(
            Role::Master,
            |_| None,
            |name| (name == "FFRTMP_MASTER_LEASE").then(|| "soon".to_owned()),
            None,
        )
        .unwrap_err();
        let Failure::Usage(message) = error else {
            panic!("not a usage error")
        };
        assert_eq!(
            message,
            "FFRTMP_MASTER_LEASE=\"soon\": \"soon\" is not a length of time, as in 90, 0.5, 250ms, 10s, 1m30s or 2h"
        );
    }

    #[test]
    fn what_is_said_above_silences_what_conflicts_below() {
        let file = file("[master]\nno_metrics = true\n");
        let flag =
            |s: &Setting| (s.key == "metrics_listen").then(|| vec!["127.0.0.1:1".to_owned()]);
        let values = values(Role::Master, flag, |_| None, Some(&file)).unwrap();
        assert_eq!(find(&values, "no_metrics"), said("false", "default"));
        assert_eq!(find(&values, "metrics_listen"), said("127.0.0.1:1", "flag"));
    }

    #[test]
    fn a_token_in_the_environment_goes_before_the_file_s_token_file() {
        let file = file("[master]\ntoken_file = \"/t\"\n");
        let env = |name: &str| (name == "MASTER_API_KEY").then(|| "x".to_owned());
        let with = values(Role::Master, |_| None, env, Some(&file)).unwrap();
        assert_eq!(find(&with, "token_file"), (None, "default".into()));
        let without = values(Role::Master, |_| None, |_| None, Some(&file)).unwrap();
        assert_eq!(find(&without, "token_file"), said("/t", "/f:2"));
    }

    #[test]
    fn labels_in_a_variable_are_separated_by_commas() {
        let env =
            |name: &str| (name == "FFRTMP_WORKER_LABEL").then(|| "zone=eu, gpu=no".to_owned());
        let values = values(Role::Worker, |_| None, env, None).unwrap();
        assert_eq!(
            find(&values, "label"),
            said("zone=eu,gpu=no", "FFRTMP_WORKER_LABEL")
        );
    }
}

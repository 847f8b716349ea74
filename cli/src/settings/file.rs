//! The settings file: TOML with a table for each part. Every entry keeps its line, and every mistake is found, not the first only.
//!
//! A file is read whole or refused whole: a key that is not known is never passed over, because it is most often one that was
//! meant to do something.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{ErrorKind, Read},
    ops::Range,
    path::{Path, PathBuf},
};

use ffrtmp_api::text::nearest;
use toml::de::{DeTable, DeValue};

use super::table::{Kind, Role, Setting, of};
use crate::exit::{Failure, Result};

/// Most bytes of a settings file.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Where the servers of a machine are set, when nobody says otherwise.
const MACHINE_FILE: &str = "/etc/ffrtmp/config.toml";

/// Whose file is looked for when none is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MachineOrUser {
    /// `/etc/ffrtmp/config.toml`, for servers.
    Machine,
    /// `ffrtmp/config.toml` in `$XDG_CONFIG_HOME` or `~/.config`, for clients.
    User,
}

impl MachineOrUser {
    /// Whose file holds the settings of `role`.
    pub fn of(role: Role) -> MachineOrUser {
        match role {
            Role::Client => MachineOrUser::User,
            Role::Master | Role::Worker | Role::Up => MachineOrUser::Machine,
        }
    }

    /// Where that file is; `None` without a home directory.
    pub fn path(self) -> Option<PathBuf> {
        match self {
            MachineOrUser::Machine => Some(MACHINE_FILE.into()),
            MachineOrUser::User => {
                // The XDG specification: a relative path there is to be ignored.
                let absolute = |name| {
                    env::var_os(name)
                        .map(PathBuf::from)
                        .filter(|path| path.is_absolute())
                };
                let base = absolute("XDG_CONFIG_HOME")
                    .or_else(|| absolute("HOME").map(|home| home.join(".config")))?;
                Some(base.join("ffrtmp/config.toml"))
            }
        }
    }
}

/// What the file says about one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The value as its flag takes it; several for a setting that may be repeated.
    pub texts: Vec<String>,
    /// Its line, from 1.
    pub line: usize,
}

/// A settings file without mistakes.
#[derive(Debug, Clone, Default)]
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    tables: BTreeMap<Role, BTreeMap<String, Entry>>,
}

impl File {
    /// The file in force: `named` by `--config`, else by `FFRTMP_CONFIG`, else the usual one if it is there.
    ///
    /// # Errors
    /// It cannot be read, or says something it must not; every line that does is named.
    pub fn find(named: Option<&Path>, whose: MachineOrUser) -> Result<Option<File>> {
        let variable = env::var_os("FFRTMP_CONFIG").filter(|value| !value.is_empty());
        if let Some(path) = named.map(Path::to_owned).or(variable.map(PathBuf::from)) {
            return File::read(&path).map(Some);
        }
        let Some(path) = whose.path() else {
            return Ok(None);
        };
        match fs::metadata(&path) {
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                Ok(None)
            }
            // Somebody else's home directory, as after `sudo -u`, is not this user's business. A server's file is.
            Err(_) if whose == MachineOrUser::User => Ok(None),
            _ => File::read(&path).map(Some),
        }
    }

    /// Reads and checks `path`.
    ///
    /// # Errors
    /// As [`File::find`].
    pub fn read(path: &Path) -> Result<File> {
        let shown = path.display();
        let cannot =
            |why: String| Failure::failed(format!("cannot read the settings file {shown}: {why}"));
        let kind = fs::metadata(path).map_err(|error| cannot(error.to_string()))?;
        if !kind.is_file() {
            // A FIFO would be waited for.
            return Err(cannot("it is not a regular file".into()));
        }
        if kind.len() > FILE_BYTES_MAX {
            return Err(cannot(format!(
                "it has {} bytes; at most {FILE_BYTES_MAX} are read",
                kind.len()
            )));
        }
        let mut text = String::new();
        fs::File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text))
            .map_err(|error| cannot(error.to_string()))?;
        File::parse(path, &text).map_err(|problems| Failure::usage(problems.join("\n  ")))
    }

    fn parse(path: &Path, text: &str) -> std::result::Result<File, Vec<String>> {
        let mut reading = Reading {
            path,
            text,
            problems: Vec::new(),
        };
        let mut tables = BTreeMap::new();
        let document = match DeTable::parse(text) {
            Ok(document) => document.into_inner(),
            Err(error) => {
                let span = error.span().unwrap_or(0..0);
                reading.problem(&span, &format!("not TOML: {}", error.message()));
                return Err(reading.in_order());
            }
        };
        for (name, value) in &document {
            let role = Role::ALL
                .into_iter()
                .find(|role| role.word() == name.get_ref());
            match (role, value.get_ref()) {
                (Some(role), DeValue::Table(table)) => {
                    tables.insert(role, reading.table(role, table));
                }
                (Some(role), other) => reading.problem(
                    &name.span(),
                    &format!(
                        "{0} = {1}: settings stand in tables, and [{0}] is one; what is it that you want to set there?",
                        role.word(),
                        given(other)
                    ),
                ),
                (None, DeValue::Table(_)) => {
                    let why = match nearest(name.get_ref(), Role::ALL.iter().map(|r| r.word())) {
                        Some(near) => format!("did you mean [{near}]?"),
                        None => "there are [client], [master], [worker] and [up]".into(),
                    };
                    reading.problem(&name.span(), &format!("[{}]: there is no such table; {why}", name.get_ref()));
                }
                (None, _) => {
                    let tables = tables_with(name.get_ref());
                    let why = if tables.is_empty() {
                        "there are [client], [master], [worker] and [up]".into()
                    } else {
                        format!("{} belongs below {tables}", name.get_ref())
                    };
                    reading.problem(&name.span(), &format!("{}: it stands outside of every table; {why}", name.get_ref()));
                }
            }
        }
        if reading.problems.is_empty() {
            Ok(File {
                path: path.to_owned(),
                tables,
            })
        } else {
            Err(reading.in_order())
        }
    }

    /// What it says about a setting.
    pub fn entry(&self, setting: &Setting) -> Option<&Entry> {
        self.tables.get(&setting.role)?.get(&setting.key)
    }

    /// The parts it has a table for.
    pub fn roles(&self) -> impl Iterator<Item = Role> + '_ {
        self.tables.keys().copied()
    }
}

/// A file being read: collects what is wrong with it.
struct Reading<'a> {
    path: &'a Path,
    text: &'a str,
    /// Each with its line.
    problems: Vec<(usize, String)>,
}

impl Reading<'_> {
    fn problem(&mut self, at: &Range<usize>, message: &str) {
        let line = self.line(at);
        let text = format!("{}:{line}: {message}", self.path.display());
        self.problems.push((line, text));
    }

    /// The problems by line: TOML's tables have no order of their own.
    fn in_order(mut self) -> Vec<String> {
        self.problems.sort();
        self.problems.into_iter().map(|(_, text)| text).collect()
    }

    fn line(&self, at: &Range<usize>) -> usize {
        let before = self.text.as_bytes().iter().take(at.start);
        1 + before.filter(|byte| **byte == b'\n').count()
    }

    fn table(&mut self, role: Role, table: &DeTable) -> BTreeMap<String, Entry> {
        let known = of(role);
        let mut entries = BTreeMap::new();
        for (key, value) in table {
            let place = format!("[{}] {}", role.word(), key.get_ref());
            let Some(setting) = known.iter().find(|s| s.key == *key.get_ref()) else {
                self.problem(
                    &key.span(),
                    &format!("{place}: {}", unknown(key.get_ref(), &known)),
                );
                continue;
            };
            let texts = match texts(&setting.kind, value.get_ref()) {
                Some(texts) => texts,
                None => {
                    self.problem(
                        &key.span(),
                        &format!(
                            "{place} = {}: it takes {}",
                            given(value.get_ref()),
                            setting.kind.accepted()
                        ),
                    );
                    continue;
                }
            };
            let wrong: Vec<String> = texts
                .iter()
                .filter_map(|text| setting.check(text).err())
                .collect();
            for why in &wrong {
                self.problem(
                    &key.span(),
                    &format!("{place} = {}: {why}", given(value.get_ref())),
                );
            }
            if wrong.is_empty() {
                let line = self.line(&key.span());
                entries.insert(setting.key.clone(), Entry { texts, line });
            }
        }
        entries
    }
}

/// Why a key is not one, and which was meant.
fn unknown(key: &str, known: &[Setting]) -> String {
    if ["token", "password", "secret", "api_key"].contains(&key) {
        return "a secret does not belong in this file; put it into a file of its own (chmod 600) and name that with token_file".into();
    }
    let dashed = key.replace('-', "_");
    if let Some(near) = nearest(&dashed, known.iter().map(|s| s.key.as_str())) {
        return format!("there is no such setting; did you mean {near}?");
    }
    let tables = tables_with(&dashed);
    if tables.is_empty() {
        "there is no such setting; `ffrtmp config init` writes a file with every one".into()
    } else {
        format!("there is no such setting here; it belongs below {tables}")
    }
}

/// The tables that have this key: `[worker] or [up]`; empty when none has.
fn tables_with(key: &str) -> String {
    let tables: Vec<String> = Role::ALL
        .into_iter()
        .filter(|role| of(*role).iter().any(|s| s.key == key))
        .map(|role| format!("[{}]", role.word()))
        .collect();
    tables.join(" or ")
}

/// A TOML value as the flag takes it; `None` when it is of the wrong type.
fn texts(kind: &Kind, value: &DeValue) -> Option<Vec<String>> {
    let one = |text: &str| Some(vec![text.to_owned()]);
    match (kind, value) {
        (Kind::Switch, DeValue::Boolean(on)) => one(if *on { "true" } else { "false" }),
        (Kind::Switch, _) => None,
        (Kind::Number | Kind::Time | Kind::Size, DeValue::Integer(number)) => {
            let number = i128::from_str_radix(number.as_str(), number.radix()).ok()?;
            one(&number.to_string())
        }
        (Kind::Time, DeValue::Float(number)) => one(number.as_str()),
        (Kind::Number, _) => None,
        (Kind::Pairs, DeValue::Table(table)) => table
            .iter()
            .map(|(key, value)| Some(format!("{}={}", key.get_ref(), value.get_ref().as_str()?)))
            .collect(),
        (Kind::Pairs | Kind::List, DeValue::Array(items)) => items
            .iter()
            .map(|item| item.get_ref().as_str().map(str::to_owned))
            .collect(),
        (Kind::Pairs | Kind::List, _) => None,
        (_, DeValue::String(text)) => one(text),
        _ => None,
    }
}

/// A value for a message: short, on one line.
fn given(value: &DeValue) -> String {
    match value {
        DeValue::String(text) => format!("{:?}", text.chars().take(60).collect::<String>()),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(on) => on.to_string(),
        other => format!("({})", other.type_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        File::parse(Path::new("/f"), text).err().unwrap_or_default()
    }

    #[test]
    fn values_become_what_the_flag_takes() {
        let file = File::parse(
            Path::new("/f"),
            "[master]\nlisten = \"127.0.0.1:1\"\nlease = 45\nheartbeat = 1.5\nno_metrics = true\n\n\
             [worker]\nslots = 0x10\nlabel = { zone = \"eu\", tier = \"a=b\" }\n",
        )
        .unwrap();
        let entry = |role, key: &str| {
            let setting = of(role).into_iter().find(|s| s.key == key).unwrap();
            file.entry(&setting).cloned().unwrap()
        };
        assert_eq!(
            entry(Role::Master, "lease"),
            Entry {
                texts: vec!["45".into()],
                line: 3
            }
        );
        assert_eq!(entry(Role::Master, "heartbeat").texts, ["1.5"]);
        assert_eq!(entry(Role::Master, "no_metrics").texts, ["true"]);
        assert_eq!(entry(Role::Worker, "slots").texts, ["16"]);
        let mut labels = entry(Role::Worker, "label").texts;
        labels.sort();
        assert_eq!(labels, ["tier=a=b", "zone=eu"]);
        assert_eq!(
            file.roles().collect::<Vec<_>>(),
            [Role::Master, Role::Worker]
        );
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_nearest_known_one() {
        for (text, message) in [
            (
                "\n[master]\nlisen = \"x\"",
                "/f:3: [master] lisen: there is no such setting; did you mean listen?",
            ),
            (
                "[master]\nmetrics-listen = \"x\"",
                "/f:2: [master] metrics-listen: there is no such setting; did you mean metrics_listen?",
            ),
            (
                "[master]\nslots = 3",
                "/f:2: [master] slots: there is no such setting here; it belongs below [worker] or [up]",
            ),
            (
                "[master]\nfrobnicate = 3",
                "/f:2: [master] frobnicate: there is no such setting; `ffrtmp config init` writes a file with every one",
            ),
            (
                "[mater]\nlease = 3",
                "/f:1: [mater]: there is no such table; did you mean [master]?",
            ),
            (
                "[database]\nlease = 3",
                "/f:1: [database]: there is no such table; there are [client], [master], [worker] and [up]",
            ),
            (
                "lease = 3",
                "/f:1: lease: it stands outside of every table; lease belongs below [master]",
            ),
            (
                "master = \"http://h:1\"",
                "/f:1: master = \"http://h:1\": settings stand in tables, and [master] is one; what is it that you want to set there?",
            ),
            (
                "[worker]\ntoken = \"hunter2\"",
                "/f:2: [worker] token: a secret does not belong in this file; put it into a file of its own (chmod 600) and name that with token_file",
            ),
        ] {
            assert_eq!(problems(text), [message], "{text}");
        }
    }

    #[test]
    fn a_value_of_the_wrong_type_says_what_was_given_and_what_is_accepted() {
        for (text, message) in [
            (
                "[master]\nlease = true",
                "/f:2: [master] lease = true: it takes a length of time, as in \"30s\", or a number of seconds",
            ),
            (
                "[master]\nlisten = 8080",
                "/f:2: [master] listen = 8080: it takes an address and a port, as in \"127.0.0.1:8080\"",
            ),
            (
                "[worker]\nslots = \"3\"",
                "/f:2: [worker] slots = \"3\": it takes a whole number",
            ),
            (
                "[worker]\nlabel = [1]",
                "/f:2: [worker] label = (array): it takes a table of strings, as in { zone = \"eu\" }",
            ),
            (
                "[master]\nno_metrics = \"yes\"",
                "/f:2: [master] no_metrics = \"yes\": it takes true or false",
            ),
            (
                "[worker]\nslots = 0",
                "/f:2: [worker] slots = 0: 0 is not in 1..=1024",
            ),
            (
                "[client]\nformat = \"xml\"",
                "/f:2: [client] format = \"xml\": it takes one of \"table\", \"json\", \"jsonl\"",
            ),
        ] {
            assert_eq!(problems(text), [message], "{text}");
        }
    }

    #[test]
    fn every_mistake_is_named_not_the_first_only() {
        assert_eq!(
            problems("[master]\na_b_c = 1\nlease = true\n[nonsense]\n").len(),
            3
        );
    }

    #[test]
    fn what_is_not_toml_names_the_line() {
        let said = problems("[master]\nlease = \n").join("");
        assert!(said.starts_with("/f:2: not TOML: "), "{said}");
        let twice = problems("[master]\nlease = 1\nlease = 2\n").join("");
        assert!(
            twice.starts_with("/f:3: not TOML: duplicate key"),
            "{twice}"
        );
    }
}

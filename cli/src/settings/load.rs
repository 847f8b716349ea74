//! From the command line to `Args` with every layer in force.
//!
//! The line is parsed twice: first for itself, to know the command, the flags given and the file named; then with the values
//! from below as the flags' defaults. The second parse is the only one whose result is used, so that nothing but clap ever
//! makes a typed value.

use std::{
    collections::BTreeSet,
    env,
    ffi::OsString,
    sync::{Mutex, PoisonError},
};

use clap::{ArgMatches, Command, CommandFactory, FromArgMatches, parser::ValueSource};

use super::{
    file::{File, MachineOrUser},
    layers::{Source, Value, values},
    table::{Role, Setting},
};
use crate::{
    args::Args,
    exit::{Failure, Result},
};

/// The arguments of this call and where they came from.
pub struct Loaded {
    /// Every layer in force.
    pub args: Args,
    /// The settings of the part that the command is; empty for a command that is none.
    pub values: Vec<Value>,
    /// The file read, if there was one.
    pub file: Option<File>,
}

/// Parses this process's command line. Ends the process on `--help`, `--version` and what clap cannot parse.
///
/// # Errors
/// A settings file or a variable that makes no sense.
pub fn load() -> Result<Loaded> {
    let words: Vec<OsString> = env::args_os().collect();
    let matches = Args::command()
        .try_get_matches_from(&words)
        .unwrap_or_else(|error| error.exit());
    let role = matches.subcommand_name().and_then(Role::of_command);
    match role {
        Some(role) => load_words(role, &words, matches),
        // These look into files themselves, or need none: a broken one must not keep them from saying so.
        None => Ok(Loaded {
            args: parsed(Args::command(), &words)?,
            values: Vec::new(),
            file: None,
        }),
    }
}

/// What `ffrtmp ROLE`, with only these flags, would run with.
///
/// # Errors
/// As [`load`], and flags that do not parse.
pub fn load_for(role: Role, flags: &[OsString]) -> Result<Loaded> {
    let command = match role {
        Role::Client => "version",
        role => role.word(),
    };
    let words: Vec<OsString> = ["ffrtmp".into(), command.into()]
        .into_iter()
        .chain(flags.iter().cloned())
        .collect();
    let matches = Args::command()
        .try_get_matches_from(&words)
        .map_err(|error| Failure::usage(error.to_string()))?;
    load_words(role, &words, matches)
}

fn load_words(role: Role, words: &[OsString], matches: ArgMatches) -> Result<Loaded> {
    let named = matches.get_one::<std::path::PathBuf>("config");
    let file = File::find(named.map(AsRef::as_ref), MachineOrUser::of(role))?;
    let var = |name: &str| env::var(name).ok();
    let values = values(role, |s| flag(&matches, s), var, file.as_ref())?;
    let args = parsed(with_defaults(Args::command(), role, &values), words)?;
    Ok(Loaded { args, values, file })
}

fn parsed(command: Command, words: &[OsString]) -> Result<Args> {
    let mut matches = command
        .try_get_matches_from(words)
        .map_err(|error| Failure::usage(error.to_string()))?;
    Args::from_arg_matches_mut(&mut matches).map_err(|error| Failure::usage(error.to_string()))
}

/// What the command line says of a setting.
fn flag(matches: &ArgMatches, setting: &Setting) -> Option<Vec<String>> {
    let matches = if setting.global {
        matches
    } else {
        matches.subcommand()?.1
    };
    let key = setting.key.as_str();
    if !matches!(matches.try_contains_id(key), Ok(true))
        || matches.value_source(key) != Some(ValueSource::CommandLine)
    {
        return None;
    }
    if setting.kind == super::table::Kind::Switch {
        return Some(vec![matches.get_flag(key).to_string()]);
    }
    let words = matches.get_raw(key)?;
    Some(
        words
            .map(|word| word.to_string_lossy().into_owned())
            .collect(),
    )
}

/// The command tree with the values that came from a variable or the file as defaults.
fn with_defaults(mut tree: Command, role: Role, values: &[Value]) -> Command {
    for value in values {
        if matches!(value.source, Source::Flag | Source::Default) {
            continue;
        }
        let texts: Vec<&'static str> = value.texts.iter().map(|text| interned(text)).collect();
        let key = value.setting.key.clone();
        let set = |command: Command| command.mut_arg(&key, |arg| arg.default_values(texts));
        tree = if value.setting.global {
            set(tree)
        } else {
            tree.mut_subcommand(role.word(), set)
        };
    }
    tree
}

/// The text for the rest of the process's life, which is what clap's defaults are made of. Each different text is kept once,
/// so that reloading the same settings for ever takes no more memory.
fn interned(text: &str) -> &'static str {
    static KEPT: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    match kept.get(text) {
        Some(text) => text,
        None => {
            let text: &'static str = Box::leak(text.to_owned().into_boxed_str());
            kept.insert(text);
            text
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args;

    fn with_file(text: &str, role: Role, flags: &[&str]) -> Loaded {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.toml");
        std::fs::write(&path, text).unwrap();
        let mut words: Vec<OsString> = vec!["--config".into(), path.into()];
        words.extend(flags.iter().map(OsString::from));
        load_for(role, &words).unwrap()
    }

    #[test]
    fn the_file_s_values_reach_the_typed_arguments_and_flags_go_before_them() {
        let text = "[client]\nmaster = \"http://from.file:1\"\nformat = \"json\"\n";
        let global = with_file(text, Role::Client, &[]).args.global;
        assert_eq!(global.master.as_deref(), Some("http://from.file:1"));
        assert_eq!(global.format, Some(crate::output::Format::Json));
        let global = with_file(text, Role::Client, &["--format", "jsonl"])
            .args
            .global;
        assert_eq!(global.format, Some(crate::output::Format::Jsonl));
        assert_eq!(global.master.as_deref(), Some("http://from.file:1"));
    }

    #[test]
    fn a_part_reads_its_own_table_only() {
        let text = "[client]\nmaster = \"http://client:1\"\n[worker]\nmaster = \"http://worker:1\"\nslots = 3\nno_metrics = true\nlabel = { zone = \"eu\" }\n";
        let loaded = with_file(text, Role::Worker, &[]);
        assert_eq!(
            loaded.args.global.master.as_deref(),
            Some("http://worker:1")
        );
        let args::Command::Worker(worker) = loaded.args.command else {
            panic!("not a worker")
        };
        let shown = format!("{worker:?}");
        for part in ["slots: Some(3)", "no_metrics: true", "(\"zone\", \"eu\")"] {
            assert!(shown.contains(part), "{part} is missing in {shown}");
        }
        assert_eq!(with_file(text, Role::Master, &[]).args.global.master, None);
    }

    #[test]
    fn a_flag_given_again_replaces_the_file_s_list() {
        let text = "[worker]\nlabel = { zone = \"eu\", tier = \"a\" }\n";
        let loaded = with_file(text, Role::Worker, &["--label", "zone=us"]);
        let label = loaded
            .values
            .iter()
            .find(|v| v.setting.key == "label")
            .unwrap();
        assert_eq!(
            (label.texts.clone(), &label.source),
            (vec!["zone=us".to_owned()], &Source::Flag)
        );
    }

    #[test]
    fn the_same_text_is_kept_once() {
        assert!(std::ptr::eq(
            interned("a text"),
            interned(&String::from("a text"))
        ));
    }
}

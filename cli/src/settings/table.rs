//! The table of all settings, read off the command tree: a long flag of `ffrtmp master` is a key of `[master]`, and so on.
//!
//! Only what clap cannot know stands here in words: which of the flags that every command takes belong to which part, which
//! variables have a second name, and what a running process can reload. Tests hold these lists against the tree.

use std::any::TypeId;
use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Arg, ArgAction, Command, CommandFactory};

use crate::args::Args;

/// A part of the product that has settings: a table of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Role {
    /// Every command that talks to a master
    Client,
    /// `ffrtmp master`
    Master,
    /// `ffrtmp worker`
    Worker,
    /// `ffrtmp up`
    Up,
}

impl Role {
    /// All of them, in the order they are printed.
    pub const ALL: [Role; 4] = [Role::Client, Role::Master, Role::Worker, Role::Up];

    /// The table's name, and the command's.
    pub fn word(self) -> &'static str {
        match self {
            Role::Client => "client",
            Role::Master => "master",
            Role::Worker => "worker",
            Role::Up => "up",
        }
    }

    /// The part that a command (the first word after `ffrtmp`) is; `None` for those that talk to nobody.
    pub fn of_command(word: &str) -> Option<Role> {
        match word {
            "master" => Some(Role::Master),
            "worker" => Some(Role::Worker),
            "up" => Some(Role::Up),
            "backup" | "config" | "completions" | "man" | "reference" | "token" | "tls" => None,
            _ => Some(Role::Client),
        }
    }

    /// Which of the flags that every command takes are settings of this part.
    fn global_flags(self) -> &'static [&'static str] {
        match self {
            Role::Client => &[
                "master",
                "token_file",
                "tls_ca",
                "tls_client_cert",
                "tls_client_key",
                "format",
                "retry_for",
            ],
            Role::Master => &["token_file"],
            Role::Worker => &[
                "master",
                "token_file",
                "tls_ca",
                "tls_client_cert",
                "tls_client_key",
            ],
            Role::Up => &["token_file", "tls_ca", "tls_client_cert", "tls_client_key"],
        }
    }

    /// What a running process takes over at SIGHUP.
    fn reloadable(self) -> &'static [&'static str] {
        match self {
            Role::Master => &["log_level", "rate_limit"],
            Role::Worker => &["log_level", "label"],
            Role::Client | Role::Up => &[],
        }
    }
}

/// Second names of variables: key, name. Ours goes first.
const OTHER_VARIABLES: [(&str, &str); 2] = [("master", "MASTER_URL"), ("log_level", "RUST_LOG")];

/// What a setting's value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// On or off.
    Switch,
    /// A whole number.
    Number,
    /// A length of time.
    Time,
    /// `ADDR:PORT`.
    Address,
    /// A path.
    Path,
    /// A number of bytes.
    Size,
    /// One of some words.
    Choice(Vec<String>),
    /// `KEY=VALUE`, any number of them.
    Pairs,
    /// Any number of strings.
    List,
    /// A string.
    Text,
}

impl Kind {
    fn of(arg: &Arg) -> Kind {
        let is = |id: TypeId| arg.get_value_parser().type_id() == id;
        let whole = [
            TypeId::of::<u16>(),
            TypeId::of::<u32>(),
            TypeId::of::<u64>(),
            TypeId::of::<usize>(),
        ];
        match arg.get_action() {
            ArgAction::SetTrue | ArgAction::SetFalse => return Kind::Switch,
            ArgAction::Append if is(TypeId::of::<(String, String)>()) => return Kind::Pairs,
            ArgAction::Append => return Kind::List,
            _ => {}
        }
        let words: Vec<String> = arg
            .get_possible_values()
            .iter()
            .map(|value| value.get_name().to_owned())
            .collect();
        if !words.is_empty() {
            Kind::Choice(words)
        } else if is(TypeId::of::<Duration>()) {
            Kind::Time
        } else if is(TypeId::of::<SocketAddr>()) {
            Kind::Address
        } else if is(TypeId::of::<PathBuf>()) {
            Kind::Path
        } else if arg.get_value_names().is_some_and(|names| names == ["SIZE"]) {
            Kind::Size
        } else if whole.into_iter().any(is) {
            Kind::Number
        } else {
            Kind::Text
        }
    }

    /// What is accepted in a file, as a phrase.
    pub fn accepted(&self) -> String {
        match self {
            Kind::Switch => "true or false".into(),
            Kind::Number => "a whole number".into(),
            Kind::Time => "a length of time, as in \"30s\", or a number of seconds".into(),
            Kind::Size => "a size, as in \"50G\", or a number of bytes".into(),
            Kind::Address => "an address and a port, as in \"127.0.0.1:8080\"".into(),
            Kind::Path => "a path, as a string".into(),
            Kind::Choice(words) => format!("one of \"{}\"", words.join("\", \"")),
            Kind::Pairs => "a table of strings, as in { zone = \"eu\" }".into(),
            Kind::List => "a list of strings".into(),
            Kind::Text => "a string".into(),
        }
    }
}

/// A setting of one part.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Whose.
    pub role: Role,
    /// Its name in the file, and the flag's id.
    pub key: String,
    /// The flag, with its dashes.
    pub flag: String,
    /// The variables that may hold it, first wins.
    pub variables: Vec<String>,
    /// What it holds.
    pub kind: Kind,
    /// Its default as one would write it; `None` when it is worked out at start, which `help` then says.
    pub default: Option<String>,
    /// What it is for, in a line.
    pub help: String,
    /// Whether SIGHUP takes a new value over.
    pub reloads: bool,
    /// Whether the flag belongs to every command.
    pub global: bool,
    /// Keys that cannot be set along with this one.
    pub conflicts: Vec<String>,
    parser: clap::builder::ValueParser,
}

impl Setting {
    fn new(role: Role, command: &Command, arg: &Arg, global: bool) -> Option<Setting> {
        let key = arg.get_id().to_string();
        let flag = format!("--{}", arg.get_long()?);
        let upper = key.to_uppercase();
        let mut variables = vec![if global {
            format!("FFRTMP_{upper}")
        } else {
            format!("FFRTMP_{}_{upper}", role.word().to_uppercase())
        }];
        variables.extend(
            OTHER_VARIABLES
                .iter()
                .filter(|(other, _)| *other == key)
                .map(|(_, name)| (*name).to_owned()),
        );
        let kind = Kind::of(arg);
        let default = match kind {
            Kind::Switch => Some("false".to_owned()),
            _ => arg
                .get_default_values()
                .first()
                .map(|value| value.to_string_lossy().into_owned()),
        };
        let mut conflicts: Vec<String> = if global {
            Vec::new()
        } else {
            command
                .get_arg_conflicts_with(arg)
                .iter()
                .map(|other| other.get_id().to_string())
                .collect()
        };
        // A conflict is declared on one side only.
        conflicts.extend(
            command
                .get_arguments()
                .filter(|other| !other.is_global_set())
                .filter(|other| {
                    command
                        .get_arg_conflicts_with(other)
                        .iter()
                        .any(|one| one.get_id() == arg.get_id())
                })
                .map(|other| other.get_id().to_string()),
        );
        Some(Setting {
            role,
            flag,
            variables,
            default,
            help: arg.get_help().map(ToString::to_string).unwrap_or_default(),
            reloads: role.reloadable().contains(&key.as_str()),
            global,
            conflicts,
            parser: arg.get_value_parser().clone(),
            kind,
            key,
        })
    }

    /// Whether the flag would accept `text`; else why not.
    ///
    /// # Errors
    /// The flag's own words.
    pub fn check(&self, text: &str) -> Result<(), String> {
        if self.kind == Kind::Switch {
            return match text {
                "true" | "false" => Ok(()),
                _ => Err(format!("it takes {}", self.kind.accepted())),
            };
        }
        let probe = Command::new("value").no_binary_name(true).arg(
            Arg::new("value")
                .long("value")
                .action(ArgAction::Set)
                .value_parser(self.parser.clone()),
        );
        match probe.try_get_matches_from([format!("--value={text}")]) {
            Ok(_) => Ok(()),
            Err(error) => Err(match std::error::Error::source(&error) {
                Some(source) => source.to_string(),
                None => format!("it takes {}", self.kind.accepted()),
            }),
        }
    }
}

/// Every setting of `role`: its own flags in the order of `--help`, then those it shares.
pub fn of(role: Role) -> Vec<Setting> {
    let mut tree = Args::command();
    // A command's flag may exclude one that all commands share; clap knows those there only once the tree is built.
    tree.build();
    let mut settings = Vec::new();
    if role != Role::Client
        && let Some(command) = tree.find_subcommand(role.word())
    {
        settings.extend(
            command
                .get_arguments()
                .filter(|arg| !arg.is_hide_set() && !arg.is_global_set() && arg.get_id() != "help")
                .filter_map(|arg| Setting::new(role, command, arg, false)),
        );
    }
    for key in role.global_flags() {
        settings.extend(
            tree.get_arguments()
                .find(|arg| arg.get_id() == key)
                .and_then(|arg| Setting::new(role, &tree, arg, true)),
        );
    }
    settings
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Flags that every command takes and that are a matter of one call, not settings.
    const CALLS_ONLY: [&str; 2] = ["config", "quiet"];

    #[test]
    fn every_flag_that_all_commands_take_is_a_setting_of_some_part_or_said_not_to_be() {
        for arg in Args::command().get_arguments() {
            let key = arg.get_id().as_str();
            let somewhere = Role::ALL
                .iter()
                .any(|role| role.global_flags().contains(&key));
            assert!(
                somewhere != CALLS_ONLY.contains(&key) || ["help", "version"].contains(&key),
                "--{key}: name it in Role::global_flags or in CALLS_ONLY, not in both"
            );
        }
    }

    #[test]
    fn every_name_in_the_lists_is_a_flag_there_is() {
        for role in Role::ALL {
            let keys: BTreeSet<String> = of(role).into_iter().map(|s| s.key).collect();
            for key in role.global_flags().iter().chain(role.reloadable()) {
                assert!(keys.contains(*key), "{role:?} has no {key}");
            }
        }
    }

    #[test]
    fn no_two_settings_of_a_part_share_a_key_or_a_variable_and_each_is_explained() {
        for role in Role::ALL {
            let (mut keys, mut variables) = (BTreeSet::new(), BTreeSet::new());
            for setting in of(role) {
                assert!(keys.insert(setting.key.clone()), "{role:?} {}", setting.key);
                assert!(!setting.help.is_empty(), "{role:?} {}", setting.key);
                for name in &setting.variables {
                    assert!(variables.insert(name.clone()), "{role:?} {name}");
                }
            }
            assert!(!keys.is_empty());
        }
    }

    #[test]
    fn every_default_is_one_that_its_flag_accepts() {
        for setting in Role::ALL.into_iter().flat_map(of) {
            if let Some(default) = &setting.default {
                assert_eq!(setting.check(default), Ok(()), "{}", setting.key);
            }
        }
    }

    #[test]
    fn a_flag_s_type_is_the_setting_s() {
        let find = |role, key: &str| of(role).into_iter().find(|s| s.key == key).unwrap();
        let lease = find(Role::Master, "lease");
        assert_eq!(
            (lease.kind, lease.flag.as_str(), lease.default.as_deref()),
            (Kind::Time, "--lease", Some("30s"))
        );
        assert_eq!(lease.variables, ["FFRTMP_MASTER_LEASE"]);
        assert_eq!(find(Role::Worker, "label").kind, Kind::Pairs);
        assert_eq!(find(Role::Worker, "slots").kind, Kind::Number);
        assert_eq!(find(Role::Master, "listen").kind, Kind::Address);
        assert_eq!(
            find(Role::Worker, "master").variables,
            ["FFRTMP_MASTER", "MASTER_URL"]
        );
        let off = find(Role::Master, "no_metrics");
        assert_eq!(
            (off.kind, off.conflicts),
            (Kind::Switch, vec!["metrics_listen".to_owned()])
        );
        assert_eq!(
            find(Role::Master, "metrics_listen").conflicts,
            ["no_metrics"]
        );
    }
}

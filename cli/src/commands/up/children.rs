//! The command lines of a cluster's processes.

use std::{ffi::OsString, net::SocketAddr, path::Path, time::Duration};

use super::{UpArgs, life::Ready, metrics_stack::MetricsStack};
use crate::{
    args::GlobalArgs,
    logging::SUPERVISED,
    settings::{Source, Value},
    supervisor::{Program, Role},
};

/// How long a master may take to end: a last commit on a slow disk.
const MASTER_ENDS_WITHIN: Duration = Duration::from_secs(15);
/// What a worker may take beyond its grace time, to kill and to report.
const WORKER_ENDS_WITHIN: Duration = Duration::from_secs(10);

/// What the children run.
pub struct Children<'a> {
    /// The flags given.
    pub args: &'a UpArgs,
    /// Those of every command.
    pub global: &'a GlobalArgs,
    /// Where things are.
    pub ready: &'a Ready,
    /// One address for each worker.
    pub worker_metrics: &'a [SocketAddr],
    /// What watches it, if anything.
    pub stack: Option<&'a MetricsStack>,
    /// Its settings and who said them.
    pub values: &'a [Value],
}

/// Settings of the master that are handed on only if somebody said them, so that what `[master]` says of them holds otherwise.
fn is_handed_on(key: &str) -> bool {
    matches!(key, "policy_mode" | "rate_limit" | "presets")
        || key.starts_with("spool_")
        || key.starts_with("webhook")
}

impl Children<'_> {
    /// The master.
    pub fn master(&self) -> Role {
        let mut args = Words::new("master");
        args.flag("--listen", self.args.listen.to_string());
        args.flag("--metrics-listen", self.args.metrics_listen.to_string());
        args.flag("--data-dir", self.ready.data_dir.join("master"));
        args.flag("--policies", &self.ready.policies);
        args.flag("--policy", &self.args.policy);
        for value in self
            .values
            .iter()
            .filter(|value| value.source != Source::Default && is_handed_on(&value.setting.key))
        {
            for text in &value.texts {
                args.flag(&value.setting.flag, text);
            }
        }
        if self.args.allow_raw_args {
            args.0.push("--allow-raw-args".into());
        }
        let tls = &self.args.tls;
        for (flag, file) in [
            ("--tls-cert", &tls.tls_cert),
            ("--tls-key", &tls.tls_key),
            ("--tls-client-ca", &tls.tls_client_ca),
        ] {
            if let Some(file) = file {
                args.flag(flag, file);
            }
        }
        if tls.tls_require_client_cert {
            args.0.push("--tls-require-client-cert".into());
        }
        self.role("the master".to_owned(), args, MASTER_ENDS_WITHIN)
    }

    /// Worker `i`, from 0.
    pub fn worker(&self, i: usize) -> Role {
        let name = worker_name(i);
        let mut args = Words::new("worker");
        args.flag("--master", &self.ready.api);
        args.flag("--name", &name);
        args.flag(
            "--state-dir",
            self.ready.data_dir.join("workers").join(&name),
        );
        args.flag("--metrics-listen", self.worker_metrics[i].to_string());
        args.flag("--grace", format!("{}ms", self.args.grace.as_millis()));
        args.flag("--ffmpeg", &self.args.ffmpeg);
        args.flag("--ffprobe", &self.args.ffprobe);
        if self.args.allow_raw_args {
            args.0.push("--allow-raw-args".into());
        }
        if let Some(slots) = self.args.slots {
            args.flag("--slots", slots.to_string());
        }
        self.role(
            format!("worker {name}"),
            args,
            self.args.grace + WORKER_ENDS_WITHIN,
        )
    }

    fn role(&self, name: String, mut args: Words, end_within: Duration) -> Role {
        args.flag("--log-format", self.args.log.log_format.as_str());
        // The token itself is inherited in the environment, or read from the same file; never an argument.
        if let Some(file) = &self.global.token_file {
            args.flag("--token-file", file);
        }
        for (flag, file) in [
            ("--tls-ca", &self.global.tls_ca),
            ("--tls-client-cert", &self.global.tls_client_cert),
            ("--tls-client-key", &self.global.tls_client_key),
        ] {
            if let Some(file) = file {
                args.flag(flag, file);
            }
        }
        if let Some(level) = &self.args.log.log_level {
            args.flag("--log-level", level);
        }
        if let Some(file) = &self.global.config {
            args.flag("--config", file);
        }
        Role {
            name,
            program: Program::Own,
            args: args.0,
            env: vec![(SUPERVISED.to_owned(), "1".to_owned())],
            end_within,
        }
    }
}

/// A command line under construction.
#[derive(Default)]
pub struct Words(pub Vec<OsString>);

impl Words {
    fn new(command: &str) -> Words {
        Words(vec![command.into()])
    }
    /// `--flag=value`, as one word, so that no value can be taken for a flag.
    pub fn flag(&mut self, flag: &str, value: impl AsRef<Path>) {
        let mut word = OsString::from(flag);
        word.push("=");
        word.push(value.as_ref());
        self.0.push(word);
    }
}

/// What worker `i`, from 0, is called.
pub fn worker_name(i: usize) -> String {
    format!("w{}", i + 1)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::{
        args::{Args, Command},
        settings::{self, Role as Part},
    };

    fn children_of(words: &str, check: impl FnOnce(&Children)) {
        let flags: Vec<OsString> = words
            .split_whitespace()
            .skip(2)
            .map(OsString::from)
            .collect();
        let loaded = settings::load_for(Part::Up, &flags).unwrap();
        let args = loaded.args;
        let Command::Up(up) = args.command else {
            panic!("not up")
        };
        let worker_metrics = up.worker_metrics().unwrap();
        let ready = Ready {
            api: format!("https://{}", super::super::near(up.listen)),
            master_metrics: String::new(),
            worker_metrics: Vec::new(),
            victoria_metrics: None,
            vmalert: None,
            data_dir: "/d".into(),
            policies: "/p".into(),
        };
        check(&Children {
            args: &up,
            global: &args.global,
            ready: &ready,
            worker_metrics: &worker_metrics,
            stack: None,
            values: &loaded.values,
        });
    }

    #[test]
    fn the_children_s_command_lines_are_ones_that_master_and_worker_accept() {
        children_of(
            "ffrtmp up --listen 0.0.0.0:1 --workers 2 --slots 3 --grace 1.5s --token-file /t --log-format json --tls-cert /c --tls-key /k --tls-ca /a --rate-limit 7 --policy-mode manual --spool-max 2G --presets /x --allow-raw-args",
            |children| {
                for role in [children.master(), children.worker(0), children.worker(1)] {
                    let words = std::iter::once(OsString::from("ffrtmp")).chain(role.args.clone());
                    let parsed = Args::try_parse_from(words)
                        .unwrap_or_else(|error| panic!("{role:?}: {error}"));
                    assert!(matches!(
                        parsed.command,
                        Command::Master(_) | Command::Worker(_)
                    ));
                    assert_eq!(parsed.global.token_file.as_deref(), Some(Path::new("/t")));
                }
                let line = |role: Role| role.args.join(&OsString::from(" ")).into_string().unwrap();
                let (master, words) = (line(children.master()), line(children.worker(1)));
                for word in [
                    "--rate-limit=7",
                    "--policy-mode=manual",
                    "--spool-max=2G",
                    "--presets=/x",
                    "--allow-raw-args",
                ] {
                    assert!(master.contains(word), "{word} is missing in {master}");
                }
                assert!(
                    !master.contains("--spool-keep"),
                    "what nobody said is left to [master]: {master}"
                );
                for word in [
                    "--master=https://127.0.0.1:1",
                    "--tls-ca=/a",
                    "--name=w2",
                    "--metrics-listen=127.0.0.1:9092",
                    "--grace=1500ms",
                    "--slots=3",
                    "--allow-raw-args",
                ] {
                    assert!(words.contains(word), "{word} is missing in {words}");
                }
            },
        );
    }

    #[test]
    fn too_many_workers_for_the_ports_is_an_error() {
        let args = Args::try_parse_from(
            "ffrtmp up --workers 3 --worker-metrics-listen 127.0.0.1:65534".split_whitespace(),
        )
        .unwrap();
        let Command::Up(up) = args.command else {
            panic!("not up")
        };
        assert!(up.worker_metrics().is_err());
    }
}

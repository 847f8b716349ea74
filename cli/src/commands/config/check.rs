//! `ffrtmp config check`: everything that would stop or worry a start, found without starting anything.
//!
//! Each look uses the code that the start itself uses, or its twin in the same file, so that the two agree.

use std::{
    ffi::OsString,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::Args;
use ffrtmp_api::tls::{ServerTls, ServerTlsFiles};

use super::{folder, show::words};
use crate::{
    args::{Command, GlobalArgs, OutputArg},
    commands::{master, presets::check as presets, up, worker},
    connection::connect,
    exit::{Failure, Result},
    listen,
    output::{Finding, FindingList, Level},
    settings::{File, Loaded, MachineOrUser, Role, load_for},
    token,
};

/// What to look at.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The settings file; default: --config, else FFRTMP_CONFIG, else the usual one if it is there
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// What to check: client, master, worker or up; may be repeated. Default: each part with a table in the file
    #[arg(
        long = "part",
        value_name = "PART",
        value_enum,
        hide_possible_values = true
    )]
    parts: Vec<Role>,
    /// How.
    #[command(flatten)]
    output: OutputArg,
}

/// Looks, prints, and fails if something would keep a part from starting.
pub fn run(args: CheckArgs, global: &GlobalArgs) -> Result {
    let global = GlobalArgs {
        config: args.file.or_else(|| global.config.clone()),
        ..global.clone()
    };
    let mut report = Report::default();
    match parts(args.parts, &global, &mut report) {
        Ok(parts) => parts
            .into_iter()
            .for_each(|part| report.part(part, &global)),
        Err(failure) => report.failed("config", "file", failure),
    }
    let list = FindingList {
        findings: report.findings,
    };
    crate::commands::face(args.output.output, &global).findings(&list)?;
    if list
        .findings
        .iter()
        .any(|finding| finding.level == Level::Error)
    {
        return Err(Failure::Silent);
    }
    Ok(())
}

/// Which parts to check: those named, else those the file has a table for, else the client.
fn parts(named: Vec<Role>, global: &GlobalArgs, report: &mut Report) -> Result<Vec<Role>> {
    let file = match File::find(global.config.as_deref(), MachineOrUser::Machine)? {
        Some(file) => Some(file),
        None => File::find(None, MachineOrUser::User)?,
    };
    match &file {
        Some(file) => report.ok(
            "config",
            "file",
            format!("{} makes sense", file.path.display()),
        ),
        None => report.ok(
            "config",
            "file",
            "there is none; flags, variables and defaults are in force".into(),
        ),
    }
    if !named.is_empty() {
        return Ok(named);
    }
    let parts: Vec<Role> = file.iter().flat_map(File::roles).collect();
    Ok(if parts.is_empty() {
        vec![Role::Client]
    } else {
        parts
    })
}

/// What was found so far.
#[derive(Default)]
struct Report {
    findings: Vec<Finding>,
}

impl Report {
    fn add(&mut self, level: Level, part: &str, item: &str, message: String) {
        self.findings.push(Finding {
            level,
            part: part.to_owned(),
            item: item.to_owned(),
            message,
        });
    }

    fn ok(&mut self, part: &str, item: &str, message: String) {
        self.add(Level::Ok, part, item, message);
    }

    fn warning(&mut self, part: &str, item: &str, message: String) {
        self.add(Level::Warning, part, item, message);
    }

    fn error(&mut self, part: &str, item: &str, message: String) {
        self.add(Level::Error, part, item, message);
    }

    fn failed(&mut self, part: &str, item: &str, failure: Failure) {
        match failure {
            Failure::Usage(message) | Failure::Failed(message) => self.error(part, item, message),
            Failure::Silent | Failure::ReaderGone => {}
        }
    }

    /// Fine with `good`, or what is wrong.
    fn judge(&mut self, part: &str, item: &str, outcome: Result, good: impl Into<String>) {
        match outcome {
            Ok(()) => self.ok(part, item, good.into()),
            Err(failure) => self.failed(part, item, failure),
        }
    }

    fn part(&mut self, part: Role, global: &GlobalArgs) {
        let flags: Vec<OsString> = words(part, global);
        match load_for(part, &flags) {
            Ok(loaded) => self.loaded(part, loaded),
            Err(failure) => self.failed(part.word(), "settings", failure),
        }
    }

    fn loaded(&mut self, part: Role, loaded: Loaded) {
        let Loaded { args, .. } = loaded;
        match args.command {
            Command::Master(master) => self.master(&master, &args.global),
            Command::Worker(worker) => self.worker(&worker, &args.global),
            Command::Up(up) => self.up(&up, &args.global),
            _ => self.client(part, &args.global),
        }
    }

    fn client(&mut self, part: Role, global: &GlobalArgs) {
        let part = part.word();
        self.token(part, global);
        match connect(global) {
            Ok(client) => {
                let client = client.with_retry(std::time::Duration::ZERO, |_, _| {});
                match client.version() {
                    Ok(version) => self.ok(
                        part,
                        "master",
                        format!(
                            "{} answers; its version is {}",
                            client.base(),
                            version.version
                        ),
                    ),
                    Err(error) => self.warning(part, "master", error.to_string()),
                }
            }
            Err(failure) => self.failed(part, "master", failure),
        }
    }

    fn master(&mut self, args: &master::MasterArgs, global: &GlobalArgs) {
        let part = "master";
        let token = self.token(part, global);
        let config = match args.config(token.clone()) {
            Ok(config) => config,
            Err(failure) => return self.failed(part, "settings", failure),
        };
        self.exposure(part, config.listen, token.is_some(), config.tls.is_some());
        for (item, files) in [
            ("tls_cert", &config.tls),
            ("metrics_tls_cert", &config.metrics_tls),
        ] {
            self.certificate(part, item, files);
        }
        self.port(part, "listen", "the API", "--listen", config.listen);
        if let Some(address) = config.metrics_listen {
            self.port(
                part,
                "metrics_listen",
                "the master's metrics",
                "--metrics-listen",
                address,
            );
        }
        match config.check() {
            Ok(()) => self.ok(part, "settings", "they go together".into()),
            // What the exposure said already is not said twice.
            Err(_) if token.is_none() && !is_near(config.listen) => {}
            Err(error) => self.error(part, "settings", format!("{error:#}")),
        }
        self.data_dir(part, &config.data_dir);
        self.policies(part, &config.policies_dir);
        self.presets(part, &config.presets_dir);
    }

    fn worker(&mut self, args: &worker::WorkerArgs, global: &GlobalArgs) {
        let part = "worker";
        let token = self.token(part, global);
        let config = match args.config(global, token) {
            Ok(config) => config,
            Err(failure) => return self.failed(part, "settings", failure),
        };
        match ffrtmp_worker::examine::settings(&config) {
            Ok(()) => self.ok(part, "settings", "they go together".into()),
            Err(error) => self.error(part, "settings", format!("{error:#}")),
        }
        if let Some(address) = args.metrics_wanted() {
            self.port(
                part,
                "metrics_listen",
                "the worker's metrics",
                "--metrics-listen",
                address,
            );
        }
        self.folder(part, "state_dir", &config.state_dir);
        if let Err(error) = ffrtmp_worker::examine::state_dir(&config.state_dir) {
            self.error(part, "state_dir", error.to_string());
        }
        if let Some(scratch) = &config.scratch_dir {
            self.folder(part, "scratch_dir", scratch);
        }
        self.programs(part, &config);
        match ffrtmp_worker::examine::sandbox(&config) {
            Ok(guards) => {
                for guard in guards {
                    let level = match guard.holds {
                        true => Level::Ok,
                        false => Level::Warning,
                    };
                    self.add(
                        level,
                        part,
                        "sandbox",
                        format!("{}: {}", guard.name, guard.what),
                    );
                }
            }
            // That a program is missing was said above.
            Err(_)
                if self
                    .findings
                    .iter()
                    .any(|one| one.item == "ffmpeg" && one.level == Level::Error) => {}
            Err(error) => self.error(part, "sandbox", format!("{error:#}")),
        }
        match connect(global).map(|client| client.with_retry(std::time::Duration::ZERO, |_, _| {}))
        {
            Ok(client) if client.ready() => {
                self.ok(part, "master", format!("{} is ready", client.base()))
            }
            Ok(client) => self.warning(
                part,
                "master",
                format!(
                    "{} does not answer now; a worker tries until it does",
                    client.base()
                ),
            ),
            Err(failure) => self.failed(part, "master", failure),
        }
    }

    fn up(&mut self, args: &up::UpArgs, global: &GlobalArgs) {
        let part = "up";
        let token = self.token(part, global);
        match args.tls.files() {
            Ok(files) => {
                self.exposure(part, args.listen, token.is_some(), files.is_some());
                self.certificate(part, "tls_cert", &files);
            }
            Err(failure) => self.failed(part, "tls_cert", failure),
        }
        match args.addresses() {
            Ok(addresses) => {
                for (what, flag, address) in addresses {
                    self.port(part, &flag[2..].replace('-', "_"), what, flag, address);
                }
            }
            Err(failure) => self.failed(part, "worker_metrics_listen", failure),
        }
        match args.data_dir() {
            Ok(dir) => {
                self.data_dir(part, &dir.join("master"));
                self.policies(part, &args.policies_dir(&dir));
                self.presets(part, &args.presets_dir(&dir));
                let mut config = ffrtmp_worker::WorkerConfig::new("http://127.0.0.1:1", &dir);
                (config.ffmpeg, config.ffprobe) = args.programs();
                self.programs(part, &config);
            }
            Err(failure) => self.failed(part, "data_dir", failure),
        }
    }

    fn token(&mut self, part: &str, global: &GlobalArgs) -> Option<String> {
        match token::find(global.token_file.as_deref(), |name| {
            std::env::var(name).ok()
        }) {
            Ok(Some(token)) => {
                self.ok(part, "token", "there is one".into());
                Some(token)
            }
            Ok(None) => {
                self.ok(part, "token", "there is none".into());
                None
            }
            Err(failure) => {
                self.failed(part, "token", failure);
                None
            }
        }
    }

    /// What an API beyond loopback needs.
    fn exposure(&mut self, part: &str, listen: SocketAddr, has_token: bool, has_tls: bool) {
        if is_near(listen) {
            return;
        }
        let outcome = listen::require_token_beyond_loopback(part, listen, has_token);
        if let Err(failure) = outcome {
            self.failed(part, "token", failure);
        }
        if !has_tls {
            self.warning(
                part,
                "listen",
                format!("{listen} is reachable from other machines without TLS: the token and all paths can be read on the way; `ffrtmp tls init` makes certificates"),
            );
        }
    }

    fn certificate(&mut self, part: &str, item: &str, files: &Option<ServerTlsFiles>) {
        let Some(files) = files else {
            return;
        };
        match ServerTls::load(files.clone()) {
            Ok(_) => self.ok(
                part,
                item,
                format!("{} can be served with", files.cert.display()),
            ),
            Err(error) => self.error(part, item, error.to_string()),
        }
    }

    fn port(&mut self, part: &str, item: &str, what: &str, flag: &str, address: SocketAddr) {
        let outcome = listen::require_free(what, flag, address);
        self.judge(part, item, outcome, format!("{address} is free"));
    }

    fn folder(&mut self, part: &str, item: &str, dir: &Path) {
        match folder::writable(dir) {
            Ok(true) => self.ok(part, item, format!("{} can be written", dir.display())),
            Ok(false) => self.ok(part, item, format!("{} will be made", dir.display())),
            Err(why) => self.error(
                part,
                item,
                format!("{why}; choose another with --{}", item.replace('_', "-")),
            ),
        }
    }

    fn data_dir(&mut self, part: &str, dir: &Path) {
        self.folder(part, "data_dir", dir);
        if let Err(error) = ffrtmp_host::store::examine(dir) {
            self.error(part, "data_dir", error.to_string());
        }
    }

    fn policies(&mut self, part: &str, dir: &Path) {
        match folder::writable(dir) {
            Ok(false) => {
                return self.ok(
                    part,
                    "policies",
                    format!(
                        "{} will be made; the built-in policy decides",
                        dir.display()
                    ),
                );
            }
            Err(why) if !dir.is_dir() => return self.error(part, "policies", why),
            _ => {}
        }
        match folder::policies(dir) {
            Ok((there, junk)) => {
                self.ok(
                    part,
                    "policies",
                    format!("{} has {} policies", dir.display(), there.len()),
                );
                for name in junk {
                    self.warning(
                        part,
                        "policies",
                        format!("{name} is no WebAssembly and will be refused"),
                    );
                }
            }
            Err(why) => self.error(
                part,
                "policies",
                format!("{why}; choose another folder with --policies"),
            ),
        }
    }

    fn presets(&mut self, part: &str, dir: &Path) {
        let files = match presets::in_folder(dir) {
            Ok(files) => files,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let message = format!(
                    "{} is not there; those compiled in can be named",
                    dir.display()
                );
                return self.ok(part, "presets", message);
            }
            Err(error) => {
                let message = format!(
                    "{}: {error}; choose another folder with --presets",
                    dir.display()
                );
                return self.error(part, "presets", message);
            }
        };
        self.ok(
            part,
            "presets",
            format!("{} has {} presets", dir.display(), files.len()),
        );
        for found in files.iter().map(|file| presets::look(file)) {
            if found.level == Level::Error {
                self.warning(
                    part,
                    "presets",
                    format!("{}: {}; it will be refused", found.item, found.message),
                );
            }
        }
    }

    fn programs(&mut self, part: &str, config: &ffrtmp_worker::WorkerConfig) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let found = runtime
            .map_err(anyhow::Error::from)
            .and_then(|runtime| runtime.block_on(ffrtmp_worker::examine::programs(config)));
        match found {
            Ok([ffmpeg, ffprobe]) => {
                self.ok(part, "ffmpeg", ffmpeg);
                self.ok(part, "ffprobe", ffprobe);
            }
            Err(error) => self.error(part, "ffmpeg", format!("{error:#}")),
        }
    }
}

fn is_near(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

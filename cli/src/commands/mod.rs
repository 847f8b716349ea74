//! One file for each command: its flags, its examples, what it calls and what it prints.
//!
//! A command never formats (see `output`), never chooses an exit code (see `exit`), and holds no rule of scheduling.

pub mod backup;
pub mod completions;
pub mod config;
pub mod jobs;
pub mod man;
pub mod master;
pub mod nodes;
pub mod policies;
pub mod presets;
pub mod ready;
mod reference;
mod spool;
mod stats;
pub mod tls;
mod token;
pub mod tokens;
pub mod up;
mod version;
mod webhook_args;
pub mod webhooks;
pub mod worker;

use crate::{
    args::{Args, Command, GlobalArgs},
    exit::{Failure, Result},
    output::{Format, Output, to_stdout},
    settings::Loaded,
};

/// Does what was asked.
pub fn run(loaded: Loaded) -> Result {
    let Args { global, command } = loaded.args;
    let values = loaded.values;
    match command {
        Command::Up(args) => local("up", &global).and_then(|()| up::run(args, &global, values)),
        Command::Master(args) => {
            local("master", &global).and_then(|()| master::run(args, &global, values))
        }
        Command::Worker(args) => worker::run(args, &global, values),
        Command::Config(command) => config::run(command, &global),
        Command::Jobs(command) => jobs::run(command, &global),
        Command::Nodes(command) => nodes::run(command, &global),
        Command::Policies(command) => policies::run(command, &global),
        Command::Presets(command) => presets::run(command, &global),
        Command::Stats(output) => stats::run(&output, &global),
        Command::Tls(command) => tls::run(command),
        Command::Tokens(command) => tokens::run(command, &global),
        Command::Webhooks(command) => webhooks::run(command, &global),
        Command::Token => token::run(),
        Command::Backup(args) => backup::run(&args, &global),
        Command::Ready(args) => ready::run(&args, &global),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
        Command::Reference { metrics } => reference::run(metrics),
        Command::Version(output) => version::run(&output, &global),
    }
}

/// Refuses `--master` where a master is started rather than talked to: silence would let somebody believe it was used.
fn local(command: &str, global: &GlobalArgs) -> Result {
    match &global.master {
        Some(_) => Err(Failure::usage(format!(
            "`ffrtmp {command}` starts a master and takes no --master; its address is set with --listen"
        ))),
        None => Ok(()),
    }
}

/// The format asked for: by `--output`, by `--format`, or a table.
fn format(output: Option<Format>, global: &GlobalArgs) -> Format {
    output.or(global.format).unwrap_or_default()
}

/// The face for it.
fn face(output: Option<Format>, global: &GlobalArgs) -> Box<dyn Output> {
    face_of(format(output, global), global)
}

/// The face for a format that was settled already.
fn face_of(format: Format, global: &GlobalArgs) -> Box<dyn Output> {
    to_stdout(format, global.quiet)
}

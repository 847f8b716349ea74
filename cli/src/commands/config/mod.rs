//! `ffrtmp config …`: what is set, whether it would work, and a file to begin with.

mod check;
mod folder;
mod init;
mod show;

use clap::Subcommand;

use crate::{args::GlobalArgs, exit::Result};

/// A command about settings.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print each setting's value in force and where it came from: flag, variable, file and line, or default
    #[command(after_help = "Examples:
  ffrtmp config show
  ffrtmp config show master --config /etc/ffrtmp/config.toml
  ffrtmp config show worker --output json

Secrets are never shown.")]
    Show(show::ShowArgs),
    /// Say everything that would stop or worry a start: one line for each thing looked at
    #[command(after_help = "Examples:
  ffrtmp config check
  ffrtmp config check /etc/ffrtmp/config.toml
  ffrtmp config check --part master --part worker

It changes nothing and exits with 1 if something would keep a part from starting.")]
    Check(check::CheckArgs),
    /// Write a file with every setting, its default and what it means
    #[command(after_help = "Examples:
  ffrtmp config init /etc/ffrtmp/config.toml
  ffrtmp config init --client
  ffrtmp config init -

Everything in it is commented out, so that it changes nothing until it is edited. `-` prints it.")]
    Init(init::InitArgs),
}

/// Does it.
pub fn run(command: ConfigCommand, global: &GlobalArgs) -> Result {
    match command {
        ConfigCommand::Show(args) => show::run(args, global),
        ConfigCommand::Check(args) => check::run(args, global),
        ConfigCommand::Init(args) => init::run(args, global),
    }
}

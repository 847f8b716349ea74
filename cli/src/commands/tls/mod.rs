//! `ffrtmp tls …`: the cluster's own certificates.

mod authority;
mod init;

use clap::Subcommand;

use crate::exit::Result;

/// A command about certificates.
#[derive(Debug, Subcommand)]
pub enum TlsCommand {
    /// Make a certificate authority and what it signs: the master's certificate, and workers' if asked
    #[command(after_help = "Examples:
  ffrtmp tls init --dir tls --host farm.example --host 10.0.0.5
  ffrtmp tls init --dir tls --worker encoder-7
  ffrtmp tls init --dir tls --host farm.example --force

An authority that is in the folder already is used again, so that what trusts it goes on to. Nothing is
overwritten without --force, and the authority never is: for a new one, delete ca.pem and ca-key.pem.")]
    Init(init::InitArgs),
}

/// Does it.
pub fn run(command: TlsCommand) -> Result {
    match command {
        TlsCommand::Init(args) => init::run(&args),
    }
}

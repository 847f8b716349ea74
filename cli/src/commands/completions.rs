//! `ffrtmp completions`: a script that lets a shell complete commands, flags and their words.

use std::io::{Write, stdout};

use clap::{Args as ClapArgs, CommandFactory, ValueEnum};
use clap_complete::{Shell, generate};

use crate::{args::Args, exit::Result};

/// For which shell.
#[derive(Debug, ClapArgs)]
pub struct CompletionsArgs {
    /// The shell: bash, zsh or fish
    #[arg(value_name = "SHELL", value_enum)]
    shell: ShellName,
}

/// A shell that is completed for.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum ShellName {
    /// GNU bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

/// Prints the script.
pub fn run(args: &CompletionsArgs) -> Result {
    let shell = match args.shell {
        ShellName::Bash => Shell::Bash,
        ShellName::Zsh => Shell::Zsh,
        ShellName::Fish => Shell::Fish,
    };
    // Into memory first: the generator panics where it cannot write, and a reader may close a pipe.
    let mut script = Vec::new();
    generate(shell, &mut Args::command(), "ffrtmp", &mut script);
    Ok(stdout().write_all(&script)?)
}

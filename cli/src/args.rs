//! The command tree: which commands there are, and the flags every command takes. Each command's own flags stand in its file.
//!
//! Separate so that the shape of the whole tool is one page. Nothing here reads the environment or does anything.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

use crate::{
    commands::{
        backup, completions, config::ConfigCommand, jobs, man, master::MasterArgs, nodes, policies,
        presets, ready, tls::TlsCommand, tokens::TokensCommand, up::UpArgs,
        webhooks::WebhooksCommand, worker::WorkerArgs,
    },
    output::Format,
};

/// Schedules ffmpeg jobs over many machines, placed by hot-reloadable WebAssembly policies.
#[derive(Debug, Parser)]
#[command(
    name = "ffrtmp",
    version,
    max_term_width = 110,
    arg_required_else_help = true,
    after_help = "Examples:
  ffrtmp up
  ffrtmp jobs submit --input in.mp4 --output out.mp4 --size 1280x720 --follow
  ffrtmp jobs list --state running
  ffrtmp nodes list

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted."
)]
pub struct Args {
    /// What every command takes.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, ClapArgs)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Settings file, instead of /etc/ffrtmp/config.toml (servers) or ~/.config/ffrtmp/config.toml (clients)
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Master to talk to: https://HOST:PORT or http://HOST:PORT. Else FFRTMP_MASTER, else MASTER_URL, else http://127.0.0.1:8080
    #[arg(long, global = true, value_name = "URL")]
    pub master: Option<String>,
    /// File that holds your token. Else FFRTMP_TOKEN, else MASTER_API_KEY
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Authority that must have signed the master's certificate (ca.pem). Else FFRTMP_TLS_CA, else the public ones
    #[arg(long, global = true, value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// Certificate to show to a master that asks for one. Else FFRTMP_TLS_CLIENT_CERT
    #[arg(long, global = true, value_name = "FILE")]
    pub tls_client_cert: Option<PathBuf>,
    /// Its private key. Else FFRTMP_TLS_CLIENT_KEY
    #[arg(long, global = true, value_name = "FILE")]
    pub tls_client_key: Option<PathBuf>,
    /// How to print answers: table, json or jsonl (one JSON object a line)
    #[arg(
        short = 'o',
        long,
        global = true,
        value_name = "FORMAT",
        value_enum,
        hide_possible_values = true
    )]
    pub format: Option<Format>,
    /// Print no more than ids and errors; with json or jsonl the answer stays whole
    #[arg(short = 'q', long, global = true)]
    pub quiet: bool,
    /// How long to wait for a master that does not answer (it may be restarting), as in 5s
    #[arg(long, global = true, value_name = "TIME", default_value = "5s", value_parser = crate::values::duration)]
    pub retry_for: std::time::Duration,
}

/// `--output` as a second name of `--format`, on every command but `jobs submit`, where it may name the media output.
#[derive(Debug, Clone, ClapArgs)]
pub struct OutputArg {
    /// Same as --format: table, json or jsonl
    #[arg(
        long = "output",
        value_name = "FORMAT",
        value_enum,
        hide_possible_values = true
    )]
    pub output: Option<Format>,
}

/// A command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a whole cluster on this machine: a master and its workers, supervised
    Up(UpArgs),
    /// Run a master: it keeps the queue and decides which worker runs what
    Master(MasterArgs),
    /// Run a worker: it runs ffmpeg for a master
    Worker(WorkerArgs),
    /// Submit, list, follow, explain, move and stop jobs
    #[command(subcommand, visible_alias = "job")]
    Jobs(jobs::JobsCommand),
    /// See the workers, take them out of service and put them back
    #[command(subcommand, visible_alias = "node")]
    Nodes(nodes::NodesCommand),
    /// See the scheduling policies
    #[command(subcommand, visible_alias = "policy")]
    Policies(policies::PoliciesCommand),
    /// See what jobs can name with --preset, and check files of presets
    #[command(subcommand, visible_alias = "preset")]
    Presets(presets::PresetsCommand),
    /// See and check the settings, and write a file of them
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the cluster in numbers: jobs, workers, waits, failures
    #[command(after_help = "Examples:
  ffrtmp stats
  ffrtmp stats --output json")]
    Stats(OutputArg),
    /// Make the certificates of a cluster
    #[command(subcommand)]
    Tls(TlsCommand),
    /// Make, list and revoke tokens: who may do what
    #[command(subcommand)]
    Tokens(TokensCommand),
    /// See what web servers were not told yet, try again, test, and get the secret they check with
    #[command(subcommand, visible_alias = "webhook")]
    Webhooks(WebhooksCommand),
    /// Print a new random token, to share between master, workers and clients
    #[command(after_help = "Examples:
  ffrtmp token > token.txt
  ffrtmp master --listen 0.0.0.0:8080 --token-file token.txt")]
    Token,
    /// Copy a master's data while it runs, so that it can be restored
    Backup(backup::BackupArgs),
    /// Say by the exit code whether a master or a worker is ready
    Ready(ready::ReadyArgs),
    /// Print the versions of this tool and of the master
    Version(OutputArg),
    /// Print a script that lets a shell complete commands and flags
    #[command(after_help = "Examples:
  ffrtmp completions bash > ~/.local/share/bash-completion/completions/ffrtmp
  ffrtmp completions zsh > ~/.zfunc/_ffrtmp
  ffrtmp completions fish > ~/.config/fish/completions/ffrtmp.fish")]
    Completions(completions::CompletionsArgs),
    /// Write manual pages, one for each command
    #[command(after_help = "Examples:
  ffrtmp man --dir /usr/local/share/man/man1")]
    Man(man::ManArgs),
    /// Print docs/CLI.md
    #[command(
        hide = true,
        after_help = "Examples:
  ffrtmp reference > docs/CLI.md
  ffrtmp reference --metrics > docs/METRICS.md"
    )]
    Reference {
        /// Print the metrics instead of the commands
        #[arg(long)]
        metrics: bool,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_tree_is_well_formed() {
        Args::command().debug_assert();
    }

    /// Every command's help, with the words that lead to it.
    fn walk(command: &clap::Command, path: &str, visit: &mut impl FnMut(&str, &clap::Command)) {
        visit(path, command);
        for sub in command
            .get_subcommands()
            .filter(|sub| sub.get_name() != "help")
        {
            walk(sub, &format!("{path} {}", sub.get_name()), visit);
        }
    }

    #[test]
    fn every_example_in_help_parses() {
        let mut examples = 0;
        walk(&Args::command(), "ffrtmp", &mut |path, command| {
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            for line in help
                .lines()
                .map(str::trim)
                .filter(|line| line.starts_with("ffrtmp "))
            {
                // Up to a shell's redirection, pipe or comment.
                let words: Vec<&str> = line
                    .split_whitespace()
                    .take_while(|w| !matches!(*w, ">" | "|" | "#" | "&"))
                    .collect();
                examples += 1;
                assert!(
                    line.len() <= 96,
                    "{path}: the example {line:?} would be wrapped"
                );
                if let Err(error) = Args::try_parse_from(&words) {
                    panic!("{path}: the example {line:?} does not parse: {error}");
                }
            }
        });
        assert!(examples >= 20, "only {examples} examples were found");
    }

    #[test]
    fn every_command_that_does_something_has_an_example() {
        walk(&Args::command(), "ffrtmp", &mut |path, command| {
            if !command.has_subcommands() && path != "ffrtmp version" {
                let help = command
                    .get_after_help()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                assert!(help.contains(path), "{path} has no example");
            }
        });
    }

    #[test]
    fn every_flag_is_explained() {
        let mut command = Args::command();
        command.build();
        walk(&command, "ffrtmp", &mut |path, command| {
            for arg in command.get_arguments() {
                assert!(
                    arg.get_help().is_some(),
                    "{path}: {} has no help",
                    arg.get_id()
                );
            }
        });
    }
}

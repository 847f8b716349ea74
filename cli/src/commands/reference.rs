//! `ffrtmp reference` (hidden): docs/CLI.md on standard output, from the command tree and the table of settings; with `--metrics`,
//! docs/METRICS.md, from the metrics themselves.
//!
//! The text is `--help`'s own, so that there is one wording; only the frame around it is made here.

use std::io::{self, Write, stdout};

use clap::{Arg, Command, CommandFactory};

use ffrtmp_api::metrics::reference::document;

use crate::{args::Args, exit::Result, settings};

/// Prints it.
pub fn run(metrics: bool) -> Result {
    let text = match metrics {
        true => metrics_reference()?,
        false => reference(),
    };
    Ok(stdout().write_all(text.as_bytes())?)
}

/// The document of all metrics.
fn metrics_reference() -> io::Result<String> {
    let master = ffrtmp_host::described_metrics().map_err(io::Error::other)?;
    let worker = ffrtmp_worker::described_metrics().map_err(io::Error::other)?;
    Ok(document(&master, &worker))
}

/// The whole document.
pub fn reference() -> String {
    let mut text = String::from(
        "# The command line\n\n\
         Generated from the commands by `make docs`; a test compares it with them. The same text: `ffrtmp COMMAND --help`.\n\
         Options that every command takes stand under `ffrtmp` only. Settings of files and variables follow the commands.\n",
    );
    let mut tree = Args::command().term_width(100);
    tree.build();
    command(&mut text, &tree, "ffrtmp");
    text += "\n## Settings\n\n\
        A flag goes before a variable, a variable before the file, the file before the default. Servers read\n\
        `/etc/ffrtmp/config.toml`, clients `~/.config/ffrtmp/config.toml` (or in `$XDG_CONFIG_HOME`); `--config FILE`, else\n\
        `FFRTMP_CONFIG`, names another for both. `ffrtmp config init` writes one. ↻: SIGHUP takes a new value over.\n";
    for role in settings::Role::ALL {
        text += &format!(
            "\n### [{}]\n\n| key | flag | variable | default | |\n| --- | --- | --- | --- | --- |\n",
            role.word()
        );
        for setting in settings::of(role) {
            text += &format!(
                "| `{}` | `{}` | `{}` | {} | {} |\n",
                setting.key,
                setting.flag,
                setting.variables.join("`, `"),
                setting
                    .default
                    .map(|text| format!("`{text}`"))
                    .unwrap_or_default(),
                if setting.reloads { "↻" } else { "" },
            );
        }
    }
    text += "\nA token is never a setting: `--token-file`, else `FFRTMP_TOKEN`, else `MASTER_API_KEY`, else `token_file` above.\n";
    text
}

fn command(text: &mut String, command_: &Command, path: &str) {
    // Said once, under `ffrtmp`.
    let hidden = |arg: &Arg| path != "ffrtmp" && (arg.is_global_set() || arg.get_id() == "help");
    let mut shown = command_
        .clone()
        .mut_args(|arg| if hidden(&arg) { arg.hide(true) } else { arg });
    let help = shown.render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    *text += &format!("\n## {path}\n\n```text\n{}\n```\n", lines.join("\n").trim());
    for below in command_.get_subcommands() {
        if below.get_name() != "help" && !below.is_hide_set() {
            command(text, below, &format!("{path} {}", below.get_name()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_in_docs_is_what_the_commands_say() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/CLI.md");
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        let is = reference();
        let differs = there.lines().zip(is.lines()).find(|(a, b)| a != b);
        assert!(
            there == is,
            "docs/CLI.md is not what the commands say; run `make docs`. First difference: {differs:?}"
        );
    }

    #[test]
    fn the_metrics_in_docs_are_what_they_say_of_themselves_and_each_says_enough() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/METRICS.md");
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        let is = metrics_reference().unwrap();
        let differs = there.lines().zip(is.lines()).find(|(a, b)| a != b);
        assert!(
            there == is,
            "docs/METRICS.md is not what the metrics say; run `make docs`. First difference: {differs:?}"
        );
        for metrics in [
            ffrtmp_host::described_metrics().unwrap(),
            ffrtmp_worker::described_metrics().unwrap(),
        ] {
            let faults = ffrtmp_api::metrics::reference::faults(&metrics);
            assert!(faults.is_empty(), "{faults:#?}");
        }
    }

    #[test]
    fn every_command_and_every_setting_is_in_it() {
        let text = reference();
        for part in [
            "## ffrtmp jobs submit\n",
            "## ffrtmp config check\n",
            "`FFRTMP_WORKER_SLOTS`",
            "### [up]",
        ] {
            assert!(text.contains(part), "{part:?} is missing");
        }
    }
}

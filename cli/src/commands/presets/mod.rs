//! `ffrtmp presets …`: what jobs can name with `--preset`.

pub mod check;

use clap::{Args, Subcommand};
use ffrtmp_api::{
    preset::{BUILT_IN, Preset, built_in, unknown},
    rest::{PresetDetail, PresetList, PresetSource, PresetSummary},
};

use crate::{
    args::{GlobalArgs, OutputArg},
    commands::face,
    connection::connect,
    exit::{Failure, Result},
};

/// A command about presets.
#[derive(Debug, Subcommand)]
pub enum PresetsCommand {
    /// List the presets: those that are compiled in, and those of the master's folder
    #[command(
        visible_alias = "ls",
        after_help = "Examples:
  ffrtmp presets list
  ffrtmp presets list --built-in --output json"
    )]
    List(ListArgs),
    /// Show what a preset says, as a file that can be changed and put into the master's folder
    #[command(after_help = "Examples:
  ffrtmp presets show web-mp4
  ffrtmp presets show web-mp4 > presets/ours.toml
  ffrtmp presets show 1080p60-h265 --built-in --output json")]
    Show(ShowArgs),
    /// Read files of presets, and say what is wrong with them
    Check(check::CheckArgs),
}

/// Which to list.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Those that are compiled into this tool; asks no master
    #[arg(long)]
    built_in: bool,
    /// How the answer looks.
    #[command(flatten)]
    output: OutputArg,
}

/// Which to show.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
    /// The one that is compiled into this tool; asks no master
    #[arg(long)]
    built_in: bool,
    /// How the answer looks.
    #[command(flatten)]
    output: OutputArg,
}

/// Does it.
pub fn run(command: PresetsCommand, global: &GlobalArgs) -> Result {
    match command {
        PresetsCommand::List(args) => {
            let list = match args.built_in {
                true => compiled_in(),
                false => connect(global)?.presets()?,
            };
            Ok(face(args.output.output, global).presets(&list)?)
        }
        PresetsCommand::Show(args) => {
            let preset = match args.built_in {
                true => match built_in(&args.name) {
                    Some(preset) => detail(preset),
                    None => {
                        let none = unknown(&args.name, BUILT_IN.keys().copied());
                        return Err(Failure::failed(none.message));
                    }
                },
                false => connect(global)?.preset(&args.name)?,
            };
            Ok(face(args.output.output, global).preset(&preset)?)
        }
        PresetsCommand::Check(args) => check::run(&args, global),
    }
}

fn compiled_in() -> PresetList {
    let summary = |preset: &Preset| PresetSummary {
        name: preset.name.clone(),
        description: preset.description.clone(),
        source: PresetSource::BuiltIn,
    };
    PresetList {
        presets: BUILT_IN.values().map(summary).collect(),
        refused: Vec::new(),
    }
}

fn detail(preset: &Preset) -> PresetDetail {
    PresetDetail {
        name: preset.name.clone(),
        description: preset.description.clone(),
        source: PresetSource::BuiltIn,
        outputs: preset.outputs().into_iter().map(str::to_owned).collect(),
        job: preset.job.clone(),
        refused: None,
    }
}

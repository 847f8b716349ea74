//! `ffrtmp presets check`: what a master would refuse in a preset's file, found without one.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use ffrtmp_api::{
    limits,
    preset::{BadPreset, Preset, built_in},
};

use crate::{
    args::{GlobalArgs, OutputArg},
    commands::face,
    exit::{Failure, Result},
    output::{Finding, FindingList, Level, clean},
};

/// What to look at.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ffrtmp presets check presets/ours.toml
  ffrtmp presets check presets
  ffrtmp presets check a.toml b.toml --output json

Exit code: 0 if all can be used, 1 if one cannot.")]
pub struct CheckArgs {
    /// Files of presets, or folders of them
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// How the answer looks.
    #[command(flatten)]
    output: OutputArg,
}

/// Looks, prints, and fails if a file cannot be used.
pub fn run(args: &CheckArgs, global: &GlobalArgs) -> Result {
    let mut findings = Vec::new();
    for given in &args.files {
        if !given.is_dir() {
            findings.push(look(given));
            continue;
        }
        match in_folder(given) {
            Ok(files) if files.is_empty() => findings.push(Finding {
                level: Level::Warning,
                part: "preset".into(),
                item: given.display().to_string(),
                message: "the folder holds no .toml file".into(),
            }),
            Ok(files) => findings.extend(files.iter().map(|file| look(file))),
            Err(error) => findings.push(wrong(given, None, format!("it cannot be read: {error}"))),
        }
    }
    let failed = findings.iter().any(|finding| finding.level == Level::Error);
    face(args.output.output, global).findings(&FindingList { findings })?;
    if failed { Err(Failure::Silent) } else { Ok(()) }
}

/// The files of a folder that a master would read, by name.
pub fn in_folder(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        if name.is_some_and(|name| name.ends_with(".toml") && !name.starts_with('.')) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// One file.
pub fn look(file: &Path) -> Finding {
    match read(file) {
        Ok(preset) => {
            let outputs = preset.outputs().join(" ");
            let instead = match built_in(&preset.name) {
                Some(_) => "; goes before the one of this name that is compiled in",
                None => "",
            };
            Finding {
                level: Level::Ok,
                part: "preset".into(),
                item: file.display().to_string(),
                message: format!("for outputs {outputs}{instead}"),
            }
        }
        Err(BadPreset { line, message }) => wrong(file, line, message),
    }
}

fn wrong(file: &Path, line: Option<usize>, message: String) -> Finding {
    let place = match line {
        Some(line) => format!("{}:{line}", file.display()),
        None => file.display().to_string(),
    };
    Finding {
        level: Level::Error,
        part: "preset".into(),
        item: clean(&place),
        message,
    }
}

fn read(file: &Path) -> std::result::Result<Preset, BadPreset> {
    let whole = |message: String| BadPreset {
        line: None,
        message,
    };
    let name = file
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let Some(name) = name.strip_suffix(".toml") else {
        return Err(whole(
            "a preset's file ends in .toml, or a master does not look at it".into(),
        ));
    };
    let metadata =
        fs::metadata(file).map_err(|error| whole(format!("it cannot be read: {error}")))?;
    if !metadata.is_file() {
        return Err(whole("it is not a regular file".into()));
    }
    if metadata.len() > limits::PRESET_BYTES_MAX as u64 {
        return Err(whole(format!(
            "it is {} bytes; at most {} are accepted",
            metadata.len(),
            limits::PRESET_BYTES_MAX
        )));
    }
    let bytes = fs::read(file).map_err(|error| whole(format!("it cannot be read: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        whole(format!(
            "it is not UTF-8 from byte {} on",
            error.utf8_error().valid_up_to()
        ))
    })?;
    Preset::parse(name, &text)
}

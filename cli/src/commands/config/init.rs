//! `ffrtmp config init`: a settings file to begin with.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write, stdout},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use clap::Args;

use crate::{
    args::GlobalArgs,
    exit::{Failure, Result},
    settings::{MachineOrUser, Role, sample},
};

/// What to write, and where.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Where; default: --config, else FFRTMP_CONFIG, else /etc/ffrtmp/config.toml; `-` for standard output
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Settings of clients only, by default into ~/.config/ffrtmp/config.toml
    #[arg(long)]
    client: bool,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
}

/// Writes it.
pub fn run(args: InitArgs, global: &GlobalArgs) -> Result {
    let (roles, usual) = if args.client {
        (vec![Role::Client], MachineOrUser::User)
    } else {
        (Role::ALL.to_vec(), MachineOrUser::Machine)
    };
    let text = sample(&roles);
    let path = args
        .file
        .or_else(|| global.config.clone())
        .or_else(|| named_in_environment().filter(|_| !args.client))
        .or_else(|| usual.path())
        .ok_or_else(|| Failure::usage("neither XDG_CONFIG_HOME nor HOME is set; name the file"))?;
    if path == Path::new("-") {
        return Ok(stdout().write_all(text.as_bytes())?);
    }
    write(&path, &text, args.force)?;
    writeln!(
        stdout(),
        "{} is written; nothing in it is set yet",
        path.display()
    )?;
    Ok(())
}

fn named_in_environment() -> Option<PathBuf> {
    let named = std::env::var_os("FFRTMP_CONFIG")?;
    (!named.is_empty()).then(|| named.into())
}

/// Readers see the old file or the new one, never half.
fn write(path: &Path, text: &str, force: bool) -> Result {
    let cannot = |error: std::io::Error| {
        Failure::failed(format!("cannot write {}: {error}", path.display()))
    };
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        fs::create_dir_all(dir).map_err(cannot)?;
    }
    if force {
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        fs::write(&new, text).map_err(cannot)?;
        return fs::rename(&new, path).map_err(cannot);
    }
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o644).open(path);
    match file {
        Ok(mut file) => file.write_all(text.as_bytes()).map_err(cannot),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(Failure::failed(format!(
            "{} is there already; --force replaces it, another name leaves it",
            path.display()
        ))),
        Err(error) => Err(cannot(error)),
    }
}

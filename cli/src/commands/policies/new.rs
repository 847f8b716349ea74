//! `ffrtmp policies new`: a project with a first policy in it, that builds as it is.
//!
//! Talks to no master. Writes a folder of its own and nothing outside it, and never into one that exists.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};

use super::template::{self, PLACEHOLDER};
use crate::exit::{Failure, Result};

/// Longest name, bytes: what the contract allows a policy to call itself.
const NAME_BYTES_MAX: usize = 64;

/// A language to write a policy in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// Rust: the fastest and smallest component
    Rust,
    /// JavaScript, with node and npm
    Js,
    /// Python, with pip
    Python,
}

/// What to make.
#[derive(Debug, Args)]
pub struct NewArgs {
    /// Its name: lower-case letters, digits and hyphens. Also the folder's
    #[arg(value_name = "NAME")]
    name: String,
    /// What it is written in
    #[arg(long, value_enum, value_name = "LANGUAGE")]
    lang: Language,
    /// Make its folder in this one
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

/// Makes it.
pub fn run(args: &NewArgs) -> Result {
    check_name(&args.name).map_err(Failure::usage)?;
    let project = args.dir.join(&args.name);
    fs::create_dir(&project).map_err(|error| not_made(&project, &error))?;
    let mut count = 0;
    for (path, text) in template::of(args.lang) {
        let path = project.join(path);
        write(&path, &text.replace(PLACEHOLDER, &args.name)).map_err(|error| {
            Failure::failed(format!("cannot write {}: {error}", path.display()))
        })?;
        count += 1;
    }
    writeln!(
        io::stdout(),
        "made {} ({count} files); its README.md says how to test and build it",
        project.display()
    )?;
    Ok(())
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
}

fn not_made(project: &Path, error: &io::Error) -> Failure {
    let folder = project.display();
    Failure::failed(match error.kind() {
        io::ErrorKind::AlreadyExists => {
            format!("{folder} exists already; choose another name, or another folder with --dir")
        }
        _ => format!("cannot make {folder}: {error}"),
    })
}

fn check_name(name: &str) -> std::result::Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !name.bytes().all(plain)
        || !name.starts_with(|first: char| first.is_ascii_lowercase())
        || name.ends_with('-')
    {
        return Err(format!(
            "{name:?} is no name for a policy: lower-case letters, digits and hyphens, a letter first and no hyphen last, as in \"night-shift\""
        ));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(format!(
            "a policy's name has at most {NAME_BYTES_MAX} letters; this one has {}",
            name.len()
        ));
    }
    if name == "native" {
        return Err("\"native\" is what the built-in policy is called in commands".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(dir: &Path, name: &str, lang: Language) -> Result {
        run(&NewArgs {
            name: name.into(),
            lang,
            dir: dir.into(),
        })
    }

    #[test]
    fn a_project_bears_its_name_everywhere_and_the_placeholder_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        for lang in [Language::Rust, Language::Js, Language::Python] {
            let name = format!("night-{lang:?}").to_lowercase();
            make(dir.path(), &name, lang).unwrap();
            let project = dir.path().join(&name);
            let mut named = 0;
            for (path, _) in template::of(lang) {
                let text = fs::read_to_string(project.join(path)).unwrap();
                assert!(!text.contains(PLACEHOLDER), "{path}");
                named += usize::from(text.contains(&name));
            }
            assert!(named >= 3, "{named}");
            assert!(project.join("wit/scheduler.wit").exists());
        }
    }

    #[test]
    fn a_folder_that_exists_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("mine")).unwrap();
        let refused = make(dir.path(), "mine", Language::Js);
        assert!(matches!(refused, Err(Failure::Failed(why)) if why.contains("exists already")));
        let inside = fs::read_dir(dir.path().join("mine")).unwrap();
        assert_eq!(inside.count(), 0);
    }

    #[test]
    fn a_name_that_is_none_is_refused_and_nothing_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let long = "a".repeat(65);
        for name in [
            "", "Night", "9to5", "a-", "../x", "a/b", "a b", "nächte", "native", &long,
        ] {
            let refused = make(dir.path(), name, Language::Js);
            assert!(matches!(refused, Err(Failure::Usage(_))), "{name:?}");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

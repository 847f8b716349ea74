//! Where things are kept when nobody says.
//!
//! Separate so that `up`, `master` and `worker` find the same places, and so that the rule is written down once.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use crate::exit::{Failure, Result};

/// `$XDG_STATE_HOME/ffrtmp`, else `~/.local/state/ffrtmp`.
pub fn data_dir() -> Result<PathBuf> {
    data_dir_from(|name| env::var_os(name)).ok_or_else(|| {
        Failure::usage("neither XDG_STATE_HOME nor HOME is set; say where to keep data with --data-dir (--state-dir for a worker)")
    })
}

fn data_dir_from(env: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    // The XDG specification: a relative path there is to be ignored.
    let absolute = |name| {
        env(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let state = absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))?;
    Some(state.join("ffrtmp"))
}

/// The folder policies are dropped into: the one given; else `./policies` if there is one (as in a checkout); else
/// `policies` in the data directory.
pub fn policies_dir(given: Option<PathBuf>, data_dir: &Path) -> PathBuf {
    given.unwrap_or_else(|| {
        let here = PathBuf::from("policies");
        if here.is_dir() {
            here
        } else {
            data_dir.join("policies")
        }
    })
}

/// The folder of presets: the one given, else `presets` beside the policies.
pub fn presets_dir(given: Option<PathBuf>, policies_dir: &Path) -> PathBuf {
    given.unwrap_or_else(|| policies_dir.with_file_name("presets"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_kept_where_xdg_says_else_in_the_home_directory() {
        let env = |xdg: &'static str, home: &'static str| {
            data_dir_from(move |name| Some(OsString::from(if name == "HOME" { home } else { xdg })))
        };
        assert_eq!(env("/x", "/home/a"), Some("/x/ffrtmp".into()));
        assert_eq!(
            env("relative", "/home/a"),
            Some("/home/a/.local/state/ffrtmp".into())
        );
        assert_eq!(env("", ""), None);
    }
}

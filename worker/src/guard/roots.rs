//! Below which folders a job may read and write, where an operator has said so.
//!
//! Decided twice: by the path as it is written, so that nothing outside is even looked for and no message tells what is
//! there; and by the path as the file system resolves it, so that no link inside leads outside. An output does not exist
//! yet; there it is its folder that counts. Then once more by what was opened ([`Guard::leads`]): a link that was put in place since is
//! found, and what was opened is what ffmpeg is let to, so that one that is put in place later leads it to nothing.

use std::{
    fmt,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context, bail};
use ffrtmp_api::{
    job::FailureReason,
    settings::{Output, Settings, Source},
};

use super::Guard;
use crate::{attempt::prepare::blocking, ffmpeg::diagnosis::Failure, sandbox::Grant};

/// See the module's head. None at all: jobs may use every path the worker may.
#[derive(Debug, Default)]
pub(super) struct Roots {
    /// As they were given.
    named: Vec<PathBuf>,
    /// The same without links.
    resolved: Vec<PathBuf>,
}

impl Roots {
    /// The roots `named`.
    ///
    /// # Errors
    /// Which is no folder, or whose path is not absolute.
    pub(super) fn find(named: &[PathBuf]) -> anyhow::Result<Roots> {
        let mut roots = Roots::default();
        for root in named {
            let shown = root.display();
            if !root.is_absolute() || has_parent(root) {
                bail!("--allow-root: {shown} is not an absolute path without `..`");
            }
            let resolved = root
                .canonicalize()
                .with_context(|| format!("--allow-root: {shown} cannot be used"))?;
            if !resolved.is_dir() {
                bail!("--allow-root: {shown} is not a folder");
            }
            roots.named.push(root.clone());
            roots.resolved.push(resolved);
        }
        Ok(roots)
    }

    /// Whether `path` may be used, be it there or not; if it `is_new`, whether something may be made there.
    fn holds(&self, path: &Path, is_new: bool) -> bool {
        if self.named.is_empty() {
            return true;
        }
        let below = |path: &Path, roots: &[PathBuf]| roots.iter().any(|r| path.starts_with(r));
        let is_named = below(path, &self.named) || below(path, &self.resolved);
        if has_parent(path) || !is_named {
            return false;
        }
        // Of what is to be made, the folder it is made in.
        let start = match is_new {
            true => path.parent().unwrap_or(path),
            false => path,
        };
        // What is not there cannot lead anywhere; what stands before it on the way can. The root itself is there.
        let met = start
            .ancestors()
            .find(|part| part.symlink_metadata().is_ok());
        let leads = met.and_then(|part| part.canonicalize().ok());
        leads.is_some_and(|leads| below(&leads, &self.resolved))
    }

    /// Whether what was opened is below a root.
    fn hold(&self, grant: &Grant) -> bool {
        let below = |place: PathBuf| self.resolved.iter().any(|root| place.starts_with(root));
        self.resolved.is_empty() || grant.place().is_ok_and(below)
    }

    fn check(&self, what: &str, path: &Path, is_new: bool) -> Result<(), Failure> {
        match self.holds(path, is_new) {
            true => Ok(()),
            false => Err(self.refusal(what, path)),
        }
    }

    fn refusal(&self, what: &str, path: &Path) -> Failure {
        let roots: Vec<_> = self.named.iter().map(|r| r.display().to_string()).collect();
        Failure::new(
            FailureReason::UserError,
            format!(
                "{what} {}: is not below {}, and jobs use nothing else on this worker (--allow-root)",
                path.display(),
                roots.join(" or ")
            ),
        )
    }
}

impl fmt::Display for Roots {
    /// For people: where jobs read and write.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.named.is_empty() {
            return f.write_str("wherever the worker may");
        }
        let roots: Vec<_> = self.named.iter().map(|r| r.display().to_string()).collect();
        write!(f, "below {}", roots.join(" and "))
    }
}

impl Guard {
    /// Whether a job may use the paths it names.
    ///
    /// # Errors
    /// A `user_error` that names the path and the roots.
    pub(crate) async fn paths(&self, settings: &Settings) -> Result<(), Failure> {
        let input = match &settings.source {
            Source::File(path) => Some(PathBuf::from(path)),
            Source::Url(_) | Source::Upload(_) | Source::Synthetic => None,
        };
        let output = match &settings.output {
            Some(Output::File(path) | Output::Folder { path, .. }) => Some(PathBuf::from(path)),
            Some(Output::Put(_) | Output::Push(_) | Output::Spool(_)) | None => None,
        };
        let roots = std::sync::Arc::clone(&self.roots);
        blocking(move || {
            if let Some(path) = input {
                roots.check("input", &path, false)?;
            }
            output.map_or(Ok(()), |path| roots.check("output", &path, true))
        })
        .await
    }

    /// Whether a job may use what was opened for it at `path`.
    ///
    /// # Errors
    /// As [`Guard::paths`]: the path led elsewhere by then.
    pub(crate) fn leads(&self, what: &str, path: &Path, grant: &Grant) -> Result<(), Failure> {
        match self.roots.hold(grant) {
            true => Ok(()),
            false => Err(self.roots.refusal(what, path)),
        }
    }
}

/// Whether the path goes back up.
fn has_parent(path: &Path) -> bool {
    path.components().any(|part| part == Component::ParentDir)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn only_what_is_below_a_root_by_name_and_in_truth_may_be_used() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("real/in")).unwrap();
        fs::create_dir_all(at("outside")).unwrap();
        fs::write(at("outside/secret"), "").unwrap();
        fs::write(at("real/in/film"), "").unwrap();
        symlink(at("real"), at("root")).unwrap();
        symlink(at("outside"), at("real/door")).unwrap();
        symlink(at("outside/secret"), at("real/window")).unwrap();
        symlink(at("outside/not-there"), at("real/trap")).unwrap();
        symlink(at("real/in/film"), at("real/alias")).unwrap();
        let roots = Roots::find(&[at("root")]).unwrap();
        for name in [
            "root/in/film",
            "real/in/film",
            "root/alias",
            "root/missing",
            "root/missing/film",
        ] {
            assert!(roots.holds(&at(name), false), "{name}");
        }
        for name in ["root/new", "real/in/new", "root/missing/new"] {
            assert!(roots.holds(&at(name), true), "{name}");
        }
        for name in [
            "outside/secret",
            "root/../outside/secret",
            "root/door/secret",
            "root/window",
            "root/trap",
            "rootless",
            "root/door/missing/x",
        ] {
            assert!(!roots.holds(&at(name), false), "{name}");
        }
        for name in [
            "outside/new",
            "root/door/new",
            "root/trap/new",
            "root/door/missing/new",
            "root",
        ] {
            assert!(!roots.holds(&at(name), true), "{name}");
        }
        let failure = roots
            .check("input", &at("outside/secret"), false)
            .unwrap_err();
        assert_eq!(failure.reason, FailureReason::UserError);
        assert!(
            failure.message.contains(at("root").to_str().unwrap()),
            "{failure:?}"
        );
        assert!(Roots::default().holds(Path::new("/etc/passwd"), false));
    }

    #[test]
    fn a_root_that_is_none_is_refused_at_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        for bad in [
            file,
            dir.path().join("missing"),
            "media".into(),
            "/tmp/..".into(),
        ] {
            let error = Roots::find(std::slice::from_ref(&bad)).unwrap_err();
            assert!(error.to_string().contains("--allow-root"), "{error}");
        }
    }
}

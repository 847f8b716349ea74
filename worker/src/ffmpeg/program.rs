//! Where ffmpeg and ffprobe are, and which version speaks.

use std::{
    env, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, bail};

use super::{capture::capture, spawner::Spawner};

/// The two programs a worker runs, as absolute paths, so that a child's working directory changes nothing.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    /// ffmpeg.
    pub(crate) ffmpeg: PathBuf,
    /// ffprobe.
    pub(crate) ffprobe: PathBuf,
}

impl Programs {
    /// Finds both.
    pub(crate) fn find(ffmpeg: &Path, ffprobe: &Path) -> anyhow::Result<Programs> {
        Ok(Programs {
            ffmpeg: find(ffmpeg, "--ffmpeg")?,
            ffprobe: find(ffprobe, "--ffprobe")?,
        })
    }

    /// Whether this build of ffmpeg has a filter.
    ///
    /// # Errors
    /// When ffmpeg cannot be run, or gives no answer within 10 s.
    pub(crate) async fn has_filter(&self, spawner: &Spawner, name: &str) -> io::Result<bool> {
        let mut command = Command::new(&self.ffmpeg);
        command.args(["-hide_banner", "-h", &format!("filter={name}")]);
        let said = capture(spawner, command, Duration::from_secs(10)).await?;
        Ok(said.stdout.contains(&format!("Filter {name}")))
    }
}

fn find(program: &Path, flag: &str) -> anyhow::Result<PathBuf> {
    let runnable = |path: &Path| {
        path.metadata()
            .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    if program.components().count() > 1 {
        let path = std::path::absolute(program)?;
        if runnable(&path) {
            return Ok(path);
        }
        bail!(
            "{} is not an executable file; install it or name another with {flag}",
            path.display()
        );
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join(program))
        .find(|p| runnable(p))
        .with_context(|| {
            format!(
                "{} was not found in PATH; install it or name it with {flag}",
                program.display()
            )
        })
}

/// All that `ffmpeg -version` prints: it names the versions of the libraries too, so a library replaced under the same
/// program shows. `name` is what the program must call itself: something else that happens to succeed is refused.
pub(crate) async fn version(
    spawner: &Spawner,
    program: &Path,
    name: &str,
) -> anyhow::Result<String> {
    let told = ask_version(spawner, program, name).await;
    if let Err(error) = &told
        && spawner.is_confined()
        && ask_version(&spawner.unconfined(), program, name)
            .await
            .is_ok()
    {
        bail!(
            "{} runs by itself, but not as jobs run here ({error:#}); name the folders it needs with --sandbox-read, see that the user of \
             --run-as may run it, or do without by --sandbox off",
            program.display()
        );
    }
    told
}

async fn ask_version(spawner: &Spawner, program: &Path, name: &str) -> anyhow::Result<String> {
    let mut command = Command::new(program);
    command.args(["-hide_banner", "-version"]);
    let answer = capture(spawner, command, Duration::from_secs(20))
        .await
        .with_context(|| {
            format!(
                "{} cannot be run; name another {name} with --{name}",
                program.display()
            )
        })?;
    if !answer.exit.status.success() {
        bail!(
            "{} -version failed ({}): {}; name another {name} with --{name}",
            program.display(),
            answer.exit.status,
            answer.last_words()
        );
    }
    let said = answer.stdout.lines().next().unwrap_or_default();
    if !said.starts_with(&format!("{name} version ")) {
        bail!(
            "{} is not {name}: asked for its version it said {:?}; name another with --{name}",
            program.display(),
            said.chars().take(80).collect::<String>()
        );
    }
    Ok(answer.stdout)
}

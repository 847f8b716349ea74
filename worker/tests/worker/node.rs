//! A worker under test, in directories of its own.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use ffrtmp_worker::{WorkerConfig, run};
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};

use crate::master::{Master, PATIENCE};

/// The directories of a worker, and what it is to be told.
pub struct Node {
    pub dir: TempDir,
    pub config: WorkerConfig,
}

/// A worker that runs.
pub struct Running {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Node {
    pub fn of(master: &Master) -> Node {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("media")).unwrap();
        let mut config = WorkerConfig::new(master.url(), dir.path().join("state"));
        config.name = Some("n1".into());
        config.slots = Some(4);
        config.kill_grace = Duration::from_millis(300);
        Node { dir, config }
    }

    /// Replaces ffmpeg by a script. `body` runs instead of an encode; anything else is passed to the real one.
    /// `$target` is the file to write.
    pub fn with_ffmpeg(mut self, body: &str) -> Node {
        let path = self.dir.path().join("ffmpeg");
        let script = format!(
            "#!/bin/sh\ncase \" $* \" in *' -progress '*) ;; *) exec ffmpeg \"$@\" ;; esac\n\
             for target; do :; done\ntarget=${{target#file:}}\n{body}\n"
        );
        program(&path, &script);
        self.config.ffmpeg = path;
        self
    }

    pub fn start(&self) -> Running {
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(run(self.config.clone(), async move {
            // A dropped sender is no order to stop.
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
        }));
        Running {
            stop: Some(stop),
            task,
        }
    }

    pub fn media(&self, name: &str) -> PathBuf {
        self.dir.path().join("media").join(name)
    }

    pub fn media_text(&self, name: &str) -> Option<String> {
        Some(self.media(name).to_str().unwrap().to_owned())
    }

    /// The files beside the media, sorted.
    pub fn listing(&self) -> Vec<String> {
        names(&self.dir.path().join("media"))
    }

    pub fn scratch_and_records(&self) -> Vec<String> {
        let state = self.dir.path().join("state");
        [
            names(&state.join("scratch")),
            names(&state.join("attempts")),
        ]
        .concat()
    }
}

impl Running {
    /// Asks it to drain.
    pub fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    pub async fn ended(self) -> anyhow::Result<()> {
        timeout(PATIENCE, self.task)
            .await
            .expect("the worker does not end")
            .unwrap()
    }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Writes a script that can be run.
pub fn program(path: &Path, script: &str) {
    fs::write(path, script).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

pub fn clip() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/media/bigbuckbunny.mp4")
        .canonicalize()
        .unwrap()
}

/// Waits until `holds`.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether a process is gone, or only waits for its parent to notice.
pub fn is_dead(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

/// The number a script wrote, once it is complete.
pub async fn pid_in(path: &Path) -> u32 {
    let read = || {
        fs::read_to_string(path)
            .ok()
            .filter(|text| text.ends_with('\n'))?
            .trim()
            .parse()
            .ok()
    };
    eventually("a script does not write its pid", || read().is_some()).await;
    read().unwrap()
}

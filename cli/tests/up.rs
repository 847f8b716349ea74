//! `ffrtmp up` with real children: the cluster becomes ready, survives the death of a child, and leaves nothing behind.

#![allow(clippy::unwrap_used)] // in a test, that is the report

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use ffrtmp_api::{client::Client, rest::NodeStatus};
use rustix::process::{Pid, Signal, kill_process};

/// Long enough for a busy machine; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `ffrtmp up`, ready.
struct Up {
    process: Child,
    client: Client,
    dir: tempfile::TempDir,
}

impl Up {
    fn start() -> Up {
        let dir = tempfile::tempdir().unwrap();
        // Held together, so that they differ; given back just before they are used.
        let ports: Vec<TcpListener> = (0..3)
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        let [api, master_metrics, worker_metrics] =
            [0, 1, 2].map(|i: usize| ports[i].local_addr().unwrap().to_string());
        drop(ports);
        let mut process = Command::new(env!("CARGO_BIN_EXE_ffrtmp"))
            .args(["up", "--format", "json", "--grace", "5s"])
            .args(["--listen", &api, "--metrics-listen", &master_metrics])
            .args(["--worker-metrics-listen", &worker_metrics])
            .arg("--data-dir")
            .arg(dir.path())
            .arg("--policies")
            .arg(dir.path().join("policies"))
            .env_remove("FFRTMP_TOKEN")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut ready)
            .unwrap();
        let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
        assert_eq!(ready["api"], format!("http://{api}"));
        Up {
            process,
            client: Client::new(&api, None).unwrap(),
            dir,
        }
    }

    fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// The children that run `command`, by the data directory in their arguments.
    fn children(&self, command: &str) -> Vec<Pid> {
        processes_of(self.dir.path())
            .into_iter()
            .filter(|(_, first)| first == command)
            .map(|(pid, _)| pid)
            .collect()
    }

    fn ended(&mut self) -> ExitStatus {
        eventually("up ends", || self.process.try_wait().unwrap())
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // Its children die with it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Processes with `dir` in their arguments, each with its first argument.
fn processes_of(dir: &Path) -> Vec<(Pid, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let Ok(line) = fs::read_to_string(entry.path().join("cmdline")) else {
            continue;
        };
        if line.contains(dir.to_str().unwrap()) {
            let first = line.split('\0').nth(1).unwrap_or("").to_owned();
            found.extend(Pid::from_raw(pid).map(|pid| (pid, first)));
        }
    }
    found
}

fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(
            start.elapsed() < PATIENCE,
            "not within {PATIENCE:?}: {what}"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

fn nothing_left(dir: &Path) {
    eventually("every process is gone", || {
        processes_of(dir).is_empty().then_some(())
    });
}

#[test]
fn a_cluster_becomes_ready_and_ends_in_order() {
    let mut up = Up::start();
    let nodes = up.client.nodes().unwrap().nodes;
    assert_eq!(
        nodes
            .iter()
            .map(|node| node.name.as_str())
            .collect::<Vec<_>>(),
        ["w1"]
    );
    up.send(Signal::TERM);
    assert!(up.ended().success());
    nothing_left(up.dir.path());
}

#[test]
fn children_that_die_are_started_again_and_find_each_other() {
    let mut up = Up::start();
    for command in ["worker", "master"] {
        let before = up.children(command);
        assert_eq!(before.len(), 1, "{command}");
        kill_process(before[0], Signal::KILL).unwrap();
        eventually("another one runs", || {
            up.children(command)
                .first()
                .filter(|pid| **pid != before[0])
                .copied()
        });
        eventually("the worker is connected", || {
            let nodes = up.client.nodes().ok()?.nodes;
            nodes
                .iter()
                .any(|node| node.status != NodeStatus::Offline)
                .then_some(())
        });
    }
    up.send(Signal::INT);
    assert!(up.ended().success());
    nothing_left(up.dir.path());
}

#[test]
fn when_up_is_killed_all_end() {
    let mut up = Up::start();
    assert_eq!(up.children("master").len() + up.children("worker").len(), 2);
    up.send(Signal::KILL);
    assert!(!up.ended().success());
    nothing_left(up.dir.path());
}

#[test]
fn a_hangup_reloads_and_a_terminal_that_goes_ends_the_cluster() {
    let mut up = Up::start();
    up.send(Signal::HUP);
    let master = up.children("master")[0];
    assert!(
        up.client.ready(),
        "a hangup with the terminal in place ends nothing"
    );
    assert_eq!(up.children("master"), [master]);
    up.send(Signal::TERM);
    assert!(up.ended().success());
    // `script` gives the cluster a terminal of its own; killing it takes the terminal away.
    let dir = tempfile::tempdir().unwrap();
    let ports: Vec<TcpListener> = (0..3)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    let [api, metrics, worker] = [0, 1, 2].map(|i: usize| ports[i].local_addr().unwrap());
    drop(ports);
    let line = format!(
        "exec {} up --listen {api} --metrics-listen {metrics} --worker-metrics-listen {worker} --data-dir {}",
        env!("CARGO_BIN_EXE_ffrtmp"),
        dir.path().display()
    );
    let mut terminal = Command::new("script")
        .args(["-qfec", &line, "/dev/null"])
        .env_remove("FFRTMP_TOKEN")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let client = Client::new(&api.to_string(), None).unwrap();
    eventually("the worker is connected", || {
        let nodes = client.nodes().ok()?.nodes;
        (!nodes.is_empty()).then_some(())
    });
    terminal.kill().unwrap();
    terminal.wait().unwrap();
    nothing_left(dir.path());
}

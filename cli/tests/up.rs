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

use ffrtmp_api::{client::Client, job::JobSpec, rest::NodeStatus, tls::ClientTls};
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
        Up::start_in(
            tempfile::tempdir().unwrap(),
            &[],
            "http",
            &ClientTls::default(),
        )
    }

    fn start_in(dir: tempfile::TempDir, flags: &[&str], scheme: &str, tls: &ClientTls) -> Up {
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
            .args(flags)
            .env_remove("FFRTMP_TOKEN")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(dir.path().join("up.log")).unwrap())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut ready)
            .unwrap();
        let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
        let url = format!("{scheme}://{api}");
        assert_eq!(ready["api"], url);
        Up {
            process,
            client: Client::new(&url, None).unwrap().with_tls(tls),
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
fn a_certificate_named_for_the_master_alone_is_served_and_trusted_and_what_is_submitted_is_audited()
{
    let dir = tempfile::tempdir().unwrap();
    let tls = dir.path().join("tls");
    let made = Command::new(env!("CARGO_BIN_EXE_ffrtmp"))
        .args(["tls", "init", "--dir"])
        .arg(&tls)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(made.success());
    let file = dir.path().join("ffrtmp.toml");
    let text = format!(
        "[master]\ntls_cert = {:?}\ntls_key = {:?}\n[worker]\ntls_ca = {:?}\n",
        tls.join("server.pem"),
        tls.join("server-key.pem"),
        tls.join("ca.pem")
    );
    fs::write(&file, text).unwrap();
    let flags = ["--config", file.to_str().unwrap(), "--rate-limit", "500"];
    let trusted = ClientTls::load(Some(&tls.join("ca.pem")), None).unwrap();
    let mut up = Up::start_in(dir, &flags, "https", &trusted);
    assert_eq!(up.client.nodes().unwrap().nodes.len(), 1);
    let spec = JobSpec {
        duration_seconds: Some(0.1),
        ..JobSpec::default()
    };
    let id = up.client.submit(&spec).unwrap().id;
    let line = eventually("the submit is in the log", || {
        let log = fs::read_to_string(up.dir.path().join("up.log")).unwrap();
        log.lines()
            .find(|line| line.contains("audit") && line.contains("/v1/jobs"))
            .map(str::to_owned)
    });
    assert!(line.contains(&format!("job={id}")), "{line}");
    let master = up.children("master")[0].as_raw_nonzero().get();
    let words = fs::read_to_string(format!("/proc/{master}/cmdline")).unwrap();
    assert!(words.contains("--rate-limit=500"), "{words}");
    up.send(Signal::TERM);
    assert!(up.ended().success());
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

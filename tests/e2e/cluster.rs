//! A cluster for one test: a master and workers as real processes, in a folder of their own.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

use ffrtmp_api::{
    client::{Client, JobQuery},
    ids::{JobRef, JobSeq},
    job::{JobSpec, JobState},
    rest::{Job, NodeStatus},
    tls::ClientTls,
};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long anything may take before a test fails. Generous: the machine may be busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The binary under test.
pub const FFRTMP: &str = env!("CARGO_BIN_EXE_ffrtmp");

/// The workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// Real footage: 132 frames, 5.28 s, 1280x720 H.264 with AAC.
pub fn footage() -> String {
    root()
        .join("tests/media/bigbuckbunny.mp4")
        .to_str()
        .unwrap()
        .to_owned()
}

/// A port nobody listens on, outside the range the kernel gives to outgoing connections.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + (std::process::id() as u16 % 200) * 100 + offset % 100;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Waits for `check` to give something.
#[track_caller]
pub fn until<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = check() {
            return value;
        }
        assert!(
            start.elapsed() < PATIENCE,
            "waited {PATIENCE:?} in vain: {what}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A process of the cluster. Killed when dropped.
pub struct Process {
    pub child: Child,
}

impl Process {
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }
    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
    /// Waits for it to end by itself.
    #[track_caller]
    pub fn wait(&mut self) -> std::process::ExitStatus {
        until("the process ends", || self.child.try_wait().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// See the module's head.
pub struct Cluster {
    pub dir: TempDir,
    pub port: u16,
    pub metrics_port: u16,
    pub token: Option<String>,
    /// The authority of its certificates, if it speaks TLS; made by [`Cluster::secure`].
    pub ca: Option<PathBuf>,
    /// Further flags of the master.
    pub master_flags: Vec<String>,
    pub master: Option<Process>,
    pub workers: BTreeMap<String, (Process, u16)>,
}

impl Cluster {
    /// A folder and ports, with nothing running. Its policies folder holds `balanced.wasm`.
    pub fn new() -> Cluster {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("policies")).unwrap();
        let cluster = Cluster {
            dir,
            port: free_port(),
            metrics_port: free_port(),
            token: None,
            ca: None,
            master_flags: Vec::new(),
            master: None,
            workers: BTreeMap::new(),
        };
        std::fs::copy(
            root().join("policies/balanced.wasm"),
            cluster.path("policies/balanced.wasm"),
        )
        .unwrap();
        cluster
    }

    /// Makes certificates with `ffrtmp tls init` and lets the master serve with them.
    pub fn secure(&mut self) {
        let made = self
            .command("tls")
            .args(["tls", "init", "--dir", &self.file("tls")])
            .status()
            .unwrap();
        assert!(made.success(), "{}", self.log("tls"));
        self.ca = Some(self.path("tls/ca.pem"));
        let (cert, key) = (self.file("tls/server.pem"), self.file("tls/server-key.pem"));
        self.master_flags
            .extend(["--tls-cert".into(), cert, "--tls-key".into(), key]);
    }

    /// What clients of this cluster trust.
    pub fn tls(&self) -> ClientTls {
        ClientTls::load(self.ca.as_deref(), None).unwrap()
    }

    /// With a master that is ready.
    pub fn with_master() -> Cluster {
        let mut cluster = Cluster::new();
        cluster.start_master();
        cluster
    }

    /// With a master, and one worker with this many slots.
    pub fn with_worker(slots: u32) -> Cluster {
        let mut cluster = Cluster::with_master();
        cluster.start_worker("w1", slots);
        cluster
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A path in the cluster's folder, as a job names it.
    pub fn file(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub fn url(&self) -> String {
        let scheme = if self.ca.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    pub fn client(&self) -> Client {
        self.client_with(self.token.clone())
            .with_retry(Duration::from_secs(20), |_, _| {})
    }

    /// A client with another token, which does not try again.
    pub fn client_with(&self, token: Option<String>) -> Client {
        Client::new(&self.url(), token)
            .unwrap()
            .with_tls(&self.tls())
    }

    /// `ffrtmp` with this cluster's settings in its environment, and a log file of its own.
    pub fn command(&self, log: &str) -> Command {
        let mut command = Command::new(FFRTMP);
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path(&format!("{log}.log")))
            .unwrap();
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
            .env("HOME", self.dir.path())
            .env("FFRTMP_MASTER", self.url())
            .env("RUST_LOG", "debug,hyper=info");
        if let Some(token) = &self.token {
            command.env("FFRTMP_TOKEN", token);
        }
        if let Some(ca) = &self.ca {
            command.env("FFRTMP_TLS_CA", ca);
        }
        command
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stderr(log)
            .stdout(Stdio::null());
        command
    }

    /// The arguments of `ffrtmp master`.
    pub fn master_args(&self) -> Vec<String> {
        let mut args: Vec<String> = vec!["master".into()];
        let listen = format!("127.0.0.1:{}", self.port);
        let metrics = format!("127.0.0.1:{}", self.metrics_port);
        let (data, policies) = (self.file("data"), self.file("policies"));
        args.extend(
            [
                "--listen",
                &listen,
                "--metrics-listen",
                &metrics,
                "--data-dir",
                &data,
                "--policies",
                &policies,
            ]
            .map(String::from),
        );
        args.extend(self.master_flags.clone());
        args
    }

    /// Puts a file into the folder of policies as a careful operator does: written beside it, then renamed.
    pub fn put_in_policies(&self, file: &str, bytes: &[u8]) {
        let part = self.path("policy.part");
        std::fs::write(&part, bytes).unwrap();
        std::fs::rename(part, self.path("policies").join(file)).unwrap();
    }

    pub fn start_master(&mut self) {
        let child = self
            .command("master")
            .args(self.master_args())
            .spawn()
            .unwrap();
        self.master = Some(Process { child });
        self.until_ready();
    }

    #[track_caller]
    pub fn until_ready(&mut self) {
        let client = self.client_with(None);
        let start = Instant::now();
        while !client.ready() {
            if let Some(status) = self
                .master
                .as_mut()
                .and_then(|m| m.child.try_wait().unwrap())
            {
                panic!("the master ended with {status}:\n{}", self.log("master"));
            }
            assert!(
                start.elapsed() < PATIENCE,
                "the master is not ready:\n{}",
                self.log("master")
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// `kill -9` of the master.
    pub fn kill_master(&mut self) {
        self.master.take().unwrap().kill();
    }

    pub fn start_worker(&mut self, name: &str, slots: u32) {
        self.start_worker_with(name, slots, &[]);
    }

    pub fn start_worker_with(&mut self, name: &str, slots: u32, flags: &[&str]) {
        let port = free_port();
        let child = self
            .command(name)
            .args([
                "worker",
                "--master",
                &self.url(),
                "--name",
                name,
                "--state-dir",
                &self.file(&format!("state-{name}")),
            ])
            .args([
                "--slots",
                &slots.to_string(),
                "--metrics-listen",
                &format!("127.0.0.1:{port}"),
            ])
            .args(flags)
            .spawn()
            .unwrap();
        self.workers.insert(name.into(), (Process { child }, port));
        let client = self.client();
        until(
            &format!("worker {name} joins; its log: {}", self.log(name)),
            || {
                let nodes = client.nodes().ok()?.nodes;
                nodes
                    .into_iter()
                    .find(|n| n.name == name && n.status != NodeStatus::Offline)
            },
        );
    }

    pub fn worker(&self, name: &str) -> &Process {
        &self.workers[name].0
    }

    pub fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default()
    }

    #[track_caller]
    pub fn submit(&self, spec: JobSpec) -> JobSeq {
        self.client().submit(&spec).unwrap().id
    }

    #[track_caller]
    pub fn job(&self, id: JobSeq) -> Job {
        self.client().job(JobRef::Seq(id)).unwrap()
    }

    /// Waits until the job is in one of `states`.
    #[track_caller]
    pub fn until_state(&self, id: JobSeq, states: &[JobState]) -> Job {
        let start = Instant::now();
        loop {
            let job = self.job(id);
            if states.contains(&job.state) {
                return job;
            }
            let late = start.elapsed() > PATIENCE;
            assert!(
                !late && !job.state.is_terminal(),
                "job {id} should be {states:?} and is {job:#?}\n{}",
                self.log("master")
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until it completed.
    #[track_caller]
    pub fn until_completed(&self, id: JobSeq) -> Job {
        self.until_state(id, &[JobState::Completed])
    }

    /// All jobs, oldest first.
    pub fn jobs(&self) -> Vec<Job> {
        let mut jobs = self
            .client()
            .jobs_up_to(JobQuery::default(), usize::MAX)
            .unwrap()
            .jobs;
        jobs.reverse();
        jobs
    }

    /// Waits until every job has ended.
    #[track_caller]
    pub fn until_all_ended(&self) -> Vec<Job> {
        let start = Instant::now();
        loop {
            let jobs = self.jobs();
            if jobs.iter().all(|job| job.state.is_terminal()) {
                return jobs;
            }
            let left: Vec<_> = jobs
                .iter()
                .filter(|j| !j.state.is_terminal())
                .map(|j| (j.id, j.state, j.waiting.clone()))
                .collect();
            assert!(
                start.elapsed() < PATIENCE * 3,
                "jobs do not end: {left:?}\n{}",
                self.log("master")
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The master's metrics: series as written, with their values.
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        scrape(self.metrics_port)
    }

    /// A worker's metrics.
    pub fn worker_metrics(&self, name: &str) -> BTreeMap<String, f64> {
        scrape(self.workers[name].1)
    }

    /// What the workers of this cluster have started and is not dead: by what they mark all their children with.
    pub fn processes(&self) -> Vec<u32> {
        let entries = std::fs::read_dir(self.dir.path()).unwrap().flatten();
        let states = entries.filter(|e| e.file_name().to_string_lossy().starts_with("state-"));
        states
            .filter_map(|state| std::fs::read_to_string(state.path().join("install_id")).ok())
            .flat_map(|id| with_variable(&format!("FFRTMP_INSTALL_ID={}", id.trim())))
            .collect()
    }

    /// Waits until workers that run, of a master on which no job is active, hold nothing: no slot, no process, no file.
    #[track_caller]
    pub fn until_nothing_is_held(&mut self) {
        if self.jobs().iter().any(|job| job.state.is_active()) {
            return;
        }
        let running: Vec<String> = self
            .workers
            .iter_mut()
            .filter_map(|(name, (worker, _))| {
                let runs = worker.child.try_wait().unwrap().is_none();
                runs.then(|| name.clone())
            })
            .collect();
        for name in running {
            let state = self.path(&format!("state-{name}"));
            let id = std::fs::read_to_string(state.join("install_id")).unwrap_or_default();
            let mark = format!("FFRTMP_INSTALL_ID={}", id.trim());
            let start = Instant::now();
            loop {
                let slots = self.client().node(&name).map_or(0, |node| node.slots_used);
                let files = [walk(&state.join("scratch")), walk(&state.join("attempts"))].concat();
                let processes = with_variable(&mark);
                if slots == 0 && files.is_empty() && processes.is_empty() {
                    break;
                }
                assert!(
                    start.elapsed() < PATIENCE,
                    "{name} holds {slots} slots, the files {files:?} and the processes {processes:?}"
                );
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// What must hold at the end of every test: the gauges equal a recount of the store, and nothing is left behind or
    /// held.
    #[track_caller]
    pub fn finish(mut self) {
        let recount = |cluster: &Cluster| {
            let mut by_state: BTreeMap<&str, f64> =
                JobState::ALL.iter().map(|s| (s.as_str(), 0.0)).collect();
            cluster
                .jobs()
                .iter()
                .for_each(|job| *by_state.get_mut(job.state.as_str()).unwrap() += 1.0);
            by_state
        };
        // Workers may be finishing something; the two readings must agree once nothing moves between them.
        until("the gauges equal a recount of the store", || {
            let before = recount(&self);
            let metrics = self.metrics();
            let same = before.iter().all(|(state, count)| {
                metrics[&format!("ffrtmp_jobs_total{{state=\"{state}\"}}")] == *count
            });
            let active: f64 = ["assigned", "running", "paused", "publishing"]
                .iter()
                .map(|s| before[s])
                .sum();
            (same
                && metrics["ffrtmp_queue_length"] == before["pending"]
                && metrics["ffrtmp_active_jobs"] == active)
                .then_some(())
        });
        // The master may be writing a small file of its own this moment; what is left for good is left behind.
        until("no temporary file is left", || {
            let parts: Vec<PathBuf> = walk(self.dir.path())
                .into_iter()
                .filter(|p| p.to_string_lossy().ends_with(".part"))
                .collect();
            let done = parts.is_empty() || self.jobs().iter().any(|j| j.state.is_active());
            if !done {
                eprintln!("temporary files: {parts:?}");
            }
            done.then_some(())
        });
        self.until_nothing_is_held();
        for (_, (worker, _)) in self.workers.iter_mut() {
            worker.kill();
        }
        // Of workers that were killed too: nothing outlives its worker.
        until("no process is left of any worker", || {
            self.processes().is_empty().then_some(())
        });
        if let Some(master) = &mut self.master {
            master.signal(Signal::TERM);
            let status = master.wait();
            assert!(
                status.success(),
                "the master ended with {status}:\n{}",
                self.log("master")
            );
        }
    }
}

/// The processes with `variable` in their environment.
fn with_variable(variable: &str) -> Vec<u32> {
    let numbers = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let has = |pid: &u32| {
        let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environ
            .split(|byte| *byte == 0)
            .any(|one| one == variable.as_bytes())
    };
    numbers.filter(has).collect()
}

fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(walk(&entry.path())),
            _ => found.push(entry.path()),
        }
    }
    found
}

/// The exposition at a port.
pub fn exposition(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 200 "), "{head}");
    body.to_owned()
}

fn scrape(port: u16) -> BTreeMap<String, f64> {
    exposition(port)
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        })
        .collect()
}

/// A job that encodes so many synthetic seconds as cheaply as can be.
pub fn tiny(seconds: f64) -> JobSpec {
    JobSpec {
        duration_seconds: Some(seconds),
        size: Some("160x120".into()),
        audio: Some("none".into()),
        ..JobSpec::default()
    }
}

/// A job that runs until it is stopped, for all a test can tell: an hour of the slowest encode.
pub fn endless() -> JobSpec {
    JobSpec {
        duration_seconds: Some(3_600.0),
        encoder_preset: Some("veryslow".into()),
        size: Some("1920x1080".into()),
        ..JobSpec::default()
    }
}

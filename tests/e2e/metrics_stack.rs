//! `ffrtmp up --metrics-stack`: VictoriaMetrics and vmalert, the real ones, beside a cluster.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use rustix::process::Signal;
use serde_json::Value;

use crate::cluster::{Cluster, FFRTMP, Process, free_port, root, tiny, until};

/// `ffrtmp up --metrics-stack` on free ports.
struct Stack {
    cluster: Cluster,
    victoria_metrics: u16,
    vmalert: u16,
    up: Process,
}

impl Stack {
    fn start() -> Stack {
        let mut cluster = Cluster::new();
        let (victoria_metrics, vmalert) = (free_port(), free_port());
        let ready = fs::File::create(cluster.path("ready.json")).unwrap();
        let child = cluster
            .command("up")
            .args(["up", "--metrics-stack", "--format", "json"])
            .args(["--data-dir", &cluster.file("up")])
            .args(["--policies", &cluster.file("policies")])
            .args(addresses(&cluster, victoria_metrics, vmalert))
            .stdout(ready)
            .spawn()
            .unwrap();
        let up = Process { child };
        cluster.until_ready();
        Stack {
            cluster,
            victoria_metrics,
            vmalert,
            up,
        }
    }

    /// What it printed when it was ready.
    fn announced(&self) -> Value {
        until("up says that it is ready", || {
            let text = fs::read_to_string(self.cluster.path("ready.json")).ok()?;
            serde_json::from_str(&text).ok()
        })
    }
}

fn addresses(cluster: &Cluster, victoria_metrics: u16, vmalert: u16) -> Vec<String> {
    [
        ("--listen", cluster.port),
        ("--metrics-listen", cluster.metrics_port),
        ("--worker-metrics-listen", free_port()),
        ("--victoria-metrics-listen", victoria_metrics),
        ("--vmalert-listen", vmalert),
    ]
    .into_iter()
    .flat_map(|(flag, port)| [flag.to_owned(), format!("127.0.0.1:{port}")])
    .collect()
}

/// The body at an address, if somebody answers with 200.
pub fn get(port: u16, path: &str) -> Option<String> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: test\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    head.contains(" 200 ").then(|| body.to_owned())
}

/// The series that a query gives now: labels and value.
pub fn query(port: u16, query: &str) -> Vec<(Value, f64)> {
    let encoded: String = query
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect();
    let Some(body) = get(port, &format!("/api/v1/query?query={encoded}")) else {
        return Vec::new();
    };
    let answer: Value = serde_json::from_str(&body).unwrap();
    answer["data"]["result"]
        .as_array()
        .unwrap()
        .iter()
        .map(|series| {
            let value = series["value"][1].as_str().unwrap().parse().unwrap();
            (series["metric"].clone(), value)
        })
        .collect()
}

/// The processes whose arguments name this folder.
fn processes_of(folder: &Path) -> Vec<i32> {
    let folder = folder.to_str().unwrap();
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&words).contains(folder)
        })
        .collect()
}

#[test]
fn up_with_its_metrics_stack_keeps_the_metrics_and_watches_them_and_all_of_it_ends() {
    let mut stack = Stack::start();
    let announced = stack.announced();
    assert_eq!(
        announced["victoria_metrics"],
        format!("http://127.0.0.1:{}", stack.victoria_metrics)
    );
    assert_eq!(
        announced["vmalert"],
        format!("http://127.0.0.1:{}", stack.vmalert)
    );
    let id = stack.cluster.submit(tiny(0.2));
    stack.cluster.until_completed(id);

    // What the master says arrives, by the second, with the labels that dashboards and rules use.
    let completed = "ffrtmp_jobs_total{job=\"ffrtmp-master\",state=\"completed\"}";
    until("the completed job is counted in VictoriaMetrics", || {
        (query(stack.victoria_metrics, completed).first()?.1 >= 1.0).then_some(())
    });
    until("several scrapes a few seconds apart are there", || {
        let scrapes = "count_over_time(up{job=\"ffrtmp-master\"}[10s])";
        (query(stack.victoria_metrics, scrapes).first()?.1 >= 5.0).then_some(())
    });
    // Workers are found through the master.
    if get(stack.cluster.metrics_port, "/v1/sd/workers").is_some() {
        until("the worker is found and scraped", || {
            let found = query(stack.victoria_metrics, "up{job=\"ffrtmp-workers\"}");
            (found.first()?.1 == 1.0).then_some(())
        });
    } else {
        eprintln!("SKIPPED: this master does not list its workers at /v1/sd/workers");
    }

    // The rules that came with the binary are evaluated, none of them in vain; Grafana sees them through VictoriaMetrics.
    let rules: Value = until("vmalert has evaluated every group of rules", || {
        let answer: Value = serde_json::from_str(&get(stack.vmalert, "/api/v1/rules")?).unwrap();
        let groups = answer["data"]["groups"].as_array()?.clone();
        let all = groups.iter().flat_map(|group| {
            let rules = group["rules"].as_array().cloned();
            rules.unwrap_or_default()
        });
        let ran = |rule: &Value| {
            rule["lastEvaluation"]
                .as_str()
                .is_some_and(|at| !at.starts_with("0001"))
                && rule["lastError"].as_str().unwrap_or_default().is_empty()
        };
        (!groups.is_empty() && all.clone().count() > 0 && all.clone().all(|rule| ran(&rule)))
            .then_some(answer)
    });
    assert!(rules.to_string().contains("FfrtmpMasterDown"), "{rules}");
    assert!(
        get(stack.victoria_metrics, "/api/v1/rules")
            .unwrap()
            .contains("FfrtmpMasterDown")
    );

    // The token of the cluster is nobody else's business.
    let folder = stack.cluster.path("up");
    for pid in processes_of(&folder.join("metrics")) {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        assert!(
            !String::from_utf8_lossy(&environment).contains("FFRTMP"),
            "process {pid}"
        );
    }

    stack.up.signal(Signal::INT);
    let status = stack.up.wait();
    assert!(status.success(), "{status}: {}", stack.cluster.log("up"));
    assert_eq!(processes_of(stack.cluster.dir.path()), Vec::<i32>::new());
}

#[test]
fn when_up_is_killed_its_metrics_stack_ends_too() {
    let mut stack = Stack::start();
    stack.announced();
    let folder = stack.cluster.dir.path().to_owned();
    // up, the master, the worker, VictoriaMetrics, vmalert
    assert_eq!(processes_of(&folder).len(), 5);
    stack.up.kill();
    until("all of them are gone", || {
        processes_of(&folder).is_empty().then_some(())
    });
}

#[test]
fn one_of_them_that_dies_is_started_again() {
    let stack = Stack::start();
    stack.announced();
    let metrics = stack.cluster.path("up/metrics");
    for pid in processes_of(&metrics) {
        rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), Signal::KILL)
            .unwrap();
    }
    until("both answer again", || {
        get(stack.victoria_metrics, "/health")?;
        get(stack.vmalert, "/health")
    });
}

/// `ffrtmp up --metrics-stack` with further flags and only this PATH, which is expected to fail.
fn refused(path: &str, flags: &[&str]) -> (Output, String) {
    let cluster = Cluster::new();
    let output = Command::new(FFRTMP)
        .env_clear()
        .env("PATH", path)
        .env("HOME", cluster.dir.path())
        .args(["up", "--metrics-stack"])
        .args(addresses(&cluster, free_port(), free_port()))
        .args(flags)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, said)
}

#[test]
fn what_is_missing_is_named_with_what_to_install() {
    let (output, said) = refused("/usr/bin:/bin", &["--victoria-metrics", "/bin/false"]);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("vmalert, which is not in PATH")
            && said.contains("apt-get install victoria-metrics"),
        "{said}"
    );
    let (output, said) = refused("/usr/bin:/bin", &["--victoria-metrics", "/no/such"]);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("--victoria-metrics: /no/such is no program"),
        "{said}"
    );
    // One that does not run is an end, not a loop.
    let tools = root().join("target/tools/bin");
    let vmalert = tools.join("vmalert");
    let (output, said) = refused(
        "/usr/bin:/bin",
        &[
            "--victoria-metrics",
            "/bin/false",
            "--vmalert",
            vmalert.to_str().unwrap(),
        ],
    );
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("VictoriaMetrics ended before the cluster was ready"),
        "{said}"
    );
    for (flag, value) in [
        ("--metrics-retention", "1h"),
        ("--alertmanager", "nonsense"),
    ] {
        let (output, said) = refused("/usr/bin:/bin", &[flag, value]);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(flag), "{said}");
    }
}

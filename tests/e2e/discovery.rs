//! Workers are found by themselves: by the master's service discovery, as Prometheus and VictoriaMetrics read it.

use std::{
    collections::BTreeMap,
    fs::File,
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
};

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    cluster::{Cluster, FFRTMP, Process, exposition, free_port, root, until},
    http,
};

/// What is to be scraped: the node's name, and where.
fn targets(port: u16) -> BTreeMap<String, String> {
    let answer = http::send(port, "GET /v1/sd/workers HTTP/1.1\r\n", b"");
    assert_eq!(answer.status, 200, "{answer:?}");
    // Prometheus takes no other.
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let groups = answer.json();
    let groups = groups.as_array().unwrap();
    let of = |group: &Value| {
        let labels = &group["labels"];
        assert_eq!(labels["__metrics_path__"], "/metrics");
        let target = group["targets"][0].as_str().unwrap();
        let scheme = labels["__scheme__"].as_str().unwrap();
        let node = labels["node"].as_str().unwrap().to_owned();
        (node, format!("{scheme}://{target}"))
    };
    groups.iter().map(of).collect()
}

/// Starts a worker that asks for this metrics port.
fn worker_at(cluster: &mut Cluster, name: &str, listen: &str, flags: &[&str]) {
    let child = cluster
        .command(name)
        .args(["worker", "--master", &cluster.url(), "--name", name])
        .args(["--state-dir", &cluster.file(&format!("state-{name}"))])
        .args(["--slots", "1", "--metrics-listen", listen])
        .args(flags)
        .spawn()
        .unwrap();
    cluster.workers.insert(name.into(), (Process { child }, 0));
}

/// Runs VictoriaMetrics; gives its port too.
fn victoria(cluster: &Cluster, flags: &[&str]) -> (Process, u16) {
    let port = free_port();
    let child = Command::new("victoria-metrics")
        .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
        .arg(format!("-storageDataPath={}", cluster.file("vm")))
        .arg("-search.latencyOffset=0s")
        .args(flags)
        .stdout(Stdio::null())
        .stderr(File::create(cluster.path("vm.log")).unwrap())
        .spawn()
        .expect("victoria-metrics is not on the PATH: `make test` puts it there");
    let vm = Process { child };
    until("VictoriaMetrics is up", || {
        TcpStream::connect(("127.0.0.1", port)).ok()
    });
    (vm, port)
}

/// The workers that it has numbers of: `node` as the scraper was told, and `node_id` as the worker says.
fn nodes(port: u16) -> Vec<(String, String)> {
    let query = "GET /api/v1/query?query=ffrtmp_worker_slots HTTP/1.1\r\n";
    let answer = http::send(port, query, b"").json();
    let series = answer["data"]["result"].as_array().into_iter().flatten();
    let mut nodes: Vec<(String, String)> = series
        .map(|series| {
            let label = |name: &str| series["metric"][name].as_str().unwrap_or("").to_owned();
            (label("node"), label("node_id"))
        })
        .collect();
    nodes.sort();
    nodes
}

#[test]
fn two_workers_on_one_machine_are_found_each_at_its_own_port_and_scraped() {
    let mut cluster = Cluster::with_master();
    // The first takes the port that both would have by default; a worker without a wish finds a free one.
    let taken = TcpListener::bind("127.0.0.1:9091");
    worker_at(&mut cluster, "a", "127.0.0.1:0", &[]);
    let child = cluster
        .command("b")
        .args([
            "worker",
            "--master",
            &cluster.url(),
            "--name",
            "b",
            "--slots",
            "1",
        ])
        .args(["--state-dir", &cluster.file("state-b")])
        .spawn()
        .unwrap();
    cluster.workers.insert("b".into(), (Process { child }, 0));
    let found = until("both are found", || {
        let found = targets(cluster.metrics_port);
        (found.len() == 2).then_some(found)
    });
    assert_eq!(found, targets(cluster.port), "the API says the same");
    let ports: BTreeMap<&str, u16> = found
        .iter()
        .map(|(node, url)| {
            let port = url.strip_prefix("http://127.0.0.1:").unwrap();
            (node.as_str(), port.parse().unwrap())
        })
        .collect();
    assert_ne!(ports["a"], ports["b"]);
    assert!(
        ports.values().all(|port| *port != 9091),
        "it is taken: {ports:?}"
    );
    for (node, port) in &ports {
        let own = format!("ffrtmp_worker_slots{{node_id=\"{node}\"}} 1");
        let text = exposition(*port);
        assert!(text.lines().any(|l| l == own), "{own} is not in\n{text}");
    }
    drop(taken);

    // VictoriaMetrics, told of the master alone.
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n  - job_name: workers\n    http_sd_configs:\n      - url: http://127.0.0.1:{}/v1/sd/workers\n",
        cluster.metrics_port
    );
    std::fs::write(cluster.path("scrape.yml"), config).unwrap();
    let scrape = format!("-promscrape.config={}", cluster.file("scrape.yml"));
    let (vm, port) = victoria(&cluster, &[&scrape, "-promscrape.httpSDCheckInterval=1s"]);
    until("it has scraped both", || {
        let both = ["a", "b"].map(|n| (n.to_owned(), n.to_owned()));
        (nodes(port) == both).then_some(())
    });
    drop(vm);
    cluster.finish();
}

#[test]
fn a_worker_that_nobody_reaches_pushes_as_the_documentation_says() {
    let mut cluster = Cluster::with_master();
    worker_at(&mut cluster, "encoder-7", "127.0.0.1:0", &[]);
    let own = until("the worker is there", || {
        targets(cluster.metrics_port).remove("encoder-7")
    });
    let document = std::fs::read_to_string(root().join("docs/METRICS.md")).unwrap();
    let (_, recipe) = document.split_once("<<'END'\n").unwrap();
    let (recipe, command) = recipe.split_once("END\n").unwrap();
    assert!(command.starts_with("vmagent -promscrape.config=scrape.yml -remoteWrite.url="));
    let recipe = recipe.replace("127.0.0.1:9091", own.strip_prefix("http://").unwrap());
    let recipe = format!("global: {{ scrape_interval: 1s }}\n{recipe}");
    std::fs::write(cluster.path("scrape.yml"), recipe).unwrap();
    let (vm, port) = victoria(&cluster, &[]);
    let child = Command::new("vmagent")
        .arg("-promscrape.config=scrape.yml")
        .arg(format!(
            "-remoteWrite.url=http://127.0.0.1:{port}/api/v1/write"
        ))
        .arg(format!("-httpListenAddr=127.0.0.1:{}", free_port()))
        .current_dir(cluster.dir.path())
        .stdout(Stdio::null())
        .stderr(File::create(cluster.path("vmagent.log")).unwrap())
        .spawn()
        .expect("vmagent is not on the PATH: `make test` puts it there");
    let agent = Process { child };
    until("its numbers have been pushed", || {
        (nodes(port) == [("encoder-7".to_owned(), "encoder-7".to_owned())]).then_some(())
    });
    drop((agent, vm));
    cluster.finish();
}

#[test]
fn one_that_goes_leaves_the_list_and_one_that_is_lost_or_removed_stays_or_not() {
    let mut cluster = Cluster::with_master();
    for name in ["goes", "lost"] {
        worker_at(&mut cluster, name, "127.0.0.1:0", &["--grace", "1s"]);
    }
    until("both are found", || {
        (targets(cluster.metrics_port).len() == 2).then_some(())
    });
    cluster.worker("goes").signal(Signal::TERM);
    cluster.workers.get_mut("goes").unwrap().0.wait();
    cluster.workers.get_mut("lost").unwrap().0.kill();
    until("the one that went is gone, the lost one is not", || {
        let left: Vec<String> = targets(cluster.metrics_port).into_keys().collect();
        (left == ["lost"]).then_some(())
    });
    until("its session is gone", || {
        (cluster.metrics()["ffrtmp_sessions"] == 0.0).then_some(())
    });
    assert_eq!(
        targets(cluster.metrics_port).len(),
        1,
        "for an alert to see it down"
    );
    until("it can be removed", || {
        cluster.client().remove_node("lost").ok()
    });
    assert!(targets(cluster.metrics_port).is_empty());
    cluster.finish();
}

#[test]
fn what_an_operator_advertises_is_what_is_listed() {
    let mut cluster = Cluster::with_master();
    let port = free_port();
    worker_at(
        &mut cluster,
        "named",
        &format!("0.0.0.0:{port}"),
        &["--metrics-advertise", "encoder-7.example.com"],
    );
    worker_at(
        &mut cluster,
        "mapped",
        "127.0.0.1:0",
        &["--metrics-advertise", "[fd00::5]:9999"],
    );
    worker_at(&mut cluster, "all", "0.0.0.0:0", &[]);
    let found = until("all are found", || {
        let found = targets(cluster.metrics_port);
        (found.len() == 3).then_some(found)
    });
    assert_eq!(
        found["named"],
        format!("http://encoder-7.example.com:{port}")
    );
    assert_eq!(found["mapped"], "http://[fd00::5]:9999");
    // It listens on every address; the one it reaches the master from is told.
    assert!(found["all"].starts_with("http://127.0.0.1:"), "{found:?}");
    let node = cluster.client().node("named").unwrap();
    assert_eq!(
        node.metrics_address,
        Some(format!("encoder-7.example.com:{port}"))
    );
    let refused = Command::new(FFRTMP)
        .args(["worker", "--metrics-advertise", "http://x/metrics"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        refused.status.code() == Some(2) && said.contains("HOST:PORT"),
        "{said}"
    );
    cluster.finish();
}

//! Trying policies from the command line: side by side, one by one, and on what a live master recorded.

use std::process::{Output, Stdio};

use serde_json::Value;

use crate::cluster::{Cluster, root, tiny};

/// `ffrtmp` with these words, in the cluster's folder.
fn ffrtmp(cluster: &Cluster, words: &[&str]) -> Output {
    let mut command = cluster.command("client");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.args(words).output().unwrap()
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", said(&output.stderr)))
}

#[test]
fn what_a_live_master_recorded_is_replayed() {
    let cluster = Cluster::with_worker(2);
    for priority in ["high", "low", "low"] {
        let mut spec = tiny(0.2);
        spec.priority = priority.parse().unwrap();
        spec.labels.insert("tenant".into(), "news".into());
        cluster.submit(spec);
    }
    cluster.until_all_ended();
    let trace = ffrtmp(
        &cluster,
        &["jobs", "trace", "--since", "1h", "--out", "day.jsonl"],
    );
    assert!(trace.status.success(), "{}", said(&trace.stderr));
    let lines = std::fs::read_to_string(cluster.path("day.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 3, "{lines}");
    let words = "policies simulate native fifo --workload day.jsonl --output json";
    let replay = ffrtmp(&cluster, &words.split(' ').collect::<Vec<_>>());
    let replay = json(&replay);
    for policy in replay["policies"].as_array().unwrap() {
        assert_eq!(policy["completed"], 3, "{policy}");
        assert_eq!(policy["wait_by_priority"]["low"]["started"], 2);
        assert_eq!(policy["wait_by_group"]["news"]["started"], 3);
        assert!(policy["makespan_ms"].as_u64().unwrap() > 0);
    }
    cluster.finish();
}

#[test]
fn a_simulation_needs_no_master_and_says_the_same_twice() {
    let cluster = Cluster::new();
    let balanced = root().join("policies/balanced.wasm");
    let words = [
        "policies",
        "simulate",
        balanced.to_str().unwrap(),
        "fifo",
        "--jobs",
        "200",
        "--html",
        "report.html",
        "--output",
        "json",
    ];
    let [first, second] = [(); 2].map(|()| ffrtmp(&cluster, &words));
    assert!(first.status.success(), "{}", said(&first.stderr));
    assert_eq!(first.stdout, second.stdout);
    let page = std::fs::read_to_string(cluster.path("report.html")).unwrap();
    assert!(page.contains("</html>"));
}

#[test]
fn wrong_input_is_told_with_its_place() {
    let cluster = Cluster::new();
    std::fs::write(
        cluster.path("w.jsonl"),
        "{\"at_ms\": 1, \"runs_ms\": 1}\n{\"at_ms\": 2}\n",
    )
    .unwrap();
    std::fs::write(
        cluster.path("c.toml"),
        "[[worker]]\nname = 'a'\nspeed = 0.0\n",
    )
    .unwrap();
    for (words, says) in [
        (
            "native --workload w.jsonl",
            "w.jsonl: line 2: runs_ms is missing",
        ),
        (
            "native --workload busy",
            "busy is no preset (steady, burst, mixed, tenants, deadlines, night)",
        ),
        ("native --cluster c.toml", "c.toml: worker \"a\": speed = 0"),
        (
            "native --cluster huge",
            "huge is no preset (small, farm, large)",
        ),
        (
            "fast",
            "fast is none of native, balanced, fifo, and as a file it cannot be read",
        ),
        ("w.jsonl", "does not begin as WebAssembly does"),
    ] {
        let words: Vec<&str> = ["policies", "simulate"]
            .into_iter()
            .chain(words.split(' '))
            .collect();
        let output = ffrtmp(&cluster, &words);
        let message = said(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {message}");
        assert!(message.contains(says), "{words:?}: {message}");
    }
}

#[test]
fn a_check_s_exit_code_is_its_verdict() {
    let cluster = Cluster::new();
    for (file, code) in [
        ("tests/hostile/well_behaved.wasm", 0),
        ("tests/hostile/imports_wasi.wasm", 1),
    ] {
        let file = root().join(file);
        let output = ffrtmp(
            &cluster,
            &[
                "policies",
                "check",
                file.to_str().unwrap(),
                "--output",
                "json",
            ],
        );
        assert_eq!(output.status.code(), Some(code), "{}", said(&output.stdout));
        let verdicts = json(&output)["verdicts"].as_array().unwrap().len();
        assert_eq!(verdicts, 14);
    }
}

//! The seed's 17 metrics, with their labels, zero-filled before anything happened, and true afterwards.

use crate::cluster::{Cluster, exposition, tiny};

#[test]
fn every_name_of_the_seed_is_there_with_its_labels_before_anything_happens() {
    let cluster = Cluster::with_worker(2);
    let master = cluster.metrics();
    let mut expected: Vec<String> = [
        "ffrtmp_active_jobs",
        "ffrtmp_queue_length",
        "ffrtmp_job_duration_seconds",
        "ffrtmp_job_wait_time_seconds",
        "ffrtmp_master_uptime_seconds",
        "ffrtmp_nodes_total",
        "ffrtmp_nodes_clock_off",
    ]
    .map(String::from)
    .to_vec();
    let label = |name: &str, label: &str, values: &[&str]| -> Vec<String> {
        values
            .iter()
            .map(|value| format!("{name}{{{label}=\"{value}\"}}"))
            .collect()
    };
    let states = [
        "pending",
        "assigned",
        "running",
        "paused",
        "publishing",
        "completed",
        "failed",
        "canceled",
    ];
    expected.extend(label("ffrtmp_jobs_total", "state", &states));
    expected.extend(label(
        "ffrtmp_nodes_by_status",
        "status",
        &["available", "busy", "offline", "draining", "quarantined"],
    ));
    expected.extend(label(
        "ffrtmp_queue_by_priority",
        "priority",
        &["high", "medium", "low"],
    ));
    expected.extend(label(
        "ffrtmp_queue_by_type",
        "type",
        &["live", "default", "batch"],
    ));
    expected.extend(label(
        "ffrtmp_schedule_attempts_total",
        "result",
        &["success", "no_jobs", "error"],
    ));
    for name in &expected {
        assert!(
            master.contains_key(name),
            "{name} is missing from:\n{master:#?}"
        );
    }
    let worker = cluster.worker_metrics("w1");
    for name in [
        "cpu_usage",
        "memory_bytes",
        "active_jobs",
        "heartbeats_total",
        "uptime_seconds",
        "has_gpu",
    ] {
        let name = format!("ffrtmp_worker_{name}{{node_id=\"w1\"}}");
        assert!(
            worker.contains_key(&name),
            "{name} is missing from:\n{worker:#?}"
        );
    }
    // Without a GPU: one series each, at 0.
    let gpu = |prefix: &str| {
        worker
            .iter()
            .find(|(name, _)| name.starts_with(prefix))
            .map(|(name, value)| (name.clone(), *value))
    };
    for prefix in [
        "ffrtmp_worker_gpu_usage{",
        "ffrtmp_worker_temperature_celsius{",
        "ffrtmp_worker_power_watts{",
    ] {
        let (name, value) = gpu(prefix).unwrap_or_else(|| panic!("{prefix} is missing"));
        if worker["ffrtmp_worker_has_gpu{node_id=\"w1\"}"] == 0.0 {
            assert!(
                name.contains("gpu=\"none\"") && name.contains("node_id=\"w1\"") && value == 0.0,
                "{name} {value}"
            );
        }
    }
    cluster.finish();
}

#[test]
fn what_happened_is_what_the_metrics_say() {
    let cluster = Cluster::with_worker(2);
    for _ in 0..5 {
        cluster.submit(tiny(0.2));
    }
    let missing = cluster.submit(ffrtmp_api::job::JobSpec {
        input: Some("/nothing/here.mp4".into()),
        ..Default::default()
    });
    cluster.until_all_ended();
    let metrics = cluster.metrics();
    assert_eq!(metrics["ffrtmp_jobs_total{state=\"completed\"}"], 5.0);
    assert_eq!(
        metrics["ffrtmp_jobs_finished_total{reason=\"none\",state=\"completed\"}"],
        5.0
    );
    assert_eq!(
        metrics["ffrtmp_jobs_finished_total{reason=\"input_error\",state=\"failed\"}"], 1.0,
        "job {missing}"
    );
    assert_eq!(metrics["ffrtmp_nodes_by_status{status=\"available\"}"], 1.0);
    assert_eq!(metrics["ffrtmp_placements_total"], 6.0);
    assert!(metrics["ffrtmp_schedule_attempts_total{result=\"success\"}"] >= 1.0);
    assert!(
        metrics["ffrtmp_job_duration_seconds"] > 0.0
            && metrics["ffrtmp_job_wait_time_seconds"] > 0.0
    );
    assert!(metrics["ffrtmp_job_start_seconds_count"] >= 5.0);
    cluster.finish();
}

#[test]
fn promtool_finds_no_fault_beyond_the_seed_s_own_names() {
    let cluster = Cluster::with_worker(1);
    for port in [cluster.metrics_port, cluster.workers["w1"].1] {
        let text = exposition(port);
        let Ok(mut promtool) = std::process::Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
        else {
            panic!("promtool is not on the PATH: `make test` puts it there");
        };
        std::io::Write::write_all(&mut promtool.stdin.take().unwrap(), text.as_bytes()).unwrap();
        let said = promtool.wait_with_output().unwrap();
        let complaints = String::from_utf8_lossy(&said.stderr).into_owned();
        let known = ["ffrtmp_jobs_total", "ffrtmp_nodes_total"]; // gauges named _total by the seed
        let other: Vec<&str> = complaints
            .lines()
            .filter(|line| !known.iter().any(|name| line.starts_with(name)))
            .collect();
        assert!(other.is_empty(), "{other:#?}");
    }
    cluster.finish();
}

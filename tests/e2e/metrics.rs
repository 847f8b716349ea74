//! The metrics: the seed's 17 with their labels, everything zero-filled before anything happened, true afterwards, and never more of
//! them because of what users call their things.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::{Command, Stdio},
};

use ffrtmp_api::{
    ids::JobRef,
    job::{Hardware, JobSpec, JobState, Queue},
    metrics::Described,
    rest::NodeStatus,
};

use crate::{
    cluster::{Cluster, endless, exposition, tiny, until},
    http,
};

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

/// All series of a metric, added up.
fn sum(metrics: &BTreeMap<String, f64>, name: &str) -> f64 {
    let prefix = format!("{name}{{");
    let series = metrics.iter().filter(|(s, _)| s.starts_with(&prefix));
    series.map(|(_, value)| value).sum()
}

/// What is described must be there, with every label value that is known beforehand.
#[track_caller]
fn is_all_there(described: Vec<Described>, text: &str) {
    for metric in described {
        // These have their first series with the first request, or GPU.
        let later = ["ffrtmp_http_", "ffrtmp_worker_gpu_"];
        if later.iter().any(|prefix| metric.name.starts_with(prefix)) {
            continue;
        }
        let kind = format!("# TYPE {} {}", metric.name, metric.kind);
        assert!(text.lines().any(|l| l == kind), "{kind} is not in\n{text}");
        let series: Vec<&str> = text
            .lines()
            .filter(|l| !l.starts_with('#') && l.starts_with(&metric.name))
            .collect();
        // The worker's own name, and of what software and which policy there is one.
        let own = ["node_id", "commit", "rustc", "name", "version", "digest"];
        let labels = metric.labels.iter();
        for (label, values) in labels.filter(|(label, _)| !own.contains(&label.as_str())) {
            for value in values {
                let pair = format!("{label}=\"{value}\"");
                assert!(
                    series.iter().any(|l| l.contains(&pair)),
                    "{} has no series with {pair}",
                    metric.name
                );
            }
        }
    }
}

#[test]
fn whatever_the_document_lists_is_there_before_anything_happens() {
    let cluster = Cluster::with_worker(1);
    let text = exposition(cluster.metrics_port);
    is_all_there(ffrtmp_host::described_metrics().unwrap(), &text);
    let info = text
        .lines()
        .find(|l| l.starts_with("ffrtmp_build_info{"))
        .unwrap();
    for label in ["commit=\"", "rustc=\"1.", "version=\""] {
        assert!(info.contains(label) && !info.contains("unknown"), "{info}");
    }
    let text = exposition(cluster.workers["w1"].1);
    is_all_there(ffrtmp_worker::described_metrics().unwrap(), &text);
    cluster.finish();
}

#[test]
fn what_happened_is_what_the_metrics_say() {
    let cluster = Cluster::with_worker(2);
    for n in 0..5 {
        cluster.submit(JobSpec {
            queue: if n == 0 { Queue::Live } else { Queue::Default },
            scenario: (n < 2).then(|| "480p30-h264".to_owned()),
            size: None,
            ..tiny(0.2)
        });
    }
    let missing = cluster.submit(JobSpec {
        input: Some("/nothing/here.mp4".into()),
        ..JobSpec::default()
    });
    cluster.until_all_ended();
    let metrics = cluster.metrics();
    let is = |series: &str, value: f64| {
        assert_eq!(metrics.get(series), Some(&value), "{series}: {metrics:#?}");
    };
    is("ffrtmp_jobs_total{state=\"completed\"}", 5.0);
    let finished = |state: &str, reason: &str, queue: &str| {
        format!(
            "ffrtmp_jobs_finished_total{{reason=\"{reason}\",state=\"{state}\",type=\"{queue}\"}}"
        )
    };
    is(&finished("completed", "none", "default"), 4.0);
    is(&finished("completed", "none", "live"), 1.0);
    is(&finished("completed", "none", "batch"), 0.0);
    is(&finished("failed", "input_error", "default"), 1.0);
    assert_eq!(cluster.job(missing).state, JobState::Failed);
    let by_encoder = "ffrtmp_jobs_finished_by_encoder_total";
    is(
        &format!("{by_encoder}{{encoder=\"libx264\",state=\"completed\"}}"),
        5.0,
    );
    is(
        &format!("{by_encoder}{{encoder=\"libx264\",state=\"failed\"}}"),
        1.0,
    );
    let by_scenario = "ffrtmp_jobs_finished_by_scenario_total";
    is(
        &format!("{by_scenario}{{scenario=\"480p30-h264\",state=\"completed\"}}"),
        2.0,
    );
    is(
        &format!("{by_scenario}{{scenario=\"480p30-h264\",state=\"canceled\"}}"),
        0.0,
    );
    is(
        &format!("{by_scenario}{{scenario=\"none\",state=\"completed\"}}"),
        3.0,
    );
    is("ffrtmp_attempts_ended_total{end=\"completed\"}", 5.0);
    is("ffrtmp_attempts_ended_total{end=\"failed\"}", 1.0);
    assert!(metrics["ffrtmp_attempt_seconds_total{end=\"completed\"}"] > 0.0);
    is("ffrtmp_placements_total", 6.0);
    assert!(metrics["ffrtmp_schedule_attempts_total{result=\"success\"}"] >= 1.0);
    assert!(
        metrics["ffrtmp_job_duration_seconds"] > 0.0
            && metrics["ffrtmp_job_wait_time_seconds"] > 0.0
    );
    is("ffrtmp_job_start_seconds_count{type=\"live\"}", 1.0);
    is("ffrtmp_job_start_seconds_count{type=\"default\"}", 4.0);
    is("ffrtmp_job_run_seconds_count{type=\"default\"}", 4.0);
    is(
        "ffrtmp_job_start_seconds_bucket{type=\"live\",le=\"30\"}",
        1.0,
    );
    assert!(metrics["ffrtmp_round_seconds_count"] >= 1.0);
    assert!(metrics["ffrtmp_store_commit_seconds_count"] >= 6.0);
    assert!(metrics["ffrtmp_store_commit_rows_sum"] >= 18.0);
    is("ffrtmp_store_commit_failures_total", 0.0);
    assert!(metrics["ffrtmp_store_size_bytes"] > 4_096.0);
    let (free, size) = (
        metrics["ffrtmp_store_disk_free_bytes"],
        metrics["ffrtmp_store_disk_size_bytes"],
    );
    assert!(0.0 < free && free <= size, "{free} of {size}");
    is("ffrtmp_sessions", 1.0);
    is("ffrtmp_policy_on_fallback", 0.0);
    is("ffrtmp_policy_breaker_open", 0.0);
    let posts = "ffrtmp_http_requests_total{code=\"201\",method=\"POST\",route=\"/v1/jobs\"}";
    is(posts, 6.0);
    is(
        "ffrtmp_http_request_seconds_count{method=\"POST\",route=\"/v1/jobs\"}",
        6.0,
    );
    assert!(metrics["process_cpu_seconds_total"] > 0.0);
    assert!(metrics["process_resident_memory_bytes"] > 1e6);
    let open = metrics["process_open_fds"];
    assert!(3.0 < open && open < metrics["process_max_fds"], "{open}");

    let worker = cluster.worker_metrics("w1");
    let of_worker = |name: &str| worker[&format!("{name}{{node_id=\"w1\"}}")];
    assert_eq!(of_worker("ffrtmp_worker_connected"), 1.0);
    assert_eq!(of_worker("ffrtmp_worker_jobs_completed_total"), 5.0);
    assert_eq!(of_worker("ffrtmp_worker_jobs_failed_total"), 1.0);
    assert_eq!(
        worker["ffrtmp_worker_attempts_failed_total{node_id=\"w1\",reason=\"input_error\"}"],
        1.0
    );
    // Five times 0.2 s, of 25 or 30 frames a second.
    let frames = of_worker("ffrtmp_worker_encoded_frames_total");
    assert!((25.0..=30.0).contains(&frames), "{frames} frames");
    let seconds = of_worker("ffrtmp_worker_encoded_media_seconds_total");
    assert!((0.8..=1.2).contains(&seconds), "{seconds} s");
    let output: u64 = cluster
        .jobs()
        .into_iter()
        .filter_map(|job| Some(job.result?.bytes))
        .sum();
    assert_eq!(of_worker("ffrtmp_job_output_bytes_total"), output as f64);
    assert!(of_worker("ffrtmp_worker_cores") >= 1.0);
    assert!(
        of_worker("ffrtmp_worker_memory_size_bytes") >= of_worker("ffrtmp_worker_memory_bytes")
    );
    for dir in ["state", "scratch"] {
        let at = |name: &str| worker[&format!("{name}{{dir=\"{dir}\",node_id=\"w1\"}}")];
        let (free, size) = (
            at("ffrtmp_worker_disk_free_bytes"),
            at("ffrtmp_worker_disk_size_bytes"),
        );
        assert!(0.0 < free && free <= size, "{dir}: {free} of {size}");
    }
    until("what is encoded no more has no pace", || {
        let worker = cluster.worker_metrics("w1");
        let fps = worker["ffrtmp_worker_encode_fps{node_id=\"w1\"}"];
        (fps == 0.0).then_some(())
    });
    cluster.finish();
}

#[test]
fn why_jobs_wait_is_counted_by_the_words_that_explain_says() {
    let mut cluster = Cluster::with_master();
    let client = cluster.client();
    let by_reason = |cluster: &Cluster, expected: &[(&str, f64)]| {
        let told = until(&format!("jobs wait for {expected:?}"), || {
            let metrics = cluster.metrics();
            let told: BTreeMap<String, f64> = metrics
                .into_iter()
                .filter(|(s, n)| s.starts_with("ffrtmp_queue_waiting{") && *n > 0.0)
                .collect();
            let is = |(reason, count): &(&str, f64)| {
                told.get(&format!("ffrtmp_queue_waiting{{reason=\"{reason}\"}}")) == Some(count)
            };
            (told.len() == expected.len() && expected.iter().all(is)).then_some(told)
        });
        drop(told);
    };
    let held = cluster.submit(tiny(0.1));
    client.pause(JobRef::Seq(held)).unwrap();
    let first = cluster.submit(endless());
    let other: Vec<_> = (0..2).map(|_| cluster.submit(endless())).collect();
    by_reason(&cluster, &[("held_by_user", 1.0), ("no_worker", 3.0)]);
    let metrics = cluster.metrics();
    assert!(metrics["ffrtmp_queue_oldest_seconds{type=\"default\"}"] > 0.0);
    assert_eq!(metrics["ffrtmp_queue_oldest_seconds{type=\"live\"}"], 0.0);
    assert_eq!(metrics["ffrtmp_slots"], 0.0);

    cluster.start_worker("w1", 1);
    let labels = [("zone".to_owned(), "moon".to_owned())].into();
    cluster.submit(JobSpec {
        require: labels,
        ..tiny(0.1)
    });
    cluster.submit(JobSpec {
        memory_mib: Some(1 << 22),
        ..tiny(0.1)
    });
    let gpu = cluster.submit(JobSpec {
        hardware: Some(Hardware::Require),
        ..tiny(0.1)
    });
    // Each is told the same as the user who asks.
    let explained = client.explain(JobRef::Seq(gpu)).unwrap().waiting.unwrap();
    let no_gpu = explained.reason.as_str();
    assert!(["no_gpu", "no_encoder"].contains(&no_gpu), "{no_gpu}");
    by_reason(
        &cluster,
        &[
            ("held_by_user", 1.0),
            ("workers_full", 2.0),
            ("no_label", 1.0),
            ("too_large", 1.0),
            (no_gpu, 1.0),
        ],
    );
    let metrics = cluster.metrics();
    assert_eq!(metrics["ffrtmp_slots"], 1.0);
    assert_eq!(metrics["ffrtmp_slots_used"], 1.0);
    assert_eq!(metrics["ffrtmp_queue_length"], 6.0);

    // What is held by everybody is old to nobody.
    for job in cluster.jobs() {
        if job.id != first && job.state == JobState::Pending {
            client.pause(JobRef::Seq(job.id)).unwrap();
        }
    }
    until("nothing waits but on purpose", || {
        let metrics = cluster.metrics();
        let oldest = metrics["ffrtmp_queue_oldest_seconds{type=\"default\"}"];
        let held = metrics["ffrtmp_queue_waiting{reason=\"held_by_user\"}"];
        (oldest == 0.0 && held == 6.0).then_some(())
    });
    for job in other.into_iter().chain([first]) {
        client.cancel(JobRef::Seq(job)).unwrap();
    }
    until("the canceled attempt has ended", || {
        let metrics = cluster.metrics();
        (metrics["ffrtmp_attempts_ended_total{end=\"canceled\"}"] == 1.0).then_some(())
    });
    let seconds = cluster.metrics()["ffrtmp_attempt_seconds_total{end=\"canceled\"}"];
    assert!(seconds > 0.0);
    cluster.finish();
}

#[test]
fn work_that_is_lost_with_a_worker_is_counted_in_seconds() {
    let mut cluster = Cluster::new();
    let flags = ["--lease", "1500ms", "--heartbeat", "300ms"];
    cluster.master_flags = flags.map(String::from).to_vec();
    cluster.start_master();
    cluster.start_worker("w1", 1);
    let job = cluster.submit(endless());
    cluster.until_state(job, &[JobState::Running]);
    cluster.workers.get_mut("w1").unwrap().0.kill();
    until("its attempt is given up", || {
        let metrics = cluster.metrics();
        (metrics["ffrtmp_attempts_ended_total{end=\"lost\"}"] == 1.0).then_some(())
    });
    let metrics = cluster.metrics();
    assert!(metrics["ffrtmp_attempt_seconds_total{end=\"lost\"}"] >= 1.0);
    assert_eq!(
        metrics["ffrtmp_job_retries_total{reason=\"worker_lost\"}"],
        1.0
    );
    assert_eq!(metrics["ffrtmp_leases_lost_total"], 1.0);
    assert_eq!(metrics["ffrtmp_node_losses_total"], 1.0);
    // One that says that it goes is not lost.
    cluster.start_worker("w2", 1);
    cluster.until_state(job, &[JobState::Running]);
    cluster.client().cancel(JobRef::Seq(job)).unwrap();
    cluster.until_all_ended();
    cluster.worker("w2").signal(rustix::process::Signal::TERM);
    until("it is offline", || {
        let node = cluster.client().node("w2").ok()?;
        (node.status == NodeStatus::Offline).then_some(())
    });
    let client = cluster.client();
    client.retry(JobRef::Seq(job)).unwrap();
    client.cancel(JobRef::Seq(job)).unwrap();
    let metrics = cluster.metrics();
    assert_eq!(metrics["ffrtmp_job_retries_total{reason=\"asked\"}"], 1.0);
    // Past the lease of the one that went.
    until("its lease has run out", || {
        let node = cluster.client().node("w2").ok()?;
        (node.silent_ms? > 2_500).then_some(())
    });
    assert_eq!(cluster.metrics()["ffrtmp_node_losses_total"], 1.0);
    cluster.finish();
}

/// The series of an exposition, without their values; of histograms and counters with the labels of theirs.
fn series(port: u16) -> BTreeSet<String> {
    let text = exposition(port);
    let lines = text.lines().filter(|l| !l.starts_with('#'));
    lines
        .filter_map(|l| Some(l.rsplit_once(' ')?.0.to_owned()))
        .collect()
}

#[test]
fn the_number_of_series_does_not_grow_with_what_users_call_their_things() {
    let mut cluster = Cluster::with_worker(4);
    let odd = |n: usize| JobSpec {
        scenario: Some(format!("naïve \"{n}\" \\ {{scenario}}")),
        labels: [(format!("label-{n}"), format!("value-{n}"))].into(),
        ..tiny(0.1)
    };
    // One of each kind, so that what appears with a first event is there.
    cluster.submit(odd(0));
    cluster.until_all_ended();
    let port = cluster.port;
    let strange = |n: usize| {
        http::send(port, &format!("GET /v1/jobs/no-such-{n} HTTP/1.1\r\n"), b"");
        http::send(port, &format!("GET /nowhere/{n}?x={n} HTTP/1.1\r\n"), b"");
        http::send(port, &format!("BREW{n} /v1/jobs HTTP/1.1\r\n"), b"");
        http::send(
            port,
            &format!("DELETE /v1/nodes/gone-{n} HTTP/1.1\r\n"),
            b"",
        );
    };
    strange(0);
    cluster.job(cluster.jobs()[0].id);
    let (before, worker_before) = (
        series(cluster.metrics_port),
        series(cluster.workers["w1"].1),
    );
    for n in 1..30 {
        cluster.submit(odd(n));
        strange(n);
    }
    for n in 0..3 {
        cluster.start_worker(&format!("n\u{f6}de \"{n}\" {{x}}"), 1);
    }
    cluster.until_all_ended();
    let new = |port, before: &BTreeSet<String>| -> Vec<String> {
        series(port).difference(before).cloned().collect()
    };
    // Routes that the test itself uses for the first time are bounded by the API; nothing else is new.
    let mine: Vec<String> = new(cluster.metrics_port, &before)
        .into_iter()
        .filter(|s| !(s.starts_with("ffrtmp_http_") && s.contains("route=\"/v1/nodes\"")))
        .collect();
    assert_eq!(mine, [""; 0]);
    assert_eq!(new(cluster.workers["w1"].1, &worker_before), [""; 0]);
    let metrics = cluster.metrics();
    let others = "ffrtmp_jobs_finished_by_scenario_total{scenario=\"other\",state=\"completed\"}";
    assert_eq!(metrics[others], 30.0);
    let lost = "ffrtmp_http_requests_total{code=\"404\",method=\"GET\",route=\"none\"}";
    assert_eq!(metrics[lost], 30.0);
    assert_eq!(
        sum(&metrics, "ffrtmp_jobs_finished_by_scenario_total"),
        30.0
    );
    for name in cluster.workers.keys() {
        // An odd name is told as it is, and does not break the format.
        let text = exposition(cluster.workers[name].1);
        let escaped = name.replace('"', "\\\"");
        assert!(text.contains(&format!("node_id=\"{escaped}\"")), "{text}");
    }
    cluster.finish();
}

#[test]
fn promtool_finds_no_fault_beyond_the_seed_s_own_names() {
    let mut cluster = Cluster::with_worker(2);
    // Busy: some waits, some runs, some has ended well, failed, or was canceled.
    for scenario in ["480p30-h264", "odd one"] {
        cluster.submit(JobSpec {
            scenario: Some(scenario.into()),
            ..tiny(0.2)
        });
    }
    cluster.submit(JobSpec {
        input: Some("/nothing/here.mp4".into()),
        ..JobSpec::default()
    });
    cluster.until_all_ended();
    let running: Vec<_> = (0..3).map(|_| cluster.submit(endless())).collect();
    cluster.until_state(running[1], &[JobState::Running]);
    cluster.client().cancel(JobRef::Seq(running[0])).unwrap();
    cluster.start_worker("w2", 1);
    for port in [cluster.metrics_port, cluster.workers["w1"].1] {
        let text = exposition(port);
        let Ok(mut promtool) = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
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
    for job in running {
        let _ = cluster.client().cancel(JobRef::Seq(job));
    }
    cluster.until_all_ended();
    cluster.finish();
}

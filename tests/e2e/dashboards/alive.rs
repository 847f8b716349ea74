//! Every panel alive: a cluster on which something waits, runs, fails, is retried and lost, and whose policy is swapped, shadowed and fails,
//! is scraped by VictoriaMetrics as users scrape it. Then every query of every panel is asked as Grafana asks it, and must have data
//! with names that a legend can show; those that users know must have the right numbers.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt};

use ffrtmp_api::{
    ids::JobRef,
    job::{Hardware, JobSpec, JobState, Priority, Queue},
};

use super::{
    model::{Dashboard, Panel, dashboards, documented},
    queries::selectors,
    stack::{Series, Stack, asked, now},
};
use crate::cluster::{Cluster, endless, root, tiny, until};

/// A GPU, hot and busy.
const GPU: &str = r#"{"driver": "535.183.01", "gpus": [{"uuid": "GPU-hot", "name": "NVIDIA GeForce RTX 3060", "memory": [12884901888, 3221225472],
    "utilisation": 98, "encoder": 77, "decoder": 12, "sessions": 2, "temperature": 91, "milliwatts": 90500}]}"#;

/// `NAME: what it is, or nothing` of panels that show more than zero after what the test did: dashboard, panel, legend.
const HAPPENED: [(&str, &str, &str); 41] = [
    ("distributed-scheduler", "Active Jobs", "Active Jobs"),
    (
        "distributed-scheduler",
        "Scheduling Attempts (per minute)",
        "success",
    ),
    (
        "distributed-scheduler",
        "Scheduling Attempts (per minute)",
        "error",
    ),
    ("distributed-scheduler", "Nodes by Status", "offline"),
    ("distributed-scheduler", "Submit to Start", "p99"),
    (
        "distributed-scheduler",
        "Submit to Start by Queue (p95)",
        "live",
    ),
    ("distributed-scheduler", "Oldest Waiting Job", "batch"),
    ("distributed-scheduler", "Why Jobs Wait", "workers_full"),
    ("distributed-scheduler", "Why Jobs Wait", "no_label"),
    ("distributed-scheduler", "Slots", "used"),
    (
        "distributed-scheduler",
        "Throughput (per minute)",
        "completed",
    ),
    (
        "distributed-scheduler",
        "Throughput (per minute)",
        "canceled",
    ),
    (
        "distributed-scheduler",
        "Throughput (per minute)",
        "submitted",
    ),
    (
        "distributed-scheduler",
        "Failures by Reason (per minute)",
        "input_error",
    ),
    (
        "distributed-scheduler",
        "Retries (per minute)",
        "worker_lost",
    ),
    (
        "distributed-scheduler",
        "Job Wait Time",
        "Avg Job Wait Time",
    ),
    (
        "distributed-scheduler",
        "Losses (last hour)",
        "workers lost",
    ),
    (
        "distributed-scheduler",
        "Losses (last hour)",
        "attempts lost",
    ),
    ("distributed-scheduler", "Store Commits", "p99"),
    ("distributed-scheduler", "Master Memory", "*"),
    (
        "distributed-scheduler",
        "Connections and Files",
        "workers' sessions",
    ),
    ("worker-monitoring", "Worker CPU Usage", "w1"),
    ("worker-monitoring", "Encode Rate", "w1"),
    ("worker-monitoring", "Encode Speed", "w1"),
    ("worker-monitoring", "Media Encoded", "w1"),
    (
        "worker-monitoring",
        "Attempts by Outcome (per minute)",
        "canceled",
    ),
    ("worker-monitoring", "Files In and Out", "w1 out"),
    ("worker-monitoring", "Worker Uptime", "w1"),
    ("policy", "Rounds (per second)", "wasm"),
    ("policy", "Rounds (per second)", "fallback"),
    ("policy", "Fallback Share", "share"),
    ("policy", "Guest Time by Call (p99)", "plan"),
    ("policy", "Faults by Stage (per minute)", "plan"),
    ("policy", "Files Refused (last hour)", "link"),
    ("policy", "Placements (per minute)", "placed"),
    ("policy", "Shadow Questions (per second)", "answered"),
    ("policy", "Shadow Guest Time", "p99"),
    (
        "job-outcomes",
        "Completed by Scenario (per minute)",
        "480p30-h264",
    ),
    (
        "job-outcomes",
        "Completed by Encoder (per minute)",
        "libx264",
    ),
    ("job-outcomes", "Work by End", "lost"),
    ("job-outcomes", "Work for Nothing", "lost"),
];

/// A worker's NVIDIA driver, and an ffmpeg whose NVENC works, by x264.
fn with_gpu(cluster: &Cluster) -> [String; 4] {
    let dir = cluster.path("gpu");
    fs::create_dir(&dir).unwrap();
    // Built with this test, beside it.
    let built = std::env::current_exe()
        .unwrap()
        .with_file_name("libffrtmp_fake_nvml.so");
    fs::copy(&built, dir.join("libnvidia-ml.so.1"))
        .unwrap_or_else(|e| panic!("{}: {e}", built.display()));
    fs::write(dir.join("gpus.json"), GPU).unwrap();
    let ffmpeg = dir.join("ffmpeg");
    let script = "#!/bin/bash\nargs=()\n\
        while (($#)); do case $1 in *_nvenc) args+=(libx264);; -gpu|-rc|-cq|-preset) shift;; *) args+=(\"$1\");; esac; shift; done\n\
        exec ffmpeg \"${args[@]}\"\n";
    fs::write(&ffmpeg, script).unwrap();
    fs::set_permissions(&ffmpeg, fs::Permissions::from_mode(0o755)).unwrap();
    let library = cluster.file("gpu/libnvidia-ml.so.1");
    [
        "--nvml-library".into(),
        library,
        "--ffmpeg".into(),
        cluster.file("gpu/ffmpeg"),
    ]
}

/// What reserves so little that only slots are counted.
fn small(job: JobSpec) -> JobSpec {
    JobSpec {
        cpu_millicores: Some(50),
        memory_mib: Some(16),
        retries: Some(3),
        ..job
    }
}

struct Shown {
    panels: BTreeMap<(String, String), BTreeMap<String, Series>>,
}

/// Asks every query of every panel, with points `step` seconds apart. `may_be_empty` says of which panels nothing need be there.
#[track_caller]
fn ask_all(stack: &Stack, start: f64, step: u32, may_be_empty: impl Fn(&Panel) -> bool) -> Shown {
    let mut panels = BTreeMap::new();
    let mut empty = Vec::new();
    for dashboard in dashboards() {
        for panel in dashboard.shown() {
            let mut of_panel = BTreeMap::new();
            for target in &panel.targets {
                let shown = stack.shows(target, start, step);
                let numbers = shown
                    .values()
                    .flat_map(|s| &s.points)
                    .all(|(_, v)| v.is_finite());
                assert!(numbers, "{}: {shown:?}", panel.title);
                if shown.is_empty() && !may_be_empty(panel) {
                    empty.push(format!(
                        "{}, {}: {}",
                        dashboard.title,
                        panel.title,
                        asked(&target.expr, step, 300)
                    ));
                }
                assert!(
                    shown.len() <= 60,
                    "{} has {} series",
                    panel.title,
                    shown.len()
                );
                of_panel.extend(shown);
            }
            is_named(&dashboard, panel, &of_panel);
            panels.insert((dashboard.uid.clone(), panel.title.clone()), of_panel);
        }
    }
    assert!(empty.is_empty(), "no data: {empty:#?}");
    Shown { panels }
}

/// Where colours are fixed, what is drawn has one; where a label's values are known, all of them are there and no other.
#[track_caller]
fn is_named(dashboard: &Dashboard, panel: &Panel, shown: &BTreeMap<String, Series>) {
    let (colours, documented) = (panel.colours(), documented());
    let at = format!("{}, {}", dashboard.title, panel.title);
    for name in shown.keys() {
        assert!(
            colours.is_empty() || colours.contains_key(name.as_str()),
            "{at}: {name} has no colour"
        );
    }
    for target in &panel.targets {
        let label = target
            .legend_format
            .strip_prefix("{{")
            .and_then(|l| l.strip_suffix("}}"));
        let selectors = selectors(&target.expr).unwrap();
        let [selector] = &selectors[..] else { continue };
        let told =
            label.and_then(|label| Some((label, documented.get(&selector.name)?.get(label)?)));
        // Quantiles have no value where nothing happened, and what is filtered has fewer.
        let all = !target.expr.contains("quantile") && !target.expr.contains('>');
        if let Some((label, values)) = told
            .filter(|(label, _)| all && !["scenario", "encoder", "code", "node_id"].contains(label))
        {
            let failed = selector.matched("state", "=") == Some("failed");
            for value in values.iter().filter(|value| !failed || *value != "none") {
                assert!(
                    shown.contains_key(value),
                    "{at}: {label} {value} is missing in {:?}",
                    shown.keys()
                );
            }
        }
    }
}

impl Shown {
    #[track_caller]
    fn of(&self, uid: &str, panel: &str) -> &BTreeMap<String, Series> {
        &self.panels[&(uid.to_owned(), panel.to_owned())]
    }
    #[track_caller]
    fn last(&self, uid: &str, panel: &str, name: &str) -> f64 {
        let panel = self.of(uid, panel);
        panel
            .get(name)
            .unwrap_or_else(|| panic!("{name} of {:?}", panel.keys()))
            .last()
    }
    /// For people: each panel with what it showed last, and at most.
    fn print(&self) {
        for ((uid, title), shown) in &self.panels {
            let values = shown.iter().filter(|(_, s)| s.most() != 0.0).take(6);
            let values: Vec<_> = values
                .map(|(name, s)| format!("{name} {:.4} (most {:.4})", s.last(), s.most()))
                .collect();
            eprintln!(
                "{uid} | {title} | {} series | {}",
                shown.len(),
                values.join("; ")
            );
        }
    }
}

/// The seed's panels of the cluster say what the API says.
fn agrees_with_the_api(cluster: &Cluster, stack: &Stack) {
    const UID: &str = "distributed-scheduler";
    let jobs = cluster.jobs();
    let count = |fits: &dyn Fn(&ffrtmp_api::rest::Job) -> bool| {
        jobs.iter().filter(|job| fits(job)).count() as f64
    };
    let pending = |job: &ffrtmp_api::rest::Job| job.state == JobState::Pending;
    let mut expected: BTreeMap<(&str, String), f64> = BTreeMap::new();
    for state in JobState::ALL {
        expected.insert(
            ("Jobs by State", state.as_str().to_owned()),
            count(&|job| job.state == *state),
        );
    }
    for (queue, name) in [
        (Queue::Live, "live"),
        (Queue::Default, "default"),
        (Queue::Batch, "batch"),
    ] {
        expected.insert(
            ("Queue by Type", name.to_owned()),
            count(&|job| pending(job) && job.queue == queue),
        );
    }
    for (priority, name) in [
        (Priority::High, "high"),
        (Priority::Medium, "medium"),
        (Priority::Low, "low"),
    ] {
        expected.insert(
            ("Queue by Priority", name.to_owned()),
            count(&|job| pending(job) && job.priority == priority),
        );
    }
    expected.insert(
        ("Queue Length", "Queue Length".to_owned()),
        count(&|job| pending(job)),
    );
    expected.insert(
        ("Active Jobs", "Active Jobs".to_owned()),
        count(&|job| job.state.is_active()),
    );
    let nodes = cluster.client().nodes().unwrap().nodes;
    expected.insert(
        ("Total Worker Nodes", "Total Nodes".to_owned()),
        nodes.len() as f64,
    );
    for status in ["available", "busy", "offline", "draining", "quarantined"] {
        let of = nodes
            .iter()
            .filter(|node| serde_json::to_value(node.status).unwrap() == status);
        expected.insert(("Nodes by Status", status.to_owned()), of.count() as f64);
    }
    let dashboards = dashboards();
    let board = dashboards.iter().find(|d| d.uid == UID).unwrap();
    let mut last = String::new();
    until("the panels say what the API says", || {
        let start = now() - 10.0;
        let mut shown = BTreeMap::new();
        for panel in board.shown().take(9) {
            for target in &panel.targets {
                for (name, series) in stack.shows(target, start, 1) {
                    shown.insert((panel.title.as_str(), name), series.last());
                }
            }
        }
        let wrong: Vec<_> = expected
            .iter()
            .filter(|((panel, name), value)| shown.get(&(*panel, name.clone())) != Some(value))
            .map(|(at, value)| (at, value, shown.get(at)))
            .collect();
        let said = format!("not yet: {wrong:?}");
        if !wrong.is_empty() && said != last {
            eprintln!("{said}");
            last = said;
        }
        wrong.is_empty().then_some(())
    });
}

#[test]
fn dashboards_show_data_in_every_panel_and_the_numbers_that_the_api_says() {
    let mut cluster = Cluster::new();
    cluster.master_flags = ["--lease", "4s", "--heartbeat", "1s"]
        .map(String::from)
        .to_vec();
    cluster.start_master();
    cluster.start_worker("w1", 2);
    let gpu = with_gpu(&cluster);
    cluster.start_worker_with("w2", 1, &gpu.each_ref().map(String::as_str));
    let mut stack = Stack::start(&cluster);
    stack.watch(&cluster, &root().join("deploy/rules"));
    let client = cluster.client();

    until("all three are scraped, the GPU too", || {
        let up = stack.instant("up == 1").len() == 3;
        (up && !stack
            .instant("ffrtmp_worker_temperature_celsius{gpu=\"0\"}")
            .is_empty())
        .then_some(())
    });
    until("what is recorded is there", || {
        let recorded = super::rules::recorded();
        recorded
            .iter()
            .all(|name| !stack.instant(name).is_empty())
            .then_some(())
    });
    let start = now() - 5.0;

    // Idle: zeros, and where there can be nothing, words that say so.
    until("five seconds of it are there", || {
        (now() > start + 10.0).then_some(())
    });
    let idle = ask_all(&stack, start, 1, |panel| {
        panel.field_config.defaults.no_value.is_some()
    });
    for panel in [
        "Queue Length",
        "Queue by Priority",
        "Queue by Type",
        "Why Jobs Wait",
        "Oldest Waiting Job",
        "Jobs by State",
    ] {
        let shown = idle.of("distributed-scheduler", panel);
        assert!(
            !shown.is_empty() && shown.values().all(|s| s.most() == 0.0),
            "{panel}: {shown:?}"
        );
    }
    assert_eq!(
        idle.last("distributed-scheduler", "Total Worker Nodes", "Total Nodes"),
        2.0
    );
    assert_eq!(
        idle.last("worker-monitoring", "Worker GPU Availability", "w1"),
        0.0
    );
    assert_eq!(
        idle.last("worker-monitoring", "Worker GPU Availability", "w2"),
        1.0
    );
    let hot = "w2 GPU 0";
    assert_eq!(idle.last("worker-monitoring", "GPU Temperature", hot), 91.0);
    assert_eq!(
        idle.last("worker-monitoring", "GPU Power Consumption", hot),
        90.5
    );
    assert_eq!(
        idle.last(
            "worker-monitoring",
            "Worker GPU Usage",
            "w2 - NVIDIA GeForce RTX 3060 (0)"
        ),
        98.0
    );
    assert_eq!(idle.last("worker-monitoring", "GPU Encoders", hot), 77.0);
    assert_eq!(idle.last("worker-monitoring", "GPU Memory", hot), 0.25);

    // Full: three encode, one of them on the GPU, and others wait.
    let on_gpu = JobSpec {
        hardware: Some(Hardware::Require),
        encoder_preset: Some("p7".into()),
        ..endless()
    };
    let busy = [endless(), endless(), on_gpu].map(|job| cluster.submit(small(job)));
    for job in &busy {
        cluster.until_state(*job, &[JobState::Running]);
    }
    for (number, queue) in [Queue::Live, Queue::Default, Queue::Batch]
        .into_iter()
        .enumerate()
    {
        for (more, priority) in [Priority::High, Priority::Medium, Priority::Low]
            .into_iter()
            .enumerate()
        {
            // 1 to 5 of each, so that no two counts are alike.
            for _ in 0..=number + more {
                cluster.submit(small(JobSpec {
                    queue,
                    priority,
                    scenario: Some("480p30-h264".into()),
                    ..tiny(0.2)
                }));
            }
        }
    }
    let nowhere = cluster.submit(small(JobSpec {
        require: [("zone".to_owned(), "moon".to_owned())].into(),
        ..tiny(0.1)
    }));
    agrees_with_the_api(&cluster, &stack);
    until("frames are counted", || {
        let frames = stack.instant("ffrtmp_worker_encoded_frames_total{node_id=\"w1\"} > 0 and ffrtmp_worker_encode_fps > 0");
        (!frames.is_empty()).then_some(())
    });

    // What waited runs; some fail, some have outputs.
    client.cancel(JobRef::Seq(nowhere)).unwrap();
    for job in busy {
        client.cancel(JobRef::Seq(job)).unwrap();
    }
    let written = cluster.file("out.mp4");
    cluster.submit(small(JobSpec {
        input: Some("/nothing/here.mp4".into()),
        ..JobSpec::default()
    }));
    cluster.submit(small(JobSpec {
        output: Some(written),
        ..tiny(0.2)
    }));
    cluster.until_all_ended();
    agrees_with_the_api(&cluster, &stack);

    // Another policy, the first one in its shadow, a file that is none, and one that traps until it has lost its rule.
    let policy = |file: &str| fs::read(root().join(file)).unwrap();
    cluster.put_in_policies("binpack.wasm", &policy("policies/bundled/binpack.wasm"));
    let rules = |name: &str| {
        let list = client.policies().unwrap().policies;
        list.iter()
            .any(|p| p.name == name && p.state == "active")
            .then_some(())
    };
    until("binpack rules", || rules("binpack"));
    client.shadow_policy("balanced").unwrap();
    until("the candidate was asked and answered", || {
        let job = cluster.submit(small(tiny(0.1)));
        cluster.until_completed(job);
        (cluster.metrics()["ffrtmp_policy_shadow_rounds_total"] >= 3.0).then_some(())
    });
    cluster.put_in_policies("core.wasm", &policy("tests/hostile/imports_wasi.wasm"));
    until("it is refused", || {
        let refused: f64 = cluster
            .metrics()
            .iter()
            .filter(|(s, _)| s.starts_with("ffrtmp_policy_files_refused_total"))
            .map(|(_, n)| n)
            .sum();
        (refused >= 1.0).then_some(())
    });
    cluster.put_in_policies("traps.wasm", &policy("tests/hostile/traps_in_plan.wasm"));
    // Of two that came within 2 s none is chosen.
    until("it is there to be chosen", || {
        client.activate_policy("traps").ok()
    });
    until("it has failed so often that it rules no more", || {
        let job = cluster.submit(small(tiny(0.1)));
        cluster.until_completed(job);
        (cluster.metrics()["ffrtmp_policy_breaker_open"] == 1.0).then_some(())
    });

    // A worker is lost with a job, which waits to run once more.
    cluster.start_worker_with("w3", 1, &["--label", "zone=moon"]);
    until("w3 is found and scraped", || {
        (!stack.instant("ffrtmp_worker_slots{node=\"w3\"}").is_empty()).then_some(())
    });
    let lost = cluster.submit(small(JobSpec {
        require: [("zone".to_owned(), "moon".to_owned())].into(),
        ..endless()
    }));
    cluster.until_state(lost, &[JobState::Running]);
    cluster.workers.get_mut("w3").unwrap().0.kill();
    until("its job goes back into the queue", || {
        (cluster.job(lost).state == JobState::Pending).then_some(())
    });
    until("that is known behind the scraper", || {
        (!stack.instant("ffrtmp_node_losses_total == 1").is_empty()).then_some(())
    });
    client.cancel(JobRef::Seq(lost)).unwrap();
    agrees_with_the_api(&cluster, &stack);

    // Everything has data, near and from afar.
    let near = ask_all(&stack, start, 1, |_| false);
    ask_all(&stack, start, 15, |_| false);
    near.print();
    for (uid, panel, name) in HAPPENED {
        let shown = near.of(uid, panel);
        let series = match name {
            "*" => shown.values().next(),
            name => shown.get(name),
        };
        assert!(
            series.is_some_and(|s| s.most() > 0.0),
            "{panel}, {name}: {shown:?}"
        );
    }
    scheduling_attempts_are_per_minute(&cluster, &stack);
    let heartbeats = near.of("worker-monitoring", "Worker Heartbeat Rate")["w1"].most();
    assert!(
        (30.0..=120.0).contains(&heartbeats),
        "one a second, and {heartbeats} a minute"
    );
    let duration = near.last("distributed-scheduler", "Job Duration", "Avg Job Duration");
    // One that was canceled while it waited to run once more did not run until its end.
    let ran: Vec<f64> = cluster
        .jobs()
        .iter()
        .filter(|job| job.id != lost)
        .filter_map(|job| Some((job.finished_at_ms? - job.started_at_ms?) as f64 / 1000.0))
        .collect();
    let mean = ran.iter().sum::<f64>() / ran.len() as f64;
    assert!(
        (duration - mean).abs() < mean * 0.05,
        "{duration} is shown, and {mean} is the mean of {ran:?}"
    );
    let range = near.of("job-outcomes", "Jobs Ended");
    let jobs = cluster.jobs();
    for (name, state) in [
        ("completed", JobState::Completed),
        ("failed", JobState::Failed),
        ("canceled", JobState::Canceled),
    ] {
        let ended = jobs.iter().filter(|job| job.state == state).count() as f64;
        assert_eq!(range[name].last().round(), ended, "{name}");
    }

    // Variables offer what there is, and marks are where policies changed.
    for dashboard in dashboards() {
        for variable in dashboard
            .templating
            .list
            .iter()
            .filter(|v| v.kind == "query")
        {
            let values = stack.label_values(&variable.query);
            assert!(!values.is_empty(), "{} {}", dashboard.title, variable.name);
            if variable.name == "node" {
                assert!(
                    ["w1", "w2"]
                        .iter()
                        .all(|node| values.iter().any(|v| v == node)),
                    "{values:?}"
                );
            }
        }
        let mark = &dashboard.annotations.list[1];
        let marks = stack.range(&asked(&mark.expr, 1, 300), start, 1);
        let titles: Vec<_> = marks.iter().map(|s| s.named(&mark.title_format)).collect();
        assert!(
            titles.iter().any(|t| t.starts_with("binpack "))
                && titles.iter().all(|t| t.ends_with(" rules")),
            "{titles:?}"
        );
        marks.iter().for_each(|s| drop(s.named(&mark.text_format)));
    }

    // What alerts and recorded rules look at is there, and each of them can be worked out.
    for rule in stack.rules().unwrap() {
        let query = rule["query"].as_str().unwrap();
        assert_eq!(rule["lastError"], "", "{query}");
        for selector in selectors(query).unwrap() {
            assert!(
                !stack.instant(&selector.text()).is_empty(),
                "{}: no {}",
                rule["name"],
                selector.text()
            );
        }
    }
    let lines = crate::cluster::exposition(cluster.workers["w1"].1)
        .lines()
        .filter(|l| !l.starts_with('#'))
        .count();
    let of_master = crate::cluster::exposition(cluster.metrics_port)
        .lines()
        .filter(|l| !l.starts_with('#'))
        .count();
    eprintln!("samples in a scrape: the master {of_master}, a worker {lines}");
    cluster.finish();
}

/// The panel says 60 times what a second had, and over the whole time as many as the master counted.
fn scheduling_attempts_are_per_minute(cluster: &Cluster, stack: &Stack) {
    let dashboards = dashboards();
    let board = dashboards
        .iter()
        .find(|d| d.uid == "distributed-scheduler")
        .unwrap();
    let panel = board
        .shown()
        .find(|p| p.title == "Scheduling Attempts (per minute)")
        .unwrap();
    let expr = panel.targets[0].expr.replace("$__rate_interval", "10m");
    let per_minute = stack.instant(&asked(&expr, 1, 600));
    let metric = "ffrtmp_schedule_attempts_total";
    let span = stack.instant(&format!("tlast_over_time({metric}{{result=\"success\"}}[10m]) - tfirst_over_time({metric}{{result=\"success\"}}[10m])"));
    let minutes = span[0].last() / 60.0;
    for series in per_minute {
        let result = &series.labels["result"];
        let counted = cluster.metrics()[&format!("{metric}{{result=\"{result}\"}}")];
        // Some happened before the first scrape.
        let shown = series.last() * minutes;
        assert!(
            (shown - counted).abs() <= counted * 0.2 + 3.0,
            "{result}: {shown} shown, {counted} counted, in {minutes} min"
        );
    }
}

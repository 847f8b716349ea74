//! Policies in simulation: the same every time, every job accounted for, and what placement promises, seen over whole days.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // in a test that is how one fails

mod sim_bench;

use ffrtmp_host::simulate::{
    ClusterModel, Comparison, Options, Ruler, Workload, cluster, page, run, workload,
};
use sim_bench::{cluster_of, jobs, one, simulate, wasm};

#[test]
fn the_same_seed_gives_the_same_report_byte_for_byte() {
    let cluster = ClusterModel::preset("small").unwrap();
    let report = |ruler: fn() -> Ruler| {
        let workload = Workload::preset("mixed", 300, 7, &cluster).unwrap();
        let report = run(&workload, &cluster, ruler(), &Options::default());
        let comparison = Comparison::new(&workload, Some(7), &cluster, "tenant", vec![report]);
        serde_json::to_string(&comparison.without_measured()).unwrap()
    };
    for ruler in [
        || Ruler::named("native").unwrap(),
        || Ruler::named("fifo").unwrap(),
        || wasm("policies/balanced.wasm", ""),
        || wasm("policies/bundled/binpack.wasm", ""),
    ] {
        assert_eq!(report(ruler), report(ruler));
    }
}

#[test]
fn the_guest_and_its_native_twin_do_the_same() {
    let cluster = ClusterModel::preset("small").unwrap();
    let workload = Workload::preset("mixed", 400, 3, &cluster).unwrap();
    let [guest, native] = [
        wasm("policies/balanced.wasm", ""),
        Ruler::named("native").unwrap(),
    ]
    .map(|ruler| run(&workload, &cluster, ruler, &Options::default()));
    assert_eq!(guest.samples, native.samples);
    assert_eq!(guest.wait_curve, native.wait_curve);
    assert_eq!(
        (guest.rounds, guest.makespan_ms),
        (native.rounds, native.makespan_ms)
    );
    assert!(guest.memory_bytes > 0 && guest.digest != native.digest);
}

#[test]
fn every_job_of_every_preset_runs_to_its_end() {
    for (clusters, _) in cluster::PRESETS.iter().take(2) {
        let cluster = ClusterModel::preset(clusters).unwrap();
        for (name, _) in workload::PRESETS {
            let workload = Workload::preset(name, 300, 1, &cluster).unwrap();
            for policy in ["native", "fifo"] {
                let report = simulate(&workload, &cluster, policy);
                assert_eq!(report.completed, 300, "{name} on {clusters} by {policy}");
                assert!(report.refused_placements.is_empty(), "{report:?}");
                assert!(report.faults.is_empty() && report.stopped.is_none());
            }
        }
    }
}

#[test]
fn a_job_nobody_can_run_is_told_of_and_the_simulation_ends() {
    let cluster = cluster_of("[[worker]]\nname = 'w'\ncores = 4");
    let workload = jobs(&[one(0, 10, r#""gpu": true"#), one(5, 10, "")]);
    let report = simulate(&workload, &cluster, "native");
    assert_eq!((report.completed, report.wait.never_started), (1, 1));
}

#[test]
fn urgent_jobs_wait_less_than_others_and_live_ones_least() {
    let cluster = ClusterModel::preset("small").unwrap();
    let workload = Workload::preset("mixed", 2_000, 5, &cluster).unwrap();
    let report = simulate(&workload, &cluster, "native");
    let [high, medium, low] = ["high", "medium", "low"].map(|p| report.wait_by_priority[p].mean_ms);
    assert!(high < medium && medium < low, "{high} {medium} {low}");
    let [live, default, batch] =
        ["live", "default", "batch"].map(|q| report.wait_by_queue[q].mean_ms);
    assert!(
        live < default && default < batch,
        "{live} {default} {batch}"
    );
}

#[test]
fn ageing_bounds_how_long_a_low_job_is_overtaken() {
    // One slot, an urgent job every minute for three hours that each take a minute, and one low job among the first. A low
    // job is overtaken by high ones submitted up to an hour after it, and by no other.
    let cluster = cluster_of("[[worker]]\nname = 'w'\ncores = 1");
    let minute = 60_000;
    let mut lines: Vec<String> = (0..180)
        .map(|i| one(i * minute, minute as u64, r#""priority": "high""#))
        .collect();
    lines.push(one(minute / 2, minute as u64, r#""priority": "low""#));
    let report = simulate(&jobs(&lines), &cluster, "native");
    let waited = report.wait_by_priority["low"].max_ms / minute as u64;
    assert!((59..=62).contains(&waited), "it waited {waited} minutes");
}

#[test]
fn jobs_that_need_a_gpu_delay_no_job_that_needs_none() {
    let cluster = cluster_of(
        "[[worker]]\nname = 'cpu'\ncores = 4\n[[worker]]\nname = 'gpu'\ncores = 4\n[[worker.gpu]]\nsessions_max = 1",
    );
    // Far more GPU work than one session can do, all of it urgent and there first.
    let mut lines: Vec<String> = (0..500)
        .map(|_| {
            one(
                0,
                60_000,
                r#""gpu": true, "priority": "high", "queue": "live""#,
            )
        })
        .collect();
    lines.extend((0..40).map(|i| one(1_000 + i * 10_000, 10_000, r#""priority": "low""#)));
    let workload = jobs(&lines);
    for policy in ["native", "fifo"] {
        let report = simulate(&workload, &cluster, policy);
        assert_eq!(report.wait_by_priority["low"].max_ms, 0, "{policy}");
        assert_eq!(report.completed, 540, "{policy}");
    }
}

#[test]
fn a_job_runs_only_where_its_encoder_is_proven() {
    let cluster = cluster_of(
        "[[worker]]\nname = 'av1'\ncores = 1\nencoders = ['libx264', 'libsvtav1']\n[[worker]]\nname = 'plain'\ncount = 9\nencoders = ['libx264']",
    );
    let lines: Vec<String> = (0..10)
        .map(|_| one(0, 10_000, r#""codec": "av1""#))
        .collect();
    // One after the other, on the one slot there is for them.
    assert_eq!(
        simulate(&jobs(&lines), &cluster, "native").makespan_ms,
        100_000
    );
}

#[test]
fn a_gpu_never_has_more_sessions_than_it_allows() {
    let cluster = cluster_of(
        "[[worker]]\nname = 'w'\ncores = 32\n[[worker.gpu]]\ncount = 2\nsessions_max = 3",
    );
    let lines: Vec<String> = (0..24).map(|_| one(0, 10_000, r#""gpu": true"#)).collect();
    let report = simulate(&jobs(&lines), &cluster, "native");
    // Six at a time, four times.
    assert_eq!(
        (report.makespan_ms, report.gpu_utilisation),
        (40_000, Some(1.0))
    );
}

#[test]
fn a_faster_gpu_is_done_sooner() {
    let cluster = cluster_of("[[worker]]\nname = 'w'\nspeed = 2.0\n[[worker.gpu]]\nspeed = 5.0");
    let workload = jobs(&[one(0, 10_000, r#""gpu": true"#)]);
    assert_eq!(simulate(&workload, &cluster, "native").makespan_ms, 2_000);
    let workload = jobs(&[one(0, 10_000, "")]);
    assert_eq!(simulate(&workload, &cluster, "native").makespan_ms, 5_000);
}

#[test]
fn a_drained_worker_gets_nothing() {
    let cluster = cluster_of(
        "[[worker]]\nname = 'a'\ncores = 1\n[[worker]]\nname = 'b'\ncores = 8\ndrained = true",
    );
    let lines: Vec<String> = (0..5).map(|_| one(0, 10_000, "")).collect();
    let report = simulate(&jobs(&lines), &cluster, "native");
    assert_eq!((report.makespan_ms, report.workers_busy_most), (50_000, 1));
}

#[test]
fn a_policy_that_traps_costs_its_say_and_no_job() {
    let cluster = ClusterModel::preset("small").unwrap();
    let workload = Workload::preset("steady", 200, 1, &cluster).unwrap();
    let ruler = wasm("tests/hostile/traps_in_plan.wasm", "");
    let report = run(&workload, &cluster, ruler, &Options::default());
    assert_eq!(report.completed, 200);
    // Ranking succeeds in between, so it is the fifth within a minute that ends it.
    assert_eq!(report.faults["plan"], 5);
    let lost = report.lost_its_place.expect("it kept its place");
    assert!(lost.why.contains("unreachable"), "{lost:?}");
    assert_eq!(report.name, "traps_in_plan");
}

#[test]
fn a_policy_that_places_nothing_is_found_out_and_its_jobs_run_all_the_same() {
    let cluster = ClusterModel::preset("small").unwrap();
    let workload = Workload::preset("steady", 50, 1, &cluster).unwrap();
    let ruler = wasm("tests/hostile/well_behaved.wasm", "");
    let report = run(&workload, &cluster, ruler, &Options::default());
    assert_eq!((report.completed, report.wait.never_started), (50, 0));
    let stages: Vec<&str> = report.faults.keys().map(String::as_str).collect();
    assert_eq!(stages, ["stall"]);
}

#[test]
fn the_page_is_whole_and_reaches_for_nothing_outside() {
    let cluster = ClusterModel::preset("small").unwrap();
    let workload = Workload::preset("tenants", 200, 1, &cluster).unwrap();
    let reports = ["native", "fifo"].map(|policy| simulate(&workload, &cluster, policy));
    let comparison = Comparison::new(&workload, Some(1), &cluster, "tenant", reports.to_vec());
    let html = page::html(&comparison);
    assert_eq!(
        html.matches("<polyline").count(),
        8,
        "four plots of two policies"
    );
    let rest = html.replace("http://www.w3.org/2000/svg", "");
    for outside in ["http:", "https:", "//", "src=", "href=", "@import", "url("] {
        assert!(!rest.contains(outside), "{outside}");
    }
    for line in ["wait, tenant whale", "fairness", "makespan"] {
        assert!(html.contains(line), "{line}");
    }
}

/// Not a promise but a figure: how fast it is, and that what it costs does not grow with the length of the queue.
#[test]
#[ignore = "takes minutes; run it by name for the figure"]
fn a_million_jobs_of_a_day() {
    let cluster = ClusterModel::preset("large").unwrap();
    let workload = Workload::preset("night", 1_000_000, 1, &cluster).unwrap();
    let from = std::time::Instant::now();
    let report = simulate(&workload, &cluster, "native");
    let seconds = from.elapsed().as_secs_f64();
    println!(
        "{seconds:.1} s, {:.0} jobs/s, {} rounds",
        1e6 / seconds,
        report.rounds
    );
    assert_eq!(report.completed, 1_000_000);
}

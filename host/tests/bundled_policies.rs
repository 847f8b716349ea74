//! Bundled policies do what they claim: each is put before the same jobs as `balanced` or `fifo`, and is better at its own thing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // in a test that is how one fails

mod sim_bench;

use ffrtmp_host::simulate::{ClusterModel, Options, PolicyReport, Workload, run};
use sim_bench::{cluster_of, jobs, one, simulate, wasm, wasm_as_shipped};

/// What a bundled policy makes of it, with that configuration.
fn bundled(name: &str, config: &str, workload: &Workload, cluster: &ClusterModel) -> PolicyReport {
    let ruler = wasm(&format!("policies/bundled/{name}.wasm"), config);
    sound(name, run(workload, cluster, ruler, &Options::default()))
}

/// The same with the settings file that lies beside it.
fn as_shipped(name: &str, workload: &Workload, cluster: &ClusterModel) -> PolicyReport {
    let ruler = wasm_as_shipped(&format!("policies/bundled/{name}.wasm"));
    sound(name, run(workload, cluster, ruler, &Options::default()))
}

fn sound(name: &str, report: PolicyReport) -> PolicyReport {
    assert!(report.faults.is_empty(), "{name}: {:?}", report.first_fault);
    assert!(report.refused_placements.is_empty(), "{name}: {report:?}");
    assert_eq!(report.wait.never_started, 0, "{name}");
    report
}

#[test]
fn balanced_lets_urgent_jobs_go_first_where_fifo_does_not() {
    let cluster = ClusterModel::preset("small").unwrap();
    let workload = Workload::preset("burst", 1_000, 1, &cluster).unwrap();
    let [balanced, fifo] = ["native", "fifo"].map(|policy| simulate(&workload, &cluster, policy));
    let high = |report: &PolicyReport| report.wait_by_priority["high"].mean_ms;
    assert!(
        high(&balanced) * 2 < high(&fifo),
        "{} {}",
        high(&balanced),
        high(&fifo)
    );
}

#[test]
fn binpack_uses_fewer_workers_and_lets_large_jobs_start_sooner() {
    let farm = ClusterModel::preset("farm").unwrap();
    let workload = Workload::preset("steady", 3_000, 1, &farm).unwrap();
    let binpack = bundled("binpack", "", &workload, &farm);
    let balanced = simulate(&workload, &farm, "native");
    assert!(
        binpack.workers_busy_mean < balanced.workers_busy_mean * 0.95,
        "{} {}",
        binpack.workers_busy_mean,
        balanced.workers_busy_mean
    );
    // Four workers of four cores, half full of small jobs; then one that needs a whole worker.
    let four = cluster_of("[[worker]]\nname = 'w'\ncount = 4\ncores = 4");
    let mut lines: Vec<String> = (0..8).map(|i| one(i * 10, 600_000, "")).collect();
    lines.push(one(
        1_000,
        1_000,
        r#""cpu_millicores": 4000, "priority": "high""#,
    ));
    let workload = jobs(&lines);
    let large = |report: &PolicyReport| report.wait_by_priority["high"].max_ms;
    assert_eq!(large(&bundled("binpack", "", &workload, &four)), 0);
    assert!(large(&simulate(&workload, &four, "native")) > 500_000);
}

#[test]
fn spread_has_fewest_jobs_in_one_place() {
    let farm = ClusterModel::preset("farm").unwrap();
    // A third of what fits at once, so that there is a choice.
    let lines: Vec<String> = (0..600).map(|i| one(i * 100, 120_000, "")).collect();
    let workload = jobs(&lines);
    let spread = bundled("spread", "", &workload, &farm).jobs_on_fullest_mean;
    for other in ["native", "fifo"] {
        let other = simulate(&workload, &farm, other).jobs_on_fullest_mean;
        assert!(spread * 1.5 < other, "{spread} {other}");
    }
}

#[test]
fn gpu_first_keeps_gpus_busy_that_others_let_wait_for_cpu_jobs() {
    // GPU workers have as many slots as sessions; there is CPU work enough to fill every slot.
    let cluster = cluster_of(
        "[[worker]]\nname = 'cpu'\ncores = 8\n[[worker]]\nname = 'gpu'\ncores = 8\n[[worker.gpu]]\nsessions_max = 6",
    );
    let mut lines: Vec<String> = (0..400).map(|_| one(0, 60_000, "")).collect();
    lines.extend((0..100).map(|i| {
        one(
            i * 5_000,
            30_000,
            r#""gpu": true, "labels": {"tenant": "gpu"}"#,
        )
    }));
    let workload = jobs(&lines);
    let gpu_first = as_shipped("gpu-first", &workload, &cluster);
    // Without its file it keeps slots for seconds only, and is not taken for stalled.
    bundled("gpu-first", "", &workload, &cluster);
    for other in ["native", "fifo"] {
        let other = simulate(&workload, &cluster, other);
        let wait = |report: &PolicyReport| report.wait_by_group["gpu"].p99_ms;
        assert!(
            wait(&gpu_first) * 2 < wait(&other),
            "{} {}",
            wait(&gpu_first),
            wait(&other)
        );
    }
}

#[test]
fn fair_share_gives_tenants_alike_while_one_floods_the_queue() {
    let cluster = ClusterModel::preset("small").unwrap();
    let workload = Workload::preset("tenants", 2_000, 1, &cluster).unwrap();
    let fair = bundled("fair-share", "", &workload, &cluster);
    for other in ["native", "fifo"] {
        let other = simulate(&workload, &cluster, other);
        let (fairness, its) = (fair.fairness.unwrap(), other.fairness.unwrap());
        assert!(fairness > its + 0.1, "{fairness} {its}");
        // Those who do not flood wait a small part of what they would.
        for tenant in ["ant", "bee", "cat", "dog"] {
            let wait = |report: &PolicyReport| report.wait_by_group[tenant].mean_ms;
            assert!(wait(&fair) * 4 < wait(&other), "{tenant}");
        }
    }
}

#[test]
fn fair_share_follows_weights() {
    let cluster = cluster_of("[[worker]]\nname = 'w'\ncores = 8");
    let lines: Vec<String> = ["a", "b"]
        .iter()
        .flat_map(|tenant| {
            (0..200).map(move |_| one(0, 10_000, &format!(r#""labels": {{"tenant": "{tenant}"}}"#)))
        })
        .collect();
    let workload = jobs(&lines);
    let report = bundled(
        "fair-share",
        r#"{"weights": {"a": 3}}"#,
        &workload,
        &cluster,
    );
    // With three quarters of the slots, `a` is through after 200 / 6 turns of 10 s; with all but none left, `b` after 50.
    let last = |tenant: &str| report.wait_by_group[tenant].max_ms / 10_000;
    assert!((31..=36).contains(&last("a")), "{}", last("a"));
    assert_eq!(last("b"), 49);
}

#[test]
fn deadline_misses_fewer_deadlines() {
    let cluster = ClusterModel::preset("small").unwrap();
    let workload = Workload::preset("deadlines", 1_500, 1, &cluster).unwrap();
    let deadline = bundled("deadline", "", &workload, &cluster);
    assert_eq!(deadline.deadlines, 1_500);
    for other in ["native", "fifo"] {
        let other = simulate(&workload, &cluster, other);
        assert!(
            deadline.deadline_misses * 2 < other.deadline_misses,
            "{} {}",
            deadline.deadline_misses,
            other.deadline_misses
        );
    }
}

#[test]
fn time_of_day_starts_batch_jobs_in_their_hours_only() {
    let cluster = cluster_of("[[worker]]\nname = 'w'\ncores = 64");
    let hour = 3_600_000;
    // A batch job and a default one in every hour of a Monday.
    let monday = 1_767_571_200_000;
    let lines: Vec<String> = (0..24)
        .flat_map(|h| {
            let label =
                |lane: &str| format!(r#""queue": "{lane}", "labels": {{"tenant": "{lane}-{h}"}}"#);
            ["batch", "default"].map(|lane| one(monday + h * hour, 60_000, &label(lane)))
        })
        .collect();
    let report = bundled("time-of-day", "", &jobs(&lines), &cluster);
    for h in 0..24 {
        let wait = |lane: &str| report.wait_by_group[&format!("{lane}-{h}")].max_ms as i64;
        // Open from 22:00 to 06:00.
        let until_open = if (6..22).contains(&h) {
            (22 - h) * hour
        } else {
            0
        };
        assert_eq!(wait("batch"), until_open, "at {h}:00");
        assert_eq!(wait("default"), 0, "at {h}:00");
    }
    assert_eq!(report.holds, 16);
}

#[test]
fn chaos_costs_its_say_and_no_job() {
    let cluster = ClusterModel::preset("small").unwrap();
    let workload = Workload::preset("steady", 500, 1, &cluster).unwrap();
    let ruler = wasm("policies/bundled/chaos.wasm", "");
    let report = run(&workload, &cluster, ruler, &Options::default());
    assert_eq!(report.completed, 500);
    assert!(report.faults.values().sum::<u64>() > 0);
}

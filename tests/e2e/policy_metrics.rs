//! Every metric of policies moves when what it counts happens, in one history: a policy rules, holds, is refused, fails, stalls
//! the round to the built-in one, and gives its place back.

use std::collections::BTreeMap;

use crate::cluster::{Cluster, root, tiny, until};

fn drop_in(cluster: &Cluster, file: &str, name: &str, state: &str) {
    let bytes = std::fs::read(root().join(file)).unwrap();
    cluster.put_in_policies(&format!("{name}.wasm"), &bytes);
    until(&format!("{name} is {state}"), || {
        let list = cluster.client().policies().ok()?.policies;
        list.into_iter()
            .find(|p| p.name == name && p.state == state)
    });
}

fn take_out(cluster: &Cluster, name: &str) {
    std::fs::remove_file(cluster.path(&format!("policies/{name}.wasm"))).unwrap();
    until("balanced rules again", || {
        let list = cluster.client().policies().ok()?.policies;
        list.into_iter()
            .find(|p| p.name == "balanced" && p.state == "active")
    });
}

#[test]
fn every_metric_of_policies_moves_when_what_it_counts_happens() {
    let cluster = Cluster::with_worker(2);
    let before = cluster.metrics();
    // One name for all of them: files of different names that come within 2 s choose nothing.
    let run = || cluster.until_completed(cluster.submit(tiny(0.1)));
    run();
    drop_in(&cluster, "policies/bundled/binpack.wasm", "guest", "active");
    run();
    // Places on a worker that has no room for it: refused, entry by entry.
    take_out(&cluster, "guest");
    drop_in(
        &cluster,
        "tests/hostile/places_on_no_worker.wasm",
        "guest",
        "active",
    );
    let waits = cluster.submit(tiny(0.1));
    until("a placement was refused", || {
        let metrics = cluster.metrics();
        let refused = |(name, value): (&String, &f64)| {
            name.starts_with("ffrtmp_placements_refused_total") && *value > 0.0
        };
        metrics.iter().any(refused).then_some(())
    });
    take_out(&cluster, "guest");
    cluster.until_completed(waits);
    drop_in(
        &cluster,
        "tests/hostile/holds_everything.wasm",
        "guest",
        "active",
    );
    let held = cluster.submit(tiny(0.1));
    until("it is held", || {
        (cluster.metrics()["ffrtmp_policy_holds_total"] > 0.0).then_some(())
    });
    take_out(&cluster, "guest");
    cluster.until_completed(held);
    drop_in(
        &cluster,
        "tests/hostile/traps_in_plan.wasm",
        "guest",
        "active",
    );
    run();
    take_out(&cluster, "guest");
    drop_in(
        &cluster,
        "tests/hostile/imports_wasi.wasm",
        "guest",
        "refused",
    );

    let after = cluster.metrics();
    let sum = |metrics: &BTreeMap<String, f64>, family: &str| -> f64 {
        let of = |name: &str| name.strip_prefix(family).map(|rest| rest.to_owned());
        let series = metrics.iter().filter(|(name, _)| {
            of(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('{'))
        });
        series.map(|(_, value)| value).sum()
    };
    for family in [
        "ffrtmp_policy_rounds_total",
        "ffrtmp_policy_guest_seconds_count",
        "ffrtmp_policy_guest_seconds_sum",
        "ffrtmp_policy_holds_total",
        "ffrtmp_policy_faults_total",
        "ffrtmp_policy_fallback_rounds_total",
        "ffrtmp_policy_files_refused_total",
        "ffrtmp_policy_swaps_total",
        "ffrtmp_placements_total",
        "ffrtmp_placements_refused_total",
        "ffrtmp_schedule_attempts_total",
    ] {
        let (from, to) = (sum(&before, family), sum(&after, family));
        assert!(to > from, "{family}: {from} then {to}");
    }
    assert!(sum(&after, "ffrtmp_policy_memory_bytes") > 0.0);
    assert!(sum(&after, "ffrtmp_policy_candidates_max") > 0.0);
    assert!(
        after
            .keys()
            .any(|k| k.starts_with("ffrtmp_policy_good_round_age_seconds"))
    );
    let info: Vec<_> = after
        .keys()
        .filter(|k| k.starts_with("ffrtmp_policy_info"))
        .collect();
    assert_eq!(info.len(), 1, "{info:?}");
    assert!(info[0].contains("name=\"balanced\""), "{info:?}");
    cluster.finish();
}

#[test]
fn a_bundled_policy_dropped_in_with_its_settings_file_has_the_limits_of_that_file() {
    let cluster = Cluster::with_worker(2);
    std::fs::copy(
        root().join("policies/bundled/gpu-first.toml"),
        cluster.path("policies/gpu-first.toml"),
    )
    .unwrap();
    drop_in(
        &cluster,
        "policies/bundled/gpu-first.wasm",
        "gpu-first",
        "active",
    );
    let job = cluster.until_completed(cluster.submit(tiny(0.1)));
    assert_eq!(job.placement.unwrap().policy, "gpu-first");
    let detail = cluster.client().policy("gpu-first").unwrap();
    let stall = detail.limits.iter().find(|l| l.name == "stall_ms").unwrap();
    assert_eq!((stall.value, stall.default), (660_000, 10_000));
    assert_eq!(stall.set_by.as_deref(), Some("gpu-first.toml"));
    // Live: another value, the same policy.
    let text = std::fs::read_to_string(cluster.path("policies/gpu-first.toml")).unwrap();
    let text = text.replace("660_000", "120_000");
    cluster.put_in_policies("gpu-first.toml", text.as_bytes());
    until("the new limit is in force", || {
        let detail = cluster.client().policy("gpu-first").ok()?;
        let stall = detail.limits.iter().find(|l| l.name == "stall_ms")?;
        (stall.value == 120_000).then_some(())
    });
    let job = cluster.until_completed(cluster.submit(tiny(0.1)));
    assert_eq!(job.placement.unwrap().policy, "gpu-first");
    cluster.finish();
}

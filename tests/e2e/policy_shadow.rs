//! A candidate in the shadow of the policy that rules: compared with it, and without any power.

use std::time::{Duration, Instant};

use ffrtmp_api::{
    ids::JobRef,
    job::{JobSpec, JobState},
    rest::PolicyShadow,
};

use crate::cluster::{Cluster, endless, root, tiny, until};

/// Three workers with room for two each, ruled by the committed `balanced`, pinned, so that no file that arrives rules.
fn three_workers() -> Cluster {
    let mut cluster = Cluster::with_worker(2);
    cluster.start_worker("w2", 2);
    cluster.start_worker("w3", 2);
    cluster.client().activate_policy("balanced").unwrap();
    cluster
}

/// Puts a policy of the repository into the shadow, under a name of its own.
fn shadow(cluster: &Cluster, file: &str, name: &str) {
    let bytes = std::fs::read(root().join(file)).unwrap();
    cluster.put_in_policies(&format!("{name}.wasm"), &bytes);
    until("it was looked at", || {
        let list = cluster.client().policies().ok()?.policies;
        list.into_iter()
            .find(|p| p.name == name && p.state == "ready")
    });
    let list = cluster.client().shadow_policy(name).unwrap();
    let row = list.policies.into_iter().find(|p| p.name == name).unwrap();
    assert_eq!(row.state, "shadow");
    assert_eq!(list.shadow.unwrap().policy, name);
}

/// What reserves so little that a worker has room for two, however few cores it has.
fn small(job: JobSpec) -> JobSpec {
    JobSpec {
        cpu_millicores: Some(100),
        ..job
    }
}

/// Runs jobs, six at a time, until the candidate is known well enough.
fn run_jobs(cluster: &Cluster, enough: impl Fn(&PolicyShadow) -> bool) -> PolicyShadow {
    let from = Instant::now();
    loop {
        let ids: Vec<_> = (0..6).map(|_| cluster.submit(small(tiny(0.1)))).collect();
        ids.into_iter()
            .for_each(|id| drop(cluster.until_completed(id)));
        let shadow = cluster.client().policies().unwrap().shadow.unwrap();
        if enough(&shadow) {
            return shadow;
        }
        assert!(from.elapsed() < Duration::from_secs(120), "{shadow:#?}");
    }
}

fn compared(shadow: &PolicyShadow) -> u64 {
    shadow.same_node + shadow.other_node + shadow.would_wait + shadow.would_place
}

#[test]
fn the_policy_that_rules_agrees_with_itself_and_another_one_does_not() {
    let cluster = three_workers();
    shadow(&cluster, "policies/balanced.wasm", "twin");
    let twin = run_jobs(&cluster, |shadow| compared(shadow) >= 12);
    assert_eq!(twin.agreement, Some(1.0), "{twin:#?}");
    assert_eq!((twin.refused, twin.faults), (0, 0), "{twin:#?}");

    // With one worker in use, `balanced` takes another and `binpack` that one; also where all of them measure full load, as they
    // do when ffmpeg takes every core there is.
    let busy = cluster.submit(small(endless()));
    cluster.until_state(busy, &[JobState::Running]);
    shadow(&cluster, "policies/bundled/binpack.wasm", "packer");
    let packer = run_jobs(&cluster, |shadow| compared(shadow) >= 24);
    cluster.client().cancel(JobRef::Seq(busy)).unwrap();
    assert!(packer.agreement.unwrap() < 1.0, "{packer:#?}");
    assert!(packer.other_node > 0, "{packer:#?}");
    assert_eq!(packer.faults, 0, "{packer:#?}");
    let metrics = cluster.metrics();
    assert!(metrics["ffrtmp_policy_shadow_rounds_total"] >= (twin.rounds + packer.rounds) as f64);
    let other = metrics[r#"ffrtmp_policy_shadow_jobs_total{result="other_node"}"#];
    assert!(other >= packer.other_node as f64, "{other}");
    let agreement = metrics["ffrtmp_policy_shadow_agreement_ratio"];
    assert!((agreement - packer.agreement.unwrap()).abs() < 0.5);

    let list = cluster.client().unshadow_policy().unwrap();
    assert!(list.shadow.is_none());
    assert!(list.policies.iter().all(|p| p.state != "shadow"));
    let error = cluster.client().unshadow_policy().unwrap_err().to_string();
    assert!(error.contains("no policy is in the shadow"), "{error}");
    // It never ruled: every job was placed by the other.
    for job in cluster.jobs() {
        assert_eq!(job.placement.unwrap().policy, "balanced");
    }
    cluster.finish();
}

#[test]
fn whatever_a_candidate_does_the_policy_that_rules_takes_no_notice() {
    let cluster = three_workers();
    for hostile in [
        "loops_in_plan",
        "loops_in_rank",
        "loops_in_sync",
        "traps_in_plan",
        "grows_memory",
        "answers_a_million",
    ] {
        let file = format!("tests/hostile/{hostile}.wasm");
        shadow(&cluster, &file, hostile);
        let shadow = run_jobs(&cluster, |shadow| shadow.over);
        assert!(shadow.faults >= 3, "{shadow:#?}");
        assert!(shadow.last_error.is_some(), "{shadow:#?}");
        assert_eq!(compared(&shadow), 0, "{shadow:#?}");
    }
    let list = cluster.client().policies().unwrap();
    let active = list.policies.iter().find(|p| p.state == "active").unwrap();
    assert_eq!((active.name.as_str(), active.faults), ("balanced", 0));
    let metrics = cluster.metrics();
    let failed: f64 = metrics
        .iter()
        .filter(|(name, _)| name.starts_with("ffrtmp_policy_faults_total"))
        .map(|(_, value)| value)
        .sum();
    assert_eq!(failed, 0.0);
    assert!(metrics["ffrtmp_policy_shadow_faults_total"] >= 18.0);
    for job in cluster.jobs() {
        assert_eq!(job.placement.unwrap().policy, "balanced");
    }
    cluster.finish();
}

#[test]
fn a_candidate_that_holds_everything_shows_what_would_have_waited() {
    let cluster = three_workers();
    shadow(&cluster, "tests/hostile/holds_everything.wasm", "holder");
    let holder = run_jobs(&cluster, |shadow| compared(shadow) >= 6);
    assert_eq!(holder.agreement, Some(0.0));
    assert_eq!(holder.would_wait, compared(&holder));
    assert_eq!(holder.would_hold, holder.would_wait);
    cluster.finish();
}

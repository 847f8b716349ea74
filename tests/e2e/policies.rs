//! Wasm policies, swapped while jobs run.

use ffrtmp_api::job::{JobSpec, JobState};

use crate::cluster::{Cluster, endless, root, tiny, until};

#[test]
fn a_policy_dropped_into_the_folder_places_the_next_job() {
    let mut cluster = Cluster::with_worker(4);
    cluster.start_worker("w2", 4);
    let first = cluster.submit(tiny(0.2));
    let first = cluster.until_completed(first).placement.unwrap();
    assert_eq!(first.policy, "balanced");
    // Written beside and renamed, as a careful operator does.
    std::fs::copy(
        root().join("policies/bundled/binpack.wasm"),
        cluster.path("binpack.tmp"),
    )
    .unwrap();
    std::fs::rename(
        cluster.path("binpack.tmp"),
        cluster.path("policies/binpack.wasm"),
    )
    .unwrap();
    until("binpack becomes the active policy", || {
        cluster
            .client()
            .policies()
            .ok()?
            .policies
            .into_iter()
            .find(|p| p.name == "binpack" && p.state == "active")
    });
    let jobs: Vec<_> = (0..4).map(|_| cluster.submit(endless())).collect();
    let mut nodes: Vec<String> = Vec::new();
    for id in &jobs {
        let job = cluster.until_state(*id, &[JobState::Running]);
        let placement = job.placement.unwrap();
        assert_eq!(placement.policy, "binpack", "{placement:?}");
        nodes.push(job.node.unwrap());
    }
    nodes.dedup();
    assert_eq!(nodes.len(), 1, "binpack fills one worker first: {nodes:?}");
    for id in jobs {
        cluster
            .client()
            .cancel(ffrtmp_api::ids::JobRef::Seq(id))
            .unwrap();
    }
    cluster.until_all_ended();
    cluster.finish();
}

#[test]
fn policies_may_be_dropped_into_the_data_directory() {
    let mut cluster = Cluster::new();
    let live = cluster.path("data/policies");
    std::fs::create_dir(cluster.path("data")).unwrap();
    std::fs::rename(cluster.path("policies"), &live).unwrap();
    std::os::unix::fs::symlink(&live, cluster.path("policies")).unwrap();
    cluster.start_master();
    cluster.start_worker("w1", 1);
    let binpack = std::fs::read(root().join("policies/bundled/binpack.wasm")).unwrap();
    cluster.put_in_policies("mine.wasm", &binpack);
    until("what was dropped rules", || {
        (cluster.client().policies().ok()?.policies[0].name == "mine").then_some(())
    });
    let job = cluster.submit(tiny(0.2));
    let placement = cluster.until_completed(job).placement.unwrap();
    assert_eq!(placement.policy, "mine");
    assert!(live.join("mine.wasm").exists());
    cluster.finish();
}

#[test]
fn a_policy_that_comes_later_knows_who_runs_what() {
    let cluster = Cluster::with_worker(4);
    let of = |tenant: &str| JobSpec {
        labels: [("tenant".to_owned(), tenant.to_owned())].into(),
        ..endless()
    };
    let running: Vec<_> = (0..4).map(|_| cluster.submit(of("a"))).collect();
    for id in &running {
        cluster.until_state(*id, &[JobState::Running]);
    }
    std::fs::copy(
        root().join("policies/bundled/fair-share.wasm"),
        cluster.path("fair-share.tmp"),
    )
    .unwrap();
    std::fs::rename(
        cluster.path("fair-share.tmp"),
        cluster.path("policies/fair-share.wasm"),
    )
    .unwrap();
    until("fair-share rules", || {
        let list = cluster.client().policies().ok()?.policies;
        list.into_iter()
            .find(|p| p.name == "fair-share" && p.state == "active")
    });
    let more: Vec<_> = (0..3).map(|_| cluster.submit(of("a"))).collect();
    let others: Vec<_> = (0..3).map(|_| cluster.submit(of("b"))).collect();
    // Two slots come free. Those of `a` were first in line, but `a` runs two jobs already and `b` none.
    for id in &running[..2] {
        cluster
            .client()
            .cancel(ffrtmp_api::ids::JobRef::Seq(*id))
            .unwrap();
    }
    for id in &others[..2] {
        let job = cluster.until_state(*id, &[JobState::Running]);
        assert_eq!(job.placement.unwrap().policy, "fair-share");
    }
    for id in more.iter().chain(&others[2..]) {
        assert_eq!(cluster.job(*id).state, JobState::Pending);
    }
    for id in running[2..].iter().chain(&more).chain(&others) {
        cluster
            .client()
            .cancel(ffrtmp_api::ids::JobRef::Seq(*id))
            .unwrap();
    }
    cluster.until_all_ended();
    cluster.finish();
}

#[test]
fn a_junk_file_in_the_folder_is_refused_by_name_and_jobs_keep_flowing() {
    let cluster = Cluster::with_worker(2);
    std::fs::write(cluster.path("policies/junk.wasm"), b"this is no wasm").unwrap();
    let status = until("the junk is listed", || {
        cluster
            .client()
            .policies()
            .ok()?
            .policies
            .into_iter()
            .find(|p| p.name == "junk")
    });
    assert_eq!(status.state, "refused");
    assert!(status.last_error.is_some());
    let id = cluster.submit(tiny(0.2));
    assert_eq!(
        cluster.until_completed(id).placement.unwrap().policy,
        "balanced"
    );
    cluster.finish();
}

#[test]
fn a_gpu_job_that_nobody_can_take_delays_no_cpu_job_and_says_what_it_waits_for() {
    let cluster = Cluster::with_worker(1);
    let gpu = cluster.submit(JobSpec {
        gpu: true,
        queue: ffrtmp_api::job::Queue::Live,
        priority: ffrtmp_api::job::Priority::High,
        ..tiny(0.2)
    });
    let cpu = cluster.submit(JobSpec {
        queue: ffrtmp_api::job::Queue::Batch,
        ..tiny(0.2)
    });
    cluster.until_completed(cpu);
    let job = cluster.job(gpu);
    assert_eq!(job.state, JobState::Pending);
    assert!(
        job.waiting.as_ref().unwrap().contains("h264_nvenc"),
        "{:?}",
        job.waiting
    );
    cluster
        .client()
        .cancel(ffrtmp_api::ids::JobRef::Seq(gpu))
        .unwrap();
    cluster.finish();
}

#[test]
fn a_missing_policies_folder_stops_nothing() {
    let mut cluster = Cluster::new();
    std::fs::remove_dir_all(cluster.path("policies")).unwrap();
    cluster.start_master();
    cluster.start_worker("w1", 1);
    let id = cluster.submit(tiny(0.2));
    let placement = cluster.until_completed(id).placement.unwrap();
    assert_eq!(
        (placement.policy.as_str(), placement.digest.as_str()),
        ("balanced", "native")
    );
    cluster.finish();
}

#[test]
fn a_policy_chosen_by_command_places_the_next_job_and_stays_chosen_over_a_crash() {
    let mut cluster = Cluster::with_worker(2);
    let refused = cluster.client().activate_policy("nobody").unwrap_err();
    assert!(refused.to_string().contains("nobody"), "{refused}");
    let list = cluster.client().activate_policy("native").unwrap();
    assert_eq!(list.pinned.as_deref(), Some("balanced@native"));
    let id = cluster.submit(tiny(0.2));
    let placement = cluster.until_completed(id).placement.unwrap();
    assert_eq!(placement.digest, "native");
    cluster.kill_master();
    cluster.start_master();
    let list = cluster.client().policies().unwrap();
    assert_eq!(list.pinned.as_deref(), Some("balanced@native"));
    assert_eq!(list.policies[0].digest, "native");
    let list = cluster.client().activate_policy("balanced").unwrap();
    assert_ne!(list.policies[0].digest, "native");
    let detail = cluster.client().policy("balanced").unwrap();
    assert!(detail.limits.iter().any(|l| l.name == "memory_bytes"));
    assert_eq!(cluster.client().unpin_policy().unwrap().pinned, None);
    let id = cluster.submit(tiny(0.2));
    assert_ne!(
        cluster.until_completed(id).placement.unwrap().digest,
        "native"
    );
    cluster.finish();
}

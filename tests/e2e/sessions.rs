//! Workers that freeze, die, come back, and share a name.

use ffrtmp_api::{
    job::{JobSpec, JobState},
    rest::NodeStatus,
};
use rustix::process::Signal;

use crate::cluster::{Cluster, endless, footage, until};

fn short_lease() -> Cluster {
    let mut cluster = Cluster::new();
    cluster.master_flags = ["--lease", "2s", "--heartbeat", "500ms"]
        .map(String::from)
        .to_vec();
    cluster.start_master();
    cluster
}

#[test]
fn a_worker_frozen_past_its_lease_and_woken_publishes_nothing() {
    let mut cluster = short_lease();
    cluster.start_worker("w1", 1);
    let output = cluster.file("out.mp4");
    let id = cluster.submit(JobSpec {
        input: Some(footage()),
        output: Some(output.clone()),
        encoder_preset: Some("ultrafast".into()),
        ..JobSpec::default()
    });
    let job = cluster.until_state(
        id,
        &[JobState::Running, JobState::Publishing, JobState::Completed],
    );
    assert_eq!(
        job.state,
        JobState::Running,
        "the encode is long enough to be frozen in"
    );
    cluster.worker("w1").signal(Signal::STOP);
    // Its ffmpeg goes on and finishes; only the worker, which would publish, is frozen. Another worker gets the job.
    cluster.start_worker("w2", 1);
    let job = cluster.until_completed(id);
    assert_eq!((job.attempt.0, job.node.as_deref()), (2, Some("w2")));
    let published = std::fs::metadata(&output).unwrap();
    cluster.worker("w1").signal(Signal::CONT);
    // Woken, it must say hello again, is told that its attempt is revoked, and removes what it made.
    let part = cluster.path(&format!(".out.mp4.ffrtmp-{id}-1.part"));
    until("the first attempt's file is removed", || {
        (!part.exists()).then_some(())
    });
    until("the woken worker is available again", || {
        let nodes = cluster.client().nodes().ok()?.nodes;
        nodes
            .iter()
            .any(|n| n.name == "w1" && n.status == NodeStatus::Available)
            .then_some(())
    });
    use std::os::unix::fs::MetadataExt;
    assert_eq!(
        std::fs::metadata(&output).unwrap().ino(),
        published.ino(),
        "the output was not touched again"
    );
    assert_eq!(cluster.job(id).attempt.0, 2);
    cluster.finish();
}

#[test]
fn a_lost_worker_s_job_runs_again_elsewhere() {
    let mut cluster = short_lease();
    cluster.start_worker("w1", 1);
    let id = cluster.submit(endless());
    cluster.until_state(id, &[JobState::Running]);
    cluster.start_worker("w2", 1);
    cluster.workers.get_mut("w1").unwrap().0.kill();
    let job = until("the job runs on the other worker", || {
        Some(cluster.job(id)).filter(|j| j.state == JobState::Running && j.attempt.0 == 2)
    });
    assert_eq!(job.node.as_deref(), Some("w2"));
    cluster
        .client()
        .cancel(ffrtmp_api::ids::JobRef::Seq(id))
        .unwrap();
    cluster.until_state(id, &[JobState::Canceled]);
    cluster.finish();
}

#[test]
fn a_worker_that_restarts_gives_its_job_up_at_once() {
    let mut cluster = Cluster::with_worker(1);
    let id = cluster.submit(endless());
    cluster.until_state(id, &[JobState::Running]);
    cluster.workers.get_mut("w1").unwrap().0.kill();
    // The lease is 30 s; the hello of the restarted worker says at once that the attempt is gone.
    cluster.start_worker("w1", 1);
    let job = until("a second attempt runs", || {
        Some(cluster.job(id)).filter(|j| j.state == JobState::Running && j.attempt.0 == 2)
    });
    assert_eq!(job.failures, 1);
    cluster
        .client()
        .cancel(ffrtmp_api::ids::JobRef::Seq(id))
        .unwrap();
    cluster.until_state(id, &[JobState::Canceled]);
    cluster.finish();
}

#[test]
fn a_second_worker_with_the_same_name_is_refused_and_told_so() {
    let cluster = Cluster::with_worker(1);
    let mut command = cluster.command("impostor");
    let other = cluster.file("state-other");
    command.args([
        "worker",
        "--master",
        &cluster.url(),
        "--name",
        "w1",
        "--state-dir",
        &other,
        "--metrics-listen",
        "127.0.0.1:0",
    ]);
    let mut impostor = crate::cluster::Process {
        child: command.spawn().unwrap(),
    };
    until("the impostor is told", || {
        cluster
            .log("impostor")
            .contains("another worker named")
            .then_some(())
    });
    impostor.kill();
    let nodes = cluster.client().nodes().unwrap().nodes;
    assert_eq!(nodes.len(), 1);
    assert_eq!(nodes[0].status, NodeStatus::Available);
    cluster.finish();
}

#[test]
fn sigterm_drains_a_worker_and_hands_back_what_it_cannot_finish() {
    let mut cluster = Cluster::new();
    cluster.start_master();
    cluster.start_worker_with("w1", 1, &["--grace", "1s"]);
    let id = cluster.submit(endless());
    cluster.until_state(id, &[JobState::Running]);
    cluster.worker("w1").signal(Signal::TERM);
    let status = cluster.workers.get_mut("w1").unwrap().0.wait();
    assert!(status.success(), "{status}: {}", cluster.log("w1"));
    let job = cluster.until_state(id, &[JobState::Pending]);
    assert_eq!(
        (job.attempt.0, job.failures),
        (1, 0),
        "handed back is not failed"
    );
    cluster
        .client()
        .cancel(ffrtmp_api::ids::JobRef::Seq(id))
        .unwrap();
    cluster.finish();
}

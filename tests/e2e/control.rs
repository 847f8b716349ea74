//! What users and operators tell a running cluster: hold, resume, retry, change, drain, undrain, remove.

use ffrtmp_api::{
    client::{ClientError, JobQuery},
    ids::{JobRef, JobSeq},
    job::{JobSpec, JobState, Priority, Queue},
    rest::{ChangeJob, Job, NodeStatus},
};
use rustix::process::Signal;

use crate::cluster::{Cluster, endless, footage, tiny, until};

/// What the master refuses must say why; answers with status and message.
#[track_caller]
fn refusal<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> (u16, String) {
    match answer {
        Err(ClientError::Refused { status, error }) => (status, error.message),
        other => panic!("should be refused and is {other:?}"),
    }
}

fn by(id: JobSeq) -> JobRef {
    JobRef::Seq(id)
}

#[track_caller]
fn until_node(cluster: &Cluster, name: &str, status: NodeStatus) {
    until(&format!("{name} is {status:?}"), || {
        let node = cluster.client().node(name).ok()?;
        (node.status == status).then_some(())
    });
}

#[test]
fn a_pending_job_is_held_through_a_crash_of_the_master_until_it_is_resumed() {
    let mut cluster = Cluster::with_master();
    let held = cluster.submit(tiny(0.1));
    for _ in 0..2 {
        let job = cluster.client().pause(by(held)).unwrap();
        assert_eq!((job.state, job.held), (JobState::Pending, true));
        assert!(job.waiting.unwrap().contains("a user holds it"));
    }
    cluster.kill_master();
    cluster.start_master();
    cluster.start_worker("w1", 1);
    // The one behind it passes it by.
    let other = cluster.submit(tiny(0.1));
    cluster.until_completed(other);
    let job = cluster.job(held);
    assert_eq!((job.state, job.held), (JobState::Pending, true));
    let job = cluster.client().resume(by(held)).unwrap();
    assert!(!job.held);
    cluster.client().resume(by(held)).ok();
    cluster.until_completed(held);
    let (status, why) = refusal(cluster.client().pause(by(held)));
    assert!(status == 409 && why.contains("completed"), "{status} {why}");
    cluster.finish();
}

#[test]
fn a_paused_job_whose_worker_is_lost_waits_on_until_it_is_resumed() {
    let mut cluster = Cluster::with_worker(1);
    let id = cluster.submit(endless());
    cluster.until_state(id, &[JobState::Running]);
    cluster.client().pause(by(id)).unwrap();
    cluster.until_state(id, &[JobState::Paused]);
    cluster.workers.get_mut("w1").unwrap().0.kill();
    cluster.start_worker("w1", 1); // says that it does not have it any more
    let job = cluster.until_state(id, &[JobState::Pending]);
    assert!(job.held, "{job:?}");
    cluster.client().resume(by(id)).unwrap();
    let job = cluster.until_state(id, &[JobState::Running]);
    assert_eq!(job.attempt.0, 2);
    cluster.client().cancel(by(id)).unwrap();
    cluster.until_state(id, &[JobState::Canceled]);
    cluster.finish();
}

#[test]
fn a_failed_job_is_retried_once_however_many_ask_and_completes() {
    let cluster = Cluster::with_worker(1);
    let input = cluster.file("late.mp4");
    let id = cluster.submit(JobSpec {
        input: Some(input.clone()),
        output: Some(cluster.file("out.mp4")),
        encoder_preset: Some("ultrafast".into()),
        ..JobSpec::default()
    });
    let failed = until("it fails for want of its input", || {
        Some(cluster.job(id)).filter(|job| job.state == JobState::Failed)
    });
    assert_eq!((failed.attempt.0, failed.failures), (1, 1));
    std::fs::copy(footage(), &input).unwrap();
    let answers: Vec<Job> = std::thread::scope(|scope| {
        let asks: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| cluster.client().retry(by(id)).unwrap()))
            .collect();
        asks.into_iter().map(|ask| ask.join().unwrap()).collect()
    });
    for job in answers {
        assert!(!job.cancel_requested && job.failures == 0, "{job:?}");
    }
    let job = cluster.until_completed(id);
    assert_eq!((job.attempt.0, job.failures, job.failure), (2, 0, None));
    let (status, why) = refusal(cluster.client().retry(by(id)));
    assert!(status == 409 && why.contains("completed"), "{status} {why}");
    cluster.finish();
}

#[test]
fn a_canceled_job_is_retried_and_one_that_never_ended_is_not() {
    let mut cluster = Cluster::with_master();
    let id = cluster.submit(tiny(0.1));
    let (status, why) = refusal(cluster.client().retry(by(id)));
    assert!(
        status == 409 && why.contains("only a job that failed or was canceled"),
        "{status} {why}"
    );
    cluster.client().cancel(by(id)).unwrap();
    cluster.until_state(id, &[JobState::Canceled]);
    let job = cluster.client().retry(by(id)).unwrap();
    assert_eq!(
        (job.state, job.cancel_requested, job.finished_at_ms),
        (JobState::Pending, false, None)
    );
    // What was recorded is enough for another run of the master.
    cluster.kill_master();
    cluster.start_master();
    cluster.start_worker("w1", 1);
    cluster.until_completed(id);
    cluster.finish();
}

#[test]
fn a_waiting_job_changes_lane_and_urgency_for_good_and_is_taken_in_its_new_turn() {
    let mut cluster = Cluster::with_master();
    let jobs: Vec<JobSeq> = (0..3)
        .map(|_| {
            cluster.submit(JobSpec {
                queue: Queue::Batch,
                priority: Priority::Low,
                ..tiny(0.1)
            })
        })
        .collect();
    let change = ChangeJob {
        queue: Some(Queue::Live),
        priority: Some(Priority::High),
    };
    let last = jobs[2];
    let job = cluster.client().change(by(last), &change).unwrap();
    assert_eq!((job.queue, job.priority), (Queue::Live, Priority::High));
    assert_eq!(
        job.spec.queue,
        Queue::Batch,
        "what was asked at first is kept"
    );
    let (status, why) = refusal(cluster.client().change(by(last), &ChangeJob::default()));
    assert!(status == 400 && why.contains("nothing to change"), "{why}");
    until("the gauges follow", || {
        let metrics = cluster.metrics();
        (metrics["ffrtmp_queue_by_type{type=\"live\"}"] == 1.0
            && metrics["ffrtmp_queue_by_type{type=\"batch\"}"] == 2.0
            && metrics["ffrtmp_queue_by_priority{priority=\"high\"}"] == 1.0)
            .then_some(())
    });
    cluster.kill_master();
    cluster.start_master();
    cluster.start_worker("w1", 1);
    for id in &jobs {
        cluster.until_completed(*id);
    }
    let started = |id| cluster.job(id).started_at_ms.unwrap();
    assert!(
        started(last) <= started(jobs[0]) && started(last) <= started(jobs[1]),
        "it was changed to go first"
    );
    let (status, why) = refusal(cluster.client().change(by(last), &change));
    assert!(status == 409 && why.contains("completed"), "{status} {why}");
    cluster.finish();
}

#[test]
fn a_drained_worker_finishes_its_job_and_takes_none_through_restarts_of_both_until_it_is_put_back()
{
    let mut cluster = Cluster::with_worker(2);
    let running = cluster.submit(endless());
    cluster.until_state(running, &[JobState::Running]);
    let node = cluster.client().drain("w1").unwrap();
    assert_eq!((node.status, node.drained), (NodeStatus::Draining, true));
    assert_eq!(node.jobs, [running], "it keeps what it has");
    let waiting = cluster.submit(tiny(0.1));
    let job = until("the job says that nobody takes work", || {
        Some(cluster.job(waiting)).filter(|job| job.waiting.is_some())
    });
    assert!(
        job.waiting.as_ref().unwrap().contains("no worker"),
        "{job:?}"
    );
    // The master restarts; the encode goes on under the same attempt, and the worker is still out of service.
    cluster.kill_master();
    cluster.start_master();
    until_node(&cluster, "w1", NodeStatus::Draining);
    let job = cluster.job(running);
    assert_eq!((job.state, job.attempt.0), (JobState::Running, 1));
    cluster.client().cancel(by(running)).unwrap();
    cluster.until_state(running, &[JobState::Canceled]);
    // So does the worker.
    cluster.worker("w1").signal(Signal::TERM);
    cluster.workers.get_mut("w1").unwrap().0.wait();
    until_node(&cluster, "w1", NodeStatus::Offline);
    cluster.start_worker("w1", 2);
    until_node(&cluster, "w1", NodeStatus::Draining);
    assert_eq!(cluster.job(waiting).state, JobState::Pending);
    let node = cluster.client().undrain("w1").unwrap();
    assert_eq!((node.status, node.drained), (NodeStatus::Available, false));
    cluster.until_completed(waiting);
    let (status, why) = refusal(cluster.client().drain("w9"));
    assert!(status == 404 && why.contains("\"w9\""), "{status} {why}");
    cluster.finish();
}

#[test]
fn only_a_worker_that_is_gone_can_be_removed_and_its_job_runs_elsewhere_at_once() {
    let mut cluster = Cluster::with_worker(1);
    let id = cluster.submit(endless());
    cluster.until_state(id, &[JobState::Running]);
    let (status, why) = refusal(cluster.client().remove_node("w1"));
    assert!(
        status == 409 && why.contains("is connected") && why.contains("nodes drain w1"),
        "{status} {why}"
    );
    cluster.start_worker("w2", 1);
    cluster.workers.get_mut("w1").unwrap().0.kill();
    until_node(&cluster, "w1", NodeStatus::Offline);
    // Its lease would last another 30 s.
    cluster.client().remove_node("w1").unwrap();
    let job = until("the job runs on the other worker", || {
        Some(cluster.job(id)).filter(|j| j.state == JobState::Running && j.attempt.0 == 2)
    });
    assert_eq!(job.node.as_deref(), Some("w2"));
    let (status, why) = refusal(cluster.client().node("w1"));
    assert!(status == 404 && why.contains("\"w1\""), "{status} {why}");
    let names: Vec<String> = cluster
        .client()
        .nodes()
        .unwrap()
        .nodes
        .into_iter()
        .map(|node| node.name)
        .collect();
    assert_eq!(names, ["w2"]);
    cluster.client().cancel(by(id)).unwrap();
    cluster.until_state(id, &[JobState::Canceled]);
    assert_eq!(
        cluster
            .client()
            .jobs(&JobQuery::default())
            .unwrap()
            .jobs
            .len(),
        1
    );
    cluster.finish();
}

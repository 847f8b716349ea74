//! What is streamed: the changes of the cluster, and a job's log as it grows; and what a listener misses when the master goes away.

use std::sync::mpsc::{Receiver, channel};

use ffrtmp_api::{
    client::EventFilter,
    ids::{AttemptNo, JobRef, JobSeq},
    job::{JobSpec, JobState},
    rest::{ClusterEvent, JobChange, LogEvent, NodeStatus},
};

use crate::cluster::{Cluster, PATIENCE, endless, footage, tiny, until};

/// Listens on a thread of its own, from before this returns.
fn listen(cluster: &Cluster, filter: EventFilter) -> Receiver<ClusterEvent> {
    let (sender, events) = channel();
    let (opened, is_open) = channel();
    let client = cluster.client();
    std::thread::spawn(move || {
        let mut stream = client.events_of(&filter);
        // Once it listens, it says so.
        opened.send(stream.next()).unwrap();
        // Ends with the cluster.
        while let Some(Ok(event)) = stream.next() {
            if sender.send(event).is_err() {
                return;
            }
        }
    });
    let first = is_open.recv_timeout(PATIENCE).unwrap();
    assert!(matches!(first, Some(Ok(ClusterEvent::Reset))), "{first:?}");
    events
}

/// Waits for an event.
#[track_caller]
fn hear<T>(
    events: &Receiver<ClusterEvent>,
    what: &str,
    pick: impl Fn(ClusterEvent) -> Option<T>,
) -> T {
    loop {
        match events.recv_timeout(PATIENCE) {
            Ok(event) => {
                if let Some(found) = pick(event) {
                    return found;
                }
            }
            Err(error) => panic!("waited in vain: {what} ({error})"),
        }
    }
}

/// The changes of one job until it ended.
#[track_caller]
fn changes_of(events: &Receiver<ClusterEvent>, id: JobSeq) -> Vec<JobChange> {
    let mut changes = Vec::new();
    while changes
        .last()
        .is_none_or(|change: &JobChange| !change.state.is_terminal())
    {
        changes.push(hear(events, "the job ends", |event| match event {
            ClusterEvent::Job(change) if change.id == id => Some(change),
            _ => None,
        }));
    }
    changes
}

#[test]
fn a_listener_hears_every_step_of_a_job_and_its_worker_in_order() {
    let mut cluster = Cluster::with_master();
    let events = listen(&cluster, EventFilter::default());
    cluster.start_worker("w1", 1);
    hear(&events, "the worker joins", |event| match event {
        ClusterEvent::Node(node) => {
            (node.name == "w1" && node.status == NodeStatus::Available).then_some(())
        }
        _ => None,
    });
    let id = cluster.submit(tiny(0.1));
    let changes = changes_of(&events, id);
    let mut states: Vec<JobState> = changes.iter().map(|change| change.state).collect();
    states.dedup();
    assert_eq!(
        states,
        [
            JobState::Pending,
            JobState::Assigned,
            JobState::Running,
            JobState::Completed
        ]
    );
    let job = cluster.job(id);
    let last = changes.last().unwrap();
    assert_eq!(
        (last.uuid, last.attempt, last.node.as_deref(), last.at_ms),
        (
            job.uuid,
            job.attempt,
            Some("w1"),
            job.finished_at_ms.unwrap()
        )
    );
    cluster.client().drain("w1").unwrap();
    hear(&events, "the worker is drained", |event| match event {
        ClusterEvent::Node(node) => {
            (node.status == NodeStatus::Draining && node.drained).then_some(())
        }
        _ => None,
    });
    cluster.finish();
}

#[test]
fn a_policy_dropped_into_the_folder_is_told_of() {
    let cluster = Cluster::with_master();
    let events = listen(
        &cluster,
        EventFilter {
            types: vec!["policy".into()],
            job: None,
        },
    );
    std::fs::copy(
        crate::cluster::root().join("policies/bundled/binpack.wasm"),
        cluster.path("policies/binpack.wasm"),
    )
    .unwrap();
    hear(&events, "binpack becomes active", |event| match event {
        ClusterEvent::Policy(policy) => {
            (policy.name == "binpack" && policy.state == "active").then_some(())
        }
        ClusterEvent::Reset => None,
        other => panic!("not asked for: {other:?}"),
    });
    // Its bytes are kept just after; stopping the master in the middle of that would leave a part of them.
    until("the policy's bytes are kept", || {
        let kept = std::fs::read_dir(cluster.path("data/accepted")).unwrap();
        let names = kept.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names
            .into_iter()
            .all(|name| !name.ends_with(".part"))
            .then_some(())
    });
    cluster.finish();
}

#[test]
fn a_listener_to_one_job_hears_of_no_other() {
    let mut cluster = Cluster::with_master();
    let (one, other) = (cluster.submit(tiny(0.1)), cluster.submit(tiny(0.1)));
    let job = Some(JobRef::Seq(one));
    let events = listen(
        &cluster,
        EventFilter {
            job,
            ..EventFilter::default()
        },
    );
    cluster.start_worker("w1", 2);
    cluster.until_completed(other);
    assert_eq!(
        changes_of(&events, one).last().unwrap().state,
        JobState::Completed
    );
    let rest: Vec<ClusterEvent> = events.try_iter().collect();
    assert!(
        rest.iter()
            .all(|event| matches!(event, ClusterEvent::Job(change) if change.id == one)),
        "{rest:?}"
    );
    cluster.finish();
}

#[test]
fn a_listener_is_told_to_look_again_when_the_master_was_restarted_and_then_hears_on() {
    let mut cluster = Cluster::with_worker(1);
    let events = listen(&cluster, EventFilter::default());
    let id = cluster.submit(endless());
    hear(&events, "the job runs", |event| match event {
        ClusterEvent::Job(change) => (change.state == JobState::Running).then_some(()),
        _ => None,
    });
    cluster.kill_master();
    cluster.start_master();
    hear(&events, "something was missed", |event| {
        matches!(event, ClusterEvent::Reset).then_some(())
    });
    until("the worker is back", || {
        let node = cluster.client().node("w1").ok()?;
        (node.status == NodeStatus::Busy).then_some(())
    });
    cluster.client().cancel(JobRef::Seq(id)).unwrap();
    assert_eq!(
        changes_of(&events, id).last().unwrap().state,
        JobState::Canceled
    );
    cluster.finish();
}

#[test]
fn a_log_is_followed_from_its_first_line_to_its_last_and_to_the_end_of_the_job() {
    let mut cluster = Cluster::with_master();
    let id = cluster.submit(JobSpec {
        input: Some(footage()),
        encoder_preset: Some("ultrafast".into()),
        ..JobSpec::default()
    });
    let (sender, told) = channel();
    let client = cluster.client();
    let follower = std::thread::spawn(move || {
        for event in client.follow_logs(JobRef::Seq(id)) {
            sender.send(event.unwrap()).unwrap();
        }
    });
    cluster.start_worker("w1", 1);
    cluster.until_completed(id);
    follower.join().unwrap();
    let told: Vec<LogEvent> = told.try_iter().collect();
    assert_eq!(
        told.first(),
        Some(&LogEvent::Attempt {
            attempt: AttemptNo(1),
            node: Some("w1".into())
        })
    );
    let state = JobState::Completed;
    assert_eq!(told.last(), Some(&LogEvent::End { state }));
    assert_eq!(text_of(&told), stored_log(&cluster, id));
    // Asked for again when all is over, it is told at once, the same.
    let again: Vec<LogEvent> = cluster
        .client()
        .follow_logs(JobRef::Seq(id))
        .map(Result::unwrap)
        .collect();
    assert_eq!(text_of(&again), stored_log(&cluster, id));
    assert!(text_of(&again).contains("bigbuckbunny.mp4"));
    cluster.finish();
}

fn text_of(told: &[LogEvent]) -> String {
    told.iter()
        .filter_map(|event| match event {
            LogEvent::Text { text } => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

fn stored_log(cluster: &Cluster, id: JobSeq) -> String {
    cluster.client().logs(JobRef::Seq(id)).unwrap().text
}

#[test]
fn a_followed_log_goes_on_with_the_next_attempt_of_a_job_that_failed() {
    let mut cluster = Cluster::with_worker(1);
    let id = cluster.submit(endless());
    let client = cluster.client();
    let (sender, told) = channel();
    let follower = std::thread::spawn(move || {
        for event in client.follow_logs(JobRef::Seq(id)) {
            sender.send(event.unwrap()).unwrap();
        }
    });
    let attempt = |told: &Receiver<LogEvent>| loop {
        match told.recv_timeout(PATIENCE).unwrap() {
            LogEvent::Attempt { attempt, .. } => break attempt,
            LogEvent::End { state } => panic!("ended as {state}"),
            _ => {}
        }
    };
    assert_eq!(attempt(&told), AttemptNo(1));
    cluster.until_state(id, &[JobState::Running]);
    cluster.workers.get_mut("w1").unwrap().0.kill();
    cluster.start_worker("w1", 1);
    assert_eq!(attempt(&told), AttemptNo(2));
    cluster.client().cancel(JobRef::Seq(id)).unwrap();
    follower.join().unwrap();
    let state = JobState::Canceled;
    assert_eq!(told.try_iter().last(), Some(LogEvent::End { state }));
    cluster.finish();
}

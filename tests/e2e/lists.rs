//! Lists, history, explanations and numbers, over a real master.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use ffrtmp_api::{
    client::{ClientError, JobQuery},
    ids::{JobRef, JobSeq},
    job::{JobSpec, JobState, Priority, Queue},
    rest::{JobSort, NodeStatus, WaitReason},
};

use crate::cluster::{Cluster, endless, tiny, until};

/// Ids of all that match, over pages of two.
fn listed(cluster: &Cluster, query: JobQuery) -> Vec<u64> {
    let (mut ids, mut query) = (Vec::new(), query);
    query.limit = Some(2);
    loop {
        let page = cluster.client().jobs(&query).unwrap();
        assert!(page.jobs.len() <= 2);
        ids.extend(page.jobs.iter().map(|job| job.id.0));
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            return ids;
        }
    }
}

/// The answer to a GET: status and body.
fn get(cluster: &Cluster, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", cluster.port)).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

fn labelled(team: &str, queue: Queue, priority: Priority) -> JobSpec {
    JobSpec {
        labels: [("team".to_owned(), team.to_owned())].into(),
        queue,
        priority,
        ..tiny(0.1)
    }
}

#[test]
fn a_list_is_filtered_sorted_and_paged_as_asked() {
    let mut cluster = Cluster::with_master();
    let specs = [
        labelled("a&b=c", Queue::Batch, Priority::Low),
        labelled("a&b=c", Queue::Live, Priority::High),
        labelled("other", Queue::Default, Priority::Medium),
        labelled("a&b=c", Queue::Live, Priority::Low),
        labelled("other", Queue::Live, Priority::Medium),
    ];
    let ids: Vec<JobSeq> = specs.into_iter().map(|spec| cluster.submit(spec)).collect();
    assert_eq!(
        ids.iter().map(|id| id.0).collect::<Vec<_>>(),
        [1, 2, 3, 4, 5]
    );
    let sorted = |sort| JobQuery {
        sort,
        ..JobQuery::default()
    };
    assert_eq!(listed(&cluster, sorted(JobSort::Newest)), [5, 4, 3, 2, 1]);
    assert_eq!(listed(&cluster, sorted(JobSort::Oldest)), [1, 2, 3, 4, 5]);
    assert_eq!(listed(&cluster, sorted(JobSort::Urgency)), [2, 5, 4, 3, 1]);
    assert_eq!(listed(&cluster, sorted(JobSort::Started)), [0; 0]);
    let team = JobQuery {
        labels: vec![("team".into(), "a&b=c".into())],
        ..JobQuery::default()
    };
    assert_eq!(listed(&cluster, team.clone()), [4, 2, 1]);
    let live_or_low = JobQuery {
        queues: vec![Queue::Live, Queue::Batch],
        priorities: vec![Priority::Low, Priority::Medium],
        states: vec![JobState::Pending, JobState::Running],
        ..JobQuery::default()
    };
    assert_eq!(listed(&cluster, live_or_low), [5, 4, 1]);
    let third = cluster.job(ids[2]).submitted_at_ms;
    let since = JobQuery {
        since_ms: Some(third),
        sort: JobSort::Oldest,
        ..JobQuery::default()
    };
    let until_third = JobQuery {
        until_ms: Some(third),
        sort: JobSort::Oldest,
        ..JobQuery::default()
    };
    let (after, before) = (listed(&cluster, since), listed(&cluster, until_third));
    assert!(after.contains(&3) && !before.contains(&3));
    assert_eq!([before, after].concat(), [1, 2, 3, 4, 5]);
    // They run one after the other; the order in which they ended is a list of its own, and so is where they ran.
    cluster.start_worker("w1", 1);
    cluster.until_all_ended();
    let finished = listed(&cluster, sorted(JobSort::Finished));
    let times: Vec<i64> = finished
        .iter()
        .map(|id| cluster.job(JobSeq(*id)).finished_at_ms.unwrap())
        .collect();
    assert_eq!(finished.len(), 5);
    assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
    let ran_on = |node: &str| JobQuery {
        node: Some(node.into()),
        ..team.clone()
    };
    assert_eq!(listed(&cluster, ran_on("w1")), [4, 2, 1]);
    assert_eq!(listed(&cluster, ran_on("w2")), [0; 0]);
    cluster.finish();
}

#[test]
fn what_a_list_cannot_be_asked_for_is_refused_by_name() {
    let cluster = Cluster::with_master();
    for _ in 0..3 {
        cluster.submit(tiny(0.1));
    }
    let page = cluster
        .client()
        .jobs(&JobQuery {
            limit: Some(1),
            sort: JobSort::Oldest,
            ..JobQuery::default()
        })
        .unwrap();
    let cursor = page.next_cursor.unwrap();
    for (query, field, says) in [
        ("stat=running".to_owned(), "query", "known are state, queue"),
        ("state=runing".into(), "state", "pending, assigned, running"),
        ("queue=fast".into(), "queue", "live, default, batch"),
        ("sort=random".into(), "sort", "newest, oldest, finished"),
        ("limit=0".into(), "limit", "between 1 and 1000"),
        ("limit=x".into(), "limit", "not a whole number"),
        ("since_ms=today".into(), "since_ms", "not a whole number"),
        ("label=team".into(), "label", "KEY=VALUE"),
        ("sort=newest&sort=oldest".into(), "sort", "more than once"),
        (
            "cursor=17".into(),
            "cursor",
            "not one that a list answered with",
        ),
        (format!("cursor={cursor}"), "cursor", "sort=oldest"),
    ] {
        let (status, body) = get(&cluster, &format!("/v1/jobs?{query}"));
        assert_eq!(status, 400, "{query}: {body}");
        assert!(
            body.contains(says) && body.contains(&format!("\"field\":\"{field}\"")),
            "{query}: {body}"
        );
    }
    let (status, body) = get(&cluster, &format!("/v1/jobs?sort=oldest&cursor={cursor}"));
    assert!(
        status == 200 && body.contains("\"id\":2"),
        "{status} {body}"
    );
    cluster.finish();
}

#[test]
fn a_key_used_again_for_another_job_is_a_conflict_also_after_a_restart() {
    let mut cluster = Cluster::with_master();
    let with_key = |seconds: f64| JobSpec {
        idempotency_key: Some("nightly-7".into()),
        ..tiny(seconds)
    };
    let first = cluster.client().submit(&with_key(0.1)).unwrap();
    for _ in 0..2 {
        let again = cluster.client().submit(&with_key(0.1)).unwrap();
        assert!(again.duplicate && again.id == first.id);
        match cluster.client().submit(&with_key(0.2)) {
            Err(ClientError::Refused { status, error }) => {
                assert_eq!((status, error.code.as_str()), (409, "idempotency_conflict"));
                assert!(
                    error.message.contains("\"nightly-7\"") && error.message.contains("job 1"),
                    "{}",
                    error.message
                );
            }
            other => panic!("should conflict and is {other:?}"),
        }
        cluster.kill_master();
        cluster.start_master();
    }
    assert_eq!(cluster.jobs().len(), 1);
    cluster.finish();
}

#[test]
fn a_waiting_job_is_explained_worker_by_worker_and_its_history_is_told() {
    let mut cluster = Cluster::with_worker(1);
    let client = cluster.client();
    let running = cluster.submit(endless());
    cluster.until_state(running, &[JobState::Running]);
    let full = cluster.submit(tiny(0.1));
    let wanted = cluster.submit(JobSpec {
        require: [("zone".into(), "east".into())].into(),
        ..tiny(0.1)
    });
    let explained = client.explain(JobRef::Seq(running)).unwrap();
    assert!(explained.waiting.is_none() && explained.nodes.is_empty());
    assert!(explained.summary.contains("w1"), "{}", explained.summary);
    assert!(explained.placement.is_some());
    let explained = client.explain(JobRef::Seq(full)).unwrap();
    let waiting = explained.waiting.unwrap();
    assert_eq!(
        waiting.reason,
        WaitReason::WorkersFull,
        "{}",
        waiting.message
    );
    assert_eq!(explained.nodes.len(), 1);
    assert!(!explained.nodes[0].fits && explained.nodes[0].why.contains("slots are taken"));
    let explained = client.explain(JobRef::Seq(wanted)).unwrap();
    assert_eq!(explained.waiting.unwrap().reason, WaitReason::NoLabel);
    assert!(explained.nodes[0].why.contains("the label zone=east"));
    assert!(
        explained.summary.contains("zone=east"),
        "{}",
        explained.summary
    );
    client.pause(JobRef::Seq(wanted)).unwrap();
    let explained = client.explain(JobRef::Seq(wanted)).unwrap();
    assert_eq!(explained.waiting.unwrap().reason, WaitReason::HeldByUser);
    client.resume(JobRef::Seq(wanted)).unwrap();
    let stats = client.stats().unwrap();
    assert_eq!(
        (
            stats.jobs[&JobState::Pending],
            stats.jobs[&JobState::Running]
        ),
        (2, 1)
    );
    assert_eq!((stats.slots, stats.slots_used, stats.submitted), (1, 1, 3));
    assert_eq!(stats.nodes[&NodeStatus::Busy], 1);
    assert!(stats.oldest_waiting_seconds.is_some() && stats.policy.starts_with("balanced"));
    cluster.start_worker_with("w2", 1, &["--label", "zone=east"]);
    cluster.until_completed(wanted);
    client.cancel(JobRef::Seq(running)).unwrap();
    cluster.until_completed(full);
    let lines = client.history(JobRef::Seq(wanted)).unwrap().entries;
    let told: Vec<&str> = lines.iter().map(|line| line.detail.as_str()).collect();
    assert_eq!(
        told[..3],
        ["submitted", "held by a user", "let go by a user"]
    );
    assert!(told[3].starts_with("placed on w2 by balanced"), "{told:?}");
    let last = lines.last().unwrap();
    assert_eq!(
        (last.to, last.node.as_deref()),
        (JobState::Completed, Some("w2"))
    );
    assert!(lines.is_sorted_by_key(|line| line.at_ms));
    until("the numbers follow", || {
        let stats = client.stats().unwrap();
        (stats.completed == 2
            && stats.canceled == 1
            && stats.oldest_waiting_seconds.is_none()
            && stats.wait_seconds_mean.is_some())
        .then_some(())
    });
    cluster.finish();
}

//! What an operator sees of policies: why a job went where it went, what was asked and answered, what happened.

use std::{
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use ffrtmp_api::{
    client::{Client, PolicyLogQuery},
    ids::JobRef,
    rest::{LogLevel, PolicyLogEvent, PolicyLogLine},
};

use crate::cluster::{Cluster, tiny, until};

/// Longer than a master takes to come back.
const SOON: Duration = Duration::from_secs(60);

#[test]
fn a_placed_job_s_explanation_names_the_workers_and_jobs_there_were_to_choose_from() {
    let mut cluster = Cluster::with_worker(2);
    cluster.start_worker("w2", 2);
    let id = cluster.submit(tiny(0.2));
    let node = cluster.until_completed(id).node.unwrap();
    let explained = cluster.client().explain(JobRef::Seq(id)).unwrap();
    let choice = explained.choice.expect("it is one of the last placements");
    assert_eq!((choice.attempt.0, choice.candidates), (1, 1));
    assert_eq!(choice.jobs, [id]);
    assert_eq!(choice.nodes_with_room, Some(2));
    let chosen: Vec<_> = choice.nodes.iter().filter(|room| room.chosen).collect();
    assert_eq!(chosen.len(), 1);
    assert_eq!(
        (chosen[0].node.as_str(), chosen[0].slots),
        (node.as_str(), 2)
    );
    assert!(explained.placement.is_some());
    cluster.finish();
}

#[test]
fn a_dump_holds_the_last_question_with_what_became_of_each_placement() {
    let cluster = Cluster::with_worker(2);
    let id = cluster.submit(tiny(0.2));
    cluster.until_completed(id);
    let dump = cluster.client().dump_policy("balanced").unwrap();
    let round = dump.last.expect("it answered").round.expect("a round");
    assert_eq!(round.candidates.len(), 1);
    let placement = &round.placements[0];
    assert_eq!(u64::from(placement.job), id.0);
    assert_eq!(placement.node.as_deref(), Some("w1"));
    assert_eq!(placement.refused, None);
    assert!(!placement.reason.is_empty());
    let error = cluster.client().dump_policy("nobody").unwrap_err();
    assert!(error.to_string().contains("nobody"), "{error}");
    cluster.finish();
}

#[test]
fn a_policy_that_failed_leaves_the_question_in_which_it_did() {
    let cluster = Cluster::with_worker(2);
    std::fs::copy(
        crate::cluster::root().join("tests/hostile/traps_in_plan.wasm"),
        cluster.path("policies/bad.wasm"),
    )
    .unwrap();
    until("it rules", || {
        let list = cluster.client().policies().ok()?.policies;
        list.into_iter()
            .find(|p| p.name == "bad" && p.state == "active")
    });
    let id = cluster.submit(tiny(0.2));
    cluster.until_completed(id);
    let fault = cluster.client().dump_policy("bad").unwrap().last_fault;
    let question = fault.expect("it failed");
    assert_eq!(question.fault.unwrap().stage, "plan");
    // The built-in policy's answer to the same question, in its own words.
    let round = question.round.unwrap();
    assert_eq!(u64::from(round.placements[0].job), id.0);
    assert_eq!(round.placements[0].refused, None);
    let query = PolicyLogQuery {
        policy: Some("bad".into()),
        level: Some(LogLevel::Warn),
        lines: None,
    };
    let log = cluster.client().policy_log(&query).unwrap();
    let events: Vec<_> = log
        .lines
        .iter()
        .filter_map(|l| l.event.as_deref())
        .collect();
    assert!(events.contains(&"policy_fault"), "{events:?}");
    assert!(!events.contains(&"policy_rules"), "that is no warning");
    cluster.finish();
}

/// Follows the log on a thread of its own, so that a test can wait for a line with a deadline.
fn follow(client: Client) -> Receiver<PolicyLogEvent> {
    let (sender, events) = channel();
    std::thread::spawn(move || {
        for event in client.follow_policy_log(&PolicyLogQuery::default()) {
            // An error, or a test that has ended.
            let Ok(event) = event else { return };
            if sender.send(event).is_err() {
                return;
            }
        }
    });
    events
}

fn until_line(events: &Receiver<PolicyLogEvent>, is: impl Fn(&PolicyLogLine) -> bool) -> usize {
    let mut gaps = 0;
    loop {
        match events.recv_timeout(SOON).expect("the line never came") {
            PolicyLogEvent::Gap => gaps += 1,
            PolicyLogEvent::Line(line) if is(&line) => return gaps,
            PolicyLogEvent::Line(_) => {}
        }
    }
}

#[test]
fn who_follows_the_log_sees_what_happens_and_goes_on_over_a_restart_of_the_master() {
    let mut cluster = Cluster::with_master();
    let events = follow(cluster.client());
    let of = |line: &PolicyLogLine, event: &str| line.event.as_deref() == Some(event);
    until_line(&events, |l| of(l, "policy_rules") && l.policy == "balanced");
    std::fs::write(cluster.path("policies/junk.wasm"), b"this is no wasm").unwrap();
    let gaps = until_line(&events, |l| of(l, "policy_refused") && l.policy == "junk");
    assert_eq!(gaps, 0);
    std::fs::remove_file(cluster.path("policies/junk.wasm")).unwrap();
    until_line(&events, |l| of(l, "policy_removed") && l.policy == "junk");
    cluster.kill_master();
    cluster.start_master();
    // Another run: that something may be missing is said, and its lines follow from the first.
    let gaps = until_line(&events, |l| of(l, "policy_rules") && l.policy == "balanced");
    assert_eq!(gaps, 1);
    cluster.finish();
}

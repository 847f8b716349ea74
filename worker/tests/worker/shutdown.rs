//! The end of a worker, wanted or not, and the start after it.

use std::{
    fs,
    time::{Duration, Instant},
};

use ffrtmp_api::protocol::{LiveAttempt, Outcome, ToMaster, ToWorker};

use crate::{
    master::{Master, attempt, tiny},
    node::Node,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_worker_finishes_what_it_has_and_takes_nothing_new() {
    let mut master = Master::start().await;
    let node = Node::of(&master);
    let mut running = node.start();
    let (mut session, _) = master.session().await;
    session.assign(attempt(1), |s| {
        tiny(s);
        s.output = node.media_text("out.mp4");
    });
    session.started(attempt(1)).await;
    running.stop();
    session
        .until(|frame| matches!(frame, ToMaster::Draining).then_some(()))
        .await;
    session.assign(attempt(2), tiny);
    let (mut encoded, mut handed_back) = (None, false);
    while encoded.is_none() || !handed_back {
        match session.next().await {
            ToMaster::Encoded { temp, bytes, .. } => encoded = Some((temp, bytes)),
            ToMaster::Outcome {
                attempt: a,
                outcome,
                ..
            } => {
                assert_eq!((a, outcome), (attempt(2), Outcome::HandedBack));
                handed_back = true;
            }
            _ => {}
        }
    }
    session.send(ToWorker::OutcomeRecorded {
        attempt: attempt(2),
    });
    let (temp, bytes) = encoded.unwrap();
    let output = node.media_text("out.mp4").unwrap();
    session.send(ToWorker::Publish {
        attempt: attempt(1),
        temp,
        output,
        bytes,
        overwrite: false,
    });
    assert_eq!(session.outcome(attempt(1)).await.0, Outcome::Published);
    session.send(ToWorker::OutcomeRecorded {
        attempt: attempt(1),
    });
    running.ended().await.unwrap();
    assert_eq!(node.listing(), ["out.mp4"]);
    assert!(node.scratch_and_records().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unfinished_after_the_grace_is_handed_back() {
    let mut master = Master::start().await;
    let mut node = Node::of(&master);
    node.config.grace = Duration::from_millis(200);
    let mut running = node.start();
    let (mut session, _) = master.session().await;
    session.assign(attempt(1), |s| {
        s.output = node.media_text("out.mp4");
        s.duration_seconds = Some(100_000.0);
    });
    session.started(attempt(1)).await;
    running.stop();
    assert_eq!(session.outcome(attempt(1)).await.0, Outcome::HandedBack);
    session.send(ToWorker::OutcomeRecorded {
        attempt: attempt(1),
    });
    let since = Instant::now();
    running.ended().await.unwrap();
    assert!(
        since.elapsed() < Duration::from_secs(2),
        "it waits though all is acknowledged"
    );
    assert!(node.listing().is_empty() && node.scratch_and_records().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn results_not_acknowledged_are_delivered_by_the_next_start() {
    let mut master = Master::start().await;
    let mut node = Node::of(&master);
    node.config.grace = Duration::ZERO;
    let mut running = node.start();
    let (mut session, first) = master.session().await;
    session.assign(attempt(1), |s| {
        tiny(s);
        s.output = node.media_text("out.mp4");
    });
    session.encoded(attempt(1)).await;
    session.assign(attempt(2), tiny);
    session.outcome(attempt(2)).await;
    running.stop();
    session.ended().await;
    running.ended().await.unwrap();

    let _running = node.start();
    let (mut session, hello) = master.session().await;
    assert_eq!(hello.install_id, first.install_id);
    let live = |job| LiveAttempt {
        attempt: attempt(job),
        started: true,
        paused: false,
    };
    assert_eq!(hello.attempts, [live(1), live(2)]);
    let (temp, bytes, result) = session.encoded(attempt(1)).await;
    assert_eq!(
        (fs::metadata(&temp).unwrap().len(), result.bytes),
        (bytes, bytes)
    );
    assert!(matches!(
        session.outcome(attempt(2)).await.0,
        Outcome::Completed { .. }
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_worker_in_the_same_state_directory_does_not_start() {
    let mut master = Master::start().await;
    let node = Node::of(&master);
    let _running = node.start();
    master.session().await;
    let error = node.start().ended().await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("another worker uses the state directory"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_ffmpeg_is_said_at_once() {
    let master = Master::start().await;
    let mut node = Node::of(&master);
    node.config.ffmpeg = "/nowhere/ffmpeg".into();
    let error = node.start().ended().await.unwrap_err();
    assert!(
        error.to_string().contains("/nowhere/ffmpeg") && error.to_string().contains("--ffmpeg"),
        "{error}"
    );
}

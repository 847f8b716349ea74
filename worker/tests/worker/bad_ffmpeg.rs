//! ffmpegs that do what they should not, and what becomes of their processes and files.

use std::{fs, time::Duration};

use ffrtmp_api::{
    job::FailureReason,
    limits::LOG_BYTES_MAX,
    protocol::{Outcome, ToMaster, ToWorker},
};

use crate::{
    master::{Master, attempt, tiny},
    node::{Node, eventually, is_dead, pid_in},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_ends_forked_children_that_ignore_it_and_removes_the_file() {
    let mut master = Master::start().await;
    let node = Node::of(&master);
    let (child, leader) = (node.media("child"), node.media("leader"));
    let mut node = node.with_ffmpeg(&format!(
        "trap '' TERM\necho half >\"$target\"\n(trap '' TERM; while :; do sleep 1000; done) &\n\
         echo $! >{}\necho $$ >{}\nwhile :; do wait; done",
        child.display(),
        leader.display()
    ));
    // The numbers it leaves are for this test.
    node.config.sandbox_writes = vec![node.dir.path().join("media")];
    let _running = node.start();
    let (mut session, _) = master.session().await;
    session.assign(attempt(1), |s| s.output = node.media_text("out.mp4"));
    session.started(attempt(1)).await;
    let (child, leader) = (pid_in(&child).await, pid_in(&leader).await);
    assert!(!is_dead(child) && !is_dead(leader));
    assert!(
        node.listing()
            .contains(&".out.mp4.ffrtmp-1-1.part".to_owned())
    );
    session.send(ToWorker::Cancel {
        attempt: attempt(1),
    });
    assert_eq!(session.outcome(attempt(1)).await.0, Outcome::Canceled);
    assert!(is_dead(leader));
    eventually("a forked child survives", || is_dead(child)).await;
    assert_eq!(node.listing(), ["child", "leader"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_encode_is_canceled() {
    let mut master = Master::start().await;
    let node = Node::of(&master);
    let _running = node.start();
    let (mut session, _) = master.session().await;
    session.assign(attempt(1), |s| {
        s.output = node.media_text("out.mp4");
        s.duration_seconds = Some(100_000.0);
    });
    let report = session.progressed(attempt(1)).await;
    assert!(
        report.percent.is_some_and(|percent| percent < 50.0),
        "{report:?}"
    );
    session.send(ToWorker::Cancel {
        attempt: attempt(1),
    });
    assert_eq!(session.outcome(attempt(1)).await.0, Outcome::Canceled);
    assert!(node.listing().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn children_left_by_an_ffmpeg_that_ended_are_killed() {
    let mut master = Master::start().await;
    let node = Node::of(&master);
    let child = node.media("child");
    let mut node = node.with_ffmpeg(&format!(
        "sleep 1000 & echo $! >{}\necho gone wrong >&2\nexit 1",
        child.display()
    ));
    node.config.sandbox_writes = vec![node.dir.path().join("media")];
    let _running = node.start();
    let (mut session, _) = master.session().await;
    session.assign(attempt(1), tiny);
    let (outcome, _) = session.outcome(attempt(1)).await;
    let message = "ffmpeg failed (exit code 1): gone wrong".to_owned();
    assert_eq!(
        outcome,
        Outcome::Failed {
            reason: FailureReason::RuntimeError,
            message
        }
    );
    let child = pid_in(&child).await;
    eventually("an orphan survives", || is_dead(child)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ffmpeg_that_hangs_is_stopped_as_timed_out() {
    let mut master = Master::start().await;
    let mut node =
        Node::of(&master).with_ffmpeg("printf 'frame=7\\nprogress=continue\\n'\nsleep 1000");
    node.config.stall_timeout = Duration::from_secs(1);
    let _running = node.start();
    let (mut session, _) = master.session().await;
    session.assign(attempt(1), |s| s.output = node.media_text("out.mp4"));
    let (reason, message) = session.failure(attempt(1)).await;
    assert_eq!(reason, FailureReason::Timeout);
    assert!(
        message.contains("hung") && message.contains("frame 7"),
        "{message}"
    );
    assert!(node.listing().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_past_its_limit_is_stopped_but_pauses_do_not_count() {
    let mut master = Master::start().await;
    let mut node = Node::of(&master);
    node.config.stall_timeout = Duration::from_secs(1);
    let _running = node.start();
    let (mut session, _) = master.session().await;
    session.assign(attempt(1), |s| {
        s.duration_seconds = Some(100_000.0);
        s.timeout_seconds = Some(2.0);
    });
    session.progressed(attempt(1)).await;
    session.send(ToWorker::Pause {
        attempt: attempt(1),
        paused: true,
    });
    let paused = |frame| match frame {
        ToMaster::Paused { paused, .. } => Some(paused),
        _ => None,
    };
    assert!(session.until(paused).await);
    // Longer than the limit and the stall time together, counted in heartbeats; nothing may end meanwhile.
    for _ in 0..35 {
        session
            .until(|frame| match frame {
                ToMaster::Heartbeat(_) => Some(()),
                ToMaster::Outcome { outcome, .. } => panic!("ended while paused: {outcome:?}"),
                _ => None,
            })
            .await;
    }
    session.send(ToWorker::Pause {
        attempt: attempt(1),
        paused: false,
    });
    assert!(!session.until(paused).await);
    let (reason, message) = session.failure(attempt(1)).await;
    assert_eq!(reason, FailureReason::Timeout);
    assert!(message.contains("limit of 2 s"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_is_for_all_runs_of_a_job_together() {
    let mut master = Master::start().await;
    let node = Node::of(&master).with_ffmpeg("sleep 1.5");
    let _running = node.start();
    let (mut session, _) = master.session().await;
    session.assign(attempt(1), |s| {
        (s.bitrate, s.two_pass) = (Some("1M".into()), true);
        s.timeout_seconds = Some(2.0);
    });
    let (reason, message) = session.failure(attempt(1)).await;
    assert_eq!(reason, FailureReason::Timeout);
    assert!(message.contains("limit of 2 s"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sheet_of_sprites_shows_no_frame_until_its_end_and_is_not_hung() {
    let mut master = Master::start().await;
    // Reads on and on, as one does that decodes a film; then it is seen that it was let.
    let mut node = Node::of(&master).with_ffmpeg(
        "for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do read -r x </proc/self/stat; sleep 0.2; done\necho was let >&2\nexit 3",
    );
    node.config.stall_timeout = Duration::from_secs(1);
    let _running = node.start();
    let (mut session, _) = master.session().await;
    session.assign(attempt(1), |s| {
        s.sprites = Some("5x5".into());
        s.output = node.media_text("sheet.jpg");
    });
    let (outcome, _) = session.outcome(attempt(1)).await;
    let Outcome::Failed { message, .. } = outcome else {
        panic!("{outcome:?}")
    };
    assert!(message.contains("was let"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_stderr_is_bounded_and_does_not_hide_the_heartbeats() {
    let mut master = Master::start().await;
    let mut node = Node::of(&master)
        .with_ffmpeg("while :; do echo 'the quick brown fox \u{1} jumps' >&2; done");
    node.config.stall_timeout = Duration::from_secs(2);
    let _running = node.start();
    let (mut session, _) = master.session().await;
    session.assign(attempt(1), |s| s.output = node.media_text("out.mp4"));
    let (mut heartbeats, mut dropped) = (0, 0);
    let (outcome, log) = session
        .until(|frame| {
            match frame {
                ToMaster::Heartbeat(_) => heartbeats += 1,
                ToMaster::Log { bytes_dropped, .. } => dropped += bytes_dropped,
                ToMaster::Outcome { outcome, log, .. } => return Some((outcome, log)),
                _ => {}
            }
            None
        })
        .await;
    assert!(
        matches!(
            outcome,
            Outcome::Failed {
                reason: FailureReason::Timeout,
                ..
            }
        ),
        "{outcome:?}"
    );
    assert!(
        log.len() <= LOG_BYTES_MAX && log.len() > LOG_BYTES_MAX / 2,
        "{}",
        log.len()
    );
    assert!(
        log.starts_with('['),
        "the log says that its beginning is missing"
    );
    assert!(heartbeats >= 10, "{heartbeats} heartbeats in two seconds");
    assert!(dropped > 0, "the gap in the live log is counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_code_of_zero_is_not_believed() {
    let mut master = Master::start().await;
    let node = Node::of(&master).with_ffmpeg("head -c 1000 /dev/zero >\"$target\"\nexit 0");
    let _running = node.start();
    let (mut session, _) = master.session().await;
    session.assign(attempt(1), |s| s.output = node.media_text("out.mp4"));
    let (outcome, _) = session.outcome(attempt(1)).await;
    assert!(
        matches!(
            outcome,
            Outcome::Failed {
                reason: FailureReason::RuntimeError,
                ..
            }
        ),
        "{outcome:?}"
    );
    assert!(node.listing().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_cut_in_half_is_found_out() {
    let mut master = Master::start().await;
    // Matroska can be read up to where it was cut.
    let body = "ffmpeg \"$@\"\nsize=$(stat -c %s \"$target\")\ntruncate -s $((size / 2)) \"$target\"\nexit 0";
    let node = Node::of(&master).with_ffmpeg(body);
    let _running = node.start();
    let (mut session, _) = master.session().await;
    session.assign(attempt(1), |s| {
        s.output = node.media_text("out.mkv");
        s.size = Some("320x180".into());
    });
    let (reason, message) = session.failure(attempt(1)).await;
    assert_eq!(reason, FailureReason::RuntimeError);
    assert!(
        message.contains("the output is not what was asked"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ffmpeg_killed_from_outside_ran_out_of_something() {
    let mut master = Master::start().await;
    let node = Node::of(&master).with_ffmpeg("kill -KILL $$");
    let _running = node.start();
    let (mut session, _) = master.session().await;
    session.assign(attempt(1), tiny);
    let (outcome, _) = session.outcome(attempt(1)).await;
    assert!(
        matches!(
            outcome,
            Outcome::Failed {
                reason: FailureReason::ResourceError,
                ..
            }
        ),
        "{outcome:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encode_on_an_otherwise_idle_worker_lives_longer_than_thirty_seconds() {
    let mut master = Master::start().await;
    // In real time, so that it costs little: the threads of the runtime have nothing to do all the while.
    let node = Node::of(&master).with_ffmpeg("exec ffmpeg -re \"$@\"");
    let _running = node.start();
    let (mut session, _) = master.session().await;
    session.assign(attempt(1), |s| {
        s.size = Some("160x90".into());
        s.audio = Some("none".into());
        s.duration_seconds = Some(33.0);
    });
    let (outcome, log) = session.outcome(attempt(1)).await;
    let Outcome::Completed { result } = outcome else {
        panic!("{outcome:?}\n{log}")
    };
    assert!(result.wall_seconds > 30.0, "{}", result.wall_seconds);
    assert!(
        fs::read_dir(node.dir.path().join("state/scratch"))
            .unwrap()
            .next()
            .is_none()
    );
}

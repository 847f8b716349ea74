//! What the wire may do: break, stay silent, refuse, forget.

use std::fs;

use ffrtmp_api::protocol::{LiveAttempt, Outcome, ToMaster, ToWorker};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    master::{Master, attempt, order, tiny},
    node::{Node, eventually},
};

#[tokio::test(flavor = "multi_thread")]
async fn an_encode_survives_a_broken_session_and_its_result_is_repeated_until_it_is_answered() {
    let mut master = Master::start().await;
    let node = Node::of(&master);
    let _running = node.start();
    let (mut session, _) = master.session().await;
    session.assign(attempt(1), |s| {
        s.output = node.media_text("out.mp4");
        s.duration_seconds = Some(4.0);
    });
    session.started(attempt(1)).await;
    let address = master.address;
    drop((session, master));
    // It finishes while nobody is there.
    let record = node.dir.path().join("state/attempts/1.1.json");
    eventually("the encode does not end without a master", || {
        fs::read_to_string(&record).is_ok_and(|text| text.contains("\"encoded\""))
    })
    .await;

    let mut master = Master::at(address, None).await;
    for _ in 0..2 {
        let (mut session, hello) = master.session().await;
        assert_eq!(
            hello.attempts,
            [LiveAttempt {
                attempt: attempt(1),
                started: true,
                paused: false
            }]
        );
        session.encoded(attempt(1)).await;
        assert_eq!(
            node.listing(),
            [".out.mp4.ffrtmp-1-1.part"],
            "published without an order"
        );
    }
    let (mut session, _) = master.session().await;
    let (temp, bytes, _) = session.encoded(attempt(1)).await;
    let output = node.media_text("out.mp4").unwrap();
    session.send(ToWorker::Publish {
        attempt: attempt(1),
        temp,
        output,
        bytes,
        overwrite: false,
    });
    assert_eq!(session.outcome(attempt(1)).await.0, Outcome::Published);
    drop(session);
    let (mut session, hello) = master.session().await;
    assert_eq!(
        hello.attempts.len(),
        1,
        "an outcome not acknowledged is still held"
    );
    assert_eq!(session.outcome(attempt(1)).await.0, Outcome::Published);
    session.send(ToWorker::OutcomeRecorded {
        attempt: attempt(1),
    });
    session.send(ToWorker::Resync);
    assert_eq!(session.hello().await.attempts, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_attempt_leaves_nothing_and_is_never_heard_of_again() {
    let mut master = Master::start().await;
    let node = Node::of(&master);
    let _running = node.start();
    let (mut session, _) = master.session().await;
    // One that is encoded, one that still runs.
    session.assign(attempt(1), |s| {
        tiny(s);
        s.output = node.media_text("a.mp4");
    });
    session.encoded(attempt(1)).await;
    session.assign(attempt(2), |s| {
        s.output = node.media_text("b.mp4");
        s.duration_seconds = Some(100_000.0);
    });
    session.started(attempt(2)).await;
    drop(session);
    let mut session = master.connection().await;
    assert_eq!(session.hello().await.attempts.len(), 2);
    session.send(ToWorker::Revoke {
        attempt: attempt(1),
    });
    session.send(ToWorker::Revoke {
        attempt: attempt(2),
    });
    session.welcome();
    eventually("revoked files stay", || node.listing().is_empty()).await;
    eventually("revoked records stay", || {
        node.scratch_and_records().is_empty()
    })
    .await;
    session.send(ToWorker::Resync);
    let hello = session
        .until(|frame| match frame {
            ToMaster::Hello(hello) => Some(*hello),
            ToMaster::Outcome { .. } | ToMaster::Encoded { .. } => {
                panic!("a revoked attempt was heard of: {frame:?}")
            }
            _ => None,
        })
        .await;
    assert_eq!(hello.attempts, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_assigned_twice_runs_once() {
    let mut master = Master::start().await;
    let node = Node::of(&master);
    let _running = node.start();
    let (mut session, _) = master.session().await;
    let order = order(attempt(1), tiny);
    session.send(ToWorker::Assign {
        assignments: vec![order.clone(), order],
    });
    let mut started = 0;
    session
        .until(|frame| {
            started += usize::from(matches!(frame, ToMaster::Started { .. }));
            matches!(frame, ToMaster::Outcome { .. }).then_some(())
        })
        .await;
    assert_eq!(started, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_assignments_than_slots_wait_for_one() {
    let mut master = Master::start().await;
    let mut node = Node::of(&master);
    node.config.slots = Some(1);
    let _running = node.start();
    let (mut session, _) = master.session().await;
    session.send(ToWorker::Assign {
        assignments: (1..=3).map(|job| order(attempt(job), tiny)).collect(),
    });
    let (mut running, mut done) = (0, 0);
    while done < 3 {
        match session.next().await {
            ToMaster::Started { .. } => running += 1,
            ToMaster::Outcome { outcome, .. } => {
                assert!(matches!(outcome, Outcome::Completed { .. }), "{outcome:?}");
                (running, done) = (running - 1, done + 1);
            }
            _ => {}
        }
        assert!(running <= 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_for_good_ends_the_worker_with_the_master_s_words() {
    let mut master = Master::start().await;
    let node = Node::of(&master);
    let running = node.start();
    let mut session = master.connection().await;
    session.hello().await;
    session.send(ToWorker::Refused {
        message: "the name n1 is taken by 10.0.0.7".into(),
        retry: false,
    });
    let error = running.ended().await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the name n1 is taken by 10.0.0.7"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_for_now_is_tried_again() {
    let mut master = Master::start().await;
    let node = Node::of(&master);
    let _running = node.start();
    let mut session = master.connection().await;
    session.hello().await;
    session.send(ToWorker::Refused {
        message: "not yet".into(),
        retry: true,
    });
    let (_session, hello) = master.session().await;
    assert_eq!(hello.name, "n1");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_shown_and_a_wrong_one_is_said() {
    let mut master = Master::at("127.0.0.1:0".parse().unwrap(), Some("secret")).await;
    let mut node = Node::of(&master);
    node.config.token = Some("wrong".into());
    let error = node.start().ended().await.unwrap_err();
    assert!(error.to_string().contains("--token"), "{error}");
    node.config.token = Some("secret".into());
    let _running = node.start();
    master.session().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_hangs_is_left_and_found_again() {
    // It accepts, shakes hands by way of a real master, then passes nothing more on.
    let mut master = Master::start().await;
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut node = Node::of(&master);
    node.config.master = format!("http://{}", proxy.local_addr().unwrap());
    let _running = node.start();
    let (near, _) = proxy.accept().await.unwrap();
    let far = TcpStream::connect(master.address).await.unwrap();
    let (mut near_read, mut near_write) = near.into_split();
    let (mut far_read, mut far_write) = far.into_split();
    let up = tokio::spawn(async move {
        tokio::io::copy(&mut near_read, &mut far_write)
            .await
            .map(|_| (near_read, far_write))
    });
    let down = tokio::spawn(async move {
        let mut buffer = [0; 4096];
        loop {
            let n = far_read.read(&mut buffer).await.unwrap();
            near_write.write_all(&buffer[..n]).await.unwrap();
        }
    });
    let (mut session, _) = master.session().await;
    session
        .until(|frame| matches!(frame, ToMaster::Heartbeat(_)).then_some(()))
        .await;
    // From here on the worker hears nothing, though the connection stands.
    down.abort();
    let again = tokio::time::timeout(crate::master::PATIENCE, proxy.accept()).await;
    assert!(again.is_ok(), "a silent master was not given up");
    up.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_served_where_the_hello_says_even_if_the_port_was_taken() {
    let mut master = Master::start().await;
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut node = Node::of(&master);
    node.config.metrics_listen = Some(taken.local_addr().unwrap());
    let _running = node.start();
    let (mut session, hello) = master.session().await;
    let address = hello.metrics_address.unwrap();
    assert_ne!(address, taken.local_addr().unwrap().to_string());
    session.assign(attempt(1), tiny);
    session.outcome(attempt(1)).await;
    let text = get(&address, "/metrics").await;
    for line in [
        "ffrtmp_worker_active_jobs{node_id=\"n1\"} 0",
        "ffrtmp_worker_slots{node_id=\"n1\"} 4",
        "ffrtmp_worker_attempts_finished_total{node_id=\"n1\",outcome=\"completed\"} 1",
        "ffrtmp_worker_attempts_finished_total{node_id=\"n1\",outcome=\"failed\"} 0",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
    for name in [
        "cpu_usage",
        "memory_bytes",
        "heartbeats_total",
        "uptime_seconds",
    ] {
        let line = format!("ffrtmp_worker_{name}{{node_id=\"n1\"}} ");
        assert!(
            text.lines().any(|l| l.starts_with(&line)),
            "{line} is not in\n{text}"
        );
    }
    assert!(get(&address, "/healthz").await.contains("200 OK"));
    assert!(get(&address, "/readyz").await.contains("200 OK"));
    drop((session, master));
    let mut ready = String::from("200 OK");
    while ready.contains("200 OK") {
        ready = get(&address, "/readyz").await;
    }
    assert!(ready.contains("503"), "{ready}");
}

async fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

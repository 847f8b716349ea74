//! What hostile or unlucky callers, workers and operators do.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use ffrtmp_api::{
    ids::JobRef,
    job::{FailureReason, JobSpec, JobState},
};

use crate::cluster::{Cluster, footage, root, tiny, until};

/// Sends a request as written and gives back what is answered.
fn raw(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn post(port: u16, headers: &str, body: &str) -> String {
    let length = body.len();
    raw(
        port,
        &format!("POST /v1/jobs HTTP/1.0\r\n{headers}Content-Length: {length}\r\n\r\n{body}"),
    )
}

#[test]
fn a_web_page_of_another_site_can_submit_nothing() {
    let cluster = Cluster::with_master();
    let local = format!("Host: 127.0.0.1:{}\r\n", cluster.port);
    for headers in [
        format!("{local}Origin: http://evil.example\r\n"),
        format!("{local}Sec-Fetch-Site: cross-site\r\n"),
        "Host: evil.example\r\n".to_owned(),
    ] {
        let answer = post(cluster.port, &headers, "{}");
        assert!(
            answer.contains(" 403 ") && answer.contains("forbidden"),
            "{headers}: {answer}"
        );
    }
    assert!(cluster.jobs().is_empty());
    assert!(post(cluster.port, &local, "{}").contains(" 201 "));
    cluster.client().cancel("1".parse().unwrap()).unwrap();
    cluster.finish();
}

#[test]
fn a_body_that_is_no_object_submits_nothing_and_an_unknown_field_is_named() {
    let cluster = Cluster::with_master();
    let local = format!("Host: 127.0.0.1:{}\r\n", cluster.port);
    for body in [
        "[]",
        r#"["positional","/etc/hostname","/x.mp4",true]"#,
        "",
        "null",
        "{\"inptu\":\"/a\"}",
        "{\"crf\":-1}",
    ] {
        let answer = post(cluster.port, &local, body);
        assert!(
            answer.contains(" 400 ") && answer.contains("bad_json"),
            "{body}: {answer}"
        );
    }
    assert!(post(cluster.port, &local, "{\"inptu\":\"/a\"}").contains("inptu"));
    assert!(cluster.jobs().is_empty());
    cluster.finish();
}

#[test]
fn the_input_is_never_overwritten_by_its_own_output() {
    let cluster = Cluster::with_worker(1);
    let input = cluster.file("in.mp4");
    std::fs::copy(footage(), &input).unwrap();
    std::os::unix::fs::symlink(cluster.dir.path(), cluster.path("link")).unwrap();
    let job = |output: String| JobSpec {
        input: Some(input.clone()),
        output: Some(output),
        overwrite: true,
        ..tiny(0.2)
    };
    for other_name in ["./in.mp4", "/in.mp4"] {
        let output = format!("{}/{other_name}", cluster.dir.path().display());
        let error = cluster
            .client()
            .submit(&job(output))
            .unwrap_err()
            .to_string();
        assert!(error.contains("is the input itself"), "{error}");
    }
    let id = cluster.submit(job(cluster.file("link/in.mp4")));
    let failed = cluster.until_state(id, &[JobState::Failed]);
    let failure = failed.failure.unwrap();
    assert_eq!(
        (failure.reason, failed.attempt.0),
        (FailureReason::UserError, 1),
        "{failure:?}"
    );
    assert_eq!(
        std::fs::read(&input).unwrap(),
        std::fs::read(footage()).unwrap()
    );
    cluster.finish();
}

#[test]
fn resume_right_after_pause_is_not_lost() {
    let cluster = Cluster::with_worker(1);
    let id = cluster.submit(JobSpec {
        input: Some(footage()),
        encoder_preset: Some("medium".into()),
        duration_seconds: Some(2.0),
        ..JobSpec::default()
    });
    cluster.until_state(id, &[JobState::Running]);
    // On a busy machine the encode may end before the last of them; what counts is that it does end.
    let client = cluster.client();
    let rounds = (0..20)
        .take_while(|_| {
            let paused = client.pause(JobRef::Seq(id));
            match paused.and_then(|_| client.resume(JobRef::Seq(id))) {
                Ok(_) => true,
                Err(error) => {
                    let state = cluster.job(id).state;
                    assert!(
                        matches!(state, JobState::Publishing | JobState::Completed),
                        "{state}: {error}"
                    );
                    false
                }
            }
        })
        .count();
    assert!(rounds > 0, "it ended before it was paused once");
    cluster.until_completed(id);
    cluster.finish();
}

#[test]
fn required_labels_of_ended_jobs_make_room_for_new_ones() {
    let cluster = Cluster::with_master();
    for n in 0..64 {
        let id = cluster.submit(JobSpec {
            require: [(format!("host{n}"), "x".into())].into(),
            ..tiny(0.1)
        });
        cluster.client().cancel(JobRef::Seq(id)).unwrap();
    }
    let id = cluster.submit(JobSpec {
        require: [("zone".into(), "new".into())].into(),
        ..tiny(0.1)
    });
    assert_eq!(cluster.job(id).state, JobState::Pending);
    cluster.client().cancel(JobRef::Seq(id)).unwrap();
    cluster.finish();
}

#[test]
fn a_job_no_worker_can_hold_hides_nobody_and_says_so() {
    let cluster = Cluster::with_worker(2);
    let large: Vec<_> = (0..60)
        .map(|_| {
            cluster.submit(JobSpec {
                memory_mib: Some(60_000_000),
                ..tiny(0.1)
            })
        })
        .collect();
    let small = cluster.submit(tiny(0.1));
    cluster.until_completed(small);
    let waiting = cluster.job(large[0]).waiting.unwrap();
    assert!(waiting.contains("more than any"), "{waiting}");
    for id in large {
        cluster.client().cancel(JobRef::Seq(id)).unwrap();
    }
    cluster.finish();
}

#[test]
fn a_policies_folder_that_goes_away_and_comes_back_changes_nothing() {
    let cluster = Cluster::with_worker(1);
    std::fs::copy(
        root().join("policies/bundled/binpack.wasm"),
        cluster.path("policies/binpack-1.0.wasm"),
    )
    .unwrap();
    let rules = || {
        cluster
            .client()
            .policies()
            .unwrap()
            .policies
            .into_iter()
            .find(|p| p.state == "active")
            .map(|p| p.name)
    };
    until("a policy whose name has a dot rules", || {
        (rules()? == "binpack-1.0").then_some(())
    });
    std::fs::rename(cluster.path("policies"), cluster.path("away")).unwrap();
    until("the master notices", || {
        cluster
            .log("master")
            .contains("what ruled goes on ruling")
            .then_some(())
    });
    std::fs::rename(cluster.path("away"), cluster.path("policies")).unwrap();
    let id = cluster.submit(tiny(0.2));
    assert_eq!(
        cluster.until_completed(id).placement.unwrap().policy,
        "binpack-1.0"
    );
    assert_eq!(rules().as_deref(), Some("binpack-1.0"));
    cluster.finish();
}

#[test]
fn connections_that_say_nothing_are_closed() {
    let cluster = Cluster::with_master();
    let mut silent: Vec<TcpStream> = (0..50)
        .map(|_| TcpStream::connect(("127.0.0.1", cluster.port)).unwrap())
        .collect();
    silent
        .iter_mut()
        .for_each(|stream| stream.write_all(b"POST /v1/jobs HTTP/1.1\r\n").unwrap());
    for mut stream in silent {
        stream
            .set_read_timeout(Some(crate::cluster::PATIENCE))
            .unwrap();
        let mut answer = Vec::new();
        // The end of the stream (with or without a 408 before it) is what matters; a time-out here is an error.
        stream.read_to_end(&mut answer).unwrap();
    }
    cluster.finish();
}

//! Tokens with roles and tenants: what each may do, what the others are told, and that revoking holds at once.

use std::{fs, os::unix::fs::MetadataExt};

use ffrtmp_api::{
    client::{Client, ClientError, EventFilter, JobQuery},
    ids::JobRef,
    job::{JobSpec, JobState},
    rest::{ClusterEvent, CreatedToken, NewToken, NewUpload, Role, SubmitBatch},
};

use crate::{
    cluster::{Cluster, Process, endless, tiny, until},
    http,
};

const ADMIN: &str = "correct-horse-battery-staple";

fn with_admin() -> Cluster {
    let mut cluster = Cluster::new();
    cluster.token = Some(ADMIN.into());
    cluster.start_master();
    cluster
}

fn create(cluster: &Cluster, role: Role, tenant: Option<&str>) -> CreatedToken {
    cluster
        .client()
        .create_token(&NewToken {
            name: format!("a {role} token"),
            role,
            expires_in_seconds: None,
            tenant: tenant.map(String::from),
            uses: None,
        })
        .unwrap()
}

fn bearer(cluster: &Cluster, made: &CreatedToken) -> Client {
    cluster.client_with(Some(made.secret.clone()))
}

/// Status and message of a refusal.
#[track_caller]
fn refusal<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> (u16, String) {
    match answer.unwrap_err() {
        ClientError::Refused { status, error } => (status, error.message),
        other => panic!("not a refusal: {other}"),
    }
}

#[test]
fn each_role_may_do_its_part_and_is_told_which_role_the_rest_needs() {
    let mut cluster = with_admin();
    cluster.start_worker("w1", 1);
    let [submit, read, worker, join] =
        [Role::Submit, Role::Read, Role::Worker, Role::Join].map(|role| {
            let made = create(&cluster, role, None);
            bearer(&cluster, &made)
        });
    let id = submit.submit(&tiny(0.1)).unwrap().id;
    cluster.until_completed(id);
    assert!(read.job(JobRef::Seq(id)).is_ok() && read.nodes().is_ok() && read.stats().is_ok());
    for (answer, needs, has) in [
        (refusal(read.submit(&tiny(0.1))), "role submit", "role read"),
        (
            refusal(read.cancel(JobRef::Seq(id))),
            "role submit",
            "role read",
        ),
        (refusal(submit.drain("w1")), "role admin", "role submit"),
        (refusal(submit.tokens()), "role admin", "role submit"),
        (refusal(worker.nodes()), "role read", "role worker"),
        (
            refusal(worker.submit(&tiny(0.1))),
            "role submit",
            "role worker",
        ),
        (refusal(join.job(JobRef::Seq(id))), "role read", "role join"),
    ] {
        assert_eq!(answer.0, 403, "{answer:?}");
        assert!(
            answer.1.contains(needs) && answer.1.contains(has),
            "{answer:?}"
        );
    }
    let stranger = cluster.client_with(Some(
        "ffrtmp_admin_00000000000000000000000000000000_00".into(),
    ));
    let (status, message) = refusal(stranger.nodes());
    assert_eq!(
        (status, message.as_str()),
        (401, "the bearer token is not this master's")
    );
    cluster.finish();
}

#[test]
fn a_revoked_token_ends_the_session_and_the_stream_it_opened_and_its_bearer_is_told() {
    let mut cluster = with_admin();
    let made = create(&cluster, Role::Worker, None);
    let reader = create(&cluster, Role::Read, None);
    // A worker with a token of its own, and no share in the administrator's.
    cluster.token = Some(made.secret.clone());
    let state = cluster.file("state-w1");
    let child = cluster
        .command("w1")
        .args([
            "worker",
            "--name",
            "w1",
            "--state-dir",
            &state,
            "--no-metrics",
        ])
        .spawn()
        .unwrap();
    let _worker = Process { child };
    cluster.token = Some(ADMIN.into());
    until("the worker joins", || {
        cluster
            .log("w1")
            .contains("welcomed by the master")
            .then_some(())
    });
    let id = cluster.submit(endless());
    cluster.until_state(id, &[JobState::Running]);

    let client = bearer(&cluster, &reader);
    let (seen, first) = std::sync::mpsc::channel();
    let watching = std::thread::spawn(move || {
        let mut last = None;
        for event in client.watch(JobRef::Seq(id)) {
            let _ = seen.send(());
            last = Some(event);
        }
        last.unwrap()
    });
    first.recv().unwrap();
    cluster.client().revoke_token(reader.token.id).unwrap();
    let (status, message) = refusal(watching.join().unwrap());
    assert_eq!(status, 401);
    assert!(message.contains("revoked"), "{message}");

    cluster.client().revoke_token(made.token.id).unwrap();
    until("the worker is told", || {
        cluster
            .log("w1")
            .contains("this token was revoked")
            .then_some(())
    });
    assert!(
        !cluster
            .client()
            .tokens()
            .unwrap()
            .tokens
            .iter()
            .any(|t| t.id == made.token.id)
    );
    let (status, _) = refusal(cluster.client().revoke_token(made.token.id));
    assert_eq!(status, 404);
}

#[test]
fn a_tenant_sees_and_touches_its_own_jobs_only() {
    let cluster = with_admin();
    let [red, blue] = ["red", "blue"].map(|tenant| {
        let made = create(&cluster, Role::Submit, Some(tenant));
        bearer(&cluster, &made)
    });
    let keyed = |key: &str| JobSpec {
        idempotency_key: Some(key.into()),
        ..tiny(0.1)
    };
    let mine = red.submit(&keyed("same")).unwrap();
    let theirs = blue.submit(&keyed("same")).unwrap();
    assert!(
        !theirs.duplicate && theirs.id != mine.id,
        "keys are kept apart"
    );
    assert_eq!(red.submit(&keyed("same")).unwrap().id, mine.id);
    let unlabelled = cluster.submit(tiny(0.1));

    let job = red.job(JobRef::Seq(mine.id)).unwrap();
    assert_eq!(job.spec.labels["tenant"], "red");
    assert_eq!(job.spec.idempotency_key.as_deref(), Some("same"));
    let listed: Vec<_> = red
        .jobs(&JobQuery::default())
        .unwrap()
        .jobs
        .into_iter()
        .map(|job| job.id)
        .collect();
    assert_eq!(listed, [mine.id]);
    for other in [
        JobRef::Seq(theirs.id),
        JobRef::Uuid(theirs.uuid),
        JobRef::Seq(unlabelled),
    ] {
        for answer in [
            refusal(red.job(other)),
            refusal(red.logs(other)),
            refusal(red.history(other)),
            refusal(red.explain(other)),
            refusal(red.cancel(other)),
            refusal(red.pause(other)),
            refusal(red.watch(other).next().unwrap()),
        ] {
            assert_eq!(answer.0, 404, "{answer:?}");
            assert!(answer.1.contains("there is no job"), "{answer:?}");
        }
    }
    let mut forged = tiny(0.1);
    forged.labels.insert("tenant".into(), "blue".into());
    let (status, message) = refusal(red.submit(&forged));
    assert!(status == 403 && message.contains("\"red\""), "{message}");
    for answer in [
        refusal(red.nodes()).0,
        refusal(red.stats()).0,
        refusal(red.policies()).0,
    ] {
        assert_eq!(answer, 403);
    }
    assert_eq!(red.cancel(JobRef::Seq(mine.id)).unwrap().id, mine.id);
    cluster.client().cancel(JobRef::Seq(theirs.id)).unwrap();
    cluster.client().cancel(JobRef::Seq(unlabelled)).unwrap();
    cluster.finish();
}

#[test]
fn a_worker_s_joined_token_is_its_own_and_no_other_worker_s() {
    let mut cluster = with_admin();
    let join = create(&cluster, Role::Join, None);
    fs::write(cluster.path("join.token"), &join.secret).unwrap();
    cluster.token = None;
    let (state, file) = (cluster.file("state-w1"), cluster.file("join.token"));
    let flags = ["worker", "--state-dir", &state, "--no-metrics", "--name"];
    let child = cluster
        .command("w1")
        .args(flags)
        .args(["w1", "--join-token-file", &file])
        .spawn()
        .unwrap();
    let worker = Process { child };
    until("the worker joins", || {
        cluster
            .log("w1")
            .contains("welcomed by the master")
            .then_some(())
    });
    let kept = cluster.path("state-w1/token");
    assert_eq!(fs::metadata(&kept).unwrap().mode() & 0o777, 0o600);
    drop(worker);
    // The same state directory under another name: the token is not that worker's.
    let child = cluster.command("w2").args(flags).arg("w2").spawn().unwrap();
    let mut other = Process { child };
    assert!(!other.wait().success());
    let said = cluster.log("w2");
    assert!(said.contains("was made for another"), "{said}");
    cluster.token = Some(ADMIN.into());
    let left = cluster.client().tokens().unwrap().tokens;
    assert_eq!(
        left.iter()
            .find(|t| t.id == join.token.id)
            .unwrap()
            .uses_left,
        Some(0)
    );
    cluster.finish();
}

#[test]
fn with_a_client_ca_a_worker_without_a_certificate_is_refused_and_one_with_it_works() {
    let mut cluster = Cluster::new();
    cluster.token = Some(ADMIN.into());
    cluster.secure();
    let made = cluster
        .command("tls")
        .args([
            "tls",
            "init",
            "--dir",
            &cluster.file("tls"),
            "--worker",
            "w1",
        ])
        .status()
        .unwrap();
    assert!(made.success(), "{}", cluster.log("tls"));
    let ca = cluster.file("tls/ca.pem");
    cluster.master_flags.extend(["--tls-client-ca".into(), ca]);
    cluster.start_master();
    let state = cluster.file("state-x");
    let words = [
        "worker",
        "--name",
        "x",
        "--state-dir",
        &state,
        "--no-metrics",
    ];
    let (said, code) = crate::tls::said(cluster.command("x"), &words);
    assert_eq!(code, Some(1));
    assert!(said.contains("--tls-client-cert"), "{said}");
    let (cert, key) = (
        cluster.file("tls/worker-w1.pem"),
        cluster.file("tls/worker-w1-key.pem"),
    );
    cluster.start_worker_with(
        "w1",
        1,
        &["--tls-client-cert", &cert, "--tls-client-key", &key],
    );
    let id = cluster.submit(tiny(0.1));
    cluster.until_completed(id);
    cluster.finish();
}

#[test]
fn a_tenant_hears_of_its_own_jobs_and_can_watch_its_list() {
    let mut cluster = with_admin();
    cluster.start_worker("w1", 1);
    let red = bearer(&cluster, &create(&cluster, Role::Submit, Some("red")));
    let (sender, heard) = std::sync::mpsc::channel();
    let listener = bearer(&cluster, &create(&cluster, Role::Read, Some("red")));
    std::thread::spawn(move || {
        for event in listener.events() {
            if sender.send(event).is_err() {
                return;
            }
        }
    });
    let next = || heard.recv_timeout(crate::cluster::PATIENCE).unwrap();
    assert!(matches!(next(), Ok(ClusterEvent::Reset)));
    // Another's job, a worker's change, and then one of its own.
    let other = cluster.submit(tiny(0.1));
    cluster.until_completed(other);
    cluster.client().drain("w1").unwrap();
    cluster.client().undrain("w1").unwrap();
    let own = red.submit(&tiny(0.1)).unwrap().id;
    loop {
        match next().unwrap() {
            ClusterEvent::Job(change) => {
                assert_eq!(
                    (change.id, change.tenant.as_deref()),
                    (own, Some("red")),
                    "nothing else is heard"
                );
                if change.state.is_terminal() {
                    break;
                }
            }
            other => panic!("a tenant heard {other:?}"),
        }
    }
    // What is the whole cluster's is refused, and another's job is not there.
    let mut asked = red.events_of(&EventFilter {
        types: vec!["node".into()],
        job: None,
    });
    let (status, message) = refusal(asked.next().unwrap());
    assert_eq!(status, 403);
    assert!(
        message.contains("limited to the tenant \"red\": ask for types=job"),
        "{message}"
    );
    let mut asked = red.events_of(&EventFilter {
        types: vec![],
        job: Some(JobRef::Seq(other)),
    });
    assert_eq!(refusal(asked.next().unwrap()).0, 404);
    cluster.finish();
}

#[test]
fn the_audit_line_of_a_submit_names_the_jobs_it_made() {
    let cluster = with_admin();
    let client = cluster.client();
    let one = client.submit(&tiny(0.1)).unwrap().id;
    let jobs = vec![
        tiny(0.1),
        JobSpec {
            crf: Some(9_999),
            ..tiny(0.1)
        },
        tiny(0.1),
    ];
    client.submit_batch(&SubmitBatch { jobs }).unwrap();
    let audit = |path: &str| {
        let log = cluster.log("master");
        let mut lines = log
            .lines()
            .filter(|line| line.contains("audit") && line.contains(path));
        lines
            .next()
            .unwrap_or_else(|| panic!("no line about {path}: {log}"))
            .to_owned()
    };
    let single = audit("path=\"/v1/jobs\"");
    assert!(
        single.contains(&format!(" job={one} ")) || single.ends_with(&format!(" job={one}")),
        "{single}"
    );
    let batch = audit("path=\"/v1/jobs/batch\"");
    for part in ["jobs=2", "first_job=2", "last_job=3"] {
        assert!(batch.contains(part), "{part} is missing in {batch}");
    }
    for id in 1..=3 {
        client
            .cancel(JobRef::Seq(ffrtmp_api::ids::JobSeq(id)))
            .unwrap();
    }
    cluster.finish();
}

#[test]
fn uploads_of_one_tenant_are_not_there_for_another() {
    let cluster = with_admin();
    let [red, blue] = ["red", "blue"]
        .map(|tenant| bearer(&cluster, &create(&cluster, Role::Submit, Some(tenant))));
    let new = || NewUpload {
        bytes: 3,
        name: Some("a.mp4".into()),
        // Of "abc".
        sha256: Some("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".into()),
    };
    let of_red = red.create_upload(&new()).unwrap();
    fs::write(cluster.path("abc"), "abc").unwrap();
    let mut abc = fs::File::open(cluster.path("abc")).unwrap();
    red.send_upload(&of_red, &mut abc, &mut |_| true).unwrap();
    // The same content is not found by another: that would tell who has what.
    let of_blue = blue.create_upload(&new()).unwrap();
    assert!(of_red.id != of_blue.id && !of_blue.complete);
    let again = red.create_upload(&new()).unwrap();
    assert!(again.id == of_red.id && again.complete);
    // Nor can another read it by naming it in a job.
    let job = JobSpec {
        input: Some(format!("upload:{}", of_red.id)),
        output: Some("spool:out.mp4".into()),
        ..JobSpec::default()
    };
    let (status, message) = refusal(blue.submit(&job));
    assert!(status == 400 || status == 404, "{status} {message}");
    assert!(message.contains(&of_red.id.to_string()), "{message}");
    assert!(cluster.jobs().is_empty());
    cluster.finish();
}

#[test]
fn whoever_guesses_tokens_is_slowed_down_and_the_right_token_beside_it_is_not() {
    let mut cluster = Cluster::new();
    cluster.token = Some(ADMIN.into());
    cluster.master_flags = vec!["--rate-limit".into(), "5".into()];
    cluster.start_master();
    let guess = |n: u32| {
        let head = format!("GET /v1/nodes HTTP/1.1\r\nAuthorization: Bearer not-the-token-{n}\r\n");
        http::send(cluster.port, &head, b"")
    };
    // Asking whether the master was ready counted too.
    until("a guess is answered", || {
        (guess(0).status == 401).then_some(())
    });
    let answers: Vec<http::Answer> = (0..60).map(guess).collect();
    let known = |answer: &http::Answer| [401, 429].contains(&answer.status);
    assert!(answers.iter().all(known), "{answers:?}");
    let refused: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 429)
        .collect();
    assert!(!refused.is_empty(), "60 guesses at 5 a second");
    let wait: u64 = refused[0].header("retry-after").unwrap().parse().unwrap();
    assert!((1..60).contains(&wait), "{wait}");
    assert_eq!(refused[0].error().1, "too_many_requests");
    assert!(cluster.client_with(Some(ADMIN.into())).nodes().is_ok());
    cluster.finish();
}

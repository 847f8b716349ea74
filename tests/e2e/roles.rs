//! Tokens with roles and tenants: what each may do, what the others are told, and that revoking holds at once.

use std::{fs, os::unix::fs::MetadataExt};

use ffrtmp_api::{
    client::{Client, ClientError, JobQuery},
    ids::JobRef,
    job::{JobSpec, JobState},
    rest::{CreatedToken, NewToken, Role},
};

use crate::cluster::{Cluster, Process, endless, tiny, until};

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

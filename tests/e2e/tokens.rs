//! The bearer token: on the API, on workers' sessions, and for listening beyond loopback.

use std::process::{Command, Stdio};

use ffrtmp_api::client::Client;

use crate::cluster::{Cluster, FFRTMP, tiny, until};

#[test]
fn without_the_token_nothing_is_answered_and_with_it_everything() {
    let mut cluster = Cluster::new();
    cluster.token = Some("correct-horse-battery-staple".into());
    cluster.start_master();
    cluster.start_worker("w1", 1);
    for wrong in [None, Some("correct-horse-battery-stapl"), Some("")] {
        let client = Client::new(&cluster.url(), wrong.map(String::from)).unwrap();
        let error = client.submit(&tiny(0.1)).unwrap_err().to_string();
        assert!(error.contains("token"), "{error}");
        assert!(client.nodes().is_err() && client.policies().is_err());
    }
    let id = cluster.submit(tiny(0.1));
    cluster.until_completed(id);
    // A worker with the wrong token never joins, and says why.
    let mut command = cluster.command("stranger");
    command.env("FFRTMP_TOKEN", "not-the-right-token-at-all");
    let state = cluster.file("state-stranger");
    command.args([
        "worker",
        "--master",
        &cluster.url(),
        "--name",
        "stranger",
        "--state-dir",
        &state,
        "--metrics-listen",
        "127.0.0.1:0",
    ]);
    let _stranger = crate::cluster::Process {
        child: command.spawn().unwrap(),
    };
    until("the stranger says why it cannot join", || {
        cluster
            .log("stranger")
            .to_lowercase()
            .contains("token")
            .then_some(())
    });
    assert_eq!(cluster.client().nodes().unwrap().nodes.len(), 1);
    for log in ["master", "w1", "stranger"] {
        assert!(
            !cluster.log(log).contains("correct-horse"),
            "the token is in {log}'s log"
        );
    }
    cluster.finish();
}

#[test]
fn a_master_told_to_listen_beyond_loopback_without_a_token_refuses_and_says_how_to_make_one() {
    let cluster = Cluster::new();
    let output = Command::new(FFRTMP)
        .args([
            "master",
            "--listen",
            &format!("0.0.0.0:{}", cluster.port),
            "--data-dir",
            &cluster.file("data"),
        ])
        .env_remove("FFRTMP_TOKEN")
        .env_remove("MASTER_API_KEY")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("token") && said.contains("ffrtmp token"),
        "{said}"
    );
}

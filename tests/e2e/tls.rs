//! TLS between real processes: the API, workers' sessions and metrics; and what those are told who get it wrong.

use std::{
    fs,
    io::Read,
    net::TcpStream,
    process::{Command, Stdio},
};

use ffrtmp_api::{client::Client, tls::ClientTls};

use crate::cluster::{Cluster, Process, free_port, tiny, until};

/// What a command that ends by itself says on stderr, and its exit code.
pub fn said(mut command: Command, words: &[&str]) -> (String, Option<i32>) {
    let output = command
        .args(words)
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (text, output.status.code())
}

#[test]
fn a_cluster_over_tls_does_its_work_and_tells_those_who_get_it_wrong_what_to_do() {
    let mut cluster = Cluster::new();
    cluster.secure();
    cluster.start_master();
    cluster.start_worker("w1", 1);
    let id = cluster.submit(tiny(0.1));
    cluster.until_completed(id);

    let mut stranger = cluster.command("client");
    stranger.env_remove("FFRTMP_TLS_CA");
    let (text, code) = said(stranger, &["jobs", "list"]);
    assert_eq!(code, Some(1));
    assert!(
        text.contains("authority that is not trusted here") && text.contains("--tls-ca"),
        "{text}"
    );
    assert!(!text.contains("trying on"), "it was tried again: {text}");

    let port = cluster.port;
    for (master, what) in [
        (
            format!("http://127.0.0.1:{port}"),
            "speaks TLS; use https://",
        ),
        (
            format!("https://0.0.0.0:{port}"),
            "not for 0.0.0.0, only for localhost, 127.0.0.1",
        ),
    ] {
        let mut command = cluster.command("client");
        command.env("FFRTMP_MASTER", &master);
        let (text, code) = said(command, &["jobs", "list"]);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(what), "{what:?} is missing in {text}");
        let state = cluster.file("state-x");
        let words = [
            "worker",
            "--master",
            &master,
            "--state-dir",
            &state,
            "--no-metrics",
        ];
        let (text, code) = said(cluster.command("stranger"), &words);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(what), "{what:?} is missing in {text}");
    }

    let (text, code) = said(
        cluster.command("client"),
        &["jobs", "list", "--tls-ca", "/nowhere/ca.pem"],
    );
    assert_eq!(code, Some(1));
    assert!(text.contains("/nowhere/ca.pem"), "{text}");
    cluster.finish();
}

#[test]
fn https_to_a_plain_master_says_that_it_speaks_plain_http() {
    let cluster = Cluster::with_master();
    let mut command = cluster.command("client");
    command.env(
        "FFRTMP_MASTER",
        format!("https://127.0.0.1:{}", cluster.port),
    );
    let (text, code) = said(command, &["jobs", "list"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("plain HTTP there; use http://"), "{text}");
    cluster.finish();
}

#[test]
fn a_certificate_replaced_while_the_master_runs_is_served_to_the_next_who_connects() {
    let mut cluster = Cluster::new();
    cluster.secure();
    cluster.start_master();
    cluster.start_worker("w1", 1);
    let other = cluster
        .command("tls")
        .args(["tls", "init", "--dir", &cluster.file("other")])
        .status()
        .unwrap();
    assert!(other.success());
    let new_ca = ClientTls::load(Some(&cluster.path("other/ca.pem")), None).unwrap();
    let ready = |tls: &ClientTls| {
        Client::new(&cluster.url(), None)
            .unwrap()
            .with_tls(tls)
            .ready()
    };
    let old_ca = cluster.tls();
    assert!(ready(&old_ca) && !ready(&new_ca));
    // One without its key is no use, and changes nothing.
    fs::copy(
        cluster.path("other/server.pem"),
        cluster.path("tls/server.pem"),
    )
    .unwrap();
    until("the master complains of the certificate", || {
        assert!(ready(&old_ca));
        cluster
            .log("master")
            .contains("does not match the certificate")
            .then_some(())
    });
    fs::copy(
        cluster.path("other/server-key.pem"),
        cluster.path("tls/server-key.pem"),
    )
    .unwrap();
    until("the new certificate is served", || {
        ready(&new_ca).then_some(())
    });
    assert!(!ready(&old_ca));
    // The worker's session, made before, goes on.
    cluster.ca = Some(cluster.path("other/ca.pem"));
    let id = cluster.submit(tiny(0.1));
    cluster.until_completed(id);
    cluster.finish();
}

#[test]
fn metrics_of_master_and_worker_are_served_over_tls_when_asked() {
    let mut cluster = Cluster::new();
    cluster.secure();
    let (cert, key) = (
        cluster.file("tls/server.pem"),
        cluster.file("tls/server-key.pem"),
    );
    let flags = ["--metrics-tls-cert", &cert, "--metrics-tls-key", &key];
    cluster.master_flags.extend(flags.map(String::from));
    cluster.start_master();
    cluster.start_worker_with("w1", 1, &flags);
    let tls = cluster.tls();
    let ready = |port: u16, scheme: &str| {
        Client::new(&format!("{scheme}://127.0.0.1:{port}"), None)
            .unwrap()
            .with_tls(&tls)
            .ready()
    };
    let worker_port = cluster.workers["w1"].1;
    // One who connects and says nothing keeps nobody waiting.
    let _silent = TcpStream::connect(("127.0.0.1", worker_port)).unwrap();
    for port in [cluster.metrics_port, worker_port] {
        until("the metrics listener answers", || {
            ready(port, "https").then_some(())
        });
        assert!(!ready(port, "http"));
    }
}

#[test]
fn a_master_whose_certificate_cannot_be_used_does_not_start_and_names_the_file() {
    let cluster = Cluster::new();
    let junk = cluster.file("junk.pem");
    fs::write(&junk, "junk").unwrap();
    let listen = format!("127.0.0.1:{}", free_port());
    let (text, code) = said(
        cluster.command("master"),
        &[
            "master",
            "--listen",
            &listen,
            "--no-metrics",
            "--data-dir",
            &cluster.file("data"),
            "--tls-cert",
            &junk,
            "--tls-key",
            &junk,
        ],
    );
    assert_eq!(code, Some(1));
    assert!(
        text.contains(&junk) && text.contains("BEGIN CERTIFICATE"),
        "{text}"
    );
}

#[test]
fn beyond_loopback_without_tls_the_master_warns_at_start() {
    let mut cluster = Cluster::new();
    cluster.token = Some("correct-horse-battery-staple".into());
    let child = cluster
        .command("master")
        .args([
            "master",
            "--listen",
            &format!("0.0.0.0:{}", cluster.port),
            "--no-metrics",
        ])
        .args(["--data-dir", &cluster.file("data")])
        .spawn()
        .unwrap();
    cluster.master = Some(Process { child });
    cluster.until_ready();
    let log = cluster.log("master");
    assert!(
        log.contains("is not encrypted") && log.contains("ffrtmp tls init"),
        "{log}"
    );
}

#[test]
fn a_connection_that_never_shakes_hands_is_closed() {
    let mut cluster = Cluster::new();
    cluster.secure();
    cluster.start_master();
    let mut silent = TcpStream::connect(("127.0.0.1", cluster.port)).unwrap();
    silent
        .set_read_timeout(Some(crate::cluster::PATIENCE))
        .unwrap();
    let mut answer = Vec::new();
    // The master closes it; reading ends without a byte.
    silent.read_to_end(&mut answer).unwrap();
    assert!(answer.is_empty());
    cluster.finish();
}

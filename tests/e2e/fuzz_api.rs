//! schemathesis reads the document the master serves and tries to make it answer what the document does not say.
//!
//! It is a Python program (PyPI), fetched by `scripts/test-tools.sh` into `target/tools`. Its seed is fixed and its time bounded.

use std::process::Command;

use ffrtmp_api::{client::JobQuery, ids::JobRef, job::JobState};

use crate::cluster::{Cluster, root, tiny, until};

/// Seconds it may take; it goes on trying until they are over.
const SECONDS: &str = "70";
/// What must hold of every answer. Left out: that whatever fits the schema is accepted (a preset depends on the codec, a codec on
/// the extension), that whatever does not fit it is refused (serde takes a
/// list for a struct, field by field, and an empty name in a filter only matches nothing), that a thing is gone after DELETE or there after POST (a job's number is not what was posted).
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,missing_required_header,unsupported_method,\
                      allow_header_conformance,ignored_auth";
/// Routes it cannot judge: streams of events (they last as long as their job, or for ever; a log is one when it is followed), a WebSocket, the files of the page,
/// a batch, which is accepted whatever some of its items are (each has an answer of its own), and the bytes of files, whose
/// media type it cannot make.
const EXCLUDED: [&str; 9] = [
    "watch_job",
    "events",
    "job_logs",
    "policy_log",
    "worker_session",
    "docs_file",
    "submit_batch",
    "send_upload",
    "send_output",
];

#[test]
fn nothing_that_schemathesis_sends_makes_the_master_answer_what_its_document_does_not_say() {
    let schemathesis = root().join("target/tools/schemathesis/bin/st");
    assert!(
        schemathesis.exists(),
        "{} is missing; scripts/test-tools.sh fetches it",
        schemathesis.display()
    );
    let mut cluster = Cluster::new();
    cluster.token = Some("the-token-of-the-fuzzing-test".into());
    // So little that whatever is uploaded is soon refused for want of room, on a machine with a large disk as on a full one.
    cluster.master_flags = ["--spool-max", "1M"].map(String::from).to_vec();
    cluster.start_master();
    cluster.start_worker("w1", 1);
    // Something to find: a job that ended, one that runs or waits.
    let done = cluster.submit(tiny(0.1));
    cluster.until_completed(done);

    // That a disk is full is the one answer of 500 and above that is in order.
    let config = cluster.dir.path().join("schemathesis.toml");
    std::fs::write(
        &config,
        "[checks]\nnot_a_server_error.expected-statuses = [\"2xx\", \"3xx\", \"4xx\", 507]\n",
    )
    .unwrap();

    let mut command = Command::new(schemathesis);
    command
        .arg("--config-file")
        .arg(config)
        .arg("run")
        .arg(format!("{}/v1/openapi.json", cluster.url()));
    command.args([
        "--header",
        "Authorization: Bearer the-token-of-the-fuzzing-test",
    ]);
    command.args([
        "--checks",
        CHECKS,
        "--max-time",
        SECONDS,
        "--seed",
        "20261123",
    ]);
    command.args([
        "--request-timeout",
        "20",
        "--continue-on-failure",
        "--no-shrink",
        "--warnings",
        "off",
    ]);
    command.args(
        EXCLUDED
            .iter()
            .flat_map(|name| ["--exclude-operation-id", name]),
    );
    let output = command
        .current_dir(cluster.dir.path())
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );

    // The master is as it was: ready, and a job gets through once those it was flooded with are gone.
    let client = cluster.client();
    assert!(client.ready());
    until("what it submitted is canceled", || {
        let mut left = 0;
        for state in [
            JobState::Pending,
            JobState::Assigned,
            JobState::Running,
            JobState::Paused,
        ] {
            let query = JobQuery {
                states: vec![state],
                ..JobQuery::default()
            };
            let jobs = client.jobs_up_to(query, 1_000).unwrap().jobs;
            left += jobs.len();
            // One that ended just now cannot be canceled.
            jobs.iter()
                .for_each(|job| drop(client.cancel(JobRef::Seq(job.id))));
        }
        (left == 0).then_some(())
    });
    // Its worker may have been told to take nothing more.
    client.undrain("w1").unwrap();
    let id = cluster.submit(tiny(0.2));
    cluster.until_completed(id);
    cluster.finish();
}

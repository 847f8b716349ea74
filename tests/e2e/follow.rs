//! One attempt is followed through the logs of master and worker, by the same names of fields.

use std::process::Command;

use ffrtmp_api::job::{JobSpec, JobState};
use serde_json::Value;

use crate::{
    cluster::{Cluster, FFRTMP, Process, until},
    http,
};

/// A line: its message, and every field of its own and of the spans around it.
fn lines(log: &str) -> Vec<(String, Value)> {
    log.lines()
        .map(|line| {
            let line: Value =
                serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {line:?}"));
            let mut all = serde_json::Map::new();
            for span in line["spans"].as_array().into_iter().flatten() {
                all.extend(span.as_object().unwrap().clone());
            }
            all.extend(line["fields"].as_object().unwrap().clone());
            let message = all["message"].as_str().unwrap_or("").to_owned();
            (message, Value::Object(all))
        })
        .collect()
}

#[test]
fn an_attempt_is_followed_from_the_request_to_its_end_by_the_same_names() {
    let mut cluster = Cluster::new();
    cluster.master_flags = ["--log-format", "json", "--log-level", "info,jobs=debug"]
        .map(String::from)
        .to_vec();
    cluster.start_master();
    let child = Command::new(FFRTMP)
        .args(["worker", "--master", &cluster.url(), "--name", "w1"])
        .args(["--state-dir", &cluster.file("state"), "--no-metrics"])
        .args(["--log-format", "json", "--log-level", "info"])
        .stderr(std::fs::File::create(cluster.path("w1.log")).unwrap())
        .stdin(std::process::Stdio::null())
        .spawn()
        .unwrap();
    cluster.workers.insert("w1".into(), (Process { child }, 0));
    let spec = JobSpec {
        duration_seconds: Some(0.2),
        output: Some(cluster.file("out.mp4")),
        ..JobSpec::default()
    };
    let body = serde_json::to_vec(&spec).unwrap();
    let head =
        "POST /v1/jobs HTTP/1.1\r\nContent-Type: application/json\r\nX-Request-Id: trace-me-7\r\n";
    let answer = http::send(cluster.port, head, &body);
    assert_eq!(answer.status, 201, "{answer:?}");
    let job = answer.json()["id"].as_u64().unwrap();
    let seq = ffrtmp_api::ids::JobSeq(job);
    until("the job ends", || {
        cluster.job(seq).state.is_terminal().then_some(())
    });
    assert_eq!(cluster.job(seq).state, JobState::Completed);
    let attempt = format!("{job}.1");

    // From the request to the job,
    let master = lines(&cluster.log("master"));
    let of_request = |(_, fields): &&(String, Value)| fields["request_id"] == "trace-me-7";
    let asked = master
        .iter()
        .find(of_request)
        .expect("a line of the request");
    assert_eq!(asked.1["job"], job, "{asked:?}");
    // from the job to its attempt and its node,
    let of_job: Vec<&Value> = master
        .iter()
        .map(|(_, fields)| fields)
        .filter(|fields| fields["job"] == job && fields["to"].is_string())
        .collect();
    let steps: Vec<&str> = of_job.iter().filter_map(|f| f["to"].as_str()).collect();
    assert_eq!(
        steps,
        ["pending", "assigned", "running", "publishing", "completed"],
        "{of_job:#?}"
    );
    for step in &of_job[1..] {
        assert_eq!(step["attempt"], *attempt, "{step}");
        assert_eq!(step["node"], "w1", "{step}");
    }
    // and on that node from its start to its end.
    let worker = lines(&cluster.log("w1"));
    let of_attempt: Vec<&(String, Value)> = worker
        .iter()
        .filter(|(_, fields)| fields["attempt"] == *attempt)
        .collect();
    for (message, fields) in &of_attempt {
        assert_eq!(fields["job"], job, "{message}: {fields}");
        assert_eq!(fields["node"], "w1", "{message}: {fields}");
    }
    let said: Vec<&str> = of_attempt.iter().map(|(m, _)| m.as_str()).collect();
    for step in ["ffmpeg started", "encoded; waiting", "publishing", "ended"] {
        assert!(
            said.iter().any(|m| m.starts_with(step)),
            "{step:?} is not in {said:?}"
        );
    }
    cluster.finish();
}

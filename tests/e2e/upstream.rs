//! Upstream's routes, as its clients use them.

use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, footage, until},
    http::{ask, post},
};

#[test]
fn a_script_written_for_upstream_gets_its_file() {
    let cluster = Cluster::with_worker(1);
    let port = cluster.port;
    let output = cluster.file("out.mp4");
    let request = json!({
        "scenario": "nightly", "confidence": "auto", "engine": "auto", "queue": "live", "priority": "high",
        "parameters": {"input": footage(), "output": output, "duration": 2, "bitrate": "800k", "codec": "libx264",
                       "preset": "ultrafast", "resolution": "320x180"},
    });
    let answer = post(port, "/jobs", request.to_string());
    assert_eq!(answer.status, 201, "{answer:?}");
    let job = answer.json();
    assert_eq!(
        (&job["sequence_number"], &job["scenario"], &job["queue"]),
        (&json!(1), &json!("nightly"), &json!("live"))
    );
    assert_eq!(job["parameters"]["codec"], "h264");
    let uuid = job["id"].as_str().unwrap().to_owned();

    // By number or by UUID, as upstream's command line asks; it stops at `completed`.
    let shown = |id: &str| ask(port, "GET", &format!("/jobs/{id}")).json();
    let done = until("the job is completed", || {
        let job = shown("1");
        assert_ne!(job["status"], "failed", "{job}");
        (job["status"] == "completed").then_some(job)
    });
    assert_eq!(done, shown(&uuid));
    assert_eq!(
        (&done["progress"], &done["node_name"], &done["retry_count"]),
        (&json!(100), &json!("w1"), &json!(0))
    );
    assert!(
        done["completed_at"].as_str().unwrap() >= done["created_at"].as_str().unwrap(),
        "{done}"
    );
    assert!(std::fs::metadata(&output).unwrap().len() > 10_000);

    let list = ask(port, "GET", "/jobs").json();
    assert_eq!(
        (&list["count"], &list["jobs"][0]["id"]),
        (&json!(1), &json!(uuid))
    );
    let nodes = ask(port, "GET", "/nodes").json();
    assert_eq!(
        (
            &nodes["count"],
            &nodes["nodes"][0]["name"],
            &nodes["nodes"][0]["status"]
        ),
        (&json!(1), &json!("w1"), &json!("available"))
    );
    cluster.finish();
}

#[test]
fn a_job_of_upstream_s_is_one_of_ours_and_can_be_canceled_either_way() {
    let cluster = Cluster::with_master();
    let port = cluster.port;
    for _ in 0..3 {
        assert_eq!(
            post(
                port,
                "/jobs",
                r#"{"scenario":"load","parameters":{"duration":1}}"#
            )
            .status,
            201
        );
    }
    assert_eq!(ask(port, "GET", "/jobs/2").json()["status"], "pending");
    let canceled = ask(port, "POST", "/jobs/2/cancel").json();
    assert_eq!(
        (&canceled["status"], &canceled["job_id"]),
        (
            &json!("canceled"),
            &ask(port, "GET", "/jobs/2").json()["id"]
        )
    );
    assert_eq!(ask(port, "POST", "/v1/jobs/3/cancel").status, 200);
    assert_eq!(ask(port, "GET", "/jobs/3").json()["status"], "canceled");
    let ours = ask(port, "GET", "/v1/jobs/1").json();
    assert_eq!(ours["spec"]["scenario"], "load");
    let two = ask(port, "GET", "/jobs?limit=2").json();
    let numbers: Vec<&Value> = two["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| &job["sequence_number"])
        .collect();
    assert_eq!(
        (&two["count"], numbers),
        (&json!(2), vec![&json!(3), &json!(2)])
    );

    for (method, path, body, status, message) in [
        (
            "GET",
            "/jobs/99",
            "",
            404,
            "there is no job 99; `ffrtmp jobs list` shows those there are",
        ),
        (
            "GET",
            "/jobs?state=failed",
            "",
            400,
            "unknown parameter \"state\"; known is limit",
        ),
        (
            "POST",
            "/jobs",
            r#"{"engine":"gstreamer"}"#,
            400,
            "engine: \"gstreamer\" is not an engine here; the only one is ffmpeg (or auto)",
        ),
        (
            "POST",
            "/jobs",
            r#"{"parameters":{"bitrate":"10X"}}"#,
            400,
            "bitrate: \"10X\" is not a bitrate between 1k and 1000M, as in 2500k, 2.5M or 2500000",
        ),
        (
            "POST",
            "/jobs",
            r#"{"parameters":{"bitrat":"1M"}}"#,
            400,
            "parameters.bitrat: there is no field \"bitrat\"; did you mean \"bitrate\"?",
        ),
    ] {
        let answer = if method == "GET" {
            ask(port, method, path)
        } else {
            post(port, path, body)
        };
        let (got, _, said) = answer.error();
        assert_eq!(
            (got, said.as_str()),
            (status, message),
            "{method} {path} {body}"
        );
    }
    ask(port, "POST", "/jobs/1/cancel");
    cluster.finish();
}

//! What callers get wrong, each with the exact message: at the API, and in jobs that only the worker can find fault with.

use std::{os::unix::fs::PermissionsExt, process::Command};

use ffrtmp_api::job::{FailureReason, JobSpec, JobState};

use crate::{
    cluster::{Cluster, Process, footage, tiny, until},
    http::{ask, post, send},
};

/// Posts each body as a job and checks code and message. Nothing may have been accepted.
#[track_caller]
fn refused(cases: &[(&str, &str, &str)]) {
    let cluster = Cluster::with_master();
    for (body, code, message) in cases {
        let answer = post(cluster.port, "/v1/jobs", body);
        let expected = (400, (*code).to_owned(), (*message).to_owned());
        assert_eq!(answer.error(), expected, "{body:.200}");
    }
    assert!(cluster.jobs().is_empty());
    cluster.finish();
}

#[test]
fn an_unknown_word_is_refused_with_those_there_are() {
    refused(&[
        (
            r#"{"queue":"fast"}"#,
            "bad_json",
            "queue: \"fast\" is not one of live, default, batch",
        ),
        (
            r#"{"priority":"urgent"}"#,
            "bad_json",
            "priority: \"urgent\" is not one of high, medium, low",
        ),
        (
            r#"{"codec":"h256"}"#,
            "bad_field",
            "codec: \"h256\" is not one of h264, h265 (or hevc), vp9, av1, copy, none",
        ),
        (
            r#"{"audio":"mp5"}"#,
            "bad_field",
            "audio: \"mp5\" is not one of aac, opus, mp3, flac, pcm, copy, none",
        ),
        (
            r#"{"scenario":"1080p60-h256"}"#,
            "bad_field",
            "scenario: \"1080p60-h256\" names the codec \"h256\"; known codecs are h264, h265 (or hevc), vp9, av1",
        ),
        (
            r#"{"encoder_preset":"warp"}"#,
            "bad_field",
            "encoder_preset: \"warp\" is not one of libx264's: ultrafast, superfast, veryfast, faster, fast, medium, slow, slower, veryslow",
        ),
    ]);
}

#[test]
fn a_number_that_means_nothing_is_refused() {
    refused(&[
        (
            r#"{"duration_seconds":-1}"#,
            "bad_field",
            "duration_seconds: -1 is not a number of seconds from 0.001 to 2592000",
        ),
        (
            r#"{"duration_seconds":0}"#,
            "bad_field",
            "duration_seconds: 0 is not a number of seconds from 0.001 to 2592000",
        ),
        (
            r#"{"timeout_seconds":1e300}"#,
            "bad_field",
            &format!(
                "timeout_seconds: {} is not a number of seconds from 0.001 to 2592000",
                1e300
            ),
        ),
        (
            r#"{"duration_seconds":1e999}"#,
            "bad_json",
            "the body cannot be taken: number out of range at line 1 column 25",
        ),
        (
            r#"{"fps":0}"#,
            "bad_field",
            "fps: 0 is not a frame rate between 1 and 240",
        ),
        (
            r#"{"fps":1000000}"#,
            "bad_field",
            "fps: 1000000 is not a frame rate between 1 and 240",
        ),
        (
            r#"{"crf":99}"#,
            "bad_field",
            "crf: 99 is out of range; libx264 takes 0 (best) to 51",
        ),
        (
            r#"{"crf":-1}"#,
            "bad_json",
            "crf: invalid value: integer `-1`, expected u32 at line 1 column 9",
        ),
        (
            r#"{"crf":1.5}"#,
            "bad_json",
            "crf: invalid type: floating point `1.5`, expected u32 at line 1 column 10",
        ),
        (
            r#"{"crf":20,"bitrate":"2M"}"#,
            "bad_field",
            "crf: cannot be given together with bitrate; choose one",
        ),
        (
            r#"{"retries":101}"#,
            "bad_field",
            "retries: at most 100 are accepted",
        ),
        (
            r#"{"cpu_millicores":0}"#,
            "bad_field",
            "cpu_millicores: must be between 1 and 1024000",
        ),
        (
            r#"{"memory_mib":4294967295}"#,
            "bad_field",
            "memory_mib: must be between 1 and 67108864",
        ),
        (
            r#"{"size":"0x0"}"#,
            "bad_field",
            "size: \"0x0\" is not WIDTHxHEIGHT with even numbers between 16 and 16384, as in 1280x720; or 1280x-2 or -2x720 to keep the aspect, or fit:1280x720 for what fits into that",
        ),
        (
            r#"{"size":"16384x16384"}"#,
            "bad_field",
            "size: \"16384x16384\" is more than 67108864 pixels, and ffmpeg's encoders refuse it",
        ),
        (
            r#"{"size":"1281x720"}"#,
            "bad_field",
            "size: \"1281x720\" is not WIDTHxHEIGHT with even numbers between 16 and 16384, as in 1280x720; or 1280x-2 or -2x720 to keep the aspect, or fit:1280x720 for what fits into that",
        ),
    ]);
}

#[test]
fn a_bitrate_that_is_none_is_refused() {
    let cases: Vec<(String, String)> = [
        "10X", "", "M", "-5M", "0", "1e9", "NaN", "2,5M", "99999M", " 2M",
    ]
    .into_iter()
    .map(|given| {
        let message = format!(
            "bitrate: {given:?} is not a bitrate between 1k and 1000M, as in 2500k, 2.5M or 2500000"
        );
        (format!("{{\"bitrate\":{given:?}}}"), message)
    })
    .collect();
    let cases: Vec<_> = cases
        .iter()
        .map(|(body, message)| (body.as_str(), "bad_field", message.as_str()))
        .collect();
    refused(&cases);
}

#[test]
fn a_name_or_path_that_could_deceive_is_refused() {
    let long = "x".repeat(257);
    let (long_name, long_path) = (
        format!("{{\"scenario\":\"{long}\"}}"),
        format!("{{\"input\":\"/{}\"}}", "x/".repeat(2048)),
    );
    let labels = format!(
        "{{\"labels\":{{{}}}}}",
        (0..33)
            .map(|n| format!("\"l{n}\":\"\""))
            .collect::<Vec<_>>()
            .join(",")
    );
    refused(&[
        (
            r#"{"scenario":"a\u0000b"}"#,
            "bad_field",
            "scenario: holds a NUL; leave it out",
        ),
        (
            r#"{"scenario":"a\nb"}"#,
            "bad_field",
            "scenario: holds a line break; leave it out",
        ),
        (r#"{"scenario":""}"#, "bad_field", "scenario: is empty"),
        (
            &long_name,
            "bad_field",
            "scenario: 257 bytes; at most 256 are accepted",
        ),
        (
            r#"{"labels":{"a\u001b[2J":"x"}}"#,
            "bad_field",
            "labels: holds a control character (U+001B); leave it out",
        ),
        (r#"{"labels":{"":"x"}}"#, "bad_field", "labels: is empty"),
        (
            r#"{"require":{"zone":"a\u202eb"}}"#,
            "bad_field",
            "require: holds a character that changes the direction of writing (U+202E); leave it out",
        ),
        (
            &labels,
            "bad_field",
            "labels: 33 entries; at most 32 are accepted",
        ),
        (
            r#"{"idempotency_key":"\u2028"}"#,
            "bad_field",
            "idempotency_key: holds a line separator; leave it out",
        ),
        (
            r#"{"input":"/a\u0000.mp4"}"#,
            "bad_field",
            "input: holds a NUL; rename the file",
        ),
        (
            r#"{"output":"/a\n.mp4"}"#,
            "bad_field",
            "output: holds a line break; rename the file",
        ),
        (
            &long_path,
            "bad_field",
            "input: 4097 bytes; at most 4096 are accepted",
        ),
        (
            r#"{"input":"in.mp4"}"#,
            "bad_field",
            "input: \"in.mp4\" is not an absolute path; name the file as the worker sees it, from /",
        ),
        (
            r#"{"input":"/a/../b.mp4"}"#,
            "bad_field",
            "input: \"/a/../b.mp4\" holds `..`; name the file without it",
        ),
        (
            r#"{"output":"/a/"}"#,
            "bad_field",
            "output: \"/a/\" names a directory; name the file to write",
        ),
        (
            r#"{"output":"/a.gif"}"#,
            "bad_field",
            "output: the extension \"gif\" names no container known here; end it in .mp4, .m4v, .mov, .mkv, .webm or .ts, .mp3, .m4a, .flac, .ogg, .opus or .wav for sound, .jpg or .png for a picture, .m3u8 or .mpd for a folder of segments",
        ),
        (
            r#"{"input":"/a.mp4","output":"/a.mp4"}"#,
            "bad_field",
            "output: is the input itself; name another file",
        ),
    ]);
}

#[test]
fn json_that_is_none_or_says_a_thing_twice_is_refused_with_its_place() {
    let deep = format!("{}1{}", "{\"labels\":".repeat(100_000), "}".repeat(100_000));
    refused(&[
        (
            "",
            "bad_json",
            "the body must be a JSON object, as in {\"input\": \"/media/in.mp4\"}",
        ),
        (
            "input=/a.mp4",
            "bad_json",
            "the body must be a JSON object, as in {\"input\": \"/media/in.mp4\"}",
        ),
        (
            r#"[{"crf":1}]"#,
            "bad_json",
            "the body must be a JSON object, as in {\"input\": \"/media/in.mp4\"}",
        ),
        (
            r#"{"crf":1"#,
            "bad_json",
            "the body cannot be taken: EOF while parsing an object at line 1 column 8",
        ),
        (
            r#"{"crf":1,}"#,
            "bad_json",
            "the body cannot be taken: trailing comma at line 1 column 10",
        ),
        (
            r#"{"crf":1} x"#,
            "bad_json",
            "the body cannot be taken: trailing characters at line 1 column 11",
        ),
        (
            &deep,
            "bad_json",
            "the body cannot be taken: it nests deeper than 32 levels at line 1 column 321",
        ),
        (
            r#"{"crf":1,"crf":2}"#,
            "bad_json",
            "the body cannot be taken: the key \"crf\" is there twice at line 1 column 14",
        ),
        (
            r#"{"labels":{"a":"1","a":"2"}}"#,
            "bad_json",
            "the body cannot be taken: the key \"a\" is there twice at line 1 column 22",
        ),
        (
            r#"{"require":{"a":"1","a":"2"}}"#,
            "bad_json",
            "the body cannot be taken: the key \"a\" is there twice at line 1 column 23",
        ),
        (
            r#"{"inptu":"/a"}"#,
            "bad_json",
            "inptu: there is no field \"inptu\"; did you mean \"input\"?",
        ),
        (
            r#"{"quue":"live"}"#,
            "bad_json",
            "quue: there is no field \"quue\"; did you mean \"queue\"?",
        ),
        (
            r#"{"queue":null}"#,
            "bad_json",
            "queue: null is not one of live, default, batch",
        ),
        (
            r#"{"labels":["a"]}"#,
            "bad_json",
            "labels: invalid type: sequence, expected a map at line 1 column 10",
        ),
    ]);
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let cluster = Cluster::with_master();
    let answer = post(cluster.port, "/v1/jobs", b"{\"scenario\":\"\xc3\x28\"}");
    let message = "the body is not UTF-8: byte 14 is part of no character";
    assert_eq!(answer.error(), (400, "bad_json".into(), message.into()));
    for (path, part) in [
        ("/v1/jobs/%FF", "UTF-8"),
        ("/v1/jobs/%00", "is not a job id"),
        ("/v1/jobs/1%0A", "is not a job id"),
    ] {
        let (status, _, message) = ask(cluster.port, "GET", path).error();
        assert!(
            status == 400 && message.contains(part),
            "{path}: {status} {message}"
        );
    }
    assert!(cluster.jobs().is_empty());
    cluster.finish();
}

#[test]
fn what_is_too_large_is_refused_before_it_costs_anything() {
    let cluster = Cluster::with_master();
    let port = cluster.port;
    let body = format!("{{\"scenario\":\"{}\"}}", "x".repeat(10 * 1024 * 1024));
    assert_eq!(
        post(port, "/v1/jobs", body).error(),
        (
            413,
            "too_large".into(),
            "the body is larger than 8388608 bytes; split the batch".into()
        )
    );
    let many = format!("{{\"jobs\":[{}{{}}]}}", "{},".repeat(99_999));
    let (status, code, message) = post(port, "/v1/jobs/batch", many).error();
    assert_eq!((status, code.as_str()), (400, "bad_json"));
    assert!(
        message.contains("100000 entries in one list; at most 10000 are accepted: split the batch"),
        "{message}"
    );
    assert_eq!(
        ask(
            port,
            "GET",
            &format!("/v1/jobs?label={}", "x".repeat(9_000))
        )
        .error(),
        (
            414,
            "too_large".into(),
            "the URL has 9015 bytes; at most 8192 are accepted".into()
        )
    );
    let header = format!("GET /v1/jobs HTTP/1.1\r\nX-Big: {}\r\n", "x".repeat(40_000));
    let (status, code, message) = send(port, &header, b"").error();
    assert_eq!((status, code.as_str()), (431, "too_large"));
    assert!(message.ends_with("at most 32768 are accepted"), "{message}");
    assert!(cluster.jobs().is_empty());
    cluster.finish();
}

#[test]
fn a_batch_names_the_job_that_is_wrong_and_takes_the_others() {
    let cluster = Cluster::with_master();
    let answer = post(
        cluster.port,
        "/v1/jobs/batch",
        r#"{"jobs":[{},{"priority":"now"}]}"#,
    );
    let message = "jobs[1].priority: \"now\" is not one of high, medium, low";
    assert_eq!(answer.error(), (400, "bad_json".into(), message.into()));
    let answer = post(cluster.port, "/v1/jobs/batch", r#"{"jobs":[["a"]]}"#);
    let message = "the body cannot be taken: a list directly in a list, which nothing here is at line 1 column 10";
    assert_eq!(answer.error(), (400, "bad_json".into(), message.into()));
    assert!(cluster.jobs().is_empty());
    let items = post(
        cluster.port,
        "/v1/jobs/batch",
        r#"{"jobs":[{"duration_seconds":0.1},{"crf":99}]}"#,
    )
    .json();
    assert_eq!(items["items"][0]["accepted"]["id"], 1);
    assert_eq!(
        items["items"][1]["refused"]["message"],
        "crf: 99 is out of range; libx264 takes 0 (best) to 51"
    );
    cluster.client().cancel("1".parse().unwrap()).unwrap();
    cluster.finish();
}

#[test]
fn every_refusal_is_json_whoever_makes_it() {
    let cluster = Cluster::with_master();
    let port = cluster.port;
    for (method, path, status, code) in [
        ("GET", "/", 404, "not_found"),
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/v1/jobs/1", 404, "not_found"),
        ("GET", "/v1/jobs/x", 400, "bad_field"),
        ("GET", "/v1/jobs?limit=0", 400, "bad_field"),
        ("GET", "/v1/jobs?nothing=1", 400, "bad_field"),
        ("DELETE", "/v1/jobs", 405, "bad_method"),
        ("OPTIONS", "/v1/jobs", 405, "bad_method"),
        ("BREW", "/v1/jobs", 405, "bad_method"),
        ("GET", "/v1/worker/session", 426, "upgrade_required"),
        ("GET", "/v1/docs/nothing.js", 404, "not_found"),
    ] {
        let answer = ask(port, method, path);
        let (got, word, message) = answer.error();
        assert_eq!(
            (got, word.as_str()),
            (status, code),
            "{method} {path}: {message}"
        );
        if status == 405 {
            assert!(
                answer
                    .header("allow")
                    .is_some_and(|allow| allow.contains("GET")),
                "{answer:?}"
            );
        }
    }
    let head = ask(port, "HEAD", "/v1/jobs");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    cluster.finish();
}

#[test]
fn a_request_s_id_is_in_the_answer_and_in_the_master_s_log() {
    let cluster = Cluster::with_master();
    let get = |id: &str| {
        send(
            cluster.port,
            &format!("GET /v1/jobs/999 HTTP/1.1\r\nX-Request-Id: {id}\r\n"),
            b"",
        )
    };
    let answer = get("walk-through:42");
    assert_eq!(answer.header("x-request-id"), Some("walk-through:42"));
    assert_eq!(answer.json()["error"]["request_id"], "walk-through:42");
    until("the log names the request", || {
        let log = cluster.log("master");
        log.lines()
            .any(|line| line.contains("walk-through:42") && line.contains("404"))
            .then_some(())
    });
    let made = get("not {fit} for a log");
    assert!(
        made.header("x-request-id")
            .is_some_and(|id| !id.contains('{')),
        "{made:?}"
    );
    let fine = ask(cluster.port, "GET", "/v1/jobs");
    assert!(fine.status == 200 && fine.header("x-request-id").is_some());
    cluster.finish();
}

#[test]
fn a_caller_who_asks_too_often_is_told_when_to_come_again_and_the_client_does() {
    let mut cluster = Cluster::new();
    cluster.master_flags = ["--rate-limit", "10"].map(String::from).to_vec();
    cluster.start_master();
    let limited = until("the limit is reached", || {
        Some(ask(cluster.port, "GET", "/v1/jobs")).filter(|answer| answer.status != 200)
    });
    let (status, code, message) = limited.error();
    assert_eq!((status, code.as_str()), (429, "too_many_requests"));
    assert!(
        message.starts_with("too many requests; try again in 1 s"),
        "{message}"
    );
    assert_eq!(limited.header("retry-after"), Some("1"));
    // The client waits as it is told, also where it would not repeat a call that might have been done.
    let id = cluster.submit(tiny(0.1));
    cluster
        .client()
        .cancel(ffrtmp_api::ids::JobRef::Seq(id))
        .unwrap();
    cluster.finish();
}

/// A job that can never work fails in its first attempt, for this reason, saying this.
#[track_caller]
fn fails_once(cluster: &Cluster, spec: JobSpec, reason: FailureReason, says: &str) {
    let id = cluster.submit(spec);
    let job = cluster.until_state(id, &[JobState::Failed]);
    let failure = job.failure.unwrap();
    assert_eq!(
        (failure.reason, job.attempt.0, failure.message.as_str()),
        (reason, 1, says)
    );
}

#[test]
fn an_input_that_is_no_film_fails_once_and_says_what_it_is() {
    let cluster = Cluster::with_worker(1);
    std::fs::create_dir(cluster.path("folder.mp4")).unwrap();
    std::fs::write(cluster.path("empty.mp4"), "").unwrap();
    std::fs::write(cluster.path("text.mp4"), "not a film\n".repeat(100)).unwrap();
    // Nobody writes to it: whoever opens it to read waits for ever.
    assert!(
        Command::new("mkfifo")
            .arg(cluster.path("pipe.mp4"))
            .status()
            .unwrap()
            .success()
    );
    let input = |name: &str| JobSpec {
        input: Some(cluster.file(name)),
        ..tiny(0.2)
    };
    for (name, what) in [
        ("missing.mp4", "no such file on this worker"),
        ("folder.mp4", "is a directory; name a file"),
        ("empty.mp4", "is empty"),
        (
            "pipe.mp4",
            "is a device, FIFO or socket; name a regular file",
        ),
    ] {
        let says = format!("input {}: {what}", cluster.file(name));
        fails_once(&cluster, input(name), FailureReason::InputError, &says);
    }
    let id = cluster.submit(input("text.mp4"));
    let failure = cluster
        .until_state(id, &[JobState::Failed])
        .failure
        .unwrap();
    assert_eq!(failure.reason, FailureReason::InputError);
    assert!(
        failure
            .message
            .contains("text.mp4: is not media that can be read"),
        "{failure:?}"
    );
    cluster.finish();
}

#[test]
fn an_input_the_worker_may_not_read_fails_once_and_says_so() {
    let mut cluster = Cluster::with_master();
    // Root reads everything, so a worker of root's gives up being root.
    let unprivileged: &[&str] = if rustix::process::geteuid().is_root() {
        &[
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
        ]
    } else {
        &["env"]
    };
    let open =
        |path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    open(cluster.dir.path().to_owned(), 0o755);
    std::fs::create_dir(cluster.path("state")).unwrap();
    open(cluster.path("state"), 0o777);
    let ours = cluster.command("worker");
    let mut command = Command::new(unprivileged[0]);
    command.env_clear().envs(
        ours.get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    command.args(&unprivileged[1..]).arg(crate::cluster::FFRTMP);
    command.args([
        "worker",
        "--master",
        &cluster.url(),
        "--name",
        "w1",
        "--metrics-listen",
        "127.0.0.1:0",
    ]);
    command
        .args(["--state-dir", &cluster.file("state/w1")])
        .current_dir("/");
    let log = std::fs::File::create(cluster.path("w1.log")).unwrap();
    let worker = Process {
        child: command.stderr(log).spawn().unwrap(),
    };
    cluster.workers.insert("w1".into(), (worker, 0));
    std::fs::copy(footage(), cluster.path("secret.mp4")).unwrap();
    open(cluster.path("secret.mp4"), 0o000);
    let spec = JobSpec {
        input: Some(cluster.file("secret.mp4")),
        ..tiny(0.2)
    };
    let says = format!(
        "input {}: the worker may not read it",
        cluster.file("secret.mp4")
    );
    fails_once(&cluster, spec, FailureReason::InputError, &says);
    cluster.finish();
}

#[test]
fn an_output_that_cannot_be_made_fails_once_and_harms_nothing() {
    let cluster = Cluster::with_worker(1);
    std::fs::write(cluster.path("there.mp4"), "precious").unwrap();
    std::fs::create_dir(cluster.path("folder.mp4")).unwrap();
    let output = |name: &str| JobSpec {
        output: Some(cluster.file(name)),
        ..tiny(0.2)
    };
    let directory = cluster.file("nowhere");
    for (name, what) in [
        (
            "nowhere/x.mp4",
            format!("the directory {directory} does not exist on this worker; make it first"),
        ),
        (
            "there.mp4",
            "exists already; name another, remove it, or allow it with overwrite".to_owned(),
        ),
        (
            "there.mp4/x.mp4",
            format!("{} is not a directory", cluster.file("there.mp4")),
        ),
        ("folder.mp4", "is a directory; name a file".to_owned()),
    ] {
        let says = format!("output {}: {what}", cluster.file(name));
        fails_once(&cluster, output(name), FailureReason::UserError, &says);
    }
    assert_eq!(
        std::fs::read_to_string(cluster.path("there.mp4")).unwrap(),
        "precious"
    );
    cluster.finish();
}

#[test]
fn two_jobs_with_one_output_make_one_file_and_the_other_fails() {
    let cluster = Cluster::with_worker(2);
    let spec = JobSpec {
        input: Some(footage()),
        output: Some(cluster.file("out.mp4")),
        encoder_preset: Some("ultrafast".into()),
        ..JobSpec::default()
    };
    let ids = [cluster.submit(spec.clone()), cluster.submit(spec)];
    let jobs = cluster.until_all_ended();
    assert_eq!(jobs.len(), ids.len());
    let (done, failed): (Vec<_>, Vec<_>) = jobs
        .into_iter()
        .partition(|job| job.state == JobState::Completed);
    assert_eq!((done.len(), failed.len()), (1, 1), "{failed:?}");
    let failure = failed[0].failure.clone().unwrap();
    assert_eq!(failure.reason, FailureReason::UserError, "{failure:?}");
    assert!(
        failure.message.contains("out.mp4") && failure.message.contains("exists already"),
        "{failure:?}"
    );
    let size = std::fs::metadata(cluster.path("out.mp4")).unwrap().len();
    assert_eq!(
        size,
        done[0].result.as_ref().unwrap().bytes,
        "the file is the completed job's"
    );
    cluster.finish();
}

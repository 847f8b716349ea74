//! The real binary against a master of cardboard: what a user types, what they read, and the exit code.

#![allow(clippy::unwrap_used)] // in a test, that is the report

mod fake_master;

use std::{
    io::Read,
    net::TcpListener,
    os::unix::fs::symlink,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use fake_master::{FakeMaster, job};
use ffrtmp_api::{
    job::JobState,
    rest::{Job, JobList, JobProgress, Submitted},
};

const BINARY: &str = env!("CARGO_BIN_EXE_ffrtmp");

/// `ffrtmp` with these words, in an environment without settings.
fn ffrtmp(url: &str, words: &str) -> Command {
    let mut command = Command::new(BINARY);
    for name in [
        "FFRTMP_TOKEN",
        "MASTER_API_KEY",
        "MASTER_URL",
        "NO_COLOR",
        "RUST_LOG",
    ] {
        command.env_remove(name);
    }
    command
        .env("XDG_CONFIG_HOME", "/nonexistent")
        .env("FFRTMP_MASTER", url)
        .args(words.split_whitespace())
        .stdin(Stdio::null());
    command
}

struct Said {
    code: i32,
    out: String,
    err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Said {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said {
            code: output.status.code().unwrap(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }
}

fn say(master: &FakeMaster, words: &str) -> Said {
    ffrtmp(&master.url, words).output().unwrap().into()
}

fn progressing(percent: f32) -> Job {
    let progress = JobProgress {
        percent: Some(percent),
        frames: 10,
        fps: 100.0,
        speed: 4.0,
        media_seconds: 1.0,
        bytes: 1,
        eta_seconds: Some(1.0),
    };
    Job {
        progress: Some(progress),
        ..job(1, JobState::Running)
    }
}

#[test]
fn the_seed_s_own_loop_runs_verbatim() {
    let master = FakeMaster::start();
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("bin")).unwrap();
    symlink(BINARY, dir.path().join("bin/ffrtmp")).unwrap();
    let script = r#"for i in {1..20}; do
  ./bin/ffrtmp jobs submit --scenario "load-test-$i" --queue live --priority high &
done
wait"#;
    let output = Command::new("bash")
        .args(["-c", script])
        .current_dir(dir.path())
        .env("FFRTMP_MASTER", &master.url)
        .output()
        .unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    let mut scenarios: Vec<(String, Option<String>)> = master.with(|memory| {
        memory
            .jobs
            .iter()
            .inspect(|job| {
                assert_eq!(
                    (job.queue.as_str(), job.priority.as_str()),
                    ("live", "high")
                )
            })
            .map(|job| {
                (
                    job.spec.scenario.clone().unwrap(),
                    job.spec.idempotency_key.clone(),
                )
            })
            .collect()
    });
    scenarios.sort();
    let mut expected: Vec<String> = (1..=20).map(|i| format!("load-test-{i}")).collect();
    expected.sort();
    assert_eq!(
        scenarios
            .iter()
            .map(|(name, _)| name.clone())
            .collect::<Vec<_>>(),
        expected
    );
    let keys: std::collections::BTreeSet<_> = scenarios
        .iter()
        .map(|(_, key)| key.clone().unwrap())
        .collect();
    assert_eq!(keys.len(), 20, "every submit has a key of its own");
}

#[test]
fn submit_prints_the_number_and_what_will_be_done() {
    let master = FakeMaster::start();
    let said = say(&master, "jobs submit --scenario 1080p60-h265");
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert_eq!(
        said.out,
        "job 1 submitted: 1080p60-h265: synthetic, 10s; hevc by libx265, 1080 lines high, 60 fps, crf 28, \
         preset ultrafast, aac; default queue, medium priority\n"
    );
    let said = say(&master, "jobs submit --output json");
    let submitted: Submitted = serde_json::from_str(&said.out).unwrap();
    assert_eq!(submitted.id.0, 2);
}

#[test]
fn a_wrong_field_is_a_usage_error_and_nothing_is_sent() {
    let master = FakeMaster::start();
    for (words, says) in [
        (
            "jobs submit --bitrate 10X",
            "--bitrate: \"10X\" is not a bitrate",
        ),
        (
            "jobs submit --scenario 1080p60-h256",
            "known codecs are h264",
        ),
        ("jobs submit --input rtmp://a/b", "is a URL"),
        ("jobs submit --queue urgent", "live, default, batch"),
        ("jobs status 12x", "is not a job id"),
        ("jobs list --limit 0", "is not a number between 1 and"),
        ("jobs lst", "unrecognized subcommand"),
        ("up --master http://a", "takes no --master"),
    ] {
        let said = say(&master, words);
        assert_eq!(said.code, 2, "{words}: {}", said.err);
        assert!(said.err.contains(says), "{words}: {}", said.err);
        assert_eq!(said.out, "", "{words}");
    }
    assert!(
        master.with(|memory| memory.authorizations.is_empty()),
        "something was sent"
    );
}

#[test]
fn waiting_for_a_job_that_fails_exits_1_with_its_reason() {
    let master = FakeMaster::start();
    master.with(|memory| {
        memory.watches = vec![vec![job(1, JobState::Running), job(1, JobState::Failed)]]
    });
    let said = say(&master, "jobs submit --input /no/such.mp4 --wait");
    assert_eq!(said.code, 1);
    assert!(
        said.out.ends_with("job 1 failed in 3.0s on w1\n"),
        "{}",
        said.out
    );
    assert!(
        said.err
            .contains("job 1 failed: input_error: /no/such.mp4: no such file"),
        "{}",
        said.err
    );
    assert!(said.err.contains("ffrtmp jobs logs 1"), "{}", said.err);
}

#[test]
fn following_through_a_pipe_prints_plain_lines_and_survives_a_broken_stream() {
    let master = FakeMaster::start();
    master.with(|memory| {
        let first = vec![
            job(1, JobState::Pending),
            progressing(10.0),
            progressing(20.0),
        ];
        let second = vec![progressing(30.0), job(1, JobState::Completed)];
        memory.watches = vec![first, second];
    });
    let said = say(&master, "jobs submit --follow");
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    let lines: Vec<&str> = said.out.lines().skip(1).collect();
    assert_eq!(
        lines,
        [
            "job 1 pending",
            "job 1 running on w1   10.0 %  100 fps  4.0x  1.0s to go",
            "job 1 completed",
            "job 1 completed in 3.0s on w1"
        ]
    );
    assert!(
        !said.out.contains('\x1b') && !said.out.contains('\r'),
        "{:?}",
        said.out
    );
}

#[test]
fn waiting_with_json_prints_one_document_the_job_at_its_end() {
    let master = FakeMaster::start();
    master
        .with(|memory| memory.watches = vec![vec![progressing(1.0), job(1, JobState::Completed)]]);
    let said = say(&master, "jobs submit --wait -o json");
    let job: Job = serde_json::from_str(&said.out).unwrap();
    assert_eq!((said.code, job.state), (0, JobState::Completed));
}

#[test]
fn a_list_is_read_over_as_many_pages_as_it_takes() {
    let master = FakeMaster::start();
    master.with(|memory| memory.jobs = (1..=5).map(|id| job(id, JobState::Running)).collect());
    let said = say(
        &master,
        "jobs list --state running --queue default --limit 4 --output json",
    );
    let list: JobList = serde_json::from_str(&said.out).unwrap();
    assert_eq!(
        list.jobs.iter().map(|job| job.id.0).collect::<Vec<_>>(),
        [5, 4, 3, 2]
    );
    assert_eq!(list.next_cursor.as_deref(), Some("2"));
    assert_eq!(
        master.with(|memory| memory.queries.clone()),
        [
            "limit=4&queue=default&state=running",
            "before=4&limit=2&queue=default&state=running"
        ]
    );
    let said = say(&master, "jobs list --output jsonl");
    assert_eq!(
        said.out
            .lines()
            .map(|line| serde_json::from_str::<Job>(line).unwrap().id.0)
            .collect::<Vec<_>>(),
        [5, 4, 3, 2, 1]
    );
}

#[test]
fn several_jobs_are_canceled_and_the_one_that_is_not_there_is_named() {
    let master = FakeMaster::start();
    master.with(|memory| memory.jobs = (1..=2).map(|id| job(id, JobState::Running)).collect());
    let said = say(&master, "jobs cancel 1 7 2");
    assert_eq!(said.code, 1);
    assert_eq!(said.out, "job 1 canceled\njob 2 canceled\n");
    assert_eq!(said.err, "ffrtmp: job 7: there is no job 7\n");
}

#[test]
fn logs_are_printed_as_they_are() {
    let master = FakeMaster::start();
    master.with(|memory| memory.jobs = vec![job(1, JobState::Completed)]);
    assert_eq!(say(&master, "jobs logs 1").out, "frame 1\nframe 2\n");
    assert_eq!(say(&master, "jobs logs 2").code, 1);
}

#[test]
fn the_token_is_sent_and_never_shown() {
    let master = FakeMaster::start();
    let token = "0123456789abcdef-secret";
    master.with(|memory| memory.token = Some(token.to_owned()));
    let said = say(&master, "nodes list");
    assert_eq!(said.code, 1);
    assert!(
        said.err.contains("FFRTMP_TOKEN") && said.err.contains("--token-file"),
        "{}",
        said.err
    );
    for name in ["FFRTMP_TOKEN", "MASTER_API_KEY"] {
        let said: Said = ffrtmp(&master.url, "nodes list")
            .env(name, token)
            .output()
            .unwrap()
            .into();
        assert_eq!(said.code, 0, "{}", said.err);
        let wrong: Said = ffrtmp(&master.url, "nodes list")
            .env(name, format!("{token}x"))
            .output()
            .unwrap()
            .into();
        assert!(
            wrong.code == 1 && !wrong.err.contains(token),
            "{}",
            wrong.err
        );
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{token}\n")).unwrap();
    let said = say(
        &master,
        &format!("nodes list --token-file {}", file.path().display()),
    );
    assert_eq!((said.code, said.err.as_str()), (0, ""));
}

#[test]
fn upstream_s_variable_names_the_master_too() {
    let master = FakeMaster::start();
    let said: Said = ffrtmp("", "version")
        .env_remove("FFRTMP_MASTER")
        .env("MASTER_URL", &master.url)
        .output()
        .unwrap()
        .into();
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert!(said.out.contains("9.9.9"), "{}", said.out);
}

#[test]
fn a_master_that_is_restarting_is_waited_for_and_one_job_is_made() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let command = thread::spawn(move || -> Said {
        ffrtmp(&format!("http://{address}"), "jobs submit")
            .output()
            .unwrap()
            .into()
    });
    thread::sleep(Duration::from_millis(700));
    let master = FakeMaster::start_on(TcpListener::bind(address).unwrap());
    let said = command.join().unwrap();
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.err.contains("trying on"), "{}", said.err);
    assert_eq!(master.with(|memory| memory.jobs.len()), 1);
}

#[test]
fn an_unreachable_master_is_named_with_how_to_start_one() {
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let said: Said = ffrtmp(&format!("http://{address}"), "jobs list --retry-for 0")
        .output()
        .unwrap()
        .into();
    assert_eq!(said.code, 1);
    for part in [
        &format!("http://{address}"),
        "connection refused",
        "ffrtmp up",
        "--master",
    ] {
        assert!(
            said.err.contains(part),
            "{part:?} is missing in {:?}",
            said.err
        );
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let master = FakeMaster::start();
    master.with(|memory| memory.jobs = (1..=3_000).map(|id| job(id, JobState::Running)).collect());
    let mut child = ffrtmp(&master.url, "jobs list --limit 3000 -o jsonl")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let said: Said = child.wait_with_output().unwrap().into();
    assert_eq!((said.code, said.err.as_str()), (0, ""));
}

#[test]
fn help_answers_at_once() {
    let start = Instant::now();
    let output = Command::new(BINARY)
        .args(["jobs", "submit", "--help"])
        .output()
        .unwrap();
    assert!(
        output.status.success()
            && String::from_utf8(output.stdout)
                .unwrap()
                .contains("Examples:")
    );
    // Milliseconds on an idle machine; the bound leaves room for a busy one.
    assert!(
        start.elapsed() < Duration::from_millis(500),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn a_port_that_is_taken_is_named_with_the_flag_that_changes_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let said: Said = ffrtmp("", &format!("up --listen {address}"))
        .output()
        .unwrap()
        .into();
    assert_eq!(said.code, 1);
    assert!(
        said.err.contains(&format!("port {}", address.port())) && said.err.contains("--listen"),
        "{}",
        said.err
    );
    let said: Said = ffrtmp("", "master --listen 0.0.0.0:0")
        .output()
        .unwrap()
        .into();
    assert!(
        said.code == 2 && said.err.contains("ffrtmp token"),
        "{}",
        said.err
    );
}

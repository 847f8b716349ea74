//! The real binary against a master of cardboard: what a user types, what they read, and the exit code.

#![allow(clippy::unwrap_used)] // in a test, that is the report

mod fake_master;

use std::{
    io::{Read, Write},
    net::TcpListener,
    os::unix::fs::symlink,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use fake_master::{FakeMaster, job};
use ffrtmp_api::{
    job::JobState,
    rest::{Job, JobList, JobProgress, SubmitBatchAnswer, SubmitItem, Submitted},
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
        restarts: 0,
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
        "job 1 submitted: 1080p60-h265: synthetic, 10s; hevc by libx265, 1080 lines high, 60 fps, crf 24, \
         encoder preset ultrafast, aac 160k stereo; default queue, medium priority\n"
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
        (
            "jobs submit --input ftp://a/b",
            "\"ftp\" is not a scheme that is known here",
        ),
        ("jobs submit --queue urgent", "live, default, batch"),
        ("jobs status 12x", "is not a job id"),
        ("jobs list --limit 0", "is not a number between 1 and"),
        ("jobs lst", "unrecognized subcommand"),
        ("up --master http://a", "takes no --master"),
        ("jobs submit --start -5", "--start"),
        ("jobs submit --deadline soon", "--deadline"),
        ("jobs submit --resources cpu=lots", "as in 2 or 0.5"),
        ("jobs submit --param crff=20", "did you mean \"crf\"?"),
        (
            "jobs submit --count 3 --output out.mp4",
            "--output: with --count 3 it must hold {seq}",
        ),
        ("jobs list --since yesterday", "as in 30m or 2h"),
        ("jobs list --sort size", "newest, oldest, finished"),
        ("jobs list --state running,lost", "pending, assigned"),
        ("jobs list --watch -o json", "use --output jsonl"),
        ("jobs cancel", "which jobs?"),
        ("jobs cancel 1 --state pending", "not both"),
        (
            "jobs retry --state running",
            "a running job cannot be tried again; those that are failed, canceled can",
        ),
        ("jobs set 1", "--queue"),
        ("nodes drain", "<NAME>"),
    ] {
        let said = say(&master, words);
        assert_eq!(said.code, 2, "{words}: {}", said.err);
        assert!(said.err.contains(says), "{words}: {}", said.err);
        assert_eq!(said.out, "", "{words}");
    }
    assert!(
        master.with(|memory| memory.jobs.is_empty() && memory.batches.is_empty()),
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
            "cursor=4&limit=2&queue=default&state=running"
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
    let waited: Said = ffrtmp(&format!("http://{address}"), "jobs list --retry-for 1s")
        .output()
        .unwrap()
        .into();
    assert!(waited.err.contains("; tried for 1 s"), "{}", waited.err);
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
    for words in [
        &["--help"][..],
        &["jobs", "submit", "--help"],
        &["nodes", "--help"],
    ] {
        // The best of many: the machine may be busy with other tests.
        let best = (0..30)
            .map(|_| {
                let start = Instant::now();
                let output = Command::new(BINARY).args(words).output().unwrap();
                assert!(output.status.success() && !output.stdout.is_empty());
                start.elapsed()
            })
            .min()
            .unwrap();
        assert!(best < Duration::from_millis(20), "{words:?}: {best:?}");
    }
}

#[test]
fn a_master_of_another_version_that_does_not_know_a_call_is_named_with_both_versions() {
    let master = FakeMaster::start();
    let said = say(&master, "jobs explain 1");
    assert_eq!(said.code, 1);
    assert!(
        said.err.contains("is version 9.9.9 and this tool is ")
            && said.err.contains(env!("CARGO_PKG_VERSION"))
            && said.err.contains(&master.url),
        "{}",
        said.err
    );
}

#[test]
fn nothing_in_colour_goes_through_a_pipe_and_quiet_prints_ids_alone() {
    let master = FakeMaster::start();
    master.with(|memory| memory.jobs = (1..=2).map(|id| job(id, JobState::Failed)).collect());
    let said = say(&master, "jobs list");
    assert!(
        !said.out.contains('\x1b') && said.out.contains("failed"),
        "{}",
        said.out
    );
    assert_eq!(say(&master, "jobs list -q").out, "2\n1\n");
    assert_eq!(say(&master, "jobs submit -q").out, "3\n");
    assert_eq!(say(&master, "-q jobs cancel 1").out, "");
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

#[test]
fn a_number_of_jobs_is_made_with_their_numbers_and_their_own_keys() {
    let master = FakeMaster::start();
    let words = "jobs submit --count 3 --input /in/{seq}.mp4 --output /out/{seq}.mp4 --label n={seq} --idempotency-key k";
    let said = say(&master, words);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert!(
        said.out
            .starts_with("3 jobs submitted: 1-3\n  the first: /in/1.mp4 to /out/1.mp4; "),
        "{}",
        said.out
    );
    let made = master.with(|memory| {
        assert_eq!(memory.batches, [3]);
        memory
            .jobs
            .iter()
            .map(|job| {
                let spec = job.spec.clone();
                let key = spec.idempotency_key.unwrap();
                (spec.output.unwrap(), spec.labels["n"].clone(), key)
            })
            .collect::<Vec<_>>()
    });
    let expected = |n: u32| (format!("/out/{n}.mp4"), n.to_string(), format!("k-{n}"));
    assert_eq!(made, (1..=3).map(expected).collect::<Vec<_>>());
    let again = say(&master, words);
    assert!(
        again
            .out
            .starts_with("3 jobs submitted (3 of them already before): 1-3\n"),
        "{}",
        again.out
    );
    assert_eq!(master.with(|memory| memory.jobs.len()), 3);
}

#[test]
fn a_file_s_jobs_are_submitted_and_those_that_are_wrong_are_named_by_their_line() {
    let master = FakeMaster::start();
    let dir = tempfile::tempdir().unwrap();
    let text = "{\"input\": \"a.mp4\"}\n{\"crff\": 3}\n{\"scenario\": \"refuse-me\"}\nnonsense\n{\"bitrate\": \"10X\"}\n\n{\"crf\": 20, \"queue\": \"live\"}\n";
    std::fs::write(dir.path().join("jobs.jsonl"), text).unwrap();
    let submit = |words: &str| -> Said {
        ffrtmp(&master.url, words)
            .current_dir(dir.path())
            .output()
            .unwrap()
            .into()
    };
    let said = submit("jobs submit --file jobs.jsonl --priority high --queue batch");
    assert_eq!(said.code, 1);
    assert_eq!(
        said.out,
        "job 1 submitted: line 1\njob 2 submitted: line 7\n2 jobs submitted, 4 refused\n"
    );
    let errors: Vec<&str> = said.err.lines().collect();
    assert_eq!(errors.len(), 4, "{}", said.err);
    for (error, says) in errors.iter().zip([
        "ffrtmp: line 2: \"crff\" is not a field of a job; did you mean \"crf\"?",
        "ffrtmp: line 3: scenario: refused here",
        "ffrtmp: line 4: is not a JSON object",
        "ffrtmp: line 5: bitrate: \"10X\" is not a bitrate",
    ]) {
        assert!(error.starts_with(says), "{error} should begin {says}");
    }
    let cwd = dir.path().canonicalize().unwrap();
    master.with(|memory| {
        let specs: Vec<_> = memory.jobs.iter().map(|job| job.spec.clone()).collect();
        assert_eq!(
            specs[0].input.as_deref(),
            Some(cwd.join("a.mp4").to_str().unwrap())
        );
        for spec in &specs {
            assert_eq!(
                (spec.priority.as_str(), spec.queue.as_str()),
                ("high", "batch"),
                "flags hold for all"
            );
        }
        assert_ne!(specs[0].idempotency_key, specs[1].idempotency_key);
    });
    let said = submit("jobs submit --file jobs.jsonl -o json");
    let answer: SubmitBatchAnswer = serde_json::from_str(&said.out).unwrap();
    assert_eq!(answer.items.len(), 6, "one for each job, in order");
    assert!(matches!(answer.items[0], SubmitItem::Accepted(_)));
    assert!(matches!(answer.items[1], SubmitItem::Refused(_)));
    let said = submit("jobs submit --file no-such.json");
    assert!(
        said.code == 1 && said.err.contains("no-such.json cannot be read"),
        "{}",
        said.err
    );
}

#[test]
fn a_large_file_from_standard_input_goes_in_batches() {
    let master = FakeMaster::start();
    let mut child = ffrtmp(&master.url, "jobs submit --file - -q")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = thread::spawn(move || {
        stdin.write_all(b"[").unwrap();
        for n in 0..2_500 {
            let comma = if n == 0 { "" } else { ",\n" };
            write!(stdin, "{comma}{{\"scenario\": \"s{n}\"}}").unwrap();
        }
        stdin.write_all(b"]").unwrap();
    });
    let said: Said = child.wait_with_output().unwrap().into();
    writer.join().unwrap();
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert_eq!(said.out.lines().count(), 2_500, "quiet prints ids alone");
    assert_eq!(said.out.lines().last(), Some("2500"));
    master.with(|memory| assert_eq!(memory.batches, [1_000, 1_000, 500]));
}

#[test]
fn a_file_that_breaks_in_the_middle_is_submitted_up_to_there() {
    let master = FakeMaster::start();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[{\"crf\": 20},\n{\"crf\" 21}]").unwrap();
    let said = say(
        &master,
        &format!("jobs submit --file {}", file.path().display()),
    );
    assert_eq!(said.code, 1);
    assert!(
        said.err.contains("line 2: expected `:`") && said.err.contains("nothing from there on"),
        "{}",
        said.err
    );
    assert_eq!(master.with(|memory| memory.jobs.len()), 1);
}

#[test]
fn a_dry_run_sends_nothing_and_names_every_setting() {
    let master = FakeMaster::start();
    let said = say(
        &master,
        "jobs submit --dry-run --scenario 720p30-vp9 --resources cpu=2,memory=1G",
    );
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    for part in ["libvpx-vp9", "720 lines high", "2 cores and 1024 MiB"] {
        assert!(said.out.contains(part), "{part} in {}", said.out);
    }
    let said = say(
        &master,
        "jobs submit --dry-run --start 5 --input /a.mp4 -o json",
    );
    let plan: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(plan["job"]["start_seconds"], 5.0);
    assert_eq!(plan["settings"]["pictures"]["video"]["encoder"], "libx264");
    // It asks what the farm's preset says, and that is all.
    assert!(master.with(|memory| memory.jobs.is_empty() && memory.batches.is_empty()));
    assert_eq!(master.with(|memory| memory.authorizations.len()), 1);
}

#[test]
fn waiting_for_several_names_each_that_failed_and_sums_up() {
    let master = FakeMaster::start();
    master.with(|memory| {
        memory.watches_by_id.extend([
            (1, vec![job(1, JobState::Completed)]),
            (2, vec![job(2, JobState::Running), job(2, JobState::Failed)]),
        ])
    });
    let said = say(&master, "jobs wait 1 2 9");
    assert_eq!(said.code, 1);
    assert!(
        said.out
            .ends_with("3 jobs: 1 completed, 1 failed, 1 not seen to end\n"),
        "{}",
        said.out
    );
    assert!(
        said.err.contains("job 2 failed: input_error") && said.err.contains("job 9: "),
        "{}",
        said.err
    );
    let said = say(&master, "jobs wait 1 2 -o json");
    let list: JobList = serde_json::from_str(&said.out).unwrap();
    assert_eq!(
        list.jobs.iter().map(|job| job.id.0).collect::<Vec<_>>(),
        [1, 2],
        "one document, in the order asked for"
    );
}

#[test]
fn presets_that_are_compiled_in_are_shown_without_a_master() {
    let none = "http://127.0.0.1:9";
    let said = |words: &str| Said::from(ffrtmp(none, words).output().unwrap());
    let list = said("presets list --built-in -q");
    assert_eq!(
        (list.code, list.out.lines().count()),
        (0, 33),
        "{}",
        list.err
    );
    let shown = said("presets show web-mp4 --built-in");
    assert!(
        shown.out.contains("\ncrf = 22\n") && shown.out.contains("description = \""),
        "{}",
        shown.out
    );
    let none = said("presets show web-mp3 --built-in");
    assert_eq!(none.code, 1);
    assert!(
        none.err.contains("did you mean \"web-mp4\"?"),
        "{}",
        none.err
    );
    let checked = said("presets check /no/such.toml");
    assert_eq!(checked.code, 1);
    assert!(
        checked.out.contains("/no/such.toml: it cannot be read"),
        "{}",
        checked.out
    );
    assert_eq!(said("presets check").code, 2);
}

#[test]
fn what_is_sent_of_a_job_with_a_preset_is_what_was_given() {
    let master = FakeMaster::start();
    let said = say(
        &master,
        "jobs submit --preset live-720p --queue default --output /o.mp4",
    );
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert!(
        said.out.contains("2500 kbit/s") && said.out.contains("default queue, high priority"),
        "{}",
        said.out
    );
    let sent = master.with(|memory| memory.jobs[0].spec.clone());
    assert_eq!(
        (
            sent.preset.as_deref(),
            sent.bitrate,
            sent.preset_fields.len()
        ),
        (Some("live-720p"), None, 0)
    );
    let said = say(&master, "jobs submit --preset veryfast");
    assert_eq!(said.code, 2);
    assert!(
        said.err
            .contains("--preset: there is no preset \"veryfast\"")
            && said.err.contains("--encoder-preset veryfast"),
        "{}",
        said.err
    );
}

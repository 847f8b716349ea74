//! The command line as people use it, on a real cluster: every example of its help, many jobs at once, a part of a file,
//! and a real terminal.

use std::{
    io::{Read, Write},
    process::{Command, Output, Stdio},
};

use ffrtmp_api::{
    ids::JobSeq,
    job::{JobSpec, JobState},
    rest::{Explanation, Job, JobList, Node, Stats, WaitReason},
};

use crate::cluster::{Cluster, FFRTMP, Process, endless, footage, tiny, until};

/// `ffrtmp` with these words, in the cluster's folder, as a user's shell would run it.
fn ffrtmp(cluster: &Cluster, words: &[&str]) -> Output {
    cluster
        .command("client")
        .args(words)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .unwrap()
}

/// The same, which must succeed; gives what it printed.
#[track_caller]
fn say(cluster: &Cluster, words: &str) -> String {
    let output = ffrtmp(cluster, &words.split_whitespace().collect::<Vec<_>>());
    assert!(output.status.success(), "{words}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn json<T: serde::de::DeserializeOwned>(cluster: &Cluster, words: &str) -> T {
    let said = say(cluster, &format!("{words} --output json"));
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{words}: {error}: {said}"))
}

/// The examples in the help of `words`.
fn examples(words: &[&str]) -> Vec<String> {
    let output = Command::new(FFRTMP)
        .args(words)
        .arg("--help")
        .output()
        .unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("ffrtmp "))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_example_of_jobs_and_nodes_and_stats_does_what_it_shows() {
    let mut cluster = Cluster::with_master();
    cluster.start_worker_with("w1", 2, &["--label", "zone=eu"]);
    cluster.start_worker("w2", 2);
    std::fs::create_dir(cluster.path("in")).unwrap();
    std::fs::create_dir(cluster.path("out")).unwrap();
    let made = Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=160x120:rate=10",
        ])
        .args([
            "-f", "lavfi", "-i", "sine", "-t", "0.5", "-c:v", "libx264", "-c:a", "aac",
        ])
        .arg(cluster.path("in.mp4"))
        .status()
        .unwrap();
    assert!(made.success());
    std::fs::copy(cluster.path("in.mp4"), cluster.path("my.mov")).unwrap();
    for n in 1..=20 {
        std::fs::copy(cluster.path("in.mp4"), cluster.path(&format!("in/{n}.mp4"))).unwrap();
    }
    std::fs::write(
        cluster.path("jobs.jsonl"),
        "{\"duration_seconds\": 0.2}\n{\"input\": \"in.mp4\"}\n",
    )
    .unwrap();
    // Examples speak of the jobs 42 to 44. No worker carries what these require, so that they stay as they are put.
    for _ in 1..=44 {
        cluster.submit(JobSpec {
            require: [("no".to_owned(), "where".to_owned())].into(),
            ..tiny(0.1)
        });
    }
    let verbs = [
        "submit", "list", "status", "wait", "logs", "explain", "set", "pause", "resume", "retry",
        "cancel",
    ];
    let mut ran = 0;
    for verb in verbs {
        for example in examples(&["jobs", verb]) {
            // It does not end; it has a test of its own.
            if example.contains("--watch") {
                continue;
            }
            for id in [42, 43, 44] {
                prepare(&cluster, verb, &example, id);
            }
            let words: Vec<&str> = example.split_whitespace().skip(1).collect();
            let output = ffrtmp(&cluster, &words);
            // What waits for a job that was canceled says so by its exit code.
            let ends_badly = verb == "wait" || (verb == "status" && example.contains("--follow"));
            // No worker can take job 42, so it has no attempts to show.
            let unattempted = example.contains("--attempt");
            let expected = if ends_badly || unattempted { 1 } else { 0 };
            assert_eq!(
                output.status.code(),
                Some(expected),
                "{example}: {output:?}"
            );
            if ends_badly {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(said.contains("was canceled"), "{example}: {said}");
            }
            if unattempted {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(said.contains("has had no attempt yet"), "{example}: {said}");
            }
            if verb == "submit" {
                say(&cluster, "jobs cancel --queue live,default,batch");
                cluster.until_all_ended();
                for file in ["out.mp4", "out.webm", "small.mp4"] {
                    let _ = std::fs::remove_file(cluster.path(file));
                }
            }
            ran += 1;
        }
    }
    for words in [
        &["nodes", "list"][..],
        &["nodes", "describe"],
        &["nodes", "drain"],
        &["nodes", "undrain"],
        &["nodes", "remove"],
        &["stats"],
    ] {
        if words.contains(&"remove") {
            cluster.workers.get_mut("w1").unwrap().0.kill();
            cluster.workers.remove("w1");
            until("w1 is missed", || {
                let node: Node = json(&cluster, "nodes describe w1");
                (node.status.as_str() == "offline").then_some(())
            });
        }
        for example in examples(words) {
            let output = ffrtmp(
                &cluster,
                &example.split_whitespace().skip(1).collect::<Vec<_>>(),
            );
            assert!(output.status.success(), "{example}: {output:?}");
            ran += 1;
        }
    }
    assert!(ran >= 35, "only {ran} examples were run");
    let twenty = std::fs::read_dir(cluster.path("out")).unwrap().count();
    assert_eq!(twenty, 20, "--count 20 --wait made its files");
    cluster.until_all_ended();
    cluster.finish();
}

/// Puts a job that no worker can take into the state that an example of `verb` speaks of.
#[track_caller]
fn prepare(cluster: &Cluster, verb: &str, example: &str, id: u64) {
    let job = cluster.job(JobSeq(id));
    let ended = verb == "wait" || verb == "retry" || example.contains("--follow");
    if ended && job.state != JobState::Canceled {
        say(cluster, &format!("jobs cancel {id}"));
    } else if !ended && job.state == JobState::Canceled {
        say(cluster, &format!("jobs retry {id}"));
    }
    if verb == "resume" {
        say(cluster, &format!("jobs pause {id}"));
    }
}

#[test]
fn a_part_of_a_file_is_encoded_from_exactly_where_it_was_asked_for() {
    let cluster = Cluster::with_worker(1);
    let words = format!(
        "jobs submit --input {} --output part.mp4 --start 3 --encoder-preset ultrafast --wait",
        footage()
    );
    let said = say(&cluster, &words);
    assert!(
        said.contains("from 3.0s") || said.contains("completed"),
        "{said}"
    );
    // 132 frames at 25 a second; those from 3 s on are 75 to 131.
    let job = cluster.jobs().pop().unwrap();
    assert_eq!(job.result.unwrap().frames, 57);
    // Past its end there is nothing to encode, and that is the user's input.
    let words = format!("jobs submit --input {} --start 6 --wait", footage());
    let output = ffrtmp(&cluster, &words.split_whitespace().collect::<Vec<_>>());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("input_error") && said.contains("start before its end"),
        "{said}"
    );
    cluster.finish();
}

#[test]
fn a_job_that_cannot_run_is_explained_selected_moved_and_canceled() {
    let cluster = Cluster::with_worker(1);
    let said = say(
        &cluster,
        "jobs submit --count 3 --queue batch --require zone=moon --label show=news -q",
    );
    assert_eq!(said, "1\n2\n3\n");
    let explained: Explanation = json(&cluster, "jobs explain 1");
    assert_eq!(explained.waiting.unwrap().reason, WaitReason::NoLabel);
    let prose = say(&cluster, "jobs explain 1");
    assert!(
        prose.contains("zone=moon") && prose.contains("w1") && prose.contains("WHAT HAPPENED"),
        "{prose}"
    );
    say(&cluster, "jobs set 2 3 --priority high --queue live");
    let list: JobList = json(
        &cluster,
        "jobs list --queue live --priority high --label show=news --sort oldest --since 1h",
    );
    assert_eq!(
        list.jobs.iter().map(|job| job.id.0).collect::<Vec<_>>(),
        [2, 3]
    );
    let said = say(&cluster, "jobs pause --queue live");
    assert_eq!(said.matches("is held (now pending)").count(), 2, "{said}");
    let job: Job = json(&cluster, "jobs status 2");
    assert!(job.held);
    say(&cluster, "jobs resume --queue live");
    // Without a terminal nobody can be asked.
    let output = ffrtmp(&cluster, &["jobs", "cancel", "--all"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("3 jobs would be canceled; say --yes")
    );
    say(&cluster, "jobs cancel --all --yes");
    let stats: Stats = json(&cluster, "stats");
    assert_eq!((stats.canceled, stats.jobs[&JobState::Canceled]), (3, 3));
    let output = ffrtmp(&cluster, &["jobs", "status", "1", "77"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("job 77: there is no job 77"),
        "{output:?}"
    );
    cluster.finish();
}

#[test]
fn a_watched_list_prints_a_line_for_each_change_until_its_reader_is_gone() {
    let cluster = Cluster::with_worker(1);
    let mut command = cluster.command("watch");
    command.args(["jobs", "list", "--watch", "--label", "seen=yes"]);
    let mut watch = Process {
        child: command.stdout(Stdio::piped()).spawn().unwrap(),
    };
    let mut out = watch.child.stdout.take().unwrap();
    let id = cluster.submit(JobSpec {
        labels: [("seen".to_owned(), "yes".to_owned())].into(),
        ..tiny(0.2)
    });
    cluster.submit(tiny(0.1));
    cluster.until_all_ended();
    let mut text = String::new();
    let mut bytes = [0; 1024];
    while !text.contains("completed") {
        let read = out.read(&mut bytes).unwrap();
        assert_ne!(
            read,
            0,
            "it ended by itself: {text}\n{}",
            cluster.log("watch")
        );
        text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
    }
    for line in text.lines() {
        assert!(
            line.contains(&format!("  {id}  ")),
            "another job's line: {line}"
        );
    }
    cluster.finish();
}

/// `ffrtmp` on a terminal of its own, of this many columns.
fn on_terminal(cluster: &Cluster, columns: u32, words: &str) -> Process {
    let script = format!("stty cols {columns} rows 20; exec {FFRTMP} {words}");
    let mut command = Command::new("script");
    command
        .args(["-qefc", &script, "/dev/null"])
        .env("FFRTMP_MASTER", cluster.url())
        .env("TERM", "xterm")
        .env("SHELL", "/bin/sh")
        .current_dir(cluster.dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    Process {
        child: command.spawn().unwrap(),
    }
}

/// `text` without escape sequences.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\x1b' {
            // Up to the letter that ends it.
            chars.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(c);
        }
    }
    plain
}

#[test]
fn on_a_terminal_a_bar_is_drawn_that_fits_and_ctrl_c_leaves_the_job_and_a_clean_line() {
    let cluster = Cluster::with_worker(1);
    let id = cluster.submit(endless());
    let mut terminal = on_terminal(&cluster, 60, &format!("jobs status {id} --follow"));
    let mut out = terminal.child.stdout.take().unwrap();
    let mut text = String::new();
    let mut bytes = [0; 4096];
    let mut interrupted = false;
    loop {
        let read = out.read(&mut bytes).unwrap_or(0);
        if read == 0 {
            break;
        }
        text.push_str(&String::from_utf8_lossy(&bytes[..read]));
        // Encoding, with a percentage: a whole bar has been drawn.
        if !interrupted && plain(&text).contains(" %") {
            // As the keyboard does it: the terminal makes it a signal.
            terminal
                .child
                .stdin
                .as_mut()
                .unwrap()
                .write_all(b"\x03")
                .unwrap();
            interrupted = true;
        }
    }
    assert_eq!(terminal.wait().code(), Some(130), "{text:?}");
    for line in plain(&text).split(['\r', '\n']) {
        let drawn = line.starts_with("job ") && line.contains("running");
        // What the keyboard types is shown behind it by the terminal itself.
        let columns = line.trim_end_matches("^C").chars().count();
        assert!(!drawn || columns <= 60, "wraps: {line:?}");
    }
    let last = text.rsplit("\x1b[2K").next().unwrap();
    assert_eq!(
        plain(last).trim(),
        format!("ffrtmp: job {id} goes on; see it again with: ffrtmp jobs status {id} --follow"),
        "nothing is left of the bar: {text:?}"
    );
    assert_eq!(cluster.job(id).state, JobState::Running, "it goes on");
    say(&cluster, &format!("jobs cancel {id}"));
    cluster.until_all_ended();
    cluster.finish();
}

//! `ffrtmp backup` of a master at work, and going back to it; `ffrtmp ready`.

use std::{fs, process::Output};

use ffrtmp_api::{
    ids::JobRef,
    job::{JobSpec, JobState},
};

use crate::cluster::{Cluster, endless, free_port, tiny, until};

fn ffrtmp(cluster: &Cluster, words: &[&str]) -> (Output, String, String) {
    let output = cluster
        .command("ffrtmp")
        .args(words)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .output()
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    (output, out, err)
}

#[test]
fn a_backup_made_under_load_brings_back_every_job_that_was_there() {
    let mut cluster = Cluster::with_worker(2);
    let running = cluster.submit(endless());
    cluster.until_state(running, &[JobState::Running]);
    let done = cluster.submit(tiny(0.2));
    cluster.until_completed(done);
    // Commits go on all the while.
    let client = cluster.client();
    let secret = client.webhook_secret().unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let nowhere = JobSpec {
        require: [("nobody".to_owned(), "has this".to_owned())].into(),
        ..tiny(0.2)
    };
    let (before, said) = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                client.submit(&nowhere).unwrap();
            }
        });
        until("some jobs wait", || {
            (cluster.jobs().len() > 20).then_some(())
        });
        let before = cluster.jobs().len();
        let said = ffrtmp(
            &cluster,
            &[
                "backup",
                "--data-dir",
                &cluster.file("data"),
                &cluster.file("backups/one"),
            ],
        );
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        (before, said)
    });
    let (output, out, err) = said;
    assert!(output.status.success(), "{err}");
    assert!(
        out.contains("backups/one: ") && out.contains("not ended"),
        "{out}"
    );
    // One that was begun after the backup, and is not in it.
    cluster.client().cancel(JobRef::Seq(running)).unwrap();
    cluster.until_state(running, &[JobState::Canceled]);
    let later = cluster.submit(endless());
    cluster.until_state(later, &[JobState::Running]);

    // Back to it, while the worker goes on.
    cluster.kill_master();
    fs::rename(cluster.path("data"), cluster.path("lost")).unwrap();
    fs::rename(cluster.path("backups/one"), cluster.path("data")).unwrap();
    cluster.start_master();
    let jobs = cluster.jobs();
    assert!(jobs.len() >= before, "{} of {before}", jobs.len());
    for (i, job) in jobs.iter().enumerate() {
        assert_eq!(job.id.0, i as u64 + 1, "no job in between is missing");
    }
    assert_eq!(cluster.job(done).state, JobState::Completed);
    // Receivers go on believing it.
    assert_eq!(
        cluster.client().webhook_secret().unwrap().secret,
        secret.secret
    );
    // What the worker was doing meanwhile is not this master's: it is stopped. What was running then runs again.
    assert!(later.0 > jobs.len() as u64);
    let again = cluster.until_state(running, &[JobState::Running]);
    assert_eq!(again.attempt.0, 2);
    let next = cluster.submit(tiny(0.2));
    cluster.until_completed(next);
    for job in cluster.jobs().iter().filter(|job| !job.state.is_terminal()) {
        cluster.client().cancel(JobRef::Seq(job.id)).unwrap();
    }
    cluster.until_all_ended();
    cluster.finish();
}

#[test]
fn a_backup_replaces_nothing_and_says_what_is_wrong() {
    let cluster = Cluster::with_master();
    let data = cluster.file("data");
    fs::create_dir(cluster.path("there")).unwrap();
    for (words, wanted) in [
        (
            ["--data-dir", &data, &cluster.file("there")],
            "is there already",
        ),
        (
            ["--data-dir", &data, &cluster.file("data/b")],
            "in the data directory itself",
        ),
        (
            ["--data-dir", &cluster.file("there"), &cluster.file("b")],
            "no master's data directory",
        ),
    ] {
        let (output, _, err) = ffrtmp(&cluster, &[&["backup"][..], &words].concat());
        assert_eq!(output.status.code(), Some(2), "{err}");
        assert!(err.contains(wanted), "{err}");
    }
    assert!(!cluster.path("b").exists());
    // The data directory is the one of the settings, and programs get JSON.
    let settings = cluster.file("config.toml");
    fs::write(&settings, format!("[master]\ndata_dir = {data:?}\n")).unwrap();
    let to = cluster.file("b");
    let (output, out, err) = ffrtmp(
        &cluster,
        &["backup", "--config", &settings, &to, "--output", "json"],
    );
    assert!(output.status.success(), "{err}");
    let made: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&made["jobs"], &made["unfinished"]), (&0.into(), &0.into()));
    assert!(made["bytes"].as_u64().unwrap() > 4_096);
    cluster.finish();
}

#[test]
fn ready_tells_by_its_exit_code_who_is_ready_and_waits_if_asked() {
    let mut cluster = Cluster::new();
    let (output, _, err) = ffrtmp(&cluster, &["ready", "--retry-for", "0s"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err.contains("is not ready"), "{err}");
    // A worker without a master runs and is not ready.
    let port = free_port();
    let worker = cluster
        .command("w")
        .args(["worker", "--name", "w", "--state-dir", &cluster.file("w")])
        .args(["--metrics-listen", &format!("127.0.0.1:{port}")])
        .spawn()
        .unwrap();
    let _worker = crate::cluster::Process { child: worker };
    let address = format!("http://127.0.0.1:{port}");
    until("the worker listens", || {
        std::net::TcpStream::connect(("127.0.0.1", port)).ok()
    });
    let (output, _, err) = ffrtmp(&cluster, &["ready", &address, "--retry-for", "0s"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err.contains("not ready"), "{err}");
    // Whoever waits for it goes on when the master is there.
    let mut waiting = cluster
        .command("waiting")
        .args(["ready", &address, "--retry-for", "60s"])
        .spawn()
        .unwrap();
    cluster.start_master();
    assert!(
        waiting.wait().unwrap().success(),
        "{}",
        cluster.log("waiting")
    );
    let (output, out, _) = ffrtmp(&cluster, &["ready"]);
    assert!(output.status.success());
    assert_eq!(out.trim(), format!("{} is ready", cluster.url()));
}

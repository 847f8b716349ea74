//! Clocks that are wrong: a worker's, the master's own, a user's.
//!
//! The processes are the real ones. Their wall clock alone is moved, by a small library in front of the C library's
//! `clock_gettime` that adds what a file says; monotonic clocks are left as they are, as when somebody sets a machine's time.

use std::{path::PathBuf, process::Command};

use ffrtmp_api::job::JobState;

use crate::cluster::{Cluster, Process, tiny, until};

const SHIFT: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t id, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, at);
    const char *path = getenv("CLOCK_SHIFT_FILE");
    if (result || id != CLOCK_REALTIME || !path) return result;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return result;
    char text[32] = {0};
    if (read(file, text, sizeof text - 1) > 0) at->tv_sec += atol(text);
    close(file);
    return result;
}
"#;

/// The library, built for this cluster. The C compiler is there: SQLite was built with it.
fn library(cluster: &Cluster) -> PathBuf {
    let (source, library) = (cluster.path("shift.c"), cluster.path("shift.so"));
    std::fs::write(&source, SHIFT).unwrap();
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .output()
        .unwrap();
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    library
}

/// Lets the clock of `command` be so many seconds off as the file of this name in the cluster's folder says.
fn shifted<'a>(cluster: &Cluster, command: &'a mut Command, file: &str) -> &'a mut Command {
    command
        .env("LD_PRELOAD", library(cluster))
        .env("CLOCK_SHIFT_FILE", cluster.path(file))
}

fn shift(cluster: &Cluster, file: &str, seconds: i64) {
    std::fs::write(cluster.path(file), seconds.to_string()).unwrap();
}

#[test]
fn a_worker_whose_clock_is_an_hour_off_is_told_of_and_works_all_the_same() {
    let cluster = Cluster::with_master();
    shift(&cluster, "worker-clock", -3_600);
    let mut command = cluster.command("w1");
    command
        .args(["worker", "--master", &cluster.url(), "--name", "w1"])
        .args(["--slots", "1", "--state-dir", &cluster.file("state-w1")])
        .args(["--metrics-listen", "127.0.0.1:0"]);
    let child = shifted(&cluster, &mut command, "worker-clock")
        .spawn()
        .unwrap();
    let worker = Process { child };
    let client = cluster.client();
    let skew = || client.nodes().ok()?.nodes.first()?.clock_skew_ms;
    let ms = until("the worker says its time", skew);
    assert!((-3_610_000..=-3_590_000).contains(&ms), "{ms}");
    until("the log tells", || {
        let said = r#"the clock of worker "w1" is 60 min behind this master's"#;
        cluster.log("master").contains(said).then_some(())
    });
    assert_eq!(cluster.metrics()["ffrtmp_nodes_clock_off"], 1.0);
    let shown = cluster
        .command("cli")
        .args(["nodes", "describe", "w1"])
        .stdout(std::process::Stdio::piped())
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains("60 min behind the master's: let a time service set it"),
        "{shown}"
    );
    let job = cluster.submit(tiny(0.2));
    let done = cluster.until_completed(job);
    let (started, finished) = (done.started_at_ms.unwrap(), done.finished_at_ms.unwrap());
    assert!(
        done.submitted_at_ms <= started && started <= finished,
        "times of jobs are the master's: {done:?}"
    );

    // Set right, it is noticed with a heartbeat, in the same session.
    shift(&cluster, "worker-clock", 0);
    until("the metric goes back", || {
        (cluster.metrics()["ffrtmp_nodes_clock_off"] == 0.0).then_some(())
    });
    drop(worker);
    cluster.finish();
}

#[test]
fn a_jump_of_the_master_s_clock_is_told_and_costs_no_lease() {
    let mut cluster = Cluster::new();
    shift(&cluster, "master-clock", 0);
    let mut command = cluster.command("master");
    command.args(cluster.master_args());
    let child = shifted(&cluster, &mut command, "master-clock")
        .spawn()
        .unwrap();
    cluster.master = Some(Process { child });
    cluster.until_ready();
    cluster.start_worker("w1", 1);
    let job = cluster.submit(crate::cluster::endless());
    cluster.until_state(job, &[JobState::Running]);
    shift(&cluster, "master-clock", 7_200);
    until("the log tells", || {
        cluster
            .log("master")
            .contains(
                "this master's wall clock jumped: it is 2 h 0 min ahead of where it should be",
            )
            .then_some(())
    });
    // A worker is heard by then, and its clock compared with the new one.
    until("the worker's clock is off now", || {
        (cluster.metrics()["ffrtmp_nodes_clock_off"] == 1.0).then_some(())
    });
    let still = cluster.job(job);
    assert_eq!((still.state, still.attempt.0), (JobState::Running, 1));
    assert_eq!(cluster.metrics()["ffrtmp_leases_lost_total"], 0.0);
    cluster
        .client()
        .cancel(ffrtmp_api::ids::JobRef::Seq(job))
        .unwrap();
    cluster.until_state(job, &[JobState::Canceled]);
    cluster.finish();
}

#[test]
fn times_reckoned_by_a_wrong_clock_of_the_user_s_machine_are_warned_of() {
    let cluster = Cluster::with_master();
    shift(&cluster, "my-clock", 86_400);
    let warned = |args: &[&str], off: bool| {
        let mut command = cluster.command("cli");
        command.args(args).stderr(std::process::Stdio::piped());
        if off {
            shifted(&cluster, &mut command, "my-clock");
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let warning = "this machine's clock is 24 h 0 min ahead of the master's, and";
    let said = warned(&["jobs", "list", "--since", "1h"], true);
    assert!(said.contains(&format!("{warning} --since")), "{said}");
    let submit = ["jobs", "submit", "--deadline", "+2h", "--quiet"];
    let said = warned(&submit, true);
    assert!(said.contains(&format!("{warning} --deadline")), "{said}");
    assert_eq!(warned(&["jobs", "list", "--since", "1h"], false), "");
    assert_eq!(warned(&["jobs", "list"], true), "", "no time was asked for");
    // Here the wrong jobs would be ended.
    let mut cancel = cluster.command("cancel");
    cancel.args(["jobs", "cancel", "--older-than", "10m"]);
    let ended = shifted(&cluster, &mut cancel, "my-clock").status().unwrap();
    assert_eq!(ended.code(), Some(1));
    let said = cluster.log("cancel");
    assert!(
        said.contains("so other jobs would be meant; nothing was changed"),
        "{said}"
    );
    assert_eq!(cluster.jobs()[0].state, JobState::Pending);
    cluster.client().cancel("1".parse().unwrap()).unwrap();
    cluster.finish();
}

#[test]
fn a_jump_of_a_worker_s_clock_stops_no_encode_and_no_limit_runs_out_by_it() {
    let cluster = Cluster::with_master();
    shift(&cluster, "worker-clock", 0);
    let mut command = cluster.command("w1");
    command
        .args(["worker", "--master", &cluster.url(), "--name", "w1"])
        .args(["--slots", "2", "--state-dir", &cluster.file("state-w1")])
        .args(["--stall-timeout", "30s", "--metrics-listen", "127.0.0.1:0"]);
    let child = shifted(&cluster, &mut command, "worker-clock")
        .spawn()
        .unwrap();
    let mut worker = Process { child };
    let limited = cluster.submit(ffrtmp_api::job::JobSpec {
        timeout_seconds: Some(600.0),
        ..crate::cluster::endless()
    });
    let frames = || Some(cluster.job(limited).progress?.frames);
    let before = until("it encodes", || frames().filter(|frames| *frames > 0));
    for seconds in [86_400, -86_400, 0] {
        shift(&cluster, "worker-clock", seconds);
        until("the master has seen the clock", || {
            let skew = cluster.client().node("w1").ok()?.clock_skew_ms.unwrap_or(0);
            ((skew / 1_000 - seconds).abs() < 60).then_some(())
        });
    }
    until("it goes on", || frames().filter(|frames| *frames > before));
    let job = cluster.job(limited);
    assert_eq!((job.state, job.attempt.0), (JobState::Running, 1));
    let short = cluster.submit(tiny(0.2));
    cluster.until_completed(short);
    cluster
        .client()
        .cancel(ffrtmp_api::ids::JobRef::Seq(limited))
        .unwrap();
    cluster.until_state(limited, &[JobState::Canceled]);
    worker.kill();
    cluster.finish();
}

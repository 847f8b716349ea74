//! The seed document's own loop, verbatim, and `ffrtmp up`.

use std::process::{Command, Stdio};

use ffrtmp_api::job::{JobState, Priority, Queue};
use rustix::process::Signal;

use crate::cluster::{Cluster, FFRTMP, Process, free_port, until};

const LOOP: &str = r#"for i in {1..20}; do
  ./bin/ffrtmp jobs submit --scenario "load-test-$i" --queue live --priority high &
done
wait"#;

#[test]
fn the_seed_s_loop_runs_verbatim_and_all_twenty_complete() {
    let cluster = Cluster::with_worker(2);
    std::fs::create_dir(cluster.path("bin")).unwrap();
    std::os::unix::fs::symlink(FFRTMP, cluster.path("bin/ffrtmp")).unwrap();
    let output = Command::new("bash")
        .args(["-c", LOOP])
        .current_dir(cluster.dir.path())
        .env("FFRTMP_MASTER", cluster.url())
        .output()
        .unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    assert_eq!(cluster.jobs().len(), 20);
    let jobs = cluster.until_all_ended();
    let mut scenarios: Vec<String> = jobs
        .iter()
        .map(|job| job.spec.scenario.clone().unwrap())
        .collect();
    scenarios.sort();
    let mut expected: Vec<String> = (1..=20).map(|i| format!("load-test-{i}")).collect();
    expected.sort();
    assert_eq!(scenarios, expected);
    for job in jobs {
        assert_eq!(
            (job.state, job.queue, job.priority),
            (JobState::Completed, Queue::Live, Priority::High),
            "{job:#?}"
        );
        let result = job.result.unwrap();
        assert_eq!(
            (result.video_codec.as_str(), result.frames),
            ("h264", 300),
            "ten seconds at 30 frames"
        );
    }
    cluster.finish();
}

/// The processes whose parent is `pid`.
fn children(pid: i32) -> Vec<i32> {
    let mut found = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        found.extend(
            text.split_whitespace()
                .filter_map(|pid| pid.parse::<i32>().ok()),
        );
    }
    found
}

fn is_gone(pid: i32) -> bool {
    // A zombie nobody has reaped yet is gone too.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

/// `ffrtmp up` on free ports, ready, with its worker.
fn up(cluster: &mut Cluster) -> Process {
    let child = cluster
        .command("up")
        .args([
            "up",
            "--data-dir",
            &cluster.file("up"),
            "--policies",
            &cluster.file("policies"),
        ])
        .args(["--listen", &format!("127.0.0.1:{}", cluster.port)])
        .args([
            "--metrics-listen",
            &format!("127.0.0.1:{}", cluster.metrics_port),
        ])
        .args([
            "--worker-metrics-listen",
            &format!("127.0.0.1:{}", free_port()),
        ])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let up = Process { child };
    cluster.until_ready();
    until("the worker joins", || {
        (!cluster.client().nodes().ok()?.nodes.is_empty()).then_some(())
    });
    up
}

#[test]
fn up_restarts_a_child_that_dies_and_ctrl_c_drains_both() {
    let mut cluster = Cluster::new();
    let mut up = up(&mut cluster);
    let pid = up.pid().as_raw_nonzero().get();
    let first = children(pid);
    assert_eq!(first.len(), 2, "a master and a worker");
    let id = cluster.submit(crate::cluster::tiny(0.2));
    cluster.until_completed(id);
    for child in &first {
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(*child).unwrap(),
            Signal::KILL,
        )
        .unwrap();
    }
    until("both are back", || {
        let now = children(pid);
        (now.len() == 2 && now.iter().all(|child| !first.contains(child))).then_some(())
    });
    cluster.until_ready();
    let id = cluster.submit(crate::cluster::tiny(0.2));
    cluster.until_completed(id);
    let second = children(pid);
    up.signal(Signal::INT);
    let status = up.wait();
    assert!(status.success(), "{status}: {}", cluster.log("up"));
    assert!(second.iter().all(|child| is_gone(*child)));
}

#[test]
fn when_up_is_killed_everything_ends_the_encode_too() {
    let mut cluster = Cluster::new();
    let mut up = up(&mut cluster);
    let id = cluster.submit(crate::cluster::endless());
    cluster.until_state(id, &[JobState::Running]);
    let pid = up.pid().as_raw_nonzero().get();
    let processes: Vec<i32> = children(pid)
        .into_iter()
        .flat_map(|child| children(child).into_iter().chain([child]))
        .collect();
    assert!(
        processes.len() >= 3,
        "master, worker and ffmpeg: {processes:?}"
    );
    up.kill();
    until("all of them are gone", || {
        processes.iter().all(|pid| is_gone(*pid)).then_some(())
    });
}

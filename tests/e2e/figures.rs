//! Figures of a worker, printed, not judged: they need a machine that does nothing else.
//!
//! `cargo test --release --workspace --test e2e -- --ignored --nocapture --test-threads=1 figures`

use std::{
    collections::BTreeSet,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use ffrtmp_api::{
    ids::JobRef,
    job::{JobSpec, JobState},
};

use crate::cluster::{Cluster, FFRTMP, endless, footage, tiny, until};

/// Processes whose parent is `pid`.
fn children(pid: i32) -> BTreeSet<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let listed = tasks.flatten().filter_map(|task| {
        let text = std::fs::read_to_string(task.path().join("children")).ok()?;
        Some(
            text.split_whitespace()
                .map(|n| n.parse().unwrap())
                .collect(),
        )
    });
    listed.flat_map(|pids: Vec<u32>| pids).collect()
}

fn resident_kib(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn sorted(mut times: Vec<Duration>) -> Vec<Duration> {
    times.sort_unstable();
    times
}

#[test]
#[ignore = "a figure, for a quiet machine"]
fn figures_of_the_time_a_job_takes_against_bare_ffmpeg() {
    let cluster = Cluster::with_worker(1);
    let input = cluster.file("half-a-minute.mp4");
    let looped = ["-v", "error", "-stream_loop", "5", "-i"];
    let made = Command::new("ffmpeg")
        .args(looped)
        .args([&footage(), "-t", "30", "-c", "copy", &input])
        .status()
        .unwrap();
    assert!(made.success());
    // What the job runs, as the dry run prints it.
    let bare_output = cluster.file("bare.mp4");
    let said = Command::new(FFRTMP)
        .args([
            "jobs",
            "submit",
            "--dry-run",
            "--input",
            &input,
            "--output",
            &bare_output,
        ])
        .output()
        .unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let line = said
        .lines()
        .find_map(|l| l.trim().strip_prefix("runs "))
        .unwrap();

    let mut ratios = Vec::new();
    for pair in 0..5 {
        let bare = || {
            let from = Instant::now();
            let ended = Command::new("sh")
                .args(["-c", line])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .unwrap();
            assert!(ended.success());
            from.elapsed()
        };
        let job = || {
            let from = Instant::now();
            let id = cluster.submit(JobSpec {
                input: Some(input.clone()),
                output: Some(cluster.file(&format!("job-{pair}.mp4"))),
                ..JobSpec::default()
            });
            let took = cluster.until_completed(id).result.unwrap();
            let all = from.elapsed();
            // What the worker adds around ffmpeg, which noise of the encode itself does not touch.
            let around = all.as_secs_f64() - took.wall_seconds;
            println!(
                "beside ffmpeg's own time: {around:.3} s; CPU {:.2} s",
                took.cpu_seconds
            );
            all
        };
        // Either goes first, turn by turn.
        let (bare, job) = if pair % 2 == 0 {
            let bare = bare();
            (bare, job())
        } else {
            let job = job();
            (bare(), job)
        };
        println!("bare {bare:.2?}, job from submit to completed {job:.2?}");
        ratios.push(job.as_secs_f64() / bare.as_secs_f64());
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "a job takes {:.4} times what bare ffmpeg does (median of {ratios:.4?})",
        ratios[2]
    );
    let same = |path: &str| std::fs::metadata(path).unwrap().len();
    assert_eq!(
        same(&bare_output),
        same(&cluster.file("job-0.mp4")),
        "it was the same encode"
    );
    cluster.finish();
}

#[test]
#[ignore = "a figure, for a quiet machine"]
fn figures_of_a_worker_that_does_nothing() {
    let cluster = Cluster::with_worker(8);
    let pid = cluster.worker("w1").pid().as_raw_nonzero().get();
    println!(
        "a worker that never had a job: {} KiB resident",
        resident_kib(pid)
    );
    let jobs: Vec<_> = (0..100).map(|_| cluster.submit(tiny(0.1))).collect();
    jobs.into_iter()
        .for_each(|id| drop(cluster.until_completed(id)));
    println!("after a hundred jobs: {} KiB resident", resident_kib(pid));
    cluster.finish();
}

#[test]
#[ignore = "a figure, for a quiet machine"]
fn figures_of_a_cancel() {
    let cluster = Cluster::with_worker(1);
    let pid = cluster.worker("w1").pid().as_raw_nonzero().get();
    let mut times = Vec::new();
    for _ in 0..20 {
        let id = cluster.submit(endless());
        cluster.until_state(id, &[JobState::Running]);
        let process = until("ffmpeg runs", || children(pid).pop_first());
        let from = Instant::now();
        cluster.client().cancel(JobRef::Seq(id)).unwrap();
        while Path::new(&format!("/proc/{process}")).exists() {
            assert!(from.elapsed() < Duration::from_secs(30));
            std::thread::sleep(Duration::from_micros(200));
        }
        times.push(from.elapsed());
        cluster.until_state(id, &[JobState::Canceled]);
    }
    let times = sorted(times);
    println!(
        "from cancel to ffmpeg gone: p50 {:.1?}, worst of 20 {:.1?}",
        times[10], times[19]
    );
    cluster.finish();
}

#[test]
#[ignore = "a figure, for a quiet machine"]
fn figures_of_a_worker_that_is_killed() {
    let mut cluster = Cluster::with_master();
    for restarted in [true, false] {
        let (first, second) = if restarted {
            ("w1", "w1")
        } else {
            ("w2", "w3")
        };
        cluster.start_worker(first, 1);
        let id = cluster.submit(endless());
        cluster.until_state(id, &[JobState::Running]);
        if !restarted {
            cluster.start_worker(second, 1);
        }
        let from = Instant::now();
        cluster.workers.get_mut(first).unwrap().0.kill();
        if restarted {
            cluster.start_worker(first, 1);
        }
        until("it runs again", || {
            Some(cluster.job(id)).filter(|j| j.state == JobState::Running && j.attempt.0 == 2)
        });
        let how = if restarted {
            "restarted at once"
        } else {
            "gone, on another one"
        };
        println!(
            "from kill -9 to running again, the worker {how}: {:.2?}",
            from.elapsed()
        );
        cluster.client().cancel(JobRef::Seq(id)).unwrap();
        cluster.until_state(id, &[JobState::Canceled]);
        if restarted {
            cluster.workers.get_mut(first).unwrap().0.kill();
        }
    }
    cluster.finish();
}

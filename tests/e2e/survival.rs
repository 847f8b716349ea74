//! What a worker goes through: a master that is away for longer than its lease, an ffmpeg that is replaced, clocks, its own restart.
//! Disks that fill up are in the worker's own tests. That nothing is left behind is seen by [`Cluster::finish`].

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use ffrtmp_api::{
    ids::JobRef,
    job::{FailureReason, JobSpec, JobState},
};

use crate::cluster::{Cluster, Process, endless, footage, free_port, tiny, until};

fn short_lease() -> Cluster {
    let mut cluster = Cluster::new();
    cluster.master_flags = ["--lease", "2s", "--heartbeat", "500ms"]
        .map(String::from)
        .to_vec();
    cluster.start_master();
    cluster
}

/// An RTMP server of one connection: ffmpeg itself.
fn receiver(port: u16) -> Process {
    let child = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-listen", "1", "-i"])
        .arg(format!("rtmp://127.0.0.1:{port}/live/out"))
        .args(["-f", "null", "-"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let process = Process { child };
    until("the receiver listens", || {
        let bound = fs::read_to_string("/proc/net/tcp").unwrap();
        bound
            .contains(&format!("0100007F:{port:04X} 00000000:0000 0A"))
            .then_some(())
    });
    process
}

#[test]
fn without_its_master_a_worker_goes_on_encoding_and_stops_what_it_sends_out() {
    let mut cluster = short_lease();
    cluster.start_worker("w1", 3);
    let port = free_port();
    let mut receiver = receiver(port);
    let encode = cluster.submit(JobSpec {
        input: Some(footage()),
        output: Some(cluster.file("out.mp4")),
        encoder_preset: Some("slow".into()),
        size: Some("640x-2".into()),
        ..JobSpec::default()
    });
    let pushed = cluster.submit(JobSpec {
        output: Some(format!("rtmp://127.0.0.1:{port}/live/out")),
        duration_seconds: Some(3_600.0),
        size: Some("320x180".into()),
        encoder_preset: Some("ultrafast".into()),
        retries: Some(0),
        ..JobSpec::default()
    });
    cluster.until_state(encode, &[JobState::Running]);
    until("the stream goes out", || {
        (cluster.job(pushed).progress?.frames > 25).then_some(())
    });
    cluster.kill_master();
    // Nobody tells the worker; it hears nothing.
    let ended = receiver.wait();
    assert!(
        cluster.log("w1").contains("no session with the master"),
        "{ended}"
    );
    cluster.start_master();
    let job = cluster.until_state(pushed, &[JobState::Failed]);
    let failure = job.failure.unwrap();
    assert_eq!(
        (failure.reason, job.attempt.0),
        (FailureReason::PlatformError, 1)
    );
    assert!(failure.message.contains("not heard"), "{failure:?}");
    assert_eq!(cluster.until_completed(encode).attempt.0, 1);
    cluster.finish();
}

#[test]
fn an_encode_outlives_a_master_that_is_away_for_many_leases() {
    let mut cluster = short_lease();
    cluster.start_worker("w1", 1);
    let id = cluster.submit(endless());
    cluster.until_state(id, &[JobState::Running]);
    let ffmpeg = cluster.processes();
    cluster.kill_master();
    let away = std::time::Instant::now();
    until("six leases have gone by", || {
        (away.elapsed() > std::time::Duration::from_secs(12)).then_some(())
    });
    cluster.start_master();
    until("the worker is back", || {
        let node = cluster.client().node("w1").ok()?;
        (node.silent_ms? < 1_000).then_some(())
    });
    let job = cluster.until_state(id, &[JobState::Running]);
    assert_eq!(job.attempt.0, 1);
    assert_eq!(cluster.processes(), ffmpeg, "it is the same process");
    cluster.client().cancel(JobRef::Seq(id)).unwrap();
    cluster.until_state(id, &[JobState::Canceled]);
    cluster.finish();
}

/// A program that runs the real ffmpeg and says in a file that it did.
fn stand_in(path: &Path, name: &str) {
    let new = path.with_extension("new");
    let log = path.with_file_name("ran");
    fs::write(
        &new,
        format!(
            "#!/bin/sh\necho {name} >>{}\nexec ffmpeg \"$@\"\n",
            log.display()
        ),
    )
    .unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(new, path).unwrap();
}

#[test]
fn ffmpeg_is_taken_away_and_another_put_in_its_place_while_jobs_run_and_wait() {
    let mut cluster = Cluster::with_master();
    fs::create_dir(cluster.path("bin")).unwrap();
    let ffmpeg = cluster.path("bin/ffmpeg");
    stand_in(&ffmpeg, "first");
    // Where it says that it ran, which a sandbox would keep it from.
    let said = ["--sandbox-write", &cluster.file("bin")];
    let flags = ["--ffmpeg", ffmpeg.to_str().unwrap(), said[0], said[1]];
    cluster.start_worker_with("w1", 2, &flags);
    let running = cluster.submit(endless());
    cluster.until_state(running, &[JobState::Running]);
    fs::remove_file(&ffmpeg).unwrap();
    until("the worker says that it has none", || {
        cluster.client().node("w1").ok()?.unfit
    });
    let waiting = cluster.submit(tiny(0.2));
    until("it waits, and its failure is nobody's", || {
        cluster.job(waiting).waiting
    });
    // What runs is not touched.
    assert_eq!(cluster.job(running).state, JobState::Running);
    stand_in(&ffmpeg, "second");
    let job = cluster.until_completed(waiting);
    assert_eq!((job.attempt.0, job.failures), (1, 0));
    let ran = fs::read_to_string(cluster.path("bin/ran")).unwrap();
    assert!(ran.contains("first") && ran.contains("second"), "{ran}");
    assert_eq!(cluster.job(running).attempt.0, 1);
    cluster.client().cancel(JobRef::Seq(running)).unwrap();
    cluster.until_state(running, &[JobState::Canceled]);
    cluster.finish();
}

#[test]
fn a_job_that_kills_whatever_runs_it_ends_and_leaves_the_workers_to_others() {
    let mut cluster = Cluster::with_master();
    fs::create_dir(cluster.path("bin")).unwrap();
    let ffmpeg = cluster.path("bin/ffmpeg");
    // A crash for one input alone; everything else is encoded.
    fs::write(
        &ffmpeg,
        "#!/bin/sh\ncase \"$*\" in *poison*) kill -SEGV $$;; esac\nexec ffmpeg \"$@\"\n",
    )
    .unwrap();
    fs::set_permissions(&ffmpeg, fs::Permissions::from_mode(0o755)).unwrap();
    let flags = ["--ffmpeg", ffmpeg.to_str().unwrap()];
    for name in ["w1", "w2"] {
        cluster.start_worker_with(name, 1, &flags);
    }
    fs::copy(footage(), cluster.path("poison.mp4")).unwrap();
    let poison = cluster.submit(JobSpec {
        input: Some(cluster.file("poison.mp4")),
        output: Some(cluster.file("out.mp4")),
        retries: Some(2),
        ..JobSpec::default()
    });
    let others: Vec<_> = (0..6).map(|_| cluster.submit(tiny(0.2))).collect();
    let mut tried_on = Vec::new();
    let job = loop {
        let job = cluster.job(poison);
        if job.state.is_active() && tried_on.last() != Some(&(job.attempt, job.node.clone())) {
            tried_on.push((job.attempt, job.node.clone()));
        }
        if job.state.is_terminal() {
            break job;
        }
        std::thread::yield_now();
    };
    assert_eq!(
        (job.state, job.attempt.0, job.failures),
        (JobState::Failed, 3, 3)
    );
    let failure = job.failure.unwrap();
    assert_eq!(failure.reason, FailureReason::RuntimeError);
    assert!(failure.message.contains("signal 11"), "{failure:?}");
    // Where it was seen twice in a row, it was not on the same worker: the first retry goes elsewhere.
    for pair in tried_on.windows(2) {
        if pair[0].0.0 == 1 && pair[1].0.0 == 2 {
            assert_ne!(pair[0].1, pair[1].1, "{tried_on:?}");
        }
    }
    for id in others {
        assert_eq!(cluster.until_completed(id).attempt.0, 1);
    }
    assert!(!cluster.path("out.mp4").exists());
    cluster.finish();
}

#[test]
fn a_worker_that_is_killed_and_started_again_leaves_nothing_of_what_it_ran() {
    let mut cluster = Cluster::with_master();
    cluster.start_worker("w1", 2);
    let output = cluster.file("out.mp4");
    let kept = cluster.submit(JobSpec {
        output: Some(output.clone()),
        ..endless()
    });
    let measured = cluster.submit(endless());
    for id in [kept, measured] {
        cluster.until_state(id, &[JobState::Running]);
    }
    let part = cluster.path(&format!(".out.mp4.ffrtmp-{kept}-1.part"));
    until("it writes", || part.exists().then_some(()));
    let old = cluster.processes();
    cluster.workers.get_mut("w1").unwrap().0.kill();
    until("what it ran is dead", || {
        let alive = |pid: &u32| Path::new(&format!("/proc/{pid}/exe")).read_link().is_ok();
        (!old.iter().any(alive)).then_some(())
    });
    cluster.start_worker("w1", 2);
    until("what it wrote is gone", || (!part.exists()).then_some(()));
    for id in [kept, measured] {
        let job = until("it runs again", || {
            Some(cluster.job(id)).filter(|job| job.attempt.0 == 2 && job.state == JobState::Running)
        });
        assert_eq!(job.node.as_deref(), Some("w1"));
        cluster.client().cancel(JobRef::Seq(id)).unwrap();
        cluster.until_state(id, &[JobState::Canceled]);
    }
    cluster.finish();
}

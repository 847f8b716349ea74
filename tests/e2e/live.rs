//! Jobs whose source is happening now: it is waited for, goes, comes back and ends. A real nginx with its RTMP module.

use std::{
    fs,
    process::{Command, Stdio},
};

use ffrtmp_api::{
    ids::{JobRef, JobSeq},
    job::{FailureReason, JobSpec, JobState},
    rest::JobProgress,
};

use crate::{
    cluster::{Cluster, Process, tiny, until},
    web::{Nginx, probe, seconds},
};

/// A camera that sends to `url` until it is dropped.
pub fn camera(url: &str) -> Process {
    let mut command = Command::new("ffmpeg");
    command.args([
        "-v",
        "error",
        "-re",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=320x180:r=25",
    ]);
    command.args(["-re", "-f", "lavfi", "-i", "sine"]);
    command.args([
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-g",
        "25",
        "-pix_fmt",
        "yuv420p",
    ]);
    command.args(["-c:a", "aac", "-f", "flv", url]);
    let child = command.stdin(Stdio::null()).spawn().unwrap();
    Process { child }
}

pub fn address(nginx: &Nginx, path: &str) -> String {
    format!("rtmp://127.0.0.1:{}/{path}", nginx.rtmp)
}

/// Waits until the job's progress is so, and nothing of it has failed.
#[track_caller]
pub fn until_progress(
    cluster: &Cluster,
    id: JobSeq,
    what: &str,
    is: impl Fn(&JobProgress) -> bool,
) {
    until(what, || {
        let job = cluster.job(id);
        assert!(job.failure.is_none() && !job.state.is_terminal(), "{job:?}");
        job.progress.filter(|progress| is(progress)).map(drop)
    });
}

pub fn live(input: String, output: String) -> JobSpec {
    JobSpec {
        input: Some(input),
        output: Some(output),
        encoder_preset: Some("ultrafast".into()),
        retries: Some(0),
        ..JobSpec::default()
    }
}

#[test]
fn a_recording_waits_for_its_source_takes_it_up_again_and_is_kept_whole_when_it_is_stopped() {
    let cluster = Cluster::with_worker(2);
    let nginx = Nginx::start(&cluster);
    let source = address(&nginx, "cam/one");
    let (file, playlist) = (cluster.file("show.mp4"), cluster.file("hls/index.m3u8"));
    let film = cluster.submit(live(source.clone(), file.clone()));
    let ladder = cluster.submit(JobSpec {
        renditions: vec!["320x180@400k".into(), "160x90@100k".into()],
        segment_seconds: Some(1.0),
        ..live(source.clone(), playlist.clone())
    });
    for id in [film, ladder] {
        until("the source is waited for", || {
            let log = cluster.client().logs(JobRef::Seq(id)).unwrap().text;
            log.contains("the source is gone").then_some(())
        });
    }
    // Neither a job that is no live one, nor one that waits, is stopped.
    let other = cluster.submit(tiny(3_600.0));
    let error = cluster.client().stop(JobRef::Seq(other)).unwrap_err();
    assert!(error.to_string().contains("only a live job"), "{error}");
    cluster.client().cancel(JobRef::Seq(other)).unwrap();

    let first = camera(&source);
    for id in [film, ladder] {
        until_progress(&cluster, id, "frames come", |p| p.frames > 25);
    }
    drop(first);
    let _second = camera(&source);
    for id in [film, ladder] {
        until_progress(&cluster, id, "frames come again", |p| {
            p.restarts == 1 && p.media_seconds > 2.0
        });
        cluster.client().stop(JobRef::Seq(id)).unwrap();
        let result = cluster.until_completed(id).result.unwrap();
        assert_eq!(result.restarts, 1, "{result:?}");
        assert!(result.frames > 50, "{result:?}");
    }
    for made in [&file, &playlist] {
        let said = probe(made);
        assert!(said.contains("h264") && said.contains("aac"), "{said}");
        assert!(seconds(&said) > 2.0, "{said}");
        let decoded = Command::new("ffmpeg")
            .args(["-v", "error", "-xerror", "-i", made, "-f", "null", "-"])
            .output()
            .unwrap();
        assert!(decoded.status.success(), "{decoded:?}");
    }
    // Stopping what has completed is no error; the parts are gone.
    cluster.client().stop(JobRef::Seq(film)).unwrap();
    cluster.finish();
}

#[test]
fn a_source_that_ends_is_a_success_and_one_that_never_comes_is_not() {
    let cluster = Cluster::with_worker(2);
    let nginx = Nginx::start(&cluster);
    let short = |input_wait_seconds| JobSpec {
        input_wait_seconds: Some(input_wait_seconds),
        ..live(address(&nginx, "cam/short"), cluster.file("short.mp4"))
    };
    let never = cluster.submit(JobSpec {
        input: Some(address(&nginx, "cam/never")),
        output: Some(cluster.file("never.mp4")),
        ..short(0.5)
    });
    let failure = cluster
        .until_state(never, &[JobState::Failed])
        .failure
        .unwrap();
    assert!(
        failure.reason == FailureReason::NetworkError
            && failure.message.contains("input_wait_seconds"),
        "{failure:?}"
    );
    let on = camera(&address(&nginx, "cam/short"));
    until("the camera is on", || {
        nginx.folder.join("rec/short.flv").exists().then_some(())
    });
    let ended = cluster.submit(short(2.0));
    until_progress(&cluster, ended, "frames come", |p| p.frames > 25);
    drop(on);
    let result = cluster.until_completed(ended).result.unwrap();
    assert!(result.frames > 25 && result.restarts == 0, "{result:?}");
    cluster.finish();
}

#[test]
fn a_push_is_connected_again_when_its_receiver_was_gone_and_ends_when_it_is_stopped() {
    let cluster = Cluster::with_worker(1);
    let cameras = Nginx::start(&cluster);
    let mut receiver = Nginx::start_in(&cluster, "receiver");
    let _camera = camera(&address(&cameras, "cam/one"));
    let id = cluster.submit(JobSpec {
        codec: Some("copy".into()),
        encoder_preset: None,
        ..live(address(&cameras, "cam/one"), address(&receiver, "live/out"))
    });
    until_progress(&cluster, id, "frames go out", |p| p.frames > 25);
    receiver.process.kill();
    let recorded = receiver.folder.join("rec/out.flv");
    fs::remove_file(&recorded).unwrap();
    receiver.start_again();
    until_progress(&cluster, id, "it is connected again", |p| p.restarts >= 1);
    until("it is received again", || {
        (fs::metadata(&recorded).ok()?.len() > 20_000).then_some(())
    });
    cluster.client().stop(JobRef::Seq(id)).unwrap();
    let result = cluster.until_completed(id).result.unwrap();
    assert!(result.restarts >= 1 && result.frames > 25, "{result:?}");
    cluster.finish();
}

#[test]
fn a_stop_while_the_source_is_waited_for_ends_at_once_and_says_that_there_is_nothing() {
    let cluster = Cluster::with_worker(1);
    let nginx = Nginx::start(&cluster);
    let id = cluster.submit(JobSpec {
        retries: Some(3),
        ..live(address(&nginx, "cam/never"), cluster.file("never.mp4"))
    });
    let pauses = until("the source was looked for five times", || {
        let log = cluster.client().logs(JobRef::Seq(id)).unwrap().text;
        let pauses: Vec<f64> = log
            .lines()
            .filter_map(|line| {
                line.split_once("tried again in ")?
                    .1
                    .split_once(" s")?
                    .0
                    .parse()
                    .ok()
            })
            .collect();
        (pauses.len() >= 5).then_some(pauses)
    });
    // Each is a quarter to all of what doubles from 0.2 s; they are shown to a tenth.
    for (n, pause) in pauses.iter().enumerate() {
        let most = 0.2 * f64::from(1 << n.min(6));
        assert!(
            (most / 4.0 - 0.06..=most + 0.06).contains(pause),
            "{pauses:?}"
        );
    }
    cluster.client().stop(JobRef::Seq(id)).unwrap();
    let job = cluster.until_state(id, &[JobState::Failed]);
    let failure = job.failure.unwrap();
    assert_eq!(
        (failure.reason, job.attempt.0),
        (FailureReason::UserError, 1)
    );
    assert!(failure.message.contains("nothing to keep"), "{failure:?}");
    assert!(!std::path::Path::new(&cluster.file("never.mp4")).exists());
    cluster.finish();
}

#[test]
fn a_recording_goes_on_without_its_master_and_a_stop_outlives_the_master_that_took_it() {
    let mut cluster = Cluster::with_worker(1);
    let nginx = Nginx::start(&cluster);
    let _camera = camera(&address(&nginx, "cam/one"));
    let file = cluster.file("show.mkv");
    let id = cluster.submit(live(address(&nginx, "cam/one"), file.clone()));
    until_progress(&cluster, id, "frames come", |p| p.frames > 10);
    let before = cluster.job(id).progress.unwrap().frames;
    cluster.kill_master();
    cluster.start_master();
    until_progress(&cluster, id, "frames have come since", |p| {
        p.frames > before + 10
    });
    let job = cluster.job(id);
    assert_eq!((job.attempt.0, job.progress.unwrap().restarts), (1, 0));
    // What was acknowledged is carried out, whatever becomes of who acknowledged it.
    cluster.client().stop(JobRef::Seq(id)).unwrap();
    cluster.kill_master();
    cluster.start_master();
    let job = cluster.until_completed(id);
    assert_eq!(job.attempt.0, 1);
    assert!(seconds(&probe(&file)) > 0.5, "{job:?}");
    cluster.finish();
}

#[test]
fn a_recording_is_lost_with_its_worker_and_begins_anew_and_one_that_was_stopped_does_not() {
    let mut cluster = Cluster::with_worker(2);
    let nginx = Nginx::start(&cluster);
    let _camera = camera(&address(&nginx, "cam/one"));
    let again = cluster.submit(JobSpec {
        retries: Some(1),
        ..live(address(&nginx, "cam/one"), cluster.file("again.mp4"))
    });
    let stopped = cluster.submit(JobSpec {
        retries: Some(1),
        ..live(address(&nginx, "cam/one"), cluster.file("stopped.mp4"))
    });
    for id in [again, stopped] {
        until_progress(&cluster, id, "frames come", |p| p.frames > 10);
    }
    // Frozen, so that the stop is on its way when the worker dies.
    cluster.worker("w1").signal(rustix::process::Signal::STOP);
    cluster.client().stop(JobRef::Seq(stopped)).unwrap();
    cluster.workers.get_mut("w1").unwrap().0.kill();
    cluster.start_worker("w1", 2);
    let job = cluster.until_state(stopped, &[JobState::Failed]);
    assert_eq!(job.attempt.0, 1, "{job:?}");
    until("it is recorded again", || {
        let job = cluster.job(again);
        let progress = job.progress.filter(|_| job.attempt.0 == 2)?;
        (progress.frames > 10).then_some(())
    });
    cluster.client().stop(JobRef::Seq(again)).unwrap();
    assert_eq!(cluster.until_completed(again).attempt.0, 2);
    assert!(!std::path::Path::new(&cluster.file("stopped.mp4")).exists());
    cluster.finish();
}

#[test]
fn a_pause_costs_a_live_job_none_of_its_time_whether_its_source_is_there_or_not() {
    let cluster = Cluster::with_worker(2);
    let nginx = Nginx::start(&cluster);
    let on = camera(&address(&nginx, "cam/one"));
    // Both would be over long before the pauses are, if those counted.
    let there = cluster.submit(JobSpec {
        timeout_seconds: Some(600.0),
        ..live(address(&nginx, "cam/one"), cluster.file("there.mp4"))
    });
    let away = cluster.submit(JobSpec {
        input_wait_seconds: Some(6.0),
        ..live(address(&nginx, "cam/late"), cluster.file("late.mp4"))
    });
    until_progress(&cluster, there, "frames come", |p| p.frames > 10);
    until("the late one is waited for", || {
        let log = cluster.client().logs(JobRef::Seq(away)).unwrap().text;
        log.contains("the source is gone").then_some(())
    });
    let begun = std::time::Instant::now();
    for id in [there, away] {
        cluster.client().pause(JobRef::Seq(id)).unwrap();
        cluster.until_state(id, &[JobState::Paused]);
    }
    let frames = cluster.job(there).progress.unwrap().frames;
    // Nothing but time can show that time does not count: a job that waits 6 s is waited for longer than that.
    until(
        "more time has gone by than the source is waited for",
        || (begun.elapsed() > std::time::Duration::from_secs(8)).then_some(()),
    );
    for id in [there, away] {
        assert_eq!(cluster.job(id).state, JobState::Paused);
    }
    assert!(cluster.job(there).progress.unwrap().frames <= frames + 30);
    let _late = camera(&address(&nginx, "cam/late"));
    for id in [there, away] {
        cluster.client().resume(JobRef::Seq(id)).unwrap();
    }
    until_progress(&cluster, away, "the late one comes", |p| p.frames > 10);
    until_progress(&cluster, there, "frames come again", |p| {
        p.frames > frames + 50
    });
    drop(on);
    for id in [there, away] {
        cluster.client().stop(JobRef::Seq(id)).unwrap();
        cluster.until_completed(id);
    }
    cluster.finish();
}

#[test]
fn a_source_that_stays_connected_and_silent_counts_as_gone_and_is_taken_up_when_it_speaks() {
    let cluster = Cluster::with_worker(1);
    let nginx = Nginx::start(&cluster);
    let silent = camera(&address(&nginx, "cam/one"));
    let manifest = cluster.file("dash/show.mpd");
    let id = cluster.submit(JobSpec {
        renditions: vec!["320x180@400k".into(), "160x90@100k".into()],
        segment_seconds: Some(1.0),
        ..live(address(&nginx, "cam/one"), manifest.clone())
    });
    // More than the second that a part loses when its ffmpeg is killed.
    until_progress(&cluster, id, "frames come", |p| p.frames > 60);
    silent.signal(rustix::process::Signal::STOP);
    until("it counts as gone", || {
        let log = cluster.client().logs(JobRef::Seq(id)).unwrap().text;
        log.contains("the source is gone").then_some(())
    });
    silent.signal(rustix::process::Signal::CONT);
    until_progress(&cluster, id, "frames come again", |p| {
        p.restarts >= 1 && p.media_seconds > 4.0
    });
    // Nothing of a DASH recording is there before it is over.
    assert!(!std::path::Path::new(&manifest).exists());
    cluster.client().stop(JobRef::Seq(id)).unwrap();
    let result = cluster.until_completed(id).result.unwrap();
    assert!(
        result.format == "dash" && result.restarts >= 1,
        "{result:?}"
    );
    let said = probe(&manifest);
    assert!(said.matches("h264").count() >= 2, "{said}");
    assert!(said.contains("aac") && seconds(&said) > 2.0, "{said}");
    cluster.finish();
}

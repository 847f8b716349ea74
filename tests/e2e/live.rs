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

fn address(nginx: &Nginx, path: &str) -> String {
    format!("rtmp://127.0.0.1:{}/{path}", nginx.rtmp)
}

/// Waits until the job's progress is so, and nothing of it has failed.
#[track_caller]
fn until_progress(cluster: &Cluster, id: JobSeq, what: &str, is: impl Fn(&JobProgress) -> bool) {
    until(what, || {
        let job = cluster.job(id);
        assert!(job.failure.is_none() && !job.state.is_terminal(), "{job:?}");
        job.progress.filter(|progress| is(progress)).map(drop)
    });
}

fn live(input: String, output: String) -> JobSpec {
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

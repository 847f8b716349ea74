//! Streams and files by SRT, RTMP over TLS and HTTPS, with real peers: another ffmpeg, and nginx with certificates of its own authority.

use std::{
    fs,
    process::{Command, Stdio},
};

use ffrtmp_api::{
    ids::{JobRef, JobSeq},
    job::{FailureReason, JobSpec, JobState},
    rest::Failure,
};

use crate::{
    cluster::{Cluster, Process, footage, free_port, until},
    live::{camera, live, until_progress},
    web::{Nginx, probe, seconds},
};

const PASSPHRASE: &str = "hush-hush-4711";

/// ffmpeg that sends pictures and sound to whoever calls `port`, until it is dropped.
pub fn sender(port: u16, passphrase: Option<&str>) -> Process {
    let mut command = Command::new("ffmpeg");
    command.args([
        "-nostdin",
        "-v",
        "error",
        "-re",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=320x180:r=25",
    ]);
    command.args([
        "-re",
        "-f",
        "lavfi",
        "-i",
        "sine",
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
    ]);
    command.args([
        "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac", "-f", "mpegts",
    ]);
    command.arg(here(port, passphrase));
    listening(command, port)
}

/// ffmpeg that writes down what whoever calls `port` sends.
pub fn receiver(port: u16, file: &str, passphrase: Option<&str>) -> Process {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-y", "-i"]);
    command.arg(here(port, passphrase));
    command.args(["-c", "copy", "-flush_packets", "1", "-f", "mpegts", file]);
    listening(command, port)
}

/// Where a peer listens.
fn here(port: u16, passphrase: Option<&str>) -> String {
    let secret = passphrase.map(|secret| format!("&passphrase={secret}"));
    format!(
        "srt://127.0.0.1:{port}?mode=listener{}",
        secret.unwrap_or_default()
    )
}

fn listening(mut command: Command, port: u16) -> Process {
    let child = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let process = Process { child };
    until("the peer listens", || {
        let bound = fs::read_to_string("/proc/net/udp").unwrap();
        bound
            .contains(&format!("0100007F:{port:04X} "))
            .then_some(())
    });
    process
}

fn srt(port: u16) -> String {
    format!("srt://127.0.0.1:{port}?passphrase={PASSPHRASE}")
}

#[track_caller]
fn failed(cluster: &Cluster, id: JobSeq) -> Failure {
    cluster
        .until_state(id, &[JobState::Failed])
        .failure
        .unwrap()
}

#[test]
fn an_srt_source_is_taken_up_again_and_its_passphrase_is_told_to_nobody() {
    let cluster = Cluster::with_worker(1);
    let port = free_port();
    let first = sender(port, Some(PASSPHRASE));
    let file = cluster.file("show.mp4");
    let id = cluster.submit(live(srt(port), file.clone()));
    until_progress(&cluster, id, "frames come", |p| p.frames > 25);
    drop(first);
    let _second = sender(port, Some(PASSPHRASE));
    until_progress(&cluster, id, "frames come again", |p| {
        p.restarts == 1 && p.media_seconds > 2.0
    });
    cluster.client().stop(JobRef::Seq(id)).unwrap();
    let result = cluster.until_completed(id).result.unwrap();
    assert_eq!(result.restarts, 1, "{result:?}");
    let said = probe(&file);
    assert!(said.contains("h264") && said.contains("aac"), "{said}");
    let log = cluster.client().logs(JobRef::Seq(id)).unwrap().text;
    for text in [log, cluster.log("w1"), cluster.log("master")] {
        assert!(!text.contains(PASSPHRASE), "the passphrase is told: {text}");
    }
    cluster.finish();
}

#[test]
fn a_wrong_passphrase_is_the_user_s_mistake_and_a_port_where_nobody_listens_is_not() {
    let cluster = Cluster::with_worker(2);
    let port = free_port();
    let _sender = sender(port, Some(PASSPHRASE));
    let with = |input: String| JobSpec {
        input_wait_seconds: Some(1.0),
        retries: Some(2),
        ..live(input, cluster.file("none.mp4"))
    };
    let wrong = cluster.submit(with(format!(
        "srt://127.0.0.1:{port}?passphrase=wrong-wrong-1"
    )));
    let missing = cluster.submit(with(format!("srt://127.0.0.1:{port}")));
    for id in [wrong, missing] {
        let failure = failed(&cluster, id);
        assert_eq!(failure.reason, FailureReason::UserError, "{failure:?}");
        assert_eq!(cluster.job(id).attempt.0, 1, "it was tried again");
    }
    let nobody = cluster.submit(JobSpec {
        retries: Some(0),
        ..with(srt(free_port()))
    });
    assert_eq!(failed(&cluster, nobody).reason, FailureReason::NetworkError);
    cluster.finish();
}

#[test]
fn a_stream_goes_out_by_srt_and_is_sent_on_when_its_receiver_was_gone() {
    let cluster = Cluster::with_worker(1);
    let nginx = Nginx::start(&cluster);
    let port = free_port();
    let file = cluster.file("received.ts");
    let out = receiver(port, &file, Some(PASSPHRASE));
    // A film, at the pace it plays at.
    let id = cluster.submit(JobSpec {
        input: Some(footage()),
        output: Some(srt(port)),
        duration_seconds: Some(3.0),
        encoder_preset: Some("ultrafast".into()),
        size: Some("320x-2".into()),
        ..JobSpec::default()
    });
    let result = cluster.until_completed(id).result.unwrap();
    assert!(result.wall_seconds > 2.0, "{result:?}");
    until("the receiver has written it down", || {
        let said = fs::metadata(&file)
            .ok()
            .filter(|m| m.len() > 10_000)
            .map(|_| probe(&file))?;
        (said.contains("h264") && said.contains("aac") && seconds(&said) > 1.5).then_some(())
    });
    drop(out);
    // A live one, over a receiver that goes and comes back.
    let _camera = camera(&format!("rtmp://127.0.0.1:{}/cam/one", nginx.rtmp));
    let first = receiver(port, &file, Some(PASSPHRASE));
    let id = cluster.submit(JobSpec {
        codec: Some("copy".into()),
        encoder_preset: None,
        ..live(
            format!("rtmp://127.0.0.1:{}/cam/one", nginx.rtmp),
            srt(port),
        )
    });
    until_progress(&cluster, id, "frames go out", |p| p.frames > 25);
    drop(first);
    fs::remove_file(&file).unwrap();
    let _second = receiver(port, &file, Some(PASSPHRASE));
    until_progress(&cluster, id, "it is connected again", |p| p.restarts >= 1);
    until("it is received again", || {
        (fs::metadata(&file).ok()?.len() > 10_000).then_some(())
    });
    cluster.client().stop(JobRef::Seq(id)).unwrap();
    cluster.until_completed(id);
    cluster.finish();
}

#[test]
fn who_cannot_show_a_good_certificate_is_not_read_from_or_sent_to() {
    let mut cluster = Cluster::with_master();
    let nginx = Nginx::start_with_tls(&cluster);
    let web = |name: &str| format!("https://u:hush4711hush@localhost:{}/{name}", nginx.https);
    let stream = |name: &str| format!("rtmps://localhost:{}/{name}", nginx.rtmps);
    let quick = |input: Option<String>, output: Option<String>| JobSpec {
        input,
        output,
        size: Some("320x180".into()),
        duration_seconds: Some(1.0),
        encoder_preset: Some("ultrafast".into()),
        retries: Some(0),
        ..JobSpec::default()
    };
    let _camera = camera(&format!("rtmp://127.0.0.1:{}/cam/one", nginx.rtmp));
    let (film, seen) = (cluster.file("film.mp4"), cluster.file("seen.mp4"));
    let recording = || JobSpec {
        input_wait_seconds: Some(1.0),
        ..quick(Some(stream("cam/one")), Some(seen.clone()))
    };
    let all = || {
        [
            quick(Some(web("in/film.mp4")), Some(film.clone())),
            quick(None, Some(web("put/out.mp4"))),
            quick(None, Some(stream("live/out"))),
            recording(),
        ]
    };
    // An authority of one's own is none that a machine knows.
    cluster.start_worker("w1", 2);
    for spec in all() {
        let failure = failed(&cluster, cluster.submit(spec));
        assert_eq!(failure.reason, FailureReason::NetworkError, "{failure:?}");
        assert!(failure.message.contains("ertificate"), "{failure:?}");
        assert!(failure.message.contains("--media-ca"), "{failure:?}");
    }
    assert!(!nginx.folder.join("www/put/out.mp4").exists());
    assert!(!nginx.folder.join("rec/out.flv").exists(), "it was sent to");
    cluster.workers.get_mut("w1").unwrap().0.kill();

    let ca = nginx.folder.join("ca.pem");
    cluster.start_worker_with("w2", 2, &["--media-ca", ca.to_str().unwrap()]);
    let done: Vec<_> = all().map(|spec| cluster.submit(spec)).into();
    for id in done {
        cluster.until_completed(id);
    }
    let put = nginx.folder.join("www/put/out.mp4");
    for made in [put.to_str().unwrap(), &film, &seen] {
        assert!(probe(made).contains("h264"), "{made}");
    }
    assert!(nginx.folder.join("rec/out.flv").exists());
    // Good, and another's: the name that was asked for is none of the certificate's.
    let other = cluster.submit(quick(
        Some(web("in/film.mp4").replace("localhost", "127.0.0.2")),
        Some(cluster.file("other.mp4")),
    ));
    let failure = failed(&cluster, other);
    assert_eq!(failure.reason, FailureReason::NetworkError, "{failure:?}");
    assert!(failure.message.contains("ertificate"), "{failure:?}");
    cluster.finish();
}

//! HLS of a live source that is watched while it is made: seen from its first segment, served by a real nginx, played by a real player.

use std::{fs, path::Path, process::Command};

use ffrtmp_api::{
    ids::JobRef,
    job::{JobSpec, JobState},
    rest::NodeStatus,
};
use rustix::process::Signal;

use crate::{
    cluster::{Cluster, until},
    live::{address, camera, live, until_progress},
    web::{Nginx, probe, seconds},
};

fn watchable(input: String, output: String) -> JobSpec {
    JobSpec {
        watchable: true,
        segment_seconds: Some(1.0),
        ..live(input, output)
    }
}

/// Plays two seconds of what is there.
fn play(url: &str) -> bool {
    let played = Command::new("ffmpeg")
        .args([
            "-nostdin",
            "-v",
            "error",
            "-xerror",
            "-live_start_index",
            "0",
        ])
        .args(["-i", url, "-t", "2", "-f", "null", "-"])
        .env_remove("http_proxy")
        .output()
        .unwrap();
    if !played.status.success() {
        eprintln!("{played:?}");
    }
    played.status.success()
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn a_show_is_watched_while_it_runs_through_a_break_of_its_source_and_is_whole_at_the_end() {
    let cluster = Cluster::with_worker(1);
    let nginx = Nginx::start(&cluster);
    let source = address(&nginx, "cam/one");
    // Below the folder that nginx serves.
    let show = nginx.folder.join("www/show");
    let index = show.join("index.m3u8");
    let list = show.join("v0.m3u8");
    let id = cluster.submit(JobSpec {
        renditions: vec!["320x180@400k".into(), "-2x90@100k".into()],
        ..watchable(source.clone(), index.to_str().unwrap().to_owned())
    });
    let first = camera(&source);
    until("there is something to see", || index.exists().then_some(()));
    until("there are three segments", || {
        (text(&list).matches("#EXTINF").count() >= 3).then_some(())
    });
    assert!(!text(&list).contains("#EXT-X-ENDLIST"));
    let url = format!("http://127.0.0.1:{}/show/index.m3u8", nginx.http);
    assert!(play(&url), "it is not played while it runs");
    assert_eq!(cluster.job(id).state, JobState::Running);

    drop(first);
    let seen = text(&list).matches("#EXTINF").count();
    let _second = camera(&source);
    until_progress(&cluster, id, "it is taken up again", |p| p.restarts == 1);
    until("the list goes on", || {
        (text(&list).matches("#EXTINF").count() >= seen + 3).then_some(())
    });
    assert!(play(&url), "it is not played after the break");

    cluster.client().stop(JobRef::Seq(id)).unwrap();
    let result = cluster.until_completed(id).result.unwrap();
    assert_eq!(result.restarts, 1);
    assert!(show.symlink_metadata().unwrap().is_dir(), "a link is left");
    let whole = text(&list);
    assert!(whole.ends_with("#EXT-X-ENDLIST\n"), "{whole}");
    assert!(
        whole.matches("#EXT-X-DISCONTINUITY").count() >= 1,
        "{whole}"
    );
    for name in whole.lines().filter(|line| !line.starts_with('#')) {
        assert!(show.join(name).is_file(), "{name}");
    }
    let said = probe(index.to_str().unwrap());
    // Once for each program, and once more for all.
    assert!(said.matches("h264").count() >= 2, "{said}");
    assert!(said.contains("aac") && seconds(&said) > 5.0, "{said}");
    assert!(play(&url));
    cluster.finish();
}

#[test]
fn what_was_seen_of_a_canceled_or_failed_show_is_gone() {
    let cluster = Cluster::with_worker(2);
    let nginx = Nginx::start(&cluster);
    let source = address(&nginx, "cam/one");
    let _camera = camera(&source);
    let canceled = cluster.submit(watchable(source.clone(), cluster.file("a/index.m3u8")));
    let failed = cluster.submit(JobSpec {
        timeout_seconds: Some(6.0),
        // HEVC: fragments with what stands before them.
        codec: Some("h265".into()),
        ..watchable(source, cluster.file("b/index.m3u8"))
    });
    for name in ["a/index.m3u8", "b/index.m3u8"] {
        until("it is seen", || cluster.path(name).exists().then_some(()));
    }
    cluster.client().cancel(JobRef::Seq(canceled)).unwrap();
    cluster.until_state(canceled, &[JobState::Canceled]);
    cluster.until_state(failed, &[JobState::Failed]);
    for name in ["a", "b"] {
        assert!(cluster.path(name).symlink_metadata().is_err(), "{name}");
    }
    cluster.finish();
}

#[test]
fn a_source_without_sound_is_seen_in_every_rendition() {
    let cluster = Cluster::with_worker(1);
    let nginx = Nginx::start(&cluster);
    let child = Command::new("ffmpeg")
        .args([
            "-nostdin",
            "-v",
            "error",
            "-re",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=s=320x180:r=25",
        ])
        .args([
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-g",
            "25",
            "-f",
            "flv",
        ])
        .arg(address(&nginx, "cam/mute"))
        .spawn()
        .unwrap();
    let _camera = crate::cluster::Process { child };
    let index = cluster.file("mute/index.m3u8");
    let id = cluster.submit(JobSpec {
        renditions: vec!["320x180@400k".into(), "160x90@100k".into()],
        ..watchable(address(&nginx, "cam/mute"), index.clone())
    });
    until("it is seen", || Path::new(&index).exists().then_some(()));
    until_progress(&cluster, id, "frames come", |p| p.frames > 50);
    cluster.client().stop(JobRef::Seq(id)).unwrap();
    cluster.until_completed(id);
    let said = probe(&index);
    assert!(said.matches("h264").count() >= 2, "{said}");
    assert!(!said.contains("aac"), "{said}");
    cluster.finish();
}

#[test]
fn a_worker_that_was_away_changes_nothing_of_what_the_next_one_shows() {
    let mut cluster = Cluster::new();
    cluster.master_flags = ["--lease", "2s", "--heartbeat", "500ms"]
        .map(String::from)
        .to_vec();
    cluster.start_master();
    cluster.start_worker("w1", 1);
    let nginx = Nginx::start(&cluster);
    let source = address(&nginx, "cam/one");
    let _camera = camera(&source);
    let index = cluster.path("show/index.m3u8");
    let id = cluster.submit(JobSpec {
        retries: Some(3),
        ..watchable(source, index.to_str().unwrap().to_owned())
    });
    let shown_by = |no: u32| {
        let leads = fs::read_link(cluster.path("show")).ok()?;
        (leads.to_str()? == format!(".show.ffrtmp-{id}-{no}.part")).then_some(())
    };
    until("the first attempt is seen", || shown_by(1));
    // Frozen, its ffmpeg goes on; another worker takes over.
    cluster.worker("w1").signal(Signal::STOP);
    let mut second = cluster.workers.remove("w1").unwrap();
    cluster.start_worker("w2", 1);
    let shown_by = |no: u32| {
        let leads = fs::read_link(cluster.path("show")).ok()?;
        (leads.to_str()? == format!(".show.ffrtmp-{id}-{no}.part")).then_some(())
    };
    until("the second attempt is seen", || shown_by(2));
    second.0.signal(Signal::CONT);
    let part = cluster.path(&format!(".show.ffrtmp-{id}-1.part"));
    until("the first attempt's folder is removed", || {
        (!part.exists()).then_some(())
    });
    until("the woken worker is available again", || {
        let nodes = cluster.client().nodes().ok()?.nodes;
        nodes
            .iter()
            .any(|n| n.name == "w1" && n.status == NodeStatus::Available)
            .then_some(())
    });
    shown_by(2).expect("the second attempt is seen no more");
    until("it goes on", || {
        (cluster.job(id).progress?.frames > 25).then_some(())
    });
    cluster.client().stop(JobRef::Seq(id)).unwrap();
    let job = cluster.until_completed(id);
    assert_eq!((job.attempt.0, job.node.as_deref()), (2, Some("w2")));
    assert!(cluster.path("show").symlink_metadata().unwrap().is_dir());
    second.0.kill();
    cluster.finish();
}

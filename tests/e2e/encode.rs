//! The main job: real footage in, a verified file out.

use std::process::Command;

use ffrtmp_api::job::{FailureReason, JobSpec, JobState};

use crate::cluster::{Cluster, endless, footage, until};

fn ffprobe(path: &str, entries: &str) -> String {
    let output = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-count_frames",
            "-show_entries",
            entries,
            "-of",
            "default=nw=1",
            path,
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn footage_is_transcoded_and_ffprobe_finds_what_was_asked_for() {
    let cluster = Cluster::with_worker(2);
    let output = cluster.file("out.mp4");
    let id = cluster.submit(JobSpec {
        input: Some(footage()),
        output: Some(output.clone()),
        size: Some("854x480".into()),
        encoder_preset: Some("ultrafast".into()),
        ..JobSpec::default()
    });
    let job = cluster.until_completed(id);
    let result = job.result.unwrap();
    assert_eq!(
        (
            result.video_codec.as_str(),
            result.width,
            result.height,
            result.frames
        ),
        ("h264", 854, 480, 132)
    );
    assert_eq!(result.audio_codec.as_deref(), Some("aac"));
    let probed = ffprobe(
        &output,
        "stream=codec_name,width,height,nb_read_frames:format=duration",
    );
    for expected in [
        "codec_name=h264",
        "codec_name=aac",
        "width=854",
        "height=480",
        "nb_read_frames=132",
        "duration=5.3",
    ] {
        assert!(probed.contains(expected), "{expected} in {probed}");
    }
    let placement = job.placement.unwrap();
    assert_eq!(placement.policy, "balanced");
    assert_ne!(
        placement.digest, "native",
        "the wasm policy placed it, not the fallback"
    );
    cluster.finish();
}

#[test]
fn a_missing_input_fails_once_and_says_so() {
    let cluster = Cluster::with_worker(1);
    let id = cluster.submit(JobSpec {
        input: Some(cluster.file("nothing-here.mp4")),
        output: Some(cluster.file("out.mp4")),
        ..JobSpec::default()
    });
    let job = cluster.until_state(id, &[JobState::Failed]);
    let failure = job.failure.unwrap();
    assert_eq!(
        (failure.reason, job.attempt.0),
        (FailureReason::InputError, 1),
        "{failure:?}"
    );
    assert!(failure.message.contains("nothing-here.mp4"), "{failure:?}");
    assert!(!std::path::Path::new(&cluster.file("out.mp4")).exists());
    cluster.finish();
}

#[test]
fn cancel_ends_the_encode_and_leaves_nothing() {
    let cluster = Cluster::with_worker(1);
    let output = cluster.file("out.mkv");
    let id = cluster.submit(JobSpec {
        output: Some(output.clone()),
        ..endless()
    });
    cluster.until_state(id, &[JobState::Running]);
    let part = cluster.path(&format!(".out.mkv.ffrtmp-{id}-1.part"));
    until("the encode writes its temporary file", || {
        part.exists().then_some(())
    });
    cluster
        .client()
        .cancel(ffrtmp_api::ids::JobRef::Seq(id))
        .unwrap();
    let job = cluster.until_state(id, &[JobState::Canceled]);
    assert_eq!(job.attempt.0, 1);
    assert!(!part.exists() && !std::path::Path::new(&output).exists());
    // The next job gets its slot.
    let next = cluster.submit(crate::cluster::tiny(0.2));
    cluster.until_completed(next);
    cluster.finish();
}

#[test]
fn a_paused_job_makes_no_progress_and_completes_when_resumed() {
    let cluster = Cluster::with_worker(1);
    let id = cluster.submit(JobSpec {
        input: Some(footage()),
        encoder_preset: Some("slow".into()),
        ..JobSpec::default()
    });
    let job = ffrtmp_api::ids::JobRef::Seq(id);
    cluster.until_state(id, &[JobState::Running]);
    cluster.client().pause(job).unwrap();
    cluster.until_state(id, &[JobState::Paused]);
    cluster.client().resume(job).unwrap();
    cluster.until_state(id, &[JobState::Running, JobState::Completed]);
    cluster.until_completed(id);
    cluster.finish();
}

//! Inputs, outputs and the fence between an encode and its final name.

use std::fs;

use ffrtmp_api::{
    job::FailureReason,
    protocol::{Outcome, ToWorker},
};

use crate::{
    master::{Master, attempt, tiny},
    node::{Node, clip, eventually},
};

fn failed(outcome: Outcome) -> (FailureReason, String) {
    match outcome {
        Outcome::Failed { reason, message } => (reason, message),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clip_is_transcoded_and_gets_its_name_only_when_the_master_says_so() {
    let mut master = Master::start().await;
    let node = Node::of(&master);
    let _running = node.start();
    let (mut session, hello) = master.session().await;
    assert_eq!(
        (
            hello.name.as_str(),
            hello.capabilities.slots,
            hello.attempts.len()
        ),
        ("n1", 4, 0)
    );
    assert!(hello.capabilities.ffmpeg.starts_with("ffmpeg version"));
    let output = node.media_text("out.mp4");
    session.assign(attempt(1), |s| {
        s.input = Some(clip().to_str().unwrap().into());
        s.output = output.clone();
        s.size = Some("854x480".into());
        s.encoder_preset = Some("veryfast".into());
    });
    session.started(attempt(1)).await;
    let (temp, bytes, result) = session.encoded(attempt(1)).await;

    assert_eq!(node.listing(), [".out.mp4.ffrtmp-1-1.part"]);
    assert_eq!(fs::metadata(&temp).unwrap().len(), bytes);
    assert_eq!(
        (result.video_codec.as_str(), result.audio_codec.as_deref()),
        ("h264", Some("aac"))
    );
    assert_eq!(
        (result.width, result.height, result.frames),
        (854, 480, 132)
    );
    assert_eq!((result.input_bytes, result.bytes), (1_055_736, bytes));
    assert!(
        (5.2..5.4).contains(&result.duration_seconds),
        "{}",
        result.duration_seconds
    );
    assert!(result.cpu_seconds > 0.0 && result.wall_seconds > 0.0 && result.memory_peak_kib > 1024);

    let publish = ToWorker::Publish {
        attempt: attempt(1),
        temp,
        output: output.unwrap(),
        bytes,
        overwrite: false,
    };
    session.send(publish.clone());
    let (outcome, log) = session.outcome(attempt(1)).await;
    assert_eq!(outcome, Outcome::Published);
    assert!(log.contains("Video: h264"), "{log}");
    assert_eq!(node.listing(), ["out.mp4"]);

    // The answer was lost, say: the same order has the same answer.
    session.send(publish);
    assert_eq!(session.outcome(attempt(1)).await.0, Outcome::Published);

    session.send(ToWorker::OutcomeRecorded {
        attempt: attempt(1),
    });
    session.send(ToWorker::Resync);
    assert_eq!(session.hello().await.attempts, []);
    assert!(node.scratch_and_records().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn files_named_like_options_or_protocols_are_only_files() {
    let mut master = Master::start().await;
    let node = Node::of(&master);
    let _running = node.start();
    let (mut session, _) = master.session().await;
    for (job, name) in ["-y.mp4", "concat:x.mp4", "a b'\"%d;$(x).mp4"]
        .into_iter()
        .enumerate()
    {
        let job = attempt(job as u64 + 1);
        fs::copy(clip(), node.media(name)).unwrap();
        let output = node.media_text(&format!("{name}.out.mkv"));
        session.assign(job, |s| {
            s.input = node.media_text(name);
            s.output = output.clone();
            s.encoder_preset = Some("ultrafast".into());
            s.duration_seconds = Some(1.0);
        });
        let (temp, bytes, result) = session.encoded(job).await;
        assert_eq!(result.frames, 25, "{name}");
        session.send(ToWorker::Publish {
            attempt: job,
            temp,
            output: output.clone().unwrap(),
            bytes,
            overwrite: false,
        });
        assert_eq!(session.outcome(job).await.0, Outcome::Published, "{name}");
        assert!(fs::exists(output.unwrap()).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_is_no_media_fails_at_once_and_is_named() {
    let mut master = Master::start().await;
    let node = Node::of(&master);
    let _running = node.start();
    let (mut session, _) = master.session().await;
    fs::copy(clip(), node.media("real.mp4")).unwrap();
    fs::write(node.media("text.mp4"), "not a film\n".repeat(100)).unwrap();
    // Playlists would open what they name.
    fs::write(
        node.media("list.m3u8"),
        "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nreal.mp4\n#EXT-X-ENDLIST\n",
    )
    .unwrap();
    fs::write(
        node.media("list.ffconcat"),
        "ffconcat version 1.0\nfile real.mp4\n",
    )
    .unwrap();
    fs::write(node.media("empty.mp4"), "").unwrap();
    fs::create_dir(node.media("folder.mp4")).unwrap();
    let cases = [
        "missing.mp4",
        "text.mp4",
        "list.m3u8",
        "list.ffconcat",
        "empty.mp4",
        "folder.mp4",
    ];
    for (job, name) in cases.into_iter().enumerate() {
        let job = attempt(job as u64 + 1);
        session.assign(job, |s| {
            s.input = node.media_text(name);
            s.output = node.media_text("out.mp4");
        });
        let (reason, message) = failed(session.outcome(job).await.0);
        assert_eq!(reason, FailureReason::InputError, "{name}: {message}");
        assert!(
            message.contains(node.media(name).to_str().unwrap()),
            "{message}"
        );
    }
    assert!(
        !node.listing().iter().any(|name| name.contains("out.mp4")),
        "{:?}",
        node.listing()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_cannot_be_written_is_the_user_s_error() {
    let mut master = Master::start().await;
    let node = Node::of(&master);
    let _running = node.start();
    let (mut session, _) = master.session().await;
    fs::write(node.media("there.mp4"), "precious").unwrap();
    for (job, name, says) in [
        (1, "there.mp4", "exists already"),
        (2, "nowhere/x.mp4", "does not exist"),
    ] {
        session.assign(attempt(job), |s| s.output = node.media_text(name));
        let (reason, message) = failed(session.outcome(attempt(job)).await.0);
        assert_eq!(reason, FailureReason::UserError);
        assert!(message.contains(says), "{message}");
    }
    assert_eq!(
        fs::read_to_string(node.media("there.mp4")).unwrap(),
        "precious"
    );

    // It may be overwritten where the job says so, and still only by the order to publish.
    session.assign(attempt(3), |s| {
        tiny(s);
        s.output = node.media_text("there.mp4");
        s.overwrite = true;
    });
    let (temp, bytes, _) = session.encoded(attempt(3)).await;
    assert_eq!(
        fs::read_to_string(node.media("there.mp4")).unwrap(),
        "precious"
    );
    let output = node.media_text("there.mp4").unwrap();
    session.send(ToWorker::Publish {
        attempt: attempt(3),
        temp,
        output,
        bytes,
        overwrite: true,
    });
    assert_eq!(session.outcome(attempt(3)).await.0, Outcome::Published);
    assert_eq!(fs::metadata(node.media("there.mp4")).unwrap().len(), bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_outside_the_roots_is_read_or_written_and_no_link_leads_there() {
    let mut master = Master::start().await;
    let mut node = Node::of(&master);
    fs::create_dir(node.media("root")).unwrap();
    node.config.allow_roots = vec![node.media("root")];
    fs::copy(clip(), node.media("root/film.mp4")).unwrap();
    fs::copy(clip(), node.media("other.mp4")).unwrap();
    std::os::unix::fs::symlink(node.media(""), node.media("root/door")).unwrap();
    let _running = node.start();
    let (mut session, _) = master.session().await;
    let cases = [
        ("root/film.mp4", "out.mp4"),
        ("root/film.mp4", "root/door/out.mp4"),
        ("root/film.mp4", "out/index.m3u8"),
        ("other.mp4", "root/out.mp4"),
        ("root/door/other.mp4", "root/out.mp4"),
        ("missing.mp4", "root/out.mp4"),
    ];
    for (job, (input, output)) in cases.into_iter().enumerate() {
        let job = attempt(job as u64 + 1);
        session.assign(job, |s| {
            s.input = node.media_text(input);
            s.output = node.media_text(output);
        });
        let (reason, message) = failed(session.outcome(job).await.0);
        assert_eq!(reason, FailureReason::UserError, "{message}");
        assert!(message.contains("--allow-root"), "{message}");
    }
    assert_eq!(node.listing(), ["other.mp4", "root"]);
    session.assign(attempt(10), |s| {
        s.input = node.media_text("root/film.mp4");
        s.output = node.media_text("root/out.mp4");
        s.duration_seconds = Some(0.5);
    });
    session.encoded(attempt(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_an_output_is_measured_and_leaves_nothing() {
    let mut master = Master::start().await;
    let node = Node::of(&master);
    let _running = node.start();
    let (mut session, _) = master.session().await;
    for (job, codec) in ["h264", "h265", "vp9", "av1"].into_iter().enumerate() {
        let job = attempt(job as u64 + 1);
        session.assign(job, |s| {
            tiny(s);
            s.codec = Some(codec.into());
        });
        let (outcome, log) = session.outcome(job).await;
        let Outcome::Completed { result } = outcome else {
            panic!("{codec}: {outcome:?}\n{log}")
        };
        assert_eq!(
            (
                result.frames,
                result.width,
                result.height,
                result.input_bytes
            ),
            (15, 320, 180, 0),
            "{codec}"
        );
        assert!(result.bytes > 0 && result.audio_codec.as_deref() == Some("aac"));
        session.send(ToWorker::OutcomeRecorded { attempt: job });
    }
    session.send(ToWorker::Resync);
    assert_eq!(session.hello().await.attempts, []);
    assert!(
        node.scratch_and_records().is_empty(),
        "{:?}",
        node.scratch_and_records()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_worker_s_encode_can_be_published_by_its_path() {
    let mut master = Master::start().await;
    let node = Node::of(&master);
    let _running = node.start();
    let (mut session, _) = master.session().await;
    let temp = node.media_text(".a.mp4.ffrtmp-9-1.part").unwrap();
    fs::write(&temp, "12345").unwrap();
    let output = node.media_text("a.mp4").unwrap();
    session.send(ToWorker::Publish {
        attempt: attempt(9),
        temp,
        output,
        bytes: 5,
        overwrite: false,
    });
    assert_eq!(session.outcome(attempt(9)).await.0, Outcome::Published);
    assert_eq!(node.listing(), ["a.mp4"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encode_that_cannot_be_published_is_removed_once_the_master_knows() {
    let mut master = Master::start().await;
    let node = Node::of(&master);
    let _running = node.start();
    let (mut session, _) = master.session().await;
    session.assign(attempt(1), |s| {
        tiny(s);
        s.output = node.media_text("out.mp4");
    });
    let (temp, bytes, _) = session.encoded(attempt(1)).await;
    fs::write(node.media("out.mp4"), "came first").unwrap();
    let output = node.media_text("out.mp4").unwrap();
    session.send(ToWorker::Publish {
        attempt: attempt(1),
        temp,
        output,
        bytes,
        overwrite: false,
    });
    let (outcome, _) = session.outcome(attempt(1)).await;
    let Outcome::PublishFailed { reason, message } = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(reason, FailureReason::UserError);
    assert!(message.contains("exists already"), "{message}");
    assert_eq!(node.listing(), [".out.mp4.ffrtmp-1-1.part", "out.mp4"]);
    session.send(ToWorker::OutcomeRecorded {
        attempt: attempt(1),
    });
    eventually("the encode stays", || node.listing() == ["out.mp4"]).await;
    assert_eq!(
        fs::read_to_string(node.media("out.mp4")).unwrap(),
        "came first"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_arguments_are_refused_by_a_worker_that_takes_none_whatever_the_master_says() {
    let mut master = Master::start().await;
    let node = Node::of(&master);
    let _running = node.start();
    let (mut session, hello) = master.session().await;
    assert!(hello.labels.is_empty(), "{:?}", hello.labels);
    session.assign(attempt(1), |s| {
        s.input = Some(clip().to_str().unwrap().into());
        s.output_args = vec!["-map_chapters".into(), "-1".into()];
    });
    let (reason, message) = failed(session.outcome(attempt(1)).await.0);
    assert_eq!(reason, FailureReason::CapabilityMismatch, "{message}");
    assert!(message.contains("--allow-raw-args"), "{message}");
}

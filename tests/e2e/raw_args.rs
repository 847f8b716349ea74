//! Raw ffmpeg arguments: off unless the operator says so, on both sides; what they do to real footage; what wins.

use std::fs;

use ffrtmp_api::{
    ids::JobRef,
    job::{JobSpec, JobState},
    rest::WaitReason,
};

use crate::{
    cluster::{Cluster, footage, until},
    media::{probe, run},
};

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// A cluster whose master and worker take raw arguments.
fn open() -> Cluster {
    let mut cluster = Cluster::new();
    cluster.master_flags.push("--allow-raw-args".into());
    cluster.start_master();
    cluster.start_worker_with("raw", 2, &["--allow-raw-args"]);
    cluster
}

fn quick(cluster: &Cluster, name: &str, output_args: &str) -> JobSpec {
    JobSpec {
        input: Some(footage()),
        output: Some(cluster.file(name)),
        duration_seconds: Some(1.0),
        size: Some("320x-2".into()),
        encoder_preset: Some("ultrafast".into()),
        output_args: words(output_args),
        ..JobSpec::default()
    }
}

/// Seconds at which key frames stand.
fn key_frames(path: &str) -> usize {
    let shown = run(
        "ffprobe",
        &[
            "-v",
            "error",
            "-select_streams",
            "v",
            "-skip_frame",
            "nokey",
            "-show_entries",
            "frame=pict_type",
            "-of",
            "csv=p=0",
            path,
        ],
    );
    shown.lines().filter(|line| line.starts_with('I')).count()
}

#[test]
fn they_are_refused_until_both_the_master_and_a_worker_take_them() {
    let mut cluster = Cluster::with_worker(1);
    let error = cluster
        .client()
        .submit(&quick(&cluster, "a.mp4", "-map_chapters -1"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("output_args: raw ffmpeg arguments are not taken here")
            && error.contains("--allow-raw-args"),
        "{error}"
    );
    assert!(cluster.jobs().is_empty());

    cluster.kill_master();
    cluster.master_flags.push("--allow-raw-args".into());
    cluster.start_master();
    let id = cluster.submit(quick(&cluster, "a.mp4", "-map_chapters -1"));
    let explained = until("the job is known to wait", || {
        let explained = cluster.client().explain(JobRef::Seq(id)).ok()?;
        explained
            .waiting
            .as_ref()
            .is_some_and(|w| w.reason == WaitReason::NoLabel)
            .then_some(explained)
    });
    let waiting = explained.waiting.unwrap();
    assert!(
        waiting.message.contains(
            "the label ffrtmp/raw-args=allowed, which `ffrtmp worker --allow-raw-args` gives"
        ),
        "{waiting:?}"
    );
    assert_eq!(cluster.job(id).state, JobState::Pending);

    cluster.start_worker_with("raw", 1, &["--allow-raw-args"]);
    let job = cluster.until_completed(id);
    assert_eq!(job.node.as_deref(), Some("raw"));
    let nodes = cluster.client().nodes().unwrap().nodes;
    let guard = |name: &str| {
        let node = nodes.iter().find(|node| node.name == name).unwrap();
        let guards = &node.guards;
        guards
            .iter()
            .find(|guard| guard.name == "arguments")
            .unwrap()
            .holds
    };
    assert!(guard("w1") && !guard("raw"), "what holds is told");
    // The label is the worker's own affair.
    let mut command = cluster.command("liar");
    let liar = command
        .args(["worker", "--label", "ffrtmp/raw-args=allowed"])
        .status()
        .unwrap();
    assert_eq!(liar.code(), Some(2), "{}", cluster.log("liar"));
    cluster.finish();
}

#[test]
fn they_reach_the_encoder_and_filters_are_joined_with_the_worker_s() {
    let cluster = open();
    // The encoder.
    let plain = cluster.submit(quick(&cluster, "plain.mp4", "-copyts"));
    let dense = cluster.submit(quick(
        &cluster,
        "dense.mp4",
        "-x264-params keyint=5:scenecut=0",
    ));
    cluster.until_completed(plain);
    cluster.until_completed(dense);
    assert_eq!(key_frames(&cluster.file("plain.mp4")), 1);
    assert_eq!(key_frames(&cluster.file("dense.mp4")), 5);

    // Filters: theirs first, then the size and rate that the fields say.
    let mut grey = quick(
        &cluster,
        "grey.mp4",
        "-vf crop=iw/2:ih,hue=s=0 -af volume=0",
    );
    (grey.fps, grey.loudness) = (Some(10.0), None);
    cluster.until_completed(cluster.submit(grey));
    let shown = probe(
        &cluster.file("grey.mp4"),
        "stream=width,height,r_frame_rate",
    );
    assert!(
        shown.contains("width=320\nheight=360\nr_frame_rate=10/1"),
        "{shown}"
    );
    let measured = run(
        "ffmpeg",
        &[
            "-i",
            &cluster.file("grey.mp4"),
            "-vf",
            "signalstats,metadata=print:key=lavfi.signalstats.SATAVG:file=-",
            "-af",
            "volumedetect",
            "-f",
            "null",
            "-",
        ],
    );
    assert!(
        measured.contains("SATAVG=0\n") || measured.contains("SATAVG=0.0"),
        "it is grey: {measured}"
    );
    assert!(
        measured.contains("max_volume: -91.0 dB"),
        "it is silent: {measured}"
    );

    // Two passes keep their own parameters beside the job's, and both passes have the job's.
    let mut two = quick(
        &cluster,
        "two.mp4",
        "-x265-params keyint=5:min-keyint=5:scenecut=0",
    );
    (two.codec, two.bitrate, two.two_pass) = (Some("h265".into()), Some("200k".into()), true);
    cluster.until_completed(cluster.submit(two));
    assert_eq!(key_frames(&cluster.file("two.mp4")), 5);

    // A ladder, whose pictures go through a graph.
    let mut ladder = quick(&cluster, "grey/index.m3u8", "-vf hue=s=0");
    (ladder.size, ladder.renditions) = (None, words("320x180@200k 160x90@100k"));
    cluster.until_completed(cluster.submit(ladder));
    let measured = run(
        "ffmpeg",
        &[
            "-i",
            &cluster.file("grey/v1.m3u8"),
            "-vf",
            "signalstats,metadata=print:key=lavfi.signalstats.SATAVG:file=-",
            "-f",
            "null",
            "-",
        ],
    );
    assert!(
        measured.contains("SATAVG=0\n") || measured.contains("SATAVG=0.0"),
        "it is grey: {measured}"
    );
    cluster.finish();
}

#[test]
fn what_a_container_holds_besides_is_theirs_to_say_and_a_wrong_word_fails_the_job_with_ffmpeg_s_reason()
 {
    let cluster = open();
    let (notes, film) = (cluster.file("notes"), cluster.file("film.mkv"));
    fs::write(
        &notes,
        ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1000\ntitle=One\n",
    )
    .unwrap();
    run(
        "ffmpeg",
        &[
            "-v",
            "error",
            "-i",
            &footage(),
            "-i",
            &notes,
            "-map_metadata",
            "1",
            "-c",
            "copy",
            &film,
        ],
    );
    let chapters = |name: &str| {
        probe(&cluster.file(name), "chapter=id")
            .matches("id=")
            .count()
    };
    assert_eq!(chapters("film.mkv"), 1);
    let with = |name: &str, args: &str| JobSpec {
        input: Some(film.clone()),
        ..quick(&cluster, name, args)
    };
    let kept = cluster.submit(with("kept.mkv", "-threads 1"));
    let dropped = cluster.submit(with("dropped.mkv", "-map_chapters -1"));
    cluster.until_completed(kept);
    cluster.until_completed(dropped);
    assert_eq!((chapters("kept.mkv"), chapters("dropped.mkv")), (1, 0));

    // In front of the input.
    let mut input = with("input.mkv", "");
    (input.output_args, input.input_args) = (
        Vec::new(),
        words("-fflags +genpts -analyzeduration 1000000"),
    );
    cluster.until_completed(cluster.submit(input));

    let mut wrong = with("wrong.mkv", "-vf no_such_filter");
    wrong.retries = Some(0);
    let id = cluster.submit(wrong);
    let job = cluster.until_state(id, &[JobState::Failed]);
    assert!(
        job.failure.unwrap().message.contains("no_such_filter"),
        "it is told why"
    );
    cluster.finish();
}

#[test]
fn a_preset_of_the_operator_s_may_bring_them_where_jobs_may_not() {
    let mut cluster = Cluster::with_master();
    cluster.start_worker_with("raw", 1, &["--allow-raw-args"]);
    fs::create_dir(cluster.path("presets")).unwrap();
    fs::write(
        cluster.path("presets/grey.toml"),
        "description = \"Without colours\"\ncodec = \"h264\"\noutput_args = [\"-vf\", \"hue=s=0\"]\n",
    )
    .unwrap();
    let spec = |output_args: &str| JobSpec {
        preset: Some("grey".into()),
        ..quick(&cluster, "grey.mp4", output_args)
    };
    let job = cluster.until_completed(cluster.submit(spec("")));
    assert_eq!(job.spec.output_args, ["-vf", "hue=s=0"]);
    let error = cluster
        .client()
        .submit(&spec("-vf negate"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("not taken here"), "{error}");
    cluster.finish();
}

#[test]
fn the_command_line_splits_them_as_a_shell_does() {
    let cluster = Cluster::new();
    let mut command = cluster.command("cli");
    command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let output = command
        .args([
            "jobs",
            "submit",
            "--input",
            "/a.mkv",
            "--output",
            "/b.mp4",
            "--dry-run",
        ])
        .args([
            "--output-args",
            "-vf 'drawtext=text=two words' -map_chapters -1",
            "--input-args=-fflags +genpts",
        ])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    for part in [
        "output args -vf 'drawtext=text=two words' -map_chapters -1  [flag]",
        "the labels ffrtmp/raw-args=allowed",
        "-fflags +genpts -protocol_whitelist file ",
        "-vf 'drawtext=text=two words,scale=",
        " -map_chapters -1 -f mp4 ",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}

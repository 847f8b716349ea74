//! What can be asked of a job, asked of real footage and looked at with ffprobe; and every example of `docs/JOBS.md`.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use ffrtmp_api::{
    job::{FailureReason, Hardware, JobSpec, JobState},
    protocol::MediaResult,
};

use crate::{
    cluster::{Cluster, FFRTMP, footage, free_port, root, until},
    live::camera,
    peers::{receiver, sender},
    web::Nginx,
};

/// `film.mkv` in the cluster's folder: the footage, with subtitles.
pub fn film(cluster: &Cluster) -> String {
    let (srt, film) = (cluster.file("film.srt"), cluster.file("film.mkv"));
    fs::write(
        &srt,
        "1\n00:00:00,000 --> 00:00:05,000\nHELLO HELLO HELLO\n",
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
            &srt,
            "-map",
            "0",
            "-map",
            "1",
            "-c",
            "copy",
            "-c:s",
            "srt",
            &film,
        ],
    );
    film
}

/// Runs a program to a good end; gives what it printed and what it said.
#[track_caller]
pub fn run(program: &str, words: &[&str]) -> String {
    let output = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{program} {words:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[track_caller]
pub fn probe(path: &str, entries: &str) -> String {
    run(
        "ffprobe",
        &[
            "-v",
            "error",
            "-show_entries",
            entries,
            "-of",
            "default=nw=1",
            path,
        ],
    )
}

/// The job's result, its output being there and nothing left beside it.
#[track_caller]
pub fn completed(cluster: &Cluster, spec: JobSpec) -> MediaResult {
    let output = spec.output.clone();
    let job = cluster.until_completed(cluster.submit(spec));
    if let Some(output) = output.filter(|output| output.starts_with('/')) {
        assert!(Path::new(&output).exists(), "{output}");
    }
    job.result.unwrap()
}

/// A second of the film, encoded quickly.
fn short(film: &str, output: String) -> JobSpec {
    JobSpec {
        input: Some(film.into()),
        output: Some(output),
        duration_seconds: Some(1.0),
        ..JobSpec::default()
    }
}

fn quick(film: &str, output: String) -> JobSpec {
    JobSpec {
        encoder_preset: Some("ultrafast".into()),
        size: Some("320x-2".into()),
        ..short(film, output)
    }
}

#[test]
fn every_container_holds_what_its_name_says() {
    let cluster = Cluster::with_worker(2);
    let film = film(&cluster);
    for (name, format, video, audio) in [
        ("a.mp4", "mov,mp4", "h264", "aac"),
        ("a.mov", "mov,mp4", "h264", "aac"),
        ("a.mkv", "matroska", "h264", "aac"),
        ("a.ts", "mpegts", "h264", "aac"),
        ("a.webm", "matroska", "vp9", "opus"),
    ] {
        let preset = if name == "a.webm" { "8" } else { "ultrafast" };
        let result = completed(
            &cluster,
            JobSpec {
                encoder_preset: Some(preset.into()),
                ..quick(&film, cluster.file(name))
            },
        );
        assert!(result.format.starts_with(format), "{name}: {result:?}");
        assert_eq!(
            (
                result.video_codec.as_str(),
                result.audio_codec.as_deref(),
                result.width,
                result.height
            ),
            (video, Some(audio), 320, 180),
            "{name}"
        );
    }
    for (name, format, audio) in [
        ("a.mp3", "mp3", "mp3"),
        ("a.m4a", "mov,mp4", "aac"),
        ("a.flac", "flac", "flac"),
        ("a.ogg", "ogg", "opus"),
        ("a.opus", "ogg", "opus"),
        ("a.wav", "wav", "pcm_s16le"),
    ] {
        let result = completed(&cluster, short(&film, cluster.file(name)));
        assert!(result.format.starts_with(format), "{name}: {result:?}");
        assert_eq!(
            (
                result.video_codec.as_str(),
                result.audio_codec.as_deref(),
                result.frames
            ),
            ("", Some(audio), 0),
            "{name}"
        );
        assert!(!probe(&cluster.file(name), "stream=codec_type").contains("video"));
    }
    cluster.finish();
}

#[test]
fn size_pixels_key_frames_sound_and_metadata_are_as_asked() {
    let cluster = Cluster::with_worker(2);
    let film = film(&cluster);
    let output = cluster.file("a.mp4");
    completed(
        &cluster,
        JobSpec {
            size: Some("fit:640x640".into()),
            pixel_format: Some("yuv422p".into()),
            gop: Some("0.5s".into()),
            audio_channels: Some(2),
            audio_bitrate: Some("64k".into()),
            metadata: [("title".to_owned(), "One; 'two': three=3".to_owned())].into(),
            subtitles: Some("copy".into()),
            duration_seconds: Some(3.0),
            ..quick(&film, output.clone())
        },
    );
    let said = probe(
        &output,
        "stream=codec_name,width,height,pix_fmt,channels:format_tags=title",
    );
    for expected in [
        "width=640",
        "height=360",
        "pix_fmt=yuv422p",
        "channels=2",
        "codec_name=mov_text",
        "TAG:title=One; 'two': three=3",
    ] {
        assert!(said.contains(expected), "{expected} in {said}");
    }
    let keys = run(
        "ffprobe",
        &[
            "-v",
            "error",
            "-select_streams",
            "v",
            "-skip_frame",
            "nokey",
            "-show_entries",
            "frame=pts_time",
            "-of",
            "csv=p=0",
            &output,
        ],
    );
    let keys: Vec<f64> = keys
        .lines()
        .filter_map(|line| line.trim_matches(',').parse().ok())
        .collect();
    assert!(keys.len() >= 6, "{keys:?}");
    assert!(keys.windows(2).all(|w| w[1] - w[0] < 0.56), "{keys:?}");
    // The index stands before the media.
    let bytes = fs::read(&output).unwrap();
    let at = |name: &[u8]| bytes.windows(4).position(|w| w == name).unwrap();
    assert!(at(b"moov") < at(b"mdat"));
    // Copied, the pictures are those of the input.
    let copy = completed(
        &cluster,
        JobSpec {
            codec: Some("copy".into()),
            audio: Some("copy".into()),
            ..short(&film, cluster.file("copy.mkv"))
        },
    );
    assert_eq!((copy.width, copy.encoder.as_str()), (1280, "copy"));
    cluster.finish();
}

#[test]
fn two_passes_hit_a_bitrate_and_leave_nothing_in_scratch() {
    let cluster = Cluster::with_worker(1);
    for (codec, name, preset) in [
        ("h264", "a.mp4", "veryfast"),
        ("h265", "b.mp4", "ultrafast"),
        ("vp9", "c.webm", "8"),
    ] {
        let result = completed(
            &cluster,
            JobSpec {
                input: Some(footage()),
                output: Some(cluster.file(name)),
                codec: Some(codec.into()),
                size: Some("480x-2".into()),
                bitrate: Some("300k".into()),
                encoder_preset: Some(preset.into()),
                two_pass: true,
                audio: Some("none".into()),
                ..JobSpec::default()
            },
        );
        let rate = result.bytes as f64 * 8.0 / result.duration_seconds;
        assert!((200e3..400e3).contains(&rate), "{codec}: {rate} bit/s");
        assert_eq!(result.frames, 132, "{codec}");
    }
    let left = Command::new("find")
        .arg(cluster.path(""))
        .args(["-name", "*.work", "-o", "-name", "*.part"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
    cluster.finish();
}

#[test]
fn sound_is_brought_to_the_loudness_asked_for() {
    let cluster = Cluster::with_worker(1);
    let output = cluster.file("a.flac");
    completed(
        &cluster,
        JobSpec {
            input: Some(footage()),
            output: Some(output.clone()),
            loudness: Some(-20.0),
            ..JobSpec::default()
        },
    );
    let said = run(
        "ffmpeg",
        &[
            "-nostdin",
            "-hide_banner",
            "-i",
            &output,
            "-af",
            "ebur128",
            "-f",
            "null",
            "-",
        ],
    );
    let summary = said.rsplit_once("Integrated loudness").unwrap().1;
    let lufs: f64 = summary
        .split_whitespace()
        .skip_while(|word| *word != "I:")
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    assert!((lufs - -20.0).abs() < 1.5, "{lufs} LUFS");
    assert!(probe(&output, "stream=sample_rate").contains("sample_rate=48000"));
    cluster.finish();
}

#[test]
fn subtitles_that_are_burned_are_in_the_picture() {
    let cluster = Cluster::with_worker(1);
    let (srt, black) = (cluster.file("s.srt"), cluster.file("it's: black, [1].mkv"));
    fs::write(&srt, "1\n00:00:01,000 --> 00:00:02,000\nHELLO HELLO\n").unwrap();
    run(
        "ffmpeg",
        &[
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "color=black:s=320x180:r=10:d=2",
            "-i",
            &srt,
            "-c:v",
            "libx264",
            "-c:s",
            "srt",
            &black,
        ],
    );
    let output = cluster.file("burned.mp4");
    completed(
        &cluster,
        JobSpec {
            input: Some(black),
            output: Some(output.clone()),
            start_seconds: Some(1.0),
            subtitles: Some("burn".into()),
            ..JobSpec::default()
        },
    );
    let said = run(
        "ffprobe",
        &[
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            &format!("movie={output},signalstats"),
            "-show_entries",
            "frame_tags=lavfi.signalstats.YMAX",
            "-of",
            "csv=p=0",
        ],
    );
    let brightest = said
        .lines()
        .filter_map(|line| line.trim_matches(',').parse::<f64>().ok())
        .fold(0.0, f64::max);
    assert!(brightest > 150.0, "the brightest pixel is {brightest}");
    assert!(!probe(&output, "stream=codec_type").contains("subtitle"));
    cluster.finish();
}

#[test]
fn a_picture_and_a_sheet_of_pictures_are_made() {
    let cluster = Cluster::with_worker(1);
    for (name, sprites, size, expected) in [
        ("50%d.jpg", None, Some("320x-2"), ("mjpeg", 320, 180)),
        ("b.png", None, None, ("png", 1280, 720)),
        ("sheet.jpg", Some("3x2"), None, ("mjpeg", 480, 180)),
    ] {
        let result = completed(
            &cluster,
            JobSpec {
                input: Some(footage()),
                output: Some(cluster.file(name)),
                start_seconds: sprites.is_none().then_some(2.0),
                sprites: sprites.map(Into::into),
                size: size.map(Into::into),
                ..JobSpec::default()
            },
        );
        assert_eq!(
            (result.video_codec.as_str(), result.width, result.height),
            expected,
            "{name}"
        );
    }
    cluster.finish();
}

#[test]
fn a_ladder_becomes_a_folder_that_appears_whole() {
    let cluster = Cluster::with_worker(1);
    let (folder, master) = (
        cluster.path("50% show"),
        cluster.file("50% show/index.m3u8"),
    );
    let spec = JobSpec {
        input: Some(footage()),
        output: Some(master.clone()),
        renditions: vec!["640x360@800k".into(), "-2x180@300k".into()],
        segment_seconds: Some(2.0),
        encoder_preset: Some("ultrafast".into()),
        ..JobSpec::default()
    };
    let result = completed(&cluster, spec.clone());
    let bytes: u64 = fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().metadata().unwrap().len())
        .sum();
    assert_eq!(result.bytes, bytes);
    let text = fs::read_to_string(&master).unwrap();
    for expected in [
        "RESOLUTION=640x360",
        "RESOLUTION=320x180",
        "v0.m3u8",
        "v1.m3u8",
        "sound.m3u8",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    for (playlist, size) in [("v0.m3u8", "width=640"), ("v1.m3u8", "width=320")] {
        let path = folder.join(playlist);
        let path = path.to_str().unwrap();
        assert!(probe(path, "stream=width").contains(size));
        let text = fs::read_to_string(path).unwrap();
        assert_eq!(text.matches("#EXTINF").count(), 3, "{text}");
        assert!(text.contains("#EXT-X-ENDLIST"), "{text}");
    }
    // What is there is not touched, unless it may be; then it is replaced whole.
    let again = cluster.until_state(cluster.submit(spec.clone()), &[JobState::Failed]);
    assert_eq!(again.failure.unwrap().reason, FailureReason::UserError);
    fs::write(folder.join("old.ts"), "old").unwrap();
    completed(
        &cluster,
        JobSpec {
            overwrite: true,
            ..spec.clone()
        },
    );
    assert!(master_is_there(&master) && !folder.join("old.ts").exists());
    fs::write(folder.join("letter.txt"), "mine").unwrap();
    let refused = cluster.submit(JobSpec {
        overwrite: true,
        ..spec
    });
    let failure = cluster
        .until_state(refused, &[JobState::Failed])
        .failure
        .unwrap();
    assert!(failure.message.contains("letter.txt"), "{failure:?}");
    assert!(folder.join("letter.txt").exists());

    let dash = completed(
        &cluster,
        JobSpec {
            input: Some(footage()),
            output: Some(cluster.file("dash/show.mpd")),
            renditions: vec!["640x360@800k".into(), "320x180@300k".into()],
            encoder_preset: Some("ultrafast".into()),
            ..JobSpec::default()
        },
    );
    assert_eq!((dash.format.as_str(), dash.width), ("dash", 640));
    let manifest = fs::read_to_string(cluster.file("dash/show.mpd")).unwrap();
    assert_eq!(manifest.matches("<Representation").count(), 3, "{manifest}");
    cluster.finish();
}

fn master_is_there(path: &str) -> bool {
    Path::new(path).is_file()
}

#[test]
fn an_output_too_unlike_its_input_fails_once_and_is_not_kept() {
    let cluster = Cluster::with_worker(1);
    let film = footage();
    let good = completed(
        &cluster,
        JobSpec {
            ssim_min: Some(0.8),
            psnr_min: Some(25.0),
            crf: Some(20),
            ..quick(&film, cluster.file("good.mp4"))
        },
    );
    assert!(
        good.ssim.unwrap() > 0.8 && good.psnr.unwrap() > 25.0,
        "{good:?}"
    );
    let id = cluster.submit(JobSpec {
        ssim_min: Some(0.99),
        crf: Some(51),
        ..quick(&film, cluster.file("bad.mp4"))
    });
    let job = cluster.until_state(id, &[JobState::Failed]);
    let failure = job.failure.unwrap();
    assert_eq!(
        (failure.reason, job.attempt.0),
        (FailureReason::UserError, 1),
        "{failure:?}"
    );
    assert!(failure.message.contains("SSIM"), "{failure:?}");
    assert!(!Path::new(&cluster.file("bad.mp4")).exists());
    cluster.finish();
}

#[test]
fn hardware_that_is_preferred_and_not_there_is_done_without() {
    let cluster = Cluster::with_worker(1);
    let result = completed(
        &cluster,
        JobSpec {
            hardware: Some(Hardware::Prefer),
            ..quick(&footage(), cluster.file("a.mp4"))
        },
    );
    // A machine that has some may use it.
    assert!(
        result.encoder == "libx264" || result.encoder.starts_with("h264_"),
        "{result:?}"
    );
    cluster.finish();
}

#[test]
fn every_example_of_the_guide_to_jobs_works_as_it_stands_there() {
    let mut cluster = Cluster::with_master();
    film(&cluster);
    let nginx = Nginx::start_with_tls(&cluster);
    let ca = cluster.file("nginx/ca.pem");
    cluster.start_worker_with("w1", 2, &["--media-ca", &ca]);
    let rtmp = format!("127.0.0.1:{}", nginx.rtmp);
    let _camera = camera(&format!("rtmp://{rtmp}/cam/one"));
    let (from, to) = (free_port(), free_port());
    let _sender = sender(from, None);
    let _receiver = receiver(to, &cluster.file("received.ts"), None);
    let mut text = fs::read_to_string(root().join("docs/JOBS.md")).unwrap();
    let user = "u:hush4711hush@localhost";
    for (example, here) in [
        ("srt://cam.example:9000", format!("srt://127.0.0.1:{from}")),
        ("srt://cdn.example:9000", format!("srt://127.0.0.1:{to}")),
        (
            "rtmps://cdn.example",
            format!("rtmps://localhost:{}", nginx.rtmps),
        ),
        ("rtmp://cdn.example", format!("rtmp://{rtmp}")),
        ("rtmp://cam.example", format!("rtmp://{rtmp}")),
        (
            "https://media.example",
            format!("https://{user}:{}", nginx.https),
        ),
        (
            "http://media.example",
            format!("http://{user}:{}", nginx.http),
        ),
    ] {
        assert!(text.contains(example), "{example}");
        text = text.replace(example, &here);
    }
    let examples = examples_in(&cluster, &text);
    assert!(examples >= 16, "{examples} examples were found");
    until("nothing is left running", || {
        cluster
            .jobs()
            .iter()
            .all(|job| job.state.is_terminal())
            .then_some(())
    });
    cluster.finish();
}

/// Pastes every example of a guide into a shell; gives how many there were.
#[track_caller]
pub fn examples_of(cluster: &Cluster, guide: &str, edit: impl FnOnce(String) -> String) -> usize {
    let text = fs::read_to_string(root().join(guide)).unwrap();
    examples_in(cluster, &edit(text))
}

#[track_caller]
fn examples_in(cluster: &Cluster, text: &str) -> usize {
    let mut examples = 0;
    let mut block: Option<String> = None;
    for line in text.lines() {
        match (line, block.take()) {
            ("```sh", _) => block = Some(String::new()),
            ("```", Some(script)) => {
                example(cluster, &script);
                examples += 1;
            }
            (line, Some(script)) => block = Some(script + line + "\n"),
            _ => {}
        }
    }
    examples
}

/// Pastes an example into a shell.
#[track_caller]
fn example(cluster: &Cluster, script: &str) {
    let bin = Path::new(FFRTMP).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    let output = Command::new("sh")
        .args(["-euc", script])
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("FFRTMP_MASTER", cluster.url())
        .current_dir(cluster.path(""))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{script}: {output:?}");
}

//! Media as it comes from phones, screens, broadcasts and broken disks: frame rates that vary, streams that begin or end apart, transport
//! streams, pixels that are not square, files that are cut off. What is made of it is measured, not believed.

use std::fs;

use ffrtmp_api::{
    ids::JobRef,
    job::{FailureReason, JobSpec, JobState},
};

use crate::{
    cluster::{Cluster, footage},
    media::{completed, film, probe, run},
};

/// Makes `name` in the cluster's folder by a line for ffmpeg, in which `{}` is the footage.
#[track_caller]
fn made(cluster: &Cluster, name: &str, line: &str) -> String {
    let path = cluster.file(name);
    let (line, film) = (line.to_owned(), footage());
    let mut words = vec!["-v", "error", "-nostdin", "-y"];
    words.extend(line.split_whitespace().map(|word| match word {
        "{}" => film.as_str(),
        word => word,
    }));
    words.push(&path);
    run("ffmpeg", &words);
    path
}

fn job(input: &str, output: String) -> JobSpec {
    let encodes = [".mp4", ".mkv", ".m3u8"]
        .iter()
        .any(|end| output.ends_with(end));
    JobSpec {
        input: Some(input.into()),
        output: Some(output),
        encoder_preset: encodes.then(|| "ultrafast".into()),
        retries: Some(0),
        ..JobSpec::default()
    }
}

#[track_caller]
fn number(text: &str) -> f64 {
    let value = text.trim().rsplit('=').next().unwrap();
    value.parse().unwrap_or_else(|_| panic!("{text}"))
}

/// These fields of each packet of a kind of stream, as ffprobe names and orders them.
#[track_caller]
fn fields_of_packets(path: &str, kind: &str, fields: &str) -> Vec<Vec<String>> {
    let entries = format!("packet={fields}");
    let words = [
        "-v",
        "error",
        "-select_streams",
        kind,
        "-show_entries",
        &entries,
        "-of",
        "csv=p=0",
        path,
    ];
    let fields = |line: &str| line.split(',').map(str::to_owned).collect();
    run("ffprobe", &words).lines().map(fields).collect()
}

/// Bits per second of its pictures, by the bytes of their packets.
#[track_caller]
fn rate_of_pictures(path: &str, seconds: f64) -> f64 {
    let packets = fields_of_packets(path, "v", "size");
    let bytes = packets
        .iter()
        .filter_map(|fields| fields[0].parse::<f64>().ok());
    bytes.sum::<f64>() * 8.0 / seconds
}

/// The times of the packets of a kind of stream that are marked so (`K` for key frames, empty for all), and how long they last.
#[track_caller]
fn packets(path: &str, kind: &str, mark: &str) -> Vec<(f64, f64)> {
    fields_of_packets(path, kind, "pts_time,duration_time,flags")
        .iter()
        .filter(|fields| fields.iter().any(|field| field.contains(mark)))
        .filter_map(|fields| {
            Some((
                fields[0].parse().ok()?,
                fields.get(1)?.parse().unwrap_or(0.0),
            ))
        })
        .collect()
}

#[test]
fn frames_of_a_rate_that_varies_get_the_bits_and_the_key_frames_that_were_asked_for() {
    let cluster = Cluster::with_worker(1);
    let varies = made(
        &cluster,
        "varies.mp4",
        "-i {} -t 4 -vf select='not(mod(n,3))+gt(mod(n,7),4)',scale=320:-2 -vsync vfr -c:v libx264 -preset ultrafast -c:a copy \
         -video_track_timescale 90000",
    );
    let late = made(
        &cluster,
        "late.mkv",
        "-itsoffset 1.5 -i {} -i {} -map 0:v -map 1:a -t 5 -vf scale=320:-2 -c:v libx264 -preset ultrafast -c:a copy",
    );
    for (input, codec) in [(&varies, "h264"), (&varies, "h265"), (&late, "h264")] {
        let output = cluster.file("two.mp4");
        completed(
            &cluster,
            JobSpec {
                codec: Some(codec.into()),
                two_pass: true,
                bitrate: Some("300k".into()),
                overwrite: true,
                ..job(input, output.clone())
            },
        );
        let seconds = number(&probe(&output, "format=duration"));
        let rate = rate_of_pictures(&output, seconds);
        assert!((200e3..450e3).contains(&rate), "{codec} of {input}: {rate}");
    }

    // A screen: sixty a second while something moves, and two a second after that.
    let screen = made(
        &cluster,
        "screen.mp4",
        "-f lavfi -i testsrc2=s=320x180:r=60:d=6 -vf select='lt(n,6)+not(mod(n,30))' -vsync vfr -video_track_timescale 60000 \
         -c:v libx264 -preset ultrafast -pix_fmt yuv420p",
    );
    for name in ["keys.mp4", "keys.mkv"] {
        let output = cluster.file(name);
        completed(
            &cluster,
            JobSpec {
                gop: Some("2s".into()),
                ..job(&screen, output.clone())
            },
        );
        let keys = packets(&output, "v", "K");
        assert!(keys.len() <= 4, "{name}: {keys:?}");
    }
    cluster.finish();
}

#[test]
fn streams_that_end_apart_make_what_is_left_of_them() {
    let cluster = Cluster::with_worker(1);
    let tone = "-f lavfi -i testsrc2=s=320x180:r=25:d=12 -f lavfi -i sine=d=12";
    let encode = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac";
    let silent_end = made(
        &cluster,
        "sound-ends.mp4",
        &format!("{tone} -map 0 -map 1 -af atrim=end=4 {encode}"),
    );
    let dark_end = made(
        &cluster,
        "pictures-end.mp4",
        &format!("{tone} -map 0 -map 1 -vf trim=end=4 {encode}"),
    );
    let result = completed(&cluster, job(&silent_end, cluster.file("sound.mp3")));
    assert!((3.9..4.2).contains(&result.duration_seconds), "{result:?}");
    let result = completed(
        &cluster,
        JobSpec {
            audio: Some("none".into()),
            ..job(&dark_end, cluster.file("pictures.mp4"))
        },
    );
    assert!((3.9..4.2).contains(&result.duration_seconds), "{result:?}");
    // Where the sound has ended there is none to miss.
    let result = completed(
        &cluster,
        JobSpec {
            start_seconds: Some(8.0),
            ..job(&silent_end, cluster.file("after.mp4"))
        },
    );
    assert_eq!(result.audio_codec, None, "{result:?}");
    // Where the pictures have, nothing can be made of them, and that is said at once.
    for name in ["after-pictures.mp4", "after-pictures.jpg"] {
        let id = cluster.submit(JobSpec {
            start_seconds: Some(8.0),
            ..job(&dark_end, cluster.file(name))
        });
        let failure = cluster
            .until_state(id, &[JobState::Failed])
            .failure
            .unwrap();
        assert_eq!(failure.reason, FailureReason::InputError, "{failure:?}");
        assert!(
            failure.message.contains("its pictures end at 3.96 s"),
            "{failure:?}"
        );
    }
    // Each of four tiles has a picture: of the pictures' four seconds, not of the sound's twelve.
    let sheet = cluster.file("sheet.png");
    completed(
        &cluster,
        JobSpec {
            sprites: Some("2x2".into()),
            size: Some("160x90".into()),
            ..job(&dark_end, sheet.clone())
        },
    );
    for (x, y) in [(0, 0), (160, 0), (0, 90), (160, 90)] {
        let crop = format!("crop=160:90:{x}:{y},signalstats,metadata=print:file=-");
        let said = run(
            "ffmpeg",
            &["-v", "error", "-i", &sheet, "-vf", &crop, "-f", "null", "-"],
        );
        let bright = said.lines().find(|l| l.contains("YAVG")).unwrap();
        assert!(number(bright) > 40.0, "{x},{y}: {bright}");
    }
    cluster.finish();
}

#[test]
fn a_transport_stream_is_taken_up_to_the_frame() {
    let cluster = Cluster::with_worker(1);
    let stream = made(
        &cluster,
        "g.ts",
        "-f lavfi -i testsrc2=s=320x180:r=25:d=50 -f lavfi -i sine=d=50 -c:v libx264 -preset veryfast -g 50 -bf 2 -pix_fmt yuv420p \
         -c:a aac",
    );
    // One within what is read ahead, and one beyond it.
    for start in [3.0, 41.0] {
        let output = cluster.file(&format!("cut-{start}.mkv"));
        let result = completed(
            &cluster,
            JobSpec {
                start_seconds: Some(start),
                duration_seconds: Some(2.0),
                crf: Some(10),
                ..job(&stream, output.clone())
            },
        );
        assert!((49..=51).contains(&result.frames), "{result:?}");
        // Frame for frame the same as the source from there on.
        let graph = format!(
            "[0:v]setpts=PTS-STARTPTS[a];[1:v]trim=start={start}:end={},setpts=PTS-STARTPTS[b];[a][b]ssim=shortest=1",
            start + 2.0
        );
        let source = "testsrc2=s=320x180:r=25:d=50";
        let said = run(
            "ffmpeg",
            &[
                "-hide_banner",
                "-i",
                &output,
                "-f",
                "lavfi",
                "-i",
                source,
                "-filter_complex",
                &graph,
                "-f",
                "null",
                "-",
            ],
        );
        let line = said.lines().find(|l| l.contains("All:")).unwrap();
        let like = line.split("All:").nth(1).unwrap();
        let like: f64 = like.split_whitespace().next().unwrap().parse().unwrap();
        assert!(like > 0.97, "from {start}: {line}");
    }
    cluster.finish();
}

#[test]
fn subtitles_that_are_kept_begin_and_end_with_the_part_that_is_used() {
    let cluster = Cluster::with_worker(1);
    let film = film(&cluster);
    let text = cluster.file("cues.srt");
    fs::write(
        &text,
        "1\n00:00:00,500 --> 00:00:02,000\nHello\n\n2\n00:00:02,500 --> 00:00:04,000\nagain\n",
    )
    .unwrap();
    let input = cluster.file("cues.mkv");
    run(
        "ffmpeg",
        &[
            "-v", "error", "-i", &film, "-i", &text, "-map", "0:v", "-map", "0:a", "-map", "1",
            "-c", "copy", &input,
        ],
    );
    let cut = |start: f64, name: &str| {
        let output = cluster.file(name);
        let result = completed(
            &cluster,
            JobSpec {
                subtitles: Some("copy".into()),
                start_seconds: Some(start),
                duration_seconds: Some(2.0),
                size: Some("320x-2".into()),
                ..job(&input, output.clone())
            },
        );
        assert!((1.9..2.2).contains(&result.duration_seconds), "{result:?}");
        // Without what is empty: MP4 fills the time between them.
        let mut cues = packets(&output, "s", "");
        let begins = packets(&output, "v", "")[0].0;
        cues.iter_mut().for_each(|cue| cue.0 -= begins);
        cues
    };
    let near = |found: &[(f64, f64)], wanted: &[(f64, f64)]| {
        let same = |(a, b): (&(f64, f64), &(f64, f64))| {
            (a.0 - b.0).abs() < 0.06 && (a.1 - b.1).abs() < 0.06
        };
        found.len() == wanted.len() && found.iter().zip(wanted).all(same)
    };
    let cues = cut(2.2, "one.mkv");
    assert!(near(&cues, &[(0.3, 1.5)]), "{cues:?}");
    let cues = cut(1.0, "both.mkv");
    assert!(near(&cues, &[(0.0, 1.0), (1.5, 0.5)]), "{cues:?}");
    let cues = cut(2.2, "one.mp4");
    assert!(near(&cues, &[(0.0, 0.3), (0.3, 1.5)]), "{cues:?}");
    cluster.finish();
}

#[test]
fn what_is_made_as_loud_as_asked_is_so_in_the_channels_it_is_heard_in() {
    let cluster = Cluster::with_worker(1);
    let stereo = made(
        &cluster,
        "st.wav",
        "-f lavfi -i sine=440:d=6 -af volume=-6dB -ac 2",
    );
    for channels in [1, 2] {
        let output = cluster.file(&format!("{channels}.wav"));
        completed(
            &cluster,
            JobSpec {
                loudness: Some(-16.0),
                audio_channels: Some(channels),
                ..job(&stereo, output.clone())
            },
        );
        let said = run(
            "ffmpeg",
            &[
                "-hide_banner",
                "-nostats",
                "-i",
                &output,
                "-af",
                "ebur128",
                "-f",
                "null",
                "-",
            ],
        );
        let line = said.lines().rfind(|l| l.trim().starts_with("I:")).unwrap();
        let lufs: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        assert!((lufs + 16.0).abs() < 0.6, "{channels}: {line}");
    }
    cluster.finish();
}

#[test]
fn pictures_for_browsers_have_square_pixels_and_the_gate_compares_what_belongs_together() {
    let cluster = Cluster::with_worker(1);
    let wide = made(
        &cluster,
        "wide.mp4",
        "-f lavfi -i testsrc2=s=720x576:r=25:d=2 -vf setsar=64/45 -c:v libx264 -preset ultrafast -pix_fmt yuv420p",
    );
    let output = cluster.file("wide.jpg");
    let result = completed(
        &cluster,
        JobSpec {
            size: Some("640x-2".into()),
            ..job(&wide, output)
        },
    );
    assert_eq!((result.width, result.height), (640, 360), "{result:?}");

    // The container repeats the first frame until the sound has brought the time to it.
    let late = made(
        &cluster,
        "late.mp4",
        "-itsoffset 1.5 -i {} -i {} -map 0:v -map 1:a -t 5 -vf scale=320:-2 -c:v libx264 -preset ultrafast -c:a copy",
    );
    let result = completed(
        &cluster,
        JobSpec {
            ssim_min: Some(0.9),
            crf: Some(18),
            ..job(&late, cluster.file("late-out.mp4"))
        },
    );
    assert!(result.ssim.unwrap() > 0.95, "{result:?}");
    cluster.finish();
}

#[test]
fn a_ladder_of_a_small_input_has_no_two_rungs_that_are_the_same() {
    let cluster = Cluster::with_worker(1);
    let small = made(
        &cluster,
        "small.mp4",
        "-i {} -t 2 -vf scale=640:360 -c:v libx264 -preset ultrafast -c:a copy",
    );
    let index = cluster.file("ladder/index.m3u8");
    let fits = [
        "fit:1280x720@3M",
        "fit:854x480@1200k",
        "fit:640x360@800k",
        "fit:320x180@300k",
    ];
    completed(
        &cluster,
        JobSpec {
            renditions: fits.map(String::from).to_vec(),
            segment_seconds: Some(2.0),
            ..job(&small, index.clone())
        },
    );
    let text = fs::read_to_string(&index).unwrap();
    let sizes: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split("RESOLUTION=").nth(1)?.split(',').next())
        .collect();
    assert_eq!(sizes, ["640x360", "320x180"], "{text}");
    // What players choose by is what they get: no segment of the larger one takes more, with its sound.
    let stated = |name: &str| {
        let line = text.lines().find(|l| l.contains("RESOLUTION=640x360"));
        let attribute = line
            .unwrap()
            .split([':', ','])
            .find_map(|a| a.strip_prefix(name));
        attribute.unwrap().parse::<f64>().unwrap()
    };
    let bytes = |name: &str| {
        fs::metadata(cluster.file(&format!("ladder/{name}")))
            .unwrap()
            .len() as f64
    };
    let first = (bytes("v0_00000.ts") + bytes("sound_00000.ts")) * 8.0 / 2.0;
    let peak = stated("BANDWIDTH=");
    assert!(
        peak >= first * 0.95 && peak < first * 1.5,
        "{peak} of {first}: {text}"
    );
    assert!(stated("AVERAGE-BANDWIDTH=") <= peak, "{text}");
    cluster.finish();
}

#[test]
fn whose_fault_it_is_decides_whether_it_is_tried_again() {
    let cluster = Cluster::with_worker(1);
    let whole = made(
        &cluster,
        "whole.mkv",
        "-i {} -vf scale=640:-2 -c:v libx264 -preset ultrafast -g 25 -c:a copy",
    );
    let bytes = fs::read(&whole).unwrap();
    let cut = cluster.file("cut.mkv");
    fs::write(&cut, &bytes[..bytes.len() / 3]).unwrap();
    let failed = |spec: JobSpec| {
        let id = cluster.submit(JobSpec {
            retries: None,
            ..spec
        });
        let job = cluster.until_state(id, &[JobState::Failed]);
        assert_eq!(job.attempt.0, 1, "{:?}", job.failure);
        job.failure.unwrap()
    };
    let failure = failed(job(&cut, cluster.file("cut.mp4")));
    assert_eq!(failure.reason, FailureReason::InputError, "{failure:?}");
    assert!(
        failure.message.contains("File ended prematurely"),
        "{failure:?}"
    );
    let failure = failed(JobSpec {
        audio: Some("copy".into()),
        ..job(&footage(), cluster.file("copied.mp3"))
    });
    assert_eq!(failure.reason, FailureReason::UserError, "{failure:?}");
    assert!(
        failure
            .message
            .contains("sound, aac, cannot be copied into mp3, which holds mp3"),
        "{failure:?}"
    );
    cluster.finish();
}

#[test]
fn a_vmaf_that_cannot_be_measured_is_said_before_anything_is_encoded() {
    let cluster = Cluster::with_worker(1);
    let measures =
        run("ffmpeg", &["-hide_banner", "-h", "filter=libvmaf"]).contains("Filter libvmaf");
    let id = cluster.submit(JobSpec {
        vmaf_min: Some(20.0),
        ..job(&footage(), cluster.file("judged.mp4"))
    });
    let job = cluster.until_state(id, &[JobState::Failed, JobState::Completed]);
    match job.failure {
        None => assert!(measures && job.result.unwrap().vmaf.unwrap() > 20.0),
        Some(failure) => {
            assert_eq!(
                failure.reason,
                FailureReason::CapabilityMismatch,
                "{failure:?}"
            );
            assert!(
                !measures && failure.message.contains("libvmaf"),
                "{failure:?}"
            );
            let log = cluster.client().logs(JobRef::Seq(id)).unwrap().text;
            assert!(!log.contains("frame="), "{log}");
        }
    }
    cluster.finish();
}

#[test]
fn an_archive_keeps_every_track_of_sound() {
    let cluster = Cluster::with_worker(1);
    let tracks = made(
        &cluster,
        "tracks.mkv",
        "-i {} -map 0:v -map 0:a -map 0:a -map 0:a -t 1 -c copy -metadata:s:a:1 language=deu",
    );
    let output = cluster.file("kept.mkv");
    completed(
        &cluster,
        JobSpec {
            audio: Some("copy".into()),
            size: Some("320x-2".into()),
            ..job(&tracks, output.clone())
        },
    );
    let kinds = probe(&output, "stream=codec_type:stream_tags=language");
    assert_eq!(kinds.matches("codec_type=audio").count(), 3, "{kinds}");
    assert!(kinds.contains("language=deu"), "{kinds}");
    cluster.finish();
}

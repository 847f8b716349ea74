//! Presets as users meet them: compiled in and dropped into the folder, named by commands and by upstream's scripts; and every
//! example of `docs/PRESETS.md`.

use std::{fs, path::Path, process::Output};

use ffrtmp_api::{
    ids::JobSeq,
    job::{JobSpec, JobState, Priority, Queue},
    preset::{BUILT_IN, Preset},
    rest::{Job, PresetSource},
};
use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, footage, until},
    http::post,
    media::{examples_of, film, probe},
};

/// Puts a preset into the cluster's folder, as a careful operator does.
fn put(cluster: &Cluster, name: &str, text: &str) {
    fs::create_dir_all(cluster.path("presets")).unwrap();
    let part = cluster.path("preset.part");
    fs::write(&part, text).unwrap();
    fs::rename(part, cluster.path("presets").join(name)).unwrap();
}

fn say(cluster: &Cluster, words: &[&str]) -> Output {
    let mut command = cluster.command("cli");
    command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    command.args(words).output().unwrap()
}

#[track_caller]
fn said(cluster: &Cluster, words: &[&str]) -> String {
    let output = say(cluster, words);
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What a command that is refused says, and its exit code.
#[track_caller]
fn refused(cluster: &Cluster, words: &[&str]) -> (i32, String) {
    let output = say(cluster, words);
    assert!(!output.status.success(), "{words:?}: {output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), text)
}

/// `width`, `height` and `codec_name` of every stream of pictures, and frames per second.
#[track_caller]
fn pictures(path: &str) -> Vec<(u32, u32, String, f64)> {
    let text = crate::media::run(
        "ffprobe",
        &[
            "-v",
            "error",
            "-select_streams",
            "v",
            "-show_entries",
            "stream=width,height,codec_name,r_frame_rate",
            "-of",
            "json",
            path,
        ],
    );
    let json: Value = serde_json::from_str(&text).unwrap();
    let streams = json["streams"].as_array().unwrap();
    let number = |value: &Value| value.as_u64().unwrap() as u32;
    streams
        .iter()
        .map(|stream| {
            let (over, under) = stream["r_frame_rate"]
                .as_str()
                .unwrap()
                .split_once('/')
                .unwrap();
            let fps = over.parse::<f64>().unwrap() / under.parse::<f64>().unwrap();
            (
                number(&stream["width"]),
                number(&stream["height"]),
                stream["codec_name"].as_str().unwrap().to_owned(),
                fps,
            )
        })
        .collect()
}

/// Has a moment of the footage encoded with a preset, to the first kind of output that it is for.
fn start(cluster: &Cluster, preset: &Preset) -> (JobSeq, String) {
    let outputs = preset.outputs();
    let kind = outputs.first().unwrap();
    let name = &preset.name;
    let output = match kind.strip_prefix('.').unwrap() {
        kind @ ("m3u8" | "mpd") => cluster.file(&format!("{name}/index.{kind}")),
        kind => cluster.file(&format!("{name}.{kind}")),
    };
    let is_still = matches!(*kind, ".jpg" | ".png");
    // Enough for a rate to be told, and no more: a busy machine encodes VP9 at a frame a second.
    let seconds = if name.starts_with("4K") || name.ends_with("vp9") {
        0.08
    } else {
        0.2
    };
    let id = cluster.submit(JobSpec {
        preset: Some(name.clone()),
        input: Some(footage()),
        output: Some(output.clone()),
        duration_seconds: (!is_still).then_some(seconds),
        // What takes long on a small machine is only made faster; it is the same preset.
        encoder_preset: match preset.job.get("codec").and_then(Value::as_str) {
            Some("h264" | "h265") => Some("ultrafast".into()),
            Some("vp9") => Some("8".into()),
            Some("av1") => Some("12".into()),
            _ => None,
        },
        ..JobSpec::default()
    });
    (id, output)
}

/// Whether the output is what the preset says.
#[track_caller]
fn check(preset: &Preset, spec: &JobSpec, output: &str) {
    let name = &preset.name;
    assert_eq!(spec.preset.as_ref(), Some(name));
    let seen = match output.ends_with(".m3u8") {
        false => pictures(output),
        true => {
            let folder = fs::read_dir(Path::new(output).parent().unwrap()).unwrap();
            let mut playlists: Vec<_> = folder
                .map(|entry| entry.unwrap().path())
                .filter(|path| {
                    let file = path.file_name().unwrap().to_string_lossy().into_owned();
                    file.starts_with('v') && file.ends_with(".m3u8")
                })
                .collect();
            playlists.sort();
            let of = |path: &std::path::PathBuf| pictures(path.to_str().unwrap());
            playlists.iter().flat_map(of).collect()
        }
    };
    let codec = match spec.codec.as_deref() {
        Some("h265") => "hevc",
        Some(codec) => codec,
        None => "",
    };
    match (spec.codec.as_deref(), spec.renditions.len()) {
        (Some("none"), _) => assert!(seen.is_empty(), "{name}: {seen:?}"),
        (None, _) => assert_eq!(seen.len(), 1, "{name}: one picture"),
        (_, 0) => {
            let (_, height, is, fps) = &seen[0];
            assert_eq!(is, codec, "{name}");
            let asked = spec
                .size
                .as_deref()
                .and_then(|size| size.strip_prefix("-2x"));
            match asked {
                Some(asked) => assert_eq!(height.to_string(), asked, "{name}"),
                None => assert_eq!(*height, 720, "{name}: nothing is enlarged"),
            }
            if let Some(asked) = spec.fps {
                assert_eq!(*fps, asked, "{name}");
            }
        }
        (_, _) => {
            // Of those that are larger than the footage none is made: the next one holds it whole.
            let height = |rendition: &String| {
                let size = rendition.split('@').next().unwrap();
                size.rsplit('x').next().unwrap().parse::<u32>().unwrap()
            };
            let made = spec.renditions.iter().filter(|r| height(r) <= 720);
            assert_eq!(seen.len(), made.count(), "{name}: {seen:?}");
            let fits = |(_, height, is, _): &(u32, u32, String, f64)| is == codec && *height <= 720;
            assert!(seen.iter().all(fits), "{name}: {seen:?}");
        }
    }
}

#[test]
fn every_preset_that_is_compiled_in_encodes_real_footage() {
    let cluster = Cluster::with_worker(2);
    assert_eq!(BUILT_IN.len(), 33);
    let presets: Vec<_> = BUILT_IN.values().collect();
    // As many at a time as there are slots: none waits for all the others.
    for pair in presets.chunks(2) {
        let made: Vec<_> = pair.iter().map(|preset| start(&cluster, preset)).collect();
        for (preset, (id, output)) in pair.iter().zip(made) {
            check(preset, &cluster.until_completed(id).spec, &output);
        }
    }
    cluster.finish();
}

#[test]
fn upstream_s_scenarios_mean_what_they_say() {
    let cluster = Cluster::with_worker(2);
    let output = cluster.file("film.mp4");
    let words = [
        "jobs",
        "submit",
        "--scenario",
        "1080p60-h265",
        "--input",
        &footage(),
        "--output",
        &output,
        "--duration",
        "0.2",
        "--encoder-preset",
        "ultrafast",
        "--wait",
    ];
    said(&cluster, &words);
    assert_eq!(pictures(&output), [(1920, 1080, "hevc".to_owned(), 60.0)]);
    let status = said(&cluster, &["jobs", "status", "1"]);
    assert!(
        status.contains("scenario    1080p60-h265") && status.contains("preset      1080p60-h265"),
        "{status}"
    );

    // The same through upstream's own route.
    let output = cluster.file("small.mp4");
    let request = json!({
        "scenario": "480p30-h264",
        "parameters": {"input": footage(), "output": output, "duration": 0.2, "preset": "ultrafast"},
    });
    let answer = post(cluster.port, "/jobs", request.to_string());
    assert_eq!(answer.status, 201, "{answer:?}");
    let job = cluster.until_completed(JobSeq(2));
    assert_eq!(
        (
            job.spec.preset.as_deref(),
            job.spec.encoder_preset.as_deref(),
            job.spec.crf
        ),
        (Some("480p30-h264"), Some("ultrafast"), Some(23))
    );
    let seen = pictures(&output);
    assert_eq!(
        (seen[0].1, seen[0].2.as_str(), seen[0].3),
        (480, "h264", 30.0)
    );

    // Of the known form, but no preset; and a label.
    let of = |scenario: &str| {
        let id = cluster.submit(JobSpec {
            scenario: Some(scenario.into()),
            duration_seconds: Some(0.2),
            ..JobSpec::default()
        });
        cluster.until_completed(id)
    };
    let known = of("360p25-h264");
    assert_eq!(
        (known.spec.preset.as_deref(), known.result.unwrap().height),
        (None, 360)
    );
    let label = of("load-test-1");
    assert_eq!(
        (label.spec.preset.as_deref(), label.result.unwrap().height),
        (None, 720)
    );
    cluster.finish();
}

#[test]
fn a_file_counts_from_the_next_submit_on_and_never_changes_a_job_that_was_taken() {
    let cluster = Cluster::with_master();
    let submit = |words: &[&str]| -> Job {
        let all = [&["jobs", "submit", "-o", "json"], words].concat();
        let made: Value = serde_json::from_str(&said(&cluster, &all)).unwrap();
        cluster.job(JobSeq(made["id"].as_u64().unwrap()))
    };
    let (code, error) = refused(&cluster, &["jobs", "submit", "--preset", "ours"]);
    assert_eq!(code, 2, "{error}");
    assert!(
        error.contains("--preset: there is no preset \"ours\""),
        "{error}"
    );

    put(
        &cluster,
        "ours.toml",
        "description = \"Ours\"\ncodec = \"h264\"\ncrf = 20\nqueue = \"batch\"\npriority = \"low\"\n",
    );
    let first = submit(&["--preset", "ours"]);
    assert_eq!(
        (first.spec.crf, first.queue, first.priority),
        (Some(20), Queue::Batch, Priority::Low)
    );
    // What the job says goes before it, also as what it is anyway.
    let own = submit(&["--preset", "ours", "--queue", "default", "--bitrate", "1M"]);
    assert_eq!(
        (own.spec.crf, own.queue, own.priority),
        (None, Queue::Default, Priority::Low)
    );

    put(
        &cluster,
        "ours.toml",
        "description = \"Ours\"\ncodec = \"h264\"\ncrf = 30\n",
    );
    assert_eq!(
        submit(&["--preset", "ours"]).spec.crf,
        Some(30),
        "a change counts at once"
    );
    assert_eq!(
        cluster.job(first.id).spec.crf,
        Some(20),
        "a job that was taken stays what it is"
    );

    put(
        &cluster,
        "ours.toml",
        "description = \"Ours\"\ncodec = \"h264\"\n\ncfr = 30\n",
    );
    until("the log tells of the broken file", || {
        let log = cluster.log("master");
        (log.contains("ours.toml")
            && log.contains("line 4: \"cfr\" is not a field of a job; did you mean \"crf\"?"))
        .then_some(())
    });
    assert_eq!(
        submit(&["--preset", "ours"]).spec.crf,
        Some(30),
        "the last good one stays"
    );
    let list = cluster.client().presets().unwrap();
    assert_eq!(list.refused[0].file, "ours.toml");
    let ours = list
        .presets
        .iter()
        .find(|preset| preset.name == "ours")
        .unwrap();
    assert_eq!(
        (ours.source, ours.description.as_str()),
        (PresetSource::File, "Ours")
    );
    let shown = said(&cluster, &["presets", "list"]);
    assert!(
        shown.contains("refused  ours.toml: line 4:") && shown.contains("web-mp4"),
        "{shown}"
    );

    // A batch names many, and says which is not there.
    put(&cluster, "ours.toml", "description = \"Ours\"\ncrf = 25\n");
    let batch =
        json!({"jobs": [{"preset": "ours"}, {"preset": "our"}, {"preset": "web-mp4", "crf": 19}]});
    let answer = post(cluster.port, "/v1/jobs/batch", batch.to_string()).json();
    let items = answer["items"].as_array().unwrap();
    let refused = &items[1]["refused"];
    assert_eq!(
        (&refused["field"], &refused["message"]),
        (
            &json!("preset"),
            &json!("preset: there is no preset \"our\"; did you mean \"ours\"?")
        )
    );
    let crf = |item: &Value| {
        cluster
            .job(JobSeq(item["accepted"]["id"].as_u64().unwrap()))
            .spec
            .crf
    };
    assert_eq!((crf(&items[0]), crf(&items[2])), (Some(25), Some(19)));

    fs::remove_file(cluster.path("presets/ours.toml")).unwrap();
    let (_, error) = self::refused(&cluster, &["jobs", "submit", "--preset", "ours"]);
    assert!(error.contains("there is no preset \"ours\""), "{error}");
    cluster.finish();
}

#[test]
fn a_repeated_submit_is_the_same_job_although_the_preset_has_changed() {
    let mut cluster = Cluster::with_master();
    put(
        &cluster,
        "ours.toml",
        "description = \"Ours\"\ncrf = 20\nqueue = \"batch\"\n",
    );
    let spec = |crf: Option<u32>| JobSpec {
        preset: Some("ours".into()),
        codec: Some("h264".into()),
        crf,
        idempotency_key: Some("k".into()),
        ..JobSpec::default()
    };
    let first = cluster.client().submit(&spec(None)).unwrap();
    put(
        &cluster,
        "ours.toml",
        "description = \"Ours\"\ncrf = 30\ngop = \"2s\"\n",
    );
    let again = |cluster: &Cluster| cluster.client().submit(&spec(None)).unwrap();
    let second = again(&cluster);
    assert_eq!((second.id, second.duplicate), (first.id, true));
    cluster.kill_master();
    cluster.start_master();
    let third = again(&cluster);
    assert_eq!((third.id, third.duplicate), (first.id, true));
    // Another job under the same key is still told from it.
    let other = cluster
        .client()
        .submit(&spec(Some(22)))
        .unwrap_err()
        .to_string();
    assert!(other.contains("another description"), "{other}");
    cluster.finish();
}

#[test]
fn an_error_of_what_a_preset_says_names_the_preset_and_a_slip_is_told() {
    let cluster = Cluster::with_master();
    for (words, says) in [
        (
            &["--preset", "veryfast"][..],
            "--preset: there is no preset \"veryfast\"; veryfast is one of the encoder's own (libx264, libx265, h264_qsv): give it as encoder_preset (--encoder-preset veryfast)",
        ),
        (&["--preset", "web-mp3"], "did you mean \"web-mp4\"?"),
        (
            &["--preset", "web-mp4", "--output", "a.webm"],
            "--codec: a .webm file holds vp9 or av1; choose one of them or another extension (the preset \"web-mp4\" says it;",
        ),
        (
            &["--preset", "ladder-720p-h264", "--output", "a.mp4"],
            "(the preset \"ladder-720p-h264\" says it;",
        ),
        (
            &["--preset", "web-mp4", "--crf", "99"],
            "--crf: 99 is out of range",
        ),
        (&["--preset", "a/b"], "there is no preset"),
    ] {
        let all = [&["jobs", "submit"], words].concat();
        let (code, error) = refused(&cluster, &all);
        assert!(
            code == 2 && error.contains(says),
            "{words:?}: {code} {error}"
        );
        // The master, asked without the command line before it, says the same.
        if words.len() == 2 {
            let answer = post(
                cluster.port,
                "/v1/jobs",
                json!({"preset": words[1]}).to_string(),
            );
            let (status, code, message) = answer.error();
            assert_eq!((status, code.as_str()), (400, "bad_field"));
            assert!(
                message.contains(says.trim_start_matches("--preset: ")),
                "{message}"
            );
        }
    }
    assert!(cluster.jobs().is_empty(), "nothing was taken");
    let (code, error) = refused(&cluster, &["presets", "show", "web-mp3"]);
    assert!(
        code == 1 && error.contains("did you mean \"web-mp4\"?"),
        "{code} {error}"
    );
    cluster.finish();
}

#[test]
fn a_dry_run_knows_the_farm_s_presets_and_says_who_said_what() {
    let mut cluster = Cluster::with_master();
    put(
        &cluster,
        "web-mp4.toml",
        "description = \"Ours\"\ncodec = \"h265\"\ncrf = 26\ncpu_millicores = 3000\n",
    );
    let dry = [
        "jobs",
        "submit",
        "--preset",
        "web-mp4",
        "--input",
        "/a.mkv",
        "--output",
        "/b.mp4",
        "--gop",
        "2s",
        "--dry-run",
    ];
    let text = said(&cluster, &dry);
    for line in [
        "preset      web-mp4",
        "codec       hevc  [preset web-mp4]",
        "its preset  medium  [default]",
        "rate        crf 26  [preset web-mp4]",
        "key frames  every 2 s  [flag]",
        "needs       a worker with libx265, 3 cores and 256 MiB free  [preset web-mp4]",
        "-c:v libx265 -preset medium -force_key_frames",
    ] {
        assert!(text.contains(line), "{line:?} is not in {text}");
    }
    let json: Value =
        serde_json::from_str(&said(&cluster, &[&dry[..], &["-o", "json"]].concat())).unwrap();
    assert_eq!(
        (
            &json["origins"]["crf"],
            &json["origins"]["gop"],
            &json["origins"]["fps"]
        ),
        (&json!("preset"), &json!("flag"), &json!("default"))
    );
    assert!(cluster.jobs().is_empty());
    // Without a master, those of this tool stand in, and it is said.
    cluster.kill_master();
    let output = say(&cluster, &dry);
    let (out, err) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert!(
        output.status.success() && out.contains("codec       h264  [preset web-mp4]"),
        "{out}"
    );
    assert!(
        err.contains("does not answer") && err.contains("compiled into this tool"),
        "{err}"
    );
}

#[test]
fn a_preset_that_is_shown_is_a_file_that_can_be_used() {
    let cluster = Cluster::with_master();
    put(
        &cluster,
        "tables.toml",
        "description = \"T\"\ncrf = 20\nrenditions = []\n[require]\nzone = \"eu\"\n[metadata]\nartist = \"\\\"us\\\"\"\n",
    );
    for name in ["web-mp4", "ladder-1080p-h265", "podcast", "tables"] {
        let file = cluster.file(&format!("copy-of-{name}.toml"));
        fs::write(&file, said(&cluster, &["presets", "show", name])).unwrap();
        let checked = said(&cluster, &["presets", "check", &file]);
        assert!(checked.contains("0 errors"), "{checked}");
        fs::copy(&file, cluster.path(&format!("presets/copy-of-{name}.toml"))).unwrap();
        let client = cluster.client();
        let (one, other) = (
            client.preset(name).unwrap(),
            client.preset(&format!("copy-of-{name}")).unwrap(),
        );
        assert_eq!(
            (one.job, one.description),
            (other.job, other.description),
            "{name}"
        );
    }
    let bad = cluster.file("bad.toml");
    fs::write(&bad, "description = \"d\"\ncrf = 20\nbitrate = \"1M\"\n").unwrap();
    let output = say(
        &cluster,
        &["presets", "check", &bad, &cluster.file("presets")],
    );
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("bad.toml:2: crf: cannot be given together with bitrate"),
        "{text}"
    );
    assert!(text.contains("1 errors, 0 warnings"), "{text}");
    cluster.finish();
}

#[test]
fn the_examples_of_the_guide_work_as_they_are_pasted() {
    let cluster = Cluster::with_worker(2);
    film(&cluster);
    fs::create_dir(cluster.path("presets")).unwrap();
    assert!(examples_of(&cluster, "docs/PRESETS.md", |text| text) >= 4);
    until("nothing is left running", || {
        cluster
            .jobs()
            .iter()
            .all(|job| job.state.is_terminal())
            .then_some(())
    });
    assert!(
        cluster
            .jobs()
            .iter()
            .all(|job| job.state == JobState::Completed)
    );
    assert!(probe(&cluster.file("web.mp4"), "stream=codec_name").contains("h264"));
    cluster.finish();
}

//! Files without shared storage: uploads, workers that fetch and hand back, downloads; and everything that breaks on the way.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use ffrtmp_api::{
    client::{Client, ClientError, transfer},
    ids::JobRef,
    job::{FailureReason, JobSpec, JobState},
    rest::{NewUpload, Upload},
};
use rustix::process::Signal;
use uuid::Uuid;

use crate::cluster::{Cluster, Process, footage, tiny, until};

const MIB: u64 = 1 << 20;

/// The footage with so many MiB of nothing behind it, as MP4 allows: a large file that is a valid input.
fn large_footage(to: &Path, mebibytes: u64) -> u64 {
    fs::copy(footage(), to).unwrap();
    let mut file = File::options().append(true).open(to).unwrap();
    let bytes = mebibytes * MIB;
    // A `free` box with a 64-bit size.
    file.write_all(&1u32.to_be_bytes()).unwrap();
    file.write_all(b"free").unwrap();
    file.write_all(&bytes.to_be_bytes()).unwrap();
    let mut rng = numbers(mebibytes);
    let mut left = bytes - 16;
    let mut block = vec![0u8; MIB as usize];
    while left > 0 {
        block
            .chunks_exact_mut(8)
            .for_each(|chunk| chunk.copy_from_slice(&rng().to_le_bytes()));
        let wanted = left.min(MIB) as usize;
        file.write_all(&block[..wanted]).unwrap();
        left -= wanted as u64;
    }
    file.metadata().unwrap().len()
}

/// Numbers that do not compress and are the same each time (splitmix64).
fn numbers(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// A user's own directory, which nothing of the cluster is told of.
fn user(cluster: &Cluster) -> PathBuf {
    let dir = cluster.path("user");
    fs::create_dir_all(&dir).unwrap();
    dir
}

fn ffrtmp(cluster: &Cluster, words: &[&str]) -> Command {
    let mut command = cluster.command("user");
    command
        .args(words)
        .current_dir(user(cluster))
        .env_remove("RUST_LOG")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

#[track_caller]
fn succeeds(mut command: Command) -> (String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(stdout), text(stderr));
    assert!(
        status.success(),
        "{command:?}: {status}\n{stdout}\n{stderr}"
    );
    (stdout, stderr)
}

#[track_caller]
fn fails(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(!output.status.success(), "{command:?} succeeded");
    String::from_utf8(output.stderr).unwrap()
}

fn measured(path: &Path) -> transfer::Measured {
    transfer::measure(&mut File::open(path).unwrap(), &mut |_| true).unwrap()
}

#[track_caller]
fn upload(client: &Client, path: &Path) -> Upload {
    let what = measured(path);
    let new = NewUpload {
        bytes: what.bytes,
        name: None,
        sha256: Some(what.sha256),
    };
    let upload = client.create_upload(&new).unwrap();
    let mut file = File::open(path).unwrap();
    client
        .send_upload(&upload, &mut file, &mut |_| true)
        .unwrap()
}

fn spool_files(cluster: &Cluster) -> Vec<(PathBuf, u64)> {
    let mut files: Vec<_> = fs::read_dir(cluster.path("data/spool"))
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| Uuid::try_parse(&entry.file_name().to_string_lossy()).is_ok())
        .map(|entry| (entry.path(), entry.metadata().map_or(0, |m| m.len())))
        .collect();
    files.sort();
    files
}

fn spool_bytes(cluster: &Cluster, kind: &str) -> f64 {
    cluster.metrics()[&format!("ffrtmp_spool_bytes{{kind=\"{kind}\"}}")]
}

fn refused(cluster: &Cluster, reason: &str) -> f64 {
    cluster.metrics()[&format!("ffrtmp_spool_refused_total{{reason=\"{reason}\"}}")]
}

/// One request by hand: status, headers and body, as text.
fn raw(cluster: &Cluster, head: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", cluster.port)).unwrap();
    let length = body.len();
    write!(
        stream,
        "{head}\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    )
    .unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Peak resident memory of a process, in bytes.
fn peak_memory(process: &Process) -> u64 {
    let path = format!("/proc/{}/status", process.pid().as_raw_nonzero());
    let status = fs::read_to_string(path).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

#[test]
fn a_file_no_worker_sees_is_encoded_and_comes_back() {
    let mut cluster = Cluster::with_master();
    let dir = user(&cluster);
    fs::copy(footage(), dir.join("my.mov")).unwrap();
    let (stdout, stderr) = succeeds(ffrtmp(
        &cluster,
        &[
            "jobs",
            "submit",
            "--input",
            "my.mov",
            "--upload",
            "--size",
            "320x240",
            "--encoder-preset",
            "ultrafast",
            "--format",
            "json",
        ],
    ));
    assert!(stderr.contains("ffrtmp jobs fetch 1"), "{stderr}");
    let submitted: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    // The user's file is gone before there is any worker: only the master can have it.
    fs::remove_file(dir.join("my.mov")).unwrap();
    let not_finished = fails(ffrtmp(&cluster, &["jobs", "fetch", "1"]));
    assert!(
        not_finished.contains("job 1 is pending; its output is there when it has completed"),
        "{not_finished}"
    );
    cluster.start_worker("w1", 1);
    let id = ffrtmp_api::ids::JobSeq(submitted["id"].as_u64().unwrap());
    let job = cluster.until_completed(id);
    assert_eq!(job.spec.output.as_deref(), Some("spool:my.mp4"));

    succeeds(ffrtmp(&cluster, &["jobs", "fetch", "1"]));
    let got = dir.join("my.mp4");
    assert_eq!(measured(&got).bytes, job.result.unwrap().bytes);
    let probed = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-show_entries",
            "stream=width,codec_name",
            "-of",
            "csv",
        ])
        .arg(&got)
        .output()
        .unwrap();
    let probed = String::from_utf8(probed.stdout).unwrap();
    assert!(probed.contains("h264,320"), "{probed}");
    assert!(!dir.join("my.mp4.part").exists());

    let exists = fails(ffrtmp(&cluster, &["jobs", "fetch", "1"]));
    assert!(exists.contains("my.mp4 exists already"), "{exists}");
    let (json, _) = succeeds(ffrtmp(
        &cluster,
        &["jobs", "fetch", "1", "--force", "--format", "json"],
    ));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["sha256"], measured(&got).sha256);

    cluster.client().remove_output(JobRef::Seq(id)).unwrap();
    let gone = fails(ffrtmp(
        &cluster,
        &["jobs", "fetch", "1", "--to", "again.mp4"],
    ));
    assert!(
        gone.contains("the output of job 1 is not in the spool any more"),
        "{gone}"
    );
    assert!(!dir.join("again.mp4.part").exists());

    let plain = cluster.submit(tiny(0.1));
    cluster.until_completed(plain);
    let none = fails(ffrtmp(&cluster, &["jobs", "fetch", "2"]));
    assert!(none.contains("job 2 keeps no output"), "{none}");
    cluster.finish();
}

#[test]
fn files_go_to_the_master_and_come_back_over_tls() {
    let mut cluster = Cluster::new();
    cluster.secure();
    cluster.start_master();
    cluster.start_worker("w1", 1);
    let dir = user(&cluster);
    fs::copy(footage(), dir.join("my.mov")).unwrap();
    let words = "jobs submit --input my.mov --upload --output small.mp4 --duration 0.5 --size 160x120 --wait";
    succeeds(ffrtmp(
        &cluster,
        &words.split_whitespace().collect::<Vec<_>>(),
    ));
    assert!(measured(&dir.join("small.mp4")).bytes > 1000);
    cluster.finish();
}

#[test]
fn submit_with_upload_and_follow_ends_with_the_file_in_place() {
    let cluster = Cluster::with_worker(1);
    let dir = user(&cluster);
    fs::copy(footage(), dir.join("my.mov")).unwrap();
    let words = [
        "jobs",
        "submit",
        "--input",
        "my.mov",
        "--upload",
        "--output",
        "small.webm",
        "--duration",
        "0.5",
        "--size",
        "160x120",
        "--follow",
    ];
    succeeds(ffrtmp(&cluster, &words));
    assert!(measured(&dir.join("small.webm")).bytes > 1000);
    // Before anything is sent or encoded:
    let exists = fails(ffrtmp(&cluster, &words));
    assert!(exists.contains("small.webm exists already"), "{exists}");
    assert_eq!(cluster.jobs().len(), 1);
    // The same content is not sent again.
    let again: Vec<&str> = words.into_iter().chain(["--overwrite"]).collect();
    let (_, stderr) = succeeds(ffrtmp(&cluster, &again));
    assert!(stderr.contains("is on the master already"), "{stderr}");
    assert_eq!(
        spool_bytes(&cluster, "input"),
        fs::metadata(footage()).unwrap().len() as f64
    );
    cluster.finish();
}

#[test]
fn an_upload_whose_command_was_killed_is_gone_on_with() {
    let cluster = Cluster::with_master();
    let dir = user(&cluster);
    large_footage(&dir.join("big.mp4"), 200);
    let words = ["jobs", "submit", "--input", "big.mp4", "--upload"];
    let child = ffrtmp(&cluster, &words).spawn().unwrap();
    let mut process = Process { child };
    until("bytes arrive", || {
        (spool_bytes(&cluster, "incomplete") > 0.0).then_some(())
    });
    process.kill();
    assert!(
        cluster.jobs().is_empty(),
        "the upload was not over when it was killed"
    );
    let (_, stderr) = succeeds(ffrtmp(&cluster, &words));
    assert!(stderr.contains("going on with"), "{stderr}");
    assert_eq!(cluster.jobs().len(), 1);
    assert_eq!(spool_files(&cluster).len(), 1);
    cluster.finish();
}

#[test]
fn an_upload_goes_on_through_the_death_of_the_master() {
    let mut cluster = Cluster::with_master();
    let path = user(&cluster).join("big.mp4");
    let bytes = large_footage(&path, 200);
    let words = ["jobs", "submit", "--input", "big.mp4", "--upload"];
    let child = ffrtmp(&cluster, &words).spawn().unwrap();
    let mut process = Process { child };
    until("bytes arrive", || {
        (spool_bytes(&cluster, "incomplete") > 0.0).then_some(())
    });
    cluster.kill_master();
    assert!(
        spool_files(&cluster)[0].1 < bytes,
        "the upload was over when the master was killed"
    );
    cluster.start_master();
    assert!(process.wait().success());
    // Complete means that the SHA-256 over both lives was the one announced.
    assert_eq!(cluster.jobs().len(), 1);
    assert_eq!(spool_bytes(&cluster, "input"), bytes as f64);
    cluster.finish();
}

#[test]
fn a_worker_s_fetch_goes_on_through_the_death_of_the_master() {
    let mut cluster = Cluster::with_worker(1);
    let path = user(&cluster).join("big.mp4");
    let bytes = large_footage(&path, 300);
    let upload = upload(&cluster.client(), &path);
    let id = cluster.submit(JobSpec {
        input: Some(format!("upload:{}", upload.id)),
        output: Some("spool:out.mp4".into()),
        ..tiny(0.2)
    });
    let input = cluster.path(&format!("state-w1/scratch/{id}.1.input"));
    let size = || fs::metadata(&input).map_or(0, |m| m.len());
    until("the worker fetches", || (size() > 0).then_some(()));
    cluster.kill_master();
    assert!(
        size() < bytes,
        "the fetch was over when the master was killed"
    );
    cluster.start_master();
    let job = cluster.until_completed(id);
    assert_eq!((job.attempt.0, job.failures), (1, 0));
    until("the fetched input is removed", || {
        (!input.exists()).then_some(())
    });
    cluster.finish();
}

#[test]
fn a_worker_killed_while_it_hands_back_loses_nothing_and_one_output_is_left() {
    let mut cluster = Cluster::new();
    cluster.master_flags = [
        "--lease",
        "3s",
        "--heartbeat",
        "500ms",
        "--spool-keep-uploads",
        "2s",
    ]
    .map(String::from)
    .to_vec();
    cluster.start_master();
    cluster.start_worker("w0", 1);
    // Lossless, so that handing back takes several pieces.
    let spec = JobSpec {
        input: Some(footage()),
        output: Some("spool:out.mkv".into()),
        encoder_preset: Some("ultrafast".into()),
        crf: Some(0),
        ..JobSpec::default()
    };
    let mut life = 0;
    let id = loop {
        let id = cluster.submit(spec.clone());
        let scratch = cluster.path(&format!("state-w{life}/scratch/{id}.1.matroska"));
        let half = || {
            let (_, there) = spool_files(&cluster).into_iter().find(|(_, n)| *n > 0)?;
            (there < fs::metadata(&scratch).ok()?.len()).then_some(there)
        };
        let caught = until("something is handed back", || {
            let done = cluster.job(id).state == JobState::Completed;
            half().map(|_| true).or(done.then_some(false))
        });
        if caught {
            cluster.worker(&format!("w{life}")).signal(Signal::STOP);
            if half().is_some() {
                break id;
            }
            cluster.worker(&format!("w{life}")).signal(Signal::CONT);
        }
        cluster.until_completed(id);
        cluster.client().remove_output(JobRef::Seq(id)).unwrap();
        life += 1;
        assert!(life < 10, "the hand-back was never caught half-way");
        let (mut old, _) = cluster.workers.remove(&format!("w{}", life - 1)).unwrap();
        old.kill();
        cluster.start_worker(&format!("w{life}"), 1);
    };
    let (mut dead, _) = cluster.workers.remove(&format!("w{life}")).unwrap();
    dead.kill();
    cluster.start_worker("other", 1);
    let job = cluster.until_completed(id);
    assert_eq!((job.attempt.0, job.node.as_deref()), (2, Some("other")));
    until("the half output is removed", || {
        let files = spool_files(&cluster);
        (files.len() == 1).then_some(())
    });
    let to = cluster.file("got.mkv");
    succeeds(ffrtmp(
        &cluster,
        &["jobs", "fetch", &id.to_string(), "--to", &to],
    ));
    assert_eq!(measured(Path::new(&to)).bytes, job.result.unwrap().bytes);
    cluster.finish();
}

#[test]
fn an_output_chosen_before_its_worker_died_is_published_by_another() {
    let mut cluster = Cluster::new();
    cluster.master_flags = ["--lease", "3s", "--heartbeat", "500ms"]
        .map(String::from)
        .to_vec();
    cluster.start_master();
    cluster.start_worker("w1", 1);
    let id = cluster.submit(JobSpec {
        input: Some(footage()),
        output: Some("spool:out.mp4".into()),
        encoder_preset: Some("ultrafast".into()),
        ..JobSpec::default()
    });
    cluster.until_state(id, &[JobState::Running]);
    // The encode ends with nobody to tell, and nothing to hand back to; then the worker hands back and reports, and dies.
    let whole = until("the output is in the spool", || {
        let (path, bytes) = spool_files(&cluster).into_iter().next()?;
        let record = fs::read_to_string(path.with_extension("json")).ok()?;
        let record: serde_json::Value = serde_json::from_str(&record).ok()?;
        record["completed_ms"].is_i64().then_some(bytes)
    });
    cluster.worker("w1").signal(Signal::KILL);
    cluster.start_worker("w2", 1);
    let job = cluster.until_completed(id);
    // Killed before it said that it had encoded: another attempt. After: the same one, published by whoever is there.
    let to = cluster.file("got.mp4");
    succeeds(ffrtmp(
        &cluster,
        &["jobs", "fetch", &id.to_string(), "--to", &to],
    ));
    let got = measured(Path::new(&to)).bytes;
    assert_eq!(got, job.result.unwrap().bytes);
    if job.attempt.0 == 1 {
        assert_eq!(got, whole);
    }
    until("one output is left", || {
        (spool_files(&cluster).len() == 1).then_some(())
    });
    cluster.finish();
}

#[test]
fn what_does_not_fit_is_refused_before_it_is_sent() {
    let mut cluster = Cluster::new();
    cluster.master_flags = ["--spool-max", "1M", "--spool-file-max", "900k"]
        .map(String::from)
        .to_vec();
    cluster.start_master();
    let dir = user(&cluster);
    fs::write(dir.join("a.mp4"), vec![1; 800 << 10]).unwrap();
    fs::write(dir.join("b.mp4"), vec![2; 800 << 10]).unwrap();
    fs::write(dir.join("c.mp4"), vec![3; 950 << 10]).unwrap();
    succeeds(ffrtmp(
        &cluster,
        &["jobs", "submit", "--input", "a.mp4", "--upload"],
    ));
    let full = fails(ffrtmp(
        &cluster,
        &["jobs", "submit", "--input", "b.mp4", "--upload"],
    ));
    assert!(
        full.contains("the spool is full: 819200 bytes do not fit, 229376 of 1048576 are free"),
        "{full}"
    );
    let large = fails(ffrtmp(
        &cluster,
        &["jobs", "submit", "--input", "c.mp4", "--upload"],
    ));
    assert!(
        large.contains("972800 bytes are more than the 921600 that one file may have"),
        "{large}"
    );
    assert_eq!(
        (refused(&cluster, "quota"), refused(&cluster, "file_size")),
        (1.0, 1.0)
    );
    assert_eq!((spool_files(&cluster).len(), cluster.jobs().len()), (1, 1));

    // Room is made when the jobs that used an input have completed; a job that failed may be retried, so its input stays.
    cluster.start_worker("w1", 1);
    let failed = cluster.until_state(ffrtmp_api::ids::JobSeq(1), &[JobState::Failed]);
    assert_eq!(failed.failure.unwrap().reason, FailureReason::InputError);
    fails(ffrtmp(
        &cluster,
        &["jobs", "submit", "--input", "b.mp4", "--upload"],
    ));
    let id = Uuid::try_parse(
        &spool_files(&cluster)[0]
            .0
            .file_name()
            .unwrap()
            .to_string_lossy(),
    )
    .unwrap();
    cluster.client().remove_upload(id).unwrap();
    succeeds(ffrtmp(
        &cluster,
        &["jobs", "submit", "--input", "b.mp4", "--upload"],
    ));
    cluster.finish();
}

#[test]
fn room_is_made_by_removing_inputs_whose_jobs_completed() {
    let mut cluster = Cluster::new();
    let size = fs::metadata(footage()).unwrap().len();
    // The footage fits twice, its small output as well, but not the footage three times.
    cluster.master_flags = vec!["--spool-max".into(), (size * 5 / 2).to_string()];
    cluster.start_master();
    cluster.start_worker("w1", 1);
    let dir = user(&cluster);
    let mut last = None;
    for n in 1..=4 {
        let name = format!("{n}.mp4");
        fs::copy(footage(), dir.join(&name)).unwrap();
        // Other content: a free box of its own.
        let mut file = File::options().append(true).open(dir.join(&name)).unwrap();
        file.write_all(&[0, 0, 0, 9]).unwrap();
        file.write_all(b"free").unwrap();
        file.write_all(&[n]).unwrap();
        let small = format!("small-{n}.mp4");
        succeeds(ffrtmp(
            &cluster,
            &[
                "jobs",
                "submit",
                "--input",
                &name,
                "--upload",
                "--output",
                &small,
                "--size",
                "160x120",
                "--duration",
                "0.2",
                "--wait",
            ],
        ));
        last = Some(dir.join(small));
    }
    assert!(last.unwrap().exists());
    assert!(spool_bytes(&cluster, "input") <= (size * 2 + 100) as f64);
    assert_eq!(refused(&cluster, "quota"), 0.0);
    cluster.finish();
}

#[test]
fn a_wrong_checksum_a_wrong_offset_and_too_many_bytes_are_refused() {
    let cluster = Cluster::with_master();
    let client = cluster.client();
    let path = user(&cluster).join("x.mp4");
    fs::write(&path, b"0123456789").unwrap();
    let new = NewUpload {
        bytes: 10,
        name: Some("x.mp4".into()),
        sha256: Some("0".repeat(64)),
    };
    let upload = client.create_upload(&new).unwrap();
    let mut file = File::open(&path).unwrap();
    let error = client
        .send_upload(&upload, &mut file, &mut |_| true)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the content has the SHA-256 84d89877"),
        "{error}"
    );
    assert!(client.upload(upload.id).unwrap_err().is_not_found());
    assert_eq!(refused(&cluster, "checksum"), 1.0);

    let upload = client
        .create_upload(&NewUpload {
            sha256: None,
            ..new
        })
        .unwrap();
    let patch = |offset: &str, body: &[u8]| {
        raw(
            &cluster,
            &format!(
                "PATCH /v1/uploads/{} HTTP/1.1\r\nupload-offset: {offset}",
                upload.id
            ),
            body,
        )
    };
    assert!(patch("0", b"01234").contains("\"offset\":5"));
    let wrong = patch("3", b"34");
    assert!(
        wrong.starts_with("HTTP/1.1 409") && wrong.contains("upload-offset: 5"),
        "{wrong}"
    );
    assert!(
        wrong.contains("the upload has 5 bytes, so the next ones go to offset 5, not 3"),
        "{wrong}"
    );
    let surplus = patch("5", b"5678901");
    assert!(
        surplus.starts_with("HTTP/1.1 400") && surplus.contains("announced with 10 bytes"),
        "{surplus}"
    );
    assert!(patch("x", b"5").contains("the header upload-offset must say"));
    assert_eq!(
        client.upload(upload.id).unwrap().offset,
        5,
        "nothing of a refused request is kept"
    );

    let spec = |id: Uuid| JobSpec {
        input: Some(format!("upload:{id}")),
        ..tiny(0.1)
    };
    let half = client.submit(&spec(upload.id)).unwrap_err().to_string();
    assert!(
        half.contains("is not complete: 5 of 10 bytes are there"),
        "{half}"
    );
    let none = client.submit(&spec(Uuid::nil())).unwrap_err().to_string();
    assert!(none.contains("there is no upload 00000000"), "{none}");
    assert!(patch("5", b"56789").contains("\"complete\":true"));
    let id = client.submit(&spec(upload.id)).unwrap().id;
    let used = client.remove_upload(upload.id).unwrap_err().to_string();
    assert!(
        used.contains("is the input of a job that has not ended"),
        "{used}"
    );
    client.cancel(JobRef::Seq(id)).unwrap();
    client.remove_upload(upload.id).unwrap();
    assert!(spool_files(&cluster).is_empty());
    cluster.finish();
}

#[test]
fn a_disk_that_fills_up_in_the_middle_ends_the_upload_and_frees_what_was_written() {
    let mut cluster = Cluster::new();
    // SIGXFSZ ignored, a write beyond the limit fails with EFBIG, as on a full disk; the store's files are far smaller.
    let args = cluster.master_args();
    let log = File::create(cluster.path("master.log")).unwrap();
    let mut shell = Command::new("sh");
    shell
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 40960; exec \"$0\" \"$@\"",
            crate::cluster::FFRTMP,
        ])
        .args(args)
        .stderr(log)
        .current_dir(cluster.dir.path());
    cluster.master = Some(Process {
        child: shell.spawn().unwrap(),
    });
    cluster.until_ready();
    large_footage(&user(&cluster).join("big.mp4"), 100);
    let full = fails(ffrtmp(
        &cluster,
        &["jobs", "submit", "--input", "big.mp4", "--upload"],
    ));
    assert!(
        full.contains("the master's disk is full; what was received of this upload was removed"),
        "{full}"
    );
    assert!(spool_files(&cluster).is_empty());
    assert_eq!(
        (
            refused(&cluster, "disk"),
            spool_bytes(&cluster, "incomplete")
        ),
        (1.0, 0.0)
    );
    // The master is none the worse for it.
    let id = cluster.submit(tiny(0.1));
    cluster.start_worker("w1", 1);
    cluster.until_completed(id);
    cluster.finish();
}

#[test]
fn files_go_when_their_time_is_over() {
    let mut cluster = Cluster::new();
    let keep = |uploads: &str| {
        [
            "--spool-keep-uploads",
            uploads,
            "--spool-keep-inputs",
            "0s",
            "--spool-keep-outputs",
            "400ms",
        ]
        .map(String::from)
        .to_vec()
    };
    cluster.master_flags = keep("1h");
    cluster.start_master();
    cluster.start_worker("w1", 1);
    let client = cluster.client();
    let used = upload(&client, Path::new(&footage()));
    let half = client
        .create_upload(&NewUpload {
            bytes: 10,
            name: None,
            sha256: None,
        })
        .unwrap();
    let id = cluster.submit(JobSpec {
        input: Some(format!("upload:{}", used.id)),
        output: Some("spool:x.mp4".into()),
        ..tiny(0.2)
    });
    cluster.until_completed(id);
    until("the input of a completed job goes", || {
        client.upload(used.id).is_err().then_some(())
    });
    until("an old output goes", || {
        match client.output_size(JobRef::Seq(id)) {
            Err(ClientError::Refused { status: 410, error }) => Some(error),
            _ => None,
        }
    });
    assert_eq!(
        client.upload(half.id).unwrap().offset,
        0,
        "an hour has not passed"
    );

    // What has no record, or no content, is of no use to anybody.
    cluster.kill_master();
    let stray = cluster.path(&format!("data/spool/{}", Uuid::new_v4()));
    let lonely = cluster.path(&format!("data/spool/{}.json", Uuid::new_v4()));
    let strange = cluster.path("data/spool/notes.txt");
    for path in [&stray, &lonely, &strange] {
        fs::write(path, "x").unwrap();
    }
    cluster.master_flags = keep("400ms");
    cluster.start_master();
    assert!(!stray.exists() && !lonely.exists() && strange.exists());
    until("an incomplete upload goes", || {
        client.upload(half.id).is_err().then_some(())
    });
    assert!(spool_files(&cluster).is_empty());
    cluster.finish();
}

#[test]
fn a_download_goes_on_with_what_is_there_and_does_not_trust_it() {
    let cluster = Cluster::with_worker(1);
    let id = cluster.submit(JobSpec {
        input: Some(footage()),
        output: Some("spool:out.mp4".into()),
        encoder_preset: Some("ultrafast".into()),
        ..JobSpec::default()
    });
    cluster.until_completed(id);
    let dir = user(&cluster);
    let (to, part) = (dir.join("out.mp4"), dir.join("out.mp4.part"));
    let words = ["jobs", "fetch", &id.to_string(), "--force"].map(String::from);
    let fetch = || {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        succeeds(ffrtmp(&cluster, &words))
    };
    fetch();
    let whole = fs::read(&to).unwrap();
    let half = whole[..whole.len() / 2].to_vec();
    let longer = [whole.clone(), vec![0; 100]].concat();
    for there in [
        half,
        vec![7; whole.len() / 2],
        whole.clone(),
        vec![7; whole.len()],
        longer,
    ] {
        fs::remove_file(&to).unwrap();
        fs::write(&part, there).unwrap();
        fetch();
        assert!(fs::read(&to).unwrap() == whole && !part.exists());
    }
    // By hand, as a browser would.
    let answer = raw(
        &cluster,
        &format!("GET /v1/jobs/{id}/output HTTP/1.1\r\nrange: bytes=4-7"),
        b"",
    );
    assert!(
        answer.starts_with("HTTP/1.1 206") && answer.ends_with("ftyp"),
        "{answer}"
    );
    assert!(answer.contains("filename=\"out.mp4\""), "{answer}");
    let head = raw(
        &cluster,
        &format!("HEAD /v1/jobs/{id}/output HTTP/1.1"),
        b"",
    );
    assert!(
        head.contains(&format!("content-length: {}", whole.len())),
        "{head}"
    );
    cluster.finish();
}

#[test]
fn a_gigabyte_passes_through_with_flat_memory() {
    let cluster = Cluster::with_worker(1);
    let path = user(&cluster).join("big.mp4");
    let bytes = large_footage(&path, 1024);
    let (master, worker) = (cluster.master.as_ref().unwrap(), cluster.worker("w1"));
    let before = (peak_memory(master), peak_memory(worker));
    let started = std::time::Instant::now();
    let upload = upload(&cluster.client(), &path);
    let sent = started.elapsed();
    let started = std::time::Instant::now();
    let id = cluster.submit(JobSpec {
        input: Some(format!("upload:{}", upload.id)),
        output: Some("spool:out.mp4".into()),
        ..tiny(0.2)
    });
    cluster.until_completed(id);
    let ran = started.elapsed();
    let grown = (
        peak_memory(master) - before.0,
        peak_memory(worker) - before.1,
    );
    println!(
        "{bytes} bytes sent in {sent:?}, fetched and encoded in {ran:?}; peak memory grew by {grown:?}"
    );
    // Buffers of 1 MiB on the master, 16 MiB on a sender; the rest is what any work costs.
    assert!(grown.0 < 48 * MIB && grown.1 < 48 * MIB, "{grown:?}");
    cluster.finish();
}

#[test]
fn an_input_that_is_gone_fails_the_job_once() {
    let mut cluster = Cluster::with_master();
    let client = cluster.client();
    let upload = upload(&client, Path::new(&footage()));
    let id = cluster.submit(JobSpec {
        input: Some(format!("upload:{}", upload.id)),
        ..tiny(0.1)
    });
    // As if the master's disk had lost it.
    fs::remove_file(cluster.path(&format!("data/spool/{}", upload.id))).unwrap();
    cluster.start_worker("w1", 1);
    let job = cluster.until_state(id, &[JobState::Failed]);
    let failure = job.failure.unwrap();
    assert_eq!(
        (failure.reason, job.attempt.0),
        (FailureReason::InputError, 1),
        "{failure:?}"
    );
    assert!(
        failure
            .message
            .contains("is not in the master's spool any more"),
        "{failure:?}"
    );
    cluster.finish();
}

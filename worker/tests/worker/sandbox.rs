//! What an ffmpeg that was taken over gets, and what a real one that is led astray does.

use std::{fs, os::unix::net::UnixListener, process::Command};

use axum::{Router, routing::get};
use ffrtmp_api::{
    job::{FailureReason, JobSpec},
    protocol::{Hello, Outcome},
};
use ffrtmp_worker::SandboxMode;
use tokio::net::TcpListener;

use crate::{
    astray::{Trap, half_a_second},
    hostile::{self, Got, got, status},
    master::{Master, attempt, tiny},
    node::{Node, clip, eventually},
};

/// What the taken-over ffmpeg of a job like this gets, and all it printed.
async fn taken_over(
    mode: SandboxMode,
    edit: impl FnOnce(&mut JobSpec, &Node),
) -> (Got, String, usize) {
    let mut master = Master::start().await;
    let trap = Trap::start().await;
    let node = Node::of(&master);
    let input = node.media("input.mp4");
    fs::copy(clip(), &input).unwrap();
    let mut node = hostile::in_place_of_ffmpeg(node, Some(&input), trap.port);
    let _service = UnixListener::bind(node.dir.path().join("service")).unwrap();
    node.config.sandbox = mode;
    let _running = node.start();
    let (mut session, _) = master.session().await;
    session.assign(attempt(1), |spec| {
        spec.input = Some(input.to_str().unwrap().into());
        spec.output = node.media_text("out.mp4");
        edit(spec, &node);
    });
    let (outcome, log) = session.outcome(attempt(1)).await;
    assert!(matches!(outcome, Outcome::Failed { .. }), "{outcome:?}");
    assert_eq!(node.listing(), ["input.mp4", "other.mp4"]);
    (got(&log), log, trap.strayed())
}

const MAY: [&str; 5] = [
    "reading its input",
    "writing its output",
    "reading its output",
    "running a program",
    "making a thread",
];

#[tokio::test(flavor = "multi_thread")]
async fn an_ffmpeg_that_was_taken_over_reads_its_input_writes_its_output_and_nothing_else() {
    let (got, log, strayed) = taken_over(SandboxMode::Require, |_, _| ()).await;
    let wrong: Vec<_> = got
        .iter()
        .filter(|(what, number)| {
            let may = MAY.contains(&what.as_str()) || *what == "the end";
            let refusals: &[i32] = match (may, what.as_str()) {
                (true, _) => &[0],
                // Whether there is such a thing at all is not to be told.
                (_, "io_uring" | "clone3" | "openat2" | "another convention") => &[libc::ENOSYS],
                (_, what) if what.contains("socket") => &[libc::EAFNOSUPPORT],
                (
                    _,
                    "a connection" | "the proxy" | "a datagram" | "a local service" | "a server",
                ) => &[libc::EAFNOSUPPORT],
                // There is no socket to send on.
                (_, "a fast connection") => &[libc::EPERM, libc::EBADF],
                _ => &[libc::EACCES, libc::EPERM],
            };
            !refusals.contains(number)
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}\n{log}");
    assert!(got.len() > 50, "{got:?}");
    assert_eq!(strayed, 0);
    assert_eq!(status(&log, "NoNewPrivs"), "1");
    assert_eq!(status(&log, "Seccomp"), "2");
    // Of root only what opens files is left: CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH.
    if rustix::process::geteuid().is_root() {
        assert_eq!(status(&log, "CapEff"), "0000000000000006");
        assert_eq!(status(&log, "CapBnd"), "0000000000000006");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_sandbox_the_same_ffmpeg_gets_what_the_worker_may() {
    let (got, log, strayed) = taken_over(SandboxMode::Off, |_, _| ()).await;
    // What takes no privilege succeeds for whoever runs this.
    for what in [
        "reading a secret",
        "reading the worker's state",
        "reading another film",
        "writing its input",
        "writing another film",
        "making a file",
        "making a link",
        "cutting a film",
        "the mode of a film",
        "a connection",
        "a datagram",
        "a local service",
        "a server",
        "the worker's environment",
        "a signal to the worker",
        "the worker's limits",
        "outliving the worker",
    ] {
        assert_eq!(got[what], 0, "{what}\n{log}");
    }
    assert!(strayed > 0);
    if rustix::process::geteuid().is_root() {
        assert_eq!(got["a namespace"], 0);
        assert_eq!(got["tracing the worker"], 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_with_a_url_connects_to_the_proxy_and_to_no_other_port() {
    let film = fs::read(clip()).unwrap();
    let site = Router::new().route("/film.mp4", get(|| async { film }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(axum::serve(listener, site).into_future());
    let (got, log, strayed) = taken_over(SandboxMode::Require, |spec, _| {
        spec.input = Some(format!("http://127.0.0.1:{port}/film.mp4"));
    })
    .await;
    assert_eq!(got["the proxy"], 0, "{log}");
    assert_eq!(got["a connection"], libc::EACCES);
    assert_eq!(got["a server"], libc::EACCES);
    assert_eq!(got["a fast connection"], libc::EPERM);
    for what in [
        "a datagram",
        "a local service",
        "a raw socket",
        "a netlink socket",
        "a multipath socket",
    ] {
        assert_eq!(got[what], libc::EAFNOSUPPORT, "{what}\n{log}");
    }
    // What was its input in the other tests is a stranger's file here.
    assert_eq!(got["reading its input"], libc::EACCES);
    assert_eq!(strayed, 0);
}

/// A real ffmpeg and ffprobe without their lists of protocols: as if those were wrong.
fn without_lists(node: &mut Node) {
    for name in ["ffmpeg", "ffprobe"] {
        let path = node.dir.path().join(format!("lax-{name}"));
        let script = format!(
            "#!/bin/bash\nargs=()\nwhile (($#)); do case $1 in\n\
             -protocol_whitelist) args+=(\"$1\" file,http,https,tcp,tls,httpproxy,udp,unix,crypto,data); shift;;\n\
             -format_whitelist) shift;;\n\
             *) args+=(\"$1\");;\nesac; shift; done\nexec {name} \"${{args[@]}}\"\n"
        );
        crate::node::program(&path, &script);
        match name {
            "ffmpeg" => node.config.ffmpeg = path,
            _ => node.config.ffprobe = path,
        }
    }
}

/// How often a playlist that names `segment` leads a real ffmpeg to the trap. `TRAP` in it stands for its address.
async fn led_astray(mode: SandboxMode, segment: &str) -> usize {
    let mut master = Master::start().await;
    let trap = Trap::start().await;
    let mut node = Node::of(&master);
    node.config.sandbox = mode;
    without_lists(&mut node);
    let film = half_a_second(&node.media("film.ts"));
    let segment = segment.replace("TRAP", &format!("127.0.0.1:{}", trap.port));
    let playlist = format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.5,\nfilm.ts\n#EXTINF:0.5,\n{segment}\n#EXT-X-ENDLIST\n"
    );
    let site = Router::new()
        .route("/film.ts", get(|| async { film }))
        .route("/list.m3u8", get(|| async { playlist }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(axum::serve(listener, site).into_future());
    let _running = node.start();
    let (mut session, _) = master.session().await;
    session.assign(attempt(1), |spec| {
        spec.input = Some(format!("http://127.0.0.1:{port}/list.m3u8"));
        spec.encoder_preset = Some("ultrafast".into());
        spec.timeout_seconds = Some(20.0);
    });
    session.outcome(attempt(1)).await;
    trap.strayed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_playlist_leads_nowhere_even_where_ffmpeg_s_own_list_of_protocols_fails() {
    // It takes no other kind of segment for one; the proxy's own protocol it does, where it ends like one.
    let segment = "httpproxy://TRAP/127.0.0.1:80.ts";
    let (off, on) = tokio::join!(
        led_astray(SandboxMode::Off, segment),
        led_astray(SandboxMode::Require, segment),
    );
    assert!(off > 0, "the test shows nothing");
    assert_eq!(on, 0);
}

/// How an encode ends whose input is replaced by a link to a film outside the roots, after it was looked at and before it is read.
async fn with_a_swapped_input(mode: SandboxMode) -> Result<(), (FailureReason, String)> {
    let mut master = Master::start().await;
    let node = Node::of(&master);
    let (input, outside) = (node.media("input.mp4"), node.dir.path().join("outside.mp4"));
    fs::copy(clip(), &input).unwrap();
    fs::copy(clip(), &outside).unwrap();
    let signals = node.dir.path().join("signals");
    fs::create_dir(&signals).unwrap();
    // Waits for a file before it begins.
    let mut node = node.with_ffmpeg(&format!(
        "until [ -e {}/go ]; do sleep 0.05; done\nexec ffmpeg \"$@\"",
        signals.display()
    ));
    node.config.allow_roots = vec![node.media("").clone()];
    node.config.sandbox = mode;
    let _running = node.start();
    let (mut session, _) = master.session().await;
    session.assign(attempt(1), |spec| {
        spec.input = Some(input.to_str().unwrap().into());
        spec.output = node.media_text("out.mp4");
        spec.encoder_preset = Some("ultrafast".into());
    });
    session.started(attempt(1)).await;
    fs::remove_file(&input).unwrap();
    std::os::unix::fs::symlink(&outside, &input).unwrap();
    fs::write(signals.join("go"), "").unwrap();
    session
        .until(|frame| match frame {
            ffrtmp_api::protocol::ToMaster::Encoded { .. } => Some(Ok(())),
            ffrtmp_api::protocol::ToMaster::Outcome {
                outcome: Outcome::Failed { reason, message },
                ..
            } => Some(Err((reason, message))),
            _ => None,
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_put_in_place_of_a_checked_input_leads_to_nothing() {
    with_a_swapped_input(SandboxMode::Off)
        .await
        .expect("the test shows nothing");
    let (_, message) = with_a_swapped_input(SandboxMode::Require)
        .await
        .unwrap_err();
    assert!(message.contains("Permission denied"), "{message}");
}

fn guard<'a>(hello: &'a Hello, name: &str) -> &'a ffrtmp_api::protocol::GuardReport {
    let mut all = hello.capabilities.guards.iter();
    all.find(|guard| guard.name == name).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_sandbox_holds_is_told_to_the_master() {
    let mut master = Master::start().await;
    let node = Node::of(&master);
    let _running = node.start();
    let (_session, hello) = master.session().await;
    for (name, says) in [
        ("files", "Landlock"),
        ("connections", "opens no socket"),
        ("processes", "signals"),
        ("system calls", "seccomp"),
    ] {
        let guard = guard(&hello, name);
        assert!(guard.holds && guard.what.contains(says), "{guard:?}");
    }
    assert!(guard(&hello, "user").holds);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ffmpeg_that_needs_more_than_it_is_given_is_named_at_the_start_with_what_helps() {
    let master = Master::start().await;
    let mut node = Node::of(&master);
    let needed = node.dir.path().join("settings");
    fs::write(&needed, "").unwrap();
    let path = node.dir.path().join("ffmpeg");
    crate::node::program(
        &path,
        &format!("#!/bin/sh\n. {}\nexec ffmpeg \"$@\"\n", needed.display()),
    );
    node.config.ffmpeg = path;
    let error = node.start().ended().await.unwrap_err();
    let said = format!("{error:#}");
    assert!(
        said.contains("runs by itself")
            && said.contains("--sandbox-read")
            && said.contains("settings"),
        "{said}"
    );
    // What was named helps.
    node.config.sandbox_reads = vec![needed];
    let mut running = node.start();
    let mut master = master;
    let (mut session, _) = master.session().await;
    session.assign(attempt(1), tiny);
    let (outcome, log) = session.outcome(attempt(1)).await;
    assert!(
        matches!(outcome, Outcome::Completed { .. }),
        "{outcome:?}\n{log}"
    );
    running.stop();
    running.ended().await.unwrap();
    node.config.sandbox_reads = vec!["/no/such/place".into()];
    let error = format!("{:#}", node.start().ended().await.unwrap_err());
    assert!(
        error.contains("--sandbox-read") && error.contains("/no/such/place"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_burned_measured_segmented_and_compared_is_so_in_the_sandbox_too() {
    let mut master = Master::start().await;
    let node = Node::of(&master);
    let captioned = node.media("captioned.mkv");
    let words = node.media("words.srt");
    fs::write(&words, "1\n00:00:00,000 --> 00:00:01,000\nSome words\n").unwrap();
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x180:d=1"])
        .args(["-f", "lavfi", "-i", "sine=d=1", "-i"])
        .arg(&words)
        .args(["-c:v", "libx264", "-c:a", "aac", "-c:s", "srt"])
        .arg(&captioned)
        .status();
    assert!(made.unwrap().success());
    let _running = node.start();
    let (mut session, _) = master.session().await;
    type Edit = fn(&mut JobSpec);
    let jobs: [(&str, Edit); 5] = [
        ("burned.mp4", |spec| spec.subtitles = Some("burn".into())),
        ("two.mp4", |spec| {
            spec.input = Some(clip().to_str().unwrap().into());
            spec.duration_seconds = Some(1.0);
            (spec.two_pass, spec.bitrate) = (true, Some("300k".into()));
        }),
        ("show/index.m3u8", |_| ()),
        ("gated.mp4", |spec| spec.ssim_min = Some(0.5)),
        ("still.jpg", |_| ()),
    ];
    for (n, (name, edit)) in jobs.into_iter().enumerate() {
        let job = attempt(n as u64 + 1);
        session.assign(job, |spec| {
            spec.input = Some(captioned.to_str().unwrap().into());
            spec.output = node.media_text(name);
            spec.preset = (!name.ends_with(".jpg")).then(|| "ultrafast".into());
            edit(spec);
        });
        let (_, bytes, _) = session.encoded(job).await;
        assert!(bytes > 0, "{name}");
    }
    eventually("work folders are left", || {
        let left = node.scratch_and_records();
        !left.iter().any(|name| name.ends_with(".work"))
    })
    .await;
}

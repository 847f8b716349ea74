//! ffmpeg as another user: real ones, as root can be only. Where this is not run by root, it says so.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
};

use ffrtmp_api::{
    job::FailureReason,
    protocol::{Outcome, ToWorker},
};
use ffrtmp_worker::SandboxMode;

use crate::{
    hostile::{self, got, status},
    master::{Master, attempt, tiny},
    node::{Node, clip},
};

/// Everybody's least user.
const NOBODY: u32 = 65_534;

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("not run: only root can become another user");
    }
    root
}

/// A node whose ffmpeg is `nobody`, who owns its films.
fn node(master: &Master) -> Node {
    let mut node = Node::of(master);
    fs::set_permissions(node.dir.path(), Permissions::from_mode(0o755)).unwrap();
    chown(node.media(""), Some(NOBODY), Some(NOBODY)).unwrap();
    node.config.run_as = Some(format!("nobody:{NOBODY}"));
    node
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_user_encodes_is_that_user_s_file_and_is_published() {
    if !is_root() {
        return;
    }
    let mut master = Master::start().await;
    let node = node(&master);
    let _running = node.start();
    let (mut session, hello) = master.session().await;
    let mut guards = hello.capabilities.guards.iter();
    let user = guards.find(|guard| guard.name == "user").unwrap();
    assert_eq!(user.what, "ffmpeg is nobody");
    for (n, name) in ["film.mp4", "show/index.m3u8"].iter().enumerate() {
        let job = attempt(n as u64 + 1);
        session.assign(job, |spec| {
            tiny(spec);
            spec.output = node.media_text(name);
            spec.two_pass = n == 0;
            spec.bitrate = (n == 0).then(|| "300k".into());
        });
        let (temp, bytes, _) = session.encoded(job).await;
        session.send(ToWorker::Publish {
            attempt: job,
            temp,
            output: node.media_text(name).unwrap(),
            bytes,
            overwrite: false,
        });
        let (outcome, _) = session.outcome(job).await;
        assert_eq!(outcome, Outcome::Published);
        let made = fs::metadata(node.media(name)).unwrap();
        assert_eq!((made.uid(), made.gid()), (NOBODY, NOBODY), "{name}");
    }
    // What is not kept is written in scratch, where nobody else makes anything.
    session.assign(attempt(3), tiny);
    let (outcome, log) = session.outcome(attempt(3)).await;
    assert!(
        matches!(outcome, Outcome::Completed { .. }),
        "{outcome:?}\n{log}"
    );
    assert_eq!(
        fs::metadata(node.dir.path().join("state/scratch"))
            .unwrap()
            .uid(),
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_can_do_through_the_worker_no_more_than_that_user() {
    if !is_root() {
        return;
    }
    let mut master = Master::start().await;
    let node = node(&master);
    let (private, roots) = (node.media("private.mp4"), node.dir.path().join("roots"));
    fs::copy(clip(), &private).unwrap();
    fs::set_permissions(&private, Permissions::from_mode(0o600)).unwrap();
    fs::create_dir(&roots).unwrap();
    let _running = node.start();
    let (mut session, _) = master.session().await;
    session.assign(attempt(1), |spec| {
        spec.input = Some(private.to_str().unwrap().into());
    });
    let (reason, message) = session.failure(attempt(1)).await;
    assert_eq!(reason, FailureReason::InputError);
    assert!(message.contains("may not read"), "{message}");
    session.assign(attempt(2), |spec| {
        tiny(spec);
        spec.output = Some(roots.join("film.mp4").to_str().unwrap().into());
    });
    let (outcome, _) = session.outcome(attempt(2)).await;
    let Outcome::Failed { message, .. } = outcome else {
        panic!("{outcome:?}")
    };
    assert!(message.contains("Permission denied"), "{message}");
    assert_eq!(fs::read_dir(&roots).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_has_nothing_of_root_even_without_a_sandbox() {
    if !is_root() {
        return;
    }
    let mut master = Master::start().await;
    let node = node(&master);
    let mut node = hostile::in_place_of_ffmpeg(node, None, 1);
    // Where this test program lies, another user may not look.
    let copy = node.dir.path().join("hostile");
    fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let script = fs::read_to_string(&node.config.ffmpeg).unwrap();
    let this = std::env::current_exe().unwrap();
    fs::write(
        &node.config.ffmpeg,
        script.replace(this.to_str().unwrap(), copy.to_str().unwrap()),
    )
    .unwrap();
    node.config.sandbox = SandboxMode::Off;
    fs::set_permissions(
        node.dir.path().join("secret"),
        Permissions::from_mode(0o600),
    )
    .unwrap();
    let _running = node.start();
    let (mut session, _) = master.session().await;
    session.assign(attempt(1), |spec| {
        tiny(spec);
        spec.output = node.media_text("out.mp4");
    });
    let (_, log) = session.outcome(attempt(1)).await;
    let got = got(&log);
    for what in [
        "reading a secret",
        "reading /etc/shadow",
        "the worker's environment",
        "the worker's memory",
        "a signal to the worker",
        "tracing the worker",
        "the worker's limits",
        "a namespace",
        "another root",
        "a raw socket",
    ] {
        assert!(
            [libc::EACCES, libc::EPERM].contains(&got[what]),
            "{what}: {}\n{log}",
            got[what]
        );
    }
    assert_eq!(got["writing its output"], 0);
    let ids = |name| {
        status(&log, name)
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(ids("Uid"), "65534 65534 65534 65534");
    assert_eq!(ids("Gid"), "65534 65534 65534 65534");
    assert_eq!(status(&log, "Groups"), "65534");
    assert_eq!(status(&log, "CapEff"), "0000000000000000");
    assert_eq!(status(&log, "NoNewPrivs"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_that_cannot_be_had_is_refused_at_the_start_by_name() {
    if !is_root() {
        return;
    }
    let master = Master::start().await;
    for (user, says) in [
        ("no-such-user", "no user \"no-such-user\""),
        ("nobody:no-such-group", "no group \"no-such-group\""),
        ("root", "name a user without privileges"),
        ("0:0", "name a user without privileges"),
        ("nobody:0", "name a user without privileges"),
        ("4000000", "as 4000000:4000000"),
    ] {
        let mut node = node(&master);
        node.config.run_as = Some(user.into());
        let error = format!("{:#}", node.start().ended().await.unwrap_err());
        assert!(
            error.contains("--run-as") && error.contains(says),
            "{user}: {error}"
        );
    }
    // And one that does not get to where it is to work.
    let node = node(&master);
    fs::set_permissions(node.dir.path(), Permissions::from_mode(0o700)).unwrap();
    let error = format!("{:#}", node.start().ended().await.unwrap_err());
    assert!(
        error.contains("nobody") && error.contains("--scratch-dir"),
        "{error}"
    );
}

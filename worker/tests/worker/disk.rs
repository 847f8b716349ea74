//! Disks that are small, full or read-only: real ones, in memory, in a mount namespace of the test's own.

use std::{ffi::CString, fs, future::Future, path::Path, ptr};

use ffrtmp_api::{job::FailureReason, protocol::Outcome};

use crate::{
    master::{Master, attempt, tiny},
    node::Node,
};

/// Mounts a file system in memory on `on`, or changes the one there is.
fn mount(on: &Path, flags: libc::c_ulong, options: &str) {
    let on = CString::new(on.to_str().unwrap()).unwrap();
    let options = CString::new(options).unwrap();
    // SAFETY: every pointer is to a C string that lives until the call returns.
    let done = unsafe {
        libc::mount(
            c"none".as_ptr(),
            on.as_ptr(),
            c"tmpfs".as_ptr(),
            flags,
            options.as_ptr().cast(),
        )
    };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

/// Runs a test on a thread that has mounts of its own; they are gone with it. Where that is not allowed (it takes root), says so.
fn with_mounts_of_its_own<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let ran = std::thread::spawn(move || {
        // SAFETY: plain system calls; the threads of the runtime made below inherit the namespace from this one.
        let alone = unsafe {
            libc::unshare(libc::CLONE_NEWNS) == 0
                && libc::mount(
                    ptr::null(),
                    c"/".as_ptr(),
                    ptr::null(),
                    libc::MS_REC | libc::MS_PRIVATE,
                    ptr::null(),
                ) == 0
        };
        if !alone {
            eprintln!("not run: mounting needs root");
            return;
        }
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(test());
    });
    ran.join().unwrap();
}

#[test]
fn an_encode_that_clearly_does_not_fit_is_refused_before_it_begins() {
    with_mounts_of_its_own(|| async {
        let mut master = Master::start().await;
        let node = Node::of(&master);
        mount(&node.media(""), 0, "size=8m");
        let _running = node.start();
        let (mut session, _) = master.session().await;
        session.assign(attempt(1), |spec| {
            spec.output = node.media_text("out.mp4");
            spec.bitrate = Some("20M".into());
            spec.duration_seconds = Some(60.0);
        });
        let (outcome, log) = session.outcome(attempt(1)).await;
        let Outcome::Failed { reason, message } = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(reason, FailureReason::ResourceError);
        assert!(
            message.contains("needs about 159 MiB") && message.contains("8 MiB free of 8"),
            "{message}"
        );
        assert_eq!(log, "", "ffmpeg was run");
        assert_eq!(node.listing(), [""; 0]);
        // What fits runs.
        session.assign(attempt(2), |spec| {
            tiny(spec);
            spec.output = node.media_text("small.mp4");
        });
        session.encoded(attempt(2)).await;
    });
}

#[test]
fn a_disk_that_fills_up_all_the_same_fails_the_job_as_such_and_leaves_nothing() {
    with_mounts_of_its_own(|| async {
        let mut master = Master::start().await;
        let node = Node::of(&master);
        mount(&node.media(""), 0, "size=3m");
        let _running = node.start();
        let (mut session, _) = master.session().await;
        session.assign(attempt(1), |spec| {
            spec.output = node.media_text("out.mp4");
            // Far more than an encode of this size should take.
            (spec.size, spec.crf) = (Some("320x180".into()), Some(0));
            spec.duration_seconds = Some(60.0);
        });
        let (outcome, log) = session.outcome(attempt(1)).await;
        let Outcome::Failed { reason, message } = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(reason, FailureReason::ResourceError, "{message}\n{log}");
        assert!(message.contains("No space left on device"), "{message}");
        assert_eq!(node.listing(), [""; 0]);
    });
}

#[test]
fn a_read_only_disk_is_this_machine_s_trouble_and_named() {
    with_mounts_of_its_own(|| async {
        let mut master = Master::start().await;
        let node = Node::of(&master);
        mount(&node.media(""), 0, "size=8m");
        mount(&node.media(""), libc::MS_REMOUNT | libc::MS_RDONLY, "");
        let _running = node.start();
        let (mut session, _) = master.session().await;
        session.assign(attempt(1), |spec| {
            tiny(spec);
            spec.output = node.media_text("out.mp4");
        });
        let (outcome, _) = session.outcome(attempt(1)).await;
        let Outcome::Failed { reason, message } = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(reason, FailureReason::PlatformError, "{message}");
        assert!(message.contains("Read-only file system"), "{message}");
        mount(&node.media(""), libc::MS_REMOUNT, "size=8m");
        assert!(fs::metadata(node.media("")).is_ok());
        session.assign(attempt(2), |spec| {
            tiny(spec);
            spec.output = node.media_text("out.mp4");
        });
        session.encoded(attempt(2)).await;
    });
}

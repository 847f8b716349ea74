//! Disks that are small, full or read-only: real ones, in memory, in a mount namespace of the test's own.

use std::{ffi::CString, fs, future::Future, path::Path, ptr};

use ffrtmp_api::{
    job::FailureReason,
    protocol::{Outcome, ToWorker},
};

use crate::{
    master::{Master, Session, attempt, tiny},
    node::{Node, eventually},
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

/// Waits for the failure of an attempt that is assigned now.
async fn failure_of(
    session: &mut Session,
    job: u64,
    output: Option<String>,
) -> (FailureReason, String) {
    session.assign(attempt(job), |spec| {
        tiny(spec);
        spec.output = output;
    });
    match session.outcome(attempt(job)).await.0 {
        Outcome::Failed { reason, message } => (reason, message),
        other => panic!("{other:?}"),
    }
}

/// What an attempt needs is not there for a while, and the worker is as good as new after.
async fn works(session: &mut Session, node: &Node, job: u64) {
    session.assign(attempt(job), |spec| {
        tiny(spec);
        spec.output = node.media_text(&format!("{job}.mp4"));
    });
    session.encoded(attempt(job)).await;
    session.send(ToWorker::Revoke {
        attempt: attempt(job),
    });
    eventually("something of the attempts is left", || {
        node.listing().is_empty() && node.scratch_and_records().is_empty()
    })
    .await;
}

#[test]
fn a_full_disk_under_the_worker_s_own_state_fails_jobs_as_such_and_passes() {
    with_mounts_of_its_own(|| async {
        let mut master = Master::start().await;
        let node = Node::of(&master);
        let state = node.dir.path().join("state");
        fs::create_dir(&state).unwrap();
        mount(&state, 0, "size=1m");
        let _running = node.start();
        let (mut session, _) = master.session().await;
        works(&mut session, &node, 1).await;
        let filler = state.join("filler");
        let mut file = fs::File::create(&filler).unwrap();
        while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
        // Open, it would keep its blocks after it is removed.
        drop(file);
        for job in 2..6 {
            let (reason, message) = failure_of(&mut session, job, node.media_text("out.mp4")).await;
            assert_eq!(reason, FailureReason::ResourceError, "{message}");
            assert!(message.contains("state directory"), "{message}");
            session.send(ToWorker::OutcomeRecorded {
                attempt: attempt(job),
            });
        }
        // An output that is not kept would be written there.
        let (reason, message) = failure_of(&mut session, 6, None).await;
        assert_eq!(reason, FailureReason::ResourceError, "{message}");
        session.send(ToWorker::OutcomeRecorded {
            attempt: attempt(6),
        });
        fs::remove_file(&filler).unwrap();
        works(&mut session, &node, 7).await;
    });
}

#[test]
fn a_state_directory_that_turned_read_only_is_this_machine_s_trouble_and_passes() {
    with_mounts_of_its_own(|| async {
        let mut master = Master::start().await;
        let node = Node::of(&master);
        // Where records are kept alone: the lock beside it is held open for writing, as by a worker that runs.
        let attempts = node.dir.path().join("state/attempts");
        fs::create_dir_all(&attempts).unwrap();
        mount(&attempts, 0, "size=1m");
        let _running = node.start();
        let (mut session, _) = master.session().await;
        works(&mut session, &node, 1).await;
        mount(&attempts, libc::MS_REMOUNT | libc::MS_RDONLY, "");
        let (reason, message) = failure_of(&mut session, 2, node.media_text("out.mp4")).await;
        assert_eq!(reason, FailureReason::PlatformError, "{message}");
        assert!(
            message.contains("state directory") && message.contains("Read-only"),
            "{message}"
        );
        assert_eq!(node.listing(), [""; 0]);
        session.send(ToWorker::OutcomeRecorded {
            attempt: attempt(2),
        });
        mount(&attempts, libc::MS_REMOUNT, "size=1m");
        works(&mut session, &node, 3).await;
    });
}

//! The store fails under the running master.

use std::process::Command;

use ffrtmp_api::job::JobState;

use crate::cluster::{Cluster, Process, endless, tiny, until};

/// `prlimit --fsize`: files may not grow beyond so many bytes.
fn limit_files(master: &Process, bytes: &str) {
    let pid = master.pid().as_raw_nonzero().to_string();
    assert!(
        Command::new("prlimit")
            .args(["--pid", &pid, &format!("--fsize={bytes}:unlimited")])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn a_failed_commit_makes_the_master_read_only_and_it_recovers_from_the_store() {
    let mut cluster = Cluster::new();
    // SIGXFSZ ignored, a write beyond the limit fails with EFBIG: to SQLite, a full disk.
    let args = cluster.master_args();
    let mut shell = Command::new("sh");
    let log = std::fs::File::create(cluster.path("master.log")).unwrap();
    shell
        .args([
            "-c",
            "trap '' XFSZ; exec \"$0\" \"$@\"",
            crate::cluster::FFRTMP,
        ])
        .args(args)
        .stderr(log);
    shell.current_dir(cluster.dir.path());
    cluster.master = Some(Process {
        child: shell.spawn().unwrap(),
    });
    cluster.until_ready();
    cluster.start_worker("w1", 1);
    let running = cluster.submit(endless());
    cluster.until_state(running, &[JobState::Running]);
    let before = cluster.jobs().len();

    limit_files(cluster.master.as_ref().unwrap(), "1024");
    let client = ffrtmp_api::client::Client::new(&cluster.url(), None).unwrap();
    let error = until("a submit is refused", || client.submit(&tiny(0.1)).err());
    assert!(error.to_string().contains("read-only"), "{error}");
    // The caller is told when the commit has failed, a moment before the master is in order again as one that cannot write.
    until("it is not ready while nothing can be made durable", || {
        (!client.ready()).then_some(())
    });
    assert_eq!(
        cluster.jobs().len(),
        before,
        "what was refused is not there; what was there is"
    );
    assert_eq!(cluster.metrics()["ffrtmp_store_read_only"], 1.0);
    assert!(cluster.metrics()["ffrtmp_store_commit_failures_total"] >= 1.0);

    limit_files(cluster.master.as_ref().unwrap(), "unlimited");
    cluster.until_ready();
    let job = cluster.until_state(running, &[JobState::Running]);
    assert_eq!(job.attempt.0, 1, "the encode went on through it all");
    let client = cluster.client();
    client
        .cancel(ffrtmp_api::ids::JobRef::Seq(running))
        .unwrap();
    cluster.until_state(running, &[JobState::Canceled]);
    let after = cluster.submit(tiny(0.1));
    cluster.until_completed(after);
    cluster.finish();
}

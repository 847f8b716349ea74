//! Against real processes (`sh`), because process groups, reaping and signals are what is tested.

use super::*;

fn role(name: &str, script: &str, end_within: Duration) -> Role {
    Role {
        name: name.to_owned(),
        program: Program::Other("/bin/sh".into()),
        // The first argument is the kind; `sh` takes it as an option that changes nothing here.
        args: ["-c", script].map(OsString::from).to_vec(),
        env: vec![("FFRTMP_TEST".to_owned(), "yes".to_owned())],
        end_within,
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

const LONG: Duration = Duration::from_secs(20);

#[test]
fn a_child_that_dies_is_started_again_after_a_pause_that_grows() {
    block_on(async {
        let mut supervisor = Supervisor::new().unwrap();
        supervisor
            .start(role("flaky", "test \"$FFRTMP_TEST\" = yes && exit 7", LONG))
            .unwrap();
        let mut pauses = Vec::new();
        while pauses.len() < 3 {
            match supervisor.next().await {
                Event::Died {
                    name,
                    status,
                    again_in,
                } => {
                    assert_eq!((name.as_str(), status.code()), ("flaky", Some(7)));
                    pauses.push(again_in.as_millis());
                }
                Event::Stop | Event::Reload => panic!("nobody said anything"),
            }
        }
        assert_eq!(pauses, [250, 500, 1000]);
        assert_eq!(supervisor.drain().await, Drained::Cleanly);
    });
}

#[test]
fn draining_asks_first_and_waits() {
    let dir = tempfile::tempdir().unwrap();
    let (up, done) = (dir.path().join("up"), dir.path().join("done"));
    let script = format!(
        "trap 'sleep 0.3; touch {}; exit 0' TERM; touch {}; while :; do sleep 0.05; done",
        done.display(),
        up.display()
    );
    block_on(async {
        let mut supervisor = Supervisor::new().unwrap();
        supervisor.start(role("polite", &script, LONG)).unwrap();
        while !up.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(supervisor.drain().await, Drained::Cleanly);
    });
    assert!(done.exists());
}

#[test]
fn a_child_that_does_not_end_is_killed_with_its_group() {
    let dir = tempfile::tempdir().unwrap();
    let up = dir.path().join("up");
    let script = format!(
        "trap '' TERM; sleep 60 & echo $! > {}; wait; wait",
        up.display()
    );
    let grandchild = block_on(async {
        let mut supervisor = Supervisor::new().unwrap();
        supervisor
            .start(role("stubborn", &script, Duration::from_millis(200)))
            .unwrap();
        let pid = loop {
            match std::fs::read_to_string(&up)
                .unwrap_or_default()
                .trim()
                .parse::<u32>()
            {
                Ok(pid) => break pid,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        assert_eq!(supervisor.drain().await, Drained::ByForce);
        pid
    });
    // It is a zombie until init reaps it; what counts is that it no longer runs.
    let gone = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        let stat = std::fs::read_to_string(format!("/proc/{grandchild}/stat")).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    });
    assert!(gone, "process {grandchild} is still there");
}

#[test]
fn a_program_that_does_not_exist_is_an_error_at_the_start() {
    block_on(async {
        let mut supervisor = Supervisor::new().unwrap();
        let role = Role {
            program: Program::Other("/no/such/program".into()),
            ..role("none", "", LONG)
        };
        assert!(supervisor.start(role).is_err());
    });
}

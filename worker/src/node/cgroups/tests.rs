#![allow(clippy::unwrap_used)] // in a test that is how one fails

use std::{
    os::unix::process::CommandExt,
    process::{Child, Command},
    sync::Arc,
    time::{Duration, Instant},
};

use ffrtmp_api::{
    ids::{AttemptNo, JobSeq},
    job::Queue,
    protocol::Reserved,
};

use super::*;

fn attempt(job: u64) -> Attempt {
    Attempt {
        job: JobSeq(job),
        no: AttemptNo(1),
    }
}

fn limits(capped: bool) -> Limits {
    Limits {
        reserved: Reserved {
            cpu_millicores: 1_500,
            memory_mib: 64,
        },
        queue: Queue::Live,
        capped,
    }
}

/// The groups of this machine; none where this process was given none, which is said.
fn groups(install_id: Uuid) -> Option<Groups> {
    match Groups::take(install_id) {
        Ok(groups) => Some(groups),
        Err(why) => {
            eprintln!("not tested here: {why}");
            None
        }
    }
}

fn spawned_into(group: &Arc<Group>, script: &str) -> Child {
    let door = Arc::clone(group);
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    // SAFETY: a single write.
    unsafe { command.pre_exec(move || door.enter()) };
    command.spawn().unwrap()
}

/// It may have been collected already.
#[track_caller]
fn ended(mut child: Child) {
    let status = child.wait();
    assert!(status.is_err() || status.is_ok_and(|status| !status.success()));
    assert!(!Path::new(&format!("/proc/{}", child.id())).exists());
}

fn members(folder: &Path) -> usize {
    let list = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    list.lines().count()
}

#[track_caller]
fn until(what: &str, is: impl Fn() -> bool) {
    let from = Instant::now();
    while !is() {
        assert!(from.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_group_holds_what_is_born_in_it_and_takes_it_along_when_it_goes() {
    let Some(groups) = groups(Uuid::new_v4()) else {
        return;
    };
    let group = Arc::new(groups.make(attempt(1), &limits(false)).unwrap());
    let folder = groups.folder.join(attempt(1).to_string());
    // One that leaves its process group and its environment behind, and one that stays.
    let child = spawned_into(&group, "setsid env -i sleep 600 & exec sleep 600");
    until("both are members", || members(&folder) == 2);
    drop(group);
    until("the group is gone", || !folder.exists());
    ended(child);
    let folder = groups.folder.clone();
    drop(groups);
    assert!(!folder.exists());
}

#[test]
fn what_an_earlier_life_left_is_ended_at_start() {
    let install_id = Uuid::new_v4();
    let Some(earlier) = groups(install_id) else {
        return;
    };
    let left = Arc::new(earlier.make(attempt(7), &limits(false)).unwrap());
    let child = spawned_into(&left, "exec sleep 600");
    let folder = earlier.folder.join(attempt(7).to_string());
    until("it is a member", || members(&folder) == 1);
    // Neither life's end is seen by the other: as after `kill -9`.
    std::mem::forget((left, earlier));
    let now = Groups::take(install_id).unwrap();
    assert!(!folder.exists());
    ended(child);
    // The same attempt number can be given again at once.
    drop(now.make(attempt(7), &limits(false)).unwrap());
}

#[test]
fn limits_are_written_where_there_is_a_controller_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let make = |name: &str, capped, has: &[&str]| {
        let path = folder.path().join(name);
        // Not a control group: what is written can be read again, and it does not vanish.
        let group = Group::make(path.clone(), &limits(capped), |c| has.contains(&c));
        // There is no `cgroup.procs` here to open.
        assert_eq!(group.unwrap_err().kind(), io::ErrorKind::NotFound);
        let read = |file: &str| fs::read_to_string(path.join(file)).ok();
        [
            "cpu.weight",
            "cpu.max",
            "memory.max",
            "pids.max",
            "io.weight",
        ]
        .map(read)
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        make("shares", false, &["cpu", "memory", "pids", "io"]),
        [some("150"), None, None, some("4096"), None]
    );
    assert_eq!(
        make("capped", true, &["cpu", "memory", "pids"]),
        [
            some("150"),
            some("150000 100000"),
            some("67108864"),
            some("4096"),
            None
        ]
    );
    assert_eq!(make("none", true, &[]), [None, None, None, None, None]);
}

//! Ends what a child leaves behind outside its process group: a grandchild that called `setsid` does not hear the group's
//! signals, and would go on when the job is long done.
//!
//! The worker is the reaper of its descendants (`PR_SET_CHILD_SUBREAPER`), so such a grandchild becomes its child the moment its
//! parent dies, and is found among the worker's own children: by the [`MARK`] in its environment, never by its name or number. Only
//! when the worker itself is killed is there nobody; its next start finds them by the install id.

use std::{
    fs, io,
    time::{Duration, Instant},
};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The environment variable that every child carries with a value of its own.
pub(crate) const MARK: &str = "FFRTMP_CHILD";

/// How long killed orphans may take to be gone. One that hangs in the kernel is logged and left.
const PATIENCE: Duration = Duration::from_secs(2);

/// Makes this process the one that descendants are given to when their parents die.
pub(crate) fn adopt_descendants() -> io::Result<()> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    Ok(())
}

/// Kills and collects everything that carries `mark` among this process's children, and what those leave in turn. Call it when the
/// child that was given the mark has been collected. Takes no time where there is nothing.
pub(crate) fn end(mark: &str) {
    let wanted = format!("{MARK}={mark}");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut left = 0;
        for pid in children() {
            left += usize::from(ended(pid, wanted.as_bytes()).is_none());
        }
        if left == 0 {
            return;
        }
        if Instant::now() > deadline {
            tracing::error!(
                processes = left,
                "processes that left their group do not die; they are left to the kernel"
            );
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Kills and collects a child that carries the mark; none if it is not gone yet, or left others behind.
fn ended(pid: Pid, wanted: &[u8]) -> Option<()> {
    // The pidfd first, the check second: what is killed is then surely what was checked.
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    let environ = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).unwrap_or_default();
    if !environ.split(|byte| *byte == 0).any(|one| one == wanted) {
        return Some(());
    }
    tracing::info!(
        pid = pid.as_raw_nonzero(),
        "killing a process that had left its group"
    );
    let _ = pidfd_send_signal(&pidfd, Signal::KILL);
    // It is our child, marked as ours, so nobody else waits for it. It may have children, which are ours once it is gone.
    let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
    None
}

/// This process's children, whichever thread they belong to.
fn children() -> Vec<Pid> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten();
    let lists = tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let numbers = lists.flat_map(|list| {
        let words = list.split_ascii_whitespace();
        words.filter_map(|n| n.parse().ok()).collect::<Vec<i32>>()
    });
    numbers.filter_map(Pid::from_raw).collect()
}

#[cfg(test)]
mod tests {
    use std::{io::Read, process::Command};

    use super::super::{process::start_ticks, spawner::Spawner};

    /// A child that leaves a grandchild in a session of its own, and waits or ends.
    async fn with_an_escaped_grandchild(then: &str) -> (super::super::process::Process, u32) {
        let spawner = Spawner::start(uuid::Uuid::new_v4()).unwrap();
        let mut command = Command::new("sh");
        let script = format!("setsid sh -c 'echo $$; exec sleep 600 >/dev/null 2>&1' & {then}");
        command.args(["-c", &script]);
        let mut process = spawner.spawn(command).await.unwrap();
        let mut stdout = process.stdout.take().unwrap();
        let mut text = Vec::new();
        while !text.ends_with(b"\n") {
            let mut byte = [0];
            stdout.read_exact(&mut byte).unwrap();
            text.push(byte[0]);
        }
        let pid = String::from_utf8(text).unwrap().trim().parse().unwrap();
        (process, pid)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_grandchild_in_a_session_of_its_own_dies_with_the_child_that_ended() {
        let (process, grandchild) = with_an_escaped_grandchild("exit 0").await;
        process.exited().await.unwrap();
        assert!(start_ticks(grandchild).is_some(), "the test shows nothing");
        process.reap().unwrap();
        assert_eq!(start_ticks(grandchild), None, "{grandchild} is still there");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_grandchild_in_a_session_of_its_own_dies_with_the_child_that_was_dropped() {
        let (process, grandchild) = with_an_escaped_grandchild("wait").await;
        drop(process);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while start_ticks(grandchild).is_some() {
            assert!(
                std::time::Instant::now() < deadline,
                "{grandchild} is still there"
            );
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}

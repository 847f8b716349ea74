//! A child process and its group: signalled, awaited, reaped exactly once.
//!
//! Its invariant: the group is only ever signalled while its leader is not yet reaped, so the number cannot have been
//! given to somebody else; and whoever drops a [`Process`] leaves neither a running group nor a zombie behind.

use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::ExitStatusExt,
    },
    process::{Child, ChildStderr, ChildStdout, ExitStatus},
    time::{Duration, Instant},
};

use rustix::process::{Pid, PidfdFlags, Signal};
use tokio::io::{Interest, unix::AsyncFd};

use super::orphans;

/// A child that leads a process group of its own.
pub(crate) struct Process {
    pid: Pid,
    pidfd: OwnedFd,
    spawned: Instant,
    reaped: bool,
    /// What tells its descendants, wherever they went; see [`orphans`].
    mark: String,
    /// What it prints; taken by whoever reads it.
    pub(crate) stdout: Option<ChildStdout>,
    /// What it says; taken by whoever reads it.
    pub(crate) stderr: Option<ChildStderr>,
}

/// How a process ended and what it used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exit {
    /// Exit code or signal.
    pub(crate) status: ExitStatus,
    /// From spawn to reaping.
    pub(crate) wall: Duration,
    /// User and system time, of it and of the children it waited for.
    pub(crate) cpu_seconds: f64,
    /// Peak resident memory.
    pub(crate) memory_peak_kib: u64,
}

impl Process {
    /// Takes over a child that was spawned, at `spawned`, as a group leader. From here on only this value may wait for it.
    pub(crate) fn adopt(mut child: Child, spawned: Instant, mark: String) -> io::Result<Process> {
        let pid = Pid::from_child(&child);
        match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => Ok(Process {
                pid,
                pidfd,
                spawned,
                reaped: false,
                mark,
                stdout: child.stdout.take(),
                stderr: child.stderr.take(),
            }),
            Err(error) => {
                let _ = rustix::process::kill_process_group(pid, Signal::KILL);
                let _ = child.wait();
                Err(error.into())
            }
        }
    }

    /// Its process id, which is also its group's.
    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Waits until the leader has exited. It stays a zombie until [`Process::reap`].
    pub(crate) async fn exited(&self) -> io::Result<()> {
        // SAFETY: the borrow keeps the pidfd open, and the same, for as long as the registration lives.
        let fd = unsafe { AsyncFd::register_with_interest(self.pidfd.as_fd(), Interest::READABLE) }
            .map_err(io::Error::from)?;
        let _ready = fd.readable().await?;
        Ok(())
    }

    /// Sends `signal` to the whole group. A group that is gone already is no error.
    pub(crate) fn signal_group(&self, signal: Signal) {
        if !self.reaped {
            let _ = rustix::process::kill_process_group(self.pid, signal);
        }
    }

    /// Kills what is left of the group, collects the leader, then ends what had left the group. Call it when [`Process::exited`] has returned (or to
    /// end a process without ceremony).
    pub(crate) fn reap(mut self) -> io::Result<Exit> {
        self.signal_group(Signal::KILL);
        self.reaped = true;
        let exit = wait(self.pid, self.spawned);
        orphans::end(&self.mark);
        exit
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.reaped {
            return;
        }
        self.signal_group(Signal::KILL);
        let (pid, spawned) = (self.pid, self.spawned);
        let mark = std::mem::take(&mut self.mark);
        // A process in an uninterruptible read can take its time to die; an async task must not wait for that.
        let waiter = std::thread::Builder::new()
            .name("reaper".into())
            .spawn(move || {
                let _ = wait(pid, spawned);
                orphans::end(&mark);
            });
        if waiter.is_err() {
            let _ = wait(pid, spawned);
        }
    }
}

fn wait(pid: Pid, spawned: Instant) -> io::Result<Exit> {
    let mut status = 0;
    // SAFETY: an all-zero rusage is a valid value of that plain C struct.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to live locals of the types wait4 writes; pid is our own unreaped child.
        let done = unsafe { libc::wait4(pid.as_raw_nonzero().get(), &mut status, 0, &mut usage) };
        if done >= 0 {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    Ok(Exit {
        status: ExitStatus::from_raw(status),
        wall: spawned.elapsed(),
        cpu_seconds: seconds(usage.ru_utime) + seconds(usage.ru_stime),
        memory_peak_kib: u64::try_from(usage.ru_maxrss).unwrap_or(0),
    })
}

/// When `pid` started, in clock ticks since boot: with the pid it names a process beyond doubt. `None` if it is gone.
pub(crate) fn start_ticks(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may itself hold spaces and parentheses.
    let after_name = stat.get(stat.rfind(')')? + 1..)?;
    after_name.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::super::spawner::Spawner;
    use super::*;

    fn gone(pid: u32) -> bool {
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .map_or(true, |stat| stat.contains(") Z "))
    }

    #[tokio::test]
    async fn reaping_reports_exit_code_and_cpu_time() {
        let spawner = Spawner::start(uuid::Uuid::new_v4()).unwrap();
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; exit 3",
        ]);
        let process = spawner.spawn(command).await.unwrap();
        process.exited().await.unwrap();
        let exit = process.reap().unwrap();
        assert_eq!(exit.status.code(), Some(3));
        assert!(
            exit.cpu_seconds > 0.0 && exit.memory_peak_kib > 0 && !exit.wall.is_zero(),
            "{exit:?}"
        );
    }

    #[tokio::test]
    async fn a_dropped_process_is_killed_and_reaped() {
        let spawner = Spawner::start(uuid::Uuid::new_v4()).unwrap();
        let mut command = Command::new("sleep");
        command.arg("600");
        let process = spawner.spawn(command).await.unwrap();
        let pid = process.pid();
        assert!(start_ticks(pid).is_some());
        drop(process);
        let deadline = Instant::now() + Duration::from_secs(10);
        while start_ticks(pid).is_some() {
            assert!(Instant::now() < deadline, "process {pid} is still there");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn reaping_takes_the_children_along() {
        use std::io::Read;
        let spawner = Spawner::start(uuid::Uuid::new_v4()).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 >/dev/null 2>&1 & echo $!"]);
        let mut process = spawner.spawn(command).await.unwrap();
        let mut text = String::new();
        process
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        let grandchild: u32 = text.trim().parse().unwrap();
        process.exited().await.unwrap();
        assert!(!gone(grandchild));
        process.reap().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while !gone(grandchild) {
            assert!(
                Instant::now() < deadline,
                "grandchild {grandchild} is still there"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_child_outlives_the_runtime_thread_that_asked_for_it() {
        // The asking thread ends at once; had it forked the child itself, the parent-death signal would now fire.
        let spawner = Spawner::start(uuid::Uuid::new_v4()).unwrap();
        let asked = spawner.clone();
        let runtime = tokio::runtime::Handle::current();
        let process = std::thread::spawn(move || {
            let mut command = Command::new("sleep");
            command.arg("1");
            runtime.block_on(asked.spawn(command)).unwrap()
        })
        .join()
        .unwrap();
        process.exited().await.unwrap();
        let exit = process.reap().unwrap();
        assert!(exit.status.success(), "{exit:?}");
        assert!(exit.wall >= Duration::from_secs(1));
    }
}

//! One child process: in a process group of its own, and dying with its parent.
//!
//! Its own group, so that Ctrl-C at a terminal reaches the supervisor alone, which then ends things in order. Dying with its
//! parent (PR_SET_PDEATHSIG), so that `kill -9` of the supervisor leaves nothing behind.

use std::{
    env, io,
    os::unix::process::CommandExt,
    process::{self, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{
    Pid, Signal, getpid, getppid, kill_process, kill_process_group, set_parent_process_death_signal,
};

use super::{Program, Role};

/// A process that runs, or has ended and was reaped.
pub struct Child {
    process: process::Child,
    status: Option<ExitStatus>,
    since: Instant,
}

impl Child {
    /// Starts it. Call only on a thread that lives as long as the process.
    pub fn spawn(role: &Role) -> io::Result<Child> {
        let parent = getpid();
        let mut command = match &role.program {
            Program::Own => {
                let mut command = Command::new("/proc/self/exe");
                command.arg0("ffrtmp");
                command
            }
            Program::Other(program) => {
                let mut command = Command::new(program);
                let kept = ["PATH", "HOME"].into_iter();
                command
                    .env_clear()
                    .envs(kept.filter_map(|name| Some((name, env::var_os(name)?))));
                command
            }
        };
        command
            .args(&role.args)
            .envs(role.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).process_group(0);
        // SAFETY: between fork and exec only async-signal-safe calls are allowed; prctl and getppid are plain system calls, and
        // building an `io::Error` from a raw code does not allocate.
        unsafe {
            command.pre_exec(move || {
                set_parent_process_death_signal(Some(Signal::KILL))?;
                // The parent may have died before the line above; then no signal will come.
                if getppid() == Some(parent) {
                    Ok(())
                } else {
                    Err(rustix::io::Errno::SRCH.into())
                }
            });
        }
        Ok(Child {
            process: command.spawn()?,
            status: None,
            since: Instant::now(),
        })
    }

    /// How it ended, once it has.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            // An error here means that somebody else reaped it, which nobody does.
            self.status = self.process.try_wait().ok().flatten();
        }
        self.status
    }

    /// How long ago it was started.
    pub fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        if self.status.is_none() {
            // Failing means that it has just ended, which the next look will tell.
            let _ = kill_process(self.pid(), Signal::TERM);
        }
    }

    /// Asks it to read its settings again.
    pub fn hang_up(&self) {
        if self.status.is_none() {
            let _ = kill_process(self.pid(), Signal::HUP); // failing means that it has just ended
        }
    }

    /// Ends it and its process group. Those of its children that are in other groups die with it by their own arrangement.
    pub fn kill(&mut self) {
        if self.status.is_none() {
            let _ = kill_process_group(self.pid(), Signal::KILL);
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }
}

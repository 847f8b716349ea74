//! The one thread that gives birth to every child process.
//!
//! A thread of its own because Linux sends a child its parent-death signal when the *thread* that forked it ends, not
//! the process. The threads of an async runtime come and go (an idle one is retired after seconds), and a child forked
//! from one would be killed in the middle of an encode. This thread lives as long as the worker.
//!
//! It must never do anything slow: it forks, execs, opens a pidfd, and waits for the next request.

use std::{
    io,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    sync::{Arc, mpsc},
    time::Instant,
};

use tokio::sync::oneshot;
use uuid::Uuid;

use super::{orphans, process::Process};
use crate::{
    node::cgroups::Group,
    sandbox::{Needs, Sandbox, Seal, User},
};

/// Environment variables that no child inherits: every user whose processes these are could read them.
const SECRETS: [&str; 3] = ["FFRTMP_TOKEN", "FFRTMP_JOIN_TOKEN", "MASTER_API_KEY"];
/// The environment variable every child carries, with the install id of its worker. What a crashed worker left behind
/// is found by it, even a grandchild that moved to a process group of its own.
pub(crate) const MARK: &str = "FFRTMP_INSTALL_ID";

/// The lowest best-effort priority of disk accesses, as `ioprio_set` takes it: class 2, level 7.
const IO_PRIORITY: libc::c_int = (2 << 13) | 7;
/// How much nicer than the worker its children are: media work must not starve heartbeats.
const NICE: i32 = 10;

/// What a child is confined to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Confinement {
    /// The proxy it reaches web servers by; none: it reaches them as the worker does.
    pub(crate) web_proxy: Option<WebProxy>,
    /// The control group it is born into; none: the worker's.
    pub(crate) group: Option<Arc<Group>>,
    /// What it may touch, where there is a sandbox.
    pub(crate) needs: Needs,
}

/// A proxy of the worker's.
#[derive(Debug, Clone)]
pub(crate) struct WebProxy {
    /// With a password.
    pub(crate) url: String,
    /// Where it listens on this machine.
    pub(crate) port: u16,
}

/// Environment variables by which programs find a proxy, or a reason to go past it.
const PROXY_VARIABLES: [&str; 7] = [
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "NO_PROXY",
    "all_proxy",
    "HTTPS_PROXY",
    "ALL_PROXY",
];

impl Confinement {
    fn apply(&self, command: &mut Command) {
        let Some(WebProxy { url, .. }) = &self.web_proxy else {
            return;
        };
        for name in PROXY_VARIABLES {
            command.env_remove(name);
        }
        // The one ffmpeg reads, for https too. Not an argument: those are for every user to see.
        command.env("http_proxy", url);
    }
}

struct Request {
    command: Command,
    confinement: Arc<Confinement>,
    seal: Seal,
    reply: oneshot::Sender<io::Result<Process>>,
}

/// A handle to the spawning thread. The thread ends when the last handle is dropped; children still alive then are
/// killed by the kernel.
#[derive(Clone)]
pub(crate) struct Spawner {
    requests: mpsc::Sender<Request>,
    sandbox: Arc<Sandbox>,
    confinement: Arc<Confinement>,
}

impl Spawner {
    /// Starts the thread. Its children carry `install_id` in [`MARK`], and are in no sandbox unless [`Spawner::in_sandbox`] says so.
    pub(crate) fn start(install_id: Uuid) -> io::Result<Spawner> {
        let (requests, inbox) = mpsc::channel::<Request>();
        orphans::adopt_descendants()?;
        std::thread::Builder::new()
            .name("spawner".into())
            .spawn(move || {
                let worker = rustix::process::getpid();
                let mark = install_id.to_string();
                for (number, request) in inbox.into_iter().enumerate() {
                    let Request {
                        mut command,
                        confinement,
                        seal,
                        reply,
                    } = request;
                    confinement.apply(&mut command);
                    let own = format!("{mark}.{number}");
                    command.env(MARK, &mark).env(orphans::MARK, &own);
                    for name in SECRETS {
                        command.env_remove(name);
                    }
                    // When nobody waits for the answer any more, dropping the process kills and reaps it.
                    let _ = reply.send(spawn(&mut command, worker, own, confinement, seal));
                }
            })?;
        Ok(Spawner {
            requests,
            sandbox: Arc::default(),
            confinement: Arc::default(),
        })
    }

    /// The same for children that live in `sandbox`.
    pub(crate) fn in_sandbox(&self, sandbox: Arc<Sandbox>) -> Spawner {
        Spawner {
            sandbox,
            ..self.clone()
        }
    }

    /// The same for children that are confined.
    pub(crate) fn within(&self, confinement: Confinement) -> Spawner {
        Spawner {
            confinement: Arc::new(confinement),
            ..self.clone()
        }
    }

    /// The same for children that touch this, and are otherwise confined as these are.
    pub(crate) fn needing(&self, needs: Needs) -> Spawner {
        self.within(Confinement {
            needs,
            ..Confinement::clone(&self.confinement)
        })
    }

    /// Whether its children run with less than the worker has.
    pub(crate) fn is_confined(&self) -> bool {
        self.sandbox.is_on() || self.sandbox.user().is_some()
    }

    /// What a program's answers rest on besides itself.
    pub(crate) fn ground(&self) -> String {
        self.sandbox.ground()
    }

    /// The same for children that are the worker's own affair and no job's.
    pub(crate) fn unconfined(&self) -> Spawner {
        self.in_sandbox(Arc::default())
    }

    /// Who its children are, if not the worker.
    pub(crate) fn user(&self) -> Option<Arc<User>> {
        self.sandbox.user().cloned()
    }

    /// The port of the proxy that its children reach web servers by.
    pub(crate) fn proxy_port(&self) -> Option<u16> {
        self.confinement.web_proxy.as_ref().map(|proxy| proxy.port)
    }

    /// The control group its children are born into, if any.
    pub(crate) fn group(&self) -> Option<&Group> {
        self.confinement.group.as_deref()
    }

    /// Runs `command` as the leader of a new process group, its stdin empty, stdout and stderr piped.
    pub(crate) async fn spawn(&self, mut command: Command) -> io::Result<Process> {
        let (reply, answer) = oneshot::channel();
        let gone = || io::Error::other("the spawning thread has ended");
        self.sandbox.dress(&mut command);
        let (sandbox, confinement) = (Arc::clone(&self.sandbox), Arc::clone(&self.confinement));
        let sealed = tokio::task::spawn_blocking(move || sandbox.seal(&confinement.needs)).await;
        let seal = sealed.map_err(io::Error::other)??;
        self.requests
            .send(Request {
                command,
                confinement: Arc::clone(&self.confinement),
                seal,
                reply,
            })
            .map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

fn spawn(
    command: &mut Command,
    worker: rustix::process::Pid,
    mark: String,
    confinement: Arc<Confinement>,
    seal: Seal,
) -> io::Result<Process> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    // SAFETY: between fork and exec only async-signal-safe work is allowed. The closure makes plain system calls, through rustix's raw
    // backend or by number: it allocates nothing, takes no lock and reads what it captured.
    unsafe {
        command.pre_exec(move || {
            // First of all, so that nothing it does is counted as the worker's, and while it still may.
            if let Some(group) = &confinement.group {
                group.enter()?;
            }
            seal.drop_privileges()?;
            // After that, since a change of user takes it back.
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
            // The worker may have died between the fork and the line above; then nobody would ever signal us.
            if rustix::process::getppid() != Some(worker) {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            // A program with privileges of its own (setuid) gets none here. Walls take it, too.
            rustix::thread::set_no_new_privs(true)?;
            // Neither is worth failing a job for: on some kernels and disks there is no such thing.
            let _ = rustix::process::nice(NICE);
            let _ = libc::syscall(libc::SYS_ioprio_set, 1, 0, IO_PRIORITY);
            seal.close()
        });
    }
    let spawned = Instant::now();
    Process::adopt(command.spawn()?, spawned, mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_the_worker_s_environment_leads_a_child_past_its_proxy() {
        let mut command = Command::new("ffmpeg");
        command.envs(PROXY_VARIABLES.map(|name| (name, "http://elsewhere:1")));
        let proxy = "http://job:pass@127.0.0.1:2";
        let confinement = Confinement {
            web_proxy: Some(WebProxy {
                url: proxy.into(),
                port: 2,
            }),
            ..Confinement::default()
        };
        confinement.apply(&mut command);
        let set: Vec<_> = command
            .get_envs()
            .filter(|(_, value)| value.is_some())
            .collect();
        assert_eq!(set, [("http_proxy".as_ref(), Some(proxy.as_ref()))]);
    }
}

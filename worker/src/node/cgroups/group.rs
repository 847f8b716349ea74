//! The group of one attempt.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use ffrtmp_api::{job::Queue, protocol::Reserved};
use rustix::process::{Pid, WaitOptions, waitpid};

/// Most processes and threads of a job. An encoder makes one and a half threads per core, a ladder has several encoders, decoding
/// and filtering make their own: enough for some hundred cores, and an end to a fork bomb.
const PIDS_MAX: u32 = 4_096;
/// How long killed processes may take to be gone. A group that is still not empty is logged, and left to the next start.
const PATIENCE: Duration = Duration::from_secs(5);
/// The period of a processor limit, in microseconds: the kernel's default.
const PERIOD: u64 = 100_000;

/// What an attempt is held to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limits {
    /// What is reserved for it: its share where jobs compete, and the most it gets if `capped`. A zero is no limit.
    pub(crate) reserved: Reserved,
    /// Its lane: a live job's disk accesses go before others'.
    pub(crate) queue: Queue,
    /// Whether it gets no more than it reserved, even where there is more.
    pub(crate) capped: bool,
}

impl Limits {
    /// The files to write: controller, file, value, and whether it is no limit without it.
    fn files(&self) -> Vec<(&'static str, &'static str, String, bool)> {
        let (must, may) = (true, false);
        let io = match self.queue {
            Queue::Live => 300,
            Queue::Default => 100,
            Queue::Batch => 50,
        };
        let mut files = vec![
            // Where the disk has a scheduler that heeds it.
            ("io", "io.weight", format!("default {io}"), may),
            ("io", "io.bfq.weight", format!("default {io}"), may),
            // An encode that lost one process is no encode any more.
            ("memory", "memory.oom.group", "1".to_owned(), may),
            ("pids", "pids.max", PIDS_MAX.to_string(), must),
        ];
        let Reserved {
            cpu_millicores: cpu,
            memory_mib: memory,
        } = self.reserved;
        if cpu > 0 {
            // A core is the kernel's default of 100.
            let weight = (cpu / 10).clamp(1, 10_000);
            files.push(("cpu", "cpu.weight", weight.to_string(), must));
        }
        if self.capped && cpu > 0 {
            // A hundredth of a core is the least the kernel takes.
            let quota = u64::from(cpu.max(10)) * PERIOD / 1_000;
            files.push(("cpu", "cpu.max", format!("{quota} {PERIOD}"), must));
        }
        if self.capped && memory > 0 {
            let bytes = u64::from(memory) << 20;
            files.push(("memory", "memory.max", bytes.to_string(), must));
            files.push(("memory", "memory.swap.max", "0".to_owned(), may));
        }
        files
    }
}

/// A group with one attempt's processes. Dropping it kills what is left in it and removes it.
#[derive(Debug)]
pub(crate) struct Group {
    folder: PathBuf,
    /// Open for writing: whoever writes `0` into it is in the group.
    door: File,
}

impl Group {
    pub(super) fn make(
        folder: PathBuf,
        limits: &Limits,
        has: impl Fn(&str) -> bool,
    ) -> io::Result<Group> {
        match fs::create_dir(&folder) {
            // The same attempt of a session before, whose group is just being removed.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                end(&folder).and_then(|()| fs::create_dir(&folder))?
            }
            made => made?,
        }
        let open = || {
            for (controller, file, value, must) in limits.files() {
                let path = folder.join(file);
                if has(controller) && (must || path.exists()) {
                    fs::write(&path, &value).map_err(|error| {
                        io::Error::new(error.kind(), format!("{file} cannot be {value}: {error}"))
                    })?;
                }
            }
            OpenOptions::new()
                .write(true)
                .open(folder.join("cgroup.procs"))
        };
        match open() {
            Ok(door) => Ok(Group { folder, door }),
            Err(error) => {
                let _ = fs::remove_dir(&folder);
                Err(error)
            }
        }
    }

    /// Moves the calling process in. Async-signal-safe: a single write of a constant.
    pub(crate) fn enter(&self) -> io::Result<()> {
        rustix::io::write(&self.door, b"0")?;
        Ok(())
    }

    /// How often the kernel killed in this group because it was at its limit of memory; the machine's end of memory is another matter.
    pub(crate) fn memory_kills(&self) -> u64 {
        let events = fs::read_to_string(self.folder.join("memory.events")).unwrap_or_default();
        let count = events.lines().find_map(|line| line.strip_prefix("oom "));
        count.and_then(|count| count.parse().ok()).unwrap_or(0)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Nearly always it is empty and goes at once; else a thread waits for what dies, for nobody else has time to.
        if fs::remove_dir(&self.folder).is_ok() {
            return;
        }
        let folder = std::mem::take(&mut self.folder);
        let ended = std::thread::Builder::new().name("cgroup".into()).spawn(move || {
            if let Err(error) = end(&folder) {
                tracing::error!(group = %folder.display(), %error, "a job's control group is not empty; the next start ends it");
            }
        });
        if let Err(error) = ended {
            tracing::error!(%error, "no thread to end a job's control group with");
        }
    }
}

/// Kills everything in a group and removes it.
pub(super) fn end(folder: &Path) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let members = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        let members: Vec<Pid> = members
            .split_whitespace()
            .filter_map(|pid| Pid::from_raw(pid.parse().ok()?))
            .collect();
        if !members.is_empty() && fs::write(folder.join("cgroup.kill"), "1").is_err() {
            // Before Linux 5.14 one by one.
            for pid in &members {
                let _ = rustix::process::kill_process(*pid, rustix::process::Signal::KILL);
            }
        }
        match fs::remove_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => sleep(Duration::from_millis(2)),
            Ok(()) => return Ok(()),
        }
        // What left its parent became our child. No attempt runs in this group any more, so nobody else waits for these.
        for pid in members {
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
    }
}

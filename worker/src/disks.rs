//! Looks now and then at how much room the worker's folders have. On a thread of its own: one on a file server that went away can
//! block for minutes, and neither a heartbeat nor the rest of the metrics may wait for that.

use std::{
    io,
    path::{Path, PathBuf},
    sync::mpsc,
    time::Duration,
};

use rustix::fs::statvfs;

use crate::metrics::{Folder, Metrics};

/// Between two looks: a disk fills up in minutes.
const EVERY: Duration = Duration::from_secs(5);

/// A disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Disk {
    /// What this user may still write.
    pub(crate) free: u64,
    /// All of it.
    pub(crate) size: u64,
}

impl Disk {
    /// The one that a path is on.
    ///
    /// # Errors
    /// When there is no such path, or the disk does not answer.
    pub(crate) fn of(path: &Path) -> io::Result<Disk> {
        let disk = statvfs(path)?;
        let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
        Ok(Disk {
            free: bytes(disk.f_bavail),
            size: bytes(disk.f_blocks),
        })
    }
}

/// The running look-out. It ends when this is dropped.
pub(crate) struct DiskWatch {
    _stop: mpsc::Sender<()>,
}

impl DiskWatch {
    /// Starts the thread.
    pub(crate) fn start(state: PathBuf, scratch: PathBuf, metrics: Metrics) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel::<()>();
        std::thread::Builder::new()
            .name("disks".into())
            .spawn(move || {
                loop {
                    for (folder, path) in [(Folder::State, &state), (Folder::Scratch, &scratch)] {
                        if let Ok(disk) = Disk::of(path) {
                            metrics.disk(folder, disk.free, disk.size);
                        }
                    }
                    if stopped.recv_timeout(EVERY) != Err(mpsc::RecvTimeoutError::Timeout) {
                        return;
                    }
                }
            })?;
        Ok(DiskWatch { _stop: stop })
    }
}

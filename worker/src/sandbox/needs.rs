//! What one run of ffmpeg or ffprobe reads, writes and connects to, besides what all of them do.

use std::{
    collections::BTreeSet,
    fs, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
};

use ffrtmp_api::settings::{Address, Output, Scheme, Settings, Source};
use rustix::fs::{Mode, OFlags, open};

/// See the module's head. None of anything unless said.
#[derive(Debug, Clone, Default)]
pub(crate) struct Needs {
    /// Files it reads.
    pub(crate) reads: Vec<Arc<Grant>>,
    /// Files it writes, and folders it may do anything in.
    pub(crate) writes: Vec<Arc<Grant>>,
    /// Where it connects to.
    pub(crate) network: Network,
    /// Whether it uses a GPU.
    pub(crate) devices: bool,
}

/// A file or a folder that was opened, so that what is granted is that one and not whatever has its name later.
#[derive(Debug)]
pub(crate) struct Grant(OwnedFd);

impl Grant {
    /// Finds what `path` leads to. Reads nothing of it.
    pub(crate) fn of(path: &Path) -> io::Result<Grant> {
        let fd = open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Grant(fd))
    }

    /// Finds what was just made at `path`; a link is not followed.
    pub(crate) fn of_made(path: &Path) -> io::Result<Grant> {
        let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Ok(Grant(open(path, flags, Mode::empty())?))
    }

    /// Where it really is.
    pub(crate) fn place(&self) -> io::Result<PathBuf> {
        fs::read_link(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }
}

impl AsFd for Grant {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Where a run connects to. The kernel tells ports apart, not hosts: those are the proxy's affair.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Network {
    /// TCP ports.
    pub(crate) tcp: BTreeSet<u16>,
    /// Whether it sends datagrams, which SRT is made of.
    pub(crate) udp: bool,
}

impl Network {
    /// What a job with these settings takes, where web servers are reached by the proxy at `proxy`.
    pub(crate) fn of(settings: &Settings, proxy: Option<u16>) -> Network {
        let mut network = Network::default();
        if let Source::Url(address) = &settings.source {
            network.add(address, proxy);
        }
        if let Some(Output::Push(address)) = &settings.output {
            network.add(address, proxy);
        }
        network
    }

    fn add(&mut self, address: &Address, proxy: Option<u16>) {
        match address.scheme() {
            Scheme::Http | Scheme::Https => self.tcp.extend(proxy),
            Scheme::Rtmp | Scheme::Rtmps => {
                self.tcp.insert(address.port());
            }
            Scheme::Srt => self.udp = true,
        }
    }
}

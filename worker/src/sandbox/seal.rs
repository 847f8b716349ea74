//! The walls of one child, ready to be put up between fork and exec.
//!
//! [`Seal::drop_privileges`] and [`Seal::close`] run in the child, where another thread may have held any lock when it was forked:
//! they make system calls on what was prepared and nothing else. No allocation, no library that might.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    sync::Arc,
};

use landlock::AccessFs;
use seccompiler::BpfProgram;

use super::{User, privileges};

/// `LANDLOCK_RULE_PATH_BENEATH` of `linux/landlock.h`.
const PATH_BENEATH: libc::c_int = 1;
/// `SECCOMP_FILTER_FLAG_SPEC_ALLOW` of `linux/seccomp.h`: older kernels slow a filtered process down by switching speculation off,
/// which is for programs that run others' code. An encode would take up to a third longer.
const SPEC_ALLOW: libc::c_ulong = 1 << 2;

/// See the module's head. The default is no walls.
#[derive(Debug, Default)]
pub(crate) struct Seal {
    /// Who the child becomes.
    pub(super) user: Option<Arc<User>>,
    /// Whether it gives up what it has of root.
    pub(super) drops_capabilities: bool,
    /// Landlock's rules.
    pub(super) ruleset: Option<OwnedFd>,
    /// Filters of system calls, each as the kernel takes it.
    pub(super) filters: Vec<BpfProgram>,
}

/// `struct landlock_path_beneath_attr` of `linux/landlock.h`.
#[repr(C, packed)]
struct PathBeneath {
    allowed_access: u64,
    parent_fd: i32,
}

impl Seal {
    /// Gives up what the worker is and the child is not to be. In the child, after it has entered its control group, which may take the
    /// worker's rights, and before the parent-death signal, which a change of user takes back.
    pub(crate) fn drop_privileges(&self) -> io::Result<()> {
        if self.drops_capabilities {
            privileges::drop_capabilities(self.user.is_none())?;
        }
        match &self.user {
            Some(user) => user.become_it(),
            None => Ok(()),
        }
    }

    /// Puts up the rest. In the child, last of all: what comes after is held to it.
    pub(crate) fn close(&self) -> io::Result<()> {
        if let Some(ruleset) = &self.ruleset {
            let ruleset = ruleset.as_raw_fd();
            add_itself(ruleset)?;
            // SAFETY: a system call with numbers alone.
            check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset, 0) })?;
        }
        self.filters.iter().try_for_each(install)
    }
}

/// Lets the child read what the kernel tells of it in `/proc/self`: a folder that only it can name, since it is called by the process's
/// number and made anew for each.
fn add_itself(ruleset: libc::c_int) -> io::Result<()> {
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: the path is a constant that ends in a zero byte.
    let folder = unsafe { libc::open(c"/proc/self".as_ptr(), flags) };
    if folder < 0 {
        // Where there is no /proc, nothing in it has to be allowed.
        return Ok(());
    }
    let rule = PathBeneath {
        allowed_access: AccessFs::ReadFile as u64 | AccessFs::ReadDir as u64,
        parent_fd: folder,
    };
    // SAFETY: the kernel reads the structure it names, of the layout it names, while this call lasts.
    let added = check(unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            ruleset,
            PATH_BENEATH,
            &raw const rule,
            0,
        )
    });
    // SAFETY: it was opened above and nobody else has it.
    unsafe { libc::close(folder) };
    added
}

/// Installs a filter; the kernel copies it.
fn install(filter: &BpfProgram) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        // The library's instructions have the kernel's layout; the kernel only reads them.
        filter: filter.as_ptr().cast_mut().cast(),
    };
    let install = |flags: libc::c_ulong| {
        // SAFETY: the structure and the instructions behind it live until the call returns, and are only read.
        check(unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                flags,
                &raw const program,
            )
        })
    };
    match install(SPEC_ALLOW) {
        // Before Linux 4.17 there is no such flag, and nothing to switch off.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => install(0),
        done => done,
    }
}

fn check(answer: libc::c_long) -> io::Result<()> {
    match answer {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

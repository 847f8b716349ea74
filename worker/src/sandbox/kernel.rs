//! What the running kernel has of a sandbox, and why it has not the rest.

use std::{fs, io};

use seccompiler::TargetArch;

/// The newest version of Landlock whose rights are used; its files, TCP ports and signals were tried.
pub(super) const LANDLOCK_USED: i32 = 6;
/// `LANDLOCK_CREATE_RULESET_VERSION` of `linux/landlock.h`.
const VERSION: libc::c_ulong = 1;
/// The bit of `CAP_SETPCAP` (`linux/capability.h`), which giving up capabilities for good takes.
const SETPCAP: u32 = 8;

/// See the module's head.
#[derive(Debug)]
pub(super) struct Kernel {
    /// Landlock's version, or why there is none.
    pub(super) landlock: Result<i32, String>,
    /// The machine to filter system calls for, or why they cannot be.
    pub(super) seccomp: Result<TargetArch, String>,
    /// Whether the worker has capabilities of root that its children are to go without.
    pub(super) drops_capabilities: bool,
}

impl Kernel {
    /// Asks it. Changes nothing.
    pub(super) fn look() -> Kernel {
        Kernel {
            landlock: landlock(),
            seccomp: seccomp(),
            drops_capabilities: has_capability(SETPCAP),
        }
    }

    /// Whether Landlock is there in this version or a newer one.
    pub(super) fn has_landlock(&self, version: i32) -> bool {
        self.landlock.as_ref().is_ok_and(|has| *has >= version)
    }
}

fn landlock() -> Result<i32, String> {
    // SAFETY: with this flag the call takes no pointer and makes nothing: it answers with a number.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<libc::c_void>(),
            0_usize,
            VERSION,
        )
    };
    if version > 0 {
        return Ok(i32::try_from(version).unwrap_or(LANDLOCK_USED));
    }
    let error = io::Error::last_os_error();
    Err(match error.raw_os_error() {
        Some(libc::ENOSYS) => {
            "this kernel has no Landlock (Linux 5.13 and newer have, where it is built in)".into()
        }
        Some(libc::EOPNOTSUPP) => {
            "Landlock is switched off on this machine; add landlock to lsm= on the kernel's command line".into()
        }
        _ => format!("Landlock cannot be used here ({error}); a container's own filter may keep it away"),
    })
}

fn seccomp() -> Result<TargetArch, String> {
    let action = libc::SECCOMP_RET_ERRNO;
    // SAFETY: the call reads the one number behind the pointer, which lives until it returns.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_GET_ACTION_AVAIL,
            0,
            &raw const action,
        )
    };
    if answer != 0 {
        let error = io::Error::last_os_error();
        return Err(format!("this kernel filters no system calls ({error})"));
    }
    TargetArch::try_from(std::env::consts::ARCH).map_err(|_| {
        format!(
            "no filter of system calls is known for {} machines",
            std::env::consts::ARCH
        )
    })
}

/// Whether this process has a capability.
fn has_capability(bit: u32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let set = line.and_then(|text| u64::from_str_radix(text.trim(), 16).ok());
    set.is_some_and(|set| set & (1 << bit) != 0)
}

//! What a child keeps of root, where the worker is root: reading and writing the files a job names, and nothing else of the forty
//! things root may do.
//!
//! Only system calls: it runs between fork and exec.

use std::io;

/// The capabilities (`linux/capability.h`) that open files whoever owns them; without them a root worker would suddenly not read
/// what it always read. A worker that is to have no such power runs ffmpeg as another user.
const KEPT: [libc::c_ulong; 2] = [
    1, // CAP_DAC_OVERRIDE
    2, // CAP_DAC_READ_SEARCH
];
/// More than any kernel has; the first that a kernel does not know ends the loop.
const CAPABILITIES_MAX: libc::c_ulong = 64;

/// Takes the other capabilities from the calling process for good: the next exec is without them.
pub(super) fn drop_capabilities(keeps: bool) -> io::Result<()> {
    for capability in 0..CAPABILITIES_MAX {
        if keeps && KEPT.contains(&capability) {
            continue;
        }
        // SAFETY: a system call with numbers alone.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } != 0 {
            let error = io::Error::last_os_error();
            return match error.raw_os_error() {
                Some(libc::EINVAL) => Ok(()),
                _ => Err(error),
            };
        }
    }
    Ok(())
}

//! What of the sandbox holds, and why the rest does not, for people.

use ffrtmp_api::protocol::GuardReport;

use super::{Sandbox, calls, kernel::LANDLOCK_USED};

/// Landlock's version that knows TCP, and that which knows signals.
const KNOWS_TCP: i32 = 4;
const KNOWS_SIGNALS: i32 = 6;

impl Sandbox {
    /// One line for each wall.
    pub(crate) fn reports(&self) -> Vec<GuardReport> {
        let report = |name: &str, (holds, what): (bool, String)| GuardReport {
            name: name.to_owned(),
            holds,
            what,
        };
        vec![
            report("files", self.files()),
            report("connections", self.connections()),
            report("processes", self.processes()),
            report("system calls", self.calls()),
            report("user", self.identity()),
        ]
    }

    fn files(&self) -> (bool, String) {
        match self.kernel.as_ref().map(|kernel| &kernel.landlock) {
            None => (true, off()),
            Some(Ok(version)) => (
                true,
                format!(
                    "ffmpeg opens its job's input, its own output and the system's programs, nothing else (Landlock {})",
                    version.min(&LANDLOCK_USED)
                ),
            ),
            Some(Err(why)) => (false, why.clone()),
        }
    }

    fn connections(&self) -> (bool, String) {
        let Some(kernel) = &self.kernel else {
            return (true, off());
        };
        match (&kernel.seccomp, &kernel.landlock) {
            (Ok(_), _) if kernel.has_landlock(KNOWS_TCP) => (
                true,
                "a job on files opens no socket; others connect to the ports they need".to_owned(),
            ),
            (Ok(_), Ok(version)) => (
                false,
                format!(
                    "a job on files opens no socket, but one with a URL connects to any port: Landlock {version} does not know TCP \
                     (Linux 6.7 does)"
                ),
            ),
            (Ok(_), Err(_)) => (
                false,
                "a job on files opens no socket, but one with a URL connects to any port: there is no Landlock".to_owned(),
            ),
            (Err(why), _) => (false, why.clone()),
        }
    }

    fn processes(&self) -> (bool, String) {
        let Some(kernel) = &self.kernel else {
            return (true, off());
        };
        let seccomp = kernel.seccomp.is_ok();
        match &kernel.landlock {
            _ if kernel.has_landlock(KNOWS_SIGNALS) => (
                true,
                "ffmpeg neither traces nor signals the worker or another job".to_owned(),
            ),
            landlock if self.user.is_some() && (landlock.is_ok() || seccomp) => (
                true,
                "ffmpeg is another user, and neither traces nor signals the worker".to_owned(),
            ),
            Ok(version) => (
                false,
                format!(
                    "ffmpeg traces no other process, but may send signals: Landlock {version} does not know them (Linux 6.12 does; or \
                     use --run-as)"
                ),
            ),
            Err(_) => (
                false,
                "ffmpeg may send signals to what the worker's user runs: there is no Landlock; use --run-as".to_owned(),
            ),
        }
    }

    fn calls(&self) -> (bool, String) {
        match self.kernel.as_ref().map(|kernel| &kernel.seccomp) {
            None => (true, off()),
            Some(Ok(_)) => (
                true,
                format!(
                    "{} that media work has no use for are refused (seccomp)",
                    calls::count()
                ),
            ),
            Some(Err(why)) => (false, why.clone()),
        }
    }

    fn identity(&self) -> (bool, String) {
        let drops = self
            .kernel
            .as_ref()
            .is_some_and(|kernel| kernel.drops_capabilities);
        let what = match &self.user {
            Some(user) => format!("ffmpeg is {}", user.name),
            None if !rustix::process::geteuid().is_root() => {
                "ffmpeg is the worker's own user, which is not root".to_owned()
            }
            None if drops => {
                "ffmpeg is root, which opens every file, but can do nothing else of what \
                root may; --run-as makes it another user"
                    .to_owned()
            }
            None => "ffmpeg is root; --run-as makes it another user".to_owned(),
        };
        (true, what)
    }
}

/// What nobody asked for holds.
fn off() -> String {
    "none was asked for (--sandbox off)".to_owned()
}

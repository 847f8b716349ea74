//! Who ffmpeg is, where it is to be somebody else than the worker: `--run-as USER[:GROUP]`.
//!
//! Files follow: what a job names is looked at, made and moved with that user's rights ([`acting`]), so that a job can do no more
//! through the worker than through ffmpeg, and what it makes is that user's.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use uzers::os::unix::UserExt;

/// An account of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    /// As it is shown, and as `USER` in the environment.
    pub(super) name: String,
    uid: libc::uid_t,
    gid: libc::gid_t,
    /// The groups it is in, and those that own the GPUs' devices.
    groups: Vec<libc::gid_t>,
    /// Its home, where it has one.
    pub(super) home: Option<PathBuf>,
}

impl User {
    /// The account `text` names: `USER`, `USER:GROUP`, or numbers in the place of either.
    ///
    /// # Errors
    /// There is none, it is root, or this process may not become another.
    pub(crate) fn find(text: &str) -> anyhow::Result<User> {
        if !rustix::process::geteuid().is_root() {
            bail!(
                "only a worker that is root can run ffmpeg as another user, and this one is not; start it as root, or start it as that \
                 user and leave --run-as out"
            );
        }
        let (name, group) = match text.split_once(':') {
            Some((name, group)) => (name, Some(group)),
            None => (text, None),
        };
        let known = match name.parse::<u32>() {
            Ok(uid) => uzers::get_user_by_uid(uid),
            Err(_) => uzers::get_user_by_name(name),
        };
        let uid = match (&known, name.parse::<u32>()) {
            (Some(user), _) => user.uid(),
            (None, Ok(uid)) => uid,
            (None, Err(_)) => bail!("there is no user {name:?} on this machine"),
        };
        let gid = match (group, &known) {
            (Some(group), _) => gid(group)?,
            (None, Some(user)) => user.primary_group_id(),
            (None, None) => bail!(
                "user {uid} has no entry on this machine that would tell its group; name one, as {uid}:{uid}"
            ),
        };
        if uid == 0 || gid == 0 || uid == u32::MAX || gid == u32::MAX {
            bail!("{text} is root or no user at all; name a user without privileges");
        }
        let mut groups = BTreeSet::from([gid]);
        if let Some(user) = &known {
            let of_user = uzers::get_user_groups(user.name(), gid).unwrap_or_default();
            groups.extend(of_user.iter().map(uzers::Group::gid));
        }
        groups.extend(of_gpus(Path::new("/dev/dri")));
        groups.remove(&0);
        Ok(User {
            name: match &known {
                Some(user) => user.name().to_string_lossy().into_owned(),
                None => uid.to_string(),
            },
            uid,
            gid,
            groups: groups.into_iter().collect(),
            home: known
                .map(|user| user.home_dir().to_owned())
                .filter(|home| home.is_absolute()),
        })
    }

    /// Everybody's least user, without a look at this machine.
    #[cfg(test)]
    pub(super) fn nobody() -> User {
        User {
            name: "nobody".into(),
            uid: 65_534,
            gid: 65_534,
            groups: vec![65_534],
            home: None,
        }
    }

    /// Makes the calling process this user, for good. System calls alone, and not the C library's, which would tell other threads: it
    /// runs between fork and exec.
    pub(super) fn become_it(&self) -> io::Result<()> {
        // SAFETY: system calls with numbers, and a pointer to as many groups as is said.
        unsafe {
            set_groups(&self.groups)?;
            call(libc::syscall(
                libc::SYS_setresgid,
                self.gid,
                self.gid,
                self.gid,
            ))?;
            call(libc::syscall(
                libc::SYS_setresuid,
                self.uid,
                self.uid,
                self.uid,
            ))
        }
    }

    /// Gives it a file or folder the worker made where only the worker can make any.
    pub(crate) fn own(&self, path: &Path) -> io::Result<()> {
        std::os::unix::fs::lchown(path, Some(self.uid), Some(self.gid))
    }

    /// Whether it gets into `folder`.
    ///
    /// # Errors
    /// Where not, with what would help.
    pub(crate) fn reaches(&self, folder: &Path) -> anyhow::Result<()> {
        acting(Some(self), || fs::read_dir(folder).map(|_| ())).with_context(|| {
            format!(
                "--run-as: user {} does not get into the scratch folder {}; let others pass through the folders above it, or name \
                 another with --scratch-dir",
                self.name,
                folder.display()
            )
        })
    }
}

fn gid(group: &str) -> anyhow::Result<libc::gid_t> {
    match group.parse::<u32>() {
        Ok(gid) => Ok(gid),
        Err(_) => Ok(uzers::get_group_by_name(group)
            .with_context(|| format!("there is no group {group:?} on this machine"))?
            .gid()),
    }
}

/// The groups that own the devices of GPUs, `render` or `video` on most machines: in a container they have a number and no name.
fn of_gpus(folder: &Path) -> Vec<libc::gid_t> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let nodes = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("renderD"));
    nodes
        .filter_map(|node| Some(node.metadata().ok()?.gid()))
        .collect()
}

/// Does `work` with the rights `user` has on files; none: with the worker's. The calling thread alone changes, and is itself again after,
/// so `work` must not hand work to others.
pub(crate) fn acting<T>(user: Option<&User>, work: impl FnOnce() -> T) -> T {
    let _back = user.map(Acting::start);
    work()
}

/// A thread that acts as another user, until this is dropped.
struct Acting {
    groups: Vec<libc::gid_t>,
}

impl Acting {
    fn start(user: &User) -> Acting {
        let groups = own_groups();
        // The user last, because it takes the right to the rest along. To the kernel all of these are the thread's own; what the C
        // library offers for groups would change every thread's.
        let grouped = set_groups(&user.groups);
        // SAFETY: system calls with numbers alone.
        unsafe {
            libc::setfsgid(user.gid);
            libc::setfsuid(user.uid);
        }
        // A worker that found the user at its start may do this; if it suddenly may not, nothing must be done with root's rights.
        // SAFETY: with an impossible user the call changes nothing and tells the present one.
        let now = unsafe { libc::setfsuid(u32::MAX) };
        if grouped.is_err() || u32::try_from(now) != Ok(user.uid) {
            tracing::error!(
                user = user.name,
                "a thread cannot act as this user any more; the worker ends"
            );
            std::process::abort();
        }
        Acting { groups }
    }
}

impl Drop for Acting {
    fn drop(&mut self) {
        // SAFETY: system calls with numbers alone.
        unsafe {
            libc::setfsuid(rustix::process::geteuid().as_raw());
            libc::setfsgid(rustix::process::getegid().as_raw());
        }
        if let Err(error) = set_groups(&self.groups) {
            tracing::warn!(%error, "a thread did not get its groups back");
        }
    }
}

fn own_groups() -> Vec<libc::gid_t> {
    let groups = rustix::process::getgroups().unwrap_or_default();
    groups.into_iter().map(|group| group.as_raw()).collect()
}

fn set_groups(groups: &[libc::gid_t]) -> io::Result<()> {
    // SAFETY: a system call with a pointer to as many groups as is said.
    call(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) })
}

fn call(answer: libc::c_long) -> io::Result<()> {
    match answer {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

//! Which control group this worker may make others in.
//!
//! Groups have owners: a service manager that finds somebody else's group among its own may remove it or refuse to start. So only a
//! group that was given away is taken: one the manager marked as delegated, the root of a namespace (a container's), or one that
//! belongs to the user the worker runs as.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// What systemd marks a delegated group with; the second on old versions, and only for root to read.
const MARKS: [&str; 2] = ["user.delegate", "trusted.delegate"];

/// The folder of the group this process may make others in.
///
/// # Errors
/// Why there is none, and what to do about it, for people.
pub(super) fn own() -> Result<PathBuf, String> {
    let read = |path: &str| {
        fs::read_to_string(path).map_err(|error| format!("{path} cannot be read: {error}"))
    };
    let (folder, name) = place(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?)?;
    given(&folder, &name)
}

/// The folder of the group and its name, by what the kernel says of this process.
fn place(mounts: &str, groups: &str) -> Result<(PathBuf, PathBuf), String> {
    let name = groups
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .ok_or("this kernel has no cgroup v2")?;
    let name = PathBuf::from(name);
    for line in mounts.lines() {
        // See proc_pid_mountinfo(5): id, parent, device, root, mount point, options, more ..., "-", type, ...
        let Some((before, after)) = line.split_once(" - ") else {
            continue;
        };
        let mut fields = before.split(' ').skip(3);
        let (Some(root), Some(point)) = (fields.next(), fields.next()) else {
            continue;
        };
        if after.split(' ').next() != Some("cgroup2") {
            continue;
        }
        // Only a part of the hierarchy may be mounted.
        if let Ok(below) = name.strip_prefix(root) {
            return Ok((Path::new(&unescaped(point)).join(below), name));
        }
    }
    Err("the cgroup v2 hierarchy is not mounted where this worker can see it".into())
}

/// Spaces and their like are written as `\040` in the list of mounts.
fn unescaped(text: &str) -> String {
    [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// The group if it was given to us, or the one above it if that was: a manager can be told to put us one level down.
fn given(folder: &Path, name: &Path) -> Result<PathBuf, String> {
    let (marked, parent) = (is_marked(folder), folder.parent());
    if name == Path::new("/") || marked || is_own(folder) {
        return Ok(folder.to_owned());
    }
    parent
        .filter(|parent| is_marked(parent) || is_own(parent))
        .map(Path::to_owned)
        .ok_or_else(|| {
            format!(
                "the worker's control group {} was not given to it; run it as a service with Delegate=yes, or in a container",
                name.display()
            )
        })
}

fn is_marked(folder: &Path) -> bool {
    MARKS.iter().any(|mark| {
        let mut value = [0_u8; 8];
        rustix::fs::getxattr(folder, *mark, &mut value[..])
            .is_ok_and(|length| value.get(..length) == Some(b"1"))
    })
}

/// Whether it belongs to the user we are, which tells something only of a user who is not root.
fn is_own(folder: &Path) -> bool {
    let user = rustix::process::geteuid();
    let owner = |folder: &Path| -> io::Result<u32> { Ok(fs::metadata(folder)?.uid()) };
    !user.is_root() && owner(folder).is_ok_and(|owner| owner == user.as_raw())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // in a test that is how one fails

    use super::*;

    #[test]
    fn the_group_is_found_by_mount_and_name() {
        let hybrid = "30 25 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                      31 30 0:27 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup rw,nsdelegate\n";
        let place = |mounts, groups| {
            place(mounts, groups).map(|(folder, _)| folder.to_str().unwrap().to_owned())
        };
        assert_eq!(
            place(hybrid, "4:memory:/\n0::/a.slice/b.service\n").unwrap(),
            "/sys/fs/cgroup/unified/a.slice/b.service"
        );
        let bound = "40 1 0:27 /pods/7 /my\\040groups rw - cgroup2 cgroup rw\n";
        assert_eq!(
            place(bound, "0::/pods/7/main\n").unwrap(),
            "/my groups/main"
        );
        let elsewhere = place(bound, "0::/other\n").unwrap_err();
        assert!(elsewhere.contains("not mounted"), "{elsewhere}");
        let old = place(hybrid, "4:memory:/\n").unwrap_err();
        assert!(old.contains("no cgroup v2"), "{old}");
    }

    #[test]
    fn a_group_nobody_gave_away_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a");
        fs::create_dir(&inner).unwrap();
        let given = |name: &str| given(&inner, Path::new(name));
        assert_eq!(given("/").unwrap(), inner);
        if rustix::process::geteuid().is_root() {
            let why = given("/user.slice/a").unwrap_err();
            assert!(
                why.contains("/user.slice/a") && why.contains("Delegate=yes"),
                "{why}"
            );
        }
        let flags = rustix::fs::XattrFlags::empty();
        // Not every file system takes attributes of users.
        if rustix::fs::setxattr(folder.path(), "user.delegate", b"1", flags).is_ok() {
            assert_eq!(given("/a.service/a").unwrap(), folder.path());
            rustix::fs::setxattr(&inner, "user.delegate", b"1", flags).unwrap();
            assert_eq!(given("/a.service/a").unwrap(), inner);
        }
    }
}

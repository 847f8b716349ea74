//! Control groups (cgroup v2): one for each attempt, below the worker's own, so that a job is held to what it reserved and dies
//! as a whole.
//!
//! Written against the kernel's *Control Group v2* document and the service manager's *Control Group APIs and Delegation*. Plain
//! files, so no library: what it takes is a dozen small writes, and the ones there are move a process only after it was born.
//!
//! It never takes a group that was not given to it (see `home`), and where one cannot be had jobs run without: what holds and
//! what does not is said in [`Groups::report`], and shown by `ffrtmp nodes describe`.

mod group;
mod home;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use ffrtmp_api::ids::Attempt;
use uuid::Uuid;

pub(crate) use group::{Group, Limits};

/// What a job can be held to, as the kernel names it.
const CONTROLLERS: [&str; 4] = ["cpu", "io", "memory", "pids"];
/// The group that whoever shares the worker's group is moved to: one that hands controllers down may hold no processes itself.
const MAIN: &str = "ffrtmp-main";

/// Where groups are made, and what they can hold a job to.
#[derive(Debug)]
pub(crate) struct Groups {
    /// The folder of this worker's groups.
    folder: PathBuf,
    /// Of [`CONTROLLERS`], those that were handed down.
    controllers: Vec<&'static str>,
    /// Why others were not.
    missing: Vec<String>,
}

impl Groups {
    /// Makes the folder of groups below the one this process is in, and removes what an earlier life of this worker left there,
    /// processes and all.
    ///
    /// # Errors
    /// Why there can be none, for people.
    pub(crate) fn take(install_id: Uuid) -> Result<Groups, String> {
        Groups::below(&home::own()?, install_id)
    }

    fn below(home: &Path, install_id: Uuid) -> Result<Groups, String> {
        let folder = home.join(format!("ffrtmp-{install_id}"));
        let cannot = |what: &str, error: &io::Error| {
            format!("{} cannot be {what}: {error}", folder.display())
        };
        remove_all(&folder).map_err(|error| cannot("cleared of what was left there", &error))?;
        fs::create_dir(&folder).map_err(|error| cannot("made", &error))?;
        let mut groups = Groups {
            folder,
            controllers: Vec::new(),
            missing: Vec::new(),
        };
        for controller in CONTROLLERS {
            let handed =
                hand_down(home, controller).and_then(|()| hand_down(&groups.folder, controller));
            match handed {
                Ok(()) => groups.controllers.push(controller),
                Err(why) => groups.missing.push(format!("{controller}: {why}")),
            }
        }
        Ok(groups)
    }

    /// Makes the group of an attempt.
    ///
    /// # Errors
    /// When the kernel makes none, or refuses a limit it should be able to hold.
    pub(crate) fn make(&self, attempt: Attempt, limits: &Limits) -> io::Result<Group> {
        Group::make(self.folder.join(attempt.to_string()), limits, |c| {
            self.controllers.contains(&c)
        })
    }

    /// Whether jobs can be held to all there is but disk accesses, which few disks are made for.
    pub(crate) fn holds(&self) -> bool {
        ["cpu", "memory", "pids"]
            .iter()
            .all(|needed| self.controllers.contains(needed))
    }

    /// What jobs can be held to and what not, for people.
    pub(crate) fn report(&self) -> String {
        let held = match self.controllers.as_slice() {
            [] => "no limits, but a job's processes end with it".to_owned(),
            some => some.join(", "),
        };
        match self.missing.as_slice() {
            [] => format!("cgroup v2: {held}"),
            missing => format!("cgroup v2: {held}; not {}", missing.join("; not ")),
        }
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        // Its attempts hold it, so there is none left; what cannot be removed the next start removes.
        let _ = fs::remove_dir(&self.folder);
    }
}

/// Lets the groups below `group` have the controller.
fn hand_down(group: &Path, controller: &'static str) -> Result<(), String> {
    let has = fs::read_to_string(group.join("cgroup.controllers")).unwrap_or_default();
    if !has.split_whitespace().any(|one| one == controller) {
        return Err(
            "this group was not given it (on a host with the old hierarchies it is there)".into(),
        );
    }
    // Before it is tried: a group with processes in it hands down `cpu` and `pids`, which know threads, without complaint, and
    // makes every group below it invalid by that.
    if has_processes(group) {
        move_aside(group).map_err(|error| {
            format!("the processes of this group cannot be moved to {MAIN}: {error}")
        })?;
    }
    let file = group.join("cgroup.subtree_control");
    let hand = || fs::write(&file, format!("+{controller}"));
    match hand() {
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => move_aside(group)
            .and_then(|()| hand())
            .map_err(|error| format!("{error}, though every process was moved to {MAIN}")),
        done => done.map_err(|error| error.to_string()),
    }
}

/// Whether there are processes in the group that are in the way. They are not at the root of the hierarchy, which has no type.
fn has_processes(group: &Path) -> bool {
    group.join("cgroup.type").exists()
        && fs::read_to_string(group.join("cgroup.procs")).is_ok_and(|list| !list.is_empty())
}

/// Moves every process of a group that was given to us one level down.
fn move_aside(group: &Path) -> io::Result<()> {
    let main = group.join(MAIN);
    match fs::create_dir(&main) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // One that is born meanwhile is in the group of its parent, so the list is read until it is empty.
    for _ in 0..100 {
        let list = fs::read_to_string(group.join("cgroup.procs"))?;
        let mut moved = 0;
        for pid in list.split_whitespace() {
            match fs::write(main.join("cgroup.procs"), pid) {
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                done => done?,
            }
            moved += 1;
        }
        if moved == 0 {
            return Ok(());
        }
    }
    Err(io::Error::other(
        "new processes appear faster than they can be moved",
    ))
}

/// Ends and removes the groups below `folder`, and `folder`.
fn remove_all(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            group::end(&entry.path())?;
        }
    }
    fs::remove_dir(folder)
}

#[cfg(test)]
mod tests;

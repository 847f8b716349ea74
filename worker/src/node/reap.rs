//! Cleans up after an earlier life of this worker: kills what still runs, deletes what was half written, and brings
//! back the outcomes that were not delivered.
//!
//! Runs once, before anything else is started. It never kills by name or by a bare pid: a process is ours if it carries
//! our install id in its environment, or if pid *and* start time match a record.

use std::{
    collections::BTreeSet,
    fs, io,
    path::Path,
    time::{Duration, Instant},
};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use uuid::Uuid;

use super::{
    records::{Record, Records, Standing},
    state_dir::StateDir,
};
use crate::{
    attempt::{prepare::unmake, shown},
    ffmpeg::{process::start_ticks, spawner::MARK},
    sandbox::User,
};

/// How long killed processes may take to be gone. One that hangs in the kernel is logged and left.
const PATIENCE: Duration = Duration::from_secs(5);

/// Cleans up, with the rights of `user` where encodes have those, and answers with the records of attempts that are still to be delivered.
pub(crate) fn reap(
    state: &StateDir,
    records: &Records,
    user: Option<&User>,
) -> io::Result<Vec<Record>> {
    let found = records.load()?;
    kill_left_behind(state.install_id, &found);
    let (kept, dead): (Vec<_>, Vec<_>) = found
        .into_iter()
        .partition(|r| r.standing != Standing::Working);
    for record in dead {
        tracing::info!(attempt = %record.attempt, "left behind unfinished; its processes and files are removed");
        if let Some(temp) = &record.temp {
            unmake(temp, &state.scratch, user);
        }
        records.remove(record.attempt);
    }
    let waiting: BTreeSet<&Path> = kept.iter().filter_map(|r| r.temp.as_deref()).collect();
    for entry in fs::read_dir(&state.scratch)? {
        let path = entry?.path();
        // What is encoded and waits for its order to be sent stands in scratch too.
        if !waiting.contains(path.as_path()) {
            remove_quietly(&path);
        }
    }
    Ok(kept)
}

/// Removes a file, or a folder with all that is in it, logging only what is unexpected. What a link leads to stays.
/// An attempt's folder that was shown before it was whole is shown no more.
pub(crate) fn remove_quietly(path: &Path) {
    shown::withdraw(path);
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    if let Err(error) = removed
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "cannot be removed; it is left there");
    }
}

fn kill_left_behind(install_id: Uuid, records: &[Record]) {
    let leaders: BTreeSet<(u32, u64)> = records
        .iter()
        .filter_map(|r| r.leader.map(|l| (l.pid, l.start_ticks)))
        .collect();
    let mark = format!("{MARK}={install_id}");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut alive = 0;
        for pid in processes() {
            if is_ours(pid, &leaders, mark.as_bytes()) {
                alive += 1;
            }
        }
        if alive == 0 {
            return;
        }
        if Instant::now() > deadline {
            tracing::error!(
                processes = alive,
                "left-behind processes do not die; they are left to the kernel"
            );
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether `pid` was ours; if so it has been sent SIGKILL.
fn is_ours(pid: u32, leaders: &BTreeSet<(u32, u64)>, mark: &[u8]) -> bool {
    let Some(name) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return false;
    };
    // The pidfd first, the check second: what is killed is then surely what was checked.
    let Ok(pidfd) = pidfd_open(name, PidfdFlags::empty()) else {
        return false;
    };
    let Some(started) = start_ticks(pid) else {
        return false;
    };
    let marked = || {
        fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environ| {
            environ
                .split(|byte| *byte == 0)
                .any(|variable| variable == mark)
        })
    };
    if is_zombie(pid) || !(leaders.contains(&(pid, started)) || marked()) {
        return false;
    }
    tracing::info!(pid, "killing a process left behind by an earlier run");
    if leaders.contains(&(pid, started)) {
        let _ = rustix::process::kill_process_group(name, Signal::KILL);
    }
    let _ = pidfd_send_signal(&pidfd, Signal::KILL);
    true
}

fn is_zombie(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return true;
    };
    stat.rfind(')')
        .and_then(|at| stat.get(at + 2..at + 3))
        .is_none_or(|state| matches!(state, "Z" | "X"))
}

fn processes() -> Vec<u32> {
    let me = std::process::id();
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid != me).collect()
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::CommandExt, process::Command};

    use ffrtmp_api::{
        ids::{Attempt, AttemptNo, JobSeq},
        protocol::Outcome,
    };

    use super::super::records::Leader;
    use super::*;

    fn attempt(job: u64) -> Attempt {
        Attempt {
            job: JobSeq(job),
            no: AttemptNo(1),
        }
    }

    #[test]
    fn what_a_crashed_worker_left_is_killed_and_deleted_and_its_outcomes_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path(), None).unwrap();
        let records = Records::new(state.attempts());
        // One found by pid and start time, one only by its mark, one that is a stranger with a reused pid.
        let mut by_record = Command::new("sleep")
            .arg("600")
            .process_group(0)
            .spawn()
            .unwrap();
        let mut by_mark = Command::new("sleep")
            .arg("600")
            .env(MARK, state.install_id.to_string())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut stranger = Command::new("sleep")
            .arg("600")
            .process_group(0)
            .spawn()
            .unwrap();
        let temp = dir.path().join(".x.mp4.ffrtmp-1-1.part");
        fs::write(&temp, "half").unwrap();
        fs::write(state.scratch.join("2.1.mkv"), "half").unwrap();
        let leader = |pid: u32, start_ticks| Some(Leader { pid, start_ticks });
        let working = |job, temp: Option<&Path>, leader| Record {
            attempt: attempt(job),
            temp: temp.map(Path::to_owned),
            leader,
            standing: Standing::Working,
        };
        records
            .save(&working(
                1,
                Some(&temp),
                leader(by_record.id(), start_ticks(by_record.id()).unwrap()),
            ))
            .unwrap();
        records
            .save(&working(2, None, leader(stranger.id(), 1)))
            .unwrap();
        let ended = Standing::Ended {
            outcome: Outcome::Canceled,
            log: "log".into(),
        };
        records
            .save(&Record {
                standing: ended.clone(),
                ..working(3, None, None)
            })
            .unwrap();

        let kept = reap(&state, &records, None).unwrap();

        assert_eq!(
            kept,
            vec![Record {
                standing: ended,
                ..working(3, None, None)
            }]
        );
        assert_eq!(records.load().unwrap(), kept);
        assert!(!temp.exists() && fs::read_dir(&state.scratch).unwrap().next().is_none());
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(by_record.wait().unwrap().signal(), Some(libc::SIGKILL));
        assert_eq!(by_mark.wait().unwrap().signal(), Some(libc::SIGKILL));
        assert!(
            stranger.try_wait().unwrap().is_none(),
            "a stranger was killed"
        );
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }

    #[test]
    fn a_file_that_is_no_record_does_not_stop_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path(), None).unwrap();
        fs::write(state.attempts().join("9.1.json"), "{\"attempt\":").unwrap();
        assert_eq!(
            reap(&state, &Records::new(state.attempts()), None).unwrap(),
            vec![]
        );
    }
}

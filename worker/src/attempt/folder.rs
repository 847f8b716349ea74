//! Outputs that are folders: what may be replaced, how large one is, and how one gets its final name in one step. How one is shown
//! before is `shown`.
//!
//! Separate from single files because a folder cannot be renamed over another one: an old one is swapped with the new one
//! and then removed. What does not look like such an output is never replaced, whatever a job allows.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use ffrtmp_api::{ids::Attempt, job::FailureReason};
use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};

use super::{prepare::check_directory, shown};
use crate::{ffmpeg::diagnosis::Failure, node::reap::remove_quietly};

/// What the files of such a folder end in.
const EXTENSIONS: [&str; 6] = ["m3u8", "mpd", "ts", "m4s", "mp4", "vtt"];

/// Whether a folder may be made at `path`, with `index` in it, by this attempt.
pub(crate) fn check(
    path: &Path,
    index: &str,
    overwrite: bool,
    attempt: Attempt,
) -> Result<(), Failure> {
    check_directory(path)?;
    let fail = |what: String| {
        Err(Failure::new(
            FailureReason::UserError,
            format!("output {}: {what}", path.display()),
        ))
    };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => fail(error.to_string()),
        // What an earlier attempt showed, whose worker is gone.
        Ok(_) if shown::is_of_earlier(path, attempt) => Ok(()),
        Ok(_) if overwrite && shown::by(path).is_some() => Ok(()),
        Ok(metadata) if !metadata.is_dir() => {
            fail("is there and is not a folder; name another".into())
        }
        Ok(_) if !overwrite => fail(
            "is there already; the whole folder is the output: name a new one, remove it, or allow it with overwrite".into(),
        ),
        Ok(_) => match stranger(path, index) {
            Ok(None) => Ok(()),
            Ok(Some(what)) => fail(format!("{what}, so it is not replaced; name another folder")),
            Err(error) => fail(error.to_string()),
        },
    }
}

/// What in a folder does not look like an output of this kind. An empty one is nobody's loss.
pub(super) fn stranger(path: &Path, index: &str) -> io::Result<Option<String>> {
    let mut any = false;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        any = true;
        let name = entry.file_name();
        let extension = Path::new(&name).extension().and_then(|e| e.to_str());
        if !entry.file_type()?.is_file() || !extension.is_some_and(|e| EXTENSIONS.contains(&e)) {
            return Ok(Some(format!("holds {}", name.to_string_lossy())));
        }
    }
    if any && !path.join(index).is_file() {
        return Ok(Some(format!("holds no {index}")));
    }
    Ok(None)
}

/// Writes every file of a folder to the disk; answers with their size together.
pub(crate) fn sync(path: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(path)? {
        let file = File::open(entry?.path())?;
        file.sync_all()?;
        bytes += file.metadata()?.len();
    }
    File::open(path)?.sync_all()?;
    Ok(bytes)
}

/// The size of the files of a folder together.
pub(crate) fn size(path: &Path) -> io::Result<u64> {
    fs::read_dir(path)?
        .map(|entry| Ok(entry?.metadata()?.len()))
        .sum()
}

/// Gives `temp` the name `path`, at once and whole; what was there is removed after.
pub(crate) fn rename(temp: &Path, path: &Path, index: &str, overwrite: bool) -> io::Result<()> {
    if shown::is_ours(path, temp) || overwrite && shown::by(path).is_some() {
        return take_place_of_link(temp, path);
    }
    match renameat_with(CWD, temp, CWD, path, RenameFlags::NOREPLACE) {
        Ok(()) => return Ok(()),
        Err(Errno::EXIST) if overwrite => {}
        // Without the flag a rename replaces an empty folder alone, and fails on any other.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) if !path.exists() => {
            return fs::rename(temp, path);
        }
        Err(error) => return Err(error.into()),
    }
    // Looked at again: hours may have passed since the encode began.
    if let Some(what) = stranger(path, index)? {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
    }
    renameat_with(CWD, temp, CWD, path, RenameFlags::EXCHANGE)?;
    remove_quietly(temp);
    Ok(())
}

/// The same where a link shows it, or an attempt before it.
fn take_place_of_link(temp: &Path, path: &Path) -> io::Result<()> {
    match renameat_with(CWD, temp, CWD, path, RenameFlags::EXCHANGE) {
        // The link, under the folder's name now.
        Ok(()) => fs::remove_file(temp),
        // Nothing is at the place for a moment, where the file system cannot do better.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            fs::remove_file(path)?;
            fs::rename(temp, path)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use ffrtmp_api::ids::{AttemptNo, JobSeq};

    use super::*;

    fn folder(dir: &Path, name: &str, files: &[&str]) -> std::path::PathBuf {
        let path = dir.join(name);
        fs::create_dir(&path).unwrap();
        for file in files {
            fs::write(path.join(file), name).unwrap();
        }
        path
    }

    #[test]
    fn only_a_folder_of_segments_is_ever_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let ours = folder(dir.path(), "ours", &["index.m3u8", "a.ts"]);
        let home = folder(dir.path(), "home", &["index.m3u8", "letter.txt"]);
        let other = folder(dir.path(), "other", &["a.ts"]);
        let nested = folder(dir.path(), "nested", &["index.m3u8"]);
        fs::create_dir(nested.join("x")).unwrap();
        let attempt = Attempt {
            job: JobSeq(1),
            no: AttemptNo(1),
        };
        let check = |path: &Path, overwrite| super::check(path, "index.m3u8", overwrite, attempt);
        check(&ours, true).unwrap();
        check(&dir.path().join("new"), false).unwrap();
        assert!(
            check(&ours, false)
                .unwrap_err()
                .message
                .contains("there already")
        );
        for (path, says) in [
            (&home, "letter.txt"),
            (&other, "no index.m3u8"),
            (&nested, "holds x"),
        ] {
            let message = check(path, true).unwrap_err().message;
            assert!(message.contains(says), "{message}");
        }
    }

    #[test]
    fn a_new_folder_takes_the_place_of_the_old_one_whole() {
        let dir = tempfile::tempdir().unwrap();
        let old = folder(dir.path(), "show", &["index.m3u8", "old.ts"]);
        let new = folder(
            dir.path(),
            ".show.ffrtmp-1-1.part",
            &["index.m3u8", "new.ts"],
        );
        assert!(rename(&new, &old, "index.m3u8", false).is_err());
        rename(&new, &old, "index.m3u8", true).unwrap();
        assert!(old.join("new.ts").exists() && !old.join("old.ts").exists() && !new.exists());
    }
}

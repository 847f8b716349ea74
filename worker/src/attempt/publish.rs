//! Moves a finished temporary file to its final name, as the master ordered.
//!
//! By path alone, so that any worker that sees the path can complete an order another one died with. Idempotent: the
//! answer to an order that was already carried out is that it was carried out. It never replaces a file unless told to,
//! and never moves a file that does not look like an attempt's.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
};

use ffrtmp_api::{job::FailureReason, protocol::Outcome};
use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};

use super::folder;
use crate::ffmpeg::diagnosis::Failure;

/// Carries out the order and answers with what the master is to be told.
pub(crate) fn publish(temp: &Path, output: &Path, bytes: u64, overwrite: bool) -> Outcome {
    match try_publish(temp, output, bytes, overwrite) {
        Ok(()) => Outcome::Published,
        Err(Failure { reason, message }) => Outcome::PublishFailed { reason, message },
    }
}

fn try_publish(temp: &Path, output: &Path, bytes: u64, overwrite: bool) -> Result<(), Failure> {
    // A folder is published as a whole; the job names the index in it.
    if let Some(path) = output.parent()
        && temp.parent() != Some(path)
        && temp.parent() == path.parent()
    {
        return publish_folder(temp, path, output, bytes, overwrite);
    }
    check_name(temp, output)?;
    let there = match fs::symlink_metadata(temp) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return already_done(temp, output, bytes);
        }
        Err(error) => return Err(failed(temp, &error)),
    };
    if !there.is_file() || there.len() != bytes {
        return Err(platform(format!(
            "{} holds {} bytes where {bytes} were encoded",
            temp.display(),
            there.len()
        )));
    }
    if overwrite {
        fs::rename(temp, output).map_err(|error| failed(output, &error))?;
        return sync_directory(output);
    }
    match renameat_with(CWD, temp, CWD, output, RenameFlags::NOREPLACE) {
        Ok(()) => {}
        Err(Errno::EXIST) if is_same_file(&there, output) => remove(temp)?,
        // NFS and some FUSE file systems know no NOREPLACE. A hard link refuses an existing name just as surely.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            fs::hard_link(temp, output).map_err(|error| failed(output, &error))?;
            remove(temp)?;
        }
        Err(error) => return Err(failed(output, &error.into())),
    }
    sync_directory(output)
}

/// Never moves what does not look like an attempt's.
fn check_name(temp: &Path, output: &Path) -> Result<(), Failure> {
    let name = temp.file_name().unwrap_or_default().to_string_lossy();
    if temp.parent() != output.parent() || !name.starts_with('.') || !name.contains(".ffrtmp-") {
        return Err(platform(format!(
            "{} is not a temporary file of an attempt beside {}",
            temp.display(),
            output.display()
        )));
    }
    Ok(())
}

fn publish_folder(
    temp: &Path,
    path: &Path,
    index: &Path,
    bytes: u64,
    overwrite: bool,
) -> Result<(), Failure> {
    check_name(temp, path)?;
    let has = |folder: &Path| match fs::symlink_metadata(folder) {
        Ok(metadata) if metadata.is_dir() => folder::size(folder).map(Some),
        // What a folder that was shown leaves where it stood before: it is in its place.
        Ok(metadata) if metadata.is_symlink() && folder == temp => Ok(None),
        Ok(_) => Err(io::Error::from(io::ErrorKind::NotADirectory)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    match has(temp).map_err(|error| failed(temp, &error))? {
        Some(there) if there == bytes => {}
        Some(there) => {
            return Err(platform(format!(
                "{} holds {there} bytes where {bytes} were encoded",
                temp.display()
            )));
        }
        // Gone: was it this order that moved it, its answer lost?
        None => match has(path).map_err(|error| failed(path, &error))? {
            Some(there) if there == bytes && index.is_file() => {
                if temp.is_symlink() {
                    fs::remove_file(temp).map_err(|error| failed(temp, &error))?;
                }
                return sync_directory(path);
            }
            _ => {
                return Err(platform(format!(
                    "{} is not to be found on this worker",
                    temp.display()
                )));
            }
        },
    }
    let name = index.file_name().unwrap_or_default().to_string_lossy();
    folder::rename(temp, path, &name, overwrite).map_err(|error| failed(path, &error))?;
    sync_directory(path)
}

/// The temporary file is gone: was it this order that moved it, its answer lost?
fn already_done(temp: &Path, output: &Path, bytes: u64) -> Result<(), Failure> {
    match fs::symlink_metadata(output) {
        Ok(metadata) if metadata.is_file() && metadata.len() == bytes => sync_directory(output),
        Ok(_) => Err(platform(format!(
            "{} is gone, and {} is not the {bytes} bytes that were encoded",
            temp.display(),
            output.display()
        ))),
        Err(_) => Err(platform(format!(
            "{} is not to be found on this worker",
            temp.display()
        ))),
    }
}

/// A crash between link and unlink leaves both names on one file.
fn is_same_file(there: &fs::Metadata, output: &Path) -> bool {
    fs::symlink_metadata(output)
        .is_ok_and(|other| (other.dev(), other.ino()) == (there.dev(), there.ino()))
}

fn remove(temp: &Path) -> Result<(), Failure> {
    fs::remove_file(temp).map_err(|error| failed(temp, &error))
}

fn sync_directory(output: &Path) -> Result<(), Failure> {
    let directory = output.parent().unwrap_or(Path::new("/"));
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| failed(directory, &error))
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::new(
            FailureReason::UserError,
            format!(
                "{} exists already, and overwrite was not allowed",
                path.display()
            ),
        ),
        io::ErrorKind::IsADirectory => Failure::new(
            FailureReason::UserError,
            format!("{} is a directory", path.display()),
        ),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Failure::new(
            FailureReason::ResourceError,
            format!("{}: {error}", path.display()),
        ),
        _ => platform(format!("{}: {error}", path.display())),
    }
}

fn platform(message: String) -> Failure {
    Failure::new(FailureReason::PlatformError, message)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn place() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let (temp, output) = (
            dir.path().join(".a.mp4.ffrtmp-1-1.part"),
            dir.path().join("a.mp4"),
        );
        fs::write(&temp, "12345").unwrap();
        (dir, temp, output)
    }

    fn said(outcome: Outcome) -> String {
        match outcome {
            Outcome::PublishFailed { message, .. } => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_order_carried_out_twice_answers_the_same() {
        let (_dir, temp, output) = place();
        assert_eq!(publish(&temp, &output, 5, false), Outcome::Published);
        assert_eq!(publish(&temp, &output, 5, false), Outcome::Published);
        assert_eq!(fs::read_to_string(&output).unwrap(), "12345");
        assert!(!temp.exists());
    }

    #[test]
    fn an_existing_output_is_kept_unless_overwriting_was_allowed() {
        let (_dir, temp, output) = place();
        fs::write(&output, "other").unwrap();
        assert!(said(publish(&temp, &output, 5, false)).contains("exists already"));
        assert_eq!(fs::read_to_string(&output).unwrap(), "other");
        assert!(temp.exists(), "the encode is not thrown away");
        assert_eq!(publish(&temp, &output, 5, true), Outcome::Published);
        assert_eq!(fs::read_to_string(&output).unwrap(), "12345");
    }

    #[test]
    fn a_half_done_link_is_completed() {
        let (_dir, temp, output) = place();
        fs::hard_link(&temp, &output).unwrap();
        assert_eq!(publish(&temp, &output, 5, false), Outcome::Published);
        assert!(!temp.exists() && output.exists());
    }

    #[test]
    fn a_missing_or_changed_temporary_file_publishes_nothing() {
        let (_dir, temp, output) = place();
        assert!(said(publish(&temp, &output, 6, true)).contains("5 bytes where 6"));
        fs::remove_file(&temp).unwrap();
        assert!(said(publish(&temp, &output, 5, true)).contains("not to be found"));
        fs::write(&output, "somebody else's").unwrap();
        assert!(said(publish(&temp, &output, 5, true)).contains("is not the 5 bytes"));
    }

    #[test]
    fn only_an_attempt_s_file_beside_the_output_can_be_moved() {
        let (dir, _temp, output) = place();
        let stranger = dir.path().join("b.mp4");
        fs::write(&stranger, "12345").unwrap();
        assert!(said(publish(&stranger, &output, 5, true)).contains("not a temporary file"));
        assert!(stranger.exists());
    }

    #[test]
    fn a_folder_is_moved_whole_and_an_order_carried_out_twice_answers_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let temp = dir.path().join(".show.ffrtmp-1-1.part");
        fs::create_dir(&temp).unwrap();
        fs::write(temp.join("index.m3u8"), "123").unwrap();
        fs::write(temp.join("a.ts"), "45").unwrap();
        let output = dir.path().join("show/index.m3u8");
        assert!(said(publish(&temp, &output, 6, false)).contains("5 bytes where 6"));
        assert_eq!(publish(&temp, &output, 5, false), Outcome::Published);
        assert_eq!(publish(&temp, &output, 5, false), Outcome::Published);
        assert!(output.exists() && !temp.exists());
        // A crash between the exchange with the link that showed it, and the removal of that.
        std::os::unix::fs::symlink(".show.ffrtmp-1-1.part", &temp).unwrap();
        assert_eq!(publish(&temp, &output, 5, false), Outcome::Published);
        assert!(output.exists() && temp.symlink_metadata().is_err());
        let stranger = dir.path().join("b");
        fs::create_dir(&stranger).unwrap();
        assert!(said(publish(&stranger, &output, 0, true)).contains("not a temporary file"));
    }
}

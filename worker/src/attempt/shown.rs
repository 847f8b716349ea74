//! A folder that can be watched before it is whole: a link at its final place, to the attempt's folder beside it.
//!
//! Separate from `folder` because it is no promise of the two-phase kind. A link is set by an attempt on its own, like a stream that
//! is sent out: what was watched cannot be taken back. What it must never do is replace anything but a link of this kind (or, where
//! the job allows it, an old output), or touch the folder of another attempt: each writes into one of its own, so a worker that
//! was away and comes back changes nothing that players see. The end is as for every folder: the master chooses, and the folder
//! takes the place of the link.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use ffrtmp_api::ids::{Attempt, AttemptNo, JobSeq};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::folder::stranger;

/// Which attempt's folder the link at `path` leads to; none, if no such link is there.
pub(super) fn by(path: &Path) -> Option<Attempt> {
    let leads = fs::read_link(path).ok()?;
    let (name, attempt) = parse(leads.to_str()?)?;
    (path.file_name()?.to_str()? == name).then_some(attempt)
}

/// Whether the link at `path` was set by an earlier attempt at the same job.
pub(super) fn is_of_earlier(path: &Path, attempt: Attempt) -> bool {
    by(path).is_some_and(|other| other.job == attempt.job && other.no < attempt.no)
}

/// Whether the link at `path` leads to `temp`, or was set by an earlier attempt at the same job.
pub(super) fn is_ours(path: &Path, temp: &Path) -> bool {
    let name = temp.file_name().and_then(|name| name.to_str());
    let Some((_, attempt)) = name.and_then(parse) else {
        return false;
    };
    by(path) == Some(attempt) || is_of_earlier(path, attempt)
}

/// Shows `temp`, an attempt's folder, at `path`.
///
/// # Errors
/// When something else is there (unless `overwrite` allows it to go, and it is an output of this kind), when a later attempt shows
/// its own, and when the file system knows no links.
pub(super) fn show(temp: &Path, path: &Path, index: &str, overwrite: bool) -> io::Result<()> {
    let refused = |what: &str| Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
    let name = temp.file_name().and_then(|name| name.to_str());
    let Some((of, attempt)) = name.and_then(parse) else {
        return refused("the name of the folder is too long to be shown");
    };
    if path.file_name().and_then(|name| name.to_str()) != Some(of) {
        return refused("the name of the folder is too long to be shown");
    }
    // Made beside it and moved there, so that there is no moment without one.
    let link = link_beside(temp);
    let _ = fs::remove_file(&link);
    symlink(name.unwrap_or_default(), &link)?;
    let shown = match by(path) {
        Some(other) if other == attempt => Ok(()),
        Some(other) if other.job == attempt.job && other.no > attempt.no => {
            refused("a later attempt shows its own")
        }
        Some(other) if other.job == attempt.job || overwrite => fs::rename(&link, path),
        Some(_) => refused("another job shows its folder there"),
        None => take_place(&link, path, index, overwrite),
    };
    let _ = fs::remove_file(&link);
    shown
}

fn take_place(link: &Path, path: &Path, index: &str, overwrite: bool) -> io::Result<()> {
    match renameat_with(CWD, link, CWD, path, RenameFlags::NOREPLACE) {
        Ok(()) => return Ok(()),
        Err(rustix::io::Errno::EXIST) if overwrite => {}
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP)
            if path.symlink_metadata().is_err() =>
        {
            return fs::rename(link, path);
        }
        Err(error) => return Err(error.into()),
    }
    if let Some(what) = stranger(path, index)? {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
    }
    renameat_with(CWD, link, CWD, path, RenameFlags::EXCHANGE)?;
    // The old output, under the name of the link now.
    fs::remove_dir_all(link)
}

/// Takes away the link that leads to `temp`, if there is one.
pub(crate) fn withdraw(temp: &Path) {
    let name = temp.file_name().and_then(|name| name.to_str());
    let Some((of, attempt)) = name.and_then(parse) else {
        return;
    };
    let path = temp.with_file_name(of);
    if by(&path) == Some(attempt)
        && let Err(error) = fs::remove_file(&path)
    {
        tracing::warn!(path = %path.display(), %error, "what was shown cannot be taken away; it leads to nothing");
    }
    let _ = fs::remove_file(link_beside(temp));
}

/// Ends what grew: players that come now see all of it, and those that watch learn that there will be no more. What a killed ffmpeg
/// was writing goes.
pub(super) fn seal(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.extension().and_then(|e| e.to_str()) {
            Some("tmp") => fs::remove_file(&path)?,
            Some("m3u8") => {
                let text = fs::read_to_string(&path)?;
                if text.contains("#EXTINF") && !text.contains("#EXT-X-ENDLIST") {
                    let whole = path.with_extension("m3u8.tmp");
                    fs::write(&whole, text + "#EXT-X-ENDLIST\n")?;
                    fs::rename(&whole, &path)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn link_beside(temp: &Path) -> PathBuf {
    let mut name = temp.file_name().unwrap_or_default().to_owned();
    name.push(".link");
    temp.with_file_name(name)
}

/// The name of the output, and the attempt, in the name of an attempt's folder; see [`super::prepare::target`].
fn parse(temp: &str) -> Option<(&str, Attempt)> {
    let (name, attempt) = temp
        .strip_prefix('.')?
        .strip_suffix(".part")?
        .rsplit_once(".ffrtmp-")?;
    let (job, no) = attempt.split_once('-')?;
    let attempt = Attempt {
        job: JobSeq(job.parse().ok()?),
        no: AttemptNo(no.parse().ok()?),
    };
    Some((name, attempt))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{attempt::folder, node::reap::remove_quietly};

    const INDEX: &str = "index.m3u8";

    /// A place for a folder `show`, and that of attempt `no` at job 7, with a playlist that says which it is.
    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Place {
            Place(tempfile::tempdir().unwrap())
        }
        fn path(&self) -> PathBuf {
            self.0.path().join("show")
        }
        fn temp(&self, job: u64, no: u32) -> PathBuf {
            let temp = self.0.path().join(format!(".show.ffrtmp-{job}-{no}.part"));
            if !temp.exists() {
                fs::create_dir(&temp).unwrap();
                fs::write(temp.join(INDEX), format!("{job}.{no}")).unwrap();
            }
            temp
        }
        fn seen(&self) -> String {
            fs::read_to_string(self.path().join(INDEX)).unwrap_or_default()
        }
        fn names(&self) -> usize {
            fs::read_dir(self.0.path()).unwrap().count()
        }
    }

    #[test]
    fn a_later_attempt_takes_over_what_is_seen_and_an_earlier_one_never_does() {
        let place = Place::new();
        show(&place.temp(7, 1), &place.path(), INDEX, false).unwrap();
        assert_eq!(place.seen(), "7.1");
        show(&place.temp(7, 3), &place.path(), INDEX, false).unwrap();
        show(&place.temp(7, 3), &place.path(), INDEX, false).unwrap();
        assert_eq!(place.seen(), "7.3");
        let error = show(&place.temp(7, 2), &place.path(), INDEX, true).unwrap_err();
        assert!(error.to_string().contains("later attempt"), "{error}");
        assert!(show(&place.temp(8, 1), &place.path(), INDEX, false).is_err());
        assert_eq!(place.seen(), "7.3");
        // Who is not seen takes nothing away when it goes.
        remove_quietly(&place.temp(7, 1));
        assert_eq!(place.seen(), "7.3");
        remove_quietly(&place.temp(7, 3));
        assert!(place.path().symlink_metadata().is_err());
    }

    #[test]
    fn the_folder_takes_the_place_of_its_link_at_the_end() {
        let place = Place::new();
        let temp = place.temp(7, 1);
        show(&temp, &place.path(), INDEX, false).unwrap();
        folder::rename(&temp, &place.path(), INDEX, false).unwrap();
        assert!(place.path().symlink_metadata().unwrap().is_dir());
        assert_eq!((place.seen().as_str(), place.names()), ("7.1", 1));
        // Another job's link is replaced only if the job may.
        let place = Place::new();
        show(&place.temp(7, 1), &place.path(), INDEX, false).unwrap();
        let other = place.temp(8, 1);
        assert!(folder::rename(&other, &place.path(), INDEX, false).is_err());
        folder::rename(&other, &place.path(), INDEX, true).unwrap();
        assert_eq!(place.seen(), "8.1");
    }

    #[test]
    fn only_what_may_be_replaced_gives_way_to_a_link() {
        let place = Place::new();
        fs::create_dir(place.path()).unwrap();
        fs::write(place.path().join(INDEX), "old").unwrap();
        let temp = place.temp(7, 1);
        assert!(show(&temp, &place.path(), INDEX, false).is_err());
        fs::write(place.path().join("letter.txt"), "mine").unwrap();
        assert!(show(&temp, &place.path(), INDEX, true).is_err());
        assert_eq!((place.seen().as_str(), place.names()), ("old", 2));
        fs::remove_file(place.path().join("letter.txt")).unwrap();
        show(&temp, &place.path(), INDEX, true).unwrap();
        assert_eq!((place.seen().as_str(), place.names()), ("7.1", 2));
    }

    #[test]
    fn sealing_ends_the_lists_of_segments_and_removes_what_is_half_written() {
        let place = Place::new();
        let temp = place.temp(7, 1);
        fs::write(temp.join("v0.m3u8"), "#EXTM3U\n#EXTINF:1,\na.ts\n").unwrap();
        fs::write(temp.join("b.ts.tmp"), "half").unwrap();
        seal(&temp).unwrap();
        seal(&temp).unwrap();
        let text = fs::read_to_string(temp.join("v0.m3u8")).unwrap();
        assert_eq!(text, "#EXTM3U\n#EXTINF:1,\na.ts\n#EXT-X-ENDLIST\n");
        assert_eq!(fs::read_to_string(temp.join(INDEX)).unwrap(), "7.1");
        assert!(!temp.join("b.ts.tmp").exists());
    }
}

//! The live folder: which files are there, and when one is complete enough to be read.
//!
//! Looking is the truth; hints from the kernel only say when to look. It follows links, so that a Kubernetes volume's
//! `..data` swap is a change like any other. It opens nothing but regular files, and never waits for one.

use std::collections::BTreeMap;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

/// How long a file must not change after the kernel said that its writer closed it, or that it was moved here. Not zero,
/// so that files which arrive together are met together.
const SETTLE_TOLD: Duration = Duration::from_millis(30);
/// How long it must not change when nothing was said: its writer may be a slow network.
const SETTLE_UNTOLD: Duration = Duration::from_millis(500);
/// How long a file must be away to be gone: writers that remove and write anew do it faster.
const GONE_AFTER: Duration = Duration::from_millis(250);

/// What a look found.
#[derive(Debug)]
pub(super) enum Found {
    /// A file is complete, and is not what it was.
    File {
        /// Its name without `.wasm`.
        name: String,
        /// Its content, or why there is none.
        bytes: Result<Vec<u8>, String>,
        /// When the change was first noticed.
        noticed: Instant,
    },
    /// A file is gone.
    Gone {
        /// Its name without `.wasm`.
        name: String,
    },
}

/// What is known of the folder.
#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
    file_bytes_max: u64,
    files_max: usize,
    files: BTreeMap<String, Known>,
    /// Whether the last look failed, so that it is said once.
    unreadable: bool,
    too_many: bool,
}

#[derive(Debug)]
struct Known {
    stamp: Stamp,
    noticed: Instant,
    changed: Instant,
    told: bool,
    taken: bool,
    away_since: Option<Instant>,
}

/// What tells two states of a file apart without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    regular: bool,
}

impl Stamp {
    fn of(m: &Metadata) -> Stamp {
        Stamp {
            device: m.dev(),
            inode: m.ino(),
            size: m.size(),
            modified: (m.mtime(), m.mtime_nsec()),
            changed: (m.ctime(), m.ctime_nsec()),
            regular: m.is_file(),
        }
    }
}

impl Folder {
    /// Nothing known yet.
    pub(super) fn new(dir: PathBuf, file_bytes_max: u64, files_max: usize) -> Folder {
        Folder {
            dir,
            file_bytes_max,
            files_max,
            files: BTreeMap::new(),
            unreadable: false,
            too_many: false,
        }
    }

    /// The path.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether a policy's file is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    /// A policy's file as it is now.
    ///
    /// # Errors
    /// Why there is no content to be had.
    pub(super) fn content(&self, name: &str) -> Result<Vec<u8>, String> {
        let known = self
            .files
            .get(name)
            .ok_or("its file is not in the folder")?;
        let path = self.dir.join(format!("{name}.wasm"));
        read(&path, known.stamp, self.file_bytes_max)?
            .ok_or_else(|| "its file is being written; try again".to_owned())
    }

    /// Notes that the kernel called a file complete.
    pub(super) fn told(&mut self, name: &str) {
        if let Some(known) = self.files.get_mut(name) {
            known.told = true;
        }
    }

    /// Looks. `at_once` takes files without waiting for them to settle: at start.
    pub(super) fn look(&mut self, told: &[String], at_once: bool) -> Vec<Found> {
        let now = Instant::now();
        // A folder that cannot be read (a network mount away, no file descriptor left) is not an empty one.
        let Some(there) = self.list() else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for (name, stamp) in &there {
            match self.files.get_mut(name) {
                Some(known) => {
                    known.away_since = None;
                    if known.stamp != *stamp {
                        if known.taken {
                            known.noticed = now;
                        }
                        *known = Known {
                            stamp: *stamp,
                            changed: now,
                            told: false,
                            taken: false,
                            ..*known
                        };
                    }
                }
                None => {
                    let known = Known {
                        stamp: *stamp,
                        noticed: now,
                        changed: now,
                        told: false,
                        taken: false,
                        away_since: None,
                    };
                    self.files.insert(name.clone(), known);
                }
            }
        }
        told.iter().for_each(|name| self.told(name));
        for (name, known) in &mut self.files {
            let settle = if known.told {
                SETTLE_TOLD
            } else {
                SETTLE_UNTOLD
            };
            let settled = at_once || now.duration_since(known.changed) >= settle;
            if known.taken || known.away_since.is_some() || !settled || !there.contains_key(name) {
                continue;
            }
            match read(
                &self.dir.join(format!("{name}.wasm")),
                known.stamp,
                self.file_bytes_max,
            ) {
                Ok(None) => known.changed = now,
                Ok(Some(bytes)) => {
                    known.taken = true;
                    found.push(Found::File {
                        name: name.clone(),
                        bytes: Ok(bytes),
                        noticed: known.noticed,
                    });
                }
                Err(error) => {
                    known.taken = true;
                    found.push(Found::File {
                        name: name.clone(),
                        bytes: Err(error),
                        noticed: known.noticed,
                    });
                }
            }
        }
        self.files.retain(|name, known| {
            if there.contains_key(name) {
                return true;
            }
            let since = *known.away_since.get_or_insert(now);
            let gone = now.duration_since(since) >= GONE_AFTER;
            if gone {
                found.push(Found::Gone { name: name.clone() });
            }
            !gone
        });
        found
    }

    /// Whether something is under way, so that the next look should be soon.
    pub(super) fn unsettled(&self) -> bool {
        self.files
            .values()
            .any(|known| !known.taken || known.away_since.is_some())
    }

    fn list(&mut self) -> Option<BTreeMap<String, Stamp>> {
        let mut there = BTreeMap::new();
        let entries = match std::fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) => {
                if !std::mem::replace(&mut self.unreadable, true) {
                    tracing::warn!(dir = %self.dir.display(), %error, "the policies folder cannot be read; what ruled goes on ruling, looking again every 5 s");
                }
                return None;
            }
        };
        self.unreadable = false;
        let mut skipped = false;
        for entry in entries {
            let Ok(entry) = entry else {
                return None;
            };
            let file_name = entry.file_name();
            let Some(name) = file_name.to_str().and_then(policy_name) else {
                continue;
            };
            // Follows links. A dangling one is no file; one that cannot be looked at is as it was.
            let stamp = match std::fs::metadata(entry.path()) {
                Ok(metadata) => Stamp::of(&metadata),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(_) => match self.files.get(name) {
                    Some(known) => known.stamp,
                    None => continue,
                },
            };
            if there.len() >= self.files_max && !self.files.contains_key(name) {
                skipped = true;
                continue;
            }
            there.insert(name.to_owned(), stamp);
        }
        if skipped && !std::mem::replace(&mut self.too_many, true) {
            tracing::warn!(dir = %self.dir.display(), most = self.files_max, "too many files in the policies folder; the rest is ignored");
        }
        self.too_many = skipped;
        Some(there)
    }
}

/// The policy's name that a file's name gives, if it is one: `balanced.wasm`.
pub(super) fn policy_name(file: &str) -> Option<&str> {
    let name = file.strip_suffix(".wasm")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (!name.is_empty() && !name.starts_with('.') && name.len() <= 64 && name.chars().all(plain))
        .then_some(name)
}

/// Reads a file whole. `None` if it changed meanwhile.
fn read(path: &Path, stamp: Stamp, most: u64) -> Result<Option<Vec<u8>>, String> {
    if !stamp.regular {
        return Err("it is not a regular file".into());
    }
    let too_large = |size: u64| format!("it is {size} bytes; at most {most} are accepted");
    if stamp.size > most {
        return Err(too_large(stamp.size));
    }
    let why = |error: io::Error| error.to_string();
    // Between the look and here a FIFO may have taken its place: opening one for reading would wait for a writer.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file: File = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits() as i32)
        .open(path)
        .map_err(why)?;
    if Stamp::of(&file.metadata().map_err(why)?) != stamp {
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(stamp.size as usize);
    (&file)
        .take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(why)?;
    if bytes.len() as u64 > most {
        return Err(too_large(bytes.len() as u64));
    }
    let unchanged = Stamp::of(&file.metadata().map_err(why)?) == stamp;
    Ok(unchanged.then_some(bytes))
}

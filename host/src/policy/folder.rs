//! The live folder: which policies and settings files are there, and when one is complete enough to be read.
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

use super::limits::{FILES_MAX, SETTINGS_BYTES_MAX};

/// How long a file must not change after the kernel said that its writer closed it, or that it was moved here. Not zero,
/// so that files which arrive together are met together.
const SETTLE_TOLD: Duration = Duration::from_millis(30);
/// How long it must not change when nothing was said: its writer may be a slow network.
const SETTLE_UNTOLD: Duration = Duration::from_millis(500);
/// How long a policy waits at most for settings beside it that are still being written.
const SETTINGS_WAIT: Duration = Duration::from_secs(2);
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
    /// A policy's file is gone.
    Gone {
        /// Its name without `.wasm`.
        name: String,
    },
    /// The settings beside a policy are complete, and are not what they were.
    Settings {
        /// The file's name without `.toml`.
        name: String,
        /// Its content, or why there is none; `None` where the file is gone.
        bytes: Option<Result<Vec<u8>, String>>,
    },
}

/// What a file is, by its ending. Settings come first: a policy is taken with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Settings,
    Policy,
}

impl Kind {
    fn file(self, name: &str) -> String {
        match self {
            Kind::Settings => format!("{name}.toml"),
            Kind::Policy => format!("{name}.wasm"),
        }
    }
}

/// A file of the folder.
type Key = (Kind, String);

/// What is known of the folder.
#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
    file_bytes_max: u64,
    /// The same for policies that have a limit of their own.
    own_file_bytes_max: BTreeMap<String, u64>,
    files: BTreeMap<Key, Known>,
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
    /// Of settings: by which look.
    taken_at: Option<Instant>,
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
    pub(super) fn new(dir: PathBuf, file_bytes_max: u64) -> Folder {
        Folder {
            dir,
            file_bytes_max,
            own_file_bytes_max: BTreeMap::new(),
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
        self.files.contains_key(&(Kind::Policy, name.to_owned()))
    }

    /// Sets how large a policy's file may be; `None` for the usual limit.
    pub(super) fn allow(&mut self, name: &str, bytes: Option<u64>) {
        let before = match bytes {
            Some(bytes) => self.own_file_bytes_max.insert(name.to_owned(), bytes),
            None => self.own_file_bytes_max.remove(name),
        };
        if before != bytes
            && let Some(known) = self.files.get_mut(&(Kind::Policy, name.to_owned()))
        {
            known.taken = false; // it may be readable now, or no longer
        }
    }

    /// A policy's file as it is now.
    ///
    /// # Errors
    /// Why there is no content to be had.
    pub(super) fn content(&self, name: &str) -> Result<Vec<u8>, String> {
        let key = (Kind::Policy, name.to_owned());
        let known = self
            .files
            .get(&key)
            .ok_or("its file is not in the folder")?;
        self.read(&key, known.stamp)?
            .ok_or_else(|| "its file is being written; try again".to_owned())
    }

    fn read(&self, key: &Key, stamp: Stamp) -> Result<Option<Vec<u8>>, String> {
        let (kind, name) = key;
        let most = match kind {
            Kind::Settings => SETTINGS_BYTES_MAX,
            Kind::Policy => *self
                .own_file_bytes_max
                .get(name)
                .unwrap_or(&self.file_bytes_max),
        };
        read(&self.dir.join(kind.file(name)), stamp, most)
    }

    /// Notes that the kernel called a file complete.
    fn told(&mut self, name: &str) {
        for kind in [Kind::Settings, Kind::Policy] {
            if let Some(known) = self.files.get_mut(&(kind, name.to_owned())) {
                known.told = true;
            }
        }
    }

    /// Looks. `at_once` takes files without waiting for them to settle: at start. Settings that are found come without their
    /// policy, which is found by the next look: how it is read may depend on them.
    pub(super) fn look(&mut self, told: &[String], at_once: bool) -> Vec<Found> {
        let now = Instant::now();
        // A folder that cannot be read (a network mount away, no file descriptor left) is not an empty one.
        let Some(there) = self.list() else {
            return Vec::new();
        };
        for (key, stamp) in &there {
            match self.files.get_mut(key) {
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
                        taken_at: None,
                        away_since: None,
                    };
                    self.files.insert(key.clone(), known);
                }
            }
        }
        told.iter().for_each(|name| self.told(name));
        let ready: Vec<Key> = self
            .files
            .iter()
            .filter(|(key, known)| {
                let settle = if known.told {
                    SETTLE_TOLD
                } else {
                    SETTLE_UNTOLD
                };
                let settled = at_once || now.duration_since(known.changed) >= settle;
                !known.taken && known.away_since.is_none() && settled && there.contains_key(*key)
            })
            .map(|(key, _)| key.clone())
            .collect();
        let mut found = Vec::new();
        for key in ready {
            if key.0 == Kind::Policy && self.waits_for_settings(&key.1, now) {
                continue;
            }
            let Some(stamp) = self.files.get(&key).map(|known| known.stamp) else {
                continue;
            };
            let bytes = self.read(&key, stamp).transpose();
            let Some(known) = self.files.get_mut(&key) else {
                continue;
            };
            let Some(bytes) = bytes else {
                known.changed = now;
                continue;
            };
            known.taken = true;
            let noticed = known.noticed;
            let (kind, name) = key;
            found.push(match kind {
                Kind::Policy => Found::File {
                    name,
                    bytes,
                    noticed,
                },
                Kind::Settings => {
                    known.taken_at = Some(now);
                    Found::Settings {
                        name,
                        bytes: Some(bytes),
                    }
                }
            });
        }
        self.files.retain(|key, known| {
            if there.contains_key(key) {
                return true;
            }
            let since = *known.away_since.get_or_insert(now);
            let gone = now.duration_since(since) >= GONE_AFTER;
            if gone {
                let name = key.1.clone();
                found.push(match key.0 {
                    Kind::Policy => Found::Gone { name },
                    Kind::Settings => Found::Settings { name, bytes: None },
                });
            }
            !gone
        });
        found
    }

    /// Whether the settings beside a policy are about to be read, or were read in this very look.
    fn waits_for_settings(&self, name: &str, now: Instant) -> bool {
        let beside = self.files.get(&(Kind::Settings, name.to_owned()));
        beside.is_some_and(|settings| match settings.taken {
            true => settings.taken_at == Some(now),
            // Settings that never settle must not keep their policy out.
            false => now.duration_since(settings.noticed) < SETTINGS_WAIT,
        })
    }

    /// Whether something is under way, so that the next look should be soon.
    pub(super) fn unsettled(&self) -> bool {
        self.files
            .values()
            .any(|known| !known.taken || known.away_since.is_some())
    }

    fn list(&mut self) -> Option<BTreeMap<Key, Stamp>> {
        let mut there = BTreeMap::new();
        let mut counts = [0usize; 2];
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
            let Some(key) = file_name.to_str().and_then(key) else {
                continue;
            };
            // Follows links. A dangling one is no file; one that cannot be looked at is as it was.
            let stamp = match std::fs::metadata(entry.path()) {
                Ok(metadata) => Stamp::of(&metadata),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(_) => match self.files.get(&key) {
                    Some(known) => known.stamp,
                    None => continue,
                },
            };
            let count = &mut counts[key.0 as usize];
            if *count >= FILES_MAX && !self.files.contains_key(&key) {
                skipped = true;
                continue;
            }
            *count += 1;
            there.insert(key, stamp);
        }
        if skipped && !std::mem::replace(&mut self.too_many, true) {
            tracing::warn!(dir = %self.dir.display(), most = FILES_MAX, "too many files in the policies folder; the rest is ignored");
        }
        self.too_many = skipped;
        Some(there)
    }
}

/// The policy's name that a file's name gives, if it is one of a policy or of its settings: `balanced.wasm`,
/// `balanced.toml`.
pub(super) fn policy_name(file: &str) -> Option<&str> {
    let name = file
        .strip_suffix(".wasm")
        .or_else(|| file.strip_suffix(".toml"))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (!name.is_empty() && !name.starts_with('.') && name.len() <= 64 && name.chars().all(plain))
        .then_some(name)
}

fn key(file: &str) -> Option<Key> {
    let kind = match file.ends_with(".wasm") {
        true => Kind::Policy,
        false => Kind::Settings,
    };
    policy_name(file).map(|name| (kind, name.to_owned()))
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

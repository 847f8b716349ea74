//! An operator's folder of presets: what is there, what changed, what cannot be used.
//!
//! A look stats every file and reads those that are not what they were. One that cannot be used leaves what it was in force,
//! with a log line; it is told once, not at every look. It opens nothing but regular files and follows links, so that a
//! Kubernetes volume's `..data` swap is a change like any other.

use std::{
    collections::BTreeMap,
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use ffrtmp_api::{
    limits,
    preset::{BadPreset, Preset},
};
use rustix::fs::OFlags;

use super::Known;

/// How long a file that cannot be used may still be under its writer's hands, before anybody is told.
const SETTLE: Duration = Duration::from_millis(300);

/// What is known of the folder.
#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
    files: BTreeMap<String, Entry>,
    unreadable: bool,
    too_many: bool,
}

/// One file.
#[derive(Debug)]
struct Entry {
    stamp: Stamp,
    changed: Instant,
    /// The last content that could be used.
    preset: Option<Arc<Preset>>,
    /// Why the content there is now cannot be.
    refused: Option<String>,
    /// Whether that has been told.
    told: bool,
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
    pub(super) fn new(dir: PathBuf) -> Folder {
        Folder {
            dir,
            files: BTreeMap::new(),
            unreadable: false,
            too_many: false,
        }
    }

    /// What is there now.
    pub(super) fn look(&mut self) -> Known {
        // A folder that cannot be read (a network mount away, no file descriptor left) is not an empty one.
        if let Some(there) = self.list() {
            self.files.retain(|name, _| {
                let stays = there.contains_key(name);
                if !stays {
                    tracing::info!(preset = name, "the preset's file is gone, and it with it");
                }
                stays
            });
            for (name, stamp) in there {
                self.take(name, stamp);
            }
        }
        let mut known = Known::default();
        for (name, entry) in &self.files {
            if let Some(preset) = &entry.preset {
                known.files.insert(name.clone(), preset.clone());
            }
            if let Some(why) = entry.refused.as_ref().filter(|_| entry.told) {
                known.refused.insert(name.clone(), why.clone());
            }
        }
        known
    }

    fn take(&mut self, name: String, stamp: Stamp) {
        let now = Instant::now();
        let before = self.files.get_mut(&name);
        if let Some(entry) = before
            && entry.stamp == stamp
        {
            if entry.refused.is_some() && !entry.told && now.duration_since(entry.changed) >= SETTLE
            {
                entry.told = true;
                tell_refused(&self.dir, &name, entry);
            }
            return;
        }
        let read = read(&self.dir.join(format!("{name}.toml")), stamp);
        let outcome = match read {
            // It changed meanwhile; the next look sees it whole.
            Ok(None) => return,
            Ok(Some(text)) => Preset::parse(&name, &text).map_err(|bad: BadPreset| bad.to_string()),
            Err(why) => Err(why),
        };
        let last_good = self.files.remove(&name).and_then(|entry| entry.preset);
        let mut entry = Entry {
            stamp,
            changed: now,
            preset: last_good,
            refused: None,
            told: false,
        };
        match outcome {
            Ok(preset) => {
                tracing::info!(
                    preset = name,
                    "the preset is in force for jobs that are submitted from now on"
                );
                entry.preset = Some(Arc::new(preset));
            }
            Err(why) => {
                entry.refused = Some(why);
                // What was there before this process is nobody's half-written file.
                if age(stamp) >= SETTLE {
                    entry.told = true;
                    tell_refused(&self.dir, &name, &entry);
                }
            }
        }
        self.files.insert(name, entry);
    }

    fn list(&mut self) -> Option<BTreeMap<String, Stamp>> {
        let mut there = BTreeMap::new();
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            // It need not be there, and may be made later.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Some(there),
            Err(error) => {
                if !std::mem::replace(&mut self.unreadable, true) {
                    tracing::warn!(dir = %self.dir.display(), %error, "the folder of presets cannot be read; those of before stay in force, looking again every second");
                }
                return None;
            }
        };
        self.unreadable = false;
        let mut skipped = false;
        for entry in entries {
            let file_name = entry.ok()?.file_name();
            let Some(name) = file_name
                .to_str()
                .and_then(|file| file.strip_suffix(".toml"))
            else {
                continue;
            };
            if name.is_empty() || name.starts_with('.') {
                continue; // an editor's, or a hidden one
            }
            // Follows links. A dangling one is no file; one that cannot be looked at is as it was.
            let stamp = match fs::metadata(self.dir.join(&file_name)) {
                Ok(metadata) => Stamp::of(&metadata),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(_) => match self.files.get(name) {
                    Some(known) => known.stamp,
                    None => continue,
                },
            };
            if there.len() >= limits::PRESETS_MAX && !self.files.contains_key(name) {
                skipped = true;
                continue;
            }
            there.insert(name.to_owned(), stamp);
        }
        if skipped && !std::mem::replace(&mut self.too_many, true) {
            tracing::warn!(dir = %self.dir.display(), most = limits::PRESETS_MAX, "too many presets in the folder; the rest is ignored");
        }
        self.too_many = skipped;
        Some(there)
    }
}

fn tell_refused(dir: &Path, name: &str, entry: &Entry) {
    let file = dir.join(format!("{name}.toml"));
    let why = entry.refused.as_deref().unwrap_or_default();
    let instead = match &entry.preset {
        Some(_) => "what it said before stays in force",
        None => "jobs cannot name it",
    };
    tracing::warn!(file = %file.display(), "the preset is refused: {why}; {instead}");
}

/// How long ago the file was written, by the wall clock; long ago, if that cannot be told.
fn age(stamp: Stamp) -> Duration {
    let written_ms = stamp.modified.0.saturating_mul(1000) + stamp.modified.1 / 1_000_000;
    let age_ms = crate::clock::wall_ms().saturating_sub(written_ms);
    u64::try_from(age_ms).map_or(Duration::MAX, Duration::from_millis)
}

/// A file's text; `None` if it changed meanwhile.
fn read(path: &Path, stamp: Stamp) -> Result<Option<String>, String> {
    if !stamp.regular {
        return Err("it is not a regular file".into());
    }
    let most = limits::PRESET_BYTES_MAX as u64;
    if stamp.size > most {
        return Err(format!(
            "it is {} bytes; at most {most} are accepted",
            stamp.size
        ));
    }
    let why = |error: io::Error| format!("it cannot be read: {error}");
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
    if Stamp::of(&file.metadata().map_err(why)?) != stamp {
        return Ok(None);
    }
    String::from_utf8(bytes).map(Some).map_err(|error| {
        format!(
            "it is not UTF-8 from byte {} on",
            error.utf8_error().valid_up_to()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &Path, name: &str, text: &str) {
        fs::write(dir.join(name), text).unwrap();
    }

    /// Looks until `what` holds.
    fn until(folder: &mut Folder, what: impl Fn(&Known) -> bool) -> Known {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let known = folder.look();
            if what(&known) {
                return known;
            }
            assert!(Instant::now() < deadline, "{known:?}");
            std::thread::yield_now();
        }
    }

    fn crf(known: &Known, name: &str) -> Option<i64> {
        known.get(name)?.job.get("crf")?.as_i64()
    }

    const GOOD: &str = "description = \"d\"\ncrf = 20\n";

    #[test]
    fn a_file_counts_from_the_next_look_on_and_a_broken_one_leaves_what_was() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("presets");
        let mut folder = Folder::new(at.clone());
        assert_eq!(
            crf(&folder.look(), "mine"),
            None,
            "the folder need not be there"
        );
        fs::create_dir(&at).unwrap();
        write(&at, "mine.toml", GOOD);
        assert_eq!(crf(&folder.look(), "mine"), Some(20));
        write(&at, "mine.toml", "description = \"d\"\ncrf = 21 # better\n");
        assert_eq!(crf(&folder.look(), "mine"), Some(21));
        write(&at, "mine.toml", "description = \"d\"\n\ncrf = 99\n");
        let known = until(&mut folder, |known| !known.refused.is_empty());
        assert_eq!(crf(&known, "mine"), Some(21), "the last good one stays");
        assert!(
            known.refused["mine"].starts_with("line 3: crf: 99"),
            "{known:?}"
        );
        // One that was never good is told of to whoever names it.
        write(&at, "new.toml", "crf = 20");
        let known = until(&mut folder, |known| known.refused.contains_key("new"));
        let error = known.no_preset("new").message;
        assert!(error.contains("new.toml: it has no description"), "{error}");
        write(&at, "mine.toml", GOOD);
        let known = folder.look();
        assert_eq!(
            (crf(&known, "mine"), known.refused.contains_key("mine")),
            (Some(20), false)
        );
        fs::remove_file(at.join("mine.toml")).unwrap();
        assert_eq!(crf(&folder.look(), "mine"), None);
        assert!(
            folder
                .look()
                .no_preset("mine")
                .message
                .contains("there is no preset")
        );
    }

    #[test]
    fn an_operator_s_file_goes_before_what_is_compiled_in_and_gives_way_when_it_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = Folder::new(dir.path().to_owned());
        let built_in = crf(&folder.look(), "web-mp4");
        assert_ne!(built_in, Some(20));
        write(dir.path(), "web-mp4.toml", GOOD);
        assert_eq!(crf(&folder.look(), "web-mp4"), Some(20));
        fs::remove_file(dir.path().join("web-mp4.toml")).unwrap();
        assert_eq!(crf(&folder.look(), "web-mp4"), built_in);
    }

    #[test]
    fn what_is_no_plain_file_is_not_waited_for_and_there_are_bounds() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at.join("pipe.toml"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        fs::create_dir(at.join("folder.toml")).unwrap();
        std::os::unix::fs::symlink("nowhere", at.join("dangling.toml")).unwrap();
        write(at, "a b.toml", GOOD);
        write(at, ".hidden.toml", "nonsense");
        write(at, "notes.txt", "nonsense");
        write(
            at,
            "large.toml",
            &format!("# {}\n{GOOD}", "x".repeat(70_000)),
        );
        fs::write(at.join("latin.toml"), b"description = \"\xff\"").unwrap();
        let mut folder = Folder::new(at.to_owned());
        let known = until(&mut folder, |known| known.refused.len() >= 5);
        let names: Vec<_> = known.refused.keys().map(String::as_str).collect();
        assert_eq!(names, ["a b", "folder", "large", "latin", "pipe"]);
        assert!(known.files.is_empty());
        for n in 0..limits::PRESETS_MAX + 10 {
            write(at, &format!("n{n}.toml"), GOOD);
        }
        let known = folder.look();
        assert_eq!(known.files.len() + known.refused.len(), limits::PRESETS_MAX);
    }

    #[test]
    fn a_swap_of_links_is_a_change() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        for (version, text) in [("..1", GOOD), ("..2", "description = \"d\"\ncrf = 30\n")] {
            fs::create_dir(at.join(version)).unwrap();
            write(&at.join(version), "mine.toml", text);
        }
        std::os::unix::fs::symlink("..1", at.join("..data")).unwrap();
        std::os::unix::fs::symlink("..data/mine.toml", at.join("mine.toml")).unwrap();
        let mut folder = Folder::new(at.to_owned());
        assert_eq!(crf(&folder.look(), "mine"), Some(20));
        std::os::unix::fs::symlink("..2", at.join("..next")).unwrap();
        fs::rename(at.join("..next"), at.join("..data")).unwrap();
        assert_eq!(crf(&folder.look(), "mine"), Some(30));
    }
}

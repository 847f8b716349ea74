//! The files of the spool in memory: what there is, what fits, who holds what.
//!
//! The lock is held for look-ups and counts, never for I/O on content.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, UNIX_EPOCH},
};

use ffrtmp_api::rest::{NewUpload, Upload};
use rustix::fs::{FlockOperation, flock, statvfs};
use sha2::Sha256;
use uuid::Uuid;

use super::{
    Kind, Maker, SpoolConfig, SpoolError, SpoolMetrics,
    metrics::KINDS,
    record::{Folder, Record, name_of},
};
use crate::clock::wall_ms;

/// See the module's head.
#[derive(Debug)]
pub struct Spool {
    pub(super) config: SpoolConfig,
    pub(super) folder: Folder,
    files: Mutex<BTreeMap<Uuid, Entry>>,
    metrics: SpoolMetrics,
    _lock: File,
}

/// A file.
#[derive(Debug)]
pub(super) struct Entry {
    pub record: Record,
    /// Bytes received.
    pub offset: u64,
    /// When the last came, or it was last asked for, milliseconds since 1970.
    pub touched_ms: i64,
    /// Held by so many; not removed while there is one.
    pub holds: u32,
    /// Taken by whoever writes it.
    pub writer: Arc<tokio::sync::Mutex<()>>,
    /// The digest of what was received; none after a start, until it is computed again.
    pub digest: Option<Sha256>,
}

/// A complete file, as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its name here.
    pub id: Uuid,
    /// Its name for people.
    pub name: Option<String>,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256 in hex.
    pub sha256: String,
}

/// Keeps a file from being removed for as long as this lives.
#[derive(Debug)]
pub struct Hold {
    spool: Arc<Spool>,
    id: Uuid,
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(entry) = self.spool.lock().get_mut(&self.id) {
            entry.holds = entry.holds.saturating_sub(1);
        }
    }
}

impl Entry {
    fn new(record: Record, offset: u64, touched_ms: i64) -> Entry {
        Entry {
            record,
            offset,
            touched_ms,
            holds: 0,
            writer: Arc::default(),
            digest: None,
        }
    }

    fn kind(&self) -> &'static str {
        match (self.record.completed_ms, &self.record.kind) {
            (None, _) => KINDS[2],
            (Some(_), Kind::Input) => KINDS[0],
            (Some(_), Kind::Output(_)) => KINDS[1],
        }
    }
}

impl Spool {
    /// Opens the spool, making its folder if it is missing, and removes what an earlier life left unusable.
    ///
    /// # Errors
    /// When the folder cannot be made, read or written, or another master uses it.
    pub fn open(config: SpoolConfig, metrics: SpoolMetrics) -> Result<Spool, SpoolError> {
        let dir = config.dir.clone();
        let directory = |cause| SpoolError::Directory {
            dir: dir.clone(),
            cause,
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .map_err(directory)?;
        // One that was there before may be open to others.
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).map_err(directory)?;
        let lock = File::create(dir.join("spool.lock")).map_err(directory)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| directory(io::Error::other("another master uses it")))?;
        let folder = Folder(dir.clone());
        let files = load(&folder).map_err(directory)?;
        metrics
            .max
            .set(i64::try_from(config.max).unwrap_or(i64::MAX));
        let spool = Spool {
            config,
            folder,
            files: Mutex::new(files),
            metrics,
            _lock: lock,
        };
        spool.measure(&spool.lock());
        Ok(spool)
    }

    /// Announces an upload. One of the same content and tenant that is there already is answered with; `true`: a new one.
    ///
    /// # Errors
    /// When it does not fit.
    pub fn announce(
        &self,
        new: NewUpload,
        tenant: Option<String>,
        make_room: impl FnOnce(),
    ) -> Result<(Upload, bool), SpoolError> {
        let sha256 = new.sha256.map(|sum| sum.to_ascii_lowercase());
        if sha256.is_some() {
            let mut files = self.lock();
            let same = files.iter_mut().find(|(_, entry)| {
                let record = &entry.record;
                record.kind == Kind::Input
                    && (record.bytes, &record.sha256, &record.tenant)
                        == (new.bytes, &sha256, &tenant)
            });
            if let Some((id, entry)) = same {
                entry.touched_ms = wall_ms();
                return Ok((self.describe(*id, entry), false));
            }
        }
        let record = Record {
            kind: Kind::Input,
            name: new.name,
            bytes: new.bytes,
            sha256,
            tenant,
            created_ms: wall_ms(),
            completed_ms: None,
            published_ms: None,
        };
        Ok((self.admit(record, make_room)?, true))
    }

    /// An attempt is about to hand its output back. Asking again answers with the same file.
    ///
    /// # Errors
    /// When it does not fit.
    pub fn announce_output(
        &self,
        maker: Maker,
        name: String,
        bytes: u64,
        sha256: &str,
        make_room: impl FnOnce(),
    ) -> Result<Upload, SpoolError> {
        let sha256 = sha256.to_ascii_lowercase();
        let stale = {
            let files = self.lock();
            let same = files
                .iter()
                .find(|(_, entry)| entry.record.kind == Kind::Output(maker));
            match same {
                Some((id, entry))
                    if entry.record.bytes == bytes
                        && entry.record.sha256.as_ref() == Some(&sha256) =>
                {
                    return Ok(self.describe(*id, entry));
                }
                // The same attempt, other bytes: it was never acknowledged, so it cannot have been chosen.
                Some((id, entry)) if entry.record.published_ms.is_none() => Some(*id),
                _ => None,
            }
        };
        if let Some(id) = stale {
            self.remove(id)?;
        }
        let record = Record {
            kind: Kind::Output(maker),
            name: Some(name),
            bytes,
            sha256: Some(sha256),
            tenant: None,
            created_ms: wall_ms(),
            completed_ms: None,
            published_ms: None,
        };
        self.admit(record, make_room)
    }

    fn admit(&self, record: Record, make_room: impl FnOnce()) -> Result<Upload, SpoolError> {
        let bytes = record.bytes;
        if bytes == 0 {
            return Err(SpoolError::Empty);
        }
        if bytes > self.config.file_max {
            return Err(self.refuse(SpoolError::FileTooLarge {
                bytes,
                max: self.config.file_max,
            }));
        }
        let id = Uuid::new_v4();
        let entry = || Entry::new(record.clone(), 0, record.created_ms);
        // Room is taken before anything is written, so that two announcements cannot both have the last of it.
        if self.take_room(id, bytes, entry()).is_err() {
            make_room();
            self.take_room(id, bytes, entry())
                .map_err(|error| self.refuse(error))?;
        }
        let made =
            File::create_new(self.folder.data(id)).and_then(|_| self.folder.write(id, &record));
        if let Err(error) = made {
            let _ = self.remove(id); // what could not be made need not be removable
            return Err(self.refuse(error.into()));
        }
        let files = self.lock();
        self.measure(&files);
        files
            .get(&id)
            .map(|entry| self.describe(id, entry))
            .ok_or(SpoolError::Gone(id))
    }

    fn take_room(&self, id: Uuid, bytes: u64, entry: Entry) -> Result<(), SpoolError> {
        let (free_on_disk, reserve) = self.disk()?;
        let mut files = self.lock();
        let promised: u64 = files.values().map(|entry| entry.record.bytes).sum();
        let to_come: u64 = files
            .values()
            .map(|entry| entry.record.bytes - entry.offset)
            .sum();
        let free = self.config.max.saturating_sub(promised);
        if bytes > free {
            return Err(SpoolError::Quota {
                bytes,
                free,
                max: self.config.max,
            });
        }
        if to_come.saturating_add(bytes).saturating_add(reserve) > free_on_disk {
            return Err(SpoolError::Disk { bytes, reserve });
        }
        files.insert(id, entry);
        Ok(())
    }

    /// Bytes free on the spool's disk, and how many of them must stay so.
    pub(super) fn disk(&self) -> Result<(u64, u64), SpoolError> {
        let disk = statvfs(&self.folder.0).map_err(io::Error::from)?;
        let reserve = self
            .config
            .reserve
            .unwrap_or((1 << 30).min(disk.f_blocks * disk.f_frsize / 20));
        Ok((disk.f_bavail * disk.f_frsize, reserve))
    }

    /// How far an upload is.
    ///
    /// # Errors
    /// When it is not there.
    pub fn show(&self, id: Uuid) -> Result<Upload, SpoolError> {
        let files = self.lock();
        let entry = files.get(&id).ok_or(SpoolError::Gone(id))?;
        Ok(self.describe(id, entry))
    }

    /// Whose an upload is; none without tenants.
    ///
    /// # Errors
    /// When it is not there.
    pub fn kind(&self, id: Uuid) -> Result<(Kind, Option<String>), SpoolError> {
        let files = self.lock();
        let record = &files.get(&id).ok_or(SpoolError::Gone(id))?.record;
        Ok((record.kind.clone(), record.tenant.clone()))
    }

    /// A complete upload, kept from being removed until the answer is dropped.
    ///
    /// # Errors
    /// When it is not there, not complete, or not an input.
    pub fn hold_input(self: &Arc<Self>, id: Uuid) -> Result<Hold, SpoolError> {
        self.stored_entry(id, |entry| {
            if entry.record.kind != Kind::Input {
                return Err(SpoolError::Gone(id));
            }
            entry.holds += 1;
            Ok(Hold {
                spool: self.clone(),
                id,
            })
        })
    }

    /// A complete file, opened for reading. It can be read to its end even if it is removed meanwhile.
    ///
    /// # Errors
    /// When it is not there or not complete.
    pub fn read(&self, id: Uuid) -> Result<(Stored, File), SpoolError> {
        let stored = self.stored_entry(id, |entry| Ok(stored(id, &entry.record)))?;
        let file = File::open(self.folder.data(id)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => SpoolError::Gone(id),
            _ => error.into(),
        })?;
        Ok((stored, file))
    }

    fn stored_entry<T>(
        &self,
        id: Uuid,
        take: impl FnOnce(&mut Entry) -> Result<T, SpoolError>,
    ) -> Result<T, SpoolError> {
        let mut files = self.lock();
        let entry = files.get_mut(&id).ok_or(SpoolError::Gone(id))?;
        if entry.record.completed_ms.is_none() {
            return Err(SpoolError::Incomplete {
                id,
                offset: entry.offset,
                bytes: entry.record.bytes,
            });
        }
        take(entry)
    }

    /// The file an attempt announced, complete or not.
    pub fn made_by(&self, maker: Maker) -> Option<Uuid> {
        let files = self.lock();
        let mut found = files
            .iter()
            .filter(|(_, entry)| entry.record.kind == Kind::Output(maker));
        found.next().map(|(id, _)| *id)
    }

    /// The complete file an attempt handed back, if there is one.
    pub fn output_of(&self, maker: Maker) -> Option<Stored> {
        let files = self.lock();
        let (id, entry) = files.iter().find(|(_, entry)| {
            entry.record.kind == Kind::Output(maker) && entry.record.completed_ms.is_some()
        })?;
        Some(stored(*id, &entry.record))
    }

    /// Makes what an attempt handed back its job's output. Doing it again changes nothing.
    ///
    /// # Errors
    /// When there is no such file, or it cannot be recorded.
    pub fn publish(&self, id: Uuid, maker: Maker) -> Result<(), SpoolError> {
        let mut record = self.stored_entry(id, |entry| match entry.record.kind {
            Kind::Output(made_by) if made_by == maker => Ok(entry.record.clone()),
            _ => Err(SpoolError::Gone(id)),
        })?;
        if record.published_ms.is_some() {
            return Ok(());
        }
        record.published_ms = Some(wall_ms());
        self.folder.write(id, &record)?;
        if let Some(entry) = self.lock().get_mut(&id) {
            entry.record = record;
        }
        Ok(())
    }

    /// Removes a file, whoever uses it.
    ///
    /// # Errors
    /// When the disk does not let it go.
    pub fn remove(&self, id: Uuid) -> Result<(), SpoolError> {
        let mut files = self.lock();
        files.remove(&id);
        self.measure(&files);
        drop(files);
        self.folder.remove(id).map_err(SpoolError::Io)
    }

    /// Removes a file unless somebody holds or writes it. Says whether it did.
    pub(super) fn remove_idle(&self, id: Uuid, why: &str) -> bool {
        let mut files = self.lock();
        let idle = files
            .get(&id)
            .is_some_and(|entry| entry.holds == 0 && entry.writer.try_lock().is_ok());
        if !idle {
            return false;
        }
        files.remove(&id);
        self.measure(&files);
        drop(files);
        match self.folder.remove(id) {
            Ok(()) => tracing::info!(%id, why, "a file was removed from the spool"),
            Err(error) => {
                tracing::error!(%id, %error, "a file cannot be removed from the spool; the next start tries again")
            }
        }
        true
    }

    /// Removes an upload as its owner asked.
    ///
    /// # Errors
    /// When somebody reads or writes it at this moment.
    pub fn remove_upload(&self, id: Uuid) -> Result<(), SpoolError> {
        self.show(id)?;
        if self.remove_idle(id, "asked for") {
            Ok(())
        } else {
            Err(SpoolError::Busy)
        }
    }

    /// Counts a refusal and gives it back.
    pub(super) fn refuse(&self, error: SpoolError) -> SpoolError {
        if let Some(reason) = error.counted() {
            tracing::warn!(%error, "the spool refused a file");
            self.metrics.refused.with_label_values(&[reason]).inc();
        }
        error
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<Uuid, Entry>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn describe(&self, id: Uuid, entry: &Entry) -> Upload {
        let record = &entry.record;
        let since = entry.touched_ms.max(record.completed_ms.unwrap_or(0));
        Upload {
            id,
            name: record.name.clone(),
            bytes: record.bytes,
            offset: entry.offset,
            sha256: record.sha256.clone(),
            complete: record.completed_ms.is_some(),
            expires_at_ms: since.saturating_add(millis(self.config.keep_uploads)),
        }
    }

    /// Brings the gauges up to date.
    pub(super) fn measure(&self, files: &BTreeMap<Uuid, Entry>) {
        for kind in KINDS {
            let of_kind = || files.values().filter(|entry| entry.kind() == kind);
            let bytes: u64 = of_kind().map(|entry| entry.offset).sum();
            let set = |gauges: &prometheus::IntGaugeVec, value: u64| {
                let value = i64::try_from(value).unwrap_or(i64::MAX);
                gauges.with_label_values(&[kind]).set(value);
            };
            set(&self.metrics.bytes, bytes);
            set(&self.metrics.files, of_kind().count() as u64);
        }
    }
}

fn stored(id: Uuid, record: &Record) -> Stored {
    Stored {
        id,
        name: record.name.clone(),
        bytes: record.bytes,
        sha256: record.sha256.clone().unwrap_or_default(),
    }
}

/// A length of time in milliseconds.
pub(super) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Reads the folder. What has no record, no content, or not the size it must have, is of no use to anybody: it is removed.
fn load(folder: &Folder) -> io::Result<BTreeMap<Uuid, Entry>> {
    let mut files = BTreeMap::new();
    let mut found = BTreeMap::<Uuid, bool>::new();
    for entry in fs::read_dir(&folder.0)? {
        let path = entry?.path();
        match name_of(&path) {
            Some((_, ".json.new")) => fs::remove_file(&path)?,
            Some((id, rest)) => *found.entry(id).or_default() |= rest.is_empty(),
            None if path.ends_with("spool.lock") => {}
            None => {
                tracing::warn!(path = %path.display(), "not a file of the spool; it is left alone")
            }
        }
    }
    for (id, has_content) in found {
        match usable(folder, id) {
            Ok(entry) => drop(files.insert(id, entry)),
            Err(why) => {
                tracing::warn!(%id, has_content, %why, "a file of the spool cannot be used and is removed");
                folder.remove(id)?;
            }
        }
    }
    Ok(files)
}

fn usable(folder: &Folder, id: Uuid) -> io::Result<Entry> {
    let record = folder.read(id)?;
    let content = fs::symlink_metadata(folder.data(id))?;
    let offset = content.len();
    let right = match record.completed_ms {
        Some(_) => offset == record.bytes,
        None => offset <= record.bytes,
    };
    if !content.is_file() || !right {
        return Err(io::Error::other(format!(
            "it has {offset} bytes, and {} were expected",
            record.bytes
        )));
    }
    let touched_ms = content
        .modified()?
        .duration_since(UNIX_EPOCH)
        .map_or(record.created_ms, millis);
    Ok(Entry::new(record, offset, touched_ms))
}

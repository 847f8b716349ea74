//! Bytes coming in: written at the end of what is there, digested as they pass, synced before they are acknowledged.
//!
//! One connection writes a file at a time. What an ended connection left is gone on with, whoever comes.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    sync::Arc,
};

use ffrtmp_api::{rest::Upload, text::hex};
use sha2::{Digest, Sha256};
use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;

use super::{Spool, SpoolError};
use crate::clock::wall_ms;

/// Bytes between two syncs: bounds what the last one, which the sender waits for, has left to do.
const SYNC_EVERY: u64 = 64 << 20;
/// Bytes read at once when a digest is computed again.
const READ_BYTES: usize = 1 << 20;

/// A connection that sends a file. Dropped at any moment, it leaves what was written usable.
#[derive(Debug)]
pub struct Receiving {
    spool: Arc<Spool>,
    id: Uuid,
    file: File,
    /// Where this connection began, and how far it is.
    start: u64,
    offset: u64,
    synced: u64,
    bytes: u64,
    /// None once the file is complete.
    digest: Option<Sha256>,
    _writer: OwnedMutexGuard<()>,
}

impl Spool {
    /// Taken by whoever writes the file.
    ///
    /// # Errors
    /// When it is not there.
    pub fn writer(&self, id: Uuid) -> Result<Arc<tokio::sync::Mutex<()>>, SpoolError> {
        let files = self.lock();
        files
            .get(&id)
            .map(|entry| entry.writer.clone())
            .ok_or(SpoolError::Gone(id))
    }
}

impl Receiving {
    /// Goes on with a file at `offset`, which must be where it ends. After a start of the master the digest of what is
    /// there is computed again first: about a second for each GB.
    ///
    /// # Errors
    /// When it ends elsewhere, or is gone.
    pub fn begin(
        spool: Arc<Spool>,
        id: Uuid,
        offset: u64,
        writer: OwnedMutexGuard<()>,
    ) -> Result<Receiving, SpoolError> {
        let (expected, bytes, complete, digest) = {
            let mut files = spool.lock();
            let entry = files.get_mut(&id).ok_or(SpoolError::Gone(id))?;
            let complete = entry.record.completed_ms.is_some();
            // Taken, so that a connection that ends badly leaves none rather than a wrong one.
            let digest = (entry.offset == offset)
                .then(|| entry.digest.take())
                .flatten();
            (entry.offset, entry.record.bytes, complete, digest)
        };
        if expected != offset {
            return Err(SpoolError::Offset {
                expected,
                given: offset,
            });
        }
        let path = spool.folder.data(id);
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        let digest = match digest {
            _ if complete => None,
            Some(digest) => Some(digest),
            None => Some(digest_of(&mut file, offset)?),
        };
        file.seek(SeekFrom::Start(offset))?;
        Ok(Receiving {
            spool,
            id,
            file,
            start: offset,
            offset,
            synced: offset,
            bytes,
            digest,
            _writer: writer,
        })
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// When more come than were announced (nothing of this connection is kept), or the disk is full (nothing at all is).
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), SpoolError> {
        let end = self.offset + bytes.len() as u64;
        let Some(digest) = self.digest.as_mut().filter(|_| end <= self.bytes) else {
            self.offset = self.start;
            self.take_back();
            return Err(SpoolError::Surplus { bytes: self.bytes });
        };
        if let Err(error) = self.file.write_all(bytes) {
            self.take_back();
            return Err(self.failed(error.into()));
        }
        digest.update(bytes);
        self.offset = end;
        self.moved(None)?;
        if self.offset - self.synced >= SYNC_EVERY {
            self.sync()?;
            let (free, reserve) = self.spool.disk()?;
            // Something else eats the disk; the store must not be what suffers.
            if free < reserve / 2 {
                return Err(self.failed(SpoolError::DiskFull));
            }
        }
        Ok(())
    }

    /// Syncs what came and, when that is all of it, checks and completes the file.
    ///
    /// # Errors
    /// When the content is not what was announced, or the disk fails.
    pub fn finish(mut self) -> Result<Upload, SpoolError> {
        let Some(digest) = self.digest.take() else {
            return self.spool.show(self.id);
        };
        self.sync()?;
        if self.offset < self.bytes {
            self.moved(Some(digest))?;
            return self.spool.show(self.id);
        }
        let found = hex(&digest.finalize());
        let mut record = {
            let files = self.spool.lock();
            files
                .get(&self.id)
                .ok_or(SpoolError::Gone(self.id))?
                .record
                .clone()
        };
        if let Some(expected) = record.sha256.filter(|expected| *expected != found) {
            return Err(self.failed(SpoolError::Checksum { expected, found }));
        }
        record.sha256 = Some(found);
        record.completed_ms = Some(wall_ms());
        if let Err(error) = self.spool.folder.write(self.id, &record) {
            return Err(self.failed(error.into()));
        }
        let mut files = self.spool.lock();
        if let Some(entry) = files.get_mut(&self.id) {
            entry.record = record;
        }
        self.spool.measure(&files);
        drop(files);
        self.spool.show(self.id)
    }

    fn sync(&mut self) -> Result<(), SpoolError> {
        if self.synced < self.offset {
            if let Err(error) = self.file.sync_data() {
                return Err(self.failed(error.into()));
            }
            self.synced = self.offset;
            self.spool.measure(&self.spool.lock());
        }
        Ok(())
    }

    /// Notes how far the file is.
    fn moved(&self, digest: Option<Sha256>) -> Result<(), SpoolError> {
        let mut files = self.spool.lock();
        let entry = files.get_mut(&self.id).ok_or(SpoolError::Gone(self.id))?;
        entry.offset = self.offset;
        entry.touched_ms = wall_ms();
        entry.digest = digest;
        Ok(())
    }

    /// Cuts the file off where it is known to be good.
    fn take_back(&mut self) {
        if let Err(error) = self.file.set_len(self.offset) {
            tracing::error!(id = %self.id, %error, "a file of the spool cannot be cut; its checksum will tell");
        }
        let _ = self.moved(None); // one that is gone needs no note
    }

    /// What a failure means for the file: a full disk and a wrong content end it, anything else leaves it to be gone on with.
    fn failed(&self, error: SpoolError) -> SpoolError {
        if matches!(error, SpoolError::DiskFull | SpoolError::Checksum { .. })
            && let Err(error) = self.spool.remove(self.id)
        {
            tracing::error!(id = %self.id, %error, "a refused file cannot be removed; the next start tries again");
        }
        self.spool.refuse(error)
    }
}

/// The digest of a file's first bytes.
fn digest_of(file: &mut File, bytes: u64) -> io::Result<Sha256> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; READ_BYTES];
    let mut left = bytes;
    file.seek(SeekFrom::Start(0))?;
    while left > 0 {
        let wanted = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = file.read(&mut buffer[..wanted])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        digest.update(&buffer[..read]);
        left -= read as u64;
    }
    Ok(digest)
}

//! What is known of a file in the spool, kept beside it as `<uuid>.json`: written whole, synced, renamed.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use ffrtmp_api::ids::{AttemptNo, JobSeq};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Kind {
    /// What a user sent, for jobs to read.
    Input,
    /// What an attempt handed back.
    Output(Maker),
}

/// The attempt that made an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maker {
    /// Its job's number.
    pub job: JobSeq,
    /// Its job's UUID: numbers begin again when a data directory is made anew.
    pub uuid: Uuid,
    /// Which attempt.
    pub attempt: AttemptNo,
}

/// The durable half of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// What it is.
    #[serde(flatten)]
    pub kind: Kind,
    /// Its name, for people.
    pub name: Option<String>,
    /// The size announced.
    pub bytes: u64,
    /// The SHA-256 announced, in small hex digits; once complete, the one computed.
    pub sha256: Option<String>,
    /// Whose it is: the tenant of the token it came with.
    #[serde(default)]
    pub tenant: Option<String>,
    /// When it was announced, milliseconds since 1970.
    pub created_ms: i64,
    /// When it was complete and checked.
    pub completed_ms: Option<i64>,
    /// An output: when it became its job's.
    pub published_ms: Option<i64>,
}

/// The folder's paths.
#[derive(Debug, Clone)]
pub(super) struct Folder(pub PathBuf);

impl Folder {
    /// The file's content.
    pub fn data(&self, id: Uuid) -> PathBuf {
        self.0.join(id.to_string())
    }

    /// What is known of it.
    pub fn record(&self, id: Uuid) -> PathBuf {
        self.0.join(format!("{id}.json"))
    }

    /// Writes a record durably.
    pub fn write(&self, id: Uuid, record: &Record) -> io::Result<()> {
        let path = self.record(id);
        let temp = self.0.join(format!("{id}.json.new"));
        let written = File::create(&temp)
            .and_then(|mut file| {
                file.write_all(&serde_json::to_vec(record)?)?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&temp, path))
            .and_then(|()| self.sync());
        if written.is_err() {
            let _ = fs::remove_file(&temp); // most likely the disk is full
        }
        written
    }

    /// Reads a record.
    pub fn read(&self, id: Uuid) -> io::Result<Record> {
        Ok(serde_json::from_slice(&fs::read(self.record(id))?)?)
    }

    /// Removes a file and what is known of it: the record last, so that a crash in between leaves a record without a
    /// file, which the next start removes.
    pub fn remove(&self, id: Uuid) -> io::Result<()> {
        for path in [self.data(id), self.record(id)] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Makes names durable.
    pub fn sync(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}

/// The UUID a file name is of, and what follows it; none for names that are not ours.
pub(super) fn name_of(path: &Path) -> Option<(Uuid, &str)> {
    let name = path.file_name()?.to_str()?;
    let (id, rest) = name.split_at_checked(36)?;
    let uuid = Uuid::try_parse(id)
        .ok()
        .filter(|uuid| uuid.to_string() == id)?;
    matches!(rest, "" | ".json" | ".json.new").then_some((uuid, rest))
}

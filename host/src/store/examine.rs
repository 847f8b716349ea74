//! A look at a data directory that changes nothing: whether a master could open it. For `ffrtmp config check`.

use std::{fs::File, path::Path};

use rusqlite::{Connection, OpenFlags};
use rustix::fs::{FlockOperation, flock};

use super::{DATABASE, StoreError, schema};

/// Whether the store in `dir`, if there is one, could be opened now: that no master holds it and that no newer version wrote
/// it. A directory that is not there is fine.
///
/// # Errors
/// Those with which [`super::Store::open`] would fail.
pub fn examine(dir: &Path) -> Result<(), StoreError> {
    if let Ok(lock) = File::open(dir.join("master.lock")) {
        // Shared, so that two looks do not see each other; let go at once.
        flock(&lock, FlockOperation::NonBlockingLockShared).map_err(|_| StoreError::Locked {
            dir: dir.to_owned(),
        })?;
    }
    let file = dir.join(DATABASE);
    if !file.exists() {
        return Ok(());
    }
    let connection = Connection::open_with_flags(
        &file,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    schema::version(&connection, dir)?;
    Ok(())
}

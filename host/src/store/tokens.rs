//! The tokens' table. Written by a connection of its own: tokens change seldom, and whoever changes one waits for the disk.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ffrtmp_api::rest::Role;
use rusqlite::{Connection, Row, Transaction, TransactionBehavior, params};
use uuid::Uuid;

use super::StoreError;
use crate::tokens::Digest;

/// How long a token that was revoked or expired is remembered, so that its bearer can be told: 90 days, in milliseconds.
const REMEMBERED_MS: i64 = 90 * 86_400_000;

/// A token, as the store keeps it: everything but the secret.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenRow {
    /// Which.
    pub id: Uuid,
    /// What it is called.
    pub name: String,
    /// What its bearer may do.
    pub role: Role,
    /// The tenant it is limited to.
    pub tenant: Option<String>,
    /// SHA-256 of the secret.
    pub digest: Digest,
    /// When it was made, milliseconds since 1970.
    pub created_ms: i64,
    /// When it expires.
    pub expires_ms: Option<i64>,
    /// When it was revoked.
    pub revoked_ms: Option<i64>,
    /// Workers a join token can still admit.
    pub uses_left: Option<u32>,
    /// The worker that got it by joining.
    pub worker: Option<String>,
    /// That worker's identity.
    pub install_id: Option<Uuid>,
    /// The join token it was got for.
    pub joined_by: Option<Uuid>,
}

/// Reads and writes them. Blocking.
#[derive(Debug)]
pub struct TokenStore(Mutex<Connection>);

impl TokenStore {
    pub(super) fn new(connection: Connection) -> TokenStore {
        TokenStore(Mutex::new(connection))
    }

    /// All of them. Those that ended long ago are deleted first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn load(&self, now_ms: i64) -> Result<Vec<TokenRow>, StoreError> {
        let connection = self.lock();
        let long_ago = now_ms.saturating_sub(REMEMBERED_MS);
        if let Err(error) = connection.execute(
            "DELETE FROM tokens WHERE revoked_ms < ?1 OR expires_ms < ?1",
            [long_ago],
        ) {
            tracing::warn!(%error, "old tokens cannot be deleted now; the next start tries again");
        }
        let mut statement = connection.prepare(
            "SELECT id, name, role, tenant, digest, created_ms, expires_ms, revoked_ms, uses_left, worker, install_id, joined_by \
             FROM tokens",
        )?;
        let mut found = statement.query([])?;
        let mut rows = Vec::new();
        while let Some(row) = found.next()? {
            rows.push(token(row)?);
        }
        Ok(rows)
    }

    /// Adds one.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn insert(&self, row: &TokenRow) -> Result<(), StoreError> {
        self.write(|transaction| insert(transaction, row))
    }

    /// Revokes some.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn revoke(&self, ids: &[Uuid], now_ms: i64) -> Result<(), StoreError> {
        self.write(|transaction| revoke(transaction, ids, now_ms))
    }

    /// A worker joined: all of it or nothing.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn join(
        &self,
        by: Uuid,
        uses_left: u32,
        replaced: &[Uuid],
        row: &TokenRow,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        self.write(|transaction| {
            transaction.execute(
                "UPDATE tokens SET uses_left = ?2 WHERE id = ?1",
                params![by.as_bytes(), uses_left],
            )?;
            revoke(transaction, replaced, now_ms)?;
            insert(transaction, row)
        })
    }

    fn write(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> Result<(), rusqlite::Error>,
    ) -> Result<(), StoreError> {
        let mut connection = self.lock();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        change(&transaction)?;
        Ok(transaction.commit()?)
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn insert(transaction: &Transaction<'_>, row: &TokenRow) -> Result<(), rusqlite::Error> {
    transaction.execute(
        "INSERT INTO tokens (id, name, role, tenant, digest, created_ms, expires_ms, revoked_ms, uses_left, worker, install_id, \
         joined_by) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        params![
            row.id.as_bytes(),
            row.name,
            row.role.as_str(),
            row.tenant,
            row.digest.as_bytes(),
            row.created_ms,
            row.expires_ms,
            row.revoked_ms,
            row.uses_left,
            row.worker,
            row.install_id.as_ref().map(Uuid::as_bytes),
            row.joined_by.as_ref().map(Uuid::as_bytes),
        ],
    )?;
    Ok(())
}

fn revoke(transaction: &Transaction<'_>, ids: &[Uuid], now_ms: i64) -> Result<(), rusqlite::Error> {
    for id in ids {
        transaction.execute(
            "UPDATE tokens SET revoked_ms = ?2 WHERE id = ?1 AND revoked_ms IS NULL",
            params![id.as_bytes(), now_ms],
        )?;
    }
    Ok(())
}

fn token(row: &Row<'_>) -> Result<TokenRow, StoreError> {
    let id = Uuid::from_bytes(row.get("id")?);
    let role: String = row.get("role")?;
    Ok(TokenRow {
        id,
        name: row.get("name")?,
        role: role.parse().map_err(|why| StoreError::Corrupt {
            what: format!("token {id}: {why}"),
        })?,
        tenant: row.get("tenant")?,
        digest: Digest::from_stored(row.get("digest")?),
        created_ms: row.get("created_ms")?,
        expires_ms: row.get("expires_ms")?,
        revoked_ms: row.get("revoked_ms")?,
        uses_left: row.get("uses_left")?,
        worker: row.get("worker")?,
        install_id: row
            .get::<_, Option<[u8; 16]>>("install_id")?
            .map(Uuid::from_bytes),
        joined_by: row
            .get::<_, Option<[u8; 16]>>("joined_by")?
            .map(Uuid::from_bytes),
    })
}

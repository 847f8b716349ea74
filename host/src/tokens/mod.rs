//! Who may do what: the tokens, kept in memory for every request to be checked, and durable in the store.
//!
//! Separate from HTTP so that the rules of a token's life (made, expires, revoked, used up) stand in one place. Of a secret
//! only its SHA-256 is kept: it has 256 random bits, so there is nothing for a slow hash to protect.

mod caller;
mod secret;

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError, RwLock},
};

use ffrtmp_api::rest::{CreatedToken, NewToken, Role, Token};
use tokio::sync::watch;
use uuid::Uuid;

pub use caller::Caller;
pub use secret::Digest;

use crate::{
    clock,
    store::{StoreError, TokenRow, TokenStore},
};

/// How long a join token is valid when nobody says: a day, in milliseconds.
const JOIN_MS_DEFAULT: i64 = 24 * 3_600_000;

/// Why a token does not admit its bearer. The messages tell a bearer of the true secret what became of it, and others
/// nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// None was shown.
    #[error("this master wants a token: set FFRTMP_TOKEN, or send `Authorization: Bearer TOKEN`")]
    Missing,
    /// It is none of ours.
    #[error("the bearer token is not this master's")]
    Unknown,
    /// Its time is over.
    #[error("this token has expired; ask an administrator for another (`ffrtmp tokens create`)")]
    Expired,
    /// It was taken back.
    #[error("this token was revoked; ask an administrator for another (`ffrtmp tokens create`)")]
    Revoked,
    /// A join token that admitted as many as it may.
    #[error(
        "this join token has admitted as many workers as it may; ask an administrator for another \
         (`ffrtmp tokens create --role join`)"
    )]
    UsedUp,
}

/// Why a token was not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It does not admit.
    #[error("{0}")]
    NotAdmitted(NotAdmitted),
    /// The store cannot be written.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// No random bytes.
    #[error("the system gave no random bytes")]
    NoRandom,
}

/// All tokens.
#[derive(Debug)]
pub struct Tokens {
    /// The token of the configuration, an administrator's. Without one, whoever reaches this master (on loopback: see
    /// `MasterConfig::check`) may do everything without a token.
    configured: Option<Digest>,
    known: RwLock<HashMap<Uuid, Known>>,
    store: TokenStore,
    /// Held while something is written, so that two changes of one token do not cross.
    writing: Mutex<()>,
}

#[derive(Debug)]
struct Known {
    row: TokenRow,
    /// Turns true when it is revoked; sessions and streams it opened end then.
    ended: watch::Sender<bool>,
}

impl Tokens {
    /// Those the store holds, and the configured one.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open(configured: Option<&str>, store: TokenStore) -> Result<Tokens, StoreError> {
        let known = store
            .load(clock::wall_ms())?
            .into_iter()
            .map(|row| {
                let ended = watch::channel(row.revoked_ms.is_some()).0;
                (row.id, Known { row, ended })
            })
            .collect();
        Ok(Tokens {
            configured: configured.map(Digest::of),
            known: RwLock::new(known),
            store,
            writing: Mutex::new(()),
        })
    }

    /// Whether callers without a token may do everything.
    pub fn is_open(&self) -> bool {
        self.configured.is_none()
    }

    /// Who shows this token.
    ///
    /// # Errors
    /// Why it admits nobody.
    pub fn check(&self, given: Option<&str>) -> Result<Caller, NotAdmitted> {
        let Some(given) = given else {
            return match self.configured {
                None => Ok(Caller::anybody()),
                Some(_) => Err(NotAdmitted::Missing),
            };
        };
        let digest = Digest::of(given);
        if self
            .configured
            .as_ref()
            .is_some_and(|own| own.same(&digest))
        {
            return Ok(Caller::configured());
        }
        let id = secret::id_of(given).ok_or(NotAdmitted::Unknown)?;
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let found = known.get(&id).ok_or(NotAdmitted::Unknown)?;
        if !found.row.digest.same(&digest) {
            return Err(NotAdmitted::Unknown);
        }
        if found.row.revoked_ms.is_some() {
            return Err(NotAdmitted::Revoked);
        }
        if found
            .row
            .expires_ms
            .is_some_and(|at| at <= clock::wall_ms())
        {
            return Err(NotAdmitted::Expired);
        }
        Ok(Caller::of(&found.row, found.ended.subscribe()))
    }

    /// All that were not revoked, the newest first.
    pub fn list(&self) -> Vec<Token> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut tokens: Vec<Token> = known
            .values()
            .filter(|known| known.row.revoked_ms.is_none())
            .map(|known| known.row.shown())
            .collect();
        tokens.sort_by_key(|token| (std::cmp::Reverse(token.created_at_ms), token.id));
        tokens
    }

    /// Makes one. `new` has been checked. Blocks until it is durable.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn create(&self, new: NewToken) -> Result<CreatedToken, TokenError> {
        let now = clock::wall_ms();
        let is_join = new.role == Role::Join;
        let given = new
            .expires_in_seconds
            .map(|seconds| i64::try_from(seconds.saturating_mul(1_000)).unwrap_or(i64::MAX));
        let expires_in = given.or(is_join.then_some(JOIN_MS_DEFAULT));
        let (id, secret) = secret::make(new.role)?;
        let row = TokenRow {
            id,
            name: new.name,
            role: new.role,
            tenant: new.tenant,
            digest: Digest::of(&secret),
            created_ms: now,
            expires_ms: expires_in.map(|ms| now.saturating_add(ms)),
            revoked_ms: None,
            uses_left: is_join.then(|| new.uses.unwrap_or(1)),
            worker: None,
            install_id: None,
            joined_by: None,
        };
        let _writing = self.lock();
        self.store.insert(&row)?;
        let token = row.shown();
        self.remember(row);
        Ok(CreatedToken { token, secret })
    }

    /// Takes one back, for good. `false`: there is none. What it opened ends. Blocks until it is durable.
    ///
    /// # Errors
    /// When the store cannot be written; then it still admits.
    pub fn revoke(&self, id: Uuid) -> Result<bool, TokenError> {
        let _writing = self.lock();
        let now = clock::wall_ms();
        if !self.is_live(id) {
            return Ok(false);
        }
        self.store.revoke(&[id], now)?;
        self.forget(id, now);
        Ok(true)
    }

    /// Makes a worker's own token for the bearer of a join token. A worker that joined by it before gets another and is not
    /// counted again: its answer may have been lost. Blocks until it is durable.
    ///
    /// # Errors
    /// When the join token is used up, or the store cannot be written.
    pub fn join(
        &self,
        by: Uuid,
        worker: &str,
        install_id: Uuid,
    ) -> Result<CreatedToken, TokenError> {
        let _writing = self.lock();
        let now = clock::wall_ms();
        let (uses_left, replaced) = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            let join = known
                .get(&by)
                .filter(|known| known.row.revoked_ms.is_none())
                .ok_or(TokenError::NotAdmitted(NotAdmitted::Revoked))?;
            let earlier: Vec<&TokenRow> = known
                .values()
                .map(|known| &known.row)
                .filter(|row| {
                    row.worker.as_deref() == Some(worker) && row.install_id == Some(install_id)
                })
                .collect();
            let counted = earlier.iter().any(|row| row.joined_by == Some(by));
            let left = join.row.uses_left.unwrap_or(0);
            if left == 0 && !counted {
                return Err(TokenError::NotAdmitted(NotAdmitted::UsedUp));
            }
            let replaced: Vec<Uuid> = earlier
                .iter()
                .filter(|row| row.revoked_ms.is_none())
                .map(|row| row.id)
                .collect();
            (left - u32::from(!counted), replaced)
        };
        let (id, secret) = secret::make(Role::Worker)?;
        let row = TokenRow {
            id,
            name: format!("worker {worker}"),
            role: Role::Worker,
            tenant: None,
            digest: Digest::of(&secret),
            created_ms: now,
            expires_ms: None,
            revoked_ms: None,
            uses_left: None,
            worker: Some(worker.to_owned()),
            install_id: Some(install_id),
            joined_by: Some(by),
        };
        self.store.join(by, uses_left, &replaced, &row, now)?;
        replaced.into_iter().for_each(|id| self.forget(id, now));
        let token = row.shown();
        self.remember(row);
        if let Some(join) = self.write_known().get_mut(&by) {
            join.row.uses_left = Some(uses_left);
        }
        Ok(CreatedToken { token, secret })
    }

    fn is_live(&self, id: Uuid) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known
            .get(&id)
            .is_some_and(|known| known.row.revoked_ms.is_none())
    }

    fn remember(&self, row: TokenRow) {
        let ended = watch::channel(false).0;
        self.write_known().insert(row.id, Known { row, ended });
    }

    fn forget(&self, id: Uuid, now: i64) {
        if let Some(known) = self.write_known().get_mut(&id) {
            known.row.revoked_ms = Some(now);
            known.ended.send_replace(true);
        }
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_known(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<Uuid, Known>> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TokenRow {
    /// All of it that may be shown.
    fn shown(&self) -> Token {
        Token {
            id: self.id,
            name: self.name.clone(),
            role: self.role,
            tenant: self.tenant.clone(),
            created_at_ms: self.created_ms,
            expires_at_ms: self.expires_ms,
            uses_left: self.uses_left,
        }
    }
}

#[cfg(test)]
mod tests;

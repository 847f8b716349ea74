//! Who makes a request, once the token was found right.

use std::{sync::Arc, time::Duration};

use ffrtmp_api::rest::Role;
use tokio::sync::watch;
use uuid::Uuid;

use crate::{clock, store::TokenRow};

/// A caller. An extension of every request behind the token.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Its token; none for the configured one, and where none is wanted.
    pub id: Option<Uuid>,
    /// What the token is called.
    pub name: Arc<str>,
    /// What it may do.
    pub role: Role,
    /// The tenant it is limited to.
    pub tenant: Option<Arc<str>>,
    /// The worker it may be, for a token that was got by joining.
    pub worker: Option<(Arc<str>, Uuid)>,
    expires_ms: Option<i64>,
    ended: Option<watch::Receiver<bool>>,
}

impl Caller {
    /// Where no token is wanted.
    pub fn anybody() -> Caller {
        Caller::admin("anybody on this machine")
    }

    /// The bearer of the configured token.
    pub fn configured() -> Caller {
        Caller::admin("the configured token")
    }

    fn admin(name: &str) -> Caller {
        Caller {
            id: None,
            name: name.into(),
            role: Role::Admin,
            tenant: None,
            worker: None,
            expires_ms: None,
            ended: None,
        }
    }

    pub(super) fn of(row: &TokenRow, ended: watch::Receiver<bool>) -> Caller {
        Caller {
            id: Some(row.id),
            name: row.name.as_str().into(),
            role: row.role,
            tenant: row.tenant.as_deref().map(Into::into),
            worker: row.worker.as_deref().map(Into::into).zip(row.install_id),
            expires_ms: row.expires_ms,
            ended: Some(ended),
        }
    }

    /// Whether it may introduce itself as this worker.
    pub fn may_be(&self, name: &str, install_id: Uuid) -> bool {
        self.worker
            .as_ref()
            .is_none_or(|(own, id)| **own == *name && *id == install_id)
    }

    /// Resolves when its token expires or is revoked: what it opened must end then.
    pub async fn ended(self) {
        let expired = async {
            match self.expires_ms {
                // Looked at again every hour at the latest: the wall clock may be set meanwhile.
                Some(at) => loop {
                    let left = at.saturating_sub(clock::wall_ms());
                    let Ok(left @ 1..) = u64::try_from(left) else {
                        return;
                    };
                    let nap = Duration::from_millis(left).min(Duration::from_secs(3_600));
                    tokio::time::sleep(nap).await;
                },
                None => std::future::pending().await,
            }
        };
        let revoked = async {
            match self.ended {
                // An error means that the token is not known any more.
                Some(mut ended) => drop(ended.wait_for(|ended| *ended).await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = expired => {}
            () = revoked => {}
        }
    }
}

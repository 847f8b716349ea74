//! The life of a token: made, used, revoked, expired, joined with; and that it outlives a restart.

use std::path::Path;

use super::*;
use crate::store::Store;

fn new(role: Role) -> NewToken {
    NewToken {
        name: "a".into(),
        role,
        expires_in_seconds: None,
        tenant: None,
        uses: None,
    }
}

/// The tokens of a store in `dir`, with the store, whose lock is held as long as it lives.
fn open(dir: &Path, configured: Option<&str>) -> (Store, Tokens) {
    let store = Store::open(dir).unwrap();
    let tokens = Tokens::open(configured, store.tokens().unwrap()).unwrap();
    (store, tokens)
}

#[test]
fn a_token_admits_with_its_role_until_it_is_revoked_and_so_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (store, tokens) = open(dir.path(), Some("configured-0123456789"));
    let made = tokens.create(new(Role::Read)).unwrap();
    let caller = tokens.check(Some(&made.secret)).unwrap();
    assert_eq!((caller.role, caller.id), (Role::Read, Some(made.token.id)));
    assert_eq!(tokens.check(None).unwrap_err(), NotAdmitted::Missing);
    let mut forged = made.secret.clone();
    forged.pop();
    forged.push(if made.secret.ends_with('0') { '1' } else { '0' });
    for unknown in [forged.as_str(), "configured-012345678", ""] {
        assert_eq!(
            tokens.check(Some(unknown)).unwrap_err(),
            NotAdmitted::Unknown
        );
    }
    let admin = tokens.check(Some("configured-0123456789")).unwrap();
    assert_eq!(admin.role, Role::Admin);
    drop((store, tokens));

    let (store, tokens) = open(dir.path(), None);
    assert!(tokens.check(Some(&made.secret)).is_ok());
    assert_eq!(
        tokens.check(None).unwrap().role,
        Role::Admin,
        "an open master"
    );
    assert!(tokens.revoke(made.token.id).unwrap());
    assert!(!tokens.revoke(made.token.id).unwrap(), "only once");
    assert_eq!(
        tokens.check(Some(&made.secret)).unwrap_err(),
        NotAdmitted::Revoked
    );
    assert!(tokens.list().is_empty());
    drop((store, tokens));

    let (_store, tokens) = open(dir.path(), None);
    assert_eq!(
        tokens.check(Some(&made.secret)).unwrap_err(),
        NotAdmitted::Revoked
    );
}

#[test]
fn an_expired_token_says_so_to_its_bearer() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, tokens) = open(dir.path(), None);
    let made = tokens
        .create(NewToken {
            expires_in_seconds: Some(0),
            ..new(Role::Admin)
        })
        .unwrap();
    assert_eq!(
        tokens.check(Some(&made.secret)).unwrap_err(),
        NotAdmitted::Expired
    );
}

#[test]
fn what_a_token_opened_ends_when_it_is_revoked() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, tokens) = open(dir.path(), None);
    let made = tokens.create(new(Role::Worker)).unwrap();
    let ended = tokens.check(Some(&made.secret)).unwrap().ended();
    tokens.revoke(made.token.id).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    // Would hang if it did not.
    runtime.block_on(ended);
}

#[test]
fn a_join_token_admits_so_many_workers_and_counts_durably_and_none_twice() {
    let dir = tempfile::tempdir().unwrap();
    let (store, tokens) = open(dir.path(), Some("configured-0123456789"));
    let join = tokens
        .create(NewToken {
            uses: Some(2),
            ..new(Role::Join)
        })
        .unwrap();
    assert!(
        join.token.expires_at_ms.is_some(),
        "a day unless said otherwise"
    );
    let id = join.token.id;
    let (a, b, c) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
    let first = tokens.join(id, "w1", a).unwrap();
    // The answer was lost: asked again, it is not counted again, and the token that was lost admits nobody.
    let again = tokens.join(id, "w1", a).unwrap();
    assert_eq!(
        tokens.check(Some(&first.secret)).unwrap_err(),
        NotAdmitted::Revoked
    );
    let caller = tokens.check(Some(&again.secret)).unwrap();
    assert_eq!(caller.role, Role::Worker);
    assert_eq!(caller.worker, Some(("w1".into(), a)));
    drop((store, tokens));

    let (_store, tokens) = open(dir.path(), Some("configured-0123456789"));
    tokens.join(id, "w2", b).unwrap();
    assert!(matches!(
        tokens.join(id, "w3", c),
        Err(TokenError::NotAdmitted(NotAdmitted::UsedUp))
    ));
    assert!(tokens.check(Some(&again.secret)).is_ok());
}

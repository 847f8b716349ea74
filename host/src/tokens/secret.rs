//! What a bearer shows: `ffrtmp_<role>_<id>_<256 random bits>`.
//!
//! The role is there for people and for scanners that look for leaked secrets, the id so that a token is found without
//! comparing all of them. Neither is secret; only the last part is.

use std::fmt;

use ffrtmp_api::{rest::Role, text::hex};
use rustls::crypto::ring::default_provider;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::TokenError;

/// What every token begins with.
const PREFIX: &str = "ffrtmp_";

/// A secret, as its SHA-256: what is held in memory, stored, or printed by mistake is not the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Of this text.
    pub fn of(text: &str) -> Digest {
        Digest(Sha256::digest(text.as_bytes()).into())
    }

    /// As it was stored.
    pub fn from_stored(bytes: [u8; 32]) -> Digest {
        Digest(bytes)
    }

    /// To be stored.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether both are of one text. Digests are compared to the end, so time tells nothing.
    pub fn same(&self, other: &Digest) -> bool {
        let difference = self
            .0
            .iter()
            .zip(other.0)
            .fold(0u8, |all, (a, b)| all | (a ^ b));
        std::hint::black_box(difference) == 0
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(…)")
    }
}

/// A new token: its id and its secret.
pub fn make(role: Role) -> Result<(Uuid, String), TokenError> {
    let mut random = [0; 32];
    default_provider()
        .secure_random
        .fill(&mut random)
        .map_err(|_| TokenError::NoRandom)?;
    let id = Uuid::new_v4();
    Ok((
        id,
        format!("{PREFIX}{role}_{}_{}", id.simple(), hex(&random)),
    ))
}

/// The id in a secret, if it has the form of one of ours.
pub fn id_of(secret: &str) -> Option<Uuid> {
    let mut parts = secret.strip_prefix(PREFIX)?.split('_');
    let (_role, id, _random) = (parts.next()?, parts.next()?, parts.next()?);
    Uuid::try_parse(id).ok().filter(|_| parts.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_text_has_the_digest_and_it_is_never_printed() {
        let digest = Digest::of("s3cret");
        assert!(digest.same(&Digest::of("s3cret")));
        for wrong in ["", "s3cre", "s3cret ", "S3cret"] {
            assert!(!digest.same(&Digest::of(wrong)), "{wrong:?}");
        }
        assert!(!format!("{digest:?}").contains("s3cret"));
    }

    #[test]
    fn a_secret_holds_its_id_and_no_two_are_alike() {
        let (id, secret) = make(Role::Submit).unwrap();
        assert!(secret.starts_with("ffrtmp_submit_"), "{secret}");
        assert_eq!(id_of(&secret), Some(id));
        assert_ne!(make(Role::Submit).unwrap().1, secret);
        for other in [
            "",
            "ffrtmp_",
            "ffrtmp_read_x_y",
            "correct-horse",
            &format!("{secret}_x"),
        ] {
            assert_eq!(id_of(other), None, "{other}");
        }
    }
}

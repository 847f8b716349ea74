//! How a receiver knows that it was us: the signature of Standard Webhooks (<https://www.standardwebhooks.com>, its specification,
//! "Signature scheme"), an HMAC-SHA256 over the event's id, the moment of sending and the body.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A key of signatures: 24 to 64 bytes.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Key(Vec<u8>);

/// What a key begins with where it is shown to people.
const PREFIX: &str = "whsec_";

impl Key {
    /// From its written form.
    pub(super) fn parse(text: &str) -> Result<Key, String> {
        let bytes = text
            .strip_prefix(PREFIX)
            .and_then(|rest| BASE64.decode(rest).ok())
            .filter(|bytes| (24..=64).contains(&bytes.len()));
        bytes.map(Key).ok_or_else(|| {
            format!("is not {PREFIX} and the base64 of 24 to 64 bytes, as `ffrtmp webhooks secret` prints it")
        })
    }

    /// From random bytes.
    pub(super) fn new(bytes: [u8; 32]) -> Key {
        Key(bytes.to_vec())
    }

    /// The key that only this tenant is told: nobody makes another tenant's from it, or the first.
    pub(super) fn of_tenant(&self, tenant: &str) -> Key {
        Key(self.mac(&[b"ffrtmp tenant\0", tenant.as_bytes()]).to_vec())
    }

    /// As it is shown to people.
    pub(super) fn written(&self) -> String {
        format!("{PREFIX}{}", BASE64.encode(&self.0))
    }

    fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        // A key of any length is taken.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else {
            return [0; 32];
        };
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

/// The header `webhook-signature`: one signature for each key, so that receivers may change theirs one after the other.
pub(super) fn sign(keys: &[Key], event_id: &str, sent_at: i64, body: &str) -> String {
    let sent_at = sent_at.to_string();
    let parts = [event_id, ".", &sent_at, ".", body].map(str::as_bytes);
    let signed = keys
        .iter()
        .map(|key| format!("v1,{}", BASE64.encode(key.mac(&parts))));
    signed.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_signs_as_the_specification_s_example_does() {
        // The example of the specification and of every library of it.
        let key = Key::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = sign(
            std::slice::from_ref(&key),
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(key.written(), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let both = sign(&[key.clone(), Key::new([1; 32])], "e", 1, "{}");
        assert_eq!(both.split(' ').count(), 2);
    }

    #[test]
    fn tenants_have_keys_of_their_own() {
        let key = Key::new([7; 32]);
        assert_ne!(key.of_tenant("a"), key.of_tenant("b"));
        assert_ne!(key.of_tenant(""), key);
        assert_eq!(key.of_tenant("a"), key.of_tenant("a"));
        assert!(Key::parse(&key.of_tenant("a").written()).is_ok());
    }

    #[test]
    fn what_is_no_key_is_refused_and_none_is_printed() {
        for bad in [
            "",
            "whsec_",
            "whsec_AAAA",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_%%%",
        ] {
            assert!(Key::parse(bad).unwrap_err().contains("whsec_"), "{bad}");
        }
        assert_eq!(format!("{:?}", Key::new([1; 32])), "Key(…)");
    }
}

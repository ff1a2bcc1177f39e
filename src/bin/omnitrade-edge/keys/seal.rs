//! What a registered key is moved from one secret to another by: its digest without a secret,
//! sealed with the secret that its own digest is made with.
//!
//! Those who have that secret could check guesses of the key by its digest anyway, so the seal
//! gives them nothing. To all others it says nothing.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use omnitrade_edge::identity::KeySecret;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};

use crate::Failure;

/// Seals the digest that a key has without a secret. `of`: the digest that it has with this one;
/// the seal opens for no other.
///
/// # Errors
///
/// [`Failure::Runtime`] if the system has no randomness.
pub fn seal(secret: &KeySecret, of: &str, plain: &str) -> Result<String, Failure> {
    let mut nonce = [0; NONCE_LEN];
    getrandom::fill(&mut nonce).map_err(|error| {
        Failure::Runtime(format!("the system gives no random numbers: {error}"))
    })?;
    let mut text = plain.as_bytes().to_vec();
    let aad = Aad::from(of.as_bytes());
    let sealed = key(secret).and_then(|key| {
        let nonce = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(nonce, aad, &mut text).ok()
    });
    sealed.ok_or_else(|| Failure::Runtime("the digest of the key cannot be sealed".into()))?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode([&nonce[..], &text].concat()))
}

/// What was sealed; `None` if it was sealed with another secret or for another digest, or if it was
/// not sealed by [`seal`].
pub fn open(secret: &KeySecret, of: &str, sealed: &str) -> Option<String> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(sealed).ok()?;
    let (nonce, text) = bytes.split_first_chunk()?;
    let (nonce, mut text) = (Nonce::assume_unique_for_key(*nonce), text.to_vec());
    let plain = key(secret)?.open_in_place(nonce, Aad::from(of.as_bytes()), &mut text);
    String::from_utf8(plain.ok()?.to_vec()).ok()
}

fn key(secret: &KeySecret) -> Option<LessSafeKey> {
    let key = digest(&SHA256, secret.derive("seal").as_bytes());
    let key = UnboundKey::new(&CHACHA20_POLY1305, key.as_ref()).ok()?;
    Some(LessSafeKey::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_opens_with_its_secret_and_for_its_digest_alone() {
        let [one, two] =
            ["one-secret-0123456789", "two-secret-0123456789"].map(|s| KeySecret::new(s).unwrap());
        let sealed = seal(&one, "digest", "plain").unwrap();
        assert_eq!(open(&one, "digest", &sealed).as_deref(), Some("plain"));
        assert_eq!(open(&two, "digest", &sealed), None);
        assert_eq!(open(&one, "other", &sealed), None);
        assert_ne!(seal(&one, "digest", "plain").unwrap(), sealed);
        assert!(!sealed.contains("plain"));
        for end in 0..sealed.len() {
            assert_eq!(open(&one, "digest", &sealed[..end]), None, "{end}");
        }
        assert_eq!(open(&one, "digest", "no base64!"), None);
    }
}

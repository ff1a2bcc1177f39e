//! The token that opens the admin pages.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::message::head::bearer;

/// The token that opens the admin pages. Only its digest is kept, and `Debug` shows nothing of it.
#[derive(Clone)]
pub struct AdminToken {
    digest: Vec<u8>,
    subjects: Hmac<Sha256>,
}

impl AdminToken {
    /// A token, without the white space around it; `None` if it is empty, because an empty token
    /// would open the pages to everybody.
    pub fn new(token: &str) -> Option<Self> {
        let token = token.trim();
        let subjects = Hmac::new_from_slice(token.as_bytes()).ok()?;
        let digest = digest(token)?.finalize().into_bytes().to_vec();
        (!token.is_empty()).then_some(Self { digest, subjects })
    }

    /// Whether an `Authorization` field holds the token as `Bearer` (RFC 6750 §2.1). The time that
    /// this takes says nothing about the token: digests are compared, and in constant time.
    pub fn opens(&self, authorization: Option<&str>) -> bool {
        let sent = authorization.and_then(|field| digest(bearer(field)?));
        sent.is_some_and(|sent| sent.verify_slice(&self.digest).is_ok())
    }
}

impl AdminToken {
    /// What stands for a subject of a limit on the admin pages: the first 12 bytes of HMAC-SHA256
    /// of the subject, with the token as the key, in base64url. The bare digest of an address could
    /// be undone by trying all of them. A subject is what follows the limit's name in the key of
    /// its state.
    pub fn digest_of(&self, subject: &str) -> String {
        let mac = self.subjects.clone().chain_update(subject);
        let digest = mac.finalize().into_bytes();
        URL_SAFE_NO_PAD.encode(digest.get(..12).unwrap_or_default())
    }
}

fn digest(token: &str) -> Option<Hmac<Sha256>> {
    let keyed = Hmac::new_from_slice(b"omnitrade-edge admin token").ok()?;
    Some(keyed.chain_update(token))
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_itself_opens() {
        let token = AdminToken::new("s3cret-0123").unwrap();
        for right in ["Bearer s3cret-0123", "bearer  s3cret-0123 "] {
            assert!(token.opens(Some(right)), "{right}");
        }
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer s3cret",
            "Bearer s3cret-01234",
            "Bearer S3cret-0123",
            "Basic s3cret-0123",
            "s3cret-0123",
            "Bearer s3cret-0123\0",
            "Bearers3cret-0123",
        ] {
            assert!(!token.opens(Some(wrong)), "{wrong}");
        }
        assert!(!token.opens(None));
    }

    #[test]
    fn a_digest_depends_on_the_token_and_does_not_show_the_subject() {
        let of = |token| AdminToken::new(token).map(|token| token.digest_of("203.0.113.7"));
        assert_eq!(of("one"), of(" one "));
        assert_ne!(of("one"), of("two"));
        assert_eq!(of("one").map(|digest| digest.len()), Some(16));
    }

    #[test]
    fn an_empty_token_is_none_and_no_token_is_shown() {
        assert!(AdminToken::new("").is_none());
        let shown = format!("{:?}", AdminToken::new("s3cret"));
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}

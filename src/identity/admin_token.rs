//! The token that opens the admin pages.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::message::head::bearer;

/// The token that opens the admin pages. Only its digest is kept, and `Debug` shows nothing of it.
#[derive(Clone)]
pub struct AdminToken(Vec<u8>);

impl AdminToken {
    /// A token, without the white space around it; `None` if it is empty, because an empty token
    /// would open the pages to everybody.
    pub fn new(token: &str) -> Option<Self> {
        let token = token.trim();
        let digest = digest(token)?.finalize().into_bytes();
        (!token.is_empty()).then(|| Self(digest.to_vec()))
    }

    /// Whether an `Authorization` field holds the token as `Bearer` (RFC 6750 §2.1). The time that
    /// this takes says nothing about the token: digests are compared, and in constant time.
    pub fn opens(&self, authorization: Option<&str>) -> bool {
        let sent = authorization.and_then(|field| digest(bearer(field)?));
        sent.is_some_and(|sent| sent.verify_slice(&self.0).is_ok())
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
    fn an_empty_token_is_none_and_no_token_is_shown() {
        assert!(AdminToken::new("").is_none());
        let shown = format!("{:?}", AdminToken::new("s3cret"));
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}

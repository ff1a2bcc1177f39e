//! The algorithms of signatures, and the encoding that tokens and keys share.

/// An algorithm of signatures that the gate accepts (RFC 7518 §3.1, RFC 8037 §3.1).
///
/// No symmetric one: its key would have to be known to the gate. And not `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// The algorithm that a token or a key names as `alg`. `Ed25519` is the name that RFC 9864
    /// gives to what RFC 8037 calls `EdDSA`.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            _ => None,
        }
    }
}

/// The bytes of a base64url text without padding (RFC 7515 §2).
pub fn decoded(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(text)
        .ok()
}

//! A signed token in compact form (RFC 7515 §3.1), taken apart but not yet believed.

use std::fmt;

use serde_json::{Map, Value};

use super::algorithm::{Algorithm, decoded};

/// The longest token that is read, in bytes. Platforms accept no longer header lines.
const LONGEST: usize = 16 * 1024;

/// A signed token. Nobody has checked the signature yet, so nothing in it is to be believed.
/// `Debug` shows only its algorithm.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The algorithm that the token says it is signed with.
    pub algorithm: Algorithm,
    /// The key that the token says it is signed with.
    pub key_id: Option<String>,
    /// What it claims.
    pub claims: Map<String, Value>,
    /// The text that is signed.
    pub signed: String,
    /// The signature.
    pub signature: Vec<u8>,
}

impl Token {
    /// Takes a token apart. `None` if it is not a signed token in compact form, if its algorithm is
    /// not accepted, or if it is critical to understand an extension (RFC 7515 §4.1.11), because
    /// the gate knows none.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let Value::Object(header) = json(header)? else {
            return None;
        };
        let Value::Object(claims) = json(claims)? else {
            return None;
        };
        if header.contains_key("crit") {
            return None;
        }
        let key_id = match header.get("kid") {
            None => None,
            Some(id) => Some(id.as_str()?.to_owned()),
        };
        Some(Self {
            algorithm: Algorithm::named(header.get("alg")?.as_str()?)?,
            key_id,
            claims,
            signed: signed.to_owned(),
            signature: decoded(signature)?,
        })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Token");
        shown.field("algorithm", &self.algorithm);
        shown.finish_non_exhaustive()
    }
}

/// A part of a token, which is JSON in base64url.
fn json(part: &str) -> Option<Value> {
    serde_json::from_slice(&decoded(part)?).ok()
}

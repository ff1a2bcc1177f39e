//! The public keys of an issuer: a JSON Web Key Set (RFC 7517 §5).

use serde_json::{Map, Value};

use super::algorithm::{Algorithm, decoded};
use super::token::Token;

/// The most keys that are taken from a set. Issuers have two to five.
const MOST_KEYS: usize = 64;

/// How many keys are tried for one token at most: a token without `kid`, or several keys with one
/// id, leave it open which it is.
const MOST_TRIED: usize = 4;

/// The shortest RSA modulus, in bytes (RFC 7518 §3.3: "A key of size 2048 bits or larger MUST be
/// used").
const SHORTEST_MODULUS: usize = 256;

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its id, `kid`.
    pub id: Option<String>,
    /// The algorithm that it is for.
    pub algorithm: Algorithm,
    /// The key as a JSON Web Key, with the members that it needs and no others.
    pub jwk: String,
}

/// The public keys of an issuer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeySet {
    keys: Vec<Key>,
}

impl KeySet {
    /// Reads a key set. Keys that the gate cannot use are left out (RFC 7517 §5: "Implementations
    /// SHOULD ignore JWKs within a JWK Set that use [...] values out of the supported ranges").
    /// `None` if it is not a key set, or if no key is left.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let set: Value = serde_json::from_slice(text).ok()?;
        let keys = set.get("keys")?.as_array()?.iter();
        let keys: Vec<_> = keys.filter_map(usable).take(MOST_KEYS).collect();
        (!keys.is_empty()).then_some(Self { keys })
    }

    /// The keys that may have signed a token. None: the set does not have the token's key.
    pub fn candidates(&self, token: &Token) -> Vec<Key> {
        let fits = |key: &&Key| {
            let named = match (&token.key_id, &key.id) {
                (Some(wanted), Some(id)) => wanted == id,
                (None, _) | (_, None) => true,
            };
            named && key.algorithm == token.algorithm
        };
        let fitting = self.keys.iter().filter(fits).take(MOST_TRIED);
        fitting.cloned().collect()
    }
}

/// A key that the gate can use; `None` for any other.
fn usable(jwk: &Value) -> Option<Key> {
    let jwk = jwk.as_object()?;
    let text = |name: &str| jwk.get(name)?.as_str();
    let (algorithm, members): (_, &[&str]) = match (text("kty")?, text("crv")) {
        ("RSA", _) => (Algorithm::Rs256, &["kty", "n", "e"]),
        ("EC", Some("P-256")) => (Algorithm::Es256, &["kty", "crv", "x", "y"]),
        ("OKP", Some("Ed25519")) => (Algorithm::EdDsa, &["kty", "crv", "x"]),
        _ => return None,
    };
    let for_it = |alg: &Value| alg.as_str().and_then(Algorithm::named) == Some(algorithm);
    let for_signatures = |usage: &Value| usage.as_str() == Some("sig");
    let for_verifying = |ops: &Value| {
        let ops = ops.as_array().into_iter().flatten();
        ops.into_iter().any(|op| op.as_str() == Some("verify"))
    };
    let allowed = jwk.get("alg").is_none_or(for_it)
        && jwk.get("use").is_none_or(for_signatures)
        && jwk.get("key_ops").is_none_or(for_verifying);
    if !allowed {
        return None;
    }
    if algorithm == Algorithm::Rs256 {
        let modulus = decoded(text("n")?)?;
        let length = modulus.iter().skip_while(|byte| **byte == 0).count();
        if length < SHORTEST_MODULUS {
            return None;
        }
    }
    let mut kept = Map::new();
    for member in members {
        kept.insert((*member).to_owned(), text(member)?.into());
    }
    Some(Key {
        id: text("kid").map(str::to_owned),
        algorithm,
        jwk: serde_json::to_string(&kept).ok()?,
    })
}

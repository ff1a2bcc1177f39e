//! Which request headers selected a response, and whether another request has the same ones (RFC
//! 9111 §4.1).

use sha2::{Digest, Sha256};

use super::super::sort::sort_by;
use super::super::subject::hex;
use super::fields::{Fields, elements, is_exact, is_token, trim};

/// The meaning of `Vary`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Vary {
    /// §4.1: "A stored response with a Vary header field value containing a member "*" always fails
    /// to match." A malformed list is treated likewise, because it may name fields that cannot be
    /// read.
    Any,
    /// The names of the request headers that select the response, in lower case, each once;
    /// possibly none.
    By(Vec<String>),
}

impl Vary {
    pub(super) fn of<F: Fields + ?Sized>(response: &F) -> Self {
        let mut names: Vec<String> = Vec::new();
        let list = response.value("vary").unwrap_or_default();
        for name in elements(&list) {
            if name == "*" || !is_token(name) {
                return Self::Any;
            }
            let name = name.to_ascii_lowercase();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Self::By(names)
    }
}

/// The digest of a request's field `name`. `None` if the request does not have the field.
///
/// Only digests of the selecting headers are stored: the headers may be credentials, and entries
/// are written to a store. §4.1 lets a cache normalise values first: lines are combined, white
/// space around the commas of a list is ignored, and preferences are sorted ([`preferences`]).
///
/// [`NO_MATCH`] if not all octets of the value are known, since another value could look the same.
pub(super) fn selector<F: Fields + ?Sized>(request: &F, name: &str) -> Option<String> {
    let value = request.value(name)?;
    if !is_exact(&value) {
        return Some(NO_MATCH.to_owned());
    }
    let mut hash = Sha256::new();
    hash.update(name.as_bytes());
    let mut separator = ":";
    let mut update = |element: &str| {
        hash.update(separator.as_bytes());
        hash.update(element.as_bytes());
        separator = ",";
    };
    match name {
        "accept" | "accept-charset" | "accept-encoding" | "accept-language" => {
            preferences(name, &value).iter().for_each(|p| update(p));
        }
        _ => elements(&value).for_each(|element| update(trim(element))),
    }
    Some(hex(hash.finalize().iter().take(SELECTOR_BYTES)))
}

/// The members of a list of preferences (RFC 9110 §12.5), sorted, each once.
///
/// RFC 9111 §4.1 allows "normalizing both header field values in a way that is known to have
/// identical semantics, according to the header field's specification (e.g., reordering field
/// values when order is not significant; case-normalization, where values are defined to be
/// case-insensitive)". The weights of preferences are significant, their order is not; languages
/// and codings are case-insensitive; a weight of 1 is equivalent to no weight (§12.4.2).
fn preferences(name: &str, value: &str) -> Vec<String> {
    let mut members: Vec<String> = elements(value)
        .map(|element| {
            let mut parts = element.split(';').map(trim);
            let mut member = parts.next().unwrap_or_default().to_owned();
            if name != "accept" {
                member.make_ascii_lowercase();
            }
            for part in parts {
                let weight = part
                    .strip_prefix(['q', 'Q'])
                    .and_then(|w| w.strip_prefix('='));
                let weight = weight.map(|weight| match weight.contains('.') {
                    true => weight.trim_end_matches('0').trim_end_matches('.'),
                    false => weight,
                });
                match weight {
                    Some("1") => {}
                    Some(weight) => member.extend([";q=", weight]),
                    None => member.extend([";", part]),
                }
            }
            member
        })
        .collect();
    sort_by(&mut members, Ord::cmp);
    members.dedup();
    members
}

/// Whether a response that these request headers selected may answer another request with the same
/// headers: all octets of the headers must be known.
pub(super) fn is_sure<F: Fields + ?Sized>(names: &[String], request: &F) -> bool {
    let exact = |name: &String| request.value(name).is_none_or(|value| is_exact(&value));
    names.iter().all(exact)
}

/// Whether a request has the selecting headers of a stored response.
pub(super) fn matches<F: Fields + ?Sized>(
    stored: &[(String, Option<String>)],
    request: &F,
) -> bool {
    stored
        .iter()
        .all(|(name, digest)| selector(request, name) == *digest)
}

const SELECTOR_BYTES: usize = 16;

/// Stands for a value without a digest. No response is stored with it ([`is_sure`]), so it matches
/// none.
const NO_MATCH: &str = "?";

//! `No-Vary-Search` (draft-ietf-httpbis-no-vary-search): parameters of the query that do not change
//! a response.

use std::borrow::Cow;

use super::super::sort::sort_by;
use super::super::url::Target;
use super::fields::{Fields, elements};
use super::query::decoded;

/// The parts of a query that select the response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoVarySearch {
    /// Whether the order of the parameters is irrelevant.
    any_order: bool,
    ignored: Ignored,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Ignored {
    /// These parameters are ignored.
    Only(Vec<String>),
    /// All other parameters are ignored.
    AllBut(Vec<String>),
}

impl NoVarySearch {
    /// The `No-Vary-Search` of a response. `None` if the field is absent, malformed or ignores
    /// nothing: then the whole query counts.
    pub fn of<F: Fields + ?Sized>(response: &F) -> Option<Self> {
        let text = response.value("no-vary-search")?;
        let (mut any_order, mut params, mut except) = (false, Ignored::Only(Vec::new()), None);
        for member in elements(&text) {
            match member.split_once('=').unwrap_or((member, "?1")) {
                ("key-order", value) => any_order = boolean(value)?,
                ("params", value) => {
                    params = match boolean(value) {
                        Some(true) => Ignored::AllBut(Vec::new()),
                        Some(false) => Ignored::Only(Vec::new()),
                        None => Ignored::Only(strings(value)?),
                    }
                }
                ("except", value) => except = Some(strings(value)?),
                _ => {}
            }
        }
        let ignored = match (params, except) {
            (Ignored::AllBut(_), Some(names)) => Ignored::AllBut(names),
            // `except` is allowed only beside a `params` that is true.
            (_, Some(_)) => return None,
            (params, None) => params,
        };
        let nothing = !any_order && ignored == Ignored::Only(Vec::new());
        (!nothing).then_some(Self { any_order, ignored })
    }

    /// The query without its ignored parts. `None` if nothing is left. Two requests for the same
    /// path are answered by the same response if this is equal.
    pub fn canonical(&self, query: &str) -> Option<String> {
        let mut kept: Vec<&str> = query
            .split('&')
            .filter(|pair| !pair.is_empty() && self.counts(pair))
            .collect();
        if self.any_order {
            // The sort is stable: parameters with the same name keep their order.
            let mut named: Vec<_> = kept.iter().map(|pair| (name(pair), *pair)).collect();
            sort_by(&mut named, |(one, _), (other, _)| one.cmp(other));
            kept = named.into_iter().map(|(_, pair)| pair).collect();
        }
        (!kept.is_empty()).then(|| kept.join("&"))
    }

    /// The URL without the ignored parts of its query.
    pub fn counted<'a>(&self, target: &'a Target<'_>) -> Target<'a> {
        let query = target.query().and_then(|query| self.canonical(query));
        target.with_query(query.as_deref())
    }

    fn counts(&self, pair: &str) -> bool {
        let name = name(pair);
        match &self.ignored {
            Ignored::Only(names) => !names.iter().any(|known| key(known) == name),
            Ignored::AllBut(names) => names.iter().any(|known| key(known) == name),
        }
    }
}

fn name(pair: &str) -> Cow<'_, [u8]> {
    key(pair.split_once('=').map_or(pair, |(name, _)| name))
}

/// A name, decoded, in a query as in the field ("parse a key").
fn key(name: &str) -> Cow<'_, [u8]> {
    decoded(name).unwrap_or(Cow::Borrowed(name.as_bytes()))
}

/// A Boolean (RFC 9651 §3.3.6).
fn boolean(value: &str) -> Option<bool> {
    match value {
        "?1" => Some(true),
        "?0" => Some(false),
        _ => None,
    }
}

/// An inner list (RFC 9651 §3.1.1) of strings without escapes.
fn strings(value: &str) -> Option<Vec<String>> {
    let inside = value.strip_prefix('(')?.strip_suffix(')')?;
    let items = inside.split(' ').filter(|item| !item.is_empty());
    let plain = |item: &str| {
        let text = item.strip_prefix('"')?.strip_suffix('"')?;
        (!text.contains(['"', '\\'])).then(|| text.to_owned())
    };
    items.map(plain).collect()
}

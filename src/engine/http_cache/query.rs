//! The canonical form of a query. The cache key contains it and the origin is sent it, so that
//! equivalent requests share one entry and nothing outside the key can change the response.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;

use crate::engine::sort::sort_by;
use crate::engine::url::{normal_query, normal_word};

/// The query parameters that count on a route, and how their values are spelt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeclaredQuery {
    /// Sorted by the spelling of their names; each name occurs once.
    parameters: Vec<Parameter>,
}

/// The letter case in which the values of a parameter are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Letters {
    /// Upper case.
    Upper,
    /// Lower case.
    Lower,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parameter {
    /// The name before encoding.
    name: String,
    /// The name as written in a canonical query.
    spelling: String,
    letters: Option<Letters>,
    /// The value of an absent parameter, as written in a canonical query.
    default: Option<String>,
}

impl DeclaredQuery {
    /// Names and default values are given unencoded. Entries of `letters` and `defaults` for other
    /// names have no effect.
    pub fn new(
        names: &[String],
        letters: &BTreeMap<String, Letters>,
        defaults: &BTreeMap<String, String>,
    ) -> Self {
        let names = names.iter().filter(|name| !name.is_empty());
        let mut parameters: Vec<_> = names
            .map(|name| {
                let letters = letters.get(name).copied();
                let default = defaults.get(name).map(|value| encoded(value));
                Parameter {
                    name: name.clone(),
                    spelling: encoded(name),
                    letters,
                    default: default.map(|value| written(&value, letters).into_owned()),
                }
            })
            .collect();
        sort_by(&mut parameters, |a, b| a.spelling.cmp(&b.spelling));
        parameters.dedup_by(|a, b| a.spelling == b.spelling);
        Self { parameters }
    }

    /// The declared parameters of a query, sorted by name, without all others. `None` if there are
    /// none.
    ///
    /// An absent parameter gets its default; one without a value keeps none. Repeated parameters
    /// stay, in their order: the origin decides which of them counts. Values are in normal form
    /// ([`Target`](crate::engine::url::Target)). The case of their ASCII letters is changed as
    /// declared, unless the value contains a broken escape.
    ///
    /// ```
    /// # use omnitrade_edge::engine::http_cache::{DeclaredQuery, Letters};
    /// let query = DeclaredQuery::new(
    ///     &["symbol".to_owned(), "limit".to_owned()],
    ///     &[("symbol".to_owned(), Letters::Upper)].into(),
    ///     &[("limit".to_owned(), "100".to_owned())].into(),
    /// );
    /// let canonical = Some("limit=100&symbol=BTCUSDT".to_owned());
    /// assert_eq!(query.canonical(Some("utm=1&symbol=btcusdt")), canonical);
    /// assert_eq!(query.canonical(Some("symbol=BTCUSDT&limit=100")), canonical);
    /// ```
    pub fn canonical(&self, query: Option<&str>) -> Option<String> {
        let mut kept: Vec<(usize, Option<Cow<'_, str>>)> = query
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| {
                let (name, value) = match pair.split_once('=') {
                    Some((name, value)) => (name, Some(value)),
                    None => (pair, None),
                };
                let (at, parameter) = self.find(name)?;
                Some((at, value.map(|value| written(value, parameter.letters))))
            })
            .collect();
        for (at, parameter) in self.parameters.iter().enumerate() {
            if let Some(default) = &parameter.default
                && !kept.iter().any(|(known, _)| *known == at)
            {
                kept.push((at, Some(Cow::Borrowed(default))));
            }
        }
        sort_by(&mut kept, |(one, _), (other, _)| one.cmp(other));
        let pairs: Vec<String> = kept
            .into_iter()
            .filter_map(|(at, value)| {
                let name = &self.parameters.get(at)?.spelling;
                Some(match value {
                    Some(value) => format!("{name}={value}"),
                    None => name.clone(),
                })
            })
            .collect();
        (!pairs.is_empty()).then(|| pairs.join("&"))
    }

    /// The names of the parameters of a query that are not declared, as they are spelt. A pair that
    /// is empty is not a parameter.
    ///
    /// ```
    /// # use omnitrade_edge::engine::http_cache::DeclaredQuery;
    /// let names = ["symbol".to_owned()];
    /// let query = DeclaredQuery::new(&names, &[].into(), &[].into());
    /// let unknown = query.unknown(Some("&s%79mbol=A&utm=1&&symbol[]=B"));
    /// assert!(unknown.eq(["utm", "symbol[]"]));
    /// ```
    pub fn unknown<'a>(&self, query: Option<&'a str>) -> impl Iterator<Item = &'a str> {
        let pairs = query.unwrap_or_default().split('&');
        let names = pairs
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name));
        names.filter(|name| self.find(name).is_none())
    }

    fn find(&self, spelt: &str) -> Option<(usize, &Parameter)> {
        let name = decoded(spelt)?;
        let mut parameters = self.parameters.iter().enumerate();
        parameters.find(|(_, parameter)| parameter.name.as_bytes() == &*name)
    }
}

/// The canonical form of a query: the declared parameters, or all parameters in their order if none
/// are declared.
pub fn canonical_query(query: Option<&str>, declared: Option<&DeclaredQuery>) -> Option<String> {
    match declared {
        Some(declared) => declared.canonical(query),
        None => query.map(|query| normal_query(query).into_owned()),
    }
}

/// The value of a parameter in a canonical query. `None` if the parameter is absent, has no value,
/// or occurs more than once. `name` must consist of characters that need no escape.
pub fn only_value<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let mut values = query.split('&').filter_map(|pair| {
        let (spelt, value) = pair.split_once('=').unwrap_or((pair, ""));
        (spelt == name).then_some(value)
    });
    let value = values.next().filter(|value| !value.is_empty());
    value.filter(|_| values.next().is_none())
}

/// A value in its normal form, in this letter case.
fn written(value: &str, letters: Option<Letters>) -> Cow<'_, str> {
    let value = normal_word(value);
    let (Some(letters), Some(_)) = (letters, decoded(&value)) else {
        return value;
    };
    // A remaining escape does not stand for a letter, but its digits may be letters: they must not
    // change.
    let mut escaped = 0_u8;
    let written = value.chars().map(|char| match (char, escaped) {
        ('%', _) => {
            escaped = 2;
            char
        }
        (_, 1..) => {
            escaped -= 1;
            char
        }
        (_, 0) => match letters {
            Letters::Upper => char.to_ascii_uppercase(),
            Letters::Lower => char.to_ascii_lowercase(),
        },
    });
    Cow::Owned(written.collect())
}

/// A name or a value as a form encodes it: everything but unreserved characters is escaped.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => encoded.push(char::from(byte)),
            // Writing to a string does not fail.
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}

/// Decodes a name or a value that a form has encoded. `None` if an escape is broken.
pub(super) fn decoded(text: &str) -> Option<Cow<'_, [u8]>> {
    match text.contains('+') {
        true => Some(Cow::Owned(unescaped(&text.replace('+', " "))?.into_owned())),
        false => unescaped(text),
    }
}

/// The text without percent-escapes (RFC 3986 §2.1). `None` if one is broken.
pub(super) fn unescaped(text: &str) -> Option<Cow<'_, [u8]>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text.as_bytes()));
    }
    let mut unescaped = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    while let Some(byte) = bytes.next() {
        unescaped.push(match byte {
            b'%' => u8::try_from(digit(bytes.next())? * 16 + digit(bytes.next())?).ok()?,
            byte => byte,
        });
    }
    Some(Cow::Owned(unescaped))
}

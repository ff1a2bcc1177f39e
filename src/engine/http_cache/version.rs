//! The version that a response gives its content: a number that only grows, in its JSON or in a
//! header.

use std::cell::OnceCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::fields::{Fields, is_token, trim};

/// Where a response contains the version of its content.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum VersionSource {
    /// In its JSON, at this path: the names and indices that lead to it, from the outermost.
    Json(Vec<String>),
    /// In this header, in lower case.
    Header(String),
}

impl VersionSource {
    /// Parses `json:data.0.id` or `header:x-sequence`. `None` for anything else.
    ///
    /// ```
    /// # use omnitrade_edge::engine::http_cache::VersionSource;
    /// let source = VersionSource::parse("json:data.0.id").unwrap();
    /// let path = ["data", "0", "id"].map(str::to_owned).to_vec();
    /// assert_eq!(source, VersionSource::Json(path));
    /// assert_eq!(VersionSource::parse("timestamp"), None);
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':')? {
            ("json", path) => {
                let names: Vec<String> = path.split('.').map(str::to_owned).collect();
                let fits = path.len() <= LONGEST_PATH && names.iter().all(|name| !name.is_empty());
                fits.then_some(Self::Json(names))
            }
            ("header", name) => is_token(name).then(|| Self::Header(name.to_ascii_lowercase())),
            _ => None,
        }
    }

    /// The version of a response with this head and body, in decimal digits without leading zeros.
    ///
    /// `None` if it has no version, or one that is not a non-negative integer of at most 20 digits.
    pub fn of(&self, headers: &[(String, String)], body: &[u8]) -> Option<String> {
        match self {
            Self::Json(path) => in_json(path, body),
            Self::Header(_) => self.of_head(headers, None),
        }
    }

    /// The version of a response with this head whose body is unchanged, as after a `304`; `known`
    /// is the version of the stored response.
    pub fn of_head(&self, headers: &[(String, String)], known: Option<&str>) -> Option<String> {
        match self {
            Self::Json(_) => known.map(str::to_owned),
            Self::Header(name) => digits(trim(&headers.value(name)?)),
        }
    }
}

/// A non-negative integer of at most [`MOST_DIGITS`] digits, without leading zeros.
fn digits(text: &str) -> Option<String> {
    let number =
        (1..=MOST_DIGITS).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let significant = text.trim_start_matches('0');
    number.then(|| match significant {
        "" => "0".to_owned(),
        digits => digits.to_owned(),
    })
}

/// The version at the end of a path. The body is read no further, and nothing of it is kept; if a
/// name occurs twice in an object, the first occurrence counts.
fn in_json(path: &[String], body: &[u8]) -> Option<String> {
    let found = OnceCell::new();
    let walk = Walk {
        path,
        found: &found,
    };
    // The walk ends with an error as soon as it has reached the end of the path. An error before
    // that leaves `found` empty.
    let _ = walk.deserialize(&mut serde_json::Deserializer::from_slice(body));
    found.into_inner()
}

/// A walk down a path. `path` is the rest of it.
#[derive(Clone, Copy)]
struct Walk<'a> {
    path: &'a [String],
    found: &'a OnceCell<String>,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if !self.path.is_empty() {
            return deserializer.deserialize_any(self);
        }
        let raw = <&RawValue as serde::Deserialize>::deserialize(deserializer)?.get();
        let text = raw
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        if let Some(version) = digits(text.unwrap_or(raw)) {
            let _ = self.found.set(version);
        }
        Err(D::Error::custom("here it ends"))
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((name, path)) = self.path.split_first() else {
            return Ok(());
        };
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            match key == *name {
                true => return map.next_value_seed(Walk { path, ..self }),
                false => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Some((index, path)) = self.path.split_first() else {
            return Ok(());
        };
        let index: usize = index.parse().map_err(A::Error::custom)?;
        for _ in 0..index {
            if items.next_element::<IgnoredAny>()?.is_none() {
                return Ok(());
            }
        }
        items.next_element_seed(Walk { path, ..self }).map(drop)
    }
}

/// The longest path, in bytes.
const LONGEST_PATH: usize = 128;

/// Every 64-bit number has at most this many digits.
const MOST_DIGITS: usize = 20;

//! Tags: names under which entries are purged together, and the keys under which the store records
//! purges.
//!
//! An entry has *epoch keys*: first that of its URL, then those of its tags. The store holds at
//! each a value that the latest purge has set and that no other purge will ever set, or nothing. An
//! entry becomes void as soon as one of these values differs from its value when the entry was
//! requested. So a purge takes one `SET` for each tag or URL, however many entries it makes void.

use std::borrow::Cow;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::super::subject::hex;
use super::key::CacheKey;
use super::query::{DeclaredQuery, canonical_query, unescaped};
use crate::engine::route::without_parameters;
use crate::engine::url::Target;

/// The longest time for which an entry is stored.
pub const LONGEST_STORED: Duration = Duration::from_secs(30 * 86_400);

/// How long the store remembers a purge: longer than any entry that was requested before it is
/// stored.
pub const PURGE_REMEMBERED: Duration = Duration::from_secs(31 * 86_400);

/// The largest number of tags of a route. All of them are read with every entry.
pub const MOST_TAGS: usize = 8;

/// A tag as written in the configuration: `symbol:{query.symbol}`, `book:{path.id}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagTemplate {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// A parameter of the query, by name.
    Query(String),
    /// One segment of the path, by number.
    Segment(usize),
    /// All segments of the path from this one on, by number.
    Rest(usize),
}

/// A placeholder in a tag, with its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// A query parameter.
    Query(&'a str),
    /// A path parameter.
    Path(&'a str),
}

/// A text is not a valid tag of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a tag such as \"orderbook\", \"symbol:{{query.symbol}}\" or \"book:{{path.id}}\""
)]
pub struct TagError;

impl TagTemplate {
    /// Parses a tag of the route with this path: `/books/{id}` has the parameter `path.id`.
    ///
    /// # Errors
    ///
    /// If braces do not match, the text between two braces is not `query.` or `path.` and a name,
    /// the path has no such parameter, or the text is empty or begins with `@`.
    pub fn parse(text: &str, route: &str) -> Result<Self, TagError> {
        let parts = split(text).ok_or(TagError)?;
        let parts = parts.into_iter().map(|part| match part {
            Ok(text) => Ok(Part::Text(text.to_owned())),
            Err(Place::Query(name)) => Ok(Part::Query(name.to_owned())),
            Err(Place::Path(name)) => path_part(route, name).ok_or(TagError),
        });
        let parts = parts.collect::<Result<_, _>>()?;
        Ok(Self { parts })
    }

    /// The tag of a URL. If a parameter occurs several times, its values are joined with commas; if
    /// it is absent, its value is empty. Percent-escapes are decoded unless they are broken. Path
    /// segments are counted and inserted without their parameters, as
    /// [routes](crate::engine::route::segments) see them, but their letter case is kept:
    /// `/books/7;x=1` has the tag of `/books/7`.
    ///
    /// ```
    /// # use omnitrade_edge::engine::http_cache::{TagTemplate, Target};
    /// let tag = TagTemplate::parse("symbol:{query.symbol}", "/book")?;
    /// let target = Target::of("https://edge.example/book?symbol=BTC%2FUSDT&limit=5").unwrap();
    /// assert_eq!(tag.fill(&target).as_str(), "symbol:BTC/USDT");
    /// # Ok::<(), omnitrade_edge::engine::http_cache::TagError>(())
    /// ```
    pub fn fill(&self, target: &Target<'_>) -> Tag {
        let mut tag = Vec::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => tag.extend_from_slice(text.as_bytes()),
                Part::Query(name) => tag.extend(parameter(target.query(), name)),
                Part::Segment(at) => {
                    tag.extend(path_segments(target.path()).nth(*at).unwrap_or_default());
                }
                Part::Rest(from) => {
                    let rest = path_segments(target.path()).skip(*from);
                    tag.extend(rest.collect::<Vec<_>>().join(&b'/'));
                }
            }
        }
        Tag::of(&tag)
    }
}

/// The placeholders in a tag, in order. `None` if the text is not a tag.
pub fn places(text: &str) -> Option<Vec<Place<'_>>> {
    let parts = split(text)?;
    Some(parts.into_iter().filter_map(Result::err).collect())
}

/// The value of a parameter of the path, decoded and without parameters of its own; several
/// segments are joined by slashes. `None` if the path of the route has no such parameter, or this
/// one no such segment.
#[cfg(feature = "queue")]
pub fn path_value(target: &Target<'_>, route: &str, name: &str) -> Option<Vec<u8>> {
    match path_part(route, name)? {
        Part::Segment(at) => path_segments(target.path()).nth(at),
        Part::Rest(from) => {
            let rest: Vec<_> = path_segments(target.path()).skip(from).collect();
            (!rest.is_empty()).then(|| rest.join(&b'/'))
        }
        Part::Text(_) | Part::Query(_) => None,
    }
}

/// Whether the path of a route has a parameter of this name.
pub fn has_parameter(route: &str, name: &str) -> bool {
    path_part(route, name).is_some()
}

/// The tags of a route.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags {
    templates: Vec<TagTemplate>,
}

impl Tags {
    /// Parses the tags of the route with this path.
    ///
    /// # Errors
    ///
    /// If [`TagTemplate::parse`] fails for any of them.
    pub fn parse(tags: &[String], route: &str) -> Result<Self, TagError> {
        let templates = tags.iter().map(|tag| TagTemplate::parse(tag, route));
        let templates = templates.collect::<Result<_, _>>()?;
        Ok(Self { templates })
    }

    /// The tags of a URL of the route, in the order of the configuration.
    pub fn of(&self, target: &Target<'_>) -> Vec<Tag> {
        self.templates.iter().map(|t| t.fill(target)).collect()
    }

    /// The epoch keys of the entries of a URL of the route: first the URL's own, then those of its
    /// tags, in order. Their number is the same for all URLs of the route, and requests with the
    /// same cache key have the same epoch keys. `prefix` is that of all keys in the store;
    /// `declared` as for [`CacheKey::new`].
    pub fn epoch_keys(
        &self,
        prefix: &str,
        target: &Target<'_>,
        declared: Option<&DeclaredQuery>,
    ) -> Vec<String> {
        let query = canonical_query(target.query(), declared);
        let tags = self.of(&target.with_query(query.as_deref())).into_iter();
        std::iter::once(url_key(prefix, &purged_url(target, declared)))
            .chain(tags.map(|tag| tag_key(prefix, &tag)))
            .collect()
    }
}

/// A tag as it is stored: visible ASCII of at most [`Tag::MOST_BYTES`] bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

impl Tag {
    /// The longest tag that is stored unchanged, in bytes. Even with the longest prefix its key has
    /// fewer than 256.
    pub const MOST_BYTES: usize = 200;

    /// The tag with this name. A name that is too long, contains anything but visible ASCII, or
    /// begins with `#` or `@` is replaced by its SHA-256 digest with a `#` before it. So no two
    /// names have the same tag, and no tag has the key of a URL.
    pub fn of(name: &[u8]) -> Self {
        let plain = std::str::from_utf8(name).ok().filter(|text| {
            text.len() <= Self::MOST_BYTES
                && text.bytes().all(|b| b.is_ascii_graphic())
                && !text.starts_with(['#', '@'])
        });
        match plain {
            Some(text) => Self(text.to_owned()),
            None => Self(format!("#{}", hex(Sha256::digest(name).iter()))),
        }
    }

    /// The text of the tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The epoch key of a tag.
pub fn tag_key(prefix: &str, tag: &Tag) -> String {
    format!("{prefix}:t:{}", tag.as_str())
}

/// The epoch key of a URL, given as [`purged_url`] returns it.
pub fn url_key(prefix: &str, url: &CacheKey) -> String {
    format!("{prefix}:t:@{}", url.hex())
}

/// The key under which a URL is purged. It does not depend on the request headers that its
/// responses vary by. `declared` as for [`CacheKey::new`].
pub fn purged_url(target: &Target<'_>, declared: Option<&DeclaredQuery>) -> CacheKey {
    CacheKey::new(target, declared, &[], NO_FIELDS)
}

/// A request without header fields.
const NO_FIELDS: &[(String, String)] = &[];

/// The value that a purge sets at its epoch keys: 16 hexadecimal digits that no other purge sets.
/// `random` must be a number that is unlikely to be drawn again.
pub fn epoch(random: u64) -> String {
    format!("{random:016x}")
}

/// The texts and placeholders of a tag, in order. `None` if the text is not a tag.
fn split(text: &str) -> Option<Vec<Result<&str, Place<'_>>>> {
    if text.is_empty() || text.starts_with('@') {
        return None;
    }
    let (mut parts, mut rest) = (Vec::new(), text);
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}')?;
        let place = match name.split_once('.')? {
            ("query", name) => Place::Query(name),
            ("path", name) => Place::Path(name),
            _ => return None,
        };
        let (Place::Query(name) | Place::Path(name)) = place;
        if name.is_empty() || name.contains('{') || before.contains('}') {
            return None;
        }
        parts.extend((!before.is_empty()).then_some(Ok(before)));
        parts.push(Err(place));
        rest = after;
    }
    parts.extend((!rest.is_empty()).then_some(Ok(rest)));
    (!rest.contains('}')).then_some(parts)
}

/// The position of a parameter in the path of a route.
fn path_part(route: &str, name: &str) -> Option<Part> {
    let segments = route.split('/').filter(|segment| !segment.is_empty());
    segments.enumerate().find_map(|(at, segment)| {
        let found = segment.strip_prefix('{')?.strip_suffix('}')?;
        let part = match found.strip_prefix('*') {
            Some(rest) if rest == name => Part::Rest(at),
            None if found == name => Part::Segment(at),
            _ => return None,
        };
        Some(part)
    })
}

/// The segments of a path as routes count them: without parameters, and without segments that are
/// then empty.
fn path_segments(path: &str) -> impl Iterator<Item = Vec<u8>> {
    path.split('/')
        .map(|segment| without_parameters(&decoded(segment)).to_vec())
        .filter(|segment| !segment.is_empty())
}

/// The values of a parameter, joined with commas.
fn parameter(query: Option<&str>, name: &str) -> Vec<u8> {
    let pairs = query.unwrap_or_default().split('&');
    let values = pairs.filter_map(|pair| {
        let (known, value) = pair.split_once('=').unwrap_or((pair, ""));
        (*decoded(known) == *name.as_bytes()).then(|| decoded(value))
    });
    values.collect::<Vec<_>>().join(&b',')
}

/// The text without percent-escapes; unchanged if one of them is broken.
fn decoded(text: &str) -> Cow<'_, [u8]> {
    unescaped(text).unwrap_or(Cow::Borrowed(text.as_bytes()))
}

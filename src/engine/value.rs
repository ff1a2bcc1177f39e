//! A value in the cache of a program: its freshness, and its text in the store.
//!
//! ```text
//! 2 <fresh_until> <usable_until> <stamp> - <epochs> <keep_until> <checksum> <lengths>\n
//! <key><tags><content>
//! ```
//!
//! The words up to the epochs are those of a stored response (`http_cache/envelope.rs`), because
//! the same script reads them. The values lie under other keys, so neither is ever taken for the
//! other. Instants are in Unix milliseconds. The lengths, in bytes: of the key, the tags, and the
//! content, with `j` (JSON) or `b` (base64) before that.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::http_cache::{Tag, checksum, tag_key};
use super::subject::hex;
use crate::clock::Timestamp;

/// What a value is made of.
#[derive(Clone, PartialEq, Eq)]
pub struct Content {
    /// JSON, or octets in base64. Empty if the octets are here and were written.
    pub text: String,
    /// Whether it is octets.
    pub is_octets: bool,
    /// The octets themselves, where callers share them.
    pub octets: Option<Bytes>,
}

impl Content {
    /// JSON, or octets in base64.
    pub const fn new(text: String, is_octets: bool) -> Self {
        Self {
            text,
            is_octets,
            octets: None,
        }
    }
}

/// How long a value is used, and with which others it is purged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// How long it is fresh.
    pub ttl: Duration,
    /// How long after that it may still be used while somebody loads it anew.
    pub stale_while_revalidate: Duration,
    /// How long after `ttl` it may be used if it cannot be loaded. After that it is never used, not
    /// even while it is loaded anew. `None`: not at all.
    pub stale_if_error: Option<Duration>,
    /// Names by which values are purged together.
    pub tags: Vec<String>,
}

/// A value with all that is known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub content: Arc<Content>,
    /// When it was loaded.
    pub stamp: Timestamp,
    /// Until when it is fresh.
    pub fresh_until: Timestamp,
    /// Until when it may be used while somebody loads it anew.
    pub usable_until: Timestamp,
    /// Until when it may be used if it cannot be loaded.
    pub keep_until: Timestamp,
    /// Its tags.
    pub tags: Arc<[String]>,
    /// The values of its epoch keys when it was asked for; `None` if they are not known.
    pub epochs: Option<String>,
}

/// What may be done with a value at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// It is fresh.
    Fresh,
    /// It may be used, and is to be loaded anew.
    WhileRevalidated,
    /// It may be used only if it cannot be loaded.
    IfError,
    /// It may not be used.
    No,
}

impl Entry {
    /// A value that was loaded at `stamp`.
    pub fn new(
        content: impl Into<Arc<Content>>,
        rules: &Rules,
        epochs: Option<String>,
        stamp: Timestamp,
    ) -> Self {
        let fresh_until = stamp + rules.ttl;
        let ceiling = rules.stale_if_error.map(|stale| fresh_until + stale);
        let usable_until = fresh_until + rules.stale_while_revalidate;
        Self {
            content: content.into(),
            stamp,
            fresh_until,
            usable_until: ceiling.map_or(usable_until, |ceiling| usable_until.min(ceiling)),
            keep_until: ceiling.unwrap_or(usable_until),
            tags: rules.tags.clone().into(),
            epochs,
        }
    }

    /// What may be done with it at `now`.
    pub fn usable(&self, now: Timestamp) -> Use {
        match () {
            () if now < self.fresh_until => Use::Fresh,
            () if now < self.usable_until => Use::WhileRevalidated,
            () if now < self.keep_until => Use::IfError,
            () => Use::No,
        }
    }

    /// Its size in bytes.
    pub fn size(&self) -> usize {
        let tags: usize = self.tags.iter().map(String::len).sum();
        let epochs = self.epochs.as_ref().map_or(0, String::len);
        let octets = self.content.octets.as_ref().map_or(0, Bytes::len);
        self.content.text.len() + octets + tags + epochs
    }

    /// The beginning of its text: if a text in the store begins the same, it is the same value.
    /// `None` if the epochs are not known.
    pub fn head(&self) -> Option<String> {
        let [fresh, usable, stamp] =
            [self.fresh_until, self.usable_until, self.stamp].map(|at| at.as_millis().to_string());
        let epochs = self.epochs.as_deref()?;
        Some([VERSION, &fresh, &usable, &stamp, "-", epochs, ""].join(" "))
    }

    /// Its text in the store; `None` if the epochs are not known.
    pub fn encode(&self, key: &str) -> Option<String> {
        let mut text = self.head()?;
        let parts = std::iter::once(key).chain(self.tags.iter().map(String::as_str));
        let mut body: String = parts.clone().collect();
        body.push_str(&self.content.text);
        text.push_str(&self.keep_until.as_millis().to_string());
        text.push(' ');
        text.push_str(&checksum(body.as_bytes()).to_string());
        for part in parts {
            text.push(' ');
            text.push_str(&part.len().to_string());
        }
        text.push_str(if self.content.is_octets { " b" } else { " j" });
        text.push_str(&self.content.text.len().to_string());
        text.push('\n');
        text.push_str(&body);
        Some(text)
    }

    /// Reads a text; `None` if it is anything else than a whole value of this key.
    pub fn decode(text: &str, key: &str) -> Option<Self> {
        let (head, mut body) = text.split_once('\n')?;
        let mut words = head.split(' ');
        if words.next()? != VERSION {
            return None;
        }
        let mut instant = || words.next()?.parse().ok().map(Timestamp::from_millis);
        let (fresh_until, usable_until, stamp) = (instant()?, instant()?, instant()?);
        if words.next()? != "-" {
            return None;
        }
        let epochs = words.next()?.to_owned();
        let mut number = || words.next()?.parse::<u64>().ok();
        let (keep_until, sum) = (number()?, number()?);
        if sum != checksum(body.as_bytes()) {
            return None;
        }
        let mut part = |length: &str| {
            let (part, rest) = body.split_at_checked(length.parse().ok()?)?;
            body = rest;
            Some(part)
        };
        if part(words.next()?)? != key {
            return None;
        }
        let mut tags = Vec::new();
        let content = loop {
            let length = words.next()?;
            match (length.strip_prefix('j'), length.strip_prefix('b')) {
                (Some(length), _) => break (part(length)?, false),
                (_, Some(length)) => break (part(length)?, true),
                (None, None) => tags.push(part(length)?.to_owned()),
            }
        };
        if words.next().is_some() || !body.is_empty() {
            return None;
        }
        Some(Self {
            content: Content::new(content.0.to_owned(), content.1).into(),
            stamp,
            fresh_until,
            usable_until,
            keep_until: Timestamp::from_millis(keep_until),
            tags: tags.into(),
            epochs: Some(epochs),
        })
    }
}

/// Shows only how long it is.
impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let octets = self.octets.as_ref().map_or(0, Bytes::len);
        write!(f, "Content({} bytes)", self.text.len().max(octets))
    }
}

/// A number for a text: two texts seldom have the same.
pub fn number_of(text: &str) -> u64 {
    checksum(text.as_bytes())
}

/// The digest by which a value is named in the store: 128 bits of SHA-256, in hexadecimal.
pub fn digest(key: &str) -> String {
    let mut sha = Sha256::new();
    sha.update(b"omnitrade-edge:1:value:");
    sha.update(key.as_bytes());
    hex(sha.finalize().iter().take(16))
}

/// The epoch keys of a value: first its own, then those of its tags.
pub fn epoch_keys(prefix: &str, digest: &str, tags: &[String]) -> Vec<String> {
    let own = [prefix, ":t:@", digest].concat();
    let tags = tags
        .iter()
        .map(|tag| tag_key(prefix, &Tag::of(tag.as_bytes())));
    std::iter::once(own).chain(tags).collect()
}

/// The layout of the text. A reader of another one takes it for nothing.
const VERSION: &str = "2";

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + seconds * 1_000)
    }

    fn entry(content: Content, rules: &Rules) -> Entry {
        Entry::new(content, rules, Some("-,7".to_owned()), at(0))
    }

    fn rules(swr: u64, sie: Option<u64>) -> Rules {
        Rules {
            ttl: Duration::from_secs(10),
            stale_while_revalidate: Duration::from_secs(swr),
            stale_if_error: sie.map(Duration::from_secs),
            tags: vec!["a".to_owned(), "b c".to_owned()],
        }
    }

    fn json() -> Content {
        content(r#"{"a":"ü\n"}"#, false)
    }

    fn content(text: &str, is_octets: bool) -> Content {
        Content::new(text.to_owned(), is_octets)
    }

    #[test]
    fn a_value_is_fresh_then_stale_then_for_failures_only_then_gone() {
        let entry = entry(json(), &rules(5, Some(20)));
        let uses = [9, 10, 14, 15, 29, 30].map(|second| entry.usable(at(second)));
        let (stale, error) = (Use::WhileRevalidated, Use::IfError);
        assert_eq!(uses, [Use::Fresh, stale, stale, error, error, Use::No]);
    }

    #[test]
    fn stale_if_error_is_a_ceiling_for_all_use() {
        let entry = entry(json(), &rules(50, Some(20)));
        assert_eq!(entry.usable(at(29)), Use::WhileRevalidated);
        assert_eq!(entry.usable(at(30)), Use::No);
    }

    #[test]
    fn what_is_read_is_what_was_written() {
        for content in [json(), content("AP8=", true), content("", false)] {
            let entry = entry(content, &rules(5, Some(20)));
            let text = entry.encode("k\u{1F600}\n").unwrap();
            assert!(text.starts_with(&entry.head().unwrap()));
            assert_eq!(Entry::decode(&text, "k\u{1F600}\n"), Some(entry));
        }
    }

    #[test]
    fn a_text_of_another_key_or_version_or_in_part_is_none() {
        let text = entry(json(), &rules(5, None)).encode("k").unwrap();
        assert!(Entry::decode(&text, "k").is_some());
        assert!(Entry::decode(&text, "l").is_none());
        assert!(Entry::decode(&text.replacen('2', "3", 1), "k").is_none());
        for (end, _) in text.char_indices() {
            assert!(Entry::decode(&text[..end], "k").is_none(), "{end}");
        }
        for other in ["", "\n", "2 1 1 1 - - {}\n", "2 a", "{\"k\":1}\n\n"] {
            assert!(Entry::decode(other, "k").is_none());
        }
    }

    #[test]
    fn no_value_has_the_epoch_key_of_another_or_of_a_tag() {
        let keys = epoch_keys("ot", &digest("k"), &["t".to_owned(), "@x".to_owned()]);
        assert_eq!(keys.len(), 3);
        assert_eq!(keys[0], format!("ot:t:@{}", digest("k")));
        assert_eq!(keys[1], "ot:t:t");
        assert!(keys[2].starts_with("ot:t:#"));
        assert_ne!(digest("k"), digest("l"));
    }
}

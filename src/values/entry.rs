//! How a value is kept, and how it is found.

use std::time::Duration;

use crate::engine::http_cache::{LONGEST_STORED, MOST_TAGS};
use crate::engine::value::Rules;
use crate::error::{Error, ErrorKind};

/// How long a value is used, and with which others it is purged.
///
/// No duration counts for more than 30 days.
///
/// ```
/// use std::time::Duration;
/// use omnitrade_edge::values::Entry;
///
/// let entry = Entry::ttl(Duration::from_secs(30))
///     .stale_while_revalidate(Duration::from_secs(300))
///     .stale_if_error(Duration::from_secs(3600))
///     .tags(["profiles"]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    ttl: Duration,
    stale_while_revalidate: Duration,
    stale_if_error: Option<Duration>,
    tags: Vec<String>,
}

impl Entry {
    /// A value that is fresh for `ttl`. If that is zero, it is not kept.
    pub const fn ttl(ttl: Duration) -> Self {
        Self {
            ttl,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: None,
            tags: Vec::new(),
        }
    }

    /// Sets another time for which it is fresh.
    #[must_use]
    pub const fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Sets how long after its `ttl` it is still returned while it is loaded anew in the
    /// background. The default is zero.
    #[must_use]
    pub const fn stale_while_revalidate(mut self, time: Duration) -> Self {
        self.stale_while_revalidate = time;
        self
    }

    /// Sets how long after its `ttl` it is returned if it cannot be loaded. This is a ceiling:
    /// nothing older than `ttl` and this is ever returned, not even while it is loaded anew.
    ///
    /// Without it there is no such use, and the ceiling is `ttl` and
    /// [`stale_while_revalidate`](Self::stale_while_revalidate).
    #[must_use]
    pub const fn stale_if_error(mut self, time: Duration) -> Self {
        self.stale_if_error = Some(time);
        self
    }

    /// Names, at most eight and none empty, by which values are purged together. They replace
    /// earlier ones.
    ///
    /// A value with other tags is not kept, since it could not be purged:
    /// [`set`](super::ValueCache::set) fails, and a value that was loaded is returned, and
    /// [`on_error`](super::Builder::on_error) hears of it.
    #[must_use]
    pub fn tags(mut self, tags: impl IntoIterator<Item: Into<String>>) -> Self {
        self.tags = tags.into_iter().map(Into::into).collect();
        self
    }

    /// The same as the machine takes it.
    pub(super) fn rules(&self) -> Result<Rules, Error> {
        if self.tags.len() > MOST_TAGS || self.tags.iter().any(String::is_empty) {
            let detail = "tags: expected at most 8 texts that are not empty";
            return Err(Error::new(ErrorKind::Config, false, detail));
        }
        Ok(Rules {
            ttl: self.ttl.min(LONGEST_STORED),
            stale_while_revalidate: self.stale_while_revalidate.min(LONGEST_STORED),
            stale_if_error: self.stale_if_error.map(|time| time.min(LONGEST_STORED)),
            tags: self.tags.clone(),
        })
    }
}

/// A value that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cached<T> {
    /// It.
    pub value: T,
    /// How long ago it was loaded or set.
    pub age: Duration,
    /// Whether its `ttl` is not over yet. A stale value is found as long as some call may still
    /// return it.
    pub fresh: bool,
}

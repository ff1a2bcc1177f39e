//! A purge sets new epochs for tags and URLs in the store. Entries that carry other epochs are void
//! from then on.

use serde_json::json;

use crate::clock::millis;
use crate::engine::http_cache::{CacheKey, PURGE_REMEMBERED, Tag, epoch, tag_key, url_key};
use crate::redis::{Command, Value};

/// A purge: the epochs that the store is to set.
///
/// ```
/// # use omnitrade_edge::cache::Purge;
/// let mut purge = Purge::new("ot", 7);
/// purge.tag("symbol:BTCUSDT");
/// assert_eq!(purge.commands().len(), 1);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purge {
    prefix: String,
    epoch: String,
    keys: Vec<(Named, String)>,
}

/// How a key came into the purge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Tag,
    Url,
    /// It is another key of a URL that was named.
    Also,
}

/// What the store has confirmed of a purge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purged {
    /// How many tags are purged.
    pub tags: usize,
    /// How many URLs are purged.
    pub urls: usize,
}

impl Purge {
    /// An empty purge. `prefix` is the prefix of all keys in the store. `random` is a number that
    /// is unlikely to be drawn again, because the epoch is made of it.
    pub fn new(prefix: &str, random: u64) -> Self {
        Self {
            prefix: prefix.to_owned(),
            epoch: epoch(random),
            keys: Vec::new(),
        }
    }

    /// Adds the tag of this name.
    pub fn tag(&mut self, name: &str) {
        let key = tag_key(&self.prefix, &Tag::of(name.as_bytes()));
        self.add(Named::Tag, key);
    }

    /// Adds the URL with this key, which [`purged_key`](crate::gateway::purged_key) makes.
    pub fn url(&mut self, url: &CacheKey) {
        let key = url_key(&self.prefix, url);
        self.add(Named::Url, key);
    }

    /// Adds another key of a URL that is purged already.
    pub fn also(&mut self, url: &CacheKey) {
        let key = url_key(&self.prefix, url);
        self.add(Named::Also, key);
    }

    fn add(&mut self, named: Named, key: String) {
        if !self.keys.iter().any(|(_, known)| *known == key) {
            self.keys.push((named, key));
        }
    }

    /// The commands to run in the store: one for each tag and URL.
    ///
    /// A command that may have run must not be sent again: it would overwrite the epoch of another
    /// purge that ran in between, and undo that purge. A new purge is harmless.
    pub fn commands(&self) -> Vec<Command> {
        let set = |(_, key): &(Named, String)| {
            Command::new("SET")
                .arg(key)
                .arg(&self.epoch)
                .arg("PX")
                .arg(millis(PURGE_REMEMBERED))
        };
        self.keys.iter().map(set).collect()
    }

    /// The keys that the commands set.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|(_, key)| key.as_str())
    }

    /// The value that the commands set.
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// What the replies to the commands confirm, and whether they confirm all of it.
    pub fn confirmed<E>(&self, replies: &[Result<Value, E>]) -> (Purged, bool) {
        let each = self.keys.iter().zip(replies);
        let done = each.filter(|(_, reply)| reply.is_ok());
        let done = Self::count(done.clone().map(|((named, _), _)| *named));
        let all = replies.len() == self.keys.len() && replies.iter().all(Result::is_ok);
        (done, all)
    }

    /// All tags and URLs that are named.
    pub fn named(&self) -> Purged {
        Self::count(self.keys.iter().map(|(named, _)| *named))
    }

    fn count(keys: impl Iterator<Item = Named>) -> Purged {
        keys.fold(Purged::default(), |done, named| Purged {
            tags: done.tags + usize::from(named == Named::Tag),
            urls: done.urls + usize::from(named == Named::Url),
        })
    }
}

impl Purged {
    /// The form in which the answer to a purge reports it.
    pub fn to_json(self) -> serde_json::Value {
        json!({ "tags": self.tags, "urls": self.urls })
    }
}

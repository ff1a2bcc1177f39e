//! A purge: the epochs of tags and URLs, which the store sets, so that entries of others are void.

use serde_json::json;

use crate::clock::millis;
use crate::engine::http_cache::{CacheKey, PURGE_REMEMBERED, Tag, epoch, tag_key, url_key};
use crate::redis::{Command, Value};

/// Epochs for the store to set.
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

/// How a key was named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Tag,
    Url,
    /// Another key of a URL that was named.
    Also,
}

/// What the store has confirmed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purged {
    /// How many tags are purged.
    pub tags: usize,
    /// How many URLs are.
    pub urls: usize,
}

impl Purge {
    /// A purge of nothing so far. `prefix` is that of all keys in the store; `random` a number that is
    /// not likely to come again.
    pub fn new(prefix: &str, random: u64) -> Self {
        Self {
            prefix: prefix.to_owned(),
            epoch: epoch(random),
            keys: Vec::new(),
        }
    }

    /// Purges what has the tag of this name, too.
    pub fn tag(&mut self, name: &str) {
        let key = tag_key(&self.prefix, &Tag::of(name.as_bytes()));
        self.add(Named::Tag, key);
    }

    /// Purges the responses to a URL, too: [`purged_key`].
    pub fn url(&mut self, url: &CacheKey) {
        let key = url_key(&self.prefix, url);
        self.add(Named::Url, key);
    }

    /// Another key of a URL that is purged, too.
    pub fn also(&mut self, url: &CacheKey) {
        let key = url_key(&self.prefix, url);
        self.add(Named::Also, key);
    }

    fn add(&mut self, named: Named, key: String) {
        if !self.keys.iter().any(|(_, known)| *known == key) {
            self.keys.push((named, key));
        }
    }

    /// What to run in the store: one command for each tag and URL.
    ///
    /// None of them may be sent again once it may have run: the epoch of another purge that came in
    /// between would be lost, and with it that purge. A new purge does no harm.
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

    /// What they are set to.
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// What the replies to the commands confirm, and whether that is all.
    pub fn confirmed<E>(&self, replies: &[Result<Value, E>]) -> (Purged, bool) {
        let each = self.keys.iter().zip(replies);
        let done = each.filter(|(_, reply)| reply.is_ok());
        let done = Self::count(done.clone().map(|((named, _), _)| *named));
        let all = replies.len() == self.keys.len() && replies.iter().all(Result::is_ok);
        (done, all)
    }

    /// All that is named.
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
    /// As the answer to a purge tells it.
    pub fn to_json(self) -> serde_json::Value {
        json!({ "tags": self.tags, "urls": self.urls })
    }
}

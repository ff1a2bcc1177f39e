//! What this process has purged lately: reads and loads that were under way bring none of it back.

use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;

/// Purges, numbered with what else happens to values here.
#[derive(Debug, Default)]
pub(super) struct Purges {
    /// How much has happened.
    count: u64,
    recent: Vec<Purged>,
    /// What was under way when the purge of this number ended is void, whatever that named.
    forgotten: u64,
    hasher: RandomState,
}

/// A name that was purged.
#[derive(Debug)]
struct Purged {
    begun: u64,
    /// [`u64::MAX`]: it goes on, so the store may still have what it names.
    ended: u64,
    /// Its hash.
    name: u64,
}

/// How many names are remembered.
const MOST: usize = 1_000;

impl Purges {
    /// How much has happened until now.
    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    /// The number of what happens now.
    pub(super) const fn next(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    /// A purge begins. Returns its number.
    pub(super) fn begin(&mut self, tags: &[String], keys: &[String]) -> u64 {
        let begun = self.next();
        let names = tags.iter().map(|tag| self.name(tag, true));
        let names = names.chain(keys.iter().map(|key| self.name(key, false)));
        let purged = |name| Purged {
            begun,
            ended: u64::MAX,
            name,
        };
        let purged: Vec<_> = names.map(purged).collect();
        self.recent.extend(purged);
        begun
    }

    /// The store has confirmed a purge, or has failed.
    pub(super) fn end(&mut self, begun: u64) {
        let ended = self.next();
        let mut excess = self.recent.len().saturating_sub(MOST);
        self.recent.retain_mut(|purged| {
            if purged.begun == begun {
                purged.ended = ended;
            }
            let is_over = purged.ended <= ended;
            if is_over && excess > 0 {
                excess -= 1;
                self.forgotten = self.forgotten.max(purged.ended);
                return false;
            }
            true
        });
    }

    /// Whether what the store was asked for, when so much had happened, may have been purged.
    pub(super) fn hit_read(&self, key: &str, tags: &[String], since: u64) -> bool {
        self.hit(key, tags, since, |purged| purged.ended)
    }

    /// Whether what was begun to be made, when so much had happened, was purged after that.
    pub(super) fn hit_made(&self, key: &str, tags: &[String], since: u64) -> bool {
        self.hit(key, tags, since, |purged| purged.begun)
    }

    fn hit(&self, key: &str, tags: &[String], since: u64, at: fn(&Purged) -> u64) -> bool {
        let is_named = |name| {
            let mut later = self.recent.iter().filter(|purged| at(purged) > since);
            later.any(|purged| purged.name == name)
        };
        since < self.forgotten
            || is_named(self.name(key, false))
            || tags.iter().any(|tag| is_named(self.name(tag, true)))
    }

    fn name(&self, text: &str, is_tag: bool) -> u64 {
        self.hasher.hash_one((is_tag, text))
    }
}

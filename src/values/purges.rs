//! What this process has purged lately: reads and loads that were under way bring none of it back.

use crate::engine::value::number_of;

/// Purges, numbered with what else happens to values here.
#[derive(Debug, Default)]
pub(super) struct Purges {
    /// How much has happened.
    count: u64,
    recent: Vec<Purged>,
    /// What was under way when the purge of this number ended is void, whatever that named.
    forgotten: u64,
}

/// A name that was purged.
#[derive(Debug)]
struct Purged {
    begun: u64,
    /// [`u64::MAX`]: it goes on, so the store may still have what it names.
    ended: u64,
    name: Name,
}

/// A key or a tag by its number. Of two with the same one, one is loaded once too often.
type Name = (u64, bool);

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
        for (names, is_tag) in [(tags, true), (keys, false)] {
            for name in names {
                self.recent.push(Purged {
                    begun,
                    ended: u64::MAX,
                    name: (number_of(name), is_tag),
                });
            }
        }
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
            let is_forgotten = excess > 0 && purged.ended <= ended;
            if is_forgotten {
                excess -= 1;
                self.forgotten = self.forgotten.max(purged.ended);
            }
            !is_forgotten
        });
    }

    /// Whether what the store was asked for, when so much had happened, may have been purged.
    pub(super) fn hit_read(&self, key: &str, tags: &[String], since: u64) -> bool {
        self.hit(key, tags, since, true)
    }

    /// Whether what was begun to be made, when so much had happened, was purged after that.
    pub(super) fn hit_made(&self, key: &str, tags: &[String], since: u64) -> bool {
        self.hit(key, tags, since, false)
    }

    fn hit(&self, key: &str, tags: &[String], since: u64, is_read: bool) -> bool {
        let is_later = |purged: &&Purged| match is_read {
            true => purged.ended > since,
            false => purged.begun > since,
        };
        let is_of = |purged: &Purged| match purged.name {
            (number, true) => tags.iter().any(|tag| number_of(tag) == number),
            (number, false) => number_of(key) == number,
        };
        since < self.forgotten || self.recent.iter().filter(is_later).any(is_of)
    }
}

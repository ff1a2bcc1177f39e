//! The cache in the memory of one isolate or process. Its size in bytes is bounded; an entry
//! displaces only entries that are used less often ([`Popular`]).

use std::hash::BuildHasher as _;
use std::rc::Rc;
use std::time::Duration;

use foldhash::fast::FixedState;

use super::entry::Meta;
use super::freshness::Freshness;
use super::key::CacheKey;
use super::policy::is_origin_error;
use crate::clock::Timestamp;
use crate::engine::popular::Popular;

/// One response in memory. `B` is a cheap handle to its body, such as [`bytes::Bytes`] or a
/// JavaScript `Uint8Array`.
#[derive(Debug, Clone)]
pub struct Entry<B> {
    /// Its head, shared with the requests that are answered from it.
    pub meta: Rc<Meta>,
    /// Its freshness under the rules of its route.
    pub freshness: Freshness,
    /// Its body.
    pub body: B,
    /// The length of its body in bytes.
    pub body_len: usize,
    /// When the store last confirmed it. A purge since then may have made it void.
    pub checked_at: Timestamp,
}

/// A cache of [`Entry`]s, bounded by their size in bytes.
///
/// The bytes of a body count even if `B` keeps them elsewhere.
#[derive(Debug)]
pub struct L1<B> {
    /// By the hashes of the keys' texts. Two keys may have the same one: then only one of their
    /// entries is kept, and it is told by its key.
    entries: Popular<Entry<B>>,
    /// Makes these hashes. It is seeded, so that nobody can choose URLs that displace others.
    hashes: FixedState,
    purged_at: Option<Timestamp>,
}

impl<B> L1<B> {
    /// A cache of `capacity` bytes. An entry that would take more than a quarter of it is not kept.
    /// `seed` is a random number.
    pub fn new(capacity: u64, seed: u64) -> Self {
        let items = usize::try_from(capacity / TYPICAL_ENTRY).unwrap_or(usize::MAX);
        Self {
            entries: Popular::new(capacity, items),
            hashes: FixedState::with_seed(seed),
            purged_at: None,
        }
    }

    fn hash(&self, key: &CacheKey) -> u64 {
        self.hashes.hash_one(key.text())
    }

    /// The largest size of one entry in bytes, including its head.
    pub const fn largest(&self) -> u64 {
        self.entries.largest()
    }

    /// The entry under a key. An entry that is no longer worth keeping is removed.
    pub fn get(&mut self, key: &CacheKey, now: Timestamp) -> Option<&Entry<B>> {
        let hash = self.hash(key);
        let found = self.entries.get(hash)?;
        if found.meta.key != key.text() {
            return None;
        }
        if now >= found.freshness.keep_until {
            self.entries.remove(hash);
            return None;
        }
        self.entries.peek(hash)
    }

    /// Inserts an entry in place of the one under its key, unless that one
    /// [takes precedence](Entry::precedes) or the new entry may have been purged.
    pub fn insert(&mut self, key: &CacheKey, entry: Entry<B>) -> Insertion {
        let hash = self.hash(key);
        // The origin was not asked for the entry, nor the store about it, after this instant.
        let last_sure = entry.meta.request_time.max(entry.checked_at);
        if self.purged_at.is_some_and(|at| last_sure <= at) {
            return Insertion::Purged;
        }
        if let Some(known) = self.entries.peek(hash)
            && known.meta.key == entry.meta.key
            && (known.precedes(&entry.meta) || known.outdates(&entry))
        {
            return Insertion::Older;
        }
        let weight = entry.weight();
        let (until, now) = (entry.freshness.keep_until, last_sure);
        self.entries.insert(hash, entry, weight, until, now);
        match weight <= self.largest() {
            true => Insertion::Kept,
            false => Insertion::TooLarge,
        }
    }

    /// Records that the store confirmed the entry under a key as of `now`, if the entry has these
    /// epochs.
    pub fn checked(&mut self, key: &CacheKey, epochs: &str, now: Timestamp) {
        let hash = self.hash(key);
        if let Some(entry) = self.entries.peek_mut(hash)
            && entry.meta.key == key.text()
            && entry.meta.epochs.as_deref() == Some(epochs)
        {
            entry.checked_at = entry.checked_at.max(now);
        }
    }

    /// Removes the entry under a key.
    pub fn remove(&mut self, key: &CacheKey) {
        self.entries.remove(self.hash(key));
    }

    /// Removes all entries, and from now on rejects entries that were neither requested nor
    /// confirmed by the store after `now`.
    pub fn purge(&mut self, now: Timestamp) {
        self.entries.clear();
        self.purged_at = Some(now);
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The size of all entries in bytes.
    pub fn bytes(&self) -> u64 {
        self.entries.weight()
    }
}

/// The outcome of [`L1::insert`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Insertion {
    /// The entry was inserted.
    Kept,
    /// The entry is larger than one entry may be.
    TooLarge,
    /// An entry that takes precedence is already there.
    Older,
    /// Everything was purged after the entry was requested.
    Purged,
}

impl<B> Entry<B> {
    /// Whether the entry takes precedence over another response to the same request: it is newer,
    /// or the other is a failure of the origin in whose place this one may be served.
    pub fn precedes(&self, other: &Meta) -> bool {
        let failed = is_origin_error(other.status) && !is_origin_error(self.meta.status);
        let usable = other.response_time < self.freshness.ceiling;
        self.meta.is_newer_than(other) || failed && usable
    }

    /// Whether the store was asked about this entry after it was asked about the other, and
    /// reported other epochs: then the other entry was purged.
    fn outdates(&self, other: &Self) -> bool {
        let last_sure = other.meta.request_time.max(other.checked_at);
        self.meta.epochs != other.meta.epochs && self.checked_at > last_sure
    }

    /// How long the origin took for its head.
    pub fn took(&self) -> Duration {
        let answered = self.freshness.response_time;
        answered.since(self.meta.request_time)
    }

    /// Its size in bytes, body and head.
    pub fn weight(&self) -> u64 {
        let bytes = self.body_len.saturating_add(self.meta.size());
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

const TYPICAL_ENTRY: u64 = 4 << 10;

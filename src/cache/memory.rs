//! What an isolate remembers for the cache: plain data with deadlines, no futures, no locks.

use std::time::Duration;

use quick_cache::unsync::Cache;

use crate::clock::{Timestamp, millis};
use crate::config::Sizes;
use crate::engine::http_cache::{CacheKey, L1, NoVarySearch, envelope};
use crate::message::body::Body;
use crate::store::Write;

use super::single_flight::{NotStored, SingleFlight};

/// How many refreshes are remembered to be under way.
const REFRESHES: usize = 1_000;

/// Of how many paths it is remembered which parameters count.
const PATHS: usize = 1_000;

/// And of how long a path.
const LONGEST_PATH: usize = 1_024;

/// The memory of an isolate. `B` is a stored body.
pub struct CacheMemory<B: Body> {
    /// The entries in the isolate.
    pub entries: L1<B>,
    /// The keys that are being fetched.
    pub fetches: SingleFlight,
    /// The sizes that are configured.
    pub sizes: Sizes,
    key_prefix: String,
    random: u64,
    refreshes: Cache<String, Timestamp>,
    /// What responses have said about queries, by path.
    no_vary_search: Cache<String, NoVarySearch>,
}

impl<B: Body> CacheMemory<B> {
    /// An empty memory. `key_prefix` is that of all keys in the store, `seed` a random number.
    pub fn new(key_prefix: &str, sizes: Sizes, seed: u64) -> Self {
        Self {
            entries: L1::new(sizes.l1_size),
            fetches: SingleFlight::new(),
            sizes,
            key_prefix: key_prefix.to_owned(),
            random: seed | 1,
            refreshes: Cache::new(REFRESHES),
            no_vary_search: Cache::new(PATHS),
        }
    }

    /// A random number from 0 up to 1 (xorshift64*).
    pub fn draw(&mut self) -> f64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let bits = self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        f64::from(u32::try_from(bits).unwrap_or_default()) / f64::from(u32::MAX)
    }

    /// Which parameters count for a path, if a response has said so.
    pub fn no_vary_search(&self, path: &str) -> Option<&NoVarySearch> {
        self.no_vary_search.peek(path)
    }

    /// Remembers that.
    pub fn learn_no_vary_search(&mut self, path: &str, search: Option<NoVarySearch>) {
        match search {
            Some(search) if path.len() <= LONGEST_PATH => {
                self.no_vary_search.insert(path.to_owned(), search);
            }
            _ => drop(self.no_vary_search.remove(path)),
        }
    }

    /// Drops all entries, and those that requests under way would bring.
    pub fn purge(&mut self, now: Timestamp) {
        self.entries.purge(now);
        self.fetches.abandon();
    }

    /// Forgets entries, here and in the store. The variants of a response go with it.
    pub fn forget(&mut self, keys: &[CacheKey]) -> Option<Write> {
        keys.iter().for_each(|key| self.entries.remove(key));
        (!keys.is_empty()).then(|| Write::Delete {
            keys: keys.iter().map(|key| self.entry_key(key)).collect(),
        })
    }

    /// Takes the isolate's own lease to refresh the entry under this digest, if nobody holds it. It
    /// ends by itself: whoever takes it may never come back.
    pub fn may_refresh(&mut self, digest: &str, now: Timestamp, lease: Duration) -> bool {
        if self.refreshes.get(digest).is_some_and(|until| now < *until) {
            return false;
        }
        self.refreshes.insert(digest.to_owned(), now + lease);
        true
    }

    /// Lets nobody in the isolate refresh what lies under this digest until then.
    pub fn defer_refresh(&mut self, digest: &str, until: Timestamp) {
        self.refreshes.insert(digest.to_owned(), until);
    }

    /// Lets nobody elsewhere refresh what lies under this digest and arrived at `kept`, for so long: as
    /// the script takes a lease, but for nobody.
    pub fn defer_refresh_elsewhere(&self, digest: &str, kept: Timestamp, pause: Duration) -> Write {
        Write::Set {
            key: self.lease_key(digest),
            value: format!("{} -", kept.as_millis()),
            ttl_ms: millis(pause),
        }
    }

    /// The isolate's own lease is given back.
    pub fn refreshed(&mut self, digest: &str) {
        self.refreshes.remove(digest);
    }

    /// Nothing will be stored under the key of a leader: nobody waits for it any more. What to write
    /// tells other isolates.
    pub fn give_up(
        &mut self,
        leading: Option<&str>,
        why: NotStored,
        now: Timestamp,
    ) -> Option<Write> {
        let digest = leading?;
        self.fetches.give_up(digest, why, now);
        Some(self.mark_uncacheable(digest, why))
    }

    /// Tells other isolates that nobody need wait for what lies under this digest.
    pub fn mark_uncacheable(&self, digest: &str, why: NotStored) -> Write {
        Write::Set {
            key: self.lease_key(digest),
            value: "u".to_owned(),
            ttl_ms: millis(why.pause()),
        }
    }

    /// The key of an entry in the store.
    pub fn entry_key(&self, key: &CacheKey) -> String {
        format!("{}:c:{}", self.key_prefix, key.hex())
    }

    /// The key of the lease to refresh what lies under this digest.
    pub fn lease_key(&self, digest: &str) -> String {
        format!("{}:f:{digest}", self.key_prefix)
    }

    /// The prefix of all keys in the store.
    pub fn key_prefix(&self) -> &str {
        &self.key_prefix
    }

    /// The largest body that is stored anywhere, in bytes; a larger one is not even read.
    pub fn largest_body(&self) -> usize {
        let here = bytes(self.entries.largest());
        here.max(self.largest_in_store())
            .min(envelope::LARGEST_BODY)
    }

    /// The largest body that may fit into the store, in bytes: what is compressed is taken to become a
    /// quarter of what it was. What was measured became a quarter to a half.
    pub fn largest_in_store(&self) -> usize {
        let gain = match self.sizes.compress_from {
            Some(_) => 4,
            None => 1,
        };
        bytes(self.sizes.max_entry).saturating_mul(gain)
    }
}

/// A size as a length in memory.
pub fn bytes(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

impl<B: Body> std::fmt::Debug for CacheMemory<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CacheMemory").finish_non_exhaustive()
    }
}

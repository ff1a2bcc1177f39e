//! What the isolate of a gate remembers between requests: plain data with deadlines, no futures, no
//! locks.

use std::time::Duration;

use quick_cache::unsync::Cache;

use crate::clock::Timestamp;
use crate::engine::cache::{L1, NoVarySearch};
use crate::limiter;

use super::body::Body;
use super::flight::Flights;

/// How many refreshes are remembered to be under way.
const REFRESHES: usize = 1_000;

/// Of how many paths it is remembered which parameters count.
const SEARCHES: usize = 1_000;

/// And of how long a path.
const LONGEST_PATH: usize = 1_024;

/// The memory of an isolate. `B` is a stored body.
pub struct Memory<B: Body> {
    /// About limits and the store.
    pub limiter: limiter::Memory,
    /// Entries at hand.
    pub l1: L1<B>,
    /// The keys that are being fetched.
    pub flights: Flights,
    chance: u64,
    refreshing: Cache<String, Timestamp>,
    /// What responses have said about queries, by path.
    searches: Cache<String, NoVarySearch>,
}

impl<B: Body> Memory<B> {
    /// An empty memory, but for what is known about limits. It keeps entries of so many bytes. `seed`: a
    /// random number.
    pub fn new(limiter: limiter::Memory, l1_size: u64, seed: u64) -> Self {
        Self {
            limiter,
            chance: seed | 1,
            l1: L1::new(l1_size),
            flights: Flights::new(),
            refreshing: Cache::new(REFRESHES),
            searches: Cache::new(SEARCHES),
        }
    }

    /// A random number from 0 up to 1 (xorshift64*).
    pub fn draw(&mut self) -> f64 {
        self.chance ^= self.chance >> 12;
        self.chance ^= self.chance << 25;
        self.chance ^= self.chance >> 27;
        let bits = self.chance.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        f64::from(u32::try_from(bits).unwrap_or_default()) / f64::from(u32::MAX)
    }

    /// Which parameters count for a path, if a response has said so.
    pub fn search(&self, path: &str) -> Option<&NoVarySearch> {
        self.searches.peek(path)
    }

    /// Remembers that.
    pub fn learn_search(&mut self, path: &str, search: Option<NoVarySearch>) {
        match search {
            Some(search) if path.len() <= LONGEST_PATH => {
                self.searches.insert(path.to_owned(), search);
            }
            _ => drop(self.searches.remove(path)),
        }
    }

    /// Drops all entries, and those that requests under way would bring.
    pub fn purge(&mut self, now: Timestamp) {
        self.l1.purge(now);
        self.flights.abandon();
    }

    /// Takes the isolate's own lease to refresh the entry `key`, if nobody holds it. It ends by
    /// itself: whoever takes it may never come back.
    pub fn may_refresh(&mut self, key: &str, now: Timestamp, lease: Duration) -> bool {
        if self.refreshing.get(key).is_some_and(|until| now < *until) {
            return false;
        }
        self.refreshing.insert(key.to_owned(), now + lease);
        true
    }

    /// Holds others off until then only.
    pub fn refreshing_until(&mut self, key: &str, until: Timestamp) {
        self.refreshing.insert(key.to_owned(), until);
    }

    /// Gives the lease back.
    pub fn refreshed(&mut self, key: &str) {
        self.refreshing.remove(key);
    }
}

impl<B: Body> std::fmt::Debug for Memory<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory")
            .field("limiter", &self.limiter)
            .finish_non_exhaustive()
    }
}

//! What an isolate remembers for the cache. All of it is plain data with deadlines: no futures, no
//! locks.

use std::time::Duration;

use crate::clock::{Timestamp, millis};
use crate::config::Sizes;
use crate::engine::http_cache::{BodyCoding, CacheKey, L1, NoVarySearch, envelope, is_coded};
use crate::engine::recent::Recent;
use crate::message::body::Body;
use crate::message::head::announced_length;
use crate::store::Write;

use super::failures::{Failures, How, Shared};
use super::refreshes::Refreshes;
use super::saves::{SaveId, Saves};
use super::single_flight::{Fails, NotStored, SingleFlight};

/// The largest number of paths for which `No-Vary-Search` is remembered.
const PATHS: usize = 1_000;

/// The longest path for which `No-Vary-Search` is remembered, in bytes.
const LONGEST_PATH: usize = 1_024;

/// What an isolate remembers for the cache. `B` is the type of a stored body.
pub struct CacheMemory<B: Body> {
    /// The entries in the isolate.
    pub entries: L1<B>,
    /// The keys that are being fetched.
    pub fetches: SingleFlight,
    /// The failures of the origin that several requests share.
    pub failures: Failures<B>,
    /// The entries that are being refreshed, or were in vain.
    pub refreshes: Refreshes,
    /// The bodies that are being read.
    pub saves: Saves,
    /// The configured sizes.
    pub sizes: Sizes,
    key_prefix: String,
    random: u64,
    /// What responses have said about their queries, by path.
    no_vary_search: Recent<NoVarySearch>,
}

impl<B: Body> CacheMemory<B> {
    /// An empty memory. `key_prefix` is the prefix of all keys in the store, `seed` a random
    /// number.
    pub fn new(key_prefix: &str, sizes: Sizes, seed: u64) -> Self {
        let mut memory = Self {
            entries: L1::new(sizes.l1_size, seed),
            saves: Saves::new(0),
            fetches: SingleFlight::new(),
            failures: Failures::default(),
            sizes,
            key_prefix: key_prefix.to_owned(),
            random: seed | 1,
            refreshes: Refreshes::new(),
            no_vary_search: Recent::new(PATHS),
        };
        memory.saves = Saves::new(memory.largest_body());
        memory
    }

    /// A random number from 0 up to 1 (xorshift64*).
    pub fn draw(&mut self) -> f64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let bits = self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        f64::from(u32::try_from(bits).unwrap_or_default()) / f64::from(u32::MAX)
    }

    /// Which query parameters count for a path, if a response has said so.
    pub fn no_vary_search(&self, path: &str) -> Option<&NoVarySearch> {
        self.no_vary_search.peek(path)
    }

    /// Remembers which query parameters count for a path. `None`: all count, because the latest
    /// response does not say otherwise.
    pub fn learn_no_vary_search(&mut self, path: &str, search: Option<NoVarySearch>) {
        match search {
            Some(search) if path.len() <= LONGEST_PATH => {
                self.no_vary_search.insert(path.to_owned(), search);
            }
            _ => self.no_vary_search.remove(path),
        }
    }

    /// Drops all entries and failures. Responses that were requested before `now` are not stored.
    pub fn purge(&mut self, now: Timestamp) {
        self.entries.purge(now);
        self.failures.purge(now);
        self.fetches.abandon();
    }

    /// Drops entries in the isolate, and returns the write that deletes them in the store. The
    /// variants of a dropped leader become unreachable with it.
    pub fn forget(&mut self, keys: &[CacheKey]) -> Option<Write> {
        keys.iter().for_each(|key| self.entries.remove(key));
        (!keys.is_empty()).then(|| Write::Delete {
            keys: keys.iter().map(|key| self.entry_key(key)).collect(),
        })
    }

    /// Defers a refresh in other isolates: none of them refreshes the entry under this digest,
    /// which was received at `kept`, for the length of `pause`. The value is that of a lease of the
    /// script, but without a holder.
    pub fn defer_refresh_elsewhere(&self, digest: &str, kept: Timestamp, pause: Duration) -> Write {
        Write::Set {
            key: self.lease_key(digest),
            value: format!("{} -", kept.as_millis()),
            ttl_ms: millis(pause),
        }
    }

    /// Ends the wait for a leader whose response will not be stored. The returned write tells other
    /// isolates not to wait either. `leading` is the leader's digest.
    pub fn give_up(
        &mut self,
        leading: Option<&str>,
        why: NotStored,
        now: Timestamp,
    ) -> Option<Write> {
        let digest = leading?;
        self.fetches.give_up(digest, why, now);
        Some(self.mark(digest, why))
    }

    /// Ends the fetch of the key with this digest because the leader's call, made at `asked`, has
    /// failed. `told`: how it failed, if that may be told to every client, with the key under which
    /// they find it, and after which call those who wait are told. The returned write tells other
    /// isolates not to wait.
    pub fn fail(
        &mut self,
        digest: &str,
        told: Option<(&CacheKey, How<B>, Fails)>,
        asked: Timestamp,
        now: Timestamp,
    ) -> Write {
        let fails = self.fetches.fail(digest, now);
        if let Some((key, how, after)) = told
            && fails >= after
        {
            self.failures.share(key, Shared::from(how, now), asked);
        }
        self.mark(digest, NotStored::Failed)
    }

    /// A write that tells other isolates not to wait for the entry under this digest. After a
    /// failure the requests of each isolate still wait for one of their own.
    pub fn mark(&self, digest: &str, why: NotStored) -> Write {
        let value = match why {
            NotStored::Uncacheable => "u",
            NotStored::Failed | NotStored::NoRoom => "f",
        };
        Write::Set {
            key: self.lease_key(digest),
            value: value.to_owned(),
            ttl_ms: millis(why.pause()),
        }
    }

    /// Begins to read the body of a response with these fields, which takes no longer than `time`.
    /// `None`: there is no room for it.
    pub(super) fn begin_save(
        &mut self,
        received: &[(String, String)],
        coding: BodyCoding,
        time: Duration,
        now: Timestamp,
    ) -> Option<SaveId> {
        let announced = announced_length(received).unwrap_or_default();
        // A decoded body is as long as it turns out to be.
        let known = coding == BodyCoding::AsReceived || !is_coded(received);
        let length = if known { announced } else { 0 };
        self.saves.begin(length, time, now)
    }

    /// Whether the client of a response with these fields may be handed its body in a way that does
    /// not show when the client has read it. Only a body with a content coding is.
    pub(super) fn may_be_unseen(&self, received: &[(String, String)], now: Timestamp) -> bool {
        is_coded(received) && self.saves.may_be_unseen(now)
    }

    /// The key of an entry in the store.
    pub fn entry_key(&self, key: &CacheKey) -> String {
        format!("{}:c:{}", self.key_prefix, key.hex())
    }

    /// The key in the store of the lease to refresh the entry under this digest.
    pub fn lease_key(&self, digest: &str) -> String {
        format!("{}:f:{digest}", self.key_prefix)
    }

    /// The prefix of all keys in the store.
    pub fn key_prefix(&self) -> &str {
        &self.key_prefix
    }

    /// The largest body that can be stored anywhere, in bytes. A larger one is not read.
    pub fn largest_body(&self) -> usize {
        let here = bytes(self.entries.largest());
        here.max(self.largest_in_store())
            .min(envelope::LARGEST_BODY)
    }

    /// The largest body that may fit into the store, in bytes. Compression is taken to reduce a
    /// body to a quarter; measured bodies became a quarter to a half.
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

//! Where an entry is stored: in the isolate, and in the store if it pays.

use std::time::Duration;

use crate::clock::{Timestamp, millis};
use crate::engine::http_cache::{
    CacheKey, CacheRules, Entry, Insertion, LONGEST_STORED, Meta, envelope,
};
use crate::message::body::Body;
use crate::store::Write;

use super::memory::{CacheMemory, bytes};
use super::plan::LONGEST_LEASE;
use super::single_flight::NotStored;

/// How an entry is stored, and who waits for it.
#[derive(Debug, Default)]
pub struct InsertOptions {
    /// How long it must still be good to be written to the store.
    pub min_ttl: Duration,
    /// Whether nothing of it is written to the store.
    pub isolated: bool,
    /// The keys of its epochs, if the route says how new its responses are.
    pub epoch_keys: Option<Vec<String>>,
    /// The key under which others in the isolate wait for it.
    pub leading: Option<String>,
    /// The digest under which other isolates wait for it, by the word of the store.
    pub lease: Option<String>,
}

impl InsertOptions {
    /// By the word of the route alone: nobody waits.
    pub fn of(rules: &CacheRules) -> Self {
        Self {
            min_ttl: rules.min_ttl,
            isolated: rules.keeps_to_isolate(),
            ..Self::default()
        }
    }
}

/// What became of a response that was to be stored.
#[derive(Debug, Default)]
pub struct Inserted {
    /// Whether it is in the isolate now.
    pub kept: bool,
    /// What to write to the store.
    pub write: Option<Write>,
}

impl Inserted {
    /// It is not stored.
    pub const fn nowhere(write: Option<Write>) -> Self {
        Self { kept: false, write }
    }
}

impl<B: Body> CacheMemory<B> {
    /// Stores an entry in the isolate. `store_is_up`: whether there is a store to write it to.
    pub fn insert(
        &mut self,
        key: &CacheKey,
        entry: Entry<B>,
        options: &InsertOptions,
        store_is_up: bool,
        now: Timestamp,
    ) -> Inserted {
        self.refreshed(&key.hex());
        let inserted = self.entries.insert(key, entry.clone());
        if let Some(digest) = &options.leading {
            match inserted {
                // After a purge one of them asks anew.
                Insertion::Kept | Insertion::Older | Insertion::Purged => {
                    self.fetches.finish(digest);
                }
                // Who waits would find nothing.
                Insertion::TooLarge => {
                    self.fetches.give_up(digest, NotStored::Uncacheable, now);
                }
            }
        }
        let write = match inserted {
            Insertion::Older => self.ask_again_later(key, options, now),
            _ if !store_is_up => None,
            _ => self.entry_write(key, &entry, options, now).or_else(|| {
                let lease = options.lease.as_ref()?;
                Some(self.mark_uncacheable(lease, NotStored::Uncacheable))
            }),
        };
        Inserted {
            kept: inserted == Insertion::Kept,
            write,
        }
    }

    /// The origin answered with something older than what is stored. It may know better soon, so the
    /// lease that is held does not last its whole time. Nor is it given back at once: what is stored is
    /// stale still, and the next request would ask again.
    fn ask_again_later(
        &mut self,
        key: &CacheKey,
        options: &InsertOptions,
        now: Timestamp,
    ) -> Option<Write> {
        options.epoch_keys.as_ref()?;
        self.defer_refresh(&key.hex(), now + OUTDATED_PAUSE);
        let kept = self.entries.get(key, now)?.meta.response_time;
        let digest = options.lease.as_ref()?;
        Some(self.defer_refresh_elsewhere(digest, kept, OUTDATED_PAUSE))
    }

    fn entry_write(
        &self,
        key: &CacheKey,
        entry: &Entry<B>,
        options: &InsertOptions,
        now: Timestamp,
    ) -> Option<Write> {
        let life = &entry.freshness;
        let ttl_ms = millis(life.keep_until.since(now).min(LONGEST_STORED));
        let good_for = life.usable_until.max(life.fresh_until).since(now);
        let fits = entry.body_len <= self.largest_in_store();
        if ttl_ms == 0 || options.isolated || good_for < options.min_ttl || !fits {
            return None;
        }
        let body = entry.body.bytes();
        let compress_from = self.sizes.compress_from.map(bytes);
        let value = envelope::encode(&entry.meta, life, &body, compress_from).ok()?;
        if value.len() > bytes(self.sizes.max_entry) {
            return None;
        }
        // As long as the lease lasts the entry says that the lease is done with.
        let ttl_ms = ttl_ms.max(millis(LONGEST_LEASE));
        let stored_at = self.entry_key(key);
        Some(match (&options.epoch_keys, &*entry.meta) {
            (
                Some(epoch_keys),
                Meta {
                    version: Some(version),
                    epochs: Some(epochs),
                    ..
                },
            ) => Write::Keep {
                entry: key.clone(),
                keys: [stored_at]
                    .into_iter()
                    .chain(epoch_keys.iter().cloned())
                    .collect(),
                args: vec![value, version.clone(), epochs.clone(), ttl_ms.to_string()],
            },
            _ => Write::Set {
                key: stored_at,
                value,
                ttl_ms,
            },
        })
    }
}

/// For how long nobody asks an origin again that answered with something older than before.
const OUTDATED_PAUSE: Duration = Duration::from_millis(500);

//! Inserting an entry in the isolate, and in the store if that is worthwhile.

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

/// How an entry is stored, and which requests wait for it.
#[derive(Debug, Default)]
pub struct InsertOptions {
    /// How long an entry must still be usable to be written to the store.
    pub min_ttl: Duration,
    /// Whether the entry is stored in the isolate only.
    pub isolated: bool,
    /// The keys of the entry's epochs, if the route versions its responses.
    pub epoch_keys: Option<Vec<String>>,
    /// The digest of the key for which followers in this isolate wait, if there may be any.
    pub leading: Option<String>,
    /// The digest of the key whose refresh lease the store has granted to this request, if it has.
    /// Other isolates may wait for this entry.
    pub lease: Option<String>,
}

impl InsertOptions {
    /// Options that follow from the rules of the route alone. No request waits for the entry.
    pub fn of(rules: &CacheRules) -> Self {
        Self {
            min_ttl: rules.min_ttl,
            isolated: rules.keeps_to_isolate(),
            ..Self::default()
        }
    }
}

/// The result of storing a response.
#[derive(Debug, Default)]
pub struct Inserted {
    /// Whether the response is in the isolate now.
    pub kept: bool,
    /// What to write to the store.
    pub write: Option<Write>,
}

impl Inserted {
    /// The response was not stored.
    pub const fn nowhere(write: Option<Write>) -> Self {
        Self { kept: false, write }
    }
}

impl<B: Body> CacheMemory<B> {
    /// Stores an entry in the isolate, and returns what to write to the store. `store_is_up`:
    /// whether the store can be written to.
    pub fn insert(
        &mut self,
        key: &CacheKey,
        entry: Entry<B>,
        options: &InsertOptions,
        store_is_up: bool,
        now: Timestamp,
    ) -> Inserted {
        self.refreshes.refreshed(&key.hex());
        let inserted = self.entries.insert(key, entry.clone());
        if let Some(digest) = &options.leading {
            match inserted {
                // If it was purged, one of the followers asks anew.
                Insertion::Kept | Insertion::Older | Insertion::Purged => {
                    self.fetches.finish(digest);
                }
                // Followers would find nothing in the isolate.
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
                Some(self.mark(lease, NotStored::Uncacheable))
            }),
        };
        Inserted {
            kept: inserted == Insertion::Kept,
            write,
        }
    }

    /// Defers the refresh of an entry, because the origin answered with something older than it.
    /// The origin may soon have newer data, so the lease that this request holds is shortened. It
    /// is not given back at once: the entry is still stale, and the next request would ask the
    /// origin again immediately.
    fn ask_again_later(
        &mut self,
        key: &CacheKey,
        options: &InsertOptions,
        now: Timestamp,
    ) -> Option<Write> {
        options.epoch_keys.as_ref()?;
        self.refreshes.defer(&key.hex(), OUTDATED_PAUSE, now);
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
        // The store learns from the entry that the lease is over, so the entry must not expire
        // before the lease.
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

/// How long an origin is not asked again after it answered with something older than the entry.
const OUTDATED_PAUSE: Duration = Duration::from_millis(500);

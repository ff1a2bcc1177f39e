//! Where an entry is kept: in the isolate, and in the store where it pays.

use std::sync::LazyLock;
use std::time::Duration;

use crate::clock::{Timestamp, millis};
use crate::config::Sizes;
use crate::engine::cache::{
    CacheKey, CacheRules, Entry, Insertion, LONGEST_STORED, Meta, Target, envelope,
};
use crate::redis::{Script, Value};

use super::Gate;
use super::body::Body;
use super::caching::Cached;
use super::flight::Landing;
use super::head::Head;
use super::plan::RoutePlan;
use super::saving::Write;
use super::step::LONGEST_LEASE;

/// Writes an entry unless a newer one is there ([`Write::Keep`]). It may be sent again.
pub static KEEP: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("keep.lua")).repeatable());

/// What is to be known about an entry to keep it.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    /// How long it must still be good to be written to the store.
    pub min_ttl: Duration,
    /// Whether the store is told nothing of it.
    pub isolated: bool,
    /// The keys of its epochs, where the route says how new its responses are.
    pub epoch_keys: Option<Vec<String>>,
    /// What others in the isolate wait for meanwhile.
    pub flight: Option<String>,
    /// What other isolates wait for, as the store has told them.
    pub lease: Option<String>,
}

impl Keeping {
    /// By the word of the route alone: nobody waits.
    pub fn by(rules: &CacheRules) -> Self {
        Self {
            min_ttl: rules.min_ttl,
            isolated: rules.keeps_to_isolate(),
            ..Self::default()
        }
    }
}

impl<B: Body> Gate<B> {
    /// What is to be known about the response to a request, to keep it.
    pub(super) fn keeping(
        &self,
        head: &impl Head,
        route: &RoutePlan,
        cached: &Cached<B>,
        flight: Option<String>,
    ) -> Keeping {
        let prefix = &self.plan.store.key_prefix;
        let cache = route.cache.as_ref().zip(cached.rules.version.as_ref());
        let epoch_keys = cache
            .zip(Target::of(head.url()))
            .map(|((cache, _), target)| cached.epoch_keys(&target, cache, prefix));
        Keeping {
            epoch_keys,
            flight,
            lease: cached.holds_lease().then(|| cached.key.hex()),
            min_ttl: cached.rules.min_ttl,
            isolated: cached.rules.keeps_to_isolate() || cached.alone,
        }
    }

    /// Keeps an entry here; what there is to write to the store.
    pub(super) fn keep(
        &mut self,
        key: &CacheKey,
        entry: Entry<B>,
        keeping: Keeping,
        now: Timestamp,
    ) -> Option<Write> {
        self.memory.refreshed(&key.hex());
        let kept = self.memory.l1.insert(key, entry.clone());
        if let Some(digest) = &keeping.flight {
            match kept {
                // After a purge one of them asks anew.
                Insertion::Kept | Insertion::Older | Insertion::Purged => {
                    self.memory.flights.stored(digest);
                }
                // Who waits would find nothing.
                Insertion::TooLarge => self.memory.flights.landed(digest, Landing::Unstored, now),
            }
        }
        if kept == Insertion::Older {
            return self.ask_again_later(key, &keeping, now);
        }
        if !self.store_is_up() {
            return None;
        }
        self.write_entry(key, &entry, &keeping, now)
            .or_else(|| Some(self.nothing_comes(&keeping.lease?, Landing::Unstored)))
    }

    /// The origin answered with something older than what is kept. It may know better soon, so the lease
    /// that is held does not last its whole time; nor is it given back at once, for what is kept is stale
    /// still, and the next request would ask again.
    fn ask_again_later(
        &mut self,
        key: &CacheKey,
        keeping: &Keeping,
        now: Timestamp,
    ) -> Option<Write> {
        keeping.epoch_keys.as_ref()?;
        self.memory.refreshing_until(&key.hex(), now + PAUSE);
        let kept = self.memory.l1.get(key, now)?.meta.response_time;
        let digest = keeping.lease.as_ref().filter(|_| self.store_is_up())?;
        Some(self.hold_off(digest, kept, PAUSE))
    }

    /// Lets nobody refresh what lies under this digest and arrived at `kept`, for so long: as the script
    /// takes a lease, but by nobody.
    pub(super) fn hold_off(&self, digest: &str, kept: Timestamp, pause: Duration) -> Write {
        Write::Set {
            key: self.lease_key(digest),
            value: format!("{} -", kept.as_millis()),
            ttl_ms: millis(pause),
        }
    }

    /// Takes what the store said to a call of [`KEEP`]: what it did not take is not kept here either.
    pub fn kept(&mut self, entry: &CacheKey, reply: &Value) {
        if reply.as_int() != Some(1) {
            self.memory.l1.remove(entry);
        }
    }

    fn write_entry(
        &self,
        key: &CacheKey,
        entry: &Entry<B>,
        keeping: &Keeping,
        now: Timestamp,
    ) -> Option<Write> {
        let sizes = &self.plan.sizes;
        let life = &entry.freshness;
        let ttl_ms = millis(life.keep_until.since(now).min(LONGEST_STORED));
        let good_for = life.usable_until.max(life.fresh_until).since(now);
        let fits = entry.body_len <= largest_in_store(sizes);
        if ttl_ms == 0 || keeping.isolated || good_for < keeping.min_ttl || !fits {
            return None;
        }
        let body = entry.body.bytes();
        let compress_from = sizes.compress_from.map(bytes);
        let value = envelope::encode(&entry.meta, life, &body, compress_from).ok()?;
        if value.len() > bytes(sizes.max_entry) {
            return None;
        }
        // As long as the lease lasts it says that the lease is done with.
        let ttl_ms = ttl_ms.max(millis(LONGEST_LEASE));
        let stored_at = self.entry_key(key);
        Some(match (&keeping.epoch_keys, &*entry.meta) {
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

    /// Tells other isolates that nobody need wait for what lies under this digest.
    pub(super) fn nothing_comes(&self, digest: &str, how: Landing) -> Write {
        Write::Set {
            key: self.lease_key(digest),
            value: "u".to_owned(),
            ttl_ms: millis(how.pause()),
        }
    }

    pub(super) fn lease_key(&self, digest: &str) -> String {
        format!("{}:f:{digest}", self.plan.store.key_prefix)
    }

    /// The largest body that is kept anywhere, in bytes; a larger one is not even read.
    pub(super) fn largest_body(&self) -> usize {
        let here = bytes(self.memory.l1.largest());
        here.max(largest_in_store(&self.plan.sizes))
            .min(envelope::LARGEST_BODY)
    }
}

/// For how long nobody asks again an origin that answered with something older than before.
const PAUSE: Duration = Duration::from_millis(500);

/// The largest body that may fit into the store, in bytes: what is compressed is taken to become a
/// quarter of what it was. What was measured became a quarter to a half.
fn largest_in_store(sizes: &Sizes) -> usize {
    let gain = match sizes.compress_from {
        Some(_) => 4,
        None => 1,
    };
    bytes(sizes.max_entry).saturating_mul(gain)
}

fn bytes(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

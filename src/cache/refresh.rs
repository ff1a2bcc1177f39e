//! When an entry is refreshed in the background, and by which request.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::message::body::Body;
use crate::store::{Lease, Write};

use super::fetching::{Fetching, Miss};
use super::lookup::{Epochs, Level, Lookup};
use super::memory::CacheMemory;
use super::refreshes::{Calls, Standing, Turn};

impl<B: Body> Lookup<B> {
    /// Whether the store has granted the refresh lease to this request.
    pub fn holds_lease(&self) -> bool {
        self.lease == Some(Lease::Granted)
    }

    /// Whether another request holds the refresh lease.
    pub fn is_refreshed_elsewhere(&self) -> bool {
        self.lease == Some(Lease::HeldElsewhere)
    }

    /// Ends the store lookup of a background refresh. If another isolate has refreshed the entry,
    /// this isolate's own lease is given back. If another isolate is refreshing it, the store is
    /// asked again after a pause.
    pub fn looked_for_refresh(&self, memory: &mut CacheMemory<B>, now: Timestamp) {
        let digest = self.key.hex();
        match &self.hit {
            Some(hit) if hit.level == Level::Redis && hit.entry.freshness.is_fresh(now) => {
                memory.refreshes.refreshed(&digest);
            }
            hit if self.is_refreshed_elsewhere() => {
                let stale_for = hit.as_ref().map(|hit| hit.entry.freshness.stale_for(now));
                let pause =
                    (stale_for.unwrap_or_default() / 8).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
                memory.refreshes.defer(&digest, pause, now);
            }
            _ => {}
        }
    }

    /// Whether a fresh entry is to be refreshed already, so that no request ever waits for it. The
    /// longer the origin takes and the more often the entry is requested, the earlier this happens.
    ///
    /// This is XFetch (Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache Stampede
    /// Prevention, VLDB 2015) with β = 1: a request with the random number `draw` refreshes an
    /// entry that took δ to fetch, if less than δ · -ln(draw) remains of its lifetime. The refresh
    /// happens in the last quarter of the lifetime at the earliest. There is no early refresh if a
    /// stale entry may be served meanwhile, or if a new response would not live longer.
    pub fn is_refreshed_early(&mut self, draw: f64, now: Timestamp) -> bool {
        if self.holds_lease() {
            return true;
        }
        let Some(hit) = self.hit.as_ref().filter(|_| self.lease.is_none()) else {
            return false;
        };
        let life = &hit.entry.freshness;
        let left = life.fresh_until.since(now);
        let took = life.response_time.since(hit.entry.meta.request_time);
        let covered = life.usable_until.since(life.fresh_until) >= took;
        let ahead = took.as_secs_f64() * -draw.max(f64::MIN_POSITIVE).ln();
        let whole = life.fresh_until.since(life.response_time);
        let gains = !self.request.rules.ends_with_candle(life.fresh_until, now);
        let due = !covered && gains && left.as_secs_f64() < ahead && left <= whole / 4;
        if due {
            self.early = left + CLOCK_TOLERANCE;
        }
        due
    }
}

impl<B: Body> Miss<B> {
    /// Takes this isolate's own right to refresh the entry, unless another request has it or the
    /// response to this request would not be stored. `length`: how long the right lasts at most.
    pub fn take_turn(
        &self,
        calls: Calls<'_>,
        memory: &mut CacheMemory<B>,
        length: Duration,
        now: Timestamp,
    ) -> Option<Turn> {
        let lookup = Some(&self.lookup).filter(|lookup| lookup.request.storable)?;
        let standing = if lookup.holds_lease() {
            Standing::Granted
        } else if lookup.is_refreshed_elsewhere() || lookup.shared(memory, now).is_some() {
            Standing::Denied
        } else {
            Standing::Unknown
        };
        let refreshes = &mut memory.refreshes;
        refreshes.take(&lookup.key.hex(), calls, standing, length, now)
    }
}

impl<B: Body> Lookup<B> {
    /// Takes the epochs of the stored response for those of the next one, because the store is not
    /// asked. If there was a purge since, other isolates take that response for void.
    pub fn keep_epochs(&mut self) {
        if let (None, Some(hit)) = (&self.epochs, &self.hit)
            && let Some(values) = hit.entry.meta.epochs.clone()
        {
            let asked_at = hit.entry.checked_at;
            self.epochs = Some(Epochs { values, asked_at });
        }
    }
}

impl<B: Body> Fetching<B> {
    /// Defers the next attempt after a background refresh has failed. The returned write does the
    /// same for other isolates.
    pub fn refresh_failed(&self, memory: &mut CacheMemory<B>, now: Timestamp) -> Option<Write> {
        let (lookup, sent_at) = (&self.lookup, self.sent_at);
        let digest = lookup.key.hex();
        let kept = lookup.hit.as_ref()?.entry.meta.response_time;
        let leased = lookup.holds_lease().then_some(&*digest);
        memory.refresh_failed(&digest, leased, kept, sent_at, now)
    }
}

impl<B: Body> CacheMemory<B> {
    /// Defers the next attempt after a background refresh of the entry under this digest, sent at
    /// `sent_at`, has failed. `leased`: the digest of the key whose lease in the store the refresh
    /// held, `kept`: when the entry was received. The returned write defers it in other isolates.
    pub(super) fn refresh_failed(
        &mut self,
        digest: &str,
        leased: Option<&str>,
        kept: Timestamp,
        sent_at: Timestamp,
        now: Timestamp,
    ) -> Option<Write> {
        self.refreshes
            .failed(digest, leased.is_some(), sent_at, now);
        leased.map(|leased| self.defer_refresh_elsewhere(leased, kept, ELSEWHERE_PAUSE))
    }
}

/// How long other isolates leave an entry alone after a refresh has failed. The isolate whose
/// refresh it was tries again for longer, so that it can ask the store before it stops.
const ELSEWHERE_PAUSE: Duration = Duration::from_millis(800);

/// How soon an isolate looks again for an entry that another isolate is refreshing. The pause grows
/// with the time for which the entry has been stale.
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// By how much the clocks of isolates may differ.
const CLOCK_TOLERANCE: Duration = Duration::from_millis(5);

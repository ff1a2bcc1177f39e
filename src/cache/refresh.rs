//! When an entry is refreshed in the background, and by which request.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::message::body::Body;
use crate::store::{Lease, Write};

use super::fetching::{Fetching, Miss};
use super::lookup::{Level, Lookup};
use super::memory::CacheMemory;
use super::single_flight::NotStored;

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
                memory.refreshed(&digest);
            }
            hit if self.is_refreshed_elsewhere() => {
                let stale_for = hit.as_ref().map(|hit| hit.entry.freshness.stale_for(now));
                let pause =
                    (stale_for.unwrap_or_default() / 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
                memory.defer_refresh(&digest, now + pause);
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
    /// Takes this isolate's own lease to refresh the entry, unless it is held already.
    pub fn take_lease(
        &self,
        memory: &mut CacheMemory<B>,
        length: Duration,
        now: Timestamp,
    ) -> bool {
        memory.may_refresh(&self.lookup.key.hex(), now, length)
    }
}

impl<B: Body> Fetching<B> {
    /// Defers the next attempt after a background refresh has failed: the origin is asked again
    /// after a pause that is shorter than the leases. The returned write does the same for other
    /// isolates.
    pub fn refresh_failed(&self, memory: &mut CacheMemory<B>, now: Timestamp) -> Option<Write> {
        let lookup = &self.lookup;
        let digest = lookup.key.hex();
        let pause = NotStored::Failed.pause();
        memory.defer_refresh(&digest, now + pause);
        let kept = lookup.hit.as_ref()?.entry.meta.response_time;
        lookup
            .holds_lease()
            .then(|| memory.defer_refresh_elsewhere(&digest, kept, pause))
    }
}

/// How soon an isolate looks again for an entry that another isolate is refreshing. The pause grows
/// with the time for which the entry has been stale.
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// By how much the clocks of isolates may differ.
const CLOCK_TOLERANCE: Duration = Duration::from_millis(5);

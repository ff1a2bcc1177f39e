//! When an entry is refreshed after its answer, and by whom.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::message::body::Body;
use crate::store::{Lease, Write};

use super::fetching::{Fetching, Miss};
use super::lookup::Lookup;
use super::memory::CacheMemory;
use super::single_flight::NotStored;

impl<B: Body> Lookup<B> {
    /// Whether the store has given the lease to fetch the entry to this very caller.
    pub fn holds_lease(&self) -> bool {
        self.lease == Some(Lease::Granted)
    }

    /// Whether another caller holds it.
    pub fn is_refreshed_elsewhere(&self) -> bool {
        self.lease == Some(Lease::HeldElsewhere)
    }

    /// A refresh has looked into the store. If another isolate has refreshed the entry, this isolate's
    /// own lease is given back; if one is at it, the store is asked again after a while.
    pub fn looked_for_refresh(&self, memory: &mut CacheMemory<B>, now: Timestamp) {
        let digest = self.key.hex();
        match &self.hit {
            Some(hit) if hit.level == "redis" && hit.entry.freshness.is_fresh(now) => {
                memory.refreshed(&digest);
            }
            hit if self.is_refreshed_elsewhere() => {
                let stale_for = hit.as_ref().map(|hit| hit.entry.freshness.stale_for(now));
                let pause = (stale_for.unwrap_or_default() / 2).clamp(ELSEWHERE, LONGEST_PAUSE);
                memory.defer_refresh(&digest, now + pause);
            }
            _ => {}
        }
    }

    /// Whether a fresh entry is to be refreshed already, so that nobody ever waits for it: the sooner,
    /// the longer its origin takes and the more often it is asked for.
    ///
    /// That is XFetch (Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache Stampede
    /// Prevention, VLDB 2015), with β = 1: a request with the random number `draw` refreshes an entry
    /// that took δ to make, if less than δ · -ln(draw) remains of its life. At most the last quarter
    /// of its life is given up. Nothing is given up if a stale entry may be served meanwhile, or if a
    /// new response would live no longer.
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
    /// Takes the lease of this isolate to refresh the entry, if nobody here holds it.
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
    /// The origin failed a refresh that no client waited for: it is asked again after a pause, and not
    /// only when the leases to do so are over. What to write lets other isolates do so, too.
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

/// After how long an isolate looks again for what another one is about to refresh: soon, and later the
/// longer that takes.
const ELSEWHERE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// By how much clocks differ at least.
const CLOCK_TOLERANCE: Duration = Duration::from_millis(5);

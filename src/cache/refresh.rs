//! When an entry is refreshed in the background, and by which request.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::http_cache::{Entry, Tier};
use crate::message::body::Body;
use crate::store::{Lease, Write};

use super::fetching::{Fetching, Miss};
use super::lookup::{Epochs, Lookup};
use super::memory::CacheMemory;
use super::refreshes::{Calls, Failed, Standing, TOLD, Turn};
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
            Some(hit) if hit.tier == Tier::Redis && hit.entry.freshness.is_fresh(now) => {
                memory.refreshes.refreshed(&digest);
            }
            hit if self.is_refreshed_elsewhere() => {
                let stale_for = hit.as_ref().map(|hit| hit.entry.freshness.stale_for(now));
                let pause =
                    (stale_for.unwrap_or_default() / 30).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
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
        let took = hit.entry.took();
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
    /// response to this request would not be stored.
    pub fn take_turn(
        &mut self,
        calls: Calls<'_>,
        memory: &mut CacheMemory<B>,
        now: Timestamp,
    ) -> Option<Turn> {
        let lookup = Some(&self.lookup).filter(|lookup| lookup.request.storable)?;
        let standing = match lookup.shared(memory, now) {
            Some(_) if !lookup.holds_lease() => Standing::Denied,
            _ => lookup.standing(),
        };
        let took = lookup.hit.as_ref().map(|hit| hit.entry.took());
        let (digest, took) = (lookup.key.hex(), took.unwrap_or_default());
        let turn = memory.refreshes.take(&digest, calls, standing, took, now);
        if let Some(Turn::Again(time)) = turn {
            self.within = Some(time);
            self.lookup.keep_epochs();
        }
        turn
    }
}

impl<B: Body> Lookup<B> {
    fn standing(&self) -> Standing {
        match self.lease {
            Some(Lease::Granted) => Standing::Granted,
            Some(Lease::HeldElsewhere) => Standing::Denied,
            _ => Standing::Unknown,
        }
    }

    /// Takes the epochs of the stored response for those of the next one, because the store is not
    /// asked. If there was a purge since, other isolates take that response for void.
    fn keep_epochs(&mut self) {
        if let (None, Some(hit)) = (&self.epochs, &self.hit)
            && let Some(values) = hit.entry.meta.epochs.clone()
        {
            let asked_at = hit.entry.checked_at;
            self.epochs = Some(Epochs { values, asked_at });
        }
    }
}

impl<B: Body> Fetching<B> {
    /// Defers the next attempt after a background refresh has failed. `late`: the origin did not
    /// answer in time. The returned write defers it in other isolates.
    pub fn refresh_failed(
        &self,
        late: bool,
        memory: &mut CacheMemory<B>,
        now: Timestamp,
    ) -> Option<Write> {
        let lookup = &self.lookup;
        let kept = Kept::of(&lookup.hit.as_ref()?.entry);
        let request = Failed {
            sent_at: self.sent_at,
            late,
            standing: match lookup.lease {
                Some(Lease::Granted) => Standing::Granted,
                // The store was not asked.
                None => Standing::Unknown,
                Some(_) => Standing::Denied,
            },
        };
        memory.refresh_failed(&lookup.key.hex(), request, kept, now)
    }

    /// Defers the next attempt because there is no memory for the response. The returned write does
    /// the same for other isolates.
    pub(super) fn not_refreshed(
        &self,
        memory: &mut CacheMemory<B>,
        now: Timestamp,
    ) -> Option<Write> {
        let lookup = &self.lookup;
        let kept = lookup.hit.as_ref()?.entry.meta.response_time;
        let leased = lookup.holds_lease();
        memory.not_refreshed(&lookup.key.hex(), leased, kept, now)
    }
}

/// The entry that could not be refreshed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    received: Timestamp,
    usable_until: Timestamp,
}

impl Kept {
    pub(super) fn of<B>(entry: &Entry<B>) -> Self {
        Self {
            received: entry.meta.response_time,
            usable_until: entry.freshness.usable_until,
        }
    }
}

impl<B: Body> CacheMemory<B> {
    /// Defers the next attempt after a request for the entry under this digest has failed. The
    /// returned write defers it in other isolates.
    pub(super) fn refresh_failed(
        &mut self,
        digest: &str,
        request: Failed,
        kept: Kept,
        now: Timestamp,
    ) -> Option<Write> {
        let tells = self.refreshes.failed(digest, request, now);
        tells.then(|| match now + TOLD <= kept.usable_until {
            true => self.defer_refresh_elsewhere(digest, kept.received, TOLD),
            // Requests that must not be served stale would wait for a refresh.
            false => self.mark(digest, NotStored::Failed),
        })
    }
}

impl<B: Body> CacheMemory<B> {
    /// Defers the refresh of the entry under this digest, which was received at `kept`, because
    /// there is no memory for the response. `leased`: the request held the store's lease.
    pub(super) fn not_refreshed(
        &mut self,
        digest: &str,
        leased: bool,
        kept: Timestamp,
        now: Timestamp,
    ) -> Option<Write> {
        let pause = NotStored::NoRoom.pause();
        self.refreshes.refreshed(digest);
        self.refreshes.defer(digest, pause, now);
        leased.then(|| self.defer_refresh_elsewhere(digest, kept, pause))
    }
}

/// How soon an isolate looks again for an entry that another isolate is refreshing. The pause grows
/// with the time for which the entry has been stale.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// By how much the clocks of isolates may differ.
const CLOCK_TOLERANCE: Duration = Duration::from_millis(5);

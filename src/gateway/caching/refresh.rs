//! When an entry is refreshed behind the client's back, and by whom.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::limiter::Refresh;

use super::super::body::Body;
use super::super::memory::Memory;
use super::{Cached, Caching};

impl<B: Body> Caching<B> {
    /// Whether the store has been asked who is to refresh the entry.
    pub fn was_asked(&self) -> bool {
        matches!(self, Self::On(cached) if cached.refresh.is_some())
    }

    /// Whether this caller is the one to refresh the entry, as far as the store has said.
    pub fn may_refresh(&self) -> bool {
        matches!(self, Self::On(cached) if cached.refresh != Some(Refresh::Elsewhere))
    }

    /// What the store has told this very caller to fetch.
    pub fn leased(&self) -> Option<String> {
        match self {
            Self::On(cached) => cached.holds_lease().then(|| cached.key.hex()),
            _ => None,
        }
    }

    /// Whether the store has told this very caller to do it.
    pub fn holds_lease(&self) -> bool {
        matches!(self, Self::On(cached) if cached.holds_lease())
    }

    /// Takes the isolate's own lease to refresh the entry.
    pub fn take_turn(&self, memory: &mut Memory<B>, now: Timestamp, lease: Duration) -> bool {
        match self {
            Self::On(cached) => memory.may_refresh(&cached.key.hex(), now, lease),
            _ => false,
        }
    }

    /// Gives it back, if another isolate has refreshed the entry; after a while, if one is at it.
    pub fn refreshed_elsewhere(&self, memory: &mut Memory<B>, now: Timestamp) {
        let Self::On(cached) = self else {
            return;
        };
        match &cached.found {
            Some(found) if found.level == "redis" && found.entry.freshness.is_fresh(now) => {
                memory.refreshed(&cached.key.hex());
            }
            _ if cached.refresh == Some(Refresh::Elsewhere) => {
                let found = cached.found.as_ref();
                let stale_for = found.map(|found| found.entry.freshness.stale_for(now));
                let pause = (stale_for.unwrap_or_default() / 2).clamp(ELSEWHERE, LONGEST_PAUSE);
                memory.refreshing_until(&cached.key.hex(), now + pause);
            }
            _ => {}
        }
    }
}

impl<B: Body> Cached<B> {
    /// Whether a fresh entry is to be refreshed already, so that nobody ever waits for it: the sooner,
    /// the longer its origin takes and the more often it is asked for.
    ///
    /// That is XFetch (Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache Stampede
    /// Prevention, VLDB 2015), with β = 1: a request with the random number `draw` refreshes an entry
    /// whose making took δ, if less than δ · -ln(draw) remains of its life. At most the last quarter of
    /// its life is given up, and nothing where a stale entry may be served meanwhile, nor where a new
    /// answer would live no longer.
    pub(super) fn is_refreshed_early(&mut self, draw: f64, now: Timestamp) -> bool {
        if self.refresh == Some(Refresh::Mine) {
            return true;
        }
        let Some(found) = self.found.as_ref().filter(|_| self.refresh.is_none()) else {
            return false;
        };
        let life = &found.entry.freshness;
        let left = life.fresh_until.since(now);
        let took = life.response_time.since(found.entry.meta.request_time);
        let covered = life.usable_until.since(life.fresh_until) >= took;
        let ahead = took.as_secs_f64() * -draw.max(f64::MIN_POSITIVE).ln();
        let whole = life.fresh_until.since(life.response_time);
        let gains = !self.rules.ends_with_candle(life.fresh_until, now);
        let due = !covered && gains && left.as_secs_f64() < ahead && left <= whole / 4;
        if due {
            self.early = left + A_MOMENT;
        }
        due
    }
}

/// After how long an isolate looks again for what another one is about to refresh: soon, and later the
/// longer that takes.
const ELSEWHERE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Clocks differ by so much at least.
const A_MOMENT: Duration = Duration::from_millis(5);

//! Remembered refusals: a refused subject needs no store call until the time at which it may retry.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::recent::Recent;

use super::sliding_window::TOLERANCE;

/// Refusals that still hold, by the key of the limit's state. Bounded: after an eviction, the store
/// is asked again.
#[derive(Debug)]
pub struct DenyCache {
    refusals: Recent<Vec<Refusal>>,
}

/// A refusal of requests with this cost and this quota. Requests with another cost may still pass,
/// and so may those of a route for which another share of the quota is kept.
#[derive(Debug, Clone, Copy)]
struct Refusal {
    cost: u64,
    quota: u64,
    at: Timestamp,
    until: Timestamp,
    /// When the store is asked again: permits may have come back in the meantime.
    ask_again: Timestamp,
}

/// How many refusals are remembered for one key.
const EACH: usize = 8;

impl DenyCache {
    /// Remembers the refusals of at most `capacity` keys.
    pub fn new(capacity: usize) -> Self {
        Self {
            refusals: Recent::new(capacity),
        }
    }

    /// Remembers that at `now` a request of `cost` was refused until `until`, with a quota of
    /// `quota` permits in the limit state `key`. The refusal is relied on for at most `believed`.
    pub fn remember(
        &mut self,
        key: &str,
        (cost, quota): (u64, u64),
        now: Timestamp,
        until: Timestamp,
        believed: Duration,
    ) {
        let refusal = Refusal {
            cost,
            quota,
            at: now,
            until,
            ask_again: until.min(now + believed),
        };
        let is_known = self.refusals.change(key, |known| {
            known.retain(|other| other.is_true(now) && (other.cost, other.quota) != (cost, quota));
            if known.len() < EACH {
                known.push(refusal);
            }
        });
        if is_known.is_none() {
            self.refusals.insert(key.to_owned(), vec![refusal]);
        }
    }

    /// The instant until which a request of `cost` is refused, with a quota of `quota` permits in
    /// the limit state `key`. `None` if no refusal is known.
    pub fn refused_until(
        &self,
        key: &str,
        cost: u64,
        quota: u64,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let known = self.refusals.get(key)?;
        let same = |refusal: &&Refusal| (refusal.cost, refusal.quota) == (cost, quota);
        let refusal = known.iter().find(same)?;
        refusal.is_true(now).then_some(refusal.until)
    }

    /// Forgets all refusals on `key`.
    pub fn forget(&mut self, key: &str) {
        self.refusals.remove(key);
    }
}

impl Refusal {
    /// If the clock went back by more than clocks may differ, the refusal no longer holds:
    /// otherwise the client would be refused for longer.
    fn is_true(&self, now: Timestamp) -> bool {
        self.ask_again > now && now + TOLERANCE >= self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_remembered_to_its_last_millisecond() {
        let mut denied = DenyCache::new(8);
        let at = Timestamp::from_millis;
        denied.remember("a", (1, 5), at(0), at(1_000), Duration::MAX);
        assert_eq!(denied.refused_until("a", 1, 5, at(999)), Some(at(1_000)));
        assert_eq!(denied.refused_until("a", 1, 5, at(1_000)), None);
        assert_eq!(denied.refused_until("a", 2, 5, at(0)), None);
        assert_eq!(denied.refused_until("a", 1, 6, at(0)), None);
        assert_eq!(denied.refused_until("b", 1, 5, at(0)), None);
    }

    #[test]
    fn one_that_may_end_early_is_believed_for_so_long_and_true_till_then() {
        let mut denied = DenyCache::new(8);
        let at = Timestamp::from_millis;
        let believed = Duration::from_millis(400);
        denied.remember("a", (1, 5), at(0), at(1_000), believed);
        assert_eq!(denied.refused_until("a", 1, 5, at(399)), Some(at(1_000)));
        assert_eq!(denied.refused_until("a", 1, 5, at(400)), None);
    }

    #[test]
    fn a_clock_that_jumps_back_holds_nobody_off() {
        let mut denied = DenyCache::new(8);
        let at = Timestamp::from_millis;
        denied.remember("a", (1, 5), at(500_000), at(560_000), Duration::MAX);
        assert!(denied.refused_until("a", 1, 5, at(499_000)).is_some());
        assert_eq!(denied.refused_until("a", 1, 5, at(200_000)), None);
    }

    #[test]
    fn memory_is_bounded() {
        let mut denied = DenyCache::new(100);
        for n in 0..10_000 {
            let at = Timestamp::from_millis;
            denied.remember(&n.to_string(), (1, 5), at(0), at(u64::MAX), Duration::MAX);
        }
        assert!(denied.refusals.len() <= 100);
    }
}

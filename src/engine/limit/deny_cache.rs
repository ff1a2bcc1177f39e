//! Remembered refusals: a subject that was told when to come back needs no store call before that.

use quick_cache::unsync::Cache;

use crate::clock::Timestamp;

use super::sliding_window::TOLERANCE;

/// Refusals that are still true, by limit key, cost and quota: a route may keep a share for itself. Bounded; what is evicted is asked again.
#[derive(Debug)]
pub struct DenyCache {
    refusals: Cache<(String, u64, u64), Refusal>,
}

#[derive(Debug, Clone, Copy)]
struct Refusal {
    at: Timestamp,
    until: Timestamp,
}

impl DenyCache {
    /// Remembers at most `capacity` refusals.
    pub fn new(capacity: usize) -> Self {
        Self {
            refusals: Cache::new(capacity),
        }
    }

    /// At `now`, a request of `cost` on `quota` permits of the limit state `key` is refused until
    /// `until`.
    pub fn remember(&mut self, key: &str, cost: u64, quota: u64, now: Timestamp, until: Timestamp) {
        let refusal = Refusal { at: now, until };
        self.refusals.insert((key.to_owned(), cost, quota), refusal);
    }

    /// Until when a request of `cost` on `quota` permits of `key` is refused, if it is.
    pub fn refused_until(
        &mut self,
        key: &str,
        cost: u64,
        quota: u64,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let key = (key.to_owned(), cost, quota);
        let Refusal { at, until } = self.refusals.get(&key).copied()?;
        // A clock that went back further than clocks differ must not hold anybody off for longer.
        if until > now && now + TOLERANCE >= at {
            return Some(until);
        }
        self.refusals.remove(&key);
        None
    }
}

impl DenyCache {
    /// Forgets all refusals on `key`.
    pub fn forget(&mut self, key: &str) {
        self.refusals.retain(|(other, _, _), _| other != key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_remembered_to_its_last_millisecond() {
        let mut denied = DenyCache::new(8);
        let at = Timestamp::from_millis;
        denied.remember("a", 1, 5, at(0), at(1_000));
        assert_eq!(denied.refused_until("a", 1, 5, at(999)), Some(at(1_000)));
        assert_eq!(denied.refused_until("a", 1, 5, at(1_000)), None);
        assert_eq!(denied.refused_until("a", 2, 5, at(0)), None);
        assert_eq!(denied.refused_until("a", 1, 6, at(0)), None);
        assert_eq!(denied.refused_until("b", 1, 5, at(0)), None);
    }

    #[test]
    fn a_clock_that_jumps_back_holds_nobody_off() {
        let mut denied = DenyCache::new(8);
        let at = Timestamp::from_millis;
        denied.remember("a", 1, 5, at(500_000), at(560_000));
        assert!(denied.refused_until("a", 1, 5, at(499_000)).is_some());
        assert_eq!(denied.refused_until("a", 1, 5, at(200_000)), None);
    }

    #[test]
    fn memory_is_bounded() {
        let mut denied = DenyCache::new(100);
        for n in 0..10_000 {
            let at = Timestamp::from_millis;
            denied.remember(&n.to_string(), 1, 5, at(0), at(u64::MAX));
        }
        assert!(denied.refusals.len() <= 100);
    }
}

//! Remembered refusals: a subject that was told when to come back needs no store call before that.

use quick_cache::unsync::Cache;

use crate::clock::Timestamp;

/// Refusals that are still true, by limit key and cost. Bounded; what is evicted is asked again.
#[derive(Debug)]
pub struct DenyCache {
    until: Cache<(String, u64), Timestamp>,
}

impl DenyCache {
    /// Remembers at most `capacity` refusals.
    pub fn new(capacity: usize) -> Self {
        Self {
            until: Cache::new(capacity),
        }
    }

    /// A request of `cost` on the limit state `key` is refused until `until`.
    pub fn remember(&mut self, key: &str, cost: u64, until: Timestamp) {
        self.until.insert((key.to_owned(), cost), until);
    }

    /// Until when a request of `cost` on `key` is refused, if it is.
    pub fn refused_until(&mut self, key: &str, cost: u64, now: Timestamp) -> Option<Timestamp> {
        let key = (key.to_owned(), cost);
        let until = self.until.get(&key).copied()?;
        if until > now {
            return Some(until);
        }
        self.until.remove(&key);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_remembered_to_its_last_millisecond() {
        let mut denied = DenyCache::new(8);
        let at = Timestamp::from_millis;
        denied.remember("a", 1, at(1_000));
        assert_eq!(denied.refused_until("a", 1, at(999)), Some(at(1_000)));
        assert_eq!(denied.refused_until("a", 1, at(1_000)), None);
        assert_eq!(denied.refused_until("a", 2, at(0)), None);
        assert_eq!(denied.refused_until("b", 1, at(0)), None);
    }

    #[test]
    fn memory_is_bounded() {
        let mut denied = DenyCache::new(100);
        for n in 0..10_000 {
            denied.remember(&n.to_string(), 1, Timestamp::from_millis(u64::MAX));
        }
        assert!(denied.until.len() <= 100);
    }
}

//! What one isolate remembers between requests: plain data with deadlines, no futures, no locks.

use std::time::Duration;

use quick_cache::unsync::Cache;

use crate::clock::{Timestamp, millis};
use crate::engine::breaker::Breaker;
use crate::engine::cache::L1;
use crate::engine::limit::deny_cache::DenyCache;
use crate::engine::limit::fallback::Fallback;
use crate::engine::limit::sliding_window::TOLERANCE;

use super::body::Body;

/// How many subjects the local limits and the remembered refusals hold, each.
const SUBJECTS: usize = 10_000;

/// How many refreshes are remembered to be under way.
const REFRESHES: usize = 1_000;

/// The memory of an isolate. `B` is a stored body.
pub struct Memory<B: Body> {
    /// Whether the store is worth asking.
    pub breaker: Breaker,
    /// Refusals that are still true.
    pub denied: DenyCache,
    /// The local limits.
    pub fallback: Fallback,
    /// Entries at hand.
    pub l1: L1<B>,
    /// How far this isolate's clock is off.
    pub clock: ClockGuard,
    refreshing: Cache<String, Timestamp>,
}

impl<B: Body> Memory<B> {
    /// An empty memory. `store_timeout` is the deadline of a store call.
    pub fn new(store_timeout: Duration) -> Self {
        Self {
            breaker: Breaker::new(store_timeout),
            denied: DenyCache::new(SUBJECTS),
            fallback: Fallback::new(SUBJECTS),
            l1: L1::default(),
            clock: ClockGuard::default(),
            refreshing: Cache::new(REFRESHES),
        }
    }

    /// Takes the isolate's own lease to refresh the entry `key`, if nobody holds it. It ends by
    /// itself: whoever takes it may never come back.
    pub fn may_refresh(&mut self, key: &str, now: Timestamp, lease: Duration) -> bool {
        if self.refreshing.get(key).is_some_and(|until| now < *until) {
            return false;
        }
        self.refreshing.insert(key.to_owned(), now + lease);
        true
    }

    /// Gives the lease back.
    pub fn refreshed(&mut self, key: &str) {
        self.refreshing.remove(key);
    }
}

impl<B: Body> std::fmt::Debug for Memory<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory")
            .field("breaker", &self.breaker)
            .finish_non_exhaustive()
    }
}

/// How often the isolate's clock is held against the store's.
const CLOCK_CHECK: Duration = Duration::from_secs(600);

/// The isolate's clock, corrected by the store's where the two are too far apart.
///
/// Limits and entries are shared by isolates, so their clocks must agree. The store's clock is the
/// one that they all see; to ask it costs a command, so it is asked rarely.
#[derive(Debug, Default)]
pub struct ClockGuard {
    offset_ms: i64,
    next_check: Option<Timestamp>,
}

impl ClockGuard {
    /// What the time is, given what the isolate's clock shows.
    pub fn correct(&self, shown: Timestamp) -> Timestamp {
        Timestamp::from_millis(shown.as_millis().saturating_add_signed(self.offset_ms))
    }

    /// Whether it is time to ask the store for its clock.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.next_check
            .is_none_or(|at| now >= at || at.since(now) > CLOCK_CHECK)
    }

    /// By how many milliseconds the isolate's clock is corrected.
    pub const fn correction_ms(&self) -> i64 {
        self.offset_ms
    }

    /// The store's clock is `offset_ms` ahead of what an [`Ask`](super::Ask) told it, which was
    /// corrected by `correction_ms`. The isolate's clock shows `shown`.
    ///
    /// Several answers may tell of one and the same error: each is taken for what it says of the
    /// clock, and not added to what is known from the others.
    pub fn learn(&mut self, offset_ms: i64, correction_ms: i64, shown: Timestamp) {
        let right = correction_ms.saturating_add(offset_ms);
        if right.abs_diff(self.offset_ms) > millis(TOLERANCE) {
            self.offset_ms = right;
        }
        self.next_check = Some(self.correct(shown) + CLOCK_CHECK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_is_corrected_and_one_that_is_not_is_left_alone() {
        let mut clock = ClockGuard::default();
        let at = Timestamp::from_millis;
        assert!(clock.is_due(at(0)));
        clock.learn(-900, 0, at(1_000));
        assert_eq!(clock.correct(at(1_000)), at(1_000));
        assert!(!clock.is_due(at(600_999)));
        assert!(clock.is_due(at(601_000)));
        clock.learn(-300_000, 0, at(601_000));
        assert_eq!(clock.correct(at(601_000)), at(301_000));
        assert!(!clock.is_due(at(301_001)));
        assert!(
            clock.is_due(at(0)),
            "a check far in the future is not waited for"
        );
    }

    #[test]
    fn answers_that_tell_of_one_error_correct_it_once() {
        let mut clock = ClockGuard::default();
        let at = Timestamp::from_millis;
        for _ in 0..10 {
            clock.learn(-300_000, 0, at(601_000));
        }
        assert_eq!(clock.correct(at(601_000)), at(301_000));
        clock.learn(5, clock.correction_ms(), at(602_000));
        assert_eq!(clock.correct(at(602_000)), at(302_000));
    }
}

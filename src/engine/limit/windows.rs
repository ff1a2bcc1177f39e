//! Sliding windows in this process, for limiters without a store: the same rule as in the store,
//! with the whole quota. The fallback for a store that fails is another one (`fallback.rs`).

use crate::clock::Timestamp;
use crate::engine::recent::Recent;

use super::fallback::Take;
use super::sliding_window::{Cut, State, TOLERANCE};
use super::verdict::{Quota, Verdict};

/// The windows of the subjects that were seen lately, by the key of the limit's state. Bounded: an
/// evicted subject starts anew.
#[derive(Debug)]
pub struct Windows {
    states: Recent<State>,
}

impl Windows {
    /// Remembers at most `capacity` subjects.
    pub fn new(capacity: usize) -> Self {
        Self {
            states: Recent::new(capacity),
        }
    }

    /// Checks all charges. If an enforced one is refused, charges none; otherwise charges all that
    /// are met. Several charges on one state count together.
    pub fn admit(&mut self, charges: &[&Take<'_>], now: Timestamp) -> Vec<Verdict> {
        self.try_all(charges, true, now).0
    }

    /// Whether [`admit`](Self::admit) would charge these. It charges nothing.
    pub fn would_admit(&mut self, charges: &[&Take<'_>], now: Timestamp) -> bool {
        self.try_all(charges, false, now).1
    }

    fn try_all(
        &mut self,
        charges: &[&Take<'_>],
        keeps: bool,
        now: Timestamp,
    ) -> (Vec<Verdict>, bool) {
        let state =
            |windows: &Self, charge: &Take<'_>| windows.state(charge.key, charge.quota, now);
        let before: Vec<_> = charges.iter().map(|charge| state(self, charge)).collect();
        let mut admitted = true;
        let mut verdicts = Vec::with_capacity(charges.len());
        for charge in charges {
            let mut state = state(self, charge);
            let verdict = state.admit(charge.quota.without(charge.kept), charge.cost, now);
            admitted &= verdict.met || !charge.enforced;
            if verdict.met && charge.cost > 0 {
                self.states.insert(charge.key.to_owned(), state);
            }
            verdicts.push(verdict);
        }
        if !admitted || !keeps {
            // The first copy of a state that several charges share is the one before all of them.
            for (charge, state) in charges.iter().zip(before).rev() {
                self.put(charge.key, state);
            }
            for (charge, verdict) in charges.iter().zip(&mut verdicts) {
                if verdict.met {
                    let quota = charge.quota.without(charge.kept);
                    *verdict = state(self, charge).check(quota, 0, now);
                }
            }
        }
        (verdicts, admitted)
    }

    /// The verdict on a request for one permit of `key`, without taking it.
    pub fn look(&self, key: &str, quota: Quota, now: Timestamp) -> Verdict {
        self.state(key, quota, now).check(quota, 1, now)
    }

    /// Gives back up to `permits` of those that count in the window, the oldest first.
    pub fn give_back(&mut self, key: &str, quota: Quota, permits: u64, now: Timestamp) {
        let mut state = self.state(key, quota, now);
        state.forget(quota, now);
        state.give_back_oldest(permits);
        self.put(key, state);
    }

    /// Charges permits without a check, even if that exceeds what is left.
    pub fn charge(&mut self, key: &str, quota: Quota, permits: u64, now: Timestamp) {
        if permits > 0 {
            let mut state = self.state(key, quota, now);
            state.charge(quota, permits, now);
            self.put(key, state);
        }
    }

    /// Forgets a subject.
    pub fn forget(&mut self, key: &str) {
        self.states.remove(key);
    }

    fn put(&mut self, key: &str, state: State) {
        match state.is_empty() {
            true => self.states.remove(key),
            false => self.states.insert(key.to_owned(), state),
        }
    }

    fn state(&self, key: &str, quota: Quota, now: Timestamp) -> State {
        let mut state = self.states.get(key).cloned().unwrap_or_default();
        // The clock went back: what is counted in its future counts as now.
        if state.seen() > now + TOLERANCE {
            state.mend(Cut::of(quota.window), false, now);
        }
        state
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const QUOTA: Quota = Quota {
        permits: 5,
        window: Duration::from_secs(60),
    };

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000_000 + ms)
    }

    fn take(key: &str, cost: u64) -> Take<'_> {
        Take {
            key,
            quota: QUOTA,
            kept: 0,
            cost,
            enforced: true,
        }
    }

    fn one(windows: &mut Windows, key: &str, cost: u64, now: Timestamp) -> Verdict {
        windows.admit(&[&take(key, cost)], now).pop().unwrap()
    }

    #[test]
    fn the_whole_quota_passes_at_once_and_no_more_in_a_window() {
        let mut windows = Windows::new(10);
        for left in (0..5).rev() {
            let verdict = one(&mut windows, "a", 1, at(0));
            assert!(verdict.met);
            assert_eq!(verdict.remaining, left);
        }
        let refused = one(&mut windows, "a", 1, at(0));
        assert!(!refused.met);
        let wait = refused.retry_after;
        assert!(
            !one(
                &mut windows,
                "a",
                1,
                at(0) + wait - Duration::from_millis(1)
            )
            .met
        );
        assert!(one(&mut windows, "a", 1, at(0) + wait).met);
        assert!(one(&mut windows, "b", 5, at(0)).met);
    }

    #[test]
    fn all_are_charged_or_none() {
        let mut windows = Windows::new(10);
        one(&mut windows, "ip", 4, at(0));
        let verdicts = windows.admit(&[&take("user", 2), &take("ip", 2)], at(0));
        assert_eq!((verdicts[0].met, verdicts[0].remaining), (true, 5));
        assert_eq!((verdicts[1].met, verdicts[1].remaining), (false, 1));
        let verdicts = windows.admit(&[&take("user", 2), &take("ip", 1)], at(0));
        assert_eq!((verdicts[0].remaining, verdicts[1].remaining), (3, 0));
        // Two charges on one state.
        let verdicts = windows.admit(&[&take("x", 3), &take("x", 3)], at(0));
        assert_eq!((verdicts[0].met, verdicts[1].met), (true, false));
        assert_eq!(windows.look("x", QUOTA, at(0)).remaining, 5);
    }

    #[test]
    fn what_is_given_back_can_be_taken_again_and_no_more() {
        let mut windows = Windows::new(10);
        one(&mut windows, "a", 4, at(0));
        windows.give_back("a", QUOTA, 2, at(0));
        assert_eq!(windows.look("a", QUOTA, at(0)).remaining, 3);
        windows.give_back("a", QUOTA, 100, at(0));
        assert_eq!(windows.look("a", QUOTA, at(0)).remaining, 5);
        assert!(windows.states.is_empty());
    }

    #[test]
    fn what_became_known_later_is_charged_whatever_is_left() {
        let mut windows = Windows::new(10);
        one(&mut windows, "a", 1, at(0));
        windows.charge("a", QUOTA, 3, at(0));
        assert_eq!(windows.look("a", QUOTA, at(0)).remaining, 1);
        windows.charge("a", QUOTA, 100, at(0));
        assert!(!windows.look("a", QUOTA, at(0)).met);
        assert!(windows.look("a", QUOTA, at(70_000)).met);
    }

    #[test]
    fn a_clock_that_jumps_back_holds_nobody_off_for_long() {
        let mut windows = Windows::new(10);
        one(&mut windows, "a", 5, at(9_000_000));
        let refused = one(&mut windows, "a", 1, at(0));
        assert!(!refused.met);
        assert!(refused.retry_after <= Duration::from_secs(80));
    }

    #[test]
    fn memory_is_bounded() {
        let mut windows = Windows::new(100);
        for n in 0..10_000 {
            one(&mut windows, &n.to_string(), 1, at(0));
        }
        assert!(windows.states.len() <= 100);
    }
}

//! Penalties: a client that goes on sending requests after refusals is held for a time that grows.
//! While a client is held, the limit refuses all its requests.
//!
//! Refusals are counted in the isolate: nearly all refusals after the first come from its deny
//! cache, so a hold costs no store call. A hold is never extended while it lasts, so the retry time
//! that the client was given stays correct.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::recent::Recent;

use super::sliding_window::TOLERANCE;

/// After how many refusals a client is held, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Penalty {
    /// The number of refusals within a window that start a hold.
    pub after: u64,
    /// The length of the first hold; each further hold is twice as long as the one before.
    pub hold: Duration,
    /// The longest hold. A client that has not been held for this long starts again with the first
    /// hold.
    pub max: Duration,
}

impl Penalty {
    /// A penalty in which `after` refusals within a window start a hold of `hold`; each further
    /// hold is twice as long as the one before, up to `max`.
    pub const fn new(after: u64, hold: Duration, max: Duration) -> Self {
        Self { after, hold, max }
    }
}

/// The clients that were refused lately, by the key of the limit's state. Bounded: an evicted
/// client starts anew.
#[derive(Debug)]
pub struct Penalties {
    records: Recent<Record>,
}

#[derive(Debug, Clone, Copy)]
struct Record {
    /// When the count of refusals began.
    since: Timestamp,
    refusals: u64,
    /// The number of holds so far.
    holds: u32,
    /// The beginning and the end of the latest hold.
    held: Option<(Timestamp, Timestamp)>,
}

impl Penalties {
    /// Remembers at most `capacity` clients.
    pub fn new(capacity: usize) -> Self {
        Self {
            records: Recent::new(capacity),
        }
    }

    /// The end of the hold of `key`, if it is held at `now`.
    pub fn held_until(&self, key: &str, now: Timestamp) -> Option<Timestamp> {
        let (from, until) = self.records.get(key)?.held?;
        // A clock that went back by more than clocks may differ must not make a hold longer.
        (now < until && now + TOLERANCE >= from).then_some(until)
    }

    /// Counts a refusal of `key` by a limit with this window. Returns the end of the hold, if the
    /// client is held now.
    pub fn refused(
        &mut self,
        key: &str,
        rule: Penalty,
        window: Duration,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let fresh = Record {
            since: now,
            refusals: 0,
            holds: 0,
            held: None,
        };
        let mut record = self.records.get(key).copied().unwrap_or(fresh);
        if let Some(until) = self.held_until(key, now) {
            return Some(until);
        }
        let over = record.held.map(|(_, until)| until);
        if over.is_some_and(|until| now.since(until) >= rule.max) {
            record = fresh;
        }
        if now.since(record.since) >= window || now + TOLERANCE < record.since {
            (record.since, record.refusals) = (now, 0);
        }
        record.refusals += 1;
        let mut held_until = None;
        if record.refusals >= rule.after {
            let hold = rule.hold.saturating_mul(1 << record.holds.min(31));
            let until = now + hold.min(rule.max.max(rule.hold));
            held_until = Some(until);
            record = Record {
                since: until,
                refusals: 0,
                holds: record.holds.saturating_add(1),
                held: Some((now, until)),
            };
        }
        self.records.insert(key.to_owned(), record);
        held_until
    }

    /// Forgets a client.
    pub fn forget(&mut self, key: &str) {
        self.records.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);
    const RULE: Penalty = Penalty {
        after: 3,
        hold: Duration::from_secs(60),
        max: Duration::from_secs(200),
    };

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000_000 + seconds * 1_000)
    }

    /// Refuses until a hold begins, and returns its end.
    fn hold(penalties: &mut Penalties, now: Timestamp) -> Timestamp {
        assert_eq!(penalties.refused("a", RULE, WINDOW, now), None);
        assert_eq!(penalties.refused("a", RULE, WINDOW, now), None);
        penalties.refused("a", RULE, WINDOW, now).unwrap()
    }

    #[test]
    fn holds_off_after_so_many_refusals_to_the_millisecond() {
        let mut penalties = Penalties::new(8);
        assert_eq!(hold(&mut penalties, at(0)), at(60));
        let last = at(60) - Duration::from_millis(1);
        assert_eq!(penalties.held_until("a", at(0)), Some(at(60)));
        assert_eq!(penalties.held_until("a", last), Some(at(60)));
        assert_eq!(penalties.held_until("a", at(60)), None);
        assert_eq!(penalties.held_until("b", at(0)), None);
    }

    #[test]
    fn refusals_that_are_a_window_apart_bring_no_hold() {
        let mut penalties = Penalties::new(8);
        for n in 0..20 {
            assert_eq!(penalties.refused("a", RULE, WINDOW, at(n * 31)), None);
        }
    }

    #[test]
    fn holds_double_up_to_the_longest_and_good_behaviour_is_rewarded() {
        let mut penalties = Penalties::new(8);
        let mut now = at(0);
        for seconds in [60, 120, 200, 200] {
            let until = hold(&mut penalties, now);
            assert_eq!(until, now + Duration::from_secs(seconds));
            now = until;
        }
        now = now + RULE.max;
        assert_eq!(hold(&mut penalties, now), now + RULE.hold);
    }

    #[test]
    fn a_refusal_during_a_hold_changes_nothing() {
        let mut penalties = Penalties::new(8);
        let until = hold(&mut penalties, at(0));
        for second in 0..60 {
            let told = penalties.refused("a", RULE, WINDOW, at(second));
            assert_eq!(told, Some(until));
        }
        assert_eq!(hold(&mut penalties, until), until + 2 * RULE.hold);
    }

    #[test]
    fn a_clock_that_jumps_back_holds_nobody_off() {
        let mut penalties = Penalties::new(8);
        hold(&mut penalties, at(1_000));
        assert_eq!(penalties.held_until("a", at(10)), None);
        assert_eq!(hold(&mut penalties, at(10)), at(10) + 2 * RULE.hold);
    }

    #[test]
    fn memory_is_bounded() {
        let mut penalties = Penalties::new(100);
        for n in 0..10_000 {
            penalties.refused(&n.to_string(), RULE, WINDOW, at(0));
        }
        assert!(penalties.records.len() <= 100);
    }
}

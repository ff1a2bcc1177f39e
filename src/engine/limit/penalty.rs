//! Penalties: a client that goes on after refusals is held off for a time that grows.
//!
//! Counted in the isolate, where nearly all refusals after the first are remembered ones: a hold
//! costs no store call. A hold is never made longer while it lasts, so what the client was told
//! stays true.

use std::time::Duration;

use quick_cache::unsync::Cache;

use crate::clock::Timestamp;

use super::sliding_window::TOLERANCE;

/// When a client is held off, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Penalty {
    /// So many refusals inside a window bring a hold.
    pub after: u64,
    /// How long the first hold is; each further one is twice as long.
    pub hold: Duration,
    /// The longest hold. A client that was not held for as long again starts anew.
    pub max: Duration,
}

impl Penalty {
    /// `after` refusals inside a window bring a hold of `hold`; each further one is twice as long,
    /// up to `max`.
    pub const fn new(after: u64, hold: Duration, max: Duration) -> Self {
        Self { after, hold, max }
    }
}

/// The clients that were refused lately, by the key of the limit's state. Bounded: who is evicted
/// starts anew.
#[derive(Debug)]
pub struct Penalties {
    records: Cache<String, Record>,
}

#[derive(Debug, Clone, Copy)]
struct Record {
    /// Since when refusals are counted.
    since: Timestamp,
    refusals: u64,
    /// How many holds there were.
    holds: u32,
    /// From when until when it is held off.
    held: Option<(Timestamp, Timestamp)>,
}

impl Penalties {
    /// Remembers at most `capacity` clients.
    pub fn new(capacity: usize) -> Self {
        Self {
            records: Cache::new(capacity),
        }
    }

    /// Until when `key` is held off, if it is.
    pub fn held_until(&self, key: &str, now: Timestamp) -> Option<Timestamp> {
        let (from, until) = self.records.get(key)?.held?;
        // A clock that went back further than clocks differ must not hold anybody off for longer.
        (now < until && now + TOLERANCE >= from).then_some(until)
    }

    /// Counts a refusal of `key`, on a limit with this window. Until when that holds it off, if it
    /// does.
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

    /// Refuses until a hold begins, and says until when it lasts.
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

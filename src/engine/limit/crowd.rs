//! Requests of one subject that come at once. While a store call about the subject is on its way,
//! the others wait, and the next call asks for permits for all of them.
//!
//! Nobody waits for another request, only for time to pass: whoever looks again and finds permits
//! spends them, and the first who finds neither permits nor a call on its way makes the next call.
//! So a request that is dropped halfway holds nobody for longer than a call may take.

use std::time::Duration;

use crate::clock::{Timestamp, millis};
use crate::engine::recent::Recent;

use super::sliding_window::Cut;

/// Permits for those who wait must last until they look again, which is after at most this time, in
/// milliseconds.
const LONGEST_PAUSE: u64 = 25;

/// How long until who waits looks again, at first, in milliseconds.
const SHORTEST_PAUSE: u64 = 5;

/// The calls that are on their way, by the key of the limit's state, and who waits for them.
///
/// Bounded: those who wait for a call that was evicted make their own.
#[derive(Debug)]
pub struct Crowds {
    crowds: Recent<Crowd>,
    /// The number of the latest call.
    round: u64,
    /// How many calls are on their way, of all subjects, and when the latest of them is over.
    calls: u32,
    until: Timestamp,
    /// How many calls have failed.
    failures: u64,
    /// How long a call takes, about, in milliseconds.
    call_takes: u64,
}

#[derive(Debug, Clone, Default)]
struct Crowd {
    /// How many calls are on their way.
    calls: u32,
    /// When the latest of them is over, whatever becomes of it.
    until: Timestamp,
    /// The numbers of the latest call, and of the one before.
    round: u64,
    before: u64,
    /// Who has begun to wait since then, and how many permits they need.
    waiting: Waiting,
}

/// Requests that wait, and how many permits they need.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// How many requests.
    pub requests: u32,
    /// How many permits.
    pub permits: u64,
}

/// How a request waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Patience {
    waited: Duration,
    /// The latest call and the failures when the request was counted among those who wait.
    counted: Option<(u64, u64)>,
}

impl Patience {
    /// How long it waits before it looks again.
    pub fn pause(self) -> Duration {
        let pause = SHORTEST_PAUSE + millis(self.waited) / 4;
        Duration::from_millis(pause.min(LONGEST_PAUSE))
    }

    /// How long it has waited.
    pub const fn waited(self) -> Duration {
        self.waited
    }

    /// It waits for another pause.
    #[must_use]
    pub const fn after(self, pause: Duration) -> Self {
        Self {
            waited: self.waited.saturating_add(pause),
            ..self
        }
    }
}

impl Crowds {
    /// Remembers at most `capacity` subjects.
    pub fn new(capacity: usize) -> Self {
        Self {
            crowds: Recent::new(capacity),
            round: 0,
            calls: 0,
            until: Timestamp::default(),
            failures: 0,
            call_takes: 0,
        }
    }

    /// Whether no call is on its way, so that nobody waits.
    pub fn are_idle(&self, now: Timestamp) -> bool {
        self.calls == 0 || now >= self.until
    }

    /// Records that a call about `key` has begun, and is over by `until`. It asks for those who
    /// wait, beside the request of `cost` that makes it and has waited with this `patience`.
    pub fn begun(
        &mut self,
        key: &str,
        (cost, patience): (u64, Patience),
        until: Timestamp,
        now: Timestamp,
    ) -> Waiting {
        self.round += 1;
        // Those that were dropped halfway are over.
        self.calls = if self.are_idle(now) { 0 } else { self.calls };
        self.calls = self.calls.saturating_add(1);
        self.until = self.until.max(until);
        let round = self.round;
        let begin = |crowd: &mut Crowd| {
            crowd.calls = if crowd.is_busy(now) { crowd.calls } else { 0 };
            crowd.calls = crowd.calls.saturating_add(1);
            crowd.until = until;
            let counted = patience.counted.map(|(round, _)| round);
            if counted.is_some_and(|counted| counted >= crowd.round) {
                crowd.waiting.requests = crowd.waiting.requests.saturating_sub(1);
                crowd.waiting.permits = crowd.waiting.permits.saturating_sub(cost);
            }
            (crowd.before, crowd.round) = (crowd.round, round);
            std::mem::take(&mut crowd.waiting)
        };
        if let Some(waiting) = self.crowds.change(key, begin) {
            return waiting;
        }
        let mut crowd = Crowd::default();
        let waiting = begin(&mut crowd);
        self.crowds.insert(key.to_owned(), crowd);
        waiting
    }

    /// Records that a call about `key` was answered, or that nobody waits for its answer any more.
    pub fn ended(&mut self, key: &str) {
        self.calls = self.calls.saturating_sub(1);
        let is_over = self.crowds.change(key, |crowd| {
            crowd.calls = crowd.calls.saturating_sub(1);
            crowd.calls == 0 && crowd.waiting.requests == 0
        });
        if is_over == Some(true) {
            self.crowds.remove(key);
        }
    }

    /// Records that a call has failed: everybody who waits goes its own way. Returns how many
    /// requests wait for the next call about `key`.
    pub fn failed(&mut self, key: &str) -> u32 {
        self.failures += 1;
        let waiting = self.crowds.peek(key).map(|crowd| crowd.waiting.requests);
        waiting.unwrap_or(0)
    }

    /// Records how long a call took.
    pub fn took(&mut self, call: Duration) {
        self.call_takes = (self.call_takes * 3 + millis(call)) / 4;
    }

    /// Whether permits of a limit with this window can be lent to those who wait, and last until
    /// they look again.
    pub fn can_share(&self, window: Duration) -> bool {
        millis(Cut::of(window).shortest_lease()) >= self.call_takes * 2 + LONGEST_PAUSE
    }

    /// Whether a call about `key` is on its way.
    pub fn is_busy(&self, key: &str, now: Timestamp) -> bool {
        let crowd = self.crowds.peek(key);
        crowd.is_some_and(|crowd| crowd.is_busy(now))
    }

    /// Whether the call about `key` that is on its way asks for this request, which has waited for
    /// it.
    pub fn is_asked_for(&self, key: &str, patience: Patience, now: Timestamp) -> bool {
        let Some((round, _)) = patience.counted else {
            return false;
        };
        let crowd = self.crowds.peek(key);
        crowd.is_some_and(|c| c.is_busy(now) && (c.before..c.round).contains(&round))
    }

    /// Whether this request may wait: no call has failed since it began to.
    pub fn is_patient(&self, patience: Patience) -> bool {
        let failures = patience.counted.map(|(_, failures)| failures);
        failures.is_none_or(|failures| failures == self.failures)
    }

    /// Counts a request of `cost` among those who wait for the next call about `key`, unless it is
    /// already, or the call that is on its way asks for it.
    pub fn joined(&mut self, key: &str, cost: u64, patience: Patience) {
        self.crowds.change(key, |crowd| {
            let round = patience.counted.map(|(round, _)| round);
            let is_counted = round.is_some_and(|round| round >= crowd.before);
            if !is_counted {
                crowd.waiting.requests = crowd.waiting.requests.saturating_add(1);
                crowd.waiting.permits = crowd.waiting.permits.saturating_add(cost);
            }
        });
    }

    /// The patience of a request that was counted now, or before.
    #[must_use]
    pub fn counted(&self, key: &str, patience: Patience) -> Patience {
        let before = self.crowds.peek(key).map_or(0, |crowd| crowd.before);
        let round = match patience.counted {
            Some((round, _)) if round >= before => round,
            _ => self.round,
        };
        Patience {
            counted: Some((round, self.failures)),
            ..patience
        }
    }
}

impl Crowd {
    fn is_busy(&self, now: Timestamp) -> bool {
        self.calls > 0 && now < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + ms)
    }

    /// Counts a request that waits, and returns its patience.
    fn join(crowds: &mut Crowds, cost: u64, patience: Patience) -> Patience {
        crowds.joined("k", cost, patience);
        crowds.counted("k", patience)
    }

    /// A call of a request that has not waited.
    fn begun(crowds: &mut Crowds, until: Timestamp, now: Timestamp) -> Waiting {
        crowds.begun("k", (1, Patience::default()), until, now)
    }

    fn waiting(requests: u32, permits: u64) -> Waiting {
        Waiting { requests, permits }
    }

    #[test]
    fn the_next_call_asks_for_all_who_wait() {
        let mut crowds = Crowds::new(10);
        assert!(!crowds.is_busy("k", at(0)));
        assert_eq!(begun(&mut crowds, at(100), at(0)), Waiting::default());
        assert!(crowds.is_busy("k", at(0)) && !crowds.is_busy("l", at(0)));
        let one = join(&mut crowds, 1, Patience::default());
        join(&mut crowds, 5, Patience::default());
        let one = join(&mut crowds, 1, one);
        assert!(!crowds.is_asked_for("k", one, at(50)));
        crowds.ended("k");
        assert!(!crowds.is_busy("k", at(50)));
        assert_eq!(begun(&mut crowds, at(150), at(50)), waiting(2, 6));
        assert!(crowds.is_asked_for("k", one, at(149)) && !crowds.is_asked_for("k", one, at(150)));
        assert!(!crowds.is_asked_for("k", Patience::default(), at(50)));
        let one = join(&mut crowds, 1, one);
        join(&mut crowds, 2, Patience::default());
        crowds.ended("k");
        let next = begun(&mut crowds, at(150), at(50));
        assert_eq!(next, waiting(1, 2), "the call before has asked for it");
        assert!(!crowds.is_asked_for("k", one, at(50)));
        join(&mut crowds, 1, one);
        crowds.ended("k");
        let next = begun(&mut crowds, at(150), at(50));
        assert_eq!(next, waiting(1, 1), "it got none");
    }

    #[test]
    fn who_makes_the_call_after_a_wait_asks_for_itself_once() {
        let mut crowds = Crowds::new(10);
        begun(&mut crowds, at(100), at(0));
        let one = join(&mut crowds, 3, Patience::default());
        join(&mut crowds, 1, Patience::default());
        crowds.ended("k");
        let others = crowds.begun("k", (3, one), at(150), at(50));
        assert_eq!(others, waiting(1, 1));
    }

    #[test]
    fn a_call_that_was_dropped_is_waited_for_until_its_deadline() {
        let mut crowds = Crowds::new(10);
        begun(&mut crowds, at(100), at(0));
        assert!(crowds.is_busy("k", at(99)) && !crowds.is_busy("k", at(100)));
        begun(&mut crowds, at(200), at(100));
        crowds.ended("k");
        assert!(
            !crowds.is_busy("k", at(101)),
            "the dropped one does not count"
        );
    }

    #[test]
    fn a_failure_sends_away_those_who_waited_and_nobody_else() {
        let mut crowds = Crowds::new(10);
        begun(&mut crowds, at(100), at(0));
        let one = join(&mut crowds, 1, Patience::default());
        assert!(crowds.is_patient(one));
        assert_eq!(crowds.failed("k"), 1);
        assert!(!crowds.is_patient(one) && crowds.is_patient(Patience::default()));
    }

    #[test]
    fn who_waits_looks_again_often_and_permits_last_as_long() {
        let mut patience = Patience::default();
        let mut pauses = 0;
        while patience.waited() < SECOND {
            let pause = patience.pause();
            assert!((SHORTEST_PAUSE..=LONGEST_PAUSE).contains(&millis(pause)));
            patience = patience.after(pause);
            pauses += 1;
        }
        assert!(pauses < 60, "{pauses}");
        let mut crowds = Crowds::new(1);
        assert!(crowds.can_share(SECOND) && !crowds.can_share(SECOND / 10));
        for _ in 0..20 {
            crowds.took(SECOND / 10);
        }
        assert!(crowds.can_share(SECOND * 10) && !crowds.can_share(SECOND));
    }
}

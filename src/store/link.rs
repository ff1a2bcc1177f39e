//! What an isolate knows of its store: whether to ask it, how far the isolate's own clock is off,
//! and the ids of its calls.

use std::iter;
use std::time::Duration;

use crate::clock::{Timestamp, millis};
use crate::engine::breaker::{Breaker, Status};
use crate::engine::limit::sliding_window::TOLERANCE;
use crate::error::Error;
use crate::redis::Value;

use super::ask::Ask;
use super::reply::Reply;

/// So many failures at once open the circuit breaker.
const MOST_FAILURES: u32 = 3;

/// The connection of an isolate to its store, which may be absent.
#[derive(Debug)]
pub struct Link {
    exists: bool,
    breaker: Breaker,
    clock: ClockGuard,
    ids: Ids,
    timeout: Duration,
}

impl Link {
    /// The link to a store whose calls take at most `timeout`. `seed` is a random number, so that
    /// no two isolates use the same ids for their calls.
    pub fn new(timeout: Duration, seed: u64) -> Self {
        Self {
            exists: true,
            breaker: Breaker::new(timeout),
            clock: ClockGuard::default(),
            ids: Ids(seed),
            timeout,
        }
    }

    /// A link without a store: the isolate decides everything.
    pub fn absent(seed: u64) -> Self {
        Self {
            exists: false,
            ..Self::new(Duration::ZERO, seed)
        }
    }

    /// Whether there is a store.
    pub const fn exists(&self) -> bool {
        self.exists
    }

    /// Whether there is a store and its circuit breaker is closed.
    pub fn is_up(&self) -> bool {
        self.exists && self.breaker.status() == Status::Closed
    }

    /// The state of the circuit breaker; `None` if there is no store.
    pub fn status(&self) -> Option<Status> {
        self.exists.then(|| self.breaker.status())
    }

    /// Whether the store may be asked now. While it fails, one call at a time is let through as a
    /// probe.
    pub fn allows(&mut self, now: Timestamp) -> bool {
        self.exists && self.breaker.allows(now)
    }

    /// The correction of the isolate's clock, in milliseconds.
    pub const fn correction_ms(&self) -> i64 {
        self.clock.correction_ms()
    }

    /// How long the store will not be asked yet; `None` if there is none.
    pub fn down_for(&self, now: Timestamp) -> Option<Duration> {
        self.exists.then(|| self.breaker.retry_after(now))
    }

    /// The corrected time, given what the isolate's clock shows.
    pub fn now(&self, local_now: Timestamp) -> Timestamp {
        self.clock.correct(local_now)
    }

    /// A call of the script that states the time, and asks for the store's clock if that is due.
    pub fn call(&mut self, now: Timestamp) -> Ask {
        let id = self.ids.next();
        let mut ask = Ask::new(now, &id, self.timeout, self.clock.is_due(now));
        ask.correction_ms = self.clock.correction_ms();
        ask
    }

    /// The longest that a call takes.
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The call that has failed was for so many requests more: the circuit breaker counts each of
    /// them.
    pub fn failed_for(&mut self, requests: u32, local_now: Timestamp) {
        let now = self.now(local_now);
        for _ in 0..requests.min(MOST_FAILURES) {
            self.breaker.failed(now, false);
        }
    }

    /// The longest that a call takes, with what precedes and follows it.
    pub const fn longest_call(&self) -> Duration {
        self.timeout.saturating_mul(2)
    }

    /// Takes the result of a call: updates the circuit breaker and the clock. Returns the reply, if
    /// there is one, and the corrected time at which it was received.
    pub fn received(
        &mut self,
        ask: &Ask,
        reply: Result<Value, Error>,
        local_now: Timestamp,
    ) -> Option<(Reply, Timestamp)> {
        let reply = reply.map_err(|error| error.kind().is_lasting());
        match reply.and_then(|value| ask.read(value).ok_or(false)) {
            Ok(reply) => {
                self.breaker.succeeded();
                if let Some(offset) = reply.clock_offset {
                    let took = ask.took(local_now);
                    self.clock.learn(offset, ask.correction_ms, took, local_now);
                }
                Some((reply, self.now(local_now)))
            }
            Err(lasting) => {
                self.breaker.failed(self.now(local_now), lasting);
                None
            }
        }
    }

    /// Takes the result of a call other than one of the script: updates the circuit breaker.
    pub fn heard(&mut self, error: Option<&Error>, now: Timestamp) {
        match error {
            None => self.breaker.succeeded(),
            Some(error) => self.breaker.failed(now, error.kind().is_lasting()),
        }
    }

    /// A number that is unlikely to be repeated, in this isolate or in another.
    pub const fn random(&mut self) -> u64 {
        self.ids.random()
    }

    /// When a call was made, by the clock as it is corrected now.
    pub fn asked_at(&self, ask: &Ask) -> Timestamp {
        let since = self.clock.correction_ms().saturating_sub(ask.correction_ms);
        Timestamp::from_millis(ask.now.as_millis().saturating_add_signed(since))
    }
}

/// Ids of calls: a capital letter, then five small letters and digits. So the end of one id and the
/// beginning of the next never make a third, and an id in small letters is none.
#[derive(Debug)]
struct Ids(u64);

impl Ids {
    /// The next id.
    fn next(&mut self) -> String {
        const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        let mut z = self.random();
        let mut letter = |of: u64| {
            let at = usize::try_from(z % of).unwrap_or_default();
            z /= of;
            char::from(LETTERS.get(at).copied().unwrap_or(b'a'))
        };
        let first = letter(26).to_ascii_uppercase();
        iter::once(first)
            .chain((0..5).map(|_| letter(36)))
            .collect()
    }

    /// SplitMix64: a pseudo-random sequence without repetition.
    const fn random(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// How often the isolate's clock is compared with the store's.
const CLOCK_CHECK: Duration = Duration::from_secs(600);

/// The isolate's clock, corrected by the store's if the two are too far apart.
///
/// Isolates share limits and entries, so their clocks must agree. They all can ask the store for
/// its clock; that costs a command, so they ask rarely.
#[derive(Debug, Default)]
struct ClockGuard {
    offset_ms: i64,
    next_check: Option<Timestamp>,
}

impl ClockGuard {
    /// The corrected time, given what the isolate's clock shows.
    fn correct(&self, local_now: Timestamp) -> Timestamp {
        Timestamp::from_millis(local_now.as_millis().saturating_add_signed(self.offset_ms))
    }

    /// Whether it is time to ask for the store's clock.
    fn is_due(&self, now: Timestamp) -> bool {
        self.next_check
            .is_none_or(|at| now >= at || at.since(now) > CLOCK_CHECK)
    }

    /// The correction of the isolate's clock, in milliseconds.
    const fn correction_ms(&self) -> i64 {
        self.offset_ms
    }

    /// Learns that the store's clock is `offset_ms` ahead of the time that an [`Ask`] stated, which
    /// was corrected by `correction_ms`; its reply came after the call `took` this long. The
    /// isolate's clock shows `local_now`.
    ///
    /// The store has looked at its clock at some instant of the call, so its clock is ahead by
    /// `offset_ms` at most, and at least by that less what the call took: a call that is slow is no
    /// clock that is off (Cristian's algorithm).
    ///
    /// Several replies may report the same error of the clock, so each gives the whole correction,
    /// and corrections are not added up.
    fn learn(&mut self, offset_ms: i64, correction_ms: i64, took: Duration, local_now: Timestamp) {
        let (tolerance, took_ms) = (signed(TOLERANCE), signed(took));
        let most = correction_ms.saturating_add(offset_ms);
        let least = most.saturating_sub(took_ms);
        let is_off = self.offset_ms < least.saturating_sub(tolerance)
            || self.offset_ms > most.saturating_add(tolerance);
        if is_off {
            self.offset_ms = most.saturating_sub(took_ms / 2);
        }
        // A slow call tells little: the next one is to ask again.
        if is_off || took <= TOLERANCE {
            self.next_check = Some(self.correct(local_now) + CLOCK_CHECK);
        }
    }
}

/// A time in milliseconds, to be added to an instant or taken from it.
fn signed(time: Duration) -> i64 {
    i64::try_from(millis(time)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE: Duration = Duration::ZERO;

    #[test]
    fn a_clock_that_is_off_is_corrected_and_one_that_is_not_is_left_alone() {
        let mut clock = ClockGuard::default();
        let at = Timestamp::from_millis;
        assert!(clock.is_due(at(0)));
        clock.learn(-900, 0, AT_ONCE, at(1_000));
        assert_eq!(clock.correct(at(1_000)), at(1_000));
        assert!(!clock.is_due(at(600_999)));
        assert!(clock.is_due(at(601_000)));
        clock.learn(-300_000, 0, AT_ONCE, at(601_000));
        assert_eq!(clock.correct(at(601_000)), at(301_000));
        assert!(!clock.is_due(at(301_001)));
        assert!(
            clock.is_due(at(0)),
            "a check far in the future is not waited for"
        );
    }

    #[test]
    fn a_call_that_is_slow_is_no_clock_that_is_off() {
        let at = Timestamp::from_millis;
        let took = Duration::from_millis;
        let mut clock = ClockGuard::default();
        // The store was asked at 1,000 and reached at 2,830, or somewhere in between.
        clock.learn(1_830, 0, took(1_900), at(2_900));
        assert_eq!(clock.correct(at(2_900)), at(2_900));
        assert!(clock.is_due(at(2_900)), "that has told too little");
        clock.learn(100, 0, took(200), at(3_000));
        assert!(!clock.is_due(at(3_001)));
        // A clock that is off is set right to within half of the call.
        clock.learn(60_400, 0, took(400), at(4_000));
        assert_eq!(clock.correct(at(4_000)), at(64_200));
        // The correction was made while this call was under way.
        clock.learn(60_900, 0, took(1_000), at(4_500));
        assert_eq!(clock.correct(at(4_500)), at(64_700));
        clock.learn(-60_200, 60_200, took(0), at(5_000));
        assert_eq!(clock.correct(at(5_000)), at(5_000));
    }

    #[test]
    fn ids_of_calls_differ_in_one_isolate_and_between_two() {
        let mut seen = std::collections::HashSet::new();
        for seed in [0, 1, 0x9e37_79b9_7f4a_7c15] {
            let mut ids = Ids(seed);
            for _ in 0..1_000 {
                let id = ids.next();
                let (first, rest) = id.split_at(1);
                let small = |b: u8| b.is_ascii_digit() || b.is_ascii_lowercase();
                assert!(first.bytes().all(|b| b.is_ascii_uppercase()), "{id}");
                assert!(rest.len() == 5 && rest.bytes().all(small), "{id}");
                seen.insert(id);
            }
        }
        // The sequence of the third seed continues into that of the first.
        assert!(seen.len() >= 2_000);
    }

    #[test]
    fn answers_that_tell_of_one_error_correct_it_once() {
        let mut clock = ClockGuard::default();
        let at = Timestamp::from_millis;
        for _ in 0..10 {
            clock.learn(-300_000, 0, AT_ONCE, at(601_000));
        }
        assert_eq!(clock.correct(at(601_000)), at(301_000));
        clock.learn(5, clock.correction_ms(), AT_ONCE, at(602_000));
        assert_eq!(clock.correct(at(602_000)), at(302_000));
    }
}

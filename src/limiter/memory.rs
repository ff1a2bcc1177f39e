//! What an isolate remembers about limits between requests: plain data with deadlines, no futures, no
//! locks.

use std::time::Duration;

use quick_cache::unsync::Cache;

use crate::clock::{Timestamp, millis};
use crate::engine::breaker::{Breaker, Status};
use crate::engine::limit::deny_cache::DenyCache;
use crate::engine::limit::fallback::Fallback;
use crate::engine::limit::lease::Leases;
use crate::engine::limit::penalty::Penalties;
use crate::engine::limit::sliding_window::{LONGEST_LEASE, TOLERANCE};
use crate::engine::registry::Standing;

use super::{Ask, Granted, Reply};
use crate::error::Error;
use crate::redis::Value;

/// How many subjects each part remembers.
const SUBJECTS: usize = 10_000;

/// For how long a key's standing is believed without asking: no longer than permits are lent.
const STANDING: Duration = LONGEST_LEASE;

/// After how long it is looked again whether permits can go back to a store that fails.
const STORE_DOWN: Duration = Duration::from_secs(2);

/// The memory of an isolate.
#[derive(Debug)]
pub struct Memory {
    /// Whether the store is worth asking.
    pub breaker: Breaker,
    /// Refusals that are still true.
    pub denied: DenyCache,
    /// The local limits.
    pub fallback: Fallback,
    /// Permits that were fetched ahead.
    pub leases: Leases,
    /// Clients that are held off.
    pub penalties: Penalties,
    /// How far this isolate's clock is off.
    pub clock: ClockGuard,
    standings: Cache<String, (Standing, Timestamp)>,
    ids: Ids,
    store_timeout: Duration,
    /// Until when somebody waits to return unspent permits, if anybody does.
    sweeping_until: Option<Timestamp>,
}

impl Memory {
    /// An empty memory. `store_timeout` is the deadline of a store call; `seed` a random number, so
    /// that no two isolates give their calls the same ids.
    pub fn new(store_timeout: Duration, seed: u64) -> Self {
        Self {
            breaker: Breaker::new(store_timeout),
            denied: DenyCache::new(SUBJECTS),
            fallback: Fallback::new(SUBJECTS),
            leases: Leases::new(SUBJECTS),
            penalties: Penalties::new(SUBJECTS),
            clock: ClockGuard::default(),
            standings: Cache::new(SUBJECTS),
            ids: Ids(seed),
            store_timeout,
            sweeping_until: None,
        }
    }

    /// After how long unspent permits are to be returned that no call has taken back by then; `None`
    /// if there are none, or somebody waits for that already.
    pub fn sweep_after(&mut self, now: Timestamp) -> Option<Duration> {
        let mut wait = self.leases.next_overdue()?.since(now);
        if self.breaker.status() != Status::Closed {
            // They stay overdue until it is back.
            wait = wait.max(STORE_DOWN);
        }
        let until = now + wait + self.patience();
        // One who waits for later ones is too late for these.
        let in_time = |theirs| now < theirs && theirs <= until;
        if self.sweeping_until.is_some_and(in_time) {
            return None;
        }
        self.sweeping_until = Some(until);
        Some(wait)
    }

    /// Whoever waited is there.
    pub const fn swept(&mut self) {
        self.sweeping_until = None;
    }

    /// A call of the script that says what time it is, and asks for it where that is due.
    pub fn call(&mut self, now: Timestamp) -> Ask {
        let id = self.ids.next();
        let mut ask = Ask::new(now, &id, self.store_timeout, self.clock.is_due(now));
        ask.correction_ms = self.clock.correction_ms();
        ask
    }

    /// After how long somebody who asks the store will not come back.
    pub const fn patience(&self) -> Duration {
        self.store_timeout.saturating_mul(2)
    }

    /// How the key with this record stood when the store last said it, and whether that is so recent
    /// that it need not be asked.
    pub fn standing(&self, record: &str, now: Timestamp) -> Option<(&Standing, bool)> {
        let (standing, at) = self.standings.get(record)?;
        Some((standing, now.since(*at) < STANDING))
    }

    /// The store has said how a key stands.
    pub fn learn_standing(&mut self, record: &str, standing: Standing, now: Timestamp) {
        self.standings.insert(record.to_owned(), (standing, now));
    }

    /// The store has lent permits to a call that was made at `asked`.
    pub fn lent(&mut self, key: &str, window: Duration, granted: Granted, asked: Timestamp) {
        let lease = (granted.receipt, granted.permits);
        self.leases
            .granted(key, window, lease, asked, granted.void_after);
    }

    /// Takes what came of a call at `shown` by the isolate's own clock: whether the store is worth asking,
    /// and what time it is. The reply, if there is one, and the time from which on it counts.
    pub fn received(
        &mut self,
        ask: &Ask,
        reply: Result<Value, Error>,
        shown: Timestamp,
    ) -> Option<(Reply, Timestamp)> {
        let reply = reply.map_err(|error| error.kind().is_lasting());
        match reply.and_then(|value| ask.read(value).ok_or(false)) {
            Ok(reply) => {
                self.breaker.succeeded();
                if let Some(offset) = reply.clock_offset {
                    self.clock.learn(offset, ask.correction_ms, shown);
                }
                Some((reply, self.clock.correct(shown)))
            }
            Err(lasting) => {
                self.breaker.failed(self.clock.correct(shown), lasting);
                None
            }
        }
    }

    /// Takes what came of a call that is none of the script, at `now`: whether the store is worth asking.
    pub fn heard(&mut self, error: Option<&Error>, now: Timestamp) {
        match error {
            None => self.breaker.succeeded(),
            Some(error) => self.breaker.failed(now, error.kind().is_lasting()),
        }
    }

    /// A number that is not likely to come again, in this isolate or in another.
    pub const fn random(&mut self) -> u64 {
        self.ids.random()
    }

    /// When a call that was made with this correction of the clock was made, by the clock as it is
    /// corrected now.
    pub fn asked_at(&self, ask: &Ask) -> Timestamp {
        let since = self.clock.correction_ms().saturating_sub(ask.correction_ms);
        Timestamp::from_millis(ask.now.as_millis().saturating_add_signed(since))
    }

    /// Forgets all about a subject.
    pub fn forget(&mut self, key: &str) {
        self.denied.forget(key);
        self.fallback.forget(key);
        self.leases.forget(key);
        self.penalties.forget(key);
    }
}

/// Ids of calls: six letters and digits.
#[derive(Debug)]
struct Ids(u64);

impl Ids {
    /// The next one.
    fn next(&mut self) -> String {
        const LETTERS: &[u8; 62] =
            b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let mut z = self.random();
        let mut letter = || {
            let at = usize::try_from(z % 62).unwrap_or_default();
            z /= 62;
            char::from(LETTERS.get(at).copied().unwrap_or(b'0'))
        };
        (0..6).map(|_| letter()).collect()
    }

    /// SplitMix64: a sequence that does not repeat and looks random.
    const fn random(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
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

    /// The store's clock is `offset_ms` ahead of what an [`Ask`] told it, which was
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
    use crate::engine::limit::Receipt;

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
    fn ids_of_calls_differ_in_one_isolate_and_between_two() {
        let mut seen = std::collections::HashSet::new();
        for seed in [0, 1, 0x9e37_79b9_7f4a_7c15] {
            let mut ids = Ids(seed);
            for _ in 0..1_000 {
                let id = ids.next();
                assert!(id.len() == 6 && id.bytes().all(|b| b.is_ascii_alphanumeric()));
                seen.insert(id);
            }
        }
        // The first sequence goes on where the third one begins.
        assert!(seen.len() >= 2_000);
    }

    fn lend(memory: &mut Memory, key: &str, seconds: u64) {
        let granted = Granted {
            receipt: Receipt {
                tag: "a".to_owned(),
                bucket: 1,
            },
            permits: 5,
            void_after: Duration::from_secs(seconds),
        };
        let asked = Timestamp::from_millis(0);
        memory.lent(key, Duration::from_secs(60), granted, asked);
    }

    #[test]
    fn one_waits_for_what_is_to_go_back_unless_something_is_due_before() {
        let mut memory = Memory::new(Duration::from_millis(150), 1);
        let wait = |memory: &mut Memory, now| {
            let wait = memory.sweep_after(Timestamp::from_millis(now));
            wait.map(millis)
        };
        assert_eq!(wait(&mut memory, 0), None);
        lend(&mut memory, "long", 10);
        assert_eq!(wait(&mut memory, 0), Some(10_500));
        assert_eq!(wait(&mut memory, 1), None);
        lend(&mut memory, "short", 1);
        assert_eq!(wait(&mut memory, 1), Some(1_499));
        assert_eq!(wait(&mut memory, 2), None);
    }

    #[test]
    fn while_the_store_fails_it_is_looked_again_now_and_then() {
        let mut memory = Memory::new(Duration::from_millis(150), 1);
        lend(&mut memory, "k", 1);
        let late = Timestamp::from_millis(5_000);
        memory.breaker.failed(late, true);
        assert_eq!(memory.sweep_after(late), Some(STORE_DOWN));
    }

    #[test]
    fn a_standing_is_believed_for_a_while_and_kept_for_bad_times() {
        let mut memory = Memory::new(Duration::from_millis(150), 1);
        let at = Timestamp::from_millis;
        memory.learn_standing("k", Standing::Unregistered, at(0));
        assert!(memory.standing("k", at(9_999)).unwrap().1);
        assert!(!memory.standing("k", at(10_000)).unwrap().1);
        assert!(memory.standing("l", at(0)).is_none());
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

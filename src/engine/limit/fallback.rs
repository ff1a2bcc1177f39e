//! The isolate's own limiter, used while the store is absent or failing. It is built on `governor`
//! and uses the same keys as the limits themselves.
//!
//! GCRA with burst `b` and one permit each `τ` admits at most `b + ⌊W / τ⌋` permits in a window
//! `W`. Half of the quota is burst (more if one request costs more) and the rest is rate. So the
//! fallback, too, never lets a window hold more than the quota, but it counts the requests of this
//! isolate only.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;
use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota as Rate, RateLimiter};

use crate::clock::{Timestamp, millis};
use crate::engine::recent::Recent;

use super::ledger::Told;
use super::sliding_window::TOLERANCE;
use super::verdict::{Quota, Verdict};

/// Local limiters, one per quota, which share one bounded memory of subjects.
pub struct Fallback {
    quotas: HashMap<Quota, Local, RandomState>,
    clock: GateClock,
    subjects: Subjects,
    known: Recent<Known>,
}

/// What there is for one quota.
#[derive(Default)]
struct Local {
    /// The largest cost that is expected of a request.
    largest_cost: u64,
    /// Made for the first request.
    limiter: Option<Limiter>,
}

/// The store's last verdict on a subject.
#[derive(Debug, Clone)]
struct Known {
    verdict: Verdict,
    /// The quota of the request that it was about.
    permits: u64,
    at: Timestamp,
    /// Whether the subject's local state has been adjusted to this verdict.
    settled: bool,
}

/// The charge that one request brings to one local limit.
#[derive(Debug, Clone, Copy)]
pub struct Take<'a> {
    /// The key of the limit's state, in the store and in the isolate's memory.
    pub key: &'a str,
    /// The whole quota.
    pub quota: Quota,
    /// The percentage of the quota that is kept for other requests.
    pub kept: u64,
    /// The cost, in permits.
    pub cost: u64,
    /// Whether a refusal refuses the request. If not, it is only reported.
    pub enforced: bool,
}

type Limiter = RateLimiter<String, Subjects, GateClock, StateInformationMiddleware>;

impl Fallback {
    /// Remembers at most `capacity` subjects.
    pub fn new(capacity: usize) -> Self {
        Self {
            quotas: HashMap::default(),
            clock: GateClock::default(),
            subjects: Subjects::new(capacity),
            known: Recent::new(capacity),
        }
    }

    /// Announces that requests of `cost` will come for `quota`, so that the burst is made large
    /// enough to admit them at some time. Must be called before the first request.
    pub fn expect(&mut self, quota: Quota, cost: u64) {
        let local = self.quotas.entry(quota).or_default();
        local.largest_cost = cost.max(local.largest_cost);
    }

    /// Records the store's verdict on `key`, on a request with a quota of `permits`: the local
    /// state will start from it.
    pub fn learn(&mut self, key: &str, permits: u64, verdict: &Verdict, now: Timestamp) {
        // The local counts are kept: a store that fails again and again must not give a full burst
        // each time.
        let known = Known {
            verdict: verdict.clone(),
            permits,
            at: now,
            settled: false,
        };
        self.known.insert(key.to_owned(), known);
    }

    /// The store's last verdict on `key`, adjusted to `now`, if it is younger than the window of
    /// `quota`. What is left is that of this quota: a user may have tokens of two plans.
    pub fn last_known(&self, key: &str, quota: Quota, now: Timestamp) -> Option<Verdict> {
        let known = self.known.get(key)?;
        let (verdict, passed) = (&known.verdict, now.since(known.at));
        let remaining = verdict.remaining.saturating_add(quota.permits);
        (passed < quota.window).then(|| Verdict {
            remaining: remaining.saturating_sub(known.permits),
            retry_after: verdict.retry_after.saturating_sub(passed),
            reset_after: verdict.reset_after.saturating_sub(passed),
            met: verdict.met,
        })
    }

    /// How many permits the store said are left, and how long ago, if that was within the window of
    /// `quota`.
    pub fn told(&self, key: &str, quota: Quota, now: Timestamp) -> Option<Told> {
        let left = self.last_known(key, quota, now)?.remaining;
        let ago = now.since(self.known.get(key)?.at);
        Some(Told { left, ago })
    }

    /// How many permits of `quota` may be given in a window: `share` hundredths, but as many as one
    /// request may cost.
    pub fn open(&self, quota: Quota, share: u64) -> u64 {
        let largest = self
            .quotas
            .get(&quota)
            .map_or(0, |local| local.largest_cost);
        let part = quota.permits.saturating_mul(share).div_ceil(100);
        part.max(largest).min(quota.permits)
    }

    /// Checks all charges. If an enforced one is refused, charges none; otherwise charges all that
    /// were admitted.
    pub fn admit(&mut self, charges: &[&Take<'_>], now: Timestamp) -> Vec<Verdict> {
        self.tell_time(now);
        for charge in charges {
            self.settle(charge, now);
        }
        let before: Vec<_> = charges.iter().map(|c| self.subjects.get(c.key)).collect();
        let mut verdicts: Vec<_> = charges.iter().map(|c| self.check(c)).collect();
        let refused = charges
            .iter()
            .zip(&verdicts)
            .any(|(c, v)| c.enforced && !v.met);
        if refused {
            for ((charge, state), verdict) in charges.iter().zip(before).zip(&mut verdicts) {
                self.subjects.put(charge.key, state);
                if verdict.met {
                    verdict.remaining = verdict.remaining.saturating_add(charge.cost);
                }
            }
        }
        verdicts
    }

    /// The verdict for one permit of `key`, without taking it.
    pub fn look(&mut self, key: &str, quota: Quota, now: Timestamp) -> Verdict {
        let before = self.subjects.get(key);
        let take = Take {
            key,
            quota,
            kept: 0,
            cost: 1,
            enforced: true,
        };
        let mut verdicts = self.admit(&[&take], now);
        self.subjects.put(key, before);
        let verdict = verdicts.pop().map(|verdict| Verdict {
            remaining: verdict.remaining + u64::from(verdict.met),
            ..verdict
        });
        // `admit` returns one verdict per charge, so there always is one.
        verdict.unwrap_or(Verdict {
            met: true,
            remaining: quota.permits,
            retry_after: Duration::ZERO,
            reset_after: Duration::ZERO,
        })
    }

    /// Charges `more` permits in addition to what was charged before, or gives permits back if
    /// `more` is negative.
    pub fn correct(&mut self, key: &str, quota: Quota, more: i64, now: Timestamp) {
        self.tell_time(now);
        let state = match self.subjects.get(key) {
            Some(state) => state,
            None if more > 0 => 0,
            None => return,
        };
        let (_, period) = self.limiter(quota);
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        // GCRA's state is the instant at which all permits are back.
        let by = nanos(period).saturating_mul(more.unsigned_abs());
        let state = match more < 0 {
            true => state.saturating_sub(by),
            false => state.max(nanos(self.clock.now())).saturating_add(by),
        };
        self.subjects.put(key, Some(state));
    }

    /// Forgets a subject.
    pub fn forget(&mut self, key: &str) {
        self.subjects.put(key, None);
        self.known.remove(key);
    }

    /// Raises a subject's local usage to what the store last reported, if that is more than was
    /// counted here.
    fn settle(&mut self, charge: &Take<'_>, now: Timestamp) {
        let key = charge.key;
        let before = self.subjects.get(key);
        let settled = self.known.get(key).is_none_or(|known| known.settled);
        if settled && before.is_some() {
            return;
        }
        let Some(known) = self.last_known(key, charge.quota, now) else {
            return;
        };
        let subjects = self.subjects.clone();
        let (limiter, _) = self.limiter(charge.quota);
        let owned = key.to_owned();
        let left = match limiter.check_key(&owned) {
            Ok(left) => u64::from(left.remaining_burst_capacity()) + 1,
            Err(_) => 0,
        };
        // The check above only reads: undo its charge.
        subjects.put(key, before);
        if let Some(used) = cells(left.saturating_sub(known.remaining)) {
            // This cannot be refused: `used` is at most what is left.
            let _ = limiter.check_key_n(&owned, used);
        }
        self.known.change(key, |known| known.settled = true);
    }

    /// The limiter of a quota, and the period after which it gives one more permit.
    fn limiter(&mut self, quota: Quota) -> (&Limiter, Duration) {
        let local = self.quotas.entry(quota).or_default();
        let (burst, period) = split(quota, local.largest_cost);
        let new = || limiter(burst, period, &self.subjects, &self.clock);
        (local.limiter.get_or_insert_with(new), period)
    }

    fn check(&mut self, charge: &Take<'_>) -> Verdict {
        let (clock, subjects) = (self.clock.clone(), self.subjects.clone());
        let local = self.quotas.get(&charge.quota);
        let (burst, _) = split(charge.quota, local.map_or(0, |local| local.largest_cost));
        let kept = u64::from(burst.get())
            .saturating_mul(charge.kept)
            .div_ceil(100);
        let (limiter, period) = self.limiter(charge.quota);
        let (key, before) = (charge.key.to_owned(), subjects.get(charge.key));
        let cost = cells(charge.cost).unwrap_or(NonZeroU32::MIN);
        let refused_for = |wait| Verdict {
            met: false,
            remaining: 0,
            retry_after: wait,
            reset_after: wait,
        };
        match limiter.check_key_n(&key, cost) {
            Ok(Ok(left)) => {
                let left = u64::from(left.remaining_burst_capacity());
                if let Some(missing) = kept.checked_sub(left).filter(|missing| *missing > 0) {
                    subjects.put(&key, before);
                    let missing = u32::try_from(missing).unwrap_or(u32::MAX);
                    return refused_for(up_to_ms(period.saturating_mul(missing)));
                }
                Verdict {
                    met: true,
                    remaining: left - kept,
                    retry_after: Duration::ZERO,
                    reset_after: period,
                }
            }
            Ok(Err(until)) => refused_for(up_to_ms(until.wait_time_from(clock.now()))),
            // The cost exceeds the burst, so the local limiter never admits it. A window later the
            // store may be back.
            Err(_) => refused_for(charge.quota.window),
        }
    }

    /// Sets the clock. If it went back by more than clocks may differ, all counts start anew, so
    /// that nobody is refused until the clock has caught up.
    fn tell_time(&mut self, now: Timestamp) {
        let before = self.clock.told();
        if now + TOLERANCE < before {
            self.subjects.all().clear();
            self.clock.tell(now);
        } else {
            self.clock.tell(before.max(now));
        }
    }
}

impl std::fmt::Debug for Fallback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fallback").finish_non_exhaustive()
    }
}

fn limiter(burst: NonZeroU32, period: Duration, subjects: &Subjects, clock: &GateClock) -> Limiter {
    // `split` never returns a period of zero, so the alternative rate is never used.
    let rate = Rate::with_period(period).unwrap_or(Rate::per_second(NonZeroU32::MIN));
    // A `governor` limiter measures time from its creation. All are created at the epoch, so that
    // they agree about time.
    let now = clock.told();
    clock.tell(Timestamp::default());
    let limiter = RateLimiter::new(rate.allow_burst(burst), subjects.clone(), clock.clone());
    clock.tell(now);
    limiter
}

/// The burst, and the period after which one more permit comes back, chosen so that no window, both
/// its ends included, holds more than the quota. The burst is half the quota, or `largest_cost` if
/// that is more.
fn split(quota: Quota, largest_cost: u64) -> (NonZeroU32, Duration) {
    let permits = u32::try_from(quota.permits).unwrap_or(u32::MAX);
    let largest_cost = u32::try_from(largest_cost).unwrap_or(u32::MAX);
    let burst = permits.div_ceil(2).max(largest_cost.min(permits));
    let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
    let window = u64::try_from(quota.window.as_nanos()).unwrap_or(u64::MAX);
    let rate = u64::from(permits.saturating_sub(burst.get()));
    let period = match window.checked_div(rate) {
        Some(period) if period.saturating_mul(rate) >= window => period,
        Some(period) => period.saturating_add(1),
        None => window.saturating_add(1_000_000),
    };
    (burst, Duration::from_nanos(period.max(1)))
}

/// A number of permits in `governor`'s type. `None` for zero.
fn cells(permits: u64) -> Option<NonZeroU32> {
    NonZeroU32::new(u32::try_from(permits).unwrap_or(u32::MAX))
}

/// Rounds up to whole milliseconds, the resolution of the gate's clock.
fn up_to_ms(wait: Duration) -> Duration {
    let begun = u64::from(!wait.subsec_nanos().is_multiple_of(1_000_000));
    Duration::from_millis(millis(wait).saturating_add(begun))
}

/// The gate's time, set by the caller.
#[derive(Debug, Clone, Default)]
struct GateClock(Arc<AtomicU64>);

impl GateClock {
    fn told(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }

    fn tell(&self, now: Timestamp) {
        self.0.store(now.as_millis(), Ordering::Relaxed);
    }
}

impl Clock for GateClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Duration::from_millis(self.told().as_millis())
    }
}

/// The state of each subject. Bounded: an evicted subject starts anew. All limiters share it,
/// because a key already names its limit.
#[derive(Clone)]
struct Subjects(Arc<Mutex<Recent<u64>>>);

impl Subjects {
    fn new(capacity: usize) -> Self {
        Self(Arc::new(Mutex::new(Recent::new(capacity))))
    }

    fn all(&self) -> MutexGuard<'_, Recent<u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, key: &str) -> Option<u64> {
        self.all().get(key).copied()
    }

    fn put(&self, key: &str, state: Option<u64>) {
        match state {
            Some(state) => self.all().insert(key.to_owned(), state),
            None => self.all().remove(key),
        }
    }
}

impl StateStore for Subjects {
    type Key = String;

    fn measure_and_replace<T, F, E>(&self, key: &String, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (outcome, next) = decide(self.get(key).map(Nanos::from))?;
        self.put(key, Some(next.as_u64()));
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests;

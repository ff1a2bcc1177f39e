//! The isolate's own limiter, for when the store is absent or failing: `governor`, keyed like the
//! limits themselves.
//!
//! GCRA with burst `b` and one permit each `τ` admits at most `b + ⌊W / τ⌋` in a window `W`. Half of
//! the quota is burst and half is rate, so the fallback, too, never lets a window hold more than
//! the quota; it knows of this isolate's requests only.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota as Rate, RateLimiter};
use quick_cache::unsync::Cache;

use crate::clock::Timestamp;

use super::sliding_window::TOLERANCE;
use super::{Charge, Quota, Verdict};

/// Local limiters, one for each quota, over one bounded memory of subjects.
pub struct Fallback {
    limiters: HashMap<Quota, Limiter>,
    clock: GateClock,
    subjects: Subjects,
    known: Cache<String, (Verdict, Timestamp)>,
}

type Limiter = RateLimiter<String, Subjects, GateClock, StateInformationMiddleware>;

impl Fallback {
    /// Remembers at most `capacity` subjects.
    pub fn new(capacity: usize) -> Self {
        Self {
            limiters: HashMap::new(),
            clock: GateClock::default(),
            subjects: Subjects(Rc::new(RefCell::new(Cache::new(capacity)))),
            known: Cache::new(capacity),
        }
    }

    /// The store said this of `key`: where a fallback will start.
    pub fn learn(&mut self, key: &str, verdict: &Verdict, now: Timestamp) {
        self.known.insert(key.to_owned(), (verdict.clone(), now));
        // The store has spoken: what was counted without it is over.
        self.subjects.0.borrow_mut().remove(key);
    }

    /// What was last said of `key`, if that was within `window`, as it looks now.
    pub fn last_known(&self, key: &str, window: Duration, now: Timestamp) -> Option<Verdict> {
        let (verdict, at) = self.known.get(key)?;
        let passed = now.since(*at);
        (passed < window).then(|| Verdict {
            retry_after: verdict.retry_after.saturating_sub(passed),
            reset_after: verdict.reset_after.saturating_sub(passed),
            ..verdict.clone()
        })
    }

    /// Checks all, charges all or, where an enforced one refuses, none.
    pub fn admit(&mut self, charges: &[&Charge], now: Timestamp) -> Vec<Verdict> {
        self.tell_time(now);
        let before: Vec<_> = charges.iter().map(|c| self.subjects.get(&c.key)).collect();
        let mut verdicts: Vec<_> = charges.iter().map(|c| self.check(c, now)).collect();
        let refused = charges
            .iter()
            .zip(&verdicts)
            .any(|(c, v)| c.enforced && !v.met);
        if refused {
            for ((charge, state), verdict) in charges.iter().zip(before).zip(&mut verdicts) {
                self.subjects.put(&charge.key, state);
                if verdict.met {
                    verdict.remaining = verdict.remaining.saturating_add(charge.cost);
                }
            }
        }
        verdicts
    }

    fn check(&mut self, charge: &Charge, now: Timestamp) -> Verdict {
        let fresh = self.subjects.get(&charge.key).is_none();
        let known = self.last_known(&charge.key, charge.quota.window, now);
        let (burst, period) = split(charge.quota);
        let key = &charge.key;
        let limiter = self
            .limiters
            .entry(charge.quota)
            .or_insert_with(|| limiter(charge.quota, &self.subjects, &self.clock));
        if let (true, Some(known)) = (fresh, known) {
            let used = u64::from(burst.get()).saturating_sub(known.remaining);
            if let Some(used) = cells(used) {
                // It fits: the subject is fresh, and `used` is no more than the burst.
                let _ = limiter.check_key_n(key, used);
            }
        }
        let cost = cells(charge.cost).unwrap_or(NonZeroU32::MIN);
        let refused_for = |wait| Verdict {
            met: false,
            remaining: 0,
            retry_after: wait,
            reset_after: wait,
        };
        match limiter.check_key_n(key, cost) {
            Ok(Ok(left)) => Verdict {
                met: true,
                remaining: u64::from(left.remaining_burst_capacity()),
                retry_after: Duration::ZERO,
                reset_after: period,
            },
            Ok(Err(until)) => refused_for(up_to_ms(until.wait_time_from(self.clock.now()))),
            // More than the burst: it never passes here, so it waits for the store.
            Err(_) => refused_for(charge.quota.window),
        }
    }

    /// Sets the clock; one that went back further than clocks differ starts the counts anew, so
    /// that nobody is locked out until it has caught up.
    fn tell_time(&mut self, now: Timestamp) {
        let now_ms = Duration::from_millis(now.as_millis());
        let before = self.clock.0.get();
        if now_ms + TOLERANCE < before {
            self.subjects.0.borrow_mut().clear();
            self.clock.0.set(now_ms);
        } else {
            self.clock.0.set(before.max(now_ms));
        }
    }
}

impl std::fmt::Debug for Fallback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fallback").finish_non_exhaustive()
    }
}

fn limiter(quota: Quota, subjects: &Subjects, clock: &GateClock) -> Limiter {
    let (burst, period) = split(quota);
    // `split` gives no empty period, so the second rate is never taken.
    let rate = Rate::with_period(period).unwrap_or(Rate::per_second(NonZeroU32::MIN));
    // A limiter counts from the moment it is made: let that be the epoch, so that all agree.
    let now = clock.0.replace(Duration::ZERO);
    let limiter = RateLimiter::new(rate.allow_burst(burst), subjects.clone(), clock.clone());
    clock.0.set(now);
    limiter
}

/// Burst, and the period after which one more permit is back, such that no window, both its ends
/// included, holds more than the quota.
fn split(quota: Quota) -> (NonZeroU32, Duration) {
    let permits = u32::try_from(quota.permits).unwrap_or(u32::MAX);
    let burst = NonZeroU32::new(permits.div_ceil(2)).unwrap_or(NonZeroU32::MIN);
    let window = u64::try_from(quota.window.as_nanos()).unwrap_or(u64::MAX);
    let rate = u64::from(permits.saturating_sub(burst.get()));
    let period = match window.checked_div(rate) {
        Some(period) if period.saturating_mul(rate) >= window => period,
        Some(period) => period.saturating_add(1),
        None => window.saturating_add(1_000_000),
    };
    (burst, Duration::from_nanos(period.max(1)))
}

/// A number of permits, as `governor` counts them.
fn cells(permits: u64) -> Option<NonZeroU32> {
    NonZeroU32::new(u32::try_from(permits).unwrap_or(u32::MAX))
}

/// Rounds up to whole milliseconds, the resolution of the gate's clock.
fn up_to_ms(wait: Duration) -> Duration {
    let ms = u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    Duration::from_millis(ms)
}

/// The gate's time, told from outside.
#[derive(Debug, Clone, Default)]
struct GateClock(Rc<Cell<Duration>>);

impl Clock for GateClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.get()
    }
}

/// The state of each subject, bounded: what is evicted starts afresh. Shared by all limiters, for a
/// key names its limit.
#[derive(Clone)]
struct Subjects(Rc<RefCell<Cache<String, u64>>>);

impl Subjects {
    fn get(&self, key: &str) -> Option<u64> {
        self.0.borrow().get(key).copied()
    }

    fn put(&self, key: &str, state: Option<u64>) {
        match state {
            Some(state) => self.0.borrow_mut().insert(key.to_owned(), state),
            None => {
                self.0.borrow_mut().remove(key);
            }
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + ms)
    }

    fn per_minute(permits: u64) -> Quota {
        Quota {
            permits,
            window: Duration::from_secs(60),
        }
    }

    fn one(key: &str, quota: Quota, cost: u64) -> Charge {
        Charge {
            key: key.to_owned(),
            quota,
            cost,
            enforced: true,
        }
    }

    #[test]
    fn a_refused_request_passes_exactly_when_it_was_told() {
        let mut local = Fallback::new(8);
        let charge = one("a", per_minute(10), 1);
        let check = [&charge];
        while local.admit(&check, at(0))[0].met {}
        let wait = local.admit(&check, at(0))[0].retry_after;
        assert!(!local.admit(&check, at(0) + wait - Duration::from_millis(1))[0].met);
        assert!(local.admit(&check, at(0) + wait)[0].met);
    }

    #[test]
    fn a_refusal_by_one_charges_none() {
        let mut local = Fallback::new(8);
        let both = [one("a", per_minute(100), 1), one("b", per_minute(2), 1)];
        let both = both.each_ref();
        assert!(local.admit(&both, at(0)).iter().all(|v| v.met));
        for _ in 0..50 {
            let verdicts = local.admit(&both, at(0));
            assert!(!verdicts[1].met);
            assert_eq!(verdicts[0].remaining, 49, "of a burst of 50 one is spent");
        }
    }

    #[test]
    fn starts_from_the_usage_last_known() {
        let mut local = Fallback::new(8);
        let left = |remaining| Verdict {
            met: true,
            remaining,
            retry_after: Duration::ZERO,
            reset_after: Duration::ZERO,
        };
        local.learn("a", &left(1), at(0));
        let charge = one("a", per_minute(10), 1);
        let check = [&charge];
        assert!(local.admit(&check, at(10))[0].met);
        assert!(!local.admit(&check, at(10))[0].met);
        local.learn("b", &left(0), at(0));
        assert!(!local.admit(&[&one("b", per_minute(10), 1)], at(10))[0].met);
        assert!(local.admit(&[&one("b", per_minute(10), 1)], at(60_000))[0].met);
    }

    #[test]
    fn memory_is_bounded() {
        let mut local = Fallback::new(64);
        for n in 0..5_000 {
            local.admit(&[&one(&n.to_string(), per_minute(10), 1)], at(n));
        }
        assert!(local.subjects.0.borrow().len() <= 64);
    }

    #[test]
    fn a_clock_that_jumps_back_locks_nobody_out() {
        let mut local = Fallback::new(8);
        let charge = one("a", per_minute(1), 1);
        let check = [&charge];
        assert!(local.admit(&check, at(86_400_000))[0].met);
        assert!(local.admit(&check, at(0))[0].met);
    }

    proptest! {
        #[test]
        fn no_window_ever_holds_more_than_the_quota(
            permits in 1_u64..40,
            window in 1_u64..5_000,
            steps in prop::collection::vec((0_u64..400, 1_u64..3), 1..300),
        ) {
            let quota = Quota { permits, window: Duration::from_millis(window) };
            let mut local = Fallback::new(8);
            let (mut now, mut admitted) = (0, Vec::new());
            for (step, cost) in steps {
                now += step;
                if local.admit(&[&one("a", quota, cost)], at(now))[0].met {
                    admitted.push((now, cost));
                    let held: u64 = admitted
                        .iter()
                        .filter(|(then, _)| now - then <= window)
                        .map(|(_, cost)| cost)
                        .sum();
                    prop_assert!(held <= permits, "{held} of {permits} in {window} ms");
                }
            }
        }
    }
}

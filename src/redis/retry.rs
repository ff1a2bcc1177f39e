//! When a call is tried again, and its deadline, as plain data.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::error::Error;
use crate::trace::StoreCall;

/// How often a failed call is tried again, and after how long.
///
/// This bounds the retries. The error and the command decide whether a retry is allowed at all.
///
/// ```
/// # use omnitrade_edge::redis::RetryPolicy;
/// # use std::time::Duration;
/// let policy = RetryPolicy::default().retries(4).cap(Duration::from_millis(200));
/// assert_eq!((policy.retries, policy.base), (4, Duration::from_millis(25)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// The largest number of attempts after the first.
    pub retries: u32,
    /// The longest wait before the first retry; it doubles with each retry.
    pub base: Duration,
    /// The longest wait before any retry.
    pub cap: Duration,
}

impl RetryPolicy {
    /// Sets how many attempts may follow the first.
    #[must_use]
    pub const fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Sets the longest wait before the first retry.
    #[must_use]
    pub const fn base(mut self, base: Duration) -> Self {
        self.base = base;
        self
    }

    /// Sets the longest wait before any retry.
    #[must_use]
    pub const fn cap(mut self, cap: Duration) -> Self {
        self.cap = cap;
        self
    }

    /// The wait before retry number `retry`, counted from 0, for a `random` number in `[0, 1)`.
    ///
    /// It lies between half of the retry's longest wait and all of it, so that clients that failed
    /// together do not retry together, and none retries at once.
    ///
    /// ```
    /// # use omnitrade_edge::redis::RetryPolicy;
    /// # use std::time::Duration;
    /// let ms = Duration::from_millis;
    /// let policy = RetryPolicy::default().base(ms(20)).cap(ms(100));
    /// assert_eq!(policy.wait(0, 0.0), ms(10));
    /// assert_eq!(policy.wait(1, 0.5), ms(30));
    /// assert_eq!(policy.wait(8, 0.5), ms(75));
    /// ```
    pub fn wait(&self, retry: u32, random: f64) -> Duration {
        let step = self
            .base
            .saturating_mul(1u32.checked_shl(retry).unwrap_or(u32::MAX));
        let half = step.min(self.cap) / 2;
        let random = if random.is_nan() {
            0.0
        } else {
            random.clamp(0.0, 1.0)
        };
        half.saturating_add(half.mul_f64(random))
    }
}

impl Default for RetryPolicy {
    /// Two retries: at most 25 ms and 50 ms after the failures.
    fn default() -> Self {
        Self {
            retries: 2,
            base: Duration::from_millis(25),
            cap: Duration::from_secs(1),
        }
    }
}

/// The progress of one call, over all its requests and their attempts.
pub(super) struct Progress {
    pub(super) deadline: Deadline,
    /// How many attempts were made.
    pub(super) attempts: u32,
    /// Whether a failed attempt may have been carried out nevertheless.
    pub(super) may_have_run: bool,
    /// What is told of the call while it lasts.
    pub(super) call: StoreCall,
}

impl Progress {
    pub(super) const fn new(deadline: Deadline, call: StoreCall) -> Self {
        Self {
            deadline,
            attempts: 0,
            may_have_run: false,
            call,
        }
    }

    /// The result of the call, which the last attempt alone does not know.
    pub(super) fn ended<R>(self, result: Result<R, Error>) -> Result<R, Error> {
        let result = result.map_err(|error| error.after_attempt(self.may_have_run));
        self.call.ended(self.attempts, result.as_ref().err());
        result
    }
}

/// The end of a call, however many attempts it takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    start: Timestamp,
    timeout: Duration,
}

impl Deadline {
    pub(super) const fn new(start: Timestamp, timeout: Duration) -> Self {
        Self { start, timeout }
    }

    /// The time that is left; `None` if there is none. If the clock was set back, at most the whole
    /// timeout is left.
    pub(super) fn left(&self, now: Timestamp) -> Option<Duration> {
        let left = self.timeout.saturating_sub(now.since(self.start));
        (!left.is_zero()).then_some(left)
    }
}

//! When to try again, and within which time, as plain data.

use std::time::Duration;

use crate::clock::Timestamp;

/// How often and how long after a failure a call is tried again.
///
/// This bounds retries; whether one is allowed at all is the error's and the command's to say.
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
    /// Attempts after the first.
    pub retries: u32,
    /// The longest wait before the first retry; it doubles from one to the next.
    pub base: Duration,
    /// The longest wait of all.
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

    /// Sets the longest wait of all.
    #[must_use]
    pub const fn cap(mut self, cap: Duration) -> Self {
        self.cap = cap;
        self
    }

    /// The wait before retry number `retry`, counted from 0, for a `random` number in `[0, 1)`.
    ///
    /// It lies between half of the step and the step, so that clients that failed together do not
    /// come back together, and none comes back at once.
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
    /// Two retries, 25 ms and 50 ms at most after the failures.
    fn default() -> Self {
        Self {
            retries: 2,
            base: Duration::from_millis(25),
            cap: Duration::from_secs(1),
        }
    }
}

/// How far one call has come, over all its requests and their attempts.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) deadline: Deadline,
    /// Whether an attempt that failed may have been carried out all the same.
    pub(super) may_have_run: bool,
}

impl Progress {
    pub(super) const fn new(deadline: Deadline) -> Self {
        Self {
            deadline,
            may_have_run: false,
        }
    }
}

/// The end of a call, whatever it takes on the way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    start: Timestamp,
    timeout: Duration,
}

impl Deadline {
    pub(super) const fn new(start: Timestamp, timeout: Duration) -> Self {
        Self { start, timeout }
    }

    /// The time that is left; none at all is `None`. A clock that is set back gives no more than
    /// the whole.
    pub(super) fn left(&self, now: Timestamp) -> Option<Duration> {
        let left = self.timeout.saturating_sub(now.since(self.start));
        (!left.is_zero()).then_some(left)
    }
}

//! Time as the rest of the crate sees it: milliseconds since the Unix epoch, always a parameter.

#[doc(hidden)]
pub mod calendar;

use std::ops::{Add, Sub};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// An instant: whole milliseconds since the Unix epoch.
///
/// Arithmetic saturates, so that even a wrong clock cannot make it overflow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The instant `ms` milliseconds after the Unix epoch.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to this instant; zero if `earlier` is not earlier.
    ///
    /// ```
    /// # use omnitrade_edge::clock::Timestamp;
    /// # use std::time::Duration;
    /// let (a, b) = (Timestamp::from_millis(1_000), Timestamp::from_millis(1_250));
    /// assert_eq!(b.since(a), Duration::from_millis(250));
    /// assert_eq!(a.since(b), Duration::ZERO);
    /// ```
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }
}

/// Whole milliseconds of a duration, rounded down; [`u64::MAX`] if they do not fit.
#[doc(hidden)]
pub fn millis(duration: Duration) -> u64 {
    // `as_millis` counts in 128 bits, which wasm has to compute in software.
    let seconds = duration.as_secs().checked_mul(1_000);
    let all = seconds.and_then(|ms| ms.checked_add(duration.subsec_millis().into()));
    all.unwrap_or(u64::MAX)
}

/// Whole seconds of a duration, rounded **up**: a `Retry-After` must never be too early.
///
/// ```
/// # use omnitrade_edge::clock::seconds_up;
/// # use std::time::Duration;
/// assert_eq!(seconds_up(Duration::from_millis(1)), 1);
/// assert_eq!(seconds_up(Duration::from_millis(2_000)), 2);
/// ```
pub fn seconds_up(duration: Duration) -> u64 {
    millis(duration).div_ceil(1_000)
}

/// A clock that moves only if it is told to, for tests and simulations.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that shows `start`.
    pub const fn new(start: Timestamp) -> Self {
        Self(AtomicU64::new(start.as_millis()))
    }

    /// The time that it shows.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }

    /// Moves it forward.
    pub fn advance(&self, by: Duration) {
        let later = |now| Some((Timestamp::from_millis(now) + by).as_millis());
        // It always succeeds: the function returns a number.
        let _ = self
            .0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, later);
    }

    /// Sets it, forward or back.
    pub fn set(&self, to: Timestamp) {
        self.0.store(to.as_millis(), Ordering::SeqCst);
    }
}

//! What a limiter says of a request.

use std::fmt;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::limit::Source;

use super::check::settle::Work;
use super::limits::Reason;

/// The result for a request. Fields that `@upstash/ratelimit` has too are named as there.
#[derive(Debug)]
#[non_exhaustive]
pub struct Limited {
    /// Whether the request may pass.
    pub success: bool,
    /// Permits in a window.
    pub limit: u64,
    /// The window.
    pub window: Duration,
    /// Permits that are left.
    pub remaining: u64,
    /// When more permits come back; for a refused request, when the same request will pass.
    pub reset: Timestamp,
    /// How long until the same request will pass; zero if it has passed.
    pub retry_after: Duration,
    /// Whether it passes only because the limit is a [shadow](super::Rule::shadow).
    pub shadowed: bool,
    /// Why the store did not decide; `None` if it did.
    pub reason: Option<Reason>,
    /// What decided.
    pub source: Source,
    /// The name of the limit.
    pub policy: String,
    /// Work that is left for [`RateLimiter::finish`](super::RateLimiter::finish), if no runtime
    /// does it: fetching permits ahead, and returning those that were not spent in time. If it is
    /// dropped, a later request has to wait for the store instead.
    pub pending: Option<Pending>,
}

/// The result for a request that several limits had to let pass.
#[derive(Debug)]
#[non_exhaustive]
pub struct All {
    /// Whether the request may pass: then permits were taken from all limits, else from none.
    pub success: bool,
    /// What each limit says, in the order in which they were given.
    pub results: Vec<Limited>,
}

impl All {
    /// How long until every limit that refuses would let the same request pass; zero if none
    /// refuses.
    pub fn retry_after(&self) -> Duration {
        let waits = self.results.iter().map(|limited| limited.retry_after);
        waits.max().unwrap_or_default()
    }
}

/// Work that no request waits for.
#[derive(Debug)]
pub struct Pending(pub(super) Work);

/// The error of [`until_allowed`](super::RateLimiter::until_allowed): the permits come too late.
#[derive(Debug)]
#[non_exhaustive]
pub struct Refused {
    /// What the limiter said last.
    pub limited: Limited,
    /// Whether they never come: the cost is greater than the quota, or the limiter does not say
    /// when to come back.
    pub never: bool,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Limited {
            policy,
            retry_after,
            ..
        } = &self.limited;
        match self.never {
            true => write!(f, "the limit \"{policy}\" never allows as much at once"),
            false => write!(
                f,
                "the limit \"{policy}\" allows no more for {retry_after:?}"
            ),
        }
    }
}

impl std::error::Error for Refused {}

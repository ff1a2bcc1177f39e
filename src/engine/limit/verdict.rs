//! Quotas, the verdicts of a check, and receipts of what was charged.

use std::time::Duration;

/// The number of permits that one subject may take in any interval as long as the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quota {
    /// Permits in a window.
    pub permits: u64,
    /// The window.
    pub window: Duration,
}

impl Quota {
    /// The part of the quota that is open to requests that may not use the last `share` percent, as
    /// [`unreserved`] computes it.
    #[must_use]
    pub const fn without(self, share: u64) -> Self {
        Self {
            permits: unreserved(self.permits, share),
            ..self
        }
    }
}

/// The part of a quota that is open to requests that may not use its last `share` percent, in whole
/// permits: the reserved part is rounded up.
///
/// ```
/// # use omnitrade_edge::engine::limit::unreserved;
/// assert_eq!(unreserved(100, 20), 80);
/// assert_eq!(unreserved(9, 20), 7, "1.8 are kept: 2");
/// assert_eq!(unreserved(1, 1), 0);
/// ```
pub const fn unreserved(quota: u64, share: u64) -> u64 {
    quota.saturating_sub(quota.saturating_mul(share).div_ceil(100))
}

/// The verdict of one limit on one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether this limit admits the request.
    pub met: bool,
    /// Permits left after the request.
    pub remaining: u64,
    /// How long until the same request would be admitted; zero if it is admitted now.
    pub retry_after: Duration,
    /// How long until more permits are left than now. If fewer are left than the request costs, how
    /// long until it would be admitted.
    pub reset_after: Duration,
}

/// Permits that a call asks the store to lend ahead.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lend {
    /// How many.
    pub permits: u64,
    /// For how long, if what is left of the quota allows it. The store makes it as long as the
    /// shortest lease at least.
    pub term: Duration,
    /// How many of them are for requests that wait: these are lent as long as any are left.
    pub rush: u64,
}

impl Lend {
    /// No permits.
    pub const NONE: Self = Self {
        permits: 0,
        term: Duration::ZERO,
        rush: 0,
    };

    /// Whether any are asked for.
    pub const fn is_some(&self) -> bool {
        self.permits > 0
    }
}

impl From<u64> for Lend {
    /// So many permits, for the shortest term.
    fn from(permits: u64) -> Self {
        Self {
            permits,
            ..Self::NONE
        }
    }
}

/// Where permits were charged in the store, so that they can be given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The tag of the state.
    pub tag: String,
    /// The sub-bucket.
    pub bucket: u64,
}

//! How much there is, and what a check says of it.

use std::time::Duration;

/// How much one subject may take in any interval of a window's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quota {
    /// Permits in a window.
    pub permits: u64,
    /// The window.
    pub window: Duration,
}

impl Quota {
    /// What is left of it to those who may not use the last `share` hundredths, as [`unreserved`].
    #[must_use]
    pub const fn without(self, share: u64) -> Self {
        Self {
            permits: unreserved(self.permits, share),
            ..self
        }
    }
}

/// What is left of a quota to those who may not use the last `share` hundredths of it, in whole
/// permits: the part that is kept is rounded up.
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

/// What one limit says of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether this limit admits the request.
    pub met: bool,
    /// Permits left after the request.
    pub remaining: u64,
    /// When the same request would be admitted: zero where it is.
    pub retry_after: Duration,
    /// When more permits are back than are left now; where fewer are left than the request costs,
    /// when it would be admitted again.
    pub reset_after: Duration,
}

/// Where something was charged in the store: what is needed to take it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The tag of the state.
    pub tag: String,
    /// The sub-bucket.
    pub bucket: u64,
}

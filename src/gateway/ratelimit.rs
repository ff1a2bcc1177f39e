//! `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10, §3 and §4):
//! structured fields, a list with one item for each limit.
//!
//! The name of a limit is made of letters, digits, `-`, `_` and `.` (the configuration sees to it),
//! so it is a structured string as it is.

use crate::clock::seconds_up;
use crate::engine::limit::{Quota, Verdict};

/// An item of `RateLimit-Policy`.
///
/// ```
/// # use omnitrade_edge::{engine::limit::Quota, gateway::ratelimit::policy};
/// # use std::time::Duration;
/// let quota = Quota { permits: 10, window: Duration::from_secs(60) };
/// assert_eq!(policy("per-client", quota), r#""per-client";q=10;w=60"#);
/// ```
pub fn policy(name: &str, quota: Quota) -> String {
    format!(
        "\"{name}\";q={};w={}",
        quota.permits,
        seconds_up(quota.window)
    )
}

/// An item of `RateLimit`. `t` is when more permits are back, in whole seconds, never early.
///
/// ```
/// # use omnitrade_edge::{engine::limit::Verdict, gateway::ratelimit::state};
/// # use std::time::Duration;
/// let verdict = Verdict {
///     met: true,
///     remaining: 9,
///     retry_after: Duration::ZERO,
///     reset_after: Duration::from_millis(5_400),
/// };
/// assert_eq!(state("per-client", &verdict), r#""per-client";r=9;t=6"#);
/// ```
pub fn state(name: &str, verdict: &Verdict) -> String {
    format!(
        "\"{name}\";r={};t={}",
        verdict.remaining,
        seconds_up(verdict.reset_after)
    )
}

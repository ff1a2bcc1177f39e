//! `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset`, which no specification
//! defines. They tell the tightest limit in the way of GitHub's API, with the reset in Unix
//! seconds.

use crate::clock::Timestamp;

use super::item::{Item, tightest};

/// All three headers; none if no verdict is known.
pub fn fields(items: &[Item<'_>], now: Timestamp) -> Vec<(&'static str, String)> {
    let Some((quota, verdict)) = tightest(items) else {
        return Vec::new();
    };
    // Rounded up once, at the end. If time and wait were rounded separately, the sum could be a
    // second too late.
    let reset = (now + verdict.reset_after).as_millis().div_ceil(1_000);
    vec![
        ("x-ratelimit-limit", quota.permits.to_string()),
        ("x-ratelimit-remaining", verdict.remaining.to_string()),
        ("x-ratelimit-reset", reset.to_string()),
    ]
}

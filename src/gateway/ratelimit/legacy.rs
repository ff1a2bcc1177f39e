//! `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset`, which no specification
//! defines: the tightest limit as GitHub's API tells it, with the reset in Unix seconds.

use crate::clock::Timestamp;

use super::item::{Item, tightest};

/// All three of them; none where nothing is known of any limit.
pub fn fields(items: &[Item<'_>], now: Timestamp) -> Vec<(&'static str, String)> {
    let Some((quota, verdict)) = tightest(items) else {
        return Vec::new();
    };
    // Rounded once, at the end: the time and the wait rounded apart could be a second too late.
    let reset = (now + verdict.reset_after).as_millis().div_ceil(1_000);
    vec![
        ("x-ratelimit-limit", quota.permits.to_string()),
        ("x-ratelimit-remaining", verdict.remaining.to_string()),
        ("x-ratelimit-reset", reset.to_string()),
    ]
}

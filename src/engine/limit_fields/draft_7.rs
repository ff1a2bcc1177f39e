//! `RateLimit` and `RateLimit-Policy` as of draft-ietf-httpapi-ratelimit-headers-07, §3: one limit,
//! the tightest, as a structured dictionary, and a list of all quotas, which have no names yet.

use super::item::{Item, integer, reset, tightest, window};

/// The list of quotas, and the tightest limit if any verdict is known.
pub fn fields(items: &[Item<'_>]) -> Vec<(&'static str, String)> {
    let mut fields = Vec::new();
    let policies: Vec<_> = policies(items)
        .into_iter()
        .map(|(permits, window)| format!("{permits};w={window}"))
        .collect();
    if !policies.is_empty() {
        fields.push(("ratelimit-policy", policies.join(", ")));
    }
    if let Some((quota, verdict)) = tightest(items) {
        let text = format!(
            "limit={}, remaining={}, reset={}",
            integer(quota.permits),
            integer(verdict.remaining),
            reset(verdict)
        );
        fields.push(("ratelimit", text));
    }
    fields
}

/// Permits and window of each limit.
///
/// "Two quota policies MUST NOT be associated with the same quota units value" (§3.5), because
/// `limit` refers to its policy by that value. So of several limits with equal permits only one is
/// told: the one in `RateLimit`, or else the one with the longest window, which is the strictest.
fn policies(items: &[Item<'_>]) -> Vec<(u64, u64)> {
    let mut policies: Vec<(u64, u64)> = Vec::new();
    for item in items {
        let (permits, window) = (integer(item.quota.permits), window(item.quota));
        match policies.iter_mut().find(|(told, _)| *told == permits) {
            Some((_, longest)) => *longest = window.max(*longest),
            None => policies.push((permits, window)),
        }
    }
    if let Some((quota, _)) = tightest(items) {
        let permits = integer(quota.permits);
        if let Some((_, told)) = policies.iter_mut().find(|(told, _)| *told == permits) {
            *told = window(quota);
        }
    }
    policies
}

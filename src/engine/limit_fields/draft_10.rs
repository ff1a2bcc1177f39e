//! `RateLimit-Policy` and `RateLimit` as of draft-ietf-httpapi-ratelimit-headers-10, §3 and §4:
//! structured lists (RFC 9651, §3.1) with an item for each limit.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::engine::limit::Verdict;

use super::item::{Item, integer, reset, window};

/// Both headers. A header without items is left out.
pub fn fields(items: &[Item<'_>]) -> Vec<(&'static str, String)> {
    let policies: Vec<_> = items.iter().map(policy).collect();
    let told = |item: &Item<'_>| Some(state(item, item.verdict?));
    let states: Vec<_> = items.iter().filter_map(told).collect();
    let mut fields = Vec::new();
    for (name, list) in [("ratelimit-policy", policies), ("ratelimit", states)] {
        // An empty list is expressed by leaving the field out (RFC 9651, §4.1).
        if !list.is_empty() {
            fields.push((name, list.join(", ")));
        }
    }
    fields
}

/// A quota policy item, §3.1.
fn policy(item: &Item<'_>) -> String {
    let permits = integer(item.quota.permits).to_string();
    let window = window(item.quota).to_string();
    let mut text = ["\"", item.name, "\";q=", &permits, ";w=", &window].concat();
    push_partition(&mut text, item);
    text
}

/// A service limit item, §4.1.
fn state(item: &Item<'_>, verdict: &Verdict) -> String {
    let remaining = integer(verdict.remaining).to_string();
    let reset = reset(verdict).to_string();
    let mut text = ["\"", item.name, "\";r=", &remaining, ";t=", &reset].concat();
    push_partition(&mut text, item);
    text
}

/// The partition key. Both kinds of item carry it (§3.1.4, §4.1.3): clients of one limit may have
/// different quotas, and a client that counts in several partitions can match a policy to a state
/// only by this key. It is a byte sequence (RFC 9651, §3.3.5).
fn push_partition(text: &mut String, item: &Item<'_>) {
    if let Some(partition) = item.partition {
        text.push_str(";pk=:");
        STANDARD.encode_string(partition, text);
        text.push(':');
    }
}

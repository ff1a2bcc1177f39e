//! A limit as clients are told of it, and what the versions of the headers share.

use std::cmp::Reverse;

use super::super::limit::{Quota, Verdict};
use crate::clock::seconds_up;

/// A limit that a request counts against, and its verdict.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    /// The name of the limit: letters, digits, `-`, `_` and `.`; the configuration accepts nothing
    /// else. So it needs no escapes as a structured string (RFC 9651, §3.3.3).
    pub name: &'a str,
    /// The quota that this client has.
    pub quota: Quota,
    /// The verdict; `None` if the limit was not asked.
    pub verdict: Option<&'a Verdict>,
    /// A name of the bucket that the client counts in, if clients are to know it. It is sent to
    /// clients, so it must not reveal anything about them.
    pub partition: Option<&'a str>,
}

/// The limit to tell if there is room for one only: a limit that refuses before all others, then
/// the one with the least left, then the one that resets last.
pub fn tightest<'a>(items: &[Item<'a>]) -> Option<(Quota, &'a Verdict)> {
    let known = items
        .iter()
        .filter_map(|item| Some((item.quota, item.verdict?)));
    known.min_by_key(|(_, verdict)| {
        let later_first = Reverse(verdict.reset_after);
        (verdict.met, verdict.remaining, later_first)
    })
}

/// A number as a structured integer, which has at most 15 digits (RFC 9651, §3.3.1).
pub fn integer(number: u64) -> u64 {
    number.min(999_999_999_999_999)
}

/// A window in whole seconds, rounded up and at least 1, because draft-10 forbids zero (§3.1.3).
pub fn window(quota: Quota) -> u64 {
    integer(seconds_up(quota.window).max(1))
}

/// When the limit resets, in whole seconds from now, rounded up so that it is never early.
pub fn reset(verdict: &Verdict) -> u64 {
    integer(seconds_up(verdict.reset_after))
}

//! One limit as a client is told of it, and what the versions of the headers share.

use std::cmp::Reverse;

use crate::clock::seconds_up;
use crate::engine::limit::{Quota, Verdict};

/// One limit that a request counts against, and how the request fared.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    /// The name of the limit: letters, digits, `-`, `_` and `.`, as the configuration sees to. So it
    /// holds neither `"` nor `\`, and is a structured string (RFC 9651, §3.3.3) without escapes.
    pub name: &'a str,
    /// What this client has of it.
    pub quota: Quota,
    /// What it said; nothing where it was not asked.
    pub verdict: Option<&'a Verdict>,
    /// A name of the bucket that the client counts in, if clients are to know it. It is sent to
    /// them, so it should tell nothing about anybody.
    pub partition: Option<&'a str>,
}

/// The limit to tell of where there is room for one: one that refuses before all others, then the
/// one with the least left, then the one that gives more back last.
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

/// A window in whole seconds. None is so short that it would be zero, which draft-10 forbids (§3.1.3).
pub fn window(quota: Quota) -> u64 {
    integer(seconds_up(quota.window).max(1))
}

/// When there is more, in whole seconds from now, never early.
pub fn reset(verdict: &Verdict) -> u64 {
    integer(seconds_up(verdict.reset_after))
}

//! The headers by which a response tells a client its limits, in the version that is configured.
//!
//! The IETF's draft moves, and clients follow it at their own pace; so each version is a file of
//! its own, and what they share is here. The next one is a file more, a [`Style`], and a line in
//! [`fields`].

mod draft_10;
mod draft_7;
mod legacy;

use std::cmp::Reverse;

use crate::clock::{Timestamp, seconds_up};
use crate::engine::limit::{Quota, Verdict};

pub use crate::config::Style;

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

/// The headers, by their names in lower case; none for no items.
///
/// `now` is when the verdicts were given.
///
/// ```
/// use std::time::Duration;
/// use omnitrade_edge::clock::Timestamp;
/// use omnitrade_edge::engine::limit::{Quota, Verdict};
/// use omnitrade_edge::gateway::ratelimit::{Item, Style, fields};
///
/// let verdict = Verdict {
///     met: true,
///     remaining: 9,
///     retry_after: Duration::ZERO,
///     reset_after: Duration::from_millis(5_400),
/// };
/// let item = Item {
///     name: "per-client",
///     quota: Quota { permits: 10, window: Duration::from_secs(60) },
///     verdict: Some(&verdict),
///     partition: None,
/// };
/// let told = |style| {
///     let fields = fields(style, &[item], Timestamp::from_millis(1_700_000_000_000));
///     fields.into_iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>()
/// };
/// assert_eq!(told(Style::Draft10), [
///     r#"ratelimit-policy: "per-client";q=10;w=60"#,
///     r#"ratelimit: "per-client";r=9;t=6"#,
/// ]);
/// assert_eq!(told(Style::Draft7), [
///     "ratelimit-policy: 10;w=60",
///     "ratelimit: limit=10, remaining=9, reset=6",
/// ]);
/// assert_eq!(told(Style::Legacy), [
///     "x-ratelimit-limit: 10",
///     "x-ratelimit-remaining: 9",
///     "x-ratelimit-reset: 1700000006",
/// ]);
/// assert!(told(Style::None).is_empty());
/// ```
pub fn fields(style: Style, items: &[Item<'_>], now: Timestamp) -> Vec<(&'static str, String)> {
    match style {
        Style::Draft10 => draft_10::fields(items),
        Style::Draft7 => draft_7::fields(items),
        Style::Legacy => legacy::fields(items, now),
        Style::None => Vec::new(),
    }
}

/// The limit to tell of where there is room for one: one that refuses before all others, then the
/// one with the least left, then the one that gives more back last.
fn tightest<'a>(items: &[Item<'a>]) -> Option<(Quota, &'a Verdict)> {
    let known = items
        .iter()
        .filter_map(|item| Some((item.quota, item.verdict?)));
    known.min_by_key(|(_, verdict)| {
        let later_first = Reverse(verdict.reset_after);
        (verdict.met, verdict.remaining, later_first)
    })
}

/// A number as a structured integer, which has at most 15 digits (RFC 9651, §3.3.1).
fn integer(number: u64) -> u64 {
    number.min(999_999_999_999_999)
}

/// A window in whole seconds. None is so short that it would be zero, which draft-10 forbids (§3.1.3).
fn window(quota: Quota) -> u64 {
    integer(seconds_up(quota.window).max(1))
}

/// When there is more, in whole seconds from now, never early.
fn reset(verdict: &Verdict) -> u64 {
    integer(seconds_up(verdict.reset_after))
}

#[cfg(test)]
mod tests;

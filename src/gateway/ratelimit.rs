//! The headers that tell a client its limits, in the configured version.
//!
//! The IETF's draft changes, and clients follow it at their own pace. So each version has its own
//! file, and `item.rs` has what they share. To add a version, add a file, a [`Style`] and a line in
//! [`fields`].

mod draft_10;
mod draft_7;
mod item;
mod legacy;

use crate::clock::Timestamp;

pub use crate::config::Style;
pub use item::Item;

/// The headers, with names in lower case; empty if there are no items.
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

/// The names of these headers, as they are usually written.
pub const fn names(style: Style) -> &'static [&'static str] {
    match style {
        Style::Draft10 | Style::Draft7 => &["RateLimit", "RateLimit-Policy"],
        Style::Legacy => &[
            "X-RateLimit-Limit",
            "X-RateLimit-Remaining",
            "X-RateLimit-Reset",
        ],
        Style::None => &[],
    }
}

#[cfg(test)]
mod tests;

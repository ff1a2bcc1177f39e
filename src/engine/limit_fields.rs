//! The fields that tell a client its limits: the gate's own, in the configured version, and how to
//! recognise those of other servers.
//!
//! The IETF's draft changes, and clients follow it at their own pace. So each version has its own
//! file, and `item.rs` has what they share. To add a version, add a file, a [`Style`] and a line in
//! [`fields`].

mod draft_10;
mod draft_7;
mod item;
mod legacy;

use crate::clock::Timestamp;

pub use item::Item;

/// Which headers tell clients their limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Style {
    /// `RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers-10.
    Draft10,
    /// `RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers-07.
    Draft7,
    /// `X-RateLimit-Limit`, `X-RateLimit-Remaining`, `X-RateLimit-Reset`.
    Legacy,
    /// No headers.
    None,
}

/// The headers, with names in lower case; empty if there are no items.
///
/// `now` is when the verdicts were given.
///
/// ```
/// use std::time::Duration;
/// use omnitrade_edge::clock::Timestamp;
/// use omnitrade_edge::engine::limit::{Quota, Verdict};
/// use omnitrade_edge::engine::limit_fields::{Item, Style, fields};
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

/// Whether a field, named in lower case, tells a limit: `RateLimit` and the fields that begin with
/// `RateLimit-` (draft-ietf-httpapi-ratelimit-headers, all versions), `X-RateLimit-` and
/// `X-Rate-Limit-`, which no specification defines and to which servers add names of their own
/// (`X-RateLimit-Used`, `X-RateLimit-Limit-Minute`). `Retry-After` is none of them: it goes with a
/// refusal and not with a limit.
///
/// ```
/// # use omnitrade_edge::engine::limit_fields::tells_limit;
/// for name in ["ratelimit", "ratelimit-policy", "x-ratelimit-limit", "x-rate-limit-reset"] {
///     assert!(tells_limit(name), "{name}");
/// }
/// assert!(!tells_limit("ratelimited") && !tells_limit("retry-after"));
/// ```
pub fn tells_limit(name: &str) -> bool {
    let name = name.strip_prefix("x-").unwrap_or(name);
    let rest = name
        .strip_prefix("ratelimit")
        .or_else(|| name.strip_prefix("rate-limit"));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

#[cfg(test)]
mod tests;

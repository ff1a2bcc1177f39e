//! The response fields by which servers tell their clients limits.

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

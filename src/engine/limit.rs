//! Rate limits: how much, per how long, counted for whom, and what a check says.

pub mod deny_cache;
pub mod fallback;
pub mod sliding_window;

use std::time::Duration;

/// How much one subject may take in any interval of a window's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quota {
    /// Permits in a window.
    pub permits: u64,
    /// The window.
    pub window: Duration,
}

/// What one request takes from one limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// The key of the limit's state for this subject: in the store, and in all memories.
    pub key: String,
    /// The quota of this client.
    pub quota: Quota,
    /// How many permits.
    pub cost: u64,
    /// Whether a refusal counts; else it is only reported.
    pub enforced: bool,
}

/// What one limit says of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether this limit admits the request.
    pub met: bool,
    /// Permits left after the request.
    pub remaining: u64,
    /// When the same request would be admitted: zero where it is.
    pub retry_after: Duration,
    /// When more permits are back than are left now; where fewer are left than the request costs,
    /// when it would be admitted again.
    pub reset_after: Duration,
}

/// Who decided about a request: the value of `X-Edge-Limiter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Nobody: no limit applied, or the store is down and the limit is open then.
    None,
    /// The store.
    Redis,
    /// The isolate's own limiter, because the store is absent or failing.
    Local,
    /// A refusal that the isolate remembers.
    Blocked,
}

impl Source {
    /// The word in the header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Redis => "redis",
            Self::Local => "local",
            Self::Blocked => "blocked",
        }
    }
}

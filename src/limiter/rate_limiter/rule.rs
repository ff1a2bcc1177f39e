//! What a [`RateLimiter`](super::RateLimiter) holds its subjects to: the fields of `limits` in the
//! configuration of the gate.

use std::time::Duration;

use crate::engine::limit::{Bucket, Charge, OnFailure, Quota, penalty};

/// A limit.
///
/// ```
/// use std::time::Duration;
/// use omnitrade_edge::limiter::Rule;
///
/// let rule = Rule::new(100, Duration::from_secs(60))
///     .named("per-user")
///     .leased();
/// assert_eq!(rule.quota().permits, 100);
/// ```
#[derive(Debug, Clone)]
pub struct Rule {
    quota: Quota,
    name: String,
    key_prefix: String,
    leased: bool,
    on_failure: OnFailure,
    penalty: Option<penalty::Penalty>,
}

impl Rule {
    /// `quota` permits in any interval of the length of `window`.
    pub fn new(quota: u64, window: Duration) -> Self {
        Self {
            quota: Quota {
                permits: quota,
                window,
            },
            name: "default".to_owned(),
            key_prefix: "ot".to_owned(),
            leased: false,
            on_failure: OnFailure::Local,
            penalty: None,
        }
    }

    /// Names the limit: two with one name and one prefix count together.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..self
        }
    }

    /// What the names of all keys in Redis start with; `ot` unless said.
    #[must_use]
    pub fn prefixed(self, key_prefix: impl Into<String>) -> Self {
        Self {
            key_prefix: key_prefix.into(),
            ..self
        }
    }

    /// Permits are fetched ahead (`strategy = "lease"`), so that most requests ask nobody.
    #[must_use]
    pub fn leased(self) -> Self {
        Self {
            leased: true,
            ..self
        }
    }

    /// What happens while the store fails; local limits unless said.
    #[must_use]
    pub fn on_failure(self, on_failure: OnFailure) -> Self {
        Self { on_failure, ..self }
    }

    /// A subject that goes on after refusals is held off.
    #[must_use]
    pub fn with_penalty(self, penalty: penalty::Penalty) -> Self {
        Self {
            penalty: Some(penalty),
            ..self
        }
    }

    /// How much a subject has.
    pub const fn quota(&self) -> Quota {
        self.quota
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn key_prefix(&self) -> &str {
        &self.key_prefix
    }

    pub(super) fn charge(&self, key: String, cost: u64) -> Charge {
        let permits = self.quota.permits;
        Charge {
            leased: self.leased,
            on_failure: self.on_failure,
            penalty: self.penalty,
            ..Charge::on(Bucket { key, permits }, self.quota.window, cost)
        }
    }
}

//! The limit of a [`RateLimiter`](super::RateLimiter): the same fields as under `limits` in the
//! configuration of the gate.

use std::time::Duration;

use crate::engine::limit::{Bucket, Charge, OnFailure, Quota, Role, penalty};
use crate::engine::subject::{Digests, domain};

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
    shadow: bool,
    digests: Digests,
}

impl Rule {
    /// `quota` permits in any interval as long as `window`.
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
            shadow: false,
            digests: Digests::new(&domain("ot")),
        }
    }

    /// Names the limit. Limits with the same name and prefix count together.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..self
        }
    }

    /// Sets the prefix of all key names in Redis; the default is `ot`.
    #[must_use]
    pub fn prefixed(self, key_prefix: impl Into<String>) -> Self {
        let key_prefix = key_prefix.into();
        Self {
            digests: Digests::new(&domain(&key_prefix)),
            key_prefix,
            ..self
        }
    }

    /// Fetches permits ahead (`strategy = "lease"`), so that most requests need no store call. They
    /// are fetched for as long as the subject's rhythm needs, up to a quarter of the window and 30
    /// seconds.
    #[must_use]
    pub fn leased(self) -> Self {
        Self {
            leased: true,
            ..self
        }
    }

    /// Sets what happens while the store fails; by default the local limits decide.
    #[must_use]
    pub fn on_failure(self, on_failure: OnFailure) -> Self {
        Self { on_failure, ..self }
    }

    /// Holds a subject off if it goes on after refusals.
    #[must_use]
    pub fn with_penalty(self, penalty: penalty::Penalty) -> Self {
        Self {
            penalty: Some(penalty),
            ..self
        }
    }

    /// Counts and reports, and refuses nobody (`mode = "shadow"`).
    #[must_use]
    pub fn shadow(self) -> Self {
        Self {
            shadow: true,
            ..self
        }
    }

    /// The quota of each subject.
    pub const fn quota(&self) -> Quota {
        self.quota
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) const fn is_shadow(&self) -> bool {
        self.shadow
    }

    /// The key of a subject's state.
    #[doc(hidden)]
    pub fn key(&self, id: &str) -> String {
        let parts = [&self.key_prefix, ":l:", &self.name, ":"];
        let mut key = parts.concat();
        key.push_str(&self.digests.of_api_key(id));
        key
    }

    /// A request for `cost` of `permits` that the state under `key` has in a window.
    pub(super) fn charge(&self, key: String, cost: u64, permits: u64) -> Charge {
        Charge {
            role: match self.shadow {
                true => Role::Shadow,
                false => Role::Enforce,
            },
            leased: self.leased,
            on_failure: self.on_failure,
            penalty: self.penalty,
            ..Charge::on(Bucket { key, permits }, self.quota.window, cost)
        }
    }
}

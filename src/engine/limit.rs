//! Rate limits: how much, per how long, counted for whom, and what a check says.

pub mod deny_cache;
pub mod fallback;
pub mod lease;
pub mod penalty;
pub mod sliding_window;
mod verdict;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use serde::Deserialize;

use super::registry::Standing;

pub use verdict::{Quota, Receipt, Verdict, unreserved};

/// What one request takes from one limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// Where it is counted, and how much there is.
    pub buckets: Buckets,
    /// The window of the quota.
    pub window: Duration,
    /// How many permits.
    pub cost: u64,
    /// What the charge is for.
    pub role: Role,
    /// What happens while the store fails.
    pub on_failure: OnFailure,
    /// How many hundredths of the quota are kept for other requests than this.
    pub kept: u64,
    /// How many hundredths of the quota must not be lent ahead.
    pub unlent: u64,
    /// Whether permits are fetched ahead.
    pub leased: bool,
    /// Whether, and how, a client is held off that goes on after refusals.
    pub penalty: Option<penalty::Penalty>,
}

/// Where a request may be counted: that can depend on whether the client's API key is registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Buckets {
    /// Here, in any case.
    One(Bucket),
    /// That depends.
    ByStanding {
        /// Where without a registered key; `None`: the limit does not apply then.
        without: Option<Bucket>,
        /// Where with one whose plan is not among `plans`.
        with: Bucket,
        /// The permits of each plan.
        plans: Rc<BTreeMap<String, u64>>,
    },
}

/// A state in the store and in all memories, and how many permits its subject has in a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// The key of the state.
    pub key: String,
    /// Permits in a window.
    pub permits: u64,
}

/// What happens to a limit while the store fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum OnFailure {
    /// The isolate limits by itself.
    Local,
    /// Nobody is limited.
    Open,
    /// Nobody is served: 503.
    Closed,
}

/// What a charge is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A limit that may refuse the request.
    Enforce,
    /// A limit that only reports.
    Shadow,
    /// A look: nothing is charged.
    Peek,
    /// What was found out after the request: charged, whatever is left.
    Settle,
    /// How often the origin may be called: charged only if it will be.
    Origin,
}

impl Role {
    /// Its name in the script.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Shadow => "shadow",
            Self::Peek => "peek",
            Self::Settle => "settle",
            Self::Origin => "origin",
        }
    }
}

impl Charge {
    /// An enforced charge on a bucket, exact and without anything else.
    pub const fn on(bucket: Bucket, window: Duration, cost: u64) -> Self {
        Self {
            buckets: Buckets::One(bucket),
            window,
            cost,
            role: Role::Enforce,
            on_failure: OnFailure::Local,
            kept: 0,
            unlent: 0,
            leased: false,
            penalty: None,
        }
    }

    /// Whether it is known where it counts without knowing how the client's key stands.
    pub const fn is_settled(&self) -> bool {
        matches!(self.buckets, Buckets::One(_))
    }

    /// Where it counts for a client of this standing; `None`: it does not apply.
    pub fn bucket(&self, standing: &Standing) -> Option<Bucket> {
        match (&self.buckets, standing) {
            (Buckets::One(bucket), _) => Some(bucket.clone()),
            (Buckets::ByStanding { without, .. }, Standing::Unregistered) => without.clone(),
            (Buckets::ByStanding { with, plans, .. }, Standing::Registered { plan }) => {
                let permits = plan.as_ref().and_then(|plan| plans.get(plan));
                Some(Bucket {
                    key: with.key.clone(),
                    permits: permits.copied().unwrap_or(with.permits),
                })
            }
        }
    }

    /// The whole quota of a bucket.
    pub const fn quota(&self, bucket: &Bucket) -> Quota {
        Quota {
            permits: bucket.permits,
            window: self.window,
        }
    }
}

/// Who decided about a request: the value of `X-Edge-Limiter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Source {
    /// Nobody: no limit applied, or the store is down and the limit is open then.
    None,
    /// The store.
    Redis,
    /// Permits that the isolate had fetched ahead.
    Lease,
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
            Self::Lease => "lease",
            Self::Local => "local",
            Self::Blocked => "blocked",
        }
    }
}

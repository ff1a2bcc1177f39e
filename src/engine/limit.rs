//! Rate limits: the charges that a request brings, the states they are counted in, and the
//! verdicts.

pub mod crowd;
pub mod deny_cache;
pub mod fallback;
pub mod lease;
pub mod ledger;
pub mod penalty;
pub mod sliding_window;
mod verdict;
pub mod windows;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::registry::Standing;

pub use verdict::{Lend, Quota, Receipt, Verdict, unreserved};

/// The charge that one request brings to one limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// The state in which the charge is counted, and its quota.
    pub buckets: Buckets,
    /// The window of the quota.
    pub window: Duration,
    /// The cost, in permits.
    pub cost: u64,
    /// What the charge is for.
    pub role: Role,
    /// The behaviour of this limit while the store fails.
    pub on_failure: OnFailure,
    /// The percentage of the quota that is kept for other requests than this one.
    pub kept: u64,
    /// The percentage of the quota that must not be lent ahead.
    pub unlent: u64,
    /// Whether permits are fetched ahead.
    pub leased: bool,
    /// The percentage of the quota that this isolate may give in a window while the store fails.
    pub local_share: u64,
    /// The penalty for clients that ignore refusals, if any.
    pub penalty: Option<penalty::Penalty>,
}

/// The state in which a request is counted. It can depend on whether the client's API key is
/// registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Buckets {
    /// One bucket, whether or not the client's API key is registered.
    One(Bucket),
    /// The bucket depends on whether the client's API key is registered.
    ByStanding {
        /// The bucket of clients without a registered key. `None`: the limit does not apply to
        /// them.
        without: Option<Bucket>,
        /// The bucket of clients with a registered key. Its permits apply if the plan is not in
        /// `plans`.
        with: Bucket,
        /// Permits in a window, by plan.
        plans: Arc<BTreeMap<String, u64>>,
    },
}

/// The limit state of one subject, and how many permits the subject has in a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// The key of the state, in the store and in the isolate's memory.
    pub key: String,
    /// Permits in a window.
    pub permits: u64,
}

/// The percentage of a quota that an isolate may give in a window while the store fails, unless
/// the limit has another one.
pub const LOCAL_SHARE: u64 = 50;

/// What happens to a limit while the store fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnFailure {
    /// The isolate limits by itself.
    Local,
    /// The limit does not apply.
    Open,
    /// An enforced limit answers every request with 503.
    Closed,
}

/// What a charge is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A limit that may refuse the request.
    Enforce,
    /// A limit that only reports.
    Shadow,
    /// A query of the state: nothing is charged.
    Peek,
    /// A cost that became known after the request: it is charged even if it exceeds what is left.
    Settle,
    /// A limit on calls to the origin: charged only if the origin will be called.
    Origin,
}

impl Role {
    /// The role's name in the store's script.
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
    /// An enforced, exact charge on one bucket: no share kept for others, no lease and no penalty.
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
            local_share: LOCAL_SHARE,
            penalty: None,
        }
    }

    /// The same limit, for a call that only fetches permits ahead: it charges nothing and refuses
    /// nothing.
    #[must_use]
    pub fn only_lending(&self) -> Self {
        Self {
            role: Role::Shadow,
            cost: 0,
            kept: 0,
            ..self.clone()
        }
    }

    /// Whether the bucket is known without looking up the client's API key.
    pub const fn is_settled(&self) -> bool {
        matches!(self.buckets, Buckets::One(_))
    }

    /// The bucket of a client whose API key has this standing. `None`: the limit does not apply.
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

/// Which part decided about a request: the value of `X-Edge-Limiter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Source {
    /// None: no limit applied, or the store failed and the limit has [`OnFailure::Open`].
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

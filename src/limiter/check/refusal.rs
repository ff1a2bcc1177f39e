//! Why a request is not admitted.

use std::time::Duration;

use crate::engine::limit_problem::{LimitProblem, Why};

/// Why a request is not admitted. Limits are named by their positions among the charges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// A quota is used up.
    Quota {
        /// The limits that refuse.
        violated: Vec<usize>,
        /// When the same request will be admitted.
        retry_after: Duration,
    },
    /// The store fails, and the local limits, which are lower, are used up.
    Reduced {
        /// The limits that refuse.
        violated: Vec<usize>,
        /// When the same request will be admitted.
        retry_after: Duration,
    },
    /// The client is held off, because it went on after refusals.
    Held {
        /// The limits that it went on against.
        violated: Vec<usize>,
        /// When the hold ends.
        retry_after: Duration,
    },
    /// The store fails, and a limit refuses all requests then (`on_failure = "closed"`).
    StoreDown {
        /// When the store is asked again.
        retry_after: Duration,
    },
    /// The request needs the origin, which has been called as often as its quota allows.
    Origin {
        /// When the origin may be called again.
        retry_after: Duration,
    },
}

impl Refusal {
    /// How long until the same request is admitted, or the hold ends.
    pub const fn retry_after(&self) -> Duration {
        match self {
            Self::Quota { retry_after, .. }
            | Self::Reduced { retry_after, .. }
            | Self::Held { retry_after, .. }
            | Self::StoreDown { retry_after }
            | Self::Origin { retry_after } => *retry_after,
        }
    }

    /// The limits that refuse.
    pub fn violated(&self) -> &[usize] {
        match self {
            Self::Quota { violated, .. }
            | Self::Reduced { violated, .. }
            | Self::Held { violated, .. } => violated,
            Self::StoreDown { .. } | Self::Origin { .. } => &[],
        }
    }

    /// What the client is told. `name` names a limit by its position. `None` if the origin's quota
    /// is exhausted, which is none of the client's limits.
    pub fn problem<'a>(&self, name: impl Fn(usize) -> Option<&'a str>) -> Option<LimitProblem> {
        let why = match self {
            Self::Quota { .. } => Why::QuotaExceeded,
            Self::Reduced { .. } => Why::ReducedCapacity,
            Self::Held { .. } => Why::AbnormalUsage,
            Self::StoreDown { .. } => Why::StoreDown,
            Self::Origin { .. } => return None,
        };
        let names = self.violated().iter().filter_map(|place| name(*place));
        Some(LimitProblem {
            why,
            violated: names.map(str::to_owned).collect(),
            retry_after: self.retry_after(),
        })
    }

    /// The same refusal if the limits are reduced because the store fails: the client is not at
    /// fault.
    pub(super) fn while_reduced(self) -> Self {
        match self {
            Self::Quota {
                violated,
                retry_after,
            } => Self::Reduced {
                violated,
                retry_after,
            },
            other => other,
        }
    }

    /// The same refusal if it starts a hold of this length.
    pub(super) fn with_hold(self, hold: Option<Duration>) -> Self {
        match self {
            Self::Quota {
                violated,
                retry_after,
            } => Self::Quota {
                violated,
                retry_after: hold.map_or(retry_after, |hold| hold.max(retry_after)),
            },
            other => other,
        }
    }
}

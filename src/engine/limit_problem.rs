//! What clients are told if limits refuse a request: problem details (RFC 9457) with the problem
//! types of draft-ietf-httpapi-ratelimit-headers-10 §5.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::clock::seconds_up;

/// A request that limits refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitProblem {
    /// Why.
    pub why: Why,
    /// The names of the limits that refuse.
    pub violated: Vec<String>,
    /// How long until the same request will be admitted, or the client is no longer blocked.
    pub retry_after: Duration,
}

/// Why limits refuse a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// A quota is exhausted.
    QuotaExceeded,
    /// The store is down, and the local limits, which are lower, are exhausted.
    ReducedCapacity,
    /// The client ignored refusals, and is blocked for a while.
    AbnormalUsage,
    /// The store is down, and a limit refuses all requests in that case.
    StoreDown,
}

impl Why {
    /// The stable name in snake case, which is also the member `code` of the body.
    pub const fn code(self) -> &'static str {
        match self {
            Self::QuotaExceeded => "quota_exceeded",
            Self::ReducedCapacity => "reduced_capacity",
            Self::AbnormalUsage => "abnormal_usage",
            Self::StoreDown => "store_unavailable",
        }
    }

    /// The title.
    pub const fn title(self) -> &'static str {
        match self {
            Self::QuotaExceeded => {
                "Request cannot be satisfied as assigned quota has been exceeded"
            }
            Self::ReducedCapacity => {
                "Request cannot be satisfied due to temporary server capacity constraints"
            }
            Self::AbnormalUsage => {
                "Request not satisfied due to detection of abnormal request pattern"
            }
            Self::StoreDown => "Limits cannot be checked at the moment",
        }
    }

    /// The draft's problem type, if it has one for this.
    const fn kind(self) -> Option<&'static str> {
        match self {
            Self::QuotaExceeded => Some("quota-exceeded"),
            Self::ReducedCapacity => Some("temporary-reduced-capacity"),
            Self::AbnormalUsage => Some("abnormal-usage-detected"),
            Self::StoreDown => None,
        }
    }
}

impl LimitProblem {
    /// The whole seconds of `Retry-After`, at least 1.
    pub fn seconds(&self) -> u64 {
        seconds_up(self.retry_after).max(1)
    }

    /// Adds what the draft wants of a body: the type, the limits, and when to come back if the
    /// client is blocked.
    pub fn tell(&self, body: &mut Map<String, Value>) {
        if let Some(name) = self.why.kind() {
            let kind = format!("https://iana.org/assignments/http-problem-types#{name}");
            body.insert("type".to_owned(), kind.into());
            body.insert(
                "violated-policies".to_owned(),
                self.violated.as_slice().into(),
            );
        }
        if self.why == Why::AbnormalUsage {
            let seconds = self.seconds();
            let detail = format!("Held off for {seconds} s, having gone on after refusals");
            body.insert("detail".to_owned(), detail.into());
            body.insert("retry-after".to_owned(), seconds.into());
        }
    }
}

/// A body of problem details, without what is special to a problem.
pub fn body(title: &str, status: u16, code: &str) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("type".to_owned(), "about:blank".into());
    body.insert("title".to_owned(), title.into());
    body.insert("status".to_owned(), status.into());
    body.insert("code".to_owned(), code.into());
    body
}

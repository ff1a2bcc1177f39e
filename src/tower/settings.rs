//! What a layer does, shared by all services that it makes.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::header::{HeaderMap, RETRY_AFTER};
use http::{Response, StatusCode, request, response};

use crate::engine::limit_fields::Style;
use crate::engine::limit_problem::{LimitProblem, Why};
use crate::limiter::{RateLimiter, Taken, Want};

use super::fields::{Told, name_of, tell};
use super::key::Key;
use super::refusal::Refusal;
use super::warning::warn;

/// What a layer does.
#[derive(Clone)]
pub(super) struct Settings {
    /// There is at least one.
    pub(super) limits: Vec<Limit>,
    pub(super) style: Style,
    pub(super) skip: Option<Arc<Skip>>,
    pub(super) refund_on: Option<Arc<RefundOn>>,
    pub(super) refuse_with: Option<Arc<RefuseWith>>,
    warned: Arc<AtomicBool>,
}

/// A limit, and what is counted against it.
#[derive(Clone)]
pub(super) struct Limit {
    limiter: RateLimiter,
    /// As headers can hold it.
    pub(super) name: String,
    pub(super) key: Arc<dyn Key>,
    pub(super) cost: Option<Arc<Cost>>,
    pub(super) quota: Option<Arc<Quota>>,
    pub(super) cost_from_response: Option<Arc<CostFromResponse>>,
}

pub(super) type Skip = dyn Fn(&request::Parts) -> bool + Send + Sync;
pub(super) type RefundOn = dyn Fn(&StatusCode) -> bool + Send + Sync;
pub(super) type RefuseWith = dyn Fn(&Refusal<'_>) -> Response<Bytes> + Send + Sync;
pub(super) type Cost = dyn Fn(&request::Parts) -> u64 + Send + Sync;
pub(super) type Quota = dyn Fn(&request::Parts) -> Option<u64> + Send + Sync;
pub(super) type CostFromResponse = dyn Fn(&response::Parts) -> Option<u64> + Send + Sync;

/// What a request wants of one limit.
#[derive(Debug)]
pub(super) struct Demand<'a> {
    key: Cow<'a, str>,
    pub(super) cost: u64,
    quota: Option<u64>,
}

impl Settings {
    pub(super) fn new(limit: Limit) -> Self {
        Self {
            limits: vec![limit],
            style: Style::Draft10,
            skip: None,
            refund_on: None,
            refuse_with: None,
            warned: Arc::default(),
        }
    }

    pub(super) fn skips(&self, parts: &request::Parts) -> bool {
        self.skip.as_ref().is_some_and(|skip| skip(parts))
    }

    /// What a request wants of each limit.
    pub(super) fn demands<'a>(&self, parts: &'a request::Parts) -> Vec<Demand<'a>> {
        let limits = self.limits.iter();
        limits.map(|limit| self.demand(limit, parts)).collect()
    }

    fn demand<'a>(&self, limit: &Limit, parts: &'a request::Parts) -> Demand<'a> {
        let key = limit.key.key(parts).unwrap_or_default();
        if key.is_empty() && !self.warned.swap(true, Ordering::Relaxed) {
            warn(limit.limiter.rule().name());
        }
        Demand {
            key,
            cost: limit.cost.as_ref().map_or(1, |cost| cost(parts)),
            quota: limit.quota.as_ref().and_then(|quota| quota(parts)),
        }
    }

    /// The demands as the limiters take them.
    pub(super) fn wants<'a>(&'a self, demands: &'a [Demand<'_>]) -> Vec<Want<'a>> {
        let both = self.limits.iter().zip(demands);
        both.map(|(limit, demand)| {
            let subject = limit.limiter.subject(&*demand.key).cost(demand.cost);
            match demand.quota {
                Some(quota) => subject.quota(quota).want(),
                None => subject.want(),
            }
        })
        .collect()
    }

    /// What a client gets whose request is refused.
    pub(super) fn refused(&self, taken: &Taken, request: &request::Parts) -> Response<Bytes> {
        let retry_after = taken.all.retry_after();
        let problem = match taken.problem() {
            Some(problem) => LimitProblem {
                retry_after,
                ..problem
            },
            None => LimitProblem {
                why: Why::QuotaExceeded,
                violated: Vec::new(),
                retry_after,
            },
        };
        let refusal = Refusal::new(problem, &taken.all.results, request);
        let mut response = match &self.refuse_with {
            Some(refuse_with) => refuse_with(&refusal),
            None => refusal.response(),
        };
        let headers = response.headers_mut();
        let after = headers.entry(RETRY_AFTER);
        after.or_insert_with(|| refusal.seconds().into());
        self.tell(headers, taken);
        response
    }

    /// Adds the headers that tell a client its limits.
    pub(super) fn tell(&self, headers: &mut HeaderMap, taken: &Taken) {
        let (Some(now), true) = (taken.now(), self.style != Style::None) else {
            return;
        };
        let limits = self.limits.iter().zip(&taken.all.results);
        let told = limits.map(|(limit, limited)| Told {
            name: &limit.name,
            limited,
            is_shadow: limit.limiter.rule().is_shadow(),
        });
        tell(headers, self.style, &told.collect::<Vec<_>>(), now);
    }

    /// Corrects what a request was charged, once its response is known. `costs`: what it was
    /// charged. Of an error of the inner service only the refund is asked, as of a status 500.
    pub(super) fn correct(
        &self,
        taken: &mut Taken,
        costs: &[u64],
        answered: Result<&response::Parts, StatusCode>,
    ) {
        let by_response = |limit: &Limit| limit.cost_from_response.is_some();
        if self.refund_on.is_none() && !self.limits.iter().any(by_response) {
            return;
        }
        let status = answered.map_or_else(|status| status, |parts| parts.status);
        let refunds = self.refund_on.as_ref().is_some_and(|on| on(&status));
        let true_cost = |limit: &Limit| match answered {
            _ if refunds => Some(0),
            Ok(parts) => limit.cost_from_response.as_ref()?(parts),
            Err(_) => None,
        };
        let known = self.limits.iter().map(true_cost).zip(costs);
        let true_costs: Vec<_> = known.map(|(known, cost)| known.unwrap_or(*cost)).collect();
        if true_costs != costs {
            taken.settle(|place| true_costs.get(place).copied().unwrap_or_default());
        }
    }
}

impl Limit {
    pub(super) fn new(limiter: RateLimiter, key: impl Key) -> Self {
        Self {
            name: name_of(limiter.rule().name()),
            limiter,
            key: Arc::new(key),
            cost: None,
            quota: None,
            cost_from_response: None,
        }
    }
}

impl Demand<'_> {
    /// The same, which outlives the request.
    pub(super) fn into_owned(self) -> Demand<'static> {
        Demand {
            key: Cow::Owned(self.key.into_owned()),
            ..self
        }
    }
}

/// Shows the limits; the rest is functions.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules = self.limits.iter().map(|limit| limit.limiter.rule());
        let rules: Vec<_> = rules.collect();
        f.debug_struct("RateLimit")
            .field("limits", &rules)
            .field("style", &self.style)
            .finish_non_exhaustive()
    }
}

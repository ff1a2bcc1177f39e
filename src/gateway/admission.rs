//! A request's limits: against what it counts, and what the limits said.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::config::{By, OnFailure};
use crate::engine::limit::{Charge, Source, Verdict};
use crate::engine::subject;

use super::answer::Answer;
use super::body::Body;
use super::head::Head;
use super::memory::Memory;
use super::plan::{LimitPlan, Plan, RoutePlan};
use super::problem::Problem;
use super::ratelimit;

/// What a request counts against, and, once that is known, how it fared.
#[derive(Debug)]
pub struct Admission {
    limits: Vec<Rc<LimitPlan>>,
    /// What it takes from each.
    pub charges: Vec<Charge>,
    verdicts: Vec<Option<Verdict>>,
    /// Who decided.
    pub source: Source,
}

impl Admission {
    /// The limits of a route, for the client that sent `head`.
    pub fn of(plan: &Plan, route: &RoutePlan, head: &impl Head) -> Self {
        let mut client = ClientOf::new(plan, head);
        let (mut limits, mut charges) = (Vec::new(), Vec::new());
        for limit in &route.limits {
            let Some(subject) = client.subject(limit.by, route) else {
                continue;
            };
            charges.push(Charge {
                key: format!("{}:l:{}:{subject}", plan.store.key_prefix, limit.name),
                quota: limit.quota(client.has_key()),
                cost: route.cost,
                enforced: limit.enforced,
            });
            limits.push(Rc::clone(limit));
        }
        Self {
            verdicts: vec![None; charges.len()],
            limits,
            charges,
            source: Source::None,
        }
    }

    /// No limits at all.
    pub const fn free() -> Self {
        Self {
            limits: Vec::new(),
            charges: Vec::new(),
            verdicts: Vec::new(),
            source: Source::None,
        }
    }

    /// Refuses if a refusal is remembered that is still true.
    pub fn refused_before<B: Body>(
        &mut self,
        memory: &mut Memory<B>,
        now: Timestamp,
    ) -> Result<(), Problem> {
        let refused = |charge: &Charge| match charge.enforced {
            true => memory.denied.refused_until(&charge.key, charge.cost, now),
            false => None,
        };
        let refused: Vec<_> = self.charges.iter().map(refused).collect();
        if refused.iter().all(Option::is_none) {
            return Ok(());
        }
        self.source = Source::Blocked;
        for ((charge, verdict), until) in self.charges.iter().zip(&mut self.verdicts).zip(refused) {
            // A refusal may outlast its window by some sub-buckets.
            let lately = charge.quota.window.saturating_mul(2);
            let known = memory.fallback.last_known(&charge.key, lately, now);
            let wait = until.map(|until| until.since(now));
            *verdict = match (known, wait) {
                (known, Some(wait)) => Some(Verdict {
                    met: false,
                    remaining: known.map_or(0, |known| known.remaining),
                    retry_after: wait,
                    reset_after: wait,
                }),
                (Some(known), None) => Some(Verdict { met: true, ..known }),
                (None, None) => None,
            };
        }
        self.outcome()
    }

    /// Takes what the store said, and remembers it.
    pub fn decided_by_store<B: Body>(
        &mut self,
        verdicts: Vec<Verdict>,
        memory: &mut Memory<B>,
        now: Timestamp,
    ) -> Result<(), Problem> {
        for (charge, verdict) in self.charges.iter().zip(&verdicts) {
            memory.fallback.learn(&charge.key, verdict, now);
            if !verdict.met {
                let until = now + verdict.retry_after;
                memory.denied.remember(&charge.key, charge.cost, now, until);
            }
        }
        if !self.charges.is_empty() {
            self.source = Source::Redis;
        }
        self.verdicts = verdicts.into_iter().map(Some).collect();
        self.outcome()
    }

    /// Decides without the store: absent, or failing for the next `down_for`.
    pub fn decide_locally<B: Body>(
        &mut self,
        memory: &mut Memory<B>,
        now: Timestamp,
        down_for: Option<Duration>,
    ) -> Result<(), Problem> {
        let (mut places, mut charges) = (Vec::new(), Vec::new());
        for (n, (limit, charge)) in self.limits.iter().zip(&self.charges).enumerate() {
            match (down_for, limit.on_failure) {
                (Some(retry_after), OnFailure::Closed) if charge.enforced => {
                    return Err(Problem::StoreDown { retry_after });
                }
                (Some(_), OnFailure::Open | OnFailure::Closed) => {}
                (None, _) | (_, OnFailure::Local) => {
                    places.push(n);
                    charges.push(charge);
                }
            }
        }
        for (n, verdict) in places.into_iter().zip(memory.fallback.admit(&charges, now)) {
            self.source = Source::Local;
            if let Some(slot) = self.verdicts.get_mut(n) {
                *slot = Some(verdict);
            }
        }
        self.outcome()
    }

    fn outcome(&self) -> Result<(), Problem> {
        let refused = |n: &usize| {
            let enforced = self.charges.get(*n).is_some_and(|charge| charge.enforced);
            let met = self
                .verdicts
                .get(*n)
                .and_then(Option::as_ref)
                .is_none_or(|v| v.met);
            enforced && !met
        };
        let refused: Vec<_> = (0..self.charges.len()).filter(refused).collect();
        if refused.is_empty() {
            return Ok(());
        }
        let waits = refused
            .iter()
            .filter_map(|n| self.verdicts.get(*n)?.as_ref());
        Err(Problem::QuotaExceeded {
            violated: refused
                .iter()
                .filter_map(|n| Some(self.limits.get(*n)?.name.clone()))
                .collect(),
            retry_after: waits.map(|v| v.retry_after).max().unwrap_or_default(),
        })
    }

    /// The headers that tell the client: `RateLimit-Policy`, `RateLimit`, `X-Edge-Limiter`.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![("x-edge-limiter", self.source.as_str().to_owned())];
        if self.limits.is_empty() {
            return headers;
        }
        let mut policies = Vec::with_capacity(self.limits.len());
        let mut states = Vec::with_capacity(self.limits.len());
        for ((limit, charge), verdict) in self.limits.iter().zip(&self.charges).zip(&self.verdicts)
        {
            policies.push(ratelimit::policy(&limit.name, charge.quota));
            if let Some(verdict) = verdict {
                states.push(ratelimit::state(&limit.name, verdict));
            }
        }
        headers.push(("ratelimit-policy", policies.join(", ")));
        if !states.is_empty() {
            headers.push(("ratelimit", states.join(", ")));
        }
        headers
    }

    /// Puts the headers on an answer of the gate's own.
    pub fn mark<B: Body>(&self, mut answer: Answer<B>) -> Answer<B> {
        for (name, value) in self.headers() {
            answer.set(name, value);
        }
        answer
    }
}

/// Who sent a request, worked out as far as the limits ask.
struct ClientOf<'a, H> {
    plan: &'a Plan,
    head: &'a H,
    api_key: Option<Cow<'a, str>>,
    address: Option<String>,
    digest: Option<String>,
}

impl<'a, H: Head> ClientOf<'a, H> {
    fn new(plan: &'a Plan, head: &'a H) -> Self {
        let api_key = head.value(&plan.client.api_key_header);
        Self {
            plan,
            head,
            api_key: api_key.filter(|key| !key.trim().is_empty()),
            address: None,
            digest: None,
        }
    }

    const fn has_key(&self) -> bool {
        self.api_key.is_some()
    }

    /// The subject under a limit; none where the limit does not apply.
    fn subject(&mut self, by: By, route: &RoutePlan) -> Option<String> {
        Some(match by {
            By::Client if self.has_key() => self.digest()?,
            By::Client | By::Ip => self.address(),
            By::ApiKey => self.digest()?,
            By::Route if route.name.is_empty() => "-".to_owned(),
            By::Route => route.subject(),
            By::Global => "all".to_owned(),
        })
    }

    fn address(&mut self) -> String {
        let client = &self.plan.client;
        let address = || {
            let text = self.head.value(&client.ip_header).unwrap_or_default();
            subject::of_address(&text, client.ipv6_prefix)
        };
        self.address.get_or_insert_with(address).clone()
    }

    fn digest(&mut self) -> Option<String> {
        let key = self.api_key.as_ref()?;
        let domain = subject::domain(&self.plan.store.key_prefix);
        let digest = || subject::of_api_key(key.trim(), &domain);
        Some(self.digest.get_or_insert_with(digest).clone())
    }
}

//! The request to the origin: whether it may be made, what it cost, and what happens to the answer.

use std::rc::Rc;
use std::time::Duration;

use http::Method;

use crate::cache::{DATA_AGE, IfKept, InPlace, Miss, Phase, Received, Site};
use crate::clock::Timestamp;
use crate::engine::http_cache::{CacheKey, CacheStatus, invalidates, same_origin_reference};
use crate::engine::proxy_names::Reserved;
use crate::engine::route::segments;
use crate::engine::subject;
use crate::engine::url::Target;
use crate::message::answer::Answer;
use crate::message::body::Body;
use crate::message::forward::{self, Failure, true_cost, unreachable};
use crate::message::head::{Head, OriginHead};
use crate::ops::{Outcome, Tally};

use super::context::Context;
use super::gate::Gate;
use super::problem::Problem;
use super::step::{After, Handoff, Relay, Respond, Step};

impl<B: Body> Gate<B> {
    /// Sends the request to the origin, or first asks the store whether the origin may be called.
    pub(super) fn fetch(
        &mut self,
        head: &impl Head,
        mut context: Context<B>,
        now: Timestamp,
    ) -> Step<B> {
        if head.asks_limits_only() {
            return context.answer(Answer::empty(204)).into();
        }
        if !self.may_call_origin(&mut context, now) {
            if let Some(retry_after) = context.admission.check().origin_refused() {
                return self.instead_of_origin(head, context, retry_after, now);
            }
            if self.store_allows(&mut context, now) {
                let (limits, link) = (&mut self.limits, &mut self.link);
                let ask = context.admission.check().ask_origin(limits, link, now);
                return Step::Ask(ask, context);
            }
            // The store failed, so the call is counted in the isolate now.
            return self.fetch(head, context, now);
        }
        let Some(target) = Target::of(head.url()) else {
            return self.reject(head, &Problem::MalformedUrl);
        };
        let plan = context.route.cache.as_ref();
        let Some((path, query)) = context.cache.sent(plan, &target, head.url()) else {
            return self.reject(head, &Problem::MalformedUrl);
        };
        let url = forward::url(&self.plan.origin, &path, query.as_deref());
        let client = &self.plan.client;
        let reserved = Reserved {
            api_keys: &client.api_key_headers,
            ip: &client.ip_header,
            vary: plan.map_or(&[], |plan| &plan.vary),
        };
        let address = head.value(&client.ip_header);
        let address = address
            .and_then(|text| subject::address(&text))
            .map(|ip| ip.to_string());
        let timeout = context.route.origin_timeout;
        let mut fetch = forward::fetch(url, &target, head, reserved, address, timeout);
        context.sent_at = now;
        context.cache = match context.cache.take() {
            Phase::Miss(miss) => {
                let uncollapsed = context.place.is_independent();
                Phase::Fetching(Box::new(miss.prepare(&mut fetch, uncollapsed, now)))
            }
            Phase::Change(change) => Phase::Changing(change, now),
            phase => phase,
        };
        Step::Fetch(fetch, context)
    }

    /// Refuses a request whose URL leads nowhere.
    pub(super) fn reject(&self, head: &impl Head, problem: &Problem) -> Step<B> {
        let outbound = self.plan.outbound.of(head);
        Step::Respond(Respond {
            answer: outbound.mark(problem.answer(), Vec::new()),
            after: After::nothing(),
            admission: None,
            tally: Some(Tally::REJECTED),
        })
    }

    /// Whether the origin may be called now, without asking the store first. If permits were
    /// fetched ahead, one is spent: a caller that is told so must make the call.
    pub(super) fn may_call_origin(&mut self, context: &mut Context<B>, now: Timestamp) -> bool {
        let (limits, link) = (&mut self.limits, &mut self.link);
        if context.admission.check().spend_origin(limits, now) && link.is_up() {
            let ahead = context.admission.check().fetch_ahead(limits, link, now);
            context.calls.extend(ahead);
        }
        if context.admission.origin_unpaid(limits, now) && context.store_failed {
            context.admission.check().origin_locally(limits, now);
        }
        !context.admission.check().origin_unpaid()
    }

    /// Answers without the origin, whose quota is exhausted for `retry_after`: with the stored
    /// response if it may be served, else with a refusal, which costs the client nothing.
    pub(super) fn instead_of_origin(
        &mut self,
        head: &impl Head,
        mut context: Context<B>,
        retry_after: Duration,
        now: Timestamp,
    ) -> Step<B> {
        context.place.leave(&mut self.cache.fetches, now);
        let lookup = context.cache.lookup();
        if let Some(answer) = lookup.and_then(|lookup| lookup.answer_in_place(head, now)) {
            return context.answer(answer).into();
        }
        self.correct_cost(&mut context, 0, now);
        context.refuse(&Problem::OriginQuotaSpent { retry_after })
    }

    /// What to do with the origin's answer, or with its failure. `local_now` is the time by the
    /// isolate's clock.
    pub fn origin_answered(
        &mut self,
        head: &impl Head,
        mut context: Context<B>,
        answered: Result<&impl OriginHead, Failure>,
        local_now: Timestamp,
    ) -> Handoff<B> {
        let now = self.link.now(local_now);
        let answered = answered.and_then(|origin| match unreachable(origin.status()) {
            Some(failure) => Err(failure),
            None => Ok(origin),
        });
        let status = answered.map(OriginHead::status);
        self.report_origin(&mut context, status, now);
        if let Phase::Fetching(fetching) = &context.cache {
            let status = answered.map(OriginHead::status);
            let (place, memory) = (&mut context.place, &mut self.cache);
            let refreshes = context.is_background;
            let (stale, told) = fetching.answered(head, status, refreshes, place, memory, now);
            self.write(&mut context, told);
            if let Some(stale) = stale {
                return Handoff::Step(context.answer(stale).into());
            }
        }
        self.settle(&mut context, answered, now);
        let origin = match answered {
            Ok(origin) => origin,
            Err(failure) => return Handoff::Step(context.failed(failure, None).into()),
        };
        let route = Rc::clone(&context.route);
        match (context.cache.take(), &route.cache, Target::of(head.url())) {
            (Phase::Fetching(fetching), Some(plan), Some(target)) => {
                let site = Site {
                    route: &route.name,
                    plan,
                    target: &target,
                    store_is_up: self.link.is_up(),
                    now,
                };
                let place = &mut context.place;
                let received = fetching.received(head, origin, place, &mut self.cache, &site);
                self.hand_on(head, context, origin, received, now)
            }
            (phase, ..) => self.hand_on_uncached(head, context, origin, &phase, now),
        }
    }

    /// Answers without the origin, which has just failed for another request. The permits come
    /// back as if this request had called it.
    pub(super) fn instead_of_failing(
        &mut self,
        head: &impl Head,
        mut context: Context<B>,
        miss: Miss<B>,
        shared: InPlace<B>,
        now: Timestamp,
    ) -> Step<B> {
        context.place.leave(&mut self.cache.fetches, now);
        match shared {
            InPlace::Stored(answer) => self.serve_and_refresh(head, context, answer, miss, now),
            InPlace::Failed(answer) => {
                self.refund(&mut context, answer.status, now);
                context.answer(answer).into()
            }
            InPlace::Unanswered(failure, said) => {
                self.refund(&mut context, problem(failure).status(), now);
                context.failed(failure, Some(said)).into()
            }
        }
    }

    /// What to do with an answer, given what the cache has made of it.
    fn hand_on(
        &mut self,
        head: &impl Head,
        mut context: Context<B>,
        origin: &impl OriginHead,
        received: Received<B>,
        now: Timestamp,
    ) -> Handoff<B> {
        match received {
            Received::Revalidated { answer, writes } => {
                self.write(&mut context, writes);
                Handoff::Step(context.answer(answer).into())
            }
            Received::AskAgain(miss) => {
                context.admission.check().origin_again();
                context.cache = Phase::Miss(miss);
                Handoff::Step(self.fetch(head, context, now))
            }
            Received::Relay {
                status,
                instead,
                fill,
                writes,
            } => {
                self.write(&mut context, writes);
                let mut relay = context.relay(origin);
                relay.remove.push(DATA_AGE.to_owned());
                let marked = |instead: IfKept<_>| instead.map(|answer| context.mark(answer));
                relay.instead = instead.map(marked);
                relay.store_copy(fill);
                relay.says(status, origin);
                Handoff::Relay(relay)
            }
        }
    }

    /// What to do with the answer to a request that bypassed the cache.
    fn hand_on_uncached(
        &mut self,
        head: &impl Head,
        mut context: Context<B>,
        origin: &impl OriginHead,
        phase: &Phase<B>,
        now: Timestamp,
    ) -> Handoff<B> {
        let void = self.invalidated(head, phase, origin);
        let forgotten = self.cache.forget(&void);
        self.write(&mut context, forgotten);
        let mut relay = context.relay(origin);
        if let Phase::Changing(change, sent_at) = phase {
            let base = &self.plan.origin;
            relay.store_copy(change.received(head, origin, base, *sent_at, &mut self.cache, now));
        }
        if let Some(status) = phase.bypassed().filter(|_| origin.status() != 101) {
            relay.says(status, origin);
        }
        Handoff::Relay(relay)
    }

    /// The keys that the answer to an unsafe request invalidates (RFC 9111 §4.4): that of its URL,
    /// and those of URLs of the same origin that the answer names in `Location` and
    /// `Content-Location`.
    fn invalidated(
        &self,
        head: &impl Head,
        phase: &Phase<B>,
        origin: &impl OriginHead,
    ) -> Vec<CacheKey> {
        let method = head.method().parse().unwrap_or(Method::POST);
        if !invalidates(&method, origin.status()) {
            return Vec::new();
        }
        let mut keys = Vec::new();
        if let Phase::Changing(change, _) = phase {
            keys.push(change.url.clone());
        }
        for name in ["location", "content-location"] {
            keys.extend(origin.value(name).and_then(|url| self.key_of(head, &url)));
        }
        keys.dedup();
        keys
    }

    /// The key of a URL that an answer names, if a route of this gate with a cache claims it.
    fn key_of(&self, head: &impl Head, reference: &str) -> Option<CacheKey> {
        let base = Target::of(head.url())?;
        let target = same_origin_reference(&base, &self.plan.origin, reference)?;
        let route = self.plan.find("GET", &segments(target.path()).ok()?);
        Some(route.cache.as_ref()?.key(head, &target))
    }

    /// Corrects the cost of the request once its answer is known: to zero if the route refunds the
    /// status, else to what the origin says, if it says so.
    fn settle(
        &mut self,
        context: &mut Context<B>,
        answered: Result<&impl OriginHead, Failure>,
        now: Timestamp,
    ) {
        let failed = |failure| problem(failure).status();
        let status = answered.map_or_else(failed, OriginHead::status);
        if !self.refund(context, status, now)
            && let Some(cost) = answered.ok().and_then(|origin| true_cost(origin))
        {
            self.correct_cost(context, cost, now);
        }
    }

    /// Gives the permits back, if the route does so for an answer of this status.
    fn refund(&mut self, context: &mut Context<B>, status: u16, now: Timestamp) -> bool {
        let refunds = context.route.refund_on.contains(&status);
        if refunds {
            self.correct_cost(context, 0, now);
        }
        refunds
    }

    fn correct_cost(&mut self, context: &mut Context<B>, cost: u64, now: Timestamp) {
        let spent = context.admission.all_spent();
        let (limits, link) = (&mut self.limits, &mut self.link);
        let call = context.admission.check().settle(cost, limits, link, now);
        self.report_settled(&context.admission, &spent);
        // If the store is down, what is charged there stays charged.
        context.calls.extend(call.filter(|_| self.link.is_up()));
    }
}

const fn problem(failure: Failure) -> Problem {
    match failure {
        Failure::Failed => Problem::OriginFailed,
        Failure::TimedOut => Problem::OriginTimedOut,
    }
}

impl<B: Body> Context<B> {
    /// Relays the origin's answer, with the gate's headers and without the hop-by-hop ones.
    fn relay(&mut self, origin: &impl OriginHead) -> Relay<B> {
        let tally = self.tally(self.served(None), None);
        let mut relay = Relay::untouched(tally, self.after());
        // With 101 the other protocol has begun, and the gate changes nothing any more.
        if origin.status() != 101 {
            let own = self.own_headers();
            let changes = self.outbound.relayed(origin, own, self.route.tells_limits);
            (relay.remove, relay.set) = (changes.remove, changes.set);
            relay.append = changes.append;
        }
        relay
    }

    /// Answers that the origin failed, with nothing to serve in place of its answer. `shared`: what
    /// `Cache-Status` says if it failed for another request.
    fn failed(self, failure: Failure, shared: Option<CacheStatus>) -> Respond<B> {
        let mut answer = problem(failure).answer();
        let status = shared.or_else(|| match &self.cache {
            Phase::Fetching(fetching) => Some(CacheStatus::forwarded(fetching.why)),
            phase => phase.bypassed(),
        });
        if let Some(status) = status {
            answer.set("cache-status", status.to_string());
            answer.set("age", "0".to_owned());
            answer.said = Some(status);
        }
        self.end(answer, Outcome::Error)
    }
}

//! The sequence: the limits and the cache are asked in turn, in memory first and then in the store.

use std::time::Duration;

use crate::cache::{Change, Lookup, Phase, Serve};
use crate::clock::Timestamp;
use crate::engine::http_cache::{Bypass, Forward, Target};
use crate::engine::limit::crowd::Patience;
use crate::engine::route::segments;
use crate::error::Error;
use crate::identity::{Awaited, Finding, Outcome, Patient, Verification, token};
use crate::message::body::Body;
use crate::message::head::{Head, LONGEST_URL, is_preflight, is_upgrade};
use crate::ops::Waits;
use crate::redis::Value;
use crate::store::{Ask, Write};

use super::admission::Admission;
use super::context::Context;
use super::gate::Gate;
use super::plan::RoutePlan;
use super::problem::Problem;
use super::step::Step;

/// What is known of the sender of a request.
enum Sender {
    /// It is not known whom its token stands for. The request has waited so long to find it out.
    Unknown(Awaited),
    /// Its token stands for this client, or for nobody.
    Known(Patient),
}

impl<B: Body> Gate<B> {
    /// The first step for a request. `local_now` is the time by the isolate's clock.
    pub fn decide(&mut self, head: &impl Head, local_now: Timestamp) -> Step<B> {
        let now = self.link.now(local_now);
        self.decide_for(head, Sender::Unknown(Awaited::from(now)), now)
    }

    /// The next step after a [`Step::AwaitKeys`].
    pub fn keys_awaited(
        &mut self,
        head: &impl Head,
        awaited: Awaited,
        local_now: Timestamp,
    ) -> Step<B> {
        let now = self.link.now(local_now);
        self.decide_for(head, Sender::Unknown(awaited), now)
    }

    /// The next step after a [`Step::Verify`].
    pub fn verified(
        &mut self,
        head: &impl Head,
        token: Verification,
        outcome: Outcome,
        local_now: Timestamp,
    ) -> Step<B> {
        let now = self.link.now(local_now);
        if outcome == Outcome::Unusable {
            self.note_unusable_key();
        }
        let identities = self.identities.as_mut();
        let holder = identities.and_then(|i| i.verified(token, outcome, now));
        self.decide_for(head, Sender::Known(Patient::new(holder)), now)
    }

    /// The next step after a [`Step::AwaitPermits`].
    pub fn permits_awaited(
        &mut self,
        head: &impl Head,
        patient: Patient,
        local_now: Timestamp,
    ) -> Step<B> {
        let now = self.link.now(local_now);
        self.decide_for(head, Sender::Known(patient), now)
    }

    /// Decides about a request, once it is known whom its token stands for.
    fn decide_for(&mut self, head: &impl Head, sender: Sender, now: Timestamp) -> Step<B> {
        if head.url().len() > LONGEST_URL {
            return self.reject(head, &Problem::UrlTooLong);
        }
        let Some(target) = Target::of(head.url()) else {
            return self.reject(head, &Problem::MalformedUrl);
        };
        let Ok(path) = segments(target.path()) else {
            return self.reject(head, &Problem::MalformedUrl);
        };
        if let Some(step) = self.admin(head, target.path(), &path, now) {
            return step;
        }
        let preflight = self.plan.outbound.preflight_of(head);
        if let Some(method) = preflight.filter(|_| !head.asks_limits_only()) {
            let route = self.plan.find(&method, &path);
            let outbound = &self.plan.outbound;
            return outbound
                .answer_preflight(head, route.methods.as_deref())
                .into();
        }
        let route = self.plan.find(head.method(), &path);
        let free = is_preflight(head) && !route.names_method("OPTIONS");
        let (admission, patient) = if free {
            (Admission::free(now), None)
        } else {
            let patient = match sender {
                Sender::Known(patient) => patient,
                Sender::Unknown(awaited) => match self.identify(head, &route, awaited, now) {
                    Finding::Holder(holder) => Patient::new(holder),
                    Finding::Verify(token) => return Step::Verify(token),
                    Finding::Wait(pause) => return Step::AwaitKeys(pause, awaited.and(pause)),
                },
            };
            let holder = patient.holder.clone();
            let memory = (&self.limits, &mut self.unknown_keys);
            let admission = Admission::of(&self.plan, &route, head, holder, memory, now);
            (admission, Some(patient))
        };
        if admission.odd_address {
            self.note_odd_address();
        }
        let cache = self.cache_phase(head, &target, &path, &route);
        let mut context = Context::new(route, admission, cache);
        #[cfg(feature = "queue")]
        {
            context.holder = patient.as_ref().and_then(|it| it.holder.clone());
        }
        context.outbound = self.plan.outbound.of(head);
        if let Phase::Lookup(lookup) = &mut context.cache {
            lookup.recall(head, &mut self.cache.entries, now);
        }
        if let Some(patient) = patient
            && let Some(patience) = self.joins(head, &mut context, patient.patience, now)
        {
            return Step::AwaitPermits(patience.pause(), patient.after(patience));
        }
        let limited = match context.admission.recall(&mut self.limits, now) {
            Ok(limited) => limited,
            Err(problem) => return self.refuse(context, &problem, now),
        };
        if !limited {
            self.report_limits(&mut context.admission, now);
        }
        if context.cache.goes_to_origin() {
            context
                .admission
                .check()
                .spend_origin(&mut self.limits, now);
        }
        let metered = context.admission.origin_unpaid(&mut self.limits, now);
        let lookup = context.cache.lookup();
        let looks_up =
            lookup.is_some_and(|lookup| lookup.needs_store(head, limited || metered, now));
        if !limited && !looks_up {
            return self.proceed(head, context, now);
        }
        if !limited && let Some(pause) = self.join_before_store(&mut context, now) {
            return Step::Wait(pause, context);
        }
        if !self.store_allows(&mut context, now) {
            return self.without_store(head, context, now);
        }
        let query = looks_up.then(|| self.entry_query(&target, &context));
        let mut query = query.flatten();
        let lookup = context.cache.lookup();
        let failed = lookup.is_some_and(|lookup| lookup.shared(&self.cache, now).is_some());
        let calls_origin = match lookup {
            Some(lookup) => query.is_some() && !lookup.request.only_if_cached() && !failed,
            None => !matches!(context.cache, Phase::Refused(_)),
        };
        let refused = context.admission.check().origin_refused().is_some();
        if let Some(query) = query.as_mut().filter(|_| refused || failed) {
            // This request will not call the origin, so it must not take the refresh lease.
            query.lease_for = None;
        }
        let (limits, link) = (&mut self.limits, &mut self.link);
        let check = context.admission.check();
        // A permit that was fetched ahead is spent when the origin is called. The store would
        // refuse a further one if it has lent its last.
        let asks_origin = calls_origin && !check.origin_at_hand(limits, now);
        let mut ask = check.ask(asks_origin, limits, link, now);
        if let Some(query) = &query {
            ask.look_up(query);
            check.looks_up(&query.entry, limits, link, now);
        }
        Step::Ask(ask, context)
    }

    /// How the request waits for calls of others that are on their way, if they bring all that it
    /// lacks.
    fn joins(
        &mut self,
        head: &impl Head,
        context: &mut Context<B>,
        patience: Patience,
        now: Timestamp,
    ) -> Option<Patience> {
        let Context {
            admission, cache, ..
        } = context;
        let entry = || {
            let lookup = cache.lookup()?;
            let needs_store = lookup.needs_store(head, false, now);
            needs_store.then(|| self.cache.entry_key(&lookup.key))
        };
        let (limits, link) = (&mut self.limits, &self.link);
        admission.check().joins(patience, entry, limits, link, now)
    }

    /// Whom the request's token stands for, if a limit of its route counts by that, or what has to
    /// be done first to find that out.
    fn identify(
        &mut self,
        head: &impl Head,
        route: &RoutePlan,
        awaited: Awaited,
        now: Timestamp,
    ) -> Finding {
        let identities = self.identities.as_mut().filter(|_| route.counts_users);
        match identities.and_then(|i| Some((i, token(head)?))) {
            Some((identities, token)) => identities.find(&token, awaited.until(now), now),
            None => Finding::Holder(None),
        }
    }

    /// The phase in which a request starts in the cache.
    fn cache_phase(
        &self,
        head: &impl Head,
        target: &Target<'_>,
        path: &[String],
        route: &RoutePlan,
    ) -> Phase<B> {
        let changes = !matches!(head.method(), "GET" | "HEAD" | "OPTIONS" | "TRACE");
        match &route.cache {
            _ if head.asks_limits_only() => Phase::Off,
            Some(_) if is_upgrade(head) => Phase::Bypass(Bypass::Upgrade),
            _ if changes => match &self.plan.find("GET", path).cache {
                Some(plan) => Phase::Change(Box::new(Change::of(plan, head, target))),
                None => Phase::Off,
            },
            Some(plan) => Phase::first(plan, head, target, &self.cache, self.link.is_up()),
            None => Phase::Off,
        }
    }

    /// The next step after the store's reply to an [`Ask`]. `local_now` is the time by the
    /// isolate's clock.
    pub fn resume(
        &mut self,
        head: &impl Head,
        ask: &Ask,
        mut context: Context<B>,
        reply: Result<Value, Error>,
        local_now: Timestamp,
    ) -> Step<B> {
        let failure = reply.as_ref().err().cloned();
        let received = self.link.received(ask, reply, local_now);
        let (took, now) = (ask.took(local_now), self.link.now(local_now));
        let told = received.as_ref().map(|(reply, _)| reply);
        self.ops
            .script_call(ask, (told, failure.as_ref()), Waits::Request, took, now);
        context.waited[0] += took;
        let Some((mut reply, now)) = received else {
            context.store_failed = true;
            let now = self.link.now(local_now);
            let others = context.admission.check().failed(&mut self.limits, now);
            self.link.failed_for(others, local_now);
            if let Some(lookup) = context.cache.reopened() {
                lookup.recall_without_store(head, &mut self.cache.entries, now);
            }
            return self.without_store(head, context, now);
        };
        if reply.unreadable > 0 {
            self.ops.unreadable(reply.unreadable, now);
        }
        let asked_at = self.link.asked_at(ask);
        let decided = context
            .admission
            .decided(&mut reply, asked_at, &mut self.limits, now);
        match decided {
            Ok(Some(())) => {}
            Ok(None) => {
                context.store_failed = true;
                return self.without_store(head, context, now);
            }
            Err(Problem::OriginQuotaSpent { retry_after }) => {
                return self.instead_of_origin(head, context, retry_after, now);
            }
            Err(problem) => return self.refuse(context, &problem, now),
        }
        self.report_limits(&mut context.admission, now);
        if let (Some(reply), Some(lookup)) = (reply.cached, context.cache.reopened()) {
            let entries = &mut self.cache.entries;
            lookup.decided(reply, entries, asked_at, now);
            let leased = lookup.holds_lease().then(|| lookup.key.hex());
            if lookup.choose_variant(head, entries, now) {
                let needs_store = lookup.needs_store(head, false, now);
                // The lease was for another entry.
                let lease = leased.map(|digest| self.cache.lease_key(&digest));
                self.write(&mut context, lease.map(Write::give_back));
                context.place.leave(&mut self.cache.fetches, now);
                // The limits are decided already, so this call asks about the entry only.
                if needs_store && let Some(ask) = self.ask_for_entry(head, &context, now) {
                    return Step::Ask(ask, context);
                }
            }
        }
        self.proceed(head, context, now)
    }

    /// Goes on without the store, because there is none or it is down.
    fn without_store(
        &mut self,
        head: &impl Head,
        mut context: Context<B>,
        now: Timestamp,
    ) -> Step<B> {
        let down_for = self.link.down_for(now);
        match context.admission.locally(&mut self.limits, now, down_for) {
            Ok(()) => {
                self.report_limits(&mut context.admission, now);
                self.proceed(head, context, now)
            }
            Err(problem) => self.refuse(context, &problem, now),
        }
    }

    /// Looks again for the response that another request fetches. `local_now` is the time by the
    /// isolate's clock.
    pub fn waited(
        &mut self,
        head: &impl Head,
        mut context: Context<B>,
        local_now: Timestamp,
    ) -> Step<B> {
        let now = self.link.now(local_now);
        let why = match &context.cache {
            Phase::Miss(miss) => miss.why,
            phase => phase
                .lookup()
                .and_then(|lookup| lookup.waited)
                .unwrap_or(Forward::Miss),
        };
        let Some(lookup) = context.cache.reopened() else {
            return self.proceed(head, context, now);
        };
        lookup.recall_again(head, why, &mut self.cache.entries, now);
        let missing = lookup.needs_store(head, true, now);
        let unchecked = lookup.is_unchecked(now);
        context.place.step_down(&self.cache.fetches, now);
        if missing
            && unchecked
            && !context.leads()
            && let Some(pause) = self.join_before_store(&mut context, now)
        {
            return Step::Wait(pause, context);
        }
        if missing
            && (unchecked || context.leads())
            && self.store_allows(&mut context, now)
            && let Some(ask) = self.ask_for_entry(head, &context, now)
        {
            return Step::Ask(ask, context);
        }
        self.proceed(head, context, now)
    }

    /// Answers an admitted request from the cache if possible, else from the origin.
    fn proceed(&mut self, head: &impl Head, mut context: Context<B>, now: Timestamp) -> Step<B> {
        if self.link.is_up() && !context.store_failed {
            let (limits, link) = (&mut self.limits, &mut self.link);
            let ahead = context.admission.check().fetch_ahead(limits, link, now);
            context.calls.extend(ahead);
        }
        #[cfg(feature = "queue")]
        if context.route.enqueue.is_some() && !head.asks_limits_only() {
            return self.enqueue(head, context);
        }
        let lookup = match context.cache.take() {
            Phase::Lookup(lookup) => *lookup,
            Phase::Miss(miss) => miss.lookup,
            Phase::Refused(names) => return context.refuse(&Problem::UnknownQuery { names }),
            phase => {
                context.cache = phase;
                return self.fetch(head, context, now);
            }
        };
        let draw = match context.is_background {
            true => {
                lookup.looked_for_refresh(&mut self.cache, now);
                1.0
            }
            false => self.cache.draw(),
        };
        match lookup.serve(head, draw, now) {
            Serve::Fetch(miss) => {
                let shared = miss.in_place(head, &self.cache, now);
                if let Some(shared) = shared.filter(|_| !context.is_background) {
                    return self.instead_of_failing(head, context, miss, shared, now);
                }
                let max_wait = context.route.origin_timeout;
                let store_tells = !context.store_failed && self.link.is_up();
                let refused = context.admission.check().origin_refused().is_some();
                let (place, memory) = (&mut context.place, &mut self.cache);
                let pause = miss.join(place, memory, max_wait, store_tells, refused, now);
                context.cache = Phase::Miss(Box::new(miss));
                match pause {
                    Some(pause) => Step::Wait(pause, context),
                    None => self.fetch_after_store(head, context, now),
                }
            }
            Serve::Answer(answer) => {
                context.place.leave(&mut self.cache.fetches, now);
                context.answer(answer).into()
            }
            Serve::AnswerAndRefresh(answer, miss) => {
                context.place.leave(&mut self.cache.fetches, now);
                self.serve_and_refresh(head, context, answer, miss, now)
            }
            Serve::OnlyIfCached => {
                context.place.leave(&mut self.cache.fetches, now);
                context.refuse(&Problem::OnlyIfCached)
            }
        }
    }

    /// Joins the requests that miss the same key, before the store is asked. Returns how long to
    /// wait before looking again, or `None` if this request goes on by itself.
    fn join_before_store(&mut self, context: &mut Context<B>, now: Timestamp) -> Option<Duration> {
        let refused = context.admission.check().origin_refused().is_some();
        let max_wait = context.route.origin_timeout;
        let (place, fetches) = (&mut context.place, &mut self.cache.fetches);
        let lookup = context.cache.lookup();
        lookup?.join(place, fetches, max_wait, refused, now)
    }

    /// Goes to the origin. If the request has waited for another one and has not asked the store
    /// yet, it does that first.
    fn fetch_after_store(
        &mut self,
        head: &impl Head,
        mut context: Context<B>,
        now: Timestamp,
    ) -> Step<B> {
        let asked = context.cache.lookup().is_none_or(Lookup::was_asked);
        if !asked
            && self.store_allows(&mut context, now)
            && let Some(ask) = self.ask_for_entry(head, &context, now)
        {
            return Step::Ask(ask, context);
        }
        self.fetch(head, context, now)
    }
}

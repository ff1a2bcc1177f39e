//! The gateway: the only place that sequences limits, cache, store and origin.
//!
//! It is a machine without I/O. [`Gate::decide`] looks at a request and says what to do:
//!
//! ```text
//!            ┌──────────────────────────── Respond ───────────────────────────┐
//!  decide ───┼─ Ask the store ── resume ──┬───────────────────────────────────┤
//!            │                            ├─ Fetch ── origin_answered ──┬─────┤
//!            └────────────────────────────┘                             └─ Relay, and save
//! ```
//!
//! A shell carries the steps out and reports back. So nothing here waits, everything can be driven
//! by a test, and a request that can be answered from memory needs no promise at all.

mod admin;
mod admission;
mod answer;
mod background;
mod body;
mod caching;
mod collapse;
mod cost;
mod flight;
pub mod forward;
mod head;
mod keeping;
mod memory;
mod metered;
mod origin;
mod plan;
mod problem;
mod purge;
pub mod ratelimit;
mod saving;
mod step;
mod stored;
mod token;

use crate::clock::Timestamp;
use crate::config::{Config, ConfigError};
use crate::engine::cache::{Bypass, Target};
use crate::engine::proxy_names::Reserved;
use crate::engine::route::segments;
use crate::engine::subject;
use crate::error::Error;
use crate::limiter::{self, Ask};
use crate::redis::Value;

use admission::Admission;
pub use answer::{Answer, Content};
pub use body::Body;
use caching::Caching;
pub use head::Head;
use head::{is_preflight, is_upgrade};
pub use keeping::KEEP;
use memory::Memory;
pub use origin::{Failure, Handoff, OriginHead, Relay};
use plan::{Plan, RoutePlan};
pub use problem::Problem;
pub use purge::{Done, Purge, Reading, Unpurgeable, Unread, is_tag_name, purged_key};
pub use saving::{Save, Write};
use step::Queue;
pub use step::{Exchange, Respond, Step};
pub use token::AdminToken;

/// The longest URL that is taken: as long as the platform takes.
const LONGEST_URL: usize = 16 * 1024;

/// The gate of one isolate: its configuration and what it remembers. `B` is a stored body.
#[derive(Debug)]
pub struct Gate<B: Body> {
    plan: Plan,
    has_store: bool,
    memory: Memory<B>,
    notes: Vec<String>,
    /// Whether the notes have told that a setting of the store is wrong.
    setting_noted: bool,
    /// What opens the admin pages that are not for everybody.
    admin_token: Option<AdminToken>,
}

impl<B: Body> Gate<B> {
    /// A gate with an empty memory. `has_store`: whether there is a store to ask; if not, the gate
    /// is in local mode. `seed`: a random number, so that no two isolates give their calls the same
    /// ids.
    ///
    /// # Errors
    ///
    /// As [`Config::from_json`]; none for a configuration that was not changed since.
    pub fn new(config: &Config, has_store: bool, seed: u64) -> Result<Self, ConfigError> {
        let plan = Plan::new(config)?;
        let mut memory = limiter::Memory::new(config.redis.timeout, seed);
        for (quota, cost) in plan.costs() {
            memory.fallback.expect(quota, cost);
        }
        Ok(Self {
            plan,
            has_store,
            memory: Memory::new(memory, config.cache.l1_size, seed),
            notes: Vec::new(),
            setting_noted: false,
            admin_token: None,
        })
    }

    /// What to do about a request at `now`.
    pub fn decide(&mut self, head: &impl Head, now: Timestamp) -> Step<B> {
        let now = self.memory.limiter.clock.correct(now);
        if head.url().len() > LONGEST_URL {
            return Problem::UrlTooLong.into();
        }
        let Some(target) = Target::of(head.url()) else {
            return Problem::MalformedUrl.into();
        };
        let Ok(path) = segments(target.path()) else {
            return Problem::MalformedUrl.into();
        };
        if let Some(step) = self.admin(head, target.path(), &path) {
            return step;
        }
        let route = self.plan.find(head.method(), &path);
        let free = is_preflight(head) && !route.names_method("OPTIONS");
        let mut exchange = Exchange {
            admission: match free {
                true => Admission::free(),
                false => Admission::of(&self.plan, &route, head, &self.memory.limiter, now),
            },
            caching: self.caching(head, &target, &path, &route),
            store_failed: false,
            work: Vec::new(),
            queue: Queue::default(),
            release: None,
            behind: false,
            route,
        };
        let limited = match exchange.admission.recall(&mut self.memory.limiter, now) {
            Ok(limited) => limited,
            Err(problem) => return exchange.refuse(&problem),
        };
        let l1 = &mut self.memory.l1;
        exchange.caching.look_into_l1(head, l1, now);
        let metered = exchange
            .admission
            .origin_unpaid(&mut self.memory.limiter, now);
        let look_up = exchange.caching.needs_store(head, limited || metered, now);
        if !limited && !look_up {
            return self.proceed(head, exchange, now);
        }
        if !limited && let Some(pause) = self.board(&mut exchange, now) {
            return Step::Wait(pause, exchange);
        }
        if !self.store_allows(&mut exchange, now) {
            return self.without_store(head, exchange, now);
        }
        let mut lookup = match look_up {
            true => self.lookup(head, &exchange),
            false => None,
        };
        if let (Some(lookup), Some(_)) = (&mut lookup, exchange.admission.check().origin_refused())
        {
            // Somebody who may call the origin is to refresh the entry.
            lookup.lease_for = None;
        }
        let calls_origin = match &exchange.caching {
            Caching::On(cached) => lookup.is_some() && !cached.only_if_cached(),
            _ => true,
        };
        let mut ask = exchange
            .admission
            .ask(calls_origin, &mut self.memory.limiter, now);
        if let Some(lookup) = &lookup {
            ask.look_up(lookup);
        }
        Step::Ask(ask, exchange)
    }

    /// Whether the store may be asked.
    fn store_allows(&mut self, exchange: &mut Exchange<B>, now: Timestamp) -> bool {
        let allowed =
            self.has_store && !exchange.store_failed && self.memory.limiter.breaker.allows(now);
        exchange.store_failed = !allowed;
        allowed
    }

    fn caching(
        &self,
        head: &impl Head,
        target: &Target<'_>,
        path: &[String],
        route: &RoutePlan,
    ) -> Caching<B> {
        let method = head.method();
        let checks = self.store_is_up();
        match &route.cache {
            Some(_) if is_upgrade(head) => Caching::Bypass(Bypass::Upgrade),
            _ if !matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE") => {
                let read = self.plan.find("GET", path);
                match &read.cache {
                    Some(cache) => Caching::unsafe_for(cache, head, target),
                    None => Caching::Off,
                }
            }
            Some(cache) => {
                let search = self.memory.search(target.path());
                let mut caching = Caching::of(cache, head, target, search);
                caching.believe_l1(cache.l1_max_age.filter(|_| checks));
                caching
            }
            None => Caching::Off,
        }
    }

    /// What to do after the store's reply to an [`Ask`], at `shown` by the clock of this isolate.
    pub fn resume(
        &mut self,
        head: &impl Head,
        ask: &Ask,
        mut exchange: Exchange<B>,
        reply: Result<Value, Error>,
        shown: Timestamp,
    ) -> Step<B> {
        if let Err(error) = &reply {
            self.note_failure(error);
        }
        let memory = &mut self.memory.limiter;
        let Some((mut reply, now)) = memory.received(ask, reply, shown) else {
            exchange.store_failed = true;
            let now = memory.clock.correct(shown);
            let l1 = &mut self.memory.l1;
            exchange.caching.look_without_store(head, l1, now);
            return self.without_store(head, exchange, now);
        };
        if reply.unreadable > 0 {
            let note = "states of limits could not be read, and were taken for empty";
            self.notes
                .push(format!("store: {} {note}", reply.unreadable));
        }
        let asked_at = memory.asked_at(ask);
        let decided = exchange
            .admission
            .decided(&mut reply, asked_at, memory, now);
        match decided {
            Ok(Some(())) => {}
            Ok(None) => {
                exchange.store_failed = true;
                return self.without_store(head, exchange, now);
            }
            Err(Problem::OriginQuotaSpent { retry_after }) => {
                return self.instead_of_origin(head, exchange, retry_after, now);
            }
            Err(problem) => return exchange.refuse(&problem),
        }
        if let Some(looked) = reply.cached {
            let l1 = &mut self.memory.l1;
            exchange.caching.store_said(looked, l1, asked_at, now);
            let leased = exchange.caching.leased();
            let turned = exchange.caching.turn(head, &mut self.memory.l1, now);
            if turned {
                // It was for another entry.
                self.disembark(&mut exchange, now);
                exchange.release = leased.map(|digest| self.lease_key(&digest));
            }
            if turned && exchange.caching.needs_store(head, false, now) {
                return self.ask_for_variant(head, exchange, now);
            }
        }
        self.proceed(head, exchange, now)
    }

    /// Asks the store for the variant that is meant; the limits have been asked about.
    fn ask_for_variant(
        &mut self,
        head: &impl Head,
        exchange: Exchange<B>,
        now: Timestamp,
    ) -> Step<B> {
        match self.ask_cache(head, &exchange, now) {
            Some(ask) => Step::Ask(ask, exchange),
            None => self.proceed(head, exchange, now),
        }
    }

    /// A call that asks about the entry, and nothing else.
    fn ask_cache(
        &mut self,
        head: &impl Head,
        exchange: &Exchange<B>,
        now: Timestamp,
    ) -> Option<Ask> {
        let lookup = self.lookup(head, exchange)?;
        let mut ask = self.memory.limiter.call(now);
        ask.look_up(&lookup);
        Some(ask)
    }

    fn lookup(&self, head: &impl Head, exchange: &Exchange<B>) -> Option<limiter::Lookup> {
        let (target, cache) = (Target::of(head.url())?, exchange.route.cache.as_ref()?);
        let prefix = &self.plan.store.key_prefix;
        let caching = &exchange.caching;
        caching.lookup(&target, cache, prefix, exchange.lease())
    }

    /// Goes on without the store: there is none, or it is down for a while yet.
    fn without_store(
        &mut self,
        head: &impl Head,
        mut exchange: Exchange<B>,
        now: Timestamp,
    ) -> Step<B> {
        let memory = &mut self.memory.limiter;
        let down_for = self.has_store.then(|| memory.breaker.retry_after(now));
        match exchange.admission.locally(memory, now, down_for) {
            Ok(()) => self.proceed(head, exchange, now),
            Err(problem) => exchange.refuse(&problem),
        }
    }

    /// A request that is admitted: from the cache if it may, else from the origin.
    fn proceed(&mut self, head: &impl Head, mut exchange: Exchange<B>, now: Timestamp) -> Step<B> {
        let ahead = self.store_is_up() && !exchange.store_failed;
        let memory = &mut self.memory.limiter;
        if let Some(work) = ahead.then(|| exchange.admission.fetch_ahead(memory, now)) {
            exchange.work.extend(work);
        }
        let caching = std::mem::replace(&mut exchange.caching, Caching::Off);
        let draw = match exchange.behind {
            true => {
                caching.refreshed_elsewhere(&mut self.memory, now);
                1.0
            }
            false => self.memory.draw(),
        };
        match caching.serve(head, draw, now) {
            caching::Serve::Origin(caching) => {
                exchange.caching = caching;
                match self.queue(&mut exchange, now) {
                    Some(pause) => Step::Wait(pause, exchange),
                    None => self.fetch_as_told(head, exchange, now),
                }
            }
            caching::Serve::Answer(answer) => {
                self.disembark(&mut exchange, now);
                exchange.answer(answer)
            }
            caching::Serve::AnswerAndRefresh(answer, caching) => {
                self.disembark(&mut exchange, now);
                let refresh = self.refresh(head, &mut exchange, caching, now);
                let mut step = exchange.answer(answer);
                if let Step::Respond(respond) = &mut step {
                    respond.refresh = refresh.map(Box::new);
                }
                step
            }
            caching::Serve::Refuse(problem) => {
                self.disembark(&mut exchange, now);
                exchange.refuse(&problem)
            }
        }
    }

    /// The request to the origin, once it may be called.
    fn fetch(&mut self, head: &impl Head, mut exchange: Exchange<B>, now: Timestamp) -> Step<B> {
        if !self.may_call_origin(&mut exchange, now) {
            let refused = exchange.admission.check().origin_refused();
            if let Some(retry_after) = refused {
                return self.instead_of_origin(head, exchange, retry_after, now);
            }
            if self.store_allows(&mut exchange, now) {
                let memory = &mut self.memory.limiter;
                let ask = exchange.admission.check().ask_origin(memory, now);
                return Step::Ask(ask, exchange);
            }
            // It is counted here now.
            return self.fetch(head, exchange, now);
        }
        let Some(target) = Target::of(head.url()) else {
            return Problem::MalformedUrl.into();
        };
        let timeout = exchange.route.origin_timeout;
        let cache = exchange.route.cache.as_ref();
        let Some((path, query)) = exchange.caching.sent(cache, &target, head.url()) else {
            return Problem::MalformedUrl.into();
        };
        let url = forward::url(&self.plan.origin, &path, query.as_deref());
        let client = &self.plan.client;
        let reserved = Reserved {
            api_key: &client.api_key_header,
            ip: &client.ip_header,
            vary: cache.map_or(&[], |cache| &cache.vary),
        };
        let address = head.value(&client.ip_header);
        let address = address
            .and_then(|text| subject::address(&text))
            .map(|ip| ip.to_string());
        let mut fetch = forward::fetch(url, &target, head, reserved, address, timeout);
        exchange.caching.prepare(&mut fetch, now);
        Step::Fetch(fetch, exchange)
    }
}

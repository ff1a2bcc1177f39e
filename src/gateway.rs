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
mod body;
mod caching;
pub mod forward;
mod head;
mod memory;
mod origin;
mod plan;
mod problem;
pub mod ratelimit;
mod store;

use std::rc::Rc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::config::{Config, ConfigError};
use crate::engine::cache::{Bypass, Target};
use crate::engine::route::segments;
use crate::engine::subject;
use crate::error::{Error, ErrorKind};
use crate::redis::Value;

use admission::Admission;
pub use answer::{Answer, Content};
pub use body::Body;
use caching::Caching;
use forward::Fetch;
pub use head::Head;
use head::{is_preflight, is_upgrade};
use memory::Memory;
pub use origin::{Failure, Handoff, LARGEST_BODY, OriginHead, Relay, Save, Write};
use plan::{Plan, RoutePlan};
pub use problem::Problem;
pub use store::{ADMIT, Ask, Lookup, Reply};

/// The longest URL that is taken: as long as the platform takes.
const LONGEST_URL: usize = 16 * 1024;

/// The longest a refresh lease holds others off.
const LONGEST_LEASE: Duration = Duration::from_secs(10);

/// The gate of one isolate: its configuration and what it remembers. `B` is a stored body.
#[derive(Debug)]
pub struct Gate<B: Body> {
    plan: Plan,
    has_store: bool,
    memory: Memory<B>,
}

/// What to do next about a request.
#[derive(Debug)]
pub enum Step<B: Body> {
    /// Answer it.
    Respond(Respond<B>),
    /// Run [`ADMIT`] in the store, then [`Gate::resume`].
    Ask(Ask, Exchange<B>),
    /// Ask the origin, then [`Gate::origin_answered`].
    Fetch(Fetch, Exchange<B>),
}

/// An answer, and what to do after it has been given.
#[derive(Debug)]
pub struct Respond<B: Body> {
    /// The answer.
    pub answer: Answer<B>,
    /// A refresh of the entry, in the background; carried out like a [`Step::Fetch`].
    pub refresh: Option<(Fetch, Exchange<B>)>,
    /// An entry to write to the store.
    pub write: Option<Write>,
}

/// What is known of a request between two steps.
#[derive(Debug)]
pub struct Exchange<B: Body> {
    route: Rc<RoutePlan>,
    admission: Admission,
    caching: Caching<B>,
}

impl<B: Body> Gate<B> {
    /// A gate with an empty memory. `has_store`: whether there is a store to ask; if not, the gate
    /// is in local mode.
    ///
    /// # Errors
    ///
    /// As [`Config::from_json`]; none for a configuration that was not changed since.
    pub fn new(config: &Config, has_store: bool) -> Result<Self, ConfigError> {
        let plan = Plan::new(config)?;
        let mut memory = Memory::new(config.redis.timeout);
        for (quota, cost) in plan.costs() {
            memory.fallback.expect(quota, cost);
        }
        Ok(Self {
            plan,
            has_store,
            memory,
        })
    }

    /// What to do about a request at `now`.
    pub fn decide(&mut self, head: &impl Head, now: Timestamp) -> Step<B> {
        let now = self.memory.clock.correct(now);
        if head.url().len() > LONGEST_URL {
            return Problem::UrlTooLong.into();
        }
        let Some(target) = Target::of(head.url()).filter(is_web) else {
            return Problem::MalformedUrl.into();
        };
        let Ok(path) = segments(target.path) else {
            return Problem::MalformedUrl.into();
        };
        if let Some(answer) = self.admin(head.method(), &path) {
            return answer.into();
        }
        let route = self.plan.find(head.method(), &path);
        let free = is_preflight(head) && !route.names_method("OPTIONS");
        let mut exchange = Exchange {
            admission: match free {
                true => Admission::free(),
                false => Admission::of(&self.plan, &route, head),
            },
            caching: self.caching(head, target, &path, &route),
            route,
        };
        if let Err(problem) = exchange.admission.refused_before(&mut self.memory, now) {
            return exchange.refuse(&problem);
        }
        exchange.caching.look_into_l1(&mut self.memory.l1, now);
        let limited = !exchange.admission.charges.is_empty();
        let look_up = exchange.caching.needs_store(head, limited, now);
        if !limited && !look_up {
            return self.proceed(head, exchange, now);
        }
        if !self.has_store {
            return self.without_store(head, exchange, None, now);
        }
        if !self.memory.breaker.allows(now) {
            let down_for = self.memory.breaker.retry_after(now);
            return self.without_store(head, exchange, Some(down_for), now);
        }
        let lookup = match look_up {
            true => exchange
                .caching
                .lookup(&self.plan.store.key_prefix, exchange.lease()),
            false => None,
        };
        let ask_time = self.memory.clock.is_due(now);
        let mut ask = Ask::new(&exchange.admission.charges, lookup.as_ref(), now, ask_time);
        ask.correction_ms = self.memory.clock.correction_ms();
        Step::Ask(ask, exchange)
    }

    fn caching(
        &self,
        head: &impl Head,
        target: Target<'_>,
        path: &[String],
        route: &RoutePlan,
    ) -> Caching<B> {
        let method = head.method();
        match &route.cache {
            Some(_) if is_upgrade(head) => Caching::Bypass(Bypass::Upgrade),
            _ if !matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE") => {
                let read = self.plan.find("GET", path);
                match &read.cache {
                    Some(cache) => Caching::unsafe_for(cache, head, target),
                    None => Caching::Off,
                }
            }
            Some(cache) => Caching::of(cache, head, target),
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
        let now = self.memory.clock.correct(shown);
        let read = |value| ask.read(value).ok_or(false);
        let reply = match reply.map_err(|e| is_final(e.kind())).and_then(read) {
            Ok(reply) => reply,
            Err(final_word) => {
                self.memory.breaker.failed(now, final_word);
                let down_for = self.memory.breaker.retry_after(now);
                return self.without_store(head, exchange, Some(down_for), now);
            }
        };
        self.memory.breaker.succeeded();
        if let Some(offset) = reply.clock_offset {
            let clock = &mut self.memory.clock;
            clock.learn(offset, ask.correction_ms, shown);
        }
        // What the store says counts from its own time on.
        let now = self.memory.clock.correct(shown);
        let memory = &mut self.memory;
        if let Err(problem) = exchange
            .admission
            .decided_by_store(reply.verdicts, memory, now)
        {
            return exchange.refuse(&problem);
        }
        let refresh = ask.asks_cache().then_some(reply.refresh);
        exchange
            .caching
            .store_said(reply.entry, refresh, &mut self.memory.l1, now);
        self.proceed(head, exchange, now)
    }

    /// Goes on without the store: there is none, or it is down for a while yet.
    fn without_store(
        &mut self,
        head: &impl Head,
        mut exchange: Exchange<B>,
        down_for: Option<Duration>,
        now: Timestamp,
    ) -> Step<B> {
        match exchange
            .admission
            .decide_locally(&mut self.memory, now, down_for)
        {
            Ok(()) => self.proceed(head, exchange, now),
            Err(problem) => exchange.refuse(&problem),
        }
    }

    /// A request that is admitted: from the cache if it may, else from the origin.
    fn proceed(&mut self, head: &impl Head, exchange: Exchange<B>, now: Timestamp) -> Step<B> {
        let Exchange {
            route,
            admission,
            caching,
        } = exchange;
        match caching.serve(head, now) {
            caching::Serve::Origin(caching) => {
                let exchange = Exchange {
                    route,
                    admission,
                    caching,
                };
                self.fetch(head, exchange, now)
            }
            caching::Serve::Answer(answer) => admission.mark(answer).into(),
            caching::Serve::AnswerAndRefresh(answer, caching) => {
                let lease = route.origin_timeout.min(LONGEST_LEASE);
                let refresh = Exchange {
                    route,
                    admission: Admission::free(),
                    caching,
                };
                let mine = refresh.caching.may_refresh(&mut self.memory, now, lease);
                let refresh = mine.then(|| self.fetch(head, refresh, now));
                Step::Respond(Respond {
                    answer: admission.mark(answer),
                    refresh: match refresh {
                        Some(Step::Fetch(fetch, exchange)) => Some((fetch, exchange)),
                        _ => None,
                    },
                    write: None,
                })
            }
            caching::Serve::Refuse(problem) => {
                let exchange = Exchange {
                    route,
                    admission,
                    caching: Caching::Off,
                };
                exchange.refuse(&problem)
            }
        }
    }

    /// The request to the origin.
    fn fetch(&self, head: &impl Head, mut exchange: Exchange<B>, now: Timestamp) -> Step<B> {
        let Some(target) = Target::of(head.url()) else {
            return Problem::MalformedUrl.into();
        };
        let timeout = exchange.route.origin_timeout;
        let path = exchange.caching.path(target.path);
        let query = exchange.caching.query(target.query);
        let target = Target {
            path: &path,
            query: query.as_deref(),
            ..target
        };
        let address = head.value(&self.plan.client.ip_header);
        let address = address
            .and_then(|text| subject::address(&text))
            .map(|ip| ip.to_string());
        let mut fetch = forward::fetch(&self.plan.origin, target, head, address, timeout);
        exchange.caching.prepare(&mut fetch, now);
        Step::Fetch(fetch, exchange)
    }
}

impl<B: Body> Exchange<B> {
    fn lease(&self) -> Duration {
        self.route.origin_timeout.min(LONGEST_LEASE)
    }

    /// Answers with a problem, and the headers that go with the request.
    fn refuse(&self, problem: &Problem) -> Step<B> {
        let mut answer = self.admission.mark(problem.answer());
        if self.route.cache.is_some() {
            answer.set("cache-status", caching::not_asked(problem));
            answer.set("age", "0".to_owned());
        }
        answer.into()
    }
}

impl<B: Body> From<Answer<B>> for Step<B> {
    fn from(answer: Answer<B>) -> Self {
        Self::Respond(Respond {
            answer,
            refresh: None,
            write: None,
        })
    }
}

impl<B: Body> From<Problem> for Step<B> {
    fn from(problem: Problem) -> Self {
        problem.answer().into()
    }
}

/// Whether a URL is one of the web's: its scheme and host go into headers.
fn is_web(target: &Target<'_>) -> bool {
    let web = ["http", "https"].map(|scheme| target.scheme.eq_ignore_ascii_case(scheme));
    web.contains(&true) && target.host.bytes().all(|b| b.is_ascii_graphic())
}

/// Whether an error is not one of chance, so that one is as good as several.
fn is_final(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Unauthorised | ErrorKind::QuotaExhausted)
}

//! After the origin: what the client gets, and what is kept.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use std::rc::Rc;

use crate::clock::{Timestamp, millis};
use crate::engine::breaker;
use crate::engine::cache::{
    self as engine, BodyCoding, CacheKey, CacheRules, CacheStatus, Entry, Fields, Freshened, Meta,
    WhyNot, body_is_whole, envelope, freshen, invalidates, is_origin_error, may_store,
};

use super::answer::Answer;
use super::body::Body;
use super::caching::{Cached, Caching, answer};
use super::cost::COST;
use super::flight::Landing;
use super::forward::{HOP_BY_HOP, named_in_connection};
use super::head::Head;
use super::problem::Problem;
use super::step::LONGEST_LEASE;
use super::{Exchange, Gate, Respond, Step};
use crate::limiter::Work;

/// The largest body that is kept at all, in bytes.
pub const LARGEST_BODY: usize = 4 << 20;

/// The largest entry that is written to the store, in bytes.
const LARGEST_WRITE: usize = 1 << 20;

/// The head of the origin's answer: its fields by name, and these.
pub trait OriginHead: Fields {
    /// The HTTP status.
    fn status(&self) -> u16;

    /// All fields; asked for only where the answer may be stored.
    fn headers(&self) -> HeaderMap;
}

/// Why there is no answer from the origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It could not be reached, or broke off.
    Failed,
    /// It took longer than it may.
    TimedOut,
}

/// What to do with the origin's answer.
#[derive(Debug)]
pub enum Handoff<B: Body> {
    /// Hand it on to the client.
    Relay(Relay<B>),
    /// Drop it, and do this instead.
    Step(Step<B>),
}

/// How the origin's answer is handed on.
#[derive(Debug)]
pub struct Relay<B: Body> {
    /// Headers that are taken off, by lower-case name.
    pub remove: Vec<String>,
    /// Headers that are set.
    pub set: Vec<(&'static str, String)>,
    /// What the client gets in its place: it has the body already.
    pub instead: Option<Answer<B>>,
    /// What to do with a copy of the body: read it to its end and give it to [`Gate::save`].
    pub save: Option<Save>,
    /// What to write to the store.
    pub write: Option<Write>,
    /// Calls of the script to make, then [`Gate::worked`].
    pub work: Vec<Work>,
}

/// A response that is to be kept once its body is there.
#[derive(Debug)]
pub struct Save {
    key: CacheKey,
    rules: CacheRules,
    meta: Meta,
    received: HeaderMap,
}

/// What to write to the store after the response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// `SET key value PX ttl_ms`: an entry, or that there will be none.
    Set {
        /// Its key.
        key: String,
        /// The entry as text.
        value: String,
        /// How long it is worth keeping, in milliseconds.
        ttl_ms: u64,
    },
    /// `DEL key`: an entry that may no longer be true.
    Delete {
        /// Its key.
        key: String,
    },
}

impl<B: Body> Gate<B> {
    /// What to do with the origin's answer, or without one.
    pub fn origin_answered(
        &mut self,
        head: &impl Head,
        mut exchange: Exchange<B>,
        answered: Result<&impl OriginHead, Failure>,
        now: Timestamp,
    ) -> Handoff<B> {
        let now = self.memory.limiter.clock.correct(now);
        let answered = answered.and_then(|origin| match unreachable(origin.status()) {
            Some(failure) => Err(failure),
            None => Ok(origin),
        });
        let failed = match answered {
            Ok(origin) => is_origin_error(origin.status()).then_some(Some(origin.status())),
            Err(_) => Some(None),
        };
        let lost = match &exchange.caching {
            Caching::On(cached) if failed.is_some() && exchange.queue.leads => {
                self.ground(&cached.key, Landing::Failed, now)
            }
            _ => None,
        };
        if let (Some(status), Caching::On(cached)) = (failed, &exchange.caching)
            && let Some(stale) = cached.answer_on_error(head, status, now)
        {
            return Handoff::Step(exchange.answer(stale).with_write(lost));
        }
        self.settle(&mut exchange, answered, now);
        let origin = match answered {
            Ok(origin) => origin,
            Err(failure) => return Handoff::Step(exchange.failed(failure).with_write(lost)),
        };
        match std::mem::replace(&mut exchange.caching, Caching::Off) {
            Caching::On(cached) => self.cacheable(head, exchange, *cached, origin, now),
            caching => {
                exchange.caching = caching;
                let mut relay = exchange.relay(origin);
                if let Caching::Unsafe(key) = &exchange.caching {
                    let method = head.method().parse().unwrap_or(Method::POST);
                    relay.write = invalidates(&method, origin.status())
                        .then(|| self.forget(key))
                        .flatten();
                }
                Handoff::Relay(relay)
            }
        }
    }

    /// Forgets an entry, here and in the store.
    fn forget(&mut self, key: &CacheKey) -> Option<Write> {
        self.memory.l1.remove(key);
        self.store_is_up().then(|| Write::Delete {
            key: self.entry_key(key),
        })
    }

    pub(super) fn store_is_up(&self) -> bool {
        self.has_store && self.memory.limiter.breaker.status() == breaker::Status::Closed
    }

    fn entry_key(&self, key: &CacheKey) -> String {
        format!("{}:c:{}", self.plan.store.key_prefix, key.hex())
    }

    /// The origin's answer to a request of the cache.
    fn cacheable(
        &mut self,
        head: &impl Head,
        mut exchange: Exchange<B>,
        cached: Cached<B>,
        origin: &impl OriginHead,
        now: Timestamp,
    ) -> Handoff<B> {
        let mut received = origin.headers();
        received.remove(COST);
        let method = head.method().parse().unwrap_or(Method::OPTIONS);
        let answered = engine::Exchange {
            method: &method,
            request: head,
            status: StatusCode::from_u16(origin.status()).unwrap_or_default(),
            response: &received,
            request_time: cached.sent_at,
            response_time: now,
        };
        let mut status = CacheStatus::forwarded(cached.forward);
        if origin.status() == 304
            && let Some(found) = &cached.found
        {
            status.fwd_status = Some(304);
            let entry = &found.entry;
            let (meta, why_not) =
                match freshen(&entry.meta, entry.body_len as u64, &answered, &cached.rules) {
                    Freshened::Updated(meta) => (meta, None),
                    Freshened::ServeOnce(meta, why) => (meta, Some(why)),
                    Freshened::Mismatch => return self.ask_again(head, exchange, cached, now),
                };
            let entry = Entry {
                freshness: meta.freshness(&cached.rules),
                meta: Rc::new(meta),
                ..entry.clone()
            };
            status.stored = why_not.is_none();
            status.ttl_ms = Some(entry.freshness.ttl_left(now));
            let answer = answer(&entry, head, status, now);
            let write = match why_not {
                None => self.keep(&cached.key, entry, now),
                // This client's answer says nothing against the entry that others have.
                Some(WhyNot::Authorization) => None,
                Some(_) => self.forget(&cached.key),
            };
            return Handoff::Step(Step::Respond(Respond {
                answer: exchange.admission.mark(answer),
                refresh: None,
                write,
                work: exchange.work,
            }));
        }
        let key = cached.key.clone();
        let mut relay = exchange.relay(origin);
        match may_store(&answered, &cached.rules) {
            Ok(()) if !is_decoded(&received) => status.detail = Some("content-encoding"),
            Ok(()) if announced(&received).is_some_and(|length| length > LARGEST_BODY) => {
                status.detail = Some("too-large");
            }
            Ok(()) => {
                let meta = Meta::from_response(&answered, &cached.key, BodyCoding::Decoded);
                let freshness = meta.freshness(&cached.rules);
                status.stored = true;
                status.ttl_ms = Some(freshness.ttl_left(now));
                let entry = Entry {
                    freshness,
                    body: B::from_bytes(Bytes::new()),
                    body_len: 0,
                    meta: Rc::new(meta.clone()),
                };
                let shown = answer(&entry, head, status, now);
                relay.instead = (shown.status == 304).then(|| exchange.admission.mark(shown));
                relay.save = Some(Save {
                    key: cached.key,
                    rules: cached.rules,
                    meta,
                    received,
                });
            }
            Err(why) => status.detail = Some(why.token()),
        }
        if relay.save.is_none() && exchange.queue.leads {
            let how = match is_origin_error(origin.status()) {
                true => Landing::Failed,
                false => Landing::Unstored,
            };
            relay.write = self.ground(&key, how, now);
        }
        relay.set.extend(cache_headers(status, origin));
        Handoff::Relay(relay)
    }

    /// The origin speaks of another response than the one that is stored: forget that, and ask
    /// without condition.
    fn ask_again(
        &mut self,
        head: &impl Head,
        mut exchange: Exchange<B>,
        mut cached: Cached<B>,
        now: Timestamp,
    ) -> Handoff<B> {
        self.memory.l1.remove(&cached.key);
        exchange.admission.check().origin_again();
        cached.found = None;
        let caching = Caching::On(Box::new(cached));
        Handoff::Step(self.fetch(
            head,
            Exchange {
                caching,
                ..exchange
            },
            now,
        ))
    }

    /// The body of a response that was to be kept broke off, or is too large.
    pub fn not_saved(&mut self, save: &Save, now: Timestamp) -> Option<Write> {
        let now = self.memory.limiter.clock.correct(now);
        self.ground(&save.key, Landing::Failed, now)
    }

    /// Lets nobody wait for what will not be stored; what to write tells other isolates.
    fn ground(&mut self, key: &CacheKey, how: Landing, now: Timestamp) -> Option<Write> {
        let digest = key.hex();
        self.memory.flights.landed(&digest, how, now);
        self.store_is_up().then(|| Write::Set {
            key: format!("{}:f:{digest}", self.plan.store.key_prefix),
            value: "u".to_owned(),
            ttl_ms: millis(how.pause()),
        })
    }

    /// Keeps a response whose body has been read to its end. What is left to do is to write it to
    /// the store, if there is anything to write.
    pub fn save(&mut self, save: Save, body: Bytes, now: Timestamp) -> Option<Write> {
        let now = self.memory.limiter.clock.correct(now);
        if !body_is_whole(&save.received, BodyCoding::Decoded, body.len() as u64) {
            return self.ground(&save.key, Landing::Failed, now);
        }
        let entry = Entry {
            freshness: save.meta.freshness(&save.rules),
            body_len: body.len(),
            body: B::from_bytes(body),
            meta: Rc::new(save.meta),
        };
        self.keep(&save.key, entry, now)
    }

    fn keep(&mut self, key: &CacheKey, entry: Entry<B>, now: Timestamp) -> Option<Write> {
        let digest = key.hex();
        self.memory.refreshed(&digest);
        self.memory.flights.stored(&digest);
        let ttl_ms = millis(entry.freshness.keep_until.since(now));
        let write = self.store_is_up() && ttl_ms > 0 && entry.body_len <= LARGEST_WRITE;
        let write = write.then(|| {
            Some(Write::Set {
                key: self.entry_key(key),
                value: envelope::encode(&entry.meta, &entry.freshness, &entry.body.bytes()).ok()?,
                // As long as the lease lasts it says that the lease is done with.
                ttl_ms: ttl_ms.max(millis(LONGEST_LEASE)),
            })
        });
        self.memory.l1.insert(key, entry);
        write.flatten()
    }
}

/// Cloudflare's own statuses for an origin that it could not reach or that broke off, with which
/// `fetch` resolves there: 520 to 527 and 530.
const fn unreachable(status: u16) -> Option<Failure> {
    match status {
        522 | 524 => Some(Failure::TimedOut),
        520..=527 | 530 => Some(Failure::Failed),
        _ => None,
    }
}

/// Whether the platform hands over the body as it was before its content coding. Of another coding
/// than these it hands over the bytes as they are.
fn is_decoded(response: &HeaderMap) -> bool {
    response
        .value("content-encoding")
        .is_none_or(|coding| matches!(coding.trim(), "gzip" | "br" | "identity" | ""))
}

impl<B: Body> Relay<B> {
    const fn untouched() -> Self {
        Self {
            remove: Vec::new(),
            set: Vec::new(),
            instead: None,
            save: None,
            write: None,
            work: Vec::new(),
        }
    }
}

/// What the cache says of an answer of the origin. One that comes straight from there has no age.
fn cache_headers(status: CacheStatus, origin: &impl OriginHead) -> Vec<(&'static str, String)> {
    let upstream = origin.value("cache-status");
    let mut headers = vec![("cache-status", status.append_to(upstream.as_deref()))];
    if !origin.has("age") {
        headers.push(("age", "0".to_owned()));
    }
    headers
}

/// The length that a response says it has.
fn announced(response: &HeaderMap) -> Option<usize> {
    response.value("content-length")?.parse().ok()
}

impl<B: Body> Exchange<B> {
    /// The origin's answer, with the gate's headers and without those of its last hop.
    fn relay(&mut self, origin: &impl OriginHead) -> Relay<B> {
        let work = self.take_work();
        // The other protocol has begun: from here on nothing is the gate's.
        if origin.status() == 101 {
            return Relay {
                work,
                ..Relay::untouched()
            };
        }
        let mut remove = named_in_connection(origin.value("connection").as_deref());
        remove.extend(HOP_BY_HOP.into_iter().map(str::to_owned));
        remove.push(COST.to_owned());
        let mut set = self.admission.headers();
        if let Some(status) = self.caching.bypassed() {
            set.extend(cache_headers(status, origin));
        }
        Relay {
            remove,
            set,
            work,
            ..Relay::untouched()
        }
    }

    /// The origin failed, and there is nothing to serve in its place.
    fn failed(self, failure: Failure) -> Step<B> {
        let mut answer = failure.problem().answer();
        let status = match &self.caching {
            Caching::On(cached) => Some(CacheStatus::forwarded(cached.forward)),
            caching => caching.bypassed(),
        };
        if let Some(status) = status {
            answer.set("cache-status", status.to_string());
            answer.set("age", "0".to_owned());
        }
        self.answer(answer)
    }
}

impl Failure {
    pub(super) const fn problem(self) -> Problem {
        match self {
            Self::Failed => Problem::OriginFailed,
            Self::TimedOut => Problem::OriginTimedOut,
        }
    }
}

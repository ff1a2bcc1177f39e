//! After the origin: what the client gets, and what is kept.

use bytes::Bytes;
use http::{Method, StatusCode};
use std::rc::Rc;

use crate::clock::Timestamp;
use crate::engine::cache::{
    self as engine, CacheStatus, DIGESTS, Entry, Fields, Freshened, Meta, WhyNot, freshen,
    is_origin_error, lines, may_store,
};

use super::answer::Answer;
use super::body::Body;
use super::caching::{Cached, Caching};
use super::cost::COST;
use super::flight::Landing;
use super::forward::{HOP_BY_HOP, named_in_connection};
use super::head::Head;
use super::problem::Problem;
use super::saving::{Save, Write, coding};
use super::stored::{DATA_AGE, answer, not_modified};
use super::{Exchange, Gate, Respond, Step};
use crate::limiter::Work;

/// The head of the origin's answer: its fields by name, and these.
pub trait OriginHead: Fields {
    /// The HTTP status.
    fn status(&self) -> u16;

    /// All field lines, names in lower case; asked for only where the answer may be stored. One that
    /// cannot be read is there with a value of U+FFFD.
    fn headers(&self) -> Vec<(String, String)>;
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
    /// What to do with a copy of the body: read it to its end and give it to [`Gate::save`], after
    /// what there is to write first.
    pub save: Option<Box<Save>>,
    /// What to write to the store.
    pub write: Option<Write>,
    /// Calls of the script to make, then [`Gate::worked`].
    pub work: Vec<Work>,
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
        let lost = match failed {
            Some(_) => self.ground(exchange.queue.flight.as_deref(), Landing::Failed, now),
            None => None,
        };
        let lost = match failed {
            Some(_) => lost.or_else(|| self.refresh_failed(&exchange, now)),
            None => lost,
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
                relay.write = self.invalidated(head, &exchange.caching, origin);
                if let Caching::Unsafe(change) = &exchange.caching {
                    let save = self.post_answered(head, change, origin, now);
                    save.into_iter().for_each(|save| relay.keep(save));
                }
                Handoff::Relay(relay)
            }
        }
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
        received.retain(|(name, _)| name != COST);
        let method = head.method().parse().unwrap_or(Method::OPTIONS);
        let answered = engine::Exchange {
            method: &method,
            request: &cached.as_forwarded(head),
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
            let (mut meta, why_not) =
                match freshen(&entry.meta, entry.body_len as u64, &answered, &cached.rules) {
                    Freshened::Updated(meta) => (meta, None),
                    Freshened::ServeOnce(meta, why) => (meta, Some(why)),
                    Freshened::Mismatch => return self.ask_again(head, exchange, cached, now),
                };
            cached.date(&mut meta);
            cached.number(&mut meta);
            let key = cached.place(&mut meta, &cached.url);
            let entry = Entry {
                freshness: meta.freshness(&cached.rules),
                meta: Rc::new(meta),
                checked_at: cached.epochs_at,
                ..entry.clone()
            };
            status.stored = why_not.is_none();
            status.ttl_ms = Some(entry.freshness.ttl_left(now));
            let mut answer = answer(&entry, head, status, now);
            // It is for this client, and was not merged.
            if !cached.rules.set_cookie {
                let cookies = lines(&received, "set-cookie");
                let cookies = cookies.map(|cookie| ("set-cookie".into(), cookie.to_owned()));
                answer.headers.extend(cookies);
            }
            let flight = exchange.queue.flight.take();
            if let (Some(digest), Some(_)) = (&flight, &why_not) {
                self.memory.flights.stored(digest);
            }
            let write = match why_not {
                None => {
                    let keeping = self.keeping(head, &exchange.route, &cached, flight);
                    self.keep(&key, entry, keeping, now)
                }
                // This client's answer says nothing against the entry that others have.
                Some(WhyNot::Authorization) => None,
                Some(_) => self.forget(&[cached.key]),
            };
            return Handoff::Step(Step::Respond(Respond {
                answer: exchange.admission.mark(answer),
                refresh: None,
                write: write.or(exchange.release.map(Write::give_back)),
                work: exchange.work,
            }));
        }
        let mut relay = exchange.relay(origin);
        relay.remove.push(DATA_AGE.to_owned());
        if method == Method::HEAD {
            let updated = self.head_answered(head, &exchange.route, &cached, &answered, now);
            relay.write = updated.or(relay.write.take());
        }
        let stored = match cached.is_for_one(head, &received, origin.status()) {
            Some(why) => Err(why),
            None => may_store(&answered, &cached.rules),
        };
        match stored {
            Ok(()) if announced(&received).is_some_and(|length| length > self.largest_body()) => {
                status.detail = Some("too-large");
            }
            Ok(()) => match coding(&received) {
                None => status.detail = Some("content-encoding"),
                Some(coding) => {
                    let mut meta =
                        Meta::from_response(&answered, &cached.key, coding, &cached.rules);
                    cached.date(&mut meta);
                    let url = self.url_of(head, &exchange.route, &cached, &meta);
                    let key = cached.place(&mut meta, &url);
                    let freshness = meta.freshness(&cached.rules);
                    status.stored = true;
                    status.ttl_ms = Some(freshness.ttl_left(now));
                    let entry = Entry {
                        freshness,
                        body: B::from_bytes(Bytes::new()),
                        body_len: 0,
                        meta: Rc::new(meta.clone()),
                        checked_at: cached.epochs_at,
                    };
                    let shown = not_modified(&entry, head, status, now);
                    relay.instead = shown.map(|shown| exchange.admission.mark(shown));
                    let keeping = self.keeping(head, &exchange.route, &cached, None);
                    relay.keep(Box::new(Save {
                        key,
                        rules: cached.rules,
                        meta,
                        coding,
                        received,
                        checked_at: cached.epochs_at,
                        largest: self.largest_body(),
                        keeping,
                    }));
                }
            },
            Err(why) => status.detail = Some(why.token()),
        }
        let flight = exchange.queue.flight.take();
        match &mut relay.save {
            Some(save) => save.keeping.flight = flight,
            None => {
                let how = match is_origin_error(origin.status()) {
                    true => Landing::Failed,
                    false => Landing::Unstored,
                };
                let told = self.ground(flight.as_deref(), how, now);
                relay.write = relay.write.take().or(told);
            }
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

    /// Has a copy of the body kept.
    fn keep(&mut self, save: Box<Save>) {
        if save.meta.decoded {
            // Two readers share the body then, so the platform undoes its coding, and codes it anew
            // for the client, to other bytes.
            self.remove.extend(DIGESTS.map(str::to_owned));
        }
        self.save = Some(save);
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
pub(super) fn announced(response: &[(String, String)]) -> Option<usize> {
    response.value("content-length")?.parse().ok()
}

impl<B: Body> Exchange<B> {
    /// The origin's answer, with the gate's headers and without those of its last hop.
    fn relay(&mut self, origin: &impl OriginHead) -> Relay<B> {
        let work = self.take_work();
        let write = self.release.take().map(Write::give_back);
        // The other protocol has begun: from here on nothing is the gate's.
        if origin.status() == 101 {
            return Relay {
                write,
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
            write,
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

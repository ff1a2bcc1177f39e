//! The origin's answer: what the client gets, and what is stored.

use std::rc::Rc;

use bytes::Bytes;
use http::{Method, StatusCode};

use crate::clock::Timestamp;
use crate::engine::http_cache::{
    BodyCoding, CacheKey, CacheRules, CacheStatus, Entry, Exchange, Fields, Freshened,
    LifetimeSource, Meta, NoVarySearch, Target, WhyNot, elements, freshen, is_origin_error, lines,
    may_store, same_origin_reference, tokens,
};
use crate::engine::proxy_names::is_another_spelling;
use crate::message::answer::Answer;
use crate::message::body::Body;
use crate::message::head::{Head, OriginHead, announced_length};
use crate::store::Write;

use super::collapse::Place;
use super::fetching::{Fetching, Miss};
use super::fill::Fill;
use super::insert::{InsertOptions, Inserted};
use super::lookup::Lookup;
use super::memory::CacheMemory;
use super::plan::{CachePlan, LONGEST_ARRIVAL};
use super::request::Change;
use super::serve::{answer, not_modified};
use super::single_flight::NotStored;

/// Where and when a response is received.
#[derive(Debug)]
pub struct Site<'a> {
    /// The name of the route.
    pub route: &'a str,
    /// The plan of the route.
    pub plan: &'a CachePlan,
    /// The target of the request.
    pub target: &'a Target<'a>,
    /// Whether the store can be written to.
    pub store_is_up: bool,
    /// The time of receipt.
    pub now: Timestamp,
}

/// What to do with the origin's answer.
pub enum Received<B: Body> {
    /// The stored response is still valid: answer with it.
    Revalidated {
        /// The answer.
        answer: Answer<B>,
        /// What to write to the store.
        writes: Vec<Write>,
    },
    /// The origin's `304` does not match the stored response: ask again, without a condition.
    AskAgain(Box<Miss<B>>),
    /// Hand it on to the client.
    Relay {
        /// What `Cache-Status` says about it, if no copy is stored by then.
        status: CacheStatus,
        /// What the client gets instead, because it has the body already.
        instead: Option<IfKept<Answer<B>>>,
        /// How to store a copy of the body, if it is to be stored.
        fill: Option<Box<Fill>>,
        /// What to write to the store.
        writes: Vec<Write>,
    },
}

/// Two values: one for the case that a copy of the response is stored in time, one for the other.
#[derive(Debug)]
pub struct IfKept<T> {
    /// The value if a copy is stored.
    pub kept: T,
    /// The value if no copy is stored, or not yet.
    pub otherwise: T,
}

impl<T> IfKept<T> {
    /// Chooses the value.
    pub fn when(self, kept: bool) -> T {
        match kept {
            true => self.kept,
            false => self.otherwise,
        }
    }

    /// Applies `change` to both values.
    pub fn map<U>(self, mut change: impl FnMut(T) -> U) -> IfKept<U> {
        IfKept {
            kept: change(self.kept),
            otherwise: change(self.otherwise),
        }
    }
}

impl<B: Body> Fetching<B> {
    /// Takes the head of the origin's answer. `place` is the place of the request among those that
    /// miss the same key.
    pub fn received(
        self,
        head: &impl Head,
        origin: &impl OriginHead,
        place: &mut Place,
        memory: &mut CacheMemory<B>,
        site: &Site<'_>,
    ) -> Received<B> {
        let now = site.now;
        if !is_origin_error(origin.status()) {
            memory.refreshes.answered(site.route, self.sent_at);
        }
        let received = origin.headers();
        let method = head.method().parse().unwrap_or(Method::OPTIONS);
        let answered = Exchange {
            method: &method,
            request: &self.lookup.request.as_forwarded(head),
            status: StatusCode::from_u16(origin.status()).unwrap_or_default(),
            response: &received,
            request_time: self.sent_at,
            response_time: now,
        };
        if origin.status() == 304
            && let Some(hit) = &self.lookup.hit
        {
            let (entry, rules) = (&hit.entry, &self.lookup.request.rules);
            let (meta, why_not) =
                match freshen(&entry.meta, entry.body_len as u64, &answered, rules) {
                    Freshened::Updated(meta) => (meta, None),
                    Freshened::ServeOnce(meta, why) => (meta, Some(why)),
                    Freshened::Mismatch => {
                        memory.entries.remove(&self.lookup.key);
                        return Received::AskAgain(Box::new(self.without_condition()));
                    }
                };
            let merged = rules.set_cookie;
            let (mut answer, write) = self.revalidated(head, meta, why_not, place, memory, site);
            // A cookie is for this client only, unless the route says otherwise.
            let cookies = lines(&received, "set-cookie").filter(|_| !merged);
            let cookies = cookies.map(|cookie| ("set-cookie", cookie.to_owned()).into());
            answer.headers.extend(cookies);
            let writes = write.into_iter().collect();
            return Received::Revalidated { answer, writes };
        }
        let mut writes = Vec::new();
        if method == Method::HEAD {
            writes.extend(self.head_received(&answered, memory, site));
        }
        let mut status = CacheStatus::forwarded(self.why);
        let stored = match self.lookup.is_for_one(head, &received, origin.status()) {
            Some(why) => Err(why.token()),
            None => may_store(&answered, &self.lookup.request.rules).map_err(WhyNot::token),
        };
        let too_large = announced_length(&received).is_some_and(|n| n > memory.largest_body());
        let stored = stored.and_then(|()| match body_coding(&received) {
            _ if too_large => Err("too-large"),
            None => Err("content-encoding"),
            Some(coding) => Ok(coding),
        });
        let time = site.plan.arrival();
        let saved = stored.and_then(|coding| {
            let save = memory.begin_save(&received, coding, time, now);
            save.map(|save| (coding, save)).ok_or(NO_ROOM)
        });
        let (coding, save) = match saved {
            Ok(saved) => saved,
            Err(why) => {
                status.detail = Some(why);
                let leading = place.take_digest();
                let not_stored = match why {
                    NO_ROOM => NotStored::NoRoom,
                    _ => NotStored::Uncacheable,
                };
                let (fill, write) = match (leading, origin.status()) {
                    (Some(digest), 429 | 500..) => {
                        self.not_stored(head, &answered, &digest, site.plan, memory)
                    }
                    (None, _) if why == NO_ROOM => (None, self.not_refreshed(memory, now)),
                    (leading, _) => {
                        let write = memory.give_up(leading.as_deref(), not_stored, now);
                        (None, write)
                    }
                };
                writes.extend(write);
                return Received::Relay {
                    status,
                    instead: None,
                    fill: fill.map(Box::new),
                    writes,
                };
            }
        };
        let lookup = &self.lookup;
        let rules = lookup.request.rules.clone();
        let mut meta = Meta::from_response(&answered, &lookup.key, coding, &rules);
        lookup.set_epochs(&mut meta);
        let url = lookup.url_of(head, &meta, memory, site);
        let key = lookup.place(&mut meta, &url);
        let freshness = meta.freshness(&rules);
        status.ttl_ms = Some(freshness.ttl_left(now));
        let entry = Entry {
            freshness,
            body: B::from_bytes(Bytes::new()),
            body_len: 0,
            meta: Rc::new(meta.clone()),
            checked_at: lookup.checked_at(),
        };
        let shown = |stored| not_modified(&entry, head, CacheStatus { stored, ..status }, now);
        let instead = shown(true)
            .zip(shown(false))
            .map(|(kept, otherwise)| IfKept { kept, otherwise });
        let leading = place.take_digest();
        if let Some(digest) = &leading {
            memory.fetches.head_arrived(digest, time, now);
        }
        let mut options = self.insert_options(leading, memory, site);
        let failed = is_origin_error(meta.status);
        // Other isolates may hold a response that may be served in place of a failure. Those that
        // wait for this one do not.
        options.isolated |= failed && !lookup.holds_lease();
        let fill = Fill {
            key,
            failure: lookup.failure_key().filter(|_| failed).cloned(),
            only_shared: false,
            rules,
            meta,
            coding,
            checked_at: lookup.checked_at(),
            largest: memory.largest_body(),
            time,
            options,
            unseen: memory.may_be_unseen(&received, now),
            received,
            save,
        };
        Received::Relay {
            status,
            instead,
            fill: Some(Box::new(fill)),
            writes,
        }
    }

    /// The origin has confirmed the stored response with `304`. `why_not`: why the updated response
    /// must not be stored, if so.
    fn revalidated(
        self,
        head: &impl Head,
        mut meta: Meta,
        why_not: Option<WhyNot>,
        place: &mut Place,
        memory: &mut CacheMemory<B>,
        site: &Site<'_>,
    ) -> (Answer<B>, Option<Write>) {
        let lookup = &self.lookup;
        let rules = &lookup.request.rules;
        lookup.set_epochs(&mut meta);
        lookup.set_version(&mut meta);
        let key = lookup.place(&mut meta, &lookup.request.url);
        let (body, body_len) = match &lookup.hit {
            Some(hit) => (hit.entry.body.clone(), hit.entry.body_len),
            None => (B::from_bytes(Bytes::new()), 0),
        };
        let entry = Entry {
            freshness: meta.freshness(rules),
            meta: Rc::new(meta),
            checked_at: lookup.checked_at(),
            body,
            body_len,
        };
        let leading = place.take_digest();
        if let (Some(digest), Some(_)) = (&leading, &why_not) {
            memory.fetches.finish(digest);
        }
        let inserted = match why_not {
            None => {
                let options = self.insert_options(leading, memory, site);
                memory.insert(&key, entry.clone(), &options, site.store_is_up, site.now)
            }
            // That this client's answer must not be stored says nothing against the entry that
            // others have.
            Some(WhyNot::Authorization) => Inserted::default(),
            Some(_) => Inserted::nowhere(memory.forget(std::slice::from_ref(&lookup.key))),
        };
        let mut status = CacheStatus::forwarded(self.why);
        status.fwd_status = Some(304);
        status.stored = inserted.kept;
        status.ttl_ms = Some(entry.freshness.ttl_left(site.now));
        (answer(&entry, head, status, site.now), inserted.write)
    }

    /// Applies a `200` to a `HEAD` to the stored response to a `GET` (RFC 9111 §4.3.5): it "SHOULD
    /// update or invalidate" it.
    fn head_received(
        &self,
        answered: &Exchange<'_, impl Fields>,
        memory: &mut CacheMemory<B>,
        site: &Site<'_>,
    ) -> Option<Write> {
        let lookup = &self.lookup;
        let entry = &lookup.hit.as_ref()?.entry;
        if answered.status != 200 || entry.meta.status != 200 {
            return None;
        }
        let length = u64::try_from(entry.body_len).unwrap_or(u64::MAX);
        match freshen(&entry.meta, length, answered, &lookup.request.rules) {
            Freshened::Updated(mut meta) => {
                let key = lookup.place(&mut meta, &lookup.request.url);
                lookup.set_epochs(&mut meta);
                lookup.set_version(&mut meta);
                let entry = Entry {
                    freshness: meta.freshness(&lookup.request.rules),
                    meta: Rc::new(meta),
                    checked_at: lookup.checked_at(),
                    ..entry.clone()
                };
                let options = self.insert_options(None, memory, site);
                let inserted = memory.insert(&key, entry, &options, site.store_is_up, site.now);
                inserted.write
            }
            Freshened::ServeOnce(..) => None,
            Freshened::Mismatch => memory.forget(std::slice::from_ref(&lookup.key)),
        }
    }

    fn insert_options(
        &self,
        leading: Option<String>,
        memory: &CacheMemory<B>,
        site: &Site<'_>,
    ) -> InsertOptions {
        let lookup = &self.lookup;
        let rules = &lookup.request.rules;
        let epoch_keys = rules.version.as_ref().map(|_| {
            let (target, prefix) = (site.target, memory.key_prefix());
            lookup.request.epoch_keys(target, site.plan, prefix)
        });
        InsertOptions {
            epoch_keys,
            leading,
            lease: lookup.holds_lease().then(|| lookup.key.hex()),
            min_ttl: rules.min_ttl,
            isolated: rules.keeps_to_isolate() || self.uncollapsed,
        }
    }
}

impl<B: Body> Lookup<B> {
    /// Why a response is for this client only although it does not say so, if that is the case:
    ///
    /// - it varies by the client's address, which the gate tells the origin;
    ///
    /// - it varies by a header that the client sent in another spelling (`X_Tenant`);
    ///
    /// - it is a `400` or a failure, which may be due to something that is not in the key
    ///   ([`Lookup::is_unusual`]).
    pub(super) fn is_for_one(
        &self,
        head: &impl Head,
        response: &[(String, String)],
        status: u16,
    ) -> Option<WhyNot> {
        let forwarded = self.request.forwarded.as_ref();
        let varies = response.value("vary").unwrap_or_default();
        let by_address = elements(&varies).any(|name| name.eq_ignore_ascii_case("x-forwarded-for"));
        let reaches = |name: &String| forwarded.is_none_or(|names| names.contains(name));
        let by_spelling = !varies.is_empty()
            && head
                .names()
                .iter()
                .filter(|name| reaches(name))
                .any(|name| elements(&varies).any(|varied| is_another_spelling(name, varied)));
        if by_address || by_spelling {
            return Some(WhyNot::VaryAny);
        }
        let faulty = matches!(status, 400 | 500..) && self.is_unusual(head);
        faulty.then_some(WhyNot::Status)
    }

    /// Whether the request has something that is not in the key and that an origin may reject: a
    /// `Range`, or long headers.
    pub(super) fn is_unusual(&self, head: &impl Head) -> bool {
        let all = || head.names().into();
        let names = self.request.forwarded.clone().unwrap_or_else(all);
        let bytes = names
            .iter()
            .filter_map(|name| Some(head.value(name)?.len()));
        head.has("range") || bytes.sum::<usize>() > USUAL_BYTES
    }

    /// The key of the response's URL, which depends on what the response says about the query
    /// ([`NoVarySearch`]). That is remembered.
    ///
    /// The key contains only the parameters that count. A request with just these has the same key,
    /// and the same response answers it.
    fn url_of(
        &self,
        head: &impl Head,
        meta: &Meta,
        memory: &mut CacheMemory<B>,
        site: &Site<'_>,
    ) -> CacheKey {
        let search = NoVarySearch::of(meta.headers.as_slice());
        let url = match &search {
            Some(search) => site.plan.canonical_key(head, site.target, search),
            None => site.plan.key(head, site.target),
        };
        memory.learn_no_vary_search(site.target.path(), search);
        url
    }
}

impl Change {
    /// How the answer to a `POST` is stored, if it may be (RFC 9110 §9.3.3): "Responses to POST
    /// requests are only cacheable when they include explicit freshness information [...] and a
    /// Content-Location header field that has the same value as the POST's target URI". It answers
    /// later `GET`s.
    ///
    /// `base` is the URL of the origin, `sent_at` the time at which the request was sent.
    pub fn received<B: Body>(
        &self,
        head: &impl Head,
        origin: &impl OriginHead,
        base: &str,
        sent_at: Timestamp,
        memory: &mut CacheMemory<B>,
        now: Timestamp,
    ) -> Option<Box<Fill>> {
        let content = origin.value("content-location")?;
        let target = Target::of(head.url())?;
        let same = same_origin_reference(&target, base, &content)? == target;
        if self.declared || head.method() != "POST" || origin.status() != 200 || !same {
            return None;
        }
        let received = origin.headers();
        let answered = Exchange {
            method: &Method::GET,
            request: head,
            status: StatusCode::OK,
            response: &received,
            request_time: sent_at,
            response_time: now,
        };
        // The freshness must come from the origin: neither the route's nor a heuristic lifetime
        // will do.
        let own = CacheRules {
            ttl: None,
            negative_ttl: None,
            override_origin: false,
            heuristic: false,
            ..self.rules.clone()
        };
        may_store(&answered, &own).ok()?;
        let coding = body_coding(&received)?;
        let meta = Meta::from_response(&answered, &self.url, coding, &own);
        let explicit = meta.freshness(&own).lifetime.source != LifetimeSource::Nothing;
        let largest = memory.largest_body();
        let fits = announced_length(&received).is_none_or(|length| length <= largest);
        if !explicit || !fits || !meta.vary.is_empty() {
            return None;
        }
        let time = LONGEST_ARRIVAL;
        let save = memory.begin_save(&received, coding, time, now)?;
        Some(Box::new(Fill {
            key: self.url.clone(),
            rules: self.rules.clone(),
            meta,
            coding,
            unseen: memory.may_be_unseen(&received, now),
            received,
            checked_at: sent_at,
            largest,
            time,
            failure: None,
            only_shared: false,
            options: InsertOptions::of(&self.rules),
            save,
        }))
    }
}

/// The form in which the platform hands over the body. It undoes the codings `gzip` and `br`, and
/// leaves codings that it does not know as they are. `None`: for other codings the form depends on
/// the platform.
pub(super) fn body_coding(response: &[(String, String)]) -> Option<BodyCoding> {
    let coding = response.value("content-encoding");
    let coding = coding.as_deref().map_or("", str::trim);
    if matches!(coding, "gzip" | "br" | "identity" | "") {
        return Some(BodyCoding::Decoded);
    }
    let depends = |coding: &str| KNOWN.iter().any(|known| coding.eq_ignore_ascii_case(known));
    (!tokens(coding).any(depends)).then_some(BodyCoding::AsReceived)
}

/// The content codings that a platform may undo.
const KNOWN: [&str; 9] = [
    "gzip",
    "x-gzip",
    "br",
    "deflate",
    "compress",
    "x-compress",
    "zstd",
    "dcb",
    "dcz",
];

/// The total length of request headers, in bytes, up to which no server is expected to reject them
/// as too long.
const USUAL_BYTES: usize = 2_048;

/// Why a response is not stored for which there is no memory now, for the `detail` of
/// `Cache-Status`.
const NO_ROOM: &str = "no-room";

//! What is kept of the origin's answers, and what is forgotten because of them.

use std::rc::Rc;

use bytes::Bytes;
use http::{Method, StatusCode};

use crate::clock::Timestamp;
use crate::engine::breaker;
use crate::engine::cache::{
    BodyCoding, CacheKey, CacheRules, Entry, Exchange, Family, Fields, Freshened, LifetimeSource,
    Meta, NoVarySearch, Target, body_is_whole, freshen, invalidates, may_store,
    same_origin_reference, tokens,
};
use crate::engine::route::segments;

use super::Gate;
use super::body::Body;
use super::caching::{Cached, Caching, Change, canonical_key, key};
use super::flight::Landing;
use super::head::Head;
use super::keeping::Keeping;
use super::origin::{OriginHead, announced};
use super::plan::RoutePlan;

/// A response that is to be kept once its body is there.
#[derive(Debug)]
pub struct Save {
    pub(super) key: CacheKey,
    pub(super) rules: CacheRules,
    pub(super) meta: Meta,
    pub(super) coding: BodyCoding,
    pub(super) received: Vec<(String, String)>,
    /// When the store was asked for the epochs that it is made in.
    pub(super) checked_at: Timestamp,
    /// The largest body that is kept, in bytes.
    pub(super) largest: usize,
    pub(super) keeping: Keeping,
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
    /// A call of [`KEEP`](super::KEEP), then [`Gate::kept`]: an entry that says how new it is.
    Keep {
        /// What it is kept under in the isolate.
        entry: CacheKey,
        /// KEYS.
        keys: Vec<String>,
        /// ARGV, but for the last one, which says whether this may be a repeat.
        args: Vec<String>,
    },
    /// `DEL key…`: entries that may no longer be true.
    Delete {
        /// Their keys.
        keys: Vec<String>,
    },
}

impl Save {
    /// The largest body that is kept, in bytes: one that is longer need not be read to its end
    /// ([`Gate::not_saved`]).
    pub const fn largest_body(&self) -> usize {
        self.largest
    }
}

impl Write {
    /// Gives the lease with this key back.
    pub(super) fn give_back(lease: String) -> Self {
        Self::Delete { keys: vec![lease] }
    }
}

impl<B: Body> Gate<B> {
    /// Keeps a response whose body has been read to its end. What is left to do is to write it to
    /// the store, if there is anything to write.
    pub fn save(&mut self, save: Save, body: Bytes, now: Timestamp) -> Option<Write> {
        let now = self.memory.limiter.clock.correct(now);
        if !body_is_whole(save.received.as_slice(), save.coding, body.len() as u64) {
            let flight = save.keeping.flight.as_deref();
            return self.ground(flight, Landing::Failed, now);
        }
        let (mut key, mut meta) = (save.key, save.meta);
        let version = save.rules.version.as_ref();
        meta.version = version.and_then(|source| source.of(&meta.headers, &body));
        // Another variant came first while this one was on its way: it leads.
        if let Some(leader) = self.memory.l1.get(&key, now).map(|entry| &entry.meta)
            && let Some(family) = Family::of(leader)
            && let Some(beside) = family.key_beside(&key, leader, &meta)
        {
            meta.key = beside.text().to_owned();
            meta.generation = 0;
            key = beside;
        }
        let entry = Entry {
            freshness: meta.freshness(&save.rules),
            body_len: body.len(),
            body: B::from_bytes(body),
            meta: Rc::new(meta),
            checked_at: save.checked_at,
        };
        self.keep(&key, entry, save.keeping, now)
    }

    /// What a `200` to a `HEAD` says about the stored response to a `GET` (RFC 9111 §4.3.5): it "SHOULD
    /// update or invalidate" it.
    pub(super) fn head_answered(
        &mut self,
        head: &impl Head,
        route: &RoutePlan,
        cached: &Cached<B>,
        answered: &Exchange<'_, impl Fields>,
        now: Timestamp,
    ) -> Option<Write> {
        let entry = &cached.found.as_ref()?.entry;
        if answered.status != 200 || entry.meta.status != 200 {
            return None;
        }
        let length = u64::try_from(entry.body_len).unwrap_or(u64::MAX);
        match freshen(&entry.meta, length, answered, &cached.rules) {
            Freshened::Updated(mut meta) => {
                let key = cached.place(&mut meta, &cached.url);
                cached.date(&mut meta);
                cached.number(&mut meta);
                let entry = Entry {
                    freshness: meta.freshness(&cached.rules),
                    meta: Rc::new(meta),
                    checked_at: cached.epochs_at,
                    ..entry.clone()
                };
                let keeping = self.keeping(head, route, cached, None);
                self.keep(&key, entry, keeping, now)
            }
            Freshened::ServeOnce(..) => None,
            Freshened::Mismatch => self.forget(std::slice::from_ref(&cached.key)),
        }
    }

    /// What is kept of the answer to a `POST` (RFC 9110 §9.3.3): "Responses to POST requests are only
    /// cacheable when they include explicit freshness information [...] and a Content-Location header field
    /// that has the same value as the POST's target URI". It answers later `GET`s.
    pub(super) fn post_answered(
        &self,
        head: &impl Head,
        change: &Change,
        origin: &impl OriginHead,
        now: Timestamp,
    ) -> Option<Box<Save>> {
        let content = origin.value("content-location")?;
        let target = Target::of(head.url())?;
        let same = same_origin_reference(&target, &self.plan.origin, &content)? == target;
        if change.declared || head.method() != "POST" || origin.status() != 200 || !same {
            return None;
        }
        let received = origin.headers();
        let answered = Exchange {
            method: &Method::GET,
            request: head,
            status: StatusCode::OK,
            response: &received,
            request_time: change.sent_at,
            response_time: now,
        };
        // Neither the route nor a guess stands in for what the origin does not say.
        let own = CacheRules {
            ttl: None,
            negative_ttl: None,
            override_origin: false,
            heuristic: false,
            ..change.rules.clone()
        };
        may_store(&answered, &own).ok()?;
        let coding = coding(&received)?;
        let meta = Meta::from_response(&answered, &change.url, coding, &own);
        let explicit = meta.freshness(&own).lifetime.source != LifetimeSource::Nothing;
        let fits = announced(&received).is_none_or(|length| length <= self.largest_body());
        (explicit && fits && meta.vary.is_empty()).then(|| {
            Box::new(Save {
                key: change.url.clone(),
                rules: change.rules.clone(),
                meta,
                coding,
                received,
                checked_at: change.sent_at,
                largest: self.largest_body(),
                keeping: Keeping::by(&change.rules),
            })
        })
    }

    /// Forgets what the answer to a request that changes something makes invalid (RFC 9111 §4.4): what
    /// is stored for its URL, and for those of the same origin that the answer names in `Location` and
    /// `Content-Location`.
    pub(super) fn invalidated(
        &mut self,
        head: &impl Head,
        caching: &Caching<B>,
        origin: &impl OriginHead,
    ) -> Option<Write> {
        let method = head.method().parse().unwrap_or(Method::POST);
        if !invalidates(&method, origin.status()) {
            return None;
        }
        let mut keys = Vec::new();
        if let Caching::Unsafe(change) = caching {
            keys.push(change.url.clone());
        }
        for name in ["location", "content-location"] {
            keys.extend(origin.value(name).and_then(|url| self.key_of(head, &url)));
        }
        keys.dedup();
        self.forget(&keys)
    }

    /// What a URL that an answer names is stored under, if it is one of this gate's with a cache.
    fn key_of(&self, head: &impl Head, reference: &str) -> Option<CacheKey> {
        let base = Target::of(head.url())?;
        let target = same_origin_reference(&base, &self.plan.origin, reference)?;
        let route = self.plan.find("GET", &segments(target.path()).ok()?);
        Some(key(route.cache.as_ref()?, head, &target))
    }

    /// The key of the URL of a response, by what it says about the query ([`NoVarySearch`]), which is
    /// remembered.
    ///
    /// The key of what is left of the query is that of a request with just that: it is answered by the
    /// same response.
    pub(super) fn url_of(
        &mut self,
        head: &impl Head,
        route: &RoutePlan,
        cached: &Cached<B>,
        meta: &Meta,
    ) -> CacheKey {
        let search = NoVarySearch::of(meta.headers.as_slice());
        let (Some(target), Some(cache)) = (Target::of(head.url()), &route.cache) else {
            return cached.url.clone();
        };
        let url = match &search {
            Some(search) => canonical_key(cache, head, &target, search),
            None => key(cache, head, &target),
        };
        self.memory.learn_search(target.path(), search);
        url
    }

    /// Forgets entries, here and in the store. The variants of a response go with it.
    pub(super) fn forget(&mut self, keys: &[CacheKey]) -> Option<Write> {
        keys.iter().for_each(|key| self.memory.l1.remove(key));
        (self.store_is_up() && !keys.is_empty()).then(|| Write::Delete {
            keys: keys.iter().map(|key| self.entry_key(key)).collect(),
        })
    }

    pub(super) fn store_is_up(&self) -> bool {
        self.has_store && self.memory.limiter.breaker.status() == breaker::Status::Closed
    }

    pub(super) fn entry_key(&self, key: &CacheKey) -> String {
        format!("{}:c:{}", self.plan.store.key_prefix, key.hex())
    }
}

/// In which form the platform hands over the body: it undoes the codings `gzip` and `br`, and hands over
/// the bytes as they are of a coding that it does not know. `None`: of others it depends on the
/// platform.
pub(super) fn coding(response: &[(String, String)]) -> Option<BodyCoding> {
    let coding = response.value("content-encoding");
    let coding = coding.as_deref().map_or("", str::trim);
    if matches!(coding, "gzip" | "br" | "identity" | "") {
        return Some(BodyCoding::Decoded);
    }
    let depends = |coding: &str| {
        let known = [
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
        known.iter().any(|known| coding.eq_ignore_ascii_case(known))
    };
    (!tokens(coding).any(depends)).then_some(BodyCoding::AsReceived)
}

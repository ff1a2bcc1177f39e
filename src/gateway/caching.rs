//! A request's part with the cache: what is asked for, what is at hand, what may be done with it.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::config;
use crate::engine::cache::{
    Bypass, CONDITIONAL, CacheKey, CacheRules, CacheStatus, Condition, Entry, Forward, L1, Lookup,
    OnError, RequestDirectives, Target, Use, WhyRevalidate, client_condition, envelope, evaluate,
    field_text, filter_query, may_look_up, normal_path, normal_query, not_modified_headers,
    revalidation_headers,
};

use super::answer::{Answer, Content};
use super::body::Body;
use super::forward::Fetch;
use super::head::Head;
use super::memory::Memory;
use super::problem::Problem;
use crate::limiter::{self, Refresh};

/// The cache's view of a request.
#[derive(Debug)]
pub enum Caching<B: Body> {
    /// The route has no cache.
    Off,
    /// The cache has no business with this request.
    Bypass(Bypass),
    /// The request may change what is stored under this key (RFC 9111 §4.4).
    Unsafe(CacheKey),
    /// The cache may answer.
    On(Box<Cached<B>>),
}

/// A request that the cache may answer.
#[derive(Debug)]
pub struct Cached<B: Body> {
    /// The route's settings.
    pub rules: CacheRules,
    /// What is asked for.
    pub key: CacheKey,
    /// What the client's `Cache-Control` asks.
    asked: RequestDirectives,
    /// The only parameters that count, if not all do.
    declared: Option<Vec<String>>,
    /// Whether request headers are part of the key.
    by_headers: bool,
    /// Whether the origin's answer can be relied on to be stored: it is asked by `GET`, and not for
    /// one client.
    stores: bool,
    /// What is stored.
    pub found: Option<Found<B>>,
    /// Whether the store lets this caller refresh the entry; absent if it was not asked.
    refresh: Option<Refresh>,
    /// Whether it waited for another request's answer.
    waited: bool,
    /// Why the request goes to the origin.
    pub forward: Forward,
    /// When it went there.
    pub sent_at: Timestamp,
}

/// A stored response, and where it was.
#[derive(Debug)]
pub struct Found<B: Body> {
    /// The response.
    pub entry: Entry<B>,
    /// `l1` or `redis`.
    level: &'static str,
}

/// What to do about an admitted request.
pub enum Serve<B: Body> {
    /// Ask the origin.
    Origin(Caching<B>),
    /// Answer from the cache.
    Answer(Answer<B>),
    /// The same, and refresh the entry afterwards.
    AnswerAndRefresh(Answer<B>, Caching<B>),
    /// Answer with a problem.
    Refuse(Problem),
}

impl<B: Body> Caching<B> {
    /// What the cache makes of a request.
    pub fn of(cache: &config::Cache, head: &impl Head, target: Target<'_>) -> Self {
        let Ok(method) = head.method().parse() else {
            return Self::Bypass(Bypass::Method);
        };
        let asked = match may_look_up(&method, head) {
            Lookup::Allowed(asked) => asked,
            Lookup::Bypass(why) => return Self::Bypass(why),
        };
        Self::On(Box::new(Cached {
            rules: CacheRules {
                ttl: cache.ttl,
                override_origin: cache.override_origin,
                stale_while_revalidate: cache.stale_while_revalidate,
                stale_if_error: cache.stale_if_error,
            },
            key: key(cache, head, target),
            asked,
            declared: cache.query.clone(),
            by_headers: !cache.vary.is_empty(),
            stores: method == http::Method::GET && !head.has("authorization"),
            found: None,
            refresh: None,
            waited: false,
            forward: Forward::Miss,
            sent_at: Timestamp::default(),
        }))
    }

    /// What it makes of an unsafe request to a URL that others `GET` from this `cache`.
    pub fn unsafe_for(cache: &config::Cache, head: &impl Head, target: Target<'_>) -> Self {
        Self::Unsafe(key(cache, head, target))
    }

    /// What `Cache-Status` says of a request that went past the cache.
    pub fn bypassed(&self) -> Option<CacheStatus> {
        match self {
            Self::Bypass(why) => Some(CacheStatus::bypassed(*why)),
            Self::Unsafe(_) => Some(CacheStatus::bypassed(Bypass::Method)),
            Self::Off | Self::On(_) => None,
        }
    }

    /// Looks into the isolate's own memory.
    pub fn look_into_l1(&mut self, l1: &mut L1<B>, now: Timestamp) {
        if let Self::On(cached) = self {
            cached.found = l1.get(&cached.key, now).map(|entry| Found {
                entry: entry.clone(),
                level: "l1",
            });
        }
    }

    /// The same after a wait for another request's answer.
    pub fn look_again(&mut self, l1: &mut L1<B>, now: Timestamp) {
        if let Self::On(cached) = self {
            cached.waited = true;
        }
        self.look_into_l1(l1, now);
    }

    /// Whether the store should be asked about the entry. A `limited` request goes there anyway.
    pub fn needs_store(&self, head: &impl Head, limited: bool, now: Timestamp) -> bool {
        let Self::On(cached) = self else {
            return false;
        };
        match cached.evaluate(head, now) {
            Some(Use::Fresh { .. }) => false,
            Some(Use::StaleWhileRevalidate { .. }) => limited,
            _ => true,
        }
    }

    /// What to ask the store.
    pub fn lookup(&self, prefix: &str, lease_for: Duration) -> Option<limiter::Lookup> {
        let Self::On(cached) = self else {
            return None;
        };
        let digest = cached.key.hex();
        Some(limiter::Lookup {
            entry: format!("{prefix}:c:{digest}"),
            lease: format!("{prefix}:f:{digest}"),
            lease_for: cached.stores.then_some(lease_for),
        })
    }

    /// Takes the store's entry, if it is newer than what is at hand, and keeps it at hand.
    pub fn store_said(
        &mut self,
        entry: Option<Bytes>,
        refresh: Refresh,
        l1: &mut L1<B>,
        now: Timestamp,
    ) {
        let Self::On(cached) = self else {
            return;
        };
        cached.refresh = Some(refresh);
        let Some((meta, body)) = entry
            .as_deref()
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .and_then(|text| envelope::decode(text, &cached.key).ok())
        else {
            return;
        };
        let older = |found: &Found<B>| found.entry.meta.response_time <= meta.response_time;
        let freshness = meta.freshness(&cached.rules);
        if cached.found.as_ref().is_none_or(older) && now < freshness.keep_until {
            let entry = Entry {
                freshness,
                body_len: body.len(),
                body: B::from_bytes(Bytes::from(body.into_owned())),
                meta: Rc::new(meta),
            };
            l1.insert(&cached.key, entry.clone());
            cached.found = Some(Found {
                entry,
                level: "redis",
            });
        }
    }

    /// What to do about the request, now that it is admitted and all is known.
    pub fn serve(self, head: &impl Head, now: Timestamp) -> Serve<B> {
        let Self::On(mut cached) = self else {
            return Serve::Origin(self);
        };
        let usage = cached.evaluate(head, now);
        let (refresh, forward) = match usage {
            Some(Use::Fresh { .. }) => (Some(false), Forward::Miss),
            Some(Use::StaleWhileRevalidate { .. }) => (Some(true), Forward::Stale),
            Some(Use::Stale {
                why: WhyRevalidate::Request,
                ..
            }) => (None, Forward::Request),
            Some(Use::Stale { .. }) => (None, Forward::Stale),
            Some(Use::VaryMismatch) => (None, Forward::VaryMiss),
            Some(Use::Unusable(_)) | None if cached.by_headers => (None, Forward::Miss),
            Some(Use::Unusable(_)) | None => (None, Forward::UriMiss),
        };
        let missed = std::mem::replace(&mut cached.forward, forward);
        if let (Some(refresh), Some(found)) = (refresh, &cached.found) {
            let mut status = match cached.waited {
                true => CacheStatus::forwarded(missed),
                false => CacheStatus::hit(),
            };
            status.collapsed = cached.waited;
            status.ttl_ms = usage.and_then(|usage| usage.ttl_ms());
            status.detail = Some(found.level);
            let answer = answer(&found.entry, head, status, now);
            return match refresh && cached.stores {
                true => Serve::AnswerAndRefresh(answer, Self::On(cached)),
                false => Serve::Answer(answer),
            };
        }
        if matches!(usage, Some(Use::VaryMismatch | Use::Unusable(_))) {
            cached.found = None;
        }
        match cached.asked.only_if_cached {
            true => Serve::Refuse(Problem::OnlyIfCached),
            false => Serve::Origin(Self::On(cached)),
        }
    }

    /// Whether this caller is the one to refresh the entry.
    pub fn may_refresh(&self, memory: &mut Memory<B>, now: Timestamp, lease: Duration) -> bool {
        match self {
            Self::On(cached) if !matches!(cached.refresh, Some(Refresh::NotMine)) => {
                memory.may_refresh(&cached.key.hex(), now, lease)
            }
            _ => false,
        }
    }

    /// The path that goes to the origin: where the cache is asked, as the key has it, so that no
    /// spelling can bring another answer under the same key.
    pub fn path<'a>(&self, path: &'a str) -> Cow<'a, str> {
        match self {
            Self::On(_) => normal_path(path),
            _ => Cow::Borrowed(path),
        }
    }

    /// The query that goes to the origin.
    pub fn query(&self, query: Option<&str>) -> Option<String> {
        match self {
            Self::On(cached) => match &cached.declared {
                Some(declared) => query.map(|query| filter_query(query, declared)),
                None => query.map(normal_query),
            },
            _ => query.map(str::to_owned),
        }
    }

    /// Makes a request for one client into a request for the cache: whole, and conditional on what
    /// is stored.
    pub fn prepare(&mut self, fetch: &mut Fetch, now: Timestamp) {
        let Self::On(cached) = self else {
            return;
        };
        cached.sent_at = now;
        fetch
            .remove
            .extend(CONDITIONAL.iter().map(|name| name.as_str().to_owned()));
        if let Some(found) = &cached.found {
            let validators = revalidation_headers(&found.entry.meta);
            let text = |(name, value): &(http::HeaderName, http::HeaderValue)| {
                (name.as_str().to_owned(), field_text(value).into_owned())
            };
            fetch.set.extend(validators.iter().map(text));
        }
    }
}

impl<B: Body> Cached<B> {
    /// Whether the answer to another request for the same could serve this one, too.
    pub const fn is_collapsible(&self) -> bool {
        let each_for_itself = matches!(self.refresh, Some(Refresh::Unstored));
        self.stores && !each_for_itself && !matches!(self.forward, Forward::Request)
    }

    /// Whether this caller holds the lease to fetch it.
    pub fn holds_lease(&self) -> bool {
        self.refresh == Some(Refresh::Mine)
    }

    /// Whether nothing is stored and another caller holds the lease to fetch it.
    pub fn is_refreshed_elsewhere(&self) -> bool {
        self.refresh == Some(Refresh::NotMine)
    }

    fn evaluate(&self, head: &impl Head, now: Timestamp) -> Option<Use> {
        let entry = &self.found.as_ref()?.entry;
        Some(evaluate(
            &entry.meta,
            &entry.freshness,
            head,
            &self.asked,
            now,
        ))
    }

    /// The stored response in place of a failure of the origin, if it may still be served.
    pub fn answer_on_error(
        &self,
        head: &impl Head,
        fwd_status: Option<u16>,
        now: Timestamp,
    ) -> Option<Answer<B>> {
        let entry = self.usable_on_error(head, now)?;
        let mut status = CacheStatus::forwarded(self.forward);
        status.fwd_status = fwd_status;
        status.ttl_ms = Some(entry.freshness.ttl_left(now));
        status.detail = Some("stale-if-error");
        Some(answer(entry, head, status, now))
    }

    /// The same in place of a call of the origin that must not be made.
    pub fn answer_in_place(&self, head: &impl Head, now: Timestamp) -> Option<Answer<B>> {
        let entry = self.usable_on_error(head, now)?;
        let mut status = CacheStatus::hit();
        status.ttl_ms = Some(entry.freshness.ttl_left(now));
        status.detail = Some("origin-quota");
        Some(answer(entry, head, status, now))
    }

    fn usable_on_error(&self, head: &impl Head, now: Timestamp) -> Option<&Entry<B>> {
        let entry = &self.found.as_ref()?.entry;
        let usable = match evaluate(&entry.meta, &entry.freshness, head, &self.asked, now) {
            Use::Fresh { .. } | Use::StaleWhileRevalidate { .. } => true,
            Use::Stale { on_error, .. } => {
                matches!(on_error, OnError::ServeUntil(until) if now < until)
            }
            Use::VaryMismatch | Use::Unusable(_) => false,
        };
        usable.then_some(entry)
    }
}

fn key(cache: &config::Cache, head: &impl Head, target: Target<'_>) -> CacheKey {
    CacheKey::new(&target, cache.query.as_deref(), &cache.vary, head)
}

/// The answer that a stored response gives a client: the whole, its head, or that nothing changed.
pub fn answer<B: Body>(
    entry: &Entry<B>,
    head: &impl Head,
    status: CacheStatus,
    now: Timestamp,
) -> Answer<B> {
    let meta = &entry.meta;
    let not_modified = client_condition(head, meta) == Condition::NotModified;
    let own = |(name, value): (&str, &str)| (name.to_owned().into(), value.to_owned());
    let mut answer = Answer {
        status: if not_modified { 304 } else { meta.status },
        headers: match not_modified {
            true => not_modified_headers(meta).map(own).collect(),
            false => {
                let all = meta.headers.iter();
                all.map(|(name, value)| own((name, value))).collect()
            }
        },
        body: Content::Empty,
    };
    let upstream = answer.header("cache-status").map(str::to_owned);
    answer.set("cache-status", status.append_to(upstream.as_deref()));
    answer.set("age", entry.freshness.age_seconds(now).to_string());
    if !not_modified {
        match head.method() {
            "HEAD" => answer.set("content-length", entry.body_len.to_string()),
            _ => answer.body = Content::Stored(entry.body.clone()),
        }
    }
    answer
}

/// `Cache-Status` of a request that was refused before anybody asked the cache.
pub fn not_asked(problem: &Problem) -> String {
    match problem {
        // RFC 9111 §5.2.1.7: the cache was asked, and has nothing.
        Problem::OnlyIfCached => "omnitrade-edge; detail=only-if-cached".to_owned(),
        Problem::OriginQuotaSpent { .. } => "omnitrade-edge; detail=origin-quota".to_owned(),
        _ => "omnitrade-edge; detail=refused".to_owned(),
    }
}

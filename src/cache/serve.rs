//! Serving: whether a stored response may answer a request, and with what.

use std::rc::Rc;

use http::Method;

use crate::clock::{Timestamp, millis};
use crate::engine::http_cache::{
    CacheStatus, Condition, Entry, Forward, IN_PLACE, OnError, Part, Use, WhyRevalidate,
    client_condition, goes_with_not_modified, is_origin_error, requested_part,
};
use crate::message::answer::{Answer, Content, Line};
use crate::message::body::Body;
use crate::message::head::Head;

use super::fetching::{Fetching, Miss};
use super::lookup::Lookup;

/// What to do about an admitted request.
pub enum Serve<B: Body> {
    /// Go to the origin.
    Fetch(Miss<B>),
    /// Answer from the cache.
    Answer(Answer<B>),
    /// Answer from the cache, and refresh the entry in the background.
    AnswerAndRefresh(Answer<B>, Miss<B>),
    /// No stored response may be served, and the client accepts nothing else (RFC 9111 §5.2.1.7).
    OnlyIfCached,
}

impl<B: Body> Lookup<B> {
    /// What to do about the request once it is admitted and the lookup is complete. `draw` is a
    /// random number from 0 to 1 that decides whether a fresh entry is refreshed early.
    pub fn serve(mut self, head: &impl Head, draw: f64, now: Timestamp) -> Serve<B> {
        let usage = self.evaluate(head, now);
        let (refresh, why) = match usage {
            Some(Use::Fresh { .. }) => (Some(self.is_refreshed_early(draw, now)), Forward::Miss),
            Some(Use::StaleWhileRevalidate { .. }) => (Some(true), Forward::Stale),
            Some(Use::Stale {
                why: WhyRevalidate::Request,
                ..
            }) => (None, Forward::Request),
            Some(Use::Stale { .. }) => (None, Forward::Stale),
            Some(Use::VaryMismatch) => (None, Forward::VaryMiss),
            Some(Use::Unusable(_)) | None if self.family.is_some() => (None, Forward::VaryMiss),
            Some(Use::Unusable(_)) | None if self.request.keyed_by_headers => (None, Forward::Miss),
            Some(Use::Unusable(_)) | None => (None, Forward::UriMiss),
        };
        if let (Some(refresh), Some(hit)) = (refresh, &self.hit) {
            let mut status = match self.waited {
                Some(missed) => CacheStatus::forwarded(missed),
                None => CacheStatus::hit(),
            };
            status.collapsed = self.waited.is_some();
            status.ttl_ms = usage.and_then(|usage| usage.ttl_ms());
            status.detail = Some(hit.tier.word());
            let answer = serve_stored(&hit.entry, head, status, now);
            return match refresh && self.request.storable {
                true => Serve::AnswerAndRefresh(answer, Miss::new(self, why)),
                false => Serve::Answer(answer),
            };
        }
        if matches!(usage, Some(Use::VaryMismatch | Use::Unusable(_))) {
            self.hit = None;
        }
        match self.request.only_if_cached() {
            true => Serve::OnlyIfCached,
            false => Serve::Fetch(Miss::new(self, why)),
        }
    }

    /// An answer from the stored response in place of a call of the origin that must not be made,
    /// if the response may still be served.
    pub fn answer_in_place(&self, head: &impl Head, now: Timestamp) -> Option<Answer<B>> {
        let entry = self.usable_on_error(head, now)?;
        let mut status = CacheStatus::hit();
        status.ttl_ms = Some(entry.freshness.ttl_left(now));
        status.detail = Some("origin-quota");
        Some(serve_stored(entry, head, status, now))
    }

    /// The stored response, if it may be served while the origin fails.
    pub(super) fn usable_on_error(&self, head: &impl Head, now: Timestamp) -> Option<&Entry<B>> {
        let entry = &self.hit.as_ref()?.entry;
        let usable = match self.evaluate(head, now)? {
            Use::Fresh { .. } | Use::StaleWhileRevalidate { .. } => true,
            Use::Stale { on_error, .. } => {
                matches!(on_error, OnError::ServeUntil(until) if now < until)
            }
            Use::VaryMismatch | Use::Unusable(_) => false,
        };
        usable.then_some(entry)
    }
}

impl<B: Body> Fetching<B> {
    /// An answer from the stored response in place of a failure of the origin, if the response may
    /// still be served. `fwd_status`: the status with which the origin answered, if it did.
    pub fn answer_on_error(
        &self,
        head: &impl Head,
        fwd_status: Option<u16>,
        now: Timestamp,
    ) -> Option<Answer<B>> {
        let entry = self.lookup.usable_on_error(head, now)?;
        // An earlier failure is no better than the latest one.
        if fwd_status.is_some() && is_origin_error(entry.meta.status) {
            return None;
        }
        let mut status = CacheStatus::forwarded(self.why);
        status.fwd_status = fwd_status;
        status.ttl_ms = Some(entry.freshness.ttl_left(now));
        status.detail = Some(IN_PLACE);
        Some(serve_stored(entry, head, status, now))
    }
}

/// [`answer`] for a response that the origin has not just confirmed: a stale one also tells its age
/// in [`DATA_AGE`].
pub(super) fn serve_stored<B: Body>(
    entry: &Entry<B>,
    head: &impl Head,
    status: CacheStatus,
    now: Timestamp,
) -> Answer<B> {
    let mut answer = answer(entry, head, status, now);
    if !entry.freshness.is_fresh(now) {
        answer.set(DATA_AGE, millis(entry.freshness.age(now)).to_string());
    }
    answer
}

/// The header that tells the age of a stale answer, in milliseconds.
pub const DATA_AGE: &str = "x-data-age";

/// The answer that a stored response gives a client: the whole response, its head, a range, or
/// `304`.
pub fn answer<B: Body>(
    entry: &Entry<B>,
    head: &impl Head,
    status: CacheStatus,
    now: Timestamp,
) -> Answer<B> {
    if let Some(answer) = not_modified(entry, head, status, now) {
        return answer;
    }
    let meta = &entry.meta;
    let mut answer = with_headers(meta.status, |_| true, entry, status, now);
    let method = head.method().parse().unwrap_or(Method::GET);
    let length = u64::try_from(entry.body_len).unwrap_or(u64::MAX);
    match requested_part(&method, head, meta, length) {
        Part::Whole if head.method() == "HEAD" => {
            answer.set("content-length", entry.body_len.to_string());
        }
        Part::Whole => answer.body = Content::Stored(entry.body.clone()),
        // RFC 9110 §15.3.7.1: "a Content-Range header field, describing what range of the selected
        // representation is enclosed".
        Part::Bytes { first, last } => {
            answer.status = 206;
            answer
                .headers
                .retain(|line| !OF_THE_WHOLE.contains(&line.name()));
            answer.set("content-range", format!("bytes {first}-{last}/{length}"));
            let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
            let (from, to) = (place(first), place(last).saturating_add(1));
            answer.body = Content::Stored(entry.body.slice(from, to));
        }
        // §15.5.17: "a Content-Range header field specifying the current length".
        Part::Unsatisfiable => {
            answer.status = 416;
            let kept = ["age", "cache-status", "date"];
            answer.headers.retain(|line| kept.contains(&line.name()));
            answer.set("content-range", format!("bytes */{length}"));
        }
    }
    answer
}

/// `304`, if the client has the stored response already.
pub fn not_modified<B: Body>(
    entry: &Entry<B>,
    head: &impl Head,
    status: CacheStatus,
    now: Timestamp,
) -> Option<Answer<B>> {
    let has_it = client_condition(head, &entry.meta) == Condition::NotModified;
    has_it.then(|| with_headers(304, goes_with_not_modified, entry, status, now))
}

/// An answer without a body: those header lines of the stored response whose names `goes` tells,
/// and what is known of its way here.
fn with_headers<B: Body>(
    code: u16,
    goes: impl Fn(&str) -> bool,
    entry: &Entry<B>,
    status: CacheStatus,
    now: Timestamp,
) -> Answer<B> {
    let meta = &entry.meta;
    let upstream = meta.field("cache-status");
    let lines = meta.headers.iter().enumerate();
    let lines = lines.filter(|(_, (name, _))| goes(name) && !TOLD_ANEW.contains(&&**name));
    let mut headers = Vec::with_capacity(meta.headers.len() + USUAL_LINES);
    headers.extend(lines.map(|(at, _)| Line::Stored(Rc::clone(meta), at)));
    let told = status.append_to(upstream.as_deref());
    headers.push((TOLD_ANEW[0], told).into());
    let age = entry.freshness.age_seconds(now);
    headers.push((TOLD_ANEW[1], age.to_string()).into());
    Answer {
        status: code,
        headers,
        body: Content::Empty,
        said: Some(status),
    }
}

/// The header lines of a stored response that each answer tells anew.
const TOLD_ANEW: [&str; 2] = ["cache-status", "age"];

/// About how many lines an answer has beside those of the stored response.
const USUAL_LINES: usize = 6;

/// Headers with digests of a message's content (RFC 9530 §2). A range has other digests than the
/// whole.
const OF_THE_WHOLE: [&str; 2] = ["content-digest", "content-md5"];

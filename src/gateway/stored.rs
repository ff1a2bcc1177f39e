//! What a stored response answers a client with.

use std::borrow::Cow;

use http::Method;

use crate::clock::{Timestamp, millis};
use crate::engine::cache::{
    CacheStatus, Condition, Entry, Part, client_condition, not_modified_headers, requested_part,
};

use super::answer::{Answer, Content};
use super::body::Body;
use super::head::Head;
use super::problem::Problem;

/// [`answer`] without a word of the origin's: where it is stale, it says since how long nobody knows
/// whether it is still true.
pub fn served<B: Body>(
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

/// How old a stale answer is, in milliseconds.
pub const DATA_AGE: &str = "x-data-age";

/// The answer that a stored response gives a client: the whole, its head, a part, or that nothing
/// changed.
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
    let all = meta
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let mut answer = with_headers(meta.status, all, entry, status, now);
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
                .retain(|(name, _)| !OF_THE_WHOLE.contains(&&**name));
            answer.set("content-range", format!("bytes {first}-{last}/{length}"));
            let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
            let (from, to) = (place(first), place(last).saturating_add(1));
            answer.body = Content::Stored(entry.body.slice(from, to));
        }
        // §15.5.17: "a Content-Range header field specifying the current length".
        Part::Unsatisfiable => {
            answer.status = 416;
            let kept = ["age", "cache-status", "date"];
            answer.headers.retain(|(name, _)| kept.contains(&&**name));
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
    has_it.then(|| with_headers(304, not_modified_headers(&entry.meta), entry, status, now))
}

fn with_headers<'a, B: Body>(
    code: u16,
    headers: impl Iterator<Item = (&'a str, &'a str)>,
    entry: &Entry<B>,
    status: CacheStatus,
    now: Timestamp,
) -> Answer<B> {
    let own = |(name, value): (&str, &str)| (Cow::from(name.to_owned()), value.to_owned());
    let mut answer = Answer {
        status: code,
        headers: headers.map(own).collect(),
        body: Content::Empty,
    };
    let upstream = answer.header("cache-status").map(str::to_owned);
    answer.set("cache-status", status.append_to(upstream.as_deref()));
    answer.set("age", entry.freshness.age_seconds(now).to_string());
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

/// Digests of the content of a message (RFC 9530 §2), which a part is another of.
const OF_THE_WHOLE: [&str; 2] = ["content-digest", "content-md5"];

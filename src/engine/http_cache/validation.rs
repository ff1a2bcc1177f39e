//! Validation: the client validates its response with the cache, and the cache validates a stored
//! response with the origin (RFC 9111 §4.3, RFC 9110 §13).

use http::{HeaderName, Method, header};

use super::control::ResponseDirectives;
use super::entry::{DIGESTS, Meta, is_excluded, nominated};
use super::exchange::Exchange;
use super::fields::{Fields, date, elements, http_date, is_exact};
use super::freshness::age_value;
use super::rules::CacheRules;
use super::storage::{WhyNot, allowed_by_head};

/// The request fields that are removed from a request that is forwarded to fill the cache. The
/// cache evaluates them against the whole response ([`client_condition`]).
pub const CONDITIONAL: [HeaderName; 6] = [
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    header::IF_RANGE,
    header::RANGE,
];

/// How a stored response answers a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// The client already has the response: it gets `304`.
    NotModified,
    /// The client gets the whole response.
    Full,
}

/// Whether the client already has the stored response (RFC 9111 §4.3.2).
///
/// RFC 9110 §13.2.2: if `If-None-Match` is present, `If-Modified-Since` is ignored.
pub fn client_condition<F: Fields + ?Sized>(request: &F, meta: &Meta) -> Condition {
    if meta.status != 200 {
        return Condition::Full;
    }
    let has_it = match request.value("if-none-match") {
        Some(tags) => any_tag_matches(&tags, meta.field("etag").as_deref()),
        None => request
            .value("if-modified-since")
            .is_some_and(|since| unmodified_since(&since, meta)),
    };
    match has_it {
        true => Condition::NotModified,
        false => Condition::Full,
    }
}

/// RFC 9110 §13.1.2: "If-None-Match is `*`: the condition is false if the origin server has a
/// current representation". Tags are compared weakly.
fn any_tag_matches(tags: &str, stored: Option<&str>) -> bool {
    elements(tags).any(|tag| match tag {
        "*" => true,
        tag => stored.is_some_and(|stored| opaque(tag) == opaque(stored)),
    })
}

/// RFC 9110 §13.1.3; RFC 9111 §4.3.2 for a response without `Last-Modified`: "a cache SHOULD use
/// the stored response's Date field value (or, if no Date field is present, the time that the
/// stored response was received)".
fn unmodified_since(since: &str, meta: &Meta) -> bool {
    // "A recipient MUST ignore the If-Modified-Since header field if the received field value is
    // not a valid HTTP-date".
    let Some(since) = date(since) else {
        return false;
    };
    let modified = match meta.field("last-modified") {
        Some(modified) => date(&modified),
        None => match meta.field("date") {
            Some(made) => date(&made),
            None => Some(meta.response_time),
        },
    };
    modified.is_some_and(|modified| modified <= since)
}

/// The opaque part of an entity tag; weak comparison compares only this part (RFC 9110 §8.8.3.2).
fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

/// The fields of a `304` that is made from a stored response (RFC 9110 §15.4.5): those fields of a
/// `200` that tell the client how to cache, and no other metadata of the representation.
pub fn goes_with_not_modified(name: &str) -> bool {
    !name.starts_with("content-") || matches!(name, "content-location" | "content-security-policy")
}

/// The request fields that ask the origin whether a stored response is still valid (RFC 9111
/// §4.3.1). Empty if the response has no validator.
pub fn revalidation_headers(meta: &Meta) -> Vec<(HeaderName, String)> {
    [
        (header::IF_NONE_MATCH, "etag"),
        (header::IF_MODIFIED_SINCE, "last-modified"),
    ]
    .into_iter()
    .filter_map(|(name, validator)| Some((name, meta.field(validator)?)))
    .collect()
}

/// The effect of a `304`, or of a `200` to a `HEAD`, on a stored response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Freshened {
    /// The response is still valid; this head replaces the stored one.
    Updated(Meta),
    /// The response is valid for this request, but must no longer be stored: serve it, and remove
    /// the stored one. (For [`WhyNot::Authorization`] the stored response may stay as it was.)
    ServeOnce(Meta, WhyNot),
    /// The answer is about another representation: remove the stored response, and ask again
    /// without a condition.
    Mismatch,
}

/// Merges the head of a `304` (RFC 9111 §4.3.4), or of a `200` to a `HEAD` (§4.3.5), into a stored
/// response.
///
/// `body_len` is the length of the stored body.
pub fn freshen<F: Fields + ?Sized>(
    stored: &Meta,
    body_len: u64,
    exchange: &Exchange<'_, F>,
    rules: &CacheRules,
) -> Freshened {
    let head = *exchange.method == Method::HEAD && exchange.status.as_u16() == stored.status;
    // Fields whose octets are not all known cannot be merged, but the origin can be asked for the
    // whole response.
    let exact = exchange.response.iter().all(|(_, value)| is_exact(value));
    if !(exchange.status.as_u16() == 304 || head)
        || !exact
        || !same_representation(stored, exchange)
        || (head && !same_length(stored, body_len, exchange))
    {
        return Freshened::Mismatch;
    }
    let mut meta = stored.clone();
    update(&mut meta, exchange, rules);
    if meta.decoded && ResponseDirectives::of(meta.headers.as_slice()).no_transform {
        return Freshened::Mismatch;
    }
    // The merged fields decide whether the response may stay in the store.
    let merged = Exchange {
        method: exchange.method,
        request: exchange.request,
        status: http::StatusCode::from_u16(meta.status).unwrap_or(exchange.status),
        response: &meta.headers,
        request_time: exchange.request_time,
        response_time: exchange.response_time,
    };
    match allowed_by_head(&merged, rules) {
        Ok(()) => Freshened::Updated(meta),
        Err(why) => Freshened::ServeOnce(meta, why),
    }
}

/// Whether an answer has the validators of the stored response (RFC 9111 §4.3.3). An answer without
/// validators is about the response that was asked about.
fn same_representation<F: Fields + ?Sized>(stored: &Meta, exchange: &Exchange<'_, F>) -> bool {
    let new = exchange.response;
    match (new.value("etag"), stored.field("etag")) {
        // Tags are compared weakly, because a stored tag may have become weak when the body was
        // decoded.
        (Some(new), Some(old)) => return opaque(&new) == opaque(&old),
        (Some(_), None) if !stored.headers.as_slice().has("last-modified") => return false,
        _ => {}
    }
    match (new.value("last-modified"), stored.field("last-modified")) {
        (Some(new), Some(old)) => *new == *old,
        _ => true,
    }
}

/// RFC 9111 §4.3.5: "the Content-Length [...] is either absent or equal".
fn same_length<F: Fields + ?Sized>(
    stored: &Meta,
    body_len: u64,
    exchange: &Exchange<'_, F>,
) -> bool {
    stored.decoded
        || exchange
            .response
            .value("content-length")
            .is_none_or(|length| length.parse() == Ok(body_len))
}

/// RFC 9111 §3.2: "the cache MUST add each header field in the provided response to the stored
/// response, replacing field values that are already present, with the following exceptions".
fn update<F: Fields + ?Sized>(meta: &mut Meta, exchange: &Exchange<'_, F>, rules: &CacheRules) {
    let new = exchange.response;
    let nominated = nominated(new);
    let directives = ResponseDirectives::of(new);
    let named = |name: &str| {
        let lists = [directives.no_cache.fields(), directives.private.fields()];
        lists.into_iter().flatten().any(|known| known == name)
    };
    for (name, _) in new {
        let name = name.as_str();
        if !is_excluded(name)
            && !describes_body(name)
            // A cookie is for this client only, although the response is valid for all.
            && (name != "set-cookie" || rules.set_cookie)
            && !nominated.iter().any(|n| n == name)
        {
            meta.replace(name, new);
        }
    }
    meta.headers.retain(|(name, _)| !named(name));
    if !new.has("date")
        && let Some(date) = http_date(exchange.response_time)
    {
        meta.headers.retain(|(name, _)| name != "date");
        meta.headers.push(("date".to_owned(), date));
    }
    meta.request_time = exchange.request_time;
    meta.response_time = exchange.response_time;
    meta.age = age_value(new, rules.strict_age);
    meta.settle(exchange.request);
}

/// Whether a field describes the bytes of the body. RFC 9111 §3.2 lets a cache keep the stored
/// values of fields that are "necessary to ensure integrity of the stored response": the stored
/// body does not change.
fn describes_body(name: &str) -> bool {
    matches!(name, "content-encoding" | "content-range") || DIGESTS.contains(&name)
}

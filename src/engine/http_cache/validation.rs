//! Validation: of what the client has against the cache, and of what the cache has against the
//! origin (RFC 9111 §4.3, RFC 9110 §13).

use http::{HeaderName, Method, header};

use super::control::ResponseDirectives;
use super::entry::{DIGESTS, Meta, is_excluded, nominated};
use super::exchange::Exchange;
use super::fields::{Fields, date, elements, http_date, is_exact};
use super::freshness::age_value;
use super::rules::CacheRules;
use super::storage::{WhyNot, allowed_by_head};

/// The request fields to take off a request that is sent on to fill the cache: what they ask for is
/// answered from the whole response ([`client_condition`]).
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
    /// The client has it: `304`, with [`not_modified_headers`].
    NotModified,
    /// The client gets all of it.
    Full,
}

/// Whether the client has the stored response already (RFC 9111 §4.3.2).
///
/// RFC 9110 §13.2.2: `If-None-Match` counts before `If-Modified-Since`, which then does not count at
/// all.
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

/// RFC 9110 §13.1.2: "If-None-Match is `*`: the condition is false if the origin server has a current
/// representation"; tags are compared weakly.
fn any_tag_matches(tags: &str, stored: Option<&str>) -> bool {
    elements(tags).any(|tag| match tag {
        "*" => true,
        tag => stored.is_some_and(|stored| opaque(tag) == opaque(stored)),
    })
}

/// RFC 9110 §13.1.3; RFC 9111 §4.3.2 for a response without `Last-Modified`: "a cache SHOULD use the
/// stored response's Date field value (or, if no Date field is present, the time that the stored
/// response was received)".
fn unmodified_since(since: &str, meta: &Meta) -> bool {
    // "A recipient MUST ignore the If-Modified-Since header field if the received field value is not
    // a valid HTTP-date".
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

/// The opaque part of an entity-tag, on which weak comparison rests (RFC 9110 §8.8.3.2).
fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

/// The fields of a `304` that is made from a stored response (RFC 9110 §15.4.5): those a `200` would
/// have had that tell the client how to cache, and no other metadata of the representation.
pub fn not_modified_headers(meta: &Meta) -> impl Iterator<Item = (&str, &str)> {
    meta.headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .filter(|(name, _)| {
            !name.starts_with("content-")
                || matches!(*name, "content-location" | "content-security-policy")
        })
}

/// The fields by which the origin is asked whether a stored response still holds (RFC 9111 §4.3.1);
/// none if it has no validator.
pub fn revalidation_headers(meta: &Meta) -> Vec<(HeaderName, String)> {
    [
        (header::IF_NONE_MATCH, "etag"),
        (header::IF_MODIFIED_SINCE, "last-modified"),
    ]
    .into_iter()
    .filter_map(|(name, validator)| Some((name, meta.field(validator)?)))
    .collect()
}

/// What became of a stored response by a `304`, or a `200` to a `HEAD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Freshened {
    /// It holds; this replaces it.
    Updated(Meta),
    /// It holds for this request, but may no longer be stored: serve this, and remove it. (For
    /// [`WhyNot::Authorization`] what was stored before may stay as it was.)
    ServeOnce(Meta, WhyNot),
    /// The answer speaks of another representation: remove it, and ask again without condition.
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
    // Fields that are not known to the octet cannot be merged, but the origin can be asked for them.
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
    // The fields as they now are decide whether it may stay.
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

/// Whether the validators of an answer are those of the stored response (RFC 9111 §4.3.3): an answer
/// without any speaks of the one that was asked about.
fn same_representation<F: Fields + ?Sized>(stored: &Meta, exchange: &Exchange<'_, F>) -> bool {
    let new = exchange.response;
    match (new.value("etag"), stored.field("etag")) {
        // Tags are compared weakly: a stored one may have become weak when its body was decoded.
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
            // A cookie is this client's; that the response still holds is everybody's.
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

/// Whether a field speaks of the bytes of the body. RFC 9111 §3.2 lets a cache leave those out that
/// are "necessary to ensure integrity of the stored response": the stored body stays what it is.
fn describes_body(name: &str) -> bool {
    matches!(name, "content-encoding" | "content-range") || DIGESTS.contains(&name)
}

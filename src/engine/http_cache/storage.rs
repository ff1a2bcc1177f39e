//! Whether a response may be stored, and what of it is (RFC 9111 §3).

use http::Method;

use super::control::{RequestDirectives, ResponseDirectives};
use super::exchange::{BodyCoding, Exchange, is_coded};
use super::fields::{Fields, elements, is_exact};
use super::freshness::{Freshness, LifetimeSource, age_value, heuristically_cacheable};
use super::rules::CacheRules;
use super::vary::{self, Vary};

/// Why a response is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyNot {
    /// Not the answer to a `GET`.
    Method,
    /// Interim, partial, `304` or a server error.
    Status,
    /// `must-understand` (RFC 9111 §5.2.2.3) with a status that this cache does not know.
    NotUnderstood,
    /// A stream without an end: who waits for all of it waits for ever.
    Stream,
    /// `no-store` in the request (§5.2.1.5).
    RequestNoStore,
    /// `no-store` in the response (§5.2.2.5).
    NoStore,
    /// `private` (§5.2.2.7).
    Private,
    /// The request has `Authorization`, and nothing in the response allows it (§3.5).
    Authorization,
    /// It sets a cookie: for one client, whatever else it says.
    SetCookie,
    /// `Vary: *` (§4.1).
    VaryAny,
    /// A field of the response, or one of the request that it varies by, holds octets that are no
    /// UTF-8: they are not known here, so it could not be told or matched as it was.
    Octets,
    /// `no-transform` (§5.2.2.6) with a content coding: the platform undoes some.
    NoTransform,
    /// Neither the response nor the route gives it a lifetime.
    NoFreshness,
    /// It could never be used: stale on arrival, and nothing to validate it by.
    NothingToReuse,
}

impl WhyNot {
    /// The reason as a token, for `Cache-Status`' `detail` and for metrics.
    pub fn token(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Status => "status",
            Self::NotUnderstood => "must-understand",
            Self::Stream => "stream",
            Self::RequestNoStore => "request-no-store",
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::Authorization => "authorization",
            Self::SetCookie => "set-cookie",
            Self::VaryAny => "vary",
            Self::Octets => "octets",
            Self::NoTransform => "no-transform",
            Self::NoFreshness => "no-freshness",
            Self::NothingToReuse => "stale",
        }
    }
}

/// Whether a response may be stored (RFC 9111 §3: "A cache MUST NOT store a response to a request
/// unless:").
///
/// # Errors
///
/// The first reason why it may not.
pub fn may_store<F: Fields + ?Sized>(
    exchange: &Exchange<'_, F>,
    rules: &CacheRules,
) -> Result<(), WhyNot> {
    // "the request method is understood by the cache"
    if *exchange.method != Method::GET {
        return Err(WhyNot::Method);
    }
    // "the response status code is final"; "if the response status code is 206 or 304 [...] the cache
    // understands the response status code". Server errors are left out for safety, unless the route
    // asks for them, and `416`, which answers a `Range` that the key does not hold.
    let status = exchange.status.as_u16();
    let last = if rules.server_errors { 599 } else { 499 };
    if !(200..=last).contains(&status) || matches!(status, 206 | 304 | 416) {
        return Err(WhyNot::Status);
    }
    if is_stream(exchange.response) {
        return Err(WhyNot::Stream);
    }
    if RequestDirectives::of(exchange.request).no_store {
        return Err(WhyNot::RequestNoStore);
    }
    allowed_by_head(exchange, rules)
}

/// The rules that hold for what is stored already and is being updated, too.
pub(super) fn allowed_by_head<F: Fields + ?Sized>(
    exchange: &Exchange<'_, F>,
    rules: &CacheRules,
) -> Result<(), WhyNot> {
    let (response, status) = (exchange.response, exchange.status.as_u16());
    let directives = ResponseDirectives::of(response);
    // §5.2.2.3: a cache that understands the status ignores the `no-store` beside `must-understand`.
    match directives.must_understand {
        true if !is_understood(status) => return Err(WhyNot::NotUnderstood),
        false if directives.no_store => return Err(WhyNot::NoStore),
        _ => {}
    }
    // "if the cache is shared: the private response directive is either not present or allows a
    // shared cache to store a modified response"
    if directives.private.is_everything() {
        return Err(WhyNot::Private);
    }
    // §3.5. "In this specification, the following response directives have such an effect:
    // must-revalidate, public, and s-maxage."
    let shared =
        directives.public || directives.must_revalidate || directives.s_maxage.valid().is_some();
    if exchange.request.has("authorization") && !shared {
        return Err(WhyNot::Authorization);
    }
    // §7.3 leaves it to the origin to forbid it; too many do not.
    if response.has("set-cookie") && !rules.set_cookie {
        return Err(WhyNot::SetCookie);
    }
    let Vary::By(names) = Vary::of(response) else {
        return Err(WhyNot::VaryAny);
    };
    let exact = response.iter().all(|(_, value)| is_exact(value));
    if !exact || !vary::is_sure(&names, exchange.request) {
        return Err(WhyNot::Octets);
    }
    if directives.no_transform && is_coded(response) {
        return Err(WhyNot::NoTransform);
    }
    worth_it(exchange, rules)
}

/// "the response contains at least one of [...]", and can be used at least once more.
fn worth_it<F: Fields + ?Sized>(
    exchange: &Exchange<'_, F>,
    rules: &CacheRules,
) -> Result<(), WhyNot> {
    let response = exchange.response;
    let freshness = Freshness::of(
        exchange.status.as_u16(),
        response,
        age_value(response, rules.strict_age),
        exchange.request_time,
        exchange.response_time,
        rules,
    );
    // Nobody said that the answer to a request with a cookie is everybody's.
    if freshness.lifetime.source == LifetimeSource::Heuristic
        && exchange.request.has("cookie")
        && !ResponseDirectives::of(response).public
    {
        return Err(WhyNot::NoFreshness);
    }
    // Without a lifetime only what is cacheable by default may stay, and only to be validated: the
    // stale windows extend a lifetime, they are none.
    let by_default = heuristically_cacheable(exchange.status.as_u16());
    let validated = freshness.stale_forbidden.is_some() && by_default;
    if freshness.lifetime.source == LifetimeSource::Nothing && !validated {
        return Err(WhyNot::NoFreshness);
    }
    if freshness.keep_until <= exchange.response_time {
        return Err(WhyNot::NothingToReuse);
    }
    Ok(())
}

/// Whether the media type is that of a stream, whose content goes on for as long as both ends like:
/// server-sent events (HTML Living Standard, "Server-sent events"), or one part that replaces another.
pub fn is_stream<F: Fields + ?Sized>(response: &F) -> bool {
    let media_types = response.value("content-type").unwrap_or_default();
    media_types.split(',').any(|media_type| {
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        STREAMS
            .iter()
            .any(|stream| essence.eq_ignore_ascii_case(stream))
    })
}

const STREAMS: [&str; 2] = ["text/event-stream", "multipart/x-mixed-replace"];

/// Whether the whole body arrived (RFC 9111 §3.3: an incomplete response must be marked as such; this
/// cache does not keep it).
///
/// A body that was decoded on the way has another length than the one announced.
pub fn body_is_whole<F: Fields + ?Sized>(response: &F, coding: BodyCoding, received: u64) -> bool {
    let decoded = coding == BodyCoding::Decoded && is_coded(response);
    match response.value("content-length") {
        Some(announced) if !decoded => elements(&announced)
            .all(|length| length.parse().is_ok_and(|length: u64| length == received)),
        _ => true,
    }
}

/// The statuses whose caching requirements RFC 9110 §15 gives, less those that are never stored.
fn is_understood(status: u16) -> bool {
    matches!(
        status,
        200..=205 | 300..=303 | 307 | 308 | 400..=415 | 417 | 421 | 422 | 426 | 500..=505
    )
}

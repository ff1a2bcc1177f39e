//! Whether a response may be stored (RFC 9111 §3).

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
    /// The request's method is not `GET`.
    Method,
    /// The status is interim, partial, `304`, `416`, a server error, or one that RFC 6585 forbids
    /// to store.
    Status,
    /// `must-understand` (RFC 9111 §5.2.2.3) with a status that this cache does not know.
    NotUnderstood,
    /// A stream without an end: waiting for the whole body would never finish.
    Stream,
    /// `no-store` in the request (§5.2.1.5).
    RequestNoStore,
    /// `no-store` in the response (§5.2.2.5).
    NoStore,
    /// `private` (§5.2.2.7).
    Private,
    /// The request has `Authorization`, and nothing in the response allows it to be stored (§3.5).
    Authorization,
    /// It has `Set-Cookie`, so it is for one client, whatever else it says.
    SetCookie,
    /// `Vary: *` (§4.1).
    VaryAny,
    /// A field of the response, or a request field that it varies by, contains octets that are not
    /// UTF-8. The cache does not know these octets, so it could neither repeat nor match the field
    /// exactly.
    Octets,
    /// `no-transform` (§5.2.2.6) with a content coding: the platform undoes some codings.
    NoTransform,
    /// Neither the response nor the route gives it a lifetime.
    NoFreshness,
    /// It could never be used: it is stale on arrival and cannot be validated.
    NothingToReuse,
}

impl WhyNot {
    /// The reason as a token, for the `detail` of `Cache-Status` and for metrics.
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
/// The first reason why the response must not be stored.
pub fn may_store<F: Fields + ?Sized>(
    exchange: &Exchange<'_, F>,
    rules: &CacheRules,
) -> Result<(), WhyNot> {
    // "the request method is understood by the cache"
    if *exchange.method != Method::GET {
        return Err(WhyNot::Method);
    }
    // "the response status code is final"; "if the response status code is 206 or 304 [...] the
    // cache understands the response status code". For safety, server errors are not stored unless
    // the route asks for it. Nor is `416`, because it answers a `Range`, which is not part of the
    // key. RFC 6585 §3 to §6: responses with 428, 429, 431 and 511 "MUST NOT be stored by a cache",
    // because they are about the client that asks.
    let status = exchange.status.as_u16();
    let unasked = status >= 500 && !rules.server_errors && !rules.is_negative(status);
    let never = matches!(status, 206 | 304 | 416 | 428 | 429 | 431 | 511);
    if !(200..=599).contains(&status) || unasked || never {
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

/// The rules that also apply to a stored response that is being updated.
pub(super) fn allowed_by_head<F: Fields + ?Sized>(
    exchange: &Exchange<'_, F>,
    rules: &CacheRules,
) -> Result<(), WhyNot> {
    let (response, status) = (exchange.response, exchange.status.as_u16());
    let directives = ResponseDirectives::of(response);
    // §5.2.2.3: a cache that understands the status ignores the `no-store` beside
    // `must-understand`.
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
    // §7.3 leaves it to the origin to forbid storing; too many origins do not.
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

/// Whether a response says of itself that it is not for every client: whatever it says, another
/// request may get another one. It may still be one that must not be stored for other reasons.
pub fn is_for_some<F: Fields + ?Sized>(exchange: &Exchange<'_, F>, rules: &CacheRules) -> bool {
    let response = exchange.response;
    let directives = ResponseDirectives::of(response);
    let own = matches!(exchange.status.as_u16(), 428 | 429 | 431 | 511);
    let varies = match Vary::of(response) {
        Vary::By(names) => names.iter().any(|name| name != "accept-encoding"),
        Vary::Any => true,
    };
    own || varies
        || directives.private.is_everything()
        || response.has("set-cookie") && !rules.set_cookie
}

/// "the response contains at least one of [...]", and it can be used at least once more.
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
    // Nothing says that the response to a request with a cookie is the same for every client.
    if freshness.lifetime.source == LifetimeSource::Heuristic
        && exchange.request.has("cookie")
        && !ResponseDirectives::of(response).public
    {
        return Err(WhyNot::NoFreshness);
    }
    // Without a lifetime only a response that is cacheable by default may be stored, and only to be
    // validated. The stale windows extend a lifetime; they do not replace one.
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

/// Whether the media type is that of a stream, whose content continues until one end closes it:
/// server-sent events (HTML Living Standard, "Server-sent events"), or parts of which each replaces
/// the one before.
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

/// Whether the whole body arrived. RFC 9111 §3.3 requires an incomplete response to be marked as
/// such; this cache does not store it.
///
/// The length of a body that was decoded on the way differs from the announced one, so it is not
/// compared.
pub fn body_is_whole<F: Fields + ?Sized>(response: &F, coding: BodyCoding, received: u64) -> bool {
    let decoded = coding == BodyCoding::Decoded && is_coded(response);
    match response.value("content-length") {
        Some(announced) if !decoded => elements(&announced)
            .all(|length| length.parse().is_ok_and(|length: u64| length == received)),
        _ => true,
    }
}

/// Whether RFC 9110 §15 gives the caching requirements of this status and this cache may store it.
fn is_understood(status: u16) -> bool {
    matches!(
        status,
        200..=205 | 300..=303 | 307 | 308 | 400..=415 | 417 | 421 | 422 | 426 | 500..=505
    )
}

//! Whether the cache may answer a request, and how it may use a stored response (RFC 9111 §4).

use std::time::Duration;

use http::Method;

use super::control::{MaxStale, RequestDirectives};
use super::entry::Meta;
use super::fields::{Fields, elements};
use super::freshness::{Freshness, StaleForbidden};
use super::vary;
use crate::clock::{Timestamp, millis};

/// Why a request bypasses the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bypass {
    /// The method is neither `GET` nor `HEAD`.
    Method,
    /// `no-store` (RFC 9111 §5.2.1.5).
    NoStore,
    /// `If-Match` or `If-Unmodified-Since`, which a cache must not evaluate (RFC 9111 §4.3.2).
    Precondition,
    /// The request has content, which is not part of the key.
    Content,
    /// `Connection` names header fields. They are removed before the origin sees the request, so
    /// its response would not match the fields that the key and `Vary` see.
    Connection,
    /// The request asks for another protocol.
    Upgrade,
    /// A header that the route keys by contains octets that are not UTF-8: another request could
    /// look the same.
    Octets,
    /// The query has a parameter that the route does not declare, and the route passes such
    /// requests on.
    UnknownQuery,
}

/// The directives of a request, if the cache may answer it (RFC 9111 §3, §4).
///
/// # Errors
///
/// Why the cache must not answer. The request then goes to the origin unchanged, and the response
/// is not stored.
pub fn may_look_up<F: Fields + ?Sized>(
    method: &Method,
    request: &F,
) -> Result<RequestDirectives, Bypass> {
    let content = || {
        request.has("transfer-encoding")
            || request
                .value("content-length")
                .is_some_and(|length| length.trim() != "0")
    };
    if *method != Method::GET && *method != Method::HEAD {
        return Err(Bypass::Method);
    }
    let directives = RequestDirectives::of(request);
    if directives.no_store {
        Err(Bypass::NoStore)
    } else if request.has("if-match") || request.has("if-unmodified-since") {
        Err(Bypass::Precondition)
    } else if content() {
        Err(Bypass::Content)
    } else if nominates_fields(request) {
        Err(Bypass::Connection)
    } else {
        Ok(directives)
    }
}

/// Whether `Connection` names fields (RFC 9110 §7.6.1), besides options about the connection
/// itself.
fn nominates_fields<F: Fields + ?Sized>(request: &F) -> bool {
    let list = request.value("connection").unwrap_or_default();
    let harmless = ["close", "keep-alive", "upgrade", "te"];
    elements(&list).any(|name| {
        !harmless
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known))
    })
}

/// How a stored response may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Serve it.
    Fresh {
        /// Its age.
        age: Duration,
        /// How long it remains fresh.
        ttl_left: Duration,
    },
    /// Serve it now, and refresh it in the background.
    StaleWhileRevalidate {
        /// Its age.
        age: Duration,
        /// How long it has been stale.
        stale_for: Duration,
    },
    /// Ask the origin first.
    Stale {
        /// Its age.
        age: Duration,
        /// How long it has been stale; zero if it is fresh, but the request asks for more.
        stale_for: Duration,
        /// Why it needs to be validated.
        why: WhyRevalidate,
        /// How it may be used if the origin fails.
        on_error: OnError,
    },
    /// It belongs to a request with other selecting headers (RFC 9111 §4.1).
    VaryMismatch,
    /// Treat it as absent.
    Unusable(Unusable),
}

/// Why a stored response needs to be validated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyRevalidate {
    /// Its lifetime is over.
    Expired,
    /// It is fresh, but the request asks for more (RFC 9111 §5.2.1).
    Request,
}

/// How a stored response may be used if the origin fails (RFC 5861 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// It may be served before this instant.
    ServeUntil(Timestamp),
    /// It is past the hard ceiling.
    TooOld,
    /// The response forbids it.
    Forbidden(StaleForbidden),
}

/// Why a stored response cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusable {
    /// Its time of arrival is later than now by more than clocks may differ.
    FromTheFuture,
}

/// How a stored response may be used for this request at `now` (RFC 9111 §4, §5.2.1).
///
/// From [`Freshness::ceiling`] on nothing is served without validation, whatever the request
/// accepts. A request with [`RequestDirectives::only_if_cached`] is answered with `504` if the
/// result does not allow the stored response to be served.
pub fn evaluate<F: Fields + ?Sized>(
    meta: &Meta,
    freshness: &Freshness,
    request: &F,
    asked: &RequestDirectives,
    now: Timestamp,
) -> Use {
    if freshness.response_time > now + CLOCK_TOLERANCE {
        return Use::Unusable(Unusable::FromTheFuture);
    }
    if !vary::matches(&meta.vary, request) {
        return Use::VaryMismatch;
    }
    let age = freshness.age(now);
    let stale_for = freshness.stale_for(now);
    let revalidate = |why| Use::Stale {
        age,
        stale_for,
        why,
        on_error: on_error(freshness, now),
    };
    if freshness.is_fresh(now) {
        let ttl_left = freshness.lifetime.length.saturating_sub(age);
        return match asks_for_more(asked, age, ttl_left) {
            true => revalidate(WhyRevalidate::Request),
            false => Use::Fresh { age, ttl_left },
        };
    }
    // §5.2.1.1: `max-age` also means that "the client is not willing to accept a stale response",
    // unless there is a `max-stale`. `min-fresh` and `no-cache` mean this, too.
    let accepts = match asked.max_stale {
        MaxStale::Anything => true,
        MaxStale::UpTo(limit) => stale_for <= limit,
        MaxStale::Nothing => false,
    } && !asks_for_more(asked, age, Duration::ZERO);
    let silent = asked.max_age.is_none() && asked.min_fresh.is_none() && !asked.no_cache;
    if (silent && now < freshness.usable_until) || (accepts && now < freshness.ceiling) {
        return Use::StaleWhileRevalidate { age, stale_for };
    }
    revalidate(WhyRevalidate::Expired)
}

/// Whether a request wants a response fresher than this one (RFC 9111 §5.2.1.1, §5.2.1.3,
/// §5.2.1.4).
pub fn asks_for_more(asked: &RequestDirectives, age: Duration, ttl_left: Duration) -> bool {
    asked.no_cache
        || asked
            .max_age
            .is_some_and(|limit| limit.is_zero() || age > limit)
        || asked.min_fresh.is_some_and(|least| ttl_left < least)
}

fn on_error(freshness: &Freshness, now: Timestamp) -> OnError {
    match freshness.stale_forbidden {
        _ if now < freshness.ceiling => OnError::ServeUntil(freshness.ceiling),
        Some(directive) => OnError::Forbidden(directive),
        None => OnError::TooOld,
    }
}

/// Whether the status is an error of the origin that allows a stored response to be served instead
/// (RFC 5861 §4).
pub fn is_origin_error(status: u16) -> bool {
    matches!(status, 500 | 502 | 503 | 504)
}

/// Whether a response invalidates the responses stored for its URI (RFC 9111 §4.4): "a non-error
/// status code is received in response to an unsafe request method".
pub fn invalidates(method: &Method, status: u16) -> bool {
    !method.is_safe() && (200..400).contains(&status)
}

impl Use {
    /// The remaining freshness in milliseconds, negative if it is stale, for `Cache-Status`.
    pub fn ttl_ms(&self) -> Option<i64> {
        let signed = |duration| i64::try_from(millis(duration)).unwrap_or(i64::MAX);
        match *self {
            Self::Fresh { ttl_left, .. } => Some(signed(ttl_left)),
            Self::StaleWhileRevalidate { stale_for, .. } | Self::Stale { stale_for, .. } => {
                Some(-signed(stale_for))
            }
            Self::VaryMismatch | Self::Unusable(_) => None,
        }
    }
}

/// The largest difference between the clocks of two gates.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(10);

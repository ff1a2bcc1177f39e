//! Whether the cache may answer a request, and what may be done with what it holds (RFC 9111 §4).

use std::time::Duration;

use http::Method;

use super::control::{MaxStale, RequestDirectives};
use super::entry::Meta;
use super::fields::{Fields, elements};
use super::freshness::{Freshness, StaleForbidden};
use super::vary;
use crate::clock::{Timestamp, millis};

/// Why a request goes past the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bypass {
    /// Neither `GET` nor `HEAD`.
    Method,
    /// `no-store` (RFC 9111 §5.2.1.5).
    NoStore,
    /// `If-Match` or `If-Unmodified-Since`: RFC 9111 §4.3.2: not for a cache to evaluate.
    Precondition,
    /// A `GET` with content, which the key does not cover.
    Content,
    /// `Connection` names header fields: they are taken off on the way to the origin, so its answer
    /// would not be the one to what the key and `Vary` see.
    Connection,
    /// Another protocol is asked for.
    Upgrade,
    /// A header that the route keys by holds octets that are no UTF-8: another request could look
    /// the same.
    Octets,
}

/// The directives of a request that the cache may answer (RFC 9111 §3, §4).
///
/// # Errors
///
/// Why it may not: then the request goes to the origin as it is, and the response is not stored.
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

/// Whether `Connection` names fields (RFC 9110 §7.6.1), and not only what becomes of the connection.
fn nominates_fields<F: Fields + ?Sized>(request: &F) -> bool {
    let list = request.value("connection").unwrap_or_default();
    let harmless = ["close", "keep-alive", "upgrade", "te"];
    elements(&list).any(|name| {
        !harmless
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known))
    })
}

/// What may be done with a stored response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Serve it.
    Fresh {
        /// Its age.
        age: Duration,
        /// For how long it remains fresh.
        ttl_left: Duration,
    },
    /// Serve it now, and refresh it behind the client's back.
    StaleWhileRevalidate {
        /// Its age.
        age: Duration,
        /// For how long it has been stale.
        stale_for: Duration,
    },
    /// Ask the origin first.
    Stale {
        /// Its age.
        age: Duration,
        /// For how long it has been stale; zero if only the request finds it so.
        stale_for: Duration,
        /// What makes it so.
        why: WhyRevalidate,
        /// What may be done with it when the origin fails.
        on_error: OnError,
    },
    /// It answers another request (RFC 9111 §4.1).
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

/// What may be done with a stored response when the origin fails (RFC 5861 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// It may be served before this instant.
    ServeUntil(Timestamp),
    /// It is past the hard ceiling.
    TooOld,
    /// The response forbids it.
    Forbidden(StaleForbidden),
}

/// Why a stored response is no good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusable {
    /// It claims to have arrived later than now, by more than clocks differ.
    FromTheFuture,
}

/// What may be done with a stored response for this request, at this instant (RFC 9111 §4, §5.2.1).
///
/// Nothing is served without validation at or after [`Freshness::ceiling`], whatever the request
/// accepts. A request with [`RequestDirectives::only_if_cached`] that this does not let be served is
/// answered with `504`.
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
    // unless it says `max-stale`; `min-fresh` and `no-cache` mean it all the more.
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

/// Whether a request wants a response fresher than this one (RFC 9111 §5.2.1.1, §5.2.1.3, §5.2.1.4).
fn asks_for_more(asked: &RequestDirectives, age: Duration, ttl_left: Duration) -> bool {
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

/// Whether a status is a failure in place of which a stored response may be served (RFC 5861 §4).
pub fn is_origin_error(status: u16) -> bool {
    matches!(status, 500 | 502 | 503 | 504)
}

/// Whether a response makes what is stored for its URI invalid (RFC 9111 §4.4): "a non-error status
/// code is received in response to an unsafe request method".
pub fn invalidates(method: &Method, status: u16) -> bool {
    !method.is_safe() && (200..400).contains(&status)
}

impl Use {
    /// What remains of its freshness in milliseconds, negative when stale, for `Cache-Status`.
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

/// By how much the clocks of two gates may differ.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(10);

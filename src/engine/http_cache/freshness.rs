//! How long a response is fresh, how old it is, and how long it may be used when stale
//! (RFC 9111 §4.2, RFC 5861).

use std::time::Duration;

use super::control::{Delta, MAX_DELTA_SECONDS, ResponseDirectives, seconds};
use super::fields::{Fields, date, elements};
use super::rules::{CacheRules, RouteTtl};
use super::search::NoVarySearch;
use crate::clock::Timestamp;

/// The instants that decide how one stored response may be used, computed once and read often.
///
/// It depends on the rules, so it is not stored: a changed configuration applies from the next read
/// on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    /// How long it is fresh, counted from age zero.
    pub lifetime: Lifetime,
    /// Its age when it arrived (§4.2.3, `corrected_initial_age`).
    pub initial_age: Duration,
    /// When it arrived.
    pub response_time: Timestamp,
    /// It is fresh before this instant. The epoch if it is never fresh.
    pub fresh_until: Timestamp,
    /// Before this instant it may be served while it is being refreshed (RFC 5861 §3).
    pub usable_until: Timestamp,
    /// The hard ceiling: from this instant on it is never served without validation.
    pub ceiling: Timestamp,
    /// From this instant on it is not worth keeping. This is later than the ceiling if a validator
    /// can still save the transfer of the body.
    pub keep_until: Timestamp,
    /// The directive that forbids serving it stale, if any.
    pub stale_forbidden: Option<StaleForbidden>,
}

/// A lifetime and its source (RFC 9111 §4.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// The lifetime; zero if the response is never fresh.
    pub length: Duration,
    /// The source.
    pub source: LifetimeSource,
}

/// The source of a lifetime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LifetimeSource {
    /// The route's `ttl`, which replaces what the response says.
    Override,
    /// `s-maxage`.
    SharedMaxAge,
    /// `max-age`.
    MaxAge,
    /// `Expires`.
    Expires,
    /// The route's `ttl`, because the response says nothing.
    RouteTtl,
    /// A heuristic based on `Last-Modified` (§4.2.2).
    Heuristic,
    /// None: neither the response nor the route states a lifetime.
    Nothing,
}

/// The directive that forbids serving a response stale (RFC 9111 §4.2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StaleForbidden {
    /// `no-cache` (§5.2.2.4).
    NoCache,
    /// `must-revalidate` (§5.2.2.2).
    MustRevalidate,
    /// `proxy-revalidate` (§5.2.2.8).
    ProxyRevalidate,
    /// `s-maxage` (§5.2.2.10) of a response that does not itself allow stale use.
    SharedMaxAge,
}

impl LifetimeSource {
    /// Whether the response states the lifetime itself.
    pub const fn is_of_the_response(self) -> bool {
        matches!(self, Self::SharedMaxAge | Self::MaxAge | Self::Expires)
    }
}

impl Freshness {
    /// The freshness of a response under the rules of a route.
    ///
    /// `age` is the value of its `Age` field on arrival ([`age_value`]).
    pub(super) fn of<F: Fields + ?Sized>(
        status: u16,
        headers: &F,
        age: Duration,
        request_time: Timestamp,
        response_time: Timestamp,
        rules: &CacheRules,
    ) -> Self {
        let directives = ResponseDirectives::of(headers);
        let delay = response_time.since(request_time);
        let ttl =
            route_ttl(status, headers, rules).map(|ttl| ttl.lengths(request_time - age, delay));
        let overriding = rules.override_origin && ttl.is_some();
        let (prompt, late) = (ttl.map(|(prompt, _)| prompt), ttl.map(|(_, late)| late));
        let declared = lifetime(status, headers, &directives, response_time, prompt, rules);
        let stale_forbidden = match overriding {
            true => None,
            false => stale_forbidden(&directives),
        };
        let no_cache = stale_forbidden == Some(StaleForbidden::NoCache);
        let lifetime = match no_cache {
            true => Lifetime {
                length: Duration::ZERO,
                ..declared
            },
            false => declared,
        };
        let initial_age = initial_age(headers, age, request_time, response_time, &lifetime);
        // The instant at which the response has this age. For an age of zero it is the epoch, so
        // that a reader whose clock is behind does not take the response for fresh.
        let at = |age: Duration| match age.checked_sub(initial_age) {
            _ if age.is_zero() => Timestamp::default(),
            Some(left) => response_time + left,
            None => response_time - initial_age.saturating_sub(age),
        };
        let (revalidate, error) = match stale_forbidden {
            Some(_) => (Duration::ZERO, Duration::ZERO),
            None => stale_windows(status, &directives, rules),
        };
        // The stale windows and the ceiling count from the request, even if the lifetime counts
        // from the arrival.
        let base = lifetime.length;
        let lifetime = match lifetime.source {
            LifetimeSource::Override | LifetimeSource::RouteTtl if !base.is_zero() => Lifetime {
                length: late.unwrap_or(base),
                ..lifetime
            },
            _ => lifetime,
        };
        let fresh_until = at(lifetime.length);
        let ceiling = at(base.saturating_add(revalidate.max(error))).max(fresh_until);
        let validator = headers.has("etag") || headers.has("last-modified");
        Self {
            lifetime,
            initial_age,
            response_time,
            fresh_until,
            usable_until: at(base.saturating_add(revalidate)).max(fresh_until),
            ceiling,
            keep_until: match validator {
                true => ceiling.max(at(declared.length)).max(response_time) + VALIDATOR_GRACE,
                false => ceiling,
            },
            stale_forbidden,
        }
    }

    /// The same, but fresh until this instant, and of no use from then on.
    #[must_use]
    pub fn ending(mut self, until: Timestamp) -> Self {
        self.lifetime.length = self.age(until);
        self.fresh_until = until;
        self.usable_until = until;
        self.ceiling = until;
        self.keep_until = until;
        self
    }

    /// Its age (RFC 9111 §4.2.3, `current_age`).
    pub fn age(&self, now: Timestamp) -> Duration {
        self.initial_age
            .saturating_add(now.since(self.response_time))
    }

    /// Its age as in the `Age` field (§5.1): whole seconds, rounded down.
    pub fn age_seconds(&self, now: Timestamp) -> u64 {
        self.age(now).as_secs()
    }

    /// §4.2: `response_is_fresh = (freshness_lifetime > current_age)`.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        now < self.fresh_until
    }

    /// How long it remains fresh, in milliseconds; if it is stale, minus the time since it became
    /// stale.
    pub fn ttl_left(&self, now: Timestamp) -> i64 {
        let length = signed(self.lifetime.length);
        length.saturating_sub(signed(self.age(now)))
    }

    /// How long it has been stale; zero if it is fresh.
    pub fn stale_for(&self, now: Timestamp) -> Duration {
        self.age(now).saturating_sub(self.lifetime.length)
    }
}

/// The lifetime that the route gives a response.
///
/// A response with `No-Vary-Search` may answer requests for another interval or another end, so the
/// lifetime of the requested candles does not apply to it.
fn route_ttl<F: Fields + ?Sized>(status: u16, headers: &F, rules: &CacheRules) -> Option<RouteTtl> {
    rules.ttl_for(status).filter(|ttl| match ttl {
        RouteTtl::Fixed(_) => true,
        RouteTtl::Candles(_) => NoVarySearch::of(headers).is_none(),
    })
}

/// RFC 9111 §4.2.1, for a shared cache: the first source of a lifetime that is present.
fn lifetime<F: Fields + ?Sized>(
    status: u16,
    headers: &F,
    directives: &ResponseDirectives,
    response_time: Timestamp,
    ttl: Option<Duration>,
    rules: &CacheRules,
) -> Lifetime {
    let (length, source) = match (ttl, directives) {
        (Some(ttl), _) if rules.override_origin => (ttl, LifetimeSource::Override),
        (_, ResponseDirectives { s_maxage, .. }) if *s_maxage != Delta::Absent => {
            (or_stale(*s_maxage), LifetimeSource::SharedMaxAge)
        }
        (_, ResponseDirectives { max_age, .. }) if *max_age != Delta::Absent => {
            (or_stale(*max_age), LifetimeSource::MaxAge)
        }
        _ if !directives.targeted && headers.has("expires") => {
            (expires(headers, response_time), LifetimeSource::Expires)
        }
        (Some(ttl), _) => (ttl, LifetimeSource::RouteTtl),
        (None, _) => match heuristic(status, headers, directives, response_time) {
            Some(length) if rules.heuristic => (length, LifetimeSource::Heuristic),
            _ => (Duration::ZERO, LifetimeSource::Nothing),
        },
    };
    Lifetime { length, source }
}

/// "Caches are encouraged to consider responses that have invalid freshness information [...] to be
/// stale."
fn or_stale(delta: Delta) -> Duration {
    delta.valid().unwrap_or(Duration::ZERO)
}

/// `Expires` minus `Date`, or minus the time of arrival if there is no `Date`.
///
/// §5.3: "A cache recipient MUST interpret invalid date formats, especially the value "0", as
/// representing a time in the past".
fn expires<F: Fields + ?Sized>(headers: &F, response_time: Timestamp) -> Duration {
    let Some(expires) = headers.value("expires").and_then(|text| date(&text)) else {
        return Duration::ZERO;
    };
    expires.since(date_value(headers).unwrap_or(response_time))
}

/// RFC 9111 §4.2.2: "If the response has a Last-Modified header field [...], caches are encouraged
/// to use a heuristic expiration value that is no more than some fraction of the interval since
/// that time. A typical setting of this fraction might be 10%." This needs a status that allows it,
/// or `public`.
fn heuristic<F: Fields + ?Sized>(
    status: u16,
    headers: &F,
    directives: &ResponseDirectives,
    response_time: Timestamp,
) -> Option<Duration> {
    if !(directives.public || heuristically_cacheable(status)) {
        return None;
    }
    let modified = date(&headers.value("last-modified")?)?;
    let made = date_value(headers).unwrap_or(response_time);
    let length = (made.since(modified) / 10).min(LONGEST_HEURISTIC);
    (!length.is_zero()).then_some(length)
}

/// Whether RFC 9110 §15.1 calls the status heuristically cacheable; `206` is left out.
pub(super) const fn heuristically_cacheable(status: u16) -> bool {
    matches!(
        status,
        200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501
    )
}

/// RFC 9111 §4.2.3, `corrected_initial_age`.
///
/// `Date` has whole seconds, so the response was made at some instant within that second. The
/// latest one is assumed; otherwise a lifetime below a second would never be possible. If the
/// lifetime is the route's own, it counts from what the gate observes itself, so that an origin
/// whose clock is a little behind does not make every response stale.
fn initial_age<F: Fields + ?Sized>(
    headers: &F,
    age: Duration,
    request_time: Timestamp,
    response_time: Timestamp,
    lifetime: &Lifetime,
) -> Duration {
    let apparent = match (lifetime.source, date_value(headers)) {
        (LifetimeSource::Override | LifetimeSource::RouteTtl, _) | (_, None) => Duration::ZERO,
        (_, Some(date)) => response_time.since(date + REST_OF_A_SECOND),
    };
    // `corrected_age_value = age_value + response_delay`.
    let corrected = age.saturating_add(response_time.since(request_time));
    apparent.max(corrected)
}

fn date_value<F: Fields + ?Sized>(headers: &F) -> Option<Timestamp> {
    date(&headers.value("date")?)
}

/// The value of `Age` (RFC 9111 §5.1): "a cache encountering a message with a list-based Age field
/// value SHOULD use the first member of the field value, discarding subsequent ones. If the field
/// value [...] is invalid [...], a cache SHOULD ignore the field."
///
/// If `strict` is true and the value is a list or invalid, the response has the largest possible
/// age.
pub(super) fn age_value<F: Fields + ?Sized>(headers: &F, strict: bool) -> Duration {
    let Some(text) = headers.value("age") else {
        return Duration::ZERO;
    };
    let mut members = elements(&text);
    let first = members.next().and_then(seconds);
    match first {
        Some(age) if !strict || members.next().is_none() => age,
        _ if strict => Duration::from_secs(MAX_DELTA_SECONDS),
        _ => Duration::ZERO,
    }
}

/// RFC 9111 §4.2.4: "A cache MUST NOT generate a stale response if it is prohibited by an explicit
/// in-protocol directive".
///
/// `s-maxage` implies `proxy-revalidate`. This does not apply to an origin that also sends
/// `stale-while-revalidate` or `stale-if-error`, because it has said that it allows stale use.
fn stale_forbidden(directives: &ResponseDirectives) -> Option<StaleForbidden> {
    let granted = directives.stale_while_revalidate.valid().is_some()
        || directives.stale_if_error.valid().is_some();
    if directives.no_cache.is_everything() {
        Some(StaleForbidden::NoCache)
    } else if directives.must_revalidate {
        Some(StaleForbidden::MustRevalidate)
    } else if directives.proxy_revalidate {
        Some(StaleForbidden::ProxyRevalidate)
    } else if directives.s_maxage != Delta::Absent && !granted {
        Some(StaleForbidden::SharedMaxAge)
    } else {
        None
    }
}

/// How long after its lifetime a response may be served while it is refreshed, and how long if the
/// origin fails (RFC 5861).
///
/// The route's settings, if present, take precedence over the response. The route's
/// `stale_if_error` limits both.
fn stale_windows(
    status: u16,
    directives: &ResponseDirectives,
    rules: &CacheRules,
) -> (Duration, Duration) {
    let of_route = |window: Option<Duration>| window.filter(|_| rules.extends(status));
    let revalidate = of_route(rules.stale_while_revalidate)
        .or(directives.stale_while_revalidate.valid())
        .unwrap_or(Duration::ZERO);
    match of_route(rules.stale_if_error) {
        Some(ceiling) => (revalidate.min(ceiling), ceiling),
        None => {
            let error = directives.stale_if_error.valid().unwrap_or(Duration::ZERO);
            (revalidate, error.max(revalidate))
        }
    }
}

fn signed(duration: Duration) -> i64 {
    i64::try_from(crate::clock::millis(duration)).unwrap_or(i64::MAX)
}

/// The longest heuristic lifetime.
const LONGEST_HEURISTIC: Duration = Duration::from_secs(24 * 3_600);

const REST_OF_A_SECOND: Duration = Duration::from_millis(999);

/// How long a response with a validator is kept, to be revalidated, after it can no longer be
/// served.
const VALIDATOR_GRACE: Duration = Duration::from_secs(60);

//! What is kept of a response beside its body.

use std::time::Duration;

use super::control::ResponseDirectives;
use super::exchange::{BodyCoding, Exchange, is_coded};
use super::fields::{Fields, elements, http_date, lines, tokens};
use super::freshness::{Freshness, age_value};
use super::key::CacheKey;
use super::rules::CacheRules;
use super::vary::{self, Vary};
use crate::clock::Timestamp;

/// The head of a stored response, and what the rules need to know about how it came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// The text of the key that it was stored under.
    pub key: String,
    /// Its status.
    pub status: u16,
    /// Its field lines, in order: names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// When the request was sent.
    pub request_time: Timestamp,
    /// When the response's head arrived.
    pub response_time: Timestamp,
    /// What its `Age` said on arrival.
    pub age: Duration,
    /// The request headers that it was chosen by: names, and digests of their values.
    pub vary: Vec<(String, Option<String>)>,
    /// The body was stored decoded, so that its entity-tag is weak.
    pub decoded: bool,
    /// Which [`Family`](super::Family) it leads, if it does; see there.
    pub generation: u64,
    /// Which state of the content it shows, in decimal digits, where the route says how to tell: an older
    /// one never takes the place of a newer one.
    pub version: Option<String>,
    /// The values of its [epoch keys](super::Tags::epoch_keys) when it was asked for; `None` if the store could not be
    /// asked for them.
    pub epochs: Option<String>,
}

impl Meta {
    /// What is kept of a response that [`may_store`](super::may_store) lets be stored.
    ///
    /// Left out are the fields of one hop or one exchange (RFC 9111 §3.1) and those that `no-cache`
    /// and `private` name (§5.2.2.4, §5.2.2.7). A missing `Date` is added (RFC 9110 §6.6.1). Where
    /// the body was decoded, `Content-Encoding` goes, a strong `ETag` becomes weak, and the response
    /// no longer varies by `Accept-Encoding`: every client takes it as it is.
    pub fn from_response<F: Fields + ?Sized>(
        exchange: &Exchange<'_, F>,
        key: &CacheKey,
        coding: BodyCoding,
        rules: &CacheRules,
    ) -> Self {
        let response = exchange.response;
        let decoded = coding == BodyCoding::Decoded && is_coded(response);
        let mut meta = Self {
            key: key.text().to_owned(),
            status: exchange.status.as_u16(),
            headers: kept(response),
            request_time: exchange.request_time,
            response_time: exchange.response_time,
            age: age_value(response, rules.strict_age),
            vary: Vec::new(),
            decoded,
            generation: 0,
            version: None,
            epochs: None,
        };
        if decoded {
            meta.forget_coding();
        }
        meta.set_date();
        meta.select_by(exchange.request);
        meta
    }

    /// Its life under the rules of its route.
    pub fn freshness(&self, rules: &CacheRules) -> Freshness {
        Freshness::of(
            self.status,
            self.headers.as_slice(),
            self.age,
            self.request_time,
            self.response_time,
            rules,
        )
    }

    /// Whether it is to be preferred to another response to the same request.
    ///
    /// The later one is, unless both say which state of the content they show: then that counts, but
    /// only between responses that no purge is known to have come between.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        let arrival = self.response_time.cmp(&other.response_time);
        let unknown = self.epochs.is_none() || other.epochs.is_none();
        let order = match (&self.version, &other.version) {
            (Some(ours), Some(theirs)) if unknown || self.epochs == other.epochs => ours
                .len()
                .cmp(&theirs.len())
                .then(ours.cmp(theirs))
                .then(arrival),
            _ => arrival,
        };
        order.is_gt()
    }

    /// The field `name` (in lower case), its lines combined.
    pub fn field(&self, name: &str) -> Option<String> {
        self.headers.as_slice().value(name).map(Into::into)
    }

    /// Roughly how many bytes it takes in memory.
    pub fn size(&self) -> usize {
        let headers = self.headers.iter().map(|(n, v)| n.len() + v.len());
        let vary = self
            .vary
            .iter()
            .map(|(n, v)| n.len() + v.as_ref().map_or(0, String::len));
        size_of::<Self>()
            + self.key.len()
            + self.epochs.as_ref().map_or(0, String::len)
            + self.version.as_ref().map_or(0, String::len)
            + headers.map(|n| n + 2 * size_of::<String>()).sum::<usize>()
            + vary.map(|n| n + 2 * size_of::<String>()).sum::<usize>()
    }

    /// Replaces a field by all the lines that `from` has of it.
    pub(super) fn replace(&mut self, name: &str, from: &[(String, String)]) {
        self.headers.retain(|(known, _)| known != name);
        for value in lines(from, name) {
            self.headers.push((name.to_owned(), value.to_owned()));
        }
    }

    /// Brings what follows from the fields in line with them.
    pub(super) fn settle<F: Fields + ?Sized>(&mut self, request: &F) {
        if self.decoded {
            self.forget_coding();
        }
        self.select_by(request);
    }

    fn set(&mut self, name: &str, value: String) {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value));
    }

    fn forget_coding(&mut self) {
        let of_coding = |name: &str| name == "content-encoding" || DIGESTS.contains(&name);
        self.headers.retain(|(name, _)| !of_coding(name));
        if let Some(tag) = self.field("etag")
            && tag.starts_with('"')
        {
            self.set("etag", format!("W/{tag}"));
        }
        if let Some(list) = self.field("vary") {
            let names: Vec<&str> = elements(&list)
                .filter(|name| !name.eq_ignore_ascii_case("accept-encoding"))
                .collect();
            match names.is_empty() {
                true => self.headers.retain(|(name, _)| name != "vary"),
                false => self.set("vary", names.join(", ")),
            }
        }
    }

    fn select_by<F: Fields + ?Sized>(&mut self, request: &F) {
        let names = match Vary::of(self.headers.as_slice()) {
            Vary::By(names) => names,
            Vary::Any => Vec::new(),
        };
        self.vary = names
            .into_iter()
            // A body without a coding is acceptable to every client (RFC 9110 §12.5.3).
            .filter(|name| name != "accept-encoding" || self.has("content-encoding"))
            .map(|name| {
                let digest = vary::selector(request, &name);
                (name, digest)
            })
            .collect();
    }

    fn has(&self, name: &str) -> bool {
        self.headers.as_slice().has(name)
    }

    /// RFC 9110 §6.6.1: "A recipient with a clock that receives a response message without a Date
    /// header field MUST record the time it was received and append a corresponding Date header
    /// field to the message's header section if it is cached".
    fn set_date(&mut self) {
        if !self.has("date")
            && let Some(date) = http_date(self.response_time)
        {
            self.set("date", date);
        }
    }
}

/// The fields of a response that are kept.
fn kept(response: &[(String, String)]) -> Vec<(String, String)> {
    let directives = ResponseDirectives::of(response);
    let nominated = nominated(response);
    let named = |name: &str| {
        let lists = [
            &nominated,
            directives.no_cache.fields(),
            directives.private.fields(),
        ];
        lists.into_iter().flatten().any(|known| known == name)
    };
    let kept = response.iter();
    kept.filter(|(name, _)| !is_excluded(name) && !named(name))
        .cloned()
        .collect()
}

/// Whether a field is kept out of what is stored (RFC 9111 §3.1), or belongs to one exchange only.
pub(super) fn is_excluded(name: &str) -> bool {
    EXCLUDED.contains(&name) || name.starts_with("x-ratelimit-")
}

/// The fields that `Connection` names (RFC 9110 §7.6.1), in lower case; also where its list is
/// malformed.
pub(super) fn nominated<F: Fields + ?Sized>(message: &F) -> Vec<String> {
    let list = message.value("connection").unwrap_or_default();
    tokens(&list).map(str::to_ascii_lowercase).collect()
}

/// Digests of a response's bytes as they are coded (RFC 9530 §2 and §3; RFC 3230; RFC 1864): with
/// the coding undone they describe other bytes.
pub const DIGESTS: [&str; 4] = ["content-digest", "repr-digest", "digest", "content-md5"];

const EXCLUDED: [&str; 21] = [
    // RFC 9110 §7.6.1: one hop's.
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    // RFC 9111 §3.1: one proxy's.
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    // One client's.
    "ratelimit",
    "ratelimit-limit",
    "ratelimit-policy",
    "ratelimit-remaining",
    "ratelimit-reset",
    "x-edge-cost",
    "x-edge-limiter",
    // Said anew of every answer from the stored response.
    "age",
    "cache-status",
    "content-length",
    "x-data-age",
];

//! The head of a stored response: everything that is stored except its body.

use std::time::Duration;

use super::control::ResponseDirectives;
use super::exchange::{BodyCoding, Exchange, is_coded};
use super::fields::{Fields, elements, http_date, lines, tokens};
use super::freshness::{Freshness, age_value};
use super::key::CacheKey;
use super::rules::CacheRules;
use super::vary::{self, Vary};
use crate::clock::Timestamp;
use crate::engine::limit_fields::tells_limit;

/// The head of a stored response, with the facts about its arrival that the rules need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// The text of the key that the response is stored under.
    pub key: String,
    /// Its status.
    pub status: u16,
    /// Its field lines, in order: names, in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// When the request was sent.
    pub request_time: Timestamp,
    /// When the response's head arrived.
    pub response_time: Timestamp,
    /// The value of its `Age` on arrival.
    pub age: Duration,
    /// The request headers that selected it: their names, and digests of their values.
    pub vary: Vec<(String, Option<String>)>,
    /// Whether the body was stored decoded, so that its entity tag is weak.
    pub decoded: bool,
    /// The generation of the [`Family`](super::Family) that it leads, if it leads one.
    pub generation: u64,
    /// The version of its content, in decimal digits, if the route says where a response contains
    /// it. An older version never replaces a newer one.
    pub version: Option<String>,
    /// The values of its [epoch keys](super::Tags::epoch_keys) when it was requested. `None` if the
    /// store could not be asked for them.
    pub epochs: Option<String>,
}

impl Meta {
    /// The head of a response that [`may_store`](super::may_store) allows to be stored.
    ///
    /// It leaves out the fields of one hop or one exchange (RFC 9111 §3.1) and those that
    /// `no-cache` and `private` name (§5.2.2.4, §5.2.2.7). It adds a missing `Date` (RFC 9110
    /// §6.6.1). If the body was decoded, `Content-Encoding` is removed, a strong `ETag` becomes
    /// weak, and the response no longer varies by `Accept-Encoding`, because every client accepts a
    /// body without a coding.
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

    /// Its freshness under the rules of its route.
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

    /// Whether it takes precedence over another response to the same request.
    ///
    /// The response that arrived later takes precedence. If both have a version, the newer version
    /// takes precedence instead, unless a purge is known to have happened between them.
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

    /// The value of the field `name` (in lower case), with its lines combined.
    pub fn field(&self, name: &str) -> Option<String> {
        self.headers.as_slice().value(name).map(Into::into)
    }

    /// The approximate number of bytes it takes in memory.
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

    /// Replaces all lines of a field by those in `from`.
    pub(super) fn replace(&mut self, name: &str, from: &[(String, String)]) {
        self.headers.retain(|(known, _)| known != name);
        for value in lines(from, name) {
            self.headers.push((name.to_owned(), value.to_owned()));
        }
    }

    /// Updates everything that is derived from the fields.
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
            // Every client accepts a body without a coding (RFC 9110 §12.5.3).
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

/// The fields of a response that are stored.
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

/// Whether a field is not stored (RFC 9111 §3.1) or belongs to one exchange only.
pub(super) fn is_excluded(name: &str) -> bool {
    EXCLUDED.contains(&name) || tells_limit(name)
}

/// The fields that `Connection` names (RFC 9110 §7.6.1), in lower case, even if its list is
/// malformed.
pub(super) fn nominated<F: Fields + ?Sized>(message: &F) -> Vec<String> {
    let list = message.value("connection").unwrap_or_default();
    tokens(&list).map(str::to_ascii_lowercase).collect()
}

/// Digests of a response's bytes in coded form (RFC 9530 §2 and §3; RFC 3230; RFC 1864). Once the
/// coding is undone, they no longer match the body.
pub const DIGESTS: [&str; 4] = ["content-digest", "repr-digest", "digest", "content-md5"];

const EXCLUDED: [&str; 16] = [
    // Fields of one hop (RFC 9110 §7.6.1).
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    // Fields of one proxy (RFC 9111 §3.1).
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    // Fields for one client, beside those that tell limits.
    "x-edge-cost",
    "x-edge-limiter",
    // Fields that are set anew whenever the stored response is served.
    "age",
    "cache-status",
    "content-length",
    "x-data-age",
];

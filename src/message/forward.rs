//! Forwarding: the request that is sent to the origin, and the headers that do not cross the gate.

use std::borrow::Cow;
use std::time::Duration;

use crate::engine::http_cache::{CONDITIONAL, Fields, Target, tokens};
use crate::engine::proxy_names::{Reserved, speaks_for_proxy};

use super::head::{Head, OriginHead, is_upgrade};

/// A request to the origin, described as a change to the client's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// The URL at the origin.
    pub url: String,
    /// The only client headers that are forwarded, by lower-case name; `None`: all are.
    pub keep: Option<Vec<String>>,
    /// Client headers that are removed, whether they are in `keep` or not, by lower-case name.
    pub remove: Vec<String>,
    /// Headers that are set.
    pub set: Vec<(String, String)>,
    /// How long the origin may take to start its answer once it has the whole request. While the
    /// client is still sending, the time starts anew with every piece.
    pub timeout: Duration,
}

/// Why there is no answer from the origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The origin could not be reached, or the connection broke off.
    Failed,
    /// The origin did not answer in time.
    TimedOut,
}

/// Headers that concern one connection only (RFC 9110 §7.6.1), and older ones that are still in
/// use.
pub const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The request headers that reach the origin on a route that declares its query, unless the route
/// names the headers itself. If an answer depends on one of these, either the answer says so or it
/// may not be stored:
///
/// - headers of content negotiation (RFC 9110 §12.5) and `Origin` (Fetch Standard, "CORS protocol")
///   are named in `Vary`;
/// - an answer to a request with credentials is stored only if it allows that (RFC 9111 §3.5);
/// - directives for caches have to be forwarded (RFC 9111 §5.2), and so does `CDN-Loop`, which
///   detects loops (RFC 8586);
/// - headers that identify a request in logs do not change the answer.
///
/// Every other header could change the answer for everybody: cookies, API keys, the name of the
/// browser.
pub const USUAL: [&str; 11] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "authorization",
    "cache-control",
    "cdn-loop",
    "origin",
    "pragma",
    "traceparent",
    "tracestate",
    "x-request-id",
];

/// A client's request as the origin gets it: without the headers that are not forwarded.
#[derive(Debug)]
pub struct AsForwarded<'a, H> {
    head: &'a H,
    names: Option<&'a [String]>,
}

impl<'a, H: Head> AsForwarded<'a, H> {
    /// The request as it is forwarded. `names`: the only headers that reach the origin; `None`: all
    /// do.
    pub const fn new(head: &'a H, names: Option<&'a [String]>) -> Self {
        Self { head, names }
    }

    /// Whether the header reaches the origin. The cache's and the gate's own headers do, but with
    /// other values than the client's.
    fn reaches(&self, name: &str) -> bool {
        let own = || CONDITIONAL.iter().any(|n| n == name) || speaks_for_proxy(name);
        self.names
            .is_none_or(|names| names.iter().any(|n| n == name) || own())
    }
}

impl<H: Head> Fields for AsForwarded<'_, H> {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        self.reaches(name).then(|| self.head.value(name))?
    }

    fn has(&self, name: &str) -> bool {
        self.reaches(name) && self.head.has(name)
    }
}

/// The URL of a path and a query at the origin. An empty query goes without its `?`.
pub fn url(origin: &str, path: &str, query: Option<&str>) -> String {
    match query {
        Some(query) if !query.is_empty() => format!("{origin}{path}?{query}"),
        _ => format!("{origin}{path}"),
    }
}

/// The request to `url` at the origin for a client's request to `target`. Headers that are
/// hop-by-hop or `reserved` are removed from every request, including a protocol upgrade.
pub fn fetch(
    url: String,
    target: &Target<'_>,
    head: &impl Head,
    reserved: Reserved<'_>,
    address: Option<String>,
    timeout: Duration,
) -> Fetch {
    let named = named_in_connection(head.value("connection").as_deref());
    let upgrade = is_upgrade(head);
    let hop_by_hop = |name: &str| {
        // The handshake needs these two: without them the protocol is not switched.
        let handshake = upgrade && matches!(name, "connection" | "upgrade");
        !handshake && (HOP_BY_HOP.contains(&name) || named.iter().any(|n| n == name))
    };
    let mut remove = head.names();
    remove.retain(|name| hop_by_hop(name) || reserved.takes_off(name));
    let mut set = vec![
        ("x-forwarded-proto".to_owned(), target.scheme().to_owned()),
        ("x-forwarded-host".to_owned(), target.host().to_owned()),
    ];
    if let Some(address) = address {
        set.push(("x-forwarded-for".to_owned(), address));
    }
    Fetch {
        url,
        keep: None,
        remove,
        set,
        timeout,
    }
}

/// The headers that a `Connection` header names, which are hop-by-hop too. A malformed list names
/// every token in it, so that a missing comma lets none of them go on.
///
/// ```
/// # use omnitrade_edge::message::forward::named_in_connection;
/// assert_eq!(named_in_connection(Some("close, X-Trace")), ["x-trace"]);
/// assert_eq!(named_in_connection(Some("close X-Trace")), ["x-trace"]);
/// ```
pub fn named_in_connection(connection: Option<&str>) -> Vec<String> {
    tokens(connection.unwrap_or_default())
        .map(str::to_ascii_lowercase)
        .filter(|name| name != "close" && name != "keep-alive")
        .collect()
}

/// Why an answer counts as a failure of the origin, if it does.
///
/// 520 to 527 and 530 are Cloudflare's own statuses for an origin that it could not reach or that
/// broke off; `fetch` resolves with them there. The runtime cannot hand on a status outside all
/// classes (RFC 9110 §15): "a status code that is outside the range of 100..599" is invalid.
/// Interim responses never get here, except 101, with which another protocol begins.
pub const fn unreachable(status: u16) -> Option<Failure> {
    match status {
        522 | 524 => Some(Failure::TimedOut),
        520..=527 | 530 => Some(Failure::Failed),
        101 | 200..=599 => None,
        _ => Some(Failure::Failed),
    }
}

/// The headers of the origin's answer that stay in the gate: hop-by-hop ones and `X-Edge-Cost`.
pub fn for_gate(origin: &impl OriginHead) -> Vec<String> {
    let mut names = named_in_connection(origin.value("connection").as_deref());
    names.extend(HOP_BY_HOP.map(str::to_owned));
    names.push(COST.to_owned());
    names
}

/// The true cost of the request, if the origin tells a number.
pub fn true_cost(origin: &impl OriginHead) -> Option<u64> {
    let cost = origin.value(COST)?.trim().parse::<u64>().ok()?;
    Some(cost.min(LARGEST_COST))
}

/// The header in which the origin tells the true cost of a request. It is for the gate, and clients
/// do not get it.
const COST: &str = "x-edge-cost";

/// The highest true cost that is accepted, in permits.
const LARGEST_COST: u64 = 1_000_000;

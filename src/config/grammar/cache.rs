//! The grammar of a route's cache.

use super::super::shape::Absent::{Is, None};
use super::super::shape::{Shape, field};
use super::text::{DURATION, FORWARD, HEADER, PARAMETER, TAG, VALUE, VERSION};

/// How the responses of a route are cached.
pub const CACHE: Shape = Shape::Table(&[
    field(
        "ttl",
        Shape::Either(&DURATION, &Shape::OneOf(&["candle"])),
        None,
        "How long a response is fresh that does not say so itself. \"candle\": as long as what it says of \
         candles holds, by the query's `interval` (1s to 1M, as Binance names them) and `endTime` (Unix \
         milliseconds): for 30 days if the last candle that is asked for had closed 30 s before, else \
         until the open one closes, in UTC.",
    ),
    field(
        "open_ttl",
        DURATION,
        None,
        "With the ttl \"candle\": the longest that an answer with an open candle is fresh.",
    ),
    field(
        "negative_ttl",
        DURATION,
        None,
        "How long a 400, 404 or 410 is fresh that does not say so itself, at most 10m. It is not served \
         stale unless it says so itself.",
    ),
    field(
        "override_origin",
        Shape::Bool,
        Is("false"),
        "Whether `ttl` and `negative_ttl` replace what the response says.",
    ),
    field(
        "stale_while_revalidate",
        Shape::Duration { or_zero: true },
        None,
        "How long after that it is still served, while it is refreshed in the background.",
    ),
    field(
        "stale_if_error",
        Shape::Duration { or_zero: true },
        None,
        "How long after that it is still served when the origin fails: a hard ceiling.",
    ),
    field(
        "heuristic",
        Shape::Bool,
        None,
        "Whether a response that says nothing of its freshness is fresh for a tenth of the time since \
         its Last-Modified, at most a day (RFC 9111, 4.2.2); else where there is no `ttl`.",
    ),
    field(
        "server_errors",
        Shape::Bool,
        Is("false"),
        "Whether 5xx responses that give themselves a lifetime are stored, as RFC 9111 allows.",
    ),
    field(
        "min_ttl",
        Shape::Duration { or_zero: true },
        Is("\"0s\""),
        "How long an entry must still be good for, fresh or while it is refreshed, to be written to \
         Redis; one with less left stays in the isolate.",
    ),
    field(
        "version",
        VERSION,
        None,
        "Where a response says how new it is: a whole number in its JSON, by a dotted path \
         (json:data.lastUpdateId), or in a header (header:x-sequence). A newer response is never \
         replaced by an older one; else the one that came later counts.",
    ),
    field(
        "set_cookie",
        Shape::Bool,
        Is("false"),
        "Whether responses with Set-Cookie are stored, as RFC 9111 allows: all clients then get the \
         same cookie.",
    ),
    field(
        "strict_age",
        Shape::Bool,
        Is("false"),
        "Whether an Age that is malformed or there twice makes a response stale; else the first one \
         counts, and a malformed one does not (RFC 9111, 5.1).",
    ),
    field(
        "query",
        Shape::List(&PARAMETER),
        None,
        "The only query parameters that reach the cache key and the origin; else all.",
    ),
    field(
        "normalize",
        Shape::Map(&Shape::OneOf(&["upper", "lower"])),
        Is("{}"),
        "The letters (ASCII) that the values of these parameters of `query` are written with, in the key \
         and on the way to the origin.",
    ),
    field(
        "defaults",
        Shape::Map(&VALUE),
        Is("{}"),
        "The values of these parameters of `query` where a request leaves them out, in the key and on \
         the way to the origin.",
    ),
    field(
        "vary",
        Shape::List(&HEADER),
        Is("[]"),
        "Request headers to key by, beside the response's own Vary.",
    ),
    field(
        "forward",
        Shape::List(&FORWARD),
        None,
        "Beside `query`: the only request headers that reach the origin, with those of `vary` and what \
         the gate sets itself; else accept, accept-encoding, accept-language, authorization, \
         cache-control, cdn-loop, origin, pragma, traceparent, tracestate and x-request-id.",
    ),
    field(
        "tags",
        Shape::List(&TAG),
        Is("[]"),
        "Names under which entries are purged together, at most 8: `{query.NAME}` stands for a \
         parameter of the query, `{path.NAME}` for one of the path.",
    ),
    field(
        "l1_max_age",
        Shape::Duration { or_zero: true },
        None,
        "For how long an isolate believes what it has in memory without asking the store whether it was \
         purged; else a second where there are tags, and as long as it lives where there are none.",
    ),
]);

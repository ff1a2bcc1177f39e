//! The grammar of a route's cache.

use super::super::shape::Absent::{Is, Otherwise};
use super::super::shape::{Shape, field};
use super::text::{DURATION, FORWARD, HEADER, PARAMETER, TAG, VALUE, VERSION};

/// The statuses that `negative_ttl` can be given for: those that are about the URL or the origin.
/// All others are about the client or its connection (401, 403, 407, 428, 429, 451, 511), about
/// request headers or content that are not in the key (406, 408, 411 to 413, 415 to 417, 425, 431),
/// or about another state of the resource than its absence (409, 423).
const NEGATIVE: [u64; 11] = [400, 404, 405, 410, 414, 422, 500, 501, 502, 503, 504];

/// How the responses of a route are cached.
pub const CACHE: Shape = Shape::Table(&[
    field(
        "ttl",
        Shape::Either(&DURATION, &Shape::OneOf(&["candle"])),
        Otherwise("none"),
        "How long a response is fresh if it names no lifetime of its own. `\"candle\"`: as long as its \
         candles stay as they are, judged by `interval` (1s to 1M, as Binance names them) and \
         `endTime` (Unix milliseconds) of the query: 30 days if the last candle had closed 30 seconds \
         before the origin was asked, else until the open candle closes, in UTC.",
    ),
    field(
        "open_ttl",
        DURATION,
        Otherwise("none"),
        "With the ttl `\"candle\"`: the longest that an answer with an open candle is fresh.",
    ),
    field(
        "negative_ttl",
        DURATION,
        Otherwise("none"),
        "How long a response with one of the `negative_statuses` is fresh if it names no lifetime of \
         its own; at most `\"10m\"`. It is not served stale unless it allows that itself.",
    ),
    field(
        "negative_statuses",
        Shape::List(&Shape::Number(&NEGATIVE)),
        Otherwise("`[400, 404, 410]`"),
        "The statuses to which `negative_ttl` applies. Name 500 if the API answers so for something \
         that does not exist: the entry is then served for `negative_ttl`, but never in place of one \
         that `stale_if_error` still allows.",
    ),
    field(
        "override_origin",
        Shape::Bool,
        Is("false"),
        "Whether `ttl` and `negative_ttl` replace what the response says of its freshness, `no-cache` \
         and `must-revalidate` included. `no-store`, `private` and `Set-Cookie` still count.",
    ),
    field(
        "stale_while_revalidate",
        Shape::Duration { or_zero: true },
        Otherwise("as the response says"),
        "How long after its lifetime an entry is still served while it is refreshed in the background; \
         at most `stale_if_error`, if that is set.",
    ),
    field(
        "stale_if_error",
        Shape::Duration { or_zero: true },
        Otherwise("as the response says, at least `stale_while_revalidate`"),
        "How long after its lifetime an entry is still served if the origin fails. It is a hard \
         ceiling: no older entry is served.",
    ),
    field(
        "heuristic",
        Shape::Bool,
        Otherwise("`true` if there is no `ttl`, else `false`"),
        "Whether a response that names no lifetime is fresh for a tenth of the time since its \
         `Last-Modified`, at most a day (RFC 9111, section 4.2.2).",
    ),
    field(
        "server_errors",
        Shape::Bool,
        Is("false"),
        "Whether 5xx responses that name a lifetime of their own are stored, as RFC 9111 allows.",
    ),
    field(
        "min_ttl",
        Shape::Duration { or_zero: true },
        Is("\"0s\""),
        "How long an entry must still be usable, fresh or while it is refreshed, to be written to \
         Redis. An entry with less time left stays in the isolate, and no other isolate waits for it.",
    ),
    field(
        "version",
        VERSION,
        Otherwise("none"),
        "Where a response says how new it is: a whole number in its JSON, by a dotted path \
         (`json:data.lastUpdateId`), or in a header (`header:x-sequence`). A newer response is then \
         never replaced by an older one. Without this field the response that arrives later wins.",
    ),
    field(
        "set_cookie",
        Shape::Bool,
        Is("false"),
        "Whether responses with `Set-Cookie` are stored, as RFC 9111 allows. All clients then get the \
         same cookie.",
    ),
    field(
        "strict_age",
        Shape::Bool,
        Is("false"),
        "Whether a response is stale if its `Age` is malformed or repeated. If not, the first `Age` \
         counts and a malformed one is ignored (RFC 9111, section 5.1).",
    ),
    field(
        "query",
        Shape::List(&PARAMETER),
        Otherwise("all parameters"),
        "The only query parameters that reach the cache key and the origin.",
    ),
    field(
        "unknown_query",
        Shape::OneOf(&["drop", "pass", "refuse"]),
        Is("\"drop\""),
        "What happens to a `GET` or `HEAD` with a query parameter that `query` does not name. \
         `\"drop\"`: the parameter is left out. `\"pass\"`: the request goes to the origin as it is, past \
         the cache. `\"refuse\"`: the gate answers with 400.",
    ),
    field(
        "normalize",
        Shape::Map(&Shape::OneOf(&["upper", "lower"])),
        Is("{}"),
        "The case in which the values of these parameters of `query` are written (ASCII letters only), \
         in the key and on the way to the origin.",
    ),
    field(
        "defaults",
        Shape::Map(&VALUE),
        Is("{}"),
        "The values of these parameters of `query` if a request leaves them out, in the key and on \
         the way to the origin.",
    ),
    field(
        "vary",
        Shape::List(&HEADER),
        Is("[]"),
        "Request headers that select a variant, in addition to the response's own `Vary`.",
    ),
    field(
        "forward",
        Shape::List(&FORWARD),
        Otherwise("the 11 listed here"),
        "On a route with `query`: the only request headers that reach the origin, in addition to those \
         of `vary` and those that the gate sets itself. Without this field they are accept, \
         accept-encoding, accept-language, authorization, cache-control, cdn-loop, origin, pragma, \
         traceparent, tracestate and x-request-id.",
    ),
    field(
        "tags",
        Shape::List(&TAG),
        Is("[]"),
        "Names by which entries are purged together, at most 8. `{query.NAME}` stands for a parameter \
         of the query, `{path.NAME}` for a segment of the path.",
    ),
    field(
        "l1_max_age",
        Shape::Duration { or_zero: true },
        Otherwise("`\"1s\"` if there are `tags`, else the life of the entry"),
        "How long an isolate may use an entry in its memory without asking the store whether it was \
         purged.",
    ),
]);

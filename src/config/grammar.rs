//! The grammar of the configuration: every field with its shape, default and meaning.

mod cache;
mod text;

use super::shape::Absent::{Is, Missing, None};
use super::shape::{Shape, field};
use cache::CACHE;
use text::{DURATION, HEADER, KEY_PREFIX, METHOD, NAME, ORIGIN, ORIGIN_QUOTA_NAME, PATH, SHARE};

/// The whole of it.
pub const CONFIG: Shape = Shape::Table(&[
    field("origin", ORIGIN, Missing, "The API behind the gate."),
    field(
        "origin_timeout",
        DURATION,
        Is("\"30s\""),
        "How long the origin may take to start its answer; then the client gets 504.",
    ),
    field(
        "default_limits",
        Shape::List(&NAME),
        Is("[]"),
        "The limits of every request that no route claims.",
    ),
    field(
        "headers",
        Shape::OneOf(&["draft-10", "draft-7", "legacy", "none"]),
        Is("\"draft-10\""),
        "Which headers tell clients their limits: RateLimit and RateLimit-Policy as of that draft of \
         the IETF's, the X-RateLimit headers (legacy), or none.",
    ),
    field(
        "partition_key",
        Shape::Bool,
        Is("false"),
        "Whether RateLimit and RateLimit-Policy carry `pk`, an opaque name of the bucket that the \
         client counts in. Only draft-10 has it.",
    ),
    field("client", CLIENT, Is("{}"), "How clients are told apart."),
    field("redis", REDIS, Is("{}"), "How the store is used."),
    field("cache", SIZES, Is("{}"), "How much the cache keeps where."),
    field(
        "limits",
        Shape::Map(&LIMIT),
        Is("{}"),
        "The limits, by name.",
    ),
    field(
        "origin_quotas",
        Shape::Map(&ORIGIN_QUOTA),
        Is("{}"),
        "How often all edges together may call the origin, by name: for routes that share such a \
         quota.",
    ),
    field(
        "routes",
        Shape::List(&ROUTE),
        Is("[]"),
        "What applies to which paths; the most specific path wins.",
    ),
]);

const CLIENT: Shape = Shape::Table(&[
    field(
        "api_key_header",
        HEADER,
        Is("\"x-api-key\""),
        "The request header with the client's API key.",
    ),
    field(
        "ip_header",
        HEADER,
        Is("\"cf-connecting-ip\""),
        "The request header with the client's address. Name only one that the platform sets itself.",
    ),
    field(
        "ipv6_prefix",
        Shape::Integer(1, 128),
        Is("64"),
        "How many bits of an IPv6 address make one client.",
    ),
    field(
        "keys",
        Shape::OneOf(&["any", "registered"]),
        Is("\"any\""),
        "Which API keys count as keys: any that is sent, or those that are registered \
         (`omnitrade-edge keys add`); a request with another counts as one without a key.",
    ),
]);

const REDIS: Shape = Shape::Table(&[
    field(
        "timeout",
        DURATION,
        Is("\"150ms\""),
        "The deadline of one store call, the whole of it.",
    ),
    field(
        "key_prefix",
        KEY_PREFIX,
        Is("\"ot\""),
        "What the name of every Redis key starts with. A clustered Redis needs it, or a part of it, in \
         braces: all keys of the gate then lie in one slot.",
    ),
    field(
        "on_failure",
        ON_FAILURE,
        Is("\"local\""),
        "What happens while the store fails: local limits, no limits, or 503.",
    ),
]);

const SIZES: Shape = Shape::Table(&[
    field(
        "l1_size",
        Shape::Size(0, 64 << 20),
        Is("\"16MB\""),
        "The memory of one isolate for entries; one that would take more than a quarter of it is not \
         kept there. An isolate has 128 MB for all.",
    ),
    field(
        "max_entry",
        Shape::Size(1 << 10, 4 << 20),
        Is("\"1MB\""),
        "The largest entry that is written to Redis, as it is written: head and body, compressed. A \
         larger one stays in the isolate.",
    ),
    field(
        "compress_from",
        Shape::Either(&Shape::Size(0, 4 << 20), &Shape::OneOf(&["off"])),
        Is("\"512B\""),
        "The size from which a body is compressed for Redis, where that makes it smaller.",
    ),
]);

const LIMIT: Shape = Shape::Table(&[
    field(
        "by",
        Shape::OneOf(&["client", "ip", "api-key", "route", "global"]),
        Missing,
        "For whom it counts: the API key or else the address (client), the address (ip), the API \
         key, with requests without one not counted (api-key), everybody on the route (route), or \
         everybody (global).",
    ),
    field("window", DURATION, Missing, "The window."),
    field(
        "quota",
        PERMITS,
        Missing,
        "Permits in any interval of the window's length, without an API key.",
    ),
    field(
        "keyed_quota",
        PERMITS,
        None,
        "Permits with an API key; else the same as without. For `client` and `api-key` only.",
    ),
    field(
        "plans",
        Shape::Map(&PERMITS),
        Is("{}"),
        "Permits of registered keys, by plan. For `client` and `api-key` only; without effect unless \
         client.keys is \"registered\".",
    ),
    field(
        "strategy",
        Shape::OneOf(&["exact", "lease"]),
        Is("\"exact\""),
        "How the store is asked: by every request (exact), or for permits ahead, so that most \
         requests ask nobody (lease).",
    ),
    field(
        "penalty",
        PENALTY,
        None,
        "Holds off a client that goes on after it was refused; no store call is made for it then.",
    ),
    field(
        "mode",
        Shape::OneOf(&["enforce", "shadow"]),
        Is("\"enforce\""),
        "Whether a refusal counts, or is only reported.",
    ),
    field(
        "on_failure",
        ON_FAILURE,
        None,
        "What happens to this limit while the store fails; else as `redis.on_failure` says.",
    ),
]);

const PENALTY: Shape = Shape::Table(&[
    field(
        "after",
        Shape::Integer(1, 1_000_000),
        Is("20"),
        "How many refusals inside a window bring it.",
    ),
    field(
        "hold",
        DURATION,
        Is("\"60s\""),
        "How long the client is held off the first time; each further time twice as long.",
    ),
    field(
        "max",
        DURATION,
        Is("\"1h\""),
        "The longest that it is held off.",
    ),
]);

const ORIGIN_QUOTA: Shape = Shape::Table(&[
    field(
        "limit",
        PERMITS,
        Missing,
        "Calls in any interval of the window's length.",
    ),
    field("window", DURATION, Missing, "The window."),
]);

const ROUTE: Shape = Shape::Table(&[
    field(
        "path",
        PATH,
        Missing,
        "The path: `{name}` is one segment, `{*rest}` the rest.",
    ),
    field(
        "methods",
        Shape::List(&METHOD),
        None,
        "The methods it claims; else all.",
    ),
    field(
        "limits",
        Shape::List(&NAME),
        Is("[]"),
        "Its limits, by name: all or nothing, a refusal by one charges none.",
    ),
    field(
        "cost",
        Shape::Integer(1, 1_000_000),
        Is("1"),
        "What one request takes from each limit. The origin may say in the response header X-Edge-Cost \
         what it truly was: that is settled after the response.",
    ),
    field(
        "refund_on",
        Shape::List(&Shape::Integer(400, 599)),
        Is("[]"),
        "The statuses of the origin's answer upon which the permits come back.",
    ),
    field(
        "reserve",
        Shape::Map(&SHARE),
        Is("{}"),
        "The share of a limit, by the limit's name, that the route keeps for itself: other routes \
         cannot use that last part of it, this one can use all.",
    ),
    field(
        "origin_quota",
        Shape::Either(&ORIGIN_QUOTA_NAME, &ORIGIN_QUOTA),
        None,
        "How often all edges together may call the origin here: a quota of the route's own, or the \
         name of one in `origin_quotas`, to share it.",
    ),
    field(
        "origin_timeout",
        DURATION,
        None,
        "How long the origin may take here; else as the top level says.",
    ),
    field("cache", CACHE, None, "Makes the route a shared cache."),
]);

const PERMITS: Shape = Shape::Integer(1, 1_000_000_000);
const ON_FAILURE: Shape = Shape::OneOf(&["local", "open", "closed"]);

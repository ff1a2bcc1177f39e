//! The grammar of the configuration: every field with its shape, default and meaning.
//!
//! The JSON Schema and the reference page (`docs/configuration.md`) are made from it, so the texts
//! here are what users read: Markdown, in which backticks mark fields and values.

mod cache;
mod cors;
mod jwt;
#[cfg(feature = "queue")]
mod queue;
mod text;

use super::shape::Absent::{Is, Missing, Otherwise};
use super::shape::{Shape, field};
use cache::CACHE;
use cors::CORS;
use jwt::JWT;
use text::{
    BINDING, DURATION, EVERY, HEADER, KEY_PREFIX, METHOD, NAME, ORIGIN, ORIGIN_QUOTA_NAME, PART,
    PATH, SHARE,
};

/// The grammar of the whole configuration.
pub const CONFIG: Shape = Shape::Table(&[
    field(
        "origin",
        ORIGIN,
        Missing,
        "The API behind the gate. A path in it is put before the path of every request.",
    ),
    field(
        "origin_timeout",
        DURATION,
        Is("\"30s\""),
        "How long the origin may take to start its answer, once it has the whole request. If it takes \
         longer, the client gets a stored answer, or else 504. An upload may take as long as it likes, \
         but not pause for longer than this.",
    ),
    field(
        "extra_methods",
        Shape::List(&METHOD),
        Is("[]"),
        "The methods that routes may name beside those of the [IANA HTTP Method \
         Registry](https://www.iana.org/assignments/http-methods): a misspelt one would claim nothing.",
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
        "The headers that tell clients their limits: `RateLimit` and `RateLimit-Policy` as that \
         draft of the IETF defines them, the `X-RateLimit-` headers (`\"legacy\"`), or none.",
    ),
    field(
        "partition_key",
        Shape::Bool,
        Is("false"),
        "Whether `RateLimit` and `RateLimit-Policy` carry `pk`, an opaque name of the bucket in \
         which the client is counted. Only `\"draft-10\"` has this parameter.",
    ),
    field(
        "rewrite_location",
        Shape::Bool,
        Is("false"),
        "Whether an absolute `Location` or `Content-Location` that names the origin's own address is \
         turned into the address that the client has called: the client's scheme and host, without the \
         path of `origin`.",
    ),
    field(
        "cors",
        CORS,
        Otherwise("the gate says nothing about CORS"),
        "Which pages of other origins may read answers, the gate's own refusals among them.",
    ),
    field(
        "client",
        CLIENT,
        Is("{}"),
        "How the gate tells clients apart.",
    ),
    field("redis", REDIS, Is("{}"), "How the gate uses the store."),
    field(
        "cache",
        SIZES,
        Is("{}"),
        "How much the cache keeps in the isolate and in Redis.",
    ),
    field(
        "server_timing",
        Shape::Bool,
        Is("false"),
        "Whether answers carry `Server-Timing`: how long the store and the origin were waited for.",
    ),
    field(
        "metrics",
        METRICS,
        Is("{}"),
        "Where metrics of all isolates come together. Each isolate's own are at `/__edge/metrics` \
         in any case.",
    ),
    field(
        "alerts",
        ALERTS,
        Is("{}"),
        "When the webhook in the secret `EDGE_ALERT_WEBHOOK` is called.",
    ),
    field(
        "limits",
        Shape::Map(&LIMIT),
        Is("{}"),
        "The limits, by name. A limit counts only where a route or `default_limits` names it.",
    ),
    field(
        "origin_quotas",
        Shape::Map(&ORIGIN_QUOTA),
        Is("{}"),
        "Quotas of calls to the origin that several routes share, by name. A quota holds for all \
         isolates together.",
    ),
    #[cfg(feature = "queue")]
    field(
        "queues",
        Shape::Map(&queue::QUEUE),
        Is("{}"),
        "Queues of BullMQ, by the names by which routes call them.",
    ),
    field(
        "routes",
        Shape::List(&ROUTE),
        Is("[]"),
        "What applies to which paths. If several paths match a request, the most specific one wins.",
    ),
]);

const CLIENT: Shape = Shape::Table(&[
    field(
        "api_key_header",
        Shape::Either(&HEADER, &Shape::List(&HEADER)),
        Is("\"x-api-key\""),
        "The request header that holds the client's API key, or a list of such headers, of which the \
         first one that holds a key counts. Of `authorization` only a `Bearer` token counts. Keys \
         count by their digests, into which the secret `EDGE_KEY_SECRET` goes; no key is stored or \
         logged.",
    ),
    field(
        "jwt",
        JWT,
        Otherwise("tokens are not verified"),
        "Verifies the `Bearer` tokens of `Authorization`, so that a client is a user, whatever token \
         the user has at present. A token that does not verify counts as none, and is still sent to \
         the origin.",
    ),
    field(
        "ip_header",
        HEADER,
        Is("\"cf-connecting-ip\""),
        "The request header that holds the client's address. Name only a header that the platform \
         itself sets.",
    ),
    field(
        "ipv6_prefix",
        Shape::Integer(1, 128),
        Is("64"),
        "How many leading bits of an IPv6 address identify one client.",
    ),
    field(
        "keys",
        Shape::OneOf(&["any", "registered"]),
        Is("\"any\""),
        "Which API keys count as keys: any that is sent, or only those that `omnitrade-edge keys \
         add` has registered. A request with another key counts as one without a key.",
    ),
]);

const REDIS: Shape = Shape::Table(&[
    field(
        "timeout",
        DURATION,
        Is("\"150ms\""),
        "The deadline of one store call, repeats included.",
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
        "What decides while the store fails: local limits (`\"local\"`), nothing, so that every \
         request passes (`\"open\"`), or nothing, so that every request gets 503 (`\"closed\"`).",
    ),
]);

const METRICS: Shape = Shape::Table(&[
    field(
        "analytics",
        BINDING,
        Otherwise("none are written"),
        "The binding of a Workers Analytics Engine dataset to which each isolate writes what it has \
         counted.",
    ),
    field(
        "every",
        EVERY,
        Is("\"1m\""),
        "How often an isolate writes, at most: after a request, because an isolate has no timers.",
    ),
]);

const ALERTS: Shape = Shape::Table(&[field(
    "store_open_for",
    DURATION,
    Is("\"30s\""),
    "How long the store must have failed before the webhook is called. It is looked at with each \
     request, because an isolate has no timers.",
)]);

const SIZES: Shape = Shape::Table(&[
    field(
        "l1_size",
        Shape::Size(0, 64 << 20),
        Is("\"16MB\""),
        "The memory that one isolate uses for entries. An entry that would take more than a quarter \
         of it is not kept there. An isolate has 128 MB in all.",
    ),
    field(
        "max_entry",
        Shape::Size(1 << 10, 4 << 20),
        Is("\"1MB\""),
        "The largest entry that is written to Redis: head and body, after compression. A larger one \
         stays in the isolate.",
    ),
    field(
        "compress_from",
        Shape::Either(&Shape::Size(0, 4 << 20), &Shape::OneOf(&["off"])),
        Is("\"512B\""),
        "The size from which a body is compressed for Redis, if that makes it smaller.",
    ),
]);

const LIMIT: Shape = Shape::Table(&[
    field(
        "by",
        Shape::OneOf(&["client", "user", "ip", "api-key", "route", "global"]),
        Missing,
        "Which requests share a bucket: `\"client\"`: those with the same API key, without a key those \
         of the same user (`client.jwt`), and else those from the same address; `\"user\"`: the same, \
         but a verified token counts before an API key; `\"ip\"`: those from the same address; \
         `\"api-key\"`: those with the same API key or of the same user, and requests without either \
         are not counted; `\"route\"`: all requests of one route; `\"global\"`: all requests.",
    ),
    field(
        "window",
        DURATION,
        Missing,
        "The length of the sliding window.",
    ),
    field(
        "quota",
        PERMITS,
        Missing,
        "Permits in any interval of the window's length, for requests without an API key or a verified \
         token.",
    ),
    field(
        "keyed_quota",
        PERMITS,
        Otherwise("`quota`"),
        "The same for requests with one. For `\"client\"`, `\"user\"` and `\"api-key\"` only.",
    ),
    field(
        "plans",
        Shape::Map(&PERMITS),
        Is("{}"),
        "The same by plan: that of a registered key (`client.keys = \"registered\"`), or the one that a \
         verified token names (`client.jwt.plan_claim`). For `\"client\"`, `\"user\"` and `\"api-key\"` \
         only.",
    ),
    field(
        "strategy",
        Shape::OneOf(&["exact", "lease"]),
        Is("\"exact\""),
        "`\"exact\"`: every request asks the store. `\"lease\"`: an isolate fetches permits ahead, so \
         that most requests make no store call.",
    ),
    field(
        "penalty",
        PENALTY,
        Otherwise("no penalty"),
        "Holds off a client that goes on after it was refused. During a hold the client's requests \
         make no store call.",
    ),
    field(
        "mode",
        Shape::OneOf(&["enforce", "shadow"]),
        Is("\"enforce\""),
        "`\"enforce\"`: the limit refuses requests. `\"shadow\"`: it is counted and reported, and \
         refuses nothing.",
    ),
    field(
        "on_failure",
        ON_FAILURE,
        Otherwise("`redis.on_failure`"),
        "What decides about this limit while the store fails.",
    ),
    field(
        "local_share",
        PART,
        Is("\"50%\""),
        "With `on_failure = \"local\"`: the part of the quota that one isolate may give in a window \
         while the store does not answer. All of them together may give so much each, beside what the \
         store has given: make it smaller if many isolates serve the same client.",
    ),
]);

const PENALTY: Shape = Shape::Table(&[
    field(
        "after",
        Shape::Integer(1, 1_000_000),
        Is("20"),
        "How many refusals inside one window start a hold.",
    ),
    field(
        "hold",
        DURATION,
        Is("\"60s\""),
        "How long the first hold lasts. Each further hold lasts twice as long as the one before.",
    ),
    field("max", DURATION, Is("\"1h\""), "The longest hold."),
]);

const ORIGIN_QUOTA: Shape = Shape::Table(&[
    field(
        "limit",
        PERMITS,
        Missing,
        "Calls to the origin in any interval of the window's length.",
    ),
    field(
        "window",
        DURATION,
        Missing,
        "The length of the sliding window.",
    ),
    field(
        "strategy",
        Shape::OneOf(&["exact", "lease"]),
        Is("\"exact\""),
        "`\"exact\"`: every call to the origin asks the store first. `\"lease\"`: an isolate fetches \
         permits ahead, as for a limit. That suits a large quota on a route without a cache.",
    ),
]);

const ROUTE: Shape = Shape::Table(&[
    field(
        "path",
        PATH,
        Missing,
        "The path: `{name}` matches one segment, `{*rest}` the rest, or nothing. `* : $ ( ) [ ] < > ^ |` \
         and `\\`, which are wildcards in other tools, are written percent-encoded if they stand for \
         themselves (`/odata/%24metadata`); that matches both spellings of a request's path.",
    ),
    field(
        "methods",
        Shape::List(&METHOD),
        Otherwise("all methods"),
        "The methods that the route claims.",
    ),
    field(
        "limits",
        Shape::List(&NAME),
        Is("[]"),
        "The limits that count here, by name. A request that one of them refuses is charged to none.",
    ),
    field(
        "cost",
        Shape::Integer(1, 1_000_000),
        Is("1"),
        "How many permits one request takes from each limit. The origin may name the true cost in \
         the response header `X-Edge-Cost`; the difference is settled after the response.",
    ),
    field(
        "refund_on",
        Shape::List(&Shape::Integer(400, 599)),
        Is("[]"),
        "If the origin answers with one of these statuses, the permits come back.",
    ),
    field(
        "reserve",
        Shape::Map(&SHARE),
        Is("{}"),
        "The share of a limit, by the limit's name, that the route keeps for itself: other routes \
         cannot use that last part of the limit; this route can use all of it.",
    ),
    field(
        "origin_quota",
        Shape::Either(&ORIGIN_QUOTA_NAME, &ORIGIN_QUOTA),
        Otherwise("no quota"),
        "How often all isolates together may call the origin for this route: a quota of the route's \
         own, or the name of one in `origin_quotas`, which is shared.",
    ),
    field(
        "origin_timeout",
        DURATION,
        Otherwise("the top level's"),
        "How long the origin may take to start its answer here.",
    ),
    field(
        "cache",
        CACHE,
        Otherwise("no cache"),
        "Makes the route a shared cache. An empty table, `cache = {}`, makes it one that does what \
         RFC 9111 asks and no more.",
    ),
    #[cfg(feature = "queue")]
    field(
        "enqueue",
        queue::ENQUEUE,
        Otherwise("requests go to the origin"),
        "Makes each request a job of a queue, in place of sending it to the origin. The client gets 202 \
         with the job's id, or 503 if the store has not confirmed it. Such a route claims `POST`, unless \
         `methods` says otherwise. See [jobs](jobs.md).",
    ),
]);

const PERMITS: Shape = Shape::Integer(1, 1_000_000_000);
const ON_FAILURE: Shape = Shape::OneOf(&["local", "open", "closed"]);

//! The grammar of the configuration: every field with its shape, default and meaning.

use super::shape::Absent::{Is, Missing, None};
use super::shape::{Field, Shape, is_name};
use crate::engine::route::Pattern;

const fn field(
    name: &'static str,
    shape: Shape,
    absent: super::shape::Absent,
    doc: &'static str,
) -> Field {
    Field {
        name,
        shape,
        absent,
        doc,
    }
}

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
    field(
        "limits",
        Shape::Map(&LIMIT),
        Is("{}"),
        "The limits, by name.",
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
        Shape::OneOf(&["any"]),
        Is("\"any\""),
        "Which API keys count as keys: any that is sent.",
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
        Shape::Text {
            expected: "a prefix of at most 32 letters, digits, `-`, `_` or `.`",
            fits: |text| is_name(text) && text.len() <= 32,
        },
        Is("\"ot\""),
        "What the name of every Redis key starts with.",
    ),
    field(
        "on_failure",
        ON_FAILURE,
        Is("\"local\""),
        "What happens while the store fails: local limits, no limits, or 503.",
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
        "Permits of registered keys, by plan. Without effect as long as keys cannot be registered.",
    ),
    field(
        "strategy",
        Shape::OneOf(&["exact"]),
        Is("\"exact\""),
        "How the store is asked: at every request.",
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

const ROUTE: Shape = Shape::Table(&[
    field(
        "path",
        Shape::Text {
            expected: "a path such as \"/v1/books/{id}\" or \"/files/{*rest}\"",
            fits: |text| Pattern::parse(text).is_ok(),
        },
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
        "What one request takes from each limit.",
    ),
    field(
        "origin_timeout",
        DURATION,
        None,
        "How long the origin may take here; else as the top level says.",
    ),
    field("cache", CACHE, None, "Makes the route a shared cache."),
]);

const CACHE: Shape = Shape::Table(&[
    field(
        "ttl",
        DURATION,
        None,
        "How long a response is fresh that does not say so itself.",
    ),
    field(
        "override_origin",
        Shape::Bool,
        Is("false"),
        "Whether `ttl` replaces what the response says.",
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
        "query",
        Shape::List(&PARAMETER),
        None,
        "The only query parameters that reach the cache key and the origin; else all.",
    ),
    field(
        "vary",
        Shape::List(&HEADER),
        Is("[]"),
        "Request headers to key by, beside the response's own Vary.",
    ),
    field(
        "tags",
        Shape::List(&TAG),
        Is("[]"),
        "Names for purging. Without effect as long as there is no purge.",
    ),
]);

const DURATION: Shape = Shape::Duration { or_zero: false };
const PERMITS: Shape = Shape::Integer(1, 1_000_000_000);
const ON_FAILURE: Shape = Shape::OneOf(&["local", "open", "closed"]);

const NAME: Shape = Shape::Text {
    expected: "the name of a limit",
    fits: is_name,
};

const ORIGIN: Shape = Shape::Text {
    expected: "an address such as \"https://api.example.com\", without user, query or fragment",
    fits: is_origin,
};

const HEADER: Shape = Shape::Text {
    expected: "the name of a header",
    fits: |text| http::HeaderName::from_bytes(text.as_bytes()).is_ok(),
};

const METHOD: Shape = Shape::Text {
    expected: "a method in capitals, such as \"GET\"",
    fits: |text| {
        !text.is_empty() && text.len() <= 32 && text.bytes().all(|b| b.is_ascii_uppercase())
    },
};

const PARAMETER: Shape = Shape::Text {
    expected: "the name of a query parameter, as it is before encoding",
    fits: |text| !text.is_empty() && text.len() <= 128,
};

const TAG: Shape = Shape::Text {
    expected: "a tag such as \"orderbook\" or \"symbol:{query.symbol}\"",
    fits: is_tag,
};

fn is_origin(text: &str) -> bool {
    let Ok(uri) = text.parse::<http::Uri>() else {
        return false;
    };
    let web = matches!(uri.scheme_str(), Some("http" | "https"));
    let host = uri
        .authority()
        .is_some_and(|a| !a.host().is_empty() && !a.as_str().contains('@'));
    web && host && uri.query().is_none() && !text.contains('#')
}

fn is_tag(text: &str) -> bool {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else {
            return false;
        };
        if name.strip_prefix("query.").is_none_or(str::is_empty) {
            return false;
        }
        rest = after;
    }
    !rest.contains('}')
        && (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_graphic())
}

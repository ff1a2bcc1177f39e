use std::time::Duration;

use serde_json::{Value, json};

use super::errors;
use crate::config::{Config, Letters, Ttl};

fn of_cache(cache: &Value) -> Vec<String> {
    errors(json!({ "routes": [{ "path": "/a", "cache": cache }] }))
}

#[test]
fn an_error_names_the_field_and_what_must_fit() {
    for (cache, expected) in [
        (
            json!({ "ttl": "candles" }),
            "ttl: expected a duration such as \"60s\" or \"candle\", found \"candles\"",
        ),
        (
            json!({ "ttl": "candle", "query": ["symbol", "interval"] }),
            "query: expected \"interval\" and \"endTime\" in it, beside the ttl \"candle\", found a list",
        ),
        (
            json!({ "ttl": "candle", "query": [] }),
            "query: expected \"interval\" and \"endTime\" in it, beside the ttl \"candle\", found a list",
        ),
        (
            json!({ "ttl": "5s", "open_ttl": "1s" }),
            "open_ttl: expected the ttl \"candle\" beside it",
        ),
        (
            json!({ "ttl": "candle", "open_ttl": "0s" }),
            "open_ttl: expected a duration such as \"60s\", found \"0s\"",
        ),
        (
            json!({ "negative_ttl": "601s" }),
            "negative_ttl: expected a duration of at most \"10m\", found \"601s\"",
        ),
        (
            json!({ "negative_statuses": [404] }),
            "negative_statuses: expected a `negative_ttl` beside it",
        ),
        (
            json!({ "negative_ttl": "1s", "negative_statuses": [404, 401] }),
            "negative_statuses[1]: expected one of 400, 404, 405, 410, 414, 422, 500, 501, 502, 503, \
             504, found 401",
        ),
        (
            json!({ "negative_ttl": "1s", "negative_statuses": [] }),
            "negative_statuses: expected at least one status, found a list",
        ),
        (
            json!({ "unknown_query": "refuse" }),
            "unknown_query: expected a list `query` beside it (without one every parameter is known), \
             found \"refuse\"",
        ),
        (
            json!({ "query": ["a"], "unknown_query": "ignore" }),
            "unknown_query: expected \"drop\" or \"pass\" or \"refuse\", found \"ignore\"",
        ),
        (
            json!({ "override_origin": true, "negative_ttl": "1s" }),
            "override_origin: expected a `ttl` beside it, to replace what the response says",
        ),
        (
            json!({ "query": ["a", "b"], "normalize": { "c": "upper" } }),
            "normalize.c: expected a parameter of `query` (a, b)",
        ),
        (
            json!({ "query": ["a"], "normalize": { "a": "title" } }),
            "normalize.a: expected \"upper\" or \"lower\", found \"title\"",
        ),
        (
            json!({ "normalize": { "a": "upper" } }),
            "normalize.a: expected a list `query` beside it that names the parameter",
        ),
        (
            json!({ "query": [], "defaults": { "a": "1" } }),
            "defaults.a: expected a parameter of `query` (none)",
        ),
        (
            json!({ "query": ["a"], "defaults": { "a": 1 } }),
            "defaults.a: expected a value such as \"100\", as it is before encoding, found 1",
        ),
        (
            json!({ "query": ["a"], "defaults": { "a": "" } }),
            "defaults.a: expected a value such as \"100\", as it is before encoding, found \"\"",
        ),
        (
            json!({ "forward": ["accept"] }),
            "forward: expected a list `query` beside it (without one all headers go to the origin)",
        ),
        (
            json!({ "query": [], "forward": ["*"] }),
            "forward[0]: expected the name of a header (without `query` all go to the origin), found \"*\"",
        ),
    ] {
        let expected = format!("routes[0].cache.{expected}");
        assert_eq!(of_cache(&cache), [expected], "{cache}");
    }
}

#[test]
fn what_fits_is_taken() {
    let config = json!({
        "origin": "https://api.example",
        "routes": [{ "path": "/a", "cache": {
            "ttl": "candle",
            "open_ttl": "2s",
            "negative_ttl": "10m",
            "query": ["symbol", "interval", "endTime"],
            "normalize": { "symbol": "upper" },
            "defaults": { "interval": "1h" },
            "forward": [],
        } }, { "path": "/b", "cache": { "ttl": "candle" } }],
    });
    let config = Config::from_json(config).unwrap();
    let caches: Vec<_> = config
        .routes
        .iter()
        .filter_map(|r| r.cache.as_ref())
        .collect();
    assert_eq!(caches[0].ttl, Some(Ttl::Candle));
    assert_eq!(caches[0].open_ttl, Some(Duration::from_secs(2)));
    assert_eq!(caches[0].negative_ttl, Some(Duration::from_secs(600)));
    assert_eq!(caches[0].normalize["symbol"], Letters::Upper);
    assert_eq!(caches[0].defaults["interval"], "1h");
    assert_eq!(caches[0].forward, Some(Vec::new()));
    assert_eq!(
        (caches[1].ttl, &caches[1].forward),
        (Some(Ttl::Candle), &None)
    );
}

mod cache;
mod cors;
mod jwt;
mod limits;
mod market;
mod origin_quotas;
mod permits;
#[cfg(feature = "queue")]
mod queue;
mod tags;

use serde_json::{Value, json};

use crate::config::{Config, Keys, Strategy, Style};

/// The errors of a configuration with `change` merged in.
fn errors(change: Value) -> Vec<String> {
    let mut config = json!({
        "origin": "https://api.example.com/",
        "limits": {
            "per-client": { "by": "client", "window": "60s", "quota": 10, "keyed_quota": 100 },
        },
        "routes": [{ "path": "/a", "limits": ["per-client"] }],
    });
    merge(&mut config, change);
    match Config::from_json(config) {
        Ok(_) => Vec::new(),
        Err(error) => error.to_string().lines().map(str::to_owned).collect(),
    }
}

fn merge(into: &mut Value, change: Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (name, value) in change {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, change) => *into = change,
    }
}

#[test]
fn a_right_configuration_has_no_errors() {
    assert_eq!(errors(json!({})), [""; 0]);
}

#[test]
fn an_error_names_the_path_and_what_was_expected() {
    for (change, expected) in [
        (
            json!({ "limits": { "per-client": { "window": "60" } } }),
            "limits.per-client.window: expected a duration such as \"60s\", found \"60\"",
        ),
        (
            json!({ "origin": "ftp://x" }),
            "origin: expected an address such as \"https://api.example.com\", without user, query \
             or fragment, found \"ftp://x\"",
        ),
        (
            json!({ "origin": "https://me:secret@api.example.com" }),
            "origin: expected an address such as \"https://api.example.com\", without user, query \
             or fragment, found an address with a user",
        ),
        (
            json!({ "origin": null }),
            "origin: expected an address such as \"https://api.example.com\", without user, query \
             or fragment, found nothing",
        ),
        (
            json!({ "client": { "ipv6_prefix": 129 } }),
            "client.ipv6_prefix: expected a whole number from 1 to 128, found 129",
        ),
        (
            json!({ "client": { "keys": "some" } }),
            "client.keys: expected \"any\" or \"registered\", found \"some\"",
        ),
        (
            json!({ "routes": [{ "path": "/a", "refund_on": [500, 200] }] }),
            "routes[0].refund_on[1]: expected a whole number from 400 to 599, found 200",
        ),
        (
            json!({ "redis": { "on_failure": "panic" } }),
            "redis.on_failure: expected \"local\" or \"open\" or \"closed\", found \"panic\"",
        ),
        (
            json!({ "headers": "draft10" }),
            "headers: expected \"draft-10\" or \"draft-7\" or \"legacy\" or \"none\", found \
             \"draft10\"",
        ),
        (
            json!({ "partition_key": "yes" }),
            "partition_key: expected true or false, found \"yes\"",
        ),
        (
            json!({ "default_limits": ["nobody"] }),
            "default_limits[0]: expected the name of a limit (per-client), found \"nobody\"",
        ),
        (
            json!({ "routes": [{ "path": "/a", "limits": ["per-client"], "cost": 11 }] }),
            "routes[0].cost: expected at most 10, the smallest quota of limits.per-client, found 11",
        ),
        (
            json!({ "routes": [{ "path": "a" }] }),
            "routes[0].path: expected a path such as \"/v1/books/{id}\" or \"/files/{*rest}\", \
             found \"a\"",
        ),
        (
            json!({ "routes": [{ "path": "/api/*" }] }),
            "routes[0].path: expected \"/api/{*rest}\" (`{name}` stands for one segment, `{*name}` for \
             the rest), or \"/api/%2A\" if `*` stands for itself, found \"/api/*\"",
        ),
        (
            json!({ "routes": [{ "path": "/api/{id:int}" }] }),
            "routes[0].path: expected \"/api/{id}\" (`{name}` stands for one segment, `{*name}` for the \
             rest), found \"/api/{id:int}\"",
        ),
        (
            json!({ "routes": [{ "path": "/a/../b" }] }),
            "routes[0].path: expected a path such as \"/v1/books/{id}\" or \"/files/{*rest}\", \
             found \"/a/../b\"",
        ),
        (
            json!({ "routes": [{ "path": "/a", "methods": ["GET", "GTE"] }] }),
            "routes[0].methods[1]: expected a method of the IANA HTTP Method Registry, such as \"GET\" \
             (if there is a method GTE here, name it at the top: extra_methods = [\"GTE\"]), found \
             \"GTE\"",
        ),
        (
            json!({ "routes": [{ "path": "/a", "methods": ["get"] }] }),
            "routes[0].methods[0]: expected \"GET\" (methods are written in capitals), found \"get\"",
        ),
        (
            json!({ "extra_methods": ["m-search"] }),
            "extra_methods[0]: expected \"M-SEARCH\" (methods are written in capitals), found \
             \"m-search\"",
        ),
        (
            json!({ "routes": [{ "path": "/a", "methods": [""] }] }),
            "routes[0].methods[0]: expected a method in capitals, such as \"GET\", found \"\"",
        ),
        (
            json!({ "routes": [{ "path": "/a%3Bx/{id}" }] }),
            "routes[0].path: expected a path without `;`, also written `%3B` (it and what follows it \
             in a segment of a request are left off before the path is matched, so this one would \
             never match), found \"/a%3Bx/{id}\"",
        ),
        (
            json!({ "routes": [{ "path": "/a/{x}" }, { "path": "/A/{y}/" }] }),
            "routes[1].path: expected a path that routes[0] does not claim for the same methods, \
             found \"/A/{y}/\"",
        ),
        (
            json!({ "routes": [{ "path": "/a", "cache": { "override_origin": true } }] }),
            "routes[0].cache.override_origin: expected a `ttl` beside it, to replace what the \
             response says",
        ),
        (
            json!({ "limits": { "a b": { "by": "ip", "window": "1s", "quota": 1 } } }),
            "limits.a b: expected a name of at most 64 letters, digits, `-`, `_` or `.`",
        ),
        (
            json!({ "limits": { "x": { "by": "ip", "window": "1s", "quota": 1, "keyed_quota": 2 } } }),
            "limits.x.keyed_quota: expected no such field where `by` is neither \"client\" nor \
             \"api-key\" nor \"user\"",
        ),
        (json!({ "routes": 7 }), "routes: expected a list, found 7"),
        (
            json!({ "client": [] }),
            "client: expected a table, found a list",
        ),
    ] {
        assert_eq!(errors(change.clone()), [expected], "{change}");
    }
}

#[test]
fn an_unknown_field_is_an_error() {
    let errors = errors(json!({ "redis": { "timeuot": "1s" } }));
    assert_eq!(
        errors,
        [
            "redis.timeuot: expected one of the fields timeout, key_prefix, on_failure; there is no \
          such field"
        ]
    );
}

#[test]
fn a_route_names_registered_methods_and_further_ones_that_are_named() {
    let right = json!({
        "extra_methods": ["GTE", "M-SEARCH"],
        "routes": [{ "path": "/a", "methods": ["GTE", "M-SEARCH", "QUERY", "VERSION-CONTROL"] }],
    });
    assert_eq!(errors(right), [""; 0]);
    let others = json!({
        "extra_methods": ["PURGE"],
        "routes": [{ "path": "/a", "methods": ["GTE"] }, { "path": "/b", "methods": ["PURGE"] }],
    });
    assert_eq!(errors(others).len(), 1);
}

#[test]
fn a_quantity_in_an_unknown_unit_is_told_the_units() {
    let window = |text: &str| errors(json!({ "limits": { "per-client": { "window": text } } }));
    for wrong in [
        "10y",
        "1w",
        "5000d",
        "1.5h",
        "60 s",
        "60sec",
        "99999999999999999999s",
    ] {
        let expected = "limits.per-client.window: expected a duration such as \"60s\" (a whole number \
                        and one of ms, s, m, h and d, at most \"3650d\"), found";
        assert_eq!(window(wrong), [format!("{expected} {wrong:?}")]);
    }
    assert_eq!(window("3650d"), [""; 0]);
    let ttl = errors(json!({ "routes": [{ "path": "/a", "cache": { "ttl": "1w" } }] }));
    assert_eq!(
        ttl,
        [
            "routes[0].cache.ttl: expected a duration such as \"60s\" (a whole number and one of ms, s, \
             m, h and d, at most \"3650d\"), or \"candle\", found \"1w\""
        ]
    );
    for wrong in ["1GB", "64kb", "1.5MB", "512"] {
        let told = errors(json!({ "cache": { "max_entry": wrong } }));
        let units = " (a whole number and one of B, KB and MB)";
        let units = if wrong == "512" { "" } else { units };
        let expected = "cache.max_entry: expected a size such as \"64KB\", from \"1KB\" to \"4MB\"";
        assert_eq!(told, [format!("{expected}{units}, found {wrong:?}")]);
    }
    let reserve = json!({ "routes": [{
        "path": "/a", "limits": ["per-client"], "reserve": { "per-client": "12.5%" },
    }] });
    assert_eq!(
        errors(reserve),
        [
            "routes[0].reserve.per-client: expected a share such as \"20%\", from \"1%\" to \"90%\" (a \
             whole number and %), found \"12.5%\""
        ]
    );
}

#[test]
fn the_environment_lies_over_what_the_worker_was_built_with() {
    let built = r#"{ "origin": "https://a.example", "redis": { "timeout": "1s" },
                     "routes": [{ "path": "/a" }, { "path": "/b" }] }"#;
    let over = r#"{ "origin": "https://b.example", "redis": { "key_prefix": "b" } }"#;
    let both = Config::from_layers(Some(built), Some(over), None).unwrap();
    assert_eq!(
        (both.origin.as_str(), both.routes.len()),
        ("https://b.example", 2)
    );
    assert_eq!(both.redis.timeout.as_millis(), 1_000);
    assert_eq!(both.redis.key_prefix, "b");
    let alone = Config::from_layers(Some(built), None, None).unwrap();
    assert_eq!(alone.origin, "https://a.example");
    assert!(Config::from_layers(None, Some(over), None).is_ok());
    let none = Config::from_layers(None, None, None)
        .unwrap_err()
        .to_string();
    assert_eq!(
        none,
        "EDGE: expected the configuration, as a JSON variable or in edge.toml, found nothing"
    );
    assert!(Config::from_layers(Some(built), Some("7"), None).is_err());
}

#[test]
fn a_variable_replaces_the_origin_and_is_named_if_it_is_wrong() {
    let edge = r#"{ "origin": "https://a.example", "default_limits": ["x"] }"#;
    let with = |edge, origin| Config::from_layers(None, edge, Some(("EDGE_ORIGIN", origin)));
    let paths = |error: crate::config::ConfigError| {
        let problems = error.problems().iter();
        problems.map(|p| p.path.clone()).collect::<Vec<_>>()
    };
    let good = with(
        Some(r#"{ "origin": "https://a.example" }"#),
        "https://b.example/v1/",
    );
    assert_eq!(good.unwrap().origin, "https://b.example/v1");
    assert!(with(Some("{}"), "https://b.example").is_ok());
    let wrong = with(Some(edge), "b.example").unwrap_err();
    assert_eq!(paths(wrong), ["EDGE_ORIGIN", "default_limits[0]"]);
    // It alone would be a gate without limits.
    assert_eq!(
        paths(with(None, "https://b.example").unwrap_err()),
        ["EDGE"]
    );
}

#[test]
fn a_key_prefix_holds_one_whole_hash_tag_or_no_brace() {
    let errors = |prefix: &str| errors(json!({ "redis": { "key_prefix": prefix } }));
    let longest = "{".to_owned() + &"x".repeat(30) + "}";
    for right in [
        "ot",
        "{ot}",
        "{ot}-test",
        "shop.{ot}",
        "a.{b_c}-d",
        "{.}",
        &longest,
    ] {
        assert_eq!(errors(right), [""; 0], "{right}");
    }
    let longer = longest.clone() + "x";
    for wrong in [
        "", "{}", "{", "}", "{ot", "ot}", "}ot{", "{{ot}}", "{ot}}", "{a}{b}", "{a}{", "{}ot",
        "a{}", "{o t}", "{ot}:", "{é}", &longer,
    ] {
        let expected = "redis.key_prefix: expected a prefix of at most 32 letters, digits, `-`, `_` \
                        or `.`, some of them in braces or not, such as \"ot\" or \"{ot}\", found";
        let found = Value::from(wrong);
        assert_eq!(errors(wrong), [format!("{expected} {found}")]);
    }
}

#[test]
fn all_errors_come_at_once() {
    let errors = errors(json!({
        "origin": 1,
        "extra": 1,
        "client": { "keys": "some" },
        "limits": { "per-client": { "by": "x", "window": "0s", "quota": 0 } },
    }));
    assert_eq!(errors.len(), 6, "{errors:#?}");
}

#[test]
fn what_is_left_out_is_filled_in() {
    let config = Config::from_json(json!({ "origin": "http://127.0.0.1:8888/base/" })).unwrap();
    assert_eq!(config.origin, "http://127.0.0.1:8888/base");
    assert_eq!(
        (config.headers, config.partition_key),
        (Style::Draft10, false)
    );
    assert_eq!(config.redis.key_prefix, "ot");
    assert_eq!(config.redis.timeout.as_millis(), 150);
    assert_eq!(config.client.api_key_headers, ["x-api-key"]);
    assert!(config.client.jwt.is_none());
    assert_eq!(config.client.keys, Keys::Any);
    assert!(config.origin_quotas.is_empty());

    let config = Config::from_json(json!({
        "origin": "https://api.example.com",
        "limits": { "a": { "by": "ip", "window": "1s", "quota": 1 } },
        "routes": [{ "path": "/a" }],
    }))
    .unwrap();
    let limit = config.limits.get("a").unwrap();
    assert_eq!((limit.strategy, limit.penalty), (Strategy::Exact, None));
    let route = config.routes.first().unwrap();
    assert!(route.refund_on.is_empty() && route.reserve.is_empty());
    assert_eq!(route.origin_quota, None);
}

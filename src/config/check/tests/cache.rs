use serde_json::{Value, json};

use super::errors;
use crate::config::{Config, VersionSource, format_size, parse_size};

/// The errors of a route's cache with these fields.
fn route(fields: Value) -> Vec<String> {
    errors(json!({ "routes": [{ "path": "/a", "cache": fields }] }))
}

#[test]
fn sizes_have_units_and_bounds() {
    for (change, expected) in [
        (
            json!({ "l1_size": "65MB" }),
            "cache.l1_size: expected a size such as \"64KB\", from \"0B\" to \"64MB\", found \"65MB\"",
        ),
        (
            json!({ "max_entry": "1023B" }),
            "cache.max_entry: expected a size such as \"64KB\", from \"1KB\" to \"4MB\", found \"1023B\"",
        ),
        (
            json!({ "max_entry": 4096 }),
            "cache.max_entry: expected a size such as \"64KB\", from \"1KB\" to \"4MB\", found 4096",
        ),
        (
            json!({ "compress_from": "never" }),
            "cache.compress_from: expected a size such as \"64KB\", from \"0B\" to \"4MB\" or \"off\", \
             found \"never\"",
        ),
    ] {
        assert_eq!(errors(json!({ "cache": change })), [expected]);
    }
    for right in ["0B", "512B", "64KB", "4MB"] {
        assert_eq!(
            errors(json!({ "cache": { "compress_from": right } })),
            [""; 0]
        );
    }
    assert_eq!(errors(json!({ "cache": { "l1_size": "64MB" } })), [""; 0]);
}

#[test]
fn a_size_is_a_whole_number_and_a_unit() {
    for (text, bytes) in [
        ("0B", Some(0)),
        ("1KB", Some(1_024)),
        ("16MB", Some(16 << 20)),
        ("1048576MB", Some(1 << 40)),
        ("1048577MB", None),
        ("99999999999999999999B", None),
        ("", None),
        ("1", None),
        ("MB", None),
        ("1.5MB", None),
        ("1 MB", None),
        ("1mb", None),
        ("-1B", None),
    ] {
        assert_eq!(parse_size(text), bytes, "{text}");
    }
    for text in ["0B", "1B", "1023B", "1KB", "1025B", "3MB"] {
        assert_eq!(format_size(parse_size(text).unwrap()), text);
    }
}

#[test]
fn what_is_left_out_has_its_default() {
    let config: Config = r#"{
        "origin": "https://api.example.com",
        "routes": [{ "path": "/a", "cache": {} }]
    }"#
    .parse()
    .unwrap();
    let sizes = config.cache;
    assert_eq!((sizes.l1_size, sizes.max_entry), (16 << 20, 1 << 20));
    assert_eq!(sizes.compress_from, Some(512));
    let cache = config.routes[0].cache.as_ref().unwrap();
    assert!(cache.min_ttl.is_zero());
    assert_eq!(cache.version, None);
}

#[test]
fn a_version_is_a_place_in_the_body_or_a_header() {
    let expected = "routes[0].cache.version: expected a place such as \"json:timestamp\", \
                    \"json:data.0.id\" or \"header:x-sequence\", found";
    for wrong in ["timestamp", "json:", "header:a b"] {
        assert_eq!(
            route(json!({ "version": wrong })),
            [format!("{expected} \"{wrong}\"")]
        );
    }
    let text = r#"{
        "origin": "https://api.example.com",
        "routes": [{ "path": "/a", "cache": { "version": "header:X-Seq", "min_ttl": "2s" } }]
    }"#;
    let config: Config = text.parse().unwrap();
    let cache = config.routes[0].cache.as_ref().unwrap();
    let version = cache.version.as_deref();
    assert_eq!(version, Some(&VersionSource::Header("x-seq".to_owned())));
    assert_eq!(cache.min_ttl.as_secs(), 2);
}

#[test]
fn no_route_forwards_or_keys_by_what_never_reaches_the_origin() {
    let why = "a client could speak for the gate in this one: it is taken off";
    let folded = "servers may take this one for another header: it is taken off";
    for (name, why) in [
        ("X-Forwarded-User", why),
        ("x_forwarded_for", why),
        ("Client-IP", why),
        ("x-edge-limiter", why),
        ("via", why),
        ("x_api_key", folded),
        ("cf_connecting_ip", folded),
        ("accept_language", folded),
    ] {
        let expected = format!("expected the name of a header that reaches the origin ({why})");
        let forward = route(json!({ "query": [], "forward": ["accept", name] }));
        let at = format!("routes[0].cache.forward[1]: {expected}, found \"{name}\"");
        assert_eq!(forward, [at]);
        let vary = route(json!({ "vary": [name] }));
        let at = format!("routes[0].cache.vary[0]: {expected}, found \"{name}\"");
        assert_eq!(vary, [at]);
    }
    let right = json!([
        "x-request-id",
        "x-real-time",
        "X-Api-Key",
        "cf-connecting-ip",
        "user_id"
    ]);
    assert_eq!(route(json!({ "query": [], "forward": right })), [""; 0]);
    assert_eq!(route(json!({ "vary": right })), [""; 0]);
    assert_eq!(route(json!({ "vary": ["x-tenant", "x_tenant"] })), [""; 0]);
    let one = route(json!({ "query": [], "vary": ["x-tenant"], "forward": ["x_tenant"] }));
    assert_eq!(one.len(), 1, "{one:?}");
}

/// The errors use the header names of the configuration at hand.
#[test]
fn what_the_gate_reads_by_another_name_is_refused_by_that_one() {
    let change = json!({
        "client": { "api_key_header": "X-Edge-Key", "ip_header": "x-real-ip" },
        "routes": [{ "path": "/a", "cache": { "vary": ["x-edge-key", "x_api_key", "x-real-ip"] } }],
    });
    let errors = errors(change);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].starts_with("routes[0].cache.vary[2]: "));
}

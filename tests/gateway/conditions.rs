//! Conditional requests, the directives of clients, and answers of the origin that say that nothing
//! has changed.

use serde_json::{Value, json};

use crate::cache::{book, hit};
use crate::rig::{Rig, get, response};

fn config() -> Value {
    json!({
        "origin": "https://api.example",
        "limits": { "ip": { "by": "ip", "window": "60s", "quota": 1000 } },
        "routes": [
            { "path": "/book", "limits": ["ip"], "cache": { "ttl": "10s" } },
        ],
    })
}

fn filled() -> Rig {
    let mut rig = Rig::new(config());
    rig.next(book("[1]").with("last-modified", "Tue, 14 Nov 2023 00:00:00 GMT"));
    rig.get("/book");
    rig
}

#[test]
fn who_has_the_entry_already_gets_a_304() {
    let mut rig = filled();
    for tags in ["\"v1\"", "W/\"v1\"", "\"v0\", \"v1\"", "*"] {
        let seen = rig.send(&get("/book").with("if-none-match", tags));
        hit(&seen, "l1");
        assert_eq!((seen.status, seen.text()), (304, ""), "{tags}");
        assert_eq!(seen.header("etag"), "\"v1\"");
        assert_eq!(seen.header("content-type"), "");
        assert!(!seen.header("ratelimit").is_empty());
    }
    let other = rig.send(&get("/book").with("if-none-match", "\"v2\""));
    assert_eq!((other.status, other.text()), (200, "[1]"));
    for (since, status) in [
        ("Tue, 14 Nov 2023 00:00:00 GMT", 304),
        ("Mon, 13 Nov 2023 23:59:59 GMT", 200),
        ("yesterday", 200),
    ] {
        let seen = rig.send(&get("/book").with("if-modified-since", since));
        assert_eq!(seen.status, status, "{since}");
    }
}

#[test]
fn a_clients_condition_does_not_reach_the_origin_and_the_whole_is_stored() {
    let mut rig = Rig::new(config());
    let request = get("/book")
        .with("if-none-match", "\"v1\"")
        .with("if-modified-since", "Tue, 14 Nov 2023 00:00:00 GMT");
    rig.next(book("[1]"));
    let seen = rig.send(&request);
    assert_eq!((seen.status, seen.text(), seen.fetches), (304, "", 1));
    assert!(!rig.sent[0].headers.contains_key("if-none-match"));
    assert!(!rig.sent[0].headers.contains_key("if-modified-since"));
    assert_eq!(rig.get("/book").text(), "[1]");
}

#[test]
fn a_stale_entry_is_validated_by_its_own_tag() {
    let mut rig = filled();
    rig.wait(10_000);
    rig.next(response(304, "").with("etag", "\"v1\""));
    let request = get("/book").with("if-none-match", "\"another\"");
    let seen = rig.send(&request);
    assert_eq!((seen.status, seen.text(), seen.fetches), (200, "[1]", 1));
    assert_eq!(rig.sent[1].headers["if-none-match"], "\"v1\"");
    let since = &rig.sent[1].headers["if-modified-since"];
    assert_eq!(since, "Tue, 14 Nov 2023 00:00:00 GMT");
    assert_eq!(seen.cache(), "fwd=stale; fwd-status=304; stored; ttl=10");
    rig.wait(9_999);
    hit(&rig.get("/book"), "l1");
}

#[test]
fn a_304_for_something_else_is_asked_again_without_a_condition() {
    let mut rig = filled();
    rig.wait(10_000);
    rig.next(response(304, "").with("etag", "\"v9\""));
    rig.next(book("[9]"));
    let seen = rig.get("/book");
    assert_eq!((seen.status, seen.text(), seen.fetches), (200, "[9]", 2));
    assert!(!rig.sent[2].headers.contains_key("if-none-match"));
    assert_eq!(rig.get("/book").text(), "[9]");
    // An origin that answers so again gets no third request.
    let mut rig = filled();
    rig.wait(10_000);
    rig.next(response(304, "").with("etag", "\"v9\""));
    rig.next(response(304, "").with("etag", "\"v9\""));
    assert_eq!(rig.get("/book").fetches, 2);
}

#[test]
fn a_304_that_forbids_to_store_is_served_once() {
    let mut rig = filled();
    rig.wait(10_000);
    rig.next(response(304, "").with("cache-control", "no-store"));
    let seen = rig.get("/book");
    assert_eq!((seen.status, seen.text()), (200, "[1]"));
    assert!(!seen.cache().contains("stored"), "{}", seen.cache());
    assert_eq!(rig.writes.len(), 1);
    rig.another_isolate();
    rig.store = crate::rig::Store::Down(omnitrade_edge::error::ErrorKind::Timeout);
    assert_eq!(rig.get("/book").fetches, 1);
}

#[test]
fn a_head_is_answered_from_the_entry_of_the_get() {
    let mut rig = filled();
    let head = rig.send(&get("/book").by("HEAD"));
    hit(&head, "l1");
    assert_eq!((head.status, head.text()), (200, ""));
    assert_eq!(head.header("content-length"), "3");
    assert_eq!(head.header("etag"), "\"v1\"");
    let mut rig = Rig::new(config());
    let head = rig.send(&get("/book").by("HEAD"));
    assert_eq!((head.fetches, rig.sent[0].method.as_str()), (1, "HEAD"));
    assert_eq!(head.cache(), "fwd=uri-miss; detail=method");
    assert_eq!(rig.get("/book").fetches, 1, "a head is no entry");
}

#[test]
fn only_if_cached_is_answered_from_the_cache_or_not_at_all() {
    let mut rig = Rig::new(config());
    let request = get("/book").with("cache-control", "only-if-cached");
    let seen = rig.send(&request);
    assert_eq!((seen.status, seen.fetches), (504, 0));
    assert_eq!(seen.cache(), "detail=only-if-cached");
    let body: Value = serde_json::from_slice(&seen.body).unwrap();
    assert_eq!(body["code"], "not_cached");
    rig.next(book("[1]"));
    rig.get("/book");
    hit(&rig.send(&request), "l1");
    rig.another_isolate();
    hit(&rig.send(&request), "redis");
    rig.wait(10_000);
    assert_eq!(rig.send(&request).status, 504, "stale");
}

#[test]
fn a_client_may_ask_for_fresher_than_fresh() {
    for (directive, forward) in [
        ("no-cache", "request"),
        ("max-age=0", "request"),
        ("max-age=2", "request"),
        ("min-fresh=8", "request"),
    ] {
        let mut rig = filled();
        rig.wait(3_000);
        rig.next(book("[2]"));
        let seen = rig.send(&get("/book").with("cache-control", directive));
        assert_eq!((seen.text(), seen.fetches), ("[2]", 1), "{directive}");
        let expected = format!("fwd={forward}; stored; ttl=10");
        assert_eq!(seen.cache(), expected, "{directive}");
        assert_eq!(rig.get("/book").text(), "[2]", "and all have it");
    }
    let mut rig = filled();
    rig.wait(3_000);
    for directive in ["max-age=4", "min-fresh=6", "max-stale", "nonsense=1"] {
        let seen = rig.send(&get("/book").with("cache-control", directive));
        hit(&seen, "l1");
    }
}

#[test]
fn what_the_caches_before_said_is_kept() {
    let mut rig = Rig::new(config());
    rig.next(
        book("[1]")
            .with("cache-status", "Origin; hit")
            .with("age", "2"),
    );
    let seen = rig.get("/book");
    assert_eq!(
        seen.header("cache-status"),
        "Origin; hit, omnitrade-edge; fwd=uri-miss; stored; ttl=8"
    );
    assert_eq!(rig.get("/book").header("age"), "2");
}

//! Values whose octets are not known, because a Worker cannot tell values apart that are not UTF-8.

use serde_json::{Value, json};

use crate::cache::{book, hit};
use crate::rig::{Rig, get, response};

fn config() -> Value {
    json!({
        "origin": "https://api.example",
        "limits": {
            "client": { "by": "client", "window": "60s", "quota": 3, "keyed_quota": 100 },
        },
        "routes": [
            { "path": "/book", "cache": { "ttl": "10s" } },
            { "path": "/keyed", "cache": { "ttl": "10s", "vary": ["x-user"] } },
            { "path": "/declared", "cache": { "ttl": "10s", "query": [], "vary": ["x-user"] } },
            { "path": "/limited", "limits": ["client"] },
        ],
    })
}

/// Neither of these is UTF-8; a Worker sees U+FFFD in both.
const ONE: &[u8] = b"caf\xe9";
const OTHER: &[u8] = b"caf\xe8";

#[test]
fn a_response_that_is_not_known_to_the_octet_is_not_stored() {
    for name in [
        "cache-control",
        "vary",
        "etag",
        "location",
        "content-disposition",
        "x-any",
    ] {
        let mut rig = Rig::new(config());
        rig.next(book("[1]").with_octets(name, ONE));
        let seen = rig.get("/book");
        assert!(!seen.cache().contains("stored"), "{name}: {}", seen.cache());
        assert_eq!(
            seen.headers
                .get_all(name)
                .iter()
                .next_back()
                .unwrap()
                .as_bytes(),
            ONE
        );
        assert!(
            rig.writes.iter().all(|write| !write.key.contains(":c:")),
            "{name}"
        );
        rig.next(book("[2]"));
        assert_eq!(rig.get("/book").text(), "[2]", "{name}");
    }
}

#[test]
fn a_cookie_of_any_octets_keeps_a_response_out_of_the_cache() {
    for cookie in ["n=李".as_bytes(), b"n=\xff", b"n=1"] {
        let mut rig = Rig::new(config());
        let mine = response(200, "mine").with("cache-control", "max-age=60");
        rig.next(mine.with_octets("set-cookie", cookie));
        rig.get("/book");
        rig.next(response(200, "yours"));
        assert_eq!(rig.get("/book").text(), "yours", "{cookie:?}");
    }
}

#[test]
fn a_value_in_utf_8_is_served_as_it_came() {
    let mut rig = Rig::new(config());
    rig.next(book("[1]").with("content-disposition", "attachment; filename=李.json"));
    rig.get("/book");
    let seen = rig.get("/book");
    hit(&seen, "l1");
    assert_eq!(
        seen.headers["content-disposition"].as_bytes(),
        "attachment; filename=李.json".as_bytes()
    );
    rig.another_isolate();
    assert_eq!(
        rig.get("/book").headers["content-disposition"].as_bytes(),
        "attachment; filename=李.json".as_bytes()
    );
}

#[test]
fn a_304_that_is_not_known_to_the_octet_makes_the_whole_be_asked_for() {
    let mut rig = Rig::new(config());
    rig.next(book("[1]"));
    rig.get("/book");
    rig.wait(10_000);
    rig.next(
        response(304, "")
            .with("etag", "\"v1\"")
            .with_octets("x-any", ONE),
    );
    rig.next(book("[2]"));
    let seen = rig.get("/book");
    assert_eq!((seen.text(), seen.fetches), ("[2]", 2));
    assert!(!rig.sent[2].headers.contains_key("if-none-match"));
}

#[test]
fn requests_that_differ_in_unknown_octets_share_no_response() {
    for path in ["/book", "/keyed", "/declared"] {
        let mut rig = Rig::new(config());
        let varying = |body| response(200, body).with("vary", "x-user");
        rig.next(varying("one"));
        rig.next(varying("other"));
        rig.next(varying("one again"));
        let one = get(path).with_octets("x-user", ONE);
        assert_eq!(rig.send(&one).text(), "one", "{path}");
        let other = get(path).with_octets("x-user", OTHER);
        assert_eq!(rig.send(&other).text(), "other", "{path}");
        assert_eq!(rig.send(&one).text(), "one again", "{path}");
    }
}

#[test]
fn a_key_that_is_not_known_to_the_octet_is_none() {
    let mut rig = Rig::new(config());
    for (n, octets) in [ONE, OTHER, ONE, OTHER].into_iter().enumerate() {
        let seen = rig.send(&get("/limited").with_octets("x-api-key", octets));
        assert_eq!(seen.status, if n < 3 { 200 } else { 429 }, "{n}");
    }
    let keyed = rig.send(&get("/limited").with("x-api-key", "clé"));
    assert_eq!(keyed.header("ratelimit-policy"), "\"client\";q=100;w=60");
}

#[test]
fn what_must_not_be_transformed_is_not_stored_in_a_coding() {
    let coded = || {
        let coded = book("[1]").with("content-encoding", "gzip");
        coded.with("cache-control", "no-transform")
    };
    let mut rig = Rig::new(config());
    rig.next(coded());
    assert!(rig.get("/book").cache().ends_with("detail=no-transform"));
    rig.next(book("[2]").with("cache-control", "no-transform"));
    assert!(rig.get("/book").cache().contains("stored"));
}

#[test]
fn digests_of_a_coding_go_with_it() {
    let mut rig = Rig::new(config());
    let digest = "sha-256=:AAAA:";
    let coded = book("[1]").with("content-encoding", "gzip");
    rig.next(
        coded
            .with("content-digest", digest)
            .with("repr-digest", digest),
    );
    for _ in 0..2 {
        let seen = rig.get("/book");
        assert_eq!(seen.header("content-digest"), "");
        assert_eq!(seen.header("repr-digest"), "");
    }
    let mut rig = Rig::new(config());
    rig.next(book("[1]").with("repr-digest", digest));
    for _ in 0..2 {
        assert_eq!(rig.get("/book").header("repr-digest"), digest);
    }
}

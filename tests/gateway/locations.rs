//! References to the origin's own address in `Location` and `Content-Location`.

use serde_json::{Value, json};

use crate::rig::{Request, Rig, get, response};

fn config(rewrite: Value) -> Value {
    json!({
        "origin": "http://api.internal:8080/v1/",
        "rewrite_location": rewrite,
        "routes": [
            { "path": "/moved", "cache": { "ttl": "60s", "vary": [] } },
            { "path": "/doc", "cache": { "ttl": "60s" } },
        ],
    })
}

fn on(host: &str, path: &str) -> Request {
    Request {
        url: format!("{host}{path}"),
        ..get(path)
    }
}

#[test]
fn a_location_that_names_the_origin_names_the_clients_address() {
    let mut rig = Rig::new(config(json!(true)));
    for (location, expected) in [
        (
            "http://api.internal:8080/v1/a?b=%2f#c",
            "https://edge.example/a?b=%2f#c",
        ),
        ("http://api.internal:8080/v1", "https://edge.example/"),
        (
            "http://api.internal:8080/v2/a",
            "http://api.internal:8080/v2/a",
        ),
        ("http://api.internal/v1/a", "http://api.internal/v1/a"),
        (
            "https://elsewhere.example/v1/a",
            "https://elsewhere.example/v1/a",
        ),
        ("/v1/a", "/v1/a"),
        ("a", "a"),
    ] {
        for name in ["location", "content-location"] {
            rig.next(response(201, "").with(name, location));
            let seen = rig.send(&get("/new").by("POST"));
            assert_eq!(seen.header(name), expected, "{name}: {location}");
        }
    }
}

#[test]
fn a_location_stays_as_it_is_unless_that_is_configured() {
    let mut absent = config(json!(false));
    absent.as_object_mut().unwrap().remove("rewrite_location");
    for config in [config(json!(false)), absent] {
        let mut rig = Rig::new(config);
        rig.next(response(302, "").with("location", "http://api.internal:8080/v1/a"));
        assert_eq!(
            rig.get("/new").header("location"),
            "http://api.internal:8080/v1/a"
        );
    }
}

#[test]
fn each_client_gets_its_own_address_and_the_store_keeps_the_origins() {
    let mut rig = Rig::new(config(json!(true)));
    let (a, b) = ("https://a.example", "http://b.example:8787");
    let origin = "http://api.internal:8080/v1/to";
    for host in [a, b] {
        rig.next(response(301, "moved").with("location", origin));
        let miss = rig.send(&on(host, "/moved"));
        assert_eq!(
            (miss.fetches, miss.header("location")),
            (1, format!("{host}/to"))
        );
    }
    for _ in 0..2 {
        for host in [a, b] {
            let hit = rig.send(&on(host, "/moved"));
            assert_eq!(
                (hit.fetches, hit.header("location")),
                (0, format!("{host}/to"))
            );
        }
        rig.another_isolate();
    }
    assert_eq!(rig.writes.len(), 2);
    for entry in &rig.writes {
        assert!(entry.value.contains(origin), "{}", entry.value);
        let of_client =
            entry.value.contains("a.example/to") || entry.value.contains("b.example:8787/to");
        assert!(!of_client, "{}", entry.value);
    }
}

#[test]
fn a_304_names_the_clients_address_too() {
    let mut rig = Rig::new(config(json!(true)));
    let stored = response(200, "doc").with("etag", "\"1\"");
    rig.next(stored.with("content-location", "http://api.internal:8080/v1/doc.en"));
    let first = rig.get("/doc").header("content-location");
    let seen = rig.send(&get("/doc").with("if-none-match", "\"1\""));
    assert_eq!((seen.status, seen.fetches), (304, 0));
    assert_eq!(seen.header("content-location"), first);
    assert_eq!(first, "https://edge.example/doc.en");
}

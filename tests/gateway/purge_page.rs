//! `POST /__edge/purge`: which clients may purge, and how tags and URLs are named.

use bytes::Bytes;
use omnitrade_edge::message::body::BodyError;
use proptest::prelude::*;
use serde_json::json;

use crate::purge::{config, json_of, purging, refused};
use crate::rig::{Rig, TOKEN, get};

#[test]
fn nobody_purges_without_the_token() {
    let mut rig = Rig::new(config());
    rig.body = Ok(Bytes::from_static(br#"{"tags":["a"]}"#));
    for sent in [
        "",
        "Bearer",
        "Bearer wrong",
        "Basic t0ken-of-the-admin",
        TOKEN,
    ] {
        let request = get("/__edge/purge").by("POST").with("authorization", sent);
        let seen = rig.send(&request);
        refused(&seen, 401, "unauthorised");
        assert_eq!(seen.header("www-authenticate"), "Bearer");
    }
    refused(
        &rig.send(&get("/__edge/purge").by("POST")),
        401,
        "unauthorised",
    );
    for method in ["GET", "HEAD", "PUT", "OPTIONS", "DELETE"] {
        let seen = rig.send(&purging().by(method));
        refused(&seen, 405, "method_not_allowed");
        assert_eq!(seen.header("allow"), "POST");
    }
    assert_eq!(rig.epochs, []);
    rig.gate = rig.gate.with_admin_token(None);
    refused(&rig.send(&purging()), 404, "not_found");
}

#[test]
fn a_purge_counts_against_no_limit() {
    let mut rig = Rig::new(config());
    for _ in 0..5 {
        let seen = rig.purge(&json!({ "tags": ["a"] }));
        assert_eq!((seen.status, seen.asks, seen.fetches), (200, 0, 0));
    }
}

#[test]
fn what_is_wrong_is_named_and_nothing_is_purged() {
    let mut rig = Rig::new(config());
    rig.get("/plain/1");
    let many: Vec<_> = (0..101).map(|n| n.to_string()).collect();
    let long = "x".repeat(1_025);
    let far = format!("/plain/{}", "x".repeat(16_384));
    for (body, said) in [
        (
            json!({}),
            "tags, urls: expected 1 to 100 names together, found 0",
        ),
        (
            json!({ "tags": [], "urls": null }),
            "tags, urls: expected 1 to 100",
        ),
        (
            json!({ "tags": many }),
            "tags, urls: expected 1 to 100 names together, found 101",
        ),
        (
            json!({ "tags": ["a"], "all": true }),
            "all: expected one of the fields tags, urls; there is",
        ),
        (json!({ "tags": "a" }), "tags: expected a list, found \"a\""),
        (
            json!({ "tags": ["a", ""] }),
            "tags[1]: expected a tag of 1 to 1024 bytes, found \"\"",
        ),
        (
            json!({ "tags": [1] }),
            "tags[0]: expected a tag of 1 to 1024 bytes, found 1",
        ),
        (
            json!({ "tags": [long] }),
            "tags[0]: expected a tag of 1 to 1024 bytes",
        ),
        (json!({ "urls": [far] }), "urls[0]: expected a URL such as"),
        (
            json!({ "urls": ["/plain/1", "plain"] }),
            "urls[1]: expected a URL such as",
        ),
        (json!({ "urls": [""] }), "urls[0]: expected a URL such as"),
        (
            json!({ "urls": ["ftp://edge.example/plain/1"] }),
            "urls[0]: expected a URL such as",
        ),
        (
            json!({ "urls": ["https://me@edge.example/plain/1"] }),
            "urls[0]: expected a URL such as",
        ),
        (
            json!({ "urls": ["//other.example/plain/1"] }),
            "urls[0]: expected a URL such as",
        ),
        (
            json!({ "urls": ["/plain/%zz"] }),
            "urls[0]: expected a URL such as",
        ),
        (
            json!({ "urls": ["/plain/\u{FFFD}"] }),
            "urls[0]: expected a URL such as",
        ),
        (
            json!({ "urls": ["https://edge.example:x/plain/1"] }),
            "urls[0]: expected a URL such as",
        ),
        (
            json!({ "urls": ["/uncached?x=1"] }),
            "urls[0]: expected a URL of a route with a cache, found \"/uncached?x=1\"",
        ),
        (
            json!({ "urls": ["/__edge/health"] }),
            "urls[0]: expected a URL of a route with a cache",
        ),
    ] {
        let problem = refused(&rig.purge(&body), 422, "not_purgeable");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.starts_with(said), "{body}: {detail}");
        assert_eq!(problem["problems"][0], detail);
    }
    let two = rig.purge(&json!({ "tags": [1], "urls": [2] }));
    assert_eq!(json_of(&two)["problems"].as_array().unwrap().len(), 2);
    for text in [
        "",
        "{",
        "[]",
        "null",
        "\"tags\"",
        "tags=a",
        "{\"tags\":[\"\u{0}\"]}",
        &"[".repeat(60_000),
    ] {
        refused(&rig.purge_text(text), 400, "malformed_body");
    }
    rig.body = Ok(Bytes::from_static(b"{\"tags\":[\"\xff\"]}"));
    refused(&rig.send(&purging()), 400, "malformed_body");
    rig.body = Err(BodyError::Broken);
    refused(&rig.send(&purging()), 400, "malformed_body");
    rig.body = Err(BodyError::TooLong);
    refused(&rig.send(&purging()), 413, "body_too_large");
    rig.body = Err(BodyError::TooSlow);
    refused(&rig.send(&purging()), 408, "body_too_slow");
    let most = 64 << 10;
    let fits = format!("{{\"tags\":[\"a\"]{}}}", " ".repeat(most - 14));
    assert_eq!(fits.len(), most);
    refused(&rig.purge_text(&format!("{fits} ")), 413, "body_too_large");
    let announced = purging().with("content-length", &(most + 1).to_string());
    refused(&rig.send(&announced), 413, "body_too_large");
    assert_eq!(rig.epochs, [], "nothing of all that was purged");
    assert_eq!(rig.get("/plain/1").fetches, 0);

    assert_eq!(rig.purge_text(&fits).status, 200);
}

#[test]
fn a_url_is_read_as_clients_send_it() {
    let mut rig = Rig::new(config());
    let mut key = |url: &str| {
        let seen = rig.purge(&json!({ "urls": [url] }));
        assert_eq!(seen.status, 200, "{url}: {seen:?}");
        rig.epochs.pop().unwrap().0
    };
    let one = key("/plain/1?x=1");
    for same in [
        "https://edge.example/plain/1?x=1",
        "HTTPS://Edge.Example:443/plain/./2/../1?x=%31#y",
        "/plain\\1?x=1",
    ] {
        assert_eq!(key(same), one, "{same}");
    }
    for other in [
        "/plain/1",
        "/plain/1?x=2",
        "https://other.example/plain/1?x=1",
        "http://edge.example/plain/1?x=1",
    ] {
        assert_ne!(key(other), one, "{other}");
    }
}

#[test]
fn a_url_is_purged_as_a_browser_would_write_it() {
    let mut rig = Rig::new(json!({
        "origin": "https://api.example.com",
        "routes": [{ "path": "/plain", "cache": { "ttl": "60s" } }],
    }));
    rig.get("/plain?symbols=[%22A%22,%27%3Cb%3E%27]");
    let seen = rig.purge(&json!({ "urls": ["/plain?symbols=[\"A\",'<b>']"] }));
    assert_eq!(seen.status, 200);
    rig.another_isolate();
    assert_eq!(rig.get("/plain?symbols=[%22A%22,%27%3Cb%3E%27]").fetches, 1);
}

proptest! {
    #[test]
    fn any_body_is_answered(body: Vec<u8>, url in ".{0,60}", tag: String) {
        let mut rig = Rig::new(config());
        rig.body = Ok(body.into());
        let seen = rig.send(&purging());
        prop_assert!(matches!(seen.status, 200 | 400 | 422));
        for body in [json!({ "urls": [url] }), json!({ "tags": [tag] })] {
            let seen = rig.purge(&body);
            prop_assert!(matches!(seen.status, 200 | 422), "{:?}", seen);
        }
        for (key, _) in &rig.epochs {
            prop_assert!(key.len() <= 256 && key.bytes().all(|b| b.is_ascii_graphic()));
        }
    }
}

//! Query parameters that a route does not declare: dropped, passed on or refused.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::rig::{Rig, Seen, TOKEN, get, response};

fn config(choice: &str) -> Value {
    json!({
        "origin": "https://api.example",
        "limits": { "ip": { "by": "ip", "window": "60s", "quota": 100 } },
        "origin_quotas": { "provider": { "limit": 50, "window": "60s" } },
        "routes": [{
            "path": "/book", "limits": ["ip"], "origin_quota": "provider",
            "refund_on": [400],
            "cache": {
                "ttl": "10s", "query": ["symbol", "limit"], "unknown_query": choice,
                "normalize": { "symbol": "upper" }, "tags": ["symbol:{query.symbol}"],
            },
        }],
    })
}

/// What was sent to the origin last.
fn sent(rig: &Rig) -> &str {
    rig.sent
        .last()
        .unwrap()
        .url
        .strip_prefix("https://api.example")
        .unwrap()
}

fn used(rig: &Rig) -> u64 {
    let text = rig.model.text("ot:l:@origin:provider");
    text.map_or(0, |text| text.split(' ').nth(6).unwrap().parse().unwrap())
}

fn told(seen: &Seen) -> Value {
    serde_json::from_slice(&seen.body).unwrap()
}

#[test]
fn by_default_an_unknown_parameter_is_left_out() {
    let mut rig = Rig::new(config("drop"));
    rig.get("/book?utm=1&symbol=btc");
    assert_eq!(sent(&rig), "/book?symbol=BTC");
    assert_eq!(rig.get("/book?symbol=BTC&x[]=2").fetches, 0);
}

#[test]
fn known_spellings_and_empty_pairs_are_not_unknown() {
    for choice in ["drop", "pass", "refuse"] {
        let mut rig = Rig::new(config(choice));
        rig.get("/book?symbol=BTC");
        for path in [
            "/book?symbol=btc",
            "/book?&&symbol=BTC&",
            "/book?s%79mbol=BTC",
            "/book?%73ymbol=BTC#utm=1",
        ] {
            let seen = rig.get(path);
            assert_eq!((seen.status, seen.fetches), (200, 0), "{choice} {path}");
        }
        for path in [
            "/book",
            "/book?",
            "/book?&&",
            "/book?symbol=A&symbol=B",
            "/book?limit",
        ] {
            assert_eq!(rig.get(path).status, 200, "{choice} {path}");
            assert!(
                !rig.get(path).cache().contains("unknown"),
                "{choice} {path}"
            );
        }
        assert_eq!(rig.get("/book").fetches, rig.get("/book?").fetches);
    }
}

#[test]
fn a_request_that_is_passed_on_goes_past_the_cache_as_it_is() {
    let mut rig = Rig::new(config("pass"));
    rig.get("/book?symbol=BTC");
    let odd = "/book?utm=1&symbol=btc&&%78=%7e";
    for n in 0..3 {
        rig.next(response(400, "property utm should not exist"));
        let seen = rig.send(&get(odd).with("cookie", "a=b"));
        assert_eq!((seen.status, seen.fetches), (400, 1), "{n}");
        assert_eq!(seen.cache(), "fwd=bypass; detail=unknown-query");
        assert_eq!(sent(&rig), odd);
        assert_eq!(rig.sent.last().unwrap().headers["cookie"], "a=b");
    }
    assert_eq!(used(&rig), 4, "it counts against the origin quota");
    let seen = rig.get("/book?symbol=BTC");
    assert_eq!(
        (seen.status, seen.fetches),
        (200, 0),
        "the entry is as it was"
    );
    // The query goes on as it is for whatever reason the request bypasses the cache.
    let stored = get(odd).with("cache-control", "no-store");
    assert_eq!(
        rig.send(&stored).cache(),
        "fwd=bypass; detail=request-no-store"
    );
    assert_eq!(sent(&rig), odd);
    let known = get("/book?limit=1&symbol=btc").with("cache-control", "no-store");
    rig.send(&known);
    assert_eq!(sent(&rig), "/book?limit=1&symbol=BTC");
}

#[test]
fn requests_that_are_passed_on_do_not_wait_for_each_other() {
    let mut rig = Rig::new(config("pass"));
    let request = get("/book?utm=1");
    for _ in 0..3 {
        let step = rig.begin(&request);
        assert!(matches!(step, omnitrade_edge::gateway::Step::Fetch(..)));
    }
}

#[test]
fn a_refusal_names_the_parameters_and_calls_nobody() {
    let mut rig = Rig::new(config("refuse"));
    let seen = rig.get("/book?utm=1&symbol=BTC&utm=2&x%5B%5D=%3Cb%3E");
    assert_eq!((seen.status, seen.fetches), (400, 0));
    assert_eq!(seen.header("content-type"), "application/problem+json");
    assert_eq!(seen.cache(), "detail=unknown-query");
    let body = told(&seen);
    assert_eq!(body["code"], "unknown_query");
    assert_eq!(body["parameters"], json!(["utm", "x%5B%5D"]));
    assert_eq!(body["detail"], "Unknown: utm, x%5B%5D");
    assert_eq!(rig.send(&get("/book?utm=1").by("HEAD")).status, 400);
    assert_eq!(used(&rig), 0, "the origin was not called");
    // Parameters without a name, and such with a broken escape, are unknown.
    for path in [
        "/book?=1",
        "/book?symbol%=1",
        "/book?symbol[]=BTC",
        "/book?Symbol=BTC",
    ] {
        assert_eq!(rig.get(path).status, 400, "{path}");
    }
}

#[test]
fn a_refusal_costs_what_the_request_costs() {
    let mut rig = Rig::new(config("refuse"));
    for left in [99, 98, 97] {
        let seen = rig.get("/book?utm=1");
        let told = seen.header("ratelimit");
        assert!(told.contains(&format!("r={left};")), "{told}");
    }
    for _ in 0..97 {
        rig.get("/book?utm=1");
    }
    assert_eq!(rig.get("/book?utm=1").status, 429, "a limit comes first");
}

#[test]
fn what_a_refusal_tells_is_bounded() {
    let mut rig = Rig::new(config("refuse"));
    let long = "x".repeat(4_000);
    let many: Vec<_> = (0..500).map(|n| format!("p{n}=1")).collect();
    let seen = rig.get(&format!("/book?{long}&{}", many.join("&")));
    assert_eq!(seen.status, 400);
    let names = told(&seen)["parameters"].as_array().unwrap().clone();
    assert_eq!(names.len(), 8);
    assert_eq!(names[0], format!("{}…", "x".repeat(64)));
    assert!(seen.body.len() < 1_000, "{}", seen.body.len());
    let seen = rig.get("/book?\u{1}\"<script>=1");
    let body = String::from_utf8(seen.body.to_vec()).unwrap();
    assert!(body.contains("%01%22%3Cscript%3E"), "{body}");
}

#[test]
fn other_methods_and_upgrades_keep_their_query() {
    for choice in ["drop", "pass", "refuse"] {
        let mut rig = Rig::new(config(choice));
        for request in [
            get("/book?utm=1").by("POST"),
            get("/book?utm=1").by("OPTIONS"),
            get("/book?utm=1").with("upgrade", "websocket"),
        ] {
            let seen = rig.send(&request);
            assert_eq!((seen.status, seen.fetches), (200, 1), "{choice}");
            assert_eq!(sent(&rig), "/book?utm=1");
        }
    }
}

#[test]
fn purges_and_changes_reach_the_entry_whatever_else_their_url_has() {
    let bearer = format!("Bearer {TOKEN}");
    for choice in ["drop", "pass", "refuse"] {
        for names in [
            r#"{"urls":["https://edge.example/book?utm=1&symbol=btc"]}"#,
            r#"{"tags":["symbol:BTC"]}"#,
        ] {
            let mut rig = Rig::new(config(choice));
            rig.get("/book?symbol=BTC");
            rig.body = Ok(Bytes::copy_from_slice(names.as_bytes()));
            let purge = get("/__edge/purge").by("POST");
            let seen = rig.send(&purge.with("authorization", &bearer));
            assert_eq!(seen.status, 200, "{choice}");
            assert_eq!(rig.get("/book?symbol=BTC").fetches, 1, "{choice}");
        }
        let mut rig = Rig::new(config(choice));
        rig.get("/book?symbol=BTC");
        rig.send(&get("/book?utm=1&symbol=btc").by("DELETE"));
        assert_eq!(rig.get("/book?symbol=BTC").fetches, 1, "{choice}");
    }
}

//! Which request headers reach the origin. On a route that declares its query, none does that could
//! change the answer for everybody.

use serde_json::{Value, json};

use crate::cache::{book, hit};
use crate::rig::{Request, Rig, get, response};

fn rig(cache: Value) -> Rig {
    Rig::new(json!({
        "origin": "https://api.example",
        "routes": [{ "path": "/{*rest}", "cache": cache }],
    }))
}

/// A request with a value in each of these headers.
fn with_all(names: &[&str]) -> Request {
    names
        .iter()
        .fold(get("/book"), |request, name| request.with(name, "mine"))
}

/// The headers that reached the origin with a client's value.
fn reached(rig: &Rig) -> Vec<String> {
    let sent = rig.sent.last().unwrap();
    let mine = sent.headers.iter().filter(|(_, value)| *value == "mine");
    mine.map(|(name, _)| name.to_string()).collect()
}

const HARMLESS: [&str; 11] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "authorization",
    "cache-control",
    "cdn-loop",
    "origin",
    "pragma",
    "traceparent",
    "tracestate",
    "x-request-id",
];

const OTHERS: [&str; 9] = [
    "cookie",
    "user-agent",
    "x-api-key",
    "x-tenant",
    "referer",
    "accept-charset",
    "cf-ipcountry",
    "x-forwarded-host",
    "x-http-method-override",
];

#[test]
fn a_route_that_declares_its_query_hands_on_only_harmless_headers() {
    let mut rig = rig(json!({ "ttl": "1s", "query": [] }));
    let all: Vec<_> = HARMLESS.into_iter().chain(OTHERS).collect();
    rig.send(&with_all(&all));
    let mut reached = reached(&rig);
    reached.sort();
    assert_eq!(reached, HARMLESS);
    let sent = rig.sent.last().unwrap();
    assert_eq!(
        sent.headers["x-forwarded-for"], "192.0.2.7",
        "the gate's own"
    );
    assert_eq!(sent.headers["x-forwarded-host"], "edge.example");
}

#[test]
fn listed_headers_replace_the_default_and_those_of_the_key_go_along() {
    let mut rig = rig(json!({
        "ttl": "1s", "query": [], "forward": ["X-Api-Key"], "vary": ["X-Tenant"],
    }));
    let all: Vec<_> = HARMLESS.into_iter().chain(OTHERS).chain(["via"]).collect();
    rig.send(&with_all(&all));
    let mut reached = reached(&rig);
    reached.sort();
    assert_eq!(
        reached,
        ["x-api-key", "x-tenant"],
        "and what is forged never"
    );
}

#[test]
fn a_route_that_declares_no_query_hands_on_what_a_proxy_must() {
    let mut rig = rig(json!({ "ttl": "1s" }));
    rig.send(&with_all(&OTHERS));
    let forged = ["x-forwarded-host", "x-http-method-override"];
    let mut expected: Vec<_> = OTHERS
        .iter()
        .filter(|name| !forged.contains(name))
        .collect();
    let mut reached = reached(&rig);
    expected.sort();
    reached.sort();
    assert_eq!(reached.iter().collect::<Vec<_>>(), expected);
}

#[test]
fn a_request_that_the_cache_does_not_handle_keeps_its_headers() {
    let mut rig = rig(json!({ "ttl": "1s", "query": [] }));
    let bypass = get("/book").with("cache-control", "no-store");
    let upgrade = get("/book").with("upgrade", "websocket");
    for request in [bypass, upgrade, get("/book").by("POST")] {
        rig.send(&request.with("cookie", "mine").with("x-api-key", "mine"));
        assert_eq!(reached(&rig), ["cookie", "x-api-key"]);
    }
}

#[test]
fn conditions_of_the_cache_and_ranges_of_clients_still_reach_the_origin() {
    let mut rig = rig(json!({ "ttl": "1s", "query": [], "forward": [] }));
    rig.next(book("[1]"));
    rig.send(&get("/book").with("if-none-match", "\"mine\""));
    assert!(!rig.sent[0].headers.contains_key("if-none-match"));
    rig.wait(1_000);
    rig.next(response(304, "").with("etag", "\"v1\""));
    assert_eq!(rig.get("/book").text(), "[1]");
    assert_eq!(rig.sent[1].headers["if-none-match"], "\"v1\"");
    rig.send(
        &get("/other")
            .with("range", "bytes=0-1")
            .with("if-range", "\"a\""),
    );
    assert_eq!(rig.sent[2].headers["range"], "bytes=0-1");
    assert_eq!(rig.sent[2].headers["if-range"], "\"a\"");
}

/// The origin saw none of the clients' cookies, so its answer is the same for all, whatever it
/// varies by.
#[test]
fn a_response_does_not_vary_by_what_did_not_reach_the_origin() {
    for (cache, one_answer) in [
        (json!({ "ttl": "9s", "query": [] }), true),
        (
            json!({ "ttl": "9s", "query": [], "forward": ["cookie"] }),
            false,
        ),
        (json!({ "ttl": "9s" }), false),
    ] {
        let mut rig = rig(cache);
        let ask = |rig: &mut Rig, cookie| {
            rig.origin.clear();
            rig.next(book("[1]").with("vary", "Cookie"));
            rig.send(&get("/book").with("cookie", cookie)).fetches
        };
        assert_eq!(ask(&mut rig, "a=1"), 1);
        assert_eq!(ask(&mut rig, "a=2") == 0, one_answer);
        rig.another_isolate();
        assert_eq!(ask(&mut rig, "a=3") == 0, one_answer);
    }
}

#[test]
fn what_did_reach_it_still_tells_answers_apart() {
    let mut rig = rig(json!({ "ttl": "9s", "query": [] }));
    for tongue in ["en", "de"] {
        rig.next(book(tongue).with("vary", "accept-language"));
        rig.send(&get("/book").with("accept-language", tongue));
    }
    for tongue in ["en", "de"] {
        let seen = rig.send(&get("/book").with("accept-language", tongue));
        hit(&seen, "l1");
        assert_eq!(seen.text(), tongue);
    }
}

/// RFC 9111 §3.5 is about answers to requests with credentials, so it applies only if the origin
/// has seen some.
#[test]
fn only_credentials_that_reached_the_origin_make_it_private_rfc9111_3_5() {
    for (forward, shared) in [(json!(null), false), (json!(["accept"]), true)] {
        let mut rig = rig(json!({ "ttl": "9s", "query": [], "forward": forward }));
        rig.send(&get("/book").with("authorization", "Bearer mine"));
        let sent = &rig.sent[0].headers;
        assert_eq!(sent.contains_key("authorization"), !shared);
        assert_eq!(rig.get("/book").fetches == 0, shared);
    }
}

/// Headers in which a client could claim what only the gate knows.
const FORGED: [&str; 20] = [
    "forwarded",
    "via",
    "client-ip",
    "true-client-ip",
    "fastly-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-edge-limiter",
    "x-envoy-external-address",
    "x-forwarded-email",
    "x-forwarded-method",
    "x-forwarded-uri",
    "x-forwarded-user",
    "x-auth-request-user",
    "x-host",
    "x-http-method-override",
    "x-original-method",
    "x-original-url",
    "x-real-ip",
    "remote-user",
];

/// Headers that a proxy forwards although they resemble those.
const ALIKE: [&str; 8] = [
    "cf-ipcountry",
    "user_id",
    "x-api-key",
    "x-client-version",
    "x-real-time",
    "x-request-id",
    "x-requested-with",
    "x-user-id",
];

fn all_routes() -> Rig {
    Rig::new(json!({
        "origin": "https://api.example",
        "routes": [
            { "path": "/plain/{*rest}" },
            { "path": "/cached/{*rest}", "cache": { "ttl": "1s" } },
            { "path": "/declared/{*rest}", "cache": {
                "ttl": "1s", "query": [], "forward": ALIKE,
            } },
        ],
    }))
}

#[test]
fn no_client_speaks_for_the_gate_on_any_route_by_any_method() {
    let respelt = |name: &str| [name.replace('-', "_"), name.replace('-', ".")];
    let spellings = FORGED.iter().flat_map(|name| respelt(name));
    let forged: Vec<_> = FORGED
        .map(str::to_owned)
        .into_iter()
        .chain(spellings)
        .collect();
    let mut rig = all_routes();
    for path in ["/plain/a", "/cached/a", "/declared/a", "/unclaimed"] {
        for method in ["GET", "POST", "HEAD"] {
            for upgrade in [false, true] {
                let names = forged.iter().map(String::as_str).chain(ALIKE);
                let mut request = names.fold(get(path).by(method), |request, name| {
                    request.with(name, "mine")
                });
                if upgrade {
                    request = request
                        .with("connection", "upgrade")
                        .with("upgrade", "websocket");
                }
                rig.another_isolate();
                rig.wait(2_000);
                rig.send(&request);
                let mut reached = reached(&rig);
                reached.sort();
                assert_eq!(reached, ALIKE, "{method} {path}, upgrade: {upgrade}");
                let upgraded = rig.sent.last().unwrap().headers.contains_key("upgrade");
                assert_eq!(upgraded, upgrade);
            }
        }
    }
}

/// A server that folds header names would take it for the API key, under which the gate has not
/// counted.
#[test]
fn no_api_key_gets_past_the_gate_by_another_spelling() {
    let mut rig = Rig::new(json!({ "origin": "https://api.example" }));
    for name in [
        "x_api_key",
        "X_Api-Key",
        "x.api.key",
        "cf_connecting_ip",
        "CF-Connecting_IP",
    ] {
        rig.send(&get("/").with(name, "mine"));
        assert_eq!(reached(&rig), [""; 0], "{name}");
    }
    rig.send(&get("/").with("x-api-key", "mine"));
    assert_eq!(reached(&rig), ["x-api-key"]);
}

#[test]
fn another_spelling_of_a_header_in_the_key_does_not_reach_the_origin() {
    let mut rig = rig(json!({ "ttl": "9s", "vary": ["x-tenant"] }));
    rig.next(book("for nobody"));
    rig.send(&get("/book").with("x_tenant", "mine"));
    assert_eq!(reached(&rig), [""; 0]);
    hit(&rig.get("/book"), "l1");
    rig.send(&get("/book").with("x-tenant", "mine"));
    assert_eq!(
        reached(&rig),
        ["x-tenant"],
        "in the key, and so another answer"
    );
}

/// An origin that folds header names answers with one tenant's data, and the cache key does not
/// tell tenants apart.
#[test]
fn an_answer_to_another_spelling_of_what_it_varies_by_is_not_stored() {
    for (spelt, stored) in [("x_tenant", false), ("x.tenant", false), ("x_other", true)] {
        let mut rig = rig(json!({ "ttl": "9s" }));
        rig.next(book("one tenant's").with("vary", "Accept, X-Tenant"));
        rig.send(&get("/book").with(spelt, "mine"));
        assert_eq!(reached(&rig), [spelt]);
        rig.next(book("all tenants'"));
        assert_eq!(rig.get("/book").fetches == 0, stored, "{spelt}");
    }
}

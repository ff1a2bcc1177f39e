//! Absurd requests and absurd origins: each gets a clean step, and no secret is shown anywhere.

use omnitrade_edge::engine::http_cache::Target;
use omnitrade_edge::engine::route::segments;
use omnitrade_edge::error::ErrorKind;
use omnitrade_edge::gateway::Step;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::rig::{Request, Response, Rig, Store, get, response};

fn config() -> Value {
    json!({
        "origin": "https://api.example/v1",
        "default_limits": ["client", "ip", "all"],
        "client": { "ipv6_prefix": 48 },
        "cors": { "origins": ["https://app.example"], "credentials": true, "preflight": true },
        "rewrite_location": true,
        "redis": { "key_prefix": "a-prefix-that-is-as-long-as-can." },
        "limits": {
            "client": { "by": "client", "window": "60s", "quota": 1000 },
            "ip": { "by": "ip", "window": "60s", "quota": 1000 },
            "key": { "by": "api-key", "window": "60s", "quota": 1000 },
            "route": { "by": "route", "window": "60s", "quota": 1000 },
            "all": { "by": "global", "window": "60s", "quota": 1000 },
        },
        "routes": [
            { "path": "/a/{*rest}", "limits": ["client", "ip", "key"], "cache": {
                "ttl": "1s", "query": ["q", "r"], "vary": ["x-api-key", "accept-language"],
            } },
            { "path": "/b/{id}", "limits": ["route"], "cache": { "ttl": "1s" } },
            { "path": "/c", "methods": ["GET", "POST"], "cache": {} },
        ],
    })
}

fn header_name() -> impl Strategy<Value = String> {
    let known = [
        "x-api-key",
        "cf-connecting-ip",
        "connection",
        "upgrade",
        "origin",
        "access-control-request-headers",
        "access-control-request-method",
        "cache-control",
        "if-none-match",
        "if-modified-since",
        "range",
        "authorization",
        "x-forwarded-for",
        "accept-language",
        "content-length",
        "transfer-encoding",
        "pragma",
        "host",
        "cookie",
    ];
    prop_oneof![5 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => "[a-z-]{1,20}"]
}

fn header_value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,80}",
        "[\\x20-\\x7e\\u{80}-\\u{ff}]{0,40}",
        Just("only-if-cached, max-stale=\"9, no-cache".to_owned()),
        Just("max-age=99999999999999999999, min-fresh=-1".to_owned()),
        Just("websocket".to_owned()),
        Just("https://app.example".to_owned()),
        Just("https://api.example/v1/a".to_owned()),
        Just("PUT, x-a, origin".to_owned()),
        Just("*, \"x\", W/\"y\"".to_owned()),
        Just("::ffff:1.2.3.4".to_owned()),
        Just("Thu, 01 Jan 1970 00:00:00 GMT".to_owned()),
        (1_usize..9_000).prop_map(|n| "k".repeat(n)),
    ]
}

fn url() -> impl Strategy<Value = String> {
    let path = prop_oneof![
        "/(a|b|c|A|%61)/[ -~]{0,40}",
        "/[a-c](\\?[ -~]{0,60})?",
        "(/[%a-f0-9.]{0,8}){0,5}(\\?(q|r|s)=[%&=+a-z]{0,30})?",
        "/__edge[ -~]{0,10}",
        (1_usize..20_000).prop_map(|n| format!("/a/{}", "é%20".repeat(n / 5))),
    ];
    prop_oneof![
        9 => path.prop_map(|path| format!("https://edge.example{path}")),
        1 => ".{0,60}",
    ]
}

/// Whether a request is for an admin page, which no page of another origin may read.
fn is_admin(request: &Request) -> bool {
    let target = Target::of(&request.url);
    let path = target.and_then(|target| segments(target.path()).ok());
    path.is_some_and(|path| path.first().is_some_and(|first| first == "__edge"))
}

fn requests() -> impl Strategy<Value = Request> {
    let method = prop_oneof![
        6 => Just("GET".to_owned()),
        1 => Just("HEAD".to_owned()),
        1 => Just("OPTIONS".to_owned()),
        1 => "[A-Z]{1,20}",
        1 => "[!-~]{0,8}",
    ];
    let headers = prop::collection::vec((header_name(), header_value()), 0..8);
    (method, url(), headers, any::<bool>()).prop_map(|(method, url, headers, limits_only)| {
        let mut request = Request {
            method,
            url,
            headers: http::HeaderMap::new(),
            limits_only,
        };
        for (name, value) in headers {
            let octets: Vec<u8> = value.chars().map(|c| c as u8).collect();
            let value = http::HeaderValue::from_bytes(&octets).unwrap();
            let name = http::HeaderName::try_from(name).unwrap();
            request.headers.append(name, value);
        }
        request
    })
}

fn responses() -> impl Strategy<Value = Response> {
    let name = prop::sample::select(vec![
        "cache-control",
        "age",
        "etag",
        "vary",
        "date",
        "expires",
        "last-modified",
        "content-length",
        "content-encoding",
        "connection",
        "set-cookie",
        "cache-status",
        "cdn-cache-control",
        "access-control-allow-origin",
        "location",
        "content-location",
        "x-ratelimit-limit",
    ]);
    let value = prop_oneof![
        header_value(),
        Just("max-age=60".to_owned()),
        Just("public, s-maxage=1, stale-while-revalidate=9".to_owned()),
        Just("0".to_owned()),
    ];
    let status = prop_oneof![5 => Just(200_u16), 1 => Just(304), 1 => 200_u16..600];
    let headers = prop::collection::vec((name, value), 0..6);
    (status, headers, "[ -~]{0,60}").prop_map(|(status, headers, body)| {
        let mut response = response(status, &body);
        for (name, value) in headers {
            let octets: Vec<u8> = value.chars().map(|c| c as u8).collect();
            let value = http::HeaderValue::from_bytes(&octets).unwrap();
            response.headers.append(name, value);
        }
        response
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_request_gets_an_answer_and_no_key_is_long(
        exchanges in prop::collection::vec((requests(), responses(), 0_u64..3_000), 1..8),
        up in prop::bool::ANY,
    ) {
        let mut rig = Rig::new(config());
        if !up {
            rig.store = Store::Down(ErrorKind::Server);
        }
        for (request, response, wait) in exchanges {
            rig.wait(wait);
            rig.next(response);
            let seen = rig.send(&request);
            prop_assert!((100..=599).contains(&seen.status));
            let vary = seen.header("vary").to_ascii_lowercase();
            let varies = vary.contains("origin") || vary.contains('*');
            let admin = is_admin(&request) && !request.limits_only;
            prop_assert_ne!(varies, admin, "{}: {}", request.url, vary);
            for key in rig.asks.drain(..).flat_map(|ask| ask.keys) {
                prop_assert!(key.len() <= 256, "{} bytes: {key}", key.len());
                prop_assert!(key.bytes().all(|b| b.is_ascii_graphic()), "{key}");
            }
            for write in rig.writes.drain(..) {
                prop_assert!(!write.value.contains("access-control-allow-credentials"));
                prop_assert!(write.key.len() <= 256 && write.ttl_ms > 0);
            }
        }
    }

    #[test]
    fn any_url_is_a_step(url in ".{0,200}", method in ".{0,10}") {
        let mut rig = Rig::new(config());
        let request = Request { url, method, headers: http::HeaderMap::new(), limits_only: false };
        match rig.gate.decide(&request, rig.shown()) {
            Step::Respond(_) | Step::Fetch(..) | Step::Wait(..) => {}
            #[cfg(feature = "queue")]
            Step::ReadJob(..) | Step::Enqueue(..) => prop_assert!(false, "there is no queue"),
            Step::Read(_) | Step::Purge(_) => prop_assert!(false, "nobody may purge"),
            Step::Examine => prop_assert!(false, "nobody may look"),
            Step::Verify(_) | Step::AwaitKeys(..) | Step::AwaitPermits(..) => prop_assert!(false, "there is no other request"),
            Step::Ask(ask, _) => prop_assert!(ask.keys.iter().all(|key| key.len() <= 256)),
        }
    }

    #[test]
    fn a_key_reaches_nobody_but_the_origin(
        key in "secret-[!-~]{20,40}",
        path in prop::sample::select(vec!["/a/x", "/b/x", "/c", "/other", "/__edge/health"]),
        answer in responses(),
    ) {
        let mut rig = Rig::new(config());
        let request = get(path).with("x-api-key", &key);
        for wait in [0, 500, 5_000] {
            rig.wait(wait);
            rig.next(answer.clone());
            let seen = rig.send(&request);
            // What goes to the client and to the store, and what the store keeps.
            let told = format!("{:?} {:?} {:?}", seen, rig.asks, rig.writes);
            prop_assert!(!told.contains(&key), "{told}");
            for name in rig.model.keys() {
                prop_assert!(!name.contains(&key));
                prop_assert!(!rig.model.text(name).unwrap().contains(&key));
            }
        }
        for sent in &rig.sent {
            prop_assert_eq!(&sent.headers["x-api-key"], &key);
            prop_assert!(!sent.url.contains(&key));
            let others = sent.headers.iter().filter(|(name, _)| *name != "x-api-key");
            prop_assert!(others.into_iter().all(|(_, value)| value != &key));
        }
    }
}

#[test]
fn the_origin_hears_of_one_client_only_what_the_gate_knows() {
    let mut rig = Rig::new(config());
    let request = get("/other")
        .with("x-forwarded-for", "6.6.6.6")
        .with("x-real-ip", "6.6.6.6")
        .with("forwarded", "for=6.6.6.6")
        .with("connection", "keep-alive, X-Trace")
        .with("keep-alive", "timeout=5")
        .with("x-trace", "hop by hop")
        .with("te", "trailers")
        .with("authorization", "Bearer t")
        .with("cookie", "a=b");
    rig.send(&request);
    let sent = &rig.sent[0].headers;
    assert_eq!(sent["x-forwarded-for"], "192.0.2.7");
    assert_eq!(sent["x-forwarded-proto"], "https");
    assert_eq!(sent["x-forwarded-host"], "edge.example");
    for gone in [
        "x-real-ip",
        "forwarded",
        "connection",
        "keep-alive",
        "x-trace",
        "te",
    ] {
        assert!(!sent.contains_key(gone), "{gone}");
    }
    assert_eq!(
        (&sent["authorization"], &sent["cookie"]),
        (&"Bearer t".parse().unwrap(), &"a=b".parse().unwrap())
    );
    let nobody = get("/other").from("not an address");
    rig.send(&nobody);
    assert!(!rig.sent[1].headers.contains_key("x-forwarded-for"));
}

#[test]
fn an_upgrade_passes_untouched_and_past_the_cache() {
    let mut rig = Rig::new(config());
    let request = get("/b/socket")
        .with("connection", "Upgrade")
        .with("upgrade", "websocket")
        .with("sec-websocket-key", "x");
    rig.next(response(101, "").with("upgrade", "websocket"));
    let seen = rig.send(&request);
    assert_eq!((seen.status, seen.asks), (101, 1));
    assert_eq!(seen.header("cache-status"), "");
    let sent = &rig.sent[0].headers;
    assert_eq!(
        (&sent["connection"], &sent["upgrade"]),
        (&"Upgrade".parse().unwrap(), &"websocket".parse().unwrap())
    );
}

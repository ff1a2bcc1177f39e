//! Limits while the store answers.

use serde_json::{Value, json};

use crate::rig::{Rig, Seen, get, response};

fn config() -> Value {
    json!({
        "origin": "https://api.example/base",
        "default_limits": ["ip"],
        "limits": {
            "client": { "by": "client", "window": "60s", "quota": 3, "keyed_quota": 5 },
            "ip": { "by": "ip", "window": "60s", "quota": 10 },
            "key": { "by": "api-key", "window": "10s", "quota": 2 },
            "route": { "by": "route", "window": "60s", "quota": 4 },
            "all": { "by": "global", "window": "60s", "quota": 6 },
            "watched": { "by": "ip", "window": "60s", "quota": 1, "mode": "shadow" },
        },
        "routes": [
            { "path": "/both", "limits": ["client", "ip"] },
            { "path": "/keyed", "limits": ["key"] },
            { "path": "/one/{id}", "limits": ["route"] },
            { "path": "/two/{id}", "limits": ["route"] },
            { "path": "/all", "limits": ["all"] },
            { "path": "/watched", "limits": ["watched", "ip"] },
            { "path": "/dear", "limits": ["ip"], "cost": 4 },
            { "path": "/free" },
        ],
    })
}

fn problem(seen: &Seen) -> Value {
    assert_eq!(seen.header("content-type"), "application/problem+json");
    serde_json::from_slice(&seen.body).unwrap()
}

#[test]
fn an_admitted_request_tells_what_is_left() {
    let mut rig = Rig::new(config());
    rig.next(response(201, "made").with("x-own", "kept"));
    let seen = rig.get("/any");
    assert_eq!((seen.status, seen.text()), (201, "made"));
    assert_eq!(seen.header("ratelimit-policy"), r#""ip";q=10;w=60"#);
    assert_eq!(seen.header("ratelimit"), r#""ip";r=9;t=62"#);
    assert_eq!(seen.limiter(), "redis");
    assert_eq!(seen.header("x-own"), "kept");
    assert_eq!(seen.header("cache-status"), "", "the route has no cache");
    assert_eq!((seen.asks, seen.fetches), (1, 1));
    assert_eq!(rig.sent[0].url, "https://api.example/base/any");
}

#[test]
fn a_refusal_is_a_problem_with_a_true_retry_after() {
    let mut rig = Rig::new(config());
    for left in (0..3).rev() {
        let seen = rig.get("/both");
        let state = format!(r#""client";r={left};t=62, "ip";r={};t=62"#, left + 7);
        assert_eq!(seen.header("ratelimit"), state);
    }
    rig.wait(1_500);
    let seen = rig.get("/both");
    assert_eq!((seen.status, seen.fetches), (429, 0));
    assert_eq!(seen.header("retry-after"), "61", "60.5 seconds, rounded up");
    assert_eq!(
        seen.header("ratelimit-policy"),
        r#""client";q=3;w=60, "ip";q=10;w=60"#
    );
    assert_eq!(
        seen.header("ratelimit"),
        r#""client";r=0;t=61, "ip";r=7;t=61"#
    );
    assert_eq!(seen.header("cache-control"), "no-store");
    let body = problem(&seen);
    let kind = "https://iana.org/assignments/http-problem-types#quota-exceeded";
    assert_eq!(body["type"], kind);
    assert_eq!(body["status"], 429);
    assert_eq!(body["violated-policies"], json!(["client"]));
}

#[test]
fn a_remembered_refusal_asks_nobody_until_exactly_its_end() {
    let mut rig = Rig::new(config());
    for _ in 0..3 {
        assert_eq!(rig.get("/both").status, 200);
    }
    assert_eq!(rig.get("/both").limiter(), "redis");
    for (wait, told) in [(0, 62), (999, 62), (1, 61), (60_000, 1), (999, 1)] {
        rig.wait(wait);
        let seen = rig.get("/both");
        assert_eq!((seen.status, seen.asks, seen.fetches), (429, 0, 0));
        assert_eq!(seen.limiter(), "blocked");
        assert_eq!(seen.header("retry-after"), told.to_string());
        let state = format!(r#""client";r=0;t={told}"#);
        assert!(seen.header("ratelimit").starts_with(&state));
        assert_eq!(problem(&seen)["violated-policies"], json!(["client"]));
    }
    rig.wait(1);
    let seen = rig.get("/both");
    assert_eq!((seen.status, seen.asks), (200, 1), "to the millisecond");
}

#[test]
fn a_refusal_by_one_limit_charges_none() {
    let mut rig = Rig::new(config());
    for _ in 0..3 {
        rig.get("/both");
    }
    for _ in 0..20 {
        // Each refusal comes from a fresh isolate, so that the store decides it.
        rig.another_isolate();
        let seen = rig.get("/both");
        assert_eq!((seen.status, seen.limiter().as_str()), (429, "redis"));
    }
    assert_eq!(rig.get("/any").header("ratelimit"), r#""ip";r=6;t=62"#);
}

#[test]
fn a_refusal_is_remembered_for_its_own_limit_and_cost_only() {
    let mut rig = Rig::new(config());
    for _ in 0..2 {
        assert_eq!(rig.get("/dear").status, 200);
    }
    assert_eq!(rig.get("/dear").status, 429);
    assert_eq!(rig.get("/dear").limiter(), "blocked");
    let cheap = rig.get("/any");
    assert_eq!((cheap.status, cheap.limiter().as_str()), (200, "redis"));
    let other = get("/dear").from("198.51.100.1");
    assert_eq!(rig.send(&other).status, 200);
}

#[test]
fn a_key_buys_its_own_quota_and_no_more_than_the_address_has() {
    let mut rig = Rig::new(config());
    let keyed = |n: u32| get("/both").with("x-api-key", &format!("made-up-{n}"));
    let first = rig.send(&keyed(0));
    assert!(
        first
            .header("ratelimit-policy")
            .starts_with(r#""client";q=5"#)
    );
    let admitted = (1..50)
        .filter(|n| rig.send(&keyed(*n)).status == 200)
        .count();
    assert_eq!(
        admitted, 9,
        "ten for the address, whatever keys it makes up"
    );
}

#[test]
fn a_limit_by_key_does_not_count_who_has_none() {
    let mut rig = Rig::new(config());
    for key in ["", "  "] {
        let request = match key {
            "" => get("/keyed"),
            key => get("/keyed").with("x-api-key", key),
        };
        let seen = rig.send(&request);
        assert_eq!((seen.status, seen.asks), (200, 0));
        assert_eq!(seen.limiter(), "none");
        assert_eq!(seen.header("ratelimit-policy"), "");
    }
    let keyed = get("/keyed").with("x-api-key", "k");
    assert_eq!(rig.send(&keyed).header("ratelimit"), r#""key";r=1;t=11"#);
}

#[test]
fn limits_by_route_and_global_are_shared_by_all_clients() {
    let mut rig = Rig::new(config());
    let mut client = 0;
    let mut admitted = |path: &str| {
        let from = |n: &u32| get(path).from(&format!("198.51.100.{n}"));
        client += 20;
        (client..client + 20)
            .filter(|n| rig.send(&from(n)).status == 200)
            .count()
    };
    assert_eq!(admitted("/one/1"), 4);
    assert_eq!(admitted("/one/2"), 0, "the same route");
    assert_eq!(admitted("/two/1"), 4, "another");
    assert_eq!(admitted("/all"), 6);
}

#[test]
fn a_limit_in_shadow_reports_and_lets_through() {
    let mut rig = Rig::new(config());
    rig.get("/watched");
    for left in (1..9).rev() {
        let seen = rig.get("/watched");
        assert_eq!((seen.status, seen.asks), (200, 1));
        let state = format!(r#""watched";r=0;t=62, "ip";r={left};t=62"#);
        assert_eq!(seen.header("ratelimit"), state);
    }
}

#[test]
fn addresses_that_are_none_share_one_subject() {
    let mut rig = Rig::new(config());
    let mut served = 0;
    for text in ["", "nobody", "192.0.2.7, 10.0.0.1", "1.2.3", "::g"].repeat(4) {
        served += u32::from(rig.send(&get("/any").from(text)).status == 200);
    }
    assert_eq!(served, 10);
    let mut nowhere = get("/any");
    nowhere.headers.remove("cf-connecting-ip");
    assert_eq!(
        rig.send(&nowhere).status,
        429,
        "the same as no header at all"
    );
}

#[test]
fn a_preflight_is_not_limited_unless_a_route_names_its_method() {
    let mut rig = Rig::new(config());
    let preflight = get("/any")
        .by("OPTIONS")
        .with("origin", "https://app.example")
        .with("access-control-request-method", "PUT");
    for _ in 0..30 {
        let seen = rig.send(&preflight);
        assert_eq!((seen.status, seen.asks, seen.fetches), (200, 0, 1));
        assert_eq!(seen.limiter(), "none");
    }
    assert_eq!(rig.send(&get("/any").by("OPTIONS")).asks, 1, "no preflight");
    let mut named = config();
    named["routes"][0]["methods"] = json!(["OPTIONS"]);
    let mut rig = Rig::new(named);
    let preflight = crate::rig::Request {
        url: "https://edge.example/both".to_owned(),
        ..preflight
    };
    assert_eq!(rig.send(&preflight).asks, 1);
}

#[test]
fn a_route_without_limits_and_cache_asks_nobody() {
    let mut rig = Rig::new(config());
    let seen = rig.get("/free?a=1&b=%20");
    assert_eq!((seen.asks, seen.fetches), (0, 1));
    assert_eq!(rig.sent[0].url, "https://api.example/base/free?a=1&b=%20");
}

/// Servlet containers remove path parameters before they choose a handler.
#[test]
fn no_parameter_of_a_path_slips_past_a_limit_and_the_origin_gets_it() {
    let mut rig = Rig::new(config());
    let spellings = [
        "/both",
        "/both;x=1",
        "/both%3Bx=1",
        "/both;x=1/",
        "/;a=b/both",
        "/BOTH%3b;;",
        "//;/both;",
    ];
    for (n, path) in spellings.into_iter().enumerate() {
        let seen = rig.get(path);
        assert_eq!(seen.status, if n < 3 { 200 } else { 429 }, "{path}");
        assert!(
            seen.header("ratelimit-policy").contains("\"client\""),
            "{path}"
        );
    }
    let sent: Vec<_> = rig.sent.iter().map(|sent| sent.url.as_str()).collect();
    let whole = spellings.map(|path| format!("https://api.example/base{path}"));
    assert_eq!(sent, whole[..3]);
}

#[test]
fn a_client_address_that_is_none_is_noted_once_without_its_value() {
    let mut rig = Rig::new(config());
    let mut ask = |address: Option<&str>| {
        let mut request = get("/any");
        request.headers.remove("cf-connecting-ip");
        if let Some(address) = address {
            request = request.with("cf-connecting-ip", address);
        }
        let seen = rig.send(&request);
        (seen.header("ratelimit"), rig.notes())
    };
    let left = |(ratelimit, notes): (String, Vec<String>)| (ratelimit, notes.len());
    let state = |left: u32| format!(r#""ip";r={left};t=62"#);
    assert_eq!(
        left(ask(None)),
        (state(9), 0),
        "an absent header is no fault"
    );
    assert_eq!(left(ask(Some("192.0.2.1:80"))), (state(9), 0));
    assert_eq!(
        left(ask(Some("192.0.2.1"))),
        (state(8), 0),
        "the same client"
    );
    let (ratelimit, notes) = ask(Some("192.0.2.1, 192.0.2.2"));
    assert_eq!(
        ratelimit,
        state(8),
        "the bucket of all whose address is unknown"
    );
    let [note] = &notes[..] else {
        panic!("{notes:?}");
    };
    assert!(
        note.starts_with("client.ip_header: cf-connecting-ip is there"),
        "{note}"
    );
    assert!(!note.contains("192.0.2"), "{note}");
    assert_eq!(
        left(ask(Some("unknown"))),
        (state(7), 0),
        "and no second note"
    );
}

//! What is counted of random requests adds up, whatever happens meanwhile, and tells of nobody.

use std::collections::BTreeMap;

use omnitrade_edge::error::ErrorKind;
use omnitrade_edge::message::forward::Failure;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::messages::{Request, response};
use crate::rig::{Rig, Seen, Store, TOKEN, get};

const PATHS: [&str; 12] = [
    "/few",
    "/shadow",
    "/ahead",
    "/penalty",
    "/quota",
    "/cached?symbol=BTC",
    "/cached?symbol=ETH",
    "/cached?what=1",
    "/refunded",
    "/keyed",
    "/elsewhere",
    "/%zz",
];

fn config() -> Value {
    json!({
        "origin": "https://api.example",
        "limits": {
            "few": { "by": "ip", "window": "60s", "quota": 5 },
            "shadow": { "by": "ip", "window": "60s", "quota": 3, "mode": "shadow" },
            "ahead": { "by": "ip", "window": "60s", "quota": 100, "strategy": "lease" },
            "penalty": {
                "by": "ip", "window": "60s", "quota": 3,
                "penalty": { "after": 2 },
            },
            "closed": { "by": "ip", "window": "60s", "quota": 20, "on_failure": "closed" },
            "keyed": { "by": "api-key", "window": "60s", "quota": 4 },
        },
        "routes": [
            { "path": "/few", "limits": ["few", "shadow"] },
            { "path": "/shadow", "limits": ["shadow"] },
            { "path": "/ahead", "limits": ["ahead"] },
            { "path": "/penalty", "limits": ["penalty"] },
            { "path": "/quota", "limits": ["few"], "cache": { "ttl": "1s" },
              "origin_quota": { "limit": 3, "window": "60s" } },
            { "path": "/cached", "limits": ["ahead"], "cache": {
                "ttl": "5s", "stale_while_revalidate": "10s", "stale_if_error": "60s",
                "query": ["symbol"], "unknown_query": "refuse" } },
            { "path": "/refunded", "limits": ["few", "ahead"], "cost": 2, "refund_on": [404] },
            { "path": "/keyed", "limits": ["keyed", "closed"] },
        ],
    })
}

#[derive(Debug, Clone)]
enum Act {
    Send {
        path: usize,
        method: usize,
        odd: usize,
        client: u8,
    },
    Wait(u64),
    Store(Option<usize>),
    Origin(usize),
    /// The clock of the isolate goes back or forth.
    Clock(i64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let send = (0..PATHS.len(), 0..4_usize, 0..8_usize, 0..3_u8);
    let act = prop_oneof![
        20 => send.prop_map(|(path, method, odd, client)| Act::Send { path, method, odd, client }),
        3 => prop_oneof![0_u64..200, 0_u64..30_000].prop_map(Act::Wait),
        1 => prop::option::of(0..4_usize).prop_map(Act::Store),
        2 => (0..6_usize).prop_map(Act::Origin),
        1 => prop_oneof![Just(0_i64), -90_000_i64..90_000].prop_map(Act::Clock),
    ];
    prop::collection::vec(act, 1..150)
}

fn request(path: usize, method: usize, odd: usize, client: u8) -> Request {
    let request = get(PATHS[path]).from(&format!("203.0.113.{client}"));
    let request = match odd {
        1 => request.with("range", "bytes=0-1"),
        2 => request.with("if-none-match", "*"),
        3 => request
            .with("upgrade", "websocket")
            .with("connection", "upgrade"),
        4 => request.with("cache-control", "no-cache"),
        5 => request.with("cache-control", "only-if-cached"),
        6 => request.with("x-api-key", &format!("s3cret-key-of-{client}")),
        _ => request,
    };
    request.by(["GET", "GET", "HEAD", "POST"][method])
}

fn samples(rig: &Rig) -> BTreeMap<String, u64> {
    let text = rig.gate.metrics(rig.shown());
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let lines = lines.map(|line| line.rsplit_once(' ').unwrap());
    let mut all = BTreeMap::new();
    for (series, value) in lines {
        let value = value
            .parse::<f64>()
            .unwrap_or_else(|_| panic!("{series} {value}"));
        let told = all.insert(series.to_owned(), value.abs() as u64);
        assert!(told.is_none(), "{series} is told twice");
    }
    all
}

fn sum(samples: &BTreeMap<String, u64>, begin: &str, with: &str) -> u64 {
    let of = samples.iter();
    of.filter(|(series, _)| series.starts_with(begin) && series.contains(with))
        .map(|(_, number)| number)
        .sum()
}

fn stats(rig: &mut Rig) -> Value {
    let request = get("/__edge/stats").with("authorization", &format!("Bearer {TOKEN}"));
    let seen = rig.send(&request);
    assert_eq!(seen.status, 200);
    serde_json::from_slice(&seen.body).unwrap()
}

fn total(spans: &Value, field: &str) -> u64 {
    let spans = spans.as_array().unwrap().iter();
    spans
        .flat_map(|span| span[field].as_array().unwrap())
        .map(|number| number.as_u64().unwrap())
        .sum()
}

/// Whether an answer says that the cache was asked.
fn asked_cache(seen: &Seen) -> bool {
    let own = ["refused", "unknown-query", "origin-quota"];
    let not_asked = own.map(|why| format!("omnitrade-edge; detail={why}"));
    let mut said = seen.headers.get_all("cache-status").iter();
    said.any(|said| !not_asked.iter().any(|not| said == not))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_is_counted_of_random_requests_adds_up(acts in acts()) {
        let mut rig = Rig::new(config());
        let (mut sent, mut cached, mut refused, mut lines) = (0, 0, 0, Vec::new());
        for act in acts {
            match act {
                Act::Send { path, method, odd, client } => {
                    let request = request(path, method, odd, client);
                    let seen = rig.send(&request);
                    sent += 1;
                    cached += u64::from(asked_cache(&seen));
                    refused += u64::from(seen.status == 429);
                }
                Act::Wait(ms) => rig.wait(ms),
                Act::Store(None) => rig.store = Store::Up,
                Act::Store(Some(kind)) => {
                    rig.store = Store::Down([
                        ErrorKind::Timeout,
                        ErrorKind::Server,
                        ErrorKind::Unauthorised,
                        ErrorKind::QuotaExhausted,
                    ][kind]);
                }
                Act::Origin(5) => rig.origin.push_back(Err(Failure::Failed)),
                Act::Origin(n) => rig.next(response([200, 404, 500, 304, 503][n], "body")),
                Act::Clock(ms) => rig.ahead_ms = ms,
            }
            lines.extend(rig.notes());
            let told = samples(&rig);
            prop_assert_eq!(sum(&told, "edge_requests_total", ""), sent, "{:?}", told);
            prop_assert_eq!(sum(&told, "edge_cache_requests_total", ""), cached, "{:?}", told);
            let held = sum(&told, "edge_requests_total", "outcome=\"held\"");
            let said = sum(&told, "edge_requests_total", "outcome=\"refused\"") + held;
            prop_assert!(said >= refused, "{} of {}: {:?}", refused, said, told);
            let lent = |state| sum(&told, "edge_lease_permits_total", state);
            prop_assert!(
                lent("granted") >= lent("spent") + lent("returned"), "{:?}", told
            );
        }
        let told = samples(&rig);
        let shown = stats(&mut rig);
        for spans in ["minutes", "hours"] {
            prop_assert_eq!(total(&shown[spans], "outcomes"), sent, "{}", shown);
            prop_assert_eq!(total(&shown[spans], "sources"), sent);
            prop_assert_eq!(total(&shown[spans], "cache"), cached);
        }
        for limit in shown["limits"].as_array().unwrap() {
            let name = format!("{{limit={}", limit["name"]);
            for decision in ["admitted", "refused", "shadow_refused"] {
                let told = sum(
                    &told,
                    &format!("edge_limit_decisions_total{name}"),
                    &format!("decision=\"{decision}\""),
                );
                prop_assert_eq!(limit[decision].as_u64(), Some(told), "{} {}", name, decision);
            }
        }
        let all = format!("{shown}{lines:?}{}", rig.gate.metrics(rig.shown()));
        for secret in ["203.0.113", "s3cret", TOKEN, "api.example"] {
            prop_assert!(!all.contains(secret), "{} in {}", secret, all);
        }
    }
}

#[test]
fn calls_in_the_background_count_at_the_corrected_time() {
    let mut rig = Rig::new(config());
    // The store's clock corrects the isolate's, which is an hour ahead.
    rig.ahead_ms = 3_600_000;
    for _ in 0..2 {
        rig.next(response(404, "what it cost is given back after the answer"));
        assert_eq!(rig.get("/refunded").status, 404);
        let shown = stats(&mut rig);
        let now = shown["now"].as_u64().unwrap();
        assert!(now.abs_diff(rig.now.as_millis()) < 5_000, "{shown}");
        for span in shown["seconds"].as_array().unwrap() {
            assert!(span["at"].as_u64().unwrap() <= now, "{span}");
        }
        rig.wait(100);
    }
    assert!(!rig.background.is_empty());
}

//! The store fails, is slow, replies nonsense, recovers, or never existed.

use omnitrade_edge::engine::limit::Source;
use omnitrade_edge::error::{Error, ErrorKind};
use omnitrade_edge::redis::Value as Reply;
use omnitrade_edge::redis::error_of_reply;
use serde_json::{Value, json};

use crate::rig::{Rig, Store, get};

const ALL_KINDS: [ErrorKind; 10] = [
    ErrorKind::Config,
    ErrorKind::Timeout,
    ErrorKind::Unreachable,
    ErrorKind::Unauthorised,
    ErrorKind::Forbidden,
    ErrorKind::QuotaExhausted,
    ErrorKind::Server,
    ErrorKind::Protocol,
    ErrorKind::Command,
    ErrorKind::TooLarge,
];

fn config() -> Value {
    json!({
        "origin": "https://api.example",
        "default_limits": ["local"],
        "limits": {
            "local": { "by": "ip", "window": "60s", "quota": 10 },
            "whole": { "by": "ip", "window": "50s", "quota": 2 },
            "small": { "by": "ip", "window": "60s", "quota": 2 },
            "open": { "by": "ip", "window": "60s", "quota": 2, "on_failure": "open" },
            "closed": { "by": "ip", "window": "60s", "quota": 50, "on_failure": "closed" },
            "watched": {
                "by": "ip", "window": "60s", "quota": 50, "on_failure": "closed", "mode": "shadow",
            },
        },
        "routes": [
            { "path": "/open", "limits": ["open"] },
            { "path": "/closed", "limits": ["closed", "local"] },
            { "path": "/mixed", "limits": ["open", "small"] },
            { "path": "/watched", "limits": ["watched"] },
            { "path": "/pair", "limits": ["local", "small"] },
            { "path": "/dear", "limits": ["whole"], "cost": 2 },
            { "path": "/book", "limits": ["local"], "cache": { "ttl": "2s" } },
        ],
    })
}

/// A rig whose breaker has just opened.
fn broken() -> Rig {
    let mut rig = Rig::new(config());
    rig.store = Store::Down(ErrorKind::Timeout);
    for n in 0..3 {
        let request = get("/any").from(&format!("198.51.100.{n}"));
        assert_eq!(rig.send(&request).asks, 1);
    }
    rig
}

#[test]
fn whatever_the_error_the_same_request_is_decided_locally() {
    for kind in ALL_KINDS {
        let mut rig = Rig::new(config());
        rig.store = Store::Down(kind);
        let seen = rig.get("/any");
        assert_eq!((seen.status, seen.asks), (200, 1), "{kind:?}");
        assert_eq!(seen.limiter(), Source::Local.as_str(), "{kind:?}");
        assert_eq!(seen.header("ratelimit-policy"), r#""local";q=10;w=60"#);
        assert!(seen.header("ratelimit").starts_with(r#""local";r=4;t="#));
    }
}

#[test]
fn a_reply_that_is_none_of_the_scripts_is_a_failure() {
    let one = |values: &[i64]| Reply::Array(values.iter().copied().map(Reply::Int).collect());
    for reply in [
        Reply::Null,
        Reply::Int(1),
        Reply::from("OK"),
        Reply::Array(vec![]),
        one(&[1]),
        one(&[1, 0, 1, 9]),
        one(&[1, 0, 1, -9, 0, 0]),
        Reply::Array(vec![Reply::from("1"); 6]),
    ] {
        let mut rig = Rig::new(config());
        rig.store = Store::Says(reply.clone());
        for asks in [1, 1, 1, 0] {
            let seen = rig.get("/any");
            assert_eq!((seen.status, seen.asks), (200, asks), "{reply:?}");
            assert_eq!(seen.limiter(), "local");
        }
    }
}

#[test]
fn after_three_failures_in_a_row_nobody_waits() {
    let mut rig = broken();
    for _ in 0..100 {
        assert_eq!(rig.get("/any").asks, 0);
    }
    let mut rig = Rig::new(config());
    for _ in 0..10 {
        for store in [
            Store::Down(ErrorKind::Timeout),
            Store::Down(ErrorKind::Server),
            Store::Up,
        ] {
            rig.store = store;
            assert_eq!(rig.get("/any").asks, 1, "two in a row are chance");
            rig.wait(20_000);
        }
    }
}

#[test]
fn what_somebody_has_to_mend_needs_no_second_failure() {
    for kind in [
        ErrorKind::Unauthorised,
        ErrorKind::Forbidden,
        ErrorKind::QuotaExhausted,
        ErrorKind::Config,
    ] {
        let mut rig = Rig::new(config());
        rig.store = Store::Down(kind);
        assert_eq!(rig.get("/any").asks, 1);
        assert_eq!(rig.get("/any").asks, 0, "{kind:?}");
    }
}

#[test]
fn one_probe_at_a_time_finds_out() {
    let mut rig = broken();
    rig.wait(499);
    assert_eq!(rig.get("/any").asks, 0);
    rig.wait(1);
    let probe = get("/any");
    let step = rig.gate.decide(&probe, rig.shown());
    for _ in 0..10 {
        let seen = rig.get("/any");
        assert_eq!((seen.asks, seen.limiter().as_str()), (0, "local"));
    }
    let seen = rig.carry_on(&probe, step);
    assert_eq!((seen.asks, seen.limiter().as_str()), (1, "local"));
    rig.wait(999);
    assert_eq!(
        rig.get("/any").asks,
        0,
        "twice as long after a failed probe"
    );
    rig.wait(1);
    assert_eq!(rig.get("/any").asks, 1);
}

#[test]
fn a_probe_that_never_comes_back_is_replaced() {
    let mut rig = broken();
    rig.wait(500);
    drop(rig.gate.decide(&get("/any"), rig.shown()));
    assert_eq!(rig.get("/any").asks, 0);
    rig.wait(300);
    assert_eq!(
        rig.get("/any").asks,
        1,
        "after twice the deadline of a call"
    );
}

#[test]
fn the_gate_is_back_within_one_probe_interval() {
    for down_for in [0, 1_000, 10_000, 100_000, 1_000_000] {
        let mut rig = broken();
        // A request every 100 ms, while the store is down and until it decides again.
        for _ in 0..down_for / 100 {
            rig.wait(100);
            assert_ne!(rig.get("/any").limiter(), "redis");
        }
        rig.store = Store::Up;
        let back = (0..).take_while(|_| {
            rig.wait(100);
            rig.get("/any").limiter() != "redis"
        });
        let waited = 100 * (back.count() + 1);
        assert!(waited <= 2_000, "{waited} ms after {down_for} ms");
    }
}

#[test]
fn each_limit_fails_as_it_is_told() {
    let mut rig = broken();
    let free = get("/open").from("192.0.2.1");
    for _ in 0..20 {
        let seen = rig.send(&free);
        assert_eq!((seen.status, seen.limiter().as_str()), (200, "none"));
        assert_eq!(seen.header("ratelimit-policy"), r#""open";q=2;w=60"#);
        assert_eq!(seen.header("ratelimit"), "");
    }
    let closed = rig.send(&get("/closed").from("192.0.2.2"));
    assert_eq!((closed.status, closed.fetches), (503, 0));
    assert_eq!(closed.header("content-type"), "application/problem+json");
    assert_eq!(closed.header("retry-after"), "1");
    let body: Value = serde_json::from_slice(&closed.body).unwrap();
    assert_eq!(body["code"], "store_unavailable");
    let watched = rig.send(&get("/watched").from("192.0.2.3"));
    assert_eq!(watched.status, 200, "a limit in shadow closes nothing");

    let mixed = get("/mixed").from("192.0.2.4");
    let first = rig.send(&mixed);
    assert_eq!((first.status, first.limiter().as_str()), (200, "local"));
    let second = rig.send(&mixed);
    assert_eq!(second.status, 503, "not the client's fault");
    let body: Value = serde_json::from_slice(&second.body).unwrap();
    let kind = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";
    assert_eq!(body["type"], kind);
    assert_eq!(body["violated-policies"], json!(["small"]));
    assert_ne!(second.header("retry-after"), "");
}

#[test]
fn what_is_closed_is_refused_in_the_request_that_meets_the_failure() {
    let mut rig = Rig::new(config());
    rig.store = Store::Down(ErrorKind::Unreachable);
    let seen = rig.get("/closed");
    assert_eq!((seen.status, seen.asks, seen.fetches), (503, 1, 0));
    assert_eq!(seen.header("retry-after"), "1");
    rig.store = Store::Up;
    let seen = rig.get("/any");
    assert!(
        seen.header("ratelimit").starts_with(r#""local";r=9"#),
        "who was refused for one limit was charged for none"
    );
}

#[test]
fn a_local_refusal_charges_none_and_passes_when_it_was_told() {
    let mut rig = Rig::without_store(config());
    assert_eq!(rig.get("/pair").status, 200);
    for _ in 0..30 {
        let seen = rig.get("/pair");
        assert_eq!((seen.status, seen.limiter().as_str()), (429, "local"));
    }
    let left = rig.get("/any").header("ratelimit");
    assert!(left.starts_with(r#""local";r=3"#), "{left}");
    let told: u64 = rig.get("/pair").header("retry-after").parse().unwrap();
    rig.wait(told * 1_000);
    assert_eq!(rig.get("/pair").status, 200);
}

#[test]
fn a_request_that_costs_the_whole_quota_passes_without_a_store_too() {
    let mut rig = Rig::without_store(config());
    assert_eq!(rig.get("/dear").status, 200);
    let refused = rig.get("/dear");
    assert_eq!(refused.status, 429);
    let told: u64 = refused.header("retry-after").parse().unwrap();
    rig.wait((told - 1) * 1_000);
    assert_eq!(rig.get("/dear").status, 429);
    rig.wait(1_000);
    assert_eq!(rig.get("/dear").status, 200);
}

#[test]
fn local_mode_asks_nobody_and_limits() {
    let mut rig = Rig::without_store(config());
    let served = (0..30).filter(|_| rig.get("/any").status == 200).count();
    assert_eq!(served, 5, "half of the quota at once");
    assert_eq!(rig.asks.len(), 0);
    let other = get("/any").from("198.51.100.1");
    assert_eq!(rig.send(&other).limiter(), "local");
    // A limit that is closed while the store fails is not closed if there is no store.
    let closed = get("/closed").from("198.51.100.2");
    assert_eq!(rig.send(&closed).status, 200);
    assert_eq!(rig.get("/book").cache(), "detail=refused");
}

#[test]
fn the_fallback_starts_from_the_usage_last_known() {
    let mut rig = Rig::new(config());
    for _ in 0..8 {
        assert_eq!(rig.get("/any").limiter(), "redis");
    }
    rig.store = Store::Down(ErrorKind::Timeout);
    let served = (0..20).filter(|_| rig.get("/any").status == 200).count();
    assert_eq!(served, 2, "eight of ten were spent before");
    let stranger = get("/any").from("198.51.100.1");
    assert_eq!(rig.send(&stranger).status, 200);
}

#[test]
fn a_remembered_refusal_holds_while_the_store_is_down() {
    let mut rig = Rig::new(config());
    for _ in 0..11 {
        rig.get("/any");
    }
    rig.store = Store::Down(ErrorKind::Timeout);
    rig.wait(61_999);
    let seen = rig.get("/any");
    assert_eq!((seen.status, seen.limiter().as_str()), (429, "blocked"));
    rig.wait(1);
    assert_eq!(rig.get("/any").limiter(), "local");
}

#[test]
fn the_memory_of_the_isolate_serves_while_the_store_is_down() {
    let mut rig = broken();
    let first = rig.get("/book");
    assert!(first.cache().contains("stored"), "{}", first.cache());
    let hit = rig.get("/book");
    assert!(hit.cache().starts_with("hit"), "{}", hit.cache());
    assert_eq!((hit.asks, hit.fetches), (0, 0));
    assert_eq!(rig.writes, [], "nothing is written to a store that is down");
}

/// It lasts until somebody acts, and each probe of the breaker fails by it.
#[test]
fn a_lasting_failure_is_logged_once_per_isolate() {
    let mut rig = Rig::new(config());
    let noted = |rig: &mut Rig, kind| {
        rig.store = Store::Down(kind);
        rig.wait(20_000);
        assert_eq!(rig.get("/book").asks, 1);
        rig.notes()
    };
    for kind in [
        ErrorKind::Config,
        ErrorKind::Unauthorised,
        ErrorKind::Forbidden,
        ErrorKind::QuotaExhausted,
    ] {
        let told = |notes: &[String]| {
            let told = format!("\"detail\":\"store: {kind}: ");
            assert!(notes.len() == 1 && notes[0].contains(&told), "{notes:?}");
        };
        told(&noted(&mut rig, kind));
        for n in 0..5 {
            // Other failures are told once a minute, and this takes 40 s.
            let timeout = noted(&mut rig, ErrorKind::Timeout);
            assert!(
                timeout.len() <= 1 && (n > 0 || timeout.len() == 1),
                "{timeout:?}"
            );
            assert_eq!(noted(&mut rig, kind), [""; 0]);
        }
        // Writes and calls that nobody waits for fail by the same.
        let error = Error::from(kind);
        rig.gate.note_failure(&error);
        assert_eq!(rig.notes(), [""; 0]);
        rig.another_isolate();
        told(&noted(&mut rig, kind));
    }
}

#[test]
fn an_outage_is_logged_when_it_begins_and_when_it_ends() {
    let mut rig = Rig::new(config());
    assert_eq!(rig.get("/book").limiter(), "redis");
    rig.store = Store::Down(ErrorKind::Timeout);
    let mut notes = Vec::new();
    for _ in 0..50 {
        rig.get("/book");
        rig.wait(300);
        notes.append(&mut rig.notes());
    }
    let begun = [
        r#""event":"store_error""#,
        r#""event":"store_open","reason":"timeout""#,
    ];
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(
        notes
            .iter()
            .zip(begun)
            .all(|(note, begun)| note.contains(begun)),
        "{notes:?}"
    );
    rig.store = Store::Up;
    rig.wait(20_000);
    rig.get("/book");
    let notes = rig.notes();
    let over = r#""event":"store_closed""#;
    assert!(notes.len() == 1 && notes[0].contains(over), "{notes:?}");
}

/// The right to run one may be there, and that to run another may not.
#[test]
fn a_right_that_lacks_is_logged_once_for_each_command() {
    let mut rig = Rig::new(config());
    let refused = "NOPERM this user has no permissions to run the 'get' command";
    for _ in 0..3 {
        for name in ["EVALSHA", "SET"] {
            let text = refused.replace("get", name);
            rig.gate.note_failure(&error_of_reply(&text, None));
        }
    }
    let notes = rig.notes();
    let says = |name| format!("store: the store does not allow the command: {name}: NOPERM, ");
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(notes[0].contains(&says("EVALSHA")), "{notes:?}");
    assert!(notes[1].contains(&says("SET")), "{notes:?}");
}

/// How many of these requests of one client pass. `fails`: whether the call of the n-th fails.
fn passed(rig: &mut Rig, requests: usize, fails: impl Fn(usize) -> bool) -> usize {
    let mut passed = 0;
    for n in 0..requests {
        rig.store = match fails(n) {
            true => Store::Down(ErrorKind::Server),
            false => Store::Up,
        };
        passed += usize::from(rig.get("/any").status == 200);
    }
    rig.store = Store::Up;
    passed
}

fn quota(quota: u64, share: &str) -> Value {
    json!({
        "origin": "https://api.example",
        "default_limits": ["ip"],
        "limits": {
            "ip": { "by": "ip", "window": "60s", "quota": quota, "local_share": share },
        },
    })
}

#[test]
fn a_store_that_fails_every_second_time_gives_the_quota_and_no_more() {
    for (every, share) in [(2, "50%"), (2, "100%"), (3, "100%"), (5, "10%")] {
        let mut rig = Rig::new(quota(200, share));
        let passed = passed(&mut rig, 300, |n| n % every == 1);
        assert!(
            (190..=200).contains(&passed),
            "{passed} at {share}, one of {every}"
        );
    }
}

#[test]
fn what_an_isolate_gave_is_missing_from_the_quota_of_the_window() {
    for (share, most) in [("50%", 50), ("10%", 10), ("1%", 1)] {
        let mut rig = Rig::new(quota(100, share));
        assert_eq!(passed(&mut rig, 300, |_| true), most, "{share}");
        // In the same window, over the store that has seen none of them.
        rig.wait(3_000);
        let later = passed(&mut rig, 300, |_| false);
        assert!(
            (100 - most).saturating_sub(2) <= later && later <= 100 - most,
            "{later}"
        );
        rig.wait(63_000);
        assert_eq!(passed(&mut rig, 300, |_| false), 100);
    }
}

#[test]
fn what_a_client_that_stays_away_was_given_is_told_by_another_call() {
    let mut rig = Rig::new(quota(100, "50%"));
    let calls = passed(&mut rig, 20, |_| true);
    assert_eq!(calls, 20);
    rig.wait(3_000);
    let request = get("/any").from("192.0.2.77");
    for _ in 0..3 {
        rig.send(&request);
    }
    let background = rig.background.len();
    assert_eq!(background, 1, "one call in a second");
    let mut other = rig.beside();
    rig.swap_stores(&mut other);
    let told = other.get("/any").header("ratelimit");
    assert!(told.contains(";r=79;"), "{told}");
}

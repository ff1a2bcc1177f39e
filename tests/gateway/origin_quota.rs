//! The quota of origin calls that all isolates share.

use std::time::Duration;

use omnitrade_edge::error::ErrorKind;
use omnitrade_edge::gateway::Step;
use serde_json::{Value, json};

use crate::rig::{Rig, Store, follower, get, response};

fn config() -> Value {
    json!({
        "origin": "https://api.example",
        "limits": { "ip": { "by": "ip", "window": "60s", "quota": 100 } },
        "origin_quotas": { "provider": { "limit": 4, "window": "60s" } },
        "routes": [
            { "path": "/coins/{id}", "limits": ["ip"], "origin_quota": "provider",
              "cache": { "ttl": "10s", "stale_while_revalidate": "10s", "stale_if_error": "1h" } },
            { "path": "/plain/{*rest}", "limits": ["ip"], "origin_quota": "provider" },
            { "path": "/own", "origin_quota": { "limit": 2, "window": "60s" } },
            { "path": "/free/{id}", "origin_quota": "provider",
              "cache": { "ttl": "10s", "stale_while_revalidate": "10s", "stale_if_error": "1h" } },
        ],
    })
}

fn used(rig: &Rig) -> u64 {
    let text = rig.model.text("ot:l:@origin:provider");
    text.map_or(0, |text| text.split(' ').nth(6).unwrap().parse().unwrap())
}

#[test]
fn the_origin_is_called_as_often_as_it_may_be_for_all_routes_together() {
    let mut rig = Rig::new(config());
    for n in 0..20 {
        rig.another_isolate();
        rig.get(&format!("/coins/{n}"));
        rig.get(&format!("/plain/{n}"));
        rig.get(&format!("/free/{n}"));
    }
    assert_eq!(rig.sent.len(), 4);
    assert_eq!(rig.get("/own").status, 200, "its own");
    assert_eq!(rig.get("/own").status, 200);
    assert_eq!(rig.get("/own").status, 503);
}

#[test]
fn who_is_refused_for_it_is_told_when_to_come_back_and_charged_nothing() {
    let mut rig = Rig::new(config());
    for n in 0..4 {
        assert_eq!(rig.get(&format!("/plain/{n}")).status, 200);
    }
    rig.wait(1_500);
    let seen = rig.get("/plain/5");
    assert_eq!((seen.status, seen.fetches), (503, 0));
    assert_eq!(seen.header("retry-after"), "61");
    let body: Value = serde_json::from_slice(&seen.body).unwrap();
    assert_eq!(body["code"], "origin_quota_spent");
    assert!(seen.header("ratelimit").starts_with(r#""ip";r=96;"#));
    let again = rig.get("/plain/6");
    assert_eq!(again.status, 503);
    let miss = rig.get("/coins/7");
    assert_eq!(miss.status, 503);
    assert_eq!(miss.cache(), "detail=origin-quota");
    rig.wait(60_500);
    assert_eq!(rig.get("/plain/8").status, 200, "when it was told");
    let left = rig.get("/plain/9").header("ratelimit");
    assert!(
        left.starts_with(r#""ip";r=98;"#),
        "refusals cost nothing: {left}"
    );
}

#[test]
fn what_the_cache_answers_does_not_count() {
    let mut rig = Rig::new(config());
    for _ in 0..50 {
        assert_eq!(rig.get("/coins/1").status, 200);
        rig.another_isolate();
    }
    assert_eq!((rig.sent.len(), used(&rig)), (1, 1));
}

#[test]
fn a_refresh_counts_once_for_whoever_holds_the_lease() {
    let mut rig = Rig::new(config());
    rig.get("/coins/1");
    rig.wait(11_000);
    let seen = rig.get("/coins/1");
    assert!(
        seen.refreshed && seen.cache().starts_with("hit"),
        "{}",
        seen.cache()
    );
    assert_eq!((rig.sent.len(), used(&rig)), (2, 2));
    // While the lease lasts, no request refreshes again.
    for _ in 0..5 {
        rig.another_isolate();
        assert_eq!(rig.get("/coins/1").status, 200);
    }
    assert_eq!((rig.sent.len(), used(&rig)), (2, 2));
    // The same holds without limits, where the isolate's memory would suffice.
    rig.get("/free/1");
    rig.wait(11_000);
    assert!(rig.get("/free/1").refreshed);
    assert_eq!((rig.sent.len(), used(&rig)), (4, 4));
}

#[test]
fn when_it_is_spent_the_stale_entry_is_served_within_its_ceiling() {
    let mut rig = Rig::new(config());
    rig.next(response(200, "old"));
    rig.get("/coins/1");
    for n in 0..3 {
        rig.get(&format!("/plain/{n}"));
    }
    for wait in [11_000, 15_000, 20_000] {
        rig.wait(wait);
        let seen = rig.get("/coins/1");
        assert_eq!(
            (seen.status, seen.text(), seen.fetches),
            (200, "old", 0),
            "{wait}"
        );
    }
    let seen = rig.get("/coins/1");
    assert!(seen.cache().contains("hit"), "{}", seen.cache());
    assert!(seen.cache().contains("origin-quota"), "{}", seen.cache());
    assert_eq!(rig.sent.len(), 4);
    // The entry is fetched again as soon as the quota allows it.
    rig.wait(16_100);
    rig.next(response(200, "new"));
    assert_eq!(rig.get("/coins/1").text(), "new");
}

#[test]
fn a_stale_entry_beyond_its_ceiling_is_not_served() {
    let mut short = config();
    short["routes"][0]["cache"] = json!({ "ttl": "5s", "stale_if_error": "5s" });
    let mut rig = Rig::new(short);
    rig.get("/coins/1");
    for n in 0..3 {
        rig.get(&format!("/plain/{n}"));
    }
    rig.wait(9_999);
    assert_eq!(rig.get("/coins/1").status, 200);
    rig.wait(1);
    assert_eq!(rig.get("/coins/1").status, 503);
}

#[test]
fn nobody_waits_for_an_origin_whose_quota_is_spent() {
    let mut rig = Rig::new(json!({
        "origin": "https://api.example",
        "routes": [{
            "path": "/{id}",
            "origin_quota": { "limit": 1, "window": "60s" },
            "cache": { "ttl": "1s", "stale_if_error": "1h" },
        }],
    }));
    rig.get("/1");
    rig.wait(2_000);
    for (path, status) in [("/1", 200), ("/2", 503)] {
        rig.another_isolate();
        let request = get(path);
        let start = rig.now;
        let first = rig.gate.decide(&request, rig.shown());
        let second = follower(rig.gate.decide(&request, rig.shown()));
        assert_eq!(rig.carry_on(&request, first).status, status);
        let pause = Duration::from_millis(5);
        let seen = rig.carry_on(&request, Step::Wait(pause, second));
        assert_eq!(seen.status, status);
        assert!(rig.now.since(start) < Duration::from_millis(100), "{path}");
    }
}

#[test]
fn a_request_that_the_cache_may_not_answer_is_asked_about_by_itself() {
    let mut rig = Rig::new(config());
    rig.get("/coins/1");
    let forced = get("/coins/1").with("cache-control", "no-cache");
    for _ in 0..3 {
        assert_eq!(rig.send(&forced).fetches, 1);
    }
    assert_eq!(used(&rig), 4);
    let seen = rig.send(&forced);
    assert_eq!(seen.fetches, 0);
    assert_eq!(rig.sent.len(), 4);
}

/// As [`config`], with permits fetched ahead.
fn leased() -> Value {
    let mut config = config();
    config["origin_quotas"]["provider"] =
        json!({ "limit": 600, "window": "60s", "strategy": "lease" });
    config["limits"]["ip"] =
        json!({ "by": "ip", "window": "60s", "quota": 100_000, "strategy": "lease" });
    config
}

#[test]
fn permits_for_the_origin_are_fetched_ahead() {
    let mut rig = Rig::new(leased());
    let mut first = 0;
    for n in 0..400 {
        if n == 100 {
            first = rig.asks.len() + rig.background.len();
        }
        let path = match n % 4 {
            0 => format!("/coins/{n}"),
            _ => format!("/plain/{n}"),
        };
        assert_eq!(rig.get(&path).status, 200, "{n}");
        rig.wait(200);
    }
    let plain = rig.asks.len() + rig.background.len() - first;
    assert!(
        plain <= 130,
        "{plain} calls for 300 requests, 75 of which look up an entry"
    );
    assert_eq!(rig.sent.len(), 400);
}

#[test]
fn with_permits_fetched_ahead_the_quota_is_never_exceeded() {
    let mut rig = Rig::new(leased());
    let mut beside = rig.beside();
    let mut calls: Vec<u64> = Vec::new();
    for n in 0..3_000 {
        let asked = rig.sent.len() + beside.sent.len();
        rig.get(&format!("/plain/{n}"));
        rig.swap_stores(&mut beside);
        beside.get(&format!("/coins/{n}"));
        rig.wait(40);
        beside.swap_stores(&mut rig);
        let made = rig.sent.len() + beside.sent.len() - asked;
        calls.extend(std::iter::repeat_n(rig.now.as_millis(), made));
    }
    for (n, from) in calls.iter().enumerate() {
        let window = calls.iter().skip(n).take_while(|at| **at < from + 60_000);
        assert!(window.count() <= 600);
    }
    assert!(calls.len() >= 900, "{} in two minutes", calls.len());
}

#[test]
fn a_refused_request_takes_no_permit_that_was_fetched_ahead() {
    let mut config = leased();
    config["origin_quotas"]["provider"]["limit"] = json!(100);
    config["limits"]["ip"] = json!({ "by": "ip", "window": "60s", "quota": 50 });
    let mut rig = Rig::new(config);
    for address in ["192.0.2.1", "192.0.2.2"] {
        let ask = |n| get(&format!("/plain/{n}")).from(address);
        for n in 0..50 {
            assert_eq!(rig.send(&ask(n)).status, 200, "{n}");
        }
        for n in 0..50 {
            assert_eq!(rig.send(&ask(n)).status, 429);
        }
    }
    assert_eq!((rig.sent.len(), used(&rig)), (100, 100));
}

/// As [`leased`], with an entry that is stale, and permits for the origin in the isolate.
fn stale_with_permits() -> Rig {
    let mut config = leased();
    config["origin_quotas"]["provider"]["limit"] = json!(100);
    let mut rig = Rig::new(config);
    rig.get("/free/1");
    rig.wait(11_000);
    for n in 0..8 {
        rig.get(&format!("/plain/{n}"));
    }
    rig
}

/// How many calls of the origin the isolate makes before it asks the store for permits.
fn at_hand(rig: &mut Rig) -> usize {
    let (asks, calls) = (rig.asks.len(), rig.background.len());
    let calls_store = |rig: &Rig| rig.asks.len() > asks || rig.background.len() > calls;
    let at_once = (0..100).take_while(|n| {
        rig.get(&format!("/plain/{n}"));
        !calls_store(rig)
    });
    at_once.count()
}

#[test]
fn a_stale_answer_without_a_refresh_takes_no_permit_fetched_ahead() {
    let mut rig = stale_with_permits();
    rig.next(response(500, "down"));
    let sent = rig.sent.len();
    assert!(rig.get("/free/1").refreshed);
    let asks = rig.asks.len();
    for _ in 0..200 {
        assert_eq!(rig.get("/free/1").status, 200);
        rig.wait(2);
    }
    assert_eq!(rig.sent.len(), sent + 1, "a failed refresh is deferred");
    let seen = rig.get("/plain/x");
    assert_eq!((seen.status, seen.asks), (200, 0), "permits are left");
    assert!(
        rig.asks.len() <= asks + 1,
        "{} calls",
        rig.asks.len() - asks
    );
}

#[test]
fn a_refresh_that_another_isolate_makes_takes_no_permit_fetched_ahead() {
    let mut rig = stale_with_permits();
    let mut beside = rig.beside();
    rig.swap_stores(&mut beside);
    let request = get("/free/1");
    let Step::Respond(respond) = beside.begin(&request) else {
        panic!("a stale answer");
    };
    let first = respond
        .after
        .refresh
        .map(|step| beside.ask_store(&request, *step));
    assert!(matches!(first, Some(Step::Fetch(..))), "it refreshes");
    beside.swap_stores(&mut rig);
    let sent = rig.sent.len();
    for _ in 0..50 {
        assert_eq!(rig.get("/free/1").status, 200);
        rig.wait(20);
    }
    assert_eq!(rig.sent.len(), sent);
    let mut waited = stale_with_permits();
    waited.wait(1_000);
    assert_eq!(at_hand(&mut rig), at_hand(&mut waited));
}

#[test]
fn a_miss_is_not_refused_while_permits_fetched_ahead_are_left() {
    let mut rig = stale_with_permits();
    let mut beside = rig.beside();
    rig.swap_stores(&mut beside);
    while beside.get("/plain/x").status == 200 {}
    beside.swap_stores(&mut rig);
    assert_eq!(rig.get("/coins/7").status, 200);
    assert_eq!(rig.get("/plain/7").status, 200, "as without a cache");
}

#[test]
fn without_the_store_each_isolate_keeps_to_it_by_itself() {
    for mut rig in [Rig::new(config()), Rig::without_store(config())] {
        rig.store = Store::Down(ErrorKind::Unreachable);
        for n in 0..20 {
            rig.get(&format!("/plain/{n}"));
            rig.get(&format!("/coins/{n}"));
        }
        assert_eq!(rig.sent.len(), 2, "half of it at once");
    }
}

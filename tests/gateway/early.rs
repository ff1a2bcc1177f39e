//! Background refreshes: which request makes them, and how early.

use std::time::Duration;

use omnitrade_edge::gateway::Step;
use serde_json::{Value, json};

use crate::rig::{Rig, get, response};

fn config(cache: Value) -> Value {
    json!({ "origin": "https://api.example", "routes": [{ "path": "/free", "cache": cache }] })
}

/// Two isolates on one store take turns, every 10 ms. Returns how often the origin was called, and
/// how many requests waited for it.
fn take_turns(cache: Value, origin_takes: u64, ms: u64) -> (usize, usize) {
    let mut rigs = [
        Rig::new(config(cache)),
        Rig::new(json!({ "origin": "https://x.example" })),
    ];
    rigs[1] = rigs[0].beside();
    rigs.iter_mut()
        .for_each(|rig| rig.origin_takes = Duration::from_millis(origin_takes));
    let (mut calls, mut waited, mut now) = (0, 0, rigs[0].now);
    let end = now + Duration::from_millis(ms);
    while now < end {
        for _ in 0..2 {
            rigs[0].now = now;
            let before = rigs[0].sent.len();
            let seen = rigs[0].get("/free");
            assert_eq!(seen.status, 200);
            calls += rigs[0].sent.len() - before;
            waited += seen.fetches;
            now = now + Duration::from_millis(10);
            let [a, b] = &mut rigs;
            std::mem::swap(&mut a.model, &mut b.model);
            rigs.swap(0, 1);
        }
    }
    (calls, waited)
}

#[test]
fn of_two_isolates_one_refreshes_and_nobody_waits_after_the_first() {
    let cache = json!({ "ttl": "1s", "stale_while_revalidate": "5s" });
    let (calls, waited) = take_turns(cache, 60, 6_000);
    assert!((6..=7).contains(&calls), "{calls}");
    assert_eq!(waited, 1);
}

#[test]
fn who_sees_it_stale_asks_the_store_before_the_origin() {
    let mut rig = Rig::new(config(
        json!({ "ttl": "1s", "stale_while_revalidate": "5s" }),
    ));
    rig.next(response(200, "old"));
    rig.get("/free");
    let mut beside = rig.beside();
    std::mem::swap(&mut rig.model, &mut beside.model);
    assert_eq!(beside.get("/free").text(), "old");
    beside.wait(1_000);
    beside.next(response(200, "new"));
    assert_eq!(beside.get("/free").text(), "old");
    std::mem::swap(&mut rig.model, &mut beside.model);
    rig.wait(1_010);
    let (asks, sent) = (rig.asks.len(), rig.sent.len());
    let seen = rig.get("/free");
    assert_eq!((seen.text(), seen.asks, seen.refreshed), ("old", 0, true));
    assert_eq!((rig.asks.len() - asks, rig.sent.len() - sent), (1, 0));
    assert_eq!(
        rig.get("/free").text(),
        "new",
        "the other one has fetched it"
    );
}

#[test]
fn a_store_that_fails_keeps_nobody_from_refreshing() {
    let mut rig = Rig::new(config(
        json!({ "ttl": "1s", "stale_while_revalidate": "5s" }),
    ));
    rig.get("/free");
    rig.wait(1_000);
    rig.store = crate::rig::Store::Down(omnitrade_edge::error::ErrorKind::Unreachable);
    rig.next(response(200, "new"));
    rig.get("/free");
    assert_eq!(rig.get("/free").text(), "new");
}

#[test]
fn a_refresh_that_failed_is_tried_again_by_the_isolate_that_knows() {
    let cache = json!({ "ttl": "1s", "stale_while_revalidate": "60s" });
    let mut rig = Rig::new(config(cache));
    rig.get("/free");
    let mut other = rig.beside();
    rig.swap_stores(&mut other);
    other.get("/free");
    rig.swap_stores(&mut other);
    rig.wait(1_100);
    rig.next(response(500, "x"));
    rig.get("/free");
    let (sent, others) = (rig.sent.len(), other.sent.len());
    let asks = (rig.asks.len(), other.asks.len());
    for _ in 0..78 {
        rig.wait(5);
        rig.swap_stores(&mut other);
        other.get("/free");
        rig.swap_stores(&mut other);
        rig.wait(5);
        rig.origin = [Ok(response(500, "x"))].into();
        rig.get("/free");
    }
    rig.origin.clear();
    assert_eq!(other.sent.len(), others, "it was 0.78 s ago");
    assert_eq!(rig.sent.len() - sent, 7, "every 0.1 s");
    assert_eq!(rig.asks.len(), asks.0, "the store does not know more");
    assert!(other.asks.len() - asks.1 <= 8, "nor is it asked often");
    rig.swap_stores(&mut other);
    other.wait(1_300);
    other.next(response(200, "new"));
    other.get("/free");
    assert_eq!(other.get("/free").text(), "new");
}

#[test]
fn nobody_waits_because_an_early_refresh_failed() {
    let cache = json!({ "ttl": "1s", "stale_if_error": "60s" });
    let mut rig = Rig::new(config(cache));
    rig.origin_takes = Duration::from_millis(200);
    rig.get("/free");
    let mut other = rig.beside();
    rig.swap_stores(&mut other);
    other.get("/free");
    other.swap_stores(&mut rig);
    rig.wait(750);
    let refreshed = (0..50).any(|_| {
        rig.wait(5);
        rig.origin = [Ok(response(500, "x"))].into();
        rig.get("/free").refreshed
    });
    assert!(refreshed);
    rig.wait(300);
    let step = rig.begin(&get("/free"));
    assert!(matches!(step, Step::Fetch(..)), "{step:?}");
    rig.swap_stores(&mut other);
    let step = other.begin(&get("/free"));
    assert!(matches!(step, Step::Fetch(..)), "{step:?}");
}

#[test]
fn a_hot_entry_is_refreshed_before_it_goes_stale() {
    let (calls, waited) = take_turns(json!({ "ttl": "1s" }), 100, 20_000);
    assert!(
        waited <= 4,
        "{waited} of 2000 requests waited for the origin"
    );
    assert!(
        (20..=28).contains(&calls),
        "a quarter of its life is given up at most: {calls}"
    );
}

#[test]
fn an_entry_of_a_fast_origin_or_that_may_be_stale_lives_out_its_time() {
    for (cache, takes) in [
        (json!({ "ttl": "1s" }), 0),
        (json!({ "ttl": "1s", "stale_while_revalidate": "1s" }), 100),
    ] {
        let mut rig = Rig::new(config(cache));
        rig.origin_takes = Duration::from_millis(takes);
        rig.get("/free");
        for _ in 0..99 {
            rig.wait(10);
            assert!(!rig.get("/free").refreshed);
        }
    }
}

#[test]
fn an_open_candle_is_not_refreshed_early_for_it_closes_when_it_closes() {
    let cache = json!({
        "ttl": "candle",
        "query": ["interval", "endTime"],
        "defaults": { "interval": "1s" },
    });
    let mut rig = Rig::new(config(cache));
    rig.origin_takes = Duration::from_millis(200);
    rig.get("/free");
    for _ in 0..79 {
        rig.wait(10);
        let seen = rig.get("/free");
        assert_eq!((seen.fetches, seen.refreshed), (0, false));
    }
    rig.wait(10);
    assert_eq!(rig.get("/free").fetches, 1, "it has closed");
}

#[test]
fn one_early_refresh_is_under_way_at_a_time() {
    let mut rig = Rig::new(config(json!({ "ttl": "1s" })));
    rig.origin_takes = Duration::from_millis(200);
    rig.get("/free");
    rig.wait(999);
    rig.origin_takes = Duration::ZERO;
    let mut refreshing = 0;
    for _ in 0..50 {
        let step = rig.gate.decide(&crate::rig::get("/free"), rig.shown());
        let omnitrade_edge::gateway::Step::Respond(respond) = step else {
            panic!("{step:?}");
        };
        refreshing += usize::from(respond.after.refresh.is_some());
    }
    assert_eq!(refreshing, 1);
}

#[test]
fn a_lease_of_the_store_is_used_though_another_request_is_about_to_ask() {
    let mut rig = Rig::new(json!({
        "origin": "https://api.example",
        "limits": { "keyed": { "by": "api-key", "window": "60s", "quota": 100 } },
        "routes": [{
            "path": "/free",
            "limits": ["keyed"],
            "cache": { "ttl": "1s", "stale_while_revalidate": "5s" },
        }],
    }));
    rig.get("/free");
    rig.wait(1_000);
    // This request is not limited, and asks the store in the background after its answer. It has
    // not done so yet.
    let step = rig.gate.decide(&crate::rig::get("/free"), rig.shown());
    assert!(
        matches!(step, omnitrade_edge::gateway::Step::Respond(respond) if respond.after.refresh.is_some())
    );
    let sent = rig.sent.len();
    let seen = rig.send(&crate::rig::get("/free").with("x-api-key", "k"));
    assert_eq!((seen.refreshed, rig.sent.len() - sent), (true, 1));
}

//! Requests that meet: what one of them waits for, what it is given, and what it must not be given.

use std::time::Duration;

use bytes::Bytes;
use omnitrade_edge::error::ErrorKind;
use omnitrade_edge::gateway::{Exchange, Step};
use serde_json::{Value, json};

use crate::rig::{Request, Rig, Store, get, response};

fn of(routes: Value) -> Value {
    json!({
        "origin": "https://api.example",
        "limits": { "ip": { "by": "ip", "window": "60s", "quota": 1000 } },
        "origin_quotas": { "one": { "limit": 1, "window": "60s" } },
        "routes": routes,
    })
}

fn tagged() -> Value {
    of(json!([
        { "path": "/book", "cache": { "ttl": "60s", "tags": ["book"] } },
        { "path": "/strict", "cache": { "ttl": "60s", "tags": ["book"], "l1_max_age": "0s" } },
        { "path": "/limited", "limits": ["ip"], "cache": { "ttl": "60s", "tags": ["book"] } },
        { "path": "/plain", "cache": { "ttl": "60s" } },
    ]))
}

fn purge(rig: &mut Rig) {
    rig.model.set("ot:t:book", "a1", 60_000, rig.now);
}

/// Asks the store as long as that is to be done.
fn ask(rig: &mut Rig, request: &Request, mut step: Step<Bytes>) -> Step<Bytes> {
    while let Step::Ask(ask, exchange) = step {
        let reply = rig.reply(&ask);
        let now = rig.shown();
        step = rig.gate.resume(request, &ask, exchange, reply, now);
    }
    step
}

fn begin(rig: &mut Rig, request: &Request) -> Step<Bytes> {
    let step = rig.gate.decide(request, rig.shown());
    ask(rig, request, step)
}

fn follower(step: Step<Bytes>) -> Exchange<Bytes> {
    match step {
        Step::Wait(_, exchange) => exchange,
        other => panic!("expected a wait: {other:?}"),
    }
}

/// Exchanges the stores of two isolates.
fn swap(one: &mut Rig, other: &mut Rig) {
    std::mem::swap(&mut one.model, &mut other.model);
    other.now = other.now.max(one.now);
}

#[test]
fn who_comes_after_a_purge_is_not_given_what_was_on_its_way_before() {
    for path in ["/book", "/limited"] {
        let mut rig = Rig::new(tagged());
        let request = get(path);
        let leads = begin(&mut rig, &request);
        assert!(matches!(leads, Step::Fetch(..)), "{path}");
        rig.wait(100);
        purge(&mut rig);
        rig.wait(2_000);
        let late = begin(&mut rig, &request);
        let late = follower(late);
        rig.wait(400);
        rig.next(response(200, "old"));
        rig.carry_on(&request, leads);
        rig.wait(5);
        rig.next(response(200, "new"));
        let step = rig.gate.waited(&request, late, rig.shown());
        assert_eq!(rig.carry_on(&request, step).text(), "new", "{path}");
    }
}

#[test]
fn nobody_is_given_what_another_request_is_about_to_check() {
    let mut rig = Rig::new(tagged());
    rig.next(response(200, "old"));
    rig.get("/strict");
    rig.wait(5_000);
    purge(&mut rig);
    rig.wait(1_000);
    let request = get("/strict");
    assert!(matches!(
        rig.gate.decide(&request, rig.shown()),
        Step::Ask(..)
    ));
    let second = follower(rig.gate.decide(&request, rig.shown()));
    rig.wait(5);
    let step = rig.gate.waited(&request, second, rig.shown());
    rig.next(response(200, "new"));
    assert_eq!(rig.carry_on(&request, step).text(), "new");
}

#[test]
fn what_is_void_does_not_take_the_place_of_what_is_not() {
    let mut rig = Rig::new(tagged());
    let request = get("/plain");
    let slow = begin(&mut rig, &request);
    rig.wait(3_100);
    let mut other = rig.beside();
    swap(&mut rig, &mut other);
    other.purge(&json!({ "urls": ["/plain"] }));
    swap(&mut rig, &mut other);
    rig.next(response(200, "new"));
    assert_eq!(rig.get("/plain").text(), "new");
    rig.next(response(200, "old"));
    rig.carry_on(&request, slow);
    for _ in 0..3 {
        assert_eq!(rig.get("/plain").text(), "new");
        rig.wait(10_000);
    }
}

#[test]
fn what_the_store_agrees_with_is_one_entry_and_not_what_lies_there_now() {
    let mut rig = Rig::new(tagged());
    let request = get("/book");
    let slow = begin(&mut rig, &request);
    rig.wait(3_100);
    purge(&mut rig);
    rig.wait(500);
    rig.next(response(200, "new"));
    assert_eq!(rig.get("/book").text(), "new");
    rig.wait(1_100);
    let Step::Ask(asked, exchange) = rig.gate.decide(&request, rig.shown()) else {
        panic!("it is to be checked");
    };
    let reply = rig.reply(&asked);
    rig.next(response(200, "old"));
    rig.carry_on(&request, slow);
    let now = rig.shown();
    let step = rig.gate.resume(&request, &asked, exchange, reply, now);
    assert_eq!(rig.carry_on(&request, step).text(), "new");
    rig.wait(900);
    assert_eq!(rig.get("/book").text(), "new");
}

#[test]
fn a_client_that_wants_it_from_the_origin_waits_for_nobody() {
    for wish in ["no-cache", "max-age=0", "max-age=1", "min-fresh=59"] {
        for path in ["/book", "/plain", "/limited"] {
            let mut rig = Rig::new(tagged());
            rig.get(path);
            rig.wait(3_000);
            let before = rig.now;
            let request = get(path).with("cache-control", wish);
            let seen = rig.send(&request);
            assert_eq!(rig.now, before, "{path} {wish}");
            assert_eq!((seen.asks, seen.fetches), (1, 1), "{path} {wish}");
            // Two of them go beside each other.
            rig.wait(3_000);
            let first = begin(&mut rig, &request);
            let second = begin(&mut rig, &request);
            assert!(matches!(first, Step::Fetch(..)), "{path} {wish}");
            assert!(matches!(second, Step::Fetch(..)), "{path} {wish}");
        }
    }
}

#[test]
fn a_lifetime_that_is_made_shorter_counts_at_once() {
    for (stale, refreshed) in [(Some("1d"), true), (None, false)] {
        let of_ttl = |ttl| {
            let cache = json!({ "ttl": ttl, "stale_while_revalidate": stale });
            of(json!([{ "path": "/b", "cache": cache }]))
        };
        let mut before = Rig::new(of_ttl("1h"));
        before.next(response(200, "old"));
        before.get("/b");
        let mut after = Rig::new(of_ttl("1s"));
        after.now = before.now;
        swap(&mut before, &mut after);
        after.wait(2_000);
        let start = after.now;
        after.next(response(200, "new"));
        let seen = after.get("/b");
        assert_eq!((seen.refreshed, after.now), (refreshed, start));
        assert_eq!(after.get("/b").text(), "new");
    }
}

#[test]
fn nobody_waits_for_an_origin_whose_quota_is_spent() {
    let mut rig = Rig::new(of(json!([{
        "path": "/{id}",
        "origin_quota": "one",
        "cache": { "ttl": "1s", "stale_if_error": "1h" },
    }])));
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
fn an_older_version_stays_out_also_while_the_store_is_gone() {
    let mut rig = Rig::new(of(json!([{
        "path": "/b",
        "cache": { "ttl": "1s", "stale_while_revalidate": "20s", "version": "json:id" },
    }])));
    rig.next(response(200, r#"{"id":10}"#));
    rig.get("/b");
    rig.wait(1_500);
    rig.store = Store::Down(ErrorKind::Unreachable);
    rig.next(response(200, r#"{"id":9}"#));
    rig.get("/b");
    assert_eq!(rig.get("/b").text(), r#"{"id":10}"#);
}

#[test]
fn a_refresh_that_failed_is_tried_again_after_a_second_by_one_isolate() {
    let cache = json!({ "ttl": "1s", "stale_while_revalidate": "60s" });
    let mut rig = Rig::new(of(json!([{ "path": "/b", "cache": cache }])));
    rig.get("/b");
    let mut other = rig.beside();
    swap(&mut rig, &mut other);
    other.get("/b");
    swap(&mut rig, &mut other);
    rig.wait(1_100);
    rig.next(response(500, "x"));
    rig.get("/b");
    let (sent, asks) = (rig.sent.len() + other.sent.len(), other.asks.len());
    for _ in 0..90 {
        rig.wait(5);
        swap(&mut rig, &mut other);
        other.get("/b");
        swap(&mut rig, &mut other);
        rig.wait(5);
        rig.get("/b");
    }
    assert_eq!(rig.sent.len() + other.sent.len(), sent, "it was 0.9 s ago");
    assert!(other.asks.len() - asks <= 4, "nor is the store asked often");
    rig.wait(200);
    swap(&mut rig, &mut other);
    other.wait(1_000);
    other.next(response(200, "new"));
    other.get("/b");
    assert_eq!(other.get("/b").text(), "new");
}

#[test]
fn what_one_client_brought_about_is_not_stored_for_all() {
    let config = || {
        let cache = json!({ "ttl": "10s", "negative_ttl": "5s", "query": ["symbols"] });
        of(json!([{ "path": "/q", "cache": cache }]))
    };
    let long = "x".repeat(20_000);
    for (name, value) in [("range", "bytes=x"), ("x-request-id", long.as_str())] {
        let mut rig = Rig::new(config());
        rig.next(response(400, "no"));
        rig.send(&get("/q").with(name, value));
        assert_eq!(rig.get("/q").status, 200, "{name}");
    }
    let mut rig = Rig::new(config());
    rig.next(response(400, "no"));
    rig.send(&get("/q").with("x-request-id", "7"));
    assert_eq!(rig.get("/q").status, 400, "the question itself is wrong");

    let mut rig = Rig::new(config());
    rig.next(response(200, "for .7").with("vary", "Accept, X-Forwarded-For"));
    rig.get("/q");
    assert_eq!(rig.get("/q").fetches, 1);

    let mut rig = Rig::new(config());
    let named = "/q?symbols=A&evil=1";
    let answer = response(200, "evil").with("cache-control", "max-age=60");
    rig.next(answer.with("content-location", named));
    rig.send(&get(named).by("POST").with("cookie", "s=1"));
    rig.next(response(200, "good"));
    assert_eq!(rig.get("/q?symbols=A").text(), "good");
}

#[test]
fn a_url_is_purged_as_a_browser_would_write_it() {
    let mut rig = Rig::new(tagged());
    rig.get("/plain?symbols=[%22A%22,%27%3Cb%3E%27]");
    let seen = rig.purge(&json!({ "urls": ["/plain?symbols=[\"A\",'<b>']"] }));
    assert_eq!(seen.status, 200);
    rig.another_isolate();
    assert_eq!(rig.get("/plain?symbols=[%22A%22,%27%3Cb%3E%27]").fetches, 1);
}

#[test]
fn who_turns_to_a_variant_gives_the_lease_of_the_first_one_back() {
    let cache = json!({ "ttl": "1s", "stale_while_revalidate": "2s" });
    let mut rig = Rig::new(of(json!([{ "path": "/v", "cache": cache }])));
    let ask = |rig: &mut Rig, tongue: &str| {
        rig.next(response(200, tongue).with("vary", "accept-language"));
        let seen = rig.send(&get("/v").with("accept-language", tongue));
        rig.origin.clear();
        seen
    };
    ask(&mut rig, "de");
    rig.wait(1_500);
    rig.another_isolate();
    ask(&mut rig, "fr");
    let sent = rig.sent.len();
    let seen = ask(&mut rig, "de");
    assert_eq!((seen.refreshed, rig.sent.len() - sent), (true, 1));
}

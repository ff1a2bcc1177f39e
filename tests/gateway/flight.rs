//! Single flight: concurrent requests that miss the same key.

use std::time::Duration;

use bytes::Bytes;
use omnitrade_edge::error::ErrorKind;
use omnitrade_edge::gateway::{Context, Handoff, Step};
use omnitrade_edge::message::body::BodyError;
use serde_json::{Value, json};

use crate::rig::{Rig, Seen, Store, follower, get, response};

fn config() -> Value {
    json!({
        "origin": "https://api.example",
        "limits": { "ip": { "by": "ip", "window": "60s", "quota": 1000 } },
        "routes": [
            { "path": "/book", "cache": { "ttl": "10s" } },
            { "path": "/limited", "limits": ["ip"], "cache": { "ttl": "10s" } },
            { "path": "/tagged", "cache": { "ttl": "10s", "tags": ["book"] } },
        ],
    })
}

type Flying = (omnitrade_edge::message::forward::Fetch, Context<Bytes>);

/// Starts a request and goes on until it has to wait or to go to the origin.
fn start(rig: &mut Rig, path: &str) -> Step<Bytes> {
    rig.begin(&get(path))
}

fn leader(step: Step<Bytes>) -> Flying {
    match step {
        Step::Fetch(fetch, exchange) => (fetch, exchange),
        other => panic!("expected a request to the origin: {other:?}"),
    }
}

/// The follower waits for its pause and looks again.
fn look(rig: &mut Rig, path: &str, exchange: Context<Bytes>) -> Step<Bytes> {
    rig.gate.waited(&get(path), exchange, rig.shown())
}

/// The follower looks again, and asks the store if no request has done so for it.
fn look_and_ask(rig: &mut Rig, path: &str, exchange: Context<Bytes>) -> Step<Bytes> {
    let step = look(rig, path, exchange);
    rig.ask_store(&get(path), step)
}

fn finish(rig: &mut Rig, path: &str, step: Step<Bytes>) -> Seen {
    rig.carry_on(&get(path), step)
}

#[test]
fn of_many_that_miss_at_once_one_goes_to_the_origin() {
    for path in ["/book", "/limited"] {
        let mut rig = Rig::new(config());
        let (fetch, exchange) = leader(start(&mut rig, path));
        let mut waiting: Vec<_> = (0..99).map(|_| follower(start(&mut rig, path))).collect();
        rig.wait(5);
        waiting = waiting
            .into_iter()
            .map(|exchange| follower(look(&mut rig, path, exchange)))
            .collect();
        rig.wait(55);
        rig.next(response(200, "once"));
        assert_eq!(
            finish(&mut rig, path, Step::Fetch(fetch, exchange)).text(),
            "once"
        );
        for exchange in waiting {
            let step = look(&mut rig, path, exchange);
            let seen = finish(&mut rig, path, step);
            assert_eq!((seen.text(), seen.fetches), ("once", 0), "{path}");
            assert!(seen.cache().contains("collapsed"), "{}", seen.cache());
            assert!(seen.cache().starts_with("fwd="), "{}", seen.cache());
        }
        assert_eq!(rig.sent.len(), 1, "{path}");
        let asks = if path == "/book" { 1 } else { 100 };
        assert_eq!(
            rig.asks.len(),
            asks,
            "one asks the store for all, unless it has limits to ask about"
        );
    }
}

#[test]
fn what_the_store_has_is_asked_for_once_by_many() {
    let mut rig = Rig::new(config());
    rig.get("/book");
    rig.another_isolate();
    rig.asks.clear();
    let request = get("/book");
    let Step::Ask(asked, exchange) = rig.gate.decide(&request, rig.shown()) else {
        panic!("nothing is in memory");
    };
    let waiting: Vec<_> = (0..9).map(|_| follower(start(&mut rig, "/book"))).collect();
    let (reply, now) = (rig.reply(&asked), rig.shown());
    let step = rig.gate.resume(&request, &asked, exchange, reply, now);
    assert_eq!(
        finish(&mut rig, "/book", step).cache(),
        "hit; ttl=10; detail=redis"
    );
    for exchange in waiting {
        let step = look(&mut rig, "/book", exchange);
        assert_eq!(finish(&mut rig, "/book", step).fetches, 0);
    }
    assert_eq!((rig.asks.len(), rig.sent.len()), (1, 1));
    // The fetch is over, so the next request that misses asks at once.
    rig.wait(11_000);
    let step = rig.gate.decide(&request, rig.shown());
    assert!(matches!(step, Step::Ask(..)), "{step:?}");
}

#[test]
fn whoever_holds_the_lease_leads_though_another_was_here_before() {
    let mut rig = Rig::new(config());
    let (first, second) = (get("/limited"), get("/limited").from("192.0.2.9"));
    let ask = |rig: &mut Rig, request| match rig.gate.decide(request, rig.shown()) {
        Step::Ask(ask, exchange) => {
            let reply = rig.reply(&ask);
            (ask, exchange, reply)
        }
        other => panic!("{other:?}"),
    };
    let (one, two) = (ask(&mut rig, &first), ask(&mut rig, &second));
    let now = rig.shown();
    // The replies arrive in another order than the calls were made.
    let waits = rig.gate.resume(&second, &two.0, two.1, two.2, now);
    let waits = follower(waits);
    let leads = rig.gate.resume(&first, &one.0, one.1, one.2, now);
    let (fetch, exchange) = leader(leads);
    // Now it waits for the other request, and does not ask the store any more.
    rig.store = Store::Down(ErrorKind::Server);
    rig.wait(60);
    let waits = follower(look(&mut rig, "/limited", waits));
    rig.store = Store::Up;
    rig.next(response(200, "once"));
    finish(&mut rig, "/limited", Step::Fetch(fetch, exchange));
    let step = look(&mut rig, "/limited", waits);
    assert_eq!(finish(&mut rig, "/limited", step).text(), "once");
    assert_eq!(rig.sent.len(), 1);
}

#[test]
fn a_leader_that_is_lost_is_replaced_by_one() {
    let mut rig = Rig::new(config());
    let lost = leader(start(&mut rig, "/book"));
    let waiting: Vec<_> = (0..5).map(|_| follower(start(&mut rig, "/book"))).collect();
    drop(lost);
    rig.wait(2_000);
    let late = follower(start(&mut rig, "/book"));
    rig.wait(1_000);
    let mut steps: Vec<_> = waiting
        .into_iter()
        .map(|exchange| look_and_ask(&mut rig, "/book", exchange))
        .collect();
    let new = leader(steps.remove(0));
    // They have waited as long as they may.
    let alone: Vec<_> = steps.into_iter().map(leader).collect();
    let late = follower(look_and_ask(&mut rig, "/book", late));
    finish(&mut rig, "/book", Step::Fetch(new.0, new.1));
    let step = look_and_ask(&mut rig, "/book", late);
    assert!(
        finish(&mut rig, "/book", step)
            .cache()
            .contains("collapsed")
    );
    for (fetch, exchange) in alone {
        rig.wait(1);
        finish(&mut rig, "/book", Step::Fetch(fetch, exchange));
    }
    assert_eq!(rig.writes.len(), 1, "one tells the store for all");
}

#[test]
fn what_is_for_one_client_only_is_handed_to_nobody_else() {
    let mut rig = Rig::new(config());
    let (fetch, exchange) = leader(start(&mut rig, "/book"));
    let waits = follower(start(&mut rig, "/book"));
    rig.next(response(200, "mine").with("cache-control", "private"));
    assert_eq!(
        finish(&mut rig, "/book", Step::Fetch(fetch, exchange)).text(),
        "mine"
    );
    rig.next(response(200, "yours").with("cache-control", "private"));
    let step = look(&mut rig, "/book", waits);
    assert_eq!(finish(&mut rig, "/book", step).text(), "yours");
    // For a while no request waits for it again.
    leader(start(&mut rig, "/book"));
    leader(start(&mut rig, "/book"));
}

/// The gate has taken the head of an answer, whose body then fails.
fn fails(rig: &mut Rig, context: Context<Bytes>, why: BodyError) {
    let origin = response(200, "half").with("content-length", "4");
    let now = rig.shown();
    let handoff = rig
        .gate
        .origin_answered(&get("/book"), context, Ok(&origin), now);
    let Handoff::Relay(relay) = handoff else {
        panic!("it is handed on");
    };
    let told = rig.gate.fill_failed(&relay.fill.unwrap(), why, now);
    rig.write(told.write.unwrap());
}

#[test]
fn a_body_that_cannot_be_stored_holds_nobody() {
    for why in [BodyError::TooLong, BodyError::TooSlow] {
        let mut rig = Rig::new(config());
        let (_, exchange) = leader(start(&mut rig, "/book"));
        let waits = follower(start(&mut rig, "/book"));
        fails(&mut rig, exchange, why);
        leader(look_and_ask(&mut rig, "/book", waits));
        rig.wait(9_999);
        leader(start(&mut rig, "/book"));
        leader(start(&mut rig, "/book"));
        rig.wait(1);
        leader(start(&mut rig, "/book"));
        follower(start(&mut rig, "/book"));
    }
}

#[test]
fn a_body_that_breaks_off_holds_nobody_but_for_one_more() {
    let mut rig = Rig::new(config());
    let (_, exchange) = leader(start(&mut rig, "/book"));
    let [again, waits] = [(); 2].map(|()| follower(start(&mut rig, "/book")));
    fails(&mut rig, exchange, BodyError::Broken);
    let (_, exchange) = leader(look_and_ask(&mut rig, "/book", again));
    let waits = follower(look(&mut rig, "/book", waits));
    rig.wait(500);
    fails(&mut rig, exchange, BodyError::Broken);
    let step = look(&mut rig, "/book", waits);
    let seen = finish(&mut rig, "/book", step);
    assert_eq!((seen.status, seen.fetches), (502, 0));
    rig.wait(1_000);
    leader(start(&mut rig, "/book"));
    follower(start(&mut rig, "/book"));
}

#[test]
fn a_body_that_arrives_slowly_is_waited_for_three_seconds_in_all() {
    let mut rig = Rig::new(config());
    let (_, exchange) = leader(start(&mut rig, "/book"));
    let waits = follower(start(&mut rig, "/book"));
    let (origin, now) = (response(200, "slow"), rig.shown());
    let request = get("/book");
    let handoff = rig
        .gate
        .origin_answered(&request, exchange, Ok(&origin), now);
    let Handoff::Relay(relay) = handoff else {
        panic!("it is handed on");
    };
    let save = relay.fill.unwrap();
    assert_eq!(save.time(), Duration::from_secs(25), "of 30 s at most");
    rig.wait(2_999);
    let waits = follower(look(&mut rig, "/book", waits));
    rig.wait(1);
    leader(look_and_ask(&mut rig, "/book", waits));
    for _ in 0..3 {
        leader(start(&mut rig, "/book"));
        rig.wait(2_000);
        leader(start(&mut rig, "/book"));
    }
    let now = rig.shown();
    let saved = rig.gate.filled(*save, origin.body, now);
    assert!(saved.kept);
    assert_eq!(rig.get("/book").text(), "slow");
}

#[test]
fn other_isolates_are_told_of_a_body_that_arrives_slowly() {
    let mut rig = Rig::new(config());
    let (_, exchange) = leader(start(&mut rig, "/book"));
    let (origin, now) = (response(200, "slow"), rig.shown());
    let request = get("/book");
    let handoff = rig
        .gate
        .origin_answered(&request, exchange, Ok(&origin), now);
    let Handoff::Relay(relay) = handoff else {
        panic!("it is handed on");
    };
    let told = rig.gate.still_arriving(&relay.fill.unwrap());
    rig.wait(3_000);
    rig.write(told.unwrap());
    let mut other = rig.beside();
    other.model = std::mem::take(&mut rig.model);
    leader(start(&mut other, "/book"));
}

#[test]
fn a_stream_is_stored_by_nobody_and_waited_for_by_nobody() {
    for media_type in [
        "text/event-stream",
        "Text/Event-Stream ; charset=utf-8",
        "multipart/x-mixed-replace;boundary=\"a,b\"",
    ] {
        let mut rig = Rig::new(config());
        let (fetch, exchange) = leader(start(&mut rig, "/book"));
        let waits = follower(start(&mut rig, "/book"));
        rig.next(response(200, "data: 1").with("content-type", media_type));
        let seen = finish(&mut rig, "/book", Step::Fetch(fetch, exchange));
        assert!(seen.cache().ends_with("detail=stream"), "{}", seen.cache());
        leader(look_and_ask(&mut rig, "/book", waits));
        leader(start(&mut rig, "/book"));
        assert_eq!(rig.get("/book").fetches, 1, "{media_type}");
    }
}

#[test]
fn what_is_said_to_be_stored_is() {
    for (length, stored) in [("4", true), ("5", false)] {
        let mut rig = Rig::new(config());
        rig.next(response(200, "half").with("content-length", length));
        let seen = rig.get("/book");
        assert_eq!(seen.cache().contains("stored"), stored, "{}", seen.cache());
        rig.wait(1);
        assert_eq!(rig.get("/book").cache().starts_with("hit"), stored);
    }
    // The body is larger than the isolate's memory.
    let mut config = config();
    config["cache"] = json!({ "l1_size": "0B" });
    let mut rig = Rig::new(config);
    let seen = rig.get("/book");
    assert!(!seen.cache().contains("stored"), "{}", seen.cache());
}

#[test]
fn requests_for_one_client_wait_for_nobody() {
    let mut rig = Rig::new(config());
    leader(start(&mut rig, "/book"));
    let own = get("/book").with("authorization", "Bearer x");
    let step = rig.gate.decide(&own, rig.shown());
    let Step::Ask(ask, exchange) = step else {
        panic!("{step:?}");
    };
    let reply = rig.reply(&ask);
    let now = rig.shown();
    leader(rig.gate.resume(&own, &ask, exchange, reply, now));
}

#[test]
fn a_client_that_wants_it_from_the_origin_waits_for_nobody() {
    for wish in ["no-cache", "max-age=0", "max-age=1", "min-fresh=9"] {
        for path in ["/tagged", "/book", "/limited"] {
            let mut rig = Rig::new(config());
            rig.get(path);
            rig.wait(3_000);
            let before = rig.now;
            let request = get(path).with("cache-control", wish);
            let seen = rig.send(&request);
            assert_eq!(rig.now, before, "{path} {wish}");
            assert_eq!((seen.asks, seen.fetches), (1, 1), "{path} {wish}");
            // Two of them go to the origin at the same time.
            rig.wait(3_000);
            let first = rig.begin(&request);
            let second = rig.begin(&request);
            assert!(matches!(first, Step::Fetch(..)), "{path} {wish}");
            assert!(matches!(second, Step::Fetch(..)), "{path} {wish}");
        }
    }
}

#[test]
fn another_isolate_waits_for_the_one_that_holds_the_lease() {
    let mut rig = Rig::new(config());
    let (fetch, exchange) = leader(start(&mut rig, "/book"));
    let mut other = rig.beside();
    other.model = std::mem::take(&mut rig.model);
    let waits = follower(start(&mut other, "/book"));
    rig.model = std::mem::take(&mut other.model);
    rig.next(response(200, "once"));
    finish(&mut rig, "/book", Step::Fetch(fetch, exchange));
    let entry = rig.writes.pop().unwrap();
    let now = rig.now;
    rig.model.set(&entry.key, &entry.value, entry.ttl_ms, now);
    other.model = std::mem::take(&mut rig.model);
    other.wait(60);
    let step = look(&mut other, "/book", waits);
    let seen = finish(&mut other, "/book", step);
    assert_eq!((seen.text(), seen.asks, seen.fetches), ("once", 1, 0));
}

#[test]
fn an_isolate_waits_for_no_other_once_the_store_fails() {
    let mut rig = Rig::new(config());
    leader(start(&mut rig, "/book"));
    let mut other = rig.beside();
    other.model = std::mem::take(&mut rig.model);
    let waits = follower(start(&mut other, "/book"));
    other.store = Store::Down(ErrorKind::Server);
    other.wait(60);
    let before = other.now;
    let step = look(&mut other, "/book", waits);
    let seen = finish(&mut other, "/book", step);
    assert_eq!((seen.status, seen.asks, seen.fetches), (200, 1, 1));
    assert_eq!(other.now, before, "it went at once");
}

#[test]
fn what_was_stored_while_a_store_call_failed_is_served() {
    for path in ["/book", "/limited"] {
        let mut rig = Rig::new(config());
        let slow = get(path);
        let Step::Ask(ask, exchange) = rig.gate.decide(&slow, rig.shown()) else {
            panic!("it asks the store");
        };
        rig.next(response(200, "once"));
        assert_eq!(rig.get(path).text(), "once");
        rig.store = Store::Down(ErrorKind::Timeout);
        let reply = rig.reply(&ask);
        let now = rig.shown();
        let step = rig.gate.resume(&slow, &ask, exchange, reply, now);
        let seen = finish(&mut rig, path, step);
        assert_eq!((seen.text(), seen.fetches), ("once", 0), "{path}");
    }
}

#[test]
fn an_isolate_goes_itself_when_another_takes_too_long() {
    let mut rig = Rig::new(config());
    leader(start(&mut rig, "/book"));
    let mut other = rig.beside();
    other.model = std::mem::take(&mut rig.model);
    let before = other.now;
    assert_eq!(other.get("/book").fetches, 1);
    let waited = other.now.since(before);
    assert!(
        waited.as_millis() >= 1_500 && waited.as_millis() < 2_000,
        "{waited:?}"
    );
    assert_eq!(other.asks.len(), 10, "nine looks after the first call");
}
